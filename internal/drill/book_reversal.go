package drill

import (
	"fmt"

	"huanxin/switch/event"
)

func (b *Book) applyReversal(ev *event.Event) error {
	switch body := ev.Body.(type) {
	case *event.Event_ReversalAnswered:
		r := body.ReversalAnswered
		b.Reversals[keyOf(r.Key)] = Exchange{Purchase: r.Purchase, Response: r.Response}
	case *event.Event_ReversalQueued:
		return b.queued(body.ReversalQueued)
	case *event.Event_ReversalDone:
		return b.closed(body.ReversalDone.Reversal, "returned")
	case *event.Event_ReversalDead:
		return b.waits(body.ReversalDead.Reversal, "queued", "dead")
	case *event.Event_ReversalRequeued:
		return b.waits(body.ReversalRequeued.Reversal, "", "queued")
	case *event.Event_ReversalResolved:
		return b.resolved(body.ReversalResolved)
	case *event.Event_WorkItemOpened:
		return b.workItem(body.WorkItemOpened)
	}
	return nil
}

// queued: a sale or a void is being taken back. A purchase whose sale is taken back lets go of what it has, at once or,
// with keeps_hold, when that has ended; one whose void is taken back keeps all and is captured again.
func (b *Book) queued(q *event.ReversalQueued) error {
	p, err := b.purchase(q.Purchase)
	if err != nil {
		return err
	}
	if b.Open[q.Reversal] != nil {
		return fmt.Errorf("reversal %d is queued twice", q.Reversal)
	}
	b.Open[q.Reversal] = &Reversal{
		ID: q.Reversal, Purchase: p.ID, Operation: q.Operation, State: "queued", amount: q.Amount, keepsHold: q.KeepsHold,
	}
	if q.Operation != 0 {
		return b.voidTakenBack(p, q.Operation)
	}
	switch p.State {
	case Sent, Unknown, Captured, Declined, Reversing, Reversed:
	default:
		return fmt.Errorf("the sale of purchase %d is reversed while it is %s", p.ID, p.State)
	}
	if !q.KeepsHold {
		b.free(p)
	}
	p.State = Reversing
	p.Pending++
	return nil
}

func (b *Book) voidTakenBack(p *Purchase, operation uint64) error {
	givenUp := false
	if o := b.Operations[operation]; o != nil {
		givenUp = o.State == "declined" || o.State == "reversed"
	}
	o, err := b.turn(operation, "reversing", "sent", "approved", "declined", "reversed")
	if err != nil || givenUp { // one that takes effect after all: the purchase is what has become of it since
		return err
	}
	if p.subsidised && !p.budget {
		b.Overspent = append(b.Overspent, fmt.Sprintf("purchase %d is captured again by the reversal of void %d, but its subsidy was let go",
			p.ID, o.ID))
	}
	switch p.State {
	case Voiding, Voided:
		p.State = Captured
		return nil
	}
	return fmt.Errorf("void %d is reversed while purchase %d is %s", o.ID, p.ID, p.State)
}

// closed ends a reversal. Outcome is what it has come to: returned or charged.
func (b *Book) closed(id uint64, outcome string) error {
	r := b.Open[id]
	if r == nil {
		return fmt.Errorf("end of unknown reversal %d", id)
	}
	delete(b.Open, id)
	if r.Operation != 0 {
		_, err := b.turn(r.Operation, "reversed", "reversing")
		return err
	}
	p := b.Purchases[r.Purchase]
	if r.keepsHold {
		b.free(p)
	}
	p.Pending--
	p.State, p.Standing = Reversed, 0
	if outcome == "charged" {
		p.Standing = r.amount
	}
	return nil
}

// waits moves a reversal between its way to the host and a person. from "" means either.
func (b *Book) waits(id uint64, from, to string) error {
	r := b.Open[id]
	if r == nil || from != "" && r.State != from {
		return fmt.Errorf("reversal %d becomes %s but is not %s", id, to, from)
	}
	r.State = to
	return nil
}

// resolved: a person has settled it by the clearing file. Of a void that was to be taken back, "returned" means that the
// void stands.
func (b *Book) resolved(m *event.ReversalResolved) error {
	if err := b.closed(m.Reversal, m.Outcome); err != nil || m.Operation == 0 || m.Outcome != "returned" {
		return err
	}
	if _, err := b.turn(m.Operation, "approved", "reversed"); err != nil {
		return err
	}
	return b.end(m.Purchase, Voided, Captured)
}

// workItem notes the two kinds that a right reversal never leads to: no rule of the simulated hosts refuses one, nor forgets
// what it has approved. A switch that named another amount or number would end here, and a person would find the charge in
// the ledger and settle it: so the item itself is the finding.
func (b *Book) workItem(w *event.WorkItemOpened) error {
	switch w.Kind {
	case "reversal-refused":
		b.Refusals = append(b.Refusals, fmt.Sprintf("the host refuses reversal %d of purchase %d: %s", w.Reversal, w.Purchase, w.Response))
		return b.waits(w.Reversal, "queued", "refused")
	case "reversal-without-original":
		b.Refusals = append(b.Refusals, fmt.Sprintf("the host approved purchase %d and knows nothing to reverse", w.Purchase))
	}
	return nil
}
