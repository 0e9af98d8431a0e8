package engine

import (
	"fmt"
	"slices"

	"huanxin/internal/money"
	"huanxin/switch/event"
)

// reversal is one store-and-forward reversal towards a host. It is repeated until the host confirms it, and leaves in
// the order of its terminal.
type reversal struct {
	id       uint64
	purchase uint64
	reason   string
	amount   money.Amount
	attempt  uint32
	nextAt   int64 // when the next attempt is due; 0 while it waits behind another of its terminal
	sentAt   int64 // of the last attempt
}

// queueReversal decides that a purchase is reversed. From here on its subsidy, quota and serial are free and it can
// never be captured; what remains is to tell the host.
func (e *Engine) queueReversal(p *purchase, cause event.ReversalCause, reason string, amount int64) {
	id := e.lastReversal + 1
	e.emit(&event.Event{Body: &event.Event_ReversalQueued{ReversalQueued: &event.ReversalQueued{
		Reversal: id, Purchase: p.id, Cause: cause, Reason: reason, HostStan: p.sale.HostStan,
		TransmittedAt: p.sale.TransmittedAt, Amount: amount, FirstAttemptAt: e.now,
	}}})
	if e.touch(p.terminal()).pending[0] == id {
		e.attempt(e.reversals[id])
	}
}

// attempt sends a reversal and schedules its repetition, in case nothing comes back.
func (e *Engine) attempt(r *reversal) {
	p := e.purchases[r.purchase]
	n := r.attempt + 1
	profile := e.profile(p.sale.Host)
	e.emit(&event.Event{Body: &event.Event_ReversalAttempted{ReversalAttempted: &event.ReversalAttempted{
		Reversal: r.id, Attempt: n, NextAt: e.now + profile.backOff(n),
	}}})
	approval := ""
	if p.answer != nil {
		approval = p.answer.Approval
	}
	e.out.Sends = append(e.out.Sends, Send{Host: &HostRequest{
		Host: p.sale.Host, Kind: HostReversal, Purchase: p.id, Reversal: r.id, Attempt: n,
		STAN: p.sale.HostStan, RRN: p.sale.Rrn, TransmittedAt: e.now, Deadline: r.nextAt, Amount: r.amount,
		Reason: r.reason, Card: p.sale.Card, Key: keyOf(p.sale.Key),
		Original: OriginalData{STAN: p.sale.HostStan, TransmittedAt: p.sale.TransmittedAt, Approval: approval},
	}})
}

// profile returns the profile of a host; one that the configuration has lost since the sale gets the defaults, so that
// its reversals wait and are not forgotten.
func (e *Engine) profile(host string) HostProfile {
	p, ok := e.cfg.Hosts[host]
	if !ok {
		p.setDefaults()
	}
	return p
}

// backOff is the wait before attempt n+1: FirstRetry, doubled each time, at most MaxRetry.
func (p *HostProfile) backOff(n uint32) int64 {
	wait := p.FirstRetry
	for range n - 1 {
		if wait >= p.MaxRetry/2 {
			return int64(p.MaxRetry)
		}
		wait *= 2
	}
	return int64(wait)
}

func (e *Engine) reversalDue(id uint64, at int64) {
	r := e.reversals[id]
	if r == nil || r.nextAt != at {
		return
	}
	e.attempt(r)
}

// hostUp: the link is back, so what waits for this host need not wait for its back-off. What was tried a moment ago is
// left alone: a host that signs on and hangs up in a circle must not be answered with a flood.
func (e *Engine) hostUp(in *HostUp) {
	var due []uint64
	pause := int64(e.profile(in.Host).FirstRetry)
	for _, t := range e.terminals {
		if len(t.pending) == 0 {
			continue
		}
		r := e.reversals[t.pending[0]]
		if e.purchases[r.purchase].sale.Host == in.Host && e.now-r.sentAt >= pause {
			due = append(due, r.id)
		}
	}
	slices.Sort(due) // map order never leaves the core
	for _, id := range due {
		e.attempt(e.reversals[id])
	}
}

func (e *Engine) reversalAnswered(p *purchase, code string) {
	r := e.reversals[p.reversal]
	if r == nil || r.attempt == 0 {
		return // answered before: hosts answer repeats too
	}
	profile := e.profile(p.sale.Host)
	nothingThere := code == "12" || code == "25"
	switch {
	case slices.Contains(profile.Retry, code), nothingThere && p.charged >= r.sentAt:
		// Later; or the host had nothing to reverse when it looked, and approved the sale afterwards.
		e.emit(&event.Event{Body: &event.Event_ReversalAttempted{ReversalAttempted: &event.ReversalAttempted{
			Reversal: r.id, Attempt: r.attempt, NextAt: e.now + profile.backOff(r.attempt), Response: code,
		}}})
		return
	case slices.Contains(profile.Done, code):
		e.emit(&event.Event{Body: &event.Event_ReversalDone{ReversalDone: &event.ReversalDone{
			Reversal: r.id, Purchase: p.id, Response: code,
		}}})
		if nothingThere && (p.charged != 0 || p.answer != nil && isApproved(p.answer.Response)) {
			e.openWorkItem("reversal-without-original", p.id, r.id, code, "the host approved the sale and knows nothing to reverse")
		}
	default:
		e.openWorkItem("reversal-refused", p.id, r.id, code, "the host refuses the reversal")
	}
	e.next(p.terminal())
}

// next sends the reversal that has waited behind the one that is now out of the way.
func (e *Engine) next(terminal [8]byte) {
	t := e.touch(terminal)
	if len(t.pending) == 0 {
		return
	}
	if r := e.reversals[t.pending[0]]; r.attempt == 0 {
		e.attempt(r)
	}
}

func (e *Engine) applyReversalQueued(m *event.ReversalQueued) {
	p := e.mustPurchase(m.Purchase)
	if m.Reversal != e.lastReversal+1 {
		panic(fmt.Sprintf("reversal %d is queued, the last was %d", m.Reversal, e.lastReversal))
	}
	e.lastReversal = m.Reversal
	e.letGo(p)
	e.move(p, Reversing, Sent, Captured, Declined, Reversed)
	p.reversal, p.undone = m.Reversal, [2]byte{}
	e.reversals[m.Reversal] = &reversal{id: m.Reversal, purchase: p.id, reason: m.Reason, amount: money.Amount(m.Amount)}
	t := e.touch(p.terminal())
	t.pending = append(t.pending, m.Reversal)
}

func (e *Engine) applyReversalAttempted(m *event.ReversalAttempted) {
	r := e.reversals[m.Reversal]
	if r == nil {
		panic(fmt.Sprintf("attempt of reversal %d, which is not queued", m.Reversal))
	}
	r.attempt, r.nextAt = m.Attempt, m.NextAt
	if m.Response == "" {
		r.sentAt = e.now
	}
	e.remind(deadline{at: m.NextAt, id: r.id, kind: reversalDeadline})
}

func (e *Engine) applyReversalDone(m *event.ReversalDone) {
	p := e.mustPurchase(m.Purchase)
	e.move(p, Reversed, Reversing)
	p.undone = rc(m.Response)
	e.unqueue(p, m.Reversal)
}

// applyWorkItem: a refused reversal leaves the queue and waits for a person; the purchase stays reversing.
func (e *Engine) applyWorkItem(m *event.WorkItemOpened) {
	if m.Item != e.lastItem+1 {
		panic(fmt.Sprintf("work item %d, the last was %d", m.Item, e.lastItem))
	}
	e.lastItem = m.Item
	if m.Kind == "reversal-refused" {
		e.unqueue(e.mustPurchase(m.Purchase), m.Reversal)
	}
}

func (e *Engine) applyLateAnswer(m *event.LateAnswer) {
	p := e.mustPurchase(m.Purchase)
	if isApproved(m.Answer.Response) || m.Answer.Response == "10" {
		p.charged = e.now
	}
}

func (e *Engine) unqueue(p *purchase, id uint64) {
	delete(e.reversals, id)
	t := e.touch(p.terminal())
	if i := slices.Index(t.pending, id); i >= 0 {
		t.pending = slices.Delete(t.pending, i, i+1)
	}
}
