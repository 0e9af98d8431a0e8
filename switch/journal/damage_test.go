package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// smallConfig is a journal whose segments take a few batches each.
func smallConfig(dir string) Config {
	cfg := testConfig(dir)
	cfg.segmentSize = func(uint64) int64 { return segmentHead + 2048 }
	return cfg
}

// segmentName is the path of a segment below the journal's folder.
func segmentName(number uint64) string {
	return strings.TrimPrefix(segments{dir: logDir("")}.segment(number).name, "/")
}

// endOf is where the log ends in the last segment that is used.
func endOf(t testing.TB, dir string) (name string, end int64, last int) {
	t.Helper()
	tr := &tour{segments: segments{logDir(dir), testProgramme}}
	require.NoError(t, tr.run(func([]byte) error { return nil }))
	require.Nil(t, tr.torn)
	return segmentName(tr.at.number), tr.end, tr.last
}

func refused(t testing.TB, dir, what string) {
	t.Helper()
	_, err := Open(context.Background(), smallConfig(dir))
	damageOf(t, err, what)
}

func TestEveryFlippedByteOfASegmentIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, smallConfig(dir))
	fill(t, j, 1, 5, 3, 20)
	end := j.end
	require.NoError(t, j.Close())
	name, used, _ := endOf(t, dir)
	require.Equal(t, segmentName(1), name)
	whole := mustRead(t, filepath.Join(dir, name))
	c := copyWith(t, dir, name, func(raw []byte) []byte { return raw })
	for offset := range whole {
		if offset > offSegmentCRC+4 && offset < segmentHead && offset%13 != 0 {
			continue // one zero of the header's block is as good as another
		}
		damaged := flip(offset, 1<<(offset%8))(bytes.Clone(whole))
		require.NoError(t, os.WriteFile(filepath.Join(c, name), damaged, 0o600))
		if int64(offset) < used {
			refused(t, c, fmt.Sprintf("byte %d", offset))
			require.Equal(t, damaged, mustRead(t, filepath.Join(c, name)), "a refused journal is left as it is")
			continue
		}
		if offset%97 != 0 {
			continue
		}
		// Nothing is lost behind the end: what stands there is what an interrupted append leaves.
		k := mustOpen(t, smallConfig(c))
		require.Equal(t, end, k.end)
		require.NoError(t, k.Close())
		require.Equal(t, whole, mustRead(t, filepath.Join(c, name)))
	}
}

func TestAFlippedByteInAnyOfManySegmentsIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, smallConfig(dir))
	for range 20 {
		fill(t, j, 25)
	}
	end := j.end
	require.NoError(t, j.Close())
	files, err := FilesOf(dir)
	require.NoError(t, err)
	require.Greater(t, len(files.Sealed), 3)
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range files.Sealed {
		raw := mustRead(t, name)
		offsets := []int{0, 3, 4, 91, 92, segmentHead - 1, segmentHead, segmentHead + 5, len(raw) - 1}
		for range 20 {
			offsets = append(offsets, random.IntN(len(raw)))
		}
		for _, offset := range offsets {
			require.NoError(t, os.WriteFile(name, flip(offset, 0x10)(bytes.Clone(raw)), 0o600))
			refused(t, dir, fmt.Sprintf("%s byte %d", name, offset))
		}
		require.NoError(t, os.WriteFile(name, raw, 0o600))
	}
	require.Equal(t, end, mustOpen(t, smallConfig(dir)).end)
}

func TestASegmentOfAnyOtherLengthIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, smallConfig(dir))
	fill(t, j, 4, 4)
	require.NoError(t, j.Close())
	name := filepath.Join(dir, segmentName(1))
	whole := mustRead(t, name)
	require.NoError(t, os.WriteFile(name, append(bytes.Clone(whole), 0), 0o600))
	refused(t, dir, "one byte more")
	for size := len(whole) - 1; size >= 0; size -= 7 {
		require.NoError(t, os.Truncate(name, int64(size)))
		refused(t, dir, fmt.Sprintf("%d bytes", size))
	}
}

func TestLostForeignAndMisplacedSegmentsAreRefused(t *testing.T) {
	make := func(programme string) string {
		dir := t.TempDir()
		cfg := smallConfig(dir)
		cfg.Programme = programme
		j := mustOpen(t, cfg)
		for range 20 {
			fill(t, j, 25)
		}
		require.NoError(t, j.Close())
		return dir
	}
	dir, foreign := make(testProgramme), make("jilin-2025")
	files, err := FilesOf(dir)
	require.NoError(t, err)
	last := uint64(len(files.Sealed)) + 1
	require.Greater(t, last, uint64(3))
	in := func(c string, n uint64) string { return filepath.Join(c, segmentName(n)) }
	for what, damage := range map[string]func(c string) error{
		"the first is lost": func(c string) error { return os.Remove(in(c, 1)) },
		"one is lost":       func(c string) error { return os.Remove(in(c, 2)) },
		"the last is lost":  func(c string) error { return os.Remove(in(c, last)) },
		"two are swapped": func(c string) error {
			return errors.Join(os.Rename(in(c, 2), in(c, 99)), os.Rename(in(c, 3), in(c, 2)), os.Rename(in(c, 99), in(c, 3)))
		},
		"one is there twice": func(c string) error { return os.WriteFile(in(c, last+1), mustRead(t, in(c, last)), 0o600) },
		"one follows itself": func(c string) error { return os.WriteFile(in(c, 3), mustRead(t, in(c, 2)), 0o600) },
		"a name is unknown":  func(c string) error { return os.WriteFile(filepath.Join(logDir(c), "x.seg"), nil, 0o600) },
		"one became empty":   func(c string) error { return os.WriteFile(in(c, 2), emptySegment(2), 0o600) },
	} {
		c := copyWith(t, dir, "mark", func(raw []byte) []byte { return raw })
		require.NoError(t, damage(c))
		refused(t, c, what)
	}
	c := copyWith(t, dir, segmentName(2), func([]byte) []byte { return mustRead(t, in(foreign, 2)) })
	_, err = Open(context.Background(), smallConfig(c))
	require.ErrorIs(t, err, ErrProgramme)
	require.ErrorContains(t, err, "position ")
}

func emptySegment(number uint64) []byte {
	size := smallConfig("").segmentSize(number)
	return segmentHeader{number: number, size: size, programme: testProgramme}.append(make([]byte, 0, size))[:size]
}

func TestALostLogIsRefusedAndNotReplaced(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, mustOpen(t, smallConfig(dir)).Close())
	require.NoError(t, os.RemoveAll(logDir(dir)))
	_, err := Open(context.Background(), smallConfig(dir))
	require.ErrorIs(t, err, ErrMissing)

	dir = t.TempDir()
	j := mustOpen(t, smallConfig(dir))
	fill(t, j, 4, 4)
	require.NoError(t, j.Close())
	require.NoError(t, os.RemoveAll(logDir(dir)))
	_, err = Open(context.Background(), smallConfig(dir))
	require.ErrorIs(t, err, ErrShort)
	require.NoDirExists(t, logDir(dir))
}

func TestSwappedZeroedAndRepeatedBatchesAreRefused(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, smallConfig(dir))
	fill(t, j, 4, 4, 4, 4)
	require.NoError(t, j.Close())
	name, end, size := endOf(t, dir)
	// The mark is taken away: these are found in the log itself.
	require.NoError(t, os.Remove(filepath.Join(dir, "mark")))
	at := func(n int) int { return int(end) - (4-n)*size }
	for what, damage := range map[string]func(raw []byte){
		"swapped": func(raw []byte) {
			b := bytes.Clone(raw[at(1):at(2)])
			copy(raw[at(1):], raw[at(2):at(3)])
			copy(raw[at(2):], b)
		},
		"repeated":     func(raw []byte) { copy(raw[at(4):], raw[at(3):at(4)]) },
		"a hole":       func(raw []byte) { clear(raw[at(1):at(2)]) },
		"magic broken": func(raw []byte) { raw[at(2)] ^= 1 },
		"behind a hole": func(raw []byte) {
			copy(raw[at(4)+8:], raw[at(3):at(4)])
			raw[at(4)+8+offPosition+7] = 6 // which came after the one in the hole
		},
	} {
		c := copyWith(t, dir, name, func(raw []byte) []byte { damage(raw); return raw })
		refused(t, c, what)
	}
}

func TestATornAppendNobodySawIsCutOffAndASeenOneIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, smallConfig(dir))
	fill(t, j, 4, 4)
	two := j.end
	before := mustRead(t, filepath.Join(dir, "mark"))
	fill(t, j, 4)
	three := j.end
	require.NoError(t, j.Close())
	name, end, size := endOf(t, dir)
	start := end - int64(size)
	random := rand.New(rand.NewPCG(3, 4))

	check := func(what string, tail func(record []byte)) {
		c := copyWith(t, dir, name, func(raw []byte) []byte { tail(raw[start:end]); return raw })
		defer os.RemoveAll(c)
		broken := !bytes.Equal(mustRead(t, filepath.Join(c, name)), mustRead(t, filepath.Join(dir, name)))
		if broken {
			_, err := Open(context.Background(), smallConfig(c))
			require.ErrorIs(t, err, ErrShort, what)
			require.ErrorContains(t, err, "position 2")
		}
		// The same bytes when the process died before the append was acknowledged: the mark had not moved.
		require.NoError(t, os.WriteFile(filepath.Join(c, "mark"), before, 0o600))
		f, err := OpenFolder(c, "")
		require.NoError(t, err)
		report, err := f.Verify()
		require.NoError(t, err, what)
		k := mustOpen(t, smallConfig(c))
		if !broken {
			require.Equal(t, three, k.end, "what is whole is kept")
			require.NoError(t, k.Close())
			return
		}
		require.Equal(t, two, k.end, what)
		if report.Torn != "" {
			require.NotContains(t, string(mustRead(t, filepath.Join(c, name))[start:]), string(batchMagic))
		}
		fill(t, k, 4)
		end := k.end
		require.NoError(t, k.Close())
		k = mustOpen(t, smallConfig(c))
		require.Equal(t, end, k.end)
		require.Len(t, replayed(t, k, 1), 3)
		require.NoError(t, k.Close())
	}
	for n := range size + 1 {
		check(fmt.Sprintf("%d bytes written", n), func(record []byte) { clear(record[n:]) })
	}
	for n := 1; n < size; n += 5 { // the kernel writes pages in any order
		check(fmt.Sprintf("the first %d bytes not written", n), func(record []byte) { clear(record[:n]) })
	}
	for range 20 {
		check("garbled", func(record []byte) { record[random.IntN(size)] ^= 0xff })
	}
}

func TestATornAppendAtTheBeginningOfASegmentIsCutOff(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, smallConfig(dir))
	for j.stream.(*segmentLog).number == 1 {
		fill(t, j, 25)
	}
	require.NoError(t, j.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, "mark")))
	last := j.end.position
	for _, mask := range []byte{0x40, 0xff} {
		c := copyWith(t, dir, segmentName(2), flip(segmentHead+int(mask), mask))
		k := mustOpen(t, smallConfig(c))
		require.Equal(t, last-1, k.Position())
		require.Equal(t, emptySegment(2), mustRead(t, filepath.Join(c, segmentName(2))))
		fill(t, k, 25, 25, 25, 25)
		end := k.end
		require.NoError(t, k.Close())
		k = mustOpen(t, smallConfig(c))
		require.Equal(t, end, k.end)
		require.NoError(t, k.Close())
	}
}

// lay writes raw into a closed journal behind the end of its log.
func lay(t testing.TB, dir string, raw []byte) {
	t.Helper()
	name, end, _ := endOf(t, dir)
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(raw, end)
	require.NoError(t, errors.Join(err, f.Close()))
}

// Events carry bytes from outside, which may be those that a batch begins with.
func TestATornAppendWithTheBeginningOfABatchInItsBodyIsCutOff(t *testing.T) {
	for _, beginning := range [][]byte{batchStart, append(bytes.Clone(batchStart), 0, 0, 0, 0, 0, 0, 0, 1), append(bytes.Clone(batchStart), 7, 7, 7, 7, 7, 7, 7, 7)} {
		dir := t.TempDir()
		j := mustOpen(t, smallConfig(dir))
		fill(t, j, 4)
		var d Draft
		require.NoError(t, d.Add(&event.Event{Seq: j.end.nextSeq, At: 1, Body: &event.Event_SaleApproved{SaleApproved: &event.SaleApproved{
			Purchase: 1, Answer: &event.HostAnswer{Response: "00", Network: append(bytes.Clone(beginning), bytes.Repeat([]byte{7}, 900)...)}}}}))
		raw, _ := d.seal(j.end.position+1, j.end.hash)
		raw = bytes.Clone(raw)
		require.NoError(t, j.Close())
		clear(raw[512:])
		lay(t, dir, raw)
		k := mustOpen(t, smallConfig(dir))
		require.EqualValues(t, 1, k.Position())
		fill(t, k, 4)
		require.NoError(t, k.Close())
	}
}

// The last acknowledged batch has a flipped bit, and the next append was torn behind it: the mark is as old as a power loss
// leaves it, and the batch's own header says that more was begun than itself.
func TestDamageWithATornAppendBehindItIsRefused(t *testing.T) {
	for name, before := range map[string]int{"in a segment": 4, "at the beginning of one": 16} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := testConfig(dir)
			cfg.segmentSize = func(uint64) int64 { return segmentHead + 8192 }
			j := mustOpen(t, cfg)
			for range before {
				appendOf(t, j, 512)
			}
			mark := mustRead(t, filepath.Join(dir, "mark"))
			appendOf(t, j, 1000)
			raw, _ := batchOf(t, j, 3000).seal(j.end.position+1, j.end.hash)
			raw = bytes.Clone(raw)
			require.NoError(t, j.Close())
			clear(raw[:512])
			name, end, _ := endOf(t, dir)
			lay(t, dir, raw)
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), flip(int(end)-100, 1)(mustRead(t, filepath.Join(dir, name))), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "mark"), mark, 0o600))
			_, err := Open(context.Background(), cfg)
			require.ErrorIs(t, err, ErrDamaged)
			require.ErrorContains(t, err, fmt.Sprintf("position %d", before+1))
		})
	}
}

func TestDamageBeforeTheLastBatchIsNeverTakenForATornAppend(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, smallConfig(dir))
	fill(t, j, 4, 4, 4)
	require.NoError(t, j.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, "mark")))
	name, end, size := endOf(t, dir)
	for offset := int(end) - 2*size; offset < int(end)-size; offset++ {
		c := copyWith(t, dir, name, flip(offset, 1))
		_, err := Open(context.Background(), smallConfig(c))
		damageOf(t, err, fmt.Sprintf("byte %d", offset))
		require.ErrorContains(t, err, "position 2")
		require.NoError(t, os.RemoveAll(c))
	}
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

func mustRead(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	return raw
}
