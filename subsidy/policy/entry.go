package policy

import (
	"slices"
	"time"

	"huanxin/internal/money"
	"huanxin/subsidy/catalogue"
)

// readEntry reads one item of a version's rules.
func (c *compiler) readEntry(n node) *entry {
	b, ok := n.block()
	if !ok {
		return nil
	}
	e := &entry{line: n.y.Line}
	scope, found := b.take("scope")
	if !found {
		b.problem("key \"scope\" is missing: name city, channel, category or merchant, or say `scope: programme`")
	}
	c.readScope(e, scope, found)
	if v, ok := b.take("override"); ok {
		e.override, _ = v.boolean()
	}
	any := false
	for s := range settingCount {
		v, ok := b.take(s.String())
		if !ok {
			continue
		}
		any = true
		if s == SetRounding && e.level != levelProgramme {
			v.problem("can be set for the whole programme only: there is one rounding step")
		}
		if set := c.readSetting(s, v); set != nil {
			e.set[s] = set
			e.origins[s] = v.origin()
		}
	}
	if !any {
		b.problem("the entry sets nothing")
	}
	b.end()
	return e
}

// readSetting returns what an entry does to a rule, or nil when the value is wrong.
func (c *compiler) readSetting(s Setting, n node) func(*Rule) {
	switch s {
	case SetOpen:
		return readOpen(n)
	case SetPauses:
		return readPauses(n)
	case SetMode:
		mode, ok := n.choice("till", "application")
		return when(ok, func(r *Rule) { r.Mode = Mode(mode) })
	case SetRates:
		return c.readRates(n)
	case SetRounding:
		i, ok := n.choice("truncate", "half-up", "half-even")
		return when(ok, func(r *Rule) { r.Rounding = money.Rounding(i) })
	case SetMinimum:
		a, ok := n.yuan(1)
		return when(ok, func(r *Rule) { r.Minimum = a })
	case SetItemCap:
		return readCap(n, func(r *Rule, a money.Amount) { r.ItemCap = a })
	case SetOrderCap:
		return readCap(n, func(r *Rule, a money.Amount) { r.OrderCap = a })
	case SetPersonCaps:
		return c.readPersonCaps(n)
	case SetQuota:
		return c.readQuota(n)
	case SetExclusions:
		return c.readExclusions(n)
	case SetCeiling:
		return readCeiling(n)
	case SetComponents:
		return readComponents(n)
	case SetOldItem:
		return c.readOldItem(n)
	case SetPlace:
		return readPlace(n)
	case SetPlaceCities:
		return c.readPlaceCities(n)
	case SetDelivery:
		return readDelivery(n)
	case SetEvidence:
		return c.readEvidence(n)
	case SetRefund:
		return readRefund(n)
	case SetClaimHours:
		h, ok := n.hours()
		return when(ok, func(r *Rule) { r.Claim.Hours = h })
	case SetClaimLimit:
		return readClaimLimit(n)
	case SetClaimValidity:
		return readClaimValidity(n)
	case SetIDKinds:
		kinds, ok := readWords(n, c.idKinds, "identity document")
		return when(ok, func(r *Rule) { r.Claim.IDKinds = kinds })
	case SetFunding:
		return readFunding(n)
	case SetHold:
		v, ok := n.integer(10, 3600)
		return when(ok, func(r *Rule) { r.Hold = time.Duration(v) * time.Second })
	case SetCodeLife:
		v, ok := n.integer(10, 600)
		return when(ok, func(r *Rule) { r.CodeLife = time.Duration(v) * time.Second })
	}
	panic("setting without a reader: " + s.String())
}

func when(ok bool, set func(*Rule)) func(*Rule) {
	if !ok {
		return nil
	}
	return set
}

// none takes the word "none" where a value may be absent, with its origin.
func (n node) none() bool {
	if !n.isText("none") {
		return false
	}
	n.origin()
	return true
}

func readOpen(n node) func(*Rule) {
	var o Opening
	if n.isText("true") || n.isText("false") {
		open, ok := n.boolean()
		o.Closed = !open
		return when(ok, func(r *Rule) { r.open[0] = o })
	}
	b, ok := n.block()
	if !ok {
		return nil
	}
	if v, found := b.take("windows"); found {
		for _, item := range v.sequence() {
			w, good := readWindow(item, false)
			ok = ok && good
			o.Windows = append(o.Windows, w)
		}
		if len(o.Windows) == 0 {
			v.problem("the list is empty: say `open: false`")
			ok = false
		}
	}
	if v, found := b.take("hours"); found {
		var good bool
		o.Hours, good = v.hours()
		ok = ok && good
	}
	b.end()
	if ok && len(o.Windows) == 0 && o.Hours == (Hours{}) {
		b.problem("names neither windows nor hours: say true or false")
		ok = false
	}
	return when(ok, func(r *Rule) { r.open[0] = o })
}

func readPauses(n node) func(*Rule) {
	var windows []Window
	ok := true
	for _, item := range n.sequence() {
		w, good := readWindow(item, false)
		ok = ok && good
		windows = append(windows, w)
	}
	return when(ok, func(r *Rule) { r.pauses = append(slices.Clip(r.pauses), windows...) })
}

func readCap(n node, set func(*Rule, money.Amount)) func(*Rule) {
	if n.none() {
		return func(r *Rule) { set(r, 0) }
	}
	a, ok := n.yuan(1)
	return when(ok, func(r *Rule) { set(r, a) })
}

func (c *compiler) readPersonCaps(n node) func(*Rule) {
	if n.none() {
		return func(r *Rule) { r.PersonCaps = nil }
	}
	var caps []PersonCap
	ok := true
	for _, item := range n.sequence() {
		b, good := item.block()
		if !good {
			return nil
		}
		var limit PersonCap
		if v, found := b.need("id"); found {
			limit.ID, good = v.code()
			ok = ok && good
		}
		if v, found := b.need("amount"); found {
			limit.Amount, good = v.yuan(1)
			ok = ok && good
		}
		if v, found := b.need("over"); found {
			limit.Over, good = c.indexes(v, c.p.categoryIndex, "category")
			ok = ok && good
		}
		b.end()
		if slices.ContainsFunc(caps, func(p PersonCap) bool { return p.ID == limit.ID }) {
			b.problem("id %q is given twice", limit.ID)
		}
		caps = append(caps, limit)
	}
	return when(ok, func(r *Rule) { r.PersonCaps = caps })
}

func (c *compiler) readQuota(n node) func(*Rule) {
	b, ok := n.block()
	if !ok {
		return nil
	}
	var q Quota
	if v, found := b.need("items"); found {
		items, good := v.integer(1, 1000)
		q.Items, ok = int(items), good
	}
	if v, found := b.take("over"); found {
		var good bool
		q.Over, good = c.indexes(v, c.p.categoryIndex, "category")
		ok = ok && good
	}
	b.end()
	return when(ok, func(r *Rule) { r.Quota = q })
}

// readExclusions reads groups of members; using a category of one member shuts out the categories of the others.
func (c *compiler) readExclusions(n node) func(*Rule) {
	if n.none() {
		return func(r *Rule) { r.Exclusions = nil }
	}
	type group struct {
		id      string
		members []Set
	}
	var groups []group
	ok := true
	for _, item := range n.sequence() {
		b, good := item.block()
		if !good {
			return nil
		}
		var g group
		if v, found := b.need("id"); found {
			g.id, good = v.code()
			ok = ok && good
		}
		if v, found := b.need("members"); found {
			for _, member := range v.sequence() {
				set, good := c.indexes(member, c.p.categoryIndex, "category")
				for _, other := range g.members {
					if other&set != 0 {
						member.problem("category %s is in two members", c.p.Categories[(other&set).lowest()].Code)
						good = false
					}
				}
				ok = ok && good
				g.members = append(g.members, set)
			}
			if len(g.members) < 2 {
				v.problem("want at least two members")
				ok = false
			}
		}
		b.end()
		groups = append(groups, g)
	}
	return when(ok, func(r *Rule) {
		r.Exclusions = nil
		for _, g := range groups {
			x := Exclusion{ID: g.id}
			for i, member := range g.members {
				if !member.Has(r.index) {
					continue
				}
				for j, other := range g.members {
					if j != i {
						x.Against |= other
					}
				}
			}
			r.Exclusions = append(r.Exclusions, x)
		}
	})
}

func readCeiling(n node) func(*Rule) {
	if n.none() {
		return func(r *Rule) { r.Ceiling, r.ceilingKind = Ceiling{}, "" }
	}
	b, ok := n.block()
	if !ok {
		return nil
	}
	var ceiling Ceiling
	var after string
	if v, found := b.need("amount"); found {
		ceiling.Amount, ok = v.yuan(1)
	}
	if v, found := b.need("on"); found {
		i, good := v.choice("final", "base", "shelf", "after")
		ceiling.On = CeilingPrice(i)
		ok = ok && good
	}
	v, found := b.take("after")
	if found != (ceiling.On == CeilingAfter) {
		b.problem("`on: after` and a key `after` with a kind of discount go together")
		ok = false
	}
	if found {
		var good bool
		after, good = v.code()
		ok = ok && good
	}
	b.end()
	return when(ok, func(r *Rule) { r.Ceiling, r.ceilingKind = ceiling, after })
}

func readComponents(n node) func(*Rule) {
	if n.none() {
		return func(r *Rule) { r.Components = nil }
	}
	var kinds []ComponentRule
	ok := true
	for _, item := range n.sequence() {
		b, good := item.block()
		if !good {
			return nil
		}
		var k ComponentRule
		if v, found := b.need("kind"); found {
			k.Kind, good = v.code()
			ok = ok && good
		}
		if v, found := b.need("role"); found {
			i, good := v.choice("discount", "payment", "charge")
			k.Role = ComponentRole(i)
			ok = ok && good
		}
		if v, found := b.need("payer"); found {
			k.Payer, good = v.code()
			ok = ok && good
		}
		if v, found := b.need("order"); found {
			order, good := v.integer(1, 100)
			k.Order = int32(order)
			ok = ok && good
		}
		if v, found := b.need("in_base"); found {
			k.InBase, good = v.boolean()
			ok = ok && good
		}
		b.end()
		if slices.ContainsFunc(kinds, func(o ComponentRule) bool { return o.Kind == k.Kind }) {
			b.problem("kind %q is given twice", k.Kind)
		}
		kinds = append(kinds, k)
	}
	if len(kinds) > MaxComponents {
		n.problem("%d kinds, at most %d", len(kinds), MaxComponents)
		ok = false
	}
	return when(ok, func(r *Rule) { r.Components = kinds })
}

func (c *compiler) readOldItem(n node) func(*Rule) {
	if n.none() {
		return func(r *Rule) { r.OldItem = OldItemRule{} }
	}
	b, ok := n.block()
	if !ok {
		return nil
	}
	var o OldItemRule
	if v, found := b.need("required"); found {
		o.Required, ok = v.boolean()
	}
	if v, found := b.take("kinds"); found {
		var good bool
		o.Kinds, good = readWords(v, c.oldItems, "old item")
		ok = ok && good
	}
	b.end()
	return when(ok, func(r *Rule) { r.OldItem = o })
}

func readPlace(n node) func(*Rule) {
	b, ok := n.block()
	if !ok {
		return nil
	}
	var p PlaceRule
	if v, found := b.need("position"); found {
		i, good := v.choice("required", "optional", "none")
		p.Position, ok = Need(i), good
	}
	if p.Position != NotAsked {
		if v, found := b.need("max_age_seconds"); found {
			age, good := v.integer(1, 86_400)
			p.MaxAge = time.Duration(age) * time.Second
			ok = ok && good
		}
		ok = readAction(b, "outside", &p.Outside) && ok
		ok = readAction(b, "missing", &p.Missing) && ok
		ok = readAction(b, "stale", &p.Stale) && ok
		ok = readAction(b, "other_city", &p.OtherCity) && ok
	}
	b.end()
	return when(ok, func(r *Rule) {
		p.Cities, p.Listed = r.Place.Cities, r.Place.Listed
		r.Place = p
	})
}

func readAction(b *block, key string, action *Action) bool {
	v, found := b.need(key)
	if !found {
		return false
	}
	i, ok := v.choice("refuse", "mark", "allow")
	*action = Action(i)
	return ok
}

func (c *compiler) readPlaceCities(n node) func(*Rule) {
	switch {
	case n.isText("province"):
		n.origin()
		return func(r *Rule) { r.Place.Cities, r.Place.Listed = AnyCity, nil }
	case n.isText("merchant"):
		n.origin()
		return func(r *Rule) { r.Place.Cities, r.Place.Listed = MerchantCity, nil }
	}
	set, ok := c.indexes(n, c.p.cityIndex, "city")
	var listed []uint32
	for i := range c.p.Cities {
		if set.Has(i) {
			listed = append(listed, divisionNumber(c.p.Cities[i].Code))
		}
	}
	slices.Sort(listed)
	return when(ok, func(r *Rule) { r.Place.Cities, r.Place.Listed = ListedCities, listed })
}

// divisionNumber is a division code as the number that package geo uses.
func divisionNumber(code string) (number uint32) {
	for i := range len(code) {
		number = number*10 + uint32(code[i]-'0')
	}
	return number
}

func readDelivery(n node) func(*Rule) {
	b, ok := n.block()
	if !ok {
		return nil
	}
	var d DeliveryRule
	if v, found := b.need("address"); found {
		i, good := v.choice("required", "optional", "none")
		d.Address, ok = Need(i), good
	}
	if d.Address != NotAsked {
		ok = readAction(b, "outside", &d.Outside) && ok
		ok = readAction(b, "missing", &d.Missing) && ok
	}
	b.end()
	return when(ok, func(r *Rule) {
		d.Province = r.Delivery.Province
		r.Delivery = d
	})
}

func (c *compiler) readEvidence(n node) func(*Rule) {
	b, ok := n.block()
	if !ok {
		return nil
	}
	e := EvidenceRule{Serial: catalogue.SerialNone}
	if v, found := b.need("serial"); found {
		i, good := v.choice("none", "sn", "imei")
		e.Serial, ok = []catalogue.SerialKind{catalogue.SerialNone, catalogue.SerialSN, catalogue.SerialIMEI}[i], good
	}
	if v, found := b.need("documents"); found {
		var good bool
		e.Documents, good = readWords(v, c.documents, "document")
		ok = ok && good
	}
	if v, found := b.need("days"); found {
		days, good := v.integer(1, 366)
		e.Days = int(days)
		ok = ok && good
	}
	b.end()
	return when(ok, func(r *Rule) { r.Evidence = e })
}

func readRefund(n node) func(*Rule) {
	b, ok := n.block()
	if !ok {
		return nil
	}
	var f RefundRule
	if v, found := b.need("window_days"); found {
		days, good := v.integer(0, 3660)
		f.Window, ok = int(days), good
	}
	for _, part := range []struct {
		key  string
		into *Restore
	}{{"same_day", &f.SameDay}, {"later", &f.Later}, {"activated", &f.Activated}} {
		if v, found := b.need(part.key); found {
			i, good := v.choice("at-once", "next-day", "never")
			*part.into = Restore(i)
			ok = ok && good
		}
	}
	if v, found := b.take("partial"); found {
		partial, good := v.boolean()
		f.Partial, ok = partial, ok && good
	}
	b.end()
	return when(ok, func(r *Rule) { r.Refund = f })
}

func readClaimLimit(n node) func(*Rule) {
	b, ok := n.block()
	if !ok {
		return nil
	}
	var claims, active int64
	if v, found := b.need("claims"); found {
		claims, ok = v.integer(1, 10_000)
	}
	if v, found := b.need("active"); found {
		var good bool
		active, good = v.integer(1, 100)
		ok = ok && good
	}
	b.end()
	return when(ok, func(r *Rule) { r.Claim.Limit, r.Claim.Active = int(claims), int(active) })
}

func readClaimValidity(n node) func(*Rule) {
	b, ok := n.block()
	if !ok {
		return nil
	}
	var hours, days int64
	h, hasHours := b.take("hours")
	d, hasDays := b.take("calendar_days")
	if hasHours == hasDays {
		b.problem("want either hours or calendar_days")
		ok = false
	}
	if hasHours {
		hours, ok = h.integer(1, 24*366)
	}
	if hasDays {
		days, ok = d.integer(1, 366)
	}
	b.end()
	return when(ok && hasHours != hasDays, func(r *Rule) { r.Claim.Validity, r.Claim.Days = time.Duration(hours)*time.Hour, int(days) })
}

func readFunding(n node) func(*Rule) {
	var shares []Share
	var total int64
	ok := true
	for _, item := range n.sequence() {
		b, good := item.block()
		if !good {
			return nil
		}
		var s Share
		if v, found := b.need("payer"); found {
			s.Payer, good = v.code()
			ok = ok && good
		}
		if v, found := b.need("share"); found {
			s.Weight, good = v.integer(0, 10_000)
			ok = ok && good
		}
		b.end()
		if slices.ContainsFunc(shares, func(o Share) bool { return o.Payer == s.Payer }) {
			b.problem("payer %q is given twice", s.Payer)
		}
		total += s.Weight
		shares = append(shares, s)
	}
	if ok && (total == 0 || len(shares) > 8) {
		n.problem("want one to eight payers with shares above 0 in sum")
		ok = false
	}
	return when(ok, func(r *Rule) { r.Funding = shares })
}

// readWords reads a list of words of the programme's vocabulary.
func readWords(n node, index map[string]int, kind string) ([]string, bool) {
	var words []string
	ok := true
	for _, item := range n.list() {
		word, good := item.text()
		if !good {
			ok = false
			continue
		}
		if _, found := index[word]; !found {
			item.problem("unknown %s %q", kind, word)
			ok = false
		}
		if slices.Contains(words, word) {
			item.problem("%s %q is given twice", kind, word)
			ok = false
		}
		words = append(words, word)
	}
	if ok && len(words) == 0 {
		n.problem("the list is empty")
		ok = false
	}
	return words, ok
}
