package policy

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
)

// Of all prices that leave the buyer just what he has paid, the highest is kept, with the subsidy that the rule gives for it.
func TestAPartialRefundKeepsTheHighestPriceThatExplainsWhatIsPaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRule(t)
		q := Request{Price: money.Amount(rapid.IntRange(2, 3000).Draw(t, "price")), Grade: uint8(rapid.IntRange(0, 3).Draw(t, "grade"))}
		given := r.Recompute(&q)
		share := func(price money.Amount) (own, subsidy money.Amount) {
			at := q
			at.Price = price
			subsidy = money.Min(given, r.Recompute(&at))
			return price - subsidy, subsidy
		}
		paid, _ := share(money.Amount(rapid.Int64Range(1, int64(q.Price)).Draw(t, "kept")))
		var want, wantSubsidy money.Amount
		for price := money.Amount(1); price <= q.Price; price++ {
			if own, s := share(price); own == paid {
				want, wantSubsidy = price, s
			}
		}
		got, subsidy, ok := r.Kept(&q, given, paid)
		if r.rateFor(&q) == nil {
			require.False(t, ok)
			return
		}
		require.True(t, ok)
		require.Equal(t, [2]money.Amount{want, wantSubsidy}, [2]money.Amount{got, subsidy})
		require.LessOrEqual(t, subsidy, given, "what is kept is never subsidised higher than the whole was")
	})
}
