package policy

import (
	"strings"

	"huanxin/subsidy/catalogue"
)

// readProgramme reads programme.yaml: who the programme is and which codes it speaks in.
func (c *compiler) readProgramme() {
	n, ok := openDocument(c.r, FileProgramme, c.files[FileProgramme])
	if !ok {
		return
	}
	top, ok := n.block()
	if !ok {
		return
	}
	c.readIdentity(top)
	c.p.Channels, c.p.channelIndex = readCoded(top, "channels", MaxChannels, func(b *block, code string, name Text, o Origin) Channel {
		return Channel{code, name, o}
	})
	c.p.Cities, c.p.cityIndex = readCoded(top, "cities", MaxCities, c.readCity)
	var groups map[string]int
	c.p.Groups, groups = readCoded(top, "groups", MaxGroups, func(b *block, code string, name Text, o Origin) Group {
		return Group{code, name, o}
	})
	c.p.Categories, c.p.categoryIndex = readCoded(top, "categories", MaxCategories, func(b *block, code string, name Text, o Origin) Category {
		return readCategory(b, code, name, o, groups)
	})
	coded := func(b *block, code string, name Text, o Origin) Coded { return Coded{code, name, o} }
	c.p.Documents, c.documents = readCoded(top, "documents", 64, coded)
	c.p.IDKinds, c.idKinds = readCoded(top, "id_kinds", 32, coded)
	c.p.OldItems, c.oldItems = readCoded(top, "old_items", 64, coded)
	if tables, ok := top.take("tables"); ok {
		c.readTableNames(tables)
	}
	top.end()
}

func (c *compiler) readIdentity(top *block) {
	n, ok := top.need("programme")
	if !ok {
		return
	}
	b, ok := n.block()
	if !ok {
		return
	}
	if v, ok := b.need("id"); ok {
		if v.isText("") || len(v.y.Value) > 40 || strings.Trim(v.y.Value, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			v.problem("%q: want 1–40 small letters, digits and -", v.y.Value)
		}
		c.p.ID, _ = v.text()
	}
	c.p.Name = readName(b)
	if v, ok := b.need("province"); ok {
		c.p.Province, _ = v.text()
		if len(c.p.Province) != 2 || strings.Trim(c.p.Province, "0123456789") != "" {
			v.problem("%q: want the first two digits of the province's division codes, such as \"21\"", c.p.Province)
		}
	}
	b.end()
}

func readName(b *block) Text {
	var t Text
	if v, ok := b.need("zh"); ok {
		t.ZH = v.name()
	}
	if v, ok := b.need("en"); ok {
		t.EN = v.name()
	}
	return t
}

// readCoded reads a list of {code, zh, en, …}: at least one, codes unique, at most limit.
func readCoded[T any](top *block, key string, limit int, build func(b *block, code string, name Text, o Origin) T) ([]T, map[string]int) {
	index := map[string]int{}
	n, ok := top.need(key)
	if !ok {
		return nil, index
	}
	items := n.sequence()
	if len(items) == 0 {
		n.problem("the list is empty")
	}
	if len(items) > limit {
		n.problem("%d entries, at most %d", len(items), limit)
		items = items[:limit]
	}
	list := make([]T, 0, len(items))
	for _, item := range items {
		b, ok := item.block()
		if !ok {
			continue
		}
		var code string
		if v, ok := b.need("code"); ok {
			code, _ = v.code()
		}
		if _, twice := index[code]; twice && code != "" {
			b.problem("code %q is given twice", code)
		}
		name := readName(b)
		value := build(b, code, name, b.origin())
		b.end()
		index[code] = len(list)
		list = append(list, value)
	}
	return list, index
}

func (c *compiler) readCity(b *block, code string, name Text, o Origin) City {
	if len(code) != 6 || strings.Trim(code, "0123456789") != "" || code[:2] != c.p.Province || code[4:] != "00" {
		b.problem("code %q: want the division code of a city of province %s, such as %s0100", code, c.p.Province, c.p.Province)
	}
	return City{code, name, o}
}

func readCategory(b *block, code string, name Text, o Origin, groups map[string]int) Category {
	category := Category{Code: code, Name: name, Origin: o}
	if v, ok := b.need("group"); ok {
		category.Group, _ = v.code()
		if _, found := groups[category.Group]; !found {
			v.problem("unknown group %q", category.Group)
		}
	}
	labels := []catalogue.Label{catalogue.LabelEnergy, catalogue.LabelWater, catalogue.LabelNone}
	if v, ok := b.need("label"); ok {
		if i, ok := v.choice("energy", "water", "none"); ok {
			category.Label = labels[i]
		}
	}
	if v, ok := b.take("must_state"); ok {
		category.Must = readMustState(v)
	}
	return category
}

// readMustState reads {attribute: [value, value]}.
func readMustState(n node) (must []MustState) {
	b, ok := n.block()
	if !ok {
		return nil
	}
	for i, key := range b.keys {
		if b.seen[i] {
			continue
		}
		v, _ := b.take(key.Value)
		m := MustState{Key: key.Value}
		for _, item := range v.list() {
			value, _ := item.code()
			m.Values = append(m.Values, value)
		}
		if !catalogue.IsCode(m.Key) || len(m.Values) == 0 {
			v.problem("want an attribute and the values it may have")
		}
		must = append(must, m)
	}
	return must
}

// readTableNames reads which CSV tables belong to the programme; source and status there hold for every row.
func (c *compiler) readTableNames(n node) {
	b, ok := n.block()
	if !ok {
		return
	}
	for _, name := range tableFiles() {
		v, ok := b.take(name)
		if !ok {
			continue
		}
		if entry, ok := v.block(); ok {
			entry.origin()
			entry.end()
			c.tables = append(c.tables, name)
		}
	}
	b.end()
}
