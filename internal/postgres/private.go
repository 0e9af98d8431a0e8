package postgres

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// PrivateConfig is what a private cluster needs.
type PrivateConfig struct {
	// Dir is the folder of the cluster: data, the socket, the log, and the note of where they really are.
	Dir string
	// Binaries is the folder of initdb and postgres; empty searches for the newest release.
	Binaries string
	// StartTimeout bounds creating and starting, 60 s by default; recovery after a crash is within it.
	StartTimeout time.Duration
	// StopTimeout is how long a fast shutdown may take before an immediate one, 30 s by default. An immediate shutdown
	// loses nothing: the next start recovers from the server's own log.
	StopTimeout time.Duration
	// Throwaway is for tests: the server syncs nothing, and dies with this process however that ends.
	Throwaway bool
}

func (c *PrivateConfig) check() error {
	if c.StartTimeout == 0 {
		c.StartTimeout = time.Minute
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = 30 * time.Second
	}
	if c.Dir == "" {
		return errors.New("private PostgreSQL: the folder is missing")
	}
	if c.StartTimeout < 0 || c.StopTimeout < 0 {
		return errors.New("private PostgreSQL: a time-out is negative")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return fmt.Errorf("private PostgreSQL: %w", err)
	}
	c.Dir = dir
	return nil
}

// User and database of every private cluster.
const (
	privateUser     = "huanxin"
	privateDatabase = "huanxin"
)

// Private is a running private cluster: PostgreSQL on a unix socket in a folder that only its user (and root) can enter,
// without a TCP port, without a password.
type Private struct {
	config PrivateConfig
	place  place
	notes  []string
	owner  *os.File // the lock; nil when another process owns the server
	child  *server  // the server when this process started it
}

// StartPrivate returns the cluster of c.Dir, ready for connections, with an empty database when it is new. What it does,
// in this order:
//
//  1. It waits for its turn: one process at a time starts a server in a folder.
//  2. It takes the lock of the owner. When another process of ours holds it, Close leaves the server to that one.
//  3. It chooses a user that may run the server and can reach the folder; see identities and choosePlace.
//  4. It uses the server that runs there: its owner's, or one whose owner was killed. What a dead one left behind is
//     taken away.
//  5. It creates the cluster when there is none, starts the server in a session of its own and waits until it answers.
func StartPrivate(ctx context.Context, c PrivateConfig) (*Private, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.StartTimeout)
	defer cancel()
	p, err := startInTurn(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("private PostgreSQL in %s: %w", c.Dir, err)
	}
	return p, nil
}

func startInTurn(ctx context.Context, c PrivateConfig) (*Private, error) {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, err
	}
	turn, err := takeLock(c.Dir, startLock)
	for ; turn == nil && err == nil; turn, err = takeLock(c.Dir, startLock) {
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil, fmt.Errorf("another process starts a server there: %w", err)
		}
	}
	if err != nil {
		return nil, err
	}
	defer turn.Close()
	p := &Private{config: c}
	if p.owner, err = takeLock(c.Dir, ownerLock); err != nil {
		return nil, err
	}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(err, p.Leave())
	}
	if _, err := CreateDatabase(ctx, socketURL(p.place.socket, privateUser, "postgres"), privateDatabase); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Private) start(ctx context.Context) error {
	binaries, err := p.choose(ctx)
	if err != nil {
		return err
	}
	if err := writeLocation(p.config.Dir, p.place); err != nil {
		return err
	}
	if pid := livePostmaster(p.place.data()); pid != 0 {
		s := &server{pid: pid}
		err := s.ready(ctx, p.place.socket)
		switch {
		case err == nil && p.owner != nil:
			p.note("took over the server that was running, process %d", pid)
			return nil
		case err == nil:
			p.note("another process owns the server; it is used, and not stopped with this one")
			return nil
		case s.alive():
			return fmt.Errorf("a server (process %d) runs there but does not answer: %w", pid, err)
		}
		// It was on its way down and is gone now.
	}
	if err := p.initialise(ctx, binaries); err != nil {
		return err
	}
	return p.launch(ctx, binaries)
}

// choose settles binaries and place, and notes what an operator would not expect.
func (p *Private) choose(ctx context.Context) (Binaries, error) {
	major := 0
	for _, at := range places(p.config.Dir) {
		if major = majorOf(at.data()); major != 0 {
			break
		}
	}
	binaries, err := chooseBinaries(p.config.Binaries, major)
	if err != nil {
		return Binaries{}, err
	}
	if p.place, err = choosePlace(ctx, places(p.config.Dir), binaries); err != nil {
		return Binaries{}, err
	}
	if p.place.folder != p.config.Dir {
		p.note("%s is closed to the server's user; its data is in %s", p.config.Dir, p.place.data())
	}
	if filepath.Dir(p.place.socket) != p.place.folder {
		p.note("the path is too long for a socket; the socket is in %s", p.place.socket)
	}
	return binaries, nil
}

func (p *Private) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

// majorOf reads the release that made a data folder, 0 when there is none or it cannot be read.
func majorOf(data string) int {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return 0
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return major
}

// initialise makes the cluster in a folder beside its own and renames it: initdb that was cut off leaves nothing that
// looks like a cluster.
func (p *Private) initialise(ctx context.Context, b Binaries) error {
	if majorOf(p.place.data()) != 0 {
		return nil
	}
	// An owner that was killed leaves an initdb that goes on: it has a folder of its own, so that the two do not meet. What it
	// leaves there is taken away as far as it lets, now or by a later start.
	remains, err := filepath.Glob(p.place.data() + ".new*")
	if err != nil {
		return err
	}
	for _, old := range remains {
		_ = os.RemoveAll(old)
	}
	draft := fmt.Sprintf("%s.new-%08x", p.place.data(), rand.Uint32())
	if err := p.place.own(draft); err != nil {
		return err
	}
	args := []string{
		"--pgdata", draft, "--username", privateUser, "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C", "--data-checksums",
	}
	if p.config.Throwaway {
		args = append(args, "--no-sync")
	}
	cmd := p.place.identity.command(filepath.Join(b.Folder, "initdb"), args...)
	if err := run(ctx, cmd); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	if err := os.Remove(p.place.data()); err != nil { // an empty folder, or it is not ours to replace
		return err
	}
	return os.Rename(draft, p.place.data())
}

// run waits for cmd and stops it when ctx ends. Its output is in the error.
func run(ctx context.Context, cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			err = fmt.Errorf("%w: %s", err, lastLines(out.Bytes()))
		}
		return err
	case <-ctx.Done():
		return errors.Join(ctx.Err(), cmd.Process.Signal(syscall.SIGTERM), <-done)
	}
}

func lastLines(text []byte) string {
	const most = 800
	text = bytes.TrimSpace(text)
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return string(text)
}

// launch starts the server. A predecessor that was killed hard may have children that take a moment to notice; until
// then the server refuses to start, and trying again is the cure.
func (p *Private) launch(ctx context.Context, b Binaries) error {
	for {
		if err := clearRemains(p.place); err != nil {
			return err
		}
		s, err := p.spawn(b)
		if err != nil {
			return err
		}
		err = s.ready(ctx, p.place.socket)
		if err == nil {
			p.child = s
			return nil
		}
		log, _ := os.ReadFile(p.logFile()) // the log only adds to the error
		if s.alive() {
			return errors.Join(fmt.Errorf("the server does not answer: %w; log: %s", err, lastLines(log)), s.stop(p.config.StopTimeout))
		}
		if !strings.Contains(lastLines(log), "shared memory block") || pause(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("the server ended: %s", lastLines(log))
		}
	}
}

func (p *Private) logFile() string { return filepath.Join(p.config.Dir, "postgres.log") }

// maxLog is the size at which a start begins a new log.
const maxLog = 16 << 20

func (p *Private) spawn(b Binaries) (*server, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(p.logFile()); err == nil && info.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	log, err := os.OpenFile(p.logFile(), flags, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the server has its own descriptor

	args := []string{"-D", p.place.data()}
	for _, s := range p.settings() {
		args = append(args, "-c", s)
	}
	cmd := p.place.identity.command(filepath.Join(b.Folder, "postgres"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if p.config.Throwaway {
		endWithParent(cmd.SysProcAttr)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	s := &server{pid: cmd.Process.Pid, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // why it ended stands in the log
		close(s.ended)
	}()
	return s, nil
}

func (p *Private) settings() []string {
	out := []string{
		"listen_addresses=",
		"unix_socket_directories=" + quoteListItem(p.place.socket),
		"unix_socket_permissions=0700",
		"port=" + strconv.Itoa(socketPort),
		"max_connections=100",
		// A backlog's random index pages stay in memory, and the projector's own process writes neither pages nor log.
		"shared_buffers=256MB",
		"wal_buffers=16MB",
		// What is written goes to the disk soon and in small pieces. Left to the system it would go half a minute later, all at
		// once, and hold up the syncs of the journal beside it.
		"wal_writer_flush_after=1MB",
		"backend_flush_after=512kB",
		"max_wal_size=2GB",
		"checkpoint_timeout=15min",
		// No replica reads this server's log: what it holds can be written again from the journal.
		"wal_level=minimal",
		"max_wal_senders=0",
		"timezone=UTC",
		"log_timezone=UTC",
		"log_checkpoints=off",
		"log_statement=none",
		// A failed statement is in our own error; its parameters are nobody's to log.
		"log_min_error_statement=panic",
		"log_parameter_max_length_on_error=0",
	}
	if p.config.Throwaway {
		out = append(out, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	}
	return out
}

// quoteListItem protects a comma or blank in a path: the setting is a list.
func quoteListItem(path string) string { return `"` + strings.ReplaceAll(path, `"`, `""`) + `"` }

// clearRemains takes away what a server that is no more has left: its process number may by now be another process's,
// and the server would take that one for itself. The caller holds the folder's lock and has seen that none runs.
func clearRemains(at place) error {
	for _, f := range []string{
		filepath.Join(at.data(), "postmaster.pid"), socketFile(at.socket), socketFile(at.socket) + ".lock",
	} {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// URL names the cluster's database.
func (p *Private) URL() string { return socketURL(p.place.socket, privateUser, privateDatabase) }

// Data is the data folder, which is not always below the wanted one.
func (p *Private) Data() string { return p.place.data() }

// Notes are sentences for the operator about what is not as one would expect: data elsewhere, socket elsewhere, a server
// taken over. They are in English, for logs.
func (p *Private) Notes() []string { return p.notes }

// RunsAs says which user the server is.
func (p *Private) RunsAs() string { return p.place.identity.name }

// Close stops the server in good order when this process owns it, and gives up the lock. Clients that are still
// connected are cut off. It may be called again.
func (p *Private) Close() error {
	if p.owner == nil {
		return nil
	}
	var err error
	// The server may be another one by now: an operator may have stopped and started it.
	if pid := livePostmaster(p.place.data()); pid != 0 {
		s := &server{pid: pid}
		if p.child != nil && p.child.pid == pid {
			s = p.child
		}
		err = s.stop(p.config.StopTimeout)
	}
	if err == nil && filepath.Dir(p.place.socket) != p.place.folder {
		// Empty now; nothing of ours stays among the temporary files. Another start makes it again.
		if err = os.Remove(p.place.socket); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	return errors.Join(err, p.Leave())
}

// Leave gives up the lock and lets the server run on.
func (p *Private) Leave() error {
	if p.owner == nil {
		return nil
	}
	err := p.owner.Close()
	p.owner = nil
	return err
}

// StopPrivate stops the server of dir, whoever started it, and reports whether one was running.
func StopPrivate(dir string, timeout time.Duration) (bool, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false, err
	}
	l, err := readLocation(dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	pid := livePostmaster(l.Data)
	if pid == 0 {
		return false, nil
	}
	return true, (&server{pid: pid}).stop(timeout)
}

// PrivateURL names the database of dir's cluster, whether or not it runs.
func PrivateURL(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	l, err := readLocation(dir)
	if err != nil {
		return "", fmt.Errorf("no private PostgreSQL was ever started in %s: %w", dir, err)
	}
	return socketURL(l.Socket, privateUser, privateDatabase), nil
}

// location is the file cluster.json in the wanted folder: where the cluster really is.
type location struct {
	Data   string `json:"data"`
	Socket string `json:"socket"`
	User   string `json:"user"`
}

func locationFile(dir string) string { return filepath.Join(dir, "cluster.json") }

func writeLocation(dir string, at place) error {
	text, err := json.MarshalIndent(location{at.data(), at.socket, at.identity.name}, "", "  ")
	if err != nil {
		return err
	}
	draft := locationFile(dir) + ".new"
	if err := os.WriteFile(draft, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(draft, locationFile(dir))
}

func readLocation(dir string) (location, error) {
	text, err := os.ReadFile(locationFile(dir))
	if err != nil {
		return location{}, err
	}
	var l location
	if err := json.Unmarshal(text, &l); err != nil {
		return location{}, fmt.Errorf("read %s: %w", locationFile(dir), err)
	}
	return l, nil
}

// The locks of a folder: of the process that stops the server when it ends, and of the one that is starting it.
const (
	ownerLock = "owner.lock"
	startLock = "start.lock"
)

// takeLock returns the locked file, or nil when another process holds it. The kernel gives it up when its holder dies.
func takeLock(dir, name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, f.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return f, nil
}

// livePostmaster returns the process that serves the data folder, 0 when there is none. A process number alone proves
// nothing, it may have been given away again; the server's working directory is its data folder.
func livePostmaster(data string) int {
	f, err := os.Open(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, 64)).ReadString('\n')
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 1 {
		return 0
	}
	if !hasProc() { // the number is all there is
		if syscall.Kill(pid, 0) != nil {
			return 0
		}
		return pid
	}
	cwd, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return 0
	}
	folder, err := os.Stat(data)
	if err != nil || !os.SameFile(cwd, folder) {
		return 0
	}
	return pid
}

func hasProc() bool {
	_, err := os.Stat("/proc/self")
	return err == nil
}

// server is a running postmaster: a child of this process, or one that was found.
type server struct {
	pid   int
	ended chan struct{} // closed when a child has ended; nil for one that was found
}

func (s *server) alive() bool {
	if s.ended == nil {
		if hasProc() { // a zombie that nobody waits for has a number still, but no working directory
			_, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", s.pid))
			return err == nil
		}
		return syscall.Kill(s.pid, 0) == nil
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// ready waits until the server takes connections.
func (s *server) ready(ctx context.Context, socket string) error {
	for {
		err := connects(ctx, socket, "postgres")
		if err == nil {
			return nil
		}
		if !s.alive() {
			return errors.New("the server has ended")
		}
		if pause(ctx, 25*time.Millisecond) != nil {
			return err
		}
	}
}

func connects(ctx context.Context, socket, database string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, socketURL(socket, privateUser, database))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// gone waits until the server has ended.
func (s *server) gone(ctx context.Context) error {
	for s.alive() {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// stop asks for a fast shutdown (SIGINT: no new clients, the present ones are cut off, everything is written), and after
// the time-out for an immediate one (SIGQUIT: the next start recovers).
func (s *server) stop(timeout time.Duration) error {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		if err := syscall.Kill(s.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop PostgreSQL, process %d: %w", s.pid, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		err := s.gone(ctx)
		cancel()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("PostgreSQL, process %d, does not stop", s.pid)
}

// pause waits, or returns the context's error when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
