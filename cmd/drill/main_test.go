package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryDrillIsOffered(t *testing.T) {
	root := newRootCommand()
	for _, name := range []string{"run", "smoke", "kill9", "kill-points", "after-the-sale", "wallet", "settlement", "postgres-down", "host-down",
		"link", "postgres-faults", "frozen", "two-owners", "storm",
		"journal-full", "descriptors", "keys", "forged", "bad-input", "all"} {
		found, _, err := root.Find([]string{name})
		require.NoError(t, err)
		require.Equal(t, name, found.Name())
		require.NotNil(t, found.RunE)
	}
	root.SetArgs([]string{"kill10"})
	require.ErrorContains(t, root.Execute(), "kill10")
}

func TestSiteGetsAFolderOfItsOwnAndFreePorts(t *testing.T) {
	o := &options{state: t.TempDir(), programs: "/nonexistent"}
	first, err := newSite(o, "a")
	require.NoError(t, err)
	second, err := newSite(o, "b")
	require.NoError(t, err)
	require.NotEqual(t, first.Dir, second.Dir)
	require.NotEqual(t, first.Ports, second.Ports)
}
