package policy

import (
	"fmt"
	"slices"

	"huanxin/internal/money"
	"huanxin/subsidy/catalogue"
)

// readRates reads a rate table. The first row that fits decides, so a row behind one that fits whatever it fits can
// never decide and is a problem.
func (c *compiler) readRates(n node) func(*Rule) {
	items := n.sequence()
	if len(items) == 0 {
		n.problem("want at least one row")
		return nil
	}
	var rates []Rate
	ok := true
	for _, item := range items {
		rate, falls, good := c.readRate(item)
		ok = ok && good
		if !good {
			continue
		}
		for i := range rates {
			if covers(&rates[i], &rate) {
				item.problem("never decides: the row in line %d fits first", rates[i].Origin.Line)
				ok = false
			}
		}
		if at, fall := fallsAt(rate.Bands); fall && !falls {
			item.problem("a dearer item gets less from %s yuan on: say `may_fall: true` if that is meant", rate.Bands[at].From)
			ok = false
		}
		rates = append(rates, rate)
	}
	return when(ok, func(r *Rule) { r.Rates = rates })
}

func (c *compiler) readRate(n node) (rate Rate, mayFall, ok bool) {
	b, ok := n.block()
	if !ok {
		return rate, false, false
	}
	rate.Origin = b.origin()
	if v, found := b.take("grade"); found {
		for _, item := range v.list() {
			text, _ := item.text()
			grade, err := catalogue.ParseGrade(text)
			if err != nil {
				item.problem("%v", err)
				ok = false
			}
			rate.Grades = append(rate.Grades, grade)
		}
	}
	if v, found := b.take("label"); found {
		labels := []catalogue.Label{catalogue.LabelEnergy, catalogue.LabelWater, catalogue.LabelNone}
		for _, item := range v.list() {
			i, good := item.choice("energy", "water", "none")
			rate.Labels = append(rate.Labels, labels[i])
			ok = ok && good
		}
	}
	if v, found := b.take("attributes"); found {
		good := readAttributes(v, &rate)
		ok = ok && good
	}
	if v, found := b.take("old_item"); found {
		var good bool
		rate.OldItems, good = readWords(v, c.oldItems, "old item")
		ok = ok && good
	}
	if v, found := b.take("may_fall"); found {
		var good bool
		mayFall, good = v.boolean()
		ok = ok && good
	}
	ok = readBands(b, &rate) && ok
	b.end()
	return rate, mayFall, ok
}

func readAttributes(n node, rate *Rate) bool {
	b, ok := n.block()
	if !ok {
		return false
	}
	for i, key := range b.keys {
		if b.seen[i] {
			continue
		}
		v, _ := b.take(key.Value)
		value, good := v.code()
		ok = ok && good && catalogue.IsCode(key.Value)
		if !catalogue.IsCode(key.Value) {
			v.problem("want a code of 1–16 letters, digits, - or _ as the name of an attribute")
		}
		rate.Attributes = append(rate.Attributes, catalogue.Attribute{Key: key.Value, Value: value})
	}
	return ok
}

// readBands reads what a row gives: percent, flat, or bands of the base.
func readBands(b *block, rate *Rate) bool {
	percent, hasPercent := b.take("percent")
	flat, hasFlat := b.take("flat")
	bands, hasBands := b.take("bands")
	if count(hasPercent, hasFlat, hasBands) != 1 {
		b.problem("want exactly one of percent, flat and bands")
		return false
	}
	switch {
	case hasPercent:
		points, ok := percent.percent(1)
		rate.Bands = []Band{{BasisPoints: points}}
		return ok
	case hasFlat:
		amount, ok := flat.yuan(1)
		rate.Bands = []Band{{Flat: amount}}
		return ok
	}
	ok := true
	for i, item := range bands.sequence() {
		band, good := readBand(item)
		ok = ok && good
		switch {
		case i == 0 && good && band.From != 0:
			item.problem("the first band must begin at 0")
			ok = false
		case i > 0 && good && band.From <= rate.Bands[i-1].From:
			item.problem("bands must ascend")
			ok = false
		}
		rate.Bands = append(rate.Bands, band)
	}
	if len(rate.Bands) == 0 || len(rate.Bands) > 32 {
		bands.problem("want 1 to 32 bands")
		ok = false
	}
	return ok
}

func readBand(n node) (band Band, ok bool) {
	b, ok := n.block()
	if !ok {
		return band, false
	}
	if v, found := b.need("from"); found {
		band.From, ok = v.yuan(0)
	}
	percent, hasPercent := b.take("percent")
	flat, hasFlat := b.take("flat")
	if hasPercent == hasFlat {
		b.problem("want either percent or flat")
		ok = false
	}
	var good bool
	if hasPercent {
		band.BasisPoints, good = percent.percent(0)
		ok = ok && good
	}
	if hasFlat {
		band.Flat, good = flat.yuan(0)
		ok = ok && good
	}
	b.end()
	return band, ok
}

// fallsAt finds a band that gives less at its beginning than the one before at its end, before caps, by any rounding.
func fallsAt(bands []Band) (at int, falls bool) {
	for i := 1; i < len(bands); i++ {
		for _, r := range []money.Rounding{money.Truncate, money.HalfUp, money.HalfEven} {
			if bands[i].Of(bands[i].From, r) < bands[i-1].Of(bands[i].From-1, r) {
				return i, true
			}
		}
	}
	return 0, false
}

// covers reports whether a fits everything that b fits.
func covers(a, b *Rate) bool {
	return holdsAll(a.Grades, b.Grades) && holdsAll(a.Labels, b.Labels) && holdsAll(a.OldItems, b.OldItems) &&
		!slices.ContainsFunc(a.Attributes, func(x catalogue.Attribute) bool { return !slices.Contains(b.Attributes, x) })
}

// holdsAll compares two conditions of which an empty one is "any".
func holdsAll[T comparable](wide, narrow []T) bool {
	if len(wide) == 0 {
		return true
	}
	return len(narrow) > 0 && !slices.ContainsFunc(narrow, func(x T) bool { return !slices.Contains(wide, x) })
}

func count(flags ...bool) (n int) {
	for _, f := range flags {
		if f {
			n++
		}
	}
	return n
}

// checkRule checks what only a whole rule can show: values of different entries that must fit together.
func (c *compiler) checkRule(r *Rule) {
	category := c.p.Categories[r.index].Code
	at := func(s Setting, format string, args ...any) {
		o := r.Origins[s]
		c.r.add(FilePolicy, o.Line, "%s of category %s: %s", s, category, fmt.Sprintf(format, args...))
	}
	if r.Ceiling.On == CeilingAfter {
		kind := r.component(r.ceilingKind)
		if kind == nil || kind.Role != Discount {
			at(SetCeiling, "%q is not a kind of discount in components", r.ceilingKind)
		} else {
			r.Ceiling.After = kind.Order
		}
	}
	for _, limit := range r.PersonCaps {
		if !limit.Over.Has(r.index) {
			at(SetPersonCaps, "cap %q is not over the category itself", limit.ID)
		}
	}
	if r.Quota.Over != 0 && !r.Quota.Over.Has(r.index) {
		at(SetQuota, "is not over the category itself")
	}
	if r.ItemCap > 0 && r.Minimum > r.ItemCap {
		at(SetMinimum, "%s is above the item cap %s", r.Minimum, r.ItemCap)
	}
	if len(r.OldItem.Kinds) > 0 {
		for i := range r.Rates {
			for _, kind := range r.Rates[i].OldItems {
				if !slices.Contains(r.OldItem.Kinds, kind) {
					at(SetRates, "old item %q is not among the kinds of old_item", kind)
				}
			}
		}
	}
	c.uncapped = c.uncapped || r.ItemCap == 0
	if r.ItemCap == 0 && c.uncappedExample == "" {
		c.uncappedExample = category
	}
}
