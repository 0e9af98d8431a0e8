package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// oldJournal makes a folder as earlier releases did: the batches in the store of a JetStream server, the rest as it is.
func oldJournal(t testing.TB, write func(*Journal)) (dir string) {
	t.Helper()
	dir = t.TempDir()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, JetStream: true, StoreDir: storeDir(dir), SyncAlways: true, MaxPayload: maxPayload,
	})
	require.NoError(t, err)
	srv.Start()
	require.True(t, srv.ReadyForConnections(time.Minute))
	cfg := testConfig(dir)
	cfg.URL = srv.ClientURL()
	j := mustOpen(t, cfg)
	write(j)
	require.NoError(t, j.Close())
	srv.Shutdown()
	srv.WaitForShutdown()
	return dir
}

func TestAJournalOfTheEmbeddedServerIsBroughtOverOnce(t *testing.T) {
	var end link
	dir := oldJournal(t, func(j *Journal) {
		fill(t, j, 3, 4)
		for range 6 { // several block files
			appendOf(t, j, 3<<20)
		}
		fill(t, j, 5)
		end = j.end
	})
	require.Greater(t, len(filesUnder(t, dir, ".blk")), 2)

	// Beside it, before it has been opened.
	f, err := OpenFolder(dir, "")
	require.NoError(t, err)
	report, err := f.Verify()
	require.NoError(t, err)
	require.Equal(t, end.hash, report.Last.Hash)

	j := mustOpen(t, testConfig(dir))
	require.Equal(t, end, j.end)
	require.Equal(t, report.Bytes, j.Size())
	require.Len(t, replayed(t, j, 1), 9)
	fill(t, j, 1)
	end = j.end
	require.NoError(t, j.Close())
	require.NoDirExists(t, storeDir(dir))
	require.NotEmpty(t, filesUnder(t, filepath.Join(dir, retiredDir), ".blk"))
	j = mustOpen(t, testConfig(dir))
	require.Equal(t, end, j.end)
	f, err = OpenFolder(dir, testProgramme)
	require.NoError(t, err)
	report, err = f.Verify()
	require.NoError(t, err)
	require.Equal(t, end.hash, report.Last.Hash)
}

func TestBringingOverGoesOnFromWhereverItWasInterrupted(t *testing.T) {
	var end link
	old := oldJournal(t, func(j *Journal) { fill(t, j, 3, 4, 5); end = j.end })
	done := t.TempDir()
	require.NoError(t, os.CopyFS(done, os.DirFS(old)))
	require.NoError(t, mustOpen(t, testConfig(done)).Close())

	for what, state := range map[string]func(dir string) error{
		"half written": func(dir string) error {
			require.NoError(t, os.CopyFS(filepath.Join(dir, importDir), os.DirFS(logDir(done))))
			return os.Truncate(filepath.Join(dir, importDir, filepath.Base(segmentName(1))), 5000)
		},
		"written, not renamed":       func(dir string) error { return os.CopyFS(filepath.Join(dir, importDir), os.DirFS(logDir(done))) },
		"renamed, store still there": func(dir string) error { return os.CopyFS(logDir(dir), os.DirFS(logDir(done))) },
	} {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(old)))
		require.NoError(t, state(dir), what)
		j := mustOpen(t, testConfig(dir))
		require.Equal(t, end, j.end, what)
		require.NoDirExists(t, storeDir(dir))
		require.NoDirExists(t, filepath.Join(dir, importDir))
		fill(t, j, 1)
		require.NoError(t, j.Close())
	}
}

func TestADamagedOldStoreIsRefusedAndLeftAsItIs(t *testing.T) {
	old := oldJournal(t, func(j *Journal) { fill(t, j, 1, 5, 3) })
	block := filesUnder(t, old, ".blk")[0]
	whole := mustRead(t, filepath.Join(old, block))
	for offset := 0; offset < len(whole); offset++ {
		require.NoError(t, os.WriteFile(filepath.Join(old, block), flip(offset, 1<<(offset%8))(bytes.Clone(whole)), 0o600))
		_, err := Open(context.Background(), smallConfig(old))
		damageOf(t, err, block)
		require.NoDirExists(t, logDir(old))
		require.NoDirExists(t, filepath.Join(old, importDir))
	}
	require.NoError(t, os.Remove(filepath.Join(old, block)))
	_, err := Open(context.Background(), smallConfig(old))
	require.ErrorIs(t, err, ErrShort)
	require.NoDirExists(t, logDir(old))
	require.NoError(t, os.WriteFile(filepath.Join(old, block), whole, 0o600))
	require.EqualValues(t, 3, mustOpen(t, smallConfig(old)).Position())
}

func TestATornAppendOfAnOldStoreIsLeftBehind(t *testing.T) {
	var before []byte
	var two link
	var mark string
	old := oldJournal(t, func(j *Journal) {
		fill(t, j, 4, 4)
		mark = j.mark.name
		before, two = mustRead(t, mark), j.end
		fill(t, j, 4)
	})
	block := filepath.Join(old, filesUnder(t, old, ".blk")[0])
	raw := mustRead(t, block)
	require.NoError(t, os.WriteFile(block, raw[:len(raw)-5], 0o600))
	_, err := Open(context.Background(), testConfig(old))
	require.ErrorIs(t, err, ErrShort)
	require.NoError(t, os.WriteFile(mark, before, 0o600))
	j := mustOpen(t, testConfig(old))
	require.Equal(t, two, j.end)
	fill(t, j, 4)
}

func TestAnOldStoreOfAnotherProgrammeIsRefused(t *testing.T) {
	old := oldJournal(t, func(j *Journal) { fill(t, j, 1) })
	_, err := Open(context.Background(), Config{Programme: "jilin-2025", Dir: old, MinFree: -1})
	require.ErrorIs(t, err, ErrProgramme)
	_, err = OpenFolder(old, "jilin-2025")
	require.ErrorIs(t, err, ErrProgramme)
}

func TestARecordShorterThanItsOwnFrameIsRefused(t *testing.T) {
	// A length that covers no record must not be walked over: it would loop, or read the next record from its middle.
	var raw [64]byte
	binary.LittleEndian.PutUint32(raw[:], 29)
	b := blocks{stream: "S"}
	digest, err := b.digest(1)
	require.NoError(t, err)
	_, _, err = parseRecord(raw[:], digest)
	require.ErrorIs(t, err, errRecord)
}

func FuzzParseRecord(f *testing.F) {
	dir := oldJournal(f, func(j *Journal) { fill(f, j, 2) })
	for _, name := range filesUnder(f, dir, ".blk") {
		f.Add(mustRead(f, filepath.Join(dir, name)))
	}
	f.Add(make([]byte, 64))
	b := openBlocks(dir, testProgramme)
	digest, err := b.digest(1)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, raw []byte) {
		rec, n, err := parseRecord(raw, digest)
		if err == nil {
			require.LessOrEqual(t, len(rec.subject)+len(rec.message)+recordHeader+recordHash, n)
			require.LessOrEqual(t, n, len(raw))
		}
	})
}
