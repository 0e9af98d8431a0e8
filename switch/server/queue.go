package server

import (
	"huanxin/switch/engine"
	"huanxin/switch/stage"
)

// queued is an input that waits for the engine.
type queued struct {
	body        any
	at, arrived stage.Instant // when it came into the line; when it had come to this machine
	claim       bool
	class       class
	reversible  bool
	full        bool // it would begin something, and the journal is at its high-water mark
}

// queue is what waits for the engine, bounded. Claims, which can come by the ten thousand a second when a round opens, wait
// in a line of their own, so that they can neither fill the one of tills, shops and hosts nor stand before it: a batch has at
// most one claim in claimShare of its inputs, and while others wait at most every claimShare-th input is one. Within a line
// the order of Submit is kept.
type queue struct {
	others, claims *line
}

// claimShare is the part of a batch that claims may take: one in eight. With the default bound of a batch that is 128, half a
// millisecond of deciding.
const claimShare = 8

func newQueue(bound int, admit Admission) queue {
	return queue{others: newLine(bound, admit), claims: newLine(bound, admit)}
}

// line is the one for claims, or the one for all others.
func (q queue) line(claim bool) *line {
	if claim {
		return q.claims
	}
	return q.others
}

// entry is an input as it waits.
func entry(body any, arrived, now stage.Instant) queued {
	_, claim := body.(*engine.ClaimRequest)
	in := queued{body: body, at: now, arrived: arrived, claim: claim}
	if arrived == 0 {
		in.arrived = now
	}
	in.class, in.reversible = classOf(body)
	return in
}

// put appends an input to its line, or reports that there is no room for it. The last quarter of the line of all others is for
// what is never turned away.
func (q queue) put(in queued) bool {
	if in.class == begins && !in.claim && len(q.others.ch) >= max(1, cap(q.others.ch)/4*3) {
		return false
	}
	return q.line(in.claim).put(in)
}

// len is how many inputs wait.
func (q queue) len() int { return len(q.others.ch) + len(q.claims.ch) }

// lines are those that w may take from now; nil is none.
func (q queue) lines(w *work, batchInputs int) (others, claims <-chan queued) {
	if w.claims < max(1, batchInputs/claimShare) {
		claims = q.claims.ch
	}
	return q.others.ch, claims
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
