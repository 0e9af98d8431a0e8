package trail

import (
	"fmt"
	"strings"

	"huanxin/switch/event"
)

// ofPurchase tells reserve, hold and sale.
func (b *Builder) ofPurchase(e *Entry, ev *event.Event) bool {
	switch m := ev.Body.(type) {
	case *event.Event_Reserved:
		return b.reserve(e, m.Reserved)
	case *event.Event_HoldCancelled:
		return b.cancelled(e, m.HoldCancelled)
	case *event.Event_HoldExpired:
		if !b.mine(m.HoldExpired.Purchase) {
			return false
		}
		e.say("预占到期，额度、资金与序列号已释放", "the hold has expired; quota, budget and serial are free")
	case *event.Event_SaleSent:
		return b.saleSent(e, m.SaleSent)
	case *event.Event_SaleRefused:
		return b.saleRefused(e, m.SaleRefused)
	case *event.Event_SaleApproved:
		return b.saleApproved(e, m.SaleApproved)
	case *event.Event_SaleDeclined:
		return b.saleDeclined(e, m.SaleDeclined)
	case *event.Event_LateAnswer:
		return b.lateAnswer(e, m.LateAnswer)
	case *event.Event_PaymentUnknown:
		return b.paymentUnknown(e, m.PaymentUnknown)
	case *event.Event_QueryAttempted:
		return b.queryAttempted(e, m.QueryAttempted)
	case *event.Event_RequestKept:
		if !b.mine(m.RequestKept.Purchase) {
			return false
		}
		e.say("请求的幂等键已登记", "the request's idempotency key is kept").fact("kind", requestKind(m.RequestKept.Kind)).
			fact("operation", number(m.RequestKept.Operation)).reasons(m.RequestKept.Reasons...)
	default:
		return false
	}
	return true
}

func requestKind(k event.RequestKind) string {
	return strings.ToLower(strings.TrimPrefix(k.String(), "REQUEST_KIND_"))
}

func (b *Builder) reserve(e *Entry, m *event.Reserved) bool {
	if !b.mine(m.Purchase) {
		return false
	}
	b.reserved = m
	b.batch(m.Key)
	e.say("补贴预占成功", "the subsidy is held")
	b.reserveFacts(e, m)
	if m.Caller != "" {
		f := fields{}
		f.add("price_fen", fmt.Sprint(m.Price))
		f.add("barcode", m.Barcode)
		f.add("serial", m.SerialMask)
		f.add("order", m.Order)
		e.message(in, callerPeer(m.Caller), "POST /v1/reservations", f)
		f = fields{}
		f.add("id", fmt.Sprintf("P%012d", m.Purchase))
		f.add("subsidy_fen", fmt.Sprint(m.Subsidy))
		f.add("payable_fen", fmt.Sprint(m.Payable))
		f.add("expires_at", moment(m.ExpiresAt))
		e.message(out, callerPeer(m.Caller), "POST /v1/reservations", f)
		return true
	}
	f := request("", "390000", m.Price, m.Key, "96", "")
	f.add("F59.S1", "****")
	f.add("F59.S2", m.Barcode)
	f.add("F59.S3", m.SerialMask)
	f.add("F59.S4", m.Order)
	for _, c := range m.Components {
		f.add("F59.S6", fmt.Sprintf("%s=%d", c.Kind, c.Amount))
	}
	f.add("F59.SE", m.OldItem)
	e.message(in, terminalPeer(m.Key), "0100", f)
	a := answer(m.Key, "00")
	a.digits("F59.S7", m.Purchase, 12)
	a.amount("F59.S8", m.Subsidy)
	a.amount("F59.S9", m.Payable)
	a.add("F59.SA", clock(m.ExpiresAt, fullTime))
	a.amount("F59.SG", m.Price)
	e.message(out, terminalPeer(m.Key), "0110", a)
	return true
}

// reserveFacts are what a subsidy rests on, at a reserve and when it is recorded by hand.
func (b *Builder) reserveFacts(e *Entry, m *event.Reserved) {
	e.fact("entitlement", number(m.Entitlement)).fact("category", m.Category).fact("city", m.City).
		fact("paying_city", m.PayingCity).fact("channel", m.Channel).fact("barcode", m.Barcode).fact("serial", m.SerialMask).
		fact("order", m.Order).fact("price", yuan(m.Price)).fact("base", yuan(m.Base)).fact("subsidy", yuan(m.Subsidy)).
		fact("payable", yuan(m.Payable))
	for _, part := range m.Parts {
		e.fact("part", part.Payer+" "+yuan(part.Amount))
	}
	e.fact("leaf", m.Leaf).fact("policy_version", m.PolicyVersion).fact("expires_at", moment(m.ExpiresAt)).
		fact("located_city", m.LocatedCity).fact("marks", strings.Join(m.Marks, ","))
}

func (b *Builder) cancelled(e *Entry, m *event.HoldCancelled) bool {
	if !b.mine(m.Purchase) {
		return false
	}
	e.By = m.By
	switch m.Cause {
	case event.CancelCause_CANCEL_CAUSE_OPERATOR:
		e.say("预占经两人复核由运营方释放", "the hold was released by two operators")
		return true
	case event.CancelCause_CANCEL_CAUSE_REVERSAL:
		e.say("预占的应答丢失，终端冲正，预占已释放",
			"the answer of the reserve was lost: the terminal's reversal has given the hold back")
		return true // the 0400 is an event of its own
	}
	e.say("预占已取消", "the hold was cancelled")
	if m.Key == nil {
		caller := callerPeer(b.reserved.GetCaller())
		e.message(in, caller, "POST /v1/reservations/{id}/cancel", fields{{"id", fmt.Sprintf("P%012d", m.Purchase)}})
		return true
	}
	f := request("", "390000", b.reserved.GetPrice(), m.Key, "97", "")
	f.digits("F59.S7", m.Purchase, 12)
	e.message(in, terminalPeer(m.Key), "0100", f)
	e.message(out, terminalPeer(m.Key), "0110", answer(m.Key, "00"))
	return true
}

// saleForm is how a kind of payment is written: MTI, DE3 and DE60.1.
func saleForm(kind event.SaleKind) (mti, processing, form string) {
	switch kind {
	case event.SaleKind_SALE_KIND_PREAUTH:
		return "0100", "030000", "10"
	case event.SaleKind_SALE_KIND_PREAUTH_VOID:
		return "0100", "200000", "11"
	case event.SaleKind_SALE_KIND_COMPLETION:
		return "0200", "000000", "20"
	case event.SaleKind_SALE_KIND_COMPLETION_VOID:
		return "0200", "200000", "21"
	}
	return "0200", "000000", "22"
}

// answerMTI is the MTI of the answer.
func answerMTI(mti string) string { return mti[:2] + string(mti[2]+1) + mti[3:] }

func (b *Builder) saleSent(e *Entry, m *event.SaleSent) bool {
	if !b.mine(m.Purchase) {
		return false
	}
	b.sale = m
	b.batch(m.Key)
	kind := ""
	if m.Kind != event.SaleKind_SALE_KIND_UNSPECIFIED {
		kind = strings.ToLower(strings.TrimPrefix(m.Kind.String(), "SALE_KIND_"))
	}
	e.fact("amount", yuan(m.Amount)).fact("kind", kind).fact("host", m.Host).fact("rrn", m.Rrn).
		fact("deadline", moment(m.Deadline)).
		fact("reference", m.Reference)
	mti, processing, form := saleForm(m.Kind)
	switch {
	case m.Caller != "":
		f := fields{}
		f.add("paid_fen", fmt.Sprint(m.Amount))
		f.add("reference", m.Reference)
		f.add("code", m.Card.GetMask())
		e.message(in, callerPeer(m.Caller), "POST /v1/reservations/{id}/commit", f)
	case m.Key != nil:
		f := request(m.Card.GetMask(), processing, m.Amount, m.Key, form, m.EntryMode)
		if !m.Ordinary {
			f.digits("F59.S7", m.Purchase, 12)
		}
		e.message(in, terminalPeer(m.Key), mti, f)
	}
	switch {
	case m.Reference != "":
		e.say("支付由渠道方自行收取，已登记", "the caller has collected the payment itself; it is recorded")
	case m.Wallet:
		e.say("已落盘，支付请求发往钱包", "durable; the payment goes to the wallet")
		f := fields{}
		f.add("order", m.Rrn)
		f.add("amount_fen", fmt.Sprint(m.Amount))
		f.add("code", m.Card.GetMask())
		e.message(out, hostPeer(m.Host), "pay", f)
	default:
		e.say("已落盘，请求发往卡组织", "durable; the request goes to the card network")
		f := hostFields(m.Card.GetMask(), processing, m.Amount, m.TransmittedAt, m.HostStan, m.Rrn, m.Key)
		e.message(out, hostPeer(m.Host), mti, f)
	}
	return true
}

func (b *Builder) saleRefused(e *Entry, m *event.SaleRefused) bool {
	if !b.mine(m.Purchase) {
		return false
	}
	mti, processing, form, zh, en := "0200", "000000", "22", "消费", "sale"
	switch m.Request {
	case "void":
		processing, form, zh, en = "200000", "23", "撤销", "void"
	case "refund":
		mti, processing, form, zh, en = "0220", "200000", "25", "退货", "refund"
	}
	e.say("平台拒绝"+zh+"，未联系卡组织", "the switch has refused the "+en+"; no host was called").reasons(m.Reason)
	if m.Key == nil {
		return true
	}
	e.message(in, terminalPeer(m.Key), mti, request("", processing, m.Amount, m.Key, form, ""))
	a := answer(m.Key, m.Response)
	for _, r := range e.Reasons {
		a.add("F59.SB", r.Name)
	}
	e.message(out, terminalPeer(m.Key), answerMTI(mti), a)
	return true
}

// answered adds the answer to whoever asked for the payment.
func (b *Builder) answered(e *Entry, a *event.HostAnswer, response string) {
	m := b.sale
	if m == nil {
		return
	}
	if m.Caller != "" {
		e.message(out, callerPeer(m.Caller), "POST /v1/reservations/{id}/commit", fields{{"response", response}})
		return
	}
	if m.Key == nil {
		return
	}
	mti, _, _ := saleForm(m.Kind)
	f := tillAnswer(m.Key, a, m.Rrn, response)
	if r := b.reserved; r != nil && !m.Ordinary && response == a.GetResponse() {
		f.digits("F59.S7", m.Purchase, 12)
		f.amount("F59.S8", r.Subsidy)
		f.amount("F59.S9", r.Payable)
		f.amount("F59.SG", r.Price)
	}
	e.message(out, terminalPeer(m.Key), answerMTI(mti), f)
}

// fromHost adds what a host has answered to the payment.
func (b *Builder) fromHost(e *Entry, a *event.HostAnswer) {
	m := b.sale
	switch {
	case m == nil || m.Reference != "":
	case m.Wallet:
		f := fields{}
		f.add("order", m.Rrn)
		f.add("response", a.GetResponse())
		f.add("approval", a.GetApproval())
		e.message(in, hostPeer(m.Host), "pay", f)
	default:
		mti, _, _ := saleForm(m.Kind)
		e.message(in, hostPeer(m.Host), answerMTI(mti), hostAnswer(a, m.HostStan, m.Rrn))
	}
}

func (b *Builder) saleApproved(e *Entry, m *event.SaleApproved) bool {
	if !b.mine(m.Purchase) {
		return false
	}
	b.approval = m.Answer.GetApproval()
	e.say("发卡方已批准，补贴已使用", "approved: captured, and the subsidy is spent")
	if b.reserved == nil {
		e.say("发卡方已批准", "approved: captured")
	}
	e.fact("response", responseText(m.Answer.GetResponse()))
	b.fromHost(e, m.Answer)
	b.answered(e, m.Answer, m.Answer.GetResponse())
	return true
}

func (b *Builder) saleDeclined(e *Entry, m *event.SaleDeclined) bool {
	if !b.mine(m.Purchase) {
		return false
	}
	a := m.Answer
	e.fact("response", responseText(a.GetResponse()))
	switch m.Cause {
	case event.DeclineCause_DECLINE_CAUSE_NOT_SENT:
		e.say("请求确定未发出，未扣款，预占已释放", "the request certainly never left: nothing is charged, the hold is free")
	case event.DeclineCause_DECLINE_CAUSE_PARTIAL:
		e.say("部分批准不予接受，已批准部分将冲正，预占已释放",
			"approved in part only: that part is reversed, the hold is free")
		partial := &event.HostAnswer{
			Response: "10", Approval: a.GetApproval(), ClearingDate: a.GetClearingDate(), LocalTime: a.GetLocalTime(),
			LocalDate: a.GetLocalDate(), Amount: a.GetAmount(),
		}
		b.fromHost(e, partial)
	default:
		e.say("发卡方拒绝，未扣款，预占已释放", "declined: nothing is charged, the hold is free")
		b.fromHost(e, a)
	}
	b.answered(e, a, a.GetResponse())
	return true
}

func (b *Builder) lateAnswer(e *Entry, m *event.LateAnswer) bool {
	if !b.mine(m.Purchase) {
		return false
	}
	e.say("迟到的应答，留作证据，冲正照常进行", "an answer that came too late: kept as evidence, the reversal stands")
	if m.Repeated {
		e.say("主机重复应答，留作证据", "the host has answered twice: kept as evidence")
	}
	e.fact("response", responseText(m.Answer.GetResponse())).fact("operation", number(m.Operation))
	if op := b.operations[m.Operation]; op != nil {
		op.fromHost(e, m.Answer)
		return true
	}
	b.fromHost(e, m.Answer)
	return true
}

func (b *Builder) paymentUnknown(e *Entry, m *event.PaymentUnknown) bool {
	if !b.mine(m.Purchase) {
		return false
	}
	e.say("钱包未告知结果，保留预占并持续查询",
		"the wallet has not said how it ended: the hold is kept, the wallet is asked").
		fact("operation", number(m.Operation)).fact("next_at", moment(m.NextAt))
	if m.Operation == 0 {
		b.answered(e, nil, "68")
	}
	return true
}

func (b *Builder) queryAttempted(e *Entry, m *event.QueryAttempted) bool {
	if !b.mine(m.Purchase) {
		return false
	}
	e.say("向钱包查询结果", "the wallet is asked how it ended").fact("operation", number(m.Operation)).
		fact("attempt", fmt.Sprint(m.Attempt)).fact("next_at", moment(m.NextAt))
	rrn := b.sale.GetRrn()
	if op := b.operations[m.Operation]; op != nil {
		rrn = op.rrn()
	}
	e.message(out, hostPeer(b.sale.GetHost()), "query", fields{{"order", rrn}})
	return true
}
