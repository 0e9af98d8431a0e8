package drill

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/simulator/issuer"
	"huanxin/internal/simulator/load"
	"huanxin/internal/simulator/wallet"
	"huanxin/switch/event"
)

// operationRRN is DE37 of a void or refund, apart from those of purchases.
func operationRRN(op uint64) string { return rrn(7_000_000 + op) }

func (h *history) void(op, id uint64) {
	h.add(&event.Event{Body: &event.Event_VoidSent{VoidSent: &event.VoidSent{
		Operation: op, Purchase: id, Key: exchange(2, 3000+uint32(op)), Amount: 4000, Rrn: operationRRN(op),
	}}})
}

func (h *history) voidApproved(op, id uint64) {
	h.add(&event.Event{Body: &event.Event_VoidApproved{VoidApproved: &event.VoidApproved{Operation: op, Purchase: id}}})
}

func (h *history) voidReleased(op, id uint64) {
	h.add(&event.Event{Body: &event.Event_VoidReleased{VoidReleased: &event.VoidReleased{Operation: op, Purchase: id}}})
}

func (h *history) reverseVoid(reversal, op, id uint64) {
	h.add(&event.Event{Body: &event.Event_ReversalQueued{ReversalQueued: &event.ReversalQueued{Reversal: reversal, Purchase: id, Operation: op}}})
}

func (h *history) reversalDone(reversal, id uint64) {
	h.add(&event.Event{Body: &event.Event_ReversalDone{ReversalDone: &event.ReversalDone{Reversal: reversal, Purchase: id}}})
}

func (h *history) refund(op, id uint64, amount int64) {
	h.add(&event.Event{Body: &event.Event_RefundSent{RefundSent: &event.RefundSent{
		Operation: op, Purchase: id, Key: exchange(2, 3000+uint32(op)), Amount: amount, Rrn: operationRRN(op),
	}}})
}

func (h *history) refundApproved(op, id uint64, returned int64, whole bool) {
	m := &event.RefundApproved{Operation: op, Purchase: id, Whole: whole, Returned: returned}
	if returned > 0 {
		m.Parts = []*event.FundingPart{{Payer: "central", Amount: returned}}
	}
	h.add(&event.Event{Body: &event.Event_RefundApproved{RefundApproved: m}})
}

func (h *history) refundUnknown(op, id uint64) {
	h.add(&event.Event{Body: &event.Event_RefundUnknown{RefundUnknown: &event.RefundUnknown{Operation: op, Purchase: id}}})
}

func (h *history) sell(id uint64, subsidy int64) {
	if subsidy > 0 {
		h.reserve(id, subsidy)
	}
	h.send(id, subsidy == 0)
	h.approve(id)
}

func operationAnswer(kind load.Kind, op uint64, amount, returned int64) Answer {
	mti := "0200"
	if kind == load.Refund {
		mti = "0220"
	}
	return Answer{Kind: kind, MTI: mti, Class: 2, Terminal: "10000001", Merchant: "210100000000001", Batch: 1, STAN: 3000 + uint32(op),
		Response: "00", RRN: operationRRN(op), Amount: amount, Returned: returned}
}

// cleanDay has one purchase of each fate after the sale, and the books that agree with it.
func cleanDay(t require.TestingT) (*history, Evidence) {
	h := newHistory(t)
	h.sell(1, 50) // voided, free again
	h.void(1, 1)
	h.voidApproved(1, 1)
	h.voidReleased(1, 1)
	h.sell(2, 50) // voided, and the void reversed: captured
	h.void(2, 2)
	h.voidApproved(2, 2)
	h.reverseVoid(1, 2, 2)
	h.reversalDone(1, 2)
	h.sell(3, 50) // a part refunded
	h.refund(3, 3, 1000)
	h.refundApproved(3, 3, 12, false)
	h.sell(4, 50) // refunded in two parts; the entitlement came back
	h.refund(4, 4, 1000)
	h.refundApproved(4, 4, 12, false)
	h.refund(5, 4, 3000)
	h.refundUnknown(5, 4)
	h.refundApproved(5, 4, 38, true)
	h.add(&event.Event{Body: &event.Event_EntitlementRestored{EntitlementRestored: &event.EntitlementRestored{Purchase: 4, Entitlement: 4}}})
	h.sell(5, 0) // a void without answer, reversed
	h.void(6, 5)
	h.reverseVoid(2, 6, 5)
	h.reversalDone(2, 5)
	h.sell(6, 0) // a dead letter: nothing was charged
	h.reverse(6)
	h.add(&event.Event{Body: &event.Event_ReversalDead{ReversalDead: &event.ReversalDead{Reversal: 9006, Purchase: 6}}})
	h.add(&event.Event{Body: &event.Event_ReversalResolved{ReversalResolved: &event.ReversalResolved{Reversal: 9006, Purchase: 6, Outcome: "returned"}}})
	h.sell(7, 0) // another: the charge stands
	h.reverse(7)
	h.add(&event.Event{Body: &event.Event_ReversalDead{ReversalDead: &event.ReversalDead{Reversal: 9007, Purchase: 7}}})
	h.add(&event.Event{Body: &event.Event_ReversalResolved{ReversalResolved: &event.ReversalResolved{Reversal: 9007, Purchase: 7, Outcome: "charged"}}})
	h.settle(&event.BatchTotals{
		DebitAmount: 16000, DebitCount: 4, CreditAmount: 5000, CreditCount: 3, SubsidyAmount: 150, SubsidyCount: 3,
	})
	h.wallet(8, 50) // the payer typed for long
	h.add(&event.Event{Body: &event.Event_PaymentUnknown{PaymentUnknown: &event.PaymentUnknown{Purchase: 8}}})
	h.approve(8)
	h.wallet(9, 50) // cancelled: nothing was let go before the wallet had said so
	h.add(&event.Event{Body: &event.Event_PaymentUnknown{PaymentUnknown: &event.PaymentUnknown{Purchase: 9}}})
	h.add(&event.Event{Body: &event.Event_ReversalQueued{ReversalQueued: &event.ReversalQueued{Reversal: 9009, Purchase: 9, KeepsHold: true}}})
	h.reversed(9)
	h.shop(10) // collected by a shop itself
	ledger := []Movement{
		charge(1, 4000), giveBack(1, 4000), charge(2, 4000), giveBack(2, 4000), {RRN: rrn(2), Amount: 4000},
		charge(3, 4000), giveBack(3, 1000), charge(4, 4000), giveBack(4, 1000), giveBack(4, 3000),
		charge(5, 4000), giveBack(5, 4000), {RRN: rrn(5), Amount: 4000}, charge(6, 4000), giveBack(6, 4000), charge(7, 4000),
		charge(8, 4000),
	}
	return h, Evidence{
		Book: h.book, Ledger: ledger, Now: 200,
		Answers: []Answer{
			saleAnswer(1, "00"), operationAnswer(load.Void, 1, 4000, 0), operationAnswer(load.Refund, 3, 1000, 12),
			{Kind: load.Settle, MTI: "0500", Class: 5, Terminal: "10000001", Merchant: "210100000000001", Batch: 1, STAN: 99, Response: "00", Equal: true},
			{Kind: load.Order, Response: "201", Hold: 10, Subsidy: 50}, {Kind: load.Commit, Response: "200", Hold: 10, State: "captured"},
			{Kind: load.Balance, MTI: "0200", Class: 2, STAN: 5, Response: "00", RRN: "1"},
		},
	}
}

// settle closes the batch with these totals, claimed and kept.
func (h *history) settle(totals *event.BatchTotals) {
	h.add(&event.Event{Body: &event.Event_BatchSettled{BatchSettled: &event.BatchSettled{
		Key: exchange(5, 99), Claimed: totals, Kept: totals, Equal: true, NextBatch: 2,
	}}})
}

func (h *history) wallet(id uint64, subsidy int64) {
	h.reserve(id, subsidy)
	h.add(&event.Event{Body: &event.Event_SaleSent{SaleSent: &event.SaleSent{
		Purchase: id, Key: exchange(2, 1000+uint32(id)), Amount: 4000, Rrn: rrn(id), Wallet: true, Host: "wallet",
	}}})
}

func (h *history) shop(id uint64) {
	h.add(&event.Event{Body: &event.Event_Reserved{Reserved: &event.Reserved{
		Purchase: id, Key: &event.ExchangeKey{Class: 1, Merchant: "210100000000001"}, Caller: "shop", Subsidy: 50, Payable: 4000, Leaf: leaf,
		Entitlement: id, Serial: []byte("shop"), ExpiresAt: 100,
	}}})
	h.add(&event.Event{Body: &event.Event_SaleSent{SaleSent: &event.SaleSent{
		Purchase: id, Key: &event.ExchangeKey{Class: 2, Merchant: "210100000000001"}, Caller: "shop", Amount: 4000, Rrn: rrn(id), Host: external,
	}}})
	h.approve(id)
}

func TestAgreeingBooksOfAWholeDayGiveALineOfZeros(t *testing.T) {
	h, evidence := cleanDay(t)
	v := Compare("day", evidence)
	var findings strings.Builder
	v.Explain(&findings, 10)
	require.Empty(t, findings.String())
	require.Equal(t, "day acknowledged 7 lost 0 duplicated 0 overspent 0 charged-without-record 0 subsidised-without-charge 0 orphan-holds 0 unresolved 0", v.String())
	states := map[uint64]State{}
	for id, p := range h.book.Purchases {
		states[id] = p.State
	}
	require.Equal(t, map[uint64]State{
		1: Voided, 2: Captured, 3: Captured, 4: Refunded, 5: Captured, 6: Reversed, 7: Reversed, 8: Captured, 9: Reversed, 10: Captured,
	}, states)
	require.EqualValues(t, 38, h.book.Purchases[3].Subsidy)
}

func TestEveryDefectAfterTheSaleIsCounted(t *testing.T) {
	const (
		lost = iota
		duplicated
		overspent
		chargedWithoutRecord
		subsidisedWithoutCharge
		_
		unresolved
	)
	for name, c := range map[string]struct {
		spoil func(*history, *Evidence)
		kind  int
	}{
		"void forgotten":                {func(_ *history, e *Evidence) { e.Answers = append(e.Answers, operationAnswer(load.Void, 99, 4000, 0)) }, lost},
		"void never approved":           {func(_ *history, e *Evidence) { e.Answers = append(e.Answers, operationAnswer(load.Void, 6, 4000, 0)) }, lost},
		"refund of another amount":      {func(_ *history, e *Evidence) { e.Answers[2].Amount = 999 }, lost},
		"another subsidy returned":      {func(_ *history, e *Evidence) { e.Answers[2].Returned = 13 }, lost},
		"settlement forgotten":          {func(_ *history, e *Evidence) { e.Answers[3].STAN = 98 }, lost},
		"settlement answered otherwise": {func(_ *history, e *Evidence) { e.Answers[3].Equal = false }, lost},
		"shop's order forgotten":        {func(_ *history, e *Evidence) { e.Answers[4].Hold = 99 }, lost},
		"shop's refund forgotten":       {func(_ *history, e *Evidence) { e.Answers[5].Refunded = 1 }, lost},
		"upload forgotten": {func(_ *history, e *Evidence) {
			e.Answers = append(e.Answers, Answer{MTI: "0320", Class: 3, Response: "00"})
		}, lost},
		"batch counted wrong": {func(h *history, e *Evidence) {
			h.settle(&event.BatchTotals{DebitCount: 1})
			e.Ledger = append(e.Ledger, charge(98, 0))
		}, lost},
		"ordinary void undone by nobody": {func(_ *history, e *Evidence) { e.Ledger = slices.Delete(e.Ledger, 12, 13) }, lost},
		"one exchange, two voids": {func(h *history, e *Evidence) {
			h.sell(20, 0)
			e.Ledger = append(e.Ledger, charge(20, 4000), giveBack(20, 4000))
			h.add(&event.Event{Body: &event.Event_VoidSent{VoidSent: &event.VoidSent{Operation: 20, Purchase: 20, Key: exchange(2, 3001), Amount: 4000, Rrn: operationRRN(20)}}})
		}, duplicated},
		"one number twice": {func(h *history, e *Evidence) {
			h.sell(20, 0)
			e.Ledger = append(e.Ledger, charge(20, 4000))
			h.add(&event.Event{Body: &event.Event_VoidSent{VoidSent: &event.VoidSent{Operation: 20, Purchase: 20, Key: exchange(2, 3020), Amount: 4000, Rrn: rrn(3)}}})
		}, duplicated},
		"one idempotency key, two purchases": {func(h *history, _ *Evidence) {
			for id := range uint64(2) {
				h.add(&event.Event{Body: &event.Event_RequestKept{RequestKept: &event.RequestKept{Request: []byte("k"), Purchase: id}}})
			}
		}, duplicated},
		"more refunded than paid":                    {func(h *history, _ *Evidence) { h.refund(20, 3, 3001) }, overspent},
		"void reversed after its subsidy was let go": {func(h *history, _ *Evidence) { h.reverseVoid(20, 1, 1) }, overspent},
		"serial of a refunded purchase used again": {func(h *history, _ *Evidence) {
			h.refund(20, 3, 3000)
			h.refundApproved(20, 3, 38, true)
			h.add(&event.Event{Body: &event.Event_Reserved{Reserved: &event.Reserved{
				Purchase: 21, Key: exchange(1, 21), Subsidy: 1, Leaf: leaf, Entitlement: 21, Serial: []byte("0000000000000003"),
			}}})
		}, overspent},
		"void never reached host":            {func(_ *history, e *Evidence) { e.Ledger = slices.Delete(e.Ledger, 1, 2) }, chargedWithoutRecord},
		"refund never reached host":          {func(_ *history, e *Evidence) { e.Ledger = slices.Delete(e.Ledger, 6, 7) }, chargedWithoutRecord},
		"cancelled wallet payment stands":    {func(_ *history, e *Evidence) { e.Ledger = append(e.Ledger, charge(9, 4000)) }, chargedWithoutRecord},
		"void stands though it was reversed": {func(_ *history, e *Evidence) { e.Ledger = slices.Delete(e.Ledger, 4, 5) }, subsidisedWithoutCharge},
		"refunded twice by the host":         {func(_ *history, e *Evidence) { e.Ledger = append(e.Ledger, giveBack(3, 1000)) }, subsidisedWithoutCharge},
		"refund without an end":              {func(h *history, _ *Evidence) { h.refund(20, 3, 1); h.refundUnknown(20, 3) }, unresolved},
		"dead letter":                        {func(h *history, _ *Evidence) { h.reverse(5); h.add(dead(9005, 5)) }, unresolved},
		"wallet payment without an end": {func(h *history, _ *Evidence) {
			h.wallet(20, 1)
			h.add(&event.Event{Body: &event.Event_PaymentUnknown{PaymentUnknown: &event.PaymentUnknown{Purchase: 20}}})
		}, unresolved},
	} {
		t.Run(name, func(t *testing.T) {
			h, evidence := cleanDay(t)
			c.spoil(h, &evidence)
			v := Compare(name, evidence)
			require.NotEmpty(t, *v.findings()[c.kind].list, v.String())
		})
	}
}

func dead(reversal, id uint64) *event.Event {
	return &event.Event{Body: &event.Event_ReversalDead{ReversalDead: &event.ReversalDead{Reversal: reversal, Purchase: id}}}
}

// TestWalletHoldsUntilItHasSaidThatNothingIsCharged: its subsidy counts as used for as long.
func TestWalletHoldsUntilItHasSaidThatNothingIsCharged(t *testing.T) {
	h := newHistory(t)
	h.wallet(1, 500)
	h.add(&event.Event{Body: &event.Event_ReversalQueued{ReversalQueued: &event.ReversalQueued{Reversal: 9001, Purchase: 1, KeepsHold: true}}})
	h.reserve(2, 1)
	require.Len(t, h.book.Overspent, 1)
	h.reversed(1)
	h.reserve(3, 499)
	require.Len(t, h.book.Overspent, 1)
}

func TestOperatorSettlesByWhatTheLedgersShow(t *testing.T) {
	h := newHistory(t)
	h.sell(1, 0)
	h.refund(1, 1, 1000)
	h.refundUnknown(1, 1)
	h.sell(2, 0)
	h.refund(2, 2, 1000)
	h.refundUnknown(2, 2)
	h.sell(3, 0)
	h.reverse(3)
	h.add(dead(9003, 3))
	h.sell(4, 0)
	h.reverse(4)
	h.workItem("reversal-refused", 4, 9004)
	ledger := []Movement{charge(1, 4000), giveBack(1, 1000), charge(2, 4000), charge(3, 4000), giveBack(3, 4000), charge(4, 4000)}
	require.Equal(t, []resolution{
		{"F1", "confirmed"}, {"F2", "failed"}, {"R9003", "returned"}, {"R9004", "charged"},
	}, resolutions(h.book, ledger, map[string]bool{operationRRN(1): true}))
}

func TestLedgersOfBothKindsOfHostsAreRead(t *testing.T) {
	require.Equal(t, []Movement{
		{RRN: "1", Amount: 100, Charge: true}, {RRN: "1", Amount: -30}, {RRN: "3", Amount: -50}, {RRN: "1", Again: true},
	}, cardMovements([]issuer.Line{
		{Kind: issuer.Charge, RRN: "1", Amount: 100}, {Kind: issuer.Refund, RRN: "2", Original: "1", Amount: 30},
		{Kind: issuer.Void, Type: issuer.TypeCompletionVoid, RRN: "3", Original: "1", Amount: 50},
		{Kind: issuer.Decline, RRN: "4"}, {Kind: issuer.Repeat, RRN: "1"},
	}))
	require.Equal(t, []Movement{
		{RRN: "1", Amount: 100, Charge: true}, {RRN: "1", Amount: -30}, {RRN: "1", Amount: -70}, {RRN: "1", Again: true},
	}, walletMovements([]wallet.Line{
		{Kind: wallet.Wait, RRN: "1", Amount: 100}, {Kind: wallet.Pay, RRN: "1", Amount: 100},
		{Kind: wallet.RefundDone, RRN: "2", Payment: "1", Amount: 30}, {Kind: wallet.Return, RRN: "1", Amount: 70},
		{Kind: wallet.Conflict, RRN: "1"},
	}))
}

func TestImpossibleHistoryAfterTheSaleIsRefused(t *testing.T) {
	for name, ev := range map[string]*event.Event{
		"void of nothing":          {Body: &event.Event_VoidSent{VoidSent: &event.VoidSent{Operation: 1, Purchase: 9}}},
		"void of a reversed sale":  {Body: &event.Event_VoidSent{VoidSent: &event.VoidSent{Operation: 1, Purchase: 1}}},
		"approval of no void":      {Body: &event.Event_VoidApproved{VoidApproved: &event.VoidApproved{Operation: 1, Purchase: 1}}},
		"release of no void":       {Body: &event.Event_VoidReleased{VoidReleased: &event.VoidReleased{Operation: 1, Purchase: 1}}},
		"refund of a reversed":     {Body: &event.Event_RefundSent{RefundSent: &event.RefundSent{Operation: 1, Purchase: 1}}},
		"approval of no refund":    {Body: &event.Event_RefundApproved{RefundApproved: &event.RefundApproved{Operation: 1, Purchase: 1}}},
		"restoring nothing":        {Body: &event.Event_EntitlementRestored{EntitlementRestored: &event.EntitlementRestored{Purchase: 1}}},
		"unknown at no wallet":     {Body: &event.Event_PaymentUnknown{PaymentUnknown: &event.PaymentUnknown{Purchase: 1}}},
		"death of no reversal":     dead(1, 1),
		"reversal of no void":      {Body: &event.Event_ReversalQueued{ReversalQueued: &event.ReversalQueued{Reversal: 1, Purchase: 1, Operation: 7}}},
		"settling of no reversal":  {Body: &event.Event_ReversalResolved{ReversalResolved: &event.ReversalResolved{Reversal: 1, Purchase: 1}}},
		"supplement of a reversed": {Body: &event.Event_Supplemented{Supplemented: &event.Supplemented{Facts: &event.Reserved{Purchase: 1}}}},
	} {
		h := newHistory(t)
		h.sell(1, 0)
		h.reverse(1)
		h.reversed(1)
		require.Error(t, h.book.Apply(ev), name)
	}
}
