package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"huanxin/internal/drill/faultline"
	simulated "huanxin/internal/simulator/load"
)

// lines are the connections of a site that go through lines which can be made to misbehave.
type lines struct {
	card, wallet, tills *faultline.Line
}

func newLines(p Ports) (l *lines, err error) {
	l = &lines{}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	for _, one := range []struct {
		line **faultline.Line
		to   string
	}{{&l.card, p.Host}, {&l.wallet, p.Wallet}, {&l.tills, p.CUP}} {
		if *one.line, err = faultline.New("tcp", one.to); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l *lines) close() error {
	var errs []error
	for _, line := range []*faultline.Line{l.card, l.wallet, l.tills} {
		if line != nil {
			errs = append(errs, line.Close())
		}
	}
	return errors.Join(errs...)
}

// mood is one way in which lines misbehave for a while.
type mood struct {
	name  string
	falls func(*faultline.Line) error
	// lifts ends it; Heal always follows.
	lifts func(*faultline.Line)
	again bool // falls is repeated each second
}

func impose(faults ...faultline.Fault) func(*faultline.Line) error {
	return func(l *faultline.Line) error { return l.Impose(faults...) }
}

func act(do ...func(*faultline.Line)) func(*faultline.Line) error {
	return func(l *faultline.Line) error {
		for _, one := range do {
			one(l)
		}
		return nil
	}
}

// bothWays is a fault in each direction.
func bothWays(fault func(faultline.Stream) faultline.Fault) []faultline.Fault {
	return []faultline.Fault{fault(faultline.Out), fault(faultline.In)}
}

// moods are the faults of Link, each by itself.
func moods() []mood {
	delay := bothWays(func(s faultline.Stream) faultline.Fault {
		return faultline.Delay(s, time.Second, 900*time.Millisecond)
	})
	slices := bothWays(func(s faultline.Stream) faultline.Fault { return faultline.Slice(s, 48, 2*time.Millisecond) })
	narrow := bothWays(func(s faultline.Stream) faultline.Fault { return faultline.Narrow(s, 2) })
	late := bothWays(func(s faultline.Stream) faultline.Fault { return faultline.HangUpLate(s, 3*time.Second) })
	return []mood{
		{name: "latency and jitter", falls: impose(delay...)},
		{name: "frames in slices", falls: impose(slices...)},
		{name: "2 kB a second", falls: impose(narrow...)},
		{name: "resets in the middle of work", falls: act((*faultline.Line).Break), again: true},
		{name: "resets of new connections", falls: func(l *faultline.Line) error {
			err := l.Impose(faultline.ResetSome(faultline.In, 0.5, 200*time.Millisecond))
			l.Break()
			return err
		}},
		{name: "slow close", falls: func(l *faultline.Line) error {
			err := l.Impose(late...)
			l.Break()
			return err
		}},
		{name: "half-open, nothing passes", falls: impose(faultline.Swallow(faultline.Out), faultline.Swallow(faultline.In))},
		{name: "half-open, answers are swallowed", falls: impose(faultline.Swallow(faultline.In))},
		{name: "stranded connections", falls: act((*faultline.Line).Strand)},
		{name: "gone", falls: act((*faultline.Line).Cut), lifts: (*faultline.Line).Mend},
	}
}

// How long a line is in one mood, and sound afterwards: longer than a request is waited for, and than a silent connection is
// believed in.
const (
	moodLasts  = 5 * time.Second
	soundLasts = 2 * time.Second
)

// impatient makes the switch find a silent card network within seconds, as an operator would have it in minutes.
var impatient = []string{"HUANXIN_HOSTS_UNIONPAY_ECHO=1s", "HUANXIN_HOSTS_UNIONPAY_ECHO_TIMEOUT=2s", "HUANXIN_HOSTS_WALLET_ECHO=1s"}

// Link has the lines to card network, wallet and terminals misbehave in each way, one after the other, and then in several ways at
// once, under load.
func (a *Arena) Link(ctx context.Context) (err error) {
	site, err := a.prepare("link", impatient...)
	if err != nil {
		return err
	}
	l, err := newLines(site.Ports)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop(), l.close()) }()
	site.Settings = append(site.Settings,
		"HUANXIN_HOSTS_UNIONPAY_ADDRESSES="+l.card.Address(), "HUANXIN_HOSTS_WALLET_URL=http://"+l.wallet.Address())
	for _, start := range []func() error{
		func() error { return site.StartHost(ctx) }, func() error { return site.StartWallet(ctx) }, func() error { return site.StartServe(ctx) },
	} {
		if err := start(); err != nil {
			return err
		}
	}
	dice := a.dice(11)
	plan := Plan{Mix: wholeDay, Wallet: 2 * part, Unfriendly: impudence, Through: l.tills.Address()}
	return a.trouble(ctx, site, "link", plan, upset, func() error {
		before, err := site.linkFigures(ctx)
		if err != nil {
			return err
		}
		for _, m := range moods() {
			if err := m.play(ctx, l.card, l.wallet); err != nil {
				return err
			}
			after, err := site.linkFigures(ctx)
			if err != nil {
				return err
			}
			site.say("  %-32s %s", m.name, after.since(before))
			before = after
		}
		if err := mixed(ctx, l, dice); err != nil {
			return err
		}
		after, err := site.linkFigures(ctx)
		if err == nil {
			site.say("  %-32s %s", "all at once, terminals too", after.since(before))
		}
		return err
	})
}

// upset demands that the terminals have felt it: faults that nobody meets prove nothing.
func upset(report *simulated.Report) error {
	if len(report.Unexpected) == 0 {
		return errors.New("every answer was as usual, so the faults were none")
	}
	return nil
}

// play brings lines into the mood and out of it.
func (m mood) play(ctx context.Context, lines ...*faultline.Line) error {
	rounds := 1
	if m.again {
		rounds = int(moodLasts / time.Second)
	}
	for range rounds {
		for _, l := range lines {
			if err := m.falls(l); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
		if err := wait(ctx, moodLasts/time.Duration(rounds)); err != nil {
			return err
		}
	}
	for _, l := range lines {
		if m.lifts != nil {
			m.lifts(l)
		}
		if err := l.Heal(ctx); err != nil {
			return fmt.Errorf("after %s: %w", m.name, err)
		}
	}
	return wait(ctx, soundLasts)
}

// mixed has all lines slow and cut in slices, and every half second one of them is broken, stranded or gone for a moment.
func mixed(ctx context.Context, l *lines, dice *rand.Rand) error {
	all := []*faultline.Line{l.card, l.wallet, l.tills}
	for _, line := range all {
		for _, s := range []faultline.Stream{faultline.Out, faultline.In} {
			if err := line.Impose(faultline.Delay(s, 100*time.Millisecond, 100*time.Millisecond), faultline.Slice(s, 64, time.Millisecond),
				faultline.HangUpLate(s, time.Second)); err != nil {
				return err
			}
		}
	}
	for range 2 * int(2*moodLasts/time.Second) {
		line := all[dice.IntN(len(all))]
		switch dice.IntN(3) {
		case 0:
			line.Break()
		case 1:
			line.Strand()
		case 2:
			line.Cut()
		}
		if err := wait(ctx, 500*time.Millisecond); err != nil {
			return err
		}
		line.Mend()
	}
	for _, line := range all {
		if err := line.Heal(ctx); err != nil {
			return err
		}
	}
	return wait(ctx, soundLasts)
}

// linkFigures are what the link to the card network has been through.
type linkFigures struct {
	connects, late, lost float64
	journal              float64
}

func (s *Site) linkFigures(ctx context.Context) (f linkFigures, err error) {
	for _, one := range []struct {
		value  *float64
		name   string
		labels []string
	}{
		{&f.connects, "huanxin_host_connects_total", []string{"host", "unionpay", "result", "up"}},
		{&f.late, "huanxin_host_answers_total", []string{"host", "unionpay", "kind", "sale", "verdict", "late"}},
		{&f.lost, "huanxin_host_requests_total", []string{"fate", "down", "host", "unionpay", "kind", "sale"}},
		{&f.journal, "huanxin_journal_position", nil},
	} {
		v, err := s.Counter(ctx, one.name, one.labels...)
		if err != nil {
			return f, err
		}
		*one.value = v
	}
	return f, nil
}

func (f linkFigures) since(before linkFigures) string {
	return fmt.Sprintf("%3.0f reconnects, %4.0f sales unsent, %4.0f answers late, %5.0f journal batches",
		f.connects-before.connects, f.lost-before.lost, f.late-before.late, f.journal-before.journal)
}
