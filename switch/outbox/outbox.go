// Package outbox carries what the links to hosts learn to the server, which refuses inputs while it is overloaded.
//
// The contract: nothing that was taken is dropped while the process lives. What the server takes at once goes to it from
// the caller's goroutine. A refused body is offered again until it is taken, those behind it wait in a bounded buffer, and
// when that is full the links stop reading, so that the host feels the back-pressure. Bodies of one caller keep their order.
package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Server takes what the links learn. An error means that it did not take it now. It does not block.
type Server interface {
	Submit(body any) error
}

// Outbox is the buffer between some links and the server.
type Outbox struct {
	server  Server
	bodies  chan any
	refused prometheus.Counter // offers that the overloaded server refused

	mu      sync.Mutex // held over a direct offer, so that none overtakes a body that waits
	waiting int        // bodies in the buffer, on their way into it, or being offered again
}

// Waits between offers to an overloaded server.
const (
	offerAgainMin = time.Millisecond
	offerAgainMax = 50 * time.Millisecond
)

// New returns an outbox for at most bound bodies; refused counts what the server did not take at once.
func New(server Server, bound int, refused prometheus.Counter) *Outbox {
	return &Outbox{server: server, bodies: make(chan any, bound), refused: refused}
}

// Put waits for room. It gives up only when ctx ends, which is when the process stops.
func (o *Outbox) Put(ctx context.Context, body any) {
	o.mu.Lock()
	taken := o.direct(body)
	if !taken {
		o.waiting++
	}
	o.mu.Unlock()
	if taken {
		return
	}
	select {
	case o.bodies <- body:
	case <-ctx.Done():
		o.gone()
	}
}

// Offer takes body when there is room now.
func (o *Outbox) Offer(body any) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.direct(body) {
		return true
	}
	select {
	case o.bodies <- body:
		o.waiting++
		return true
	default:
		return false
	}
}

// direct gives body to the server when nothing waits before it. It is called with mu held.
func (o *Outbox) direct(body any) bool {
	if o.waiting > 0 {
		return false
	}
	if o.server.Submit(body) != nil {
		o.refused.Inc()
		return false
	}
	return true
}

// gone notes that one body does not wait any more.
func (o *Outbox) gone() {
	o.mu.Lock()
	o.waiting--
	o.mu.Unlock()
}

// Run delivers what waits until ctx ends.
func (o *Outbox) Run(ctx context.Context) {
	for {
		select {
		case body := <-o.bodies:
			o.deliver(ctx, body)
			o.gone()
		case <-ctx.Done():
			return
		}
	}
}

func (o *Outbox) deliver(ctx context.Context, body any) {
	wait := offerAgainMin
	for o.server.Submit(body) != nil {
		o.refused.Inc()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		wait = min(2*wait, offerAgainMax)
	}
}
