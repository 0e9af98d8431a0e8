package postgres_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"huanxin/internal/postgres"
	"huanxin/internal/postgres/pgtest"
)

func TestMigrateInSeveralProcessesAtOnceIsDoneOnce(t *testing.T) {
	d := pgtest.Empty(t)
	var wg sync.WaitGroup
	applied := make([]int, 4)
	failed := make([]error, 4)
	for i := range applied {
		wg.Go(func() { applied[i], failed[i] = d.Migrate(context.Background()) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(failed...))
	workers := 0
	for _, n := range applied {
		if n > 0 {
			workers++
		}
	}
	require.Equal(t, 1, workers)
}

func TestOutageIsToldFromRefusal(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := l.Addr().String()
	require.NoError(t, l.Close())
	d, err := postgres.Open(context.Background(), postgres.Config{URL: "postgres://x@" + nobody + "/x?sslmode=disable"})
	require.NoError(t, err, "opening does not need the server")
	defer d.Close()
	err = d.Ping(context.Background())
	require.Error(t, err)
	require.True(t, postgres.Unavailable(err), "%v", err)

	require.True(t, postgres.Unavailable(&pgconn.PgError{Code: "57P03"}))  // starting up
	require.True(t, postgres.Unavailable(&pgconn.PgError{Code: "57P01"}))  // admin shutdown
	require.True(t, postgres.Unavailable(&pgconn.PgError{Code: "40P01"}))  // deadlock
	require.True(t, postgres.Unavailable(&pgconn.PgError{Code: "53300"}))  // too many connections
	require.False(t, postgres.Unavailable(&pgconn.PgError{Code: "23505"})) // duplicate key
	require.False(t, postgres.Unavailable(&pgconn.PgError{Code: "42P01"})) // no such table
	require.False(t, postgres.Unavailable(nil))
	require.False(t, postgres.Unavailable(context.Canceled))
}

func TestPasswordOfAMalformedURLIsNotRepeated(t *testing.T) {
	_, err := postgres.Open(context.Background(), postgres.Config{URL: "postgres://u:hunter2@[::1/x"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}

func TestWrongSettingsAreRefused(t *testing.T) {
	for _, c := range []postgres.Config{
		{}, {URL: "postgres:///x", Connections: -1}, {URL: "postgres:///x", Connections: 1001},
		{URL: "postgres:///x", ConnectTimeout: -time.Second}, {URL: "postgres:///x", StatementTimeout: -1}, {URL: "postgres:///x", IdleTimeout: -1},
	} {
		_, err := postgres.Open(context.Background(), c)
		require.Error(t, err)
	}
}
