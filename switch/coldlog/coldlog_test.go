package coldlog

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// small opens a log whose files are short, so that records cross from one to the next.
func small(t require.TestingT, folder string) *Log {
	f, err := openFiles(folder, 100)
	require.NoError(t, err)
	return &Log{files: f}
}

// The reference is a slice. Records are written by two engines of which one lags, syncs and restarts come between, and a
// restart may begin at any record.
func TestALogIsARunOfBytes(t *testing.T) {
	top := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		folder, err := os.MkdirTemp(top, "log")
		require.NoError(t, err)
		l := small(t, folder)
		var want []byte
		starts := []int{0} // of records, and the end
		follower := 0
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				require.NoError(t, l.Sync())
			case 1: // a restart from a state that is older, or not
				require.NoError(t, l.Close())
				l = small(t, folder)
				k := rapid.IntRange(0, len(starts)-1).Draw(t, "state")
				starts, follower = starts[:k+1], min(follower, k)
				want = want[:starts[k]]
			case 2, 3:
				if follower < len(starts)-1 && l.begun {
					n, err := l.WriteAt(want[starts[follower]:starts[follower+1]], int64(starts[follower]))
					require.NoError(t, err)
					require.Equal(t, starts[follower+1]-starts[follower], n)
					follower++
				}
			case 4, 5:
				if len(want) > 0 {
					at := rapid.IntRange(0, len(want)-1).Draw(t, "at")
					p := make([]byte, rapid.IntRange(1, 300).Draw(t, "length"))
					n, err := l.ReadAt(p, int64(at))
					sound := min(n, len(want)-at)
					require.Equal(t, want[at:at+sound], p[:sound])
					require.GreaterOrEqual(t, n, min(len(p), len(want)-at))
					if n < len(p) {
						require.ErrorIs(t, err, io.EOF)
					}
				}
			default:
				record := rapid.SliceOfN(rapid.Byte(), 1, 250).Draw(t, "record")
				_, err := l.WriteAt(record, int64(len(want)))
				require.NoError(t, err)
				want = append(want, record...)
				starts = append(starts, len(want))
			}
		}
		require.NoError(t, l.Close())
	})
}

func TestTwoEnginesThatPartAreStopped(t *testing.T) {
	l := small(t, t.TempDir())
	for i := range 50 {
		_, err := l.WriteAt(bytes.Repeat([]byte{byte(i)}, 10), int64(i*10))
		require.NoError(t, err)
	}
	_, err := l.WriteAt(bytes.Repeat([]byte{7}, 10), 70)
	require.NoError(t, err, "the same is written again")
	_, err = l.WriteAt(bytes.Repeat([]byte{8}, 10), 70)
	require.ErrorIs(t, err, ErrOther)
	_, err = l.WriteAt([]byte{1}, 501)
	require.ErrorContains(t, err, "ends at 500", "a gap is never left")
	require.NoError(t, l.Sync())
	_, err = l.WriteAt(bytes.Repeat([]byte{8}, 10), 70)
	require.ErrorIs(t, err, ErrOther)
}

func TestAFirstWriteBehindTheFilesIsRefused(t *testing.T) {
	folder := t.TempDir()
	l := small(t, folder)
	_, err := l.WriteAt(make([]byte, 250), 0)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, os.Truncate(filepath.Join(folder, "000001.cold"), 50))
	l = small(t, folder)
	_, err = l.WriteAt([]byte{1}, 151)
	require.ErrorContains(t, err, "end at 150", "what lies behind a short file does not count")
	n, err := l.ReadAt(make([]byte, 100), 100)
	require.Equal(t, 50, n)
	require.ErrorIs(t, err, io.EOF)
	_, err = l.WriteAt([]byte{1}, 150)
	require.NoError(t, err)
}

func TestFilesArePrivate(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "cold")
	l, err := Open(folder)
	require.NoError(t, err)
	_, err = l.WriteAt([]byte("record"), 0)
	require.NoError(t, err)
	require.NoError(t, l.Sync())
	fi, err := os.Stat(filepath.Join(folder, "000000.cold"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), fi.Mode())
	require.NoError(t, l.Close())
}

// The deciding engine writes and reads while the follower writes the same again.
func TestAFollowerMayLag(t *testing.T) {
	l := small(t, t.TempDir())
	record := func(i int) []byte { return fmt.Appendf(nil, "record %06d;", i) }
	const n, size = 20_000, 14
	written := make(chan int, n)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(written)
		got := make([]byte, size)
		for i := range n {
			_, err := l.WriteAt(record(i), int64(i*size))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := l.ReadAt(got, int64(i/2*size)); err != nil || !bytes.Equal(got, record(i/2)) {
				t.Errorf("record %d is %q: %v", i/2, got, err)
				return
			}
			written <- i
		}
	})
	for i := range written {
		if _, err := l.WriteAt(record(i), int64(i*size)); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			require.NoError(t, l.Sync())
		}
	}
	wg.Wait()
}

// crossedFile is synced by somebody just before each write, and notes what was done to it.
type crossedFile struct {
	disk
	of   *files
	done []string
}

func (f *crossedFile) WriteAt(p []byte, at int64) (int, error) {
	if err := f.of.sync(); err != nil {
		return 0, err
	}
	f.done = append(f.done, "write")
	return f.disk.WriteAt(p, at)
}

func (f *crossedFile) Sync() error {
	f.done = append(f.done, "sync")
	return f.disk.Sync()
}

func TestASyncThatCrossesAWriteDoesNotTakeItsPlace(t *testing.T) {
	l := small(t, t.TempDir())
	_, err := l.WriteAt(make([]byte, 10), 0)
	require.NoError(t, err)
	require.NoError(t, l.Sync())
	file := &crossedFile{disk: l.files.list[0], of: l.files}
	l.files.list[0] = file
	_, err = l.WriteAt(make([]byte, 10), 10)
	require.NoError(t, err)
	require.NoError(t, l.Sync())
	require.Equal(t, []string{"write", "sync"}, file.done)
}

func TestAFailedSyncIsNotForgotten(t *testing.T) {
	l := small(t, t.TempDir())
	_, err := l.WriteAt(make([]byte, 90), 0)
	require.NoError(t, err)
	require.NoError(t, l.Sync())
	_, err = l.WriteAt(make([]byte, 5), 90)
	require.NoError(t, err)
	require.NoError(t, l.files.list[0].Close()) // whatever is done with it fails
	require.Error(t, l.Sync())
	require.Error(t, l.Sync(), "nothing was made durable since")
	_, err = l.WriteAt([]byte{1}, 95)
	require.Error(t, err, "and the engine that writes must stop")
}
