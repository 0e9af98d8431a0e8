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
)

const (
	rushRate        = 10_000 // claims a second
	rushConnections = 128
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
			persons := int(offered * (2*(lasts+calm) + 4*openWarmUp + 2*time.Second).Seconds())
			from, err := b.Seeded(ctx, persons)
			if err != nil {
				return r, err
			}
			defer b.drop(from)
			site, err := b.open(ctx, from, "rush")
			if err != nil {
				return r, err
			}
			defer site.Discard()
			script, err := b.openReserves(persons)
			if err != nil {
				return r, err
			}
			r.Note("reserves offered: %s/s, a quarter of %s", number(offered), full)
			proof, err := b.newProof()
			if err != nil {
				return r, err
			}
			for _, rush := range []client.Claims{
				{Category: seed.Poor, First: 0, Status: http.StatusUnprocessableEntity, Reason: "BUDGET_EXHAUSTED"},
				{Category: seed.Category, First: 100_000_000, Status: http.StatusCreated, Reason: "claimed"},
			} {
				rush.City, rush.Channel, rush.Rate, rush.Duration, rush.Connections = seed.City, seed.Channel, rushRate, lasts, rushConnections
				err := proof.watched(ctx, site, func() error { return b.rush(ctx, site, script, offered, calm, rush, &r) })
				if err != nil {
					return r, err
				}
			}
			site.Process().Kill()
			if err := proof.found(site.Dir, 0, script.Acks()); err != nil {
				return r, err
			}
			r.Note("%s", proof)
			return r, nil
		},
	}
}

// rush measures reserves alone, when nothing is left to do of what was before, then beside one rush.
func (b *Bench) rush(ctx context.Context, site *Site, script client.Script, offered float64, calm time.Duration, rush client.Claims, r *Result) error {
	name := "no budget left"
	if rush.Status == http.StatusCreated {
		name = "every claim succeeds"
	}
	token, err := os.ReadFile(filepath.Join(site.Dir, "token"))
	if err != nil {
		return err
	}
	rush.Address, rush.Token = site.HTTP, strings.TrimSpace(string(token))
	if err := site.Quiet(ctx); err != nil {
		return err
	}
	alone, err := b.openLoop(site, script, offered, openWarmUp, calm).Run(ctx)
	if err != nil {
		return fmt.Errorf("reserves alone: %w", err)
	}
	type outcome struct {
		run *client.ClaimsRun
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	claims := make(chan outcome, 1)
	go func() {
		// The rush begins when reserves begin to count, so that its first moments do too.
		select {
		case <-time.After(openWarmUp):
		case <-ctx.Done():
		}
		run, err := rush.Run(ctx)
		if err != nil {
			cancel()
		}
		claims <- outcome{run, err}
	}()
	beside, err := b.openLoop(site, script, offered, openWarmUp, rush.Duration).Run(ctx)
	if err != nil {
		cancel()
	}
	claimed := <-claims
	if err := errors.Join(claimed.err, err); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	want := float64(uint64(rush.Rate * rush.Duration.Seconds()))
	answered := Row{Metric: "claims decided, " + name, Figure: float64(claimed.run.Answered), Unit: "claims", Target: "all of " + number(want)}
	answered.Met = answered.Figure == want
	r.Rows = append(r.Rows, answered, AtMost("p99 of reserves, "+name, "ms", Of("beside the rush", inMillis(beside.Latencies.Percentile(990))),
		Of("reserves alone", inMillis(alone.Latencies.Percentile(990))), 2))
	r.Note("%s: %d claims decided, %d told to come again, p50 %s, p99 %s, max %s; reserves beside it p50 %s, p99 %s, max %s, alone p50 %s, p99 %s, max %s", name,
		claimed.run.Answered, claimed.run.Overloaded, millis(claimed.run.Latencies.Percentile(500)), millis(claimed.run.Latencies.Percentile(990)), millis(claimed.run.Latencies.Max()),
		millis(beside.Latencies.Percentile(500)), millis(beside.Latencies.Percentile(990)), millis(beside.Latencies.Max()),
		millis(alone.Latencies.Percentile(500)), millis(alone.Latencies.Percentile(990)), millis(alone.Latencies.Max()))
	return nil
}
