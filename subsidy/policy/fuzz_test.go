package policy

import (
	"errors"
	"maps"
	"testing"
)

// FuzzCompile: whatever the bytes of one rule file are, Compile answers with a programme or with problems that name the
// file; what it accepts can decide.
func FuzzCompile(f *testing.F) {
	base := small(f)
	names := []string{FileProgramme, FilePolicy, FileBudget, FileGolden, FileMerchants, FileTerminals, FileProducts, FilePersons}
	for i, name := range names {
		f.Add(i, base[name])
	}
	sample := readBundle(f, liaoning)
	for i, name := range names[:3] {
		f.Add(i, sample[name])
	}
	f.Add(1, withRules(f, `
- scope: {city: "210100", channel: store, category: ["@big"], merchant: "898210157220001"}
  override: true
  open: {windows: [{from: "2025-02-01T00:00:00+08:00"}], hours: 08:00-22:00}
  pauses: [{from: "2025-02-01T00:00:00+08:00"}]
  rates: [{grade: [1, none], label: energy, attributes: {a: b}, old_item: lead, bands: [{from: 0, percent: 1.5}, {from: 10, flat: 5.00}], may_fall: true}]
  person_caps: [{id: x, amount: 5.00, over: A01}]
  exclusions: [{id: x, members: [A01, [A02, B01]]}]
  price_ceiling: {amount: 1.00, on: after, after: bank}`)[FilePolicy])
	f.Add(3, []byte("source: a\nstatus: verified\ncases:\n  - {name: x, reserve: {at: \"2025-01-01T00:00:00+08:00\", city: a, channel: b, category: c, price: 1, used: [{category: A01, items: 1}]}, expect: {refused: [PAUSED], parts: []}}\n"))
	f.Fuzz(func(t *testing.T, which int, data []byte) {
		files := maps.Clone(base)
		files[names[uint(which)%uint(len(names))]] = data
		p, err := Compile(files)
		if err != nil {
			var problems Problems
			if !errors.As(err, &problems) || len(problems) == 0 || p != nil {
				t.Fatalf("not a list of problems: %v", err)
			}
			for _, problem := range problems {
				if problem.File == "" || problem.Text == "" {
					t.Fatalf("a problem without file or text: %+v", problem)
				}
			}
			return
		}
		p.RunGolden()
		var d Decision
		for i := range p.Categories {
			r := Request{At: p.Versions[0].From, City: p.Cities[0].Code, Channel: p.Channels[0].Code, Category: p.Categories[i].Code, Grade: 1, Price: 123456}
			p.Decide(&r, &d)
			p.Budget.LeafAt(r.City, r.Channel, r.Category, r.At)
		}
		p.Budget.NextInstant(p.Versions[0].From)
	})
}
