package policy

import (
	"huanxin/internal/money"
	"huanxin/subsidy/reason"
)

// Budget is the plan of a programme's money: which nodes exist, what each is given, when it is released. The state of
// the nodes (held, spent, free) belongs to the engine.
type Budget struct {
	Levels        []Level // the levels below the root, the round last
	ClaimReserves ClaimReserve
	Rounds        []Round      // ascending by Open
	Nodes         []BudgetNode // parents before children; the first is the root, with path ""

	paying []PayingCity // by channel
	leaves [][]int32    // city × channel × category → leaves, one a round, ascending by opening
	p      *Programme
}

// Level is one level of the tree.
type Level string

const (
	LevelCity     Level = "city"
	LevelChannel  Level = "channel"
	LevelGroup    Level = "group"
	LevelCategory Level = "category"
	LevelRound    Level = "round"
)

// ClaimReserve says what a claim takes from the budget.
type ClaimReserve uint8

const (
	ReserveNone ClaimReserve = iota // nothing: first come, first served at the till
	ReserveCap                      // the most the purchase could be given
)

// PayingCity says whose budget pays.
type PayingCity uint8

const (
	PaysMerchant PayingCity = iota // city of the merchant's registration
	PaysStore                      // city of the store
	PaysDelivery                   // city of the delivery address
	PaysClaimant                   // city in which the entitlement was claimed
)

// Round is one release of money.
type Round struct {
	ID          string
	Open, Close int64 // [Open, Close), Unix nanoseconds
	// CarryOver: what is free when the round closes is given to the same leaf of the next round, where there is one.
	// Without it, or without such a leaf, it goes back to the parent.
	CarryOver bool
	Origin    Origin
}

// Release puts money of a leaf at its disposal at an instant.
type Release struct {
	At     int64
	Amount money.Amount
}

// DailyRelease puts the same amount at a leaf's disposal on every business day of its round.
type DailyRelease struct {
	Amount    money.Amount
	Second    int32 // after midnight in China
	CarryOver bool  // what a day leaves over stays available; without it the next release takes it back
}

// BudgetNode is one node of the tree.
type BudgetNode struct {
	Path   string // codes joined by "/", such as "210100/store/A01/r1"; "" is the root
	Parent int    // index of the parent, -1 for the root
	Amount money.Amount
	Leaf   bool
	Round  int // of a leaf: index in Rounds; else -1
	// How a leaf's money is released: all of it when the round opens (both empty), at given instants, or daily.
	Releases []Release
	Daily    *DailyRelease
	Origin   Origin
}

// PayingCity returns the city whose budget pays a purchase, or "" when the fact it depends on is not given. delivery is
// the division code of an address; the others are codes of cities.
func (b *Budget) PayingCity(channel, merchant, store, delivery, claimant string) string {
	i, ok := b.p.channelIndex[channel]
	if !ok {
		return ""
	}
	switch b.paying[i] {
	case PaysStore:
		return store
	case PaysDelivery:
		return b.p.cityOfDivision(delivery)
	case PaysClaimant:
		return claimant
	default:
		return merchant
	}
}

// cityOfDivision returns the city a division belongs to: the first four digits and "00".
func (p *Programme) cityOfDivision(division string) string {
	if len(division) != 6 {
		return ""
	}
	for i := range p.Cities {
		if p.Cities[i].Code[:4] == division[:4] {
			return p.Cities[i].Code
		}
	}
	return ""
}

// LeafAt returns the leaf that pays at an instant. At most one round of a leaf is open at a time. Without one the code
// says why: BudgetUnknown when there is no leaf at all, RoundClosed when none is open.
func (b *Budget) LeafAt(city, channel, category string, at int64) (*BudgetNode, reason.Code) {
	cityAt, okCity := b.p.cityIndex[city]
	channelAt, okChannel := b.p.channelIndex[channel]
	categoryAt, okCategory := b.p.categoryIndex[category]
	if !okCity || !okChannel || !okCategory {
		return nil, reason.BudgetUnknown
	}
	leaves := b.leaves[b.p.cell(cityAt, channelAt, categoryAt)]
	if len(leaves) == 0 {
		return nil, reason.BudgetUnknown
	}
	for _, i := range leaves {
		if r := &b.Rounds[b.Nodes[i].Round]; at >= r.Open && at < r.Close {
			return &b.Nodes[i], reason.None
		}
	}
	return nil, reason.RoundClosed
}

// ReleasedAt returns how much of a leaf's amount has been released up to an instant by its plan.
func (b *Budget) ReleasedAt(n *BudgetNode, at int64) money.Amount {
	r := &b.Rounds[n.Round]
	switch {
	case at < r.Open:
		return 0
	case n.Daily != nil:
		first := dayOf(r.Open)
		if startOf(first)+int64(n.Daily.Second)*second < r.Open {
			first++
		}
		last := dayOf(min(at, r.Close-1))
		if startOf(last)+int64(n.Daily.Second)*second > at {
			last--
		}
		days := max(last-first+1, 0)
		if days >= int64(n.Amount/n.Daily.Amount)+1 {
			return n.Amount
		}
		return money.Min(n.Amount, n.Daily.Amount*money.Amount(days))
	case len(n.Releases) > 0:
		var sum money.Amount
		for _, release := range n.Releases {
			if release.At <= at {
				sum += release.Amount
			}
		}
		return sum
	default:
		return n.Amount
	}
}
