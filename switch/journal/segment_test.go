package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"huanxin/switch/event"
)

// weakDisk is a disk that begins to fail.
type weakDisk struct {
	createFails, writeFails, syncFails atomic.Bool
	writes, syncs                      atomic.Int64
}

type weakFile struct {
	logFile
	disk *weakDisk
}

func (d *weakDisk) open(name string, flag int) (logFile, error) {
	if flag&os.O_CREATE != 0 && d.createFails.Load() {
		return nil, syscall.ENOSPC
	}
	f, err := openDiskFile(name, flag)
	return weakFile{f, d}, err
}

func (f weakFile) WriteAt(p []byte, at int64) (int, error) {
	f.disk.writes.Add(1)
	if f.disk.writeFails.Load() {
		n, _ := f.logFile.WriteAt(p[:len(p)/2], at)
		return n, syscall.ENOSPC
	}
	return f.logFile.WriteAt(p, at)
}

func (f weakFile) Sync() error {
	f.disk.syncs.Add(1)
	if f.disk.syncFails.Load() {
		return syscall.EIO
	}
	return f.logFile.Sync()
}

// batchOf packs one event so that the whole batch has a given size.
func batchOf(t testing.TB, j *Journal, size int) *Draft {
	t.Helper()
	d := new(Draft)
	for body := size - headerSize; ; body-- {
		d.Reset()
		require.NoError(t, d.Add(&event.Event{Seq: j.end.nextSeq, At: 1, Body: &event.Event_PolicyApplied{PolicyApplied: &event.PolicyApplied{
			Files: map[string][]byte{"a": bytes.Repeat([]byte{7}, body)}}}}))
		if d.Size() == size {
			return d
		}
		require.Greater(t, d.Size(), size)
	}
}

func appendOf(t testing.TB, j *Journal, size int) {
	t.Helper()
	_, err := j.Append(context.Background(), batchOf(t, j, size))
	require.NoError(t, err)
}

func TestABatchThatFitsExactlyStaysAndOneByteMoreBeginsTheNextSegment(t *testing.T) {
	for more, segment := range []uint64{1, 2} {
		dir := t.TempDir()
		j := mustOpen(t, smallConfig(dir))
		appendOf(t, j, 1000)
		appendOf(t, j, 1048+more)
		require.Equal(t, segment, j.stream.(*segmentLog).number)
		appendOf(t, j, 500)
		require.EqualValues(t, 2, j.stream.(*segmentLog).number)
		end := j.end
		require.Len(t, replayed(t, j, 1), 3)
		require.NoError(t, j.Close())
		j = mustOpen(t, smallConfig(dir))
		require.Equal(t, end, j.end)
		require.Len(t, replayed(t, j, 3), 1)
	}
}

func TestTheLargestBatchGoesIntoAnyJournal(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	appendOf(t, j, maxPayload-payloadRoom)
	require.EqualValues(t, 2, j.stream.(*segmentLog).number, "the first segment is smaller, and stays empty")
	fill(t, j, 3)
	end := j.end
	require.NoError(t, j.Close())
	j = mustOpen(t, testConfig(dir))
	require.Equal(t, end, j.end)
	require.Len(t, replayed(t, j, 1), 2)
}

func TestAFailedSyncOrWriteIsFinalAndNeverRepeated(t *testing.T) {
	for name, fail := range map[string]func(*weakDisk){
		"sync":  func(d *weakDisk) { d.syncFails.Store(true) },
		"write": func(d *weakDisk) { d.writeFails.Store(true) },
	} {
		disk := new(weakDisk)
		dir := t.TempDir()
		cfg := smallConfig(dir)
		cfg.openFile = disk.open
		j := mustOpen(t, cfg)
		fill(t, j, 2)
		<-j.stream.(*segmentLog).next.done // which writes, too
		fail(disk)
		require.ErrorIs(t, appendOne(j, 1), ErrAppend, name)
		writes, syncs := disk.writes.Load(), disk.syncs.Load()
		disk.syncFails.Store(false)
		disk.writeFails.Store(false)
		require.ErrorIs(t, appendOne(j, 1), ErrAppend, name)
		require.Equal(t, []int64{writes, syncs}, []int64{disk.writes.Load(), disk.syncs.Load()})
		require.EqualValues(t, 1, j.Position())
		require.NoError(t, j.Close())

		// The kernel holds the batch for clean though its sync failed: the next owner writes and syncs it once more.
		disk.writes.Store(0)
		j = mustOpen(t, cfg)
		require.Positive(t, disk.writes.Load())
		fill(t, j, 1)
		require.NoError(t, j.Close())
	}
}

func TestADiskThatTakesTooLongEndsTheOwnerAndKeepsTheBatch(t *testing.T) {
	cfg := smallConfig(t.TempDir())
	cfg.AppendTimeout = 1
	j := mustOpen(t, cfg)
	require.ErrorIs(t, appendOne(j, 1), ErrAppend)
	require.Zero(t, j.Position(), "nobody may see it before the restart has found it")
	require.NoError(t, j.Close())
	require.EqualValues(t, 1, mustOpen(t, smallConfig(cfg.Dir)).Position())
}

func TestASegmentThatCannotBePreparedStopsTheJournalWhenItIsNeeded(t *testing.T) {
	disk := new(weakDisk)
	dir := t.TempDir()
	cfg := smallConfig(dir)
	cfg.openFile, cfg.Logger = disk.open, zap.NewNop()
	j := mustOpen(t, cfg)
	disk.createFails.Store(true)
	for j.stream.(*segmentLog).at+int64(headerSize+200) < cfg.segmentSize(1) {
		appendOf(t, j, headerSize+200)
	}
	err := func() error { _, err := j.Append(context.Background(), batchOf(t, j, 1000)); return err }()
	require.ErrorIs(t, err, ErrAppend)
	require.ErrorIs(t, err, syscall.ENOSPC)
	last := j.Position()
	require.NoError(t, j.Close())
	disk.createFails.Store(false)
	j = mustOpen(t, cfg)
	require.Equal(t, last, j.Position())
	appendOf(t, j, 1000)
	require.NoError(t, j.Close())
	require.Empty(t, filesUnder(t, logDir(dir), ".new"))
}

func TestFoldersAreSyncedBeforeALogIsGoneOnWith(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "journal")
	disk := new(weakDisk)
	var synced []string
	cfg := smallConfig(dir)
	cfg.openFile = disk.open
	cfg.syncFolder = func(folder string) error {
		require.Zero(t, disk.writes.Load())
		synced = append(synced, folder)
		return syncFolder(folder)
	}
	j := mustOpen(t, cfg)
	require.Equal(t, []string{filepath.Dir(filepath.Dir(dir)), filepath.Dir(dir)}, synced, "those that were made")
	fill(t, j, 1)
	require.NoError(t, j.Close())
	disk.writes.Store(0)
	synced = nil
	require.NoError(t, mustOpen(t, cfg).Close())
	require.Equal(t, []string{logDir(dir), dir}, synced)
}

func TestASegmentThatTheDiskHasNoRoomForIsNotBegun(t *testing.T) {
	disk := new(weakDisk)
	dir := t.TempDir()
	h := segmentHeader{number: 1, size: 1 << 60, programme: testProgramme}
	_, err := makeSegment(segments{dir, testProgramme}, h, disk.open, func() error { return nil })
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Zero(t, disk.writes.Load())
	require.Empty(t, filesUnder(t, dir, ""))
}

func TestADamagedSpareSegmentIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, smallConfig(dir))
	fill(t, j, 50)
	<-j.stream.(*segmentLog).next.done
	require.NoError(t, j.Close())
	files, err := FilesOf(dir)
	require.NoError(t, err)
	require.Len(t, files.Spare, 1)
	require.NoError(t, os.WriteFile(files.Spare[0], flip(30, 1)(mustRead(t, files.Spare[0])), 0o600))
	j = mustOpen(t, smallConfig(dir))
	<-j.stream.(*segmentLog).next.done
	require.Equal(t, emptySegment(2), mustRead(t, files.Spare[0]))
}

func TestFilesOfAFolderAreSealedOpenOrSpare(t *testing.T) {
	dir := t.TempDir()
	files, err := FilesOf(dir)
	require.NoError(t, err)
	require.Equal(t, Files{}, files)
	j := mustOpen(t, smallConfig(dir))
	for j.stream.(*segmentLog).number < 3 {
		fill(t, j, 30)
	}
	fill(t, j, 30)
	<-j.stream.(*segmentLog).next.done
	require.NoError(t, j.Close())
	files, err = FilesOf(dir)
	require.NoError(t, err)
	name := func(n uint64) string { return filepath.Join(dir, segmentName(n)) }
	require.Equal(t, Files{Sealed: []string{name(1), name(2)}, Open: name(3), Spare: []string{name(4)}}, files)
}

func TestReadersCrossSegmentsBesideTheWriter(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, smallConfig(dir))
	const total = 400
	failed := make(chan error, 3)
	follow := func(from uint64, forget bool) {
		r, err := j.Follow(context.Background(), from)
		if err != nil {
			failed <- err
			return
		}
		defer r.Close()
		for p := from; p <= total; p++ {
			var b *Batch
			if forget { // as a reader does that is far behind
				if err = r.await(context.Background(), p); err == nil {
					var raw []byte
					if raw, err = r.cursor.next(context.Background(), p, j.position.Load()); err == nil {
						r.end, b, err = r.end.batch(raw, nil)
					}
				}
			} else {
				b, err = r.Next(context.Background())
			}
			if err == nil && b.Position != p {
				err = fmt.Errorf("batch %d where %d belongs", b.Position, p)
			}
			if err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}
	go follow(1, false)
	go follow(1, true)
	go func() {
		for j.Position() < total {
			f, err := OpenFolder(dir, "")
			if err == nil {
				_, err = f.Verify()
			}
			if err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	for i := range total {
		fill(t, j, 1+i%25)
	}
	for range 3 {
		require.NoError(t, <-failed)
	}
	for _, from := range []uint64{1, 2, 57, 200, total} {
		require.Len(t, replayed(t, j, from), int(total-from+1))
	}
}

func TestAnyCourseOfAppendsReopeningsAndTornTailsKeepsWhatWasAcknowledged(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		require.NoError(r, err)
		var j *Journal
		open := func() {
			j, err = Open(context.Background(), smallConfig(dir))
			require.NoError(r, err)
		}
		var hashes []Hash
		open()
		r.Repeat(map[string]func(*rapid.T){
			"append": func(r *rapid.T) {
				size := rapid.IntRange(300, 2048).Draw(r, "size")
				m, err := j.Append(context.Background(), batchOf(t, j, size))
				require.NoError(r, err)
				hashes = append(hashes, m.Hash)
			},
			"reopen": func(r *rapid.T) {
				require.NoError(r, j.Close())
				open()
			},
			"torn": func(r *rapid.T) {
				l := j.stream.(*segmentLog)
				size := rapid.IntRange(300, 2048).Draw(r, "size")
				raw, _ := batchOf(t, j, size).seal(j.end.position+1, j.end.hash)
				number, at := l.number, l.at
				if l.at+int64(size) > l.size {
					if l.next == nil {
						return
					}
					<-l.next.done
					number, at = number+1, segmentHead
				}
				require.NoError(r, j.Close())
				keep := rapid.SliceOfN(rapid.Bool(), 8, 8).Draw(r, "kept")
				keep[rapid.IntRange(0, 7).Draw(r, "lost")] = false
				for i, kept := range keep { // pieces of it, in no order
					if !kept {
						clear(raw[i*size/8 : (i+1)*size/8])
					}
				}
				f, err := openDiskFile(l.segment(number).name, 0)
				require.NoError(r, err)
				_, err = f.WriteAt(raw, at)
				require.NoError(r, err)
				require.NoError(r, f.Close())
				open()
			},
			"": func(r *rapid.T) {
				require.EqualValues(r, len(hashes), j.Position())
				n := 0
				require.NoError(r, j.Replay(context.Background(), 1, func(b *Batch) error {
					require.Equal(r, hashes[n], b.Hash)
					n++
					return nil
				}))
				require.Len(r, hashes, n)
			},
		})
		require.NoError(r, j.Close())
		require.NoError(r, os.RemoveAll(dir))
	})
}

func FuzzParseSegmentHeader(f *testing.F) {
	f.Add(emptySegment(3)[:segmentHead])
	f.Add(make([]byte, segmentHead))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := parseSegmentHeader(raw)
		if err != nil {
			require.True(t, errors.Is(err, ErrDamaged) || errors.Is(err, ErrVersion))
			return
		}
		again := h.append(nil)
		require.Equal(t, again, raw[:len(again)], "what is accepted is what would be written")
	})
}

func FuzzChunk(f *testing.F) {
	var d Draft
	require.NoError(f, d.Add(events(1, 3)...))
	raw, _ := d.seal(1, Genesis(testProgramme))
	f.Add(bytes.Clone(raw), int64(0))
	f.Add(append(make([]byte, 9), raw...), int64(9))
	f.Fuzz(func(t *testing.T, raw []byte, off int64) {
		if off < 0 || off > int64(len(raw)) {
			return
		}
		c := &chunk{f: bytes.NewReader(raw), size: int64(len(raw))}
		batch, err := c.batch(off)
		if err == nil {
			require.Equal(t, raw[off:off+int64(len(batch))], batch)
			_, err = parseHeader(batch)
			require.NoError(t, err)
		} else {
			require.True(t, errors.Is(err, errRecord) || errors.Is(err, ErrVersion), err)
		}
		end, err := lastByte(bytes.NewReader(raw), off)
		require.NoError(t, err)
		require.Equal(t, off+int64(len(bytes.TrimRight(raw[off:], "\x00"))), end)
	})
}
