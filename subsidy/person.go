package subsidy

import (
	"fmt"

	"huanxin/internal/flat"
	"huanxin/internal/money"
	"huanxin/subsidy/policy"
)

// person is who has claimed something: 36 bytes. Most persons have one category, which is why its use lies here.
type person struct {
	hash Hash
	use
}

// use is what one person has of one category: held and used together, since every hold counts. A person's uses are a
// chain, ascending by category, so that it is the same whatever was claimed first. Counters stand here and are not
// gathered from entitlements: whoever claims and gives back a hundred times costs no more than anybody else.
type use struct {
	subsidyLow, subsidyHigh uint32 // halves of an amount: four-byte fields alone pack into 20 bytes
	next                    uint32 // 1 + the place in Book.uses of the use of the next category; 0 = none
	items                   uint16
	claims                  uint16 // a policy allows 10 000 at most
	live                    uint16 // claimed, not yet held: at most one unless the policy allows more
	category                Category
}

func (u *use) subsidy() money.Amount {
	return money.Amount(uint64(u.subsidyHigh)<<32 | uint64(u.subsidyLow))
}

func (u *use) spend(amount money.Amount) {
	sum := u.subsidy() + amount
	if sum < 0 {
		panic(fmt.Sprintf("a person has had %s, %s go back", u.subsidy(), -amount))
	}
	u.subsidyLow, u.subsidyHigh = uint32(sum), uint32(sum>>32)
}

// people are the persons of a book. They are numbered in the order of their first claim.
type people struct {
	list  flat.Slab[person]
	index flat.Index
	uses  flat.Slab[use] // of all categories but the first of each person
}

func (p *people) find(h Hash) (uint32, bool) {
	return p.index.Find(flat.Fold(h), func(i uint32) bool { return p.list.At(int(i)).hash == h })
}

func (p *people) add(h Hash, first use) uint32 {
	i := uint32(p.list.Add(person{hash: h, use: first}))
	p.index.Add(flat.Fold(h), i)
	return i
}

func (p *people) hash(i uint32) Hash { return p.list.At(int(i)).hash }

// first is the use of a person's first category; after is the next, nil behind the last.
func (p *people) first(i uint32) *use { return &p.list.At(int(i)).use }

func (p *people) after(u *use) *use {
	if u.next == 0 {
		return nil
	}
	return p.uses.At(int(u.next - 1))
}

// use is what a person has of a category, nil when nothing was ever claimed.
func (p *people) use(i uint32, c Category) *use {
	u := p.first(i)
	for u != nil && u.category < c {
		u = p.after(u)
	}
	if u == nil || u.category > c {
		return nil
	}
	return u
}

// claim finds the person and the use that a claim counts in, and makes what is missing.
func (p *people) claim(h Hash, c Category) (uint32, *use) {
	i, ok := p.find(h)
	if !ok {
		i = p.add(h, use{category: c})
		return i, p.first(i)
	}
	u := p.first(i)
	for u.category < c {
		next := p.after(u)
		if next == nil {
			next = p.appendUse(u, use{category: c})
		}
		u = next
	}
	if u.category > c { // what stands here moves on, so that the chain stays in order
		u.next = 1 + uint32(p.uses.Add(*u))
		*u = use{category: c, next: u.next}
	}
	return i, u
}

// appendUse puts a use behind the last one of a person.
func (p *people) appendUse(last *use, u use) *use {
	last.next = 1 + uint32(p.uses.Add(u))
	return p.after(last)
}

// Usage is what a person has of one category.
type Usage struct {
	Items   int // held or used
	Claims  int // entitlements ever claimed and not given back by expiry rules
	Live    int // claimed and waiting to be used
	Subsidy money.Amount
}

// UsageOf returns what person has of category.
func (b *Book) UsageOf(p Hash, category string) Usage {
	i, ok := b.people.find(p)
	if !ok {
		return Usage{}
	}
	c, ok := b.byCategory[category]
	if !ok {
		return Usage{}
	}
	u := b.people.use(i, c)
	if u == nil {
		return Usage{}
	}
	return Usage{Items: int(u.items), Claims: int(u.claims), Live: int(u.live), Subsidy: u.subsidy()}
}

// EachUsage goes through what all persons have, person by person in the order of their first claims.
func (b *Book) EachUsage(fn func(person Hash, category string, u Usage)) {
	for i := range b.people.list.Len() {
		for u := b.people.first(uint32(i)); u != nil; u = b.people.after(u) {
			fn(b.people.hash(uint32(i)), b.categories[u.category], Usage{Items: int(u.items), Claims: int(u.claims), Live: int(u.live), Subsidy: u.subsidy()})
		}
	}
}

// Usages is how many times EachUsage calls.
func (b *Book) Usages() int { return b.people.list.Len() + b.people.uses.Len() }

// AppendUsage appends what person has held or used, category by category, for the caps and exclusion groups of a policy.
func (b *Book) AppendUsage(dst []policy.CategoryUse, p Hash) []policy.CategoryUse {
	i, ok := b.people.find(p)
	if !ok {
		return dst
	}
	for u := b.people.first(i); u != nil; u = b.people.after(u) {
		if u.items > 0 {
			dst = append(dst, policy.CategoryUse{Category: b.categories[u.category], Items: int(u.items), Subsidy: u.subsidy()})
		}
	}
	return dst
}

// PersonOf returns the person who claimed an entitlement.
func (b *Book) PersonOf(e Entitlement) Hash { return b.people.hash(e.Person) }
