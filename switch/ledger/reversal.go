package ledger

import (
	"slices"

	"huanxin/switch/event"
)

// ReversalState is where a reversal stands.
type ReversalState uint8

// The states of a reversal. All but Done, Resolved and Replaced wait for the host or for a person.
const (
	ReversalQueued ReversalState = iota + 1
	ReversalDead
	ReversalRefused
	ReversalDone
	ReversalResolved
)

// String is the state as the database names it.
func (s ReversalState) String() string {
	return [...]string{"", "waiting", "dead", "refused", "done", "resolved"}[s]
}

// reversal is one store-and-forward reversal.
type reversal struct {
	amount    int64
	purchase  uint32
	operation uint32 // the void that is taken back; 0 = the sale
	attempts  uint32
	state     ReversalState
	captured  bool // the purchase was captured when it was queued
}

// Reversal is a reversal as it stands.
type Reversal struct {
	ID, Purchase, Operation uint64
	State                   ReversalState
	Amount                  int64
	Attempts                uint32
}

// Open reports whether it waits for the host or for a person.
func (r Reversal) Open() bool { return r.State != ReversalDone && r.State != ReversalResolved }

// Reversals is how many were ever queued: they are numbered from 1.
func (l *Ledger) Reversals() uint64 { return uint64(l.reversals.Len()) }

// Reversal is the one with that number.
func (l *Ledger) Reversal(id uint64) (Reversal, bool) {
	if id == 0 || id > l.Reversals() {
		return Reversal{}, false
	}
	r := l.reversals.At(int(id - 1))
	return Reversal{id, uint64(r.purchase), uint64(r.operation), r.state, r.amount, r.attempts}, r.state != 0
}

// item is something that a person must look at.
type item struct {
	kind      itemKind
	closed    bool
	reversal  uint64
	operation uint64
}

type itemKind uint8

const (
	otherItem itemKind = iota
	reversalRefused
	refundUnknown
)

// Items is how many work items were ever opened; ItemOpen reports whether one has no end.
func (l *Ledger) Items() uint64 { return uint64(l.items.Len()) }

// OpenItems is how many have no end.
func (l *Ledger) OpenItems() int { return len(l.open) }

// ItemOpen reports whether a person must still look at an item.
func (l *Ledger) ItemOpen(id uint64) bool { return l.open[id] }

func (l *Ledger) reversal(id uint64, from ...ReversalState) *reversal {
	if id == 0 || id > l.Reversals() {
		l.wrong("reversal %d does not exist", id)
		return nil
	}
	r := l.reversals.At(int(id - 1))
	if !slices.Contains(from, r.state) {
		l.wrong("reversal %d is %s", id, r.state)
		return nil
	}
	return r
}

// reversalQueued: a sale is being taken back, and with it what it has, at once or, at a wallet, in the end. Or a void is, and
// then its purchase is captured again.
func (l *Ledger) reversalQueued(m *event.ReversalQueued) {
	if m.Reversal != l.Reversals()+1 {
		l.wrong("reversal %d is queued, the last was %d", m.Reversal, l.Reversals())
		if m.Reversal <= l.Reversals() || m.Reversal > l.Reversals()+1e6 {
			return
		}
	}
	for l.Reversals()+1 < m.Reversal {
		l.reversals.Add(reversal{})
	}
	r := l.reversals.At(l.reversals.Add(reversal{
		amount: m.Amount, purchase: uint32(m.Purchase), operation: uint32(m.Operation), state: ReversalQueued,
	}))
	if m.Operation != 0 {
		l.voidQueued(m)
		return
	}
	p := l.purchase(m.Purchase, Sent, Unknown, Captured, Declined, Reversed)
	if p == nil {
		return
	}
	if m.Amount < 0 || m.Amount > p.amount {
		l.wrong("reversal %d gives back %d fen, purchase %d was charged %d", m.Reversal, m.Amount, m.Purchase, p.amount)
	}
	if p.refunded > 0 || p.refunding > 0 {
		l.wrong("reversal %d is queued for purchase %d, of which %d fen are refunded and %d on the way", m.Reversal, m.Purchase, p.refunded, p.refunding)
	}
	r.captured = p.state == Captured
	if m.KeepsHold {
		if p.flags &^= keepsHold | wasSpent; p.spends() {
			p.flags |= wasSpent
		}
		p.flags |= keepsHold
	} else {
		if r.captured {
			l.Refunds.Add(l.seq, RefundDigest(m.Purchase, "reversal", m.Amount, p.subsidy, m.Reversal, 0))
		}
		l.release(m.Purchase, p)
	}
	p.state, p.reversal = Reversing, uint32(m.Reversal)
}

func (l *Ledger) voidQueued(m *event.ReversalQueued) {
	o := l.operation(m.Operation, m.Purchase, OperationSent, OperationUnknown, OperationApproved, OperationDeclined, OperationReversed)
	if o == nil {
		return
	}
	if !o.void {
		l.wrong("reversal %d is of refund %d, and a refund is never reversed", m.Reversal, m.Operation)
		return
	}
	givenUp := o.state == OperationDeclined || o.state == OperationReversed
	o.state = OperationReversing
	if givenUp { // another void or refund may be under way by now
		return
	}
	if p := l.purchase(m.Purchase, Voiding, Voided); p != nil {
		if p.state == Voided && !p.has(quarantine) {
			l.wrong("the void of purchase %d is taken back after it has let go", m.Purchase)
		}
		p.state = Captured
		p.flags &^= quarantine
	}
}

func (l *Ledger) reversalAttempted(m *event.ReversalAttempted) {
	if r := l.reversal(m.Reversal, ReversalQueued); r != nil {
		r.attempts = m.Attempt
	}
}

func (l *Ledger) reversalDone(m *event.ReversalDone) {
	r := l.reversal(m.Reversal, ReversalQueued, ReversalDead, ReversalRefused)
	if r == nil {
		return
	}
	if r.state == ReversalRefused {
		l.closeItems(func(i *item) bool { return i.reversal == m.Reversal })
	}
	r.state = ReversalDone
	l.reversalEnded(m.Reversal, m.Purchase, r)
}

func (l *Ledger) reversalEnded(id, purchase uint64, r *reversal) {
	if uint64(r.purchase) != purchase {
		l.wrong("reversal %d is purchase %d's, and this names purchase %d", id, r.purchase, purchase)
	}
	if r.operation != 0 {
		if o := l.operation(uint64(r.operation), uint64(r.purchase), OperationReversing); o != nil {
			o.state = OperationReversed
		}
		return
	}
	p := l.purchase(uint64(r.purchase), Reversing)
	if p == nil {
		return
	}
	if p.has(keepsHold) {
		if r.captured {
			l.Refunds.Add(l.seq, RefundDigest(purchase, "reversal", r.amount, p.subsidy, id, 0))
		}
		l.release(purchase, p)
		p.flags &^= keepsHold | wasSpent
	}
	p.state = Reversed
}

func (l *Ledger) reversalDead(m *event.ReversalDead) {
	if r := l.reversal(m.Reversal, ReversalQueued); r != nil {
		r.state = ReversalDead
	}
}

func (l *Ledger) reversalRequeued(m *event.ReversalRequeued) {
	if r := l.reversal(m.Reversal, ReversalDead, ReversalRefused); r != nil {
		r.state = ReversalQueued
		l.closeItems(func(i *item) bool { return i.reversal == m.Reversal })
	}
}

// reversalResolved: a person has settled it. That a void was not taken back means that it stands.
func (l *Ledger) reversalResolved(m *event.ReversalResolved) {
	r := l.reversal(m.Reversal, ReversalQueued, ReversalDead, ReversalRefused)
	if r == nil {
		return
	}
	l.closeItems(func(i *item) bool { return i.reversal == m.Reversal })
	r.state = ReversalResolved
	l.reversalEnded(m.Reversal, m.Purchase, r)
	if r.operation == 0 || m.Outcome != "returned" {
		return
	}
	o, p := l.operation(uint64(r.operation), m.Purchase, OperationReversed), l.purchase(m.Purchase, Captured)
	if o == nil || p == nil {
		return
	}
	l.Refunds.Add(l.seq, RefundDigest(m.Purchase, "void", o.amount, p.subsidy, m.Reversal, uint64(r.operation)))
	l.release(m.Purchase, p)
	o.state, p.state = OperationApproved, Voided
}

func (l *Ledger) itemOpened(m *event.WorkItemOpened) {
	if m.Item != l.Items()+1 {
		l.wrong("work item %d is opened, the last was %d", m.Item, l.Items())
		if m.Item <= l.Items() || m.Item > l.Items()+1e6 {
			return
		}
	}
	for l.Items()+1 < m.Item {
		l.items.Add(item{closed: true})
	}
	i := item{reversal: m.Reversal, operation: m.Operation}
	switch m.Kind {
	case "reversal-refused": // it is sent no more
		i.kind = reversalRefused
		if r := l.reversal(m.Reversal, ReversalQueued); r != nil {
			r.state = ReversalRefused
		}
	case "refund-unknown":
		i.kind = refundUnknown
	}
	l.items.Add(i)
	l.open[m.Item] = true
}

func (l *Ledger) itemClosed(m *event.WorkItemClosed) {
	if !l.open[m.Item] {
		l.wrong("work item %d is closed and was not open", m.Item)
		return
	}
	l.items.At(int(m.Item - 1)).closed = true
	delete(l.open, m.Item)
}

// closeItems ends what was open about something that is settled now: no fact of its own says so.
func (l *Ledger) closeItems(about func(*item) bool) {
	for id := range l.open {
		if i := l.items.At(int(id - 1)); about(i) {
			i.closed = true
			delete(l.open, id)
		}
	}
}
