package engine

import (
	"math"

	"huanxin/subsidy"
)

// deadlineKind says what a deadline is about.
type deadlineKind uint8

// At one instant they fire in this order: the budget first, because rounds turn at midnight, when a crowd of
// entitlements ends and what follows must already see the new round.
const (
	budgetDeadline         deadlineKind = iota + 1 // the next instant of the budget plan
	holdDeadline                                   // id = purchase
	hostDeadline                                   // id = purchase
	reversalDeadline                               // id = reversal
	entitlementDeadline                            // id = entitlement
	operationDeadline                              // id = operation: the host's time is up
	inquiryDeadline                                // id = number of the RRN
	quarantineDeadline                             // id = purchase
	queryDeadline                                  // id = purchase at a wallet
	operationQueryDeadline                         // id = operation at a wallet
	restoreDeadline                                // id = refunded purchase
	reversalExpiry                                 // id = reversal: clearing cut-off
	refundExpiry                                   // id = operation: clearing cut-off
)

// deadline is one thing to look at when its time has come. Whether it still applies is asked then: a captured purchase
// leaves its deadlines behind, and they fire without effect.
type deadline struct {
	at   int64
	id   uint64
	kind deadlineKind
}

func (d deadline) before(o deadline) bool {
	if d.at != o.at {
		return d.at < o.at
	}
	if d.kind != o.kind {
		return d.kind < o.kind
	}
	return d.id < o.id
}

// remind notes a deadline. An engine that only follows a journal keeps none: nothing would ever take them away. It gets
// them all from schedule when it begins to decide.
func (e *Engine) remind(d deadline) {
	if e.deciding {
		e.deadlines.push(d)
	}
}

// schedule finds the deadlines that follow from the state. A plan's instant that came while nobody decided is due at
// once; budgetDue does what is still to be done and no more.
func (e *Engine) schedule() {
	for p := range e.purchases.all() {
		switch p.state {
		case Reserved:
			e.remind(deadline{at: p.reserved.ExpiresAt, id: p.id, kind: holdDeadline})
		case Sent:
			e.remind(deadline{at: p.sale.Deadline, id: p.id, kind: hostDeadline})
		case Unknown:
			e.remind(deadline{at: p.sale.Deadline, id: p.id, kind: hostDeadline})
			e.remind(deadline{at: p.queryAt, id: p.id, kind: queryDeadline})
		case Voided:
			if p.quarantine != 0 {
				e.remind(deadline{at: p.quarantine, id: p.id, kind: quarantineDeadline})
			}
		case Refunded:
			if p.restoreAt != 0 {
				e.remind(deadline{at: p.restoreAt, id: p.id, kind: restoreDeadline})
			}
		}
	}
	for _, o := range e.purchases.operations {
		switch {
		case o.state == opSent:
			e.remind(deadline{at: o.request().GetDeadline(), id: o.id, kind: operationDeadline})
		case o.state == opUnknown && e.atWallet(o) && o.item == 0:
			e.remind(deadline{at: o.queryAt, id: o.id, kind: operationQueryDeadline})
		case o.state == opUnknown && o.item == 0:
			e.remind(deadline{at: o.expiresAt, id: o.id, kind: refundExpiry})
		}
	}
	for id, q := range e.inquiries {
		e.remind(deadline{at: q.deadline, id: id, kind: inquiryDeadline})
	}
	for _, r := range e.reversals {
		if r.state != reversalQueued {
			continue
		}
		if r.attempt > 0 {
			e.remind(deadline{at: r.nextAt, id: r.id, kind: reversalDeadline})
		}
		if r.expiresAt != 0 {
			e.remind(deadline{at: r.expiresAt, id: r.id, kind: reversalExpiry})
		}
	}
	for id := uint64(1); id < e.book.NextEntitlement(); id++ {
		if en, _ := e.book.Entitlement(id); en.State == subsidy.Claimed {
			e.remind(deadline{at: en.ExpiresAt, id: id, kind: entitlementDeadline})
		}
	}
	if e.policy != nil {
		e.remind(deadline{at: e.now, kind: budgetDeadline})
	}
}

// NextDeadline is the instant at which the server should send the next Tick; math.MaxInt64 when nothing is due ever.
func (e *Engine) NextDeadline() int64 {
	first, ok := e.deadlines.first()
	if !ok {
		return math.MaxInt64
	}
	return first.at
}

// maxFired bounds the deadlines of one Step, so that the expiry of a million entitlements at midnight cannot hold up a
// sale. What is left over keeps NextDeadline in the past and is fired by the Ticks that follow.
const maxFired = 256

func (e *Engine) tick() {
	for range maxFired {
		if e.NextDeadline() > e.now {
			return
		}
		d := e.deadlines.pop()
		switch d.kind {
		case holdDeadline:
			e.holdDue(d.id, d.at)
		case hostDeadline:
			e.hostDue(d.id, d.at)
		case reversalDeadline:
			e.reversalDue(d.id, d.at)
		case entitlementDeadline:
			e.expireIfDue(d.id)
		case budgetDeadline:
			e.budgetDue()
		default:
			e.dueAfterSale(d)
		}
	}
}

func (e *Engine) dueAfterSale(d deadline) {
	switch d.kind {
	case operationDeadline:
		e.operationDue(d.id, d.at)
	case inquiryDeadline:
		e.inquiryDue(d.id, d.at)
	case quarantineDeadline:
		e.quarantineDue(d.id, d.at)
	case queryDeadline:
		e.queryDue(d.id, d.at)
	case operationQueryDeadline:
		e.operationQueryDue(d.id, d.at)
	case restoreDeadline:
		e.restoreDue(d.id, d.at)
	case reversalExpiry:
		e.reversalExpired(d.id, d.at)
	case refundExpiry:
		e.refundExpired(d.id, d.at)
	}
}
