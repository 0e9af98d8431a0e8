package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"huanxin/internal/process"
	simulated "huanxin/internal/simulator/load"
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
	return a.trouble(ctx, site, "frozen", plan, anything, func() error {
		timedOut := func(b *Book) int { return b.Seen.TimedOut }
		unknown := func(b *Book) int { return b.Seen.Unknown }
		for _, f := range []freeze{
			{name: "the switch", processes: []**process.Process{&site.Serve}, meanwhile: func() error { return site.usurped(ctx) }},
			{name: "the card network", processes: []**process.Process{&site.Host}, grows: timedOut},
			{name: "the wallet", processes: []**process.Process{&site.Wallet}, grows: unknown},
			{name: "both hosts", processes: []**process.Process{&site.Host, &site.Wallet},
				grows: func(b *Book) int { return min(timedOut(b), unknown(b)) }},
			{name: "the switch and its hosts", processes: []**process.Process{&site.Serve, &site.Host, &site.Wallet}},
			{name: "the switch, once more", processes: []**process.Process{&site.Serve}},
		} {
			if err := site.without(ctx, f); err != nil {
				return fmt.Errorf("%s stopped: %w", f.name, err)
			}
		}
		return nil
	})
}

// freeze is who stands still for a while.
type freeze struct {
	name      string
	processes []**process.Process // the switch may be another one by then
	meanwhile func() error
	grows     func(*Book) int // what must be more afterwards, where the switch has gone on alone
}

// holdsSwitch reports whether the switch is among those that stand still.
func (f *freeze) holdsSwitch(s *Site) bool { return slices.Contains(f.processes, &s.Serve) }

// without stops some of the programs for a while. A switch that was stopped must have written nothing meanwhile, and must then go on by
// itself or have ended itself for the one reason that it may have; one that was not must have felt that its hosts were silent.
func (s *Site) without(ctx context.Context, f freeze) error {
	before, err := s.book()
	if err != nil {
		return err
	}
	still := before
	err = frozen(ctx, f.processes, f.meanwhile, func() error {
		if !f.holdsSwitch(s) {
			return nil
		}
		now, err := s.book()
		if err == nil && still != before && now.Events != still.Events {
			err = fmt.Errorf("a switch that stood still wrote %d events", now.Events-still.Events)
		}
		still = now
		return err
	})
	if err != nil {
		return err
	}
	if err := wait(ctx, outageLead); err != nil {
		return err
	}
	again, err := s.revived(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, feltLimit)
	defer cancel()
	return s.Serve.Await(ctx, "the end of the standstill to be felt", func(context.Context) error {
		after, err := s.book()
		switch {
		case err != nil:
			return err
		case len(after.Sales) == len(before.Sales) || f.holdsSwitch(s) && after.Events == still.Events:
			return errors.New("no sale since")
		case f.grows != nil && f.grows(after) == f.grows(before):
			return errors.New("nobody missed the hosts")
		case again != (after.Seen.Owners > before.Seen.Owners):
			return fmt.Errorf("the journal had %d owners and has %d", before.Seen.Owners, after.Seen.Owners)
		}
		s.say("  %v without %-26s %5d events since, %3d sales and %3d payments not answered in time", frozenTime, f.name,
			after.Events-before.Events, after.Seen.TimedOut-before.Seen.TimedOut, after.Seen.Unknown-before.Seen.Unknown)
		return nil
	})
}

// anything takes every answer: what must have been felt is looked for elsewhere.
func anything(*simulated.Report) error { return nil }

// revived starts the switch again when it has ended itself, which it may for one reason: it was stopped in the middle of an append, and
// cannot tell that from a disk that took too long (journal.append-timeout). It reports whether it had.
func (s *Site) revived(ctx context.Context) (again bool, err error) {
	select {
	case <-s.Serve.Done():
	default:
		return false, nil
	}
	if err := s.Serve.Finish(stopLimit); !gaveUp(err) || !strings.Contains(s.Serve.Tail(12), "append failed: the disk took") {
		return false, fmt.Errorf("the switch ended (%v); the end of %s:\n%s", err, s.Serve.Log(), s.Serve.Tail(12))
	}
	s.say("  the switch was stopped in the middle of an append, ended itself for that, and is started again")
	return true, s.StartServe(ctx)
}

// frozen stops processes, and lets them go on whatever happens meanwhile. look is called when all stand still, and before they go on.
func frozen(ctx context.Context, list []**process.Process, meanwhile, look func() error) (err error) {
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
	for _, p := range list {
		if err := standsStill(ctx, *p); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := look(); err != nil {
		return err
	}
	if meanwhile != nil {
		if err := meanwhile(); err != nil {
			return err
		}
	}
	if err := wait(ctx, frozenTime-time.Since(began)); err != nil {
		return err
	}
	for _, p := range list {
		if state, err := stateOf((*p).PID()); err != nil || state != "T" {
			return fmt.Errorf("%s did not stand still all the time: state %q %w", (*p).Name, state, err)
		}
	}
	return look()
}

// standsStill waits until a stop has come to all threads of a process.
func standsStill(ctx context.Context, p *process.Process) error {
	ctx, cancel := context.WithTimeout(ctx, feltLimit)
	defer cancel()
	return p.Await(ctx, p.Name+" to stand still", func(context.Context) error {
		state, err := stateOf(p.PID())
		if err == nil && state != "T" {
			err = fmt.Errorf("state %s", state)
		}
		return err
	})
}

// stateOf is the state of a process in the system's words: R, S, D, T …
func stateOf(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) == 0 {
		return "", fmt.Errorf("process %d has no state", pid)
	}
	return fields[0], nil
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
	for range firstGusts {
		if err := site.gust(ctx, time.Duration(dice.Int64N(int64(2*time.Second)))); err != nil {
			return err
		}
	}
	site.say("  killed %d times before it was ever let be", firstGusts)
	if err := site.StartServe(ctx); err != nil {
		return err
	}
	return a.trouble(ctx, site, "storm", Plan{Mix: wholeDay, Wallet: part, Unfriendly: impudence}, anything, func() error {
		for round := 1; round <= stormRounds; round++ {
			if err := site.storm(ctx, round, func(most time.Duration) time.Duration { return time.Duration(dice.Int64N(int64(most))) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// How many starts are killed before the first one that is let be, and in each storm of each kind.
const (
	firstGusts  = 6
	stormRounds = 2
	stormGusts  = 4
)

// storm kills the switch at random moments of its start, when it has just got hold of its journal, and when it has just taken it over;
// then it lets it be. Terminals must have sold meanwhile.
func (s *Site) storm(ctx context.Context, round int, moment func(most time.Duration) time.Duration) error {
	before, err := s.book()
	if err != nil {
		return err
	}
	if err := kill(s.Serve); err != nil {
		return err
	}
	recovering := 0
	for range stormGusts {
		if err := s.gust(ctx, moment(3*time.Second)); err != nil {
			return err
		}
		early, err := s.gustAt(ctx, "hold its journal", s.holdsJournal, 0)
		if err != nil {
			return err
		}
		if early {
			recovering++
		}
		owners, err := s.owners()
		if err != nil {
			return err
		}
		if early, err = s.gustAt(ctx, "take its journal over", s.owned(owners+1), moment(killRound/2)); err != nil {
			return err
		}
		if early {
			return errors.New("a switch that had taken its journal over has left no trace of it")
		}
	}
	if err := s.StartServe(ctx); err != nil {
		return err
	}
	if err := wait(ctx, killRound); err != nil {
		return err
	}
	after, err := s.book()
	if err != nil {
		return err
	}
	snapshots, err := filepath.Glob(filepath.Join(s.journalDir(), "snapshots", "*.snap"))
	if err != nil {
		return err
	}
	sold, owners, cut := len(after.Sales)-len(before.Sales), after.Seen.Owners-before.Seen.Owners, after.Seen.Restarted-before.Seen.Restarted
	s.say("  storm %d of %d: %d kills, %d of them in a recovery; %d take-overs, %d sales, %d payments cut off; %d snapshots",
		round, stormRounds, 3*stormGusts+1, recovering, owners, sold, cut, len(snapshots))
	if recovering == 0 || owners <= stormGusts || sold == 0 || cut == 0 || len(snapshots) == 0 {
		return errors.New("that was no storm")
	}
	return nil
}

// gust starts the switch and kills it after a moment.
func (s *Site) gust(ctx context.Context, moment time.Duration) error {
	if err := s.launch(); err != nil {
		return err
	}
	if err := wait(ctx, moment); err != nil {
		return err
	}
	return kill(s.Serve)
}

// gustAt starts the switch, waits until it has come to a place and for a moment more, and kills it. It reports whether that came before
// it had taken its journal over.
func (s *Site) gustAt(ctx context.Context, place string, there func(context.Context) error, moment time.Duration) (early bool, err error) {
	before, err := s.owners()
	if err != nil {
		return false, err
	}
	if err := s.launch(); err != nil {
		return false, err
	}
	limit, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for err := there(limit); err != nil; err = there(limit) {
		select {
		case <-s.Serve.Done():
			return false, fmt.Errorf("%w: %s; the end of %s:\n%s", process.ErrEnded, s.Serve.Name, s.Serve.Log(), s.Serve.Tail(12))
		default:
		}
		if wait(limit, time.Millisecond) != nil {
			return false, fmt.Errorf("the switch does not %s: %w", place, err)
		}
	}
	if err := wait(ctx, moment); err != nil {
		return false, err
	}
	if err := kill(s.Serve); err != nil {
		return false, err
	}
	after, err := s.owners()
	return after == before, err
}

// holdsJournal: the journal's lock names the switch.
func (s *Site) holdsJournal(context.Context) error {
	text, err := os.ReadFile(filepath.Join(s.journalDir(), "lock"))
	if err == nil && string(text) != strconv.Itoa(s.Serve.PID()) {
		err = fmt.Errorf("held by process %s", text)
	}
	return err
}

// owned: the journal has had so many owners.
func (s *Site) owned(n int) func(context.Context) error {
	return func(context.Context) error {
		now, err := s.owners()
		if err == nil && now < n {
			err = fmt.Errorf("%d owners so far", now)
		}
		return err
	}
}

// owners is how many processes have taken the journal over so far.
func (s *Site) owners() (int, error) {
	book, err := s.book()
	if err != nil {
		return 0, err
	}
	return book.Seen.Owners, nil
}
