package gateway

import (
	"slices"
	"sync"
	"time"

	"huanxin/switch/engine"
)

// pending is the bounded table of requests that wait for the engine.
type pending struct {
	max, perCaller int
	spares         sync.Pool // of *waiter

	// mu guarantees that an entry is answered or removed, never both, and that the counts match the table.
	mu      sync.Mutex
	last    engine.Token
	waiting map[engine.Token]*waiter
	callers map[string]int
}

// waiter is one request that waits. Who takes it out of the table decides how its waiting ends: Deliver, which sets the
// answer and says so, or the request itself.
type waiter struct {
	caller string
	token  engine.Token
	answer *engine.APIReply
	ready  chan struct{} // of capacity 1: Deliver never blocks
	timer  *time.Timer
}

func newPending(max, perCaller int) *pending {
	p := &pending{max: max, perCaller: perCaller, waiting: map[engine.Token]*waiter{}, callers: map[string]int{}}
	p.spares.New = func() any {
		timer := time.NewTimer(time.Hour)
		timer.Stop()
		return &waiter{ready: make(chan struct{}, 1), timer: timer}
	}
	return p
}

// open makes an entry, or says why there is no room.
func (p *pending) open(caller string) (*waiter, *problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) >= p.max {
		return nil, newProblem(codeOverloaded)
	}
	if p.callers[caller] >= p.perCaller {
		return nil, newProblem(codeTooMany)
	}
	p.last++
	w := p.spares.Get().(*waiter)
	w.caller, w.token = caller, p.last
	p.waiting[w.token] = w
	p.callers[caller]++
	return w, nil
}

// take removes an entry; the second of two takes of one token gets nil.
func (p *pending) take(token engine.Token) *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.waiting[token]
	if w == nil {
		return nil
	}
	delete(p.waiting, token)
	if p.callers[w.caller]--; p.callers[w.caller] == 0 {
		delete(p.callers, w.caller)
	}
	return w
}

// wait waits until the entry is answered, for at most so long, and closes it. It returns nil when there is no answer.
func (p *pending) wait(w *waiter, atMost time.Duration) (answer *engine.APIReply) {
	w.timer.Reset(atMost)
	select {
	case <-w.ready:
	case <-w.timer.C:
		p.giveUp(w)
	}
	w.timer.Stop()
	answer, w.answer = w.answer, nil
	p.spares.Put(w)
	return answer
}

// giveUp takes the entry out, or takes the answer that has just come.
func (p *pending) giveUp(w *waiter) {
	if p.take(w.token) == nil {
		<-w.ready
	}
}

func (p *pending) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

// Deliver hands an answer of the engine to the request that waits for it. It copies what it needs: the reply is the
// caller's again on return.
func (g *Gateway) Deliver(reply *engine.APIReply) {
	w := g.pending.take(reply.Token)
	if w == nil {
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
	w.answer = &answer
	w.ready <- struct{}{}
}
