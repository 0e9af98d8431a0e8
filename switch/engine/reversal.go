package engine

import (
	"huanxin/internal/money"
	"huanxin/subsidy/reason"
	"huanxin/switch/event"
)

// reversal is a terminal's 0400: the answer to its sale was lost, the slip did not print, the card refused. It is
// normal, answered at once, and forwarded to the host.
func (e *Engine) reversal(in *ReversalRequest) {
	if !e.recognised(in.Token, in.Original) {
		return
	}
	x, known := e.find(in.Original)
	if known && x.reversal != [2]byte{} { // repeated until answered
		e.replyReversal(in.Token, x)
		return
	}
	if !known {
		e.answerReversal(in, 0, 0, rc("25"))
		return
	}
	switch x.kind {
	case exchangeReserve:
		e.reverseReserve(in, e.purchase(x.purchase))
	case exchangeSale:
		e.reverseSale(in, e.purchase(x.purchase))
	case exchangeVoid:
		e.reverseVoid(in, e.operation(x.operation))
	case exchangeCancel: // giving back what was given back: nothing is left to do
		e.answerReversal(in, x.purchase, 0, rc("00"))
	default: // refused, or a refund or question: nothing was held or charged, and what was paid back is gone
		e.answerReversal(in, x.purchase, x.operation, rc("12"))
	}
}

// answerReversal records the 0400 with its answer, which every repeat will get.
func (e *Engine) answerReversal(in *ReversalRequest, purchase, operation uint64, code [2]byte) {
	e.emit(&event.Event{Body: &event.Event_ReversalAnswered{ReversalAnswered: &event.ReversalAnswered{
		Key: in.Original.event(), Content: bytesOf(in.Content), Purchase: purchase,
		Cause: string(in.Cause[:]), Response: string(code[:]),
	}}})
	e.replyReversal(in.Token, exchange{reversal: code, purchase: purchase, operation: operation})
}

// replyReversal answers a 0400 as it was answered first.
func (e *Engine) replyReversal(token Token, x exchange) {
	r := Reply{Token: token, Response: x.reversal}
	if p := e.purchase(x.purchase); p != nil && p.reserved != nil && !p.manual {
		r.Hold = p.id
	}
	o := e.operation(x.operation)
	switch {
	case x.reversal == rc("22"):
		r.Reasons = []reason.Code{reason.ReversalTooLate}
	case x.reversal == rc("12") && o != nil && o.refund != nil:
		r.Reasons = []reason.Code{reason.RefundNotReversible}
	}
	e.reply(r)
}

// reverseReserve: the answer to a reserve was lost, so the till does not know its hold. It is given back, unless a sale
// already rides on it.
func (e *Engine) reverseReserve(in *ReversalRequest, p *purchase) {
	if in.Amount != money.Amount(p.reserved.Price) {
		e.reply(Reply{Token: in.Token, Response: rc("64")})
		return
	}
	switch p.state {
	case Reserved:
		e.emit(&event.Event{Body: &event.Event_HoldCancelled{HoldCancelled: &event.HoldCancelled{
			Purchase: p.id, Cause: event.CancelCause_CANCEL_CAUSE_REVERSAL, Key: in.Original.event(), Content: bytesOf(in.Content),
		}}})
		e.answerReversal(in, p.id, 0, rc("00"))
		e.expireIfReleased(p)
	case Cancelled, HoldExpired, Declined, Reversing, Reversed:
		e.answerReversal(in, p.id, 0, rc("00"))
	default:
		e.answerReversal(in, p.id, 0, rc("22"))
	}
}

func (e *Engine) reverseSale(in *ReversalRequest, p *purchase) {
	if in.Amount != money.Amount(p.sale.Amount) {
		e.reply(Reply{Token: in.Token, Response: rc("64")})
		return
	}
	switch p.state {
	case Sent, Unknown:
		e.takeBack(in, p)
		e.answerWaiting(waitPurchase(p.id))
	case Captured, Voiding, Voided, Refunding, Refunded:
		if p.state != Captured || !e.reversible(p) {
			e.answerReversal(in, p.id, 0, rc("22"))
			e.openWorkItem("reversal-late", p.id, 0, "22", "0400 after the batch, the clearing day or another financial message")
			return
		}
		e.takeBack(in, p)
	case Declined:
		e.answerReversal(in, p.id, 0, rc("12"))
	default:
		e.answerReversal(in, p.id, 0, rc("00"))
	}
}

// takeBack answers 00 and tells the host. What a wallet payment holds is let go when the wallet has confirmed.
func (e *Engine) takeBack(in *ReversalRequest, p *purchase) {
	e.answerReversal(in, p.id, 0, rc("00"))
	e.queueReversal(p, &event.ReversalQueued{
		Cause: event.ReversalCause_REVERSAL_CAUSE_TERMINAL, Reason: string(in.Cause[:]), Amount: p.sale.Amount,
		KeepsHold: p.sale.Wallet,
	})
	e.expireIfReleased(p)
}

// reversible: a captured sale can be reversed by its terminal in the same batch and clearing day, and before that
// terminal's next financial message. After that the goods may have left the shop. Of what has been refunded, at whatever
// terminal, nothing can be reversed: the whole would be given back on top of the part.
func (e *Engine) reversible(p *purchase) bool {
	key := keyOf(p.sale.Key)
	t := e.session(key.Terminal)
	return t.batch == key.Batch && t.last == target{purchase: p.id} && !t.passed && p.refunded == 0 && !e.cutOver(p)
}

func (e *Engine) applyReversalAnswered(m *event.ReversalAnswered) {
	key := keyOf(m.Key)
	x, ok := e.exchanges.get(key)
	if !ok || m.Purchase == 0 && x.purchase != 0 { // unknown, or so old that it no longer counts
		x = exchange{content: hash(m.Content), kind: exchangeTombstone}
	}
	x.reversal = rc(m.Response)
	e.remember(key, x)
}
