package seed

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/subsidy/catalogue"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/journal"
)

func TestSeedIsAWholeJournalWithASnapshotAtItsEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	s, err := New(t.Context(), dir, Programme{Terminals: 70, Products: 3, HoldLife: time.Minute})
	require.NoError(t, err)
	require.NoError(t, s.Crowd(500))
	require.NoError(t, s.Engine().CheckInvariants())
	_, err = s.Snapshot()
	require.NoError(t, err)
	require.NoError(t, s.Close())

	copied := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, Place(dir, copied))
	for _, place := range []string{dir, copied} {
		folder, err := journal.OpenFolder(filepath.Join(place, "journal"), "")
		require.NoError(t, err)
		report, err := folder.Verify()
		require.NoError(t, err)
		require.Greater(t, report.Events, uint64(1000))
		require.FileExists(t, filepath.Join(place, "programme", "policy.yaml"))
	}
	info, err := os.Stat(filepath.Join(copied, "keys", "keys.yaml"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestPlaceSharesWhatIsSealedAndNothingElse(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	j, err := journal.Open(t.Context(), journal.Config{Programme: "test", Dir: filepath.Join(from, "journal"), MinFree: -1})
	require.NoError(t, err)
	for seq := uint64(1); seq <= 3; seq++ { // the first segment takes one of them
		var d journal.Draft
		require.NoError(t, d.Add(&event.Event{Seq: seq, At: 1, Body: &event.Event_PolicyApplied{PolicyApplied: &event.PolicyApplied{
			Files: map[string][]byte{"a": make([]byte, 3<<20)}}}}))
		_, err := j.Append(t.Context(), &d)
		require.NoError(t, err)
	}
	require.NoError(t, j.Close())
	require.NoError(t, Place(from, to))
	files, err := journal.FilesOf(filepath.Join(from, "journal"))
	require.NoError(t, err)
	require.Len(t, files.Sealed, 1)
	same := func(name string) bool {
		relative, err := filepath.Rel(from, name)
		require.NoError(t, err)
		was, err := os.Stat(name)
		require.NoError(t, err)
		is, err := os.Stat(filepath.Join(to, relative))
		require.NoError(t, err)
		return os.SameFile(was, is)
	}
	require.True(t, same(files.Sealed[0]))
	require.False(t, same(files.Open))
	j, err = journal.Open(t.Context(), journal.Config{Programme: "test", Dir: filepath.Join(to, "journal"), MinFree: -1})
	require.NoError(t, err)
	require.EqualValues(t, 3, j.Position())
	require.NoError(t, j.Close())
}

func TestResumeGoesOnWithAnotherCrowd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	s, err := NewAt(t.Context(), dir, Programme{Terminals: 2}, time.Now().AddDate(0, 0, -3))
	require.NoError(t, err)
	_, err = s.Snapshot()
	require.NoError(t, err)
	_, err = s.Step(&engine.SignOnRequest{Terminal: [8]byte([]byte(Terminal(0))), Merchant: [15]byte([]byte(Merchant(0)))})
	require.NoError(t, err)
	seq := s.Engine().Seq()
	require.NoError(t, s.Close())

	again, err := Resume(t.Context(), dir)
	require.NoError(t, err)
	require.Greater(t, again.Engine().Seq(), seq, "taking over is an event")
	require.NoError(t, again.Crowd(20))
	require.Equal(t, 20, again.Persons())
	require.NoError(t, again.Close())
}

func TestBarcodesAreProper(t *testing.T) {
	for n := range 200 {
		require.NoError(t, catalogue.CheckGTIN(Barcode(n*7919)))
	}
	require.Equal(t, []string{Barcode(0), Barcode(5)}, Programme{Products: 10}.Barcodes(2))
}

func BenchmarkCrowd(b *testing.B) {
	s, err := New(b.Context(), filepath.Join(b.TempDir(), "site"), Programme{Terminals: 64})
	require.NoError(b, err)
	defer s.Close()
	b.ResetTimer()
	require.NoError(b, s.Crowd(b.N))
	_, err = s.Append()
	require.NoError(b, err)
}
