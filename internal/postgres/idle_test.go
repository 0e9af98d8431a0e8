package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The client is behind a connection that has gone silent: the server hears nothing of it, and nobody hangs up.
func TestTransactionOfASilentClientLetsGoOfItsLocks(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := StartPrivate(ctx, PrivateConfig{Dir: t.TempDir(), Throwaway: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	silent, err := Open(ctx, Config{URL: p.URL(), IdleTimeout: 100 * time.Millisecond})
	require.NoError(t, err)
	defer silent.Close()
	tx, err := silent.pool.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "SELECT pg_advisory_xact_lock(1)")
	require.NoError(t, err)

	other, err := Open(ctx, Config{URL: p.URL()})
	require.NoError(t, err)
	defer other.Close()
	_, err = other.pool.Exec(ctx, "SELECT pg_advisory_xact_lock(1)")
	require.NoError(t, err, "the lock is held for ever")
	require.Error(t, tx.Commit(ctx))
}
