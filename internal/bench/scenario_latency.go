package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/seed"
	"huanxin/internal/simulator/load"
)

// openShape is how an open loop reaches the switch: as many connections as pingpong, with room for what a stall of a tenth
// of a second holds up.
const (
	openConnections = 64
	openSlots       = terminals / openConnections
)

// latency is what a till waits while the machine is half busy and everything that goes on beside the decision goes on.
func latency() Scenario {
	return Scenario{
		Name: "latency", What: "open loop at half of pingpong's throughput, snapshots and projection running",
		Run: func(ctx context.Context, b *Bench) (r Result, err error) {
			lasts := b.Lasts(time.Minute)
			full, err := b.pingpongs(ctx, 2)
			if err != nil {
				return r, fmt.Errorf("pingpong: %w", err)
			}
			offered := full.Median() / 2
			persons := int(offered * (lasts + openWarmUp + batchTrial + time.Second).Seconds())
			from, err := b.Seeded(ctx, persons)
			if err != nil {
				return r, err
			}
			defer b.drop(from)
			run, disk, err := b.halfLoad(ctx, from, offered, lasts, persons, &r)
			if err != nil {
				return r, err
			}
			r.Note("offered %s reserves/s, half of %s; the disk's probe synced %d times, p50 %s, p99 %s, p99.9 %s, max %s", number(offered), full,
				disk.Count(), millis(disk.Percentile(500)), millis(disk.Percentile(990)), millis(disk.Percentile(999)), millis(disk.Max()))
			r.Note("%d asked, %d waited for a free terminal; p50 %s, p90 %s, p99 %s, p99.9 %s, max %s (due %.1f s after the beginning); nobody heard anything for %s at most",
				run.Asked, run.Waited, millis(run.Latencies.Percentile(500)), millis(run.Latencies.Percentile(900)), millis(run.Latencies.Percentile(990)),
				millis(run.Latencies.Percentile(999)), millis(run.Latencies.Max()), run.WorstAt.Seconds(), millis(run.Gap))
			l := &run.Latencies
			r.Rows = append(r.Rows,
				AtMost("p99", "ms", Of("switch", inMillis(l.Percentile(990))), Of("disk's p99 sync", inMillis(disk.Percentile(990))), 4),
				figure("p99.9", "ms", inMillis(l.Percentile(999))),
				Limit("longest stall", "ms", Of("switch", inMillis(max(l.Max(), run.Gap))), 100),
			)
			return r, nil
		},
	}
}

// figure is a row without a target.
func figure(metric, unit string, value float64) Row {
	return Row{Metric: metric, Figure: value, Unit: unit, Target: "reported", Met: true}
}

func inMillis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// pingpongs are rounds of the scenario pingpong: the rate that others are set by.
func (b *Bench) pingpongs(ctx context.Context, rounds int) (s Series, err error) {
	lasts := min(b.Lasts(5*time.Second), 5*time.Second)
	s.Name = "pingpong"
	persons := enough(b, waitingRate)
	from, err := b.Seeded(ctx, persons)
	if err != nil {
		return s, err
	}
	proof, err := b.newProof()
	if err != nil {
		return s, err
	}
	for range b.Repeats(rounds) {
		run, err := b.switchRound(ctx, shape{connections: 64, inFlight: 1, warmUp: time.Second, lasts: lasts, persons: persons}, from, proof)
		if err != nil {
			return s, err
		}
		b.Say("  pingpong: %s", number(run.PerSecond()))
		s.Values = append(s.Values, run.PerSecond())
	}
	return s, nil
}

const (
	openWarmUp = 2 * time.Second
	batchTrial = 2 * time.Second // of load, to see how large a batch is
)

// openReserves is a script that open loops share one after the other.
func (b *Bench) openReserves(persons int) (*client.Reserves, error) {
	return client.NewReserves(client.ReserveConfig{
		Codec: b.Codec, Slots: terminals, Persons: client.NewNumbers(0, uint64(persons)), Barcodes: seed.Programme{}.Barcodes(1),
	})
}

func (b *Bench) openLoop(site *Site, script client.Script, rate float64, warmUp, lasts time.Duration) *client.Open {
	return &client.Open{
		Address: site.CUP, Connections: openConnections, InFlight: openSlots, Script: script, Rate: rate, WarmUp: warmUp, Duration: lasts,
	}
}

// halfLoad is the measurement itself: load and probe at the same time, on a switch whose projection has caught up.
func (b *Bench) halfLoad(ctx context.Context, from string, offered float64, lasts time.Duration, persons int, r *Result) (*client.OpenRun, *load.Latencies, error) {
	every := max(lasts/5, time.Second)
	site, err := b.open(ctx, from, "latency", databaseOn, "HUANXIN_SNAPSHOT_EVERY="+every.String())
	if err != nil {
		return nil, nil, err
	}
	defer site.Discard()
	b.Say("  waiting for the projection of what was prepared")
	if _, _, err := site.drain(ctx); err != nil {
		return nil, nil, err
	}
	script, err := b.openReserves(persons)
	if err != nil {
		return nil, nil, err
	}
	batch, err := site.batchBytes(ctx, func() error {
		_, err := b.openLoop(site, script, offered, 0, batchTrial).Run(ctx)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	proof, err := b.newProof()
	if err != nil {
		return nil, nil, err
	}
	probe, err := startProbe(b.Dir, batch)
	if err != nil {
		return nil, nil, err
	}
	watch := site.watchSnapshots(ctx)
	var run *client.OpenRun
	err = proof.watched(ctx, site, func() (err error) {
		run, err = b.openLoop(site, script, offered, openWarmUp, lasts).Run(ctx)
		return err
	})
	disk, failed := probe.end()
	snapshots, watched := watch()
	if err := errors.Join(err, failed, watched); err != nil {
		return nil, nil, err
	}
	v, err := site.Figures(ctx, "huanxin_projection_lag_batches", "huanxin_follower_lag_batches")
	if err != nil {
		return nil, nil, err
	}
	r.Note("a batch had %d bytes; %d snapshots were written meanwhile; at the end the projection was %s batches behind, the follower %s",
		batch, snapshots, number(v[0]), number(v[1]))
	if snapshots == 0 {
		return nil, nil, errors.New("not one snapshot was written meanwhile")
	}
	site.Process().Kill()
	if err := proof.found(site.Dir, 0, script.Acks()); err != nil {
		return nil, nil, err
	}
	r.Note("%s", proof)
	return run, disk, nil
}

// batchBytes is the mean size of a batch while work is done.
func (s *Site) batchBytes(ctx context.Context, work func() error) (int, error) {
	was, err := s.Figures(ctx, "huanxin_journal_position", "huanxin_journal_bytes")
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	now, err := s.Figures(ctx, "huanxin_journal_position", "huanxin_journal_bytes")
	if err != nil {
		return 0, err
	}
	if now[0] == was[0] {
		return 0, errors.New("no batch was appended")
	}
	return int((now[1] - was[1]) / (now[0] - was[0])), nil
}

// watchSnapshots counts the snapshots that are written until the returned function is called.
func (s *Site) watchSnapshots(ctx context.Context) func() (int, error) {
	stop := make(chan struct{})
	var all sync.WaitGroup
	var failed error
	seen := map[float64]struct{}{}
	look := func() {
		at, err := s.Figure(ctx, "huanxin_snapshot_position")
		if err != nil {
			failed = err
			return
		}
		seen[at] = struct{}{}
	}
	look()
	all.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				look()
				return
			case <-tick.C:
				look()
			}
		}
	})
	return func() (int, error) {
		close(stop)
		all.Wait()
		return len(seen) - 1, failed
	}
}
