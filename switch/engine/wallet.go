package engine

import "huanxin/switch/event"

// Wallets differ from card networks: they can be asked how a payment ended, and a payment may stay open while the payer
// types a password. So a wallet payment without an end is not reversed but asked for, every few seconds; a minute after it
// was sent it is cancelled, and asked for until the wallet has said how it ended. What it holds is never let go before.

// payUnknown: the wallet has not said how a payment, or an operation, has ended.
func (e *Engine) payUnknown(purchase, operation uint64) {
	p := e.purchase(purchase)
	e.emit(&event.Event{Body: &event.Event_PaymentUnknown{PaymentUnknown: &event.PaymentUnknown{
		Purchase: purchase, Operation: operation, NextAt: e.now + int64(e.profile(p.sale.Host).QueryEvery),
	}}})
}

// queryDue asks a wallet once more, or cancels a payment that has been open for too long.
func (e *Engine) queryDue(id uint64, at int64) {
	p := e.purchase(id)
	if p == nil || p.state != Unknown || p.queryAt != at {
		return
	}
	profile := e.profile(p.sale.Host)
	if e.now >= p.sale.TransmittedAt+int64(profile.CancelAfter) {
		e.cancelPayment(p, event.ReversalCause_REVERSAL_CAUSE_TIMEOUT, "98")
		e.answerWaiting(waitPurchase(p.id))
		return
	}
	e.query(p, nil, p.queries+1, e.now+int64(profile.QueryEvery))
}

// operationQueryDue asks for a void or refund. It goes on for as long as it takes, ever more slowly.
func (e *Engine) operationQueryDue(id uint64, at int64) {
	o := e.operation(id)
	if o == nil || o.state != opUnknown || o.queryAt != at || o.item != 0 {
		return
	}
	p := e.purchase(o.purchase)
	profile := e.profile(p.sale.Host)
	n := o.queries + 1
	wait := int64(profile.QueryEvery)
	if patient := uint32(profile.CancelAfter / profile.QueryEvery); n > patient {
		wait = max(wait, profile.backOff(n-patient))
	}
	e.query(p, o, n, e.now+wait)
}

func (e *Engine) query(p *purchase, o *operation, n uint32, next int64) {
	m := &event.QueryAttempted{Purchase: p.id, Attempt: n, NextAt: next}
	if o != nil {
		m.Operation = o.id
	}
	e.emit(&event.Event{Body: &event.Event_QueryAttempted{QueryAttempted: m}})
	e.sendQuery(p, m.Operation, 0, n, next)
}

func (e *Engine) sendQuery(p *purchase, operation, reversal uint64, attempt uint32, deadline int64) {
	r := e.requestOf(p, operation)
	e.out.Sends = append(e.out.Sends, Send{Host: &HostRequest{
		Host: r.GetHost(), Kind: HostQuery, Purchase: p.id, Operation: operation, Reversal: reversal, Attempt: attempt,
		STAN: r.GetHostStan(), RRN: r.GetRrn(), TransmittedAt: e.now, Deadline: deadline, Card: r.GetCard(),
		Original: originalOf(r, e.legOf(p, operation).answer),
	}})
}

// cancelPayment: from here on the payment can never be captured. What it holds is let go when the wallet has confirmed.
func (e *Engine) cancelPayment(p *purchase, cause event.ReversalCause, why string) {
	e.queueReversal(p, &event.ReversalQueued{Cause: cause, Reason: why, Amount: p.sale.Amount, KeepsHold: true})
}

// paymentQueried is what a wallet says about a payment that is being cancelled.
func (e *Engine) paymentQueried(p *purchase, a *event.HostAnswer, pending bool) {
	r := e.reversals[p.reversal]
	onItsWay := r != nil && r.state == reversalQueued && r.attempt > 0
	switch {
	case pending:
	case isApproved(a.Response): // the cancellation has not arrived, and the payer has paid
		e.emit(&event.Event{Body: &event.Event_LateAnswer{LateAnswer: &event.LateAnswer{Purchase: p.id, Answer: a}}})
		if onItsWay {
			e.attempt(r)
		}
	case onItsWay:
		e.emit(&event.Event{Body: &event.Event_ReversalDone{ReversalDone: &event.ReversalDone{
			Reversal: r.id, Purchase: p.id, Response: "12",
		}}})
		e.expireIfReleased(p)
		e.next(p)
	}
}

func (e *Engine) applyPaymentUnknown(m *event.PaymentUnknown) {
	p := e.mustPurchase(m.Purchase)
	if m.Operation != 0 {
		o, _ := e.mustOperation(m.Operation)
		e.turn(o, opUnknown, opSent)
		o.queryAt = m.NextAt
		e.remind(deadline{at: m.NextAt, id: o.id, kind: operationQueryDeadline})
		return
	}
	e.move(p, Unknown, Sent)
	p.queryAt = m.NextAt
	e.remind(deadline{at: m.NextAt, id: p.id, kind: queryDeadline})
}

func (e *Engine) applyQueryAttempted(m *event.QueryAttempted) {
	p := e.mustPurchase(m.Purchase)
	if m.Operation != 0 {
		o, _ := e.mustOperation(m.Operation)
		o.queries, o.queryAt = m.Attempt, m.NextAt
		e.remind(deadline{at: m.NextAt, id: o.id, kind: operationQueryDeadline})
		return
	}
	p.queries, p.queryAt = m.Attempt, m.NextAt
	e.remind(deadline{at: m.NextAt, id: p.id, kind: queryDeadline})
}
