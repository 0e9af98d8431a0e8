package server

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/risk/geo"
	"huanxin/switch/engine"
	"huanxin/switch/journal"
)

// The journal of a demonstration, exported when the format was young. Every later version must read its batches, verify
// its chain, and come to the same money; a change that cannot is a change that loses somebody's books.
func TestTheFirstJournalStillReplays(t *testing.T) {
	province, err := geo.Load(geo.LiaoningGeoJSON)
	require.NoError(t, err)
	eng, err := engine.New(engine.Config{Map: province})
	require.NoError(t, err)
	f, err := os.Open(filepath.Join("..", "..", "testdata", "journal", "liaoning-2025-demo.hxj"))
	require.NoError(t, err)
	defer f.Close()

	report, err := journal.ReadExport(f, func(b *journal.Batch) error {
		for _, ev := range b.Events {
			eng.Apply(ev)
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, uint64(3399), report.LastSeq)
	require.Equal(t, uint64(3399), eng.Seq())
	require.NoError(t, eng.CheckInvariants())

	tree := eng.Book().Budget
	root, ok := tree.Find("")
	require.True(t, ok)
	v := tree.View(root)
	require.Equal(t, money.Amount(800_000_000_000), v.Allocated)
	require.Equal(t, money.Amount(755_355), v.Spent)
	require.Zero(t, v.Held)
	require.Equal(t, uint64(27), eng.Book().NextEntitlement())
	require.Zero(t, eng.Book().OpenHolds())
}
