package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/subsidy/reason"
)

func TestTheNarrowerScopeDecidesWhateverTheOrderInTheFile(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {merchant: "898210157220001"}, item_cap: 5.00}
- {scope: {category: A01}, item_cap: 4.00}
- {scope: {channel: online}, item_cap: 3.00}
- {scope: {city: "210100"}, item_cap: 2.00}`))
	item := func(city, channel, category, merchant string) string {
		return p.Rule("v1", city, channel, category, merchant).ItemCap.String()
	}
	require.Equal(t, "2000.00", item("210200", "store", "A02", ""))
	require.Equal(t, "2.00", item("210100", "store", "A02", ""))
	require.Equal(t, "3.00", item("210100", "online", "A02", ""))
	require.Equal(t, "4.00", item("210100", "online", "A01", ""))
	require.Equal(t, "5.00", item("210100", "online", "A01", "898210157220001"))
	require.Equal(t, "4.00", item("210100", "online", "A01", "898210257220002"), "another merchant has no rules of its own")
}

func TestAWiderEntryWinsOverANarrowerOneOnlyByOverride(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {category: [A01, A02]}, item_cap: 4.00}
- {scope: {city: "210100"}, override: true, item_cap: 2.00}
- {scope: {merchant: "898210157220001"}, item_cap: 5.00}`))
	require.Equal(t, "2.00", p.Rule("v1", "210100", "store", "A01", "").ItemCap.String())
	require.Equal(t, "4.00", p.Rule("v1", "210200", "store", "A01", "").ItemCap.String())
	require.Equal(t, "2.00", p.Rule("v1", "210100", "store", "A01", "898210157220001").ItemCap.String())
	require.Equal(t, "5.00", p.Rule("v1", "210200", "store", "A01", "898210157220001").ItemCap.String())
}

func TestAmongOverridesOfOneScopeTheOneThatNamesMoreDecides(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {category: [A01, A02]}, item_cap: 1.00}
- {scope: {category: A01}, override: true, item_cap: 2.00}
- {scope: {city: "210100", category: A01}, override: true, item_cap: 3.00}`))
	require.Equal(t, "3.00", p.Rule("v1", "210100", "store", "A01", "").ItemCap.String())
	require.Equal(t, "2.00", p.Rule("v1", "210200", "store", "A01", "").ItemCap.String())
}

func TestEachLevelMustBeOpenAndNamesItself(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {city: "210100"}, open: false}
- {scope: {channel: store}, open: false}
- {scope: {category: A01}, open: true}
- {scope: {category: A02}, open: false}
- {scope: {city: "210200", category: A02}, override: true, open: true}
- {scope: {merchant: "898210157220001"}, open: false}`))
	r := fridge(t, 100000)
	require.Equal(t, []reason.Code{reason.CityNotOpen, reason.ChannelNotOpen}, decide(p, r).Refused, "an open category reopens neither city nor channel")
	r.Category = "A02"
	require.Equal(t, []reason.Code{reason.CityNotOpen, reason.CategoryNotOpen, reason.ChannelNotOpen}, decide(p, r).Refused)
	r.City, r.Channel = "210200", "online"
	require.Empty(t, decide(p, r).Refused)
	r.Merchant = "898210157220001"
	require.Equal(t, []reason.Code{reason.MerchantNotInScheme}, decide(p, r).Refused)
}

func TestPausesOfAllScopesAddUp(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {city: "210100"}, pauses: [{from: "2025-06-01T00:00:00+08:00", to: "2025-06-02T00:00:00+08:00"}]}
- {scope: {category: A01}, pauses: [{from: "2025-06-03T00:00:00+08:00"}]}`))
	r := fridge(t, 100000)
	for _, tc := range []struct {
		at     string
		paused bool
	}{
		{"2025-05-31T23:59:59+08:00", false}, {"2025-06-01T00:00:00+08:00", true}, {"2025-06-01T23:59:59+08:00", true},
		{"2025-06-02T00:00:00+08:00", false}, {"2025-06-03T00:00:00+08:00", true}, {"2025-12-31T23:59:59+08:00", true},
	} {
		r.At = at(t, tc.at)
		require.Equal(t, tc.paused, len(decide(p, r).Refused) == 1, tc.at)
	}
	r.City = "210200"
	r.At = at(t, "2025-06-01T12:00:00+08:00")
	require.Empty(t, decide(p, r).Refused)
}

func TestACapCanBeLiftedByANarrowerScope(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {category: A01}, item_cap: none}`))
	r := fridge(t, 10_000_000)
	require.Equal(t, money.Amount(1_500_000), decide(p, r).Subsidy)
	r.Category = "B01"
	require.Equal(t, money.Amount(200_000), decide(p, r).Subsidy)
}

func TestOpeningHoursAreChineseHoursOfEveryDay(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {city: "210100"}, open: {hours: 08:00-22:00, windows: [{from: "2025-02-01T00:00:00+08:00", to: "2025-12-01T00:00:00+08:00"}]}}`))
	r := fridge(t, 100000)
	for instant, open := range map[string]bool{
		"2025-06-18T07:59:59+08:00": false, "2025-06-18T08:00:00+08:00": true, "2025-06-18T21:59:59+08:00": true,
		"2025-06-18T22:00:00+08:00": false, "2025-06-18T00:00:00Z": true, "2025-06-18T14:00:00Z": false,
		"2025-01-18T09:00:00+08:00": false, "2025-12-01T09:00:00+08:00": false,
	} {
		r.At = at(t, instant)
		require.Equal(t, open, len(decide(p, r).Refused) == 0, instant)
	}
}

func TestMerchantsWithRulesOfTheirOwnAreBounded(t *testing.T) {
	files := Rules(withRules(t, `
- {scope: {merchant: [MERCHANTS]}, item_cap: 1.00}`))
	with := func(n int) error {
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprintf(`"898210157%06d"`, i)
		}
		_, err := Compile(edit(t, files, FilePolicy, "MERCHANTS", strings.Join(ids, ", ")))
		return err
	}
	require.NoError(t, with(maxMerchantOverrides))
	require.ErrorContains(t, with(maxMerchantOverrides+1), "501 merchants with rules of their own, at most 500")
}
