package trail

import (
	"fmt"

	"huanxin/switch/event"
)

// ofOperation tells voids and refunds.
func (b *Builder) ofOperation(e *Entry, ev *event.Event) bool {
	switch m := ev.Body.(type) {
	case *event.Event_VoidSent:
		return b.voidSent(e, m.VoidSent)
	case *event.Event_VoidApproved:
		op := b.operations[m.VoidApproved.Operation]
		if op == nil {
			return false
		}
		e.say("撤销成功，款项退回；释放的额度暂存隔离",
			"voided: the payer has the money back; what it frees is in quarantine").
			fact("operation", number(m.VoidApproved.Operation)).fact("quarantine_at", moment(m.VoidApproved.QuarantineAt))
		op.fromHost(e, m.VoidApproved.Answer)
		op.toTerminal(e, m.VoidApproved.Answer, m.VoidApproved.Answer.GetResponse())
	case *event.Event_VoidDeclined:
		op := b.operations[m.VoidDeclined.Operation]
		if op == nil {
			return false
		}
		e.say("撤销未成，原交易照旧", "the void was declined: the purchase is captured as before").
			fact("operation", number(m.VoidDeclined.Operation))
		op.declined(e, m.VoidDeclined.Answer, m.VoidDeclined.Cause)
	case *event.Event_VoidReleased:
		if !b.mine(m.VoidReleased.Purchase) {
			return false
		}
		e.say("隔离期结束，额度、资金与序列号已释放", "the quarantine is over: quota, budget and serial are free").
			fact("operation", number(m.VoidReleased.Operation)).fact("cause", quarantineText[m.VoidReleased.Cause])
	case *event.Event_RefundSent:
		return b.refundSent(e, m.RefundSent)
	case *event.Event_RefundApproved:
		return b.refundApproved(e, m.RefundApproved)
	case *event.Event_RefundDeclined:
		op := b.operations[m.RefundDeclined.Operation]
		if op == nil {
			return false
		}
		e.By = m.RefundDeclined.By
		e.say("退货未成，未退款", "the refund was declined: nothing was given back").
			fact("operation", number(m.RefundDeclined.Operation))
		op.declined(e, m.RefundDeclined.Answer, m.RefundDeclined.Cause)
	case *event.Event_RefundUnknown:
		op := b.operations[m.RefundUnknown.Operation]
		if op == nil {
			return false
		}
		e.say("退货结果未知：从不冲正，锁定至主机或清算告知",
			"the end of the refund is not known: it is never reversed, and locked until the host or clearing tells").
			fact("operation", number(m.RefundUnknown.Operation)).fact("expires_at", moment(m.RefundUnknown.ExpiresAt))
		op.toTerminal(e, nil, "98")
	case *event.Event_EntitlementRestored:
		if !b.mine(m.EntitlementRestored.Purchase) {
			return false
		}
		e.say("补贴资格与序列号已恢复", "entitlement, quota and serial can be used again").
			fact("entitlement", number(m.EntitlementRestored.Entitlement))
	default:
		return false
	}
	return true
}

var quarantineText = map[event.QuarantineEnd]string{
	event.QuarantineEnd_QUARANTINE_END_MESSAGE: "终端下一笔交易 the terminal's next message",
	event.QuarantineEnd_QUARANTINE_END_BATCH:   "batch close",
	event.QuarantineEnd_QUARANTINE_END_TIME:    "到时 time",
}

func (b *Builder) voidSent(e *Entry, m *event.VoidSent) bool {
	if !b.mine(m.Purchase) {
		return false
	}
	b.operations[m.Operation] = &operation{void: m}
	b.batch(m.Key)
	e.say("撤销已落盘，发往主机", "a void, durable, goes to the host").fact("operation", number(m.Operation)).
		fact("amount", yuan(m.Amount)).
		fact("rrn", m.Rrn).fact("deadline", moment(m.Deadline))
	f := request(m.Card.GetMask(), "200000", m.Amount, m.Key, "23", "")
	f.add("F61", original(b.sale.GetKey(), b.sale.GetTransmittedAt()))
	e.message(in, terminalPeer(m.Key), "0200", f)
	h := hostFields(m.Card.GetMask(), "200000", m.Amount, m.TransmittedAt, m.HostStan, m.Rrn, m.Key)
	h.add("F61", original(b.sale.GetKey(), b.sale.GetTransmittedAt()))
	e.message(out, hostPeer(m.Host), b.hostType("0200", "cancel"), h)
	return true
}

// hostType is an MTI, or the word that wallets know instead.
func (b *Builder) hostType(mti, word string) string {
	if b.sale.GetWallet() {
		return word
	}
	return mti
}

func (b *Builder) refundSent(e *Entry, m *event.RefundSent) bool {
	if !b.mine(m.Purchase) {
		return false
	}
	b.operations[m.Operation] = &operation{refund: m}
	b.batch(m.Key)
	e.say("退货已落盘，发往主机；资格、序列号与结算锁定",
		"a refund, durable, goes to the host; entitlement, serial and payout are locked").
		fact("operation", number(m.Operation)).fact("amount", yuan(m.Amount)).fact("rrn", m.Rrn).
		fact("deadline", moment(m.Deadline)).
		fact("reference", m.Reference)
	if m.Activated {
		e.fact("activated", "yes")
	}
	if m.Caller != "" {
		f := fields{}
		f.add("amount_fen", fmt.Sprint(m.Amount))
		f.add("reference", m.Reference)
		e.message(in, callerPeer(m.Caller), "POST /v1/reservations/{id}/refunds", f)
	} else {
		f := request(m.Card.GetMask(), "200000", m.Amount, m.Key, "25", "")
		f.add("F37", b.sale.GetRrn())
		f.add("F61", original(b.sale.GetKey(), b.sale.GetTransmittedAt()))
		if m.Activated {
			f.add("F59.SO", "1")
		}
		e.message(in, terminalPeer(m.Key), "0220", f)
	}
	switch {
	case m.Reference != "":
		e.say("渠道方已自行退款，已登记", "the caller has paid the refund itself; it is recorded")
	case m.Wallet:
		f := fields{}
		f.add("order", m.Rrn)
		f.add("original", b.sale.GetRrn())
		f.add("amount_fen", fmt.Sprint(m.Amount))
		e.message(out, hostPeer(m.Host), "refund", f)
	default:
		f := hostFields(m.Card.GetMask(), "200000", m.Amount, m.TransmittedAt, m.HostStan, m.Rrn, m.Key)
		f.add("F61", original(b.sale.GetKey(), b.sale.GetTransmittedAt()))
		e.message(out, hostPeer(m.Host), "0220", f)
	}
	return true
}

func (b *Builder) refundApproved(e *Entry, m *event.RefundApproved) bool {
	op := b.operations[m.Operation]
	if op == nil {
		return false
	}
	e.By = m.By
	e.say("部分退货成功，按保留部分重算补贴", "refunded in part: the subsidy is recomputed on what is kept")
	if m.Whole {
		e.say("退货成功，补贴退回资金池", "refunded: the subsidy goes back to the budget")
	}
	e.fact("operation", number(m.Operation)).fact("returned", yuan(m.Returned))
	for _, part := range m.Parts {
		e.fact("part", part.Payer+" "+yuan(part.Amount))
	}
	if !m.Whole {
		e.fact("kept_price", yuan(m.KeptPrice))
	}
	if m.Restores {
		e.fact("restore_at", moment(m.RestoreAt))
	}
	if m.Answer == nil {
		return true
	}
	op.fromHost(e, m.Answer)
	op.toTerminal(e, m.Answer, m.Answer.Response)
	return true
}

// ---- One operation --------------------------------------------------------------------------------------------------

func (o *operation) key() *event.ExchangeKey {
	if o.void != nil {
		return o.void.Key
	}
	return o.refund.Key
}

func (o *operation) rrn() string {
	if o.void != nil {
		return o.void.Rrn
	}
	return o.refund.Rrn
}

func (o *operation) mask() string {
	if o.void != nil {
		return o.void.Card.GetMask()
	}
	return o.refund.Card.GetMask()
}

// fromHost adds what the host has answered.
func (o *operation) fromHost(e *Entry, a *event.HostAnswer) {
	switch {
	case o.void != nil:
		e.message(in, hostPeer(o.void.Host), "0210", hostAnswer(a, o.void.HostStan, o.void.Rrn))
	case o.refund.Reference != "":
	case o.refund.Wallet:
		f := fields{}
		f.add("order", o.refund.Rrn)
		f.add("response", a.GetResponse())
		e.message(in, hostPeer(o.refund.Host), "refund", f)
	default:
		e.message(in, hostPeer(o.refund.Host), "0230", hostAnswer(a, o.refund.HostStan, o.refund.Rrn))
	}
}

// toTerminal adds the answer to whoever asked.
func (o *operation) toTerminal(e *Entry, a *event.HostAnswer, response string) {
	switch {
	case o.void != nil:
		e.message(out, terminalPeer(o.void.Key), "0210", tillAnswer(o.void.Key, a, o.void.Rrn, response))
	case o.refund.Caller != "":
		e.message(out, callerPeer(o.refund.Caller), "POST /v1/reservations/{id}/refunds", fields{{"response", response}})
	case o.refund.Key != nil:
		e.message(out, terminalPeer(o.refund.Key), "0230", tillAnswer(o.refund.Key, a, o.refund.Rrn, response))
	}
}

func (o *operation) declined(e *Entry, a *event.HostAnswer, cause event.DeclineCause) {
	e.fact("response", responseText(a.GetResponse()))
	if a == nil {
		return
	}
	if cause == event.DeclineCause_DECLINE_CAUSE_NOT_SENT {
		e.fact("cause", "未发出 never sent")
	} else {
		o.fromHost(e, a)
	}
	o.toTerminal(e, a, a.Response)
}
