package policy

import (
	"cmp"
	"maps"
	"slices"
)

// Change is one thing in which a bundle differs from another.
type Change struct {
	What     string `json:"what"`              // see the Changed… words
	Version  string `json:"version,omitempty"` // of the new bundle; of the old one when it is gone
	Against  string `json:"against,omitempty"` // version that a setting is compared with: its own former self, or the one before it
	Setting  string `json:"setting,omitempty"` // key of policy.yaml
	Scope    *Scope `json:"scope,omitempty"`   // where the setting differs
	Merchant string `json:"merchant,omitempty"`
	Name     string `json:"name,omitempty"` // a code, a round, or the path of a budget node
	Before   string `json:"before,omitempty"`
	After    string `json:"after,omitempty"`
}

// What can change.
const (
	ChangedVersionNew   = "version-new"
	ChangedVersionGone  = "version-gone"
	ChangedVersion      = "version" // its validity or grandfathering
	ChangedSetting      = "setting"
	ChangedProgramme    = "programme" // names, decides, the words of programme.yaml
	ChangedBudgetNode   = "budget-node"
	ChangedBudgetRound  = "budget-round"
	ChangedBudgetManner = "budget" // levels, claim_reserves, paying_city
)

// Scope is a block of combinations: every one of these cities with every one of these channels and categories. An empty
// list means all that the programme has.
type Scope struct {
	Cities     []string `json:"cities,omitempty"`
	Channels   []string `json:"channels,omitempty"`
	Categories []string `json:"categories,omitempty"`
}

// Difference lists what a bundle changes against another: versions, every setting by city × channel × category, and the
// plan of the budget. A version that is new is compared with the one before it in its own bundle. Where the rules of a
// merchant differ just as everybody's do, they are not listed again.
func Difference(was, next *Programme) []Change {
	d := difference{was: was, next: next}
	d.words()
	for i := range was.Versions {
		if v := &was.Versions[i]; next.Version(v.ID) == nil {
			d.add(Change{What: ChangedVersionGone, Version: v.ID, Before: was.validityText(v)})
		}
	}
	for i := range next.Versions {
		v := &next.Versions[i]
		if former := was.Version(v.ID); former != nil {
			d.text(Change{What: ChangedVersion, Version: v.ID}, was.validityText(former), next.validityText(v))
			d.rules(was, former, v)
			continue
		}
		d.add(Change{What: ChangedVersionNew, Version: v.ID, After: next.validityText(v)})
		if i > 0 {
			d.rules(next, &next.Versions[i-1], v)
		}
	}
	d.budget()
	return d.list
}

type difference struct {
	was, next *Programme
	list      []Change
}

func (d *difference) add(c Change) { d.list = append(d.list, c) }

// text adds a change when two texts differ.
func (d *difference) text(c Change, before, after string) {
	if before != after {
		c.Before, c.After = before, after
		d.add(c)
	}
}

// words compares what programme.yaml defines.
func (d *difference) words() {
	d.text(Change{What: ChangedProgramme, Name: "programme"}, d.was.ID+" "+d.was.Name.ZH, d.next.ID+" "+d.next.Name.ZH)
	d.text(Change{What: ChangedProgramme, Name: "decides"}, decidesText(d.was.Decides), decidesText(d.next.Decides))
	was, next := d.was.vocabulary(), d.next.vocabulary()
	names := maps.Clone(was)
	maps.Copy(names, next)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d.text(Change{What: ChangedProgramme, Name: name}, was[name], next[name])
	}
}

// vocabulary is every code of the programme with its name.
func (p *Programme) vocabulary() map[string]string {
	words := map[string]string{}
	for i := range p.Channels {
		words["channel "+p.Channels[i].Code] = p.Channels[i].Name.ZH
	}
	for i := range p.Cities {
		words["city "+p.Cities[i].Code] = p.Cities[i].Name.ZH
	}
	for i := range p.Groups {
		words["group "+p.Groups[i].Code] = p.Groups[i].Name.ZH
	}
	for i := range p.Categories {
		c := &p.Categories[i]
		words["category "+c.Code] = c.Name.ZH + " @" + c.Group + " " + string(c.Label)
	}
	for kind, list := range map[string][]Coded{"document ": p.Documents, "id_kind ": p.IDKinds, "old_item ": p.OldItems} {
		for i := range list {
			words[kind+list[i].Code] = list[i].Name.ZH
		}
	}
	return words
}

// place of a rule: a merchant ("" = all) and a cell of the new bundle.
type cellAt struct{ city, channel, category int }

// variant is one way in which a setting differs.
type variant struct {
	setting       Setting
	before, after string
}

// rules compares two versions wherever both have a rule.
func (d *difference) rules(from *Programme, former, v *Version) {
	common := d.compare(from, former, v, "")
	d.blocks(former, v, "", common)
	own := map[string]bool{}
	for id := range former.merchants {
		own[id] = true
	}
	for id := range v.merchants {
		own[id] = true
	}
	for _, merchant := range slices.Sorted(maps.Keys(own)) {
		differs := d.compare(from, former, v, merchant)
		for what, cells := range differs {
			left := slices.DeleteFunc(cells, func(at cellAt) bool { return slices.Contains(common[what], at) })
			if differs[what] = left; len(left) == 0 {
				delete(differs, what)
			}
		}
		d.blocks(former, v, merchant, differs)
	}
}

func (d *difference) compare(from *Programme, former, v *Version, merchant string) map[variant][]cellAt {
	found := map[variant][]cellAt{}
	type pair struct{ was, next *Rule }
	seen := map[pair][]variant{}
	d.next.eachCell(func(city, channel, category int) {
		next := v.rule(d.next.cell(city, channel, category), merchant)
		was := from.Rule(former.ID, d.next.Cities[city].Code, d.next.Channels[channel].Code,
			d.next.Categories[category].Code, merchant)
		if was == nil {
			return // a new code: it is listed as such
		}
		at := pair{was, next}
		variants, known := seen[at]
		if !known {
			for _, s := range differing(was, next, everything()) {
				if before, after := from.settingText(was, s), d.next.settingText(next, s); before != after {
					variants = append(variants, variant{s, before, after})
				}
			}
			seen[at] = variants
		}
		for _, what := range variants {
			found[what] = append(found[what], cellAt{city, channel, category})
		}
	})
	return found
}

// blocks adds one change for each block of cells in which a setting differs in one way.
func (d *difference) blocks(former, v *Version, merchant string, found map[variant][]cellAt) {
	order := slices.SortedFunc(maps.Keys(found), func(a, b variant) int {
		return cmp.Or(cmp.Compare(a.setting, b.setting), cmp.Compare(a.before, b.before), cmp.Compare(a.after, b.after))
	})
	for _, what := range order {
		for _, scope := range d.next.scopes(found[what]) {
			d.add(Change{
				What: ChangedSetting, Version: v.ID, Against: former.ID, Setting: what.setting.String(), Scope: &scope,
				Merchant: merchant, Before: what.before, After: what.after,
			})
		}
	}
}

// scopes cuts a set of cells into blocks that do not overlap. Channels with the same cities go together, then categories
// with the same channels and cities.
func (p *Programme) scopes(cells []cellAt) (list []Scope) {
	// A word of bits for the cities (at most 64) of each channel and category.
	cities := map[[2]int]uint64{}
	for _, at := range cells {
		cities[[2]int{at.category, at.channel}] |= 1 << uint(at.city)
	}
	type block struct{ cities, channels uint64 }
	categories := map[block]uint64{}
	var order []block
	for category := range p.Categories {
		channels := map[uint64]uint64{}
		var seen []uint64
		for channel := range p.Channels {
			if set := cities[[2]int{category, channel}]; set != 0 {
				if channels[set] == 0 {
					seen = append(seen, set)
				}
				channels[set] |= 1 << uint(channel)
			}
		}
		for _, set := range seen {
			b := block{set, channels[set]}
			if categories[b] == 0 {
				order = append(order, b)
			}
			categories[b] |= 1 << uint(category)
		}
	}
	for _, b := range order {
		list = append(list, Scope{
			Cities:     picked(b.cities, len(p.Cities), func(i int) string { return p.Cities[i].Code }),
			Channels:   picked(b.channels, len(p.Channels), func(i int) string { return p.Channels[i].Code }),
			Categories: picked(categories[b], len(p.Categories), func(i int) string { return p.Categories[i].Code }),
		})
	}
	return list
}

// picked names the members of a set, none when it holds all.
func picked(set uint64, count int, name func(int) string) (names []string) {
	for i := range count {
		if Set(set).Has(i) {
			names = append(names, name(i))
		}
	}
	if len(names) == count {
		return nil
	}
	return names
}

// budget compares the plans.
func (d *difference) budget() {
	d.text(Change{What: ChangedBudgetManner, Name: "levels"}, levelsText(d.was.Budget.Levels),
		levelsText(d.next.Budget.Levels))
	d.text(Change{What: ChangedBudgetManner, Name: "claim_reserves"}, claimReserveText(d.was.Budget.ClaimReserves),
		claimReserveText(d.next.Budget.ClaimReserves))
	d.text(Change{What: ChangedBudgetManner, Name: "paying_city"}, d.was.payingText(), d.next.payingText())
	was, next := map[string]string{}, map[string]string{}
	for i := range d.was.Budget.Rounds {
		was[d.was.Budget.Rounds[i].ID] = roundText(&d.was.Budget.Rounds[i])
	}
	for i := range d.next.Budget.Rounds {
		next[d.next.Budget.Rounds[i].ID] = roundText(&d.next.Budget.Rounds[i])
	}
	d.named(ChangedBudgetRound, was, next)
	clear(was)
	clear(next)
	for i := range d.was.Budget.Nodes {
		was[d.was.Budget.Nodes[i].Path] = nodeText(&d.was.Budget.Nodes[i])
	}
	for i := range d.next.Budget.Nodes {
		next[d.next.Budget.Nodes[i].Path] = nodeText(&d.next.Budget.Nodes[i])
	}
	d.named(ChangedBudgetNode, was, next)
}

func (d *difference) named(what string, was, next map[string]string) {
	names := maps.Clone(was)
	maps.Copy(names, next)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d.text(Change{What: what, Name: name}, was[name], next[name])
	}
}
