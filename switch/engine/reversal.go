package engine

import (
	"huanxin/internal/money"
	"huanxin/switch/event"
)

// reversal is a terminal's 0400: the answer to its sale was lost, the slip did not print, the card refused. It is
// normal, answered at once, and forwarded to the host.
func (e *Engine) reversal(in *ReversalRequest) {
	if _, code := e.identify(in.Original.Terminal, in.Original.Merchant); code != rc("00") {
		e.reply(Reply{Token: in.Token, Response: code})
		return
	}
	x, known := e.find(in.Original)
	if known && x.reversal != [2]byte{} { // repeated until answered
		e.reply(Reply{Token: in.Token, Response: x.reversal})
		return
	}
	if !known {
		e.answerReversal(in, 0, rc("25"))
		return
	}
	switch x.kind {
	case exchangeReserve:
		e.reverseReserve(in, e.purchases[x.purchase])
	case exchangeSale:
		e.reverseSale(in, e.purchases[x.purchase])
	case exchangeCancel: // giving back what was given back: nothing is left to do
		e.answerReversal(in, x.purchase, rc("00"))
	default: // refused: nothing was held or charged
		e.answerReversal(in, x.purchase, rc("12"))
	}
}

// answerReversal records the 0400 with its answer, which every repeat will get.
func (e *Engine) answerReversal(in *ReversalRequest, purchase uint64, code [2]byte) {
	e.emit(&event.Event{Body: &event.Event_ReversalAnswered{ReversalAnswered: &event.ReversalAnswered{
		Key: in.Original.event(), Content: bytesOf(in.Content), Purchase: purchase,
		Cause: string(in.Cause[:]), Response: string(code[:]),
	}}})
	r := Reply{Token: in.Token, Response: code}
	if p := e.purchases[purchase]; p != nil && p.reserved != nil {
		r.Hold = purchase
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
		e.answerReversal(in, p.id, rc("00"))
		e.expireIfReleased(p)
	case Cancelled, HoldExpired, Declined, Reversing, Reversed:
		e.answerReversal(in, p.id, rc("00"))
	default:
		e.answerReversal(in, p.id, rc("22"))
	}
}

func (e *Engine) reverseSale(in *ReversalRequest, p *purchase) {
	if in.Amount != money.Amount(p.sale.Amount) {
		e.reply(Reply{Token: in.Token, Response: rc("64")})
		return
	}
	switch p.state {
	case Sent:
		e.answerReversal(in, p.id, rc("00"))
		e.queueReversal(p, event.ReversalCause_REVERSAL_CAUSE_TERMINAL, string(in.Cause[:]), p.sale.Amount)
		e.expireIfReleased(p)
		e.answerWaiting(p)
	case Captured:
		if !e.reversible(p) {
			e.answerReversal(in, p.id, rc("22"))
			e.openWorkItem("reversal-late", p.id, 0, "22", "0400 after the batch, the clearing day or another financial message")
			return
		}
		e.answerReversal(in, p.id, rc("00"))
		e.queueReversal(p, event.ReversalCause_REVERSAL_CAUSE_TERMINAL, string(in.Cause[:]), p.sale.Amount)
		e.expireIfReleased(p)
	case Declined:
		e.answerReversal(in, p.id, rc("12"))
	default:
		e.answerReversal(in, p.id, rc("00"))
	}
}

// reversible: a captured sale can be reversed by its terminal in the same batch and clearing day, and before that
// terminal's next financial message. After that the goods may have left the shop.
func (e *Engine) reversible(p *purchase) bool {
	key := keyOf(p.sale.Key)
	t := e.session(key.Terminal)
	cutOver := laterDate(p.answer.ClearingDate, e.clearing[p.sale.Host]) && p.answer.ClearingDate != ""
	return t.batch == key.Batch && t.lastSale == p.id && !cutOver
}

func (e *Engine) applyReversalAnswered(m *event.ReversalAnswered) {
	key := keyOf(m.Key)
	x, ok := e.exchanges[key]
	if !ok || m.Purchase == 0 && (x.kind == exchangeSale || x.kind == exchangeReserve || x.kind == exchangeCancel) {
		// Unknown, or so old that it no longer counts.
		x = exchange{content: hash(m.Content), kind: exchangeTombstone}
	}
	x.reversal = rc(m.Response)
	e.remember(key, x)
}
