package drill

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFreePortsDiffer(t *testing.T) {
	ports, err := FreePorts()
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, address := range []string{ports.CUP, ports.NAC, ports.HTTP, ports.Host} {
		host, _, err := net.SplitHostPort(address)
		require.NoError(t, err)
		require.Equal(t, "127.0.0.1", host)
		require.False(t, seen[address])
		seen[address] = true
	}
}

func TestTakenAddressIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	require.ErrorContains(t, free(l.Addr().String()), l.Addr().String())
}

func TestSweepRemovesOnlyItsFolderAndTheDatabaseElsewhere(t *testing.T) {
	top := t.TempDir()
	dir, data, other := filepath.Join(top, "site"), filepath.Join(top, "huanxin-postgres-0a1b2c"), filepath.Join(top, "mine")
	for _, folder := range []string{filepath.Join(dir, "postgres"), filepath.Join(data, "data"), other} {
		require.NoError(t, os.MkdirAll(folder, 0o700))
	}
	// The number of a process that is not one of ours: this test.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "serve.pid"), fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600))
	note := fmt.Sprintf(`{"data":%q,"socket":"","user":"postgres"}`, filepath.Join(data, "data"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "postgres", "cluster.json"), []byte(note), 0o600))

	require.NoError(t, Sweep(dir, "/nonexistent/bin/huanxin"))
	require.NoDirExists(t, dir)
	require.NoDirExists(t, data)
	require.DirExists(t, other)
	require.NoError(t, Sweep(dir, "/nonexistent/bin/huanxin"), "nothing is left to sweep")
}

func TestFoldersElsewhereAreRecognisedWhole(t *testing.T) {
	for folder, want := range map[string]bool{
		"/var/lib/huanxin/0a1b2c3d4e5f": true, "/tmp/huanxin-postgres-0a1b2c3d4e5f": true,
		"/var/lib/huanxin": false, "/var/lib/huanxin/x/y": false, "/tmp/huanxin-postgres-": false, "/tmp": false, "/": false, ".": false,
	} {
		require.Equal(t, want, elsewhere.MatchString(folder), folder)
	}
}
