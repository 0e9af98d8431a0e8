package bench

import (
	"context"
	"fmt"
	"time"

	"huanxin/internal/bench/year"
)

// The state that scale and recovery begin with: persons who have used an entitlement, and the library.
const (
	yearPersons  = 10_000_000
	yearProducts = 500_000
)

// yearMemory is what an operator sets where a switch is to live on 4 GB: the collector then works harder instead of letting
// garbage gather. What the process has beside the Go heap comes on top of it.
const yearMemory = "HUANXIN_MEMORY_LIMIT=3600MiB"

// fullYear is that state.
func (b *Bench) fullYear(ctx context.Context) (dir string, m *year.Manifest, err error) {
	return b.Year(ctx, year.Config{
		Persons: b.Scale(yearPersons), Terminals: max(b.Scale(50_000), 4096), Products: b.Scale(yearProducts), Days: 300, Tail: b.Scale(1_000_000),
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
			site, err := b.NewSite(dir, yearMemory, "HUANXIN_SNAPSHOT_EVERY=24h", "HUANXIN_SNAPSHOT_EVENTS=1000000000")
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
			r.Note("%d persons, %d purchases, %d events in the journal, whose files were in the machine's cache as after any kill -9: a start after a power cut reads them from the disk first",
				m.Persons, m.Purchases, m.Events)
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
