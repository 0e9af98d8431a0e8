package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/internal/postgres"
	"huanxin/internal/postgres/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// cluster starts a private cluster in dir that ends with the test.
func cluster(t *testing.T, dir string) *postgres.Private {
	t.Helper()
	p, err := postgres.StartPrivate(context.Background(), postgres.PrivateConfig{Dir: dir, Throwaway: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func postmaster(t *testing.T, p *postgres.Private) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.Data(), "postmaster.pid"))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
	require.NoError(t, err)
	return pid
}

func open(t *testing.T, url string) *postgres.Database {
	t.Helper()
	d, err := postgres.Open(context.Background(), postgres.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return d
}

// A folder of `mktemp -d` is closed to every other user.
func TestPrivateClusterRunsInClosedFolderAndKeepsItsRows(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o700))
	ctx := context.Background()

	p := cluster(t, filepath.Join(dir, "postgres"))
	applied, err := open(t, p.URL()).Migrate(ctx)
	require.NoError(t, err)
	require.Positive(t, applied)
	require.NoError(t, p.Close())

	p = cluster(t, filepath.Join(dir, "postgres"))
	applied, err = open(t, p.URL()).Migrate(ctx)
	require.NoError(t, err)
	require.Zero(t, applied, "the second start found the schema of the first")
}

func TestPrivateClusterIsNotRootsAndNotOnTheNetwork(t *testing.T) {
	p := cluster(t, t.TempDir())
	pid := postmaster(t, p)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "CapEff:"); ok {
			require.Equal(t, "0000000000000000", strings.TrimSpace(rest), "the server has capabilities")
		}
	}
	require.Empty(t, listeningSockets(t, pid))
	require.NoError(t, filepath.WalkDir(p.Data(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			var info fs.FileInfo
			info, err = d.Info()
			require.Zero(t, info.Mode().Perm()&0o077, "%s is open to others", path)
		}
		return err
	}))
}

// listeningSockets returns the TCP ports on which a process listens.
func listeningSockets(t *testing.T, pid int) []string {
	t.Helper()
	own := map[string]bool{}
	descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	require.NoError(t, err)
	require.NotEmpty(t, descriptors)
	for _, d := range descriptors {
		if to, err := os.Readlink(d); err == nil && strings.HasPrefix(to, "socket:[") {
			own[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	require.NotEmpty(t, own, "it listens on its unix socket at least")
	var out []string
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if os.IsNotExist(err) { // no IPv6
			continue
		}
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && own[f[9]] {
				out = append(out, f[1])
			}
		}
	}
	return out
}

func TestPathTooLongForASocketGetsAShortOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	p := cluster(t, dir)
	require.Len(t, p.Notes(), 1)
	require.Contains(t, p.Notes()[0], "too long for a socket")
	require.NoError(t, open(t, p.URL()).Ping(context.Background()))
	url, err := postgres.PrivateURL(dir)
	require.NoError(t, err)
	require.Equal(t, p.URL(), url)
}

func TestSecondProcessUsesTheServerAndLeavesItRunning(t *testing.T) {
	dir := t.TempDir()
	first := cluster(t, dir)
	second := cluster(t, dir)
	require.Equal(t, first.URL(), second.URL())
	require.NoError(t, second.Close())
	require.NoError(t, open(t, first.URL()).Ping(context.Background()))
}

// An operator stops the server under a running switch and starts it again; the switch still stops it at its end.
func TestServerStoppedUnderItsOwnerCanBeStartedByAnother(t *testing.T) {
	dir := t.TempDir()
	owner := cluster(t, dir)
	d := open(t, owner.URL())
	require.NoError(t, d.Ping(context.Background()))
	running, err := postgres.StopPrivate(dir, time.Minute)
	require.NoError(t, err)
	require.True(t, running)

	other := cluster(t, dir)
	require.Equal(t, owner.URL(), other.URL())
	require.NoError(t, other.Close())
	require.NoError(t, open(t, owner.URL()).Ping(context.Background()), "it is the owner's")
	require.NoError(t, owner.Close())
	running, err = postgres.StopPrivate(dir, time.Minute)
	require.NoError(t, err)
	require.False(t, running)
}

func TestProcessesThatStartAtOnceShareOneServer(t *testing.T) {
	dir := t.TempDir()
	started := make([]*postgres.Private, 4)
	failed := make([]error, len(started))
	var wg sync.WaitGroup
	for i := range started {
		wg.Go(func() {
			started[i], failed[i] = postgres.StartPrivate(context.Background(), postgres.PrivateConfig{Dir: dir, Throwaway: true})
		})
	}
	wg.Wait()
	for i, p := range started {
		require.NoError(t, failed[i])
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		require.Equal(t, postmaster(t, started[0]), postmaster(t, p))
	}
}

// The owner was killed: its server runs on, and the next start owns it.
func TestOrphanedServerIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	first := cluster(t, dir)
	pid := postmaster(t, first)
	require.NoError(t, first.Leave())

	second := cluster(t, dir)
	require.Equal(t, pid, postmaster(t, second))
	require.Contains(t, strings.Join(second.Notes(), "\n"), "took over")
	require.NoError(t, second.Close())
	require.Error(t, open(t, second.URL()).Ping(context.Background()))
}

// After a crash of the machine the file names a process that is now somebody else's: this test's own.
func TestStaleProcessNumberIsNoServer(t *testing.T) {
	dir := t.TempDir()
	p := cluster(t, dir)
	require.NoError(t, p.Close())
	stale := fmt.Sprintf("%d\n%s\n1750000000\n5432\n/nowhere\n\n  0 0\nready   \n", os.Getpid(), p.Data())
	require.NoError(t, os.WriteFile(filepath.Join(p.Data(), "postmaster.pid"), []byte(stale), 0o600))

	running, err := postgres.StopPrivate(dir, time.Minute)
	require.NoError(t, err)
	require.False(t, running, "this process must not be taken for a server and stopped")
	p = cluster(t, dir)
	require.NoError(t, open(t, p.URL()).Ping(context.Background()))
}

func TestServerKilledHardIsRecovered(t *testing.T) {
	dir := t.TempDir()
	p := cluster(t, dir)
	kill(t, p)
	p = cluster(t, dir)
	require.NoError(t, open(t, p.URL()).Ping(context.Background()))
}

func TestInterruptedCreationIsDoneAgain(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"data.new", "data.new-00c0ffee"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name, "base"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "PG_VERSION"), []byte("9\n"), 0o600))
	}
	p := cluster(t, dir)
	require.NoError(t, open(t, p.URL()).Ping(context.Background()))
}

func TestStopPrivateStopsWhatAnotherProcessStarted(t *testing.T) {
	dir := t.TempDir()
	running, err := postgres.StopPrivate(dir, time.Minute)
	require.NoError(t, err)
	require.False(t, running)
	p := cluster(t, dir)
	require.NoError(t, p.Leave())
	running, err = postgres.StopPrivate(dir, time.Minute)
	require.NoError(t, err)
	require.True(t, running)
	require.Error(t, open(t, p.URL()).Ping(context.Background()))
}

func TestForeignFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data"), []byte("not a folder"), 0o600))
	_, err := postgres.StartPrivate(context.Background(), postgres.PrivateConfig{Dir: dir, Throwaway: true})
	require.ErrorContains(t, err, "data is not a folder")
	content, err := os.ReadFile(filepath.Join(dir, "data"))
	require.NoError(t, err)
	require.Equal(t, "not a folder", string(content))
}

func TestWrongSettingsOfAPrivateClusterAreRefused(t *testing.T) {
	ctx := context.Background()
	_, err := postgres.StartPrivate(ctx, postgres.PrivateConfig{})
	require.ErrorContains(t, err, "folder is missing")
	_, err = postgres.StartPrivate(ctx, postgres.PrivateConfig{Dir: t.TempDir(), StartTimeout: -1})
	require.ErrorContains(t, err, "negative")
	_, err = postgres.StartPrivate(ctx, postgres.PrivateConfig{Dir: t.TempDir(), Binaries: t.TempDir()})
	require.ErrorContains(t, err, "PostgreSQL binaries")
}

// kill ends the server as a power failure would, and gives up its lock.
func kill(t *testing.T, p *postgres.Private) {
	t.Helper()
	require.NoError(t, syscall.Kill(postmaster(t, p), syscall.SIGKILL))
	require.NoError(t, p.Leave())
}

func TestTheProcessesBehindAPrivatePoolGiveWay(t *testing.T) {
	p := cluster(t, filepath.Join(t.TempDir(), "postgres"))
	d, err := postgres.Open(context.Background(), postgres.Config{URL: p.URL(), Connections: 1, Private: true})
	require.NoError(t, err)
	defer d.Close()
	require.NoError(t, d.Ping(context.Background()))
	if runtime.GOOS != "linux" {
		return // where the priority is left to the system
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	niceness := map[string]int{}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // has ended
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:])) // from the third on: state, parent …
		if fields[4-3] == strconv.Itoa(postmaster(t, p)) {
			niceness[fields[19-3]]++
		}
	}
	raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0) // 20 less the niceness
	require.NoError(t, err)
	require.Contains(t, niceness, strconv.Itoa(max(20-raw, 19)))
}
