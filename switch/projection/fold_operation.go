package projection

import (
	"fmt"
	"slices"

	"huanxin/internal/money"
	"huanxin/switch/event"
)

func (f *fold) applyOperation(ev *event.Event) error {
	switch b := ev.Body.(type) {
	case *event.Event_VoidSent:
		return f.voidSent(b.VoidSent)
	case *event.Event_VoidApproved:
		return f.voidApproved(b.VoidApproved)
	case *event.Event_VoidDeclined:
		return f.voidDeclined(b.VoidDeclined)
	case *event.Event_VoidReleased:
		return f.voidReleased(b.VoidReleased)
	case *event.Event_RefundSent:
		return f.refundSent(b.RefundSent)
	case *event.Event_RefundApproved:
		return f.refundApproved(b.RefundApproved)
	case *event.Event_RefundDeclined:
		return f.refundDeclined(b.RefundDeclined)
	case *event.Event_RefundUnknown:
		return f.refundUnknown(b.RefundUnknown)
	}
	return nil
}

// open enters a new operation of p.
func (f *fold) open(p *Purchase, o Operation, key *event.ExchangeKey) error {
	if f.operations.has(o.ID) {
		return fmt.Errorf("operation %d is sent twice", o.ID)
	}
	o.Month, o.Purchase, o.State, o.Merchant = f.month.date, p.ID, OperationSent, p.Merchant
	o.Terminal, o.TerminalBatch, o.STAN = text(key.GetTerminal()), key.GetBatch(), key.GetStan()
	o.Funders, o.FunderParts = []string{}, []int64{}
	o.SentAt, o.ChangedAt, o.Seq = f.at, f.at, f.seq
	f.operations.add(o)
	return nil
}

func (f *fold) voidSent(m *event.VoidSent) error {
	p, err := f.purchase(m.Purchase, Captured)
	if err != nil {
		return err
	}
	p.State = Voiding
	return f.open(p, Operation{
		ID: m.Operation, Kind: OperationVoid, Host: text(m.Host), HostSTAN: m.HostStan, RRN: text(m.Rrn), Wallet: p.Wallet,
		CardMask: text(m.Card.GetMask()), Amount: money.Amount(m.Amount), Deadline: Instant(m.Deadline),
	}, m.Key)
}

// voidApproved: the payer has the money back; subsidy, quota and serial wait in quarantine.
func (f *fold) voidApproved(m *event.VoidApproved) error {
	o, p, err := f.pair(m.Operation, m.Purchase, Voiding)
	if err != nil {
		return err
	}
	p.State, p.QuarantineAt = Voided, Instant(m.QuarantineAt)
	o.QuarantineAt = p.QuarantineAt
	f.answered(o, OperationApproved, m.Answer)
	return nil
}

func (f *fold) voidDeclined(m *event.VoidDeclined) error {
	o, p, err := f.pair(m.Operation, m.Purchase, Voiding)
	if err != nil {
		return err
	}
	p.State = Captured
	o.DeclineCause = enum(m.Cause.String(), "DECLINE_CAUSE_")
	f.answered(o, OperationDeclined, m.Answer)
	return nil
}

// voidReleased: the void can no longer be undone, so that what it frees is free.
func (f *fold) voidReleased(m *event.VoidReleased) error {
	p, err := f.purchase(m.Purchase, Voided)
	if err != nil {
		return err
	}
	o, err := f.operation(m.Operation, OperationApproved)
	if err != nil {
		return err
	}
	p.QuarantineAt = 0
	o.ReleasedAt, o.ReleaseCause = f.at, enum(m.Cause.String(), "QUARANTINE_END_")
	return f.takeBack(p, Refund{Kind: ByVoid, Cause: o.ReleaseCause, Operation: o.ID, Amount: o.Amount}, Voided)
}

// voidUndone: the void is reversed at the host; the purchase is captured again and keeps what it has. One that takes effect
// after it was given up is reversed too, and leaves the purchase to what has become of it since.
func (f *fold) voidUndone(p *Purchase, r *Reversal) error {
	o, err := f.operation(r.Operation, OperationSent, OperationApproved, OperationDeclined, OperationUnknown, OperationReversed)
	if err != nil {
		return err
	}
	givenUp := o.State == OperationDeclined || o.State == OperationReversed
	o.State, o.Reversal, o.QueryAt, o.QuarantineAt = OperationReversing, r.ID, 0, 0
	if givenUp {
		return nil
	}
	if p.State != Voiding && p.State != Voided {
		return fmt.Errorf("void %d is reversed while purchase %d is %s", o.ID, p.ID, p.State)
	}
	p.State, p.QuarantineAt = Captured, 0
	return nil
}

// voidStands: a void whose reversal never came through has taken effect, as the clearing says. There is no quarantine: it
// can no longer be undone.
func (f *fold) voidStands(r *Reversal) error {
	p, err := f.purchase(r.Purchase, Captured)
	if err != nil {
		return err
	}
	o, err := f.operation(r.Operation, OperationReversed)
	if err != nil {
		return err
	}
	p.State = Voided
	o.State, o.ReleasedAt, o.ReleaseCause, o.SettledBy = OperationApproved, f.at, "resolved", r.SettledBy
	return f.takeBack(p, Refund{Kind: ByVoid, Cause: o.ReleaseCause, Operation: o.ID, Reversal: r.ID, Amount: o.Amount}, Voided)
}

func (f *fold) refundSent(m *event.RefundSent) error {
	p, err := f.purchase(m.Purchase, Captured, Refunding)
	if err != nil {
		return err
	}
	p.State = Refunding
	p.RefundsOpen++
	p.Refunding += money.Amount(m.Amount)
	return f.open(p, Operation{
		ID: m.Operation, Kind: OperationRefund, Host: text(m.Host), HostSTAN: m.HostStan, RRN: text(m.Rrn), Wallet: m.Wallet,
		CardMask: text(m.Card.GetMask()), Amount: money.Amount(m.Amount), Deadline: Instant(m.Deadline),
		Activated: m.Activated, Caller: text(m.Caller), Reference: text(m.Reference),
	}, m.Key)
}

// refundApproved: the payer has the money, the budget its part of the subsidy. After a whole refund nothing is spent, but
// the entitlement stays used until EntitlementRestored, if that comes at all.
func (f *fold) refundApproved(m *event.RefundApproved) error {
	o, p, err := f.pair(m.Operation, m.Purchase, Refunding, Captured)
	if err != nil {
		return err
	}
	if o.State != OperationDeclined { // else the host has paid after all, and the refund is not counted as open
		p.RefundsOpen--
		p.Refunding -= o.Amount
	}
	f.settled(o, text(m.By.GetActor()))
	o.Whole, o.Returned, o.KeptPrice = m.Whole, money.Amount(m.Returned), money.Amount(m.KeptPrice)
	o.Funders, o.FunderParts = fundersOf(m.Parts)
	o.Restores, o.RestoreAt = m.Restores, Instant(m.RestoreAt)
	f.answered(o, OperationApproved, m.Answer)
	f.act("refund-confirmed", m.By, p.ID, fmt.Sprintf("operation=%d", o.ID))

	p.Refunded += o.Amount
	if p.Ordinary {
		o.KeptPrice = p.Amount - p.Refunded
	}
	p.KeptPrice = o.KeptPrice
	if m.Whole && !p.Ordinary {
		f.hold(p, HoldReleased, Refunded)
	}
	if err := p.giveBack(o); err != nil {
		return err
	}
	switch {
	case m.Whole:
		p.State = Refunded
	default:
		p.settle()
		if !p.Ordinary {
			f.hold(p, HoldSpent, "")
		}
	}
	f.refund(p, Refund{
		Kind: ByRefund, Operation: o.ID, Amount: o.Amount, Subsidy: o.Returned, Funders: o.Funders, FunderParts: o.FunderParts,
	})
	return f.shift(p.Leaf, move{kind: "refund", spent: -o.Returned, purchase: p.ID, entitlement: p.Entitlement})
}

// giveBack takes what a refund returns off the subsidy, payer by payer.
func (p *Purchase) giveBack(o *Operation) error {
	var sum int64
	parts := slices.Clone(p.FunderParts) // the capture has the old ones
	for i, payer := range o.Funders {
		at := slices.Index(p.Funders, payer)
		if at < 0 || parts[at] < o.FunderParts[i] {
			return fmt.Errorf("operation %d returns %d fen of %s, who has not given so much", o.ID, o.FunderParts[i], payer)
		}
		parts[at] -= o.FunderParts[i]
		sum += o.FunderParts[i]
	}
	if sum != int64(o.Returned) || o.Returned < 0 {
		return fmt.Errorf("operation %d returns %s, its parts sum to %s", o.ID, o.Returned, money.Amount(sum))
	}
	p.FunderParts = parts
	p.Subsidy -= o.Returned
	p.Returned += o.Returned
	return nil
}

// settle gives p the state that it has between refunds.
func (p *Purchase) settle() {
	if p.State = Captured; p.RefundsOpen > 0 {
		p.State = Refunding
	}
}

func (f *fold) refundDeclined(m *event.RefundDeclined) error {
	o, p, err := f.pair(m.Operation, m.Purchase, Refunding)
	if err != nil {
		return err
	}
	p.RefundsOpen--
	p.Refunding -= o.Amount
	p.settle()
	f.settled(o, text(m.By.GetActor()))
	o.DeclineCause = enum(m.Cause.String(), "DECLINE_CAUSE_")
	f.answered(o, OperationDeclined, m.Answer)
	f.act("refund-failed", m.By, p.ID, fmt.Sprintf("operation=%d", o.ID))
	return nil
}

// settled notes who has told how a refund ended, "" for the host, and closes the dead letter that it may have become.
func (f *fold) settled(o *Operation, by string) {
	if o.SettledBy = by; o.State == OperationUnknown {
		f.closeItems(by, func(w *WorkItem) bool { return w.Kind == ItemRefundUnknown && w.Operation == o.ID })
	}
}

func (f *fold) refundUnknown(m *event.RefundUnknown) error {
	o, _, err := f.pair(m.Operation, m.Purchase, Refunding)
	if err != nil {
		return err
	}
	o.State, o.ExpiresAt = OperationUnknown, Instant(m.ExpiresAt)
	return nil
}

// pair returns an operation that is to end, with its purchase, whose states are listed.
func (f *fold) pair(operation, purchase uint64, from ...string) (*Operation, *Purchase, error) {
	p, err := f.purchase(purchase, from...)
	if err != nil {
		return nil, nil, err
	}
	open := []string{OperationSent, OperationUnknown}
	if slices.Contains(from, Captured) { // a late approval
		open = append(open, OperationDeclined)
	}
	o, err := f.operation(operation, open...)
	if err != nil {
		return nil, nil, err
	}
	if o.Purchase != p.ID {
		return nil, nil, fmt.Errorf("operation %d is of purchase %d, not of %d", o.ID, o.Purchase, p.ID)
	}
	return o, p, nil
}

func (f *fold) answered(o *Operation, state string, a *event.HostAnswer) {
	o.State, o.EndedAt, o.QueryAt = state, f.at, 0
	o.Response, o.Approval = text(a.GetResponse()), text(a.GetApproval())
	o.ClearingDate = text(a.GetClearingDate())
}
