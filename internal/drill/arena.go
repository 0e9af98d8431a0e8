package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"huanxin/internal/postgres"
	"huanxin/switch/iso8583"
)

// Arena is where drills are held: each scenario gets a site of its own from NewSite.
type Arena struct {
	NewSite func(name string) (*Site, error)
	Codec   *iso8583.Codec
	Seed    uint64
	Kills   int           // of Kill9
	Outage  time.Duration // of PostgresDown and HostDown
	Rate    int           // purchases a second
	Out     io.Writer
}

// dice are those of one scenario: the same seed, the same throws.
func (a *Arena) dice(scenario uint64) *rand.Rand { return rand.New(rand.NewPCG(a.Seed, scenario)) }

// ErrFailed is returned by a scenario that found something.
var ErrFailed = errors.New("the books do not agree")

// verdict prints the line of a scenario, with its findings below when there are any.
func (a *Arena) verdict(v *Verdict) error {
	fmt.Fprintln(a.Out, v)
	if v.Acknowledged == 0 {
		return fmt.Errorf("%s: nothing was answered, so it proves nothing: %w", v.Name, ErrFailed)
	}
	if v.Clean() {
		return nil
	}
	v.Explain(a.Out, 10)
	return fmt.Errorf("%s: %w", v.Name, ErrFailed)
}

// quickHosts makes the switch's times short enough for a drill: silent hosts are given up after two seconds, reversals and
// questions are repeated quickly, and a payment that nobody decides is cancelled soon.
func quickHosts() []string {
	return []string{
		"HUANXIN_HOSTS_UNIONPAY_TIMEOUT=2s", "HUANXIN_HOSTS_UNIONPAY_RECONNECT_MAX=500ms",
		"HUANXIN_HOSTS_UNIONPAY_REVERSAL_RETRY_MIN=300ms", "HUANXIN_HOSTS_UNIONPAY_REVERSAL_RETRY_MAX=2s",
		"HUANXIN_HOSTS_UNIONPAY_REVERSAL_LEAST_LIFE=1s",
		"HUANXIN_HOSTS_WALLET_TIMEOUT=2s", "HUANXIN_HOSTS_WALLET_ATTEMPT_TIMEOUT=2s", "HUANXIN_HOSTS_WALLET_RECONNECT_MAX=500ms",
		"HUANXIN_HOSTS_WALLET_REVERSAL_RETRY_MIN=300ms", "HUANXIN_HOSTS_WALLET_REVERSAL_RETRY_MAX=2s",
		"HUANXIN_HOSTS_WALLET_QUERY_EVERY=3s", "HUANXIN_HOSTS_WALLET_CANCEL_AFTER=5s",
	}
}

// prepare makes a site with the drill's programme and times.
func (a *Arena) prepare(name string, settings ...string) (*Site, error) {
	site, err := a.NewSite(name)
	if err != nil {
		return nil, err
	}
	site.Programme = site.file("programme")
	site.CutOver = timeOfDay(cutOverAt(time.Now().Add(12 * time.Hour))) // far away, whenever the drill is held
	site.Settings = append(append(quickHosts(), keyed()...), settings...)
	site.Keyed = true
	if err := WriteProgramme(site.Programme); err != nil {
		return nil, err
	}
	if err := site.writeCrews(); err != nil {
		return nil, err
	}
	return site, site.drawTillKeys()
}

// BadInput sends what no terminal should and expects the documented refusals.
func (a *Arena) BadInput(ctx context.Context) (err error) {
	site, err := a.prepare("bad-input")
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
	api, err := site.API()
	if err != nil {
		return err
	}
	m := &Mischief{Terminals: site.Ports.CUP, Codec: a.Codec, API: api, Counter: site.Counter, People: 5_000_000}
	failed := 0
	for _, outcome := range m.Play(ctx) {
		fmt.Fprintln(a.Out, outcome)
		if !outcome.OK() {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("bad-input: %d inputs were not refused as documented", failed)
	}
	return a.audit(ctx, "bad-input", site, m.Heard, nil)
}

// drainLimit bounds the wait until nothing is in flight: a time-out, then reversals with their repeats.
const drainLimit = 5 * time.Minute

// drained waits until everything that ends by itself has ended; with holds also until every hold has been used or has
// expired.
func (s *Site) drained(ctx context.Context, holds bool) (book *Book, err error) {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	err = s.Serve.Await(ctx, "everything in flight to end", func(context.Context) error {
		if book, err = s.book(); err != nil {
			return err
		}
		if n := book.moving(); n > 0 {
			return fmt.Errorf("%d purchases are in flight", n)
		}
		if n := book.OpenHolds(); holds && n > 0 {
			return fmt.Errorf("%d holds are open", n)
		}
		return nil
	})
	return book, err
}

// audit drains and compares, has the product check itself, and prints the scenario's line.
func (a *Arena) audit(ctx context.Context, name string, s *Site, answers []Answer, db *postgres.Database) error {
	v, err := s.compare(ctx, name, answers, db, true)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return errors.Join(s.checked(ctx), a.verdict(v))
}

// compare holds the books of a site against each other. db may be nil: then the switch's private database is asked.
func (s *Site) compare(ctx context.Context, name string, answers []Answer, db *postgres.Database, holds bool) (*Verdict, error) {
	book, err := s.settledByHand(ctx, holds)
	if err != nil {
		return nil, err
	}
	if db == nil {
		if db, err = s.openDatabase(ctx); err != nil {
			return nil, err
		}
		defer db.Close()
	}
	e := Evidence{Answers: answers, Now: time.Now().Add(-expiryDelay).UnixNano()}
	if e.Book, e.Rows, err = s.sameInstant(ctx, db, book); err != nil {
		return nil, err
	}
	if e.Ledger, err = s.Movements(); err != nil {
		return nil, err
	}
	return Compare(name, e), nil
}

// expiryDelay is how late the switch may be in letting a hold expire.
const expiryDelay = 2 * time.Second

// sameInstant reads PostgreSQL and the journal until both show the same event as the last one: holds expire all the time.
func (s *Site) sameInstant(ctx context.Context, db *postgres.Database, book *Book) (*Book, []Row, error) {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	var rows []Row
	err := s.Serve.Await(ctx, "PostgreSQL to show what the journal holds", func(ctx context.Context) (err error) {
		before, err := db.Totals(ctx)
		if err != nil {
			return err
		}
		if rows, err = Rows(ctx, db); err != nil {
			return err
		}
		after, err := db.Totals(ctx)
		if err != nil {
			return err
		}
		if book, err = s.book(); err != nil {
			return err
		}
		if before.Position.Seq != book.Events || after.Position.Seq != book.Events {
			return fmt.Errorf("PostgreSQL is at event %d, the journal at %d", after.Position.Seq, book.Events)
		}
		return nil
	})
	return book, rows, err
}

// Sweep stops what an earlier, interrupted run of the same scenario has left running in dir, and removes dir. A process is
// stopped only when its command line still names one of its programs.
func Sweep(dir, huanxin string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.pid"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || pid < 2 {
			continue
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !strings.HasPrefix(string(line), filepath.Dir(huanxin)+string(filepath.Separator)) {
			continue // it has ended, or the number is another's by now
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop process %d of an earlier run: %w", pid, err)
		}
	}
	database := filepath.Join(dir, "postgres")
	if _, err := os.Stat(database); err == nil {
		if _, err := postgres.StopPrivate(database, 30*time.Second); err != nil {
			return fmt.Errorf("stop the database of an earlier run: %w", err)
		}
		if err := sweepElsewhere(database); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}

// elsewhere matches the folders that a database is put into when its user cannot reach the wanted one.
var elsewhere = regexp.MustCompile(`^(/var/lib/huanxin/[0-9a-f]+|.*/huanxin-postgres-[0-9a-f]+)$`)

// sweepElsewhere removes the data of a database that does not lie in its own folder.
func sweepElsewhere(database string) error {
	text, err := os.ReadFile(filepath.Join(database, "cluster.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var location struct {
		Data string `json:"data"`
	}
	if err := json.Unmarshal(text, &location); err != nil {
		return fmt.Errorf("%s: %w", database, err)
	}
	if folder := filepath.Dir(location.Data); elsewhere.MatchString(folder) {
		return os.RemoveAll(folder)
	}
	return nil
}
