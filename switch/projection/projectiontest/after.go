package projectiontest

import (
	"fmt"

	"huanxin/switch/event"
	"huanxin/switch/projection"
)

// What happens to a purchase after its sale: reversals, voids, refunds.

type operation struct {
	id       uint64
	void     bool
	of       *purchase
	state    string
	amount   int64
	reversal *reversal
	free     bool // a void: out of quarantine
	item     uint64
}

type reversal struct {
	id        uint64
	of        *purchase
	operation *operation
	state     string
	amount    int64
	keepsHold bool
	attempts  uint32
	items     []uint64
}

func (h *History) by() *event.Authority {
	h.Acts++
	return &event.Authority{
		Actor: "zhang", Reason: "checked against clearing", Document: fmt.Sprint("T-", h.Acts), Second: "li", Account: "ops",
	}
}

// reverse queues a reversal of the sale. At a wallet what the purchase has is kept, unless two persons have let it go.
func (h *History) reverse(p *purchase, cause event.ReversalCause) {
	r := &reversal{id: uint64(len(h.reversals)) + 1, of: p, state: projection.ReversalWaiting, amount: p.amount}
	m := &event.ReversalQueued{
		Reversal: r.id, Purchase: p.id, Cause: cause, Reason: "98", HostStan: uint32(p.id), Amount: p.amount, FirstAttemptAt: h.at,
		ExpiresAt: h.at + 86400e9,
	}
	switch cause {
	case event.ReversalCause_REVERSAL_CAUSE_OPERATOR:
		m.By = h.by()
	case event.ReversalCause_REVERSAL_CAUSE_TIMEOUT, event.ReversalCause_REVERSAL_CAUSE_TERMINAL:
		m.KeepsHold = p.wallet
	}
	r.keepsHold = m.KeepsHold
	h.reversals = append(h.reversals, r)
	p.reversal = r
	h.emit(&event.Event{Body: &event.Event_ReversalQueued{ReversalQueued: m}})
	was := h.State[p.id]
	h.State[p.id] = projection.Reversing
	switch {
	case r.keepsHold:
		p.held, p.captured = true, was == projection.Captured
	case was == projection.Sent || was == projection.Unknown:
		h.release(p, projection.Reversing)
	case was == projection.Captured:
		h.undo(p, r.amount)
	}
}

// afterReversal goes on with a reversal that has no end: of a sale, or of a void.
func (h *History) afterReversal(r *reversal) {
	switch choice := h.random.IntN(8); {
	case r.state == projection.ReversalDead || r.state == projection.ReversalRefused:
		if choice < 3 {
			h.emit(&event.Event{Body: &event.Event_ReversalRequeued{ReversalRequeued: &event.ReversalRequeued{
				Reversal: r.id, ExpiresAt: h.at + 86400e9, By: h.by()}}})
			r.state = projection.ReversalWaiting
			h.closeItems(r)
			return
		}
		h.resolve(r)
	case choice == 0:
		r.attempts++
		h.emit(&event.Event{Body: &event.Event_ReversalAttempted{ReversalAttempted: &event.ReversalAttempted{
			Reversal: r.id, Attempt: r.attempts, NextAt: h.at + 5e9, Response: "91", Query: r.of.wallet && r.attempts%2 == 0}}})
	case choice == 1:
		h.emit(&event.Event{Body: &event.Event_LateAnswer{LateAnswer: &event.LateAnswer{
			Purchase: r.of.id, Operation: r.operationID(), Answer: &event.HostAnswer{Response: "00"}}}})
	case choice == 2:
		r.items = append(r.items, h.openItem(&event.WorkItemOpened{
			Kind: "reversal-refused", Purchase: r.of.id, Reversal: r.id, Response: "05", Detail: "refused"}))
		r.state = projection.ReversalRefused
	case choice == 3:
		h.emit(&event.Event{Body: &event.Event_ReversalDead{ReversalDead: &event.ReversalDead{
			Reversal: r.id, Purchase: r.of.id, Operation: r.operationID()}}})
		r.state = projection.ReversalDead
	default:
		h.emit(&event.Event{Body: &event.Event_ReversalDone{ReversalDone: &event.ReversalDone{
			Reversal: r.id, Purchase: r.of.id, Response: "00"}}})
		r.state = projection.ReversalDone
		h.endReversal(r)
	}
}

func (r *reversal) operationID() uint64 {
	if r.operation == nil {
		return 0
	}
	return r.operation.id
}

// resolve is the word of an operator.
func (h *History) resolve(r *reversal) {
	outcome := []string{"returned", "charged"}[h.random.IntN(2)]
	if p := r.of; r.operation != nil && (h.State[p.id] != projection.Captured || p.refunded > 0) {
		outcome = "charged"
	}
	h.emit(&event.Event{Body: &event.Event_ReversalResolved{ReversalResolved: &event.ReversalResolved{
		Reversal: r.id, Purchase: r.of.id, Operation: r.operationID(), Outcome: outcome, By: h.by()}}})
	r.state = projection.ReversalResolved
	h.closeItems(r)
	h.endReversal(r)
	if o := r.operation; o != nil && outcome == "returned" {
		o.state, o.free = projection.OperationApproved, true
		h.State[r.of.id] = projection.Voided
		h.undo(r.of, o.amount)
	}
}

func (h *History) closeItems(r *reversal) {
	for _, item := range r.items {
		delete(h.OpenItems, item)
	}
	r.items = nil
}

func (h *History) endReversal(r *reversal) {
	p := r.of
	if r.operation != nil {
		r.operation.state = projection.OperationReversed
		return
	}
	h.State[p.id] = projection.Reversed
	switch {
	case p.held && p.captured:
		h.undo(p, r.amount)
	case p.held:
		h.release(p, projection.Reversed)
	}
	p.held, p.captured = false, false
}

func (h *History) openItem(m *event.WorkItemOpened) uint64 {
	h.items++
	m.Item = h.items
	h.OpenItems[m.Item] = true
	h.itemOf[m.Item] = m.Purchase
	h.emit(&event.Event{Body: &event.Event_WorkItemOpened{WorkItemOpened: m}})
	return m.Item
}

// afterCapture goes on with a captured purchase, or with the reversal of its void.
func (h *History) afterCapture(p *purchase) {
	if o := p.void; o != nil && o.state == projection.OperationReversing {
		h.afterReversal(o.reversal)
		return
	}
	sale := p.kind == event.SaleKind_SALE_KIND_UNSPECIFIED
	switch choice := h.random.IntN(8); {
	case choice == 0 && p.refunded == 0:
		h.reverse(p, event.ReversalCause_REVERSAL_CAUSE_TERMINAL)
	case choice <= 2 && sale && p.refunded == 0:
		h.void(p)
	case choice <= 4 && (sale || p.kind == event.SaleKind_SALE_KIND_COMPLETION):
		h.refund(p)
	case choice >= 5 && sale && p.of == nil && p.refunded == 0:
		h.supplement(p)
	default:
		h.aside(p)
	}
}

func (h *History) begun(p *purchase, void bool, amount int64) *operation {
	o := &operation{id: uint64(len(h.operations)) + 1, void: void, of: p, state: projection.OperationSent, amount: amount}
	h.operations = append(h.operations, o)
	return o
}

func (h *History) void(p *purchase) {
	o := h.begun(p, true, p.amount)
	p.void = o
	h.State[p.id] = projection.Voiding
	key := h.key(p, 2)
	key.Stan += 500_000
	h.emit(&event.Event{Body: &event.Event_VoidSent{VoidSent: &event.VoidSent{
		Operation: o.id, Purchase: p.id, Key: key, Amount: o.amount, Host: "unionpay", HostStan: 7, Deadline: h.at + 60e9,
		Rrn: fmt.Sprintf("9%011d", o.id), Card: &event.Card{Mask: "622424******0017", Token: hash(p.id % 7)}}}})
}

func (h *History) afterVoid(p *purchase) {
	o := p.void
	answer := &event.HostAnswer{Response: "00", ClearingDate: "0701"}
	switch choice := h.random.IntN(4); {
	case h.State[p.id] == projection.Voided && o.free:
		h.aside(p)
	case h.State[p.id] == projection.Voided && (choice > 0 || p.wallet):
		h.emit(&event.Event{Body: &event.Event_VoidReleased{VoidReleased: &event.VoidReleased{
			Operation: o.id, Purchase: p.id, Cause: event.QuarantineEnd(1 + h.random.Int32N(3))}}})
		o.free = true
		h.undo(p, o.amount)
	case h.State[p.id] == projection.Voided, choice == 0 && !p.wallet:
		h.undoVoid(o, event.ReversalCause_REVERSAL_CAUSE_TERMINAL)
	case choice == 0:
		h.asked(o)
	case choice == 1:
		h.emit(&event.Event{Body: &event.Event_VoidDeclined{VoidDeclined: &event.VoidDeclined{
			Operation: o.id, Purchase: p.id, Answer: &event.HostAnswer{Response: "05"}, Cause: event.DeclineCause_DECLINE_CAUSE_HOST}}})
		o.state, h.State[p.id] = projection.OperationDeclined, projection.Captured
		if !p.wallet && h.random.IntN(3) == 0 { // it had taken effect after all
			h.emit(&event.Event{Body: &event.Event_LateAnswer{LateAnswer: &event.LateAnswer{
				Purchase: p.id, Operation: o.id, Answer: answer}}})
			h.undoVoid(o, event.ReversalCause_REVERSAL_CAUSE_LATE_APPROVAL)
		}
	default:
		h.emit(&event.Event{Body: &event.Event_VoidApproved{VoidApproved: &event.VoidApproved{
			Operation: o.id, Purchase: p.id, Answer: answer, QuarantineAt: h.at + 600e9}}})
		o.state, h.State[p.id] = projection.OperationApproved, projection.Voided
	}
}

func (h *History) undoVoid(o *operation, cause event.ReversalCause) {
	r := &reversal{id: uint64(len(h.reversals)) + 1, of: o.of, operation: o, state: projection.ReversalWaiting, amount: o.amount}
	h.reversals = append(h.reversals, r)
	o.state, o.reversal = projection.OperationReversing, r
	h.State[o.of.id] = projection.Captured
	h.emit(&event.Event{Body: &event.Event_ReversalQueued{ReversalQueued: &event.ReversalQueued{
		Reversal: r.id, Purchase: o.of.id, Operation: o.id, Cause: cause, Reason: "98", Amount: o.amount, FirstAttemptAt: h.at,
		ExpiresAt: h.at + 86400e9}}})
}

// asked: a wallet is asked how an operation has ended.
func (h *History) asked(o *operation) {
	if o.state == projection.OperationSent {
		h.emit(&event.Event{Body: &event.Event_PaymentUnknown{PaymentUnknown: &event.PaymentUnknown{
			Purchase: o.of.id, Operation: o.id, NextAt: h.at + 5e9}}})
		o.state = projection.OperationUnknown
		return
	}
	h.emit(&event.Event{Body: &event.Event_QueryAttempted{QueryAttempted: &event.QueryAttempted{
		Purchase: o.of.id, Operation: o.id, Attempt: 1 + h.random.Uint32N(9), NextAt: h.at + 5e9}}})
}
