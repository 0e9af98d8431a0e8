package projection_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/switch/event"
	"huanxin/switch/projection"
	"huanxin/switch/projection/projectiontest"
)

const patience = time.Minute

func config(j projection.Journal, s projection.Store) projection.Config {
	return projection.Config{Journal: j, Store: s, RetryMin: time.Microsecond, RetryMax: time.Millisecond}
}

// project runs a projector to the journal's end.
func project(t require.TestingT, c projection.Config) {
	p, err := projection.New(c)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	waited := p.Wait(ctx, c.Journal.Position())
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, waited)
}

// Failures and lost answers anywhere, transactions of any size, restarts at any point: the rows are the same.
func TestNothingIsLostOrDoubledWhateverTheStoreDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := projectiontest.NewHistory(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(20, 400).Draw(t, "events"))
		want := projectiontest.NewStore()
		project(t, config(projectiontest.NewJournal(h.Batches...), want))

		got := projectiontest.NewStore()
		chance := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "chance"), 0))
		got.Let(func() projectiontest.End { return projectiontest.End(chance.IntN(4) % 3) })
		for _, end := range []int{rapid.IntRange(1, len(h.Batches)).Draw(t, "restart after"), len(h.Batches)} {
			c := config(projectiontest.NewJournal(h.Batches[:end]...), got)
			c.BatchEvents = rapid.IntRange(1, 50).Draw(t, "transaction")
			project(t, c)
		}
		require.Equal(t, want.Rows(), got.Rows())
	})
}

func TestBusyMachineSlowsTheProjectorAndNeverHoldsIt(t *testing.T) {
	h := projectiontest.NewHistory(3, 100)
	want, got := projectiontest.NewStore(), projectiontest.NewStore()
	project(t, config(projectiontest.NewJournal(h.Batches...), want))
	asked := 0
	c := config(projectiontest.NewJournal(h.Batches...), got)
	c.Busy = func() bool { asked++; return true }
	project(t, c)
	require.Equal(t, want.Rows(), got.Rows())
	require.Positive(t, asked)
}

// shortOf is a journal that cannot be read a few times, for no reason of its own.
type shortOf struct {
	projection.Journal
	times atomic.Int64
}

func (j *shortOf) Follow(ctx context.Context, from uint64) (projection.Source, error) {
	if j.times.Add(-1) >= 0 {
		return nil, fmt.Errorf("%w: too many open files", projection.ErrUnreadable)
	}
	return j.Journal.Follow(ctx, from)
}

func TestJournalThatCannotBeReadForAWhileEndsNothing(t *testing.T) {
	h := projectiontest.NewHistory(4, 50)
	j := &shortOf{Journal: projectiontest.NewJournal(h.Batches...)}
	j.times.Store(3)
	project(t, config(j, projectiontest.NewStore()))
	require.Negative(t, j.times.Load())
}

func TestOutageShowsInLagAndMetricsAndPasses(t *testing.T) {
	h := projectiontest.NewHistory(2, 100)
	j, s := projectiontest.NewJournal(), projectiontest.NewStore()
	c := config(j, s)
	registry := prometheus.NewRegistry()
	c.Metrics = registry
	c.Now = func() time.Time { return time.Unix(0, projectiontest.Start).Add(time.Hour) }
	p, err := projection.New(c)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()

	j.Append(h.Batches[0])
	require.NoError(t, p.Wait(ctx, 1))
	s.Let(func() projectiontest.End { return projectiontest.Fails })
	j.Append(h.Batches[1:]...)
	require.Eventually(t, func() bool { return p.Outage() != nil }, patience, time.Millisecond)
	require.EqualValues(t, len(h.Batches)-1, p.Lag())
	at, known := p.Position()
	require.True(t, known)
	require.EqualValues(t, 1, at.Batch)
	metrics := gather(t, registry)
	require.EqualValues(t, len(h.Batches)-1, metrics["huanxin_projection_lag_batches"])
	require.InDelta(t, 3600, metrics["huanxin_projection_lag_seconds"], 60)
	require.Positive(t, metrics["huanxin_projection_failures_total"])

	s.Let(func() projectiontest.End { return projectiontest.Works })
	require.NoError(t, p.Wait(ctx, j.Position()))
	require.NoError(t, p.Outage())
	require.Zero(t, p.Lag())
	metrics = gather(t, registry)
	require.Zero(t, metrics["huanxin_projection_lag_seconds"])
	require.EqualValues(t, h.Batches[len(h.Batches)-1].Events[len(h.Batches[len(h.Batches)-1].Events)-1].Seq,
		metrics["huanxin_projection_events_total"])
	cancel()
	require.NoError(t, <-ended)
}

// silent is a store whose connections have gone silent at first: no answer comes, and no error.
type silent struct {
	*projectiontest.Store
	positions, programmes atomic.Int64 // readings that are never answered
}

func (s *silent) Position(ctx context.Context) (projection.Position, error) {
	if s.positions.Add(-1) >= 0 {
		<-ctx.Done()
		return projection.Position{}, ctx.Err()
	}
	return s.Store.Position(ctx)
}

func (s *silent) Programme(ctx context.Context) (projection.Programme, error) {
	if s.programmes.Add(-1) >= 0 {
		<-ctx.Done()
		return projection.Programme{}, ctx.Err()
	}
	return s.Store.Programme(ctx)
}

func TestSilentConnectionIsGivenUpBeforeTheFirstTransactionToo(t *testing.T) {
	h := projectiontest.NewHistory(2, 100)
	want := projectiontest.NewStore()
	project(t, config(projectiontest.NewJournal(h.Batches...), want))
	s := &silent{Store: projectiontest.NewStore()}
	s.positions.Store(2)
	s.programmes.Store(1)
	c := config(projectiontest.NewJournal(h.Batches...), s)
	c.WriteTimeout = 50 * time.Millisecond
	project(t, c)
	require.Equal(t, want.Rows(), s.Rows())
}

// counting counts the transactions.
type counting struct {
	*projectiontest.Store
	writes atomic.Int64
}

func (s *counting) Write(ctx context.Context, from, to projection.Position, rows projection.Packed) error {
	s.writes.Add(1)
	return s.Store.Write(ctx, from, to, rows)
}

// starved is a store that ends no transaction of more than so many events in its time.
type starved struct {
	*projectiontest.Store
	most uint64
	gave atomic.Int64 // transactions that did not end
}

func (s *starved) Write(ctx context.Context, from, to projection.Position, rows projection.Packed) error {
	if to.Seq-from.Seq > s.most {
		s.gave.Add(1)
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Store.Write(ctx, from, to, rows)
}

func TestTransactionsShrinkUntilAStarvedDatabaseEndsThem(t *testing.T) {
	h := projectiontest.NewHistory(2, 200)
	want := projectiontest.NewStore()
	project(t, config(projectiontest.NewJournal(h.Batches...), want))
	largest, all := 0, 0
	for _, b := range h.Batches {
		largest, all = max(largest, len(b.Events)), all+len(b.Events)
	}
	s := &starved{Store: projectiontest.NewStore(), most: uint64(2 * largest)}
	require.Greater(t, all, 8*largest, "else nothing has to shrink")
	c := config(projectiontest.NewJournal(h.Batches...), s)
	c.BatchEvents = all
	c.WriteTimeout = 50 * time.Millisecond
	project(t, c)
	require.Positive(t, s.gave.Load())
	require.Equal(t, want.Rows(), s.Rows())
}

// What comes within the pace goes into one transaction; a full one waits for nothing.
func TestWhatComesSoonAfterATransactionGoesIntoOne(t *testing.T) {
	h := projectiontest.NewHistory(2, 200)
	j, s := projectiontest.NewJournal(), &counting{Store: projectiontest.NewStore()}
	c := config(j, s)
	c.Pace = time.Hour
	c.BatchEvents = 0
	for _, b := range h.Batches[1:] {
		c.BatchEvents += len(b.Events)
	}
	p, err := projection.New(c)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	j.Append(h.Batches[0])
	require.NoError(t, p.Wait(ctx, 1))
	for _, b := range h.Batches[1:] {
		j.Append(b)
	}
	require.NoError(t, p.Wait(ctx, j.Position()))
	require.EqualValues(t, 2, s.writes.Load())
	cancel()
	require.NoError(t, <-ended)
}

func gather(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			out[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

func TestBrokenJournalEndsTheProjector(t *testing.T) {
	broken := errors.New("chain broken at 7")
	j := projectiontest.NewJournal(projectiontest.NewHistory(2, 50).Batches...)
	p, err := projection.New(config(j, projectiontest.NewStore()))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	require.NoError(t, p.Wait(ctx, j.Position()))
	j.Break(broken)
	require.ErrorIs(t, <-ended, broken)
}

func TestWaitEndsWithItsContext(t *testing.T) {
	p, err := projection.New(config(projectiontest.NewJournal(), projectiontest.NewStore()))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, p.Wait(ctx, 1), context.Canceled)
}

func TestWrongSettingsAreRefused(t *testing.T) {
	j, s := projectiontest.NewJournal(), projectiontest.NewStore()
	for _, c := range []projection.Config{
		{}, {Journal: j}, {Store: s}, {Journal: j, Store: s, BatchEvents: -1},
		{Journal: j, Store: s, Pace: -1}, {Journal: j, Store: s, RetryMin: -1}, {Journal: j, Store: s, RetryMin: time.Minute, RetryMax: time.Second},
	} {
		_, err := projection.New(c)
		require.Error(t, err)
	}
}

// An event that does not fit what came before ends the projector and leaves no trace.
func TestEventThatDoesNotFitIsRefused(t *testing.T) {
	h := projectiontest.NewHistory(11, 400)
	var captured uint64
	for id, state := range h.State {
		if state == projection.Captured {
			captured = id
		}
	}
	require.NotZero(t, captured)
	last := h.Batches[len(h.Batches)-1]
	next := last.Events[len(last.Events)-1].Seq + 1
	for name, ev := range map[string]*event.Event{
		"a gap in the numbers": {Seq: next + 1, Body: &event.Event_CodeShown{CodeShown: &event.CodeShown{}}},
		"no body at all":       {Seq: next},
		"unknown purchase": {Seq: next, Body: &event.Event_SaleApproved{
			SaleApproved: &event.SaleApproved{Purchase: 1 << 40}}},
		"captured again": {Seq: next, Body: &event.Event_SaleApproved{
			SaleApproved: &event.SaleApproved{Purchase: captured}}},
		"expiry of a captured hold": {Seq: next, Body: &event.Event_HoldExpired{
			HoldExpired: &event.HoldExpired{Purchase: captured}}},
		"claim on no budget": {Seq: next, Body: &event.Event_EntitlementClaimed{
			EntitlementClaimed: &event.EntitlementClaimed{Entitlement: 1 << 40, Leaf: "nowhere", Reserved: 1}}},
		"unknown entitlement": {Seq: next, Body: &event.Event_Reserved{
			Reserved: &event.Reserved{Purchase: 1 << 40, Entitlement: 1 << 40}}},
		"unknown budget node": {Seq: next, Body: &event.Event_BudgetRoundClosed{
			BudgetRoundClosed: &event.BudgetRoundClosed{Path: "nowhere"}}},
		"refund of an unknown purchase": {Seq: next, Body: &event.Event_RefundSent{
			RefundSent: &event.RefundSent{Operation: 1 << 40, Purchase: 1 << 40}}},
		"answer to an unknown void": {Seq: next, Body: &event.Event_VoidApproved{
			VoidApproved: &event.VoidApproved{Operation: 1 << 40, Purchase: captured}}},
		"release of a purchase that is not voided": {Seq: next, Body: &event.Event_VoidReleased{
			VoidReleased: &event.VoidReleased{Operation: 1 << 40, Purchase: captured}}},
		"restored entitlement of a purchase that is not refunded": {Seq: next, Body: &event.Event_EntitlementRestored{
			EntitlementRestored: &event.EntitlementRestored{Purchase: captured}}},
		"supplement of nothing": {Seq: next, Body: &event.Event_Supplemented{Supplemented: &event.Supplemented{}}},
		"second subsidy": {Seq: next, Body: &event.Event_Supplemented{
			Supplemented: &event.Supplemented{Facts: &event.Reserved{Purchase: captured}}}},
		"closed item that is not open": {Seq: next, Body: &event.Event_WorkItemClosed{
			WorkItemClosed: &event.WorkItemClosed{Item: 1 << 40}}},
		"upload of a batch that was not settled": {Seq: next, Body: &event.Event_BatchUploaded{
			BatchUploaded: &event.BatchUploaded{Key: &event.ExchangeKey{Terminal: "nowhere", Batch: 1}}}},
		"end of no inquiry": {Seq: next, Body: &event.Event_InquiryEnded{InquiryEnded: &event.InquiryEnded{Rrn: "1"}}},
		"end of no pause":   {Seq: next, Body: &event.Event_PauseLifted{PauseLifted: &event.PauseLifted{Pause: 1 << 40}}},
		"unknown reversal": {Seq: next, Body: &event.Event_ReversalAttempted{
			ReversalAttempted: &event.ReversalAttempted{Reversal: 1 << 40}}},
		"another programme": {Seq: next, Body: &event.Event_ProgrammePinned{
			ProgrammePinned: &event.ProgrammePinned{Programme: "jilin-2025"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := projectiontest.NewStore()
			j := projectiontest.NewJournal(h.Batches...)
			project(t, config(j, s))
			before := s.Rows()
			ev.At = projectiontest.Start
			j.Append(projection.Batch{Position: last.Position + 1, Events: []*event.Event{ev}})
			c := config(j, s)
			registry := prometheus.NewRegistry()
			c.Metrics = registry
			p, err := projection.New(c)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			require.ErrorIs(t, p.Run(ctx), projection.ErrParted)
			require.Equal(t, before, s.Rows())
			require.EqualValues(t, 1, gather(t, registry)["huanxin_projection_parted"])
		})
	}
}

// The journal came back from a copy, and batches that the rows are made from are others now, or none.
func TestRowsOfBatchesThatTheJournalDoesNotHoldEndTheProjector(t *testing.T) {
	h := projectiontest.NewHistory(8, 300)
	s := projectiontest.NewStore()
	project(t, config(projectiontest.NewJournal(h.Batches[:30]...), s))
	before := s.Rows()
	other := slices.Clone(h.Batches)
	other[29].Hash[0]++
	for name, j := range map[string]*projectiontest.Journal{
		"shorter": projectiontest.NewJournal(h.Batches[:29]...), "another": projectiontest.NewJournal(other...),
	} {
		t.Run(name, func(t *testing.T) {
			p, err := projection.New(config(j, s))
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			require.ErrorIs(t, p.Run(ctx), projectiontest.ErrNotHeld)
			require.Equal(t, before, s.Rows())
		})
	}
}

// overtaken is a store in which somebody else writes everything between two of the projector's reads.
type overtaken struct {
	*projectiontest.Store
	once sync.Once
	do   func()
}

func (s *overtaken) Nodes(ctx context.Context) ([]projection.Node, error) {
	s.once.Do(s.do)
	return s.Store.Nodes(ctx)
}

// Rows that are further than the position that was read are no sign of a parted journal.
func TestProjectorThatWasOvertakenStartsAgain(t *testing.T) {
	h := projectiontest.NewHistory(12, 400)
	j := projectiontest.NewJournal(h.Batches...)
	want := projectiontest.NewStore()
	project(t, config(j, want))
	s := projectiontest.NewStore()
	project(t, config(j, &overtaken{Store: s, do: func() { project(t, config(j, s)) }}))
	require.Equal(t, want.Rows(), s.Rows())
}

// What a terminal sends must not be able to stop the projection.
func TestTextIsMadeFitForADatabase(t *testing.T) {
	s := projectiontest.NewStore()
	j := projectiontest.NewJournal(projection.Batch{Position: 1, Events: []*event.Event{{
		Seq: 1, At: projectiontest.Start, Body: &event.Event_TerminalSignedOn{TerminalSignedOn: &event.TerminalSignedOn{
			Terminal: "1000\x0001\xff ", Merchant: "商户\x00\x00  "}},
	}}})
	project(t, config(j, s))
	require.Contains(t, s.Rows().Terminals, "100001\uFFFD")
	require.Equal(t, "商户", s.Rows().Terminals["100001\uFFFD"].Merchant)
	for id := range s.Rows().Terminals {
		require.False(t, strings.ContainsRune(id, 0))
	}
}

func TestMonthIsTheBusinessMonth(t *testing.T) {
	for text, month := range map[string]string{
		"2025-06-30T15:59:59.999999999Z": "2025-06-01",
		"2025-06-30T16:00:00Z":           "2025-07-01",
		"2025-12-31T16:00:00Z":           "2026-01-01",
		"2025-06-30T23:59:59-07:00":      "2025-07-01",
	} {
		at, err := time.Parse(time.RFC3339Nano, text)
		require.NoError(t, err)
		require.Equal(t, month, projection.MonthOf(projection.Instant(at.UnixNano())).Format(time.DateOnly), text)
	}
}

func TestInstantIsNullOrATimestamp(t *testing.T) {
	v, err := projection.Instant(0).Value()
	require.NoError(t, err)
	require.Nil(t, v)
	at := projection.Instant(projectiontest.Start + 1234)
	v, err = at.Value()
	require.NoError(t, err)
	var back projection.Instant
	require.NoError(t, back.Scan(v))
	require.Equal(t, projection.Instant(projectiontest.Start+1000), back, "microseconds")
	require.NoError(t, back.Scan(nil))
	require.Zero(t, back)
	require.Error(t, back.Scan("yesterday"))
}

// What a history leaves out proves nothing: all but the registry's products is in it.
func TestTheHistoryHasEveryFactOfTheSchema(t *testing.T) {
	seen := map[string]bool{"product_set": true}
	for _, b := range projectiontest.NewHistory(1, 5000).Batches {
		for _, ev := range b.Events {
			m := ev.ProtoReflect()
			seen[string(m.WhichOneof(m.Descriptor().Oneofs().ByName("body")).Name())] = true
		}
	}
	fields := (&event.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range fields.Len() {
		require.True(t, seen[string(fields.Get(i).Name())], fields.Get(i).Name())
	}
}

// Whatever happens to purchases, the rows say what the model that made the events says: states, subsidies, what stands of
// each payer's part by postings, budgets, work items, trails.
func TestRowsAgreeWithTheModelThatMadeTheEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := projectiontest.NewHistory(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(20, 1500).Draw(t, "events"))
		s := projectiontest.NewStore()
		project(t, config(projectiontest.NewJournal(h.Batches...), s))

		require.Len(t, s.Rows().Purchases, len(h.State))
		for id, p := range s.Rows().Purchases {
			require.Equal(t, h.State[id], p.State, "purchase %d", id)
			require.Equal(t, h.Kind[id], p.Kind, "purchase %d", id)
			require.EqualValues(t, h.Subsidy[id], p.Subsidy, "purchase %d", id)
			var parts int64
			for _, part := range p.FunderParts {
				parts += part
			}
			require.EqualValues(t, p.Subsidy, parts, "purchase %d", id)
			require.Equal(t, p.State == projection.Refunding, p.RefundsOpen > 0, "purchase %d", id)
			require.LessOrEqual(t, p.Refunded+p.Refunding, p.Amount, "purchase %d", id)
			if hold, ok := s.Rows().Holds[id]; ok && hold.State != projection.HoldReleased {
				require.Equal(t, p.Subsidy, hold.Subsidy, "purchase %d", id)
			}
		}
		for id, e := range s.Rows().Entitlements {
			require.Equal(t, h.Entitlement[id], e.State, "entitlement %d", id)
		}
		for id, o := range s.Rows().Operations {
			require.Equal(t, h.Operation[id], o.State, "operation %d", id)
		}
		for id, r := range s.Rows().Reversals {
			require.Equal(t, h.Reversal[id], r.State, "reversal %d", id)
		}
		for path := range h.Allocated {
			n := s.Rows().Nodes[path]
			require.EqualValues(t, h.Allocated[path], n.Allocated, path)
			require.EqualValues(t, h.Held[path], n.Held, path)
			require.EqualValues(t, h.Spent[path], n.Spent, path)
		}
		open := map[uint64]bool{}
		for id, w := range s.Rows().Items {
			if w.State == projection.ItemOpen {
				open[id] = true
			}
		}
		require.Equal(t, h.OpenItems, open)
		requireFreshRows(t, h, s)
	})
}

// requireFreshRows holds the rows that are never changed against the model.
func requireFreshRows(t *rapid.T, h *projectiontest.History, s *projectiontest.Store) {
	posted := map[uint64]map[string]int64{}
	post := func(purchase uint64, payers []string, parts []int64, sign int64) {
		if posted[purchase] == nil {
			posted[purchase] = map[string]int64{}
		}
		for i, payer := range payers {
			posted[purchase][payer] += sign * parts[i]
		}
	}
	trail := map[uint64][]uint64{}
	acts := 0
	for _, row := range s.Rows().Fresh {
		switch r := row.(type) {
		case projection.Capture:
			post(r.Purchase, r.Funders, r.FunderParts, 1)
		case projection.Supplement:
			post(r.Purchase, r.Funders, r.FunderParts, 1)
		case projection.Refund:
			post(r.Purchase, r.Funders, r.FunderParts, -1)
		case projection.Trail:
			trail[r.Purchase] = append(trail[r.Purchase], r.Position)
		case projection.OperatorAct:
			acts++
		}
	}
	for id, parts := range posted {
		for payer, amount := range parts {
			require.Equal(t, h.Posted[id][payer], amount, "purchase %d, %s", id, payer)
		}
	}
	for id, p := range s.Rows().Purchases {
		for _, in := range []uint64{p.ReservedIn, p.SentIn, p.EndedIn} {
			if in != 0 && !slices.Contains(trail[id], in) {
				trail[id] = append(trail[id], in)
			}
		}
	}
	for id, positions := range trail {
		slices.Sort(positions)
		require.Equal(t, h.Trail[id], positions, "purchase %d", id)
	}
	require.Len(t, trail, len(h.Trail))
	require.Equal(t, h.Acts, acts)
}
