package drill

import (
	"fmt"
	"slices"

	"huanxin/switch/event"
)

func (b *Book) applyOperation(ev *event.Event) error {
	switch body := ev.Body.(type) {
	case *event.Event_VoidSent:
		m := body.VoidSent
		return b.operation(&Operation{
			ID: m.Operation, Purchase: m.Purchase, Void: true, Amount: m.Amount, RRN: m.Rrn, Host: m.Host, key: keyOf(m.Key),
		}, Voiding, Captured)
	case *event.Event_VoidApproved:
		return b.voided(body.VoidApproved.Operation)
	case *event.Event_VoidDeclined:
		o, err := b.turn(body.VoidDeclined.Operation, "declined", "sent", "unknown")
		if err != nil {
			return err
		}
		return b.become(o.Purchase, Captured, Voiding)
	case *event.Event_VoidReleased:
		return b.end(body.VoidReleased.Purchase, Voided, Voided)
	case *event.Event_RefundSent:
		m := body.RefundSent
		o := &Operation{ID: m.Operation, Purchase: m.Purchase, Amount: m.Amount, RRN: m.Rrn, Host: m.Host, key: keyOf(m.Key)}
		if m.Caller != "" {
			o.key = Key{}
		}
		return b.operation(o, Refunding, Captured, Refunding)
	case *event.Event_RefundUnknown:
		_, err := b.turn(body.RefundUnknown.Operation, "unknown", "sent")
		return err
	case *event.Event_RefundApproved:
		return b.refunded(body.RefundApproved)
	case *event.Event_RefundDeclined:
		o, err := b.turn(body.RefundDeclined.Operation, "declined", "sent", "unknown")
		if err != nil {
			return err
		}
		b.afterRefund(b.Purchases[o.Purchase])
	case *event.Event_EntitlementRestored:
		p, err := b.purchase(body.EntitlementRestored.Purchase)
		if err != nil {
			return err
		}
		if p.State != Refunded {
			return fmt.Errorf("the entitlement of purchase %d is restored while it is %s", p.ID, p.State)
		}
		b.freeGoods(p)
	}
	return nil
}

// operation begins a void or refund of a purchase that is in one of the states from.
func (b *Book) operation(o *Operation, to State, from ...State) error {
	if b.Operations[o.ID] != nil {
		return fmt.Errorf("operation %d begins twice", o.ID)
	}
	if err := b.become(o.Purchase, to, from...); err != nil {
		return err
	}
	o.State = "sent"
	b.Operations[o.ID] = o
	b.number(o.RRN, fmt.Sprintf("operation %d", o.ID))
	b.OperationsByRRN[o.RRN] = o
	p := b.Purchases[o.Purchase]
	p.operations = append(p.operations, o)
	if open := openRefunds(p); p.Refunded+open > p.Amount {
		b.Overspent = append(b.Overspent, fmt.Sprintf("purchase %d: %d fen given back and %d in refunds of %d paid",
			p.ID, p.Refunded, open, p.Amount))
	}
	if o.key == (Key{}) {
		return nil
	}
	if first, taken := b.saleOfKey[o.key]; taken {
		b.Duplicated = append(b.Duplicated, fmt.Sprintf("exchange %v was sent for purchases %d and %d", o.key, first, o.Purchase))
	}
	b.saleOfKey[o.key] = o.Purchase
	b.Sales[o.key] = Exchange{Purchase: o.Purchase, Operation: o.ID}
	if !o.Void {
		b.batch[o.key.Terminal] = append(b.batch[o.key.Terminal], item{purchase: o.Purchase, operation: o.ID})
	}
	return nil
}

// turn changes the state of an operation.
func (b *Book) turn(id uint64, to string, from ...string) (*Operation, error) {
	o := b.Operations[id]
	if o == nil || !slices.Contains(from, o.State) {
		return nil, fmt.Errorf("operation %d becomes %s but is not %s", id, to, from)
	}
	o.State = to
	return o, nil
}

// become changes the state of a purchase, and nothing of what it has.
func (b *Book) become(id uint64, to State, from ...State) error {
	p := b.Purchases[id]
	if p == nil || !slices.Contains(from, p.State) {
		return fmt.Errorf("purchase %d becomes %s but is not %s", id, to, from)
	}
	p.State = to
	return nil
}

// voided: what the purchase has is kept until VoidReleased.
func (b *Book) voided(operation uint64) error {
	o, err := b.turn(operation, "approved", "sent", "unknown")
	if err != nil {
		return err
	}
	if o.Approved++; o.Approved > 1 {
		b.Duplicated = append(b.Duplicated, fmt.Sprintf("void %d is approved twice", o.ID))
	}
	return b.become(o.Purchase, Voided, Voiding)
}

func openRefunds(p *Purchase) (sum int64) {
	for _, o := range p.operations {
		if !o.Void && (o.State == "sent" || o.State == "unknown") {
			sum += o.Amount
		}
	}
	return sum
}

func (b *Book) refunded(m *event.RefundApproved) error {
	o, err := b.turn(m.Operation, "approved", "sent", "unknown", "declined")
	if err != nil {
		return err
	}
	if o.Approved++; o.Approved > 1 {
		b.Duplicated = append(b.Duplicated, fmt.Sprintf("refund %d is approved twice", o.ID))
	}
	p := b.Purchases[o.Purchase]
	o.Returned = m.Returned
	p.Refunded += o.Amount
	if p.Refunded > p.Amount || m.Returned > p.Subsidy {
		b.Overspent = append(b.Overspent, fmt.Sprintf("purchase %d: refund %d leaves %d fen given back of %d, and returns %d of a subsidy of %d",
			p.ID, o.ID, p.Refunded, p.Amount, m.Returned, p.Subsidy))
	}
	sum := int64(0)
	for _, part := range m.Parts {
		sum += part.Amount
	}
	if sum != m.Returned {
		return fmt.Errorf("refund %d returns %d fen, its parts are %d", o.ID, m.Returned, sum)
	}
	if p.budget {
		b.giveBack(p, m.Returned)
	}
	p.Subsidy -= m.Returned
	b.afterRefund(p)
	if !m.Whole {
		return nil
	}
	if p.Refunded != p.Amount || p.Subsidy != 0 {
		b.Overspent = append(b.Overspent, fmt.Sprintf("purchase %d is refunded as a whole with %d of %d fen given back and a subsidy of %d left",
			p.ID, p.Refunded, p.Amount, p.Subsidy))
	}
	p.budget = false // there is nothing left of it; entitlement and serial number come free by EntitlementRestored
	return b.become(p.ID, Refunded, Captured)
}

// afterRefund: without a refund under way the purchase is captured again.
func (b *Book) afterRefund(p *Purchase) {
	if p.State == Refunding && openRefunds(p) == 0 {
		p.State = Captured
	}
}
