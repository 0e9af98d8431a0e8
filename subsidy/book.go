// Package subsidy keeps the subsidy side of a programme: entitlements, what every person has used, the serial numbers
// that are taken, and the budget tree. It answers what is free and moves what it is told to move.
//
// It does not decide: rules are package policy's, the order of checks and the events are the engine's. It reads no
// clock and has no errors of its own on the way of a purchase: every mutator states what must hold before it is called,
// and panics when it does not, because then the journal and the state have parted and going on could pay twice.
//
// One item is one entitlement is one payment: a purchase holds one entitlement, one serial and one sum on one budget
// leaf, and Hold, Use, Release and Restore move all of them together.
package subsidy

import (
	"fmt"

	"huanxin/internal/flat"
	"huanxin/internal/money"
)

// Hash is a keyed hash of 16 bytes: of a person, a serial number or a one-time code. What is behind it never enters.
type Hash [16]byte

// Code is an interned channel, city or policy version. Zero is "".
type Code uint16

// Category is an interned category code: its position among the categories ever claimed.
type Category uint8

// MaxCategories bounds them, so that a person's chain of uses is short and a state has a bit to spare beside each. Rules name
// no more (policy.MaxCategories), and a change of them takes no category away, so one more is a broken invariant.
const MaxCategories = 64

// Book is the state of one programme. It has one owner and is not safe for concurrent use.
type Book struct {
	Budget *Budget

	names      []string
	byName     map[string]Code
	categories []string
	byCategory map[string]Category
	terms      []terms
	byTerms    map[terms]uint32

	people       people
	entitlements flat.Slab[record] // by id − 1
	serials      flat.Index        // of taken serials: place in entitlements
	codes        codes
	openHolds    int
}

// NewBook returns an empty book.
func NewBook() *Book {
	return &Book{
		Budget: NewBudget(),
		names:  []string{""},
		byName: map[string]Code{"": 0},

		byCategory: map[string]Category{},
		byTerms:    map[terms]uint32{},
	}
}

// Name returns the string behind a code.
func (b *Book) Name(c Code) string { return b.names[c] }

func (b *Book) intern(s string) Code {
	if c, ok := b.byName[s]; ok {
		return c
	}
	if len(b.names) > 1<<16-1 {
		panic("more than 65535 channels, cities and versions")
	}
	c := Code(len(b.names))
	b.names = append(b.names, s)
	b.byName[s] = c
	return c
}

// CategoryOf returns the category code of an entitlement, "" for the zero Entitlement.
func (b *Book) CategoryOf(e Entitlement) string {
	if e.ID == 0 {
		return ""
	}
	return b.categories[e.Category]
}

func (b *Book) internCategory(s string) Category {
	if c, ok := b.byCategory[s]; ok {
		return c
	}
	if len(b.categories) == MaxCategories {
		panic(fmt.Sprintf("more than %d categories", MaxCategories))
	}
	c := Category(len(b.categories))
	b.categories = append(b.categories, s)
	b.byCategory[s] = c
	return c
}

// NextEntitlement is the id that the next claim will get.
func (b *Book) NextEntitlement() uint64 { return uint64(b.entitlements.Len()) + 1 }

// Entitlement returns a copy of one record; ok is false for an id that was never given.
func (b *Book) Entitlement(id uint64) (e Entitlement, ok bool) {
	if id == 0 || id > uint64(b.entitlements.Len()) {
		return Entitlement{}, false
	}
	return b.view(id), true
}

func (b *Book) at(id uint64) *record {
	if id == 0 || id > uint64(b.entitlements.Len()) {
		panic(fmt.Sprintf("entitlement %d does not exist", id))
	}
	return b.entitlements.At(int(id - 1))
}

// Claim records an entitlement. Reserved, when not zero, is taken from leaf: the caller has seen that it is available.
func (b *Book) Claim(e Entitlement, p Hash, category, channel, city, version string) {
	if e.ID != b.NextEntitlement() {
		panic(fmt.Sprintf("claim of entitlement %d, next is %d", e.ID, b.NextEntitlement()))
	}
	c := b.internCategory(category)
	if e.Reserved > 0 {
		b.mustTake(e.Leaf, e.Reserved)
	}
	i, u := b.people.claim(p, c)
	t := b.internTerms(terms{leaf: e.Leaf, channel: b.intern(channel), city: b.intern(city), version: b.intern(version), category: c})
	b.entitlements.Add(record{
		claimedAt: e.ClaimedAt, expiresAt: e.ExpiresAt, holder: uint64(e.Reserved), person: i, packed: t<<stateBits | uint32(Claimed),
	})
	u.claims++
	u.live++
}

// useOf is what the person of an entitlement has of its category.
func (b *Book) useOf(e *record) *use { return b.people.use(e.person, b.termsOf(e).category) }

// Hold is what a purchase takes, all or nothing.
type Hold struct {
	Purchase    uint64
	Entitlement uint64
	Code        Hash // spent by the hold; zero when there was none
	Serial      Hash // zero when the category needs none
	Leaf        NodeID
	Subsidy     money.Amount
	FromClaim   money.Amount // Subsidy when the sum that the claim had taken on Leaf pays for it, else 0
}

// SerialHolder returns the live purchase that holds a serial, 0 when it is free.
func (b *Book) SerialHolder(serial Hash) uint64 {
	i, ok := b.serials.Find(flat.Fold(serial), func(i uint32) bool { return b.entitlements.At(int(i)).serial == serial })
	if !ok {
		return 0
	}
	return b.entitlements.At(int(i)).purchase()
}

// Serials is how many serials are held.
func (b *Book) Serials() int { return b.serials.Len() }

// Reserve takes entitlement, serial, quota and budget for a purchase. The entitlement must be Claimed, the serial free,
// the leaf able to give what the claim had not taken.
func (b *Book) Reserve(h Hold) {
	e := b.at(h.Entitlement)
	if e.state() != Claimed {
		panic(fmt.Sprintf("reserve on entitlement %d, which is %s", h.Entitlement, e.state()))
	}
	leaf := b.termsOf(e).leaf
	switch reserved := e.reserved(); {
	case h.FromClaim > 0: // the sum is held already, also when its round has closed since
		if h.FromClaim != h.Subsidy || h.Leaf != leaf || h.Subsidy > reserved {
			panic(fmt.Sprintf("purchase %d: claim holds %s, the purchase takes %s of it", h.Purchase, reserved, h.Subsidy))
		}
		b.Budget.Release(leaf, reserved-h.Subsidy)
	default:
		b.Budget.Release(leaf, reserved)
		b.mustTake(h.Leaf, h.Subsidy)
	}
	if h.Serial != (Hash{}) {
		if other := b.SerialHolder(h.Serial); other != 0 {
			panic(fmt.Sprintf("serial of purchase %d is held by purchase %d", h.Purchase, other))
		}
		b.serials.Add(flat.Fold(h.Serial), uint32(h.Entitlement-1))
	}
	if c := b.codes.find(h.Code); c != nil {
		c.view.Spent = true
	}
	e.set(Held)
	e.holder, e.serial = h.Purchase, h.Serial
	b.openHolds++
	u := b.useOf(e)
	u.live--
	u.items++
	u.spend(h.Subsidy)
}

func (b *Book) mustTake(leaf NodeID, amount money.Amount) {
	if err := b.Budget.Take(leaf, amount); err != nil {
		panic(fmt.Sprintf("take %s from budget node %q: %v", amount, b.Budget.Path(leaf), err))
	}
}

// Use turns a hold into a use: the purchase was captured.
func (b *Book) Use(h Hold) {
	e := b.held(h, Held)
	e.set(Used)
	b.openHolds--
	b.Budget.Capture(h.Leaf, h.Subsidy)
}

// Release undoes Reserve before a capture. The entitlement is Claimed again, with the sum that its claim had paid for
// still taken, so that a declined card does not cost the person the place in a rush. The caller expires the entitlement
// when its time is up.
func (b *Book) Release(h Hold) {
	e := b.held(h, Held)
	b.openHolds--
	if h.FromClaim <= 0 {
		b.Budget.Release(h.Leaf, h.Subsidy)
	}
	b.restore(e, h, max(h.FromClaim, 0))
}

// Restore undoes Use: the captured purchase was reversed, voided or refunded.
func (b *Book) Restore(h Hold) {
	e := b.held(h, Used)
	b.Budget.Restore(h.Leaf, h.Subsidy)
	b.restore(e, h, 0)
}

// GiveBack undoes a part of Use: amount of the subsidy goes back to the budget and out of what the person has had. The
// entitlement stays Used, and with it the place in the quota and the serial.
func (b *Book) GiveBack(h Hold, amount money.Amount) {
	e := b.held(h, Used)
	if amount < 0 || amount > h.Subsidy {
		panic(fmt.Sprintf("purchase %d gives back %s of %s", h.Purchase, amount, h.Subsidy))
	}
	b.Budget.Restore(h.Leaf, amount)
	b.useOf(e).spend(-amount)
}

// Free ends a use whose subsidy has been given back: entitlement, place in the quota and serial are free.
func (b *Book) Free(h Hold) {
	e := b.held(h, Used)
	if h.Subsidy != 0 {
		panic(fmt.Sprintf("purchase %d is freed with %s spent", h.Purchase, h.Subsidy))
	}
	b.restore(e, h, 0)
}

func (b *Book) held(h Hold, want State) *record {
	e := b.at(h.Entitlement)
	if e.state() != want || e.holder != h.Purchase {
		panic(fmt.Sprintf("purchase %d: entitlement %d is %s by purchase %d, want %s",
			h.Purchase, h.Entitlement, e.state(), e.purchase(), want))
	}
	if e.serial != h.Serial {
		panic(fmt.Sprintf("purchase %d: entitlement %d was held with another serial", h.Purchase, h.Entitlement))
	}
	return e
}

// restore makes an entitlement Claimed again; reserved stays taken from its leaf.
func (b *Book) restore(e *record, h Hold, reserved money.Amount) {
	if e.serial != (Hash{}) {
		b.serials.Remove(flat.Fold(e.serial), uint32(h.Entitlement-1))
	}
	e.set(Claimed)
	e.holder, e.serial = uint64(reserved), Hash{}
	u := b.useOf(e)
	u.live++
	u.items--
	u.spend(-h.Subsidy)
}

// Expire ends a Claimed entitlement whose time is up. It returns what the claim had taken from the budget.
func (b *Book) Expire(id uint64) money.Amount { return b.end(id, Expired) }

// Return ends a Claimed entitlement that the person gave back.
func (b *Book) Return(id uint64) money.Amount { return b.end(id, Returned) }

func (b *Book) end(id uint64, state State) money.Amount {
	e := b.at(id)
	if e.state() != Claimed {
		panic(fmt.Sprintf("entitlement %d cannot end as %s: it is %s", id, state, e.state()))
	}
	released := e.reserved()
	if released > 0 {
		b.Budget.Release(b.termsOf(e).leaf, released)
	}
	e.set(state)
	e.holder = 0
	b.useOf(e).live--
	return released
}

// OpenHolds is the number of purchases that are reserved or on their way to a host.
func (b *Book) OpenHolds() int { return b.openHolds }
