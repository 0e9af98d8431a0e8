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
		only, _ := act.scope()
		got := rules.Request(only, "1", 100+fen)
		want.Delay = got.Delay
		require.Equal(t, want, got)
	}
}

func TestWholeYuanPricesAreNeverTreatedByAccident(t *testing.T) {
	rules := DefaultRules()
	for yuan := money.Amount(1); yuan < 10000; yuan++ {
		for _, percent := range []money.Amount{100, 85, 80} {
			require.Equal(t, Plan{Response: "00", Answers: 1}, rules.Request(TypeSale, "1", yuan*percent))
		}
	}
}

func TestUnfriendlyChoicesDependOnlyOnSeedAndRequest(t *testing.T) {
	rules := DefaultRules()
	rules.Unfriendly = 0.5
	first := make(map[string]Plan)
	for i := range 500 {
		rrn := fmt.Sprintf("%012d", i)
		first[rrn] = rules.Request(TypeSale, rrn, 10000)
	}
	bad := 0
	for i := 499; i >= 0; i-- {
		rrn := fmt.Sprintf("%012d", i)
		plan := rules.Request(TypeSale, rrn, 10000)
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
		differs = differs || other.Request(TypeSale, rrn, 10000) != plan
	}
	require.True(t, differs)
}

func TestThirdReversalIsAlwaysAnswered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := DefaultRules()
		rules.Unfriendly = 1
		rules.Seed = rapid.Uint64().Draw(t, "seed")
		reversed := rapid.SampledFrom([]Type{TypeSale, TypeVoid}).Draw(t, "type")
		amount := rapid.Custom(func(t *rapid.T) money.Amount { return money.Amount(rapid.Int64Range(1, 1e9).Draw(t, "fen")) }).
			Filter(func(a money.Amount) bool { return !rules.Reversal(reversed, "1", a, 1).Never }).Draw(t, "amount")
		rrn := rapid.StringMatching(`[0-9]{12}`).Draw(t, "rrn")
		n := rapid.IntRange(3, 9).Draw(t, "n")
		require.Equal(t, Plan{Response: "00", Answers: 1}, rules.Reversal(reversed, rrn, amount, n))
	})
}

func TestEndingForVoidsLeavesSalesInPeace(t *testing.T) {
	rules := DefaultRules()
	rules.Unfriendly = 1 // an order for another is an order to be friendly
	well := Plan{Response: "00", Answers: 1}
	for ending, act := range rules.Endings {
		only, bare := act.scope()
		if only == TypeSale {
			continue
		}
		var fen money.Amount
		_, err := fmt.Sscanf(ending, "%d", &fen)
		require.NoError(t, err)
		for _, other := range []Type{TypeSale, TypePreauth, TypeCompletion} {
			require.Equal(t, well, rules.Request(other, "1", 100+fen), "%s %s", ending, other)
			require.Equal(t, well, rules.Reversal(other, "1", 100+fen, 1), "%s %s", ending, other)
		}
		want, err := bare.plan()
		require.NoError(t, err)
		got := rules.Request(only, "1", 100+fen)
		want.Delay = got.Delay
		require.Equal(t, want, got, ending)
	}
}

func TestLateApprovalCanBeOrderedForEverythingThatMovesMoney(t *testing.T) {
	rules := DefaultRules()
	late := Plan{Response: "00", Answers: 1, Delay: rules.LateBy}
	for _, c := range []struct {
		of     Type
		amount money.Amount
	}{{TypeSale, 10023}, {TypeVoid, 10073}, {TypeCompletionVoid, 10073}, {TypeRefund, 10083}, {TypeRefund, 10023}, {TypePreauth, 10023}} {
		require.Equal(t, late, rules.Request(c.of, "1", c.amount), "%s", c.of)
	}
}

func TestUnfriendlyNetworkTreatsVoidsAndRefundsBadlyToo(t *testing.T) {
	rules := DefaultRules()
	rules.Unfriendly = 1
	for _, of := range []Type{TypeVoid, TypeRefund} {
		seen := map[string]bool{}
		for i := range 500 {
			p := rules.Request(of, fmt.Sprintf("%012d", i), 10000)
			require.False(t, p.Half, "a %s has no half", of)
			seen[fmt.Sprint(p.Unseen, !Approved(p.Response), p.Delay >= rules.LateBy, p.Answers, p.Cut)] = true
		}
		for name, p := range map[string]Plan{
			"lost": {Unseen: true, Response: "00", Answers: 1}, "declined": {Response: "51", Answers: 1}, "unanswered": {Response: "00"},
			"late": {Response: "00", Answers: 1, Delay: rules.LateBy}, "twice": {Response: "00", Answers: 2}, "cut": {Response: "00", Cut: 1},
		} {
			require.True(t, seen[fmt.Sprint(p.Unseen, !Approved(p.Response), p.Delay >= rules.LateBy, p.Answers, p.Cut)], "%s %s", of, name)
		}
	}
}

func TestReversalThatIsNeverAnswered(t *testing.T) {
	rules := DefaultRules()
	for n := range 100 {
		require.Equal(t, Plan{Unseen: true, Never: true}, rules.Reversal(TypeSale, "1", 10034, n+1))
		require.Equal(t, Plan{Response: "00", Never: true}, rules.Reversal(TypeSale, "1", 10036, n+1))
		require.Equal(t, Plan{Unseen: true, Never: true}, rules.Reversal(TypeVoid, "1", 10038, n+1))
	}
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
		"unfriendly: 0.5\nacts: []", "[", "acts: [void dance]", "acts: [void partial]", "acts: [refund reverse-never]",
		"acts: [void refund late]", "acts: [void]", "acts: [sale late]",
	} {
		_, err := ParseRules([]byte(text))
		require.ErrorIs(t, err, ErrRules, text)
	}
}
