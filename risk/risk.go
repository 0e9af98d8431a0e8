// Package risk judges a purchase before anything is held: Check has its place in the decision after policy and before
// the hold, and what it refuses is refused with reasons.
//
// It judges the place of the purchase (D6). It keeps no state, reads no clock and knows no policy file: the engine hands
// it the rule in force, the position bound to the purchase and the map.
//
// The contract: positions are WGS-84 (geo.ToWGS84 first), instants are Unix nanoseconds, and the same Purchase at the
// same instant gets the same Verdict.
package risk

import (
	"huanxin/risk/geo"
	"huanxin/subsidy/reason"
)

// Purchase is what is known when a subsidy is asked for.
type Purchase struct {
	// Rule is the place rule of the policy version in force.
	Rule *PlaceRule
	// Map is the programme's province. It is required when Rule is.
	Map *geo.Map
	// Position is the phone's position bound to the one-time code, or the one in the message.
	Position Position
	// MerchantCity is the division code of the store.
	MerchantCity uint32
}

// Verdict is the outcome of Check. Slices are nil when empty; both are in ascending order.
type Verdict struct {
	// Refused are the reasons why the subsidy must not be given.
	Refused []reason.Code
	// Marks are findings that do not refuse, for review.
	Marks []reason.Code
	// City is the city that the position counts for, 0 when it lies in none or there is no position.
	City uint32
}

// Passed reports whether nothing was refused.
func (v *Verdict) Passed() bool { return len(v.Refused) == 0 }

// Check judges p at the instant now (Unix nanoseconds). It allocates only for a finding.
func Check(now int64, p *Purchase) Verdict {
	var v Verdict
	if p.Rule != nil {
		p.Rule.check(now, p, &v)
	}
	return v
}

// find records one finding under the action that the rule gives it.
func (v *Verdict) find(code reason.Code, do Action) {
	switch do {
	case Refuse:
		v.Refused = append(v.Refused, code)
	case Mark:
		v.Marks = append(v.Marks, code)
	case Allow:
	}
}
