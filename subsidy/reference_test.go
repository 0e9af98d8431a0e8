package subsidy

import (
	"fmt"
	"slices"

	"huanxin/internal/money"
	"huanxin/subsidy/policy"
)

// reference is the book as it would be written without regard to memory: maps of everything, and sums that are made
// when somebody asks. The differential test holds Book against it.
type reference struct {
	budget       *Budget
	entitlements []*referenceEntitlement
	codes        map[Hash]CodeView
	shown        []Hash
}

type referenceEntitlement struct {
	person                           Hash
	category, channel, city, version string
	state                            State
	claimedAt, expiresAt             int64
	reserved                         money.Amount
	leaf                             NodeID
	purchase                         uint64
	serial                           Hash
	subsidy                          money.Amount
}

func (r *reference) claim(e Entitlement, p Hash, category, channel, city, version string) {
	r.take(e.Leaf, e.Reserved)
	r.entitlements = append(r.entitlements, &referenceEntitlement{person: p, category: category, channel: channel, city: city,
		version: version, state: Claimed, claimedAt: e.ClaimedAt, expiresAt: e.ExpiresAt, reserved: e.Reserved, leaf: e.Leaf})
}

func (r *reference) take(leaf NodeID, amount money.Amount) {
	if amount > 0 {
		if err := r.budget.Take(leaf, amount); err != nil {
			panic(err)
		}
	}
}

func (r *reference) find(id uint64, state State, purchase uint64) *referenceEntitlement {
	if id == 0 || id > uint64(len(r.entitlements)) {
		panic("no such entitlement")
	}
	e := r.entitlements[id-1]
	if e.state != state || e.purchase != purchase {
		panic(fmt.Sprintf("entitlement %d is %s by %d", id, e.state, e.purchase))
	}
	return e
}

func (r *reference) holder(serial Hash) uint64 {
	for _, e := range r.entitlements {
		if e.serial == serial && serial != (Hash{}) {
			return e.purchase
		}
	}
	return 0
}

func (r *reference) reserve(h Hold) {
	e := r.find(h.Entitlement, Claimed, 0)
	if h.FromClaim > 0 && (h.FromClaim != h.Subsidy || h.Leaf != e.leaf || h.Subsidy > e.reserved) || r.holder(h.Serial) != 0 {
		panic("not to be held")
	}
	if h.FromClaim > 0 {
		r.budget.Release(e.leaf, e.reserved-h.Subsidy)
	} else {
		r.budget.Release(e.leaf, e.reserved)
		r.take(h.Leaf, h.Subsidy)
	}
	if c, ok := r.codes[h.Code]; ok {
		c.Spent = true
		r.codes[h.Code] = c
	}
	e.state, e.purchase, e.serial, e.subsidy, e.reserved = Held, h.Purchase, h.Serial, h.Subsidy, 0
}

func (r *reference) use(h Hold) {
	r.find(h.Entitlement, Held, h.Purchase).state = Used
	r.budget.Capture(h.Leaf, h.Subsidy)
}

func (r *reference) release(h Hold) {
	e := r.find(h.Entitlement, Held, h.Purchase)
	if h.FromClaim == 0 {
		r.budget.Release(h.Leaf, h.Subsidy)
	}
	e.back(h.FromClaim)
}

func (r *reference) restore(h Hold) {
	e := r.find(h.Entitlement, Used, h.Purchase)
	r.budget.Restore(h.Leaf, h.Subsidy)
	e.back(0)
}

func (e *referenceEntitlement) back(reserved money.Amount) {
	e.state, e.purchase, e.serial, e.subsidy, e.reserved = Claimed, 0, Hash{}, 0, reserved
}

func (r *reference) giveBack(h Hold, amount money.Amount) {
	e := r.find(h.Entitlement, Used, h.Purchase)
	if amount < 0 || amount > h.Subsidy {
		panic("more than was given")
	}
	r.budget.Restore(h.Leaf, amount)
	e.subsidy -= amount
}

func (r *reference) free(h Hold) {
	e := r.find(h.Entitlement, Used, h.Purchase)
	if h.Subsidy != 0 {
		panic("something is spent")
	}
	e.back(0)
}

func (r *reference) end(id uint64, state State) money.Amount {
	e := r.find(id, Claimed, 0)
	released := e.reserved
	r.budget.Release(e.leaf, released)
	e.state, e.reserved = state, 0
	return released
}

func (r *reference) usageOf(p Hash, category string) (u Usage) {
	for _, e := range r.entitlements {
		if e.person != p || e.category != category {
			continue
		}
		u.Claims++
		switch e.state {
		case Claimed:
			u.Live++
		case Held, Used:
			u.Items++
			u.Subsidy += e.subsidy
		}
	}
	return u
}

// usage is in the order in which the book has first seen the categories.
func (r *reference) usage(p Hash) (list []policy.CategoryUse) {
	var categories []string
	for _, e := range r.entitlements {
		if !slices.Contains(categories, e.category) {
			categories = append(categories, e.category)
		}
	}
	for _, c := range categories {
		if u := r.usageOf(p, c); u.Items > 0 {
			list = append(list, policy.CategoryUse{Category: c, Items: u.Items, Subsidy: u.Subsidy})
		}
	}
	return list
}

func (r *reference) showCode(h Hash, v CodeView) {
	r.codes[h] = v
	r.shown = append(r.shown, h)
}

func (r *reference) forgetCodes(now int64) {
	for len(r.shown) > 0 && r.codes[r.shown[0]].ExpiresAt+codeMemory <= now {
		delete(r.codes, r.shown[0])
		r.shown = r.shown[1:]
	}
}
