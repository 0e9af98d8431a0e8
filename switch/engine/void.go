package engine

import (
	"slices"
	"time"

	"huanxin/internal/money"
	"huanxin/internal/mutant"
	"huanxin/subsidy/reason"
	"huanxin/switch/event"
)

// quarantine is how long what a void frees is kept back at the longest. Until then its terminal may still take the void
// back, and the subsidy must not have gone to somebody else: a reversed void would pay twice.
const quarantine = int64(10 * time.Minute)

// void is 0200 / 200000: a sale of the same day and batch is taken back as a whole, on the card that paid.
func (e *Engine) void(in *VoidRequest) {
	if !e.admitGivingBack(in.Token, in.Key, in.Content, exchangeVoid, exchangeRefusedSale) {
		return
	}
	e.advance(in.Key)
	p, code, why := e.judgeVoid(in)
	if code != rc("00") {
		e.refuseRequest(in.Token, in.Key, &event.SaleRefused{
			Content: bytesOf(in.Content), Purchase: idOf(p), Response: string(code[:]), Reason: uint32(why), Amount: int64(in.Amount),
			Request: "void",
		})
		return
	}
	id := e.lastOperation + 1
	e.emit(&event.Event{Body: &event.Event_VoidSent{VoidSent: &event.VoidSent{
		Operation: id, Purchase: p.id, Key: in.Key.event(), Content: bytesOf(in.Content), Amount: int64(in.Amount),
		Host: p.sale.Host, HostStan: hostSTAN(e.hostCounter + 1), Rrn: hostRRN(e.now, e.hostCounter+1), TransmittedAt: e.now,
		Deadline: e.now + int64(e.profile(p.sale.Host).Timeout), Card: in.Card,
	}}})
	e.wait(waitOperation(id), waiter{token: in.Token})
	e.sendOperation(HostVoid, in.Token, p, e.operation(id))
}

// sendOperation hands a void or refund to its host.
func (e *Engine) sendOperation(kind HostKind, token Token, p *purchase, o *operation) {
	r := o.request()
	key := Key{}
	if r.GetKey() != nil {
		key = keyOf(r.GetKey())
	}
	e.out.Sends = append(e.out.Sends, Send{Host: &HostRequest{
		Host: r.GetHost(), Kind: kind, Token: token, Purchase: p.id, Operation: o.id, STAN: r.GetHostStan(), RRN: r.GetRrn(),
		TransmittedAt: e.now, Deadline: r.GetDeadline(), Amount: o.amount(), Card: r.GetCard(), Key: key, Processing: "200000",
		Original: originalOf(p.sale, p.answer),
	}})
}

// originalOf names an earlier request to the host.
func originalOf(r request, answer *event.HostAnswer) OriginalData {
	o := OriginalData{
		STAN: r.GetHostStan(), RRN: r.GetRrn(), TransmittedAt: r.GetTransmittedAt(), Amount: money.Amount(r.GetAmount()),
	}
	if answer != nil {
		o.Approval = answer.Approval
	}
	return o
}

// judgeVoid says whether a void may go to the host.
func (e *Engine) judgeVoid(in *VoidRequest) (*purchase, [2]byte, reason.Code) {
	p := e.original(in.Key, in.RRN, in.Original)
	if p == nil || p.sale.Kind != event.SaleKind_SALE_KIND_UNSPECIFIED {
		return nil, rc("25"), reason.None
	}
	sold := keyOf(p.sale.Key)
	if sold.Terminal != in.Key.Terminal || sold.Merchant != in.Key.Merchant {
		return nil, rc("25"), reason.None
	}
	if in.Original != (Original{}) && (in.Original.Batch != sold.Batch || in.Original.STAN != sold.STAN) {
		return nil, rc("25"), reason.OriginalMismatch
	}
	if code, why := e.judgeOriginal(p); code != rc("00") {
		return p, code, why
	}
	switch {
	case p.state == Refunding:
		return p, rc("22"), reason.OriginalBusy
	case p.refunded > 0:
		return p, rc("22"), reason.OriginalUndone
	case sold.Batch != in.Key.Batch || e.cutOver(p):
		return p, rc("12"), reason.VoidClosed
	case in.Amount != money.Amount(p.sale.Amount):
		return p, rc("64"), reason.OriginalMismatch
	case !sameCard(p.sale.Card, in.Card):
		return p, rc("14"), reason.NotOriginalCard
	case !e.reachable(p.sale.Host):
		return p, rc("92"), reason.None
	}
	return p, rc("00"), reason.None
}

// judgeOriginal says whether a purchase is in a state in which a void or refund of it may begin.
func (e *Engine) judgeOriginal(p *purchase) ([2]byte, reason.Code) {
	switch p.state {
	case Captured:
		if e.voidInReversal(p) {
			return rc("22"), reason.OriginalBusy
		}
		return rc("00"), reason.None
	case Refunding:
		return rc("00"), reason.None
	case Voiding:
		return rc("22"), reason.OriginalBusy
	case Sent, Unknown:
		return rc("22"), reason.OriginalNotCaptured
	case Declined, Reserved, HoldExpired, Cancelled:
		return rc("12"), reason.OriginalNotCaptured
	}
	return rc("22"), reason.OriginalUndone
}

// original finds the paid purchase that a terminal's message is about: by DE37, else by batch and STAN of the terminal's
// own sale. nil when there is none.
func (e *Engine) original(key Key, rrn string, o Original) *purchase {
	if n := rrnNumber(rrn); n != 0 {
		t := e.sentAs(n)
		if p := e.purchase(t.purchase); p != nil && t.operation == 0 && p.sale != nil {
			return p
		}
		return nil
	}
	if o == (Original{}) {
		return nil
	}
	key.Class, key.Batch, key.STAN = '2', o.Batch, o.STAN
	if x, ok := e.exchanges.get(key); ok && x.kind == exchangeSale {
		return e.purchase(x.purchase)
	}
	return nil
}

func sameCard(a, b *event.Card) bool { return slices.Equal(a.GetToken(), b.GetToken()) }

// reachable reports whether the configuration knows the host: nothing is begun with one that it has lost.
func (e *Engine) reachable(host string) bool {
	_, ok := e.cfg.Hosts[host]
	return ok
}

// undoVoid takes a void back: the purchase is captured again, and the host is told until it has heard.
func (e *Engine) undoVoid(o *operation, cause event.ReversalCause, why string, by *event.Authority) {
	e.queueReversal(e.purchase(o.purchase), &event.ReversalQueued{
		Operation: o.id, Cause: cause, Reason: why, Amount: o.request().GetAmount(), By: by,
	})
}

// reverseVoid is the 0400 of a void.
func (e *Engine) reverseVoid(in *ReversalRequest, o *operation) {
	p := e.purchase(o.purchase)
	if in.Amount != o.amount() {
		e.reply(Reply{Token: in.Token, Response: rc("64")})
		return
	}
	switch {
	case o.state == opDeclined:
		e.answerReversal(in, p.id, o.id, rc("12"))
	case o.state == opReversing || o.state == opReversed:
		e.answerReversal(in, p.id, o.id, rc("00"))
	case !e.atWallet(o) && (o.state == opSent || o.state == opApproved && p.state == Voided && (p.quarantine > e.now || mutant.ReversedVoidPaysTwice)):
		e.answerReversal(in, p.id, o.id, rc("00"))
		e.undoVoid(o, event.ReversalCause_REVERSAL_CAUSE_TERMINAL, string(in.Cause[:]), nil)
		e.answerWaiting(waitOperation(o.id))
	default: // a wallet has paid back for good; what was freed may be another's by now
		e.answerReversal(in, p.id, o.id, rc("22"))
		e.openOperationItem("void-reversal-late", o, "22", "0400 of a void after its quarantine, or at a wallet")
	}
}

// declineVoid: nothing was given back; the purchase is captured as before.
func (e *Engine) declineVoid(o *operation, a *event.HostAnswer, cause event.DeclineCause) {
	e.emit(&event.Event{Body: &event.Event_VoidDeclined{VoidDeclined: &event.VoidDeclined{
		Operation: o.id, Purchase: o.purchase, Answer: a, Cause: cause,
	}}})
}

// advance is called for every new message by which a terminal goes on to the next customer: what its last void has freed
// is out of quarantine.
func (e *Engine) advance(key Key) {
	if t := e.terminals[key.Terminal]; t != nil {
		e.endQuarantine(t, event.QuarantineEnd_QUARANTINE_END_MESSAGE)
	}
}

func (e *Engine) endQuarantine(t *terminalState, cause event.QuarantineEnd) {
	for len(t.quarantined) > 0 {
		e.releaseVoid(e.purchase(t.quarantined[0]), cause)
	}
}

func (e *Engine) releaseVoid(p *purchase, cause event.QuarantineEnd) {
	e.emit(&event.Event{Body: &event.Event_VoidReleased{VoidReleased: &event.VoidReleased{
		Operation: p.operations[len(p.operations)-1], Purchase: p.id, Cause: cause,
	}}})
	e.expireIfReleased(p)
}

func (e *Engine) quarantineDue(id uint64, at int64) {
	if p := e.purchase(id); p != nil && p.state == Voided && p.quarantine == at {
		e.releaseVoid(p, event.QuarantineEnd_QUARANTINE_END_TIME)
	}
}

func (e *Engine) applyVoidSent(m *event.VoidSent) {
	p := e.begin(&operation{id: m.Operation, purchase: m.Purchase, void: m}, m.Key, m.Content, exchangeVoid)
	e.move(p, Voiding, Captured)
}

func (e *Engine) applyVoidApproved(m *event.VoidApproved) {
	o, p := e.mustOperation(m.Operation)
	e.turn(o, opApproved, opSent, opUnknown)
	o.answer = m.Answer
	p.quarantine = m.QuarantineAt
	e.move(p, Voided, Voiding)
	e.cleared(p.sale.Host, m.Answer.GetClearingDate())
	if key := o.void.GetKey(); key.GetTerminal() != "" {
		t := e.touch(keyOf(key).Terminal)
		t.quarantined = append(t.quarantined, p.id)
	}
	e.remind(deadline{at: m.QuarantineAt, id: p.id, kind: quarantineDeadline})
}

func (e *Engine) applyVoidDeclined(m *event.VoidDeclined) {
	o, p := e.mustOperation(m.Operation)
	e.turn(o, opDeclined, opSent, opUnknown)
	o.answer = m.Answer
	e.move(p, Captured, Voiding)
}

func (e *Engine) applyVoidReleased(m *event.VoidReleased) {
	p := e.mustPurchase(m.Purchase)
	e.letGo(p)
	e.leaveQuarantine(p)
	p.changed = e.now
}

// leaveQuarantine forgets that what p has is kept back.
func (e *Engine) leaveQuarantine(p *purchase) {
	if p.quarantine == 0 {
		return
	}
	p.quarantine = 0
	e.track(p)
	t := e.touch(p.terminal())
	t.quarantined = slices.DeleteFunc(t.quarantined, func(id uint64) bool { return id == p.id })
}
