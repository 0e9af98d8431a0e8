package policy

import (
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

// PlaceCities says in which cities of the province a purchase may happen.
type PlaceCities uint8

const (
	AnyCity      PlaceCities = iota // any city of the province
	MerchantCity                    // the merchant's city only
	ListedCities                    // the cities of a list
)

// PlaceRule says where the buyer's phone must be (D6). Package risk judges a position by it.
type PlaceRule struct {
	Position  Need
	MaxAge    time.Duration // an older fix is stale
	Outside   Action        // outside the province
	Missing   Action        // required and not given, or given and unreadable
	Stale     Action
	OtherCity Action // inside the province, in a city that is not allowed
	Cities    PlaceCities
	Listed    []uint32 // with ListedCities: division codes, ascending
}

// DeliveryRule says where goods may be sent.
type DeliveryRule struct {
	Address  Need
	Province string // first two digits a division code must have
	Outside  Action
	Missing  Action
}

// Judge says what is wrong with the division code of a delivery address ("" = none): the reason and what it leads to,
// or reason.None.
func (r *DeliveryRule) Judge(division string) (reason.Code, Action) {
	switch {
	case r.Address == NotAsked || division == "" && r.Address == Optional:
		return reason.None, Allow
	case division == "":
		return allowed(reason.DeliveryMissing, r.Missing)
	case len(division) != 6 || division[:2] != r.Province:
		return allowed(reason.DeliveryOutside, r.Outside)
	default:
		return reason.None, Allow
	}
}

func allowed(code reason.Code, action Action) (reason.Code, Action) {
	if action == Allow {
		return reason.None, Allow
	}
	return code, action
}
