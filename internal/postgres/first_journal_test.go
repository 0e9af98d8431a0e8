package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"huanxin/internal/postgres/pgtest"
	"huanxin/switch/journal"
	"huanxin/switch/projection"
	"huanxin/switch/projection/projectiontest"
)

// The journal of a demonstration that was exported when the format was young, and the rows that the first version of the
// projection made of it: of movements and nodes those that a purchase or a claim has moved. Later versions may add tables
// and columns; what stood here stands as it did.
func TestTheFirstJournalGivesTheFirstRows(t *testing.T) {
	d := pgtest.New(t)
	project(t, projectiontest.NewJournal(firstJournal(t)...), d.Projection(), 2000)
	conn, err := pgx.Connect(context.Background(), d.URL())
	require.NoError(t, err)
	defer conn.Close(context.Background())

	f, err := os.Open(filepath.Join("testdata", "first-journal.rows"))
	require.NoError(t, err)
	defer f.Close()
	moved := map[string]string{
		"budget_movements": "WHERE purchase <> 0 OR entitlement <> 0", "budget_nodes": "WHERE held <> 0 OR spent <> 0",
	}
	heading := regexp.MustCompile(`^([a-z_]+): (.*)$`)
	table, compared := "", 0
	var got []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if m := heading.FindStringSubmatch(lines.Text()); m != nil {
			require.Empty(t, got, "%s has more rows", table)
			table = m[1]
			rows, err := conn.Query(context.Background(),
				fmt.Sprintf("SELECT ROW(%s)::text FROM %s %s ORDER BY %s", m[2], table, moved[table], tables[table]))
			require.NoError(t, err)
			got, err = pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			continue
		}
		require.NotEmpty(t, got, "%s has fewer rows", table)
		require.Equal(t, lines.Text(), got[0], table)
		got = got[1:]
		compared++
	}
	require.Empty(t, got, "%s has more rows", table)
	require.Equal(t, 151, compared)
}

func firstJournal(t *testing.T) (batches []projection.Batch) {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "testdata", "journal", "liaoning-2025-demo.hxj"))
	require.NoError(t, err)
	defer f.Close()
	_, err = journal.ReadExport(f, func(b *journal.Batch) error {
		batches = append(batches, projection.Batch{Position: b.Position, Hash: b.Hash, Events: b.Events})
		return nil
	})
	require.NoError(t, err)
	return batches
}
