package projectiontest

import (
	"fmt"
	"maps"

	"huanxin/switch/event"
	"huanxin/switch/projection"
)

// openRefunds are those of p without an end, and what they would give back.
func (h *History) openRefunds(p *purchase) (open []*operation, sum int64) {
	for _, o := range p.refunds {
		if o.state == projection.OperationSent || o.state == projection.OperationUnknown {
			open = append(open, o)
			sum += o.amount
		}
	}
	return open, sum
}

// refund begins one over all that is left, or over a part of it.
func (h *History) refund(p *purchase) {
	_, sum := h.openRefunds(p)
	left := p.amount - p.refunded - sum
	if left <= 0 {
		return
	}
	if h.random.IntN(2) == 0 {
		left = 1 + h.random.Int64N(left)
	}
	o := h.begun(p, false, left)
	p.refunds = append(p.refunds, o)
	m := &event.RefundSent{
		Operation: o.id, Purchase: p.id, Amount: o.amount, Host: "unionpay", HostStan: 8, Rrn: fmt.Sprintf("8%011d", o.id),
		Deadline: h.at + 60e9, Card: &event.Card{Mask: "622424******0017", Token: hash(p.id % 7)},
		Activated: p.id%3 == 0, Wallet: p.wallet,
	}
	if p.id%4 == 0 {
		m.Caller, m.Reference = "shop-1", fmt.Sprint("back-", o.id)
	} else {
		m.Key = h.key(p, 2)
		m.Key.Stan += 600_000
	}
	h.State[p.id] = projection.Refunding
	h.emit(&event.Event{Body: &event.Event_RefundSent{RefundSent: m}})
}

func (h *History) afterRefund(p *purchase) {
	open, _ := h.openRefunds(p)
	o := open[h.random.IntN(len(open))]
	switch choice := h.random.IntN(8); {
	case choice == 0:
		h.refund(p)
	case choice == 1 && p.wallet:
		h.asked(o)
	case choice <= 2 && o.state == projection.OperationSent:
		h.emit(&event.Event{Body: &event.Event_RefundUnknown{RefundUnknown: &event.RefundUnknown{
			Operation: o.id, Purchase: p.id, ExpiresAt: h.at + 86400e9}}})
		o.state = projection.OperationUnknown
	case choice <= 3 && o.state == projection.OperationUnknown && o.item == 0:
		o.item = h.openItem(&event.WorkItemOpened{Kind: projection.ItemRefundUnknown, Purchase: p.id, Operation: o.id})
	case choice == 4:
		h.declineRefund(o)
	default:
		h.approveRefund(o)
	}
}

func (h *History) declineRefund(o *operation) {
	p := o.of
	m := &event.RefundDeclined{Operation: o.id, Purchase: p.id}
	if o.state == projection.OperationUnknown {
		m.By = h.by()
	} else {
		m.Answer, m.Cause = &event.HostAnswer{Response: "05"}, event.DeclineCause_DECLINE_CAUSE_HOST
	}
	h.emit(&event.Event{Body: &event.Event_RefundDeclined{RefundDeclined: m}})
	o.state = projection.OperationDeclined
	h.ended(o)
	if _, sum := h.openRefunds(p); h.random.IntN(3) == 0 && o.amount <= p.amount-p.refunded-sum { // the host has paid after all
		h.emit(&event.Event{Body: &event.Event_LateAnswer{LateAnswer: &event.LateAnswer{
			Purchase: p.id, Operation: o.id, Answer: &event.HostAnswer{Response: "00"}}}})
		h.approveRefund(o)
	}
}

// ended closes the dead letter of a refund and gives the purchase its state between refunds.
func (h *History) ended(o *operation) {
	delete(h.OpenItems, o.item)
	h.State[o.of.id] = projection.Captured
	if open, _ := h.openRefunds(o.of); len(open) > 0 {
		h.State[o.of.id] = projection.Refunding
	}
}

// approveRefund gives the payer the amount and the budget a part of the subsidy: central's
// first.
func (h *History) approveRefund(o *operation) {
	p := o.of
	paid := p.amount - p.refunded - o.amount
	m := &event.RefundApproved{
		Operation: o.id, Purchase: p.id, Answer: &event.HostAnswer{Response: "00", Approval: "654321"},
		Whole: paid == 0, KeptPrice: paid,
	}
	if o.state == projection.OperationUnknown && !p.wallet {
		m.By, m.Answer = h.by(), nil
	}
	if p.of != nil {
		m.Returned = p.subsidy
		if !m.Whole {
			m.Returned = h.random.Int64N(p.subsidy + 1)
		}
		central := min(p.parts["central"], m.Returned)
		m.Parts = []*event.FundingPart{{Payer: "central", Amount: central}, {Payer: "local", Amount: m.Returned - central}}
		for _, part := range m.Parts {
			p.parts[part.Payer] -= part.Amount
		}
		h.Posted[p.id] = maps.Clone(p.parts)
		p.subsidy -= m.Returned
		h.Spent[p.leaf] -= m.Returned
		h.giveUp(p.leaf, m.Returned)
		if m.Whole && h.random.IntN(3) > 0 {
			m.Restores, m.RestoreAt = true, h.at+1
			p.restores = true
		}
	}
	p.refunded += o.amount
	h.givenBack(p, o.amount)
	h.emit(&event.Event{Body: &event.Event_RefundApproved{RefundApproved: m}})
	o.state = projection.OperationApproved
	if h.ended(o); m.Whole {
		h.State[p.id] = projection.Refunded
	}
}

// restore gives the entitlement of a refunded purchase back.
func (h *History) restore(p *purchase) {
	if !p.restores {
		h.aside(p)
		return
	}
	p.restores = false
	p.of.state = projection.EntitlementClaimed
	h.emit(&event.Event{Body: &event.Event_EntitlementRestored{EntitlementRestored: &event.EntitlementRestored{
		Purchase: p.id, Entitlement: p.of.id}}})
}

// supplement records a subsidy by hand for a purchase that has none.
func (h *History) supplement(p *purchase) {
	for _, e := range h.entitlements {
		if e.state != projection.EntitlementClaimed {
			continue
		}
		p.of, p.subsidy = e, 100+h.random.Int64N(2000_00-100)
		h.Held[e.leaf] -= e.reserved
		if e.reserved > 0 {
			p.subsidy = min(p.subsidy, e.reserved)
			p.leaf, p.fromClaim = e.leaf, p.subsidy
			h.giveUp(e.leaf, e.reserved-p.subsidy)
		} else {
			p.leaf = h.leaf()
		}
		h.Spent[p.leaf] += p.subsidy
		e.reserved, e.state = 0, projection.EntitlementUsed
		h.Supplements++
		h.ManualSubsidy += p.subsidy
		facts := h.facts(p, e)
		facts.Price, facts.Payable = p.amount, p.amount
		h.Posted[p.id] = maps.Clone(p.parts)
		h.emit(&event.Event{Body: &event.Event_Supplemented{Supplemented: &event.Supplemented{
			Facts: facts, CaseId: "case-1", Evidence: "invoice-7", By: h.by()}}})
		return
	}
}
