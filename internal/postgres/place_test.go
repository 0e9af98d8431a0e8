package postgres

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnusablePlaceIsPassedOverAndClusterIsFoundAgain(t *testing.T) {
	ctx := context.Background()
	b, err := FindBinaries(0)
	require.NoError(t, err)
	dir := t.TempDir()
	blocked := filepath.Join(dir, "blocked")
	require.NoError(t, os.WriteFile(blocked, nil, 0o600))
	me := identities()[0]
	at := func(name string) place {
		f := filepath.Join(dir, name)
		return place{identity: me, folder: f, socket: filepath.Join(f, "run")}
	}
	all := []place{at("blocked"), at("first"), at("second")}

	got, err := choosePlace(ctx, all, b)
	require.NoError(t, err)
	require.Equal(t, all[1].folder, got.folder)

	// With a cluster in the second, that one goes first.
	require.NoError(t, os.MkdirAll(all[2].data(), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(all[2].data(), "PG_VERSION"), []byte("15\n"), 0o600))
	got, err = choosePlace(ctx, all, b)
	require.NoError(t, err)
	require.Equal(t, all[2].folder, got.folder)

	_, err = choosePlace(ctx, all[:1], b)
	require.ErrorContains(t, err, "no user can run PostgreSQL here")
}

// A folder for temporary files is anybody's: a folder that somebody else put there first is not used.
func TestFolderOfAnotherUserIsNotTaken(t *testing.T) {
	f := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(f, 0o700))
	stranger := place{identity: identity{uid: os.Geteuid() + 1}}
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(f, 4242, 4242))
		stranger = place{identity: identity{uid: 0}}
		require.ErrorContains(t, stranger.own(f), "not a folder of ours")
		return
	}
	// Without root no other owner can be made; giving the folder away is refused by the kernel instead.
	require.ErrorIs(t, stranger.own(f), os.ErrPermission)
}

func TestSymbolicLinkIsNoFolder(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "elsewhere"), 0o700))
	require.NoError(t, os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "data")))
	p := place{identity: identities()[0]}
	require.ErrorContains(t, p.own(filepath.Join(dir, "data")), "not a folder of ours")
}

func TestCommandNeverInheritsTheCallersSettings(t *testing.T) {
	t.Setenv("PGDATA", "/somewhere")
	t.Setenv("PGPORT", "5433")
	for _, v := range identities()[0].command("/bin/true").Env {
		require.NotContains(t, v, "PG")
	}
}

func TestBinariesOfAnotherReleaseAreRefusedForADataFolder(t *testing.T) {
	_, err := chooseBinaries("", 9)
	require.ErrorContains(t, err, "of PostgreSQL 9, which is not installed")
	require.ErrorContains(t, err, "type: ")

	b, err := FindBinaries(0)
	require.NoError(t, err)
	require.GreaterOrEqual(t, b.Major, oldestMajor)
	_, err = chooseBinaries(b.Folder, b.Major+1)
	require.ErrorContains(t, err, "the binaries in")
}

func TestMissingServerNamesTheCommandToType(t *testing.T) {
	require.NotEmpty(t, installCommand())
	_, err := binariesIn(t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = binariesIn("relative/bin")
	require.ErrorContains(t, err, "not an absolute path")
}
