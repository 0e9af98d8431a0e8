package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/seed"
	"huanxin/internal/simulator/load"
)

const (
	rushRate        = 10_000 // claims a second
	rushConnections = 128
	rushRounds      = 2
	calm            = 30 * time.Second // of reserves alone, before each rush
)

// claimRush is the minute after a round has opened, first when nothing is left of it, then when everybody gets something.
func claimRush() Scenario {
	return Scenario{
		Name: "claim rush", What: "10 000 claims a second over HTTP, beside open-loop reserves at a quarter of pingpong",
		Run: func(ctx context.Context, b *Bench) (r Result, err error) {
			lasts, calm := b.Lasts(time.Minute), min(b.Lasts(calm), calm)
			full, err := b.pingpongs(ctx, 2)
			if err != nil {
				return r, fmt.Errorf("pingpong: %w", err)
			}
			offered := full.Median() / 4
			r.Note("reserves offered: %s/s, a quarter of %s", number(offered), full)
			proof, err := b.newProof()
			if err != nil {
				return r, err
			}
			persons := int(offered * (lasts + calm + 2*openWarmUp + time.Second).Seconds())
			from, err := b.Seeded(ctx, persons)
			if err != nil {
				return r, err
			}
			defer b.drop(from)
			beside := besideReserves{b, from, persons, offered, calm, lasts, proof}
			rushes := []*rush{
				{name: "no budget left", claims: client.Claims{Category: seed.Poor, Status: http.StatusUnprocessableEntity, Reason: "BUDGET_EXHAUSTED"}},
				{name: "every claim succeeds", claims: client.Claims{Category: seed.Category, First: 100_000_000, Status: http.StatusCreated, Reason: "claimed"}},
			}
			for range b.Repeats(rushRounds) {
				for _, rush := range rushes {
					if err := beside.round(ctx, rush); err != nil {
						return r, fmt.Errorf("%s: %w", rush.name, err)
					}
				}
			}
			for _, rush := range rushes {
				rush.report(&r)
			}
			r.Note("%s", proof)
			return r, nil
		},
	}
}

// rush is one kind of rush with what its rounds have seen together.
type rush struct {
	name          string
	claims        client.Claims
	offered       uint64
	claimed       client.ClaimsRun
	alone, beside load.Latencies
	ratios        []string // of each round
}

// besideReserves is what all rounds have in common.
type besideReserves struct {
	*Bench
	from        string // the state they begin with, and its persons
	persons     int
	offered     float64 // reserves a second
	calm, lasts time.Duration
	proof       *proof
}

// round is one rush on a switch of its own, so that nothing of another rush is left to be done or expires: reserves alone, then
// the same beside claims.
func (b *besideReserves) round(ctx context.Context, rush *rush) error {
	site, err := b.open(ctx, b.from, "rush")
	if err != nil {
		return err
	}
	defer site.Discard()
	script, err := b.openReserves(b.persons)
	if err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(site.Dir, "token"))
	if err != nil {
		return err
	}
	claims := rush.claims
	claims.Address, claims.Token, claims.Connections = site.HTTP, strings.TrimSpace(string(token)), rushConnections
	claims.City, claims.Channel, claims.Rate, claims.Duration = seed.City, seed.Channel, rushRate, b.lasts
	if err := b.proof.watched(ctx, site, func() error { return b.measure(ctx, site, script, claims, rush) }); err != nil {
		return err
	}
	if err := b.proof.lag(ctx, site); err != nil {
		return err
	}
	site.Process().Kill()
	return b.proof.found(site.Dir, 0, script.Acks())
}

// measure begins when the switch has nothing left to do.
func (b *besideReserves) measure(ctx context.Context, site *Site, script client.Script, claims client.Claims, rush *rush) error {
	if err := site.Quiet(ctx); err != nil {
		return err
	}
	alone, err := b.openLoop(site, script, b.offered, openWarmUp, b.calm).Run(ctx)
	if err != nil {
		return fmt.Errorf("reserves alone: %w", err)
	}
	type outcome struct {
		run *client.ClaimsRun
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	claiming := make(chan outcome, 1)
	go func() {
		// The rush begins when reserves begin to count, so that its first moments do too.
		select {
		case <-time.After(openWarmUp):
		case <-ctx.Done():
		}
		run, err := claims.Run(ctx)
		if err != nil {
			cancel()
		}
		claiming <- outcome{run, err}
	}()
	beside, err := b.openLoop(site, script, b.offered, openWarmUp, b.lasts).Run(ctx)
	if err != nil {
		cancel()
	}
	claimed := <-claiming
	if err := errors.Join(claimed.err, err); err != nil {
		return err
	}
	rush.offered += uint64(claims.Rate * b.lasts.Seconds())
	rush.claimed.Add(claimed.run)
	rush.alone.Merge(&alone.Latencies)
	rush.beside.Merge(&beside.Latencies)
	rush.ratios = append(rush.ratios, fmt.Sprintf("%.2f", float64(beside.Latencies.Percentile(990))/float64(alone.Latencies.Percentile(990))))
	b.Say("  %s: p99 of reserves %s alone, %s beside it", rush.name, millis(alone.Latencies.Percentile(990)), millis(beside.Latencies.Percentile(990)))
	return nil
}

// report writes the rows of a rush: percentiles of its rounds together.
func (rush *rush) report(r *Result) {
	answered := Row{Metric: "claims decided, " + rush.name, Figure: float64(rush.claimed.Answered), Unit: "claims", Target: "all of " + number(float64(rush.offered))}
	answered.Met = rush.claimed.Answered == rush.offered
	r.Rows = append(r.Rows, answered, AtMost("p99 of reserves, "+rush.name, "ms", Of("beside the rush", inMillis(rush.beside.Percentile(990))),
		Of("reserves alone", inMillis(rush.alone.Percentile(990))), 2))
	r.Note("%s: ratios of the rounds %s", rush.name, strings.Join(rush.ratios, ", "))
	r.Note("%s: %d claims decided, %d told to come again, p50 %s, p99 %s, max %s; reserves beside it p50 %s, p99 %s, max %s, alone p50 %s, p99 %s, max %s", rush.name,
		rush.claimed.Answered, rush.claimed.Overloaded, millis(rush.claimed.Latencies.Percentile(500)), millis(rush.claimed.Latencies.Percentile(990)), millis(rush.claimed.Latencies.Max()),
		millis(rush.beside.Percentile(500)), millis(rush.beside.Percentile(990)), millis(rush.beside.Max()),
		millis(rush.alone.Percentile(500)), millis(rush.alone.Percentile(990)), millis(rush.alone.Max()))
}
