// Package outbox carries what the links to hosts learn to the server, which refuses inputs while it is overloaded.
//
// The contract: nothing that was taken is dropped while the process lives. A refused body is offered again until it is
// taken, those behind it wait in a bounded buffer, and when that is full the links stop reading, so that the host feels
// the back-pressure. One goroutine keeps the order.
package outbox

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Server takes what the links learn. An error means that it did not take it now.
type Server interface {
	Submit(body any) error
}

// Outbox is the buffer between some links and the server.
type Outbox struct {
	server  Server
	bodies  chan any
	refused prometheus.Counter // offers that the overloaded server refused
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
	select {
	case o.bodies <- body:
	case <-ctx.Done():
	}
}

// Offer takes body when there is room now.
func (o *Outbox) Offer(body any) bool {
	select {
	case o.bodies <- body:
		return true
	default:
		return false
	}
}

// Run delivers until ctx ends.
func (o *Outbox) Run(ctx context.Context) {
	for {
		select {
		case body := <-o.bodies:
			o.deliver(ctx, body)
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
