package subsidy

import (
	"cmp"
	"fmt"
	"slices"

	"huanxin/internal/money"
)

// tally is what entitlements count to, over all persons and categories: every count times the fingerprint of whose it
// is. Two tallies are equal exactly when all the counts behind them are, but for one chance in 2^64 that only somebody
// who chose the numbers of persons could raise. So both tables are read once, in their order, and nothing is built.
type tally struct{ items, claims, live uint64 }

// fingerprint is odd, so that no difference in a single count vanishes.
func fingerprint(person uint32, c Category) uint64 {
	v := uint64(person)<<8 | uint64(c)
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31 | 1
}

func (t *tally) count(e *record, c Category) {
	mark := fingerprint(e.person, c)
	t.claims += mark
	switch e.state() {
	case Claimed:
		t.live += mark
	case Held, Used:
		t.items += mark
	}
}

func (t *tally) add(person uint32, u *use) {
	mark := fingerprint(person, u.category)
	t.items += mark * uint64(u.items)
	t.claims += mark * uint64(u.claims)
	t.live += mark * uint64(u.live)
}

// Check recomputes from the entitlements what the counters say and returns the first difference, nil when all agree.
// reserved is the sum of subsidies held by open purchases, which only the engine knows.
func (b *Book) Check(reserved money.Amount) error { return b.CheckInSteps(reserved, func() {}) }

// CheckInSteps is Check that calls step for every entitlement and every person, so that a caller can rest now and then.
func (b *Book) CheckInSteps(reserved money.Amount, step func()) error {
	if err := b.Budget.Check(); err != nil {
		return err
	}
	holds, serials := 0, 0
	held := reserved
	var want, have tally
	for i := range b.entitlements.Len() {
		step()
		e := b.entitlements.At(i)
		want.count(e, b.termsOf(e).category)
		held += e.reserved()
		if e.state() == Held {
			holds++
		}
		if e.serial != (Hash{}) {
			serials++
			if !e.taken() {
				return fmt.Errorf("entitlement %d is %s and has a serial", i+1, e.state())
			}
		}
	}
	if holds != b.openHolds {
		return fmt.Errorf("%d entitlements are held, %d holds are open", holds, b.openHolds)
	}
	for i := range uint32(b.people.list.Len()) {
		step()
		for u := b.people.first(i); u != nil; u = b.people.after(u) {
			have.add(i, u)
		}
	}
	if have != want {
		return b.difference()
	}
	if serials != b.serials.Len() || b.people.list.Len() != b.people.index.Len() {
		return fmt.Errorf("%d serials are taken and %d indexed, %d persons known and %d indexed", serials, b.serials.Len(),
			b.people.list.Len(), b.people.index.Len())
	}
	if b.Budget.Len() > 0 && b.Budget.nodes[0].held != held {
		return fmt.Errorf("the budget holds %s, purchases and claims hold %s", b.Budget.nodes[0].held, held)
	}
	return nil
}

// difference counts person by person to name the first whose counters are wrong. It is called when there is one.
func (b *Book) difference() error {
	type key struct {
		person   uint32
		category Category
	}
	type counts struct{ items, claims, live int }
	differ := map[key]counts{}
	for i := range uint32(b.people.list.Len()) {
		for u := b.people.first(i); u != nil; u = b.people.after(u) {
			differ[key{i, u.category}] = counts{-int(u.items), -int(u.claims), -int(u.live)}
		}
	}
	for i := range b.entitlements.Len() {
		e := b.entitlements.At(i)
		k := key{e.person, b.termsOf(e).category}
		c := differ[k]
		c.claims++
		switch e.state() {
		case Claimed:
			c.live++
		case Held, Used:
			c.items++
		}
		differ[k] = c
	}
	wrong := make([]key, 0, 1)
	for k, c := range differ {
		if c != (counts{}) {
			wrong = append(wrong, k)
		}
	}
	if len(wrong) == 0 {
		return fmt.Errorf("entitlements and what persons have differ, and no person is wrong")
	}
	k := slices.MinFunc(wrong, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.person, b.person), cmp.Compare(a.category, b.category))
	})
	return fmt.Errorf("person %d, category %s: entitlements give %+v more than is counted", k.person, b.categories[k.category], differ[k])
}
