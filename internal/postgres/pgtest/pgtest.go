// Package pgtest gives tests a real PostgreSQL: one private cluster for a run of a package's tests, one database for
// each test.
//
// Nothing is skipped when there is no server: the run fails and names the command that installs one.
//
// The contract: TestMain is `func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }`; tests call New. A cluster that
// serves several packages is handed over in the environment variable Variable, as the URL of any of its databases.
package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"huanxin/internal/postgres"
)

// Variable names a running cluster for all packages' tests. `make test` sets it; without it each package starts its own.
const Variable = "HUANXIN_TEST_POSTGRES"

// Main runs the tests of a package with a cluster and returns the exit code.
func Main(m *testing.M) int {
	if os.Getenv(Variable) != "" {
		return m.Run()
	}
	stop, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests need PostgreSQL:", err)
		return 1
	}
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the tests' PostgreSQL:", err)
		return 1
	}
	return code
}

func start() (stop func() error, err error) {
	dir, err := os.MkdirTemp("", "huanxin-test-")
	if err != nil {
		return nil, err
	}
	p, err := postgres.StartPrivate(context.Background(), postgres.PrivateConfig{Dir: dir, Throwaway: true})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	data := filepath.Dir(p.Data())
	stop = func() error {
		return errors.Join(p.Close(), os.RemoveAll(data), os.RemoveAll(dir), os.Unsetenv(Variable))
	}
	if err := os.Setenv(Variable, p.URL()); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// timeout bounds what a test's set-up asks of the server.
const timeout = time.Minute

// New gives the test a migrated database of its own, dropped when the test ends.
func New(t testing.TB) *postgres.Database {
	t.Helper()
	d := Empty(t)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if _, err := d.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	return d
}

// Empty is New without the schema.
func Empty(t testing.TB) *postgres.Database {
	t.Helper()
	cluster := os.Getenv(Variable)
	if cluster == "" {
		t.Fatalf("%s is not set: TestMain must call pgtest.Main", Variable)
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	name := "test_" + hex.EncodeToString(random[:])
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	url, err := postgres.CreateDatabase(ctx, cluster, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := postgres.DropDatabase(ctx, cluster, name); err != nil {
			t.Error(err)
		}
	})
	d, err := postgres.Open(ctx, postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close) // runs before the drop
	return d
}

// Exec runs a statement, for tests in which somebody changes rows by hand.
func Exec(t testing.TB, d *postgres.Database, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, d.URL())
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(ctx, statement)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		t.Fatal(err)
	}
}

// Dump is every row of every table, as text.
func Dump(t testing.TB, url string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
		WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var dump []byte
	for _, table := range tables {
		dump = append(append(dump, table...), '\n')
		rows, err := conn.Query(ctx, "SELECT row::text FROM "+table+" AS row")
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			dump = append(append(dump, line...), '\n')
		}
	}
	return dump
}
