package policy

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
)

// level is the width of a scope: programme < city < channel < category < merchant.
type level uint8

const (
	levelProgramme level = iota
	levelCity
	levelChannel
	levelCategory
	levelMerchant
	levelCount
)

// entry is one item of a version's rules: a scope and the values it sets there.
type entry struct {
	line      int
	level     level // the narrowest dimension that the scope names
	dims      int   // how many dimensions it names
	override  bool
	cities    Set
	channels  Set
	category  Set
	merchants []string // empty = all

	set     [settingCount]func(*Rule) // nil = not set here
	origins [settingCount]Origin
	won     [settingCount]bool // decided somewhere
}

// matches reports whether the scope holds a cell, for a merchant that it holds.
func (e *entry) matches(city, channel, category int) bool {
	return e.cities.Has(city) && e.channels.Has(channel) && e.category.Has(category)
}

// names reports whether the scope names a merchant.
func (e *entry) names(merchant string) bool { return slices.Contains(e.merchants, merchant) }

// rank orders entries that set the same value for the same cell; the highest decides, and two highest are a conflict:
//
//  1. an entry with `override: true` before one without;
//  2. the narrower scope before the wider;
//  3. among overrides of the same scope, the one that names more dimensions.
func (e *entry) rank() int {
	r := int(e.level) << 4
	if e.override {
		r |= 1<<8 | e.dims
	}
	return r
}

// readScope reads the scope of an entry; an absent dimension is "all".
func (c *compiler) readScope(e *entry, n node, found bool) {
	all := func(count int) Set { return Set(1)<<uint(count) - 1 }
	e.cities, e.channels = all(len(c.p.Cities)), all(len(c.p.Channels))
	e.category = all(len(c.p.Categories))
	if !found || n.isText("programme") {
		return
	}
	b, ok := n.block()
	if !ok {
		return
	}
	if v, ok := b.take("city"); ok {
		e.cities, _ = c.indexes(v, c.p.cityIndex, "city")
		e.level, e.dims = levelCity, e.dims+1
	}
	if v, ok := b.take("channel"); ok {
		e.channels, _ = c.indexes(v, c.p.channelIndex, "channel")
		e.level, e.dims = levelChannel, e.dims+1
	}
	if v, ok := b.take("category"); ok {
		e.category, _ = c.indexes(v, c.p.categoryIndex, "category")
		e.level, e.dims = levelCategory, e.dims+1
	}
	if v, ok := b.take("merchant"); ok {
		e.merchants = c.readMerchantScope(v)
		e.level, e.dims = levelMerchant, e.dims+1
	}
	if e.dims == 0 {
		b.problem("is empty: name city, channel, category or merchant, or say `scope: programme`")
	}
	b.end()
}

func (c *compiler) readMerchantScope(n node) []string {
	var ids []string
	for _, item := range n.list() {
		id, ok := item.text()
		if !ok {
			continue
		}
		if len(id) != 15 || strings.Trim(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			item.problem("%q: want a merchant id of 15 digits or capital letters", id)
		}
		if slices.Contains(ids, id) {
			item.problem("merchant %s is given twice", id)
		}
		ids = append(ids, id)
		c.scoped = append(c.scoped, scopedMerchant{id, item.y.Line})
	}
	return ids
}

// scopedMerchant is a merchant that policy.yaml names, to be looked up once the tables are read.
type scopedMerchant struct {
	id   string
	line int
}

// resolver lays the entries of one version over all cells.
type resolver struct {
	c         *compiler
	v         *Version
	entries   []*entry
	bySetting [settingCount][]*entry // of the merchant that is being laid out
	rules     map[string]int32
	conflicts map[string]bool
	missing   [settingCount]int // cells without a required value
	example   [settingCount]int // the first of them
}

// maxMerchantOverrides bounds merchants with entries of their own: each has a table.
const maxMerchantOverrides = 500

// resolve fills v.rules, v.cells and v.merchants, and reports conflicts, gaps and entries that never decide anything.
func (c *compiler) resolve(v *Version, entries []*entry) {
	r := resolver{c: c, v: v, entries: entries, rules: map[string]int32{}, conflicts: map[string]bool{}}
	own := map[string]bool{}
	for _, e := range entries {
		for _, id := range e.merchants {
			own[id] = true
		}
	}
	if len(own) > maxMerchantOverrides {
		c.r.add(FilePolicy, v.Origin.Line, "version %s: %d merchants with rules of their own, at most %d", v.ID, len(own), maxMerchantOverrides)
		return
	}
	v.cells = r.lay("", nil)
	v.merchants = make(map[string][]int32, len(own))
	for _, id := range slices.Sorted(maps.Keys(own)) {
		v.merchants[id] = r.lay(id, v.cells)
	}
	r.reportMissing()
	r.reportIdle()
}

// lay returns the rule of every cell for one merchant, "" for all that no entry names. Cells that no entry of the
// merchant touches are those of base.
func (r *resolver) lay(merchant string, base []int32) []int32 {
	own := r.gather(merchant)
	p := r.c.p
	cells := make([]int32, 0, len(p.Cities)*len(p.Channels)*len(p.Categories))
	for city := range p.Cities {
		for channel := range p.Channels {
			for category := range p.Categories {
				if base != nil && !slices.ContainsFunc(own, func(e *entry) bool { return e.matches(city, channel, category) }) {
					cells = append(cells, base[p.cell(city, channel, category)])
					continue
				}
				cells = append(cells, r.rule(city, channel, category))
			}
		}
	}
	return cells
}

// gather sorts out the entries that can hold for a merchant and returns those that name it.
func (r *resolver) gather(merchant string) (own []*entry) {
	r.bySetting = [settingCount][]*entry{}
	for _, e := range r.entries {
		named := e.names(merchant)
		if named {
			own = append(own, e)
		}
		if !named && len(e.merchants) > 0 {
			continue
		}
		for s := range e.set {
			if e.set[s] != nil {
				r.bySetting[s] = append(r.bySetting[s], e)
			}
		}
	}
	return own
}

// choice is the set of entries that decide one cell; cells with the same choice share a rule.
type choice struct {
	winner [settingCount]*entry
	open   [levelCount]*entry
	pauses []*entry
}

func (r *resolver) rule(city, channel, category int) int32 {
	ch := r.choose(city, channel, category)
	key := ch.key(r.entries, category)
	if i, ok := r.rules[key]; ok {
		return i
	}
	i := int32(len(r.v.rules))
	r.rules[key] = i
	r.v.rules = append(r.v.rules, r.build(&ch, category))
	return i
}

func (r *resolver) choose(city, channel, category int) choice {
	var ch choice
	cell := r.c.p.cell(city, channel, category)
	for s := range settingCount {
		var first, second *entry
		for _, e := range r.bySetting[s] {
			if !e.matches(city, channel, category) {
				continue
			}
			switch {
			case s == SetPauses:
				ch.pauses = append(ch.pauses, e)
				e.won[s] = true
				continue
			case s == SetOpen:
				r.chooseOpen(&ch, e, cell)
				continue
			}
			if first == nil || e.rank() > first.rank() {
				first, second = e, nil
			} else if e.rank() == first.rank() {
				second = e
			}
		}
		if second != nil {
			r.conflict(s, first, second, cell)
		}
		if first == nil && required(s) {
			if r.missing[s] == 0 {
				r.example[s] = cell
			}
			r.missing[s]++
		}
		if first != nil && s != SetOpen {
			first.won[s] = true
		}
		ch.winner[s] = first
	}
	for _, e := range ch.open {
		if e != nil {
			e.won[SetOpen] = true
		}
	}
	return ch
}

// chooseOpen keeps one entry a level: each level says for itself whether it takes part.
func (r *resolver) chooseOpen(ch *choice, e *entry, cell int) {
	was := ch.open[e.level]
	switch {
	case was == nil || e.rank() > was.rank():
		ch.open[e.level] = e
	case e.rank() == was.rank():
		r.conflict(SetOpen, was, e, cell)
	}
}

func (r *resolver) conflict(s Setting, a, b *entry, cell int) {
	if a.line > b.line {
		a, b = b, a
	}
	key := fmt.Sprint(s, a.line, b.line)
	if r.conflicts[key] {
		return
	}
	r.conflicts[key] = true
	r.c.r.add(FilePolicy, b.origins[s].Line, "%s: set at the same scope in line %d too, for %s: say `override: true` in the entry that is to win, or name more of city, channel and category in it when both have it",
		s, a.origins[s].Line, r.c.cellName(cell))
}

func (ch *choice) key(entries []*entry, category int) string {
	key := binary.AppendUvarint(nil, uint64(category))
	put := func(e *entry) { key = binary.AppendVarint(key, int64(slices.Index(entries, e))) }
	for _, e := range ch.winner {
		put(e)
	}
	for _, e := range ch.open {
		put(e)
	}
	for _, e := range ch.pauses {
		put(e)
	}
	return string(key)
}

func (r *resolver) build(ch *choice, category int) Rule {
	rule := Rule{Minimum: 1, index: category}
	rule.Delivery.Province = r.c.p.Province
	for s, e := range ch.winner {
		if e != nil {
			e.set[s](&rule)
			rule.Origins[s] = e.origins[s]
		}
	}
	for l, e := range ch.open {
		if e != nil {
			var o Rule
			e.set[SetOpen](&o)
			rule.open[l] = o.open[0]
			rule.Origins[SetOpen] = e.origins[SetOpen]
		}
	}
	for _, e := range ch.pauses {
		e.set[SetPauses](&rule)
		rule.Origins[SetPauses] = e.origins[SetPauses]
	}
	if rule.Quota.Over == 0 {
		rule.Quota.Over = 1 << uint(category)
	}
	rule.Exclusions = slices.DeleteFunc(rule.Exclusions, func(x Exclusion) bool { return x.Against == 0 })
	for i := range rule.Funding {
		rule.weights = append(rule.weights, rule.Funding[i].Weight)
	}
	r.c.checkRule(&rule)
	return rule
}

func (r *resolver) reportMissing() {
	for s := range settingCount {
		if r.missing[s] > 0 {
			r.c.r.add(FilePolicy, r.v.Origin.Line, "version %s: no entry sets %s for %d combinations, such as %s",
				r.v.ID, s, r.missing[s], r.c.cellName(r.example[s]))
		}
	}
}

// reportIdle names values that decide nothing: the author meant something that does not happen.
func (r *resolver) reportIdle() {
	for _, e := range r.entries {
		for s := range settingCount {
			if e.set[s] != nil && !e.won[s] {
				r.c.r.add(FilePolicy, e.origins[s].Line, "%s: never decides, because other entries set it wherever this scope holds: say `override: true`, or remove it", s)
			}
		}
	}
}

// required reports whether every cell must have the value from some entry.
func required(s Setting) bool {
	switch s {
	case SetOpen, SetPauses, SetMinimum, SetItemCap, SetOrderCap, SetPersonCaps, SetExclusions, SetCeiling, SetComponents, SetOldItem:
		return false
	}
	return true
}

// lowest returns the lowest index in a set that is not empty.
func (s Set) lowest() int { return bits.TrailingZeros64(uint64(s)) }
