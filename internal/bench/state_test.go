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

func TestThisProcessHasMemory(t *testing.T) {
	resident, highest, err := memory(os.Getpid())
	require.NoError(t, err)
	require.Positive(t, resident)
	require.Positive(t, highest)
}
