package bench

import (
	"context"
	"fmt"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/year"
)

// yearPersons is how many persons have used an entitlement in the state that scale and recovery begin with.
const yearPersons = 10_000_000

// fullYear is that state.
func (b *Bench) fullYear(ctx context.Context) (dir string, m *year.Manifest, err error) {
	return b.Year(ctx, year.Config{
		Persons: b.Scale(yearPersons), Terminals: max(b.Scale(50_000), 4096), Products: b.Scale(500_000), Days: 300, Tail: b.Scale(1_000_000),
	})
}

// recovery is a start with a year behind it, after a kill.
func recovery() Scenario {
	return Scenario{
		Name: "recovery", What: "start on ten million persons: snapshot and a tail of a million events, after kill -9",
		Run: func(ctx context.Context, b *Bench) (r Result, err error) {
			from, m, err := b.fullYear(ctx)
			if err != nil {
				return r, err
			}
			dir, err := b.copied(from, "recovery")
			if err != nil {
				return r, err
			}
			// No snapshot but the year's, so that every start has its tail.
			site, err := b.NewSite(dir, "HUANXIN_SNAPSHOT_EVERY=24h", "HUANXIN_SNAPSHOT_EVENTS=1000000000")
			if err != nil {
				return r, err
			}
			defer site.Discard()
			replay, ready := Series{Name: "replay"}, Series{Name: "ready"}
			for round := range b.Repeats(2) {
				s, err := site.startTimed(ctx)
				if err != nil {
					return r, err
				}
				if s.events < float64(m.Tail) {
					return r, fmt.Errorf("%s events were replayed, the tail has %d", number(s.events), m.Tail)
				}
				replay.Values = append(replay.Values, s.events/s.replay)
				ready.Values = append(ready.Values, s.ready.Seconds())
				r.Note("start %d: ready after %.1f s: journal of %d MB checked and opened %.1f s, snapshot %.1f s, %s events replayed %.1f s, invariants %.1f s",
					round+1, s.ready.Seconds(), m.Bytes>>20, s.open, s.snapshot, number(s.events), s.replay, s.check)
				site.Process().Kill()
			}
			r.Rows = append(r.Rows, Floor("replay", "events/s", replay, 300_000), Limit("ready after kill -9", "s", ready, 30))
			r.Note("%d persons, %d purchases, %d events in the journal", m.Persons, m.Purchases, m.Events)
			return r, nil
		},
	}
}

// startup is how long the phases of a start took, in seconds.
type startup struct {
	ready                         time.Duration // of the process, until it decides
	open, snapshot, replay, check float64
	events                        float64 // replayed
}

// startTimed starts the switch and reads what it says of its recovery.
func (s *Site) startTimed(ctx context.Context) (*startup, error) {
	begun := time.Now()
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	t := &startup{ready: time.Since(begun)}
	for _, v := range []struct {
		to     *float64
		name   string
		labels []string
	}{
		{&t.open, "huanxin_journal_open_seconds", nil}, {&t.snapshot, "huanxin_recovery_seconds", []string{"phase", "snapshot"}},
		{&t.replay, "huanxin_recovery_seconds", []string{"phase", "replay"}}, {&t.check, "huanxin_recovery_seconds", []string{"phase", "check"}},
		{&t.events, "huanxin_recovery_replayed_events", nil},
	} {
		var err error
		if *v.to, err = s.Figure(ctx, v.name, v.labels...); err != nil {
			return nil, err
		}
	}
	if t.replay == 0 {
		return nil, fmt.Errorf("the switch does not say how long its replay took")
	}
	return t, nil
}

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
			dir, err := b.WithCrowd(ctx, from, "scale-year", persons)
			if err != nil {
				return r, err
			}
			full, err := b.NewSite(dir)
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
			empty, err := b.NewSite(dir)
			if err != nil {
				return r, err
			}
			defer empty.Discard()
			return r, b.compareStates(ctx, full, empty, rounds, persons, lasts, m, &r)
		},
	}
}

// side is one of the two states of scale: its switch goes on from round to round.
type side struct {
	site    *Site
	script  *client.Reserves
	p99     []float64
	highest int64 // VmHWM
	resides int64 // VmRSS
}

// compareStates measures both in turn. Both switches run all the time; the one that is not measured does nothing.
func (b *Bench) compareStates(ctx context.Context, full, empty *Site, rounds, persons int, lasts time.Duration, m *year.Manifest, r *Result) error {
	measure := func(s *side) func(context.Context, int) (float64, error) {
		return func(ctx context.Context, _ int) (float64, error) {
			run, err := s.round(ctx, lasts)
			if err != nil {
				return 0, err
			}
			s.p99 = append(s.p99, inMillis(run.Latencies.Percentile(990)))
			return run.PerSecond(), nil
		}
	}
	sides := []*side{{site: full}, {site: empty}}
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
		if s.resides, s.highest, err = memory(s.site.PID()); err != nil {
			return err
		}
	}
	const gigabyte = 1 << 30
	r.Rows = append(r.Rows,
		Limit("resident memory", "GiB", Of("with the year", float64(sides[0].resides)/gigabyte), 4),
		AtLeast("throughput", "/s", list[0], list[1], 0.9),
		AtMost("p99", "ms", Of("with the year", sides[0].p99...), Of("empty state", sides[1].p99...), 2),
	)
	r.Note("%d persons, %d purchases, %d terminals' programme, follower included; highest resident %.2f GiB; the empty state's switch has %.2f GiB, highest %.2f GiB, with %d persons who have claimed in both",
		m.Persons, m.Purchases, max(b.Scale(50_000), 4096), float64(sides[0].highest)/gigabyte, float64(sides[1].resides)/gigabyte, float64(sides[1].highest)/gigabyte, persons)
	r.Note("%s; %s", list[0], list[1])
	for _, s := range sides {
		s.site.Process().Kill()
		if s.site == empty {
			if _, _, err := Found(s.site.Dir, s.script.Acks()); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin starts the switch and waits until its follower has read everything too.
func (s *side) begin(ctx context.Context, b *Bench, persons int) (err error) {
	if err := s.site.Start(ctx); err != nil {
		return err
	}
	s.script, err = b.pingpongScript(client.NewNumbers(0, uint64(persons)))
	return err
}

// round is one pingpong, once the switch is quiet.
func (s *side) round(ctx context.Context, lasts time.Duration) (*client.Run, error) {
	if err := s.site.Quiet(ctx); err != nil {
		return nil, err
	}
	loop := client.Closed{Address: s.site.CUP, Connections: 64, InFlight: 1, Script: s.script, WarmUp: time.Second, Duration: lasts}
	return loop.Run(ctx)
}
