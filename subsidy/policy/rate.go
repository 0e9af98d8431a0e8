package policy

import (
	"slices"

	"huanxin/internal/money"
	"huanxin/subsidy/catalogue"
)

// Rate is one row of a rate table: for which goods it holds and what it gives.
type Rate struct {
	Grades     []uint8               // empty = any; 0 = without a grade
	Labels     []catalogue.Label     // empty = any
	Attributes []catalogue.Attribute // all must be there
	OldItems   []string              // kinds of old item, one of them; empty = with or without
	Bands      []Band                // ascending by From, the first from 0
	Origin     Origin
}

// Band is what a rate gives for a base from From up to the next band: a percentage or a flat sum.
type Band struct {
	From        money.Amount
	BasisPoints int64        // hundredths of a percent; 0 when Flat is set
	Flat        money.Amount // 0 when BasisPoints is set
}

// Of returns the subsidy on a base before any cap: the rate applied once, then rounded once. A flat sum is never more
// than the base.
func (b Band) Of(base money.Amount, rounding money.Rounding) money.Amount {
	if b.Flat > 0 {
		return money.Min(b.Flat, base)
	}
	// A base is at most MaxN12 and a rate below 100 %, so the product cannot overflow.
	amount, err := base.MulDiv(b.BasisPoints, 10_000, rounding)
	if err != nil {
		panic("rate: " + err.Error())
	}
	return amount
}

// fits reports whether the row holds for these goods.
func (r *Rate) fits(grade uint8, label catalogue.Label, attributes []catalogue.Attribute, oldItem string) bool {
	if len(r.Grades) > 0 && !slices.Contains(r.Grades, grade) || len(r.Labels) > 0 && !slices.Contains(r.Labels, label) ||
		len(r.OldItems) > 0 && !slices.Contains(r.OldItems, oldItem) {
		return false
	}
	for i := range r.Attributes {
		if !slices.Contains(attributes, r.Attributes[i]) {
			return false
		}
	}
	return true
}

// BandFor returns the band that holds a base.
func (r *Rate) BandFor(base money.Amount) Band {
	found := r.Bands[0]
	for _, b := range r.Bands[1:] {
		if base >= b.From {
			found = b
		}
	}
	return found
}
