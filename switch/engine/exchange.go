package engine

import (
	"slices"

	"huanxin/subsidy/reason"
)

// exchangeKind says what a key stands for.
type exchangeKind uint8

const (
	exchangeReserve exchangeKind = iota + 1
	exchangeRefusedReserve
	exchangeCancel
	exchangeSale
	exchangeRefusedSale
	exchangeTombstone // a reversal came first; its original must never reach a host
)

// exchange is what the switch remembers of one request of a terminal.
type exchange struct {
	content  Hash
	kind     exchangeKind
	response [2]byte // DE39 of a refused sale
	reversal [2]byte // DE39 answered to the 0400 of this exchange, zero when none came
	purchase uint64
	refusal  uint64 // key of Engine.refusals
	at       int64  // of the last event
}

// refusal is the answer to a refused reserve.
type refusal struct {
	price   int64
	reasons []reason.Code
}

// aged is one entry of the queue in which exchanges wait to be forgotten.
type aged struct {
	key Key
	at  int64
}

// remember puts an exchange under its key and restarts its age.
func (e *Engine) remember(key Key, x exchange) {
	x.at = e.now
	e.exchanges[key] = x
	e.aging.Push(aged{key, e.now})
}

// find returns the live exchange of a key. One that has been finished for longer than memory is gone: the same key
// is then a new purchase. One that is not finished is never overwritten.
func (e *Engine) find(key Key) (exchange, bool) {
	x, ok := e.exchanges[key]
	if !ok || e.forgettable(x, e.now) || x.purchase != 0 && e.purchases[x.purchase] == nil {
		return exchange{}, false
	}
	return x, true
}

func (e *Engine) forgettable(x exchange, now int64) bool {
	if x.at+memory >= now {
		return false
	}
	p := e.purchases[x.purchase]
	return p == nil || p.state.final() && p.changed+memory < now
}

// forget drops what is older than memory. It runs as part of Apply, driven by the instants of the events, so that a
// replay forgets exactly what the live engine forgot. A captured purchase stays: a refund or a dispute may name it.
func (e *Engine) forget() {
	for {
		first, ok := e.aging.Front()
		if !ok || first.at+memory >= e.now {
			return
		}
		e.aging.Pop()
		x, ok := e.exchanges[first.key]
		if !ok || x.at != first.at {
			continue // seen again since; a later entry of the queue stands for it
		}
		if !e.forgettable(x, e.now) {
			x.at = e.now
			e.exchanges[first.key] = x
			e.aging.Push(aged{first.key, e.now})
			continue
		}
		delete(e.exchanges, first.key)
		delete(e.refusals, x.refusal)
		if p := e.purchases[x.purchase]; p != nil && p.state != Captured {
			e.drop(p)
		}
	}
}

func (e *Engine) drop(p *purchase) {
	if p.sale != nil {
		delete(e.byRRN, rrnNumber(p.sale.Rrn))
		delete(e.byTransmission, transmissionOf(p.sale.HostStan, TransmissionTime(p.sale.TransmittedAt)))
	}
	delete(e.purchases, p.id)
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
		e.replyReserved(token, e.purchases[x.purchase])
	case exchangeRefusedReserve:
		e.replyRefused(token, x.refusal)
	case exchangeCancel:
		e.reply(Reply{Token: token, Response: rc("00"), Hold: x.purchase})
	case exchangeRefusedSale:
		e.replyRefusedSale(token, x)
	case exchangeSale:
		p := e.purchases[x.purchase]
		if p.state == Sent {
			e.wait(token, p.id)
			return true
		}
		e.replySale(token, p)
	}
	return true
}

// wait puts a caller among those who get the answer of a purchase that is at a host.
func (e *Engine) wait(token Token, purchase uint64) {
	if token == 0 {
		return
	}
	if len(e.waiting[purchase]) >= e.cfg.MaxWaiting {
		e.reply(Reply{Token: token, Response: rc("96")})
		return
	}
	e.waiting[purchase] = append(e.waiting[purchase], token)
}

// answerWaiting gives all callers of a purchase its answer.
func (e *Engine) answerWaiting(p *purchase) {
	for _, token := range e.waiting[p.id] {
		e.replySale(token, p)
	}
	delete(e.waiting, p.id)
}

func rc(code string) [2]byte { return [2]byte{code[0], code[1]} }
