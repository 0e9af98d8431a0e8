package issuer

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
)

func TestEveryDefaultEndingHasAPlan(t *testing.T) {
	rules := DefaultRules()
	require.NoError(t, rules.Check())
	for ending, act := range rules.Endings {
		var fen money.Amount
		_, err := fmt.Sscanf(ending, "%d", &fen)
		require.NoError(t, err)
		want, err := act.plan()
		require.NoError(t, err)
		got := rules.Sale("1", 100+fen)
		want.Delay = got.Delay
		require.Equal(t, want, got)
	}
}

func TestWholeYuanPricesAreNeverTreatedByAccident(t *testing.T) {
	rules := DefaultRules()
	for yuan := money.Amount(1); yuan < 10000; yuan++ {
		for _, percent := range []money.Amount{100, 85, 80} {
			require.Equal(t, Plan{Response: "00", Answers: 1}, rules.Sale("1", yuan*percent))
		}
	}
}

func TestUnfriendlyChoicesDependOnlyOnSeedAndRequest(t *testing.T) {
	rules := DefaultRules()
	rules.Unfriendly = 0.5
	first := make(map[string]Plan)
	for i := range 500 {
		rrn := fmt.Sprintf("%012d", i)
		first[rrn] = rules.Sale(rrn, 10000)
	}
	bad := 0
	for i := 499; i >= 0; i-- {
		rrn := fmt.Sprintf("%012d", i)
		plan := rules.Sale(rrn, 10000)
		require.Equal(t, first[rrn], plan)
		if plan != (Plan{Response: "00", Answers: 1}) {
			bad++
		}
	}
	require.InDelta(t, 250, bad, 60)
	other := rules
	other.Seed = 2
	differs := false
	for rrn, plan := range first {
		differs = differs || other.Sale(rrn, 10000) != plan
	}
	require.True(t, differs)
}

func TestThirdReversalIsAlwaysAnswered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := DefaultRules()
		rules.Unfriendly = 1
		rules.Seed = rapid.Uint64().Draw(t, "seed")
		amount := money.Amount(rapid.Int64Range(1, 1e9).Draw(t, "amount"))
		rrn := rapid.StringMatching(`[0-9]{12}`).Draw(t, "rrn")
		n := rapid.IntRange(3, 9).Draw(t, "n")
		require.Equal(t, Plan{Response: "00", Answers: 1}, rules.Reversal(rrn, amount, n))
	})
}

func TestRulesFileReplacesTheEndings(t *testing.T) {
	rules, err := ParseRules([]byte("endings: {\"07\": decline 05}\nunfriendly: 0.25\nlate-by: 3s\n"))
	require.NoError(t, err)
	require.Equal(t, map[string]Act{"07": "decline 05"}, rules.Endings)
	require.Equal(t, 0.25, rules.Unfriendly)
	require.Equal(t, 3*time.Second, rules.LateBy)
	require.Equal(t, DefaultRules().SlowBy, rules.SlowBy)

	empty, err := ParseRules(nil)
	require.NoError(t, err)
	require.Equal(t, DefaultRules(), empty)
}

func TestRulesThatCannotBeFollowedAreRefused(t *testing.T) {
	for _, text := range []string{
		"endings: {\"7\": decline 05}", "endings: {\"07\": decline 00}", "endings: {\"07\": decline}",
		"endings: {\"07\": approve 51}", "endings: {\"07\": dance}", "endings: {\"07\": twice 3}",
		"acts: [dance]", "unfriendly: 1.5", "unfriendly: -1", "unfriendly: .nan", "late-by: -1s", "frendly: 1",
		"unfriendly: 0.5\nacts: []", "[",
	} {
		_, err := ParseRules([]byte(text))
		require.ErrorIs(t, err, ErrRules, text)
	}
}
