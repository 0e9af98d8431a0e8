package risk

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"huanxin/risk/geo"
	"huanxin/subsidy/reason"
)

// Action says what a finding does to the purchase. The zero Action refuses: a rule that forgets to say so is strict.
type Action uint8

const (
	// Refuse refuses the subsidy.
	Refuse Action = iota
	// Mark gives it and leaves the finding in the record.
	Mark
	// Allow gives it and leaves nothing.
	Allow
)

// Cities says in which cities of the province a purchase may happen.
type Cities uint8

const (
	// MerchantCity is the city where the merchant is registered.
	MerchantCity Cities = iota
	// AnyCity is every city of the province.
	AnyCity
	// ListedCities are those of PlaceRule.Listed.
	ListedCities
)

// PlaceRule is the place part of a policy version (D6). Each of the four findings has its own action.
type PlaceRule struct {
	// Required says that a purchase without a position is a finding (OnMissing). A position that is given is judged
	// whether or not it is required.
	Required bool
	// MaxAge is how old a fix may be when the subsidy is asked for; a fix exactly that old is fresh. 0 sets no limit.
	MaxAge time.Duration
	// Cities and Listed say which cities are allowed; Listed is read for ListedCities only.
	Cities Cities
	Listed []uint32

	OnMissing   Action // no position, though required; or a text that is no position
	OnStale     Action // older than MaxAge
	OnOutside   Action // outside the province
	OnOtherCity Action // in the province, in a city that is not allowed
}

// Position is where the buyer is. The zero Position is "none given".
type Position struct {
	Given     bool
	Malformed bool // something was given that is no position
	At        geo.Point
	// TakenAt is the instant of the fix, Unix nanoseconds.
	TakenAt int64
}

// ErrRule is returned by Validate for a rule that cannot be applied.
var ErrRule = errors.New("place rule")

// Validate refuses values that no rule may have.
func (r *PlaceRule) Validate() error {
	switch {
	case r.MaxAge < 0:
		return fmt.Errorf("%w: maximum age %s is negative", ErrRule, r.MaxAge)
	case r.Cities > ListedCities:
		return fmt.Errorf("%w: unknown scope %d of cities", ErrRule, r.Cities)
	case r.Cities == ListedCities && len(r.Listed) == 0:
		return fmt.Errorf("%w: the list of cities is empty, so that every purchase would be refused", ErrRule)
	case max(r.OnMissing, r.OnStale, r.OnOutside, r.OnOtherCity) > Allow:
		return fmt.Errorf("%w: unknown action", ErrRule)
	}
	return nil
}

// check adds the findings of r. A stale position is still judged by where it was: the two findings are separate facts,
// and a refusal names all of its reasons (P5).
func (r *PlaceRule) check(now int64, p *Purchase, v *Verdict) {
	switch {
	case p.Position.Malformed:
		v.find(reason.PositionMalformed, r.OnMissing)
		return
	case !p.Position.Given:
		if r.Required {
			v.find(reason.PositionMissing, r.OnMissing)
		}
		return
	}
	if r.stale(now, p.Position.TakenAt) {
		v.find(reason.PositionStale, r.OnStale)
	}
	at := p.Map.Locate(p.Position.At)
	city, inside := at.Choose(p.MerchantCity)
	v.City = city
	switch {
	case !inside:
		v.find(reason.PositionOutside, r.OnOutside)
	case r.allows(city, p.MerchantCity):
	case at.Tie():
		v.find(reason.PositionUncertain, r.OnOtherCity)
	default:
		v.find(reason.PositionOtherCity, r.OnOtherCity)
	}
}

// stale takes a fix from the future, which only a sender's clock can make, for a fresh one.
func (r *PlaceRule) stale(now, takenAt int64) bool {
	return r.MaxAge > 0 && takenAt < now-int64(r.MaxAge)
}

func (r *PlaceRule) allows(city, merchant uint32) bool {
	switch r.Cities {
	case AnyCity:
		return true
	case ListedCities:
		return slices.Contains(r.Listed, city)
	default:
		return city == merchant
	}
}
