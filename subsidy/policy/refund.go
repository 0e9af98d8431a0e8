package policy

import (
	"math"
	"slices"

	"huanxin/internal/money"
)

// Restore says when a person may use the entitlement of a refunded purchase again.
type Restore uint8

const (
	AtOnce Restore = iota
	NextDay
	Never
)

// RefundRule says until when a purchase can be refunded and what the refund gives back.
type RefundRule struct {
	Window    int     // business days after the day of the sale; 0 = that day only
	SameDay   Restore // refunded on the day of the sale
	Later     Restore // refunded on a later day
	Activated Restore // the goods were activated: the stricter of this and the day's rule holds
	Partial   bool    // a part of the price may be given back; otherwise only the whole item
}

// Open reports whether a sale of one instant may be refunded at another.
func (r *RefundRule) Open(soldAt, at int64) bool {
	days := dayOf(at) - dayOf(soldAt)
	return days >= 0 && days <= int64(r.Window)
}

// RestoredAt returns the instant from which the entitlement can be used again, or false when it stays used. The money
// goes back to the budget in every case: it was not spent.
func (r *RefundRule) RestoredAt(soldAt, refundedAt int64, activated bool) (int64, bool) {
	rule := r.Later
	if dayOf(soldAt) == dayOf(refundedAt) {
		rule = r.SameDay
	}
	if activated {
		rule = max(rule, r.Activated)
	}
	switch rule {
	case AtOnce:
		return refundedAt, true
	case NextDay:
		return startOf(dayOf(refundedAt) + 1), true
	default:
		return math.MaxInt64, false
	}
}

// Recompute returns what the rule gives for the price in r, and nothing else: not whether the programme is open, what the
// person has used, or what is left of the caps per person and order. It is how the subsidy of a sale is computed anew when
// a part of its price is given back; the caller keeps the smaller of it and what was given. 0 when nothing is given.
func (r *Rule) Recompute(q *Request) money.Amount {
	bare := *r
	bare.OrderCap, bare.PersonCaps = 0, nil
	d := Decision{Rate: r.rateFor(q)}
	if d.Rate == nil {
		return 0
	}
	sums, ok := bare.addUp(q, &d)
	if ok {
		bare.apply(q, &d, &standing{}, sums.payments)
	}
	if len(d.Refused) > 0 {
		return 0
	}
	return d.Subsidy
}

// Kept finds what a partial refund leaves: the price whose subsidy under the rule, at most given, makes the buyer's share
// just paid. Where more than one price does (a fen of price can be a fen of subsidy) it is the highest: of 3999.99 and
// 4000.00 at 20 %, cut to the fen, both leave 3200.00 to the buyer, and it is 4000.00 that has been kept. Components are
// those of the sale; q.Price is the price of the sale. ok is false when no price fits.
func (r *Rule) Kept(q *Request, given, paid money.Amount) (price, subsidy money.Amount, ok bool) {
	rate := r.rateFor(q)
	if rate == nil {
		return 0, 0, false
	}
	full := q.Price
	share := func(price money.Amount) (own, subsidy money.Amount) {
		at := *q
		at.Price = price
		subsidy = money.Min(given, r.Recompute(&at))
		return price - subsidy, subsidy
	}
	// The buyer's share grows with the price, but for two kinds of steps: where a band begins the rate may jump, and below
	// the least subsidy the state gives nothing. So it is searched for between them, from the top.
	high := full + 1
	for i := len(rate.Bands) - 1; i >= 0; i-- {
		low := max(1, rate.Bands[i].From)
		if low >= high {
			continue
		}
		step := search(low, high, func(price money.Amount) bool { _, s := share(price); return s > 0 })
		for _, side := range [][2]money.Amount{{step, high}, {low, step}} {
			price := search(side[0], side[1], func(price money.Amount) bool { own, _ := share(price); return own > paid }) - 1
			if price < side[0] {
				continue
			}
			if own, s := share(price); own == paid {
				return price, s, true
			}
		}
		high = low
	}
	return 0, 0, false
}

func (r *Rule) rateFor(q *Request) *Rate {
	for i := range r.Rates {
		if r.Rates[i].fits(q.Grade, q.Label, q.Attributes, q.OldItem) {
			return &r.Rates[i]
		}
	}
	return nil
}

// search is the smallest i in [low, high) for which f is true, high when there is none; f must turn true once.
func search(low, high money.Amount, f func(money.Amount) bool) money.Amount {
	for low < high {
		if mid := low + (high-low)/2; f(mid) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

// Share splits an amount among the payers of the rule, by their weights.
func (r *Rule) Share(amount money.Amount) []Part {
	d := Decision{Subsidy: amount}
	r.share(&d)
	return slices.Clone(d.Parts)
}
