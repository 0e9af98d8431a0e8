package subsidy

import (
	"fmt"

	"huanxin/internal/money"
)

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

// Entitlement is one entitlement as callers see it.
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

// terms are what entitlements have in common: crowds claim on the same ones, so each is kept once.
type terms struct {
	leaf     NodeID
	channel  Code
	city     Code
	version  Code
	category Category
}

// record is one entitlement as the book keeps it: 48 bytes without pointers, since there are tens of millions. Its id is
// its place, counted from one.
type record struct {
	claimedAt, expiresAt int64
	holder               uint64 // Held and Used: the purchase; Claimed: what the claim has taken from the leaf, in fen
	serial               Hash   // Held and Used: what the purchase took; zero when the category needs none
	person               uint32
	packed               uint32 // the state in the low stateBits, above them the place of its terms in Book.terms
}

const (
	stateBits = 3
	maxTerms  = 1 << (32 - stateBits)
)

func (e *record) state() State { return State(e.packed & (1<<stateBits - 1)) }

func (e *record) set(s State) { e.packed = e.packed>>stateBits<<stateBits | uint32(s) }

// taken reports whether a purchase has the entitlement.
func (e *record) taken() bool { return e.state() == Held || e.state() == Used }

func (e *record) purchase() uint64 {
	if e.taken() {
		return e.holder
	}
	return 0
}

func (e *record) reserved() money.Amount {
	if e.state() == Claimed {
		return money.Amount(e.holder)
	}
	return 0
}

func (b *Book) termsOf(e *record) *terms { return &b.terms[e.packed>>stateBits] }

// internTerms is the place of terms in the book.
func (b *Book) internTerms(t terms) uint32 {
	i, ok := b.byTerms[t]
	if !ok {
		if i = uint32(len(b.terms)); i == maxTerms {
			panic("too many different terms of entitlements")
		}
		b.terms = append(b.terms, t)
		b.byTerms[t] = i
	}
	return i
}

func (b *Book) view(id uint64) Entitlement {
	e := b.entitlements.At(int(id - 1))
	t := b.termsOf(e)
	return Entitlement{
		ID: id, Person: e.person, Category: t.category, Channel: t.channel, City: t.city, Version: t.version, State: e.state(),
		ClaimedAt: e.claimedAt, ExpiresAt: e.expiresAt, Reserved: e.reserved(), Leaf: t.leaf, Purchase: e.purchase(),
	}
}
