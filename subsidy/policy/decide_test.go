package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/reason"
)

const secondVersion = `
  - id: v2
    valid: {from: "2026-01-01T00:00:00+08:00", to: "2027-01-01T00:00:00+08:00"}
    grandfather: none
    rules:
`

// twoVersions is the small programme with a second version that gives 10 %.
func twoVersions(t *testing.T, decides, grandfather string) *Programme {
	files := small(t)
	text := string(files[FilePolicy])
	from := strings.Index(text, "      - scope: programme")
	rules := strings.ReplaceAll(strings.Replace(text[from:], "  # VERSIONS\n", "", 1), "percent: 15", "percent: 10")
	files = edit(t, files, FilePolicy, "  # VERSIONS\n", secondVersion+rules)
	files = edit(t, files, FilePolicy, "grandfather: none", "grandfather: "+grandfather)
	return compile(t, edit(t, files, FilePolicy, "decides: reserve", "decides: "+decides))
}

func TestValidityIsHalfOpen(t *testing.T) {
	p := twoVersions(t, "reserve", "none")
	r := fridge(t, 100000)
	for instant, version := range map[string]string{
		"2024-12-31T23:59:59+08:00": "", "2025-01-01T00:00:00+08:00": "v1", "2025-12-31T23:59:59+08:00": "v1",
		"2026-01-01T00:00:00+08:00": "v2", "2027-01-01T00:00:00+08:00": "",
	} {
		r.At = at(t, instant)
		d := decide(p, r)
		require.Equal(t, version, d.Version, instant)
		if version == "" {
			require.Equal(t, []reason.Code{reason.ProgrammeNotOpen}, d.Refused)
			require.Nil(t, d.Rule)
		}
	}
}

func TestTheNamedInstantPicksTheVersionAndClaimsAreGrandfathered(t *testing.T) {
	claim, early, late := "2025-12-31T22:00:00+08:00", "2026-01-01T09:00:00+08:00", "2026-01-03T09:00:00+08:00"
	until := `{until: "2026-01-02T00:00:00+08:00"}`
	for _, tc := range []struct{ name, decides, grandfather, claimAt, reserve, want string }{
		{"reserve decides, nothing kept", "reserve", "none", claim, early, "v2"},
		{"reserve decides, claims kept until an instant", "reserve", until, claim, early, "v1"},
		{"after that instant", "reserve", until, claim, late, "v2"},
		{"claim decides without end", "claim", "none", claim, late, "v1"},
		{"claim decides until an instant", "claim", until, claim, early, "v1"},
		{"claim decides, instant past", "claim", until, claim, late, "v2"},
		{"no claim known", "claim", "none", "", early, "v2"},
		{"claim later than the reserve is no claim", "claim", "none", late, early, "v2"},
		{"claim before the programme", "claim", "none", "2024-06-01T00:00:00+08:00", early, "v2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := twoVersions(t, tc.decides, tc.grandfather)
			r := fridge(t, 100000)
			r.At = at(t, tc.reserve)
			if tc.claimAt != "" {
				r.ClaimAt = at(t, tc.claimAt)
			}
			require.Equal(t, tc.want, decide(p, r).Version)
		})
	}
}

func TestAKeptClaimCanBeUsedAfterTheLastVersionEnds(t *testing.T) {
	p := compile(t, edit(t, small(t), FilePolicy, "grandfather: none", `grandfather: {until: "2026-01-02T00:00:00+08:00"}`))
	r := fridge(t, 100000)
	r.At, r.ClaimAt = at(t, "2026-01-01T10:00:00+08:00"), at(t, "2025-12-31T10:00:00+08:00")
	require.Equal(t, "v1", decide(p, r).Version)
	r.ClaimAt = 0
	require.Equal(t, []reason.Code{reason.ProgrammeNotOpen}, decide(p, r).Refused)
}

func TestRateTableFirstRowThatFitsDecides(t *testing.T) {
	p := compile(t, withRules(t, `
- scope: {category: C01}
  old_item: {required: false, kinds: [lead, lithium]}
  rates:
    - {grade: [1, 2], label: [energy, water], percent: 20}
    - {attributes: {battery: lead-acid, motor: hub}, old_item: lithium, flat: 300.00}
    - {label: none, percent: 12.34}
    - {grade: none, bands: [{from: 0, percent: 0}, {from: 1500.00, flat: 500.00}]}`))
	r := fridge(t, 200000)
	r.Category = "C01"
	check := func(want money.Amount, refused ...reason.Code) {
		t.Helper()
		d := decide(p, r)
		require.Equal(t, refused, d.Refused)
		require.Equal(t, want, d.Subsidy)
	}
	check(40000)
	r.Grade, r.Label = 2, catalogue.LabelWater
	check(40000)
	r.Grade = 3
	r.Attributes = []catalogue.Attribute{{Key: "battery", Value: "lead-acid"}, {Key: "motor", Value: "hub"}}
	check(0, reason.GradeNotEligible)
	r.OldItem = "lithium"
	check(30000)
	r.OldItem = "lead"
	r.Label = catalogue.LabelNone
	check(24680)
	r.Label, r.Grade = catalogue.LabelEnergy, 0
	check(50000)
	r.Price = 149999
	check(0, reason.SubsidyTooSmall)
	r.Price = 150000
	check(50000)
}

func TestAFlatSumNeverPaysTheWholePrice(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {category: A01}, rates: [{flat: 300.00}]}`))
	require.Equal(t, []reason.Code{reason.PriceInvalid}, decide(p, fridge(t, 30000)).Refused)
	require.Equal(t, money.Amount(30000), decide(p, fridge(t, 30001)).Subsidy)
}

func TestRoundingHappensOnceOnTheRate(t *testing.T) {
	for rounding, want := range map[string]money.Amount{"truncate": 0, "half-up": 1, "half-even": 0} {
		p := compile(t, edit(t, edit(t, small(t), FilePolicy, "rounding: truncate", "rounding: "+rounding), FilePolicy, "percent: 15", "percent: 50"))
		d := decide(p, fridge(t, 1))
		require.Equal(t, want, d.Raw, rounding)
		d = decide(p, fridge(t, 3))
		require.Equal(t, map[string]money.Amount{"truncate": 1, "half-up": 2, "half-even": 2}[rounding], d.Raw, rounding)
	}
}

func TestMinimumSubsidyIsTestedAfterTheCaps(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {category: A01}, minimum_subsidy: 10.00, order_cap: 100.00}`))
	r := fridge(t, 6666)
	require.Equal(t, []reason.Code{reason.SubsidyTooSmall}, decide(p, r).Refused, "9.99")
	r.Price = 6667
	require.Empty(t, decide(p, r).Refused, "10.00")
	r.OrderSubsidy = 9001
	require.Equal(t, []reason.Code{reason.SubsidyTooSmall}, decide(p, r).Refused, "9.99 left of the order's cap")
	r.OrderSubsidy = 10000
	require.Equal(t, []reason.Code{reason.OrderCapReached}, decide(p, r).Refused)
}

func TestTheTightestCapDecidesAndIsNamed(t *testing.T) {
	p := compile(t, withRules(t, `
- scope: {category: "@big"}
  order_cap: 1500.00
  person_caps:
    - {id: all, amount: 5000.00, over: ["@big", B01]}
    - {id: big, amount: 2500.00, over: "@big"}`))
	r := fridge(t, 2_000_000)
	check := func(want money.Amount, by Limit) {
		t.Helper()
		d := decide(p, r)
		require.Empty(t, d.Refused)
		require.Equal(t, want, d.Subsidy)
		require.Equal(t, by, d.Limited)
		require.Equal(t, money.Amount(300_000), d.Raw)
	}
	check(150_000, LimitOrder)
	r.Usage = []CategoryUse{{Category: "A02", Items: 1, Subsidy: 150_000}}
	check(100_000, LimitPerson)
	r.Usage = append(r.Usage, CategoryUse{Category: "B01", Items: 1, Subsidy: 300_000})
	check(50_000, LimitPerson)
	r.Usage = append(r.Usage, CategoryUse{Category: "C01", Items: 9, Subsidy: 900_000}, CategoryUse{Category: "Z99", Items: 9, Subsidy: 9})
	check(50_000, LimitPerson)
	r.Usage = append(r.Usage, CategoryUse{Category: "B01", Items: 1, Subsidy: 50_000})
	require.Equal(t, []reason.Code{reason.PersonCapReached}, decide(p, r).Refused)
}

func TestQuotaCountsItemsOverItsSet(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {category: "@big"}, quota: {items: 2, over: "@big"}}`))
	r := fridge(t, 100_000)
	r.Usage = []CategoryUse{{Category: "A01", Items: 1}, {Category: "B01", Items: 5}}
	require.Empty(t, decide(p, r).Refused)
	r.Usage[1].Category = "A02"
	require.Equal(t, []reason.Code{reason.QuotaUsed}, decide(p, r).Refused)
}

func TestExclusionGroupsShutOutTheOtherMembers(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: programme, exclusions: [{id: g, members: [[A01, A02], B01]}]}`))
	use := func(category, used string) []reason.Code {
		r := fridge(t, 100_000)
		r.Category, r.Usage = category, []CategoryUse{{Category: used, Items: 1}}
		return decide(p, r).Refused
	}
	require.Equal(t, []reason.Code{reason.ExclusionGroup}, use("A01", "B01"))
	require.Equal(t, []reason.Code{reason.ExclusionGroup}, use("B01", "A02"))
	require.Empty(t, use("A01", "A02"), "two categories of one member go together")
	require.Empty(t, use("C01", "B01"), "a category outside the group is free")
}

func TestComponentsMakeBaseAndPayable(t *testing.T) {
	p := compile(t, small(t))
	for _, tc := range []struct {
		kind          string
		base, payable money.Amount
	}{
		{"merchant", 100_000, 85_000},     // off the price before: nothing changes
		{"bank", 110_000, 83_500},         // a discount that stays in the base
		{"install", 90_000, 86_500},       // in the price, not for the product: the buyer pays it
		{"gift", 100_000, 85_000},         // a charge that counts
		{"trade-in", 90_000, 76_500},      // settles a part, not in the base
		{"prior", 100_000, 75_000},        // settles a part of the base
		{"prior+prior", 100_000, 65_000},  // kinds may come twice
		{"prior+install", 90_000, 76_500}, //
	} {
		r := fridge(t, 100_000)
		for _, kind := range strings.Split(tc.kind, "+") {
			r.Components = append(r.Components, Component{kind, 10_000})
		}
		d := decide(p, r)
		require.Empty(t, d.Refused, tc.kind)
		require.Equal(t, tc.base, d.Base, tc.kind)
		require.Equal(t, tc.payable, d.Payable, tc.kind)
	}
}

func TestComponentsThatCannotBeAreRefused(t *testing.T) {
	p := compile(t, small(t))
	for _, tc := range []struct {
		components []Component
		want       reason.Code
	}{
		{[]Component{{"lottery", 1}}, reason.ComponentNotAllowed},
		{[]Component{{"install", -1}}, reason.PriceInvalid},
		{[]Component{{"install", 1 << 62}}, reason.PriceInvalid},
		{[]Component{{"install", 100_000}}, reason.ComponentsExceedPrice},
		{[]Component{{"gift", 100_001}}, reason.ComponentsExceedPrice},
		{[]Component{{"prior", 60_000}, {"trade-in", 60_000}}, reason.ComponentsExceedPrice},
		{[]Component{{"prior", 85_000}}, reason.PriceBelowPaid},
		{[]Component{{"bank", money.MaxN12}}, reason.ComponentsExceedPrice},
		{make([]Component, MaxComponents+1), reason.ComponentNotAllowed},
	} {
		r := fridge(t, 100_000)
		r.Components = tc.components
		d := decide(p, r)
		require.Equal(t, []reason.Code{tc.want}, d.Refused, "%v", tc.components)
		require.Equal(t, r.Price, d.Payable)
	}
}

func TestAPriceThatDE4CannotCarryIsInvalid(t *testing.T) {
	p := compile(t, small(t))
	for _, price := range []money.Amount{0, -1, money.MaxN12 + 1} {
		require.Equal(t, []reason.Code{reason.PriceInvalid}, decide(p, fridge(t, price)).Refused, price)
	}
	require.Empty(t, decide(p, fridge(t, money.MaxN12)).Refused)
}

func TestTheCeilingIsTestedOnTheNamedPrice(t *testing.T) {
	for on, most := range map[string]money.Amount{
		// Components: 100 off by the merchant, 50 off by the bank (in the base), 30 of installation.
		"on: final":                  100_000,
		"on: base":                   98_000,
		"on: shelf":                  85_000,
		"on: after, after: merchant": 95_000,
		"on: after, after: bank":     100_000,
	} {
		p := compile(t, withRules(t, `
- {scope: {category: A01}, price_ceiling: {amount: 1000.00, `+on+`}}`))
		r := fridge(t, most)
		r.Components = []Component{{"merchant", 10_000}, {"bank", 5_000}, {"install", 3_000}}
		require.Empty(t, decide(p, r).Refused, on)
		r.Price++
		require.Equal(t, []reason.Code{reason.PriceAboveCeiling}, decide(p, r).Refused, on)
	}
}

func TestOldItemHandIn(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {category: C01}, old_item: {required: true, kinds: lead}}
- {scope: {category: B01}, old_item: {required: true}}
- {scope: {category: A01}, old_item: none}`))
	want := map[[2]string]bool{
		{"C01", ""}: false, {"C01", "lithium"}: false, {"C01", "lead"}: true, {"B01", ""}: false, {"B01", "lithium"}: true, {"A01", ""}: true,
	}
	for k, ok := range want {
		r := fridge(t, 100_000)
		r.Category, r.OldItem = k[0], k[1]
		require.Equal(t, ok, len(decide(p, r).Refused) == 0, k)
	}
}

func TestApplicationCategoriesAreNotPaidAtTheTill(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {category: C01}, mode: application}`))
	r := fridge(t, 100_000)
	r.Category = "C01"
	require.Equal(t, []reason.Code{reason.ApplicationOnly}, decide(p, r).Refused)
}

func TestAllReasonsAreNamedInAscendingOrder(t *testing.T) {
	p := compile(t, withRules(t, `
- scope: {category: C01}
  mode: application
  open: false
  pauses: [{from: "2025-01-01T00:00:00+08:00"}]
  old_item: {required: true}
  rates: [{grade: 1, percent: 10}]
  price_ceiling: {amount: 1.00, on: final}
  order_cap: 1.00
  person_caps: [{id: c, amount: 1.00, over: C01}]
  exclusions: [{id: g, members: [C01, A01]}]`))
	r := fridge(t, 100_000)
	r.Category, r.OrderSubsidy = "C01", 100
	r.Usage = []CategoryUse{{Category: "C01", Items: 1, Subsidy: 100}, {Category: "A01", Items: 1, Subsidy: 5}}
	d := decide(p, r)
	require.Equal(t, []reason.Code{
		reason.CategoryNotOpen, reason.ApplicationOnly, reason.Paused, reason.OldItemMissing, reason.PriceAboveCeiling,
		reason.OrderCapReached, reason.PersonCapReached, reason.QuotaUsed, reason.ExclusionGroup,
	}, d.Refused)
	require.Zero(t, d.Subsidy)
	require.Empty(t, d.Parts)
	require.Equal(t, r.Price, d.Payable)
	r.Grade = 5
	require.Contains(t, decide(p, r).Refused, reason.GradeNotEligible)
}

func TestADecisionNamesWhatTheCallerNeedsNext(t *testing.T) {
	p := compile(t, small(t))
	d := decide(p, fridge(t, 100_000))
	require.Equal(t, &d.Rule.Place, d.Place)
	require.Equal(t, PlaceRule{Position: Required, MaxAge: 300e9, Missing: Mark, Stale: Allow}, *d.Place)
	require.Equal(t, EvidenceRule{Serial: catalogue.SerialSN, Documents: []string{"invoice"}, Days: 30}, *d.Evidence)
	require.Equal(t, RefundRule{Window: 7, SameDay: AtOnce, Later: NextDay, Activated: Never}, *d.Refund)
	require.Equal(t, "21", d.Delivery.Province)
	require.EqualValues(t, 180e9, d.Hold)
	require.EqualValues(t, 60e9, d.CodeLife)
	require.Equal(t, []Part{{"central", 12_750}, {"local", 2_250}}, d.Parts)
}

func TestPlaceCitiesCanBeTheMerchantsOrAList(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {city: "210200"}, place_cities: merchant}
- {scope: {channel: online}, place_cities: ["210200", "210100"]}`))
	require.Equal(t, AnyCity, p.Rule("v1", "210100", "store", "A01", "").Place.Cities)
	require.Equal(t, MerchantCity, p.Rule("v1", "210200", "store", "A01", "").Place.Cities)
	listed := p.Rule("v1", "210200", "online", "A01", "").Place
	require.Equal(t, ListedCities, listed.Cities)
	require.Equal(t, []uint32{210100, 210200}, listed.Listed)
	require.Equal(t, Required, listed.Position, "the list does not replace the rest of the place rule")
	require.Nil(t, p.Rule("v9", "210100", "store", "A01", ""))
	require.Nil(t, p.Rule("v1", "219900", "store", "A01", ""))
}

func TestDeliveryAddress(t *testing.T) {
	p := compile(t, withRules(t, `
- {scope: {channel: online}, delivery: {address: required, outside: refuse, missing: mark}}
- {scope: {category: B01}, delivery: {address: optional, outside: allow, missing: refuse}}`))
	type result struct {
		code   reason.Code
		action Action
	}
	judge := func(category, division string) result {
		code, action := p.Rule("v1", "210100", "online", category, "").Delivery.Judge(division)
		return result{code, action}
	}
	require.Equal(t, result{reason.None, Allow}, judge("A01", "210102"))
	require.Equal(t, result{reason.DeliveryOutside, Refuse}, judge("A01", "220102"))
	require.Equal(t, result{reason.DeliveryOutside, Refuse}, judge("A01", "21"))
	require.Equal(t, result{reason.DeliveryMissing, Mark}, judge("A01", ""))
	require.Equal(t, result{reason.None, Allow}, judge("B01", ""))
	require.Equal(t, result{reason.None, Allow}, judge("B01", "110101"))
	code, _ := p.Rule("v1", "210100", "store", "A01", "").Delivery.Judge("")
	require.Equal(t, reason.None, code)
}
