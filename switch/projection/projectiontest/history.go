// Package projectiontest makes what tests of the projection and of its store need: histories that an engine could have
// written, and a journal in memory that gives them out.
//
// A History is random but seeded, and valid: it is made by a small model of a programme that takes and gives back what
// it says. Holds, captures, refusals, reversals and rounds appear in every order that the engine's states allow.
package projectiontest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"huanxin/switch/event"
	"huanxin/switch/projection"
)

// Start is the instant of the first event: 2025-06-30T15:59:00Z, a minute before a new business month.
const Start = int64(1751299140) * 1e9

// History writes events. Its fields say what must be in the rows at the end.
type History struct {
	Batches []projection.Batch

	// By purchase id.
	State   map[uint64]string
	Subsidy map[uint64]int64
	// By leaf, without what ended rounds have given back.
	Allocated, Held, Spent map[string]int64
	Captures, Refunds      int
	Refusals               int

	random       *rand.Rand
	at           int64
	seq          uint64
	events       []*event.Event
	entitlements []*entitlement
	purchases    []*purchase
	reversals    uint64
	items        uint64
	closed       map[string]bool
}

type entitlement struct {
	id       uint64
	state    string
	reserved int64
	leaf     string
}

type purchase struct {
	id        uint64
	of        *entitlement // nil: ordinary
	subsidy   int64
	fromClaim int64
	leaf      string
	amount    int64
	reversal  uint64
}

// Leaves of the budget tree.
var leaves = []string{"210100/store/r1", "210100/store/r2", "210200/store/r1"}

// allocation of a leaf, in fen: more than a million events of a history can take.
const allocation = 100_000_000_00

// NewHistory makes a history of about n events, at most a million, from a seed: a function of both.
func NewHistory(seed uint64, n int) *History {
	h := &History{
		State: map[uint64]string{}, Subsidy: map[uint64]int64{},
		Allocated: map[string]int64{}, Held: map[string]int64{}, Spent: map[string]int64{},
		random: rand.New(rand.NewPCG(seed, 1)), at: Start, closed: map[string]bool{},
	}
	h.open()
	for h.seq < uint64(n) {
		h.step()
		if len(h.events) > h.random.IntN(20) {
			h.cut()
		}
	}
	h.cut()
	return h
}

func (h *History) open() {
	h.emit(&event.Event{Body: &event.Event_OwnershipTaken{OwnershipTaken: &event.OwnershipTaken{
		Epoch: 1, Owner: "host-1", Software: "test"}}})
	h.emit(&event.Event{Body: &event.Event_ProgrammePinned{ProgrammePinned: &event.ProgrammePinned{
		Programme: "liaoning-2025", PersonKeyCheck: []byte("12345678")}}})
	h.emit(&event.Event{Body: &event.Event_PolicyApplied{PolicyApplied: &event.PolicyApplied{
		Digest: make([]byte, 32), Versions: []string{"2025-06"}, Files: map[string][]byte{"policy.yaml": {}}}}})
	set := func(path string, amount int64) {
		h.emit(&event.Event{Body: &event.Event_BudgetNodeSet{BudgetNodeSet: &event.BudgetNodeSet{Path: path, Amount: amount}}})
	}
	set("", 1_000_000_000_00)
	for _, city := range []string{"210100", "210200"} {
		set(city, 400_000_000_00)
		set(city+"/store", 400_000_000_00)
	}
	for _, leaf := range leaves {
		set(leaf, allocation)
		h.Allocated[leaf] = allocation
	}
	h.emit(&event.Event{Body: &event.Event_BudgetReleased{BudgetReleased: &event.BudgetReleased{
		Path: leaves[2], Amount: 500_000_00, Released: 500_000_00, Day: "2025-06-30"}}})
	h.cut()
}

func (h *History) emit(ev *event.Event) {
	h.seq++
	h.at += h.random.Int64N(4_000_000_000)
	ev.Seq, ev.At = h.seq, h.at
	h.events = append(h.events, ev)
}

// cut ends a batch.
func (h *History) cut() {
	if len(h.events) == 0 {
		return
	}
	b := projection.Batch{Position: uint64(len(h.Batches)) + 1, Events: h.events}
	binary.BigEndian.PutUint64(b.Hash[:], b.Position*0x9E3779B97F4A7C15)
	h.Batches = append(h.Batches, b)
	h.events = nil
}

func (h *History) step() {
	p := h.pick()
	switch state := h.state(p); {
	case p == nil || h.random.IntN(4) == 0:
		h.begin()
	case state == projection.Reserved:
		h.afterReserve(p)
	case state == projection.Sent:
		h.afterSend(p)
	case state == projection.Captured && h.random.IntN(3) == 0:
		h.reverse(p, event.ReversalCause_REVERSAL_CAUSE_TERMINAL)
	case state == projection.Reversing:
		h.afterReversal(p)
	default:
		h.aside(p)
	}
}

func (h *History) pick() *purchase {
	if len(h.purchases) == 0 {
		return nil
	}
	recent := h.purchases[max(0, len(h.purchases)-30):]
	return recent[h.random.IntN(len(recent))]
}

func (h *History) state(p *purchase) string {
	if p == nil {
		return ""
	}
	return h.State[p.id]
}

// begin starts something new: a claim, a reserve on a claim, an ordinary sale.
func (h *History) begin() {
	switch h.random.IntN(4) {
	case 0:
		p := &purchase{id: uint64(len(h.purchases)) + 1}
		h.purchases = append(h.purchases, p)
		h.send(p)
	case 1:
		h.claim()
	default:
		for _, e := range slices.Backward(h.entitlements) {
			if e.state == projection.EntitlementClaimed {
				h.reserve(e)
				return
			}
		}
		h.claim()
	}
}

func (h *History) leaf() string {
	for {
		if leaf := leaves[h.random.IntN(len(leaves))]; !h.closed[leaf] {
			return leaf
		}
	}
}

func (h *History) claim() {
	e := &entitlement{id: uint64(len(h.entitlements)) + 1, state: projection.EntitlementClaimed}
	if h.random.IntN(2) == 0 {
		e.reserved, e.leaf = 2000_00, h.leaf()
	}
	h.entitlements = append(h.entitlements, e)
	h.Held[e.leaf] += e.reserved
	h.emit(&event.Event{Body: &event.Event_EntitlementClaimed{EntitlementClaimed: &event.EntitlementClaimed{
		Entitlement: e.id, Person: hash(e.id), Category: "A01", City: "210100", Channel: "store",
		ExpiresAt: h.at + 30*86400*1e9, Reserved: e.reserved, Leaf: e.leaf, PolicyVersion: "2025-06", IdKind: "01",
	}}})
}

func (h *History) reserve(e *entitlement) {
	p := &purchase{id: uint64(len(h.purchases)) + 1, of: e, subsidy: 100 + h.random.Int64N(2000_00-100), amount: 3000_00}
	if e.reserved > 0 {
		p.subsidy = min(p.subsidy, e.reserved)
		p.leaf, p.fromClaim = e.leaf, p.subsidy
		h.Held[e.leaf] -= e.reserved - p.subsidy
		h.giveUp(e.leaf, e.reserved-p.subsidy)
	} else {
		p.leaf = h.leaf()
		h.Held[p.leaf] += p.subsidy
	}
	e.reserved, e.state = 0, projection.EntitlementHeld
	h.purchases = append(h.purchases, p)
	h.State[p.id], h.Subsidy[p.id] = projection.Reserved, p.subsidy
	h.emit(&event.Event{Body: &event.Event_Reserved{Reserved: &event.Reserved{
		Purchase: p.id, Key: h.key(p, 1), Entitlement: e.id, Person: hash(e.id), Category: "A01", City: "210100",
		PayingCity: "210100", Channel: "store", Barcode: "6901234567892", SerialMask: "SN***42", Order: fmt.Sprint("o", p.id),
		Price: p.amount + p.subsidy, Base: p.amount + p.subsidy, Subsidy: p.subsidy, Payable: p.amount, Leaf: p.leaf,
		ExpiresAt: h.at + 180*1e9, PolicyVersion: "2025-06", LocatedCity: "210100", Marks: []string{"POSITION_STALE"},
		Parts:     []*event.FundingPart{{Payer: "central", Amount: p.subsidy - p.subsidy/7}, {Payer: "local", Amount: p.subsidy / 7}},
		FromClaim: p.fromClaim,
	}}})
}

func (h *History) key(p *purchase, class uint32) *event.ExchangeKey {
	// Padded as a terminal may send it: neither blanks nor a NUL may stop a projection.
	return &event.ExchangeKey{Class: class, Terminal: "1000001 ", Merchant: "898210000000\x00\x00\x00", Batch: 1, Stan: uint32(p.id)}
}

func (h *History) send(p *purchase) {
	if p.of == nil {
		p.amount = 100 + h.random.Int64N(5000_00)
	}
	h.State[p.id] = projection.Sent
	h.emit(&event.Event{Body: &event.Event_SaleSent{SaleSent: &event.SaleSent{
		Purchase: p.id, Ordinary: p.of == nil, Key: h.key(p, 2), Amount: p.amount, Host: "unionpay", HostStan: uint32(p.id),
		Rrn: fmt.Sprintf("%012d", p.id), Card: &event.Card{Mask: "622424******0017"}, EntryMode: "051", City: "210100",
	}}})
}

func (h *History) afterReserve(p *purchase) {
	switch h.random.IntN(6) {
	case 0:
		h.emit(&event.Event{Body: &event.Event_HoldExpired{HoldExpired: &event.HoldExpired{Purchase: p.id}}})
		h.release(p, projection.Expired)
	case 1:
		h.emit(&event.Event{Body: &event.Event_HoldCancelled{HoldCancelled: &event.HoldCancelled{
			Purchase: p.id, Cause: event.CancelCause_CANCEL_CAUSE_REQUEST, Key: h.key(p, 1)}}})
		h.release(p, projection.Cancelled)
	default:
		h.send(p)
	}
}

func (h *History) afterSend(p *purchase) {
	switch h.random.IntN(6) {
	case 0:
		h.emit(&event.Event{Body: &event.Event_SaleDeclined{SaleDeclined: &event.SaleDeclined{
			Purchase: p.id, Answer: &event.HostAnswer{Response: "51"}, Cause: event.DeclineCause_DECLINE_CAUSE_PARTIAL}}})
		h.release(p, projection.Declined)
		if h.random.IntN(2) == 0 {
			h.reverse(p, event.ReversalCause_REVERSAL_CAUSE_PARTIAL)
		}
	case 1:
		h.reverse(p, event.ReversalCause_REVERSAL_CAUSE_TIMEOUT)
	default:
		h.emit(&event.Event{Body: &event.Event_SaleApproved{SaleApproved: &event.SaleApproved{
			Purchase: p.id, Answer: &event.HostAnswer{Response: "00", Approval: "123456", ClearingDate: "0701"}}}})
		h.State[p.id] = projection.Captured
		h.Captures++
		if p.of != nil {
			p.of.state = projection.EntitlementUsed
			h.Held[p.leaf] -= p.subsidy
			h.Spent[p.leaf] += p.subsidy
		}
	}
}

// release gives the hold back; what a claim had paid for stays taken.
func (h *History) release(p *purchase, state string) {
	h.State[p.id] = state
	if p.of == nil {
		return
	}
	p.of.state = projection.EntitlementClaimed
	if p.fromClaim > 0 {
		p.of.reserved = p.fromClaim
		return
	}
	h.Held[p.leaf] -= p.subsidy
	h.giveUp(p.leaf, p.subsidy)
}

func (h *History) giveUp(leaf string, amount int64) {
	if h.closed[leaf] {
		h.Allocated[leaf] -= amount
	}
}

func (h *History) reverse(p *purchase, cause event.ReversalCause) {
	h.reversals++
	p.reversal = h.reversals
	h.emit(&event.Event{Body: &event.Event_ReversalQueued{ReversalQueued: &event.ReversalQueued{
		Reversal: p.reversal, Purchase: p.id, Cause: cause, Reason: "98", HostStan: uint32(p.id), Amount: p.amount,
		FirstAttemptAt: h.at}}})
	switch h.State[p.id] {
	case projection.Sent:
		h.release(p, projection.Reversing)
	case projection.Captured:
		h.Refunds++
		if p.of != nil {
			p.of.state = projection.EntitlementClaimed
			h.Spent[p.leaf] -= p.subsidy
			h.giveUp(p.leaf, p.subsidy)
		}
	}
	h.State[p.id] = projection.Reversing
}

func (h *History) afterReversal(p *purchase) {
	switch h.random.IntN(5) {
	case 0:
		h.emit(&event.Event{Body: &event.Event_ReversalAttempted{ReversalAttempted: &event.ReversalAttempted{
			Reversal: p.reversal, Attempt: 1 + h.random.Uint32N(5), NextAt: h.at + 5e9, Response: "91"}}})
	case 1:
		h.emit(&event.Event{Body: &event.Event_LateAnswer{LateAnswer: &event.LateAnswer{
			Purchase: p.id, Answer: &event.HostAnswer{Response: "00"}}}})
	case 2:
		h.items++
		h.emit(&event.Event{Body: &event.Event_WorkItemOpened{WorkItemOpened: &event.WorkItemOpened{
			Item: h.items, Kind: "reversal-refused", Purchase: p.id, Reversal: p.reversal, Response: "05", Detail: "refused"}}})
	default:
		h.emit(&event.Event{Body: &event.Event_ReversalDone{ReversalDone: &event.ReversalDone{
			Reversal: p.reversal, Purchase: p.id, Response: "00"}}})
		h.State[p.id] = projection.Reversed
	}
}

// aside is what happens between purchases.
func (h *History) aside(p *purchase) {
	switch h.random.IntN(7) {
	case 0:
		h.Refusals++
		h.emit(&event.Event{Body: &event.Event_ReserveRefused{ReserveRefused: &event.ReserveRefused{
			Key: h.key(p, 1), Reasons: []uint32{300, 502}, Price: 5999_00, Category: "A01", City: "210100", Channel: "store"}}})
	case 1:
		h.Refusals++
		h.emit(&event.Event{Body: &event.Event_SaleRefused{SaleRefused: &event.SaleRefused{
			Key: h.key(p, 2), Purchase: p.id, Response: "13", Reason: 705, Amount: 1}}})
	case 2:
		h.emit(&event.Event{Body: &event.Event_TerminalSignedOn{TerminalSignedOn: &event.TerminalSignedOn{
			Terminal: "10000001", Merchant: "898210000000001", Batch: 1 + h.random.Uint32N(9)}}})
	case 3:
		h.emit(&event.Event{Body: &event.Event_TerminalSignedOff{TerminalSignedOff: &event.TerminalSignedOff{
			Terminal: "10000001", Merchant: "898210000000001"}}})
	case 4:
		h.emit(&event.Event{Body: &event.Event_CodeShown{CodeShown: &event.CodeShown{Entitlement: 1, Code: hash(7)}}})
	case 5:
		h.end()
	case 6:
		if leaf := leaves[1]; !h.closed[leaf] && h.seq > 200 {
			free := h.Allocated[leaf] - h.Held[leaf] - h.Spent[leaf]
			h.closed[leaf] = true
			h.Allocated[leaf] -= free
			h.emit(&event.Event{Body: &event.Event_BudgetRoundClosed{BudgetRoundClosed: &event.BudgetRoundClosed{
				Path: leaf, Returned: free}}})
		}
	}
}

// end ends a claimed entitlement.
func (h *History) end() {
	for _, e := range h.entitlements {
		if e.state != projection.EntitlementClaimed {
			continue
		}
		e.state = projection.EntitlementExpired
		h.Held[e.leaf] -= e.reserved
		h.giveUp(e.leaf, e.reserved)
		h.emit(&event.Event{Body: &event.Event_EntitlementExpired{EntitlementExpired: &event.EntitlementExpired{
			Entitlement: e.id, Released: e.reserved}}})
		e.reserved = 0
		return
	}
}

func hash(n uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n), ^n)
}
