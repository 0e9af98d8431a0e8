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
	if err := d.Site.checked(ctx); err != nil {
		return err
	}
	d.Site.say("smoke: run %d: journal, PostgreSQL and the hosts' ledgers agree, and huanxin check is clean", run)
	return nil
}

// varying are the parts of a receipt, and of what an operator reads, that differ from run to run.
var varying = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`第 \d+ 次运行`), "第 N 次运行"},
	{regexp.MustCompile(`(批次号|凭证号|授权码|参考号|补贴预占号)( +)\d+`), "$1 N"},
	{regexp.MustCompile(`日期时间 +\d{4}/\d\d/\d\d \d\d:\d\d:\d\d`), "日期时间 T"},
	{regexp.MustCompile(`等到 \d\d:\d\d:\d\d`), "等到 T"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+08:00`), "T"},
	{regexp.MustCompile(`(序列号 +|serial |F59\.S3=)\S+`), "${1}S"},
	{regexp.MustCompile(`E\d{12}`), "E000000000000"},
	{regexp.MustCompile(`P\d{12}`), "P000000000000"},
	{regexp.MustCompile(`(预占号|purchase show) \d{12}`), "$1 000000000000"},
	{regexp.MustCompile(`#\d+( @\d+)?`), "#N"},
	{regexp.MustCompile(`R\d+-(\d{8})-\d{6}`), "RN-$1-N"},
	{regexp.MustCompile(`\b([RW])\d+\b`), "${1}N"},
	{regexp.MustCompile(`\b(F7|F11|F12|F13|F15|F37|F38|F60|F61|F59\.S7|F59\.SA)=\S+`), "$1=N"},
	{regexp.MustCompile(`\b(rrn|entitlement|attempts) \d+`), "$1 N"},
	{regexp.MustCompile(`"(item|purchase|reversal|pause)":"\d+"`), `"$1":"N"`},
	{regexp.MustCompile(`\b(ln-2025-1|demo-\d+(-after)?)\b`), "V"},
	{regexp.MustCompile(`digest [0-9a-f]{12} → [0-9a-f]{12}`), "digest D → D"},
	{regexp.MustCompile(`("digest":|"account":)"[^"]*"`), `$1"A"`},
	{regexp.MustCompile(`\d+ bytes`), "N bytes"},
	{regexp.MustCompile(`"versions":\[[^\]]*\]`), `"versions":[…]`},
	{regexp.MustCompile(`policy apply \S+`), "policy apply DIR"},
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
	for name, n := range demoOnce() {
		want[name] += n
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
		"ledger voids": int64(f.Ledger.Voids), "ledger voided": int64(f.Ledger.Voided),
		"ledger unvoids": int64(f.Ledger.Unvoids), "ledger unvoided": int64(f.Ledger.Unvoided),
		"ledger refunds": int64(f.Ledger.Refunds), "ledger refunded": int64(f.Ledger.Refunded),
		"wallet charges": int64(f.Wallet.Charges), "wallet charged": int64(f.Wallet.Charged), "wallet returns": int64(f.Wallet.Returns),
		"wallet refunds": int64(f.Wallet.Refunds), "wallet refunded": int64(f.Wallet.Refunded),
		"passes": t.Passes, "voids": t.Voids, "quarantined": t.Quarantined, "payer refunds": t.PayerRefunds,
		"payer refunded": int64(t.Refunded), "payer subsidy returned": int64(t.SubsidyReturned),
		"unknown": t.Unknown, "operations open": t.OperationsOpen, "operations unknown": t.OperationsUnknown,
		"dead letters": t.DeadLetters, "work items open": t.WorkItemsOpen, "operator acts": t.OperatorActs,
		"batches": t.Batches, "batches unequal": t.BatchesUnequal, "supplements": t.ManualSupplements,
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
