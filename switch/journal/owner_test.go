package journal

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"huanxin/switch/event"
)

// startCluster starts one server of its own on a loopback port and returns its URL.
func startCluster(t testing.TB) string {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, MaxPayload: 8 << 20,
	})
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(time.Minute))
	return srv.ClientURL()
}

func clusterConfig(t testing.TB, url string) Config {
	cfg := testConfig(t.TempDir())
	cfg.URL = url
	return cfg
}

func appendOne(j *Journal, n int) error {
	var d Draft
	if err := d.Add(events(j.end.nextSeq, n)...); err != nil {
		return err
	}
	_, err := j.Append(context.Background(), &d)
	return err
}

func TestSecondWriterFencesTheFirstWhichCanOnlyStop(t *testing.T) {
	url := startCluster(t)
	first := mustOpen(t, clusterConfig(t, url))
	fill(t, first, 2, 2)
	second := mustOpen(t, clusterConfig(t, url))
	require.EqualValues(t, 2, second.Position())
	fill(t, second, 1) // the take-over

	err := appendOne(first, 1)
	require.ErrorIs(t, err, ErrFenced)
	require.ErrorIs(t, appendOne(first, 1), ErrFenced, "a stale owner must not come back")
	require.EqualValues(t, 2, first.Position())
	fill(t, second, 1)
	require.Len(t, replayed(t, second, 1), 4)
}

func TestExternalServerKeepsTheSameGuarantees(t *testing.T) {
	url := startCluster(t)
	cfg := clusterConfig(t, url)
	j := mustOpen(t, cfg)
	fill(t, j, 3, 64)
	end := j.end
	require.NoError(t, j.Close())
	j = mustOpen(t, cfg)
	require.Equal(t, end, j.end)
	require.Equal(t, end.hash, j.Report().Last.Hash)

	reader := mustOpen(t, Config{Programme: testProgramme, URL: url, ReadOnly: true})
	require.ErrorIs(t, appendOne(reader, 1), ErrReadOnly)
	follow, err := reader.Follow(context.Background(), 2)
	require.NoError(t, err)
	defer follow.Close()
	got := make(chan uint64, 2)
	go func() {
		defer close(got)
		for range 2 {
			b, err := follow.Next(context.Background())
			if err != nil {
				return
			}
			got <- b.Position
		}
	}()
	require.EqualValues(t, 2, <-got)
	fill(t, j, 1)
	require.EqualValues(t, 3, <-got)

	cfg.MustReach = []Mark{{Name: "Postgres", Position: 9}}
	require.NoError(t, j.Close())
	_, err = Open(context.Background(), cfg)
	require.ErrorIs(t, err, ErrShort)
	_, err = Open(context.Background(), Config{Programme: "other", URL: url, ReadOnly: true})
	require.ErrorIs(t, err, ErrMissing)
}

func TestAServerThatTakesOnlySmallMessagesIsRefusedAtOnce(t *testing.T) {
	srv, err := server.NewServer(&server.Options{ // max_payload is 1 MiB unless it is set
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true,
	})
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(time.Minute))
	_, err = Open(context.Background(), clusterConfig(t, srv.ClientURL()))
	require.ErrorContains(t, err, "max_payload")
}

func TestLostConnectionDuringAnAppendIsFatal(t *testing.T) {
	url := startCluster(t)
	cfg := clusterConfig(t, url)
	cfg.AppendTimeout = time.Nanosecond // the answer cannot come in time: the outcome is unknown
	j := mustOpen(t, cfg)
	err := appendOne(j, 1)
	require.ErrorIs(t, err, ErrAppend)
	require.ErrorContains(t, err, "outcome unknown")
	j.cfg.AppendTimeout = time.Minute
	require.ErrorIs(t, appendOne(j, 1), ErrAppend)
}

func TestFolderHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	_, err := Open(context.Background(), testConfig(dir))
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, strconv.Itoa(os.Getpid()))
	require.NoError(t, j.Close())
	require.NoError(t, mustOpen(t, testConfig(dir)).Close())
}

func TestRemovingTheLockFileLetsNobodyIn(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	require.NoError(t, os.Remove(filepath.Join(dir, "lock")))
	_, err := Open(context.Background(), testConfig(dir))
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, j.Close())
	// A folder of that name cannot be opened for writing, as a file cannot be made on a full disk.
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "lock")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "lock"), 0o700))
	j = mustOpen(t, testConfig(dir))
	_, err = Open(context.Background(), testConfig(dir))
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, appendOne(j, 1))
}

func TestAnOwnerOfAnEarlierReleaseIsRespected(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "lock"))
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)) // which locks the file alone
	_, err = Open(context.Background(), testConfig(dir))
	require.ErrorIs(t, err, ErrLocked)
}

func TestAJournalThatMustExistIsNotBegun(t *testing.T) {
	for name, cfg := range map[string]Config{"log": testConfig(t.TempDir()), "cluster": clusterConfig(t, startCluster(t))} {
		t.Run(name, func(t *testing.T) {
			cfg.MustExist = true
			_, err := Open(context.Background(), cfg)
			require.ErrorIs(t, err, ErrAbsent)
			cfg.MustExist = false
			require.NoError(t, mustOpen(t, cfg).Close())
			cfg.MustExist = true
			require.NoError(t, mustOpen(t, cfg).Close(), "an empty one exists")
		})
	}
}

func TestBatchesWithoutAMarkAreSaid(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	fill(t, j, 1)
	require.NoError(t, j.Close())
	core, said := observer.New(zap.WarnLevel)
	cfg := testConfig(dir)
	cfg.Logger = zap.New(core)
	require.NoError(t, mustOpen(t, cfg).Close())
	require.Zero(t, said.Len())
	require.NoError(t, os.Remove(filepath.Join(dir, "mark")))
	require.NoError(t, mustOpen(t, cfg).Close())
	require.Equal(t, 1, said.FilterMessageSnippet("its mark is gone").Len())
}

func TestFolderOfAnotherProgrammeIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, mustOpen(t, testConfig(dir)).Close())
	_, err := Open(context.Background(), Config{Programme: "jilin-2025", Dir: dir})
	require.ErrorIs(t, err, ErrProgramme)
	_, err = OpenFolder(dir, "jilin-2025")
	require.ErrorIs(t, err, ErrProgramme)
	_, err = OpenFolder(t.TempDir(), "")
	require.ErrorIs(t, err, ErrMissing)
}

func TestDraftRefusesAGapAndJournalRefusesAnEmptyOrUnattachedDraft(t *testing.T) {
	var d Draft
	require.NoError(t, d.Add(events(1, 2)...))
	require.ErrorIs(t, d.Add(events(4, 1)...), ErrChain)

	j := mustOpen(t, testConfig(t.TempDir()))
	d.Reset()
	require.NoError(t, d.Add(events(2, 1)...))
	_, err := j.Append(context.Background(), &d)
	require.ErrorIs(t, err, ErrChain)

	j = mustOpen(t, testConfig(t.TempDir()))
	d.Reset()
	_, err = j.Append(context.Background(), &d)
	require.ErrorIs(t, err, ErrAppend)
}

func TestBatchAboveTheStreamsLimitIsRefusedAndOneBelowIsTaken(t *testing.T) {
	j := mustOpen(t, testConfig(t.TempDir()))
	big := func(n int) *event.Event {
		return &event.Event{Seq: j.end.nextSeq, At: 1, Body: &event.Event_PolicyApplied{PolicyApplied: &event.PolicyApplied{Files: map[string][]byte{"a": make([]byte, n)}}}}
	}
	var d Draft
	require.NoError(t, d.Add(big(maxPayload-2*payloadRoom)))
	_, err := j.Append(context.Background(), &d)
	require.NoError(t, err)
	d.Reset()
	require.NoError(t, d.Add(big(maxPayload)))
	_, err = j.Append(context.Background(), &d)
	require.ErrorIs(t, err, ErrTooLarge)
	require.ErrorIs(t, appendOne(j, 1), ErrTooLarge, "nothing may be appended behind a lost batch")
}

func TestFullFollowsTheHighWaterMark(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.HighWater = 2000
	j := mustOpen(t, cfg)
	require.False(t, j.Full())
	fill(t, j, 200)
	require.True(t, j.Full())
	fill(t, j, 1) // what finishes business already begun goes on

	var space freeSpace
	require.True(t, space.below(cfg.Dir, 1<<62))
	require.False(t, new(freeSpace).below(cfg.Dir, 1))
	require.False(t, new(freeSpace).below("/no/such/folder", 1<<62))
}

func TestFollowerSeesEveryBatchOnceAndWaitsForTheNext(t *testing.T) {
	j := mustOpen(t, testConfig(t.TempDir()))
	fill(t, j, 2, 3)
	r, err := j.Follow(context.Background(), 1)
	require.NoError(t, err)
	defer r.Close()
	const total = 300
	done := make(chan error, 1)
	go func() {
		seq := uint64(1)
		for p := uint64(1); p <= total; p++ {
			b, err := r.Next(context.Background())
			if err == nil && (b.Position != p || b.FirstSeq != seq) {
				err = fmt.Errorf("batch %d first %d, expected %d first %d", b.Position, b.FirstSeq, p, seq)
			}
			if err != nil {
				done <- err
				return
			}
			seq += uint64(len(b.Events))
		}
		_, err := r.Next(context.Background())
		done <- err
	}()
	for range total - 2 {
		fill(t, j, 1)
	}
	// Everything is read before the journal closes; then the reader is told.
	require.Eventually(t, func() bool { return r.j.wakeWaiting() }, time.Minute, time.Millisecond)
	require.NoError(t, j.Close())
	require.ErrorIs(t, <-done, ErrClosed)
}

// wakeWaiting says that a reader waits for the next append.
func (j *Journal) wakeWaiting() bool {
	j.wakeMu.Lock()
	defer j.wakeMu.Unlock()
	return j.wake != nil
}

func TestFollowerDoesNotSeeABatchBeforeItsAcknowledgement(t *testing.T) {
	j := mustOpen(t, testConfig(t.TempDir()))
	fill(t, j, 1)
	// Stored, but the owner has not been told yet.
	var d Draft
	require.NoError(t, d.Add(events(2, 1)...))
	raw, _ := d.seal(2, j.end.hash)
	require.NoError(t, j.stream.append(context.Background(), raw, 2))

	r, err := j.Follow(context.Background(), 1)
	require.NoError(t, err)
	defer r.Close()
	b, err := r.Next(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, 1, b.Position)
	soon, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err = r.Next(soon)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	j.position.Store(2)
	j.wakeReaders()
	b, err = r.Next(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, 2, b.Position)
}

func TestFollowingFromBeyondTheAcknowledgedEndIsRefused(t *testing.T) {
	ctx := context.Background()
	j := mustOpen(t, testConfig(t.TempDir()))
	fill(t, j, 1, 1, 1)
	r, err := j.Follow(ctx, 4)
	require.NoError(t, err, "the next batch")
	r.Close()
	// A fourth stands in the file, but nobody has said that it is durable.
	raw, hash := batchOf(t, j, 320).seal(4, j.end.hash)
	require.NoError(t, j.stream.append(ctx, raw, 4))
	_, err = j.Follow(ctx, 5)
	require.ErrorIs(t, err, ErrShort)
	require.ErrorIs(t, j.Holds(ctx, Mark{Name: "rows", Position: 4, Hash: hash}), ErrShort)
}

func TestAMarkIsHeldOnlyWithItsPositionAndItsHash(t *testing.T) {
	for name, cfg := range map[string]Config{"log": testConfig(t.TempDir()), "cluster": clusterConfig(t, startCluster(t))} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			j := mustOpen(t, cfg)
			require.NoError(t, j.Holds(ctx, Mark{Name: "an empty database"}))
			fill(t, j, 1, 1)
			end := Mark{Name: "rows", Position: j.end.position, Hash: j.end.hash}
			require.NoError(t, j.Holds(ctx, end))
			fill(t, j, 1)
			require.NoError(t, j.Holds(ctx, end))
			require.NoError(t, j.Holds(ctx, Mark{Name: "rows", Position: 3}), "without a hash")
			end.Hash[7]++
			err := j.Holds(ctx, end)
			require.ErrorIs(t, err, ErrDiverged)
			require.ErrorContains(t, err, "rows")
			require.ErrorIs(t, j.Holds(ctx, Mark{Name: "rows", Position: 9}), ErrShort)
		})
	}
}

func TestFollowerStopsWithItsContext(t *testing.T) {
	j := mustOpen(t, testConfig(t.TempDir()))
	r, err := j.Follow(context.Background(), 1)
	require.NoError(t, err)
	defer r.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = r.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
	fill(t, j, 1)
	b, err := r.Next(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, 1, b.Position)
}

func TestDamagedNewestSnapshotFallsBackToTheOneBefore(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	s := j.Snapshots()
	fill(t, j, 1, 1, 1)
	for p := uint64(1); p <= 3; p++ {
		require.NoError(t, s.Save(Snapshot{Position: p, Seq: p}, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "state %d", p)
			return err
		}))
	}
	files := s.files()
	require.Len(t, files, 2, "the last two are kept")

	load := func() (state string, snap Snapshot, ok bool) {
		snap, ok = s.Load(func(_ Snapshot, r io.Reader) error {
			raw, err := io.ReadAll(r)
			state = string(raw)
			return err
		})
		return state, snap, ok
	}
	state, snap, ok := load()
	require.True(t, ok)
	require.Equal(t, "state 3", state)
	require.EqualValues(t, 3, snap.Seq)

	newest := mustRead(t, files[0])
	for offset := range newest {
		require.NoError(t, os.WriteFile(files[0], flip(offset, 1<<(offset%8))(mustRead(t, files[0])), 0o600))
		state, _, ok = load()
		require.True(t, ok)
		require.Equal(t, "state 2", state, "byte %d", offset)
		require.NoError(t, os.WriteFile(files[0], newest, 0o600))
	}
	// A state that the engine cannot read counts as damaged too.
	_, ok = s.Load(func(snap Snapshot, _ io.Reader) error {
		if snap.Position == 3 {
			return errors.New("unreadable")
		}
		return nil
	})
	require.True(t, ok)
	require.NoError(t, os.Truncate(files[0], 50))
	require.NoError(t, os.Truncate(files[1], 0))
	_, _, ok = load()
	require.False(t, ok, "nothing left: full replay")
}

func TestFailedSnapshotLeavesTheEarlierOnes(t *testing.T) {
	j := mustOpen(t, testConfig(t.TempDir()))
	s := j.Snapshots()
	require.NoError(t, s.Save(Snapshot{Position: 0}, func(io.Writer) error { return nil }))
	broken := errors.New("broken")
	require.ErrorIs(t, s.Save(Snapshot{Position: 1}, func(io.Writer) error { return broken }), broken)
	require.Len(t, s.files(), 1)
	require.Empty(t, filesUnder(t, s.dir, ".new"))
}

func TestASnapshotThatWasNotFinishedIsRemoved(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	require.NoError(t, os.WriteFile(filepath.Join(j.snaps.dir, "00000000000000000007.snap.new"), make([]byte, 100), 0o600))
	require.NoError(t, j.Close())
	require.NoError(t, mustOpen(t, testConfig(dir)).Close())
	require.Empty(t, filesUnder(t, dir, ".new"))
}

// The child appends until it is killed and prints the position of every batch that was acknowledged.
const childVariable = "HUANXIN_JOURNAL_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		fmt.Fprintln(os.Stderr, appendForever(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func appendForever(dir string) error {
	j, err := Open(context.Background(), testConfig(dir))
	if err != nil {
		return err
	}
	for n := 1; ; n = n%300 + 7 {
		if err := appendOne(j, n); err != nil {
			return err
		}
		if _, err := fmt.Println(j.Position(), j.end.nextSeq-1); err != nil {
			return err
		}
	}
}

func TestEveryAcknowledgedBatchSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	var position, seq uint64
	for run := range 8 {
		child := exec.Command(self)
		child.Env = append(os.Environ(), childVariable+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		lines := bufio.NewScanner(out)
		for acks := 0; lines.Scan(); acks++ {
			_, err := fmt.Sscan(lines.Text(), &position, &seq)
			require.NoError(t, err)
			// Killed from outside, somewhere in the middle of what it does after this line.
			if acks == 20+13*run {
				require.NoError(t, child.Process.Signal(syscall.SIGKILL))
			}
		}
		require.Error(t, child.Wait())

		f, err := OpenFolder(dir, "")
		require.NoError(t, err)
		_, err = f.Verify(Mark{Name: "acknowledged", Position: position})
		require.NoError(t, err)
		j := mustOpen(t, testConfig(dir))
		require.GreaterOrEqual(t, j.Position(), position, "run %d", run)
		require.GreaterOrEqual(t, j.end.nextSeq-1, seq, "run %d", run)
		want := uint64(1)
		for _, b := range replayed(t, j, 1) {
			require.Equal(t, want, b.FirstSeq)
			want += uint64(len(b.Events))
		}
		require.NoError(t, j.Close())
	}
}

func TestFolderIsReadBesideItsOwnerAndNotTouched(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	fill(t, j, 3, 4, 5)
	f, err := OpenFolder(dir, "")
	require.NoError(t, err)
	require.Equal(t, testProgramme, f.Programme())
	report, err := f.Verify()
	require.NoError(t, err)
	require.EqualValues(t, 3, report.Batches)
	require.EqualValues(t, 12, report.Events)
	require.Equal(t, j.end.hash, report.Last.Hash)
	var got []uint64
	require.NoError(t, f.Replay(2, 2, func(b *Batch) error {
		for _, ev := range b.Events {
			got = append(got, ev.Seq)
		}
		return nil
	}))
	require.Equal(t, []uint64{4, 5, 6, 7}, got)
	fill(t, j, 6)
	report, err = f.Verify()
	require.NoError(t, err)
	require.EqualValues(t, 4, report.Batches)
}

func TestExportHoldsTheWholeChainAndRefusesDamage(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	fill(t, j, 3, 4, 5)
	f, err := OpenFolder(dir, "")
	require.NoError(t, err)
	var out strings.Builder
	report, err := f.Export(&out)
	require.NoError(t, err)
	require.EqualValues(t, 3, report.Batches)

	var seqs uint64
	read, err := ReadExport(strings.NewReader(out.String()), func(b *Batch) error {
		for _, ev := range b.Events {
			seqs++
			require.Equal(t, seqs, ev.Seq)
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, report, read)
	require.EqualValues(t, 12, seqs)

	for offset := range out.Len() {
		raw := flip(offset, 1)([]byte(out.String()))
		_, err := ReadExport(strings.NewReader(string(raw)), nil)
		require.Error(t, err, "byte %d", offset)
	}
	_, err = ReadExport(strings.NewReader(out.String()[:out.Len()-1]), nil)
	require.ErrorIs(t, err, ErrExport)
}

func TestWhatReadsAJournalThatHasLostItsEndSaysSo(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, smallConfig(dir))
	fill(t, j, 4, 4, 4)
	require.NoError(t, j.Close())
	name, end, _ := endOf(t, dir)
	c := copyWith(t, dir, name, flip(int(end)-3, 1)) // in the last batch, which the mark knows
	f, err := OpenFolder(c, "")
	require.NoError(t, err)
	_, err = f.Verify()
	require.ErrorIs(t, err, ErrShort)
	_, err = f.Export(io.Discard)
	require.ErrorIs(t, err, ErrShort)
	batches := 0
	count := func(*Batch) error { batches++; return nil }
	require.ErrorIs(t, f.Replay(1, 0, count), ErrShort)
	require.Equal(t, 2, batches)
	require.NoError(t, f.Replay(1, 1, count), "what was asked for is there")
	require.ErrorIs(t, f.Replay(1, 3, count), ErrShort)
}

func TestTheMarkIsSyncedAfterAThousandAppendsOrASecond(t *testing.T) {
	now := time.Unix(0, 0)
	cfg := testConfig(t.TempDir())
	cfg.now = func() time.Time { return now }
	j := mustOpen(t, cfg)
	for n := 1; n < markSyncEvery; n++ {
		fill(t, j, 1)
		require.Equal(t, n, j.unsync)
	}
	fill(t, j, 1)
	require.Zero(t, j.unsync)
	now = now.Add(markSyncAfter - 1)
	fill(t, j, 1)
	require.Equal(t, 1, j.unsync)
	now = now.Add(1)
	fill(t, j, 1)
	require.Zero(t, j.unsync)
}

func TestOpeningStopsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, smallConfig(dir))
	fill(t, j, 4, 25, 25)
	require.NoError(t, j.Close())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, dir := range []string{dir, oldJournal(t, func(j *Journal) { fill(t, j, 4) })} {
		_, err := Open(ctx, smallConfig(dir))
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, mustOpen(t, smallConfig(dir)).Close())
	}
}

func FuzzParseBatch(f *testing.F) {
	var d Draft
	require.NoError(f, d.Add(events(1, 3)...))
	raw, _ := d.seal(1, Genesis(testProgramme))
	f.Add(raw)
	f.Add(raw[:headerSize])
	f.Add([]byte("HXJB"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := parseHeader(raw)
		if err != nil {
			return
		}
		evs, err := decodeEvents(h, raw[headerSize:])
		if err != nil {
			return
		}
		// What is accepted says the same thing when packed again.
		var d Draft
		require.NoError(t, d.Add(evs...))
		again, _ := d.seal(h.position, h.previous)
		h2, err := parseHeader(again)
		require.NoError(t, err)
		require.Equal(t, h, h2)
	})
}

func FuzzReadExport(f *testing.F) {
	var d Draft
	require.NoError(f, d.Add(events(1, 3)...))
	raw, _ := d.seal(1, Genesis(testProgramme))
	head := "HXJX\x00\x01\x00\x0d" + testProgramme
	f.Add([]byte(head))
	f.Add(append(binary.BigEndian.AppendUint32([]byte(head), uint32(len(raw))), raw...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = ReadExport(strings.NewReader(string(raw)), func(b *Batch) error {
			require.NotEmpty(t, b.Events)
			return nil
		})
	})
}

func FuzzCheckSnapshot(f *testing.F) {
	body := []byte("state")
	sum := sha256.Sum256(body)
	f.Add(append(appendSnapshotHeader(nil, Snapshot{Position: 3, Seq: 9}, uint64(len(body)), sum[:]), body...))
	f.Add(make([]byte, snapshotHeader))
	f.Fuzz(func(t *testing.T, raw []byte) {
		snap, err := checkSnapshot(bytes.NewReader(raw))
		if err != nil {
			return
		}
		// What is accepted is, byte for byte, what would be written; only the reserved bytes are free.
		sum := sha256.Sum256(raw[snapshotHeader:])
		again := appendSnapshotHeader(nil, snap, uint64(len(raw)-snapshotHeader), sum[:])
		require.Equal(t, again[:6], raw[:6])
		require.Equal(t, again[8:96], raw[8:96])
	})
}

func FuzzReadMark(f *testing.F) {
	name := filepath.Join(f.TempDir(), "mark")
	m := &markFile{name: name}
	require.NoError(f, m.set(link{position: 4}, true))
	require.NoError(f, m.set(link{position: 5}, true))
	require.NoError(f, m.close())
	f.Add(mustRead(f, name))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		mark, err := readMark(bytes.NewReader(raw), ownMark)
		if err != nil {
			require.ErrorIs(t, err, ErrMarkDamaged)
			return
		}
		require.Contains(t, string(raw), string(markMagic)+string(binary.BigEndian.AppendUint64(nil, mark.Position)))
	})
}
