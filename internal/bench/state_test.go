package bench

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAPartOfAStateIsSmallerAndNeverNothing(t *testing.T) {
	require.Equal(t, 1000, (&Bench{}).Scale(1000))
	require.Equal(t, 1000, (&Bench{Part: 1}).Scale(1000))
	require.Equal(t, 10, (&Bench{Part: 0.01}).Scale(1000))
	require.Equal(t, 1, (&Bench{Part: 0.0001}).Scale(1000))
}

func TestTheProbeSyncsInTheFolderAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	p, err := startProbe(dir, 512)
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "probe"))
	times, err := p.end()
	require.NoError(t, err)
	require.GreaterOrEqual(t, times.Max(), times.Percentile(500))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestOnlyBlocksOfTheJournalCountAsItsBytes(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"journal/store/1.blk": 10, "journal/store/2.blk": 20, "journal/snapshots/1.snap": 1000, "other/3.blk": 500} {
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, make([]byte, size), 0o600))
	}
	sum, err := blockBytes(dir)
	require.NoError(t, err)
	require.Equal(t, int64(30), sum)
}

func TestThisProcessHasMemory(t *testing.T) {
	resident, highest, err := memory(os.Getpid())
	require.NoError(t, err)
	require.Positive(t, resident)
	require.Positive(t, highest)
}
