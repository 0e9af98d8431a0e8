package policy

import (
	"cmp"
	"slices"
)

// readPolicy reads policy.yaml: which instant decides, and the versions.
func (c *compiler) readPolicy() {
	n, ok := openDocument(c.r, FilePolicy, c.files[FilePolicy])
	if !ok {
		return
	}
	top, ok := n.block()
	if !ok {
		return
	}
	if v, ok := top.need("decides"); ok {
		i, _ := v.choice("reserve", "claim")
		c.p.Decides = Instant(i)
	}
	if v, ok := top.need("versions"); ok {
		items := v.sequence()
		if len(items) == 0 || len(items) > MaxVersions {
			v.problem("%d versions, want 1 to %d", len(items), MaxVersions)
			items = nil
		}
		for _, item := range items {
			c.readVersion(item)
		}
	}
	top.end()
	c.orderVersions()
}

func (c *compiler) readVersion(n node) {
	b, ok := n.block()
	if !ok {
		return
	}
	before := len(c.r.problems)
	v := Version{Origin: b.origin()}
	if id, ok := b.need("id"); ok {
		v.ID, _ = id.code()
	}
	if valid, ok := b.need("valid"); ok {
		w, good := readWindow(valid, true)
		v.From, v.To = w.From, w.To
		if !good {
			v.To = v.From
		}
	}
	if g, ok := b.need("grandfather"); ok && !g.isText("none") {
		if gb, ok := g.block(); ok {
			if until, ok := gb.need("until"); ok {
				v.Grandfather, _ = until.instant()
				if v.Grandfather != 0 && v.Grandfather < v.To {
					until.problem("lies before the end of the version")
				}
			}
			gb.end()
		}
	} else if ok {
		g.origin()
	}
	var entries []*entry
	if rules, ok := b.need("rules"); ok {
		for _, item := range rules.sequence() {
			if e := c.readEntry(item); e != nil {
				entries = append(entries, e)
			}
		}
	}
	b.end()
	// Conflicts and gaps between entries that could not be read would be noise.
	if len(c.r.problems) == before {
		c.resolve(&v, entries)
	}
	c.p.Versions = append(c.p.Versions, v)
}

// orderVersions sorts by validity, checks it, and finds the programme's end.
func (c *compiler) orderVersions() {
	versions := c.p.Versions
	slices.SortStableFunc(versions, func(a, b Version) int { return cmp.Compare(a.From, b.From) })
	ids := map[string]bool{}
	for i := range versions {
		v := &versions[i]
		if ids[v.ID] {
			c.r.add(FilePolicy, v.Origin.Line, "version id %q is given twice", v.ID)
		}
		ids[v.ID] = true
		if i > 0 && v.From < versions[i-1].To {
			c.r.add(FilePolicy, v.Origin.Line, "version %s begins before version %s ends: one instant must have one version", v.ID, versions[i-1].ID)
		}
		c.p.end = max(c.p.end, v.To, v.Grandfather)
	}
}

// readWindow reads {from, to}; `to` may be left open unless closed is set.
func readWindow(n node, closed bool) (Window, bool) {
	b, ok := n.block()
	if !ok {
		return Window{}, false
	}
	w := Window{To: 1<<63 - 1}
	from, okFrom := b.need("from")
	if okFrom {
		w.From, okFrom = from.instant()
	}
	okTo := true
	if to, found := b.take("to"); found {
		w.To, okTo = to.instant()
	} else if closed {
		b.problem("key \"to\" is missing")
		okTo = false
	}
	b.end()
	if okFrom && okTo && w.From >= w.To {
		b.problem("must begin before it ends")
		return Window{}, false
	}
	return w, okFrom && okTo
}
