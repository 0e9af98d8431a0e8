package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"huanxin/internal/process"
	simulated "huanxin/internal/simulator/load"
)

// The named points of KillPoints: the process ends itself when a batch that holds such an event has come so far.
var (
	crashStages = []string{"decided", "appended", "released"}
	crashEvents = []string{
		"SaleSent", "SaleApproved", "VoidSent", "VoidApproved", "VoidReleased", "RefundSent", "RefundApproved", "ReversalQueued",
		"ReversalDone", "BatchSettled", "PaymentUnknown", "RequestKept",
	}
)

// KillPoints lets the switch end itself at each named point under load: after a decision and before it is durable, when it
// is durable and nothing has left, and when everything has left.
func (a *Arena) KillPoints(ctx context.Context) (err error) {
	site, err := a.frightened(ctx, "kill-points", 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop()) }()
	dice := rand.New(rand.NewPCG(a.Seed, 10))
	total := &Verdict{Name: "kill-points"}
	settings := site.Settings
	for _, name := range crashEvents {
		var points []string
		for _, stage := range crashStages {
			points = append(points, fmt.Sprintf("%s %s %d", stage, name, 1+dice.IntN(3)))
		}
		v, err := a.killAt(ctx, site, settings, "load-"+name, points)
		if err != nil {
			return fmt.Errorf("kill-points, %s, seed %d: %w", name, a.Seed, err)
		}
		site.say("  %s: %s", strings.Join(points, ", "), v)
		total.add(v)
	}
	return a.concluded(ctx, site, total)
}

// crashRound is how long the terminals work while the switch ends itself at one point after the other, and crashLimit bounds
// the wait for a point to come.
const (
	crashRound = 3 * killRound
	crashLimit = time.Minute
)

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
	return a.killOnce(ctx, site, name, crashRound, func() error {
		for _, next := range points[1:] {
			if err := site.crashed(ctx); err != nil {
				return err
			}
			if err := start(next); err != nil {
				return err
			}
		}
		site.Settings = settings
		return site.crashed(ctx)
	})
}

// crashed waits until the switch has ended itself.
func (s *Site) crashed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, crashLimit)
	defer cancel()
	select {
	case <-s.Serve.Done():
		s.Serve.Kill() // it is gone already: its files go too
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the point never came: %w", ctx.Err())
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
	return a.outage(ctx, site, "wallet", Plan{Mix: paying, Wallet: 0.9}, a.Outage/12, false,
		func() error { site.Wallet.Kill(); return nil },
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
	site.say("  %s: %d messages answered, %d unanswered; mischief %v", name, report.Messages, report.Unanswered, mischief(report))
	if err := check(report); err != nil {
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
