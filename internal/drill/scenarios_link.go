package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"huanxin/internal/drill/faultline"
	"huanxin/internal/scrape"
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
	// meanwhile, where it is there, must become true of the card network's line while the mood lasts.
	meanwhile func(*faultline.Line) error
	// felt says what is missing of what the mood must have done to the switch, from the figures before it.
	felt func(since linkFigures) error
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
	lateEnd := bothWays(func(s faultline.Stream) faultline.Fault { return faultline.HangUpLate(s, 3*time.Second) })
	return []mood{
		{name: "latency and jitter", falls: impose(delay...), felt: all(late, timedOut, walletSilent)},
		{name: "frames in slices", falls: impose(slices...), felt: all(inPieces, answered)},
		{name: "2 kB a second", falls: impose(narrow...), felt: timedOut},
		{name: "resets in the middle of work", falls: act((*faultline.Line).Break), again: true, felt: all(reconnected, answered)},
		{name: "resets of new connections", falls: func(l *faultline.Line) error {
			err := l.Impose(faultline.ResetSome(faultline.In, 1, 200*time.Millisecond))
			l.Break()
			return err
		}, felt: all(refused, unsent, reconnected, walletSilent)},
		{name: "slow close", falls: func(l *faultline.Line) error {
			err := l.Impose(lateEnd...)
			l.Break()
			return err
		}, meanwhile: farBelieves, felt: reconnected},
		{name: "half-open, nothing passes", falls: impose(faultline.Swallow(faultline.Out), faultline.Swallow(faultline.In)),
			felt: all(timedOut, reconnected, walletSilent)},
		{name: "half-open, answers are swallowed", falls: impose(faultline.Swallow(faultline.In)), felt: all(timedOut, reconnected, walletSilent)},
		{name: "stranded connections", falls: act((*faultline.Line).Strand), felt: all(timedOut, reconnected)},
		{name: "gone", falls: act((*faultline.Line).Cut), lifts: (*faultline.Line).Mend, felt: all(refused, unsent, reconnected, walletSilent)},
	}
}

// all are several things that must have been felt.
func all(list ...func(linkFigures) error) func(linkFigures) error {
	return func(f linkFigures) error {
		var errs []error
		for _, one := range list {
			errs = append(errs, one(f))
		}
		return errors.Join(errs...)
	}
}

func some(n float64, what string) error {
	if n > 0 {
		return nil
	}
	return errors.New("no " + what)
}

// What a mood must have done, by the switch's own counters and its journal.
func late(f linkFigures) error     { return some(f.late, "answer of the card network came late") }
func answered(f linkFigures) error { return some(f.answered, "sale was answered by the card network") }
func timedOut(f linkFigures) error {
	return some(f.timedOut, "sale was reversed because the card network was silent")
}
func reconnected(f linkFigures) error { return some(f.connects, "new connection to the card network") }
func refused(f linkFigures) error {
	return some(f.refused, "attempt to connect to the card network failed")
}
func unsent(f linkFigures) error { return some(f.unsent, "sale was refused because the link was down") }
func walletSilent(f linkFigures) error {
	return some(f.walletSilent, "request to the wallet was without an answer")
}

// inPieces: what comes from the card network is shorter than its shortest answer.
func inPieces(f linkFigures) error {
	if f.pieces == 0 || f.bytes/f.pieces > shortFrame {
		return fmt.Errorf("%.0f bytes came in %.0f pieces", f.bytes, f.pieces)
	}
	return nil
}

// shortFrame is less than an answer of the card network to a sale has in bytes, and more than a slice.
const shortFrame = 90

// farBelieves: the far end still believes in connections that the near end has given up.
func farBelieves(l *faultline.Line) error {
	if near, far := l.Held(); far <= near {
		return fmt.Errorf("the near end has %d connections, the far end %d", near, far)
	}
	return nil
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
	return a.trouble(ctx, site, "link", plan, tillsCutOff, func() error {
		for _, m := range moods() {
			if err := site.feels(ctx, l.card, m.name, m.felt, func() error { return m.play(ctx, l.card, l.wallet) }); err != nil {
				return err
			}
		}
		return site.feels(ctx, l.card, "all at once, terminals too", reconnected, func() error { return mixed(ctx, l, dice) })
	})
}

// feels lets a line misbehave and waits until the switch has felt it: what is counted may come a time-out later.
func (s *Site) feels(ctx context.Context, card *faultline.Line, name string, felt func(linkFigures) error, misbehave func() error) error {
	before, err := s.linkFigures(ctx, card)
	if err != nil {
		return err
	}
	if err := misbehave(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, feltLimit)
	defer cancel()
	return s.Serve.Await(ctx, "the switch to feel "+name, func(ctx context.Context) error {
		after, err := s.linkFigures(ctx, card)
		if err != nil {
			return err
		}
		since := after.since(before)
		err = felt(since)
		if err == nil {
			s.say("  %-32s %s", name, since)
		}
		return err
	})
}

// feltLimit bounds the wait for what a fault must have done.
const feltLimit = 30 * time.Second

// tillsCutOff demands that the terminals' own line was broken under them.
func tillsCutOff(report *simulated.Report) error {
	if report.Lost == 0 || report.Unanswered == 0 {
		return fmt.Errorf("terminals lost %d connections and %d answers: their line was sound", report.Lost, report.Unanswered)
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
		begun := time.Now()
		if m.meanwhile != nil {
			if err := m.seen(ctx, lines[0]); err != nil {
				return err
			}
		}
		if err := wait(ctx, moodLasts/time.Duration(rounds)-time.Since(begun)); err != nil {
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

// seen waits until what must be true of a line while the mood lasts is.
func (m mood) seen(ctx context.Context, l *faultline.Line) error {
	ctx, cancel := context.WithTimeout(ctx, feltLimit)
	defer cancel()
	for {
		err := m.meanwhile(l)
		if err == nil {
			return nil
		}
		if wait(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
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

// linkFigures are what the links to the hosts have been through.
type linkFigures struct {
	connects, refused      float64 // to the card network: signed on, and failed
	answered, late, unsent float64 // sales at the card network
	walletSilent           float64 // requests to the wallet, or questions whether it is there
	timedOut               float64 // reversals
	journal                float64 // batches
	pieces, bytes          float64 // from the card network
}

func (s *Site) linkFigures(ctx context.Context, card *faultline.Line) (f linkFigures, err error) {
	page, err := s.get(ctx, "/metrics")
	if err != nil {
		return f, err
	}
	for _, one := range []struct {
		value  *float64
		name   string
		labels []string
	}{
		{&f.connects, "huanxin_host_connects_total", []string{"host", "unionpay", "result", "up"}},
		{&f.refused, "huanxin_host_connects_total", []string{"host", "unionpay", "result", "dial"}},
		{&f.refused, "huanxin_host_connects_total", []string{"host", "unionpay", "result", "signon"}},
		{&f.answered, "huanxin_host_answers_total", []string{"host", "unionpay", "kind", "sale", "verdict", "in_time"}},
		{&f.late, "huanxin_host_answers_total", []string{"host", "unionpay", "verdict", "late"}},
		{&f.unsent, "huanxin_host_requests_total", []string{"fate", "down", "host", "unionpay"}},
		{&f.walletSilent, "huanxin_wallet_answers_total", []string{"host", "wallet", "result", "silent"}},
		{&f.walletSilent, "huanxin_wallet_probes_total", []string{"host", "wallet", "result", "silent"}},
		{&f.walletSilent, "huanxin_wallet_probes_total", []string{"host", "wallet", "result", "dial"}},
		{&f.walletSilent, "huanxin_wallet_requests_total", []string{"fate", "dial", "host", "wallet"}},
		{&f.journal, "huanxin_journal_position", nil},
	} {
		v, err := scrape.Sum(page, one.name, one.labels...)
		if err != nil {
			return f, err
		}
		*one.value += v
	}
	book, err := s.book()
	if err != nil {
		return f, err
	}
	f.timedOut = float64(book.Seen.TimedOut)
	pieces, bytes := card.Heard()
	f.pieces, f.bytes = float64(pieces), float64(bytes)
	return f, nil
}

func (f linkFigures) since(b linkFigures) linkFigures {
	return linkFigures{
		f.connects - b.connects, f.refused - b.refused, f.answered - b.answered, f.late - b.late, f.unsent - b.unsent,
		f.walletSilent - b.walletSilent, f.timedOut - b.timedOut, f.journal - b.journal, f.pieces - b.pieces, f.bytes - b.bytes,
	}
}

func (f linkFigures) String() string {
	return fmt.Sprintf("%2.0f reconnects, %2.0f failed, sales: %4.0f in time, %3.0f late, %3.0f unsent, %3.0f reversed for silence; wallet: %3.0f without an answer",
		f.connects, f.refused, f.answered, f.late, f.unsent, f.timedOut, f.walletSilent)
}
