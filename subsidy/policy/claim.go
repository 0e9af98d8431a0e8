package policy

import (
	"slices"
	"time"

	"huanxin/internal/money"
	"huanxin/subsidy/reason"
)

// ClaimRule says how a qualification is claimed.
type ClaimRule struct {
	Hours    Hours         // hours of the day in which claims are taken
	Limit    int           // how often one person may claim one category
	Active   int           // how many unused entitlements of one category a person may have at a time
	Validity time.Duration // how long a claim lives, when Days is 0
	Days     int           // calendar days (Asia/Shanghai) a claim lives, the day of the claim counted
	IDKinds  []string      // identity documents that may claim
}

// Expires returns when a claim made at an instant ends.
func (c *ClaimRule) Expires(at int64) int64 {
	if c.Days > 0 {
		return startOf(dayOf(at) + int64(c.Days))
	}
	return at + int64(c.Validity)
}

// ClaimRequest is one person's wish for a qualification.
type ClaimRequest struct {
	At       int64 // Unix nanoseconds
	City     string
	Channel  string
	Category string
	IDKind   string
	Claims   int // how often this person has claimed this category before
	Active   int // unused entitlements of this category the person has now
	Usage    []CategoryUse
}

// ClaimDecision answers it.
type ClaimDecision struct {
	Version   string
	ExpiresAt int64
	Reserve   money.Amount  // to be taken from the budget now; 0 with `claim_reserves: none`
	Refused   []reason.Code // all reasons, ascending; empty = granted
	Rule      *Rule         // nil when city, channel, category or instant is unknown
}

// DecideClaim decides one claim. Categories that are paid on application can be claimed: the qualification is what the
// application later names.
func (p *Programme) DecideClaim(r *ClaimRequest, d *ClaimDecision) {
	*d = ClaimDecision{Refused: d.Refused[:0]}
	v := p.VersionAt(r.At)
	if v == nil {
		d.Refused = append(d.Refused, reason.ProgrammeNotOpen)
		return
	}
	d.Version = v.ID
	rule, refused := p.find(v, r.City, r.Channel, r.Category, "", d.Refused)
	d.Refused = refused
	if rule == nil {
		slices.Sort(d.Refused)
		return
	}
	d.Rule = rule
	d.Refused = rule.judgeOpen(r.At, d.Refused)
	person := p.stand(rule, r.Usage)
	d.Refused = rule.judgePerson(&person, d.Refused)
	c := &rule.Claim
	if !c.Hours.hold(r.At) {
		d.Refused = append(d.Refused, reason.ClaimClosed)
	}
	if r.Claims >= c.Limit {
		d.Refused = append(d.Refused, reason.ClaimLimit)
	}
	if r.Active >= c.Active {
		d.Refused = append(d.Refused, reason.ClaimActive)
	}
	if !slices.Contains(c.IDKinds, r.IDKind) {
		d.Refused = append(d.Refused, reason.PersonNotEligible)
	}
	if p.Budget.ClaimReserves == ReserveCap {
		d.Reserve = rule.ItemCap
		if rule.OrderCap > 0 {
			d.Reserve = money.Min(d.Reserve, rule.OrderCap)
		}
		if len(rule.PersonCaps) > 0 {
			d.Reserve = money.Min(d.Reserve, person.left)
		}
	}
	if len(d.Refused) > 0 {
		d.Reserve = 0
		slices.Sort(d.Refused)
		d.Refused = slices.Compact(d.Refused)
		return
	}
	d.ExpiresAt = min(c.Expires(r.At), p.end)
}
