package projectiontest

import (
	"fmt"

	"huanxin/switch/event"
	"huanxin/switch/projection"
)

// What happens between purchases: terminals, refusals, rounds of the budget, operators.

// day is where the terminal and its operators stand.
type day struct {
	batch     uint32 // open
	upload    uint32 // the settled batch whose records come, 0 = none
	inquiry   string // RRN of the open one
	inquiries uint64
	pauses    uint64
	open      []uint64 // pauses
	stopped   bool
	manual    int64
}

// aside is what happens beside p, for which nothing is due.
func (h *History) aside(p *purchase) {
	switch h.random.IntN(6) {
	case 0:
		h.refuse(p)
	case 1:
		h.session(p)
	case 2:
		h.settle(p)
	case 3:
		h.operate()
	case 4:
		h.stop()
	default:
		h.rounds()
	}
}

// refuse is what changes nothing: refusals, answered reversals, kept keys.
func (h *History) refuse(p *purchase) {
	key := h.key(p, 2)
	switch h.random.IntN(7) {
	case 0:
		h.Refusals++
		h.emit(&event.Event{Body: &event.Event_ReserveRefused{ReserveRefused: &event.ReserveRefused{
			Key: h.key(p, 1), Reasons: []uint32{300, 502}, Price: 5999_00, Category: "A01", City: "210100", Channel: "store"}}})
	case 1:
		h.Refusals++
		h.emit(&event.Event{Body: &event.Event_ReserveRefused{ReserveRefused: &event.ReserveRefused{
			Caller: "shop-1", Merchant: "898210000000001", Reasons: []uint32{710}, Price: 1, Category: "A01"}}})
	case 2:
		h.Refusals++
		h.emit(&event.Event{Body: &event.Event_SaleRefused{SaleRefused: &event.SaleRefused{
			Key: key, Purchase: p.id, Response: "13", Reason: 705, Amount: 1, Request: []string{"", "void", "refund"}[p.id%3]}}})
	case 3:
		h.Refusals++
		h.emit(&event.Event{Body: &event.Event_ReversalAnswered{ReversalAnswered: &event.ReversalAnswered{
			Key: key, Cause: "98", Response: "25"}}})
	case 4:
		h.emit(&event.Event{Body: &event.Event_ReversalAnswered{ReversalAnswered: &event.ReversalAnswered{
			Key: key, Purchase: p.id, Cause: "98", Response: "00"}}})
	case 5:
		h.emit(&event.Event{Body: &event.Event_RequestKept{RequestKept: &event.RequestKept{
			Request: hash(h.seq), Content: hash(7), Kind: event.RequestKind(1 + h.random.Int32N(4)), Purchase: p.id}}})
	default:
		h.emit(&event.Event{Body: &event.Event_RequestKept{RequestKept: &event.RequestKept{
			Request: hash(h.seq), Content: hash(8), Kind: event.RequestKind_REQUEST_KIND_RESERVE, Reasons: []uint32{300}, Price: 1}}})
	}
}

func (h *History) session(p *purchase) {
	key := h.key(p, 2)
	switch h.random.IntN(6) {
	case 0:
		h.emit(&event.Event{Body: &event.Event_TerminalSignedOn{TerminalSignedOn: &event.TerminalSignedOn{
			Terminal: "10000001", Merchant: "898210000000001", Batch: 1 + h.random.Uint32N(9), Serial: hash(9),
			Keys: &event.WorkingKeys{Generation: 1, Kind: 1, Wrapped: []byte("wrapped"), Checks: []byte{1, 2, 3, 4}}}}})
	case 1:
		h.emit(&event.Event{Body: &event.Event_TerminalSignedOff{TerminalSignedOff: &event.TerminalSignedOff{
			Terminal: "10000001", Merchant: "898210000000001"}}})
	case 2:
		h.emit(&event.Event{Body: &event.Event_CodeShown{CodeShown: &event.CodeShown{Entitlement: 1, Code: hash(7)}}})
		h.Acts++
		h.emit(&event.Event{Body: &event.Event_KeyActRecorded{KeyActRecorded: &event.KeyActRecorded{
			Number: 1, Chain: make([]byte, 32), Act: "generate", Label: "tmk/10000001", Generation: 1, Purpose: "TMK", Algorithm: "3des",
			Kcv: "8D0A74B8", ActedAt: h.at, By: &event.Authority{Actor: "chen", Second: "wang", Reason: "new terminal"},
		}}})
		h.emit(&event.Event{Body: &event.Event_TerminalKeysProved{TerminalKeysProved: &event.TerminalKeysProved{Terminal: "10000001", Generation: 1}}})
	case 3:
		h.emit(&event.Event{Body: &event.Event_TerminalReported{TerminalReported: &event.TerminalReported{
			Key: key, Kind: "script", Purchase: p.id % 2 * p.id, Icc: []byte{0x95, 0}, Detail: "0000"}}})
	case 4:
		if h.day.inquiry == "" {
			h.day.inquiries++
			h.day.inquiry = fmt.Sprintf("7%011d", h.day.inquiries%3)
			h.emit(&event.Event{Body: &event.Event_InquirySent{InquirySent: &event.InquirySent{
				Key: key, Host: "unionpay", HostStan: 9, Rrn: h.day.inquiry, Deadline: h.at + 60e9}}})
			return
		}
		h.emit(&event.Event{Body: &event.Event_InquiryEnded{InquiryEnded: &event.InquiryEnded{Rrn: h.day.inquiry, Response: "00"}}})
		h.day.inquiry = ""
	case 5:
		h.idle = append(h.idle, h.openItem(&event.WorkItemOpened{
			Kind: "reversal-late", Purchase: p.id, Response: "22", Detail: "too late", Terminal: "10000001", Merchant: "898210000000001"}))
	}
}

// settle closes a batch, or goes on with the upload of the last one. Numbers wrap after three, so that they come again.
func (h *History) settle(p *purchase) {
	key := h.key(p, 3)
	key.Batch = h.day.upload
	switch {
	case h.day.upload == 0:
		h.day.batch = h.day.batch%3 + 1
		key.Class, key.Batch = 5, h.day.batch
		kept := &event.BatchTotals{DebitAmount: 100, DebitCount: 1, CreditAmount: 7, CreditCount: 2, SubsidyAmount: 20, SubsidyCount: 1}
		claimed := kept
		if h.random.IntN(2) == 0 {
			claimed = &event.BatchTotals{DebitAmount: 90, DebitCount: 1}
			h.Unequal++
		}
		h.Settled++
		h.day.upload = h.day.batch
		h.emit(&event.Event{Body: &event.Event_BatchSettled{BatchSettled: &event.BatchSettled{
			Key: key, Claimed: claimed, Kept: kept, Equal: claimed == kept, NextBatch: h.day.batch%3 + 1}}})
	case h.random.IntN(2) == 0:
		h.emit(&event.Event{Body: &event.Event_BatchUploaded{BatchUploaded: &event.BatchUploaded{
			Key: key, Matched: []uint32{1, 2, 3}, Differing: 1}}})
		h.idle = append(h.idle, h.openItem(&event.WorkItemOpened{
			Kind: "batch-difference", Detail: "STAN 000004", Terminal: "10000001", Merchant: "898210000000001"}))
	default:
		h.emit(&event.Event{Body: &event.Event_BatchUploadEnded{BatchUploadEnded: &event.BatchUploadEnded{
			Key: key, Claimed: 4, Missing: 1}}})
		h.day.upload = 0
	}
}

// operate is what operators do to the programme, and to work items that nothing else closes.
func (h *History) operate() {
	switch h.random.IntN(6) {
	case 0:
		if len(h.idle) == 0 {
			return
		}
		delete(h.OpenItems, h.idle[0])
		h.emit(&event.Event{Body: &event.Event_WorkItemClosed{WorkItemClosed: &event.WorkItemClosed{Item: h.idle[0], By: h.by()}}})
		h.idle = h.idle[1:]
	case 1:
		h.emit(&event.Event{Body: &event.Event_MerchantSet{MerchantSet: &event.MerchantSet{
			Columns: []string{"898210000000001"}, By: h.by()}}})
	case 2:
		h.emit(&event.Event{Body: &event.Event_TerminalSet{TerminalSet: &event.TerminalSet{Columns: []string{"10000001"}, By: h.by()}}})
	case 3:
		h.Acts++
		h.emit(&event.Event{Body: &event.Event_PolicyApplied{PolicyApplied: &event.PolicyApplied{
			Digest: make([]byte, 32), Versions: []string{"2025-06", "2025-07"}, Actor: "zhang", Document: "D-2", Account: "ops"}}})
	case 4:
		h.Acts++
		h.emit(&event.Event{Body: &event.Event_BudgetNodeSet{BudgetNodeSet: &event.BudgetNodeSet{
			Path: "", Amount: 1_000_000_000_00 + int64(h.Acts), Actor: "zhang", Document: "D-3", Account: "ops"}}})
	default:
		h.day.manual += 100
		h.emit(&event.Event{Body: &event.Event_BudgetReleased{BudgetReleased: &event.BudgetReleased{
			Path: leaves[2], Amount: 100, Released: 500_000_00 + h.day.manual, Day: "2025-06-30", Manual: h.day.manual, By: h.by()}}})
	}
}

// stop pauses, resumes, stops and lets go.
func (h *History) stop() {
	switch h.random.IntN(3) {
	case 0:
		h.day.pauses++
		h.day.open = append(h.day.open, h.day.pauses)
		h.emit(&event.Event{Body: &event.Event_PauseSet{PauseSet: &event.PauseSet{
			Pause: h.day.pauses, City: "210100", Category: "A01", FromAt: h.at, By: h.by()}}})
	case 1:
		if len(h.day.open) == 0 {
			return
		}
		h.emit(&event.Event{Body: &event.Event_PauseLifted{PauseLifted: &event.PauseLifted{
			Pause: h.day.open[0], FromAt: h.at, By: h.by()}}})
		h.day.open = h.day.open[1:]
	default:
		h.day.stopped = !h.day.stopped
		h.emit(&event.Event{Body: &event.Event_KillSwitchSet{KillSwitchSet: &event.KillSwitchSet{
			Terminal: "10000001", On: h.day.stopped, By: h.by()}}})
	}
}

// rounds ends claims and, once, a round of the budget.
func (h *History) rounds() {
	leaf := leaves[1]
	if h.random.IntN(2) == 0 || h.closed[leaf] || h.seq <= 200 {
		h.end()
		return
	}
	free := h.Allocated[leaf] - h.Held[leaf] - h.Spent[leaf]
	h.closed[leaf] = true
	h.Allocated[leaf] -= free
	h.emit(&event.Event{Body: &event.Event_BudgetRoundClosed{BudgetRoundClosed: &event.BudgetRoundClosed{
		Path: leaf, Returned: free}}})
}

// end ends a claimed entitlement: its time is up, or its person gives it back.
func (h *History) end() {
	for _, e := range h.entitlements {
		if e.state != projection.EntitlementClaimed {
			continue
		}
		h.Held[e.leaf] -= e.reserved
		h.giveUp(e.leaf, e.reserved)
		if e.state = projection.EntitlementExpired; h.random.IntN(3) > 0 {
			h.emit(&event.Event{Body: &event.Event_EntitlementExpired{EntitlementExpired: &event.EntitlementExpired{
				Entitlement: e.id, Released: e.reserved}}})
		} else {
			e.state = projection.EntitlementReturned
			h.emit(&event.Event{Body: &event.Event_EntitlementReturned{EntitlementReturned: &event.EntitlementReturned{
				Entitlement: e.id, Released: e.reserved}}})
		}
		e.reserved = 0
		return
	}
}
