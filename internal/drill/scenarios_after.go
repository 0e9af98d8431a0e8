package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"huanxin/internal/process"
	simulated "huanxin/internal/simulator/load"
)

// The named points of KillPoints: the process ends itself when a batch that holds such an event has come so far …
var (
	crashStages = []string{"decided", "appended", "released"}
	crashEvents = []string{
		"SaleSent", "SaleApproved", "VoidSent", "VoidApproved", "VoidReleased", "RefundSent", "RefundApproved", "ReversalQueued",
		"ReversalAttempted", "ReversalDone", "BatchSettled", "PaymentUnknown", "QueryAttempted", "RequestKept",
	}
)

// … or when its work comes to such a place beside the batches. They are in groups that one load is played for. A segment is
// filled once in a while only: the first time when the journal has a megabyte.
var crashPlaces = [][]string{
	{"segment-filling", "journal-written", "journal-synced", "recovered"},
	{"snapshot-written", "snapshot-synced", "snapshot-named", "rows-written", "rows-committed"},
	{"host-half-written", "host-written", "wallet-sending", "wallet-answered"},
}

// KillPoints lets the switch end itself at each named point under load: after a decision and before it is durable, when it
// is durable and nothing has left, and when everything has left; while it writes journal, segments, snapshots and rows, speaks to
// hosts, or has just recovered.
func (a *Arena) KillPoints(ctx context.Context) (err error) {
	site, err := a.prepare("kill-points", "HUANXIN_SNAPSHOT_EVERY=1s")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop()) }()
	if err := a.frighten(ctx, site); err != nil {
		return err
	}
	total := &Verdict{Name: "kill-points"}
	settings := site.Settings
	for i, points := range a.crashPoints() {
		v, err := a.killAt(ctx, site, settings, fmt.Sprintf("load-%02d", i+1), points)
		if err != nil {
			return fmt.Errorf("kill-points, %s, seed %d: %w", strings.Join(points, ", "), a.Seed, err)
		}
		site.say("  %s: %s", strings.Join(points, ", "), v)
		total.add(v)
	}
	return a.concluded(ctx, site, total)
}

// crashPoints are the points in the order and the groups in which they are played: places first, then two events at a time.
func (a *Arena) crashPoints() (groups [][]string) {
	dice := a.dice(10)
	for _, places := range crashPlaces {
		var points []string
		for _, place := range places {
			count := 1 + dice.IntN(3)
			if place == "recovered" {
				count = 1 // it happens once in a process
			}
			points = append(points, fmt.Sprintf("%s %d", place, count))
		}
		groups = append(groups, points)
	}
	for events := range slices.Chunk(crashEvents, 2) {
		var points []string
		for _, name := range events {
			for _, stage := range crashStages {
				points = append(points, fmt.Sprintf("%s %s %d", stage, name, 1+dice.IntN(3)))
			}
		}
		groups = append(groups, points)
	}
	return groups
}

// crashLimit bounds the wait for a point to come.
const crashLimit = 4 * time.Minute

// killAt starts the switch so that it will end itself at the first point, when it has so that it will at the next, and in
// the end without any, all under the same load.
func (a *Arena) killAt(ctx context.Context, site *Site, settings []string, name string, points []string) (*Verdict, error) {
	if err := site.Serve.Stop(stopLimit); err != nil {
		return nil, err
	}
	start := func(point string) error {
		site.Settings = append(settings[:len(settings):len(settings)], "HUANXIN_DRILL_CRASH_AT="+point)
		if err := site.StartServe(ctx); !errors.Is(err, process.ErrEnded) { // under load the point may come before it is ready
			return err
		}
		return nil
	}
	if err := start(points[0]); err != nil {
		return nil, err
	}
	return a.killOnce(ctx, site, name, func() error {
		for i, point := range points {
			if err := site.crashed(ctx); err != nil {
				return fmt.Errorf("%s: %w", point, err)
			}
			if i+1 == len(points) {
				break
			}
			if err := start(points[i+1]); err != nil {
				return err
			}
		}
		site.Settings = settings
		return nil
	})
}

// crashed waits until the switch has ended itself at its point: another death – a panic, a fatal error, a kill from outside – is a finding.
func (s *Site) crashed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, crashLimit)
	defer cancel()
	select {
	case <-s.Serve.Done():
		if err := s.Serve.Finish(stopLimit); !killed(err) || !strings.Contains(s.Serve.Tail(12), "drill: the point has come") {
			return fmt.Errorf("the switch ended, but not at the point (%v); the end of %s:\n%s", err, s.Serve.Log(), s.Serve.Tail(12))
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the point never came: %w; see %s", ctx.Err(), s.Serve.Log())
	}
}

// AfterTheSale lets unfriendly terminals void, refund, reverse and settle at unfriendly hosts. Some sales the network never
// answers, nor their reversals: its clearing day ends when the terminals have finished, and these become dead letters.
func (a *Arena) AfterTheSale(ctx context.Context) (err error) {
	site, err := a.frightened(ctx, "after-the-sale", busyTime+afterBusyTime)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop()) }()
	plan := Plan{Mix: afterSale, Wallet: part, Unfriendly: 0.2, Stuck: 0.01}
	return a.work(ctx, site, "after-the-sale", plan, func(r *simulated.Report) error {
		return played(r, simulated.Void, simulated.Refund, simulated.Reversal, simulated.Settle, simulated.Preauth, simulated.GiveBack)
	})
}

// WalletTroubles has payments that wait for a password, end late or never, and notifications that are late, lost and doubled.
func (a *Arena) WalletTroubles(ctx context.Context) (err error) {
	site, err := a.prepare("wallet")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop()) }()
	for _, start := range []func() error{
		func() error { return site.StartHost(ctx) },
		func() error { return a.unfriendlyWallet(ctx, site, "0.4") },
		func() error { return site.StartServe(ctx) },
	} {
		if err := start(); err != nil {
			return err
		}
	}
	// In the middle of it the wallet is restarted: its payers go on typing.
	return a.outage(ctx, site, "wallet", Plan{Mix: paying, Wallet: 0.9}, a.Outage/6, false,
		func() error { return kill(site.Wallet) },
		func() error { return a.unfriendlyWallet(ctx, site, "0.4") })
}

// Settlement has terminals that close one short batch after the other, at friendly hosts: all totals must agree but those
// that were wrong on purpose.
func (a *Arena) Settlement(ctx context.Context) (err error) {
	site, err := a.prepare("settlement")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop()) }()
	if err := site.StartHost(ctx); err != nil {
		return err
	}
	if err := site.StartServe(ctx); err != nil {
		return err
	}
	return a.work(ctx, site, "settlement", Plan{Mix: closing, Wallet: part}, func(r *simulated.Report) error {
		return errors.Join(asUsual(r), played(r, simulated.Settle, simulated.Upload, simulated.Void, simulated.Refund, simulated.Preauth))
	})
}

// busyTime is how long terminals work in a scenario in which nothing is taken away; afterBusyTime is enough for a start
// before it and for what they finish after it.
const (
	busyTime      = 30 * time.Second
	afterBusyTime = 20 * time.Second
)

// work lets terminals work for a while, checks what they met, and compares.
func (a *Arena) work(ctx context.Context, site *Site, name string, plan Plan, check func(*simulated.Report) error) error {
	plan.Rate, plan.Seed, plan.Duration = a.Rate, a.Seed, busyTime
	load, err := site.StartLoad("load", plan)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	report, err := load.Wait()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	site.say("  %s: %d messages answered, %d unanswered, %d PINs approved; mischief %v", name, report.Messages, report.Unanswered, report.Typed, mischief(report))
	if err := errors.Join(check(report), keysHeld(report)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	answers, err := site.Answers(answersFile)
	if err != nil {
		return err
	}
	return a.audit(ctx, name, site, answers, nil)
}

func mischief(report *simulated.Report) map[string]uint64 {
	if kind := report.Kinds[simulated.Mischief]; kind != nil {
		return kind.Answer
	}
	return nil
}

// played demands that some of each kind were approved: a scenario in which nothing happened proves nothing.
func played(report *simulated.Report, kinds ...simulated.Kind) error {
	for _, kind := range kinds {
		done := uint64(0)
		if k := report.Kinds[kind]; k != nil {
			done = k.Answer["00"] + k.Answer["00 equal"] + k.Answer["200"]
		}
		if done == 0 {
			return fmt.Errorf("no %s was approved", kind)
		}
	}
	return nil
}
