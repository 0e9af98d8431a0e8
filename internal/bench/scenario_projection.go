package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/year"
	"huanxin/internal/postgres"
)

// backlog is what the projection has to make up for.
const backlog = 300_000

// projected is how fast events become rows: of a backlog alone, and what it costs those who authorise meanwhile.
func projected() Scenario {
	return Scenario{
		Name: "projection", What: "a backlog of 300 000 purchases into PostgreSQL, alone and beside pingpong",
		Run: func(ctx context.Context, b *Bench) (r Result, err error) {
			cfg := year.Config{Persons: b.Scale(backlog), Terminals: 4096, Products: 10_000, Days: 10, Tail: 100_000}
			from, m, err := b.Year(ctx, cfg)
			if err != nil {
				return r, err
			}
			alone, err := b.drainAlone(ctx, from, m, &r)
			if err != nil {
				return r, fmt.Errorf("alone: %w", err)
			}
			r.Rows = append(r.Rows, Floor("backlog alone", "purchases/s", alone, 15_000))
			with, without, err := b.besidePingpong(ctx, from, &r)
			if err != nil {
				return r, fmt.Errorf("beside pingpong: %w", err)
			}
			row := AtLeast("authorisations beside the backlog", "/s", with, without, 0.6)
			r.Rows = append(r.Rows, row)
			r.Note("%s; %s", with, without)
			return r, nil
		},
	}
}

// drainLimit bounds the draining of one backlog.
const drainLimit = 5 * time.Minute

// drain waits until everything that the journal holds is in PostgreSQL, and says how many events a second were written
// from the first on.
func (s *Site) drain(ctx context.Context) (eventsPerSecond float64, took time.Duration, err error) {
	var begun time.Time
	var first, last float64
	err = s.await(ctx, "the projection", drainLimit, func(ctx context.Context) (bool, error) {
		v, err := s.Figures(ctx, "huanxin_projection_events_total", "huanxin_projection_lag_batches")
		if err != nil {
			return false, err
		}
		if begun.IsZero() && v[0] > 0 {
			begun, first = time.Now(), v[0]
		}
		last = v[0]
		return v[0] > 0 && v[1] == 0, nil
	})
	if err != nil {
		return 0, 0, err
	}
	took = time.Since(begun)
	return (last - first) / took.Seconds(), took, nil
}

func (b *Bench) drainAlone(ctx context.Context, from string, m *year.Manifest, r *Result) (alone Series, err error) {
	alone.Name = "projection"
	for range b.Repeats(2) {
		site, err := b.open(ctx, from, "projection", databaseOn)
		if err != nil {
			return alone, err
		}
		rate, took, err := site.drain(ctx)
		if err == nil {
			err = site.rows(ctx, m)
		}
		if err != nil {
			site.Discard()
			return alone, err
		}
		alone.Values = append(alone.Values, rate*float64(m.Purchases)/float64(m.Events))
		r.Note("alone: %d purchases (%d events) in about %.1f s, %s events/s; the database counts them all", m.Purchases, m.Events,
			took.Seconds(), number(rate))
		if err := site.Discard(); err != nil {
			return alone, err
		}
	}
	return alone, nil
}

const databaseOn = "HUANXIN_DATABASE_ENABLED=true"

// rows holds what the database counts against what the year says.
func (s *Site) rows(ctx context.Context, m *year.Manifest) error {
	url, err := postgres.PrivateURL(filepath.Join(s.Dir, "postgres"))
	if err != nil {
		return err
	}
	db, err := postgres.Open(ctx, postgres.Config{URL: url})
	if err != nil {
		return err
	}
	defer db.Close()
	totals, err := db.Totals(ctx)
	if err != nil {
		return err
	}
	if totals.Purchases != int64(m.Purchases) || totals.Refunds != int64(m.Refunds) {
		return fmt.Errorf("the database has %d purchases and %d refunds, the journal %d and %d", totals.Purchases, totals.Refunds, m.Purchases, m.Refunds)
	}
	return nil
}

// besidePingpong measures pingpong on the same state with the projection working off its backlog, and without.
func (b *Bench) besidePingpong(ctx context.Context, from string, r *Result) (with, without Series, err error) {
	lasts := b.Lasts(5 * time.Second)
	state, err := b.WithCrowd(ctx, from, "projection-crowd", crowdFor(lasts))
	if err != nil {
		return with, without, err
	}
	rounds := b.Repeats(3)
	proof, err := b.newProof()
	if err != nil {
		return with, without, err
	}
	measure := func(database bool) func(context.Context, int) (float64, error) {
		return func(ctx context.Context, round int) (float64, error) {
			setting := databaseOn
			if !database {
				setting = "HUANXIN_DATABASE_ENABLED=false"
			}
			site, err := b.open(ctx, state, "projection", setting)
			if err != nil {
				return 0, err
			}
			defer site.Discard()
			if err := site.begun(ctx, database); err != nil {
				return 0, err
			}
			from, err := site.Figure(ctx, "huanxin_journal_position")
			if err != nil {
				return 0, err
			}
			var run *client.Run
			var script *client.Reserves
			err = proof.watched(ctx, site, func() (err error) {
				run, script, err = b.pingpongOn(ctx, site, lasts)
				return err
			})
			if err == nil && database {
				err = b.remains(ctx, site, round == rounds-1, r)
			}
			if err != nil {
				return 0, err
			}
			site.Process().Kill()
			return run.PerSecond(), proof.found(site.Dir, uint64(from), script.Acks())
		}
	}
	list, err := b.Alternate(ctx, rounds, Contender{"beside the backlog", measure(true)}, Contender{"without projection", measure(false)})
	if err != nil {
		return with, without, err
	}
	r.Note("%s", proof)
	return list[0], list[1], nil
}

// begun waits until the projection has begun, or without one until the switch does nothing.
func (s *Site) begun(ctx context.Context, database bool) error {
	if !database {
		return s.Quiet(ctx)
	}
	return s.await(ctx, "the projection to begin", startLimit, func(ctx context.Context) (bool, error) {
		v, err := s.Figure(ctx, "huanxin_projection_events_total")
		return v > 0, err
	})
}

// remains checks that there was a backlog until the end of the round, and in the last one that it drains.
func (b *Bench) remains(ctx context.Context, site *Site, last bool, r *Result) error {
	lag, err := site.Figure(ctx, "huanxin_projection_lag_batches")
	if err != nil {
		return err
	}
	if lag == 0 {
		return fmt.Errorf("the backlog was gone before the round was over: nothing was measured beside it")
	}
	if !last {
		return nil
	}
	begun := time.Now()
	if _, _, err := site.drain(ctx); err != nil {
		return fmt.Errorf("the backlog that remained: %w", err)
	}
	r.Note("after the last round %s batches were not rows yet; they were %.1f s later", number(lag), time.Since(begun).Seconds())
	return nil
}
