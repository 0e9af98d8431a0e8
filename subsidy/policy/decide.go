package policy

import (
	"math"
	"slices"
	"time"

	"huanxin/internal/money"
	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/reason"
)

// Request is all that a decision depends on.
type Request struct {
	At      int64 // reserve instant, Unix nanoseconds
	ClaimAt int64 // instant of the claim, 0 = no claim known

	City     string // whose policy applies (GB/T 2260)
	Channel  string
	Category string
	Merchant string // "" = none: no merchant override applies

	Grade      uint8 // efficiency grade, 0 = none
	Label      catalogue.Label
	Attributes []catalogue.Attribute
	OldItem    string // kind of the old item handed in, "" = none

	Price        money.Amount // final price: after all discounts, before the subsidy
	Components   []Component
	Usage        []CategoryUse // all that the person has used or holds, any category
	OrderSubsidy money.Amount  // given in this order before
}

// CategoryUse is what a person has used or holds of one category.
type CategoryUse struct {
	Category string // a category that the programme does not know counts for nothing
	Items    int
	Subsidy  money.Amount
}

// Limit names what kept a subsidy below what the rate gives.
type Limit uint8

const (
	LimitNone Limit = iota
	LimitItem
	LimitOrder
	LimitPerson
)

// Part is one payer's part of a subsidy.
type Part struct {
	Payer  string
	Amount money.Amount
}

// Decision answers a Request. It is reused: slices keep their capacity, everything else is set anew.
type Decision struct {
	Version string        // "" when no version was valid
	Refused []reason.Code // all reasons, ascending; empty = granted
	Base    money.Amount  // what the rate is applied to
	Subsidy money.Amount  // 0 when refused
	Payable money.Amount  // what is left to pay now; the price when refused
	Parts   []Part        // sum to Subsidy exactly; empty when refused

	// How it came about, for explanations.
	Rate    *Rate        // the row that fitted, nil = none
	Raw     money.Amount // what the rate gave before the caps
	Limited Limit        // the cap that decided

	// What the caller needs next. Rule is nil only when version, city, channel or category is unknown (then Refused says
	// so); the others point into it.
	Rule     *Rule
	Place    *PlaceRule
	Delivery *DeliveryRule
	Evidence *EvidenceRule
	Refund   *RefundRule
	Hold     time.Duration
	CodeLife time.Duration

	amounts []money.Amount // scratch of the split
}

// MaxComponents bounds the components of one request; more are refused as COMPONENT_NOT_ALLOWED.
const MaxComponents = 32

// Decide decides one reserve. It never fails: bad input is a refusal with its reason.
func (p *Programme) Decide(r *Request, d *Decision) {
	*d = Decision{Refused: d.Refused[:0], Parts: d.Parts[:0], amounts: d.amounts[:0], Payable: r.Price}
	v := p.decidingVersion(r.At, r.ClaimAt)
	if v == nil {
		d.Refused = append(d.Refused, reason.ProgrammeNotOpen)
		return
	}
	d.Version = v.ID
	rule, refused := p.find(v, r.City, r.Channel, r.Category, r.Merchant, d.Refused)
	d.Refused = refused
	if rule == nil {
		slices.Sort(d.Refused)
		return
	}
	d.Rule, d.Place, d.Delivery, d.Evidence, d.Refund = rule, &rule.Place, &rule.Delivery, &rule.Evidence, &rule.Refund
	d.Hold, d.CodeLife = rule.Hold, rule.CodeLife

	d.Refused = rule.judgeOpen(r.At, d.Refused)
	if rule.Mode == Application {
		d.Refused = append(d.Refused, reason.ApplicationOnly)
	}
	if rule.OldItem.missing(r.OldItem) {
		d.Refused = append(d.Refused, reason.OldItemMissing)
	}
	person := p.stand(rule, r.Usage)
	d.Refused = rule.judgePerson(&person, d.Refused)
	if d.Rate = rule.rateFor(r); d.Rate == nil {
		d.Refused = append(d.Refused, reason.GradeNotEligible)
	}
	sums, ok := rule.addUp(r, d)
	if ok && d.Rate != nil {
		rule.apply(r, d, &person, sums.payments)
	}
	if len(d.Refused) > 0 {
		d.Subsidy, d.Payable = 0, r.Price
		slices.Sort(d.Refused)
		d.Refused = slices.Compact(d.Refused)
		return
	}
	d.Payable = r.Price - sums.payments - d.Subsidy
	rule.share(d)
}

// decidingVersion picks the version: by the instant that the programme names, with the grandfathering of claims.
func (p *Programme) decidingVersion(at, claimAt int64) *Version {
	now := p.VersionAt(at)
	if claimAt == 0 || claimAt > at {
		return now
	}
	claimed := p.VersionAt(claimAt)
	if claimed == nil || claimed == now {
		return now
	}
	if p.Decides == DecidedAtClaim && claimed.Grandfather == 0 || at < claimed.Grandfather {
		return claimed
	}
	return now
}

// find looks the rule up; each of city, channel and category that the programme does not know is a refusal.
func (p *Programme) find(v *Version, city, channel, category, merchant string, refused []reason.Code) (*Rule, []reason.Code) {
	cityAt, okCity := p.cityIndex[city]
	channelAt, okChannel := p.channelIndex[channel]
	categoryAt, okCategory := p.categoryIndex[category]
	if !okCity {
		refused = append(refused, reason.CityNotOpen)
	}
	if !okChannel {
		refused = append(refused, reason.ChannelNotOpen)
	}
	if !okCategory {
		refused = append(refused, reason.CategoryNotOpen)
	}
	if !okCity || !okChannel || !okCategory {
		return nil, refused
	}
	return v.rule(p.cell(cityAt, channelAt, categoryAt), merchant), refused
}

func (v *Version) rule(cell int, merchant string) *Rule {
	if merchant != "" {
		if own, ok := v.merchants[merchant]; ok {
			return &v.rules[own[cell]]
		}
	}
	return &v.rules[v.cells[cell]]
}

// closedReason is the refusal of each level of the scope that does not take part.
var closedReason = [levelCount]reason.Code{
	reason.ProgrammeNotOpen, reason.CityNotOpen, reason.ChannelNotOpen, reason.CategoryNotOpen, reason.MerchantNotInScheme,
}

// judgeOpen appends why the rule does not take part at an instant. Every level must be open: a city cannot reopen a
// category that is closed, nor the other way round.
func (r *Rule) judgeOpen(at int64, refused []reason.Code) []reason.Code {
	for level := range r.open {
		if !r.open[level].holds(at) {
			refused = append(refused, closedReason[level])
		}
	}
	for _, w := range r.pauses {
		if w.holds(at) {
			return append(refused, reason.Paused)
		}
	}
	return refused
}

// standing is what a person's use so far means for one rule.
type standing struct {
	items int          // counted by the quota
	used  Set          // categories used at all
	left  money.Amount // what the tightest cap per person leaves; meaningless without a cap
}

// stand adds up the person's use.
func (p *Programme) stand(r *Rule, usage []CategoryUse) standing {
	var s standing
	for i := range usage {
		u := &usage[i]
		at, ok := p.categoryIndex[u.Category]
		if !ok || u.Items <= 0 {
			continue
		}
		s.used |= 1 << uint(at)
		if r.Quota.Over.Has(at) {
			s.items += u.Items
		}
	}
	if len(r.PersonCaps) == 0 {
		return s
	}
	s.left = math.MaxInt64
	for i := range r.PersonCaps {
		s.left = min(s.left, p.leftOf(&r.PersonCaps[i], usage))
	}
	return s
}

// leftOf returns what one cap leaves, 0 at least.
func (p *Programme) leftOf(c *PersonCap, usage []CategoryUse) money.Amount {
	left := c.Amount
	for i := range usage {
		u := &usage[i]
		if at, ok := p.categoryIndex[u.Category]; !ok || u.Subsidy <= 0 || !c.Over.Has(at) {
			continue
		}
		if u.Subsidy >= left {
			return 0
		}
		left -= u.Subsidy
	}
	return left
}

// judgePerson appends what the person's use so far rules out.
func (r *Rule) judgePerson(s *standing, refused []reason.Code) []reason.Code {
	if s.items >= r.Quota.Items {
		refused = append(refused, reason.QuotaUsed)
	}
	for i := range r.Exclusions {
		if s.used&r.Exclusions[i].Against != 0 {
			refused = append(refused, reason.ExclusionGroup)
			break
		}
	}
	if len(r.PersonCaps) > 0 && s.left <= 0 {
		refused = append(refused, reason.PersonCapReached)
	}
	return refused
}

func (o *OldItemRule) missing(kind string) bool {
	return o.Required && (kind == "" || len(o.Kinds) > 0 && !slices.Contains(o.Kinds, kind))
}
