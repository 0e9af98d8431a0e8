package wallet

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
)

func TestEndingsOrderWhatTheySay(t *testing.T) {
	r := DefaultRules()
	require.NoError(t, r.Check())
	for ending, want := range map[money.Amount]Plan{
		100: {Status: "paid"}, 151: {Status: "declined", Reason: "INSUFFICIENT_BALANCE"},
		121: {Status: "paid", Fate: Unseen}, 122: {Status: "paid", Fate: Lost}, 123: {Status: "paid", Delay: 20 * time.Second},
		124: {Status: "paid", Notices: 2}, 126: {Status: "paid", Fate: Cut}, 127: {Status: "paid", Fate: Lost, Notices: 1},
		171: {Status: "pending", Final: "paid", After: 3 * time.Second, Notices: 1},
		172: {Status: "pending", Final: "paid", After: 3 * time.Second},
		173: {Status: "pending", Final: "paid", After: 3 * time.Second, Notices: 1, NoticeAfter: 20 * time.Second},
		174: {Status: "pending", Final: "paid", After: 3 * time.Second, Notices: 2},
		176: {Status: "pending", After: 3 * time.Second},
		177: {Status: "pending", Final: "declined", FinalReason: "PAYER_CANCELLED", After: 3 * time.Second, Notices: 1},
		181: {Status: "paid"},
	} {
		require.Equal(t, want, r.Payment("516900000001", ending), "%d", ending)
	}
	require.Equal(t, Plan{Status: "pending", Final: "done", After: 3 * time.Second, Notices: 1}, r.Refund("1", 181))
	require.Equal(t, Plan{Status: "done", Fate: Lost}, r.Refund("1", 182))
	require.Equal(t, Plan{Status: "done", Fate: Unseen}, r.Refund("1", 184))
	require.Equal(t, Plan{Status: "refused", Reason: "ACCOUNT_RESTRICTED"}, r.Refund("1", 183))
	require.Equal(t, Plan{Status: "done"}, r.Refund("1", 151))
	require.Equal(t, []Fate{Busy, Answered}, []Fate{r.Cancel("1", 131, 1), r.Cancel("1", 131, 2)})
	require.Equal(t, []Fate{Unseen, Answered}, []Fate{r.Cancel("1", 132, 1), r.Cancel("1", 132, 2)})
	require.Equal(t, []Fate{Lost, Answered}, []Fate{r.Cancel("1", 133, 1), r.Cancel("1", 133, 2)})
}

// A price in whole yuan less 15 or 20 per cent ends in a multiple of five.
func TestOrdinaryPricesOrderNothing(t *testing.T) {
	for ending := range DefaultRules().Endings {
		require.NotContains(t, "05", ending[1:])
	}
}

func TestPlanDependsOnSeedAndRequestAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := DefaultRules()
		r.Unfriendly = 0.7
		r.Seed = rapid.Uint64().Draw(t, "seed")
		rrn := rapid.StringMatching(`[0-9]{12}`).Draw(t, "rrn")
		amount := money.Amount(rapid.Int64Range(1, 1_000_000).Draw(t, "amount"))
		first := []any{r.Payment(rrn, amount), r.Refund(rrn, amount), r.Cancel(rrn, amount, 1), r.Ask(rrn, 2)}
		_ = r.Payment("000000000001", amount)
		require.Equal(t, first, []any{r.Payment(rrn, amount), r.Refund(rrn, amount), r.Cancel(rrn, amount, 1), r.Ask(rrn, 2)})
		require.Equal(t, []Fate{Answered, Answered}, []Fate{r.Cancel(rrn, amount, 3), r.Ask(rrn, 3)}, "everything ends")
	})
}

func TestRulesFileIsReadStrictly(t *testing.T) {
	r, err := ParseRules([]byte("unfriendly: 0.25\nseed: 7\npassword-by: 1s\nendings: {\"07\": walk-away}\nacts: [late]\n"))
	require.NoError(t, err)
	require.Equal(t, Rules{
		Endings: map[string]Act{"07": WalkAway}, Unfriendly: 0.25, Acts: []Act{Late}, PasswordBy: time.Second, LateBy: 20 * time.Second,
		SlowBy: 500 * time.Millisecond, Seed: 7,
	}, r)
	for _, text := range []string{
		"speed: 1", "unfriendly: 2", "unfriendly: -1", "endings: {\"7\": late}", "endings: {\"07\": dance}", "endings: {\"07\": decline}",
		"endings: {\"07\": late SOON}", "endings: {\"07\": decline no money}", "acts: [refund-lost]", "unfriendly: 1\nacts: []", "late-by: -1s", "[",
	} {
		_, err := ParseRules([]byte(text))
		require.ErrorIs(t, err, ErrRules, text)
	}
}

func FuzzParseRules(f *testing.F) {
	f.Add([]byte("unfriendly: 0.25\nseed: 7\nendings: {\"07\": decline CODE_INVALID}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRules(text)
		if err != nil {
			return
		}
		_ = r.Payment("516900000001", 12307)
		_ = r.Refund("516900000001", 12307)
	})
}
