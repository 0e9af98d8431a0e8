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
	"math/bits"

	"huanxin/internal/flat"
	"huanxin/internal/money"
	"huanxin/subsidy/policy"
)

// Hash is a keyed hash of 16 bytes: of a person, a serial number or a one-time code. What is behind it never enters.
type Hash [16]byte

// State is where an entitlement stands.
type State uint8

const (
	// Claimed can be shown at a till. Restored entitlements are Claimed again.
	Claimed State = iota + 1
	// Held belongs to a purchase that is reserved or on its way to a host.
	Held
	// Used belongs to a captured purchase.
	Used
	// Expired ran out unused; its place in the quota is free.
	Expired
	// Returned was given back by the person.
	Returned
)

var stateNames = [...]string{"", "claimed", "held", "used", "expired", "returned"}

// String returns the name that interfaces show.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Entitlement is one record. It has no pointers, so that ten million of them cost the collector nothing.
type Entitlement struct {
	ID        uint64
	Person    uint32 // index of the person in the book
	Category  Category
	Channel   Code
	City      Code
	Version   Code // policy version of the claim, which a grandfathered claim keeps
	State     State
	ClaimedAt int64
	ExpiresAt int64
	Reserved  money.Amount // taken from Leaf by the claim itself and not yet handed to a purchase
	Leaf      NodeID
	Purchase  uint64 // holder while Held or Used
}

// Code is an interned channel, city or policy version. Zero is "".
type Code uint16

// Category is an interned category code: its position among the categories ever claimed. A programme has at most 64, so
// that the categories of a person fit one machine word.
type Category uint8

// usage is what one person has of one category: held and used together, since every hold counts.
type usage struct {
	items   uint16
	claims  uint16
	live    uint16 // claimed, not yet held: at most one unless the policy allows more
	subsidy money.Amount
}

type usageKey struct {
	person   uint32
	category Category
}

type person struct {
	hash       Hash
	categories uint64 // bit c: the person has usage of Category c
}

// code is a one-time code shown at a till.
type code struct {
	entitlement uint64
	expiresAt   int64
	spent       bool
	position    CodePosition
}

// CodePosition is where the phone was when the code was shown (D6). The zero value is "none given".
type CodePosition struct {
	Lon, Lat int32 // WGS-84, micro-degrees
	TakenAt  int64 // Unix nanoseconds of the fix
	CRS      uint8 // as sent
	Given    bool
}

// CodeView is a one-time code as a purchase sees it.
type CodeView struct {
	Entitlement uint64
	ExpiresAt   int64
	Spent       bool
	Position    CodePosition
}

// codeMemory is how long after its end a code is remembered, so that a late cashier reads "expired" and not "unknown".
const codeMemory = int64(10 * 60 * 1e9)

// Book is the state of one programme. It has one owner and is not safe for concurrent use.
type Book struct {
	Budget *Budget

	names      []string
	byName     map[string]Code
	categories []string
	byCategory map[string]Category

	people  []person
	persons map[Hash]uint32
	usage   map[usageKey]usage

	entitlements []Entitlement // id − 1
	codes        map[Hash]code
	shown        flat.Queue[shownCode] // codes in the order of their end
	serials      map[Hash]uint64       // live purchase
	openHolds    int
}

type shownCode struct {
	hash      Hash
	expiresAt int64
}

// NewBook returns an empty book.
func NewBook() *Book {
	return &Book{
		Budget: NewBudget(),
		names:  []string{""},
		byName: map[string]Code{"": 0},

		byCategory: map[string]Category{},

		persons: map[Hash]uint32{},
		usage:   map[usageKey]usage{},
		codes:   map[Hash]code{},
		serials: map[Hash]uint64{},
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
	if len(b.categories) == 64 {
		panic("more than 64 categories")
	}
	c := Category(len(b.categories))
	b.categories = append(b.categories, s)
	b.byCategory[s] = c
	return c
}

// NextEntitlement is the id that the next claim will get.
func (b *Book) NextEntitlement() uint64 { return uint64(len(b.entitlements)) + 1 }

// Entitlement returns a copy of one record; ok is false for an id that was never given.
func (b *Book) Entitlement(id uint64) (e Entitlement, ok bool) {
	if id == 0 || id > uint64(len(b.entitlements)) {
		return Entitlement{}, false
	}
	return b.entitlements[id-1], true
}

func (b *Book) at(id uint64) *Entitlement {
	if id == 0 || id > uint64(len(b.entitlements)) {
		panic(fmt.Sprintf("entitlement %d does not exist", id))
	}
	return &b.entitlements[id-1]
}

// PersonOf returns the person who claimed an entitlement.
func (b *Book) PersonOf(e Entitlement) Hash { return b.people[e.Person].hash }

// Usage is what a person has of one category.
type Usage struct {
	Items   int // held or used
	Claims  int // entitlements ever claimed and not given back by expiry rules
	Live    int // claimed and waiting to be used
	Subsidy money.Amount
}

// UsageOf returns what person has of category.
func (b *Book) UsageOf(p Hash, category string) Usage {
	i, ok := b.persons[p]
	if !ok {
		return Usage{}
	}
	c, ok := b.byCategory[category]
	if !ok {
		return Usage{}
	}
	u := b.usage[usageKey{i, c}]
	return Usage{Items: int(u.items), Claims: int(u.claims), Live: int(u.live), Subsidy: u.subsidy}
}

// AppendUsage appends what person has held or used, category by category, for the caps and exclusion groups of a policy.
func (b *Book) AppendUsage(dst []policy.CategoryUse, p Hash) []policy.CategoryUse {
	i, ok := b.persons[p]
	if !ok {
		return dst
	}
	for rest := b.people[i].categories; rest != 0; rest &= rest - 1 {
		c := Category(bits.TrailingZeros64(rest))
		if u := b.usage[usageKey{i, c}]; u.items > 0 {
			dst = append(dst, policy.CategoryUse{Category: b.categories[c], Items: int(u.items), Subsidy: u.subsidy})
		}
	}
	return dst
}

// Claim records an entitlement. Reserved, when not zero, is taken from leaf: the caller has seen that it is available.
func (b *Book) Claim(e Entitlement, p Hash, category, channel, city, version string) {
	if e.ID != b.NextEntitlement() {
		panic(fmt.Sprintf("claim of entitlement %d, next is %d", e.ID, b.NextEntitlement()))
	}
	e.Person = b.personIndex(p)
	e.Category, e.Channel, e.City, e.Version = b.internCategory(category), b.intern(channel), b.intern(city), b.intern(version)
	e.State, e.Purchase = Claimed, 0
	if e.Reserved > 0 {
		b.mustTake(e.Leaf, e.Reserved)
	}
	b.entitlements = append(b.entitlements, e)
	b.change(&e, func(u *usage) { u.claims++; u.live++ })
}

func (b *Book) personIndex(p Hash) uint32 {
	if i, ok := b.persons[p]; ok {
		return i
	}
	i := uint32(len(b.people))
	b.people = append(b.people, person{hash: p})
	b.persons[p] = i
	return i
}

func (b *Book) change(e *Entitlement, f func(*usage)) {
	k := usageKey{e.Person, e.Category}
	u := b.usage[k]
	f(&u)
	b.usage[k] = u
	b.people[e.Person].categories |= 1 << e.Category
}

// ShowCode binds a one-time code to an entitlement. An earlier code of the same entitlement stays valid until its own
// end: two phones may show it, one of them wins.
func (b *Book) ShowCode(h Hash, entitlement uint64, expiresAt int64, at CodePosition) {
	b.codes[h] = code{entitlement: entitlement, expiresAt: expiresAt, position: at}
	b.shown.Push(shownCode{h, expiresAt})
}

// Code looks a one-time code up. ok is false for a code that was never shown or ended long ago.
func (b *Book) Code(h Hash) (v CodeView, ok bool) {
	c, ok := b.codes[h]
	if !ok {
		return CodeView{}, false
	}
	return CodeView{Entitlement: c.entitlement, ExpiresAt: c.expiresAt, Spent: c.spent, Position: c.position}, true
}

// ForgetCodes drops codes that ended more than ten minutes before now.
func (b *Book) ForgetCodes(now int64) {
	for {
		first, ok := b.shown.Front()
		if !ok || first.expiresAt+codeMemory > now {
			return
		}
		b.shown.Pop()
		if c, ok := b.codes[first.hash]; ok && c.expiresAt == first.expiresAt {
			delete(b.codes, first.hash)
		}
	}
}

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
func (b *Book) SerialHolder(serial Hash) uint64 { return b.serials[serial] }

// Reserve takes entitlement, serial, quota and budget for a purchase. The entitlement must be Claimed, the serial free,
// the leaf able to give what the claim had not taken.
func (b *Book) Reserve(h Hold) {
	e := b.at(h.Entitlement)
	if e.State != Claimed {
		panic(fmt.Sprintf("reserve on entitlement %d, which is %s", e.ID, e.State))
	}
	switch {
	case h.FromClaim > 0: // the sum is held already, also when its round has closed since
		if h.FromClaim != h.Subsidy || h.Leaf != e.Leaf || h.Subsidy > e.Reserved {
			panic(fmt.Sprintf("purchase %d: claim holds %s, the purchase takes %s of it", h.Purchase, e.Reserved, h.Subsidy))
		}
		b.Budget.Release(e.Leaf, e.Reserved-h.Subsidy)
		e.Reserved = 0
	default:
		b.Budget.Release(e.Leaf, e.Reserved)
		e.Reserved = 0
		b.mustTake(h.Leaf, h.Subsidy)
	}
	if h.Serial != (Hash{}) {
		if other := b.serials[h.Serial]; other != 0 {
			panic(fmt.Sprintf("serial of purchase %d is held by purchase %d", h.Purchase, other))
		}
		b.serials[h.Serial] = h.Purchase
	}
	if c, ok := b.codes[h.Code]; ok {
		c.spent = true
		b.codes[h.Code] = c
	}
	e.State, e.Purchase = Held, h.Purchase
	b.openHolds++
	b.change(e, func(u *usage) { u.live--; u.items++; u.subsidy += h.Subsidy })
}

func (b *Book) mustTake(leaf NodeID, amount money.Amount) {
	if err := b.Budget.Take(leaf, amount); err != nil {
		panic(fmt.Sprintf("take %s from budget node %q: %v", amount, b.Budget.Path(leaf), err))
	}
}

// Use turns a hold into a use: the purchase was captured.
func (b *Book) Use(h Hold) {
	e := b.held(h, Held)
	e.State = Used
	b.openHolds--
	b.Budget.Capture(h.Leaf, h.Subsidy)
}

// Release undoes Reserve before a capture. The entitlement is Claimed again, with the sum that its claim had paid for
// still taken, so that a declined card does not cost the person the place in a rush. The caller expires the entitlement
// when its time is up.
func (b *Book) Release(h Hold) {
	e := b.held(h, Held)
	b.openHolds--
	if h.FromClaim > 0 {
		e.Reserved = h.FromClaim
	} else {
		b.Budget.Release(h.Leaf, h.Subsidy)
	}
	b.restore(e, h)
}

// Restore undoes Use: the captured purchase was reversed, voided or refunded.
func (b *Book) Restore(h Hold) {
	e := b.held(h, Used)
	b.Budget.Restore(h.Leaf, h.Subsidy)
	b.restore(e, h)
}

// GiveBack undoes a part of Use: amount of the subsidy goes back to the budget and out of what the person has had. The
// entitlement stays Used, and with it the place in the quota and the serial.
func (b *Book) GiveBack(h Hold, amount money.Amount) {
	e := b.held(h, Used)
	if amount < 0 || amount > h.Subsidy {
		panic(fmt.Sprintf("purchase %d gives back %s of %s", h.Purchase, amount, h.Subsidy))
	}
	b.Budget.Restore(h.Leaf, amount)
	b.change(e, func(u *usage) { u.subsidy -= amount })
}

// Free ends a use whose subsidy has been given back: entitlement, place in the quota and serial are free.
func (b *Book) Free(h Hold) {
	e := b.held(h, Used)
	if h.Subsidy != 0 {
		panic(fmt.Sprintf("purchase %d is freed with %s spent", h.Purchase, h.Subsidy))
	}
	b.restore(e, h)
}

func (b *Book) held(h Hold, want State) *Entitlement {
	e := b.at(h.Entitlement)
	if e.State != want || e.Purchase != h.Purchase {
		panic(fmt.Sprintf("purchase %d: entitlement %d is %s by purchase %d, want %s",
			h.Purchase, e.ID, e.State, e.Purchase, want))
	}
	return e
}

func (b *Book) restore(e *Entitlement, h Hold) {
	e.State, e.Purchase = Claimed, 0
	if h.Serial != (Hash{}) {
		delete(b.serials, h.Serial)
	}
	b.change(e, func(u *usage) { u.live++; u.items--; u.subsidy -= h.Subsidy })
}

// Expire ends a Claimed entitlement whose time is up. It returns what the claim had taken from the budget.
func (b *Book) Expire(id uint64) money.Amount { return b.end(id, Expired) }

// Return ends a Claimed entitlement that the person gave back.
func (b *Book) Return(id uint64) money.Amount { return b.end(id, Returned) }

func (b *Book) end(id uint64, state State) money.Amount {
	e := b.at(id)
	if e.State != Claimed {
		panic(fmt.Sprintf("entitlement %d cannot end as %s: it is %s", id, state, e.State))
	}
	released := e.Reserved
	if released > 0 {
		b.Budget.Release(e.Leaf, released)
		e.Reserved = 0
	}
	e.State = state
	b.change(e, func(u *usage) { u.live-- })
	return released
}

// OpenHolds is the number of purchases that are reserved or on their way to a host.
func (b *Book) OpenHolds() int { return b.openHolds }

// Check recomputes from the entitlements what the indexes say and returns the first difference, nil when all agree.
// reserved is the sum of subsidies held by open purchases, which only the engine knows.
func (b *Book) Check(reserved money.Amount) error {
	if err := b.Budget.Check(); err != nil {
		return err
	}
	holds := 0
	held := reserved
	type count struct{ items, claims, live uint16 }
	counts := map[usageKey]count{}
	for i := range b.entitlements {
		e := &b.entitlements[i]
		k := usageKey{e.Person, e.Category}
		c := counts[k]
		c.claims++
		switch e.State {
		case Claimed:
			c.live++
			held += e.Reserved
		case Held:
			c.items++
			holds++
		case Used:
			c.items++
		}
		counts[k] = c
	}
	if holds != b.openHolds {
		return fmt.Errorf("%d entitlements are held, %d holds are open", holds, b.openHolds)
	}
	for k, c := range counts {
		if u := b.usage[k]; u.items != c.items || u.claims != c.claims || u.live != c.live {
			return fmt.Errorf("person %d, category %s: usage %+v, entitlements give %+v", k.person, b.categories[k.category], u, c)
		}
	}
	if b.Budget.Len() > 0 && b.Budget.nodes[0].held != held {
		return fmt.Errorf("the budget holds %s, purchases and claims hold %s", b.Budget.nodes[0].held, held)
	}
	return nil
}
