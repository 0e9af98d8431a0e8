package journal

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCopyOfAClustersJournalIsTheSameJournal(t *testing.T) {
	url := startCluster(t)
	j := mustOpen(t, clusterConfig(t, url))
	fill(t, j, 5, 64)
	reader := mustOpen(t, Config{Programme: testProgramme, URL: url, ReadOnly: true})
	dir := filepath.Join(t.TempDir(), "copy")
	report, err := reader.CopyTo(t.Context(), dir)
	require.NoError(t, err)
	require.Equal(t, j.end.hash, report.Last.Hash)

	folder, err := OpenFolder(dir, "")
	require.NoError(t, err)
	verified, err := folder.Verify()
	require.NoError(t, err)
	require.Equal(t, report.Last, verified.Last)
	require.Equal(t, j.Report().Programme, verified.Programme)
	seen := 0
	require.NoError(t, folder.Replay(1, 0, func(*Batch) error { seen++; return nil }))
	require.Equal(t, 2, seen)

	// It is a journal that can be gone on with, and that knows how far it must reach.
	cfg := testConfig(dir)
	cfg.MustExist = true
	copied := mustOpen(t, cfg)
	require.Equal(t, j.end, copied.end)
	require.NoError(t, copied.Close())
	_, err = reader.CopyTo(t.Context(), dir)
	require.ErrorIs(t, err, os.ErrExist)
}
