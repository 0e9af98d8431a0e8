package engine

import (
	"fmt"
	"slices"

	"huanxin/internal/money"
	"huanxin/switch/event"
)

// reversal is one store-and-forward reversal towards a host: of a sale, or of a void. It is repeated until the host
// confirms it or the network's clearing cut-off comes, and leaves in the order of its terminal. To a wallet it is a
// cancellation, and every other attempt asks how that has ended.
type reversal struct {
	id        uint64
	purchase  uint64
	operation uint64 // the void that is taken back; 0 = the sale
	reason    string
	amount    money.Amount
	attempt   uint32
	nextAt    int64 // when the next attempt is due; 0 while it waits behind another of its terminal
	sentAt    int64 // of the last attempt
	queuedAt  int64
	expiresAt int64 // clearing cut-off, 0 = none
	response  string
	state     reversalState
}

// waits reports whether a queued reversal stands behind another of its terminal.
func (r *reversal) waits() bool { return r.nextAt == 0 }

type reversalState uint8

const (
	reversalQueued  reversalState = iota // on its way
	reversalDead                         // the cut-off came first: only the clearing file can tell
	reversalRefused                      // the host refuses it: a person must look
)

var reversalStateNames = [...]string{"queued", "dead", "refused"}

func (s reversalState) String() string { return reversalStateNames[s] }

// queueReversal decides that a sale, or with m.Operation a void, is taken back. Of a sale, subsidy, quota and serial are
// free from here on and it can never be captured; of a void, the purchase is captured again. What remains is to tell the
// host.
func (e *Engine) queueReversal(p *purchase, m *event.ReversalQueued) {
	r := e.requestOf(p, m.Operation)
	m.Reversal, m.Purchase, m.HostStan, m.TransmittedAt, m.FirstAttemptAt = e.lastReversal+1, p.id, r.GetHostStan(), r.GetTransmittedAt(), e.now
	if !p.sale.Wallet {
		m.ExpiresAt = e.expiry(r.GetHost(), e.legOf(p, m.Operation).answer.GetClearingDate(), r.GetTransmittedAt())
	}
	e.emit(&event.Event{Body: &event.Event_ReversalQueued{ReversalQueued: m}})
	e.start(p, m.Reversal)
}

// start sends a reversal that has just been queued, unless it must wait.
func (e *Engine) start(p *purchase, id uint64) {
	if first := e.first(p); first == nil || first.id == id {
		e.attempt(e.reversals[id])
	}
}

// first is the reversal that is the next, or on its way, to the host of a purchase, of all those of the same terminal: they
// keep their order. Another host's do not wait for it. What came over HTTP has no order, and nil.
func (e *Engine) first(p *purchase) *reversal {
	if t := e.lane(p); t != nil {
		for _, id := range t.pending {
			if r := e.reversals[id]; e.purchase(r.purchase).sale.Host == p.sale.Host {
				return r
			}
		}
	}
	return nil
}

// lane is where a terminal's reversals stand in their order.
func (e *Engine) lane(p *purchase) *terminalState {
	if p.overHTTP() {
		return nil
	}
	return e.touch(p.terminal())
}

// attempt sends a reversal and schedules its repetition, in case nothing comes back.
func (e *Engine) attempt(r *reversal) {
	p := e.purchase(r.purchase)
	sent, l := e.requestOf(p, r.operation), e.legOf(p, r.operation)
	profile := e.profile(sent.GetHost())
	n := r.attempt + 1
	query := p.sale.Wallet && n%2 == 0
	e.emit(&event.Event{Body: &event.Event_ReversalAttempted{ReversalAttempted: &event.ReversalAttempted{
		Reversal: r.id, Attempt: n, NextAt: e.now + profile.backOff(n), Query: query,
	}}})
	if query {
		e.sendQuery(p, r.operation, r.id, n, r.nextAt)
		return
	}
	code := "200000"
	if r.operation == 0 {
		code = processing(p.sale.Kind)
	}
	key := Key{}
	if sent.GetKey() != nil {
		key = keyOf(sent.GetKey())
	}
	e.out.Sends = append(e.out.Sends, Send{Host: &HostRequest{
		Host: sent.GetHost(), Kind: HostReversal, Purchase: p.id, Operation: r.operation, Reversal: r.id, Attempt: n,
		STAN: sent.GetHostStan(), RRN: sent.GetRrn(), TransmittedAt: e.now, Deadline: r.nextAt, Amount: r.amount,
		Reason: r.reason, Processing: code, Card: sent.GetCard(), Key: key, Original: originalOf(sent, l.answer),
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
	if r == nil || r.state != reversalQueued || r.nextAt != at {
		return
	}
	e.attempt(r)
}

// reversalExpired: the network's clearing cut-off has come without an answer. The reversal is a dead letter: an operator
// settles it from the clearing file. What waited behind it goes on.
func (e *Engine) reversalExpired(id uint64, at int64) {
	r := e.reversals[id]
	if r == nil || r.state != reversalQueued || r.expiresAt != at {
		return
	}
	e.emit(&event.Event{Body: &event.Event_ReversalDead{ReversalDead: &event.ReversalDead{
		Reversal: r.id, Purchase: r.purchase, Operation: r.operation,
	}}})
	e.next(e.purchase(r.purchase))
}

// hostUp: the link is back, so what waits for this host need not wait for its back-off. What was tried a moment ago is
// left alone: a host that signs on and hangs up in a circle must not be answered with a flood.
func (e *Engine) hostUp(in *HostUp) {
	var due []uint64
	pause := int64(e.profile(in.Host).FirstRetry)
	for id, r := range e.reversals {
		if r.state != reversalQueued || e.now-r.sentAt < pause || r.waits() {
			continue
		}
		if p := e.purchase(r.purchase); e.requestOf(p, r.operation).GetHost() == in.Host {
			due = append(due, id)
		}
	}
	slices.Sort(due) // map order never leaves the core
	for _, id := range due {
		e.attempt(e.reversals[id])
	}
}

// reversalAnswered is the answer of a host to a reversal of the sale, or of an operation.
func (e *Engine) reversalAnswered(p *purchase, operation uint64, code string) {
	l := e.legOf(p, operation)
	r := e.reversals[l.reversal]
	profile := e.profile(e.requestOf(p, operation).GetHost())
	nothingThere := code == "12" || code == "25"
	if r == nil || r.attempt == 0 { // answered before: hosts answer repeats too
		if !nothingThere && slices.Contains(profile.Done, code) {
			e.reversedAfterAll(p, operation, code)
		}
		return
	}
	switch {
	case r.state != reversalQueued && (nothingThere || !slices.Contains(profile.Done, code)):
		return // a person has it already, and this settles nothing
	case slices.Contains(profile.Retry, code), nothingThere && l.charged >= r.queuedAt:
		// Later; or the host had nothing to reverse when it looked, and approved the sale afterwards. Which attempt an answer
		// is to, nobody can tell, so that any but one sent in vain may have overtaken the sale: a host that has approved since
		// the reversal was decided is asked until it reverses, or until the clearing cut-off hands it to a person.
		e.emit(&event.Event{Body: &event.Event_ReversalAttempted{ReversalAttempted: &event.ReversalAttempted{
			Reversal: r.id, Attempt: r.attempt, NextAt: e.now + profile.backOff(r.attempt), Response: code,
		}}})
		return
	case slices.Contains(profile.Done, code):
		e.emit(&event.Event{Body: &event.Event_ReversalDone{ReversalDone: &event.ReversalDone{
			Reversal: r.id, Purchase: p.id, Response: code,
		}}})
		if nothingThere && (l.charged != 0 || l.answer != nil && isApproved(l.answer.Response)) {
			e.openWorkItem("reversal-without-original", p.id, r.id, code, "the host has approved it and knows nothing to reverse")
		}
	default:
		e.openWorkItem("reversal-refused", p.id, r.id, code, "the host refuses the reversal")
	}
	e.expireIfReleased(p)
	e.next(p)
}

// reversedAfterAll: the host has reversed what by an operator's word it would not. The charge is being paid back by other
// means, or the void stands: either way the payer's money has gone one way too often.
func (e *Engine) reversedAfterAll(p *purchase, operation uint64, code string) {
	o := e.operation(operation)
	if l := e.legOf(p, operation); l.undone != byOperator || o == nil && !p.standing || o != nil && o.state != opApproved {
		return
	}
	for _, item := range e.items { // hosts answer repeats too
		if item.opened.Kind == itemLateReversal && item.opened.Purchase == p.id && item.opened.Operation == operation {
			return
		}
	}
	e.openItem(&event.WorkItemOpened{
		Kind: itemLateReversal, Purchase: p.id, Operation: operation, Response: code, Detail: "reversed at the host after an operator had settled it otherwise",
	})
}

// itemLateReversal is the kind of the work item about a reversal that its host has carried out against an operator's word.
const itemLateReversal = "late-reversal"

// next sends the reversal that has waited behind the one that is now out of the way.
func (e *Engine) next(p *purchase) {
	if r := e.first(p); r != nil && r.waits() {
		e.attempt(r)
	}
}

func (e *Engine) applyReversalQueued(m *event.ReversalQueued) {
	p := e.mustPurchase(m.Purchase)
	if m.Reversal != e.lastReversal+1 {
		panic(fmt.Sprintf("reversal %d is queued, the last was %d", m.Reversal, e.lastReversal))
	}
	e.lastReversal = m.Reversal
	if m.Operation != 0 {
		o, _ := e.mustOperation(m.Operation)
		given := o.state == opDeclined || o.state == opReversed // up before: another void or refund may be under way by now
		e.turn(o, opReversing, opSent, opApproved, opDeclined, opReversed)
		if !given {
			e.move(p, Captured, Voiding, Voided)
			e.leaveQuarantine(p)
		}
	} else {
		spent := p.spends()
		if m.KeepsHold {
			p.keepsHold, p.spent = true, spent
			e.move(p, Reversing, Sent, Unknown, Captured)
		} else {
			e.letGo(p)
			e.move(p, Reversing, Sent, Unknown, Captured, Declined, Reversed)
		}
	}
	l := e.legOf(p, m.Operation)
	delete(e.reversals, l.reversal) // one that has ended: this one takes its place
	l.reversal, l.undone = m.Reversal, [2]byte{}
	r := &reversal{
		id: m.Reversal, purchase: p.id, operation: m.Operation, reason: m.Reason, amount: money.Amount(m.Amount), queuedAt: e.now,
		expiresAt: m.ExpiresAt,
	}
	e.reversals[r.id] = r
	e.enqueue(p, r)
}

// enqueue puts a reversal on its way.
func (e *Engine) enqueue(p *purchase, r *reversal) {
	e.queued++
	if t := e.lane(p); t != nil {
		t.pending = append(t.pending, r.id)
	}
	if r.expiresAt != 0 {
		e.remind(deadline{at: r.expiresAt, id: r.id, kind: reversalExpiry})
	}
}

// dequeue takes a reversal off its way.
func (e *Engine) dequeue(p *purchase, r *reversal) {
	e.queued--
	if t := e.lane(p); t != nil {
		if i := slices.Index(t.pending, r.id); i >= 0 {
			t.pending = slices.Delete(t.pending, i, i+1)
		}
	}
}

func (e *Engine) mustReversal(id uint64) *reversal {
	r := e.reversals[id]
	if r == nil {
		panic(fmt.Sprintf("event for reversal %d, which is not queued", id))
	}
	return r
}

func (e *Engine) applyReversalAttempted(m *event.ReversalAttempted) {
	r := e.mustReversal(m.Reversal)
	r.attempt, r.nextAt, r.response = m.Attempt, m.NextAt, m.Response
	if m.Response == "" {
		r.sentAt = e.now
	}
	e.remind(deadline{at: m.NextAt, id: r.id, kind: reversalDeadline})
}

func (e *Engine) applyReversalDone(m *event.ReversalDone) {
	r := e.mustReversal(m.Reversal)
	p := e.mustPurchase(m.Purchase)
	switch r.state {
	case reversalQueued:
		e.dequeue(p, r)
	case reversalDead:
		e.leaveState(r)
	case reversalRefused:
		e.closeItemsOf(r)
	}
	e.endReversal(p, r, rc(m.Response))
}

// endReversal: the host, or the clearing, has settled it.
func (e *Engine) endReversal(p *purchase, r *reversal, code [2]byte) {
	delete(e.reversals, r.id)
	if r.operation != 0 {
		o, _ := e.mustOperation(r.operation)
		e.turn(o, opReversed, opReversing)
		o.undone = code
		return
	}
	if p.keepsHold {
		e.letGo(p)
		p.keepsHold, p.spent = false, false
	}
	e.move(p, Reversed, Reversing)
	p.undone = code
}

func (e *Engine) applyReversalDead(m *event.ReversalDead) {
	r := e.mustReversal(m.Reversal)
	e.dequeue(e.mustPurchase(m.Purchase), r)
	r.state, r.nextAt = reversalDead, 0
	e.dead++
	e.lastDead = fmt.Sprintf("R%d", r.id)
}

func (e *Engine) applyReversalRequeued(m *event.ReversalRequeued) {
	r := e.mustReversal(m.Reversal)
	e.leaveState(r)
	e.closeItemsOf(r) // of a refusal; another one opens another
	r.state, r.nextAt, r.expiresAt = reversalQueued, 0, m.ExpiresAt
	e.enqueue(e.mustPurchase(r.purchase), r)
}

// leaveState keeps the count of dead letters.
func (e *Engine) leaveState(r *reversal) {
	if r.state == reversalDead {
		e.dead--
	}
}

// applyReversalResolved: an operator has settled it. Of a void that was to be taken back, "returned" means that the void
// stands: the payer has the money, so the purchase is voided after all.
func (e *Engine) applyReversalResolved(m *event.ReversalResolved) {
	r := e.mustReversal(m.Reversal)
	p := e.mustPurchase(m.Purchase)
	if r.state == reversalQueued {
		e.dequeue(p, r)
	}
	e.leaveState(r)
	e.closeItemsOf(r)
	e.endReversal(p, r, byOperator)
	p.standing = r.operation == 0 && m.Outcome == outcomeCharged
	if r.operation != 0 && m.Outcome == outcomeReturned {
		e.letGo(p)
		e.move(p, Voided, Captured)
		o, _ := e.mustOperation(r.operation)
		e.turn(o, opApproved, opReversed)
	}
}

const (
	outcomeReturned  = "returned"
	outcomeCharged   = "charged"
	outcomeConfirmed = "confirmed"
	outcomeFailed    = "failed"
)

// workItem is something that a person must look at, while it is open.
type workItem struct {
	opened *event.WorkItemOpened
	at     int64
}

// applyWorkItem: a refused reversal leaves the queue and waits for a person; the purchase stays reversing.
func (e *Engine) applyWorkItem(m *event.WorkItemOpened) {
	if m.Item != e.lastItem+1 {
		panic(fmt.Sprintf("work item %d, the last was %d", m.Item, e.lastItem))
	}
	e.lastItem = m.Item
	e.items[m.Item] = workItem{m, e.now}
	switch m.Kind {
	case "reversal-refused":
		r := e.mustReversal(m.Reversal)
		e.dequeue(e.mustPurchase(m.Purchase), r)
		r.state, r.nextAt, r.response = reversalRefused, 0, m.Response
	case itemRefundUnknown:
		o, _ := e.mustOperation(m.Operation)
		o.item = m.Item
		e.dead++
		e.lastDead = fmt.Sprintf("F%d", m.Operation)
	}
}

func (e *Engine) applyWorkItemClosed(m *event.WorkItemClosed) { e.closeItem(m.Item) }

func (e *Engine) closeItem(id uint64) {
	if e.items[id].opened.GetKind() == itemRefundUnknown {
		e.dead--
	}
	delete(e.items, id)
}

// closeItemsOf closes what was opened about a reversal that is settled now.
func (e *Engine) closeItemsOf(r *reversal) {
	for id, item := range e.items {
		if item.opened.Reversal == r.id {
			e.closeItem(id)
		}
	}
}

// closeRefundItem closes the dead letter of a refund that has been settled.
func (e *Engine) closeRefundItem(o *operation) {
	if o.item != 0 {
		e.closeItem(o.item)
		o.item = 0
	}
}

func (e *Engine) applyLateAnswer(m *event.LateAnswer) {
	p := e.mustPurchase(m.Purchase)
	if movesMoney(m.Answer.Response) {
		e.legOf(p, m.Operation).charged = e.now
	}
}
