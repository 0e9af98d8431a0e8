package policy

import (
	"time"

	"huanxin/internal/money"
	"huanxin/subsidy/catalogue"
)

// Version is the policy between two instants.
type Version struct {
	ID          string
	From, To    int64 // validity [From, To), Unix nanoseconds
	Grandfather int64 // claims made under it keep it for reserves before this instant; 0 = they do not
	Origin      Origin

	rules     []Rule
	cells     []int32            // city × channel × category → rule
	merchants map[string][]int32 // the same for merchants with entries of their own
}

// Rule is all that holds for one city, channel, category and merchant: every value with its origin.
type Rule struct {
	Mode       Mode
	Rates      []Rate // the first row that fits decides
	Rounding   money.Rounding
	Minimum    money.Amount // at least one fen
	ItemCap    money.Amount // 0 = none
	OrderCap   money.Amount // 0 = none
	PersonCaps []PersonCap
	Quota      Quota
	Exclusions []Exclusion
	Ceiling    Ceiling
	Components []ComponentRule // the kinds a till may send; any other is refused
	OldItem    OldItemRule
	Place      PlaceRule
	Delivery   DeliveryRule
	Evidence   EvidenceRule
	Refund     RefundRule
	Claim      ClaimRule
	Funding    []Share
	Hold       time.Duration // how long a hold lives
	CodeLife   time.Duration // how long a code shown at the till lives

	Origins [settingCount]Origin // by Setting; the zero Origin for what no entry sets

	open    [levelCount]Opening
	pauses  []Window
	weights []int64 // of Funding
	index   int     // own category

	ceilingKind string // with CeilingAfter: the kind whose order Ceiling.After is
}

// Origin returns where the value of a setting was written.
func (r *Rule) Origin(s Setting) Origin { return r.Origins[s] }

// Mode says when the money is given.
type Mode uint8

const (
	Till        Mode = iota // taken off the price when buying
	Application             // paid to the consumer after an application is reviewed
)

// Set is a set of category indexes.
type Set uint64

// Has reports whether category index i is in s.
func (s Set) Has(i int) bool { return s>>uint(i)&1 == 1 }

// PersonCap bounds what one person may be given over a set of categories.
type PersonCap struct {
	ID     string
	Amount money.Amount
	Over   Set
}

// Quota bounds how many items one person may be given over a set of categories, the category itself by default.
type Quota struct {
	Items int
	Over  Set
}

// Exclusion names categories whose use shuts this one out, under the id of the exclusion group.
type Exclusion struct {
	ID      string
	Against Set
}

// Ceiling is the price above which nothing is given. The zero Ceiling is none.
type Ceiling struct {
	Amount money.Amount
	On     CeilingPrice
	After  int32 // with CeilingAfter: discounts up to this order are taken off, later ones are not
}

// CeilingPrice says which price a ceiling is tested on.
type CeilingPrice uint8

const (
	CeilingFinal CeilingPrice = iota // the price that the till sends
	CeilingBase                      // what the rate is applied to
	CeilingShelf                     // before every discount
	CeilingAfter                     // after discounts up to one kind
)

// ComponentRole says what a component does to the price.
type ComponentRole uint8

const (
	// Discount was taken off before the till's price: shelf price = price + discounts.
	Discount ComponentRole = iota
	// Payment settles a part of the price by other means, such as a trade-in credit or a prior payment: the payable
	// shrinks by it.
	Payment
	// Charge is a part of the price that is not for the product, such as installation: the buyer pays it.
	Charge
)

// ComponentRule is one kind of component that a till may send.
type ComponentRule struct {
	Kind   string
	Role   ComponentRole
	Payer  string // merchant, maker, platform, bank, consumer
	Order  int32  // position in the stacking, from 1; equal orders stand side by side
	InBase bool   // discount: added back to the base; payment, charge: left in the base
}

// Component is one part of how a price came about, or how it is paid, as the till sends it.
type Component struct {
	Kind   string
	Amount money.Amount // 0 or more
}

// OldItemRule says whether an old item must be handed in.
type OldItemRule struct {
	Required bool
	Kinds    []string // kinds that count; empty = any
}

// EvidenceRule says what proves a purchase.
type EvidenceRule struct {
	Serial    catalogue.SerialKind // number the till must send
	Documents []string             // what the dossier must hold, by document code
	Days      int                  // days after the sale within which the dossier must be complete
}

// Share is one payer of the subsidy and its weight.
type Share struct {
	Payer  string
	Weight int64
}

// Setting names one value that an entry of policy.yaml can set.
type Setting uint8

// The settings, in the order in which explanations show them.
const (
	SetOpen Setting = iota
	SetPauses
	SetMode
	SetRates
	SetRounding
	SetMinimum
	SetItemCap
	SetOrderCap
	SetPersonCaps
	SetQuota
	SetExclusions
	SetCeiling
	SetComponents
	SetOldItem
	SetPlace
	SetPlaceCities
	SetDelivery
	SetEvidence
	SetRefund
	SetClaimHours
	SetClaimLimit
	SetClaimValidity
	SetIDKinds
	SetFunding
	SetHold
	SetCodeLife
	settingCount
)

var settingNames = [settingCount]string{
	"open", "pauses", "mode", "rates", "rounding", "minimum_subsidy", "item_cap", "order_cap", "person_caps", "quota",
	"exclusions", "price_ceiling", "components", "old_item", "place", "place_cities", "delivery", "evidence", "refund",
	"claim_hours", "claim_limit", "claim_validity", "id_kinds", "funding", "hold_seconds", "code_seconds",
}

// String returns the key that sets it in policy.yaml.
func (s Setting) String() string { return settingNames[s] }
