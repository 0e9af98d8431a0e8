package check_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"huanxin/switch/check"
	"huanxin/switch/event"
	"huanxin/switch/ledger"
	"huanxin/switch/projection"
	"huanxin/switch/projection/projectiontest"
)

// memory is the rows of the projection in memory.
type memory struct{ projectiontest.Frozen }

// project gives the rows that events lead to, one batch each.
func project(t testing.TB, events []*event.Event) *memory {
	var batches []projection.Batch
	for i, ev := range events {
		batches = append(batches, projection.Batch{Position: uint64(i) + 1, Events: []*event.Event{ev}})
	}
	store, journal := projectiontest.NewStore(), projectiontest.NewJournal(batches...)
	p, err := projection.New(projection.Config{Journal: journal, Store: store, Metrics: prometheus.NewRegistry()})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx); cancel() }()
	waited := p.Wait(ctx, journal.Position())
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, waited)
	return &memory{projectiontest.Frozen{Rows: store.Rows()}}
}

// What the projection makes of every story is what the ledger expects of it: the two readings share no code.
func TestTheProjectionAndTheLedgerKeepTheSameBooks(t *testing.T) {
	compared := map[string]uint64{}
	for _, file := range histories(t) {
		for _, s := range stories(t, file) {
			l := ledger.New()
			for _, ev := range s.events {
				l.Add(ev.Seq, ev)
			}
			var differences []check.Difference
			rows, err := check.CompareRows(t.Context(), l, project(t, s.events), 10, func(d check.Difference) {
				differences = append(differences, d)
			})
			require.NoError(t, err)
			require.Empty(t, differences, "%s of %s", s.name, file)
			for name, n := range rows {
				compared[name] += n
			}
		}
	}
	for name, n := range compared {
		require.Positive(t, n, name)
	}
	require.Len(t, compared, 14)
}

// changed is a row that somebody has changed, taken out or put in, and the table whose difference it must be.
type changed struct {
	table string
	by    func(m *memory)
}

func alter[K comparable, T any](table string, rows func(*memory) map[K]T, by ...func(*T)) (list []changed) {
	some := func(m *memory) (k K, row T) {
		for k, row = range rows(m) {
			break
		}
		return k, row
	}
	for _, by := range by {
		list = append(list, changed{table, func(m *memory) {
			k, row := some(m)
			by(&row)
			rows(m)[k] = row
		}})
	}
	return append(list, changed{table, func(m *memory) {
		k, _ := some(m)
		delete(rows(m), k)
	}})
}

// alterFresh is alter for rows that are never changed.
func alterFresh[T any](table string, by ...func(*T)) (list []changed) {
	some := func(m *memory) (string, T) {
		for k, row := range m.Fresh {
			if v, ok := row.(T); ok {
				return k, v
			}
		}
		panic("no row of " + table)
	}
	for _, by := range by {
		list = append(list, changed{table, func(m *memory) {
			k, row := some(m)
			by(&row)
			m.Fresh[k] = row
		}})
	}
	return append(list, changed{table, func(m *memory) {
		k, _ := some(m)
		delete(m.Fresh, k)
	}}, changed{table, func(m *memory) {
		_, row := some(m)
		m.Fresh["another"] = row
	}})
}

// A row that was changed, is missing or is there too many is found, and its table named.
func TestEveryChangedRowIsFound(t *testing.T) {
	list := slices.Concat(
		alter("purchases", func(m *memory) map[uint64]projection.Purchase { return m.Purchases },
			func(p *projection.Purchase) { p.Subsidy++ }, func(p *projection.Purchase) { p.Amount-- },
			func(p *projection.Purchase) { p.State = "lost" }, func(p *projection.Purchase) { p.Refunded++ },
			func(p *projection.Purchase) { p.Entitlement += 7 }, func(p *projection.Purchase) { p.SentIn++ }),
		alter("holds", func(m *memory) map[uint64]projection.Hold { return m.Holds },
			func(h *projection.Hold) { h.State = "lost" }, func(h *projection.Hold) { h.Leaf = "elsewhere" }),
		alter("entitlements", func(m *memory) map[uint64]projection.Entitlement { return m.Entitlements },
			func(e *projection.Entitlement) { e.State = "lost" }, func(e *projection.Entitlement) { e.Person = make([]byte, 16) },
			func(e *projection.Entitlement) { e.Reserved++ }, func(e *projection.Entitlement) { e.ExpiresAt += 1000 }),
		alter("reversals", func(m *memory) map[uint64]projection.Reversal { return m.Reversals },
			func(r *projection.Reversal) { r.Amount++ }, func(r *projection.Reversal) { r.State = "lost" }),
		alter("operations", func(m *memory) map[uint64]projection.Operation { return m.Operations },
			func(o *projection.Operation) { o.Amount++ }, func(o *projection.Operation) { o.Returned++ }),
		alter("work_items", func(m *memory) map[uint64]projection.WorkItem { return m.Items },
			func(w *projection.WorkItem) {
				w.State = map[string]string{projection.ItemOpen: projection.ItemClosed, projection.ItemClosed: projection.ItemOpen}[w.State]
			}),
		alter("batches", func(m *memory) map[uint64]projection.TerminalBatch { return m.Batches },
			func(b *projection.TerminalBatch) { b.Kept.Debit++ }),
		alter("budget_nodes", func(m *memory) map[string]projection.Node { return m.Nodes },
			func(n *projection.Node) { n.Held++ }, func(n *projection.Node) { n.Spent-- }, func(n *projection.Node) { n.Closed = !n.Closed }),
		alterFresh("captures", func(c *projection.Capture) { c.Amount++ }, func(c *projection.Capture) { c.Subsidy++ }),
		alterFresh("refunds", func(r *projection.Refund) { r.Subsidy++ }, func(r *projection.Refund) { r.Purchase++ }),
		alterFresh("budget_movements", func(m *projection.Movement) { m.Spent++ }),
		alterFresh("supplements", func(s *projection.Supplement) { s.Subsidy++ }),
		alterFresh("refusals", func(r *projection.Refusal) { r.Response = "00" }),
		alterFresh("requests", func(r *projection.Request) { r.Request = make([]byte, 16) }),
		[]changed{{"programme", func(m *memory) { m.Rows.Programme.Epoch++ }}, {"purchases", func(m *memory) {
			m.Purchases[99999] = projection.Purchase{ID: 99999}
		}}},
	)
	tried := map[string]int{}
	for _, s := range stories(t, histories(t)[len(histories(t))-1]) {
		for i, c := range list {
			m, l := project(t, s.events), ledger.New()
			if !m.has(c.table) {
				continue
			}
			for _, ev := range s.events {
				l.Add(ev.Seq, ev)
			}
			c.by(m)
			found := 0
			_, err := check.CompareRows(t.Context(), l, m, 10, func(d check.Difference) {
				require.Equal(t, c.table, d.What)
				found++
			})
			require.NoError(t, err)
			require.Positive(t, found, "%s of %s: change %d", c.table, s.name, i)
			tried[c.table]++
		}
	}
	require.Len(t, tried, 15)
}

// has reports whether a table has rows.
func (m *memory) has(table string) bool {
	count := 0
	for _, row := range m.Fresh {
		switch row.(type) {
		case projection.Capture:
			count += map[string]int{"captures": 1}[table]
		case projection.Refund:
			count += map[string]int{"refunds": 1}[table]
		case projection.Movement:
			count += map[string]int{"budget_movements": 1}[table]
		case projection.Supplement:
			count += map[string]int{"supplements": 1}[table]
		case projection.Refusal:
			count += map[string]int{"refusals": 1}[table]
		case projection.Request:
			count += map[string]int{"requests": 1}[table]
		}
	}
	return count > 0 || map[string]int{
		"purchases": len(m.Purchases), "holds": len(m.Holds), "entitlements": len(m.Entitlements), "reversals": len(m.Reversals),
		"operations": len(m.Operations), "work_items": len(m.Items), "batches": len(m.Batches), "budget_nodes": len(m.Nodes), "programme": 1,
	}[table] > 0
}
