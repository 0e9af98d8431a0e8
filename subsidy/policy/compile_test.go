package policy

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheSampleProgrammeCompilesAndItsGoldenCasesPass(t *testing.T) {
	p := compile(t, readBundle(t, liaoning))
	require.Len(t, p.Cities, 14)
	require.Len(t, p.Categories, 12+3+1+21)
	results := p.RunGolden()
	require.GreaterOrEqual(t, len(results), 60)
	for _, r := range results {
		require.Empty(t, r.Failures, "%s (line %d)", r.Name, r.Line)
	}
}

func TestTheSmallProgrammeCompiles(t *testing.T) {
	p := compile(t, small(t))
	require.Equal(t, "small", p.ID)
	require.Len(t, p.Merchants, 2)
	require.Len(t, p.Terminals, 1)
	require.Len(t, p.Products, 2)
	require.Len(t, p.Persons, 1)
}

func TestEveryProblemIsNamedWithFileAndLine(t *testing.T) {
	cases := []struct {
		name, file, old, with string
		line                  string // of the first problem, found as the line that holds this text; "" = no line
		want                  string
	}{
		{"unknown key", FilePolicy, "mode: till", "mode: till\n        mood: good", "mood", `unknown key "mood"`},
		{"key twice", FilePolicy, "mode: till", "mode: till\n        mode: till", "", `key "mode" is given twice`},
		{"no source and status", FilePolicy, "source: test\nstatus: assumption\n", "", "decides", "has no source and status"},
		{"source without status", FilePolicy, "status: assumption\n", "", "source: test", "source and status go together"},
		{"status word", FilePolicy, "status: assumption", "status: maybe", "status: maybe", "want verified or assumption"},
		{"alias", FilePolicy, "mode: till", "mode: &x till", "mode: &x", "anchors and aliases"},
		{"not YAML", FilePolicy, "decides: reserve", "decides: [", "", "not YAML"},
		{"second document", FilePolicy, "source: test", "---\nsource: test\n---\na: b", "", "a second document"},
		{"zone missing", FilePolicy, "2025-01-01T00:00:00+08:00", "2025-01-01T00:00:00", "valid", "want an instant such as"},
		{"other zone", FilePolicy, "2025-01-01T00:00:00+08:00", "2025-01-01T00:00:00Z", "valid", "want an instant such as"},
		{"validity turned", FilePolicy, `to: "2026-01-01`, `to: "2024-01-01`, "valid", "must begin before it ends"},
		{"decides", FilePolicy, "decides: reserve", "decides: noon", "decides", "want reserve, claim"},
		{"mode", FilePolicy, "mode: till", "mode: later", "mode: later", "want till, application"},
		{"percent of 100", FilePolicy, "percent: 15", "percent: 100", "percent", "want a percentage below 100"},
		{"percent of 0", FilePolicy, "percent: 15", "percent: 0", "percent", "want a percentage below 100"},
		{"negative cap", FilePolicy, "item_cap: 2000.00", "item_cap: -1", "item_cap", "want yuan"},
		{"cap of nothing", FilePolicy, "item_cap: 2000.00", "item_cap: 0", "item_cap", "want yuan"},
		{"thousandths", FilePolicy, "item_cap: 2000.00", "item_cap: 2000.001", "item_cap", "want yuan"},
		{"minimum of 0", FilePolicy, "minimum_subsidy: 0.01", "minimum_subsidy: 0", "minimum_subsidy", "want yuan"},
		{"minimum above cap", FilePolicy, "minimum_subsidy: 0.01", "minimum_subsidy: 3000", "minimum_subsidy", "above the item cap"},
		{"rounding word", FilePolicy, "rounding: truncate", "rounding: up", "rounding", "want truncate, half-up, half-even"},
		{"hold too long", FilePolicy, "hold_seconds: 180", "hold_seconds: 99999", "hold_seconds", "from 10 to 3600"},
		{"claim hours", FilePolicy, "08:00-23:00", "23:00-08:00", "claim_hours", "must begin before it ends"},
		{"claim hours text", FilePolicy, "08:00-23:00", "8-23", "claim_hours", "want a time of day"},
		{"two validities", FilePolicy, "{hours: 24}", "{hours: 24, calendar_days: 2}", "claim_validity", "either hours or calendar_days"},
		{"unknown document", FilePolicy, "documents: [invoice]", "documents: [letter]", "documents", `unknown document "letter"`},
		{"unknown identity document", FilePolicy, "id_kinds: id-card", "id_kinds: passport", "id_kinds", `unknown identity document "passport"`},
		{"funding of nothing", FilePolicy, "share: 85}, {payer: local, share: 15}", "share: 0}, {payer: local, share: 0}", "funding", "shares above 0"},
		{"funding twice", FilePolicy, "{payer: local, share: 15}", "{payer: central, share: 15}", "funding", "given twice"},
		{"component twice", FilePolicy, "kind: bank, role", "kind: merchant, role", "order: 2", `kind "merchant" is given twice`},
		{"missing setting", FilePolicy, "        hold_seconds: 180\n", "", "id: v1", "no entry sets hold_seconds for 16 combinations, such as city 210100, channel store, category A01"},
		{"no rates", FilePolicy, "rates: [{percent: 15}]", "rates: []", "rates", "at least one row"},
		{"row with attributes never decides", FilePolicy, "rates: [{percent: 15}]", "rates: [{attributes: {a: b}, percent: 15}, {attributes: {c: d, a: b}, old_item: lead, percent: 20}]", "rates", "never decides: the row in line"},
		{"row never decides", FilePolicy, "rates: [{percent: 15}]", "rates: [{percent: 15}, {grade: 1, percent: 20}]", "rates", "never decides: the row in line"},
		{"percent and flat", FilePolicy, "{percent: 15}", "{percent: 15, flat: 1}", "rates", "exactly one of percent, flat and bands"},
		{"bands from 0", FilePolicy, "{percent: 15}", "{bands: [{from: 1, percent: 15}]}", "rates", "the first band must begin at 0"},
		{"bands ascend", FilePolicy, "{percent: 15}", "{bands: [{from: 0, percent: 1}, {from: 5, percent: 2}, {from: 5, percent: 3}]}", "rates", "bands must ascend"},
		{"bands fall", FilePolicy, "{percent: 15}", "{bands: [{from: 0, percent: 20}, {from: 1000, percent: 15}]}", "rates", "a dearer item gets less from 1000.00 yuan on"},
		{"grade", FilePolicy, "{percent: 15}", "{grade: 7, percent: 15}", "rates", "want 1, 2, 3, 4, 5 or none"},
		{"unknown old item", FilePolicy, "{percent: 15}", "{old_item: boat, percent: 15}", "rates", `unknown old item "boat"`},
		{"unknown city in scope", FilePolicy, "      # EXTRA", "      - {scope: {city: \"110100\"}, mode: till}", "110100", `unknown city "110100"`},
		{"unknown group in scope", FilePolicy, "      # EXTRA", "      - {scope: {category: \"@none\"}, mode: till}", "@none", "no category is in this group"},
		{"empty scope", FilePolicy, "      # EXTRA", "      - {scope: {}, mode: till}", "scope: {}", "is empty"},
		{"no scope", FilePolicy, "      # EXTRA", "      - {override: true, order_cap: 5.00}", "order_cap: 5.00", `key "scope" is missing`},
		{"entry without values", FilePolicy, "      # EXTRA", "      - {scope: {city: \"210100\"}}", "{city: \"210100\"}", "the entry sets nothing"},
		{"conflict", FilePolicy, "      # EXTRA", "      - {scope: {city: \"210100\", category: A01}, quota: {items: 2}}\n      - {scope: {category: A01}, quota: {items: 3}}", "{items: 3}", "quota: set at the same scope in line"},
		{"idle", FilePolicy, "      # EXTRA", "      - {scope: {category: [A01, A02, B01, C01]}, quota: {items: 2}}\n      - {scope: {city: \"210100\"}, quota: {items: 3}}", "{items: 3}", "quota: never decides"},
		{"rounding of a category", FilePolicy, "      # EXTRA", "      - {scope: {category: A01}, rounding: half-up}", "half-up", "for the whole programme only"},
		{"ceiling after a payment", FilePolicy, "      # EXTRA", "      - {scope: {category: A01}, price_ceiling: {amount: 1.00, on: after, after: prior}}", "after: prior", `"prior" is not a kind of discount`},
		{"ceiling after nothing", FilePolicy, "      # EXTRA", "      - {scope: {category: A01}, price_ceiling: {amount: 1.00, on: after}}", "on: after", "go together"},
		{"cap over others", FilePolicy, "      # EXTRA", "      - {scope: {category: A01}, person_caps: [{id: x, amount: 5.00, over: B01}]}", "id: x", "is not over the category itself"},
		{"quota over others", FilePolicy, "      # EXTRA", "      - {scope: {category: A01}, quota: {items: 1, over: B01}}", "over: B01", "is not over the category itself"},
		{"one member", FilePolicy, "      # EXTRA", "      - {scope: {category: A01}, exclusions: [{id: x, members: [A01]}]}", "id: x", "at least two members"},
		{"member in both", FilePolicy, "      # EXTRA", "      - {scope: {category: A01}, exclusions: [{id: x, members: [A01, \"@big\"]}]}", "id: x", "category A01 is in two members"},
		{"unknown merchant", FilePolicy, "      # EXTRA", "      - {scope: {merchant: \"898210157229999\"}, open: false}", "898210157229999", "is not in merchants.csv"},
		{"malformed merchant", FilePolicy, "      # EXTRA", "      - {scope: {merchant: abc}, open: false}", "merchant: abc", "want a merchant id"},
		{"open to nothing", FilePolicy, "      # EXTRA", "      - {scope: {city: \"210100\"}, open: {windows: []}}", "windows", "say `open: false`"},
		{"open by nothing", FilePolicy, "      # EXTRA", "      - {scope: {city: \"210100\"}, open: {}}", "open: {}", "names neither windows nor hours"},
		{"a very long value", FilePolicy, "mode: till", "mode: " + strings.Repeat("x", 5000), "mode: x", " …"},
		{"name with a line break", FileProgramme, "zh: 门店", `zh: "门\n店"`, "en: store", "without control characters"},
		{"old item of a rate", FilePolicy, "      # EXTRA", "      - {scope: {category: C01}, old_item: {required: true, kinds: [lead]}, rates: [{old_item: lithium, percent: 20}]}", "lithium, percent", "is not among the kinds of old_item"},
		{"versions overlap", FilePolicy, "  # VERSIONS", "  - {id: v2, valid: {from: \"2025-12-31T00:00:00+08:00\", to: \"2026-12-31T00:00:00+08:00\"}, grandfather: none, rules: []}", "id: v2", "begins before version v1 ends"},
		{"grandfather early", FilePolicy, "grandfather: none", "grandfather: {until: \"2025-06-01T00:00:00+08:00\"}", "grandfather", "before the end of the version"},

		{"category twice", FileProgramme, "code: A02", "code: A01", "en: washer", `code "A01" is given twice`},
		{"category group", FileProgramme, "code: A01, group: big", "code: A01, group: huge", "en: fridge", `unknown group "huge"`},
		{"city of another province", FileProgramme, `code: "210200"`, `code: "220200"`, "en: Dalian", "want the division code of a city of province 21"},
		{"district as city", FileProgramme, `code: "210200"`, `code: "210202"`, "en: Dalian", "want the division code of a city of province 21"},
		{"programme id", FileProgramme, "id: small", "id: Small One", "id: Small", "want 1–40 small letters"},
		{"province", FileProgramme, `province: "21"`, `province: "2"`, "province", "first two digits"},
		{"no categories", FileProgramme, "documents:", "extra: 1\ndocuments:", "extra", `unknown key "extra"`},

		{"children above parent", FileBudget, `{path: "*/*", amount: 10000.00}`, `{path: "*/*", amount: 30000.00}`, `path: "*",`, `its children are given 60000.00`},
		{"unknown path", FileBudget, "  # EXTRA", `  - {path: "210100/kiosk", amount: 1.00}`, "kiosk", `unknown channel "kiosk"`},
		{"too deep", FileBudget, "  # EXTRA", `  - {path: "*/*/*/*/*", amount: 1.00}`, "*/*/*/*/*", "5 segments, but the tree has 4 levels"},
		{"given twice", FileBudget, "  # EXTRA", `  - {path: "*/*", amount: 1.00}`, `"*/*", amount: 1.00`, "is given as precisely in line"},
		{"no root", FileBudget, `  - {path: "", amount: 100000.00}` + "\n", "", "", "the root, with path \"\", is missing"},
		{"no parent", FileBudget, `  - {path: "*/*", amount: 10000.00}` + "\n", "", `"*/*/*", amount`, `has no parent: nothing gives "210100/store"`},
		{"levels without round", FileBudget, "[city, channel, category, round]", "[city, channel]", "levels", "the last level must be round"},
		{"rounds overlap", FileBudget, `close: "2025-07-01`, `close: "2025-08-01`, `"*/*/*/*"`, "rounds r1 and r2 overlap"},
		{"round turned", FileBudget, `close: "2025-07-01`, `close: "2024-07-01`, "id: r1", "must open before it closes"},
		{"daily on a branch", FileBudget, "  # EXTRA", `  - {path: "210100", amount: 40000.00, daily: {amount: 1.00, at: "08:00", carry_over: true}}`, "daily", "belong to leaves"},
		{"releases above amount", FileBudget, "  # EXTRA", `  - {path: "210100/store/A01/r1", amount: 10.00, releases: [{at: "2025-02-01T00:00:00+08:00", amount: 11.00}]}`, "releases", "more than the node's 10.00"},
		{"claim reserve without claimant", FileBudget, "claim_reserves: none", "claim_reserves: cap", "paying_city", "needs paying_city: claimant"},

		{"merchant city", FileMerchants, "商户一,210100", "商户一,210300", "商户一", `unknown city "210300"`},
		{"merchant group", FileMerchants, "@big", "@none", "商户一", `unknown category or group "@none"`},
		{"merchant channel", FileMerchants, "online store", "kiosk store", "商户一", `unknown channel "kiosk"`},
		{"merchant twice", FileMerchants, "898210257220002", "898210157220001", "商户二", "is given twice"},
		{"merchant header", FileMerchants, "id,name", "no,name", "no,name", "the header is"},
		{"terminal merchant", FileTerminals, "898210157220001", "898210157220009", "21010001", "is not in merchants.csv"},
		{"terminal channel", FileTerminals, "210100,store", "210100,qr", "21010001", "does not sell through channel"},
		{"terminal degrees", FileTerminals, "123.429400", "200.5", "21010001", "beyond ±180 degrees"},
		{"product check digit", FileProducts, "6901234567892", "6901234567893", "6901234567893", "wrong check digit"},
		{"product category", FileProducts, "6901234567892,A01", "6901234567892,Z01", "Z01", `unknown category "Z01"`},
		{"product must state", FileProducts, "kind=drum", "kind=round", "kind=round", "category A02 must state kind=drum|top"},
		{"person checksum", FilePersons, "11017", "11018", "11018", "wrong check character"},
		{"person kind", FilePersons, "id-card,210102190001011017", "passport,E1234567", "passport", `unknown identity document "passport"`},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			files := edit(t, small(t), tc.file, tc.old, tc.with)
			_, err := Compile(files)
			var problems Problems
			require.ErrorAs(t, err, &problems)
			line := 0
			if tc.line != "" {
				line = lineOf(t, files[tc.file], tc.line)
			}
			i := slices.IndexFunc(problems, func(p Problem) bool {
				return p.File == tc.file && strings.Contains(p.Text, tc.want) && (line == 0 || p.Line == line)
			})
			require.GreaterOrEqual(t, i, 0, "want %q in line %d among:\n%v", tc.want, line, err)
			if line > 0 {
				require.True(t, strings.HasPrefix(problems[i].String(), tc.file+":"+strconv.Itoa(line)+": "))
			}
		})
	}
}

func lineOf(t *testing.T, data []byte, text string) int {
	before, _, found := bytes.Cut(data, []byte(text))
	require.True(t, found, text)
	return bytes.Count(before, []byte("\n")) + 1
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	files := edit(t, small(t), FilePolicy, "mode: till", "mode: later")
	files = edit(t, files, FilePolicy, "hold_seconds: 180", "hold_seconds: 1")
	files = edit(t, files, FileBudget, "claim_reserves: none", "claim_reserves: some")
	files = edit(t, files, FileProducts, "6901234567892", "6901234567893")
	_, err := Compile(files)
	var problems Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 4)
	require.True(t, slices.IsSortedFunc(problems, func(a, b Problem) int { return strings.Compare(a.File, b.File) }))
}

func TestAnIdentityNumberIsNeverQuotedInAProblem(t *testing.T) {
	_, err := Compile(edit(t, small(t), FilePersons, "11017", "11018"))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "210102190001011018")
}

func TestMissingFilesAndForeignFilesAreRefused(t *testing.T) {
	files := small(t)
	delete(files, FileBudget)
	files["notes.yaml"] = []byte("a: b")
	_, err := Compile(files)
	require.ErrorContains(t, err, "budget.yaml: the file is missing")
	require.ErrorContains(t, err, "notes.yaml: not a file of a programme")
}

func TestAnEmptyBundleIsRefusedNotPanickedOn(t *testing.T) {
	for _, data := range []string{"", "\n", "null", "[]", "a", "a: [", "\x00", "- - -", "? {a: b}: c"} {
		_, err := Compile(map[string][]byte{FileProgramme: []byte(data), FilePolicy: []byte(data), FileBudget: []byte(data)})
		require.Error(t, err, data)
	}
}

func TestRulesCompileWithoutTables(t *testing.T) {
	full := compile(t, small(t))
	rules := compile(t, Rules(small(t)))
	require.Equal(t, full.Digest, rules.Digest, "the journal holds the rules only: their digest must not depend on the tables")
	require.Empty(t, rules.Merchants)
}

func TestANamedTableMustBeThereWhenOthersAre(t *testing.T) {
	files := small(t)
	delete(files, FilePersons)
	_, err := Compile(files)
	require.ErrorContains(t, err, "persons.csv: the file is missing; programme.yaml names it")
}

func TestTheDigestChangesWithEveryByteOfARuleFile(t *testing.T) {
	files := small(t)
	base := DigestOf(files)
	for _, name := range RuleFiles() {
		changed := maps.Clone(files)
		changed[name] = append(bytes.Clone(files[name]), ' ')
		require.NotEqual(t, base, DigestOf(changed), name)
	}
	moved := map[string][]byte{"budget.yaml": []byte("ab"), "policy.yaml": []byte("c")}
	require.NotEqual(t, DigestOf(moved), DigestOf(map[string][]byte{"budget.yaml": []byte("a"), "policy.yaml": []byte("bc")}))
	require.NotEqual(t, base, [32]byte{})
}

func TestEveryValueCarriesItsOwnOriginOrThatOfTheBlockAroundIt(t *testing.T) {
	files := withRules(t, `
- scope: {category: A01}
  source: a notice
  status: verified
  item_cap: 1000.00
  order_cap: {value: 900.00, source: a guess, status: assumption}`)
	p := compile(t, files)
	r := p.Rule("v1", "210100", "store", "A01", "")
	item, order := r.Origin(SetItemCap), r.Origin(SetOrderCap)
	require.Equal(t, Origin{FilePolicy, lineOf(t, files[FilePolicy], "item_cap: 1000.00"), "a notice", Verified}, item)
	require.Equal(t, Origin{FilePolicy, lineOf(t, files[FilePolicy], "order_cap:"), "a guess", Assumption}, order)
}

func TestWhatMayBeAbsentCanBeTakenBackByNone(t *testing.T) {
	p := compile(t, withRules(t, `
- scope: {category: "@big"}
  order_cap: 5.00
  person_caps: [{id: x, amount: 5.00, over: "@big"}]
  exclusions: [{id: g, members: [A01, A02]}]
  price_ceiling: {amount: 1.00, on: final}
  old_item: {required: true}
- scope: {merchant: "898210157220001"}
  item_cap: none
  order_cap: none
  person_caps: none
  exclusions: none
  price_ceiling: none
  old_item: none
  components: none`))
	require.Len(t, decide(p, fridge(t, 100_000)).Refused, 2, "old item, ceiling")
	r := fridge(t, 10_000_000)
	r.Merchant = "898210157220001"
	r.Usage = []CategoryUse{{Category: "A02", Items: 1, Subsidy: 500}}
	d := decide(p, r)
	require.Empty(t, d.Refused)
	require.EqualValues(t, 1_500_000, d.Subsidy)
	require.Empty(t, d.Rule.Components)
}

func TestValuesOfTheWrongKindAreProblems(t *testing.T) {
	for _, tc := range [][2]string{
		{"mode: till", "mode: [till]"}, {"mode: till", "mode:"}, {"quota: {items: 1}", "quota: 1"}, {"rates: [{percent: 15}]", "rates: 15"},
		{"rates: [{percent: 15}]", "rates: [15]"}, {"rates: [{percent: 15}]", "rates: [{bands: 15}]"}, {"rates: [{percent: 15}]", "rates: [{bands: [{from: 0}]}]"},
		{"quota: {items: 1}", "quota: {items: one}"}, {"place_cities: province", "place_cities: []"}, {"place_cities: province", "place_cities: [\"210100\", \"210100\"]"},
		{"id_kinds: id-card", "id_kinds: []"}, {"id_kinds: id-card", "id_kinds: [id-card, id-card]"}, {"id_kinds: id-card", "id_kinds: {a: b}"},
		{"missing: mark", "missing: maybe"}, {", missing: mark", ""}, {"claim_hours: 08:00-23:00", "claim_hours: 08:00"},
		{"{hours: 24}", "24"}, {"{claims: 3, active: 1}", "{claims: 0, active: 0}"}, {"order: 1,", "order: 0,"}, {"in_base: true}", "in_base: yes}"},
		{"evidence: {serial: sn", "evidence: {serial: vin"}, {"refund: {window_days: 7", "refund: {window_days: -7"}, {"address: none", "address: sometimes"},
		{"percent: 15", "percent: 15, attributes: [a]"}, {"percent: 15", "percent: 15, attributes: {a b: c}"}, {"percent: 15", "percent: 15, may_fall: maybe"},
		{"percent: 15", "percent: 15, label: heat"}, {"- scope: programme", "- scope: [programme]"}, {"versions:\n", "versions: {}\nothers:\n"},
		{"decides: reserve", "decides: {value: reserve, source: x}"}, {"decides: reserve", "decides: {value: reserve, status: verified, source: \" \"}"},
	} {
		_, err := Compile(edit(t, small(t), FilePolicy, tc[0], tc[1]))
		require.ErrorContains(t, err, "policy.yaml:", "%s → %s", tc[0], tc[1])
	}
}

func TestIdentityNumbersHaveARightCheckCharacter(t *testing.T) {
	require.NoError(t, CheckIDCard("210102190001011017"))
	require.NoError(t, CheckIDCard("11010519491231002X")) // the example of GB 11643
	for _, bad := range []string{"", "210102190001011018", "11010519491231002x", "110105194912310021", "2101021900010110170", "21010219000101A017"} {
		require.ErrorIs(t, CheckIDCard(bad), ErrIDCard, bad)
	}
}

func TestCodesAreFoundByTheirPositionInTheFile(t *testing.T) {
	p := compile(t, small(t))
	i, ok := p.CategoryIndex("B01")
	require.True(t, ok)
	require.Equal(t, 2, i)
	i, ok = p.CityIndex("210200")
	require.True(t, ok)
	require.Equal(t, 1, i)
	i, ok = p.ChannelIndex("online")
	require.True(t, ok)
	require.Equal(t, 1, i)
	_, ok = p.CategoryIndex("Z01")
	require.False(t, ok)
}
