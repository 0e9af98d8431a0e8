package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
	"huanxin/subsidy"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/projection"
	"huanxin/switch/projection/projectiontest"
)

// What the engine writes, the projection must be able to read: an event that does not fit the rows stops it. And the rows
// must say what the engine says.
func requireProjected(t require.TestingT, l *lab) {
	var batches []projection.Batch
	for i, raw := range l.recorded {
		ev := &event.Event{}
		require.NoError(t, ev.UnmarshalVT(raw))
		batches = append(batches, projection.Batch{Position: uint64(i) + 1, Events: []*event.Event{ev}})
	}
	store, journal := projectiontest.NewStore(), projectiontest.NewJournal(batches...)
	p, err := projection.New(projection.Config{Journal: journal, Store: store, Metrics: prometheus.NewRegistry()})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx); cancel() }()
	waited := p.Wait(ctx, journal.Position())
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, waited)
	rows := store.Rows()

	book := l.live.Book()
	require.Len(t, rows.Entitlements, int(book.NextEntitlement()-1))
	for id, row := range rows.Entitlements {
		e, _ := book.Entitlement(id)
		require.Equal(t, e.State.String(), row.State, "entitlement %d", id)
		require.Equal(t, e.Reserved, row.Reserved, "entitlement %d", id)
		require.Equal(t, e.Purchase, row.Purchase, "entitlement %d", id)
	}
	require.Len(t, rows.Nodes, book.Budget.Len())
	for id := range book.Budget.Len() {
		v := book.Budget.View(subsidy.NodeID(id))
		n := rows.Nodes[v.Path]
		require.Equal(t, [...]money.Amount{v.Allocated, v.Held, v.Spent, v.Manual},
			[...]money.Amount{n.Allocated, n.Held, n.Spent, n.Manual}, v.Path)
	}
	for id, row := range rows.Purchases {
		v := lookPurchase(l, id)
		if v == nil {
			continue // forgotten: it ended without a charge, and nobody asks for it
		}
		if v.State != engine.HoldExpired { // the rows learn of it from the event
			require.Equal(t, v.State.String(), row.State, "purchase %d", id)
		}
		require.Equal(t, [...]money.Amount{v.Subsidy, v.Refunded, v.Returned, v.Refunding},
			[...]money.Amount{row.Subsidy, row.Refunded, row.Returned, row.Refunding}, "purchase %d", id)
		require.Equal(t, v.Manual, row.Manual, "purchase %d", id)
	}
	requireVitals(t, l, &rows)
}

// requireVitals holds what waits for hosts and persons against the rows.
func requireVitals(t require.TestingT, l *lab, rows *projectiontest.Rows) {
	var got engine.Vitals
	for _, w := range rows.Items {
		if w.State == projection.ItemOpen {
			got.WorkItems++
			if w.Kind == projection.ItemRefundUnknown {
				got.Dead++
			}
		}
	}
	for _, r := range rows.Reversals {
		switch r.State {
		case projection.ReversalWaiting:
			got.Queued++
		case projection.ReversalDead:
			got.Dead++
		}
	}
	for _, p := range rows.Purchases {
		if p.State == projection.Unknown {
			got.Unknown++
		}
	}
	for _, o := range rows.Operations {
		if o.State == projection.OperationUnknown {
			got.Unknown++
		}
	}
	for _, h := range rows.Holds {
		if h.State == projection.HoldOpen {
			got.OpenHolds++
		}
	}
	want := l.live.Vitals()
	got.Pauses, got.Kills, got.LastDead, got.LastWorkItem = want.Pauses, want.Kills, want.LastDead, want.LastWorkItem
	require.Equal(t, want, got)
}

func lookPurchase(l *lab, id uint64) *engine.PurchaseView {
	for _, s := range l.live.Step(engine.Input{At: l.now, Body: &engine.Look{Token: 1, What: engine.LookPurchase{ID: id}}}).Sends {
		if s.Admin != nil {
			v, _ := s.Admin.Result.(*engine.PurchaseView)
			return v
		}
	}
	return nil
}

func TestEveryTranscriptBecomesRows(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "transcripts", "*.txt"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			l := newLab(t)
			play(t, l, string(raw))
			requireProjected(t, l)
		})
	}
}

func TestWhateverCrossesBecomesRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, lab: newLab(t), network: newNetwork(), book: newBook(), batch: map[string]uint32{}}
		for range rapid.IntRange(5, 60).Draw(t, "moves") {
			w.move()
		}
		requireProjected(t, w.lab)
	})
}
