package host

import (
	"bytes"
	"sync"
	"time"

	"huanxin/switch/engine"
)

// matchKey finds the request of an answer: the values of the profile's match fields, as they stand on the wire, zero for
// those that are not in the profile's key. A reversal has the DE11 and DE37 of what it takes back, so the two families are
// held apart; within one the switch's numbers are unique.
type matchKey struct {
	reversal bool
	de7      [10]byte
	de11     [6]byte
	de37     [12]byte
}

// rrn is DE37 of the key, "" when it is none of its fields.
func (k *matchKey) rrn() string { return string(bytes.TrimRight(k.de37[:], "\x00")) }

// asked is what the link remembers of a request.
type asked struct {
	kind      engine.HostKind
	purchase  uint64
	operation uint64
	reversal  uint64
	attempt   uint32
	stan      uint32
	rrn       string
}

func askedBy(req *engine.HostRequest) asked {
	return asked{
		kind: req.Kind, purchase: req.Purchase, operation: req.Operation, reversal: req.Reversal, attempt: req.Attempt,
		stan: req.STAN, rrn: req.RRN,
	}
}

// unsent is the report that the request certainly never left.
func (a *asked) unsent() *engine.HostUnsent {
	return &engine.HostUnsent{
		Kind: a.kind, Purchase: a.purchase, Operation: a.operation, Reversal: a.reversal, Attempt: a.attempt, RRN: a.rrn,
	}
}

type pending struct {
	key      matchKey
	asked    asked
	sentAt   time.Time
	deadline time.Time
	answered bool
	flight   *flight // of the connection that carries it
	open     bool    // in that window: neither answered nor expired; flight.mu guards it
	live     bool    // still the entry of its key
}

// matcher remembers what was sent, so that an answer, also a late or a second one, can be told its purchase. It forgets
// the oldest when it is full; an answer that it cannot match is submitted with what it says about itself, and the
// engine, which journals every number it gave out, has the last word.
type matcher struct {
	mu      sync.Mutex // guards both; the ring holds the entries in the order of sending
	entries map[matchKey]*pending
	ring    []*pending
	next    int
}

func newMatcher(bound int) *matcher {
	return &matcher{entries: make(map[matchKey]*pending, bound), ring: make([]*pending, bound)}
}

// remember notes a request as sent. A repeated reversal takes the place of the former attempt: one answer settles both.
func (m *matcher) remember(p *pending) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.entries[p.key]; old != nil {
		old.live = false
	}
	if oldest := m.ring[m.next]; oldest != nil && oldest.live {
		delete(m.entries, oldest.key)
	}
	p.live = true
	m.entries[p.key] = p
	m.ring[m.next] = p
	m.next = (m.next + 1) % len(m.ring)
}

// verdict is what an answer is to its request.
type verdict uint8

const (
	inTime verdict = iota
	late
	repeated
	unasked
)

var verdictNames = [...]string{"in_time", "late", "repeated", "unasked"}

// answer finds the request of an answer that came at now.
func (m *matcher) answer(key matchKey, now time.Time) (p *pending, v verdict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p = m.entries[key]
	switch {
	case p == nil:
		return nil, unasked
	case p.answered:
		return p, repeated
	}
	p.answered = true
	if now.After(p.deadline) {
		return p, late
	}
	return p, inTime
}

// flight is the window of one connection: requests that were sent and are neither answered nor expired. It bounds what
// a slow network may have of ours.
type flight struct {
	mu    sync.Mutex // guards all but freed
	open  int
	order []*pending // by sending; the head is open, the rest may be answered already
	limit int
	freed chan struct{} // capacity 1: the window was full and may have room again
}

func newFlight(limit int) *flight { return &flight{limit: limit, freed: make(chan struct{}, 1)} }

// room reports whether one more may be sent at now; if not, until when at most the oldest one blocks.
func (f *flight) room(now time.Time) (ok bool, until time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.order) > 0 {
		head := f.order[0]
		if head.open && now.Before(head.deadline) {
			break
		}
		f.close(head)
		f.order[0] = nil
		f.order = f.order[1:]
	}
	if f.open < f.limit {
		return true, time.Time{}
	}
	return false, f.order[0].deadline
}

func (f *flight) add(p *pending) {
	f.mu.Lock()
	p.open = true
	f.open++
	f.order = append(f.order, p)
	f.mu.Unlock()
}

// done takes an answered request out, and wakes the writer when it may have waited for that.
func (f *flight) done(p *pending) {
	f.mu.Lock()
	full := f.open >= f.limit
	f.close(p)
	f.mu.Unlock()
	if !full {
		return
	}
	select {
	case f.freed <- struct{}{}:
	default:
	}
}

// close is called with mu held.
func (f *flight) close(p *pending) {
	if p.open {
		p.open = false
		f.open--
	}
}
