package server

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/risk/geo"
	"huanxin/switch/engine"
	"huanxin/switch/event"
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

	var sales []*event.SaleSent
	var last int64
	report, err := journal.ReadExport(f, func(b *journal.Batch) error {
		for _, ev := range b.Events {
			eng.Apply(ev)
			last = ev.At
			if sale := ev.GetSaleSent(); sale != nil {
				sales = append(sales, sale)
			}
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

	// The identities of old requests must still be recognised: a resend gets its answer and never reaches a host again.
	require.Len(t, sales, 16)
	for _, sale := range sales {
		in := &engine.SaleRequest{Token: 1, Amount: money.Amount(sale.Amount), ICCAmount: -1, Host: sale.Host, Card: sale.Card}
		in.Key = engine.Key{Class: '0' + byte(sale.Key.Class), Batch: sale.Key.Batch, STAN: sale.Key.Stan}
		copy(in.Key.Terminal[:], sale.Key.Terminal)
		copy(in.Key.Merchant[:], sale.Key.Merchant)
		copy(in.Content[:], sale.Content)
		out := eng.Step(engine.Input{At: last, Body: in})
		require.Empty(t, out.Events, "purchase %d", sale.Purchase)
		require.Len(t, out.Sends, 1)
		require.NotNil(t, out.Sends[0].Reply)
	}
}
