package policy

import (
	"math"
	"reflect"
	"slices"
)

// forEver is a moment that no comparison reaches.
const forEver = int64(math.MaxInt64)

// within says how much of a rule counts when two are compared.
type within struct {
	until   int64 // what begins after it does not count; an end after it is as good as none
	members Set   // categories that count in sets
}

// everything compares rules whole.
func everything() within { return within{until: forEver, members: ^Set(0)} }

// differing returns the settings in which two rules decide differently.
func differing(a, b *Rule, w within) (list []Setting) {
	for s := range settingCount {
		if !reflect.DeepEqual(a.value(s, w), b.value(s, w)) {
			list = append(list, s)
		}
	}
	return list
}

// value is what a rule says by one setting, without where that was written. TestEveryPartOfARuleBelongsToASetting holds
// it complete.
func (r *Rule) value(s Setting, w within) any {
	switch s {
	case SetOpen:
		var levels [levelCount]Opening
		for l := range r.open {
			levels[l] = r.open[l].until(w.until)
		}
		return levels
	case SetPauses:
		return clip(r.pauses, w.until)
	case SetMode:
		return r.Mode
	case SetRates:
		rates := slices.Clone(r.Rates)
		for i := range rates {
			rates[i].Origin = Origin{}
		}
		return rates
	case SetRounding:
		return r.Rounding
	case SetMinimum:
		return r.Minimum
	case SetItemCap:
		return r.ItemCap
	case SetOrderCap:
		return r.OrderCap
	case SetPersonCaps:
		caps := slices.Clone(r.PersonCaps)
		for i := range caps {
			caps[i].Over &= w.members
		}
		return caps
	case SetQuota:
		return Quota{r.Quota.Items, r.Quota.Over & w.members}
	case SetExclusions:
		var list []Exclusion
		for _, x := range r.Exclusions {
			if x.Against &= w.members; x.Against != 0 {
				list = append(list, x)
			}
		}
		return list
	case SetCeiling:
		return struct {
			Ceiling
			kind string
		}{r.Ceiling, r.ceilingKind}
	default:
		return r.otherValue(s)
	}
}

// otherValue is value for the settings that neither time nor categories bound.
func (r *Rule) otherValue(s Setting) any {
	switch s {
	case SetComponents:
		return r.Components
	case SetOldItem:
		return r.OldItem
	case SetPlace:
		place := r.Place
		place.Cities, place.Listed = 0, nil
		return place
	case SetPlaceCities:
		return PlaceRule{Cities: r.Place.Cities, Listed: r.Place.Listed}
	case SetDelivery:
		return r.Delivery
	case SetEvidence:
		return r.Evidence
	case SetRefund:
		return r.Refund
	case SetClaimHours:
		return r.Claim.Hours
	case SetClaimLimit:
		return [2]int{r.Claim.Limit, r.Claim.Active}
	case SetClaimValidity:
		return ClaimRule{Validity: r.Claim.Validity, Days: r.Claim.Days}
	case SetIDKinds:
		return r.Claim.IDKinds
	case SetFunding:
		return r.Funding
	case SetHold:
		return r.Hold
	case SetCodeLife:
		return r.CodeLife
	}
	panic("setting without a value: " + s.String())
}

// until is the opening as it stands for every instant up to a moment.
func (o Opening) until(moment int64) Opening {
	if o.Closed {
		return Opening{Closed: true}
	}
	windows := clip(o.Windows, moment)
	if len(o.Windows) > 0 && len(windows) == 0 {
		return Opening{Closed: true}
	}
	return Opening{Windows: windows, Hours: o.Hours}
}

// clip returns windows as they stand for every instant up to a moment: those that begin later are left out, and an end
// that lies behind it is none.
func clip(windows []Window, moment int64) (list []Window) {
	for _, w := range windows {
		if w.From > moment {
			continue
		}
		if w.To > moment {
			w.To = forEver
		}
		list = append(list, w)
	}
	return list
}

// shut reports whether the rule certainly takes no part at any instant of [from, to): one level is closed throughout, or
// one pause covers it all.
func (r *Rule) shut(from, to int64) bool {
	for l := range r.open {
		if o := &r.open[l]; o.Closed || len(o.Windows) > 0 && !slices.ContainsFunc(o.Windows, func(w Window) bool {
			return w.From < to && w.To > from
		}) {
			return true
		}
	}
	return slices.ContainsFunc(r.pauses, func(w Window) bool { return w.From <= from && w.To >= to })
}
