package policy

import (
	"huanxin/internal/money"
	"huanxin/subsidy/reason"
)

// sums are the components of one request, added up by what they do.
type sums struct {
	payments  money.Amount // part of the price that is settled by other means
	discounts money.Amount // taken off before the price
	after     money.Amount // of these, what the ceiling's price does not have off yet
}

// addUp checks price and components and sets d.Base:
//
//	base = price + discounts that stay in the base − payments and charges that are not in the base
//
// It reports whether there is a base to apply a rate to.
func (r *Rule) addUp(q *Request, d *Decision) (s sums, ok bool) {
	if q.Price <= 0 || q.Price > money.MaxN12 {
		d.Refused = append(d.Refused, reason.PriceInvalid)
		return s, false
	}
	if len(q.Components) > MaxComponents {
		d.Refused = append(d.Refused, reason.ComponentNotAllowed)
		return s, false
	}
	ok = true
	base, inside := q.Price, money.Amount(0)
	for i := range q.Components {
		c := &q.Components[i]
		kind := r.component(c.Kind)
		if kind == nil {
			d.Refused = append(d.Refused, reason.ComponentNotAllowed)
			ok = false
			continue
		}
		if c.Amount < 0 || c.Amount > money.MaxN12 {
			d.Refused = append(d.Refused, reason.PriceInvalid)
			ok = false
			continue
		}
		// At most MaxComponents amounts of at most MaxN12: no sum here can overflow.
		switch kind.Role {
		case Discount:
			s.discounts += c.Amount
			if kind.Order > r.Ceiling.After {
				s.after += c.Amount
			}
			if kind.InBase {
				base += c.Amount
			}
		case Payment:
			s.payments += c.Amount
			inside += c.Amount
			if !kind.InBase {
				base -= c.Amount
			}
		case Charge:
			inside += c.Amount
			if !kind.InBase {
				base -= c.Amount
			}
		}
	}
	if !ok {
		return s, false
	}
	if base <= 0 || inside > q.Price || base > money.MaxN12 {
		d.Refused = append(d.Refused, reason.ComponentsExceedPrice)
		return s, false
	}
	d.Base = base
	if r.Ceiling.Amount > 0 && r.ceilingPrice(q.Price, base, &s) > r.Ceiling.Amount {
		d.Refused = append(d.Refused, reason.PriceAboveCeiling)
	}
	return s, true
}

func (r *Rule) ceilingPrice(price, base money.Amount, s *sums) money.Amount {
	switch r.Ceiling.On {
	case CeilingBase:
		return base
	case CeilingShelf:
		return price + s.discounts
	case CeilingAfter:
		return price + s.after
	default:
		return price
	}
}

func (r *Rule) component(kind string) *ComponentRule {
	for i := range r.Components {
		if r.Components[i].Kind == kind {
			return &r.Components[i]
		}
	}
	return nil
}

// apply computes the subsidy: rate on base, one rounding, then the caps of item, order and person in this order.
func (r *Rule) apply(q *Request, d *Decision, person *standing, payments money.Amount) {
	d.Raw = d.Rate.BandFor(d.Base).Of(d.Base, r.Rounding)
	subsidy := d.Raw
	if r.ItemCap > 0 && subsidy > r.ItemCap {
		subsidy, d.Limited = r.ItemCap, LimitItem
	}
	if r.OrderCap > 0 {
		left := r.OrderCap - max(q.OrderSubsidy, 0)
		if left <= 0 {
			d.Refused = append(d.Refused, reason.OrderCapReached)
			return
		}
		if subsidy > left {
			subsidy, d.Limited = left, LimitOrder
		}
	}
	if len(r.PersonCaps) > 0 {
		if person.left <= 0 {
			return // judgePerson has named it
		}
		if subsidy > person.left {
			subsidy, d.Limited = person.left, LimitPerson
		}
	}
	if subsidy < r.Minimum {
		d.Refused = append(d.Refused, reason.SubsidyTooSmall)
	}
	// A sale of nothing cannot be sent to a card network, and no payer gets change.
	switch left := q.Price - payments; {
	case payments > 0 && subsidy >= left:
		d.Refused = append(d.Refused, reason.PriceBelowPaid)
	case subsidy >= left:
		d.Refused = append(d.Refused, reason.PriceInvalid)
	}
	d.Subsidy = subsidy
}

// share splits the subsidy among its payers.
func (r *Rule) share(d *Decision) {
	amounts, err := d.Subsidy.Split(d.amounts, r.weights)
	if err != nil {
		panic("split of a subsidy: " + err.Error()) // weights were checked by Compile
	}
	d.amounts = amounts
	for i := range r.Funding {
		d.Parts = append(d.Parts, Part{r.Funding[i].Payer, amounts[i]})
	}
}
