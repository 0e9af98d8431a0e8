package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"huanxin/internal/drill/faultline"
	"huanxin/internal/postgres"
)

// How long PostgreSQL is away each time, and how long the switch waits for it.
const databaseAway = 5 * time.Second

// PostgresFaults kills PostgreSQL, one of its processes, stops it, cuts it off and lets its connections go silent, one after
// the other under load. Nobody may be refused because of it, and in the end every row must be there once.
func (a *Arena) PostgresFaults(ctx context.Context) (err error) {
	site, err := a.prepare("postgres-faults", "HUANXIN_DATABASE_WRITE_TIMEOUT=5s", "HUANXIN_DATABASE_RETRY_MAX=1s")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop(), site.database(context.WithoutCancel(ctx), "stop")) }()
	line, err := site.databaseBehindLine(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, line.Close()) }()
	if err := site.StartHost(ctx); err != nil {
		return err
	}
	if err := site.StartServe(ctx); err != nil {
		return err
	}
	return a.trouble(ctx, site, "postgres-faults", Plan{Mix: wholeDay, Wallet: part}, asUsual, func() error {
		for _, f := range site.databaseFaults(ctx, line) {
			if err := site.withoutDatabase(ctx, f); err != nil {
				return fmt.Errorf("PostgreSQL %s: %w", f.name, err)
			}
		}
		return nil
	})
}

// databaseBehindLine starts the site's database and has the switch reach it through a line.
func (s *Site) databaseBehindLine(ctx context.Context) (*faultline.Line, error) {
	if err := s.database(ctx, "start"); err != nil {
		return nil, err
	}
	text, err := postgres.PrivateURL(s.databaseDir())
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	line, err := faultline.New("unix", filepath.Join(q.Get("host"), ".s.PGSQL."+q.Get("port")))
	if err != nil {
		return nil, err
	}
	u.Host, u.RawQuery = line.Address(), url.Values{"sslmode": {"disable"}}.Encode()
	s.Settings = append(s.Settings, "HUANXIN_DATABASE_URL="+u.String())
	return line, nil
}

// databaseFault takes PostgreSQL away and gives it back.
type databaseFault struct {
	name        string
	falls, ends func() error
	// quick says that it comes back by itself, perhaps before the rows fall behind.
	quick bool
}

func (s *Site) databaseFaults(ctx context.Context, line *faultline.Line) []databaseFault {
	nothing := func() error { return nil }
	return []databaseFault{
		{name: "killed with all its processes",
			falls: func() error { return s.signalDatabase(syscall.SIGKILL, everyProcess) },
			ends:  func() error { return s.database(ctx, "start") }},
		{name: "loses the process of a connection to kill -9", quick: true,
			falls: func() error { return s.signalDatabase(syscall.SIGKILL, oneConnection) }, ends: nothing},
		{name: "stopped (SIGSTOP)",
			falls: func() error { return s.signalDatabase(syscall.SIGSTOP, everyProcess) },
			ends:  func() error { return s.signalDatabase(syscall.SIGCONT, everyProcess) }},
		{name: "cut off, connections reset",
			falls: func() error { line.Cut(); return nil }, ends: func() error { line.Mend(); return nil }},
		{name: "cut off, nothing passes",
			falls: func() error { return line.Impose(faultline.Swallow(faultline.Out), faultline.Swallow(faultline.In)) },
			ends:  func() error { return line.Heal(ctx) }},
		{name: "behind connections that have gone silent",
			falls: func() error { line.Strand(); return nil }, ends: nothing},
		{name: "killed when it has just come back",
			falls: func() error { return s.signalDatabase(syscall.SIGKILL, everyProcess) },
			ends: func() error {
				err := s.database(ctx, "start")
				if err == nil {
					err = s.signalDatabase(syscall.SIGKILL, everyProcess)
				}
				if err == nil {
					err = s.database(ctx, "start")
				}
				return err
			}},
	}
}

// withoutDatabase plays one fault and waits until all rows are there that were missing.
func (s *Site) withoutDatabase(ctx context.Context, f databaseFault) error {
	if err := f.falls(); err != nil {
		return err
	}
	if err := wait(ctx, databaseAway); err != nil {
		return err
	}
	lag, err := s.Counter(ctx, "huanxin_projection_lag_batches")
	if err != nil {
		return err
	}
	if lag == 0 && !f.quick {
		return errors.New("the rows did not fall behind: it was not away, or nothing happened")
	}
	if err := f.ends(); err != nil {
		return err
	}
	began := time.Now()
	position, err := s.Counter(ctx, "huanxin_journal_position")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	err = s.Serve.Await(ctx, "the rows of PostgreSQL to catch up", func(ctx context.Context) error {
		now, err := s.Counter(ctx, "huanxin_journal_position")
		if err != nil {
			return err
		}
		lag, err := s.Counter(ctx, "huanxin_projection_lag_batches")
		if err == nil && now-lag < position {
			err = fmt.Errorf("at batch %.0f of %.0f", now-lag, position)
		}
		return err
	})
	if err == nil {
		s.say("  PostgreSQL %-46s %5.0f batches behind, caught up in %v", f.name, lag, time.Since(began).Round(10*time.Millisecond))
	}
	return err
}

// Which processes of the database a signal goes to.
type processes int

const (
	everyProcess processes = iota
	oneConnection
)

// signalDatabase sends a signal to the site's database, the oldest process first: it starts others.
func (s *Site) signalDatabase(sig syscall.Signal, which processes) error {
	postmaster, err := s.postmaster()
	if err != nil {
		return err
	}
	children, err := childrenOf(postmaster)
	if err != nil {
		return err
	}
	targets := append([]int{postmaster}, children...)
	if which == oneConnection {
		targets = slices.DeleteFunc(children, func(pid int) bool { return !servesConnection(pid) })
		if len(targets) == 0 {
			return errors.New("no process of PostgreSQL serves a connection")
		}
		targets = targets[:1]
	}
	for _, pid := range targets {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("%v to process %d of PostgreSQL: %w", sig, pid, err)
		}
	}
	return nil
}

// postmaster is the process id of the site's database.
func (s *Site) postmaster() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.databaseDir(), "cluster.json"))
	if err != nil {
		return 0, err
	}
	var location struct {
		Data string `json:"data"`
	}
	if err := json.Unmarshal(text, &location); err != nil {
		return 0, fmt.Errorf("cluster.json: %w", err)
	}
	if text, err = os.ReadFile(filepath.Join(location.Data, "postmaster.pid")); err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil || pid < 2 {
		return 0, fmt.Errorf("postmaster.pid begins with %q", first)
	}
	return pid, nil
}

// childrenOf lists the processes that a process has started.
func childrenOf(parent int) (list []int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent …; the name may hold anything, blanks and brackets too.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			list = append(list, pid)
		}
	}
	return list, nil
}

// servesConnection reports whether a process of PostgreSQL works for our user; its title says so.
func servesConnection(pid int) bool {
	title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(title), ": huanxin huanxin ")
}
