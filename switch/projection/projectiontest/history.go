// Package projectiontest makes what tests of the projection and of its store need: histories that an engine could have
// written, and a journal in memory that gives them out.
//
// A History is random but seeded, and valid: it is made by a small model of a programme that takes and gives back what
// it says. Every fact of the schema appears in it, in the orders that the engine's states allow.
package projectiontest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

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
	Kind    map[uint64]string
	Subsidy map[uint64]int64            // what it has, or had when it let go
	Posted  map[uint64]map[string]int64 // payer → what of the subsidy stands, by captures, supplements and returns
	Trail   map[uint64][]uint64         // batches that have events of it
	// By leaf, without what ended rounds have given back.
	Allocated, Held, Spent map[string]int64
	Entitlement            map[uint64]string // state by id
	Operation              map[uint64]string // state by id
	Reversal               map[uint64]string // state by id
	// Of sales and completions; what voided completions give back is among GivenBack.
	Captures, Refunds           int
	Charged, GivenBack          int64
	Refusals, Acts, Supplements int
	ManualSubsidy               int64
	OpenItems                   map[uint64]bool
	Settled, Unequal            int // terminal batches

	random       *rand.Rand
	at           int64
	seq          uint64
	events       []*event.Event
	entitlements []*entitlement
	purchases    []*purchase
	operations   []*operation
	reversals    []*reversal
	items        uint64
	itemOf       map[uint64]uint64 // item → purchase
	idle         []uint64          // open items that only an operator closes
	closed       map[string]bool
	day          day
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
	kind      event.SaleKind
	wallet    bool
	subsidy   int64
	parts     map[string]int64 // of it, by payer
	fromClaim int64
	leaf      string
	amount    int64
	refunded  int64
	reversal  *reversal // the last one of the sale
	void      *operation
	refunds   []*operation
	held      bool // reversing at a wallet: what it has is kept
	captured  bool // … and was spent
	queries   uint32
	restores  bool // refunded: the entitlement comes back
}

// Leaves of the budget tree.
var leaves = []string{"210100/store/r1", "210100/store/r2", "210200/store/r1"}

// allocation of a leaf, in fen: more than a million events of a history can take.
const allocation = 100_000_000_00

// NewHistory makes a history of about n events, at most a million, from a seed: a function of both.
func NewHistory(seed uint64, n int) *History {
	h := &History{
		State: map[uint64]string{}, Kind: map[uint64]string{}, Subsidy: map[uint64]int64{}, Posted: map[uint64]map[string]int64{},
		Trail: map[uint64][]uint64{}, Allocated: map[string]int64{}, Held: map[string]int64{}, Spent: map[string]int64{},
		Entitlement: map[uint64]string{}, Operation: map[uint64]string{}, Reversal: map[uint64]string{},
		OpenItems: map[uint64]bool{}, itemOf: map[uint64]uint64{},
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
	for _, e := range h.entitlements {
		h.Entitlement[e.id] = e.state
	}
	for _, o := range h.operations {
		h.Operation[o.id] = o.state
	}
	for _, r := range h.reversals {
		h.Reversal[r.id] = r.state
	}
	for _, p := range h.purchases {
		h.Subsidy[p.id], h.Kind[p.id] = p.subsidy, kindName[p.kind]
	}
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
	position := uint64(len(h.Batches)) + 1
	for _, id := range h.about(ev) {
		if list := h.Trail[id]; len(list) == 0 || list[len(list)-1] != position {
			h.Trail[id] = append(list, position)
		}
	}
}

// about are the purchases that an event is about, read from its fields by their names.
func (h *History) about(ev *event.Event) []uint64 {
	m := ev.ProtoReflect()
	which := m.WhichOneof(m.Descriptor().Oneofs().ByName("body"))
	body := m.Get(which).Message()
	number := func(name protoreflect.Name) uint64 {
		if field := body.Descriptor().Fields().ByName(name); field != nil {
			return body.Get(field).Uint()
		}
		return 0
	}
	if facts := body.Descriptor().Fields().ByName("facts"); facts != nil {
		body = body.Get(facts).Message()
	}
	var ids []uint64
	if id := number("purchase"); id != 0 {
		ids = append(ids, id)
	}
	if id := number("reversal"); id != 0 && id <= uint64(len(h.reversals)) {
		ids = append(ids, h.reversals[id-1].of.id)
	}
	if which.Name() == "work_item_closed" && h.itemOf[number("item")] != 0 {
		ids = append(ids, h.itemOf[number("item")])
	}
	return ids
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
	case p == nil || h.random.IntN(5) == 0:
		h.begin()
	case h.random.IntN(6) == 0:
		h.aside(p)
	case state == projection.Reserved:
		h.afterReserve(p)
	case state == projection.Sent || state == projection.Unknown:
		h.afterSend(p)
	case state == projection.Captured:
		h.afterCapture(p)
	case state == projection.Voiding || state == projection.Voided:
		h.afterVoid(p)
	case state == projection.Refunding:
		h.afterRefund(p)
	case state == projection.Refunded:
		h.restore(p)
	case state == projection.Reversing:
		h.afterReversal(p.reversal)
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
		p := &purchase{id: uint64(len(h.purchases)) + 1, parts: map[string]int64{}}
		if h.random.IntN(3) == 0 {
			p.kind = event.SaleKind(1 + h.random.Int32N(4))
		} else {
			p.wallet = h.random.IntN(3) == 0
		}
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
	p := &purchase{
		id: uint64(len(h.purchases)) + 1, of: e, subsidy: 100 + h.random.Int64N(2000_00-100), amount: 3000_00,
		wallet: h.random.IntN(3) == 0,
	}
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
	h.State[p.id] = projection.Reserved
	facts := h.facts(p, e)
	if p.id%4 == 0 { // over HTTP
		facts.Caller, facts.Key = "shop-1", &event.ExchangeKey{Class: 1, Merchant: "898210000000\x00\x00\x00", Terminal: "\x00\x00"}
	}
	h.emit(&event.Event{Body: &event.Event_Reserved{Reserved: facts}})
}

// facts are what a reserve, or an operator, has decided for p.
func (h *History) facts(p *purchase, e *entitlement) *event.Reserved {
	p.parts = map[string]int64{"central": p.subsidy - p.subsidy/7, "local": p.subsidy / 7}
	return &event.Reserved{
		Purchase: p.id, Key: h.key(p, 1), Entitlement: e.id, Person: hash(e.id), Category: "A01", City: "210100",
		PayingCity: "210100", Channel: "store", Barcode: "6901234567892", SerialMask: "SN***42", Serial: hash(p.id),
		Order: fmt.Sprint("o", p.id), Grade: 1, Label: "fridge", Attributes: []string{"volume=300"}, OldItem: "fridge",
		Price: p.amount + p.subsidy, Base: p.amount + p.subsidy, Subsidy: p.subsidy, Payable: p.amount, Leaf: p.leaf,
		ExpiresAt: h.at + 180*1e9, PolicyVersion: "2025-06", LocatedCity: "210100", Marks: []string{"POSITION_STALE"},
		Parts:     []*event.FundingPart{{Payer: "central", Amount: p.parts["central"]}, {Payer: "local", Amount: p.parts["local"]}},
		FromClaim: p.fromClaim,
	}
}

func (h *History) key(p *purchase, class uint32) *event.ExchangeKey {
	// Padded as a terminal may send it: neither blanks nor a NUL may stop a projection.
	return &event.ExchangeKey{Class: class, Terminal: "1000001 ", Merchant: "898210000000\x00\x00\x00", Batch: 1, Stan: uint32(p.id)}
}

var kindName = map[event.SaleKind]string{
	event.SaleKind_SALE_KIND_UNSPECIFIED: projection.KindSale, event.SaleKind_SALE_KIND_PREAUTH: projection.KindPreauth,
	event.SaleKind_SALE_KIND_PREAUTH_VOID:    projection.KindPreauthVoid,
	event.SaleKind_SALE_KIND_COMPLETION:      projection.KindCompletion,
	event.SaleKind_SALE_KIND_COMPLETION_VOID: projection.KindCompletionVoid,
}

func (h *History) send(p *purchase) {
	if p.of == nil {
		p.amount = 100 + h.random.Int64N(5000_00)
	}
	h.State[p.id] = projection.Sent
	m := &event.SaleSent{
		Purchase: p.id, Ordinary: p.of == nil, Key: h.key(p, 2), Amount: p.amount, Host: "unionpay", HostStan: uint32(p.id),
		Rrn: fmt.Sprintf("%012d", p.id), Card: &event.Card{Mask: "622424******0017", Token: hash(p.id % 7)}, EntryMode: "051",
		City: "210100", Kind: p.kind, Wallet: p.wallet,
	}
	if p.of != nil && p.id%4 == 0 {
		m.Key, m.Caller, m.Reference = &event.ExchangeKey{Class: 2, Merchant: m.Key.Merchant}, "shop-1", fmt.Sprint("pay-", p.id)
	}
	h.emit(&event.Event{Body: &event.Event_SaleSent{SaleSent: m}})
}

func (h *History) afterReserve(p *purchase) {
	switch h.random.IntN(7) {
	case 0:
		h.emit(&event.Event{Body: &event.Event_HoldExpired{HoldExpired: &event.HoldExpired{Purchase: p.id}}})
		h.release(p, projection.Expired)
	case 1:
		h.emit(&event.Event{Body: &event.Event_HoldCancelled{HoldCancelled: &event.HoldCancelled{
			Purchase: p.id, Cause: event.CancelCause_CANCEL_CAUSE_REQUEST, Key: h.key(p, 1)}}})
		h.release(p, projection.Cancelled)
	case 2:
		h.emit(&event.Event{Body: &event.Event_HoldReleaseProposed{HoldReleaseProposed: &event.HoldReleaseProposed{
			Purchase: p.id, By: h.by(), ExpiresAt: h.at + 900*1e9}}})
		h.emit(&event.Event{Body: &event.Event_HoldCancelled{HoldCancelled: &event.HoldCancelled{
			Purchase: p.id, Cause: event.CancelCause_CANCEL_CAUSE_OPERATOR, By: h.by()}}})
		h.release(p, projection.Cancelled)
	default:
		h.send(p)
	}
}

func (h *History) afterSend(p *purchase) {
	unknown := h.State[p.id] == projection.Unknown
	switch choice := h.random.IntN(8); {
	case choice == 0:
		h.emit(&event.Event{Body: &event.Event_SaleDeclined{SaleDeclined: &event.SaleDeclined{
			Purchase: p.id, Answer: &event.HostAnswer{Response: "51"}, Cause: event.DeclineCause_DECLINE_CAUSE_PARTIAL}}})
		h.release(p, projection.Declined)
		if !p.wallet && h.random.IntN(2) == 0 {
			h.reverse(p, event.ReversalCause_REVERSAL_CAUSE_PARTIAL)
		}
	case choice == 1 && p.wallet && !unknown:
		h.emit(&event.Event{Body: &event.Event_PaymentUnknown{PaymentUnknown: &event.PaymentUnknown{Purchase: p.id, NextAt: h.at + 5e9}}})
		h.State[p.id] = projection.Unknown
	case choice <= 2 && unknown:
		p.queries++
		h.emit(&event.Event{Body: &event.Event_QueryAttempted{QueryAttempted: &event.QueryAttempted{
			Purchase: p.id, Attempt: p.queries, NextAt: h.at + 5e9}}})
	case choice == 3:
		h.reverse(p, event.ReversalCause_REVERSAL_CAUSE_TIMEOUT)
	case choice == 4 && p.of != nil:
		h.reverse(p, event.ReversalCause_REVERSAL_CAUSE_OPERATOR)
	default:
		h.capture(p)
	}
}

func (h *History) capture(p *purchase) {
	h.emit(&event.Event{Body: &event.Event_SaleApproved{SaleApproved: &event.SaleApproved{
		Purchase: p.id, Answer: &event.HostAnswer{Response: "00", Approval: "123456", ClearingDate: "0701"}}}})
	h.State[p.id] = projection.Captured
	switch p.kind {
	case event.SaleKind_SALE_KIND_UNSPECIFIED, event.SaleKind_SALE_KIND_COMPLETION:
		h.Captures++
		h.Charged += p.amount
	case event.SaleKind_SALE_KIND_COMPLETION_VOID:
		h.Refunds++
		h.GivenBack += p.amount
	}
	if p.of != nil {
		p.of.state = projection.EntitlementUsed
		h.Held[p.leaf] -= p.subsidy
		h.Spent[p.leaf] += p.subsidy
		h.Posted[p.id] = maps.Clone(p.parts)
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

// undo takes a capture back, with all that is left of it.
func (h *History) undo(p *purchase, amount int64) {
	h.givenBack(p, amount)
	if p.of == nil {
		return
	}
	p.of.state = projection.EntitlementClaimed
	h.Spent[p.leaf] -= p.subsidy
	h.giveUp(p.leaf, p.subsidy)
	h.Posted[p.id] = map[string]int64{}
}

func (h *History) givenBack(p *purchase, amount int64) {
	switch p.kind {
	case event.SaleKind_SALE_KIND_UNSPECIFIED, event.SaleKind_SALE_KIND_COMPLETION:
		h.Refunds++
		h.GivenBack += amount
	case event.SaleKind_SALE_KIND_COMPLETION_VOID:
		h.Refunds--
		h.GivenBack -= amount
	}
}

func (h *History) giveUp(leaf string, amount int64) {
	if h.closed[leaf] {
		h.Allocated[leaf] -= amount
	}
}

func hash(n uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n), ^n)
}
