package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func withGolden(t *testing.T, cases string) map[string][]byte {
	files := small(t)
	files[FileGolden] = []byte("source: test\nstatus: verified\ndefaults: {at: \"2025-06-18T10:00:00+08:00\", city: \"210100\", channel: store}\ncases:\n" + indent(cases, 2))
	return files
}

func TestAGoldenCaseNamesEachFigureThatDiffers(t *testing.T) {
	p := compile(t, withGolden(t, `
- name: right
  reserve: {category: A01, price: 1000.00, components: [{kind: prior, amount: 100.00}], used: [{category: B01, items: 1}]}
  expect: {subsidy: 150.00, payable: 750.00, base: 1000.00, version: v1, parts: [{payer: central, amount: 127.50}, {payer: local, amount: 22.50}]}
- name: wrong figures
  reserve: {category: A01, price: 1000.00}
  expect: {subsidy: 1.00, payable: 2.00, base: 3.00, version: v9, parts: [], refused: [PAUSED]}
- name: refused unexpectedly
  reserve: {category: A01, price: 1000.00, at: "2024-01-01T00:00:00+08:00", claim_at: "2024-01-01T00:00:00+08:00", merchant: "898210157220001", label: none, grade: 2, old_item: lead, order_subsidy: 5.00, attributes: {a: b}}
  expect: {subsidy: 0}
- name: right claim
  claim: {category: A01, id_kind: id-card, claims: 2}
  expect: {expires: "2025-06-19T10:00:00+08:00", reserve: 0}
- name: wrong claim
  claim: {category: A01, id_kind: id-card, active: 0}
  expect: {expires: "2025-06-19T11:00:00+08:00", reserve: 1.00}`))
	results := p.RunGolden()
	failures := func(i int) string { return strings.Join(results[i].Failures, "; ") }
	require.Empty(t, results[0].Failures)
	require.Equal(t, "refused is [], want [PAUSED]; version is v1, want v9; base is 1000.00, want 3.00; subsidy is 150.00, want 1.00; "+
		"payable is 850.00, want 2.00; parts is [{central 127.50} {local 22.50}], want []", failures(1))
	require.Equal(t, "refused is [PROGRAMME_NOT_OPEN], want []", failures(2))
	require.Empty(t, results[3].Failures)
	require.Equal(t, "reserve is 0.00, want 1.00; expires is 2025-06-19T10:00:00+08:00, want 2025-06-19T11:00:00+08:00", failures(4))
	require.Equal(t, 5, results[0].Line)
}

func TestAGoldenFileIsCheckedLikeAnyOther(t *testing.T) {
	for cases, want := range map[string]string{
		`- {name: x, reserve: {category: A01, price: 1.00}, expect: {refused: [NO_SUCH]}}`:                                   `unknown reason "NO_SUCH"`,
		`- {name: x, reserve: {category: A01}, expect: {}}`:                                                                  `key "price" is missing`,
		`- {name: x, reserve: {price: 1.00}, expect: {}}`:                                                                    `key "category" is missing, here and in defaults`,
		`- {name: x, expect: {}}`:                                                                                            "want either reserve or claim",
		`- {name: x, reserve: {category: A01, price: 1.00}}`:                                                                 `key "expect" is missing`,
		`- {name: x, claim: {category: A01, id_kind: id-card}, expect: {subsidy: 1.00}}`:                                     `unknown key "subsidy"`,
		`- {name: x, reserve: {category: A01, price: 1.00, used: [{category: Z01, items: 1}]}, expect: {}}`:                  `unknown category "Z01"`,
		`- {name: x, reserve: {category: A01, price: 1.00, grade: 9}, expect: {}}`:                                           "want 1, 2, 3, 4, 5 or none",
		`- {name: x, reserve: {category: A01, price: 1.00, colour: red}, expect: {}}`:                                        `unknown key "colour"`,
		`- {name: x, reserve: {category: A01, price: 1.00, components: [{kind: prior}]}, expect: {}}`:                        `key "amount" is missing`,
		`- {name: x, reserve: {category: A01, price: 1.00}, expect: {parts: [{payer: a, amount: 1.00, x: 1}]}}`:              `unknown key "x"`,
		`- {name: x, claim: {category: A01, id_kind: id-card, claims: many}, expect: {}}`:                                    "want a whole number",
		`- {name: x, reserve: {category: A01, price: 1.00, at: "2025-06-18T10:00:00Z"}, expect: {}}`:                         "want an instant",
		`- {name: x, reserve: {category: A01, price: 1.00}, claim: {category: A01, id_kind: id-card}, expect: {refused: x}}`: "want either reserve or claim",
	} {
		_, err := Compile(withGolden(t, cases))
		require.ErrorContains(t, err, want, cases)
		require.ErrorContains(t, err, "golden.yaml:5: ", cases)
	}
}
