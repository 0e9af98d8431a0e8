package ledger

import (
	"math/bits"

	"huanxin/internal/flat"
	"huanxin/internal/money"
	"huanxin/switch/event"
)

// EntitlementState is where an entitlement stands.
type EntitlementState uint8

// The states of an entitlement.
const (
	EntitlementClaimed EntitlementState = iota + 1
	EntitlementHeld
	EntitlementUsed
	EntitlementExpired
	EntitlementReturned
)

var entitlementNames = [...]string{"", "claimed", "held", "used", "expired", "returned"}

// String is the state as the database names it.
func (s EntitlementState) String() string { return entitlementNames[s] }

// use is what one person has of one category.
type use struct {
	person   [16]byte
	subsidy  int64
	items    uint16 // held or used
	claims   uint16
	live     uint16 // claimed, not yet held
	category uint8
}

// entitlement is one entitlement. holder is the purchase while it is held or used, else what the claim has taken from the
// leaf, in fen.
type entitlement struct {
	holder uint64
	digest uint64
	serial [16]byte
	use    uint32
	leaf   uint16
	state  EntitlementState
}

// Entitlement is one entitlement as it stands.
type Entitlement struct {
	ID       uint64
	State    EntitlementState
	Person   [16]byte
	Category string
	Reserved int64  // of the claim, on Leaf
	Purchase uint64 // holder while held or used
	Leaf     string
	Serial   [16]byte // that the holder took
	Digest   uint64   // see EntitlementDigest
}

// Entitlements is how many were ever claimed: they are numbered from 1.
func (l *Ledger) Entitlements() uint64 { return uint64(l.entitlements.Len()) }

// Entitlement is the one with that number.
func (l *Ledger) Entitlement(id uint64) (Entitlement, bool) {
	if id == 0 || id > l.Entitlements() {
		return Entitlement{}, false
	}
	e := l.entitlements.At(int(id - 1))
	u := l.uses.At(int(e.use))
	v := Entitlement{
		ID: id, State: e.state, Person: u.person, Category: l.categories.list[u.category], Leaf: l.path(e.leaf), Serial: e.serial, Digest: e.digest,
	}
	switch e.state {
	case EntitlementHeld, EntitlementUsed:
		v.Purchase = e.holder
	case EntitlementClaimed:
		v.Reserved = int64(e.holder)
	}
	return v, true
}

// Use is what one person has of one category.
type Use struct {
	Person              [16]byte
	Category            string
	Items, Claims, Live int
	Subsidy             int64
}

// EachUse goes through what persons have.
func (l *Ledger) EachUse(fn func(Use)) {
	for i := range l.uses.Len() {
		u := l.uses.At(i)
		fn(Use{u.person, l.categories.list[u.category], int(u.items), int(u.claims), int(u.live), u.subsidy})
	}
}

// Knows reports whether a person has ever claimed of a category.
func (l *Ledger) Knows(person [16]byte, category string) bool {
	for i, name := range l.categories.list {
		if name == category {
			_, ok := l.findUse(person, uint8(i))
			return ok
		}
	}
	return false
}

// Persons is how many rows EachUse gives.
func (l *Ledger) Persons() int { return l.uses.Len() }

func hash16(b []byte) (h [16]byte) {
	copy(h[:], b)
	return h
}

func (l *Ledger) findUse(person [16]byte, category uint8) (uint32, bool) {
	return l.useIndex.Find(flat.Fold(person), func(i uint32) bool {
		u := l.uses.At(int(i))
		return u.category == category && u.person == person
	})
}

func (l *Ledger) claimed(m *event.EntitlementClaimed) {
	if m.Entitlement != l.Entitlements()+1 {
		l.wrong("entitlement %d is claimed, the last was %d", m.Entitlement, l.Entitlements())
		if m.Entitlement <= l.Entitlements() {
			return
		}
	}
	person, category := hash16(m.Person), l.categories.of(m.Category)
	i, ok := l.findUse(person, category)
	if !ok {
		i = uint32(l.uses.Add(use{person: person, category: category}))
		l.useIndex.Add(flat.Fold(person), i)
	}
	u := l.uses.At(int(i))
	u.claims++
	u.live++
	e := entitlement{holder: uint64(m.Reserved), use: i, leaf: noLeaf, state: EntitlementClaimed, digest: EntitlementDigest(
		m.Person, clean(m.Category), clean(m.City), clean(m.Channel), clean(m.IdKind), clean(m.PolicyVersion), clean(m.Leaf), l.at, m.ExpiresAt)}
	if m.Reserved < 0 {
		l.wrong("entitlement %d takes %d fen", m.Entitlement, m.Reserved)
	}
	if m.Reserved > 0 {
		e.leaf = l.leaf(clean(m.Leaf))
		l.hold(e.leaf, m.Reserved)
	}
	for l.Entitlements()+1 < m.Entitlement { // lost ones keep their numbers
		l.entitlements.Add(entitlement{use: i, leaf: noLeaf, state: EntitlementReturned})
	}
	l.entitlements.Add(e)
}

// entitled is the entitlement that an event is about, which must be in a state; nil when there is none.
func (l *Ledger) entitled(id uint64, from EntitlementState) *entitlement {
	if id == 0 || id > l.Entitlements() {
		l.wrong("entitlement %d does not exist", id)
		return nil
	}
	e := l.entitlements.At(int(id - 1))
	if e.state != from {
		l.wrong("entitlement %d is %s, and must be %s", id, e.state, from)
		return nil
	}
	return e
}

func (l *Ledger) entitlementEnded(id uint64, released int64, to EntitlementState) {
	e := l.entitled(id, EntitlementClaimed)
	if e == nil {
		return
	}
	if int64(e.holder) != released {
		l.wrong("entitlement %d gives back %d fen, its claim has %d", id, released, e.holder)
	}
	l.free(e.leaf, int64(e.holder))
	e.state, e.holder = to, 0
	l.uses.At(int(e.use)).live--
}

// grab gives an entitlement and its serial number to a purchase, and takes the subsidy: from what the claim has taken
// already, or anew.
func (l *Ledger) grab(id uint64, m *event.Reserved, leaf uint16) {
	e := l.entitled(m.Entitlement, EntitlementClaimed)
	if e == nil {
		l.hold(leaf, m.Subsidy)
		return
	}
	u := l.uses.At(int(e.use))
	if u.person != hash16(m.Person) || l.categories.list[u.category] != m.Category {
		l.wrong("purchase %d names another person or category than entitlement %d", id, m.Entitlement)
	}
	l.judge(id, m, u)
	switch {
	case m.FromClaim > 0:
		if m.FromClaim != m.Subsidy || m.FromClaim > int64(e.holder) || e.leaf != leaf {
			l.wrong("purchase %d takes %d fen from a claim of %d fen on %q for a subsidy of %d on %q", id, m.FromClaim, e.holder,
				l.path(e.leaf), m.Subsidy, l.path(leaf))
		}
		l.free(e.leaf, int64(e.holder)-m.FromClaim)
	default:
		l.free(e.leaf, int64(e.holder))
		l.hold(leaf, m.Subsidy)
	}
	e.state, e.holder, e.serial = EntitlementHeld, id, [16]byte{}
	u.live--
	u.items++
	u.subsidy += m.Subsidy
	l.openHolds++
	if serial := hash16(m.Serial); serial != [16]byte{} {
		if other, ok := l.serial(serial); ok {
			l.wrong("the serial number of purchase %d is that of purchase %d", id, l.entitlements.At(int(other)).holder)
			return
		}
		e.serial = serial
		l.serials.Add(flat.Fold(serial), uint32(m.Entitlement-1))
	}
}

// serial is the place of the entitlement whose purchase has a serial number.
func (l *Ledger) serial(h [16]byte) (uint32, bool) {
	return l.serials.Find(flat.Fold(h), func(i uint32) bool { return l.entitlements.At(int(i)).serial == h })
}

// Serials is how many serial numbers live purchases have.
func (l *Ledger) Serials() int { return l.serials.Len() }

// judge holds a reserve against the person's quota and caps, by the rule that it names.
func (l *Ledger) judge(id uint64, m *event.Reserved, u *use) {
	if m.ItemsBefore != uint32(u.items) {
		l.wrong("purchase %d says that the person had %d items of the category, it had %d", id, m.ItemsBefore, u.items)
	}
	if l.rules == nil {
		l.wrong("purchase %d is decided before any rules", id)
		return
	}
	rule := l.rules.Rule(m.PolicyVersion, m.City, m.Channel, m.Category, clean(m.Key.GetMerchant()))
	if rule == nil {
		l.wrong("purchase %d names version %q, which has no rule for it", id, m.PolicyVersion)
		return
	}
	if rule.ItemCap > 0 && m.Subsidy > int64(rule.ItemCap) {
		l.wrong("purchase %d has a subsidy of %d fen, the cap is %d", id, m.Subsidy, rule.ItemCap)
	}
	items := 0
	for over := uint64(rule.Quota.Over); over != 0; over &= over - 1 {
		if other := l.useOfSet(u, over); other != nil {
			items += int(other.items)
		}
	}
	if items >= rule.Quota.Items {
		l.wrong("purchase %d is item %d of a person who may have %d", id, items+1, rule.Quota.Items)
	}
	for i := range rule.Exclusions {
		for over := uint64(rule.Exclusions[i].Against); over != 0; over &= over - 1 {
			if other := l.useOfSet(u, over); other != nil && other.items > 0 {
				l.wrong("purchase %d is of a person who has had a category that excludes it", id)
			}
		}
	}
	for i := range rule.PersonCaps {
		c := &rule.PersonCaps[i]
		sum := money.Amount(m.Subsidy)
		for over := uint64(c.Over); over != 0; over &= over - 1 {
			if other := l.useOfSet(u, over); other != nil && other.items > 0 {
				sum += money.Amount(other.subsidy)
			}
		}
		if sum > c.Amount {
			l.wrong("purchase %d gives a person %d fen in all, the cap is %d", id, sum, c.Amount)
		}
	}
}

// useOfSet is what the person of u has of the first category of a set of the rules, nil when nothing was ever claimed.
func (l *Ledger) useOfSet(u *use, set uint64) *use {
	code := l.rules.Categories[bits.TrailingZeros64(set)].Code
	for i, name := range l.categories.list {
		if name != code {
			continue
		}
		if uint8(i) == u.category {
			return u
		}
		if at, ok := l.findUse(u.person, uint8(i)); ok {
			return l.uses.At(int(at))
		}
	}
	return nil
}

// letGo makes the entitlement of a purchase claimed again; what its claim had taken stays taken when stays is not 0.
func (l *Ledger) letGo(id uint64, p *purchase, from EntitlementState, stays int64) {
	e := l.entitled(uint64(p.entitlement), from)
	if e == nil {
		return
	}
	if e.holder != id {
		l.wrong("entitlement %d is purchase %d's and let go by purchase %d", p.entitlement, e.holder, id)
		return
	}
	if e.serial != [16]byte{} {
		l.serials.Remove(flat.Fold(e.serial), p.entitlement-1)
	}
	e.state, e.holder, e.serial = EntitlementClaimed, uint64(stays), [16]byte{}
	u := l.uses.At(int(e.use))
	u.items--
	u.live++
	u.subsidy -= p.subsidy
	if from == EntitlementHeld {
		l.openHolds--
	}
}

// entitlementRestored: a whole refund has given its money back before; now the person may use the entitlement again.
func (l *Ledger) entitlementRestored(m *event.EntitlementRestored) {
	p := l.purchase(m.Purchase, Refunded)
	if p == nil {
		return
	}
	if !p.has(locked) || uint64(p.entitlement) != m.Entitlement {
		l.wrong("purchase %d does not keep entitlement %d", m.Purchase, m.Entitlement)
		return
	}
	l.letGo(m.Purchase, p, EntitlementUsed, 0)
	p.flags &^= locked
}
