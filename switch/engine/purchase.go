package engine

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"huanxin/internal/flat"
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
	Unknown // at a wallet that has not said how it ended
	Voiding
	Voided
	Refunding
	Refunded
)

var purchaseStateNames = [...]string{
	"", "reserved", "sent", "captured", "declined", "reversing", "reversed", "expired", "cancelled", "unknown", "voiding", "voided",
	"refunding", "refunded",
}

// String returns the name that reports show.
func (s PurchaseState) String() string {
	if int(s) < len(purchaseStateNames) {
		return purchaseStateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// byOperator stands for the DE39 of a reversal that an operator has settled. It is not the host's 00: the operator knows what
// was known, and an approval may still come.
var byOperator = [2]byte([]byte("OP")) // no DE39 of any message

// leg is one request to a host and what has become of it: the sale of a purchase, a void, a refund.
type leg struct {
	answer   *event.HostAnswer // as answered to the till; nil while none, or when silence was answered 98
	reversal uint64            // the last one queued
	undone   [2]byte           // DE39 with which the host ended it, or byOperator; zero while open
	charged  int64             // At of an approval that came after the switch had given up, 0 = none came
}

// purchase is one purchase with the facts it consists of. The facts are the journal's own and never change.
type purchase struct {
	id         uint64
	state      PurchaseState
	reserved   *reservation // nil for an ordinary sale
	reservedAt int64
	sale       *event.SaleSent // nil until a sale was sent
	leg                        // of the sale
	leaf       subsidy.NodeID  // of the subsidy
	changed    int64           // At of the last event

	// What is left of it after refunds.
	subsidy  money.Amount    // held or spent now
	parts    []money.Amount  // of it, by payer, in the order of reserved.Parts
	partRoom [3]money.Amount // of parts, as long as they fit
	refunded money.Amount    // given back to the payer
	returned money.Amount    // of the subsidy, given back to the budget

	operations []uint64 // voids and refunds, in order
	quarantine int64    // voided: what it has is kept until then; 0 = it has let go
	locked     bool     // refunded: entitlement and serial are still taken
	restoreAt  int64    // locked: when they are free, 0 = never
	manual     bool     // the subsidy was recorded by hand

	held   int  // its place in Engine.holding, counted from 1; 0 = it is not there
	asking bool // it is in Engine.asking

	// At a wallet.
	standing  bool   // reversed in vain: the charge stands, an operator has said so, and it is paid back by other means
	keepsHold bool   // reversing: what it held is kept until the wallet has said that nothing is charged
	spent     bool   // keepsHold: it was captured before
	queryAt   int64  // unknown: when the wallet is asked next
	queries   uint32 // asked so often

	proposal *event.HoldReleaseProposed // of the first of two persons
}

// final reports whether nothing more can happen to the purchase by itself.
func (p *purchase) final() bool {
	switch p.state {
	case Captured, Declined, Reversed, HoldExpired, Cancelled:
		return true
	case Voided:
		return p.quarantine == 0
	case Refunded:
		return !p.locked || p.restoreAt == 0
	}
	return false
}

// hold is what the purchase holds in the book; ok is false for an ordinary sale, which holds nothing.
func (p *purchase) hold() (h subsidy.Hold, ok bool) {
	if p.reserved == nil {
		return h, false
	}
	r := p.reserved
	return subsidy.Hold{
		Purchase: p.id, Entitlement: r.Entitlement, Code: r.Code, Serial: r.Serial, Leaf: p.leaf,
		Subsidy: p.subsidy, FromClaim: money.Amount(r.FromClaim),
	}, true
}

// take notes the subsidy that a purchase begins with.
func (p *purchase) take(m *event.Reserved, packed string, at int64) {
	if p.reserved == nil {
		p.reserved = new(reservation)
	}
	p.reserved.set(m, packed)
	p.reservedAt, p.subsidy = at, money.Amount(m.Subsidy)
	p.parts = p.partRoom[:0]
	for _, part := range m.Parts {
		p.parts = append(p.parts, money.Amount(part.Amount))
	}
}

// overHTTP reports whether the purchase was made over HTTP: it has a caller and no terminal.
func (p *purchase) overHTTP() bool { return p.caller() != "" }

func (p *purchase) caller() string {
	if p.reserved != nil && p.reserved.Caller != "" {
		return p.reserved.Caller
	}
	if p.sale != nil {
		return p.sale.Caller
	}
	return ""
}

// orderOf names an order of a merchant: what the cap per order is counted over.
func orderOf[M string | []byte](merchant M, order string) flat.Digest {
	var text [128]byte
	sum := sha256.Sum256(append(append(append(text[:0], merchant...), 0), order...))
	return flat.Digest(sum[:len(flat.Digest{})])
}

func (p *purchase) order() (d flat.Digest, ok bool) {
	if p.reserved == nil || p.reserved.order == (flat.Digest{}) {
		return d, false
	}
	return p.reserved.order, true
}

// lastOrder is the order that was asked for last: the reserve that follows is of the same.
type lastOrder struct {
	merchant [15]byte
	order    string
	digest   flat.Digest
}

// ordered is the subsidy that an order has had, 0 for none.
func (e *Engine) ordered(merchant *[15]byte, order string) money.Amount {
	if order == "" {
		return 0
	}
	e.scratch.order = lastOrder{*merchant, order, orderOf(merchant[:], order)}
	return money.Amount(e.orders.Get(e.scratch.order.digest))
}

// countReserved adds what a reserve takes to what its order has had.
func (e *Engine) countReserved(m *event.Reserved) {
	if m.Order == "" {
		return
	}
	merchant, last := m.Key.GetMerchant(), &e.scratch.order
	digest := last.digest
	if m.Order != last.order || merchant != string(last.merchant[:]) {
		digest = orderOf(merchant, m.Order)
	}
	e.orders.Add(digest, m.Subsidy)
}

// live reports whether the purchase has a subsidy: held or spent.
func (p *purchase) live() bool { return p.reserved != nil && (p.holds() || p.spends()) }

// holds reports whether what the purchase has is held and not spent.
func (p *purchase) holds() bool {
	switch p.state {
	case Reserved, Sent, Unknown:
		return true
	case Reversing:
		return p.keepsHold && !p.spent
	}
	return false
}

// isHolding reports whether somebody may ask why the purchase still has a subsidy, entitlement or serial.
func (p *purchase) isHolding() bool {
	return p.reserved != nil && p.state != Captured && (p.live() || p.locked)
}

// spends reports whether what the purchase has is spent.
func (p *purchase) spends() bool {
	switch p.state {
	case Captured, Voiding, Refunding:
		return true
	case Voided:
		return p.quarantine != 0
	case Reversing:
		return p.keepsHold && p.spent
	}
	return false
}

// count adds amount to what the purchase's order has had, or takes it out.
func (e *Engine) count(p *purchase, amount money.Amount) {
	if d, ok := p.order(); ok {
		e.orders.Add(d, int64(amount))
	}
}

// letGo gives back what a purchase holds or has spent. It is called before the purchase leaves its state.
func (e *Engine) letGo(p *purchase) {
	h, ok := p.hold()
	if !ok {
		return
	}
	switch {
	case p.holds():
		e.book.Release(h)
	case p.spends():
		e.book.Restore(h)
	default:
		return
	}
	e.count(p, -p.subsidy)
}

// terminal is the DE41 of the exchange that last drove the purchase.
func (p *purchase) terminal() [8]byte {
	if p.sale != nil {
		return keyOf(p.sale.Key).Terminal
	}
	return p.reserved.Key.Terminal
}

// merchant is the DE42 of the purchase, without blanks.
func (p *purchase) merchant() string {
	if p.sale != nil {
		return text([]byte(p.sale.Key.GetMerchant()))
	}
	return p.reserved.merchant()
}

// move changes the state of a purchase; from lists the states it may come from. Anything else means that the journal
// was written by another machine than this one, and going on would be guessing.
func (e *Engine) move(p *purchase, to PurchaseState, from ...PurchaseState) {
	if !slices.Contains(from, p.state) {
		panic(fmt.Sprintf("purchase %d cannot go from %s to %s", p.id, p.state, to))
	}
	p.state, p.changed = to, e.now
	p.proposal = nil // it was about the state that is left
	e.track(p)
}

// track keeps the sets of what is open in step with a purchase that has changed.
func (e *Engine) track(p *purchase) {
	switch holding := p.isHolding(); {
	case holding && p.held == 0:
		e.holding = append(e.holding, p)
		p.held = len(e.holding)
	case !holding && p.held != 0:
		last := len(e.holding) - 1
		moved := e.holding[last]
		e.holding[p.held-1], moved.held = moved, p.held
		e.holding[last], p.held = nil, 0
		e.holding = e.holding[:last]
	}
	if asking := p.state == Unknown; asking != p.asking {
		p.asking = asking
		put(e.asking, p.id, asking)
	}
}

func put(set map[uint64]struct{}, id uint64, in bool) {
	if in {
		set[id] = struct{}{}
	} else {
		delete(set, id)
	}
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

// hashIn keeps a hash in the room of its fact; the zero Hash is an empty field.
func hashIn(room *event.ReservedRoom, h *Hash) []byte {
	if *h == (Hash{}) {
		return nil
	}
	return room.Hash(h[:])
}

// write fills m with the key of a request. Texts that the registry has are not made again.
func (k Key) write(m *event.ExchangeKey, who party) {
	m.Class, m.Batch, m.Stan = uint32(k.Class-'0'), k.Batch, k.STAN
	m.Merchant = textLike(k.Merchant[:], who.merchant.ID)
	if k.Terminal != ([8]byte{}) { // over HTTP there is none
		m.Terminal = textLike(k.Terminal[:], who.terminal.ID)
	}
}

// textLike is string(field), and known itself when it is that.
func textLike(field []byte, known string) string {
	if string(field) == known {
		return known
	}
	return string(field)
}

func (k Key) event() *event.ExchangeKey {
	m := &event.ExchangeKey{Class: uint32(k.Class - '0'), Merchant: string(k.Merchant[:]), Batch: k.Batch, Stan: k.STAN}
	if k.Terminal != ([8]byte{}) { // over HTTP there is none
		m.Terminal = string(k.Terminal[:])
	}
	return m
}
