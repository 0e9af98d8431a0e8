package drill

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/switch/event"
)

const leaf = "210100/store/A01/r1"

// history builds a journal, numbering events as the engine does.
type history struct {
	t    require.TestingT
	book *Book
}

func newHistory(t require.TestingT) *history {
	h := &history{t: t, book: NewBook()}
	h.add(&event.Event{Body: &event.Event_BudgetNodeSet{BudgetNodeSet: &event.BudgetNodeSet{Path: "", Amount: 1000}}})
	h.add(&event.Event{Body: &event.Event_BudgetNodeSet{BudgetNodeSet: &event.BudgetNodeSet{Path: leaf, Amount: 500}}})
	return h
}

func (h *history) add(ev *event.Event) {
	ev.Seq = h.book.Events + 1
	require.NoError(h.t, h.book.Apply(ev))
}

func exchange(class, stan uint32) *event.ExchangeKey {
	return &event.ExchangeKey{Class: class, Terminal: "10000001", Merchant: "210100000000001", Batch: 1, Stan: stan}
}

func (h *history) reserve(id uint64, subsidy int64) {
	h.add(&event.Event{Body: &event.Event_Reserved{Reserved: &event.Reserved{
		Purchase: id, Key: exchange(1, uint32(id)), Subsidy: subsidy, Payable: 4000, Leaf: leaf, Entitlement: id,
		Serial: fmt.Appendf(nil, "%016d", id), ExpiresAt: 100,
	}}})
}

func (h *history) send(id uint64, ordinary bool) {
	h.add(&event.Event{Body: &event.Event_SaleSent{SaleSent: &event.SaleSent{
		Purchase: id, Ordinary: ordinary, Key: exchange(2, 1000+uint32(id)), Amount: 4000, Rrn: rrn(id),
	}}})
}

func (h *history) approve(id uint64) {
	h.add(&event.Event{Body: &event.Event_SaleApproved{SaleApproved: &event.SaleApproved{Purchase: id}}})
}

func (h *history) decline(id uint64) {
	h.add(&event.Event{Body: &event.Event_SaleDeclined{SaleDeclined: &event.SaleDeclined{Purchase: id}}})
}

func (h *history) reverse(id uint64) {
	h.add(&event.Event{Body: &event.Event_ReversalQueued{ReversalQueued: &event.ReversalQueued{Reversal: 9000 + id, Purchase: id, Amount: 4000}}})
}

func (h *history) reversed(id uint64) {
	h.add(&event.Event{Body: &event.Event_ReversalDone{ReversalDone: &event.ReversalDone{Reversal: 9000 + id, Purchase: id}}})
}

func (h *history) workItem(kind string, purchase, reversal uint64) {
	h.add(&event.Event{Body: &event.Event_WorkItemOpened{WorkItemOpened: &event.WorkItemOpened{Kind: kind, Purchase: purchase, Reversal: reversal}}})
}

// reverseAgain queues a second reversal, as a late approval does.
func (h *history) reverseAgain(id uint64) {
	h.add(&event.Event{Body: &event.Event_ReversalQueued{ReversalQueued: &event.ReversalQueued{Reversal: 9500 + id, Purchase: id}}})
}

func (h *history) reversedAgain(id uint64) {
	h.add(&event.Event{Body: &event.Event_ReversalDone{ReversalDone: &event.ReversalDone{Reversal: 9500 + id, Purchase: id}}})
}

func rrn(id uint64) string { return fmt.Sprintf("%012d", id) }

func charge(id uint64, amount int64) Movement {
	return Movement{RRN: rrn(id), Amount: amount, Charge: true}
}

func giveBack(id uint64, amount int64) Movement { return Movement{RRN: rrn(id), Amount: -amount} }

func saleAnswer(id uint64, response string) Answer {
	return Answer{MTI: "0200", Class: 2, Terminal: "10000001", Merchant: "210100000000001", Batch: 1, STAN: 1000 + uint32(id),
		Response: response, RRN: rrn(id), Amount: 4000}
}

func reserveAnswer(id uint64, response string, subsidy int64) Answer {
	return Answer{MTI: "0100", Class: 1, Terminal: "10000001", Merchant: "210100000000001", Batch: 1, STAN: uint32(id),
		Response: response, Hold: id, Subsidy: subsidy, Amount: 5000}
}

// cleanRun has one purchase of each fate, and the books that agree with it.
func cleanRun(t require.TestingT) (*history, Evidence) {
	h := newHistory(t)
	h.reserve(1, 100) // captured
	h.send(1, false)
	h.approve(1)
	h.reserve(2, 100) // timed out, charged, reversed
	h.send(2, false)
	h.reverse(2)
	h.reversed(2)
	h.reserve(3, 100) // declined
	h.send(3, false)
	h.decline(3)
	h.send(4, true) // ordinary
	h.approve(4)
	h.reserve(5, 100) // captured, then reversed by its terminal
	h.send(5, false)
	h.approve(5)
	h.reverse(5)
	h.reversed(5)
	h.reserve(6, 100) // expired
	h.add(&event.Event{Body: &event.Event_HoldExpired{HoldExpired: &event.HoldExpired{Purchase: 6}}})
	h.add(&event.Event{Body: &event.Event_ReserveRefused{ReserveRefused: &event.ReserveRefused{Key: exchange(1, 7)}}})
	return h, Evidence{
		Answers: []Answer{
			reserveAnswer(1, "00", 100), saleAnswer(1, "00"), saleAnswer(2, "98"), saleAnswer(3, "51"), saleAnswer(4, "00"),
			reserveAnswer(7, "57", 0), {MTI: "0100", Class: 1, STAN: 8, Response: "96"},
		},
		Book:   h.book,
		Ledger: []Movement{charge(1, 4000), charge(2, 4000), giveBack(2, 4000), charge(4, 4000), charge(5, 4000), giveBack(5, 4000)},
		Rows: []Row{
			{1, Captured, 100, 4000, rrn(1), 0}, {2, Reversed, 100, 4000, rrn(2), 0}, {3, Declined, 100, 4000, rrn(3), 0},
			{4, Captured, 0, 4000, rrn(4), 0}, {5, Reversed, 100, 4000, rrn(5), 0}, {6, Expired, 100, 4000, "", 0},
		},
		Now: 200,
	}
}

func TestAgreeingBooksGiveALineOfZeros(t *testing.T) {
	_, evidence := cleanRun(t)
	v := Compare("kill9", evidence)
	var findings strings.Builder
	v.Explain(&findings, 10)
	require.Empty(t, findings.String())
	require.True(t, v.Clean())
	require.Equal(t, "kill9 acknowledged 7 lost 0 duplicated 0 overspent 0 charged-without-record 0 subsidised-without-charge 0 orphan-holds 0 unresolved 0", v.String())
}

// TestEveryDefectIsCounted spoils one book at a time and expects the one count that names the defect.
func TestEveryDefectIsCounted(t *testing.T) {
	const (
		lost = iota
		duplicated
		overspent
		chargedWithoutRecord
		subsidisedWithoutCharge
		orphanHolds
		unresolved
	)
	for name, c := range map[string]struct {
		spoil func(*history, *Evidence)
		kind  int
	}{
		"approved hold forgotten":    {func(_ *history, e *Evidence) { e.Answers = append(e.Answers, reserveAnswer(99, "00", 100)) }, lost},
		"subsidy answered otherwise": {func(_ *history, e *Evidence) { e.Answers = append(e.Answers, reserveAnswer(1, "00", 101)) }, lost},
		"refusal forgotten":          {func(_ *history, e *Evidence) { e.Answers = append(e.Answers, reserveAnswer(99, "57", 0)) }, lost},
		"approved sale forgotten":    {func(_ *history, e *Evidence) { e.Answers = append(e.Answers, saleAnswer(99, "00")) }, lost},
		"approval never captured":    {func(_ *history, e *Evidence) { e.Answers = append(e.Answers, saleAnswer(3, "00")) }, lost},
		"reversal forgotten":         {func(_ *history, e *Evidence) { e.Answers = append(e.Answers, Answer{MTI: "0400", Response: "00"}) }, lost},
		"cancellation forgotten": {func(_ *history, e *Evidence) {
			e.Answers = append(e.Answers, Answer{MTI: "0100", Cancel: true, Response: "00", Hold: 1})
		}, lost},
		"row missing":               {func(_ *history, e *Evidence) { e.Rows = e.Rows[1:] }, lost},
		"row differs":               {func(_ *history, e *Evidence) { e.Rows[0].Amount++ }, lost},
		"row in another state":      {func(_ *history, e *Evidence) { e.Rows[1].State = Captured }, lost},
		"ordinary sale not charged": {func(_ *history, e *Evidence) { e.Ledger = append(e.Ledger, giveBack(4, 4000)) }, lost},
		"row twice":                 {func(_ *history, e *Evidence) { e.Rows = append(e.Rows, e.Rows[0]) }, duplicated},
		"row too many":              {func(_ *history, e *Evidence) { e.Rows = append(e.Rows, Row{ID: 99}) }, duplicated},
		"captured twice":            {func(h *history, _ *Evidence) { h.approve(1) }, duplicated},
		"hold sent twice":           {func(h *history, _ *Evidence) { h.send(1, false); h.approve(1) }, duplicated},
		"sale resent to the host": {func(_ *history, e *Evidence) {
			e.Ledger = append(e.Ledger, Movement{RRN: rrn(1), Again: true})
		}, duplicated},
		"budget overspent":            {func(h *history, _ *Evidence) { h.reserve(10, 401); h.reversible(10) }, overspent},
		"charge of nobody":            {func(_ *history, e *Evidence) { e.Ledger = append(e.Ledger, charge(99, 1)) }, chargedWithoutRecord},
		"charge of a declined sale":   {func(_ *history, e *Evidence) { e.Ledger = append(e.Ledger, charge(3, 4000)) }, chargedWithoutRecord},
		"reversal never reached host": {func(_ *history, e *Evidence) { e.Ledger = e.Ledger[:5] }, chargedWithoutRecord},
		"charge of another amount":    {func(_ *history, e *Evidence) { e.Ledger[0].Amount = 4001 }, chargedWithoutRecord},
		"subsidy without charge":      {func(_ *history, e *Evidence) { e.Ledger = e.Ledger[1:] }, subsidisedWithoutCharge},
		"charge given back":           {func(_ *history, e *Evidence) { e.Ledger = append(e.Ledger, giveBack(1, 4000)) }, subsidisedWithoutCharge},
		"late approval never given back": {func(h *history, e *Evidence) {
			h.workItem("late-approval", 2, 0)
			h.reverseAgain(2)
			h.reversedAgain(2)
			e.Ledger = append(e.Ledger, charge(2, 4000))
		}, chargedWithoutRecord},
		"charge stands after a reversal that a person's item came before": {func(h *history, e *Evidence) {
			h.workItem("reversal-without-original", 2, 9002)
			h.reverseAgain(2)
			h.reversedAgain(2)
			e.Ledger = append(e.Ledger, charge(2, 4000))
		}, chargedWithoutRecord},
		"never charged, with a work item": {func(h *history, e *Evidence) {
			h.workItem("answers-differ", 1, 0)
			e.Ledger = e.Ledger[1:]
		}, subsidisedWithoutCharge},
		"charged twice, with a work item": {func(h *history, e *Evidence) {
			h.workItem("reversal-late", 1, 0)
			e.Ledger = append(e.Ledger, charge(1, 4000))
		}, duplicated},
		"hold left over":          {func(h *history, _ *Evidence) { h.reserve(11, 1) }, orphanHolds},
		"sale left over":          {func(h *history, _ *Evidence) { h.reserve(12, 1); h.send(12, false) }, orphanHolds},
		"reversal without an end": {func(h *history, _ *Evidence) { h.reverse(1) }, unresolved},
	} {
		t.Run(name, func(t *testing.T) {
			h, evidence := cleanRun(t)
			c.spoil(h, &evidence)
			v := Compare(name, evidence)
			require.False(t, v.Clean())
			require.NotEmpty(t, *v.findings()[c.kind].list, v.String())
			var text strings.Builder
			v.Explain(&text, 3)
			require.NotEmpty(t, text.String())
		})
	}
}

// A reversal that a host refuses, or that finds nothing, names the wrong amount or number: the drill's hosts do every right
// one. A person who settles it by the ledger afterwards makes the books agree again, and must not hide it.
func TestAReversalThatAHostWouldNotDoIsAFindingHoweverItIsSettled(t *testing.T) {
	h, evidence := cleanRun(t)
	h.reverseAgain(4)
	h.workItem("reversal-refused", 4, 9504) // its charge stands
	require.Zero(t, h.book.moving(), "nobody will send the refused reversal again")
	h.add(&event.Event{Body: &event.Event_ReversalResolved{ReversalResolved: &event.ReversalResolved{Reversal: 9504, Purchase: 4, Outcome: "charged"}}})
	require.Len(t, Compare("refused", evidence).Unresolved, 1)

	h, evidence = cleanRun(t)
	h.workItem("reversal-without-original", 2, 9002)
	require.Len(t, Compare("nothing to reverse", evidence).Unresolved, 1)
	evidence.Ledger = append(evidence.Ledger, charge(2, 4000))
	require.NotEmpty(t, Compare("charged", evidence).ChargedWithoutRecord)
}

func TestDrainWaitsForTheSecondReversalOfALateApproval(t *testing.T) {
	h := newHistory(t)
	h.reserve(1, 100)
	h.send(1, false)
	h.reverse(1)
	require.Equal(t, 1, h.book.moving())
	h.reversed(1)
	require.Zero(t, h.book.moving())
	h.workItem("late-approval", 1, 0)
	h.reverseAgain(1)
	require.Equal(t, 1, h.book.moving())
	h.reversedAgain(1)
	require.Zero(t, h.book.moving())
}

// reversible ends a purchase, so that only what happened before counts.
func (h *history) reversible(id uint64) {
	h.add(&event.Event{Body: &event.Event_HoldExpired{HoldExpired: &event.HoldExpired{Purchase: id}}})
}

func TestOneSerialInTwoLivePurchasesIsOverspent(t *testing.T) {
	h := newHistory(t)
	h.reserve(1, 1)
	h.add(&event.Event{Body: &event.Event_Reserved{Reserved: &event.Reserved{
		Purchase: 2, Key: exchange(1, 2), Subsidy: 1, Leaf: leaf, Entitlement: 2, Serial: []byte("0000000000000001"),
	}}})
	require.Len(t, h.book.Overspent, 1)
	require.Contains(t, h.book.Overspent[0], "serial")
}

func TestOneEntitlementInTwoLivePurchasesIsOverspent(t *testing.T) {
	h := newHistory(t)
	h.reserve(1, 1)
	h.add(&event.Event{Body: &event.Event_Reserved{Reserved: &event.Reserved{
		Purchase: 2, Key: exchange(1, 2), Subsidy: 1, Leaf: leaf, Entitlement: 1, Serial: []byte("0000000000000002"),
	}}})
	require.Len(t, h.book.Overspent, 1)
	require.Contains(t, h.book.Overspent[0], "entitlement 1")
}

func TestReleasedSubsidyMayBeSpentAgain(t *testing.T) {
	h := newHistory(t)
	for id := uint64(1); id <= 20; id++ {
		h.reserve(id, 500)
		h.send(id, false)
		h.reverse(id)
		h.reversed(id)
	}
	require.Empty(t, h.book.Overspent)
}

// TestOverspendIsFoundExactlyWhenTheSumExceeds holds the running counts against a sum made anew at each step.
func TestOverspendIsFoundExactlyWhenTheSumExceeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t)
		alive := map[uint64]int64{}
		exceeded := false
		for id := uint64(1); id <= 30; id++ {
			subsidy := rapid.Int64Range(1, 200).Draw(t, "subsidy")
			h.reserve(id, subsidy)
			alive[id] = subsidy
			sum := int64(0)
			for _, s := range alive {
				sum += s
			}
			exceeded = exceeded || sum > 500
			if rapid.Bool().Draw(t, "expires") {
				h.reversible(id)
				delete(alive, id)
			}
		}
		require.Equal(t, exceeded, len(h.book.Overspent) > 0)
	})
}

func TestImpossibleHistoryIsRefused(t *testing.T) {
	for name, ev := range map[string]*event.Event{
		"expiry of nothing":      {Body: &event.Event_HoldExpired{HoldExpired: &event.HoldExpired{Purchase: 1}}},
		"approval of nothing":    {Body: &event.Event_SaleApproved{SaleApproved: &event.SaleApproved{Purchase: 1}}},
		"reversal of nothing":    {Body: &event.Event_ReversalQueued{ReversalQueued: &event.ReversalQueued{Purchase: 1}}},
		"refusal of no reversal": {Body: &event.Event_WorkItemOpened{WorkItemOpened: &event.WorkItemOpened{Kind: "reversal-refused", Reversal: 1}}},
		"end of no reversal":     {Body: &event.Event_ReversalDone{ReversalDone: &event.ReversalDone{Reversal: 1}}},
		"sale on no hold":        {Body: &event.Event_SaleSent{SaleSent: &event.SaleSent{Purchase: 1}}},
	} {
		require.Error(t, NewBook().Apply(ev), name)
	}
}

func TestLineCutOffByAKillIsIgnored(t *testing.T) {
	lines, err := decodeLines[Answer](strings.NewReader(`{"mti":"0200","response":"00"}` + "\n" + `{"mti":"02`))
	require.NoError(t, err)
	require.Equal(t, []Answer{{MTI: "0200", Response: "00"}}, lines)

	_, err = decodeLines[Answer](strings.NewReader("{\n{}\n"))
	require.ErrorContains(t, err, "line 1")
}
