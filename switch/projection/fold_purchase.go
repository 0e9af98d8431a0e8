package projection

import (
	"fmt"
	"slices"

	"huanxin/internal/money"
	"huanxin/switch/event"
)

func (f *fold) entitlement(id uint64, from ...string) (*Entitlement, error) {
	e := f.entitlements[id]
	if e == nil {
		return nil, fmt.Errorf("entitlement %d does not exist", id)
	}
	if !slices.Contains(from, e.State) {
		return nil, fmt.Errorf("entitlement %d is %s", id, e.State)
	}
	e.Seq, e.ChangedAt = f.seq, f.at
	f.touched.entitlements[id] = e
	return e, nil
}

func (f *fold) claimed(m *event.EntitlementClaimed) error {
	if f.entitlements[m.Entitlement] != nil {
		return fmt.Errorf("entitlement %d is claimed twice", m.Entitlement)
	}
	e := &Entitlement{
		ID: m.Entitlement, Month: MonthOf(f.at), State: EntitlementClaimed, Person: octets(m.Person), Category: text(m.Category),
		City: text(m.City), Channel: text(m.Channel), IDKind: text(m.IdKind), PolicyVersion: text(m.PolicyVersion),
		Reserved: money.Amount(m.Reserved), Leaf: text(m.Leaf),
		ClaimedAt: f.at, ExpiresAt: Instant(m.ExpiresAt), ChangedAt: f.at, Seq: f.seq,
	}
	f.entitlements[e.ID], f.touched.entitlements[e.ID] = e, e
	return f.shift(e.Leaf, move{kind: "claim", held: e.Reserved, entitlement: e.ID})
}

func (f *fold) entitlementEnded(id uint64, released int64, state string) error {
	e, err := f.entitlement(id, EntitlementClaimed)
	if err != nil {
		return err
	}
	if e.Reserved != money.Amount(released) {
		return fmt.Errorf("entitlement %d gives back %d fen, it holds %d", id, released, e.Reserved)
	}
	e.State, e.Reserved = state, 0
	return f.shift(e.Leaf, move{kind: state, held: -money.Amount(released), entitlement: id})
}

// purchase returns a purchase to change. from lists the states it may be in.
func (f *fold) purchase(id uint64, from ...string) (*Purchase, error) {
	p := f.purchases[id]
	if p == nil {
		return nil, fmt.Errorf("purchase %d does not exist", id)
	}
	if !slices.Contains(from, p.State) {
		return nil, fmt.Errorf("purchase %d is %s", id, p.State)
	}
	f.touch(p)
	return p, nil
}

func (f *fold) touch(p *Purchase) {
	p.Seq, p.ChangedAt = f.seq, f.at
	f.purchases[p.ID], f.touched.purchases[p.ID] = p, p
}

// hold writes the hold of p as it is now.
func (f *fold) hold(p *Purchase, state, cause string) {
	h := &Hold{
		Purchase: p.ID, Month: p.Month, State: state, Cause: cause, Entitlement: p.Entitlement, Leaf: p.Leaf,
		Subsidy: p.Subsidy, TakenAt: p.ReservedAt, ExpiresAt: p.ExpiresAt, Seq: f.seq,
	}
	if state != HoldOpen {
		h.EndedAt = f.at
	}
	f.touched.holds[p.ID] = h
}

func (f *fold) reserved(m *event.Reserved) error {
	if f.purchases[m.Purchase] != nil {
		return fmt.Errorf("purchase %d is reserved twice", m.Purchase)
	}
	e, err := f.entitlement(m.Entitlement, EntitlementClaimed)
	if err != nil {
		return err
	}
	p := &Purchase{
		ID: m.Purchase, Month: MonthOf(f.at), State: Reserved, Entitlement: m.Entitlement, Person: octets(m.Person),
		Category: text(m.Category), City: text(m.City), PayingCity: text(m.PayingCity), LocatedCity: text(m.LocatedCity),
		Channel: text(m.Channel), Merchant: text(m.Key.GetMerchant()), Terminal: text(m.Key.GetTerminal()),
		TerminalBatch: m.Key.GetBatch(), STAN: m.Key.GetStan(),
		Barcode: text(m.Barcode), SerialMask: text(m.SerialMask), OrderRef: text(m.Order),
		Price: money.Amount(m.Price), Base: money.Amount(m.Base), Subsidy: money.Amount(m.Subsidy),
		Payable: money.Amount(m.Payable), Amount: money.Amount(m.Payable), FromClaim: money.Amount(m.FromClaim),
		Leaf: text(m.Leaf), PolicyVersion: text(m.PolicyVersion), Marks: []string{}, ItemsBefore: m.ItemsBefore,
		Funders: []string{}, FunderParts: []int64{},
		ReservedAt: f.at, ExpiresAt: Instant(m.ExpiresAt),
	}
	for _, mark := range m.Marks {
		p.Marks = append(p.Marks, text(mark))
	}
	for _, part := range m.Parts {
		p.Funders = append(p.Funders, text(part.Payer))
		p.FunderParts = append(p.FunderParts, part.Amount)
	}
	f.touch(p)
	f.hold(p, HoldOpen, "")

	// The claim's own money comes first: of it the purchase keeps its subsidy, the rest is free again. A purchase that is
	// not paid from the claim takes its subsidy anew.
	back := e.Reserved - p.FromClaim
	if back < 0 {
		return fmt.Errorf("purchase %d takes %s from a claim that holds %s", p.ID, p.FromClaim, e.Reserved)
	}
	e.State, e.Purchase, e.Reserved = EntitlementHeld, p.ID, 0
	if err := f.shift(e.Leaf, move{kind: "reserve", held: -back, purchase: p.ID, entitlement: e.ID}); err != nil {
		return err
	}
	if p.FromClaim > 0 {
		return nil
	}
	return f.shift(p.Leaf, move{kind: "reserve", held: p.Subsidy, purchase: p.ID, entitlement: e.ID})
}

// release gives the hold of p back before a capture. What a claim had paid for stays taken, for the claim.
func (f *fold) release(p *Purchase, cause string) error {
	if p.Ordinary {
		return nil
	}
	e, err := f.entitlement(p.Entitlement, EntitlementHeld)
	if err != nil {
		return err
	}
	e.State, e.Purchase = EntitlementClaimed, 0
	f.hold(p, HoldReleased, cause)
	if p.FromClaim > 0 {
		e.Reserved = p.FromClaim
		return nil
	}
	return f.shift(p.Leaf, move{kind: cause, held: -p.Subsidy, purchase: p.ID, entitlement: e.ID})
}

func (f *fold) holdEnded(id uint64, state string) error {
	p, err := f.purchase(id, Reserved)
	if err != nil {
		return err
	}
	p.State = state
	return f.release(p, state)
}

func (f *fold) saleSent(m *event.SaleSent) error {
	p := f.purchases[m.Purchase]
	switch {
	case m.Ordinary && p != nil:
		return fmt.Errorf("purchase %d is there already", m.Purchase)
	case m.Ordinary:
		p = &Purchase{
			ID: m.Purchase, Month: MonthOf(f.at), Ordinary: true, Person: []byte{}, Marks: []string{},
			Funders: []string{}, FunderParts: []int64{},
			City: text(m.City), Channel: text(m.Channel), Merchant: text(m.Key.GetMerchant()),
			Terminal: text(m.Key.GetTerminal()), Price: money.Amount(m.Amount), Payable: money.Amount(m.Amount),
		}
		f.touch(p)
	default:
		var err error
		if p, err = f.purchase(m.Purchase, Reserved); err != nil {
			return err
		}
	}
	p.State, p.SentAt, p.Amount = Sent, f.at, money.Amount(m.Amount)
	p.TerminalBatch, p.STAN = m.Key.GetBatch(), m.Key.GetStan()
	p.Host, p.HostSTAN, p.RRN = text(m.Host), m.HostStan, text(m.Rrn)
	p.CardMask, p.EntryMode = text(m.Card.GetMask()), text(m.EntryMode)
	return nil
}

func (f *fold) saleApproved(m *event.SaleApproved) error {
	p, err := f.purchase(m.Purchase, Sent)
	if err != nil {
		return err
	}
	p.State = Captured
	p.Response, p.Approval = text(m.Answer.GetResponse()), text(m.Answer.GetApproval())
	p.ClearingDate = text(m.Answer.GetClearingDate())
	f.out.Captures = append(f.out.Captures, &Capture{
		Purchase: p.ID, Month: MonthOf(f.at), Ordinary: p.Ordinary, City: p.City, Merchant: p.Merchant, Terminal: p.Terminal,
		Category: p.Category, Leaf: p.Leaf, Amount: p.Amount, Subsidy: p.Subsidy, Host: p.Host, RRN: p.RRN,
		Response: p.Response, Approval: p.Approval, ClearingDate: p.ClearingDate, CapturedAt: f.at, Seq: f.seq,
	})
	if p.Ordinary {
		return nil
	}
	e, err := f.entitlement(p.Entitlement, EntitlementHeld)
	if err != nil {
		return err
	}
	e.State = EntitlementUsed
	f.hold(p, HoldSpent, "")
	return f.shift(p.Leaf, move{kind: "capture", held: -p.Subsidy, spent: p.Subsidy, purchase: p.ID, entitlement: e.ID})
}

func (f *fold) saleDeclined(m *event.SaleDeclined) error {
	p, err := f.purchase(m.Purchase, Sent)
	if err != nil {
		return err
	}
	p.State, p.DeclineCause = Declined, enum(m.Cause.String(), "DECLINE_CAUSE_")
	p.Response = text(m.Answer.GetResponse())
	return f.release(p, Declined)
}

func (f *fold) lateAnswer(m *event.LateAnswer) error {
	p, err := f.purchase(m.Purchase, Sent, Captured, Declined, Reversing, Reversed)
	if err != nil {
		return err
	}
	p.LateResponse, p.LateAt = text(m.Answer.GetResponse()), f.at
	return nil
}

func (f *fold) reversalQueued(m *event.ReversalQueued) error {
	p, err := f.purchase(m.Purchase, Sent, Captured, Declined, Reversing, Reversed)
	if err != nil {
		return err
	}
	if f.reversals[m.Reversal] != nil {
		return fmt.Errorf("reversal %d is queued twice", m.Reversal)
	}
	cause := enum(m.Cause.String(), "REVERSAL_CAUSE_")
	r := &Reversal{
		ID: m.Reversal, Month: MonthOf(f.at), Purchase: p.ID, State: ReversalWaiting, Cause: cause, Reason: text(m.Reason),
		Host: p.Host, Amount: money.Amount(m.Amount), NextAt: Instant(m.FirstAttemptAt), QueuedAt: f.at,
		ChangedAt: f.at, Seq: f.seq,
	}
	f.reversals[r.ID], f.touched.reversals[r.ID] = r, r
	was := p.State
	p.State, p.Reversal = Reversing, r.ID
	switch was {
	case Sent:
		return f.release(p, Reversed)
	case Captured:
		return f.refund(p, r)
	}
	return nil // declined or reversed before: nothing is held
}

// refund undoes the capture of p.
func (f *fold) refund(p *Purchase, r *Reversal) error {
	f.out.Refunds = append(f.out.Refunds, &Refund{
		Seq: f.seq, Month: MonthOf(f.at), Purchase: p.ID, Kind: "reversal", Cause: r.Cause, Reversal: r.ID, Leaf: p.Leaf,
		Amount: r.Amount, Subsidy: p.Subsidy, RefundedAt: f.at,
	})
	if p.Ordinary {
		return nil
	}
	e, err := f.entitlement(p.Entitlement, EntitlementUsed)
	if err != nil {
		return err
	}
	e.State, e.Purchase = EntitlementClaimed, 0
	f.hold(p, HoldReleased, Reversed)
	return f.shift(p.Leaf, move{kind: "restore", spent: -p.Subsidy, purchase: p.ID, entitlement: e.ID})
}

func (f *fold) reversal(id uint64) (*Reversal, error) {
	r := f.reversals[id]
	if r == nil {
		return nil, fmt.Errorf("reversal %d does not exist", id)
	}
	r.Seq, r.ChangedAt = f.seq, f.at
	f.touched.reversals[id] = r
	return r, nil
}

func (f *fold) reversalAttempted(m *event.ReversalAttempted) error {
	r, err := f.reversal(m.Reversal)
	if err != nil {
		return err
	}
	r.Attempts, r.NextAt = m.Attempt, Instant(m.NextAt)
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
	p, err := f.purchase(m.Purchase, Reversing)
	if err != nil {
		return err
	}
	r.State, r.Response, r.NextAt = ReversalDone, text(m.Response), 0
	p.State = Reversed
	return nil
}

func (f *fold) workItem(m *event.WorkItemOpened) error {
	f.out.WorkItems = append(f.out.WorkItems, &WorkItem{
		ID: m.Item, Kind: text(m.Kind), Purchase: m.Purchase, Reversal: m.Reversal, Response: text(m.Response),
		Detail: text(m.Detail), OpenedAt: f.at, Seq: f.seq,
	})
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
