package engine

import (
	"math"
	"time"

	"huanxin/internal/money"
	"huanxin/internal/mutant"
	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/reason"
	"huanxin/switch/event"
)

// refund is 0220: money goes back to the card that paid, on the day of the sale or later, as a whole or in part. It is
// never reversed: what a host has paid back is gone. So a refund without an answer stays open, and with it the locks on
// entitlement, serial and payout, until the host or the clearing tells.
func (e *Engine) refund(in *RefundRequest) {
	if !e.admitGivingBack(in.Token, in.Key, in.Content, exchangeRefund, exchangeRefusedSale) {
		return
	}
	e.advance(in.Key)
	p, code, why := e.judgeTillRefund(in)
	if code != rc("00") {
		e.refuseRequest(in.Token, in.Key, &event.SaleRefused{
			Content: bytesOf(in.Content), Purchase: idOf(p), Response: string(code[:]), Reason: uint32(why), Amount: int64(in.Amount),
			Request: "refund",
		})
		return
	}
	o := e.sendRefund(p, &event.RefundSent{
		Key: in.Key.event(), Content: bytesOf(in.Content), Amount: int64(in.Amount), Card: in.Card, Activated: in.Activated,
	})
	e.wait(waitOperation(o.id), waiter{token: in.Token})
	e.sendOperation(HostRefund, in.Token, p, o)
}

// sendRefund decides that a refund goes to the host of its purchase.
func (e *Engine) sendRefund(p *purchase, m *event.RefundSent) *operation {
	m.Operation, m.Purchase, m.Host, m.Wallet = e.lastOperation+1, p.id, p.sale.Host, p.sale.Wallet
	m.HostStan, m.Rrn, m.TransmittedAt = hostSTAN(e.hostCounter+1), hostRRN(e.now, e.hostCounter+1), e.now
	m.Deadline = e.now + int64(e.profile(p.sale.Host).Timeout)
	e.emit(&event.Event{Body: &event.Event_RefundSent{RefundSent: m}})
	return e.operation(m.Operation)
}

// judgeTillRefund adds to judgeRefund what a terminal must prove: that it knows the sale, and that the money goes back to
// the card that paid. DE61 has no year: that of the record counts.
func (e *Engine) judgeTillRefund(in *RefundRequest) (*purchase, [2]byte, reason.Code) {
	p := e.original(in.Key, in.RRN, Original{})
	if p == nil {
		return nil, rc("25"), reason.None
	}
	sold := keyOf(p.sale.Key)
	if sold.Merchant != in.Key.Merchant {
		return nil, rc("25"), reason.None
	}
	if in.Original.Batch != sold.Batch || in.Original.STAN != sold.STAN || in.Original.Date != "" && in.Original.Date != p.soldOn() {
		return nil, rc("25"), reason.OriginalMismatch
	}
	if code, why := e.judgeRefund(p, in.Amount); code != rc("00") {
		return p, code, why
	}
	if !sameCard(p.sale.Card, in.Card) {
		return p, rc("14"), reason.NotOriginalCard
	}
	return p, rc("00"), reason.None
}

// soldOn is the date of the sale as its slip shows it, MMDD: the network's DE13, else the switch's.
func (p *purchase) soldOn() string {
	if p.answer != nil && isMMDD(p.answer.LocalDate) {
		return p.answer.LocalDate
	}
	return time.Unix(0, p.sale.TransmittedAt).In(china).Format("0102")
}

// judgeRefund says whether so much of a purchase may be given back now.
func (e *Engine) judgeRefund(p *purchase, amount money.Amount) ([2]byte, reason.Code) {
	if k := p.sale.Kind; k != event.SaleKind_SALE_KIND_UNSPECIFIED && k != event.SaleKind_SALE_KIND_COMPLETION {
		return rc("12"), reason.OriginalNotCaptured
	}
	if code, why := e.judgeOriginal(p); code != rc("00") {
		return code, why
	}
	rule := e.saleRule(p)
	if rule != nil && !rule.Refund.Open(p.sale.TransmittedAt, e.now) {
		return rc("22"), reason.RefundClosed
	}
	open, _ := e.openRefunds(p)
	if mutant.RefundInFlightNotCounted {
		open = 0
	}
	left := money.Amount(p.sale.Amount) - p.refunded - open
	switch {
	case amount <= 0:
		return rc("13"), reason.None
	case amount > left:
		return rc("64"), reason.RefundExceeds
	case amount < money.Amount(p.sale.Amount) && p.reserved != nil:
		if rule == nil || !rule.Refund.Partial || len(p.reserved.fact().Components) > 0 {
			return rc("64"), reason.RefundWholeOnly
		}
		if _, _, ok := e.kept(p, left-amount); !ok {
			return rc("64"), reason.RefundWholeOnly
		}
	}
	if p.sale.Host != ExternalHost && !e.reachable(p.sale.Host) {
		return rc("92"), reason.None
	}
	return rc("00"), reason.None
}

// saleRule is the rule under which a purchase was subsidised, nil for an ordinary one.
func (e *Engine) saleRule(p *purchase) *policy.Rule {
	if p.reserved == nil || e.policy == nil {
		return nil
	}
	r := p.reserved.fact()
	return e.policy.Rule(r.PolicyVersion, r.City, r.Channel, r.Category, text([]byte(r.Key.GetMerchant())))
}

// kept is what a subsidised purchase keeps when paid is all that the payer has still paid: the price of it, and the
// subsidy that the policy of the sale gives for that. ok is false when the policy has no price for it.
func (e *Engine) kept(p *purchase, paid money.Amount) (price, subsidy money.Amount, ok bool) {
	if paid == 0 {
		return 0, 0, true
	}
	rule := e.saleRule(p)
	if rule == nil {
		return 0, 0, false
	}
	r := p.reserved.fact()
	q := policy.Request{Price: money.Amount(r.Price), Grade: uint8(r.Grade), Label: catalogue.Label(r.Label), OldItem: r.OldItem}
	for _, text := range r.Attributes {
		if a, err := catalogue.ParseAttributes(text); err == nil {
			q.Attributes = append(q.Attributes, a...)
		}
	}
	if r.Label == "" { // a reserve of a version that did not write the product down
		if product := e.catalogue.Get(r.Barcode); product != nil {
			q.Grade, q.Label, q.Attributes = product.Grade, product.Label, product.Attributes
		}
	}
	if p.manual { // the payer has paid the price itself
		q.Price = paid
		return paid, money.Min(p.subsidy, rule.Recompute(&q)), true
	}
	return rule.Kept(&q, money.Amount(r.Subsidy), paid)
}

// approveRefund enters what a refund has given back. What the purchase keeps of its subsidy is computed now, when it is
// certain which refunds have come through: old minus new goes back to the budget.
func (e *Engine) approveRefund(o *operation, a *event.HostAnswer, by *event.Authority) {
	m := e.approval(o, a, by)
	e.emit(&event.Event{Body: &event.Event_RefundApproved{RefundApproved: m}})
	e.afterApproval(m)
}

// afterApproval gives the entitlement back at once where the policy says so.
func (e *Engine) afterApproval(m *event.RefundApproved) {
	if m.Restores && m.RestoreAt <= e.now {
		e.restoreEntitlement(e.purchase(m.Purchase))
	}
}

func (e *Engine) approval(o *operation, a *event.HostAnswer, by *event.Authority) *event.RefundApproved {
	p := e.purchase(o.purchase)
	paid := money.Amount(p.sale.Amount) - p.refunded - o.amount()
	m := &event.RefundApproved{Operation: o.id, Purchase: p.id, Answer: a, Whole: paid == 0, By: by}
	if p.reserved != nil {
		price, keeps, ok := e.kept(p, paid)
		if !ok { // the refund before it left a rest that no price explains: nothing is subsidised that cannot be shown
			price, keeps = paid, 0
		}
		keeps = money.Min(keeps, p.subsidy)
		m.Returned, m.KeptPrice = int64(p.subsidy-keeps), int64(price)
		m.Parts = e.splitReturned(p, p.subsidy-keeps)
		if m.Whole {
			m.RestoreAt, m.Restores = e.restoredAt(p, o.refund.Activated)
		}
	}
	return m
}

// splitReturned takes what goes back from the payers in proportion to what each of them still pays, so that nobody gets
// back more than that.
func (e *Engine) splitReturned(p *purchase, returned money.Amount) []*event.FundingPart {
	if returned == 0 {
		return nil
	}
	weights := make([]int64, len(p.parts))
	for i, part := range p.parts {
		weights[i] = int64(part)
	}
	amounts, err := returned.Split(nil, weights)
	if err != nil {
		panic("split of a returned subsidy: " + err.Error())
	}
	payers := p.reserved.fact().Parts
	var parts []*event.FundingPart
	for i, amount := range amounts {
		parts = append(parts, &event.FundingPart{Payer: payers[i].Payer, Amount: int64(amount)})
	}
	return parts
}

// restoredAt is when the person may use the entitlement of a refunded purchase again, by the policy of the sale. Where the
// policy has lost the rule, on the next day.
func (e *Engine) restoredAt(p *purchase, activated bool) (int64, bool) {
	rule := e.saleRule(p)
	refund := policy.RefundRule{SameDay: policy.NextDay, Later: policy.NextDay, Activated: policy.Never}
	if rule != nil {
		refund = rule.Refund
	}
	at, ok := refund.RestoredAt(p.sale.TransmittedAt, e.now, activated)
	if at == math.MaxInt64 {
		at = 0
	}
	return at, ok
}

func (e *Engine) restoreEntitlement(p *purchase) {
	e.emit(&event.Event{Body: &event.Event_EntitlementRestored{EntitlementRestored: &event.EntitlementRestored{
		Purchase: p.id, Entitlement: p.reserved.Entitlement,
	}}})
	e.expireIfReleased(p)
}

func (e *Engine) restoreDue(id uint64, at int64) {
	if p := e.purchase(id); p != nil && p.locked && p.restoreAt == at {
		e.restoreEntitlement(p)
	}
}

func (e *Engine) declineRefund(o *operation, a *event.HostAnswer, cause event.DeclineCause, by *event.Authority) {
	e.emit(&event.Event{Body: &event.Event_RefundDeclined{RefundDeclined: &event.RefundDeclined{
		Operation: o.id, Purchase: o.purchase, Answer: a, Cause: cause, By: by,
	}}})
}

// refundExpired: the clearing cut-off of a refund without an answer has come. Only the clearing file can tell now.
func (e *Engine) refundExpired(id uint64, at int64) {
	o := e.operation(id)
	if o == nil || o.state != opUnknown || o.expiresAt != at || o.item != 0 {
		return
	}
	e.openOperationItem(itemRefundUnknown, o, "", "no answer by the clearing cut-off: settle it from the clearing file")
}

// itemRefundUnknown is the kind of the work item by which a refund becomes a dead letter.
const itemRefundUnknown = "refund-unknown"

func (e *Engine) applyRefundSent(m *event.RefundSent) {
	o := &operation{id: m.Operation, purchase: m.Purchase, refund: m}
	p := e.begin(o, m.Key, m.Content, exchangeRefund)
	o.kept = p.subsidy
	e.move(p, Refunding, Captured, Refunding)
}

func (e *Engine) applyRefundApproved(m *event.RefundApproved) {
	o, p := e.mustOperation(m.Operation)
	e.turn(o, opApproved, opSent, opUnknown, opDeclined)
	e.closeRefundItem(o)
	o.answer, o.returned = m.Answer, money.Amount(m.Returned)
	e.cleared(p.sale.Host, m.Answer.GetClearingDate())
	p.refunded += o.amount()
	if h, ok := p.hold(); ok {
		e.book.GiveBack(h, o.returned)
		e.count(p, -o.returned)
		p.subsidy -= o.returned
		p.returned += o.returned
		for i, part := range m.Parts {
			p.parts[i] -= money.Amount(part.Amount)
		}
	}
	o.kept = p.subsidy
	e.afterRefund(p)
	if !m.Whole {
		return
	}
	e.move(p, Refunded, Captured)
	if p.reserved == nil {
		return
	}
	p.locked, p.restoreAt = true, 0
	e.track(p)
	if m.Restores {
		p.restoreAt = m.RestoreAt
		e.remind(deadline{at: m.RestoreAt, id: p.id, kind: restoreDeadline})
	}
}

// afterRefund: without an open refund the purchase is captured again.
func (e *Engine) afterRefund(p *purchase) {
	if _, n := e.openRefunds(p); n == 0 && p.state == Refunding {
		e.move(p, Captured, Refunding)
	}
	p.changed = e.now
}

func (e *Engine) applyRefundDeclined(m *event.RefundDeclined) {
	o, p := e.mustOperation(m.Operation)
	e.turn(o, opDeclined, opSent, opUnknown)
	e.closeRefundItem(o)
	o.answer, o.kept = m.Answer, p.subsidy
	e.afterRefund(p)
}

func (e *Engine) applyRefundUnknown(m *event.RefundUnknown) {
	o, _ := e.mustOperation(m.Operation)
	e.turn(o, opUnknown, opSent)
	o.expiresAt = m.ExpiresAt
	e.remind(deadline{at: m.ExpiresAt, id: o.id, kind: refundExpiry})
}

func (e *Engine) applyEntitlementRestored(m *event.EntitlementRestored) {
	p := e.mustPurchase(m.Purchase)
	h, _ := p.hold()
	e.book.Free(h)
	p.locked, p.restoreAt, p.changed = false, 0, e.now
	e.track(p)
}
