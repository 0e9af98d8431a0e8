package policy

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// busy is a request that takes the longest way of the sample programme: caps per order and person, usage, components.
func busy(tb testing.TB) Request {
	r := Request{
		At: at(tb, "2025-06-18T10:00:00+08:00"), ClaimAt: at(tb, "2025-06-18T09:00:00+08:00"), City: "210700", Channel: "store",
		Category: "H13", Merchant: "898210757220001", Label: "none", Price: 499900, OrderSubsidy: 100,
		Components: []Component{{"merchant", 10000}, {"install", 5000}, {"prior", 20000}},
	}
	for _, category := range []string{"A01", "A02", "A04", "B01", "H01", "H02"} {
		r.Usage = append(r.Usage, CategoryUse{category, 1, 10000})
	}
	return r
}

func TestDecideAllocatesNothingInSteadyState(t *testing.T) {
	p := compile(t, readBundle(t, liaoning))
	granted := busy(t)
	refused := granted
	refused.City, refused.Category, refused.Price, refused.At = "210500", "B01", 900000, at(t, "2025-06-25T10:00:00+08:00")
	var d Decision
	for _, r := range []*Request{&granted, &refused} {
		p.Decide(r, &d)
		require.Equal(t, r == &refused, len(d.Refused) > 0, d.Refused)
		require.Zero(t, testing.AllocsPerRun(100, func() { p.Decide(r, &d) }))
	}
	claim := ClaimRequest{At: granted.At, City: "210900", Channel: "store", Category: "H13", IDKind: "passport", Active: 1, Usage: granted.Usage}
	var cd ClaimDecision
	p.DecideClaim(&claim, &cd)
	require.Len(t, cd.Refused, 2)
	require.Zero(t, testing.AllocsPerRun(100, func() { p.DecideClaim(&claim, &cd) }))
}

func TestFindingALeafAllocatesNothing(t *testing.T) {
	p := compile(t, readBundle(t, liaoning))
	instant := at(t, "2026-11-23T10:00:00+08:00")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		city := p.Budget.PayingCity("online", "210100", "210200", "210102", "210300")
		if n, _ := p.Budget.LeafAt(city, "store", "A01", instant); n == nil {
			t.Fatal("no leaf")
		}
	}))
}

func BenchmarkDecide(b *testing.B) {
	p := compile(b, readBundle(b, liaoning))
	plain := Request{At: at(b, "2025-06-18T10:00:00+08:00"), City: "210100", Channel: "store", Category: "A01", Merchant: "898210157220001", Grade: 1, Label: "energy", Price: 599900}
	long := busy(b)
	for name, r := range map[string]*Request{"fridge": &plain, "home": &long} {
		b.Run(name, func(b *testing.B) {
			var d Decision
			b.ReportAllocs()
			for b.Loop() {
				p.Decide(r, &d)
			}
			if len(d.Refused) > 0 {
				b.Fatal(d.Refused)
			}
		})
	}
}

func BenchmarkCompileLiaoning(b *testing.B) {
	files := readBundle(b, liaoning)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(files); err != nil {
			b.Fatal(err)
		}
	}
}
