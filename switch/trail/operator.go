package trail

import (
	"fmt"

	"huanxin/switch/event"
)

// ofOperator tells acts of operators and what waits for one.
func (b *Builder) ofOperator(e *Entry, ev *event.Event) bool {
	switch m := ev.Body.(type) {
	case *event.Event_WorkItemOpened:
		w := m.WorkItemOpened
		if !b.mine(w.Purchase) && b.reversals[w.Reversal] == nil {
			return false
		}
		b.items[w.Item] = true
		e.say("转人工处理", "a person must look").fact("item", fmt.Sprintf("W%d", w.Item)).fact("kind", w.Kind).
			fact("response", responseText(w.Response)).fact("detail", w.Detail).fact("operation", number(w.Operation))
		if w.Reversal != 0 {
			e.fact("reversal", reversalID(w.Reversal))
		}
	case *event.Event_WorkItemClosed:
		if !b.items[m.WorkItemClosed.Item] {
			return false
		}
		e.By = m.WorkItemClosed.By
		e.say("人工处理完毕", "the person has looked").fact("item", fmt.Sprintf("W%d", m.WorkItemClosed.Item))
	case *event.Event_HoldReleaseProposed:
		if !b.mine(m.HoldReleaseProposed.Purchase) {
			return false
		}
		e.By = m.HoldReleaseProposed.By
		e.say("第一人提议释放预占，待第二人复核", "the first of two persons wants the hold released").
			fact("expires_at", moment(m.HoldReleaseProposed.ExpiresAt))
	case *event.Event_Supplemented:
		s := m.Supplemented
		if !b.mine(s.Facts.GetPurchase()) {
			return false
		}
		b.reserved = s.Facts
		e.By = s.By
		e.say("人工补录补贴", "the subsidy is recorded by hand").fact("case", s.CaseId).fact("evidence", s.Evidence)
		b.reserveFacts(e, s.Facts)
	default:
		return false
	}
	return true
}

// ofTerminal tells what the terminal's day brings: the settlement of a batch in which the purchase has its place, and what
// the terminal reports about it.
func (b *Builder) ofTerminal(e *Entry, ev *event.Event) bool {
	switch m := ev.Body.(type) {
	case *event.Event_BatchSettled:
		return b.settled(e, m.BatchSettled)
	case *event.Event_TerminalReported:
		r := m.TerminalReported
		if !b.mine(r.Purchase) {
			return false
		}
		e.say("终端上报", "the terminal reports").fact("kind", r.Kind).fact("detail", r.Detail)
		types := map[string]string{"script": "0620", "certificate": "0320", "status": "0820"}
		f := fields{}
		f.digits("F11", uint64(r.Key.GetStan()), 6)
		f.add("F41", r.Key.GetTerminal())
		f.add("F42", r.Key.GetMerchant())
		f.add("F55", upperHex(r.Icc))
		e.message(in, terminalPeer(r.Key), types[r.Kind], f)
		e.message(out, terminalPeer(r.Key), answerMTI(orElse(types[r.Kind], "0820")), answer(r.Key, "00"))
	default:
		return false
	}
	return true
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func (b *Builder) settled(e *Entry, m *event.BatchSettled) bool {
	k := m.Key
	if k == nil || b.batches[Batch{k.Terminal, k.Merchant, k.Batch}] != open {
		return false
	}
	// The same number comes again after a million batches.
	b.batches[Batch{k.Terminal, k.Merchant, k.Batch}] = closed
	e.say("终端批结算，账平", "the terminal has closed the batch: equal")
	code := "1"
	if !m.Equal {
		e.say("终端批结算，账不平", "the terminal has closed the batch: not equal")
		code = "2"
	}
	e.fact("claimed", totalsText(m.Claimed)).fact("kept", totalsText(m.Kept)).fact("next_batch", fmt.Sprint(m.NextBatch))
	f := answer(m.Key, "")
	f.add("F48", totalsField(m.Claimed, "0"))
	f.add("F60.2", fmt.Sprintf("%06d", m.Key.Batch))
	e.message(in, terminalPeer(m.Key), "0500", f)
	a := answer(m.Key, "00")
	a.add("F48", totalsField(m.Kept, code))
	a.digits("F59.SJ", uint64(m.Kept.GetSubsidyCount()), 3)
	a.amount("F59.SK", m.Kept.GetSubsidyAmount())
	e.message(out, terminalPeer(m.Key), "0510", a)
	return true
}

func totalsText(t *event.BatchTotals) string {
	return fmt.Sprintf("debit %d × %s, credit %d × %s, subsidy %d × %s", t.GetDebitCount(), yuan(t.GetDebitAmount()),
		t.GetCreditCount(), yuan(t.GetCreditAmount()), t.GetSubsidyCount(), yuan(t.GetSubsidyAmount()))
}

// totalsField is the first half of DE48, the domestic one, with the reconciliation code.
func totalsField(t *event.BatchTotals, code string) string {
	return fmt.Sprintf("%012d%03d%012d%03d%s", t.GetDebitAmount(), t.GetDebitCount(), t.GetCreditAmount(),
		t.GetCreditCount(), code)
}
