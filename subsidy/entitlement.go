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

// record is one entitlement as the book keeps it: 56 bytes without pointers, since there are tens of millions. Its id is
// its place, counted from one.
type record struct {
	claimedAt, expiresAt int64
	holder               uint64 // Held and Used: the purchase; Claimed: what the claim has taken from leaf, in fen
	serial               Hash   // Held and Used: what the purchase took; zero when the category needs none
	person               uint32
	leaf                 NodeID
	channel              Code
	city                 Code
	version              Code
	category             Category
	state                State
}

// taken reports whether a purchase has the entitlement.
func (e *record) taken() bool { return e.state == Held || e.state == Used }

func (e *record) purchase() uint64 {
	if e.taken() {
		return e.holder
	}
	return 0
}

func (e *record) reserved() money.Amount {
	if e.state == Claimed {
		return money.Amount(e.holder)
	}
	return 0
}

func (e *record) view(id uint64) Entitlement {
	return Entitlement{
		ID: id, Person: e.person, Category: e.category, Channel: e.channel, City: e.city, Version: e.version, State: e.state,
		ClaimedAt: e.claimedAt, ExpiresAt: e.expiresAt, Reserved: e.reserved(), Leaf: e.leaf, Purchase: e.purchase(),
	}
}
