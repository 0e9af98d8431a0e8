package server

import (
	"huanxin/switch/engine"
	"huanxin/switch/stage"
)

// queued is an input that waits for the engine.
type queued struct {
	body  any
	at    stage.Instant
	claim bool
}

// queue is what waits for the engine, bounded. Claims, which can come by the ten thousand a second when a round opens, wait
// in a line of their own, so that they can neither fill the one of tills, shops and hosts nor stand before it: a batch has at
// most one claim in claimShare of its inputs, and while others wait at most every claimShare-th input is one. Within a line
// the order of Submit is kept.
type queue struct {
	others, claims chan queued
}

// claimShare is the part of a batch that claims may take: one in eight. With the default bound of a batch that is 128, half a
// millisecond of deciding.
const claimShare = 8

func newQueue(bound int) queue {
	return queue{others: make(chan queued, bound), claims: make(chan queued, bound)}
}

// put appends an input to its line, or reports that the line is full.
func (q queue) put(body any, at stage.Instant) bool {
	_, claim := body.(*engine.ClaimRequest)
	line := q.others
	if claim {
		line = q.claims
	}
	select {
	case line <- queued{body, at, claim}:
		return true
	default:
		return false
	}
}

// len is how many inputs wait.
func (q queue) len() int { return len(q.others) + len(q.claims) }

// lines are those that w may take from now; nil is none.
func (q queue) lines(w *work, batchInputs int) (others, claims <-chan queued) {
	if w.claims < max(1, batchInputs/claimShare) {
		claims = q.claims
	}
	return q.others, claims
}

// next takes what waits already.
func (q queue) next(w *work, batchInputs int) (in queued, ok bool) {
	first, second := q.lines(w, batchInputs)
	if w.claims*claimShare < w.inputs {
		first, second = second, first
	}
	for _, line := range [...]<-chan queued{first, second} {
		select {
		case in = <-line:
			return in, true
		default:
		}
	}
	return in, false
}
