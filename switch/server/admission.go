package server

import (
	"sync/atomic"
	"time"

	"huanxin/switch/engine"
	"huanxin/switch/stage"
)

// Admission bounds how long what is decided has waited. The time in the queue is what tells overload – not the queue's length,
// which is long in a rush that is over in a moment and short before a machine that has slowed down.
//
// What begins something new is turned away first: a buyer who is told at once to try again has lost nothing, and no budget was
// touched. A payment that has not begun is turned away later, since its buyer has a card in the hand and its hold stands all the
// same. What ends, undoes or tells of something that has begun is never turned away: a reversal or an answer of a host that
// waits costs somebody money.
//
// It is turned away at the door, where that costs least, once others have waited for half of their bound, and until the wait is a
// quarter of it: so the queue stays long enough for the engine never to be idle, and hardly anybody waits in vain.
//
// What has waited before it came into the queue – in its socket, behind too many of its own connection (wire's MaxInFlight), for
// its turn to be read – is old as well: its time on this machine has the bounds Interval and Payments, as long as others wait too. It does
// not tell overload: a concentrator that sends all at once makes itself wait.
//
//	begins     reserve, claim, code, quote, entitlement, balance   beyond Target, or Interval
//	payment    sale, pre-authorisation, commit by a wallet         beyond Payments
//	essential  everything else: reversal, void, refund, cancel, commit of what the caller has collected, settlement,
//	           upload, report, status, sign-on, answers of hosts, operators' acts, deadlines
type Admission struct {
	// Target is how long something new may wait in an overload: all have waited for more than half of it for as long as Interval, or
	// somebody was turned away within that. Default 100 ms.
	Target time.Duration
	// Interval is how long it may wait otherwise: a burst, a stall of the disk or of the collector ends by itself. Default 500 ms.
	Interval time.Duration
	// Payments is how long a payment may wait. Default 2 s.
	Payments time.Duration
	// Stale is how long a terminal waits for an answer, counted from when its request had come to this machine. What it would reverse
	// by now is recorded as refused and not decided. Default: never.
	Stale time.Duration
}

func (a Admission) withDefaults() Admission {
	a.Target = orElse(a.Target, 100*time.Millisecond)
	a.Interval = orElse(a.Interval, 500*time.Millisecond)
	a.Payments = orElse(a.Payments, 2*time.Second)
	return a
}

// class is what may be done with an input that has waited for long.
type class uint8

const (
	essential class = iota
	payment
	begins
)

// classOf also tells whether a terminal would reverse the input when it hears nothing.
func classOf(body any) (c class, reversible bool) {
	switch b := body.(type) {
	case *engine.ReserveRequest:
		return begins, b.API == nil
	case *engine.ClaimRequest, *engine.ShowCodeRequest, *engine.QuoteRequest, *engine.EntitlementRequest, *engine.InquiryRequest:
		return begins, false
	case *engine.SaleRequest:
		if b.Kind.Ends() {
			return essential, true
		}
		return payment, true
	case *engine.CommitRequest:
		if b.Host != "" {
			return payment, false
		}
	case *engine.VoidRequest:
		return essential, true
	}
	return essential, false
}

// line is one of the queue's two. The server's goroutines put, the loop takes.
type line struct {
	ch    chan queued
	admit Admission

	// turning says that what begins something new is refused at the door.
	turning atomic.Bool
	// since is when the loop last took something and left others waiting, or when the first came into the empty line; 0 = nobody
	// waits. A loop that is held up takes nothing, and so would not notice.
	since atomic.Int64

	// The loop's own: since when all have waited for more than half of the target, 0 = not so; when somebody was last turned away.
	above, turned stage.Instant
}

func newLine(bound int, admit Admission) *line {
	return &line{ch: make(chan queued, bound), admit: admit}
}

// put appends an input, or reports that the line is full.
func (l *line) put(in queued) bool {
	if l.since.Load() == 0 {
		l.since.CompareAndSwap(0, int64(in.at)) // before it can be taken, so that nothing is left behind in an empty line
	}
	select {
	case l.ch <- in:
		return true
	default:
		return false
	}
}

// turnsAway reports whether something new that had come at that instant, 0 for now, would wait for too long.
func (l *line) turnsAway(arrived, now stage.Instant) bool {
	if l.turning.Load() || arrived != 0 && l.tooOld(arrived, now, l.admit.Interval) {
		return true
	}
	since := l.since.Load()
	return since != 0 && now-stage.Instant(since) > stage.Instant(l.admit.Interval) && len(l.ch) > 0
}

// tooOld reports whether something has been on this machine for too long. The engine is never left idle over it: what has no others
// behind it is decided, so that where reading is what takes long not everybody is turned away.
func (l *line) tooOld(arrived, now stage.Instant, bound time.Duration) bool {
	return now-arrived > stage.Instant(bound) && len(l.ch) > 0
}

// limit is how long something new may have waited.
func (l *line) limit(now stage.Instant) stage.Instant {
	interval := stage.Instant(l.admit.Interval)
	if l.above != 0 && now-l.above > interval || l.turned != 0 && now-l.turned < interval {
		return stage.Instant(l.admit.Target)
	}
	return interval
}

// sinceGrain spares most inputs a write that the fronts would see.
const sinceGrain = stage.Instant(time.Millisecond)

// took notes that the loop has taken an input, and reports whether it has waited too long to be begun.
func (l *line) took(in *queued, now stage.Instant) (tooLong bool) {
	wait := now - in.at
	if wait <= stage.Instant(l.admit.Target)/2 {
		l.above = 0
	} else if l.above == 0 {
		l.above = now
	}
	limit := l.limit(now)
	turning := l.turning.Load()
	turn := len(l.ch) > 0 && (wait > limit/2 || turning && wait > limit/4)
	if turn != turning {
		l.turning.Store(turn)
	}
	if wait > limit || turn && limit == stage.Instant(l.admit.Target) { // a burst at the door does not make an overload of itself
		l.turned = now
	}
	if len(l.ch) == 0 {
		l.above = 0
		l.since.Store(0)
	} else if now-stage.Instant(l.since.Load()) >= sinceGrain {
		l.since.Store(int64(now))
	}
	switch in.class {
	case begins:
		return wait > limit || l.tooOld(in.arrived, now, l.admit.Interval)
	case payment:
		return wait > stage.Instant(l.admit.Payments) || l.tooOld(in.arrived, now, l.admit.Payments)
	}
	return false
}

// stale reports whether the terminal has given the input up.
func (l *line) stale(in *queued, now stage.Instant) bool {
	return in.reversible && l.admit.Stale > 0 && now-in.arrived > stage.Instant(l.admit.Stale)
}
