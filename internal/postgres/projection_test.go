package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/internal/postgres"
	"huanxin/internal/postgres/pgtest"
	"huanxin/settlement"
	"huanxin/switch/event"
	"huanxin/switch/projection"
	"huanxin/switch/projection/projectiontest"
)

// patience bounds what must happen in a test; reaching it is a failure, never a pace.
const patience = time.Minute

// project runs a projector until it has everything that the journal holds, and stops it.
func project(t *testing.T, j projection.Journal, s projection.Store, batchEvents int) {
	t.Helper()
	p, stop := follow(t, j, s, batchEvents)
	wait(t, p, j.Position())
	stop()
}

func follow(t *testing.T, j projection.Journal, s projection.Store, batchEvents int) (*projection.Projector, func()) {
	t.Helper()
	p, err := projection.New(projection.Config{
		Journal: j, Store: s, BatchEvents: batchEvents, RetryMin: time.Millisecond, RetryMax: 50 * time.Millisecond,
		Metrics: prometheus.NewRegistry(),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	var once sync.Once
	stop := func() { once.Do(func() { cancel(); require.NoError(t, <-ended) }) }
	t.Cleanup(stop)
	return p, stop
}

func wait(t *testing.T, p *projection.Projector, batch uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, p.Wait(ctx, batch), "outage: %v", p.Outage())
}

var tables = map[string]string{
	"projection_position": "one", "programme": "one", "purchases": "id", "holds": "purchase", "captures": "seq", "refunds": "seq",
	"entitlements": "id", "budget_movements": "seq, path", "budget_nodes": "path", "reversals": "id", "work_items": "id",
	"refusals": "seq", "terminals": "id", "purchase_positions": "purchase, position", "supplements": "seq", "operations": "id",
	"batches": "id", "terminal_reports": "seq", "inquiries": "id", "requests": "seq", "pauses": "id",
	"kill_switches": "merchant, terminal", "operator_acts": "seq",
}

// dump is every row of every table, table by table.
func dump(t *testing.T, url string) map[string][]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer conn.Close(ctx)
	out := map[string][]string{}
	for name, order := range tables {
		rows, err := conn.Query(ctx, fmt.Sprintf("SELECT t::text FROM %s t ORDER BY %s", name, order))
		require.NoError(t, err)
		out[name], err = pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
	}
	return out
}

func requireSameRows(t *testing.T, want, got map[string][]string) {
	t.Helper()
	for name := range tables {
		require.NotEmpty(t, want[name], "the history leaves %s empty, so that comparing it proves nothing", name)
		require.Equal(t, len(want[name]), len(got[name]), name)
		for i := range want[name] {
			require.Equal(t, want[name][i], got[name][i], "%s, row %d", name, i)
		}
	}
}

func TestRowsAreAFunctionOfTheEventsHoweverTheyAreCut(t *testing.T) {
	h := projectiontest.NewHistory(1, 3000)
	j := projectiontest.NewJournal(h.Batches...)

	one := pgtest.New(t)
	project(t, j, one.Projection(), 1) // each journal batch alone
	want := dump(t, one.URL())

	all := pgtest.New(t)
	project(t, j, all.Projection(), 100_000)
	requireSameRows(t, want, dump(t, all.URL()))
}

func TestRowsAgreeWithTheModelThatMadeTheEvents(t *testing.T) {
	for seed := range uint64(3) {
		h := projectiontest.NewHistory(seed, 2000)
		d := pgtest.New(t)
		project(t, projectiontest.NewJournal(h.Batches...), d.Projection(), 500)
		ctx := context.Background()

		var rows []projection.Purchase
		for {
			page, err := d.Purchases(ctx, uint64(len(rows)), 100)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			rows = append(rows, page...)
		}
		require.Len(t, rows, len(h.State))
		count := map[string]int64{}
		passes := int64(0)
		for _, p := range rows {
			require.Equal(t, h.State[p.ID], p.State, "purchase %d", p.ID)
			require.EqualValues(t, h.Subsidy[p.ID], p.Subsidy, "purchase %d", p.ID)
			count[p.State]++
			if p.Kind == projection.KindPreauth || p.Kind == projection.KindPreauthVoid || p.Kind == projection.KindCompletionVoid {
				passes++
				count[p.State]--
			}
			require.Equal(t, h.Kind[p.ID], p.Kind, "purchase %d", p.ID)
			trail, err := d.PurchasePositions(ctx, p.ID)
			require.NoError(t, err)
			require.Equal(t, h.Trail[p.ID], trail, "purchase %d", p.ID)
		}

		states, err := d.PurchasesByState(ctx)
		require.NoError(t, err)
		for _, s := range states {
			count[s.State] -= s.Count
		}
		for state, n := range count {
			require.Zero(t, n, state)
		}

		families, err := d.PassesByKind(ctx)
		require.NoError(t, err)
		for _, f := range families {
			if f.Kind != projection.KindCompletion {
				passes -= f.Count
			}
		}
		require.Zero(t, passes)
		requireTotals(t, d, h)
		requireBudgets(t, d, h)
		requireOwed(t, d, h)
	}
}

func requireTotals(t *testing.T, d *postgres.Database, h *projectiontest.History) {
	t.Helper()
	totals, err := d.Totals(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, len(h.Batches), totals.Position.Batch)
	require.Equal(t, h.Batches[len(h.Batches)-1].Hash, totals.Position.Hash)
	require.EqualValues(t, len(h.State), totals.Purchases)
	require.EqualValues(t, h.Captures, totals.Captures)
	require.EqualValues(t, h.Charged, totals.Charged)
	require.EqualValues(t, h.Refunds, totals.Refunds)
	require.EqualValues(t, h.GivenBack, totals.GivenBack)
	require.EqualValues(t, h.Refusals, totals.Refusals)
	require.EqualValues(t, h.Acts, totals.OperatorActs)
	require.EqualValues(t, h.Supplements, totals.ManualSupplements)
	require.EqualValues(t, h.ManualSubsidy, totals.ManualSubsidy)
	require.EqualValues(t, len(h.OpenItems), totals.WorkItemsOpen)
	require.EqualValues(t, h.Settled, totals.Batches)
	require.EqualValues(t, h.Unequal, totals.BatchesUnequal)

	var held, spent, unknown, dead int64
	for leaf := range h.Allocated {
		held += h.Held[leaf]
		spent += h.Spent[leaf]
	}
	for _, state := range h.State {
		if state == projection.Unknown {
			unknown++
		}
	}
	require.Equal(t, unknown, totals.Unknown)
	require.LessOrEqual(t, int64(totals.Held), held, "the rest is held by claims")
	require.EqualValues(t, spent, totals.Subsidised-totals.SubsidyRestored, "what is spent is what stands")
	for _, state := range h.Reversal {
		if state == projection.ReversalDead {
			dead++
		}
	}
	unknown = 0
	var open int64
	for _, state := range h.Operation {
		switch state {
		case projection.OperationUnknown:
			unknown++
			open++
		case projection.OperationSent, projection.OperationReversing:
			open++
		}
	}
	require.Equal(t, unknown, totals.OperationsUnknown)
	require.Equal(t, open, totals.OperationsOpen)
	require.GreaterOrEqual(t, totals.DeadLetters, dead)
	require.Positive(t, totals.Voids)
	require.Positive(t, totals.PayerRefunds)
	require.Positive(t, totals.SubsidyReturned)
}

// What is posted for each purchase is, payer by payer, what of its subsidy stands; its merchant is owed the sum, and what is
// payable is receivable to the fen.
func requireOwed(t *testing.T, d *postgres.Database, h *projectiontest.History) {
	t.Helper()
	ever := settlement.DayOf(projectiontest.Start) + 10_000
	postings, err := d.Postings(context.Background(), ever)
	require.NoError(t, err)
	posted, owed := map[uint64]map[string]int64{}, map[uint64]int64{}
	for _, p := range postings {
		if p.Account.Kind == settlement.Payable {
			require.Equal(t, "898210000000", p.Account.Party)
			owed[p.Purchase] -= int64(p.Amount)
			continue
		}
		if posted[p.Purchase] == nil {
			posted[p.Purchase] = map[string]int64{}
		}
		posted[p.Purchase][p.Account.Party] += int64(p.Amount)
	}
	var standing money.Amount
	for id, parts := range posted {
		var sum int64
		for payer, amount := range parts {
			require.Equal(t, h.Posted[id][payer], amount, "purchase %d, %s", id, payer)
			sum += amount
		}
		require.Equal(t, sum, owed[id], "purchase %d", id)
		standing += money.Amount(sum)
	}
	require.NotZero(t, standing)
	balances, err := d.Owed(context.Background(), ever)
	require.NoError(t, err)
	var payable, receivable, payableByHand, receivableByHand, byHand money.Amount
	for _, b := range balances {
		if b.Account.Kind == settlement.Payable {
			payable, payableByHand = payable+b.Amount, payableByHand+b.Manual
		} else {
			receivable, receivableByHand = receivable+b.Amount, receivableByHand+b.Manual
		}
	}
	require.Equal(t, -standing, payable)
	require.Equal(t, standing, receivable)
	purchases, err := d.Purchases(context.Background(), 0, 1_000_000)
	require.NoError(t, err)
	for i := range purchases {
		if purchases[i].Manual {
			for _, amount := range h.Posted[purchases[i].ID] {
				byHand += money.Amount(amount)
			}
		}
	}
	require.NotZero(t, byHand)
	require.Equal(t, byHand, receivableByHand, "what was recorded by hand, less what was taken back of it")
	require.Equal(t, -byHand, payableByHand)

	before, err := d.Owed(context.Background(), settlement.DayOf(projectiontest.Start)-1)
	require.NoError(t, err)
	require.Empty(t, before, "nothing is owed for what has not happened yet")
}

// requireBudgets holds every leaf against the model, every inner node against the sum of its children, and the nodes
// against the movements.
func requireBudgets(t *testing.T, d *postgres.Database, h *projectiontest.History) {
	t.Helper()
	ctx := context.Background()
	nodes, err := d.Budgets(ctx, -1)
	require.NoError(t, err)
	held, spent := map[string]money.Amount{}, map[string]money.Amount{}
	leaves := 0
	for _, n := range nodes {
		require.Equal(t, n.Allocated, n.Free+n.Held+n.Spent, n.Path)
		require.GreaterOrEqual(t, n.Free, money.Amount(0), n.Path)
		if n.Leaf {
			leaves++
			require.EqualValues(t, h.Allocated[n.Path], n.Allocated, n.Path)
			require.EqualValues(t, h.Held[n.Path], n.Held, n.Path)
			require.EqualValues(t, h.Spent[n.Path], n.Spent, n.Path)
		}
		parent := n.Path
		for parent != "" {
			if i := strings.LastIndexByte(parent, '/'); i >= 0 {
				parent = parent[:i]
			} else {
				parent = ""
			}
			if n.Leaf {
				held[parent] += n.Held
				spent[parent] += n.Spent
			}
		}
	}
	require.Equal(t, len(h.Allocated), leaves)
	for _, n := range nodes {
		if !n.Leaf {
			require.Equal(t, held[n.Path], n.Held, n.Path)
			require.Equal(t, spent[n.Path], n.Spent, n.Path)
		}
	}

	top, err := d.Budgets(ctx, 1)
	require.NoError(t, err)
	require.Len(t, top, 3, "the root and its two cities")

	conn, err := pgx.Connect(ctx, d.URL())
	require.NoError(t, err)
	defer conn.Close(ctx)
	var wrong int
	require.NoError(t, conn.QueryRow(ctx, `
		SELECT count(*) FROM budget_nodes n
		JOIN (SELECT path, sum(allocated) a, sum(held) h, sum(spent) s FROM budget_movements GROUP BY path) m USING (path)
		WHERE (n.allocated, n.held, n.spent) <> (m.a, m.h, m.s)
		  AND NOT EXISTS (SELECT FROM budget_nodes c WHERE c.parent = n.path AND NOT c.root)`).Scan(&wrong))
	require.Zero(t, wrong, "leaves whose movements do not add up to them")
}

// The server is stopped in good order, then killed hard, while the journal grows and the projector writes.
func TestStoppedServerLosesAndDoublesNothing(t *testing.T) {
	h := projectiontest.NewHistory(7, 6000)
	want := pgtest.New(t)
	project(t, projectiontest.NewJournal(h.Batches...), want.Projection(), 1000)

	dir := filepath.Join(t.TempDir(), "postgres")
	start := func() *postgres.Private {
		p, err := postgres.StartPrivate(context.Background(), postgres.PrivateConfig{Dir: dir})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		return p
	}
	server := start()
	d := open(t, server.URL())
	_, err := d.Migrate(context.Background())
	require.NoError(t, err)

	third := len(h.Batches) / 3
	j := projectiontest.NewJournal(h.Batches[:third]...)
	p, stop := follow(t, j, d.Projection(), 50)
	wait(t, p, uint64(third/2))
	require.NoError(t, server.Close()) // in the middle of writing

	j.Append(h.Batches[third : 2*third]...)
	require.Eventually(t, func() bool { return p.Outage() != nil }, patience, time.Millisecond)
	require.Positive(t, p.Lag())
	server = start()
	wait(t, p, uint64(third+third/2))

	kill(t, server)
	j.Append(h.Batches[2*third:]...)
	server = start()
	wait(t, p, uint64(len(h.Batches)))
	require.Zero(t, p.Lag())
	stop()
	requireSameRows(t, dump(t, want.URL()), dump(t, server.URL()))
}

// lossy reports a failure for commits that succeeded, now and then: the answer was lost.
type lossy struct {
	projection.Store
	writes int
}

func (s *lossy) Write(ctx context.Context, from, to projection.Position, rows projection.Packed) error {
	if err := s.Store.Write(ctx, from, to, rows); err != nil {
		return err
	}
	if s.writes++; s.writes%3 == 0 {
		return errors.New("the connection was lost while the answer was on its way")
	}
	return nil
}

func TestCommitWhoseAnswerWasLostIsNotRepeated(t *testing.T) {
	h := projectiontest.NewHistory(3, 2000)
	j := projectiontest.NewJournal(h.Batches...)
	want := pgtest.New(t)
	project(t, j, want.Projection(), 500)
	got := pgtest.New(t)
	project(t, j, &lossy{Store: got.Projection()}, 20)
	requireSameRows(t, dump(t, want.URL()), dump(t, got.URL()))
}

func TestTwoProjectorsDoubleNothing(t *testing.T) {
	h := projectiontest.NewHistory(4, 2000)
	j := projectiontest.NewJournal(h.Batches...)
	want := pgtest.New(t)
	project(t, j, want.Projection(), 500)
	got := pgtest.New(t)
	first, stopFirst := follow(t, j, got.Projection(), 30)
	second, stopSecond := follow(t, j, got.Projection(), 30)
	wait(t, first, j.Position())
	wait(t, second, j.Position())
	stopFirst()
	stopSecond()
	requireSameRows(t, dump(t, want.URL()), dump(t, got.URL()))
}

func TestWriteThatFollowsAnotherPositionWritesNothing(t *testing.T) {
	h := projectiontest.NewHistory(5, 200)
	d := pgtest.New(t)
	project(t, projectiontest.NewJournal(h.Batches...), d.Projection(), 100)
	before := dump(t, d.URL())
	s := d.Projection()
	at, err := s.Position(context.Background())
	require.NoError(t, err)
	to := at
	to.Batch++
	node := &projection.Node{Path: "999999", ChangedAt: at.At}
	changes, err := s.Pack(&projection.Changes{Nodes: []*projection.Node{node}})
	require.NoError(t, err)

	behind := at
	behind.Batch--
	require.ErrorIs(t, s.Write(context.Background(), behind, to, changes), projection.ErrMoved)
	other := at
	other.Hash[0]++
	require.ErrorIs(t, s.Write(context.Background(), other, to, changes), projection.ErrMoved)
	require.Equal(t, before, dump(t, d.URL()))

	// A row that must be new and is not fails the whole transaction, the position with it.
	require.NoError(t, s.Write(context.Background(), at, to, changes))
	again := to
	again.Batch++
	act := projection.OperatorAct{Seq: 1 << 40, ActedAt: at.At}
	changes, err = s.Pack(&projection.Changes{Acts: []projection.OperatorAct{act, act}})
	require.NoError(t, err)
	require.Error(t, s.Write(context.Background(), to, again, changes))
	now, err := s.Position(context.Background())
	require.NoError(t, err)
	require.Equal(t, to.Batch, now.Batch)
}

// 2025-06-30T16:00:00Z is the first of July in Asia/Shanghai.
func TestRowsLieInTheBusinessMonthOfTheirFirstEvent(t *testing.T) {
	d := pgtest.New(t)
	project(t, projectiontest.NewJournal(projectiontest.NewHistory(6, 600).Batches...), d.Projection(), 100)
	conn, err := pgx.Connect(context.Background(), d.URL())
	require.NoError(t, err)
	defer conn.Close(context.Background())
	rows, err := conn.Query(context.Background(), `
		SELECT DISTINCT m.tableoid::regclass::text, month::text,
		       date_trunc('month', moved_at AT TIME ZONE 'Asia/Shanghai')::date::text
		FROM budget_movements m ORDER BY 1, 2, 3`)
	require.NoError(t, err)
	type line struct{ Partition, Month, Shanghai string }
	lines, err := pgx.CollectRows(rows, pgx.RowToStructByPos[line])
	require.NoError(t, err)
	require.Equal(t, []line{
		{"budget_movements_2025_06", "2025-06-01", "2025-06-01"},
		{"budget_movements_2025_07", "2025-07-01", "2025-07-01"},
	}, lines)

	var ahead *string
	require.NoError(t, conn.QueryRow(context.Background(), "SELECT to_regclass('purchases_2025_08')::text").Scan(&ahead))
	require.NotNil(t, ahead, "the partitions of the month after are there")
}

func TestPartedJournalStopsTheProjectorAndWritesNothing(t *testing.T) {
	h := projectiontest.NewHistory(8, 300)
	d := pgtest.New(t)
	j := projectiontest.NewJournal(h.Batches...)
	project(t, j, d.Projection(), 100)
	before := dump(t, d.URL())

	last := h.Batches[len(h.Batches)-1]
	seq := last.Events[len(last.Events)-1].Seq
	j.Append(projection.Batch{Position: last.Position + 1, Events: []*event.Event{{
		Seq: seq + 1, At: projectiontest.Start, Body: &event.Event_SaleApproved{
			SaleApproved: &event.SaleApproved{Purchase: 1 << 50, Answer: &event.HostAnswer{Response: "00"}}},
	}}})
	p, err := projection.New(projection.Config{Journal: j, Store: d.Projection(), Metrics: prometheus.NewRegistry()})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.ErrorIs(t, p.Run(ctx), projection.ErrParted)
	require.Equal(t, before, dump(t, d.URL()))
}

// A broken reference to a table is the program's fault and no outage; the projector says so and keeps trying, because a
// repaired schema is all it takes.
func TestRefusedStatementIsKeptAsOutage(t *testing.T) {
	h := projectiontest.NewHistory(9, 100)
	d := pgtest.Empty(t) // no schema yet
	p, _ := follow(t, projectiontest.NewJournal(h.Batches...), d.Projection(), 100)
	require.Eventually(t, func() bool { return p.Outage() != nil }, patience, time.Millisecond)
	require.ErrorContains(t, p.Outage(), "projection_position")
	_, known := p.Position()
	require.False(t, known)
	_, err := d.Migrate(context.Background())
	require.NoError(t, err)
	wait(t, p, uint64(len(h.Batches)))
	require.NoError(t, p.Outage())
}

func BenchmarkProjection(b *testing.B) {
	const events = 100_000
	h := projectiontest.NewHistory(1, events)
	j := projectiontest.NewJournal(h.Batches...)
	for b.Loop() {
		b.StopTimer()
		d := pgtest.New(b)
		b.StartTimer()
		p, err := projection.New(projection.Config{Journal: j, Store: d.Projection(), Metrics: prometheus.NewRegistry()})
		require.NoError(b, err)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		require.NoError(b, p.Wait(ctx, j.Position()), "outage: %v", p.Outage())
		cancel()
		require.NoError(b, <-ended)
	}
	b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
}
