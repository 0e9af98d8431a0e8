package postgres_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"huanxin/internal/postgres"
	"huanxin/internal/postgres/pgtest"
	"huanxin/switch/event"
	"huanxin/switch/projection"
	"huanxin/switch/projection/projectiontest"
)

// token is a keyed hash as the histories have them.
func token(n byte) []byte { return []byte{n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} }

// history makes one batch of facts a second apart.
func history(bodies ...*event.Event) projection.Batch {
	for i, ev := range bodies {
		ev.Seq, ev.At = uint64(i)+1, projectiontest.Start+int64(i)*1e9
	}
	return projection.Batch{Position: 1, Events: bodies}
}

func key(terminal string, batch, stan uint32) *event.ExchangeKey {
	return &event.ExchangeKey{Class: 2, Terminal: terminal, Merchant: "898210157220001", Batch: batch, Stan: stan}
}

// found makes three purchases: 1 reserved and paid at till A, then refunded at till B; 2 an ordinary sale at till A with the
// STAN of the first one's reserve, in another batch; 3 over HTTP, collected by the shop.
func found(t *testing.T) *postgres.Database {
	t.Helper()
	claim := func(id uint64) *event.Event {
		return &event.Event{Body: &event.Event_EntitlementClaimed{EntitlementClaimed: &event.EntitlementClaimed{
			Entitlement: id, Person: token(90 + byte(id)), Category: "A01"}}}
	}
	reserve := func(id uint64, k *event.ExchangeKey, caller string) *event.Event {
		return &event.Event{Body: &event.Event_Reserved{Reserved: &event.Reserved{
			Purchase: id, Entitlement: id, Key: k, Caller: caller, Person: token(90 + byte(id)), Serial: token(70 + byte(id)),
			Category: "A01", Price: 100, Payable: 100, ExpiresAt: projectiontest.Start + 180e9}}}
	}
	sale := func(id uint64, k *event.ExchangeKey, m *event.SaleSent) *event.Event {
		m.Purchase, m.Key, m.Rrn = id, k, fmt.Sprintf("60000000000%d", id)
		return &event.Event{Body: &event.Event_SaleSent{SaleSent: m}}
	}
	approved := func(id uint64) *event.Event {
		return &event.Event{Body: &event.Event_SaleApproved{SaleApproved: &event.SaleApproved{
			Purchase: id, Answer: &event.HostAnswer{Response: "00"}}}}
	}
	d := pgtest.New(t)
	project(t, projectiontest.NewJournal(history(
		&event.Event{Body: &event.Event_BudgetNodeSet{BudgetNodeSet: &event.BudgetNodeSet{}}},
		claim(1), claim(3), reserve(1, key("A", 1, 11), ""), reserve(3, key("", 0, 0), "shop"),
		sale(1, key("A", 1, 12), &event.SaleSent{Amount: 100, Card: &event.Card{Token: token(1)}}),
		sale(2, key("A", 2, 11), &event.SaleSent{Ordinary: true, Amount: 7, Card: &event.Card{Token: token(1)}}),
		sale(3, key("", 0, 0), &event.SaleSent{Amount: 100, Host: "external", Reference: "pay-3", Caller: "shop"}),
		approved(1), approved(2), approved(3),
		&event.Event{Body: &event.Event_RefundSent{RefundSent: &event.RefundSent{
			Operation: 1, Purchase: 1, Key: key("B", 5, 50), Amount: 40, Rrn: "600000000004"}}},
		&event.Event{Body: &event.Event_RefundSent{RefundSent: &event.RefundSent{
			Operation: 2, Purchase: 3, Caller: "shop", Reference: "back-3", Amount: 100, Rrn: "600000000005"}}},
	)), d.Projection(), 100)
	return d
}

func TestAPurchaseIsFoundByWhateverIsPrintedOnASlip(t *testing.T) {
	d := found(t)
	for name, c := range map[string]struct {
		q    postgres.PurchaseQuery
		want []uint64
	}{
		"all of a terminal, newest first":        {postgres.PurchaseQuery{Terminal: "A"}, []uint64{2, 1}},
		"the newest of a terminal":               {postgres.PurchaseQuery{Terminal: "A", Limit: 1}, []uint64{2}},
		"STAN of a sale":                         {postgres.PurchaseQuery{Terminal: "A", STAN: 12}, []uint64{1}},
		"STAN of a reserve, and of another sale": {postgres.PurchaseQuery{Terminal: "A", STAN: 11}, []uint64{2, 1}},
		"STAN of a reserve in its batch":         {postgres.PurchaseQuery{Terminal: "A", Batch: 1, STAN: 11}, []uint64{1}},
		"STAN of a refund":                       {postgres.PurchaseQuery{Terminal: "B", STAN: 50}, []uint64{1}},
		"RRN of a sale":                          {postgres.PurchaseQuery{RRN: "600000000002"}, []uint64{2}},
		"RRN of a refund":                        {postgres.PurchaseQuery{RRN: "600000000005"}, []uint64{3}},
		"RRN of a sale at another terminal":      {postgres.PurchaseQuery{RRN: "600000000002", Terminal: "B"}, nil},
		"card":                                   {postgres.PurchaseQuery{CardToken: token(1)}, []uint64{2, 1}},
		"card and RRN":                           {postgres.PurchaseQuery{CardToken: token(1), RRN: "600000000001"}, []uint64{1}},
		"serial":                                 {postgres.PurchaseQuery{SerialHash: token(73)}, []uint64{3}},
		"person":                                 {postgres.PurchaseQuery{Person: token(91)}, []uint64{1}},
		"person and merchant":                    {postgres.PurchaseQuery{Person: token(91), Merchant: "other"}, nil},
		"reference of a payment":                 {postgres.PurchaseQuery{Reference: "pay-3"}, []uint64{3}},
		"reference of a refund":                  {postgres.PurchaseQuery{Reference: "back-3"}, []uint64{3}},
	} {
		rows, err := d.FindPurchases(context.Background(), c.q)
		require.NoError(t, err, name)
		var got []uint64
		for _, p := range rows {
			got = append(got, p.ID)
		}
		require.Equal(t, c.want, got, name)
	}
	for _, q := range []postgres.PurchaseQuery{{}, {Merchant: "m"}, {STAN: 1}, {Batch: 1, CardToken: token(1)}} {
		_, err := d.FindPurchases(context.Background(), q)
		require.ErrorIs(t, err, postgres.ErrNoQuery, "%+v", q)
	}
	operations, err := d.Operations(context.Background(), 1)
	require.NoError(t, err)
	require.Len(t, operations, 1)
	require.Equal(t, projection.OperationSent, operations[0].State)
	open, err := d.OpenOperations(context.Background())
	require.NoError(t, err)
	require.Len(t, open, 2)
}

// None of the ways to find a purchase reads the whole table.
func TestFindingAPurchaseUsesAnIndex(t *testing.T) {
	d := found(t)
	conn, err := pgx.Connect(context.Background(), d.URL())
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), "SET enable_seqscan = off")
	require.NoError(t, err)
	for condition, where := range map[string]string{
		"((terminal = 'A'::text) AND (stan = 1))":         "terminal = 'A' AND terminal <> '' AND stan = 1",
		"((terminal = 'A'::text) AND (reserve_stan = 1))": "terminal = 'A' AND reserve_stan = 1 AND reserve_stan <> 0",
		"(rrn = '1'::text)":                               "rrn = '1' AND rrn <> ''",
		"(card_token = '\\x01'::bytea)":                   "card_token = '\\x01' AND card_token <> ''",
		"(serial_hash = '\\x01'::bytea)":                  "serial_hash = '\\x01' AND serial_hash <> ''",
		"(person = '\\x01'::bytea)":                       "person = '\\x01' AND NOT ordinary",
		"(reference = 'x'::text)":                         "reference = 'x' AND reference <> ''",
	} {
		rows, err := conn.Query(context.Background(), "EXPLAIN SELECT id FROM purchases WHERE "+where)
		require.NoError(t, err)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		text := strings.Join(plan, "\n")
		require.NotContains(t, text, "Seq Scan", where)
		require.Contains(t, text, "Index Cond: "+condition, where)
	}
}

func TestWhatOperatorsDidAndMustDoCanBeRead(t *testing.T) {
	h := projectiontest.NewHistory(2, 3000)
	d := pgtest.New(t)
	project(t, projectiontest.NewJournal(h.Batches...), d.Projection(), 500)
	ctx := context.Background()

	open, err := d.WorkItems(ctx, true)
	require.NoError(t, err)
	require.Len(t, open, len(h.OpenItems))
	for _, w := range open {
		require.True(t, h.OpenItems[w.ID], "item %d", w.ID)
	}
	every, err := d.WorkItems(ctx, false)
	require.NoError(t, err)
	require.Greater(t, len(every), len(open))

	acts, err := d.OperatorActs(ctx)
	require.NoError(t, err)
	require.Len(t, acts, h.Acts)
	for _, a := range acts {
		require.NotEmpty(t, a.Actor)
		require.Equal(t, strings.HasPrefix(a.Kind, "key-"), a.Document == "", "only an act on a key needs no document: %s", a.Kind)
		require.NotEmpty(t, a.What, a.Kind)
	}
	supplements, err := d.ManualSupplements(ctx)
	require.NoError(t, err)
	require.Len(t, supplements, h.Supplements)
	for _, s := range supplements {
		require.Equal(t, "case-1", s.CaseID)
		require.Equal(t, "invoice-7", s.Evidence)
	}
	batches, err := d.Batches(ctx)
	require.NoError(t, err)
	require.Len(t, batches, h.Settled)
	ended := false
	for _, b := range batches {
		require.Equal(t, b.Equal, b.Claimed == b.Kept)
		ended = ended || b.Upload == projection.UploadEnded && b.Sent == 4 && b.Missing == 1
	}
	require.True(t, ended)
	pauses, err := d.Pauses(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, pauses)
	kills, err := d.KillSwitches(ctx)
	require.NoError(t, err)
	require.Len(t, kills, 1)
	dead, err := d.DeadLetters(ctx)
	require.NoError(t, err)
	for _, r := range dead {
		require.Equal(t, projection.ReversalDead, h.Reversal[r.ID])
		require.NotZero(t, r.DeadAt)
	}
}

// A database of an earlier version, with rows in it, is emptied and filled again: the rows are those of a new database.
func TestAnOlderDatabaseIsFilledAgain(t *testing.T) {
	ctx := context.Background()
	h := projectiontest.NewHistory(10, 2000)
	j := projectiontest.NewJournal(h.Batches...)
	want := pgtest.New(t)
	project(t, j, want.Projection(), 500)
	files, err := filepath.Glob(filepath.Join("migrations", "*.sql"))
	require.NoError(t, err)

	for version := 1; version < len(files); version++ {
		old := pgtest.New(t)
		project(t, projectiontest.NewJournal(h.Batches[:len(h.Batches)/2]...), old.Projection(), 500)
		config, err := pgx.ParseConfig(old.URL())
		require.NoError(t, err)
		db := stdlib.OpenDB(*config)
		provider, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("migrations"))
		require.NoError(t, err)
		_, err = provider.DownTo(ctx, int64(version))
		require.NoError(t, err)
		_, err = db.ExecContext(ctx, "UPDATE projection_position SET batch = 7, seq = 40")
		require.NoError(t, err)
		require.NoError(t, db.Close())

		applied, err := old.Migrate(ctx)
		require.NoError(t, err)
		require.Equal(t, len(files)-version, applied)
		at, err := old.Projection().Position(ctx)
		require.NoError(t, err)
		require.Zero(t, at.Batch)
		project(t, j, old.Projection(), 500)
		requireSameRows(t, dump(t, want.URL()), dump(t, old.URL()))
	}
}
