package risk_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/risk"
	"huanxin/risk/geo"
	"huanxin/subsidy/reason"
)

const (
	shenyang = 210100
	dalian   = 210200
	fushun   = 210400
	yingkou  = 210800
	panjin   = 211100
	now      = int64(1_750_000_000_000_000_000)
)

var (
	inShenyang = geo.Point{Lon: 123_433_000, Lat: 41_817_000}
	inDalian   = geo.Point{Lon: 121_628_000, Lat: 38_921_500}
	inQinhuang = geo.Point{Lon: 119_600_500, Lat: 39_935_400} // Hebei
	// A gap of the map between Yingkou and Panjin.
	onBorder = geo.Point{Lon: 122_264_280, Lat: 40_692_620}
)

func liaoning(t testing.TB) *geo.Map {
	t.Helper()
	m, err := geo.Load(geo.LiaoningGeoJSON)
	require.NoError(t, err)
	return m
}

func at(p geo.Point, age time.Duration) risk.Position {
	return risk.Position{Given: true, At: p, TakenAt: now - int64(age)}
}

func TestPlaceFindings(t *testing.T) {
	m := liaoning(t)
	strict := risk.PlaceRule{Required: true, MaxAge: time.Minute}
	anywhere := risk.PlaceRule{Required: true, MaxAge: time.Minute, Cities: risk.AnyCity}
	listed := risk.PlaceRule{Cities: risk.ListedCities, Listed: []uint32{dalian, panjin}}
	optional := risk.PlaceRule{}
	for _, c := range []struct {
		name     string
		rule     risk.PlaceRule
		position risk.Position
		merchant uint32
		want     []reason.Code
		city     uint32
	}{
		{"in the merchant's city", strict, at(inShenyang, 0), shenyang, nil, shenyang},
		{"exactly as old as allowed", strict, at(inShenyang, time.Minute), shenyang, nil, shenyang},
		{"a nanosecond too old", strict, at(inShenyang, time.Minute+1), shenyang, codes(reason.PositionStale), shenyang},
		{"from the future", strict, at(inShenyang, -time.Hour), shenyang, nil, shenyang},
		{"missing", strict, risk.Position{}, shenyang, codes(reason.PositionMissing), 0},
		{"missing and not required", optional, risk.Position{}, shenyang, nil, 0},
		{"malformed", strict, risk.Position{Malformed: true}, shenyang, codes(reason.PositionMalformed), 0},
		{"malformed and not required", optional, risk.Position{Malformed: true}, shenyang, codes(reason.PositionMalformed), 0},
		{"outside the province", strict, at(inQinhuang, 0), shenyang, codes(reason.PositionOutside), 0},
		{"not required but outside", optional, at(inQinhuang, 0), shenyang, codes(reason.PositionOutside), 0},
		{"stale and outside", strict, at(inQinhuang, time.Hour), shenyang,
			codes(reason.PositionStale, reason.PositionOutside), 0},
		{"in another city", strict, at(inDalian, 0), shenyang, codes(reason.PositionOtherCity), dalian},
		{"in another city, all allowed", anywhere, at(inDalian, 0), shenyang, nil, dalian},
		{"in no city, all allowed", anywhere, at(inQinhuang, 0), shenyang, codes(reason.PositionOutside), 0},
		{"in a listed city", listed, at(inDalian, 0), shenyang, nil, dalian},
		{"in the merchant's city, not listed", listed, at(inShenyang, 0), shenyang, codes(reason.PositionOtherCity), shenyang},
		{"no limit of age", listed, at(inDalian, 1000*time.Hour), shenyang, nil, dalian},
		{"tie with the merchant's city", strict, at(onBorder, 0), panjin, nil, panjin},
		{"tie with the merchant's other city", strict, at(onBorder, 0), yingkou, nil, yingkou},
		{"tie without the merchant's city", strict, at(onBorder, 0), fushun, codes(reason.PositionUncertain), yingkou},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.NoError(t, c.rule.Validate())
			p := risk.Purchase{Rule: &c.rule, Map: m, Position: c.position, MerchantCity: c.merchant}
			v := risk.Check(now, &p)
			require.Equal(t, c.want, v.Refused)
			require.Empty(t, v.Marks)
			require.Equal(t, c.city, v.City)
			require.Equal(t, len(c.want) == 0, v.Passed())
		})
	}
}

func codes(c ...reason.Code) []reason.Code { return c }

func TestActionDecidesWhatAFindingDoes(t *testing.T) {
	m := liaoning(t)
	findings := []struct {
		position risk.Position
		set      func(*risk.PlaceRule, risk.Action)
		code     reason.Code
	}{
		{risk.Position{}, func(r *risk.PlaceRule, a risk.Action) { r.OnMissing = a }, reason.PositionMissing},
		{at(inShenyang, time.Hour), func(r *risk.PlaceRule, a risk.Action) { r.OnStale = a }, reason.PositionStale},
		{at(inQinhuang, 0), func(r *risk.PlaceRule, a risk.Action) { r.OnOutside = a }, reason.PositionOutside},
		{at(inDalian, 0), func(r *risk.PlaceRule, a risk.Action) { r.OnOtherCity = a }, reason.PositionOtherCity},
	}
	for _, f := range findings {
		rule := risk.PlaceRule{Required: true, MaxAge: time.Minute}
		p := risk.Purchase{Rule: &rule, Map: m, Position: f.position, MerchantCity: shenyang}

		f.set(&rule, risk.Refuse)
		v := risk.Check(now, &p)
		require.Equal(t, codes(f.code), v.Refused)
		require.Nil(t, v.Marks)

		f.set(&rule, risk.Mark)
		v = risk.Check(now, &p)
		require.Nil(t, v.Refused)
		require.Equal(t, codes(f.code), v.Marks)

		f.set(&rule, risk.Allow)
		v = risk.Check(now, &p)
		require.Nil(t, v.Refused)
		require.Nil(t, v.Marks)
	}
}

func TestNoRuleNoFinding(t *testing.T) {
	v := risk.Check(now, &risk.Purchase{MerchantCity: shenyang})
	require.Equal(t, risk.Verdict{}, v)
}

// Whatever the rule and the position: a finding either refuses or marks, never both, and no refusal appears under rules
// that allow everything.
func TestFindingsNeverDouble(t *testing.T) {
	m := liaoning(t)
	rapid.Check(t, func(t *rapid.T) {
		action := rapid.SampledFrom([]risk.Action{risk.Refuse, risk.Mark, risk.Allow})
		rule := risk.PlaceRule{
			Required:    rapid.Bool().Draw(t, "required"),
			MaxAge:      time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "max age")),
			Cities:      rapid.SampledFrom([]risk.Cities{risk.MerchantCity, risk.AnyCity, risk.ListedCities}).Draw(t, "cities"),
			Listed:      []uint32{dalian},
			OnMissing:   action.Draw(t, "missing"),
			OnStale:     action.Draw(t, "stale"),
			OnOutside:   action.Draw(t, "outside"),
			OnOtherCity: action.Draw(t, "other city"),
		}
		p := risk.Purchase{Rule: &rule, Map: m, MerchantCity: shenyang, Position: risk.Position{
			Given: rapid.Bool().Draw(t, "given"),
			At: geo.Point{
				Lon: rapid.Int32Range(119_000_000, 125_500_000).Draw(t, "lon"),
				Lat: rapid.Int32Range(38_700_000, 43_400_000).Draw(t, "lat"),
			},
			TakenAt: now - rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, "age"),
		}}
		v := risk.Check(now, &p)
		for _, code := range v.Refused {
			require.NotContains(t, v.Marks, code)
		}
		if !p.Position.Given && !rule.Required {
			require.Equal(t, risk.Verdict{}, v)
		}
		rule.OnMissing, rule.OnStale, rule.OnOutside, rule.OnOtherCity = risk.Allow, risk.Allow, risk.Allow, risk.Allow
		require.Equal(t, risk.Verdict{City: v.City}, risk.Check(now, &p))
	})
}

func TestValidateRefusesRulesThatCannotBeMeant(t *testing.T) {
	for _, r := range []risk.PlaceRule{
		{MaxAge: -1}, {Cities: 3}, {Cities: risk.ListedCities}, {OnMissing: 3}, {OnStale: 3}, {OnOutside: 3}, {OnOtherCity: 3},
	} {
		require.ErrorIs(t, r.Validate(), risk.ErrRule, "%+v", r)
	}
}

func TestPassingPurchaseAllocatesNothing(t *testing.T) {
	m := liaoning(t)
	rule := risk.PlaceRule{Required: true, MaxAge: time.Minute}
	p := risk.Purchase{Rule: &rule, Map: m, Position: at(inShenyang, 0), MerchantCity: shenyang}
	require.Zero(t, testing.AllocsPerRun(100, func() { risk.Check(now, &p) }))
}
