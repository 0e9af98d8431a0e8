package engine

import (
	"fmt"

	"huanxin/internal/money"
	"huanxin/subsidy"
	"huanxin/switch/event"
)

// PurchaseState is where a purchase stands; see the drawing in the package comment.
type PurchaseState uint8

const (
	Reserved PurchaseState = iota + 1
	Sent
	Captured
	Declined
	Reversing
	Reversed
	HoldExpired
	Cancelled
)

var purchaseStateNames = [...]string{"", "reserved", "sent", "captured", "declined", "reversing", "reversed", "expired", "cancelled"}

// String returns the name that reports show.
func (s PurchaseState) String() string {
	if int(s) < len(purchaseStateNames) {
		return purchaseStateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// final reports whether nothing more can happen to the purchase by itself.
func (s PurchaseState) final() bool {
	return s == Captured || s == Declined || s == Reversed || s == HoldExpired || s == Cancelled
}

// purchase is one purchase with the facts it consists of. The facts are the journal's own messages and never change.
type purchase struct {
	id       uint64
	state    PurchaseState
	reserved *event.Reserved   // nil for an ordinary sale
	sale     *event.SaleSent   // nil until a sale was sent
	answer   *event.HostAnswer // as answered to the till; nil while none, or when silence was answered 98
	reversal uint64            // the last one queued
	undone   [2]byte           // DE39 with which the host ended it, zero while open
	charged  int64             // At of an approval that came after the switch had given up, 0 = none came
	leaf     subsidy.NodeID    // of the subsidy
	changed  int64             // At of the last event
}

// hold is what the purchase holds in the book; ok is false for an ordinary sale, which holds nothing.
func (p *purchase) hold() (h subsidy.Hold, ok bool) {
	if p.reserved == nil {
		return h, false
	}
	r := p.reserved
	return subsidy.Hold{
		Purchase: p.id, Entitlement: r.Entitlement, Code: hash(r.Code), Serial: hash(r.Serial), Leaf: p.leaf,
		Subsidy: money.Amount(r.Subsidy), FromClaim: money.Amount(r.FromClaim),
	}, true
}

// orderKey names an order of a merchant: what the cap per order is counted over.
type orderKey struct{ merchant, order string }

func (p *purchase) order() (k orderKey, ok bool) {
	if p.reserved == nil || p.reserved.Order == "" {
		return k, false
	}
	return orderKey{p.reserved.Key.Merchant, p.reserved.Order}, true
}

// live reports whether the purchase has a subsidy: held or spent.
func (p *purchase) live() bool {
	return p.reserved != nil && (p.state == Reserved || p.state == Sent || p.state == Captured)
}

// count adds the purchase to its order, or takes it out.
func (e *Engine) count(p *purchase, sign money.Amount) {
	k, ok := p.order()
	if !ok {
		return
	}
	if sum := e.orders[k] + sign*money.Amount(p.reserved.Subsidy); sum != 0 {
		e.orders[k] = sum
	} else {
		delete(e.orders, k)
	}
}

// letGo gives back what a purchase holds or has spent. It is called before the purchase leaves its state.
func (e *Engine) letGo(p *purchase) {
	h, ok := p.hold()
	if !ok {
		return
	}
	switch p.state {
	case Reserved, Sent:
		e.book.Release(h)
	case Captured:
		e.book.Restore(h)
	default:
		return
	}
	e.count(p, -1)
}

// terminal is the DE41 of the exchange that last drove the purchase.
func (p *purchase) terminal() [8]byte {
	if p.sale != nil {
		return keyOf(p.sale.Key).Terminal
	}
	return keyOf(p.reserved.Key).Terminal
}

func (e *Engine) mustPurchase(id uint64) *purchase {
	p := e.purchases[id]
	if p == nil {
		panic(fmt.Sprintf("event for purchase %d, which does not exist", id))
	}
	return p
}

// move changes the state of a purchase; from lists the states it may come from. Anything else means that the journal
// was written by another machine than this one, and going on would be guessing.
func (e *Engine) move(p *purchase, to PurchaseState, from ...PurchaseState) {
	for _, s := range from {
		if p.state == s {
			p.state = to
			p.changed = e.now
			return
		}
	}
	panic(fmt.Sprintf("purchase %d cannot go from %s to %s", p.id, p.state, to))
}

// hash reads a 16-byte field; an empty one is the zero Hash.
func hash(b []byte) (h Hash) {
	if len(b) != 0 && len(b) != len(h) {
		panic(fmt.Sprintf("hash of %d bytes", len(b)))
	}
	copy(h[:], b)
	return h
}

// bytesOf is the field for a hash: empty for the zero Hash.
func bytesOf(h Hash) []byte {
	if h == (Hash{}) {
		return nil
	}
	return h[:]
}

func keyOf(k *event.ExchangeKey) (key Key) {
	key.Class = '0' + byte(k.Class)
	copy(key.Terminal[:], k.Terminal)
	copy(key.Merchant[:], k.Merchant)
	key.Batch, key.STAN = k.Batch, k.Stan
	return key
}

func (k Key) event() *event.ExchangeKey {
	return &event.ExchangeKey{
		Class: uint32(k.Class - '0'), Terminal: string(k.Terminal[:]), Merchant: string(k.Merchant[:]), Batch: k.Batch, Stan: k.STAN,
	}
}
