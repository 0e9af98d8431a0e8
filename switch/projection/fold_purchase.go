package projection

import (
	"fmt"
	"slices"

	"huanxin/internal/money"
	"huanxin/switch/event"
)

func (f *fold) applyPurchase(ev *event.Event) error {
	switch b := ev.Body.(type) {
	case *event.Event_Reserved:
		return f.reserved(b.Reserved)
	case *event.Event_HoldCancelled:
		m := b.HoldCancelled
		f.act("hold-released", m.By, m.Purchase, fmt.Sprintf("purchase=%d", m.Purchase))
		return f.holdEnded(m.Purchase, Cancelled)
	case *event.Event_HoldExpired:
		return f.holdEnded(b.HoldExpired.Purchase, Expired)
	case *event.Event_SaleSent:
		return f.saleSent(b.SaleSent)
	case *event.Event_SaleApproved:
		return f.saleApproved(b.SaleApproved)
	case *event.Event_SaleDeclined:
		return f.saleDeclined(b.SaleDeclined)
	case *event.Event_LateAnswer:
		return f.lateAnswer(b.LateAnswer)
	case *event.Event_PaymentUnknown:
		return f.paymentUnknown(b.PaymentUnknown)
	case *event.Event_QueryAttempted:
		return f.queryAttempted(b.QueryAttempted)
	}
	return nil
}

// purchase returns a purchase to change. from lists the states it may be in.
func (f *fold) purchase(id uint64, from ...string) (*Purchase, error) {
	p, err := f.find(id, from...)
	if err == nil {
		f.trail(id)
	}
	return p, err
}

// find is purchase for an event of which the row itself says where it stands in the journal.
func (f *fold) find(id uint64, from ...string) (*Purchase, error) {
	p := f.purchases.touch(id)
	if p == nil {
		return nil, fmt.Errorf("purchase %d does not exist", id)
	}
	if !slices.Contains(from, p.State) {
		return nil, fmt.Errorf("purchase %d is %s", id, p.State)
	}
	f.sign(p)
	return p, nil
}

// sign notes that the present event has changed p.
func (f *fold) sign(p *Purchase) {
	p.Seq, p.ChangedAt = f.seq, f.at
}

// hold writes the hold of p as it is now.
func (f *fold) hold(p *Purchase, state, cause string) {
	h := f.touched.holds[p.ID]
	if h == nil {
		h = new(Hold)
		f.touched.holds[p.ID] = h
	}
	*h = Hold{
		Purchase: p.ID, Month: p.Month, State: state, Cause: cause, Entitlement: p.Entitlement, Leaf: p.Leaf,
		Subsidy: p.Subsidy, TakenAt: p.ReservedAt, ExpiresAt: p.ExpiresAt, Seq: f.seq,
	}
	switch state {
	case HoldSpent: // also after a refund in part; a hold recorded by hand was spent when it was taken
		h.EndedAt = max(p.CapturedAt, p.ReservedAt)
	case HoldReleased:
		h.EndedAt = f.at
	}
}

func (f *fold) reserved(m *event.Reserved) error {
	if f.purchases.has(m.Purchase) {
		return fmt.Errorf("purchase %d is reserved twice", m.Purchase)
	}
	e, err := f.entitlement(m.Entitlement, EntitlementClaimed)
	if err != nil {
		return err
	}
	p := f.purchases.add(Purchase{
		ID: m.Purchase, Month: f.month.date, State: Reserved, Kind: KindSale, Channel: text(m.Channel), Caller: text(m.Caller),
		Merchant: text(m.Key.GetMerchant()), Terminal: text(m.Key.GetTerminal()), TerminalBatch: m.Key.GetBatch(),
		STAN: m.Key.GetStan(), ReserveBatch: m.Key.GetBatch(), ReserveSTAN: m.Key.GetStan(),
		OrderRef: text(m.Order), Amount: money.Amount(m.Payable), CardToken: []byte{},
	})
	p.ReservedIn = f.position
	p.subsidise(m, f.at)
	f.sign(p)
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

// subsidise enters what a reserve has decided, or an operator for a purchase that had no subsidy.
func (p *Purchase) subsidise(m *event.Reserved, at Instant) {
	p.Entitlement, p.Person, p.Category = m.Entitlement, octets(m.Person), text(m.Category)
	p.City, p.PayingCity, p.LocatedCity = text(m.City), text(m.PayingCity), text(m.LocatedCity)
	p.Barcode, p.SerialMask, p.SerialHash = text(m.Barcode), text(m.SerialMask), octets(m.Serial)
	p.Grade, p.Label, p.Attributes, p.OldItem = m.Grade, text(m.Label), texts(m.Attributes), text(m.OldItem)
	p.Price, p.Base, p.Payable = money.Amount(m.Price), money.Amount(m.Base), money.Amount(m.Payable)
	p.Subsidy, p.FromClaim, p.KeptPrice = money.Amount(m.Subsidy), money.Amount(m.FromClaim), money.Amount(m.Price)
	p.Leaf, p.PolicyVersion, p.Marks, p.ItemsBefore = text(m.Leaf), text(m.PolicyVersion), texts(m.Marks), m.ItemsBefore
	p.Funders, p.FunderParts = fundersOf(m.Parts)
	p.ReservedAt, p.ExpiresAt = at, Instant(m.ExpiresAt)
}

// fundersOf are the payers of a subsidy and the part of each, in fen.
func fundersOf(parts []*event.FundingPart) (payers []string, amounts []int64) {
	payers, amounts = make([]string, 0, len(parts)), make([]int64, 0, len(parts))
	for _, part := range parts {
		payers, amounts = append(payers, text(part.Payer)), append(amounts, part.Amount)
	}
	return payers, amounts
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
	var p *Purchase
	switch {
	case m.Ordinary && f.purchases.has(m.Purchase):
		return fmt.Errorf("purchase %d is there already", m.Purchase)
	case m.Ordinary:
		p = f.purchases.add(Purchase{
			ID: m.Purchase, Month: f.month.date, Kind: kindOf(m.Kind), Ordinary: true, Person: []byte{}, SerialHash: []byte{},
			Marks: []string{}, Attributes: []string{}, Funders: []string{}, FunderParts: []int64{},
			City: text(m.City), Channel: text(m.Channel), Merchant: text(m.Key.GetMerchant()),
			Terminal: text(m.Key.GetTerminal()), Price: money.Amount(m.Amount), Payable: money.Amount(m.Amount),
			KeptPrice: money.Amount(m.Amount),
		})
		f.sign(p)
	default:
		var err error
		if p, err = f.find(m.Purchase, Reserved); err != nil {
			return err
		}
	}
	p.State, p.SentAt, p.SentIn, p.Amount = Sent, f.at, f.position, money.Amount(m.Amount)
	p.TerminalBatch, p.STAN = m.Key.GetBatch(), m.Key.GetStan()
	p.Host, p.HostSTAN, p.RRN, p.Wallet = text(m.Host), m.HostStan, text(m.Rrn), m.Wallet
	p.CardMask, p.CardToken, p.EntryMode = text(m.Card.GetMask()), octets(m.Card.GetToken()), text(m.EntryMode)
	p.Reference = text(m.Reference)
	if m.Caller != "" {
		p.Caller = text(m.Caller)
	}
	return nil
}

func kindOf(k event.SaleKind) string {
	if k == event.SaleKind_SALE_KIND_UNSPECIFIED {
		return KindSale
	}
	return enum(k.String(), "SALE_KIND_")
}

func (f *fold) saleApproved(m *event.SaleApproved) error {
	p, err := f.find(m.Purchase, Sent, Unknown)
	if err != nil {
		return err
	}
	p.State, p.CapturedAt, p.EndedIn, p.QueryAt = Captured, f.at, f.position, 0
	p.Response, p.Approval = text(m.Answer.GetResponse()), text(m.Answer.GetApproval())
	p.ClearingDate = text(m.Answer.GetClearingDate())
	f.out.Captures = append(f.out.Captures, Capture{
		Purchase: p.ID, Month: f.month.date, Kind: p.Kind, Ordinary: p.Ordinary, City: p.City, Merchant: p.Merchant,
		Terminal: p.Terminal, Category: p.Category, Leaf: p.Leaf, Amount: p.Amount, Subsidy: p.Subsidy,
		Funders: p.Funders, FunderParts: p.FunderParts, Caller: p.Caller, Reference: p.Reference, Host: p.Host, RRN: p.RRN,
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
	p, err := f.find(m.Purchase, Sent, Unknown)
	if err != nil {
		return err
	}
	p.EndedIn = f.position
	p.State, p.DeclineCause, p.QueryAt = Declined, enum(m.Cause.String(), "DECLINE_CAUSE_"), 0
	p.Response = text(m.Answer.GetResponse())
	return f.release(p, Declined)
}

func (f *fold) lateAnswer(m *event.LateAnswer) error {
	p, err := f.purchase(m.Purchase, Sent, Unknown, Captured, Declined, Reversing, Reversed, Voiding, Voided, Refunding, Refunded)
	if err != nil {
		return err
	}
	if m.Operation == 0 {
		p.LateResponse, p.LateAt = text(m.Answer.GetResponse()), f.at
		return nil
	}
	o, err := f.operation(m.Operation)
	if err != nil {
		return err
	}
	o.LateResponse, o.LateAt = text(m.Answer.GetResponse()), f.at
	return nil
}

// paymentUnknown: a wallet has not said how it ended, and is asked. Nothing is released before it does.
func (f *fold) paymentUnknown(m *event.PaymentUnknown) error {
	if m.Operation != 0 {
		o, err := f.operation(m.Operation, OperationSent, OperationUnknown)
		if err != nil {
			return err
		}
		o.State, o.QueryAt = OperationUnknown, Instant(m.NextAt)
		return nil
	}
	p, err := f.purchase(m.Purchase, Sent)
	if err != nil {
		return err
	}
	p.State, p.QueryAt = Unknown, Instant(m.NextAt)
	return nil
}

func (f *fold) queryAttempted(m *event.QueryAttempted) error {
	if m.Operation != 0 {
		o, err := f.operation(m.Operation)
		if err != nil {
			return err
		}
		o.Queries, o.QueryAt = m.Attempt, Instant(m.NextAt)
		return nil
	}
	p, err := f.purchase(m.Purchase, Unknown)
	if err != nil {
		return err
	}
	p.Queries, p.QueryAt = m.Attempt, Instant(m.NextAt)
	return nil
}
