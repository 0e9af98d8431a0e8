package drill

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"huanxin/internal/process"
)

// frozenTime is how long a process is stopped: longer than a host is waited for and than half a hold lives.
const frozenTime = 10 * time.Second

// Frozen stops the switch, the hosts and then everything for ten seconds at a time (SIGSTOP), under load: for whoever goes on, time has
// jumped. While the switch is stopped another one tries to take its journal over, and must not get it.
func (a *Arena) Frozen(ctx context.Context) (err error) {
	site, err := a.frightened(ctx, "frozen", 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop()) }()
	plan := Plan{Mix: wholeDay, Wallet: part, Unfriendly: impudence}
	return a.trouble(ctx, site, "frozen", plan, upset, func() error {
		for _, one := range []struct {
			name      string
			processes []**process.Process // the switch may be another one by then
			meanwhile func() error
		}{
			{"the switch", []**process.Process{&site.Serve}, func() error { return site.usurped(ctx) }},
			{"the card network", []**process.Process{&site.Host}, nil},
			{"the wallet", []**process.Process{&site.Wallet}, nil},
			{"both hosts", []**process.Process{&site.Host, &site.Wallet}, nil},
			{"the switch and its hosts", []**process.Process{&site.Serve, &site.Host, &site.Wallet}, nil},
			{"the switch, once more", []**process.Process{&site.Serve}, nil},
		} {
			before, err := ReadBook(site.journalDir())
			if err != nil {
				return err
			}
			if err := frozen(ctx, one.processes, one.meanwhile); err != nil {
				return fmt.Errorf("%s stopped: %w", one.name, err)
			}
			if err := wait(ctx, outageLead); err != nil {
				return err
			}
			if err := site.revived(ctx); err != nil {
				return err
			}
			after, err := ReadBook(site.journalDir())
			if err != nil {
				return err
			}
			site.say("  %v without %-26s %5d events since, %4d reversals", frozenTime, one.name,
				after.Events-before.Events, len(after.Reversals)-len(before.Reversals))
		}
		return nil
	})
}

// revived starts the switch again when it has ended itself, which it may for one reason: it was stopped in the middle of an append, and
// cannot tell that from a disk that took too long (journal.append-timeout).
func (s *Site) revived(ctx context.Context) error {
	select {
	case <-s.Serve.Done():
	default:
		return nil
	}
	if tail := s.Serve.Tail(12); !strings.Contains(tail, "append failed: the disk took") {
		return fmt.Errorf("the switch ended; the end of %s:\n%s", s.Serve.Log(), tail)
	}
	s.Serve.Kill() // it is gone already: its files go too
	s.say("  the switch was stopped in the middle of an append, ended itself for that, and is started again")
	return s.StartServe(ctx)
}

// frozen stops processes, and lets them go on whatever happens meanwhile.
func frozen(ctx context.Context, list []**process.Process, meanwhile func() error) (err error) {
	defer func() {
		for _, p := range list {
			err = errors.Join(err, (*p).Signal(syscall.SIGCONT))
		}
	}()
	for _, p := range list {
		if err := (*p).Signal(syscall.SIGSTOP); err != nil {
			return err
		}
	}
	began := time.Now()
	if meanwhile != nil {
		if err := meanwhile(); err != nil {
			return err
		}
	}
	return wait(ctx, frozenTime-time.Since(began))
}

// usurped starts a second switch on the same journal and demands that it is refused for just that reason.
func (s *Site) usurped(ctx context.Context) error {
	other, err := FreePorts()
	if err != nil {
		return err
	}
	second := *s
	second.Ports = Ports{
		CUP: other.CUP, NAC: other.NAC, HTTP: other.HTTP, Secure: other.Secure, SM: other.SM, Host: s.Ports.Host, Wallet: s.Ports.Wallet,
	}
	second.Settings = append(s.Settings[:len(s.Settings):len(s.Settings)], "HUANXIN_CONTROL_SOCKET="+filepath.Join(s.Dir, "second.sock"))
	p, err := process.Start(s.Dir, "second", s.program("huanxin"), []string{"serve", "--programme", s.Programme}, second.environment())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("a second switch neither starts nor ends: %w; see %s", ctx.Err(), p.Log())
	}
	err = p.Finish(stopLimit)
	switch {
	case err == nil:
		return fmt.Errorf("a second switch served the same journal; see %s", p.Log())
	case !strings.Contains(err.Error(), "journal is in use by another process"):
		return fmt.Errorf("a second switch ended, but not for the journal's lock: %w", err)
	}
	s.say("  a second switch on the same journal was refused")
	return nil
}

// Storm kills the switch again and again before it has come to rest: at its first start, while it makes its database, recovers,
// takes a snapshot or catches up, under load.
func (a *Arena) Storm(ctx context.Context) (err error) {
	site, err := a.prepare("storm", "HUANXIN_SNAPSHOT_EVERY=1s", "HUANXIN_SNAPSHOT_EVENTS=1000")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop()) }()
	if err := a.unfriendlyHost(ctx, site); err != nil {
		return err
	}
	if err := a.unfriendlyWallet(ctx, site, unfriendly); err != nil {
		return err
	}
	dice := a.dice(12)
	if err := site.gusts(ctx, firstGusts, func() time.Duration { return time.Duration(dice.Int64N(int64(2 * time.Second))) }); err != nil {
		return err
	}
	site.say("  killed %d times before it had ever served", firstGusts)
	if err := site.StartServe(ctx); err != nil {
		return err
	}
	return a.trouble(ctx, site, "storm", Plan{Mix: wholeDay, Wallet: part, Unfriendly: impudence}, upset, func() error {
		for round := 1; round <= stormRounds; round++ {
			site.Serve.Kill()
			if err := site.gusts(ctx, stormGusts, func() time.Duration { return time.Duration(dice.Int64N(int64(3 * time.Second))) }); err != nil {
				return err
			}
			if err := site.StartServe(ctx); err != nil {
				return err
			}
			if err := wait(ctx, killRound); err != nil {
				return err
			}
			snapshots, err := filepath.Glob(filepath.Join(site.journalDir(), "snapshots", "*"))
			if err != nil {
				return err
			}
			site.say("  storm %d of %d: %d kills within seconds; %d files of snapshots", round, stormRounds, stormGusts+1, len(snapshots))
		}
		return nil
	})
}

// How many starts are killed before the first one that is let be, and in each storm.
const (
	firstGusts  = 6
	stormRounds = 2
	stormGusts  = 11
)

// gusts starts the switch and kills it after a moment, again and again.
func (s *Site) gusts(ctx context.Context, n int, moment func() time.Duration) error {
	for range n {
		if err := s.launch(); err != nil {
			return err
		}
		if err := wait(ctx, moment()); err != nil {
			return err
		}
		select {
		case <-s.Serve.Done(): // nobody has killed it
			return fmt.Errorf("the switch ended by itself; the end of %s:\n%s", s.Serve.Log(), s.Serve.Tail(12))
		default:
			s.Serve.Kill()
		}
	}
	return nil
}
