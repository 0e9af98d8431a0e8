package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"huanxin/internal/money"
)

// This file writes rules as an operator reads them: in the words and the flow style of policy.yaml.

// list writes "[a, b]".
func list[T any](items []T, text func(T) string) string {
	parts := make([]string, len(items))
	for i := range items {
		parts[i] = text(items[i])
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// pairs writes "{a: b, c: d}" and leaves out what has no value.
func pairs(keysAndValues ...string) string {
	var parts []string
	for i := 0; i+1 < len(keysAndValues); i += 2 {
		if keysAndValues[i+1] != "" {
			parts = append(parts, keysAndValues[i]+": "+keysAndValues[i+1])
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func same(text string) string { return text }

func word[T ~uint8](value T, words ...string) string { return words[value] }

func amountOrNone(a money.Amount) string {
	if a == 0 {
		return "none"
	}
	return a.String()
}

func (p *Programme) setText(s Set) string {
	var codes []string
	for i := range p.Categories {
		if s.Has(i) {
			codes = append(codes, p.Categories[i].Code)
		}
	}
	return list(codes, same)
}

// settingText writes what a rule says by one setting.
func (p *Programme) settingText(r *Rule, s Setting) string {
	switch s {
	case SetOpen:
		return openText(r)
	case SetPauses:
		return list(r.pauses, windowText)
	case SetMode:
		return word(r.Mode, "till", "application")
	case SetRates:
		return list(r.Rates, rateText)
	case SetRounding:
		return word(uint8(r.Rounding), "truncate", "half-up", "half-even")
	case SetMinimum:
		return r.Minimum.String()
	case SetItemCap:
		return amountOrNone(r.ItemCap)
	case SetOrderCap:
		return amountOrNone(r.OrderCap)
	case SetPersonCaps:
		return list(r.PersonCaps, func(c PersonCap) string {
			return pairs("id", c.ID, "amount", c.Amount.String(), "over", p.setText(c.Over))
		})
	case SetQuota:
		return pairs("items", strconv.Itoa(r.Quota.Items), "over", p.setText(r.Quota.Over))
	case SetExclusions:
		return list(r.Exclusions, func(x Exclusion) string { return pairs("id", x.ID, "against", p.setText(x.Against)) })
	case SetCeiling:
		if r.Ceiling.Amount == 0 {
			return "none"
		}
		return pairs("amount", r.Ceiling.Amount.String(), "on", word(r.Ceiling.On, "final", "base", "shelf", "after"),
			"after", r.ceilingKind)
	default:
		return r.text(s)
	}
}

// text is settingText for what names no categories.
func (r *Rule) text(s Setting) string {
	switch s {
	case SetComponents:
		return list(r.Components, componentText)
	case SetOldItem:
		return pairs("required", strconv.FormatBool(r.OldItem.Required), "kinds", list(r.OldItem.Kinds, same))
	case SetPlace:
		return placeText(&r.Place)
	case SetPlaceCities:
		if r.Place.Cities != ListedCities {
			return word(r.Place.Cities, "province", "merchant")
		}
		return list(r.Place.Listed, func(code uint32) string { return strconv.FormatUint(uint64(code), 10) })
	case SetDelivery:
		d := &r.Delivery
		if d.Address == NotAsked {
			return "{address: none}"
		}
		return pairs("address", needText(d.Address), "outside", actionText(d.Outside), "missing", actionText(d.Missing))
	case SetEvidence:
		e := &r.Evidence
		return pairs("serial", string(e.Serial), "documents", list(e.Documents, same), "days", strconv.Itoa(e.Days))
	case SetRefund:
		f := &r.Refund
		return pairs("window_days", strconv.Itoa(f.Window), "same_day", restoreText(f.SameDay), "later", restoreText(f.Later),
			"activated", restoreText(f.Activated), "partial", strconv.FormatBool(f.Partial))
	case SetClaimHours:
		return hoursText(r.Claim.Hours)
	case SetClaimLimit:
		return pairs("claims", strconv.Itoa(r.Claim.Limit), "active", strconv.Itoa(r.Claim.Active))
	case SetClaimValidity:
		if r.Claim.Days > 0 {
			return pairs("calendar_days", strconv.Itoa(r.Claim.Days))
		}
		return pairs("hours", strconv.FormatInt(int64(r.Claim.Validity/time.Hour), 10))
	case SetIDKinds:
		return list(r.Claim.IDKinds, same)
	case SetFunding:
		return list(r.Funding, func(s Share) string {
			return pairs("payer", s.Payer, "share", strconv.FormatInt(s.Weight, 10))
		})
	case SetHold:
		return strconv.FormatInt(int64(r.Hold/time.Second), 10)
	case SetCodeLife:
		return strconv.FormatInt(int64(r.CodeLife/time.Second), 10)
	}
	panic("setting without a text: " + s.String())
}

// openText names every level that says something, since each of them must be open.
func openText(r *Rule) string {
	names := [levelCount]string{"programme", "city", "channel", "category", "merchant"}
	var parts []string
	for l := range r.open {
		switch o := &r.open[l]; {
		case o.Closed:
			parts = append(parts, names[l]+": closed")
		case len(o.Windows) > 0 || o.Hours != Hours{}:
			text := ""
			if len(o.Windows) > 0 {
				text = list(o.Windows, windowText)
			}
			hours := ""
			if o.Hours != (Hours{}) {
				hours = hoursText(o.Hours)
			}
			parts = append(parts, names[l]+": "+pairs("windows", text, "hours", hours))
		}
	}
	if len(parts) == 0 {
		return "open"
	}
	return strings.Join(parts, ", ")
}

func windowText(w Window) string {
	to := ""
	if w.To != forEver {
		to = instantText(w.To)
	}
	return pairs("from", instantText(w.From), "to", to)
}

func hoursText(h Hours) string {
	if h == (Hours{}) {
		return "always"
	}
	return clockText(h.From) + "-" + clockText(h.To)
}

func clockText(second int32) string { return fmt.Sprintf("%02d:%02d", second/3600, second/60%60) }

func rateText(r Rate) string {
	grades, labels, attributes, old := "", "", "", ""
	if len(r.Grades) > 0 {
		grades = list(r.Grades, func(g uint8) string {
			if g == 0 {
				return "none"
			}
			return strconv.Itoa(int(g))
		})
	}
	if len(r.Labels) > 0 {
		parts := make([]string, len(r.Labels))
		for i := range r.Labels {
			parts[i] = string(r.Labels[i])
		}
		labels = list(parts, same)
	}
	if len(r.Attributes) > 0 {
		parts := make([]string, len(r.Attributes))
		for i, a := range r.Attributes {
			parts[i] = a.Key + ": " + a.Value
		}
		attributes = "{" + strings.Join(parts, ", ") + "}"
	}
	if len(r.OldItems) > 0 {
		old = list(r.OldItems, same)
	}
	if len(r.Bands) == 1 {
		return pairs("grade", grades, "label", labels, "attributes", attributes, "old_item", old, bandKey(r.Bands[0]),
			bandValue(r.Bands[0]))
	}
	bands := list(r.Bands, func(b Band) string { return pairs("from", b.From.String(), bandKey(b), bandValue(b)) })
	return pairs("grade", grades, "label", labels, "attributes", attributes, "old_item", old, "bands", bands)
}

func bandKey(b Band) string {
	if b.Flat > 0 {
		return "flat"
	}
	return "percent"
}

func bandValue(b Band) string {
	if b.Flat > 0 {
		return b.Flat.String()
	}
	if b.BasisPoints%100 == 0 {
		return strconv.FormatInt(b.BasisPoints/100, 10)
	}
	return fmt.Sprintf("%d.%02d", b.BasisPoints/100, b.BasisPoints%100)
}

func componentText(k ComponentRule) string {
	return pairs("kind", k.Kind, "role", word(k.Role, "discount", "payment", "charge"), "payer", k.Payer,
		"order", strconv.Itoa(int(k.Order)), "in_base", strconv.FormatBool(k.InBase))
}

func needText(n Need) string { return word(n, "required", "optional", "none") }

func actionText(a Action) string { return word(a, "refuse", "mark", "allow") }

func restoreText(r Restore) string { return word(r, "at-once", "next-day", "never") }

func placeText(r *PlaceRule) string {
	if r.Position == NotAsked {
		return "{position: none}"
	}
	return pairs("position", needText(r.Position), "max_age_seconds", strconv.FormatInt(int64(r.MaxAge/time.Second), 10),
		"outside", actionText(r.Outside), "missing", actionText(r.Missing), "stale", actionText(r.Stale), "other_city", actionText(r.OtherCity))
}

func (p *Programme) validityText(v *Version) string {
	grandfather := "none"
	if v.Grandfather != 0 {
		grandfather = instantText(v.Grandfather)
	}
	return pairs("from", instantText(v.From), "to", instantText(v.To), "grandfather", grandfather)
}

func decidesText(i Instant) string { return word(i, "reserve", "claim") }

func levelsText(levels []Level) string {
	return list(levels, func(l Level) string { return string(l) })
}

func claimReserveText(c ClaimReserve) string { return word(c, "none", "cap") }

func (p *Programme) payingText() string {
	var parts []string
	for i := range p.Channels {
		parts = append(parts, p.Channels[i].Code, word(p.Budget.paying[i], "merchant", "store", "delivery", "claimant"))
	}
	return pairs(parts...)
}

func roundText(r *Round) string {
	carry := "parent"
	if r.CarryOver {
		carry = "next"
	}
	return pairs("open", instantText(r.Open), "close", instantText(r.Close), "carry_over", carry)
}

func nodeText(n *BudgetNode) string {
	text := n.Amount.String()
	if len(n.Releases) > 0 {
		text += " releases " + list(n.Releases, func(r Release) string {
			return pairs("at", instantText(r.At), "amount", r.Amount.String())
		})
	}
	if d := n.Daily; d != nil {
		text += " daily " + pairs("amount", d.Amount.String(), "at", clockText(d.Second), "carry_over",
			strconv.FormatBool(d.CarryOver))
	}
	return text
}

// Text writes a change in one line: what, where, before → after.
func (c *Change) Text() string {
	var b strings.Builder
	b.WriteString(c.What)
	for _, part := range []string{c.Version, c.Setting, c.Name} {
		if part != "" {
			b.WriteString(" " + part)
		}
	}
	if c.What == ChangedBudgetNode && c.Name == "" {
		b.WriteString(` ""`)
	}
	if c.Against != "" && c.Against != c.Version {
		b.WriteString(" (against " + c.Against + ")")
	}
	if s := c.Scope; s != nil {
		b.WriteString(fmt.Sprintf(" city %s channel %s category %s", orAll(s.Cities), orAll(s.Channels), orAll(s.Categories)))
	}
	if c.Merchant != "" {
		b.WriteString(" merchant " + c.Merchant)
	}
	return b.String() + ": " + orDash(c.Before) + " → " + orDash(c.After)
}

func orAll(codes []string) string {
	if len(codes) == 0 {
		return "*"
	}
	return strings.Join(codes, "|")
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
