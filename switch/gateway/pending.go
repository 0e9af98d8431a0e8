package gateway

import (
	"slices"
	"sync"

	"huanxin/switch/engine"
)

// pending is the bounded table of requests that wait for the engine.
type pending struct {
	max, perCaller int

	// mu guarantees that an entry is answered or removed, never both, and that the counts match the table.
	mu      sync.Mutex
	last    engine.Token
	waiting map[engine.Token]waiter
	callers map[string]int
}

type waiter struct {
	caller string
	answer chan engine.APIReply // of capacity 1: Deliver never blocks
}

func newPending(max, perCaller int) *pending {
	return &pending{max: max, perCaller: perCaller, waiting: map[engine.Token]waiter{}, callers: map[string]int{}}
}

// open makes an entry, or says why there is no room.
func (p *pending) open(caller string) (engine.Token, <-chan engine.APIReply, *problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) >= p.max {
		return 0, nil, newProblem(codeOverloaded)
	}
	if p.callers[caller] >= p.perCaller {
		return 0, nil, newProblem(codeTooMany)
	}
	p.last++
	w := waiter{caller, make(chan engine.APIReply, 1)}
	p.waiting[p.last] = w
	p.callers[caller]++
	return p.last, w.answer, nil
}

// take removes an entry; the second of two takes of one token gets false.
func (p *pending) take(token engine.Token) (waiter, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, ok := p.waiting[token]
	if ok {
		delete(p.waiting, token)
		if p.callers[w.caller]--; p.callers[w.caller] == 0 {
			delete(p.callers, w.caller)
		}
	}
	return w, ok
}

func (p *pending) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

// Deliver hands an answer of the engine to the request that waits for it. It copies what it needs: the reply is the
// caller's again on return.
func (g *Gateway) Deliver(reply *engine.APIReply) {
	w, ok := g.pending.take(reply.Token)
	if !ok {
		g.metrics.late.Inc()
		return
	}
	answer := *reply
	answer.Reasons = slices.Clone(reply.Reasons)
	if reply.Purchase != nil {
		view := *reply.Purchase // of which callers are shown nothing that lies behind a slice
		answer.Purchase = &view
	}
	if reply.Refund != nil {
		view := *reply.Refund
		answer.Refund = &view
	}
	w.answer <- answer
}
