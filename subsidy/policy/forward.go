package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Forward says what stands against putting a bundle into force while another one is: everything by which it would decide
// an instant up to now in another way. A bundle may add versions, openings, pauses, cities and categories that begin
// after now, and move ends that lie ahead to another instant ahead. What has been decided is history, and must read the
// same in the rules that come after.
//
// The end of an entitlement may change with the end of the programme: it lies ahead and stands in the claim's own event.
// Allocations and releases of the budget are judged by the engine, which knows what is held and spent.
//
// The result is empty when the bundle is forward only; at most maxForward problems are named, then their number.
func Forward(was, next *Programme, now int64) []string {
	f := forward{was: was, next: next, now: now}
	f.identity()
	if len(f.problems) == 0 { // with codes gone, the rules cannot be laid side by side
		f.versions()
		f.added()
		f.budget()
	}
	if len(f.problems) > maxForward {
		more := len(f.problems) - maxForward
		return append(f.problems[:maxForward:maxForward], fmt.Sprintf("%d more problems", more))
	}
	return f.problems
}

// maxForward bounds the answer: behind the first fifty an operator reads nothing new.
const maxForward = 50

type forward struct {
	was, next *Programme
	now       int64
	problems  []string
}

func (f *forward) refuse(format string, args ...any) {
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

// begun reports whether a version has decided something already.
func (f *forward) begun(v *Version) bool { return v.From <= f.now }

// identity: the codes that were known must stay, categories in their places, because sets of them are words of bits.
func (f *forward) identity() {
	was, next := f.was, f.next
	if was.ID != next.ID || was.Province != next.Province {
		f.refuse("programme %s of province %s cannot become %s of %s", was.ID, was.Province, next.ID, next.Province)
		return
	}
	for i := range was.Channels {
		if _, ok := next.channelIndex[was.Channels[i].Code]; !ok {
			f.refuse("channel %s is gone", was.Channels[i].Code)
		}
	}
	for i := range was.Cities {
		if _, ok := next.cityIndex[was.Cities[i].Code]; !ok {
			f.refuse("city %s is gone", was.Cities[i].Code)
		}
	}
	for i := range was.Groups {
		if !slices.ContainsFunc(next.Groups, func(g Group) bool { return g.Code == was.Groups[i].Code }) {
			f.refuse("group %s is gone", was.Groups[i].Code)
		}
	}
	for i := range was.Categories {
		c := &was.Categories[i]
		switch at, ok := next.categoryIndex[c.Code]; {
		case !ok:
			f.refuse("category %s is gone", c.Code)
		case at != i:
			f.refuse("category %s has moved from place %d to %d: new categories go to the end of the list", c.Code, i+1, at+1)
		case next.Categories[at].Group != c.Group:
			f.refuse("category %s has moved from group %s to %s", c.Code, c.Group, next.Categories[at].Group)
		}
	}
}

// versions: every version that has begun stays as it is, and none is put before or between them.
func (f *forward) versions() {
	any := false
	for i := range f.was.Versions {
		v := &f.was.Versions[i]
		if !f.begun(v) {
			continue
		}
		any = true
		if other := f.next.Version(v.ID); other == nil {
			f.refuse("version %s has begun at %s and is gone", v.ID, instantText(v.From))
		} else {
			f.validity(v, other)
			f.rules(v, other)
		}
	}
	for i := range f.next.Versions {
		if v := &f.next.Versions[i]; f.begun(v) {
			if was := f.was.Version(v.ID); was == nil || !f.begun(was) {
				f.refuse("version %s would begin at %s, which is not ahead", v.ID, instantText(v.From))
			}
		}
	}
	if any && f.was.Decides != f.next.Decides {
		f.refuse("decides: which instant picks the version cannot change once one has begun")
	}
}

func (f *forward) validity(v, other *Version) {
	if v.From != other.From {
		f.refuse("version %s has begun at %s, it cannot begin at %s", v.ID, instantText(v.From), instantText(other.From))
	}
	if v.To != other.To && (v.To <= f.now || other.To <= f.now) {
		f.refuse("version %s ends at %s, it cannot end at %s: only an end ahead may move, to another instant ahead",
			v.ID, instantText(v.To), instantText(other.To))
	}
	// While it is in force no claim has needed grandfathering yet.
	was, next := f.was.keeps(v), f.next.keeps(other)
	if v.To <= f.now && was != next && (was <= f.now || next <= f.now) {
		f.refuse("version %s: what claims made under it keep cannot change after its end", v.ID)
	}
}

// keeps is the instant until which claims made under a version keep it.
func (p *Programme) keeps(v *Version) int64 {
	if p.Decides == DecidedAtClaim && v.Grandfather == 0 {
		return forEver
	}
	return v.Grandfather
}

// rules compares the two laws cell by cell, for everybody and for each merchant with rules of its own in either.
func (f *forward) rules(v, other *Version) {
	w := within{until: f.now, members: Set(1)<<uint(len(f.was.Categories)) - 1}
	merchants := map[string]bool{"": true}
	for id := range v.merchants {
		merchants[id] = true
	}
	for id := range other.merchants {
		merchants[id] = true
	}
	type pair struct{ was, next *Rule }
	seen := map[pair][]Setting{}
	count, first := map[Setting]int{}, map[Setting]string{}
	for _, merchant := range slices.Sorted(maps.Keys(merchants)) {
		f.was.eachCell(func(city, channel, category int) {
			at := pair{v.rule(f.was.cell(city, channel, category), merchant), f.next.Rule(other.ID, f.was.Cities[city].Code,
				f.was.Channels[channel].Code, f.was.Categories[category].Code, merchant)}
			settings, known := seen[at]
			if !known {
				settings = differing(at.was, at.next, w)
				seen[at] = settings
			}
			for _, s := range settings {
				if count[s]++; count[s] == 1 {
					first[s] = f.was.cellName(city, channel, category, merchant)
				}
			}
		})
	}
	for _, s := range slices.Sorted(maps.Keys(count)) {
		f.refuse("version %s has begun: %s cannot change (%s, %d combinations in all): make a new version that begins later",
			v.ID, s, first[s], count[s])
	}
}

// eachCell calls fn for every combination, in the order of the files.
func (p *Programme) eachCell(fn func(city, channel, category int)) {
	for city := range p.Cities {
		for channel := range p.Channels {
			for category := range p.Categories {
				fn(city, channel, category)
			}
		}
	}
}

func (p *Programme) cellName(city, channel, category int, merchant string) string {
	text := fmt.Sprintf("city %s, channel %s, category %s", p.Cities[city].Code, p.Channels[channel].Code,
		p.Categories[category].Code)
	if merchant != "" {
		text += ", merchant " + merchant
	}
	return text
}

// added: a code that nobody knew was refused, so it must not be open before now.
func (f *forward) added() {
	for i := range f.next.Versions {
		v := &f.next.Versions[i]
		if !f.begun(v) {
			continue
		}
		count, first := 0, ""
		for _, merchant := range append([]string{""}, slices.Sorted(maps.Keys(v.merchants))...) {
			f.next.eachCell(func(city, channel, category int) {
				rule := v.rule(f.next.cell(city, channel, category), merchant)
				if f.known(city, channel, category) || rule.shut(v.From, min(v.To, f.now+1)) {
					return
				}
				if count++; count == 1 {
					first = f.next.cellName(city, channel, category, merchant)
				}
			})
		}
		if count > 0 {
			f.refuse("version %s has begun, and something new would be open in it before now (%s, %d combinations in all): "+
				"say `open: {windows: [{from: …}]}` with an instant ahead", v.ID, first, count)
		}
	}
}

func (f *forward) known(city, channel, category int) bool {
	_, okCity := f.was.cityIndex[f.next.Cities[city].Code]
	_, okChannel := f.was.channelIndex[f.next.Channels[channel].Code]
	_, okCategory := f.was.categoryIndex[f.next.Categories[category].Code]
	return okCity && okChannel && okCategory
}

// budget compares what names and picks a leaf. How much a node has is the engine's to judge.
func (f *forward) budget() {
	was, next := &f.was.Budget, &f.next.Budget
	if !slices.Equal(was.Levels, next.Levels) {
		f.refuse("levels of the budget cannot change: every leaf would have another name")
		return
	}
	if was.ClaimReserves != next.ClaimReserves {
		f.refuse("claim_reserves cannot change: open claims hold what it says")
	}
	for i := range f.was.Channels {
		code := f.was.Channels[i].Code
		if was.paying[i] != next.paying[f.next.channelIndex[code]] {
			f.refuse("paying_city of channel %s cannot change: whose money a purchase took stands in it", code)
		}
	}
	for i := range was.Rounds {
		r := &was.Rounds[i]
		if r.Open <= f.now {
			f.round(r)
		}
	}
	for i := range next.Rounds {
		r := &next.Rounds[i]
		at := slices.IndexFunc(was.Rounds, func(o Round) bool { return o.ID == r.ID })
		if r.Open <= f.now && (at < 0 || was.Rounds[at].Open > f.now) {
			f.refuse("round %s would open at %s, which is not ahead", r.ID, instantText(r.Open))
		}
	}
	f.nodes()
}

func (f *forward) round(r *Round) {
	at := slices.IndexFunc(f.next.Budget.Rounds, func(o Round) bool { return o.ID == r.ID })
	if at < 0 {
		f.refuse("round %s has opened and is gone", r.ID)
		return
	}
	n := &f.next.Budget.Rounds[at]
	if n.Open != r.Open || n.Close != r.Close && (r.Close <= f.now || n.Close <= f.now) {
		f.refuse("round %s is from %s to %s, it cannot be from %s to %s: only an end ahead may move, to another instant ahead",
			r.ID, instantText(r.Open), instantText(r.Close), instantText(n.Open), instantText(n.Close))
	}
	if n.CarryOver != r.CarryOver && r.Close <= f.now {
		f.refuse("round %s is over: carry_over cannot change", r.ID)
	}
}

// nodes: a node of the tree stays; it may have nothing.
func (f *forward) nodes() {
	paths := make(map[string]bool, len(f.next.Budget.Nodes))
	for i := range f.next.Budget.Nodes {
		paths[f.next.Budget.Nodes[i].Path] = true
	}
	var gone []string
	for i := range f.was.Budget.Nodes {
		if path := f.was.Budget.Nodes[i].Path; !paths[path] {
			gone = append(gone, path)
		}
	}
	if len(gone) > 0 {
		slices.SortFunc(gone, func(a, b string) int {
			return cmp.Or(cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/")), cmp.Compare(a, b))
		})
		f.refuse("budget node %q is gone (%d in all): give it 0.00 instead", gone[0], len(gone))
	}
}

func instantText(at int64) string { return time.Unix(0, at).In(China()).Format(time.RFC3339) }
