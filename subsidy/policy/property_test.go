package policy

import (
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/reason"
)

// drawRule draws a rule for category 0 whose bands never fall.
func drawRule(t *rapid.T) Rule {
	r := Rule{
		Rounding: money.Rounding(rapid.IntRange(0, 2).Draw(t, "rounding")),
		Minimum:  money.Amount(rapid.IntRange(1, 500).Draw(t, "minimum")),
		ItemCap:  drawCap(t, "item"), OrderCap: drawCap(t, "order"),
		Quota:      Quota{Items: 3, Over: 1},
		Components: drawKinds(t),
		index:      0,
	}
	for range rapid.IntRange(1, 3).Draw(t, "rows") {
		r.Rates = append(r.Rates, drawRate(t))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "caps") {
		r.PersonCaps = append(r.PersonCaps, PersonCap{string(rune('a' + i)), money.Amount(rapid.IntRange(1, 3_000_00).Draw(t, "cap")), Set(1 | rapid.IntRange(0, 7).Draw(t, "over"))})
	}
	if rapid.Bool().Draw(t, "ceiling") {
		r.Ceiling = Ceiling{Amount: money.Amount(rapid.IntRange(1, 20_000_00).Draw(t, "ceiling")), On: CeilingPrice(rapid.IntRange(0, 3).Draw(t, "on"))}
		if r.Ceiling.On == CeilingAfter {
			r.Ceiling.After = int32(rapid.IntRange(1, 4).Draw(t, "after"))
		}
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "payers") {
		w := rapid.Int64Range(0, 100).Draw(t, "weight")
		if i == 0 {
			w++
		}
		r.Funding = append(r.Funding, Share{string(rune('p' + i)), w})
		r.weights = append(r.weights, w)
	}
	return r
}

func drawCap(t *rapid.T, name string) money.Amount {
	if rapid.Bool().Draw(t, name+" cap") {
		return 0
	}
	return money.Amount(rapid.IntRange(1, 3_000_00).Draw(t, name))
}

func drawKinds(t *rapid.T) (kinds []ComponentRule) {
	for i := range rapid.IntRange(0, 5).Draw(t, "kinds") {
		kinds = append(kinds, ComponentRule{
			Kind: string(rune('a' + i)), Role: ComponentRole(rapid.IntRange(0, 2).Draw(t, "role")),
			Order: int32(rapid.IntRange(1, 4).Draw(t, "at")), InBase: rapid.Bool().Draw(t, "in base"),
		})
	}
	return kinds
}

func drawRate(t *rapid.T) Rate {
	var rate Rate
	if rapid.Bool().Draw(t, "graded") {
		rate.Grades = []uint8{uint8(rapid.IntRange(0, 3).Draw(t, "grade"))}
	}
	from := money.Amount(0)
	for {
		b := Band{From: from}
		if rapid.Bool().Draw(t, "flat") {
			b.Flat = money.Amount(rapid.IntRange(0, 2_000_00).Draw(t, "flat amount"))
		} else {
			b.BasisPoints = rapid.Int64Range(0, 9_999).Draw(t, "points")
		}
		bands := append(slices.Clone(rate.Bands), b)
		if _, falls := fallsAt(bands); !falls {
			rate.Bands = bands
		}
		if rapid.IntRange(0, 2).Draw(t, "more") == 0 || len(rate.Bands) == 4 {
			return rate
		}
		from += money.Amount(rapid.IntRange(1, 5_000_00).Draw(t, "width"))
	}
}

func drawRequest(t *rapid.T, r *Rule) Request {
	q := Request{
		At: 1, City: "c", Channel: "s", Category: "k0", Grade: uint8(rapid.IntRange(0, 3).Draw(t, "item grade")), Label: catalogue.LabelEnergy,
		Price:        money.Amount(rapid.OneOf(rapid.Int64Range(1, 100), rapid.Int64Range(1, 20_000_00), rapid.Int64Range(-5, int64(money.MaxN12)+5)).Draw(t, "price")),
		OrderSubsidy: money.Amount(rapid.IntRange(0, 1_000_00).Draw(t, "order so far")),
	}
	for range rapid.IntRange(0, 3).Draw(t, "components") {
		if len(r.Components) == 0 {
			break
		}
		kind := r.Components[rapid.IntRange(0, len(r.Components)-1).Draw(t, "kind")].Kind
		q.Components = append(q.Components, Component{kind, money.Amount(rapid.Int64Range(0, max(1, min(int64(q.Price), 5_000_00))).Draw(t, "amount"))})
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "usage") {
		q.Usage = append(q.Usage, CategoryUse{"k" + string(rune('0'+i)), rapid.IntRange(0, 2).Draw(t, "items"), money.Amount(rapid.IntRange(0, 1_000_00).Draw(t, "used"))})
	}
	return q
}

// programmeOf is a programme of one cell with one rule, and three categories to have used.
func programmeOf(r Rule) *Programme {
	return &Programme{
		Categories: []Category{{Code: "k0"}, {Code: "k1"}, {Code: "k2"}}, Channels: []Channel{{Code: "s"}}, Cities: []City{{Code: "c"}},
		cityIndex: map[string]int{"c": 0}, channelIndex: map[string]int{"s": 0}, categoryIndex: map[string]int{"k0": 0, "k1": 1, "k2": 2},
		Versions: []Version{{ID: "v", To: 10, rules: []Rule{r}, cells: []int32{0, 0, 0}}},
	}
}

// reference decides the slow way: exact fractions, one step after the other, nothing shared with Decide. granted is
// false for a refusal.
func reference(r *Rule, q *Request) (subsidy, payable money.Amount, granted bool) {
	if q.Price < 1 || q.Price > money.MaxN12 {
		return 0, q.Price, false
	}
	base, ceiling, inside, payments := int64(q.Price), int64(q.Price), int64(0), int64(0)
	for _, c := range q.Components {
		for _, k := range r.Components {
			if k.Kind != c.Kind {
				continue
			}
			a := int64(c.Amount)
			if k.Role != Discount {
				inside += a
			}
			if k.Role == Payment {
				payments += a
			}
			if k.Role == Discount && k.InBase {
				base += a
			}
			if k.Role != Discount && !k.InBase {
				base -= a
			}
			if k.Role == Discount && (r.Ceiling.On == CeilingShelf || r.Ceiling.On == CeilingAfter && k.Order > r.Ceiling.After) {
				ceiling += a
			}
		}
	}
	if r.Ceiling.On == CeilingBase {
		ceiling = base
	}
	if base < 1 || base > int64(money.MaxN12) || inside > int64(q.Price) || r.Ceiling.Amount > 0 && ceiling > int64(r.Ceiling.Amount) {
		return 0, q.Price, false
	}
	items := 0
	for _, u := range q.Usage {
		if u.Category == "k0" {
			items += u.Items
		}
	}
	if items >= r.Quota.Items {
		return 0, q.Price, false
	}
	amount, found := referenceRate(r, q, base)
	if !found {
		return 0, q.Price, false
	}
	limits := []int64{amount}
	if r.ItemCap > 0 {
		limits = append(limits, int64(r.ItemCap))
	}
	if r.OrderCap > 0 {
		limits = append(limits, int64(r.OrderCap-q.OrderSubsidy))
	}
	for _, c := range r.PersonCaps {
		left := int64(c.Amount)
		for i, u := range q.Usage {
			if c.Over&(1<<i) != 0 {
				left -= int64(u.Subsidy)
			}
		}
		limits = append(limits, left)
	}
	amount = slices.Min(limits)
	if amount < int64(r.Minimum) || amount >= int64(q.Price)-payments {
		return 0, q.Price, false
	}
	return money.Amount(amount), money.Amount(int64(q.Price) - payments - amount), true
}

func referenceRate(r *Rule, q *Request, base int64) (amount int64, found bool) {
	for _, rate := range r.Rates {
		if len(rate.Grades) > 0 && rate.Grades[0] != q.Grade {
			continue
		}
		band := rate.Bands[0]
		for _, b := range rate.Bands {
			if int64(b.From) <= base {
				band = b
			}
		}
		if band.Flat > 0 {
			return min(int64(band.Flat), base), true
		}
		exact := big.NewRat(base*band.BasisPoints, 10_000) // fits: base is below 10^12, the rate below 10^4
		floor := new(big.Int).Quo(exact.Num(), exact.Denom()).Int64()
		rest := new(big.Rat).Sub(exact, big.NewRat(floor, 1))
		half := rest.Cmp(big.NewRat(1, 2))
		if r.Rounding == money.HalfUp && half >= 0 || r.Rounding == money.HalfEven && (half > 0 || half == 0 && floor%2 == 1) {
			floor++
		}
		return floor, true
	}
	return 0, false
}

func TestDecideAgreesWithTheSlowReference(t *testing.T) {
	var d Decision
	rapid.Check(t, func(t *rapid.T) {
		rule := drawRule(t)
		p := programmeOf(rule)
		q := drawRequest(t, &rule)
		p.Decide(&q, &d)
		subsidy, payable, granted := reference(&rule, &q)
		if granted != (len(d.Refused) == 0) || subsidy != d.Subsidy || payable != d.Payable {
			t.Fatalf("got %v %v %v, want %v %v granted %v", d.Subsidy, d.Payable, d.Refused, subsidy, payable, granted)
		}
	})
}

func TestASubsidyIsBelowEveryCapAndThePriceAndItsPartsSumExactly(t *testing.T) {
	var d Decision
	rapid.Check(t, func(t *rapid.T) {
		rule := drawRule(t)
		p := programmeOf(rule)
		q := drawRequest(t, &rule)
		p.Decide(&q, &d)
		if !slices.IsSorted(d.Refused) || len(slices.Compact(slices.Clone(d.Refused))) != len(d.Refused) {
			t.Fatalf("reasons out of order or doubled: %v", d.Refused)
		}
		if len(d.Refused) > 0 {
			if d.Subsidy != 0 || d.Payable != q.Price || len(d.Parts) != 0 {
				t.Fatalf("a refusal gives %v, payable %v, parts %v", d.Subsidy, d.Payable, d.Parts)
			}
			return
		}
		var payments, parts money.Amount
		for _, c := range q.Components {
			if rule.component(c.Kind).Role == Payment {
				payments += c.Amount
			}
		}
		for _, part := range d.Parts {
			if part.Amount < 0 {
				t.Fatalf("part %v is negative", part)
			}
			parts += part.Amount
		}
		switch {
		case parts != d.Subsidy:
			t.Fatalf("parts sum to %v, subsidy is %v", parts, d.Subsidy)
		case d.Payable+d.Subsidy+payments != q.Price:
			t.Fatalf("payable %v + subsidy %v + payments %v is not the price %v", d.Payable, d.Subsidy, payments, q.Price)
		case d.Subsidy < rule.Minimum || d.Subsidy < 1, d.Payable < 1, d.Subsidy >= q.Price, d.Subsidy > d.Base:
			t.Fatalf("subsidy %v of base %v, price %v, payable %v", d.Subsidy, d.Base, q.Price, d.Payable)
		case rule.ItemCap > 0 && d.Subsidy > rule.ItemCap, rule.OrderCap > 0 && d.Subsidy+q.OrderSubsidy > rule.OrderCap:
			t.Fatalf("subsidy %v above a cap", d.Subsidy)
		}
		for _, c := range rule.PersonCaps {
			if total := d.Subsidy + usedOver(c.Over, q.Usage); total > c.Amount {
				t.Fatalf("cap %v: the person would have %v", c, total)
			}
		}
	})
}

func usedOver(over Set, usage []CategoryUse) (sum money.Amount) {
	for i, u := range usage {
		if over.Has(i) {
			sum += u.Subsidy
		}
	}
	return sum
}

func TestADearerItemBelowTheCeilingNeverGetsLess(t *testing.T) {
	var cheap, dear Decision
	rapid.Check(t, func(t *rapid.T) {
		rule := drawRule(t)
		rule.Ceiling = Ceiling{}
		p := programmeOf(rule)
		q := drawRequest(t, &rule)
		q.Price = money.Amount(rapid.Int64Range(1, 30_000_00).Draw(t, "cheap"))
		p.Decide(&q, &cheap)
		q.Price += money.Amount(rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, 5_000_00)).Draw(t, "more"))
		p.Decide(&q, &dear)
		// A flat sum that reaches the whole price leaves nothing to pay: that is no sale, whatever a cheaper item got.
		nothingToPay := slices.Contains(dear.Refused, reason.PriceInvalid) || slices.Contains(dear.Refused, reason.PriceBelowPaid)
		if dear.Subsidy < cheap.Subsidy && !nothingToPay {
			t.Fatalf("%v %v, but dearer %v %v", cheap.Subsidy, cheap.Refused, dear.Subsidy, dear.Refused)
		}
	})
}

func TestADecisionLeavesNothingBehindInAReusedOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := drawRule(t)
		p := programmeOf(rule)
		first, then := drawRequest(t, &rule), drawRequest(t, &rule)
		var reused, fresh Decision
		p.Decide(&first, &reused)
		p.Decide(&then, &reused)
		p.Decide(&then, &fresh)
		reused.amounts, fresh.amounts = nil, nil
		require.Equal(t, len(fresh.Refused), len(reused.Refused))
		require.True(t, slices.Equal(fresh.Refused, reused.Refused) && slices.Equal(fresh.Parts, reused.Parts))
		require.Equal(t, [...]money.Amount{fresh.Base, fresh.Subsidy, fresh.Payable, fresh.Raw}, [...]money.Amount{reused.Base, reused.Subsidy, reused.Payable, reused.Raw})
		require.Equal(t, [...]any{fresh.Rule, fresh.Rate, fresh.Limited, fresh.Version}, [...]any{reused.Rule, reused.Rate, reused.Limited, reused.Version})
	})
}

func TestTheSampleProgrammeNeverGivesLessForADearerItem(t *testing.T) {
	p := compile(t, readBundle(t, liaoning))
	instant := at(t, "2025-06-18T10:00:00+08:00")
	var cheap, dear Decision
	rapid.Check(t, func(t *rapid.T) {
		r := Request{At: instant, City: "210200", Channel: "store", OldItem: "ebike-lead"}
		c := p.Categories[rapid.IntRange(0, len(p.Categories)-1).Draw(t, "category")]
		r.Category, r.Label, r.Grade = c.Code, c.Label, uint8(rapid.IntRange(0, 5).Draw(t, "grade"))
		top := int64(20_000_00)
		if c.Group == "digital" {
			top = 6_000_00
		}
		a, b := rapid.Int64Range(1, top).Draw(t, "a"), rapid.Int64Range(1, top).Draw(t, "b")
		r.Price = money.Amount(min(a, b))
		p.Decide(&r, &cheap)
		r.Price = money.Amount(max(a, b))
		p.Decide(&r, &dear)
		if dear.Subsidy < cheap.Subsidy || dear.Subsidy > 2_000_00 {
			t.Fatalf("%v, but dearer %v", cheap.Subsidy, dear.Subsidy)
		}
	})
}
