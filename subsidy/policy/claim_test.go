package policy

import (
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/subsidy/reason"
)

func claimOf(t *testing.T, instant string) ClaimRequest {
	return ClaimRequest{At: at(t, instant), City: "210100", Channel: "store", Category: "A01", IDKind: "id-card"}
}

func decideClaim(p *Programme, r ClaimRequest) *ClaimDecision {
	var d ClaimDecision
	p.DecideClaim(&r, &d)
	return &d
}

func TestClaimValidityInHoursOrCalendarDays(t *testing.T) {
	for _, tc := range []struct{ validity, claimed, expires string }{
		{"{hours: 24}", "2025-06-18T22:59:59+08:00", "2025-06-19T22:59:59+08:00"},
		{"{calendar_days: 1}", "2025-06-18T22:59:59+08:00", "2025-06-19T00:00:00+08:00"},
		{"{calendar_days: 2}", "2025-06-18T08:00:00+08:00", "2025-06-20T00:00:00+08:00"},
		{"{calendar_days: 14}", "2025-06-18T08:00:00+08:00", "2025-07-02T00:00:00+08:00"},
		{"{hours: 24}", "2025-12-31T20:00:00+08:00", "2026-01-01T00:00:00+08:00"}, // no entitlement outlives the programme
	} {
		p := compile(t, edit(t, small(t), FilePolicy, "{hours: 24}", tc.validity))
		d := decideClaim(p, claimOf(t, tc.claimed))
		require.Empty(t, d.Refused)
		require.Equal(t, at(t, tc.expires), d.ExpiresAt, tc)
	}
}

func TestClaimRefusals(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {category: A02}, open: false}
- {scope: {city: "210200"}, open: false}
- {scope: {channel: online}, open: false}
- {scope: {category: [A01, B01]}, exclusions: [{id: g, members: [A01, B01]}]}
- {scope: {category: A01}, person_caps: [{id: x, amount: 5.00, over: [A01, C01]}]}`))
	for _, tc := range []struct {
		name string
		set  func(r *ClaimRequest)
		want reason.Code
	}{
		{"before the hours", func(r *ClaimRequest) { r.At = at(t, "2025-06-18T07:59:59+08:00") }, reason.ClaimClosed},
		{"after the hours", func(r *ClaimRequest) { r.At = at(t, "2025-06-18T23:00:00+08:00") }, reason.ClaimClosed},
		{"too often", func(r *ClaimRequest) { r.Claims = 3 }, reason.ClaimLimit},
		{"one unused", func(r *ClaimRequest) { r.Active = 1 }, reason.ClaimActive},
		{"identity document", func(r *ClaimRequest) { r.IDKind = "passport" }, reason.PersonNotEligible},
		{"quota", func(r *ClaimRequest) { r.Usage = []CategoryUse{{Category: "A01", Items: 1}} }, reason.QuotaUsed},
		{"exclusion", func(r *ClaimRequest) { r.Usage = []CategoryUse{{Category: "B01", Items: 1}} }, reason.ExclusionGroup},
		{"person cap", func(r *ClaimRequest) { r.Usage = []CategoryUse{{Category: "C01", Items: 1, Subsidy: 500}} }, reason.PersonCapReached},
		{"closed category", func(r *ClaimRequest) { r.Category = "A02" }, reason.CategoryNotOpen},
		{"closed city", func(r *ClaimRequest) { r.City = "210200" }, reason.CityNotOpen},
		{"closed channel", func(r *ClaimRequest) { r.Channel = "online" }, reason.ChannelNotOpen},
		{"unknown category", func(r *ClaimRequest) { r.Category = "Z01" }, reason.CategoryNotOpen},
		{"no version", func(r *ClaimRequest) { r.At = at(t, "2026-06-18T12:00:00+08:00") }, reason.ProgrammeNotOpen},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := claimOf(t, "2025-06-18T12:00:00+08:00")
			require.Empty(t, decideClaim(p, r).Refused)
			tc.set(&r)
			d := decideClaim(p, r)
			require.Equal(t, []reason.Code{tc.want}, d.Refused)
			require.Zero(t, d.ExpiresAt)
			require.Zero(t, d.Reserve)
		})
	}
}

func TestAClaimReservesTheMostThePurchaseCouldBeGiven(t *testing.T) {
	files := withRules(t, `
- {scope: {category: A01}, item_cap: 500.00, person_caps: [{id: x, amount: 800.00, over: "@big"}]}
- {scope: {category: B01}, order_cap: 300.00}`)
	none := decideClaim(compile(t, files), claimOf(t, "2025-06-18T12:00:00+08:00"))
	require.Zero(t, none.Reserve)
	files = edit(t, edit(t, files, FileBudget, "claim_reserves: none", "claim_reserves: cap"), FileBudget, "paying_city: merchant", "paying_city: claimant")
	p := compile(t, files)
	r := claimOf(t, "2025-06-18T12:00:00+08:00")
	require.Equal(t, money.Amount(50_000), decideClaim(p, r).Reserve)
	r.Usage = []CategoryUse{{Category: "A02", Items: 1, Subsidy: 60_000}}
	require.Equal(t, money.Amount(20_000), decideClaim(p, r).Reserve)
	r.Category, r.Usage = "B01", nil
	require.Equal(t, money.Amount(30_000), decideClaim(p, r).Reserve)
	_, err := Compile(edit(t, files, FilePolicy, "item_cap: 2000.00", "item_cap: none"))
	require.ErrorContains(t, err, "has no item_cap, so a claim would have nothing to reserve")
}

func TestApplicationCategoriesCanBeClaimed(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {category: A01}, mode: application}`))
	require.Empty(t, decideClaim(p, claimOf(t, "2025-06-18T12:00:00+08:00")).Refused)
}

func TestRefundWindowCountsBusinessDays(t *testing.T) {
	sold := at(t, "2025-06-18T23:30:00+08:00")
	r := RefundRule{Window: 7}
	require.True(t, r.Open(sold, sold))
	require.True(t, r.Open(sold, at(t, "2025-06-25T23:59:59+08:00")))
	require.False(t, r.Open(sold, at(t, "2025-06-26T00:00:00+08:00")))
	require.False(t, r.Open(sold, at(t, "2025-06-17T00:00:00+08:00")))
	sameDay := RefundRule{}
	require.True(t, sameDay.Open(sold, at(t, "2025-06-18T23:59:59+08:00")))
	require.False(t, sameDay.Open(sold, at(t, "2025-06-19T00:00:00+08:00")))
}

func TestARefundRestoresTheEntitlementAtOnceNextDayOrNever(t *testing.T) {
	sold := at(t, "2025-06-18T10:00:00+08:00")
	r := RefundRule{Window: 30, SameDay: AtOnce, Later: NextDay, Activated: Never}
	same, later := at(t, "2025-06-18T23:59:59+08:00"), at(t, "2025-06-19T00:00:00+08:00")
	got, ok := r.RestoredAt(sold, same, false)
	require.True(t, ok)
	require.Equal(t, same, got)
	got, ok = r.RestoredAt(sold, later, false)
	require.True(t, ok)
	require.Equal(t, at(t, "2025-06-20T00:00:00+08:00"), got)
	_, ok = r.RestoredAt(sold, same, true)
	require.False(t, ok)
	mild := RefundRule{SameDay: NextDay, Later: NextDay, Activated: AtOnce}
	got, _ = mild.RestoredAt(sold, same, true)
	require.Equal(t, later, got, "the stricter of the two holds")
}

func TestBusinessDaysAreChineseAlsoBeforeTheEpoch(t *testing.T) {
	require.Equal(t, dayOf(at(t, "2025-06-17T16:00:00Z")), dayOf(at(t, "2025-06-18T15:59:59Z")))
	require.Equal(t, at(t, "2025-06-17T16:00:00Z"), startOf(dayOf(at(t, "2025-06-18T00:00:00Z"))))
	require.Equal(t, int64(-1), dayOf(startOf(0)-1))
	require.Equal(t, int64(-1), dayOf(startOf(-1)))
}
