package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/seed"
	"huanxin/internal/bench/year"
)

// scale is pingpong on the state of a year, in turn with pingpong on an empty one.
func scale() Scenario {
	return Scenario{
		Name: "scale", What: "pingpong with ten million persons, 50 000 terminals and 500 000 products in state, and with none",
		Run: func(ctx context.Context, b *Bench) (r Result, err error) {
			rounds, lasts := b.Repeats(3), b.Lasts(5*time.Second)
			persons := rounds * crowdFor(lasts)
			from, m, err := b.fullYear(ctx)
			if err != nil {
				return r, err
			}
			if err := b.weigh(ctx, from, m, &r); err != nil {
				return r, fmt.Errorf("memory of the year: %w", err)
			}
			dir, err := b.WithCrowd(ctx, from, "scale-year", persons)
			if err != nil {
				return r, err
			}
			full, err := b.NewSite(dir, yearMemory)
			if err != nil {
				return r, err
			}
			defer full.Discard()
			crowd, err := b.Seeded(ctx, persons)
			if err != nil {
				return r, err
			}
			defer b.drop(crowd)
			if dir, err = b.copied(crowd, "scale-empty"); err != nil {
				return r, err
			}
			empty, err := b.NewSite(dir, yearMemory)
			if err != nil {
				return r, err
			}
			defer empty.Discard()
			err = b.compareStates(ctx, full, empty, rounds, persons, lasts, &r)
			return r, err
		},
	}
}

// weigh measures what the year itself takes at most from the start on: the switch reads it twice, and its follower, once it
// has replayed the tail, writes a snapshot of it. Nobody loads it.
func (b *Bench) weigh(ctx context.Context, from string, m *year.Manifest, r *Result) error {
	site, err := b.open(ctx, from, "scale-year", yearMemory, fmt.Sprintf("HUANXIN_SNAPSHOT_EVENTS=%d", m.Tail))
	if err != nil {
		return err
	}
	defer site.Discard()
	err = site.await(ctx, "a snapshot of the year", startLimit, func(ctx context.Context) (bool, error) {
		at, err := site.Figure(ctx, "huanxin_snapshot_position")
		return at > float64(m.Snapshot), err
	})
	if err != nil {
		return err
	}
	if err := site.Quiet(ctx); err != nil {
		return err
	}
	resident, highest, err := memory(site.PID())
	if err != nil {
		return err
	}
	r.Rows = append(r.Rows, Limit("resident memory at most, a start and a snapshot of the year included", "GB", Of("switch", inGB(highest)), 4))
	r.Note("%d persons, %d purchases; follower included: %.2f GB resident, %.2f GB at most since the start", m.Persons, m.Purchases, inGB(resident), inGB(highest))
	return nil
}

func inGB(bytes int64) float64 { return float64(bytes) / 1e9 }

// side is one of the two states of scale: its switch goes on from round to round.
type side struct {
	site              *Site
	barcodes          []string
	script            *client.Reserves
	p99               []float64
	resident, highest int64  // VmRSS, VmHWM
	from              uint64 // the journal's position before the rounds
}

// compareStates measures both in turn. Both switches run all the time; the one that is not measured does nothing.
func (b *Bench) compareStates(ctx context.Context, full, empty *Site, rounds, persons int, lasts time.Duration, r *Result) error {
	proof, err := b.newProof()
	if err != nil {
		return err
	}
	measure := func(s *side) func(context.Context, int) (float64, error) {
		return func(ctx context.Context, _ int) (float64, error) {
			run, err := s.round(ctx, proof, lasts)
			if err != nil {
				return 0, err
			}
			s.p99 = append(s.p99, inMillis(run.Latencies.Percentile(990)))
			return run.PerSecond(), nil
		}
	}
	// Buyers of the year take all kinds of goods, those of the empty state the only one that there is.
	goods := seed.Programme{Products: b.Scale(yearProducts)}.Barcodes(10_000)
	sides := []*side{{site: full, barcodes: goods}, {site: empty, barcodes: seed.Programme{}.Barcodes(1)}}
	for _, s := range sides {
		if err := s.begin(ctx, b, persons); err != nil {
			return err
		}
	}
	list, err := b.Alternate(ctx, rounds, Contender{"with the year", measure(sides[0])}, Contender{"empty state", measure(sides[1])})
	if err != nil {
		return err
	}
	for _, s := range sides {
		if s.resident, s.highest, err = memory(s.site.PID()); err != nil {
			return err
		}
	}
	r.Rows = append(r.Rows, AtLeast("throughput", "/s", list[0], list[1], 0.9),
		AtMost("p99", "ms", Of("with the year", sides[0].p99...), Of("empty state", sides[1].p99...), 2))
	r.Note("after the rounds %.2f GB resident, at most %.2f GB; the empty state's switch %.2f GB, at most %.2f GB; %d persons had claimed and showed codes in both",
		inGB(sides[0].resident), inGB(sides[0].highest), inGB(sides[1].resident), inGB(sides[1].highest), persons)
	r.Note("%s; %s", list[0], list[1])
	for _, s := range sides {
		s.site.Process().Kill()
		if err := proof.found(s.site.Dir, s.from, s.script.Acks()); err != nil {
			return err
		}
	}
	r.Note("%s", proof)
	return nil
}

// begin starts the switch and waits until its follower has read everything too.
func (s *side) begin(ctx context.Context, b *Bench, persons int) (err error) {
	if err := s.site.Start(ctx); err != nil {
		return err
	}
	if err := s.site.Quiet(ctx); err != nil {
		return err
	}
	from, err := s.site.Figure(ctx, "huanxin_journal_position")
	if err != nil {
		return err
	}
	s.from = uint64(from)
	s.script, err = b.pingpongScript(client.NewNumbers(0, uint64(persons)), s.barcodes)
	return err
}

// round is one pingpong, once the switch is quiet.
func (s *side) round(ctx context.Context, proof *proof, lasts time.Duration) (run *client.Run, err error) {
	if err := s.site.Quiet(ctx); err != nil {
		return nil, err
	}
	loop := client.Closed{Address: s.site.CUP, Connections: 64, InFlight: 1, Script: s.script, WarmUp: time.Second, Duration: lasts}
	err = proof.watched(ctx, s.site, func() error {
		profiled, err := s.site.profile(ctx, time.Second, lasts)
		if err != nil {
			return err
		}
		run, err = loop.Run(ctx)
		return errors.Join(err, profiled())
	})
	if err != nil {
		return nil, err
	}
	return run, proof.lag(ctx, s.site)
}
