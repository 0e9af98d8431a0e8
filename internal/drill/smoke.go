package drill

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"huanxin/internal/money"
	"huanxin/internal/postgres"
	"huanxin/settlement"
)

// receipts is what one run of the demonstration prints, with the numbers that differ from run to run replaced.
//
//go:embed receipts.txt
var receipts string

// smokeRuns is how often smoke starts everything: the second start must continue from the state of the first.
const smokeRuns = 2

// Smoke is `make smoke`: the demonstration twice over the same state, every figure checked, and the books compared.
// rewrite, when not empty, is a file that the receipts of the first run are written to instead of being compared.
func (d *Demo) Smoke(ctx context.Context, rewrite string) error {
	for run := 1; run <= smokeRuns; run++ {
		if err := d.smokeRun(ctx, run, rewrite); err != nil {
			return fmt.Errorf("smoke: run %d: %w", run, errors.Join(err, d.Site.Stop()))
		}
		if err := d.Site.Stop(); err != nil {
			return fmt.Errorf("smoke: %w", err)
		}
	}
	if err := Sweep(d.Site.Dir, d.Site.program("huanxin")); err != nil {
		return fmt.Errorf("smoke: %w", err)
	}
	d.Site.say("smoke: all figures as expected")
	return nil
}

func (d *Demo) smokeRun(ctx context.Context, run int, rewrite string) error {
	db, err := d.start(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	var printed bytes.Buffer
	if err := d.play(ctx, &printed); err != nil {
		return fmt.Errorf("%w\n%s", err, lastLines(printed.String(), 12))
	}
	text := neutral(printed.String())
	if rewrite != "" && run == 1 {
		if err := os.WriteFile(rewrite, []byte(text), 0o644); err != nil {
			return err
		}
		receipts = text
	}
	if err := sameText(text, receipts); err != nil {
		return fmt.Errorf("receipts: %w", err)
	}
	if err := d.settled(ctx, db); err != nil {
		return err
	}
	if err := d.checkFigures(ctx, db, run); err != nil {
		return err
	}
	v, err := d.Site.compare(ctx, fmt.Sprintf("smoke-run-%d", run), nil, db, true)
	if err != nil {
		return err
	}
	// The script checks its answers itself and keeps no record of them, so the line of a drill would count none.
	if !v.Clean() {
		v.Explain(d.Out, 10)
		return ErrFailed
	}
	d.Site.say("smoke: run %d: journal, PostgreSQL and the network's ledger agree", run)
	return nil
}

// varying are the parts of a receipt that differ from run to run.
var varying = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`第 \d+ 次运行`), "第 N 次运行"},
	{regexp.MustCompile(`(凭证号|授权码|参考号|补贴预占号|原凭证号|原参考号)( +)\d+`), "$1 N"},
	{regexp.MustCompile(`日期时间 +\d{4}/\d\d/\d\d \d\d:\d\d:\d\d`), "日期时间 T"},
	{regexp.MustCompile(`序列号 +\S+`), "序列号 S"},
	{regexp.MustCompile(`E\d{12}`), "E000000000000"},
	{regexp.MustCompile(`预占号 \d{12}`), "预占号 000000000000"},
}

func neutral(text string) string {
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.with)
	}
	return text
}

// sameText names the first line that differs.
func sameText(got, want string) error {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		switch {
		case i >= len(g):
			return fmt.Errorf("line %d is missing: %q", i+1, w[i])
		case i >= len(w):
			return fmt.Errorf("line %d is one too many: %q", i+1, g[i])
		case g[i] != w[i]:
			return fmt.Errorf("line %d is %q, expected %q", i+1, g[i], w[i])
		}
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// checkFigures compares everything that was counted with what `run` runs of the script must give.
func (d *Demo) checkFigures(ctx context.Context, db *postgres.Database, run int) error {
	facts, err := d.Site.Facts(ctx, db)
	if err != nil {
		return err
	}
	got := facts.figures()
	want := demoFigures()
	for name := range want {
		want[name] *= int64(run)
	}
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			wrong = append(wrong, fmt.Sprintf("%s is %d, expected %d", name, got[name], want[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, known := want[name]; !known && got[name] != 0 {
			wrong = append(wrong, fmt.Sprintf("%s is %d, expected nothing", name, got[name]))
		}
	}
	for _, n := range facts.Budgets {
		if n.Allocated != n.Free+n.Held+n.Spent {
			wrong = append(wrong, fmt.Sprintf("budget %q: %s allocated, but %s free + %s held + %s spent", n.Path, n.Allocated, n.Free, n.Held, n.Spent))
		}
	}
	if standing := capturedSubsidy(facts.States); facts.advanced() != standing {
		wrong = append(wrong, fmt.Sprintf("merchants are owed %s, but the captured purchases carry %s of subsidy", facts.advanced(), standing))
	}
	if len(wrong) > 0 {
		return fmt.Errorf("figures:\n  %s", strings.Join(wrong, "\n  "))
	}
	d.Site.say("smoke: run %d: %d figures as expected", run, len(want))
	return nil
}

// capturedSubsidy is the subsidy of the purchases that stand.
func capturedSubsidy(states []postgres.StateCount) (sum money.Amount) {
	for _, s := range states {
		if s.State == string(Captured) {
			sum += s.Subsidy
		}
	}
	return sum
}

// figures names every number of the facts. Amounts are fen.
func (f *Facts) figures() map[string]int64 {
	t := f.Totals
	list := map[string]int64{
		"captures": t.Captures, "captures charged": int64(t.Charged), "captures subsidised": int64(t.Subsidised),
		"refunds": t.Refunds, "refunds given back": int64(t.GivenBack), "refunds subsidy restored": int64(t.SubsidyRestored),
		"entitlements": t.Entitlements, "refusals": t.Refusals, "open holds": t.OpenHolds, "held": int64(t.Held),
		"reversals waiting": t.ReversalsWaiting, "work items": t.WorkItems,
		"ledger charges": int64(f.Ledger.Charges), "ledger charged": int64(f.Ledger.Charged),
		"ledger returns": int64(f.Ledger.Returns), "ledger returned": int64(f.Ledger.Returned),
	}
	for _, s := range f.States {
		name := s.State
		if s.Ordinary {
			name += " ordinary"
		}
		list[name], list[name+" subsidy"], list[name+" amount"] = s.Count, int64(s.Subsidy), int64(s.Amount)
	}
	for _, r := range f.Refusals {
		list["refused "+refusalName(r)] = r.Count
	}
	for _, n := range f.Budgets {
		list["budget "+n.Path+" spent"], list["budget "+n.Path+" held"] = int64(n.Spent), int64(n.Held)
	}
	list["advanced by merchants"] = int64(f.advanced())
	for _, b := range f.Owed {
		if b.Account.Kind == settlement.Receivable {
			list["owed by "+b.Account.Party] = int64(b.Amount)
		}
	}
	return list
}

// demoFigures is what one run of config/simulator/demo.yaml must leave behind, added up here from the prices and rates of
// the script, not from what the switch says. Amounts are fen.
func demoFigures() map[string]int64 {
	yuan := func(amounts ...string) (sum int64) {
		for _, text := range amounts {
			a, err := money.ParseYuan(text)
			if err != nil {
				panic(err) // a constant of this file
			}
			sum += int64(a)
		}
		return sum
	}
	// Two refrigerators, laser TV, phone, tablet, two air conditioners, e-bike, sofa, washing machine.
	subsidy := yuan("1199.80", "344.85", "2000.00", "500.00", "419.85", "599.80", "599.80", "479.80", "749.85", "659.80")
	charged := yuan("4799.20", "1954.15", "13999.00", "3499.00", "2379.15", "2399.20", "2399.20", "1919.20", "4249.15", "2639.20")
	ordinary := yuan("128.00", "50.00", "70.00")
	// The washing machine whose answer was lost: captured, then reversed by the terminal. The sale that was approved in
	// part: 50.06 charged and given back.
	lost, lostSubsidy, part := yuan("2639.20"), yuan("659.80"), yuan("50.06")

	// 85 % of each, to the nearest fen; the rest is the local part.
	central := yuan("1019.83", "293.12", "1700.00", "425.00", "356.87", "509.83", "509.83", "407.83", "637.37", "560.83")

	return map[string]int64{
		"advanced by merchants": subsidy, "owed by central": central, "owed by local": subsidy - central,

		"captured": 10, "captured subsidy": subsidy, "captured amount": charged,
		"captured ordinary": 3, "captured ordinary subsidy": 0, "captured ordinary amount": ordinary,
		"reversed": 1, "reversed subsidy": lostSubsidy, "reversed amount": lost,
		"reversed ordinary": 1, "reversed ordinary subsidy": 0, "reversed ordinary amount": yuan("100.11"),
		"declined": 1, "declined subsidy": yuan("519.87"), "declined amount": yuan("2079.51"),
		// Range hood, dishwasher, stove; and the water purifier whose reserve was reversed.
		"cancelled": 4, "cancelled subsidy": yuan("439.80", "999.80", "259.80", "399.80"),
		"cancelled amount": yuan("1759.20", "3999.20", "1039.20", "1599.20"),

		"captures": 14, "captures charged": charged + ordinary + lost, "captures subsidised": subsidy + lostSubsidy,
		"refunds": 1, "refunds given back": lost, "refunds subsidy restored": lostSubsidy,
		"entitlements": 26, "refusals": 14, "open holds": 0, "held": 0, "reversals waiting": 0, "work items": 0,
		"ledger charges": 15, "ledger charged": charged + ordinary + lost + part,
		"ledger returns": 2, "ledger returned": lost + part,

		"refused 57/PRODUCT_WITHDRAWN": 1, "refused 57/GRADE_NOT_ELIGIBLE": 1, "refused 57/CATEGORY_MISMATCH": 1,
		"refused 57/SERIAL_USED": 1, "refused 57/OLD_ITEM_MISSING": 1, "refused 57/PRICE_ABOVE_CEILING": 1,
		"refused 57/ENTITLEMENT_UNKNOWN": 1, "refused 57/POSITION_MISSING": 1, "refused 57/POSITION_STALE": 1,
		"refused 57/POSITION_OUTSIDE": 1, "refused 57/POSITION_OTHER_CITY": 1, "refused 57/BUDGET_EXHAUSTED": 1,
		"refused 25": 1, "refused 13/PAYABLE_MISMATCH": 1,

		"budget  spent": subsidy, "budget 210100 spent": subsidy - yuan("479.80"), "budget 210200 spent": yuan("479.80"),
		"budget 210100/store spent": subsidy - yuan("479.80", "419.85"), "budget 210100/qr spent": yuan("419.85"),
		"budget 210200/store spent":        yuan("479.80"),
		"budget 210100/store/A01 spent":    yuan("1199.80", "344.85"),
		"budget 210100/store/A02 spent":    yuan("659.80"),
		"budget 210100/store/A03 spent":    yuan("2000.00"),
		"budget 210100/store/A04 spent":    yuan("599.80", "599.80"),
		"budget 210100/store/B01 spent":    yuan("500.00"),
		"budget 210100/store/H13 spent":    yuan("749.85"),
		"budget 210100/qr/B02 spent":       yuan("419.85"),
		"budget 210200/store/E01 spent":    yuan("479.80"),
		"budget 210100/store/A01/r2 spent": yuan("1199.80", "344.85"),
		"budget 210100/store/A02/r2 spent": yuan("659.80"),
		"budget 210100/store/A03/r2 spent": yuan("2000.00"),
		"budget 210100/store/A04/r2 spent": yuan("599.80", "599.80"),
		"budget 210100/store/B01/r2 spent": yuan("500.00"),
		"budget 210100/store/H13/r2 spent": yuan("749.85"),
		"budget 210100/qr/B02/r2 spent":    yuan("419.85"),
		"budget 210200/store/E01/r2 spent": yuan("479.80"),
	}
}
