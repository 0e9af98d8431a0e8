package trail

import (
	"fmt"
	"strings"

	"huanxin/switch/event"
)

// ofReversal tells what undoes a payment or a void.
func (b *Builder) ofReversal(e *Entry, ev *event.Event) bool {
	switch m := ev.Body.(type) {
	case *event.Event_ReversalAnswered:
		return b.reversalAnswered(e, m.ReversalAnswered)
	case *event.Event_ReversalQueued:
		return b.reversalQueued(e, m.ReversalQueued)
	case *event.Event_ReversalAttempted:
		return b.reversalAttempted(e, m.ReversalAttempted)
	case *event.Event_ReversalDone:
		return b.reversalDone(e, m.ReversalDone)
	case *event.Event_ReversalDead:
		if b.reversals[m.ReversalDead.Reversal] == nil {
			return false
		}
		e.say("清算截止前未获应答，转入死信，待按清算文件处理",
			"no answer by the clearing cut-off: a dead letter, to be settled from the clearing file").
			fact("reversal", reversalID(m.ReversalDead.Reversal)).fact("operation", number(m.ReversalDead.Operation))
	case *event.Event_ReversalRequeued:
		if b.reversals[m.ReversalRequeued.Reversal] == nil {
			return false
		}
		e.By = m.ReversalRequeued.By
		e.say("运营方要求重新发送", "an operator has it sent again").
			fact("reversal", reversalID(m.ReversalRequeued.Reversal)).
			fact("expires_at", moment(m.ReversalRequeued.ExpiresAt))
	case *event.Event_ReversalResolved:
		if b.reversals[m.ReversalResolved.Reversal] == nil {
			return false
		}
		e.By = m.ReversalResolved.By
		e.say("运营方按清算结果了结", "settled by an operator from what clearing says").
			fact("reversal", reversalID(m.ReversalResolved.Reversal)).fact("outcome", m.ReversalResolved.Outcome)
	default:
		return false
	}
	return true
}

func reversalID(id uint64) string { return fmt.Sprintf("R%d", id) }

func (b *Builder) reversalAnswered(e *Entry, m *event.ReversalAnswered) bool {
	if !b.mine(m.Purchase) {
		return false
	}
	e.say("终端冲正，已应答", "the terminal has sent a reversal and is answered").fact("cause", causeText(m.Cause)).
		fact("response", responseText(m.Response)).fact("original", keyText(m.Key))
	f := fields{}
	f.digits("F11", uint64(m.Key.GetStan()), 6)
	f.add("F39", m.Cause)
	f.add("F41", m.Key.GetTerminal())
	f.add("F42", m.Key.GetMerchant())
	e.message(in, terminalPeer(m.Key), "0400", f)
	e.message(out, terminalPeer(m.Key), "0410", answer(m.Key, m.Response))
	return true
}

// queuedText says why a purchase or a void is being reversed.
var queuedText = map[event.ReversalCause]Text{
	event.ReversalCause_REVERSAL_CAUSE_TIMEOUT: {"主机超时，决定冲正", "no answer in time: it is being reversed"},
	event.ReversalCause_REVERSAL_CAUSE_RESTART: {"系统重启时未有应答，决定冲正",
		"unanswered at a restart: it is being reversed"},
	event.ReversalCause_REVERSAL_CAUSE_PARTIAL: {"部分批准，冲正已批准部分",
		"approved in part: that part is being reversed"},
	event.ReversalCause_REVERSAL_CAUSE_TERMINAL: {"应终端冲正请求，向主机冲正",
		"the terminal wants it reversed: it is being reversed at the host"},
	event.ReversalCause_REVERSAL_CAUSE_LATE_APPROVAL: {"冲正之后主机又批准，再次冲正",
		"approved after its reversal was answered: it is reversed once more"},
	event.ReversalCause_REVERSAL_CAUSE_OPERATOR: {"经两人复核由运营方释放，向主机冲正",
		"released by two operators: it is being reversed at the host"},
}

func (b *Builder) reversalQueued(e *Entry, m *event.ReversalQueued) bool {
	if !b.mine(m.Purchase) {
		return false
	}
	b.reversals[m.Reversal] = m
	e.By = m.By
	e.What = queuedText[m.Cause]
	if e.What.ZH == "" {
		e.say("决定冲正", "it is being reversed")
	}
	what := "sale"
	if m.Operation != 0 {
		what = "void"
	}
	e.fact("reversal", reversalID(m.Reversal)).fact("of", what).fact("operation", number(m.Operation)).
		fact("cause", strings.ToLower(strings.TrimPrefix(m.Cause.String(), "REVERSAL_CAUSE_"))).
		fact("amount", yuan(m.Amount)).fact("first_attempt_at", moment(m.FirstAttemptAt)).
		fact("expires_at", moment(m.ExpiresAt))
	if m.KeepsHold {
		e.fact("hold", "钱包确认未扣款前保留 kept until the wallet has said that nothing is charged")
	}
	if m.Cause == event.ReversalCause_REVERSAL_CAUSE_TIMEOUT && !m.KeepsHold {
		if op := b.operations[m.Operation]; op != nil {
			op.toTerminal(e, nil, "98")
		} else {
			b.answered(e, nil, "98")
		}
	}
	return true
}

func (b *Builder) reversalAttempted(e *Entry, m *event.ReversalAttempted) bool {
	r := b.reversals[m.Reversal]
	if r == nil {
		return false
	}
	e.fact("reversal", reversalID(m.Reversal)).fact("attempt", fmt.Sprint(m.Attempt)).fact("next_at", moment(m.NextAt))
	host := hostPeer(b.sale.GetHost())
	switch {
	case m.Response != "":
		e.say("主机要求稍后再试", "the host says: later").fact("response", responseText(m.Response))
		e.message(in, host, b.reversalType(r, "0410"), b.reversalAnswer(r, m.Response))
	case m.Query:
		e.say("向钱包查询撤销结果", "the wallet is asked how its cancellation ended")
		e.message(out, host, "query", fields{{"order", b.sale.GetRrn()}})
	case m.Attempt > 1:
		e.say("再次发送冲正", "the reversal is sent again")
		e.message(out, host, b.reversalType(r, "0401"), b.reversalRequest(r, int64(e.At)))
	default:
		e.say("发送冲正", "the reversal is sent")
		e.message(out, host, b.reversalType(r, "0400"), b.reversalRequest(r, int64(e.At)))
	}
	return true
}

// reversalType is the MTI, or what a wallet knows instead.
func (b *Builder) reversalType(r *event.ReversalQueued, mti string) string {
	if b.sale.GetWallet() && r.Operation == 0 {
		return "cancel"
	}
	return mti
}

func (b *Builder) reversalRequest(r *event.ReversalQueued, at int64) fields {
	if b.sale.GetWallet() && r.Operation == 0 {
		return fields{{"order", b.sale.GetRrn()}, {"amount_fen", fmt.Sprint(r.Amount)}}
	}
	mask, key, rrn, processing := b.sale.GetCard().GetMask(), b.sale.GetKey(), b.sale.GetRrn(), "000000"
	if b.sale != nil {
		_, processing, _ = saleForm(b.sale.Kind)
	}
	if op := b.operations[r.Operation]; op != nil {
		mask, key, rrn, processing = op.mask(), op.key(), op.rrn(), "200000"
	}
	f := hostFields(mask, processing, r.Amount, at, r.HostStan, rrn, key)
	if r.Operation == 0 {
		f.add("F38", b.approval)
	}
	f.add("F39", r.Reason)
	f.add("F61", original(key, r.TransmittedAt))
	return f
}

func (b *Builder) reversalAnswer(r *event.ReversalQueued, response string) fields {
	rrn := b.sale.GetRrn()
	if b.sale.GetWallet() && r.Operation == 0 {
		return fields{{"order", rrn}, {"response", response}}
	}
	if op := b.operations[r.Operation]; op != nil {
		rrn = op.rrn()
	}
	var f fields
	f.digits("F11", uint64(r.HostStan), 6)
	f.add("F37", rrn)
	f.add("F39", response)
	return f
}

func (b *Builder) reversalDone(e *Entry, m *event.ReversalDone) bool {
	r := b.reversals[m.Reversal]
	if r == nil {
		return false
	}
	e.say("主机确认，冲正完成", "the host has confirmed: reversed").fact("reversal", reversalID(m.Reversal)).
		fact("response", responseText(m.Response))
	e.message(in, hostPeer(b.sale.GetHost()), b.reversalType(r, "0410"), b.reversalAnswer(r, m.Response))
	return true
}
