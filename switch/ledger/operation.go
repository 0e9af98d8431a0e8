package ledger

import (
	"slices"

	"huanxin/switch/event"
)

// OperationState is where a void or refund stands.
type OperationState uint8

// The states of an operation.
const (
	OperationSent OperationState = iota + 1
	OperationApproved
	OperationDeclined
	OperationUnknown
	OperationReversing
	OperationReversed
)

var operationNames = [...]string{"", "sent", "approved", "declined", "unknown", "reversing", "reversed"}

// String is the state as the database and the engine name it.
func (s OperationState) String() string { return operationNames[s] }

// operation is a void or a refund of a purchase.
type operation struct {
	amount   int64
	returned int64
	purchase uint32
	state    OperationState
	void     bool
}

// Operation is a void or a refund as it stands.
type Operation struct {
	ID, Purchase     uint64
	State            OperationState
	Void             bool
	Amount, Returned int64
}

// Operations is how many were ever sent: they are numbered from 1.
func (l *Ledger) Operations() uint64 { return uint64(l.operations.Len()) }

// Operation is the one with that number.
func (l *Ledger) Operation(id uint64) (Operation, bool) {
	if id == 0 || id > l.Operations() {
		return Operation{}, false
	}
	o := l.operations.At(int(id - 1))
	return Operation{id, uint64(o.purchase), o.state, o.void, o.amount, o.returned}, o.state != 0
}

// operation is the one that an event is about. from lists the states in which that event may come; none means any.
func (l *Ledger) operation(id, purchase uint64, from ...OperationState) *operation {
	if id == 0 || id > l.Operations() {
		l.wrong("operation %d does not exist", id)
		return nil
	}
	o := l.operations.At(int(id - 1))
	if uint64(o.purchase) != purchase {
		l.wrong("operation %d is purchase %d's, and this names purchase %d", id, o.purchase, purchase)
		return nil
	}
	if len(from) > 0 && !slices.Contains(from, o.state) {
		l.wrong("operation %d is %s", id, o.state)
		return nil
	}
	return o
}

func (l *Ledger) beginOperation(id uint64, o operation) {
	if id != l.Operations()+1 {
		l.wrong("operation %d is sent, the last was %d", id, l.Operations())
		if id <= l.Operations() || id > l.Operations()+1e6 {
			return
		}
	}
	for l.Operations()+1 < id {
		l.operations.Add(operation{})
	}
	l.operations.Add(o)
}

func (l *Ledger) voidSent(m *event.VoidSent) {
	l.toHost(m.HostStan, m.Rrn)
	l.beginOperation(m.Operation, operation{amount: m.Amount, purchase: uint32(m.Purchase), state: OperationSent, void: true})
	p := l.purchase(m.Purchase, Captured)
	if p == nil {
		return
	}
	if m.Amount != p.amount || p.refunded > 0 {
		l.wrong("a void of %d fen is sent for purchase %d of %d fen, %d of it refunded", m.Amount, m.Purchase, p.amount, p.refunded)
	}
	p.state = Voiding
}

func (l *Ledger) voidApproved(m *event.VoidApproved) {
	o, p := l.operation(m.Operation, m.Purchase, OperationSent, OperationUnknown), l.purchase(m.Purchase, Voiding)
	if o == nil || p == nil {
		return
	}
	o.state, p.state = OperationApproved, Voided
	p.flags |= quarantine
}

func (l *Ledger) voidDeclined(m *event.VoidDeclined) {
	o, p := l.operation(m.Operation, m.Purchase, OperationSent, OperationUnknown), l.purchase(m.Purchase, Voiding)
	if o == nil || p == nil {
		return
	}
	o.state, p.state = OperationDeclined, Captured
}

func (l *Ledger) voidReleased(m *event.VoidReleased) {
	o, p := l.operation(m.Operation, m.Purchase, OperationApproved), l.purchase(m.Purchase, Voided)
	if o == nil || p == nil {
		return
	}
	if !p.has(quarantine) {
		l.wrong("purchase %d leaves a quarantine that it is not in", m.Purchase)
		return
	}
	l.Refunds.Add(l.seq, RefundDigest(m.Purchase, "void", o.amount, p.subsidy, 0, m.Operation))
	l.release(m.Purchase, p)
	p.flags &^= quarantine
}

func (l *Ledger) refundSent(m *event.RefundSent) {
	l.toHost(m.HostStan, m.Rrn)
	l.beginOperation(m.Operation, operation{amount: m.Amount, purchase: uint32(m.Purchase), state: OperationSent})
	p := l.purchase(m.Purchase, Captured, Refunding)
	if p == nil {
		return
	}
	if m.Amount <= 0 || p.refunded+p.refunding+m.Amount > p.amount {
		l.wrong("a refund of %d fen is sent for purchase %d of %d fen, %d refunded and %d on the way", m.Amount, m.Purchase, p.amount,
			p.refunded, p.refunding)
	}
	p.refunding += m.Amount
	p.refunds++
	p.state = Refunding
}

func (l *Ledger) refundApproved(m *event.RefundApproved) {
	o, p := l.operation(m.Operation, m.Purchase, OperationSent, OperationUnknown, OperationDeclined), l.purchase(m.Purchase, Captured, Refunding)
	if o == nil || p == nil {
		return
	}
	if o.void {
		l.wrong("operation %d is a void and approved as a refund", m.Operation)
		return
	}
	if o.state != OperationDeclined { // else it was counted as ended before, and the host has paid after all
		p.refunding -= o.amount
		p.refunds--
	}
	p.refunded += o.amount
	if sum := sumOf(m.Parts); sum != m.Returned || m.Returned < 0 || m.Returned > p.subsidy {
		l.wrong("refund %d returns %d fen of a subsidy of %d, its payers' parts are %d", m.Operation, m.Returned, p.subsidy, sum)
	}
	if p.refunded+p.refunding > p.amount || m.Whole != (p.refunded == p.amount) {
		l.wrong("purchase %d was paid %d fen, %d are refunded and %d on the way; whole: %v", m.Purchase, p.amount, p.refunded, p.refunding, m.Whole)
	}
	l.closeItems(func(i *item) bool { return i.kind == refundUnknown && i.operation == m.Operation })
	l.Refunds.Add(l.seq, RefundDigest(m.Purchase, "refund", o.amount, m.Returned, 0, m.Operation))
	o.state, o.returned = OperationApproved, m.Returned
	if p.subsidised() {
		l.restore(p.leaf, m.Returned)
		p.subsidy -= m.Returned
		p.returned += m.Returned
		if e := l.entitled(uint64(p.entitlement), EntitlementUsed); e != nil {
			l.uses.At(int(e.use)).subsidy -= m.Returned
		}
	}
	l.settle(p)
	if !m.Whole {
		return
	}
	p.state = Refunded
	if p.subsidised() {
		p.flags |= locked
		if p.subsidy != 0 {
			l.wrong("purchase %d is refunded in whole and keeps %d fen of its subsidy", m.Purchase, p.subsidy)
		}
	}
}

// settle gives a purchase the state that it has between refunds.
func (l *Ledger) settle(p *purchase) {
	if p.state = Captured; p.refunds > 0 {
		p.state = Refunding
	}
}

func (l *Ledger) refundDeclined(m *event.RefundDeclined) {
	o, p := l.operation(m.Operation, m.Purchase, OperationSent, OperationUnknown), l.purchase(m.Purchase, Refunding)
	if o == nil || p == nil {
		return
	}
	l.closeItems(func(i *item) bool { return i.kind == refundUnknown && i.operation == m.Operation })
	o.state = OperationDeclined
	p.refunding -= o.amount
	p.refunds--
	l.settle(p)
}

func (l *Ledger) refundUnknown(m *event.RefundUnknown) {
	if o := l.operation(m.Operation, m.Purchase, OperationSent); o != nil {
		o.state = OperationUnknown
	}
}
