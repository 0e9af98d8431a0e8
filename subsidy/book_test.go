package subsidy

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
	"huanxin/subsidy/policy"
)

func person1() Hash { return Hash{1} }

func claimed(t require.TestingT, b *Book, p Hash, category string, reserved int) Entitlement {
	id := b.NextEntitlement()
	at, _ := b.Budget.Find("r1")
	b.Claim(Entitlement{ID: id, ClaimedAt: 1, ExpiresAt: 1000, Reserved: money.Amount(reserved), Leaf: at}, p, category, "store", "210100", "v1")
	e, ok := b.Entitlement(id)
	require.True(t, ok)
	return e
}

func book(t require.TestingT) *Book {
	b := NewBook()
	b.Budget = tree(t, "", 100_000, "r1", 50_000)
	return b
}

func TestHoldTakesEntitlementQuotaSerialAndBudgetTogether(t *testing.T) {
	b := book(t)
	e := claimed(t, b, person1(), "A01", 0)
	h := Hold{Purchase: 7, Entitlement: e.ID, Serial: Hash{9}, Leaf: leaf(t, b.Budget, "r1"), Subsidy: 300}
	b.Reserve(h)
	got, _ := b.Entitlement(e.ID)
	require.Equal(t, Held, got.State)
	require.Equal(t, uint64(7), b.SerialHolder(Hash{9}))
	require.Equal(t, Usage{Items: 1, Claims: 1, Subsidy: 300}, b.UsageOf(person1(), "A01"))
	require.Equal(t, []policy.CategoryUse{{Category: "A01", Items: 1, Subsidy: 300}}, b.AppendUsage(nil, person1()))
	require.NoError(t, b.Check(300))

	b.Use(h)
	require.NoError(t, b.Check(0))
	b.Restore(h)
	require.Equal(t, uint64(0), b.SerialHolder(Hash{9}))
	require.Equal(t, Usage{Claims: 1, Live: 1}, b.UsageOf(person1(), "A01"))
	require.Equal(t, money.Amount(50_000), b.Budget.Available(h.Leaf))
	require.NoError(t, b.Check(0))
}

func TestASerialBelongsToOneLivePurchase(t *testing.T) {
	b := book(t)
	first := claimed(t, b, person1(), "A01", 0)
	second := claimed(t, b, Hash{2}, "A01", 0)
	b.Reserve(Hold{Purchase: 1, Entitlement: first.ID, Serial: Hash{9}, Leaf: 1, Subsidy: 1})
	require.Panics(t, func() {
		b.Reserve(Hold{Purchase: 2, Entitlement: second.ID, Serial: Hash{9}, Leaf: 1, Subsidy: 1})
	})
}

func TestAnEntitlementIsHeldOnce(t *testing.T) {
	b := book(t)
	e := claimed(t, b, person1(), "A01", 0)
	b.Reserve(Hold{Purchase: 1, Entitlement: e.ID, Leaf: 1, Subsidy: 1})
	require.Panics(t, func() { b.Reserve(Hold{Purchase: 2, Entitlement: e.ID, Leaf: 1, Subsidy: 1}) })
	require.Panics(t, func() { b.Expire(e.ID) }, "a held entitlement does not expire")
	require.Panics(t, func() { b.Use(Hold{Purchase: 2, Entitlement: e.ID, Leaf: 1, Subsidy: 1}) })
}

func TestAClaimThatReservedPaysAlsoAfterItsRoundClosed(t *testing.T) {
	b := book(t)
	e := claimed(t, b, person1(), "A01", 1000)
	id := leaf(t, b.Budget, "r1")
	b.Budget.Close(id)
	h := Hold{Purchase: 1, Entitlement: e.ID, Leaf: id, Subsidy: 700, FromClaim: 700}
	b.Reserve(h)
	require.Equal(t, money.Amount(700), b.Budget.View(id).Held)
	require.Equal(t, money.Amount(700), b.Budget.View(id).Allocated, "the rest of the claim went to the parent")
	b.Release(h)
	got, _ := b.Entitlement(e.ID)
	require.Equal(t, money.Amount(700), got.Reserved, "a declined card keeps the sum that the claim had taken")
	require.NoError(t, b.Check(0))
	require.Equal(t, money.Amount(700), b.Expire(e.ID))
	require.Equal(t, money.Amount(0), b.Budget.View(id).Allocated)
	require.NoError(t, b.Check(0))
}

func TestCodesAreForgottenTenMinutesAfterTheirEnd(t *testing.T) {
	b := book(t)
	e := claimed(t, b, person1(), "A01", 0)
	b.ShowCode(Hash{5}, e.ID, 60, CodePosition{})
	b.ForgetCodes(60 + codeMemory - 1)
	_, ok := b.Code(Hash{5})
	require.True(t, ok, "a late cashier reads that the code has expired")
	b.ForgetCodes(60 + codeMemory)
	_, ok = b.Code(Hash{5})
	require.False(t, ok)
}

func TestBookInvariantsHoldUnderAnyLives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := book(t)
		type live struct {
			hold Hold
			used bool
		}
		open := map[uint64]live{}
		var purchases uint64
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				p := Hash{byte(rapid.IntRange(1, 4).Draw(t, "person"))}
				reserved := rapid.SampledFrom([]int{0, 500}).Draw(t, "reserved")
				if b.Budget.Available(1) >= money.Amount(reserved) {
					claimed(t, b, p, rapid.SampledFrom([]string{"A01", "B01"}).Draw(t, "category"), reserved)
				}
			case 1:
				for id := uint64(1); id < b.NextEntitlement(); id++ {
					e, _ := b.Entitlement(id)
					if e.State != Claimed {
						continue
					}
					purchases++
					h := Hold{Purchase: purchases, Entitlement: id, Leaf: 1, Subsidy: 400, Serial: Hash{byte(purchases), byte(purchases >> 8)}}
					if e.Reserved >= h.Subsidy {
						h.FromClaim = h.Subsidy
					} else if b.Budget.Available(1) < h.Subsidy {
						continue
					}
					b.Reserve(h)
					open[purchases] = live{hold: h}
					break
				}
			default:
				if len(open) == 0 {
					continue
				}
				id := rapid.Uint64Range(1, purchases).Draw(t, "purchase")
				l, ok := open[id]
				if !ok {
					continue
				}
				switch {
				case l.used:
					b.Restore(l.hold)
					delete(open, id)
				case rapid.Bool().Draw(t, "use"):
					b.Use(l.hold)
					l.used = true
					open[id] = l
				default:
					b.Release(l.hold)
					delete(open, id)
				}
			}
			var held money.Amount
			for _, l := range open {
				if !l.used {
					held += l.hold.Subsidy
				}
			}
			require.NoError(t, b.Check(held))
		}
	})
}
