package bench

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestColumnsOfADeviceAreThoseOfTheKernelsManual(t *testing.T) {
	const stat = "  924217   145772 25696978   657565  7779241   727979 198714392  1335589        0   836344  2434270  3738713       66 155472088   294771  1907256   146344\n"
	for want, n := range map[uint64]int{7779241: writesColumn, 1907256: flushesColumn} {
		got, err := column(stat, n)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := column("1 2 3", flushesColumn)
	require.Error(t, err)
}

func TestEachSyncIsCounted(t *testing.T) {
	dir := t.TempDir()
	syncs, err := SyncsOf(dir)
	if err != nil { // a file system without a device, such as tmpfs: said, not passed over
		require.ErrorContains(t, err, "no block device")
		return
	}
	f, err := os.Create(filepath.Join(dir, "f"))
	require.NoError(t, err)
	defer f.Close()
	before, err := syncs.Count()
	require.NoError(t, err)
	for range 20 {
		_, err := f.Write(make([]byte, 4096))
		require.NoError(t, err)
		require.NoError(t, f.Sync())
	}
	after, err := syncs.Count()
	require.NoError(t, err)
	require.GreaterOrEqual(t, after-before, uint64(20))
}
