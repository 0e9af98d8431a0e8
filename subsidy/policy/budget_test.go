package policy

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/subsidy/reason"
)

func withBudget(t *testing.T, nodes string) map[string][]byte {
	return edit(t, small(t), FileBudget, "  # EXTRA\n", indent(nodes, 2))
}

func TestEveryInstantHasOneLeaf(t *testing.T) {
	p := compile(t, withBudget(t, `
- {path: "210200/online/C01/*", amount: none}
- {path: "210200/store/C01/r2", amount: none}`))
	leaf := func(city, channel, category, instant string) (string, reason.Code) {
		n, code := p.Budget.LeafAt(city, channel, category, at(t, instant))
		if n == nil {
			return "", code
		}
		return n.Path, code
	}
	for _, tc := range []struct {
		city, channel, category, instant, path string
		code                                   reason.Code
	}{
		{"210100", "store", "A01", "2025-06-30T23:59:59+08:00", "210100/store/A01/r1", reason.None},
		{"210100", "store", "A01", "2025-07-01T00:00:00+08:00", "210100/store/A01/r2", reason.None},
		{"210100", "store", "A01", "2024-12-31T23:59:59+08:00", "", reason.RoundClosed},
		{"210100", "store", "A01", "2026-01-01T00:00:00+08:00", "", reason.RoundClosed},
		{"210200", "store", "C01", "2025-07-01T00:00:00+08:00", "", reason.RoundClosed},
		{"210200", "online", "C01", "2025-07-01T00:00:00+08:00", "", reason.BudgetUnknown},
		{"210300", "store", "A01", "2025-07-01T00:00:00+08:00", "", reason.BudgetUnknown},
	} {
		path, code := leaf(tc.city, tc.channel, tc.category, tc.instant)
		require.Equal(t, tc.path, path, tc)
		require.Equal(t, tc.code, code, tc)
	}
}

func TestNodesStandBehindTheirParentsAndSumUp(t *testing.T) {
	for _, files := range []map[string][]byte{small(t), readBundle(t, liaoning)} {
		b := &compile(t, files).Budget
		require.Equal(t, "", b.Nodes[0].Path)
		require.Equal(t, -1, b.Nodes[0].Parent)
		given := make([]money.Amount, len(b.Nodes))
		for i := 1; i < len(b.Nodes); i++ {
			n := &b.Nodes[i]
			require.Less(t, n.Parent, i)
			require.Equal(t, parentPath(n.Path), b.Nodes[n.Parent].Path)
			require.Equal(t, n.Leaf, strings.Count(n.Path, "/") == len(b.Levels)-1)
			require.Equal(t, n.Leaf, n.Round >= 0)
			given[n.Parent] += n.Amount
		}
		for i := range given {
			require.LessOrEqual(t, given[i], b.Nodes[i].Amount, b.Nodes[i].Path)
		}
	}
}

func TestTheMorePrecisePathDecides(t *testing.T) {
	p := compile(t, withBudget(t, `
- {path: "210100/store/@big/r1", amount: 11.00}
- {path: "210100/store/A01|B01/r2", amount: 12.00}
- {path: "210100/store/A01/r1", amount: 13.00}`))
	amount := func(path string) string {
		for i := range p.Budget.Nodes {
			if p.Budget.Nodes[i].Path == path {
				return p.Budget.Nodes[i].Amount.String()
			}
		}
		return ""
	}
	require.Equal(t, "13.00", amount("210100/store/A01/r1"))
	require.Equal(t, "11.00", amount("210100/store/A02/r1"))
	require.Equal(t, "12.00", amount("210100/store/B01/r2"))
	require.Equal(t, "1000.00", amount("210100/store/A02/r2"))
}

func TestLevelsAreData(t *testing.T) {
	files := edit(t, small(t), FileBudget, "[city, channel, category, round]", "[group, city, round]")
	text := string(files[FileBudget])
	files[FileBudget] = []byte(text[:strings.Index(text, "nodes:")] + `nodes:
  - {path: "", amount: 100.00}
  - {path: "*", amount: 50.00}
  - {path: "*/*", amount: 20.00}
  - {path: "*/*/r1", amount: 10.00}
`)
	p := compile(t, files)
	n, _ := p.Budget.LeafAt("210200", "online", "C01", at(t, "2025-02-01T00:00:00+08:00"))
	require.Equal(t, "tiny/210200/r1", n.Path)
	require.Len(t, p.Budget.Nodes, 1+2+4+4)
}

func TestThePayingCityIsChosenByChannel(t *testing.T) {
	p := compile(t, edit(t, small(t), FileBudget, "paying_city: merchant", "paying_city: {default: store, online: delivery}"))
	require.Equal(t, "210200", p.Budget.PayingCity("store", "210100", "210200", "210102", "210100"))
	require.Equal(t, "210100", p.Budget.PayingCity("online", "210200", "210200", "210102", "210200"))
	require.Equal(t, "", p.Budget.PayingCity("online", "210200", "210200", "", "210200"), "no address, nobody pays")
	require.Equal(t, "", p.Budget.PayingCity("online", "210200", "210200", "220102", "210200"))
	require.Equal(t, "", p.Budget.PayingCity("kiosk", "210200", "210200", "", ""))
	for word, want := range map[string]string{"merchant": "m", "store": "s", "claimant": "c"} {
		p := compile(t, edit(t, small(t), FileBudget, "paying_city: merchant", "paying_city: "+word))
		require.Equal(t, want, p.Budget.PayingCity("online", "m", "s", "", "c"))
	}
}

func TestDailyAndDatedReleases(t *testing.T) {
	p := compile(t, withBudget(t, `
- {path: "210100/store/A01/r1", amount: 1000.00, daily: {amount: 300.00, at: "08:00", carry_over: true}}
- {path: "210100/store/A02/r1", amount: 1000.00, releases: [{at: "2025-02-01T00:00:00+08:00", amount: 400.00}, {at: "2025-03-01T00:00:00+08:00", amount: 500.00}]}`))
	released := func(category, instant string) string {
		n, code := p.Budget.LeafAt("210100", "store", category, at(t, "2025-01-01T00:00:00+08:00"))
		require.Equal(t, reason.None, code)
		return p.Budget.ReleasedAt(n, at(t, instant)).String()
	}
	for _, tc := range [][3]string{
		{"A01", "2024-12-31T09:00:00+08:00", "0.00"}, {"A01", "2025-01-01T07:59:59+08:00", "0.00"}, {"A01", "2025-01-01T08:00:00+08:00", "300.00"},
		{"A01", "2025-01-02T07:59:59+08:00", "300.00"}, {"A01", "2025-01-02T08:00:00+08:00", "600.00"}, {"A01", "2025-01-04T08:00:00+08:00", "1000.00"},
		{"A01", "2025-06-04T08:00:00+08:00", "1000.00"},
		{"A02", "2025-01-31T23:59:59+08:00", "0.00"}, {"A02", "2025-02-01T00:00:00+08:00", "400.00"}, {"A02", "2025-03-01T00:00:00+08:00", "900.00"},
		{"B01", "2025-01-01T00:00:00+08:00", "1000.00"}, {"B01", "2024-12-31T23:59:59+08:00", "0.00"},
	} {
		require.Equal(t, tc[2], released(tc[0], tc[1]), tc)
	}
}

func TestThePlanNamesItsNextInstant(t *testing.T) {
	p := compile(t, withBudget(t, `
- {path: "210100/store/A01/r1", amount: 1000.00, daily: {amount: 300.00, at: "08:00", carry_over: true}}
- {path: "210100/store/A02/r2", amount: 1000.00, releases: [{at: "2025-08-01T12:00:00+08:00", amount: 400.00}]}`))
	next := func(instant string) int64 { return p.Budget.NextInstant(at(t, instant)) }
	require.Equal(t, at(t, "2025-01-01T00:00:00+08:00"), next("2024-06-01T00:00:00+08:00"))
	require.Equal(t, at(t, "2025-01-01T08:00:00+08:00"), next("2025-01-01T00:00:00+08:00"))
	require.Equal(t, at(t, "2025-01-02T08:00:00+08:00"), next("2025-01-01T08:00:00+08:00"))
	require.Equal(t, at(t, "2025-07-01T00:00:00+08:00"), next("2025-06-30T08:00:00+08:00"))
	require.Equal(t, at(t, "2025-08-01T12:00:00+08:00"), next("2025-07-01T00:00:00+08:00"))
	require.Equal(t, at(t, "2026-01-01T00:00:00+08:00"), next("2025-08-01T12:00:00+08:00"))
	require.Equal(t, int64(math.MaxInt64), next("2026-01-01T00:00:00+08:00"))
}

func TestTheDayOfADailyReleaseBeginsAtItsHour(t *testing.T) {
	d := DailyRelease{Second: 8 * 3600}
	require.Equal(t, d.Day(at(t, "2025-06-18T07:59:59+08:00"))+1, d.Day(at(t, "2025-06-18T08:00:00+08:00")))
	require.Equal(t, d.Day(at(t, "2025-06-18T08:00:00+08:00")), d.Day(at(t, "2025-06-19T07:59:59+08:00")))
}
