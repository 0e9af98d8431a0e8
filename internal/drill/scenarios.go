package drill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"huanxin/internal/postgres"
	"huanxin/internal/process"
	simulated "huanxin/internal/simulator/load"
)

// The unfriendly network declines, answers late, twice or not at all, and hangs up; its late answers come after the
// switch has given up.
const unfriendly = "0.15"

func (a *Arena) unfriendlyHost(ctx context.Context, s *Site) error {
	return s.StartHost(ctx, "--unfriendly", unfriendly, "--late-by", "3s", "--seed", fmt.Sprint(a.Seed))
}

// unfriendlyWallet adds payers who type, walk away or give up, and notifications that are late, lost or come twice.
func (a *Arena) unfriendlyWallet(ctx context.Context, s *Site, how string) error {
	return s.StartWallet(ctx, "--unfriendly", how, "--late-by", "3s", "--password-by", "1s", "--seed", fmt.Sprint(a.Seed))
}

// frightened starts a site whose hosts are all unfriendly. cutOver, when it is not 0, is how soon after that the clearing day ends:
// what a machine needs for the start is added, once it is known, and the start repeated.
func (a *Arena) frightened(ctx context.Context, name string, cutOver time.Duration) (*Site, error) {
	site, err := a.prepare(name)
	if err != nil {
		return nil, err
	}
	for slack := time.Duration(0); ; {
		begun := time.Now()
		if cutOver > 0 {
			site.CutOver = timeOfDay(cutOverAt(begun.Add(slack + cutOver)))
		}
		if err := a.frighten(ctx, site); err != nil {
			return nil, errors.Join(err, site.Stop())
		}
		took := time.Since(begun)
		if cutOver == 0 || (took-slack).Abs() <= cutOver/4 {
			return site, nil
		}
		if err := site.Stop(); err != nil {
			return nil, err
		}
		slack = took
	}
}

// frighten starts a prepared site with unfriendly hosts.
func (a *Arena) frighten(ctx context.Context, site *Site) error {
	if err := a.unfriendlyHost(ctx, site); err != nil {
		return err
	}
	if err := a.unfriendlyWallet(ctx, site, unfriendly); err != nil {
		return err
	}
	return site.StartServe(ctx)
}

// part is what share of the payments goes to the wallet where nothing else is said, and impudence how often a terminal does
// what it should not.
const (
	part      = 0.2
	impudence = 0.05
)

// killRound is how long the terminals work before the switch is started again; the kill comes somewhere in it. afterKill is how
// long they work on.
const (
	killRound = 3 * time.Second
	afterKill = 2 * time.Second
)

// Kill9 kills the switch at random moments under load, restarts it while the terminals go on, and after each drain holds
// the books against each other.
func (a *Arena) Kill9(ctx context.Context) (err error) {
	site, err := a.frightened(ctx, "kill9", 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop()) }()
	dice := a.dice(9)
	total := &Verdict{Name: "kill9"}
	for round := 1; round <= a.Kills; round++ {
		moment := 200*time.Millisecond + time.Duration(dice.Int64N(int64(killRound-400*time.Millisecond)))
		v, err := a.killOnce(ctx, site, fmt.Sprintf("load-%02d", round), func() error {
			if err := wait(ctx, moment); err != nil {
				return err
			}
			return kill(site.Serve)
		})
		if err != nil {
			return fmt.Errorf("kill9, round %d, seed %d: %w", round, a.Seed, err)
		}
		site.say("  kill %2d of %d, after %4d ms: %s", round, a.Kills, moment.Milliseconds(), v)
		total.add(v)
	}
	return a.concluded(ctx, site, total)
}

// concluded waits for the last hold and gives the verdict.
func (a *Arena) concluded(ctx context.Context, site *Site, total *Verdict) error {
	answers, err := site.Answers(answersFile)
	if err != nil {
		return err
	}
	v, err := site.compare(ctx, total.Name, answers, nil, true)
	if err != nil {
		return fmt.Errorf("%s, after the last hold: %w", total.Name, err)
	}
	total.add(v)
	book, err := site.book()
	if err != nil {
		return err
	}
	site.say("  %d processes have owned the journal; %d payments were under way when one ended", book.Seen.Owners, book.Seen.Restarted)
	if book.Seen.Restarted == 0 {
		return fmt.Errorf("%s: no payment was under way when the switch ended: %w", total.Name, ErrFailed)
	}
	return errors.Join(site.checked(ctx), a.verdict(total))
}

// killOnce lets terminals work while kill ends the switch, starts it again, and compares when they have ended.
func (a *Arena) killOnce(ctx context.Context, site *Site, name string, kill func() error) (*Verdict, error) {
	load, err := site.StartLoad(name, Plan{
		Rate: a.Rate, Duration: troubleLimit, Seed: a.Seed, Mix: wholeDay, Wallet: part, Unfriendly: impudence,
	})
	if err != nil {
		return nil, err
	}
	if err := kill(); err != nil {
		return nil, errors.Join(err, load.stop())
	}
	if err := site.StartServe(ctx); err != nil {
		return nil, errors.Join(err, load.stop())
	}
	if err := wait(ctx, afterKill); err != nil {
		return nil, errors.Join(err, load.stop())
	}
	report, err := load.Finish()
	if err != nil {
		return nil, err
	}
	if err := keysHeld(report); err != nil {
		return nil, err
	}
	if sales := report.Kinds[simulated.Sale]; sales == nil || sales.Answer["00"] == 0 {
		return nil, fmt.Errorf("no subsidised purchase went through, so the round proves nothing; see %s", load.report)
	}
	answers, err := site.Answers(answersFile)
	if err != nil {
		return nil, err
	}
	return site.compare(ctx, name, answers, nil, false)
}

// outageLead is how long the terminals work before and after an outage.
const outageLead = 5 * time.Second

// PostgresDown stops PostgreSQL under load. Nobody may be refused because of it, and afterwards every row must be there.
func (a *Arena) PostgresDown(ctx context.Context) (err error) {
	site, err := a.prepare("postgres-down")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop(), site.database(context.WithoutCancel(ctx), "stop")) }()
	if err := site.databaseOutside(ctx); err != nil {
		return err
	}
	if err := site.StartHost(ctx); err != nil {
		return err
	}
	if err := site.StartServe(ctx); err != nil {
		return err
	}
	return a.outage(ctx, site, "postgres-down", Plan{Mix: wholeDay, Wallet: part}, a.Outage, true,
		func() error { return site.database(ctx, "stop") },
		func() error { return errors.Join(a.behind(ctx, site), site.database(ctx, "start")) })
}

// databaseOutside starts the site's database as an operator would: the switch neither starts nor stops it.
func (s *Site) databaseOutside(ctx context.Context) error {
	if err := s.database(ctx, "start"); err != nil {
		return err
	}
	url, err := postgres.PrivateURL(s.databaseDir())
	if err != nil {
		return err
	}
	s.Settings = append(s.Settings, "HUANXIN_DATABASE_URL="+url)
	return nil
}

// behind makes sure that the outage was one: the rows must have fallen behind the journal.
func (a *Arena) behind(ctx context.Context, site *Site) error {
	lag, err := site.Counter(ctx, "huanxin_projection_lag_batches")
	if err != nil {
		return err
	}
	if lag == 0 {
		return errors.New("PostgreSQL did not fall behind: it was not down, or nothing happened")
	}
	site.say("  PostgreSQL is %.0f journal batches behind when it comes back", lag)
	return nil
}

// HostDown takes the card network away under load. Sales fail meanwhile; nothing may be left behind. The network's clearing
// day ends while it is away.
func (a *Arena) HostDown(ctx context.Context) (err error) {
	site, err := a.frightened(ctx, "host-down", a.Outage/2)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop()) }()
	return a.outage(ctx, site, "host-down", Plan{Mix: wholeDay, Wallet: part, Unfriendly: impudence}, a.Outage/2, false,
		func() error { return kill(site.Host) },
		func() error { return a.unfriendlyHost(ctx, site) })
}

// outage lets terminals work, takes something away, gives it back, and compares. strict demands that no answer was other
// than it would have been.
func (a *Arena) outage(ctx context.Context, site *Site, name string, plan Plan, lasts time.Duration, strict bool,
	stop, restart func() error) error {
	check := func(*simulated.Report) error { return nil }
	if strict {
		check = asUsual
	}
	return a.trouble(ctx, site, name, plan, check, func() error {
		if err := stop(); err != nil {
			return err
		}
		if err := wait(ctx, lasts); err != nil {
			return err
		}
		return restart()
	})
}

// troubleLimit is longer than any trouble takes: the terminals are told when it is over.
const troubleLimit = 20 * time.Minute

// trouble lets terminals work while happens makes trouble and ends it, and for a while before and after; checks what they
// met, and compares.
func (a *Arena) trouble(ctx context.Context, site *Site, name string, plan Plan, check func(*simulated.Report) error, happens func() error) error {
	plan.Rate, plan.Seed, plan.Duration = a.Rate, a.Seed, troubleLimit
	load, err := site.StartLoad("load", plan)
	if err != nil {
		return err
	}
	began := time.Now()
	steps := []func() error{
		func() error { return wait(ctx, outageLead) }, happens,
		func() error { return wait(ctx, outageLead) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("%s: %w", name, errors.Join(err, load.stop()))
		}
	}
	report, err := load.Finish()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	site.say("  %s, %v of work: %d messages answered, %d unanswered, %d connections lost, %d kinds of unexpected answers, %d PINs approved",
		name, time.Since(began).Round(time.Second), report.Messages, report.Unanswered, report.Lost, len(report.Unexpected), report.Typed)
	if err := errors.Join(check(report), keysHeld(report), played(report, simulated.Sale, simulated.Ordinary)); err != nil {
		return fmt.Errorf("%s: %w; see %s", name, err, load.report)
	}
	answers, err := site.Answers(answersFile)
	if err != nil {
		return err
	}
	began = time.Now()
	db, err := site.openDatabase(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := site.awaitProjection(ctx, db); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	site.say("  PostgreSQL has everything %v after the load", time.Since(began).Round(time.Millisecond))
	return a.audit(ctx, name, site, answers, db)
}

// keysHeld demands that no terminal lost its keys and that PINs went on being passed on. A0 would be the answer to a good MAC under keys
// that the switch has forgotten; 99, A7 and the network's 55 those to a PIN that was not translated, or not to what was typed.
func keysHeld(report *simulated.Report) error {
	for kind, k := range report.Kinds {
		for _, code := range []string{"A0", "99", "A7", "55"} {
			if n := k.Answer[code]; n > 0 {
				return fmt.Errorf("%d of %s were answered %s: keys did not survive", n, kind, code)
			}
		}
	}
	if report.Typed == 0 {
		return errors.New("no payment with a PIN was approved")
	}
	return nil
}

// asUsual demands that every request was answered, and as it should be where nothing is the matter.
func asUsual(report *simulated.Report) error {
	if len(report.Unexpected) == 0 && report.Unanswered == 0 {
		return nil
	}
	var list []string
	for _, u := range report.Unexpected {
		list = append(list, fmt.Sprintf("%s %s ×%d (%s)", u.Kind, u.Code, u.Count, u.Example))
	}
	return fmt.Errorf("%d requests without an answer; answers that were not as usual: %s", report.Unanswered, strings.Join(list, "; "))
}

// database starts or stops the site's private cluster as an operator would.
func (s *Site) database(ctx context.Context, verb string) error {
	_, err := process.Run(ctx, s.program("huanxin"), []string{"db", verb, "--dir", s.databaseDir()}, nil)
	return err
}
