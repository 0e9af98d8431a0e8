package engine

import (
	"cmp"
	"fmt"

	"huanxin/internal/money"
	"huanxin/switch/event"
)

// operation is a void or a refund of a captured purchase: an exchange of its own with the host that charged it.
//
//	sent ─▶ approved            a refund, and a void that stands
//	  │  └▶ declined
//	  ├──▶ reversing ─▶ reversed   a void without an answer, or one that its terminal takes back; also from approved
//	  └──▶ unknown ─▶ approved | declined   a refund without an answer; at a wallet a void too
type operation struct {
	id       uint64
	purchase uint64
	void     *event.VoidSent // one of the two
	refund   *event.RefundSent
	state    operationState
	leg
	changed   int64
	returned  money.Amount // refund: of the subsidy, to the budget
	kept      money.Amount // refund: the subsidy that was left when it ended; when it was sent, while it has not
	expiresAt int64        // unknown refund: clearing cut-off, 0 = none
	queryAt   int64        // unknown, at a wallet: when it is asked next
	queries   uint32
	item      uint64 // unknown refund past its cut-off: the dead letter, an open work item; follows from the items
}

type operationState uint8

const (
	opSent operationState = iota + 1
	opApproved
	opDeclined
	opUnknown
	opReversing
	opReversed
)

var operationStateNames = [...]string{"", "sent", "approved", "declined", "unknown", "reversing", "reversed"}

func (s operationState) String() string { return operationStateNames[s] }

// request is what every request to a host is made of: the facts SaleSent, VoidSent and RefundSent.
type request interface {
	GetHost() string
	GetHostStan() uint32
	GetRrn() string
	GetTransmittedAt() int64
	GetDeadline() int64
	GetAmount() int64
	GetKey() *event.ExchangeKey
	GetCard() *event.Card
}

func (o *operation) request() request {
	if o.void != nil {
		return o.void
	}
	return o.refund
}

func (o *operation) amount() money.Amount { return money.Amount(o.request().GetAmount()) }

// atWallet reports whether the operation's host is a wallet.
func (e *Engine) atWallet(o *operation) bool { return e.purchase(o.purchase).sale.Wallet }

// requestOf and legOf are the request and its leg that a reversal or an answer is about: the sale's, or an operation's.
func (e *Engine) requestOf(p *purchase, id uint64) request {
	if o := e.operation(id); o != nil {
		return o.request()
	}
	return p.sale
}

func (e *Engine) legOf(p *purchase, id uint64) *leg {
	if o := e.operation(id); o != nil {
		return &o.leg
	}
	return &p.leg
}

// turn changes the state of an operation, as move does that of a purchase.
func (e *Engine) turn(o *operation, to operationState, from ...operationState) {
	for _, s := range from {
		if o.state == s {
			o.state, o.changed = to, e.now
			e.trackOperation(o, s)
			return
		}
	}
	panic(fmt.Sprintf("operation %d cannot go from %s to %s", o.id, o.state, to))
}

// isUnsettled reports whether the host has not said how the operation ended.
func (o *operation) isUnsettled() bool { return o.state == opSent || o.state == opUnknown }

// trackOperation keeps the set of what has no end, and the count of what is unknown, in step with an operation that was in
// another state before, 0 for none.
func (e *Engine) trackOperation(o *operation, before operationState) {
	put(e.unsettled, o.id, o.isUnsettled())
	if before == opUnknown {
		e.unknown--
	}
	if o.state == opUnknown {
		e.unknown++
	}
}

// openRefunds is what refunds without an end would give back, and how many there are.
func (e *Engine) openRefunds(p *purchase) (sum money.Amount, n int) {
	for _, id := range p.operations {
		if o := e.operation(id); o.refund != nil && (o.state == opSent || o.state == opUnknown) {
			sum += o.amount()
			n++
		}
	}
	return sum, n
}

// voidInReversal reports whether a void of the purchase is being taken back at the host: until that has ended nothing
// else may be done to the charge.
func (e *Engine) voidInReversal(p *purchase) bool {
	for _, id := range p.operations {
		if o := e.operation(id); o.void != nil && o.state == opReversing {
			return true
		}
	}
	return false
}

// begin enters a new operation: its facts, its place among what hosts echo, and its key.
func (e *Engine) begin(o *operation, key *event.ExchangeKey, content []byte, kind exchangeKind) *purchase {
	if o.id != e.lastOperation+1 {
		panic(fmt.Sprintf("operation %d is sent, the last was %d", o.id, e.lastOperation))
	}
	p := e.mustPurchase(o.purchase)
	e.lastOperation = o.id
	o.state, o.changed = opSent, e.now
	e.purchases.addOperation(o)
	e.trackOperation(o, 0)
	p.operations = append(p.operations, o.id)
	e.hostCounter++
	if key.GetTerminal() != "" {
		k := keyOf(key)
		t := e.touch(k.Terminal)
		t.last, t.passed = target{purchase: p.id, operation: o.id}, false
		if o.refund != nil {
			t.items = append(t.items, t.last)
		}
		e.remember(k, exchange{content: hash(content), kind: kind, purchase: p.id, operation: o.id})
	}
	e.remind(deadline{at: o.request().GetDeadline(), id: o.id, kind: operationDeadline})
	return p
}

// operationAnswered is the answer of a host to a void or refund.
func (e *Engine) operationAnswered(o *operation, a *event.HostAnswer, pending bool) {
	switch {
	case o.state != opSent && o.state != opUnknown:
		if !pending {
			e.lateOperation(o, a)
		}
		return
	case pending:
		if o.state == opSent {
			e.payUnknown(o.purchase, o.id)
		}
		return
	case isApproved(a.Response) && a.Amount != 0 && a.Amount != int64(o.amount()), a.Response == "10":
		e.answeredOtherwise(o, a)
		return
	case o.void != nil && isApproved(a.Response):
		e.emit(&event.Event{Body: &event.Event_VoidApproved{VoidApproved: &event.VoidApproved{
			Operation: o.id, Purchase: o.purchase, Answer: a, QuarantineAt: e.now + quarantine,
		}}})
	case o.void != nil:
		e.declineVoid(o, a, event.DeclineCause_DECLINE_CAUSE_HOST)
	case isApproved(a.Response):
		e.approveRefund(o, a, nil)
	default:
		e.declineRefund(o, a, event.DeclineCause_DECLINE_CAUSE_HOST, nil)
	}
	e.answerWaiting(waitOperation(o.id))
}

// answeredOtherwise: the host has given back another amount than it was asked for. Nothing that the rules know follows from
// that. A void is taken back; a refund waits for a person as a dead letter, and nobody is asked about it any more.
func (e *Engine) answeredOtherwise(o *operation, a *event.HostAnswer) {
	if o.item != 0 {
		return
	}
	detail := fmt.Sprintf("asked for %s, answered %s over %s", o.amount(), a.Response, money.Amount(a.Amount))
	if o.void != nil {
		e.openOperationItem("void-amount", o, a.Response, detail+"; the void is reversed")
		e.queueReversal(e.purchase(o.purchase), &event.ReversalQueued{
			Operation: o.id, Cause: event.ReversalCause_REVERSAL_CAUSE_PARTIAL, Reason: "98", Amount: cmp.Or(a.Amount, int64(o.amount())),
		})
	} else {
		if o.state == opSent {
			e.emit(&event.Event{Body: &event.Event_RefundUnknown{RefundUnknown: &event.RefundUnknown{
				Operation: o.id, Purchase: o.purchase, ExpiresAt: e.expiry(o.refund.Host, "", o.refund.TransmittedAt),
			}}})
		}
		e.openOperationItem(itemRefundUnknown, o, a.Response, detail)
	}
	e.answerWaiting(waitOperation(o.id))
}

// lateOperation: the host speaks of a void or refund that has ended, or speaks twice. A void that has taken effect
// although the purchase is captured again is reversed once more. A refund cannot be taken back: what the payer has got
// is entered.
func (e *Engine) lateOperation(o *operation, a *event.HostAnswer) {
	same := o.answer != nil && o.answer.Response == a.Response && o.answer.Approval == a.Approval
	e.emit(&event.Event{Body: &event.Event_LateAnswer{LateAnswer: &event.LateAnswer{
		Purchase: o.purchase, Operation: o.id, Answer: a, Repeated: same,
	}}})
	done := isApproved(a.Response)
	p := e.purchase(o.purchase)
	switch {
	case o.state == opApproved && !done:
		e.openOperationItem("answers-differ", o, a.Response, "approved, then answered otherwise")
	case o.void != nil && done && (o.state == opDeclined || o.state == opReversed && o.undone != rc("00")):
		e.openOperationItem("late-void", o, a.Response, "the void took effect after the switch had given it up; reversed once more")
		e.undoVoid(o, event.ReversalCause_REVERSAL_CAUSE_LATE_APPROVAL, "98", nil)
	case o.refund != nil && done && o.state == opDeclined:
		e.openOperationItem("late-refund", o, a.Response, "the payer was given back what had been declined before")
		open, _ := e.openRefunds(p)
		if (p.state == Captured || p.state == Refunding) && o.amount() <= money.Amount(p.sale.Amount)-p.refunded-open {
			e.approveRefund(o, a, nil)
		}
	}
}

// operationDue: no answer in time. A void is taken back, for the purchase is known to be captured then; a refund is never
// taken back, it waits until the host or the clearing tells. A wallet is asked.
func (e *Engine) operationDue(id uint64, at int64) {
	o := e.operation(id)
	if o == nil || o.request().GetDeadline() != at || o.state != opSent && o.state != opUnknown {
		return
	}
	if o.state == opSent {
		e.giveUpOperation(o, event.ReversalCause_REVERSAL_CAUSE_TIMEOUT)
	}
	e.answerWaiting(waitOperation(o.id))
}

func (e *Engine) giveUpOperation(o *operation, cause event.ReversalCause) {
	switch {
	case e.atWallet(o):
		e.payUnknown(o.purchase, o.id)
	case o.void != nil:
		e.undoVoid(o, cause, "98", nil)
	default:
		e.emit(&event.Event{Body: &event.Event_RefundUnknown{RefundUnknown: &event.RefundUnknown{
			Operation: o.id, Purchase: o.purchase, ExpiresAt: e.expiry(o.refund.Host, "", o.refund.TransmittedAt),
		}}})
	}
}

// operationUnsent: the request certainly never left.
func (e *Engine) operationUnsent(o *operation) {
	if o.state != opSent {
		return
	}
	a := &event.HostAnswer{Response: "91"}
	if o.void != nil {
		e.declineVoid(o, a, event.DeclineCause_DECLINE_CAUSE_NOT_SENT)
	} else {
		e.declineRefund(o, a, event.DeclineCause_DECLINE_CAUSE_NOT_SENT, nil)
	}
	e.answerWaiting(waitOperation(o.id))
}

// replyOperation answers a till's void or refund as it stands.
func (e *Engine) replyOperation(token Token, o *operation) {
	p := e.purchase(o.purchase)
	r := Reply{Token: token, RRN: o.request().GetRrn(), Answer: o.answer}
	switch {
	case o.answer != nil:
		r.Response = rc(o.answer.Response)
	case o.state == opApproved: // told by clearing or an operator
		r.Response = rc("00")
	case o.state == opDeclined:
		r.Response = rc("12")
	case o.refund != nil || o.state == opUnknown:
		r.Response, r.Reasons = rc("68"), pending
		if o.refund != nil && !e.atWallet(o) {
			r.Response = rc("98")
		}
	default:
		r.Response = rc("98")
	}
	if p.reserved != nil && !p.manual {
		e.fillSubsidy(&r, p)
		r.ExpiresAt = 0
	}
	if o.refund != nil && o.state == opApproved {
		r.Refund = &RefundView{Amount: o.amount(), Returned: o.returned, Kept: o.kept}
	}
	if o.refund != nil && p.reserved != nil {
		r.Subsidy = o.kept
	}
	e.reply(r)
}

func (e *Engine) openOperationItem(kind string, o *operation, response, detail string) {
	e.openItem(&event.WorkItemOpened{Kind: kind, Purchase: o.purchase, Operation: o.id, Response: response, Detail: detail})
}
