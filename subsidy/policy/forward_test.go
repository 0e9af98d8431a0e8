package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
)

// draft is a small programme whose dated values a test can change. Days count from 2025-01-01 in China.
type draft struct {
	decides  string
	versions []draftVersion
	paying   string
	close    int // of the only round
}

type draftVersion struct {
	id                 string
	from, to           int
	until              int // grandfather; 0 = none
	cap                int
	percent            int
	opens, shuts       int // window of city 210200; 0 = always
	pauseFrom, pauseTo int // of category A02; 0 = none
	merchantCap        int // 0 = none of its own
	hours              string
}

func dayText(day int) string {
	return time.Date(2025, 1, 1+day, 0, 0, 0, 0, China()).Format(time.RFC3339)
}

func dayAt(day int) int64 { return time.Date(2025, 1, 1+day, 0, 0, 0, 0, China()).UnixNano() }

// files renders the draft over the small programme.
func (d draft) files(t testing.TB) map[string][]byte {
	files := small(t)
	text := string(files[FilePolicy])
	rules := text[strings.Index(text, "    rules:\n"):strings.Index(text, "      # EXTRA")]
	var b strings.Builder
	fmt.Fprintf(&b, "source: test\nstatus: assumption\ndecides: %s\nversions:\n", d.decides)
	for _, v := range d.versions {
		grandfather := "none"
		if v.until > 0 {
			grandfather = fmt.Sprintf("{until: %q}", dayText(v.until))
		}
		fmt.Fprintf(&b, "  - id: %s\n    valid: {from: %q, to: %q}\n    grandfather: %s\n", v.id, dayText(v.from),
			dayText(v.to), grandfather)
		own := strings.Replace(rules, "item_cap: 2000.00", fmt.Sprintf("item_cap: %d.00", v.cap), 1)
		own = strings.Replace(own, "percent: 15", fmt.Sprintf("percent: %d", v.percent), 1)
		b.WriteString(strings.Replace(own, "claim_hours: 08:00-23:00", "claim_hours: "+v.hours, 1))
		if v.opens != 0 || v.shuts != 0 {
			fmt.Fprintf(&b, "      - scope: {city: \"210200\"}\n        open: {windows: [{from: %q, to: %q}]}\n",
				dayText(v.opens), dayText(v.shuts))
		}
		if v.pauseTo != 0 {
			fmt.Fprintf(&b, "      - scope: {category: A02}\n        pauses: [{from: %q, to: %q}]\n", dayText(v.pauseFrom),
				dayText(v.pauseTo))
		}
		if v.merchantCap != 0 {
			fmt.Fprintf(&b, "      - scope: {merchant: \"898210157220001\"}\n        item_cap: %d.00\n        override: true\n", v.merchantCap)
		}
	}
	files[FilePolicy] = []byte(b.String())
	budget := string(files[FileBudget])
	budget = strings.Replace(budget, "paying_city: merchant", "paying_city: "+d.paying, 1)
	budget = strings.Replace(budget, `close: "2026-01-01T00:00:00+08:00"`, fmt.Sprintf("close: %q", dayText(d.close)), 1)
	files[FileBudget] = []byte(budget)
	for _, name := range tableFiles() {
		delete(files, name)
	}
	return files
}

func baseDraft() draft {
	return draft{decides: "reserve", paying: "merchant", close: 365, versions: []draftVersion{
		{id: "v1", from: 0, to: 10, cap: 2000, percent: 15, hours: "08:00-23:00"},
		{id: "v2", from: 10, to: 20, until: 25, cap: 1500, percent: 15, hours: "always", opens: 12, shuts: 18,
			pauseFrom: 13, pauseTo: 15},
		{id: "v3", from: 22, to: 30, cap: 1000, percent: 10, hours: "always", merchantCap: 500},
	}}
}

func problemsOf(t *testing.T, now int64, change func(*draft)) []string {
	t.Helper()
	d := baseDraft()
	was := compile(t, d.files(t))
	change(&d)
	return Forward(was, compile(t, d.files(t)), now)
}

func TestOnlyWhatLiesAheadMayChange(t *testing.T) {
	now := dayAt(14) + 3600*second // v2 is in force, its city's window and its pause are open
	for name, c := range map[string]struct {
		change func(*draft)
		want   string // "" = allowed
	}{
		"nothing":                        {func(*draft) {}, ""},
		"a cap in a version ahead":       {func(d *draft) { d.versions[2].cap = 900 }, ""},
		"a version ahead is dropped":     {func(d *draft) { d.versions = d.versions[:2] }, ""},
		"a version ahead begins earlier": {func(d *draft) { d.versions[2].from = 20 }, ""},
		"a version is added ahead": {func(d *draft) {
			d.versions = append(d.versions, draftVersion{id: "v4", from: 30, to: 40, cap: 1, percent: 1, hours: "always"})
		}, ""},
		"the version in force ends early": {func(d *draft) { d.versions[1].to = 15 }, ""},
		"and another takes over":          {func(d *draft) { d.versions[1].to, d.versions[2].from = 15, 15 }, ""},
		"it ends later":                   {func(d *draft) { d.versions[1].to = 22 }, ""},
		"its grandfathering":              {func(d *draft) { d.versions[1].until = 0 }, ""},
		"its window ends later":           {func(d *draft) { d.versions[1].shuts = 19 }, ""},
		"its pause ends earlier, ahead":   {func(d *draft) { d.versions[1].pauseTo = 16 }, ""},
		"a round ends later":              {func(d *draft) { d.close = 400 }, ""},
		"a cap in force": {func(d *draft) { d.versions[1].cap = 1600 },
			"version v2 has begun: item_cap cannot change (city 210100, channel store, category A01, 16 combinations in all)"},
		"a cap of a version that is over": {func(d *draft) { d.versions[0].cap = 1999 }, "version v1 has begun: item_cap"},
		"a rate":                          {func(d *draft) { d.versions[1].percent = 20 }, "rates cannot change"},
		"claim hours":                     {func(d *draft) { d.versions[1].hours = "00:00-12:00" }, "claim_hours"},
		"a merchant gets a cap": {func(d *draft) { d.versions[1].merchantCap = 7 },
			"merchant 898210157220001, 16 combinations"},
		"the window was shorter": {func(d *draft) { d.versions[1].opens = 13 }, "open cannot change (city 210200"},
		"it had ended":           {func(d *draft) { d.versions[1].shuts = 14 }, "open cannot change"},
		"the pause was longer": {func(d *draft) { d.versions[1].pauseFrom = 12 },
			"pauses cannot change (city 210100, channel store, category A02"},
		"the pause has ended": {func(d *draft) { d.versions[1].pauseTo = 14 }, "pauses"},
		"a begun version is gone": {func(d *draft) { d.versions = d.versions[1:] },
			"version v1 has begun at 2025-01-01T00:00:00+08:00 and is gone"},
		"a begun version has a new name": {func(d *draft) { d.versions[1].id = "w2" },
			"version w2 would begin at 2025-01-11T00:00:00+08:00, which is not ahead"},
		"it began later": {func(d *draft) { d.versions[1].from = 11 }, "cannot begin at"},
		"it has ended":   {func(d *draft) { d.versions[1].to = 14 }, "only an end ahead may move"},
		"an ended one ends later": {func(d *draft) { d.versions[0].to, d.versions[1].from = 9, 10 },
			"version v1 ends at"},
		"the instant that decides": {func(d *draft) { d.decides = "claim" }, "decides: "},
		"what claims of v1 keep": {func(d *draft) { d.versions[0].until = 12 },
			"version v1: what claims made under it keep"},
		"who pays": {func(d *draft) { d.paying = "store" }, "paying_city of channel store"},
	} {
		got := problemsOf(t, now, c.change)
		if c.want == "" {
			require.Empty(t, got, name)
			continue
		}
		require.Contains(t, strings.Join(got, "\n"), c.want, name)
	}
}

func TestBeforeAnythingHasBegunEverythingMayChange(t *testing.T) {
	require.Empty(t, problemsOf(t, dayAt(-1), func(d *draft) {
		d.decides, d.versions[0].cap, d.versions[0].id = "claim", 1, "other"
	}))
}

func TestCodesStayAndNewOnesAreShutUntilLater(t *testing.T) {
	now := dayAt(100)
	was := compile(t, small(t))
	forward := func(file, old, with string, more ...string) string {
		files := edit(t, small(t), file, old, with)
		for i := 0; i+2 < len(more); i += 3 {
			files = edit(t, files, more[i], more[i+1], more[i+2])
		}
		for _, name := range tableFiles() {
			delete(files, name)
		}
		return strings.Join(Forward(was, compile(t, files), now), "\n")
	}
	last := "  - {code: C01, group: tiny, zh: 电动车, en: bike, label: none}\n"
	added := last + "  - {code: C02, group: tiny, zh: 平板, en: tablet, label: none}\n"
	require.Contains(t, forward(FileProgramme, last, ""), "category C01 is gone")
	require.Contains(t, forward(FileProgramme, "  - {code: A01,",
		"  - {code: Z01, group: big, zh: 新, en: new, label: none}\n  - {code: A01,"),
		"category A01 has moved from place 1 to 2")
	require.Contains(t, forward(FileProgramme, "{code: C01, group: tiny", "{code: C01, group: big"),
		"category C01 has moved from group tiny to big")
	require.Contains(t, forward(FileProgramme, "  - {code: online, zh: 线上, en: online}\n", ""), "channel online is gone")
	require.Contains(t, forward(FileProgramme, "id: small", "id: other"),
		"programme small of province 21 cannot become other of 21")
	require.Contains(t, forward(FileProgramme, last, added),
		"something new would be open in it before now (city 210100, channel store, category C02, 4 combinations")
	later := fmt.Sprintf("      - scope: {category: C02}\n        open: {windows: [{from: %q}]}\n", dayText(101))
	require.Empty(t, forward(FileProgramme, last, added, FilePolicy, "      # EXTRA\n", later))
	// A set that a group stands for grows by what is new: nobody can have used that before now.
	capped := "      - scope: programme\n        person_caps: [{id: p, amount: 1.00, over: \"@tiny\"}]\n"
	capped = strings.Replace(capped, "scope: programme", "scope: {category: \"@tiny\"}", 1)
	was = compile(t, edit(t, small(t), FilePolicy, "      # EXTRA\n", capped))
	require.Empty(t, forward(FileProgramme, last, added, FilePolicy, "      # EXTRA\n", capped+later))
}

func TestTheTreeOfTheBudgetKeepsItsNamesAndItsPast(t *testing.T) {
	now := dayAt(100)
	was := compile(t, small(t))
	forward := func(old, with string) string {
		return strings.Join(Forward(was, compile(t, edit(t, small(t), FileBudget, old, with)), now), "\n")
	}
	require.Empty(t, forward("amount: 100000.00", "amount: 200000.00"), "amounts are the engine's")
	require.Empty(t, forward("2025-07-01T00:00:00+08:00\", close", "2025-08-01T00:00:00+08:00\", close"), "r2 lies ahead")
	require.Contains(t, forward("  # EXTRA", "  - {path: \"210100/store/A01/*\", amount: none}"),
		`budget node "210100/store/A01/r1" is gone (2 in all)`)
	require.Contains(t, forward(`open: "2025-01-01T00:00:00+08:00"`, `open: "2025-01-02T00:00:00+08:00"`), "round r1 is from")
	require.Contains(t, forward(`close: "2025-07-01T00:00:00+08:00"`, `close: "2025-02-01T00:00:00+08:00"`),
		"round r1 is from")
	require.Contains(t, forward("claim_reserves: none\npaying_city: merchant",
		"claim_reserves: cap\npaying_city: claimant"), "claim_reserves cannot change")
}

// Every field of Rule must be seen by the comparison: one that is not would let history change unnoticed.
func TestEveryPartOfARuleBelongsToASetting(t *testing.T) {
	// Origins; what is derived; what is the cell's and the programme's own.
	aside := []string{"Origins", "weights", "index", "Delivery.Province"}
	var rule Rule
	var walk func(v reflect.Value, name string)
	seen := 0
	walk = func(v reflect.Value, name string) {
		if slices.Contains(aside, name) {
			return
		}
		if v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[Opening]() {
			for i := range v.NumField() {
				walk(v.Field(i), strings.TrimPrefix(name+"."+v.Type().Field(i).Name, "."))
			}
			return
		}
		seen++
		before := rule
		at := reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem() // unexported fields too
		at.Set(another(v.Type()))
		require.NotEmpty(t, differing(&before, &rule, everything()), "%s is compared by no setting", name)
		rule = before
	}
	walk(reflect.ValueOf(&rule).Elem(), "")
	require.Greater(t, seen, 30)
}

// another is a value that is not the zero one.
func another(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch t.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Slice:
		v.Set(reflect.Append(v, another(t.Elem())))
	case reflect.Array:
		v.Index(0).Set(another(t.Elem()))
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem().Set(another(f.Type()))
		}
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	default:
		v.SetInt(1)
	}
	return v
}

func drawDraft(t *rapid.T, d *draft) {
	v := func() *draftVersion { return &d.versions[rapid.IntRange(0, len(d.versions)-1).Draw(t, "version")] }
	day := func(name string) int { return rapid.IntRange(0, 40).Draw(t, name) }
	switch rapid.IntRange(0, 13).Draw(t, "change") {
	case 0:
		v().cap = rapid.IntRange(1, 3).Draw(t, "cap") * 500
	case 1:
		v().percent = rapid.IntRange(9, 21).Draw(t, "percent")
	case 2:
		v().to = day("to")
	case 3:
		v().from = day("from")
	case 4:
		v().until = day("until")
	case 5:
		w := v()
		w.opens, w.shuts = day("opens"), day("shuts")
	case 6:
		w := v()
		w.pauseFrom, w.pauseTo = day("pause from"), day("pause to")
	case 7:
		v().merchantCap = rapid.IntRange(0, 2).Draw(t, "merchant cap") * 300
	case 8:
		v().hours = rapid.SampledFrom([]string{"always", "08:00-23:00", "09:00-10:00"}).Draw(t, "hours")
	case 9:
		d.decides = rapid.SampledFrom([]string{"reserve", "claim"}).Draw(t, "decides")
	case 10:
		from := day("new from")
		d.versions = append(d.versions, draftVersion{
			id: "n" + fmt.Sprint(len(d.versions)), from: from, to: from + rapid.IntRange(1, 10).Draw(t, "long"), cap: 700, percent: 12, hours: "always",
		})
	case 11:
		if i := rapid.IntRange(0, len(d.versions)-1).Draw(t, "gone"); len(d.versions) > 1 {
			d.versions = slices.Delete(d.versions, i, i+1)
		}
	case 12:
		v().id = rapid.SampledFrom([]string{"v1", "v2", "v3", "w"}).Draw(t, "id")
	case 13:
		d.paying = rapid.SampledFrom([]string{"merchant", "store"}).Draw(t, "paying")
	}
}

// What Forward lets pass decides every instant up to now as before: by both kinds of decision, for any cell, merchant and
// claim.
func TestWhatIsForwardOnlyDecidesThePastAsBefore(t *testing.T) {
	accepted, refused := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		d := baseDraft()
		for range rapid.IntRange(0, 3).Draw(rt, "base changes") {
			drawDraft(rt, &d)
		}
		was, err := Compile(d.files(t))
		if err != nil {
			return
		}
		after := draft{decides: d.decides, paying: d.paying, close: d.close, versions: slices.Clone(d.versions)}
		for range rapid.IntRange(1, 3).Draw(rt, "changes") {
			drawDraft(rt, &after)
		}
		next, err := Compile(after.files(t))
		if err != nil || was.Digest == next.Digest {
			return
		}
		now := dayAt(rapid.IntRange(-1, 42).Draw(rt, "now")) + rapid.SampledFrom([]int64{-1, 0, 1, 9 * 3600 * second}).
			Draw(rt, "shift")
		if len(Forward(was, next, now)) > 0 {
			refused++
			return
		}
		accepted++
		for range 20 {
			compareAt(rt, was, next, now)
		}
	})
	require.Positive(t, accepted)
	require.Positive(t, refused)
}

func compareAt(t *rapid.T, was, next *Programme, now int64) {
	instant := func(name string, most int64) int64 {
		return min(most, dayAt(rapid.IntRange(-2, 42).Draw(t, name))+rapid.SampledFrom([]int64{-1, 0, 9*3600*second + 1,
			20 * 3600 * second}).Draw(t, name+" shift"))
	}
	q := Request{
		At: instant("at", now), City: rapid.SampledFrom([]string{"210100", "210200", "210900"}).Draw(t, "city"),
		Channel: rapid.SampledFrom([]string{"store", "online"}).Draw(t,
			"channel"), Category: rapid.SampledFrom([]string{"A01", "A02", "C01"}).Draw(t, "category"),
		Merchant: rapid.SampledFrom([]string{"", "898210157220001", "898210157220002"}).Draw(t, "merchant"),
		Price:    money.Amount(rapid.Int64Range(1, 20_000_00).Draw(t, "price")), Grade: 1, Label: "energy",
	}
	if rapid.Bool().Draw(t, "claimed") {
		q.ClaimAt = instant("claim at", q.At)
	}
	a, b := decide(was, q), decide(next, q)
	require.Equal(t, []any{a.Version, a.Subsidy, a.Payable, a.Base, a.Limited, a.Hold, a.CodeLife}, []any{b.Version,
		b.Subsidy, b.Payable, b.Base, b.Limited, b.Hold, b.CodeLife})
	require.True(t, slices.Equal(a.Refused, b.Refused) && slices.Equal(a.Parts, b.Parts), "%v %v", a.Refused, b.Refused)
	require.Equal(t, was.Budget.PayingCity(q.Channel, "m", "s", "", "c"), next.Budget.PayingCity(q.Channel, "m", "s", "",
		"c"))
	if a.Rule != nil {
		require.Equal(t, a.Rule.Refund, b.Rule.Refund)
	}
	c := ClaimRequest{At: q.At, City: q.City, Channel: q.Channel, Category: q.Category, IDKind: "id-card"}
	var ca, cb ClaimDecision
	was.DecideClaim(&c, &ca)
	next.DecideClaim(&c, &cb)
	require.Equal(t, ca.Version, cb.Version)
	require.Equal(t, ca.Reserve, cb.Reserve)
	require.True(t, slices.Equal(ca.Refused, cb.Refused), "%v %v", ca.Refused, cb.Refused)
}

func TestDifferenceNamesEachSettingByTheBlockInWhichItChanges(t *testing.T) {
	d := baseDraft()
	was := compile(t, d.files(t))
	d.versions[1].to, d.versions[2].cap, d.versions[2].merchantCap = 21, 900, 600
	d.versions = append(d.versions, draftVersion{
		id: "v4", from: 30, to: 40, cap: 900, percent: 10, hours: "always", opens: 31, shuts: 39, pauseFrom: 33, pauseTo: 34,
	})
	files := edit(t, d.files(t), FileBudget, "  # EXTRA", "  - {path: \"210100/store/A01/r2\", amount: 999.00}")
	files = edit(t, files, FileProgramme, "zh: 冰箱", "zh: 电冰箱")
	var lines []string
	for _, c := range Difference(was, compile(t, files)) {
		lines = append(lines, c.Text())
	}
	require.Equal(t, []string{
		"programme category A01: 冰箱 @big energy → 电冰箱 @big energy",
		"version v2: {from: 2025-01-11T00:00:00+08:00, to: 2025-01-21T00:00:00+08:00, grandfather: 2025-01-26T00:00:00+08:00} → " +
			"{from: 2025-01-11T00:00:00+08:00, to: 2025-01-22T00:00:00+08:00, grandfather: 2025-01-26T00:00:00+08:00}",
		"setting v3 item_cap city * channel * category *: 1000.00 → 900.00",
		"setting v3 item_cap city * channel * category * merchant 898210157220001: 500.00 → 600.00",
		"version-new v4: - → {from: 2025-01-31T00:00:00+08:00, to: 2025-02-10T00:00:00+08:00, grandfather: none}",
		"setting v4 open (against v3) city 210200 channel * category *: open → city: {windows: [{from: 2025-02-01T00:00:00+08:00, to: 2025-02-09T00:00:00+08:00}]}",
		"setting v4 pauses (against v3) city * channel * category A02: [] → [{from: 2025-02-03T00:00:00+08:00, to: 2025-02-04T00:00:00+08:00}]",
		"setting v4 item_cap (against v3) city * channel * category * merchant 898210157220001: 600.00 → 900.00",
		"budget-node 210100/store/A01/r2: 1000.00 → 999.00",
	}, lines)
	require.Empty(t, Difference(was, was))
}

func TestEverySettingOfTheSampleProgrammeHasAText(t *testing.T) {
	p := compile(t, readBundle(t, liaoning))
	for i := range p.Versions {
		for j := range p.Versions[i].rules {
			for s := range settingCount {
				require.NotEmpty(t, p.settingText(&p.Versions[i].rules[j], s), s)
			}
		}
	}
	require.Equal(t, "[{grade: [1], label: [energy, water], percent: 20}, {grade: [2], label: [energy, water], percent: 15}]",
		p.settingText(p.Rule("ln-2025-1", "210100", "store", "A01", ""), SetRates))
	require.Equal(t, "00:00", clockText(0))
}

// Cells that are no block are cut into blocks which hold each of them once.
func TestScopesCoverEveryCellOnce(t *testing.T) {
	p := compile(t, small(t))
	rapid.Check(t, func(rt *rapid.T) {
		var cells []cellAt
		p.eachCell(func(city, channel, category int) {
			if rapid.Bool().Draw(rt, "in") {
				cells = append(cells, cellAt{city, channel, category})
			}
		})
		covered := map[cellAt]int{}
		for _, s := range p.scopes(cells) {
			p.eachCell(func(city, channel, category int) {
				in := func(list []string, code string) bool { return len(list) == 0 || slices.Contains(list, code) }
				if in(s.Cities, p.Cities[city].Code) && in(s.Channels, p.Channels[channel].Code) && in(s.Categories,
					p.Categories[category].Code) {
					covered[cellAt{city, channel, category}]++
				}
			})
		}
		require.Len(t, covered, len(cells))
		for _, at := range cells {
			require.Equal(t, 1, covered[at])
		}
	})
}
