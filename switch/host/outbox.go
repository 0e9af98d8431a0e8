package host

import (
	"context"
	"time"
)

// outbox carries what the links learn to the server, which refuses inputs while it is overloaded. Answers are never
// dropped: a refused one is offered again until it is taken, those behind it wait in a bounded buffer, and when that is
// full the links stop reading, so that the network feels the back-pressure. One goroutine keeps the order.
type outbox struct {
	server  Server
	bodies  chan any
	metrics *Metrics
}

// Waits between offers to an overloaded server.
const (
	offerAgainMin = time.Millisecond
	offerAgainMax = 50 * time.Millisecond
)

func newOutbox(server Server, bound int, metrics *Metrics) *outbox {
	return &outbox{server: server, bodies: make(chan any, bound), metrics: metrics}
}

// put waits for room. It gives up only when ctx ends, which is when the process stops.
func (o *outbox) put(ctx context.Context, body any) {
	select {
	case o.bodies <- body:
	case <-ctx.Done():
	}
}

// offer takes body when there is room now.
func (o *outbox) offer(body any) bool {
	select {
	case o.bodies <- body:
		return true
	default:
		return false
	}
}

func (o *outbox) run(ctx context.Context) {
	for {
		select {
		case body := <-o.bodies:
			o.deliver(ctx, body)
		case <-ctx.Done():
			return
		}
	}
}

func (o *outbox) deliver(ctx context.Context, body any) {
	wait := offerAgainMin
	for o.server.Submit(body) != nil {
		o.metrics.refused.Inc()
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
