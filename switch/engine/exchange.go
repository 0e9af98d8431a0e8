package engine

import (
	"encoding/binary"
	"iter"
	"slices"
	"time"

	"huanxin/internal/flat"
	"huanxin/internal/mutant"
	"huanxin/subsidy/reason"
	"huanxin/switch/event"
)

// exchangeKind says what a key stands for.
type exchangeKind uint8

const (
	exchangeReserve exchangeKind = iota + 1
	exchangeRefusedReserve
	exchangeCancel
	exchangeSale
	exchangeRefusedSale // or a refused void or refund
	exchangeTombstone   // a reversal came first; its original must never reach a host
	exchangeVoid
	exchangeRefund
	exchangeInquiry
	exchangeSettlement
	exchangeUpload
	exchangeReport
	exchangeSignOff
)

// exchange is what the switch remembers of one request of a terminal.
type exchange struct {
	content   Hash
	kind      exchangeKind
	response  [2]byte // DE39 of a refused sale
	reversal  [2]byte // DE39 answered to the 0400 of this exchange, zero when none came
	purchase  uint64
	refusal   uint64 // key of Engine.refusals
	at        int64  // of the last event
	operation uint64 // void or refund; of an inquiry the number of its RRN
}

// refusal is the answer to a refused reserve.
type refusal struct {
	price   int64
	reasons []reason.Code
}

// exchanges are what the switch remembers of its terminals' requests, by key and in the order of their last event. They
// hold no pointers: a day has hundreds of thousands.
type exchanges struct {
	queue   flat.Queue[remembered]
	newest  flat.Index // of the numbers in the queue, by key
	settled map[Key]*event.BatchSettled
}

// remembered is one exchange as of one event. An exchange that has been seen again has another behind it, which counts.
type remembered struct {
	key Key
	exchange
}

// hash spreads keys over the index.
func (k Key) hash() uint32 {
	const odd = 0x9e3779b97f4a7c15
	h := binary.LittleEndian.Uint64(k.Terminal[:])
	h = (h^h>>29)*odd ^ binary.LittleEndian.Uint64(k.Merchant[:8])
	h = (h^h>>29)*odd ^ binary.LittleEndian.Uint64(k.Merchant[7:])
	h = (h^h>>29)*odd ^ uint64(k.Class)<<56 ^ uint64(k.Batch)<<32 ^ uint64(k.STAN)
	return flat.Mix(h)
}

// find returns the number of what counts for a key.
func (s *exchanges) find(key Key) (number uint64, ok bool) {
	ref, ok := s.newest.Find(key.hash(), func(ref uint32) bool { return s.queue.At(s.queue.Number(ref)).key == key })
	return s.queue.Number(ref), ok
}

func (s *exchanges) get(key Key) (exchange, bool) {
	if number, ok := s.find(key); ok {
		return s.queue.At(number).exchange, true
	}
	return exchange{}, false
}

// put remembers x behind all others, and reports whether its key was known.
func (s *exchanges) put(key Key, x exchange) (known bool) {
	old, known := s.find(key)
	if known {
		s.newest.Remove(key.hash(), s.queue.Ref(old))
	}
	s.newest.Add(key.hash(), s.queue.Ref(s.queue.Push(remembered{key, x})))
	return known
}

// pop takes the oldest away; counts is false when the exchange has been seen again since.
func (s *exchanges) pop() (r remembered, counts bool) {
	number := s.queue.First()
	r, _ = s.queue.Front()
	newest, ok := s.find(r.key)
	if counts = ok && newest == number; counts {
		s.newest.Remove(r.key.hash(), s.queue.Ref(number))
	}
	s.queue.Pop()
	return r, counts
}

// remember puts an exchange under its key and restarts its age.
func (e *Engine) remember(key Key, x exchange) {
	x.at = e.now
	if !e.exchanges.put(key, x) && e.session(key.Terminal).batch == key.Batch {
		e.scratch.fresh = true
	}
}

// find returns the live exchange of a key. It lives as long as its batch is open, and for memory after its last event: then
// it is gone, and the same key is a new purchase. One that is not finished is never overwritten.
func (e *Engine) find(key Key) (exchange, bool) {
	x, ok := e.exchanges.get(key)
	if mutant.DuplicateAcrossMidnight && midnight(x.at) != midnight(e.now) {
		return exchange{}, false
	}
	if !ok || e.forgettable(key, x, e.now) || x.purchase != 0 && !e.purchases.known(x.purchase) {
		return exchange{}, false
	}
	return x, true
}

// midnight is the one in Shanghai before an instant.
func midnight(at int64) string { return time.Unix(0, at).In(china).Format(time.DateOnly) }

// forgettable reports whether a key has had its time. A cold purchase has had no event for long enough.
func (e *Engine) forgettable(key Key, x exchange, now int64) bool {
	if x.at+memory >= now || e.session(key.Terminal).batch == key.Batch {
		return false
	}
	p := e.purchases.ifAwake(x.purchase)
	return p == nil && !e.purchases.rests(x.purchase) || p != nil && p.final() && p.changed+memory < now
}

// maxForgotten bounds what one event forgets of each kind, so that the first one after a long silence holds up nothing. What
// is left goes with the events that follow: a look-up asks for the age by itself, where it matters.
const maxForgotten = 256

// forget drops what is older than memory. It runs as part of Apply, driven by the instants of the events, so that a
// replay forgets exactly what the live engine forgot. A purchase that was captured stays: a refund or a dispute may name it.
func (e *Engine) forget() {
	for range maxForgotten {
		first, ok := e.exchanges.queue.Front()
		if !ok || first.at+memory >= e.now {
			return
		}
		x, counts := e.exchanges.pop()
		switch {
		case !counts:
		case !e.forgettable(x.key, x.exchange, e.now):
			x.at = e.now
			e.exchanges.put(x.key, x.exchange)
		default:
			delete(e.exchanges.settled, x.key)
			delete(e.refusals, x.refusal)
			if e.purchases.goes(x.purchase) {
				if p := e.purchase(x.purchase); !e.remembered(p, x.key) {
					e.drop(p)
				}
			}
		}
	}
}

// forgettable reports whether nothing can be asked about the purchase any more: it never charged anybody, or it was undone.
func (p *purchase) forgettable() bool {
	return p.final() && p.state != Captured && p.state != Refunded && p.state != Voided
}

// remembered reports whether another exchange than that of key still stands for the purchase.
func (e *Engine) remembered(p *purchase, key Key) bool {
	var others []Key
	if p.reserved != nil {
		others = append(others, p.reserved.Key)
	}
	if k := p.sale.GetKey(); k != nil {
		others = append(others, keyOf(k))
	}
	for _, k := range others {
		if k.Terminal == ([8]byte{}) || k == key { // over HTTP there is no exchange
			continue
		}
		if x, ok := e.exchanges.get(k); ok && x.purchase == p.id {
			return true
		}
	}
	return false
}

// repeated answers a request whose key is known: 94 when its content is another, otherwise the original answer, or a
// place among those that wait for it. It reports false when the request is new.
func (e *Engine) repeated(token Token, key Key, content Hash, kinds ...exchangeKind) bool {
	x, ok := e.find(key)
	if !ok {
		return false
	}
	// What its terminal has reversed is answered 94: the original "00" would let the goods leave unpaid.
	undone := x.kind == exchangeTombstone || x.reversal == rc("00")
	if undone || x.content != content || !slices.Contains(kinds, x.kind) {
		e.reply(Reply{Token: token, Response: rc("94")})
		return true
	}
	switch x.kind {
	case exchangeReserve:
		e.replyReserved(token, e.purchase(x.purchase))
	case exchangeRefusedReserve:
		e.replyRefused(token, x.refusal)
	case exchangeCancel:
		e.reply(Reply{Token: token, Response: rc("00"), Hold: x.purchase})
	case exchangeRefusedSale:
		e.replyRefusedSale(token, x)
	case exchangeSale:
		p := e.purchase(x.purchase)
		if p.state == Sent {
			e.wait(waitPurchase(p.id), waiter{token: token})
			return true
		}
		e.replySale(token, p)
	case exchangeVoid, exchangeRefund:
		o := e.operation(x.operation)
		if o.state == opSent {
			e.wait(waitOperation(o.id), waiter{token: token})
			return true
		}
		e.replyOperation(token, o)
	case exchangeInquiry:
		if _, open := e.inquiries[x.operation]; open {
			e.wait(waitInquiry(x.operation), waiter{token: token})
			return true
		}
		e.reply(Reply{Token: token, Response: rc("94"), Text: "请换流水号重新查询"})
	case exchangeSettlement:
		e.replySettled(token, e.exchanges.settled[key])
	default: // uploads, reports and sign-offs
		e.reply(Reply{Token: token, Response: rc("00")})
	}
	return true
}

// waitKey names what callers wait for.
type waitKey struct {
	kind byte // p purchase, o operation, i inquiry
	id   uint64
}

func waitPurchase(id uint64) waitKey  { return waitKey{'p', id} }
func waitOperation(id uint64) waitKey { return waitKey{'o', id} }
func waitInquiry(id uint64) waitKey   { return waitKey{'i', id} }

// waiter is a caller of this process who waits for the answer of a host.
type waiter struct {
	token Token
	api   bool
	fresh bool // see Reply
}

// waiters are the callers that wait for one answer; nearly always there is one.
type waiters struct {
	first waiter
	more  []waiter
}

// all iterates in the order in which they came. A zero waiters has none.
func (w waiters) all() iter.Seq[waiter] {
	return func(yield func(waiter) bool) {
		if w.first.token == 0 || !yield(w.first) {
			return
		}
		for _, next := range w.more {
			if !yield(next) {
				return
			}
		}
	}
}

// wait puts a caller among those who get the answer of what is at a host.
func (e *Engine) wait(key waitKey, w waiter) {
	all := e.waiting[key]
	w.fresh = e.scratch.fresh
	switch {
	case w.token == 0:
	case all.first.token == 0:
		e.waiting[key] = waiters{first: w}
	case 1+len(all.more) < e.cfg.MaxWaiting:
		all.more = append(all.more, w)
		e.waiting[key] = all
	case w.api:
		e.replyAPI(APIReply{Token: w.token, Status: APIRefused, Reasons: []reason.Code{reason.OverloadRetry}})
	default:
		e.reply(Reply{Token: w.token, Response: rc("96")})
	}
}

// answerWaiting gives all callers the answer of what they wait for, as it stands.
func (e *Engine) answerWaiting(key waitKey) {
	for w := range e.served(key) {
		switch {
		case key.kind == 'o' && w.api:
			e.replyAPIRefund(w.token, e.operation(key.id), APIDone)
		case key.kind == 'o':
			e.replyOperation(w.token, e.operation(key.id))
		case w.api:
			e.replyCommit(w.token, e.purchase(key.id), APIDone)
		default:
			e.replySale(w.token, e.purchase(key.id))
		}
	}
}

// served iterates over those who wait for an answer, none of whom waits any more. What is replied to one meanwhile is as fresh as
// the request of that one was.
func (e *Engine) served(key waitKey) iter.Seq[waiter] {
	return func(yield func(waiter) bool) {
		fresh := e.scratch.fresh
		for w := range e.waiting[key].all() {
			if e.scratch.fresh = w.fresh; !yield(w) {
				break
			}
		}
		e.scratch.fresh = fresh
		delete(e.waiting, key)
	}
}

func rc(code string) [2]byte { return [2]byte{code[0], code[1]} }
