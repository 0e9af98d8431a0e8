package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/event"
)

// filesUnder lists the journal's files by their path below dir.
func filesUnder(t testing.TB, dir, suffix string) []string {
	t.Helper()
	var names []string
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(p, suffix) {
			names = append(names, strings.TrimPrefix(p, dir+"/"))
		}
		return err
	}))
	return names
}

// copyWith copies the folder and replaces one file's content by what change makes of it.
func copyWith(t testing.TB, dir, name string, change func([]byte) []byte) string {
	t.Helper()
	c, err := os.MkdirTemp(t.TempDir(), "journal")
	require.NoError(t, err)
	require.NoError(t, os.CopyFS(c, os.DirFS(dir)))
	raw, err := os.ReadFile(filepath.Join(c, name))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(c, name), change(raw), 0o600))
	return c
}

func flip(offset int, mask byte) func([]byte) []byte {
	return func(raw []byte) []byte {
		raw[offset] ^= mask
		return raw
	}
}

// damageOf asserts that err names what is wrong with the stored batches.
func damageOf(t testing.TB, err error, what string) {
	t.Helper()
	require.Error(t, err, what)
	for _, known := range []error{ErrDamaged, ErrChain, ErrMissing, ErrShort, ErrDiverged, ErrVersion} {
		if strings.Contains(err.Error(), known.Error()) {
			require.Contains(t, err.Error(), "position ", what)
			return
		}
	}
	require.Fail(t, "refused for another reason", "%s: %v", what, err)
}

func TestEveryFlippedByteOfAStoredBlockIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	fill(t, j, 1, 5, 3, 20)
	require.NoError(t, j.Close())

	blocks := filesUnder(t, dir, ".blk")
	require.Len(t, blocks, 1)
	size := len(mustRead(t, filepath.Join(dir, blocks[0])))
	require.Greater(t, size, 1000)
	c := copyWith(t, dir, blocks[0], func(raw []byte) []byte { return raw })
	for offset := range size {
		require.NoError(t, os.WriteFile(filepath.Join(c, blocks[0]), flip(offset, 1<<(offset%8))(mustRead(t, filepath.Join(dir, blocks[0]))), 0o600))
		// The server would make its own of a damaged file, up to eating all memory: it must never see one.
		_, err := Open(context.Background(), testConfig(c))
		damageOf(t, err, blocks[0])
		require.Equal(t, []string{blocks[0]}, filesUnder(t, c, ".blk"))
	}
}

func TestAFlippedByteInAnyOfManyBlocksIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	fill(t, j, 3)
	seq := j.end.nextSeq
	for range 7 { // 3 MiB each: several blocks
		var d Draft
		require.NoError(t, d.Add(&event.Event{Seq: seq, At: 1, Body: &event.Event_PolicyApplied{PolicyApplied: &event.PolicyApplied{
			Files: map[string][]byte{"policy.yaml": bytes.Repeat([]byte{7, 3, 1}, 1<<20)}}}}))
		_, err := j.Append(context.Background(), &d)
		require.NoError(t, err)
		seq++
	}
	fill(t, j, 2, 2)
	last := j.Position()
	rolled := j.roll.last
	require.NoError(t, j.Close())

	blocks := filesUnder(t, dir, ".blk")
	require.Greater(t, len(blocks), 2)
	require.EqualValues(t, len(blocks), rolled, "a new block's name must have been synced with the append that began it")
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range blocks {
		raw := mustRead(t, filepath.Join(dir, name))
		offsets := []int{0, 3, 4, 11, 20, 21, len(raw) - 1}
		for range 2 {
			offsets = append(offsets, random.IntN(len(raw)))
		}
		for _, offset := range offsets {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), flip(offset, 0x10)(bytes.Clone(raw)), 0o600))
			_, err := Open(context.Background(), testConfig(dir))
			damageOf(t, err, name)
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), raw, 0o600))
	}
	require.Equal(t, last, mustOpen(t, testConfig(dir)).Position())
}

func TestALostBlockFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	fill(t, j, 4, 4)
	require.NoError(t, j.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, filesUnder(t, dir, ".blk")[0])))
	_, err := Open(context.Background(), testConfig(dir))
	require.ErrorIs(t, err, ErrShort)
	require.ErrorContains(t, err, "position 2")
}

func TestALostOrDamagedStreamDescriptionIsRefusedAndNotReplaced(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	fill(t, j, 4, 4)
	require.NoError(t, j.Close())
	for _, name := range filesUnder(t, dir, "/meta.inf") {
		c := copyWith(t, dir, name, flip(40, 4))
		for _, withMark := range []bool{true, false} {
			if !withMark {
				require.NoError(t, os.Remove(filepath.Join(c, "mark")))
			}
			_, err := Open(context.Background(), testConfig(c))
			require.ErrorIs(t, err, ErrMissing)
			require.Equal(t, mustRead(t, filepath.Join(dir, filesUnder(t, dir, ".blk")[0])), mustRead(t, filepath.Join(c, filesUnder(t, c, ".blk")[0])))
		}
	}
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "store")))
	_, err := Open(context.Background(), testConfig(dir))
	require.ErrorIs(t, err, ErrShort)
}

func TestADamagedServerIndexChangesNothing(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	fill(t, j, 4, 9, 1)
	end := j.end
	require.NoError(t, j.Close())
	for _, name := range filesUnder(t, dir, "/index.db") {
		for offset := range mustRead(t, filepath.Join(dir, name)) {
			c := copyWith(t, dir, name, flip(offset, 0x41))
			k := mustOpen(t, testConfig(c))
			require.Equal(t, end, k.end)
			require.Len(t, replayed(t, k, 1), 3)
			require.NoError(t, k.Close())
		}
	}
}

func TestATornAppendNobodySawIsCutOffAndASeenOneIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	fill(t, j, 4, 4)
	before := mustRead(t, filepath.Join(dir, "mark"))
	fill(t, j, 4)
	require.NoError(t, j.Close())
	block := filesUnder(t, dir, ".blk")[0]
	whole := len(mustRead(t, filepath.Join(dir, block)))

	for _, tail := range map[string]func([]byte) []byte{
		"shorter":  func(raw []byte) []byte { return raw[:whole-5] },
		"a header": func(raw []byte) []byte { return raw[:2*whole/3+9] },
		"garbled":  flip(whole-30, 0xff),
		"zeros":    func(raw []byte) []byte { clear(raw[whole-200:]); return raw },
	} {
		c := copyWith(t, dir, block, tail)
		_, err := Open(context.Background(), testConfig(c))
		require.ErrorIs(t, err, ErrShort)
		require.ErrorContains(t, err, "position 2")

		// The same bytes when the process died before the append was acknowledged: the mark had not moved.
		require.NoError(t, os.WriteFile(filepath.Join(c, "mark"), before, 0o600))
		f, err := OpenFolder(c, "")
		require.NoError(t, err)
		report, err := f.Verify()
		require.NoError(t, err)
		require.NotEmpty(t, report.Torn)
		k := mustOpen(t, testConfig(c))
		require.EqualValues(t, 2, k.Position())
		fill(t, k, 4)
		end := k.end
		require.NoError(t, k.Close())
		k = mustOpen(t, testConfig(c))
		require.Equal(t, end, k.end)
		require.Len(t, replayed(t, k, 1), 3)
		require.NoError(t, k.Close())
	}
}

func TestDamageBeforeTheLastBatchIsNeverTakenForATornAppend(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	fill(t, j, 4, 4, 4)
	require.NoError(t, j.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, "mark")))
	block := filesUnder(t, dir, ".blk")[0]
	size := len(mustRead(t, filepath.Join(dir, block)))
	c := copyWith(t, dir, block, flip(size/3+60, 1))
	_, err := Open(context.Background(), testConfig(c))
	require.ErrorIs(t, err, ErrDamaged)
	require.ErrorContains(t, err, "position 2")
}

func TestStreamThatEndsBeforeSomebodysPositionIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	fill(t, j, 4, 4)
	seen := Mark{Name: "Postgres", Position: 2, Hash: j.end.hash}
	require.NoError(t, j.Close())

	cfg := testConfig(dir)
	cfg.MustReach = []Mark{seen, {Name: "projection", Position: 1}}
	require.NoError(t, mustOpen(t, cfg).Close())

	cfg.MustReach = []Mark{{Name: "Postgres", Position: 3}}
	_, err := Open(context.Background(), cfg)
	require.ErrorIs(t, err, ErrShort)
	require.ErrorContains(t, err, "position 2")
	require.ErrorContains(t, err, "Postgres is at position 3")

	seen.Hash[0] ^= 1
	cfg.MustReach = []Mark{seen}
	_, err = Open(context.Background(), cfg)
	require.ErrorIs(t, err, ErrDiverged)
	require.ErrorContains(t, err, "position 2")
}

func TestOlderCopyOfTheBlocksIsRefusedBecauseOfTheSnapshot(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	fill(t, j, 4, 4)
	require.NoError(t, j.Close())
	old := t.TempDir()
	require.NoError(t, os.CopyFS(old, os.DirFS(dir)))

	j = mustOpen(t, testConfig(dir))
	fill(t, j, 4)
	require.NoError(t, j.Snapshots().Save(Snapshot{Position: 3, Hash: j.end.hash, Seq: 12}, func(w io.Writer) error { return nil }))
	require.NoError(t, j.Close())
	require.NoError(t, os.CopyFS(filepath.Join(old, "snapshots"), os.DirFS(filepath.Join(dir, "snapshots"))))
	_, err := Open(context.Background(), testConfig(old))
	require.ErrorIs(t, err, ErrShort)
	require.ErrorContains(t, err, "newest snapshot is at position 3")
}

func TestDamagedMarkSlotFallsBackAndAWhollyDamagedMarkIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	fill(t, j, 1, 1, 1)
	require.NoError(t, j.Close())
	c := copyWith(t, dir, "mark", flip(slotSize+20, 1))
	require.NoError(t, mustOpen(t, testConfig(c)).Close())
	c = copyWith(t, dir, "mark", func(raw []byte) []byte { return flip(20, 1)(flip(slotSize+20, 1)(raw)) })
	_, err := Open(context.Background(), testConfig(c))
	require.ErrorIs(t, err, ErrMarkDamaged)
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

func mustRead(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	return raw
}
