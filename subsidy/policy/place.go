package policy

import (
	"slices"
	"time"

	"huanxin/subsidy/reason"
)

// Need says whether something must be given.
type Need uint8

const (
	Required Need = iota
	Optional      // checked when given
	NotAsked      // ignored
)

// Action says what a finding leads to. The zero Action refuses.
type Action uint8

const (
	Refuse Action = iota
	Mark          // goes on; the purchase is marked for review
	Allow         // goes on unmarked
)

// Finding is one thing that a check found.
type Finding struct {
	Code   reason.Code
	Action Action // Refuse or Mark; what is allowed is no finding
}

// PlaceCities says in which cities of the province a purchase may happen.
type PlaceCities uint8

const (
	AnyCity      PlaceCities = iota // any city of the province
	MerchantCity                    // the merchant's city only
	ListedCities                    // the cities of a list
)

// PlaceRule says where the buyer's phone must be (D6).
type PlaceRule struct {
	Position  Need
	MaxAge    time.Duration // an older fix is stale
	Outside   Action        // outside the province
	Missing   Action        // required and not given, or given and unreadable
	Stale     Action
	OtherCity Action // inside the province, in a city that is not allowed
	Cities    PlaceCities
	List      []string // with ListedCities: division codes, ascending
}

// Fix is where a phone was, as package geo located it.
type Fix struct {
	Given     bool
	Malformed bool          // something was given that is no position
	Age       time.Duration // at the decision
	Inside    bool          // inside the province
	City      string        // division code of the located city, a tie already decided
	Tie       bool          // on a border: more than one city was possible
}

// Judge appends what is wrong with a fix. A stale fix is judged for its place too, so that all reasons are named.
func (r *PlaceRule) Judge(dst []Finding, f *Fix, merchantCity string) []Finding {
	if r.Position == NotAsked {
		return dst
	}
	if f.Malformed {
		return find(dst, reason.PositionMalformed, r.Missing)
	}
	if !f.Given {
		if r.Position == Required {
			return find(dst, reason.PositionMissing, r.Missing)
		}
		return dst
	}
	if f.Age > r.MaxAge || f.Age < 0 {
		dst = find(dst, reason.PositionStale, r.Stale)
	}
	switch {
	case !f.Inside:
		return find(dst, reason.PositionOutside, r.Outside)
	case r.Admits(f.City, merchantCity):
		return dst
	case f.Tie:
		return find(dst, reason.PositionUncertain, r.OtherCity)
	default:
		return find(dst, reason.PositionOtherCity, r.OtherCity)
	}
}

// Admits reports whether a purchase may happen in a city of the province.
func (r *PlaceRule) Admits(city, merchantCity string) bool {
	switch r.Cities {
	case MerchantCity:
		return city == merchantCity
	case ListedCities:
		return slices.Contains(r.List, city)
	default:
		return true
	}
}

// DeliveryRule says where goods bought online may be sent.
type DeliveryRule struct {
	Address  Need
	Province string // first two digits a division code must have
	Outside  Action
	Missing  Action
}

// Judge appends what is wrong with the division code of a delivery address; "" is none.
func (r *DeliveryRule) Judge(dst []Finding, division string) []Finding {
	if r.Address == NotAsked {
		return dst
	}
	if division == "" {
		if r.Address == Required {
			return find(dst, reason.DeliveryMissing, r.Missing)
		}
		return dst
	}
	if len(division) != 6 || division[:2] != r.Province {
		return find(dst, reason.DeliveryOutside, r.Outside)
	}
	return dst
}

func find(dst []Finding, code reason.Code, action Action) []Finding {
	if action == Allow {
		return dst
	}
	return append(dst, Finding{code, action})
}
