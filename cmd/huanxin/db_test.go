package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/postgres"
)

func runDB(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newDBCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&bytes.Buffer{})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(context.Background())
	return strings.TrimSpace(out.String()), err
}

func TestDatabaseCommandsStartMigrateAndStopAPrivateCluster(t *testing.T) {
	found, err := runDB(t, "ensure")
	require.NoError(t, err)
	require.Contains(t, found, "PostgreSQL ")

	dir := t.TempDir()
	_, err = runDB(t, "url", "--dir", dir)
	require.ErrorContains(t, err, "no private PostgreSQL was ever started")

	url, err := runDB(t, "start", "--dir", dir)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = runDB(t, "stop", "--dir", dir) }) // a second stop does nothing
	again, err := runDB(t, "url", "--dir", dir)
	require.NoError(t, err)
	require.Equal(t, url, again)

	said, err := runDB(t, "migrate", "--url", url)
	require.NoError(t, err)
	require.Equal(t, "0 migrations applied", said, "start has migrated")
	d, err := postgres.Open(context.Background(), postgres.Config{URL: url})
	require.NoError(t, err)
	defer d.Close()
	totals, err := d.Totals(context.Background())
	require.NoError(t, err)
	require.Zero(t, totals)

	said, err = runDB(t, "stop", "--dir", dir)
	require.NoError(t, err)
	require.Equal(t, "stopped", said)
	said, err = runDB(t, "stop", "--dir", dir)
	require.NoError(t, err)
	require.Equal(t, "was not running", said)
}

func TestDatabaseCommandsNeedTheirFolder(t *testing.T) {
	for _, c := range []string{"start", "stop", "url"} {
		_, err := runDB(t, c)
		require.ErrorContains(t, err, `"dir" not set`, c)
	}
	_, err := runDB(t, "migrate")
	require.ErrorContains(t, err, `"url" not set`)
}
