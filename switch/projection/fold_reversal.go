package projection

import (
	"fmt"
	"slices"

	"huanxin/internal/money"
	"huanxin/switch/event"
)

func (f *fold) applyReversal(ev *event.Event) error {
	switch b := ev.Body.(type) {
	case *event.Event_ReversalQueued:
		return f.reversalQueued(b.ReversalQueued)
	case *event.Event_ReversalAttempted:
		return f.reversalAttempted(b.ReversalAttempted)
	case *event.Event_ReversalDone:
		return f.reversalDone(b.ReversalDone)
	case *event.Event_ReversalDead:
		r, err := f.reversal(b.ReversalDead.Reversal)
		if err != nil {
			return err
		}
		r.State, r.NextAt, r.DeadAt = ReversalDead, 0, f.at
	case *event.Event_ReversalRequeued:
		m := b.ReversalRequeued
		r, err := f.reversal(m.Reversal)
		if err != nil {
			return err
		}
		r.State, r.NextAt, r.DeadAt, r.ExpiresAt = ReversalWaiting, f.at, 0, Instant(m.ExpiresAt)
		f.closeItems(text(m.By.GetActor()), func(w *WorkItem) bool { return w.Reversal == r.ID })
		f.act("reversal-requeued", m.By, r.Purchase, fmt.Sprintf("reversal=%d", r.ID))
	case *event.Event_ReversalResolved:
		return f.reversalResolved(b.ReversalResolved)
	case *event.Event_WorkItemOpened:
		return f.itemOpened(b.WorkItemOpened)
	case *event.Event_WorkItemClosed:
		return f.itemClosed(b.WorkItemClosed)
	}
	return nil
}

func (f *fold) reversalQueued(m *event.ReversalQueued) error {
	if f.reversals.has(m.Reversal) {
		return fmt.Errorf("reversal %d is queued twice", m.Reversal)
	}
	from := []string{Sent, Unknown, Captured, Declined, Reversing, Reversed}
	if m.Operation != 0 {
		from = []string{Voiding, Voided, Captured, Refunding, Refunded}
	}
	p, err := f.purchase(m.Purchase, from...)
	if err != nil {
		return err
	}
	f.act("hold-released", m.By, p.ID, fmt.Sprintf("purchase=%d reversal=%d", p.ID, m.Reversal))
	r := f.reversals.add(Reversal{
		ID: m.Reversal, Month: f.month.date, Purchase: p.ID, Operation: m.Operation, State: ReversalWaiting,
		Cause: enum(m.Cause.String(), "REVERSAL_CAUSE_"), Reason: text(m.Reason), Host: p.Host, Amount: money.Amount(m.Amount),
		KeepsHold: m.KeepsHold, Captured: p.State == Captured, NextAt: Instant(m.FirstAttemptAt),
		ExpiresAt: Instant(m.ExpiresAt), QueuedAt: f.at, ChangedAt: f.at, Seq: f.seq,
	})
	if m.Operation != 0 {
		return f.voidUndone(p, r)
	}
	was := p.State
	p.State, p.Reversal, p.QueryAt = Reversing, r.ID, 0
	switch {
	case r.KeepsHold: // until the wallet has said that nothing is charged
		return nil
	case was == Sent || was == Unknown:
		return f.release(p, Reversed)
	case was == Captured:
		return f.takeBack(p, Refund{Kind: ByReversal, Cause: r.Cause, Reversal: r.ID, Amount: r.Amount}, Reversed)
	}
	return nil // declined or reversed before: nothing is held
}

// takeBack undoes the capture of p with what is left of its subsidy: r says why, cause is that of the hold's release.
func (f *fold) takeBack(p *Purchase, r Refund, cause string) error {
	r.Subsidy, r.Funders, r.FunderParts = p.Subsidy, p.Funders, p.FunderParts
	f.refund(p, r)
	if p.Ordinary {
		return nil
	}
	e, err := f.entitlement(p.Entitlement, EntitlementUsed)
	if err != nil {
		return err
	}
	e.State, e.Purchase = EntitlementClaimed, 0
	f.hold(p, HoldReleased, cause)
	return f.shift(p.Leaf, move{kind: "restore", spent: -p.Subsidy, purchase: p.ID, entitlement: e.ID})
}

// refund enters what a payer and the programme get back, with what p says of it.
func (f *fold) refund(p *Purchase, r Refund) {
	r.Seq, r.Month, r.RefundedAt = f.seq, f.month.date, f.at
	r.Purchase, r.SaleKind, r.Merchant, r.Leaf = p.ID, p.Kind, p.Merchant, p.Leaf
	f.out.Refunds = append(f.out.Refunds, r)
}

func (f *fold) reversal(id uint64) (*Reversal, error) {
	r := f.reversals.touch(id)
	if r == nil {
		return nil, fmt.Errorf("reversal %d does not exist", id)
	}
	r.Seq, r.ChangedAt = f.seq, f.at
	f.trail(r.Purchase)
	return r, nil
}

func (f *fold) reversalAttempted(m *event.ReversalAttempted) error {
	r, err := f.reversal(m.Reversal)
	if err != nil {
		return err
	}
	r.Attempts, r.NextAt, r.Querying = m.Attempt, Instant(m.NextAt), m.Query
	if m.Response != "" {
		r.Response = text(m.Response)
	}
	return nil
}

func (f *fold) reversalDone(m *event.ReversalDone) error {
	r, err := f.reversal(m.Reversal)
	if err != nil {
		return err
	}
	if r.State == ReversalRefused { // the host has changed its mind
		f.closeItems("", func(w *WorkItem) bool { return w.Reversal == r.ID })
	}
	r.State, r.Response, r.NextAt = ReversalDone, text(m.Response), 0
	return f.reversalEnded(r)
}

func (f *fold) reversalResolved(m *event.ReversalResolved) error {
	r, err := f.reversal(m.Reversal)
	if err != nil {
		return err
	}
	r.State, r.NextAt, r.Outcome, r.SettledBy = ReversalResolved, 0, text(m.Outcome), text(m.By.GetActor())
	f.act("reversal-resolved", m.By, r.Purchase, fmt.Sprintf("reversal=%d outcome=%s", r.ID, r.Outcome))
	f.closeItems(r.SettledBy, func(w *WorkItem) bool { return w.Reversal == r.ID })
	if err := f.reversalEnded(r); err != nil || r.Operation == 0 || r.Outcome != outcomeReturned {
		return err
	}
	return f.voidStands(r)
}

// outcomeReturned of a reversal says that the payer has the money.
const outcomeReturned = "returned"

// reversalEnded: the charge is undone, or a void is. What a wallet had made the purchase keep is free now.
func (f *fold) reversalEnded(r *Reversal) error {
	if r.Operation != 0 {
		o, err := f.operation(r.Operation, OperationReversing)
		if err != nil {
			return err
		}
		o.State = OperationReversed
		return nil
	}
	p, err := f.purchase(r.Purchase, Reversing)
	if err != nil {
		return err
	}
	p.State = Reversed
	switch {
	case !r.KeepsHold:
		return nil
	case r.Captured:
		return f.takeBack(p, Refund{Kind: ByReversal, Cause: r.Cause, Reversal: r.ID, Amount: r.Amount}, Reversed)
	case f.holds(p):
		return f.release(p, Reversed)
	}
	return nil
}

// holds reports whether the purchase still holds what it took.
func (f *fold) holds(p *Purchase) bool {
	e := f.entitlements.look(p.Entitlement)
	return !p.Ordinary && e != nil && e.State == EntitlementHeld && e.Purchase == p.ID
}

func (f *fold) itemOpened(m *event.WorkItemOpened) error {
	f.trail(m.Purchase)
	if r := f.reversals.look(m.Reversal); r != nil {
		f.trail(r.Purchase)
	}
	w := &WorkItem{
		ID: m.Item, State: ItemOpen, Kind: text(m.Kind), Purchase: m.Purchase, Operation: m.Operation, Reversal: m.Reversal,
		Terminal: text(m.Terminal), Merchant: text(m.Merchant), Response: text(m.Response), Detail: text(m.Detail),
		OpenedAt: f.at, Seq: f.seq,
	}
	if f.items[w.ID] != nil {
		return fmt.Errorf("work item %d is opened twice", w.ID)
	}
	f.items[w.ID], f.touched.items[w.ID] = w, w
	// A refused reversal is sent no more; every other item leaves its reversal as it is.
	if m.Kind != "reversal-refused" {
		return nil
	}
	r, err := f.reversal(m.Reversal)
	if err != nil {
		return err
	}
	r.State, r.Response, r.NextAt = ReversalRefused, text(m.Response), 0
	return nil
}

func (f *fold) itemClosed(m *event.WorkItemClosed) error {
	w := f.items[m.Item]
	if w == nil {
		return fmt.Errorf("work item %d is not open", m.Item)
	}
	f.closeItem(w, text(m.By.GetActor()))
	f.act("work-item-closed", m.By, w.Purchase, fmt.Sprintf("item=%d kind=%s", w.ID, w.Kind))
	return nil
}

func (f *fold) closeItem(w *WorkItem, by string) {
	w.State, w.ClosedAt, w.ClosedBy, w.Seq = ItemClosed, f.at, by, f.seq
	f.touched.items[w.ID] = w
	delete(f.items, w.ID)
	f.trail(w.Purchase)
}

// closeItems closes what was open about something that is settled now: no fact of its own says so. by is the operator, ""
// when the host has spoken after all.
func (f *fold) closeItems(by string, about func(*WorkItem) bool) {
	for _, w := range f.items {
		if about(w) {
			f.closeItem(w, by)
		}
	}
}

// operation returns a void or refund to change. from lists the states it may be in; none means any.
func (f *fold) operation(id uint64, from ...string) (*Operation, error) {
	o := f.operations.touch(id)
	if o == nil {
		return nil, fmt.Errorf("operation %d does not exist", id)
	}
	if len(from) > 0 && !slices.Contains(from, o.State) {
		return nil, fmt.Errorf("operation %d is %s", id, o.State)
	}
	o.Seq, o.ChangedAt = f.seq, f.at
	f.trail(o.Purchase)
	return o, nil
}
