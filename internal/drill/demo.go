package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"huanxin/internal/money"
	"huanxin/internal/postgres"
	"huanxin/internal/process"
	"huanxin/internal/simulator/issuer"
	"huanxin/internal/simulator/wallet"
	"huanxin/settlement"
	"huanxin/subsidy/reason"
)

// Demo is `make run`: everything on one machine, a script of purchases, a summary, and then it keeps serving.
type Demo struct {
	Site   *Site
	Script string
	Out    io.Writer
}

// Run shows the script once and serves until ctx ends. Started again it continues from the same state.
func (d *Demo) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, d.Site.Stop()) }()
	db, err := d.start(ctx)
	if err != nil {
		return interrupted(ctx, err)
	}
	defer db.Close()
	if err := d.show(ctx, db); err != nil {
		return interrupted(ctx, err)
	}
	d.where()
	select {
	case <-ctx.Done():
		fmt.Fprintln(d.Out, "\n正在停止 · stopping")
		return nil
	case <-d.Site.Serve.Done():
		return fmt.Errorf("%w: huanxin serve; see %s", process.ErrEnded, d.Site.Serve.Log())
	case <-d.Site.Host.Done():
		return fmt.Errorf("%w: the simulated card network; see %s", process.ErrEnded, d.Site.Host.Log())
	case <-d.Site.Wallet.Done():
		return fmt.Errorf("%w: the simulated wallet; see %s", process.ErrEnded, d.Site.Wallet.Log())
	}
}

// interrupted turns the errors that Ctrl-C causes into a normal end.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// The demonstration's own times: a network that does not answer is given up after three seconds, a late answer comes after
// five, and a payer types a password for one. The network's clearing day ends while the script plays, so that a cut-over can
// be seen and with it what becomes of a reversal that the network never answers.
const (
	hostPatience = 3 * time.Second
	lateBy       = 5 * time.Second
	passwordBy   = time.Second

	untilCutOver = 15 * time.Second // from the start of the programs
	scriptLead   = 5 * time.Second  // that must be left when the script begins
)

// start starts the hosts and the switch, and says what was there before.
func (d *Demo) start(ctx context.Context) (*postgres.Database, error) {
	d.Site.say("启动卡组织与钱包模拟器、交换 · starting card network, wallet and switch (first start: a few seconds more)")
	d.Site.Settings = append(d.Site.Settings[:len(d.Site.Settings):len(d.Site.Settings)], demoSettings()...)
	for wait := untilCutOver; ; wait *= 2 {
		cutOver := cutOverAt(time.Now().Add(wait))
		d.Site.CutOver = timeOfDay(cutOver)
		if err := d.startPrograms(ctx); err != nil {
			return nil, err
		}
		if time.Until(cutOver) >= scriptLead {
			break
		}
		// A slow machine has used the time up for its first start.
		if err := d.Site.Stop(); err != nil {
			return nil, err
		}
	}
	db, err := d.Site.openDatabase(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.Site.awaitProjection(ctx, db); err != nil {
		return nil, errors.Join(err, closed(db))
	}
	before, err := db.Totals(ctx)
	if err != nil {
		return nil, errors.Join(err, closed(db))
	}
	if before.Purchases > 0 {
		d.Site.say("沿用已有状态 · continuing: %d purchases, %s yuan subsidised before this start", before.Purchases, before.Subsidised)
	}
	return db, nil
}

// cutOverAt is a time of day to the second; midnight stands for no time of its own.
func cutOverAt(at time.Time) time.Time {
	at = at.In(china).Truncate(time.Second)
	if timeOfDay(at) == "00:00:00" {
		at = at.Add(time.Second)
	}
	return at
}

func timeOfDay(at time.Time) string { return at.In(china).Format("15:04:05") }

func demoSettings() []string {
	return append(keyed(),
		"HUANXIN_HOSTS_UNIONPAY_TIMEOUT="+hostPatience.String(), "HUANXIN_HOSTS_UNIONPAY_REVERSAL_RETRY_MIN=1s",
		"HUANXIN_HOSTS_UNIONPAY_REVERSAL_LEAST_LIFE=1s",
	)
}

func (d *Demo) startPrograms(ctx context.Context) error {
	book, err := d.Site.drawKeys()
	if err != nil {
		return err
	}
	if err := d.Site.StartHost(ctx, "--late-by", lateBy.String(), "--keys", d.Site.file(demoKeys)); err != nil {
		return err
	}
	if err := d.Site.StartWallet(ctx, "--password-by", passwordBy.String()); err != nil {
		return err
	}
	return d.Site.startKeyed(ctx, book)
}

func closed(db *postgres.Database) error {
	db.Close()
	return nil
}

// show plays the script, with its receipts, and prints the summary once PostgreSQL has everything. An answer that was not
// as the script expects is shown by the script itself; the switch goes on serving, so that it can be looked at.
func (d *Demo) show(ctx context.Context, db *postgres.Database) error {
	if err := d.play(ctx, d.Out); err != nil {
		if ctx.Err() != nil {
			return err
		}
		d.Site.say("%v", err)
	}
	if err := d.settled(ctx, db); err != nil {
		return err
	}
	facts, err := d.Site.Facts(ctx, db)
	if err != nil {
		return err
	}
	return facts.print(d.Out)
}

func (d *Demo) play(ctx context.Context, out io.Writer) error {
	s := d.Site
	cmd := exec.CommandContext(ctx, s.program("simulator"), "terminal", "--script", d.Script, "--connect", s.Ports.CUP,
		"--api", s.base(), "--token-file", s.tokenFile(), "--state", s.file("terminals.json"), "--wait", "20s", "--programs", s.Programs,
		"--keys", s.file(demoKeys), "--line", "secure="+s.Ports.Secure, "--line", "sm="+s.Ports.SM+"@cup-sm4")
	cmd.Env = append(os.Environ(), s.environment()...) // by which an operator's commands find the switch
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("simulator terminal: %w", err)
	}
	return nil
}

// settled waits until no sale is in flight, no reversal is pending, and PostgreSQL has everything.
func (d *Demo) settled(ctx context.Context, db *postgres.Database) error {
	if _, err := d.Site.drained(ctx, false); err != nil {
		return err
	}
	return d.Site.awaitProjection(ctx, db)
}

// print writes one screen: purchases, money, refusals, budgets, the network's own ledger.
func (f *Facts) print(w io.Writer) error {
	var b strings.Builder
	t := f.Totals
	fmt.Fprintf(&b, "\n──── PostgreSQL 中的记录 · records read back from PostgreSQL ────\n")
	fmt.Fprintf(&b, "journal batch %d, event %d\n", t.Position.Batch, t.Position.Seq)
	for _, c := range f.States {
		kind := "补贴 subsidised"
		if c.Ordinary {
			kind = "普通 ordinary  "
		}
		fmt.Fprintf(&b, "  %-10s %s %4d   subsidy %12s   charged %12s\n", c.State, kind, c.Count, c.Subsidy, c.Amount)
	}
	fmt.Fprintf(&b, "captures %d: charged %s, subsidised %s   refunds %d: given back %s, subsidy restored %s\n",
		t.Captures, t.Charged, t.Subsidised, t.Refunds, t.GivenBack, t.SubsidyRestored)
	fmt.Fprintf(&b, "撤销 voids standing %d   退货 refunds to payers %d: %s, subsidy returned %s   终端结算 batches settled %d, unequal %d\n",
		t.Voids, t.PayerRefunds, t.Refunded, t.SubsidyReturned, t.Batches, t.BatchesUnequal)
	fmt.Fprintf(&b, "entitlements %d   open holds %d (%s)   reversals waiting %d   dead letters %d   work items %d, open %d   operator's acts %d\n",
		t.Entitlements, t.OpenHolds, t.Held, t.ReversalsWaiting, t.DeadLetters, t.WorkItems, t.WorkItemsOpen, t.OperatorActs)
	fmt.Fprintf(&b, "拒绝 refused: %s\n", f.refusals())
	fmt.Fprintf(&b, "──── 预算 · budgets in use, yuan: allocated = free + held + spent ────\n")
	for _, n := range f.Budgets {
		if n.Path == "" || n.Leaf {
			fmt.Fprintf(&b, "  %-22s %14s = %14s + %9s + %10s\n", nodeName(n.Path), n.Allocated, n.Free, n.Held, n.Spent)
		}
	}
	f.appendOwed(&b)
	fmt.Fprintf(&b, "──── 卡组织与钱包自己的账本 · the hosts' own ledgers ────\n")
	for _, host := range []struct {
		name string
		book *LedgerSums
	}{{"卡组织 card network", &f.Ledger}, {"钱包 wallet", &f.Wallet}} {
		l := host.book
		fmt.Fprintf(&b, "  %s: charged %d (%s)   reversed %d (%s)   voided %d (%s), of which undone %d   refunded %d (%s)   standing %s\n",
			host.name, l.Charges, l.Charged, l.Returns, l.Returned, l.Voids, l.Voided, l.Unvoids, l.Refunds, l.Refunded, l.standing())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// appendOwed writes what each merchant has advanced and who owes it. The two sums are the same.
func (f *Facts) appendOwed(b *strings.Builder) {
	fmt.Fprintf(b, "──── 补贴应收应付 · owed for captured subsidies, yuan ────\n")
	var owed money.Amount
	for _, balance := range f.Owed {
		if balance.Account.Kind == settlement.Payable {
			fmt.Fprintf(b, "  商户垫付 advanced by merchant  %-15s %14s%s\n", balance.Account.Party, -balance.Amount, byHand(-balance.Manual))
			continue
		}
		owed += balance.Amount
		fmt.Fprintf(b, "  资金方应付 owed by payer       %-15s %14s%s\n", balance.Account.Party, balance.Amount, byHand(balance.Manual))
	}
	fmt.Fprintf(b, "  合计 sums: advanced %s, owed %s\n", f.advanced(), owed)
}

// byHand sets apart the part of a balance that an operator has recorded by hand.
func byHand(part money.Amount) string {
	if part == 0 {
		return ""
	}
	return fmt.Sprintf("   其中人工补录 of it by hand %s", part)
}

// advanced is what all merchants together have advanced and not got back.
func (f *Facts) advanced() (sum money.Amount) {
	for _, balance := range f.Owed {
		if balance.Account.Kind == settlement.Payable {
			sum -= balance.Amount // a credit
		}
	}
	return sum
}

func (f *Facts) refusals() string {
	var list []string
	for _, r := range f.Refusals {
		list = append(list, fmt.Sprintf("%s×%d", refusalName(r), r.Count))
	}
	return strings.Join(list, "  ")
}

func nodeName(path string) string {
	if path == "" {
		return "whole programme"
	}
	return path
}

func refusalName(r postgres.ReasonCount) string {
	if r.Reason == 0 {
		return r.Response
	}
	return r.Response + "/" + reason.Code(r.Reason).String()
}

// where tells a newcomer what to try next.
func (d *Demo) where() {
	s := d.Site
	fmt.Fprintf(d.Out, `
继续服务中，按 Ctrl-C 停止 · serving until Ctrl-C
  POS terminals   %s (framing cup)   %s (framing nac)
                  %s (3DES keys, MAC, PIN)   %s (国密 SM4)
  HTTP            %s   metrics %s/metrics   readiness %s/readyz
  API token       %s
  sample ids      terminal %s, merchant %s, product %s (冰箱 A01), city %s
  operator        bin/huanxin saf list, pauses, budget show, purchase show 3, … (docs/operator.md); socket %s
  clearing day    ends at %s in this demonstration
  logs            %s, %s, %s
`, s.Ports.CUP, s.Ports.NAC, s.Ports.Secure, s.Ports.SM, s.base(), s.base(), s.base(), s.tokenFile(),
		applianceTerminal, applianceMerchant, refrigerator, shenyang, s.controlSocket(), s.CutOver,
		s.Serve.Log(), s.Host.Log(), s.Wallet.Log())
}

// Facts is what a demonstration left behind, as PostgreSQL and the hosts' own ledgers have it.
type Facts struct {
	Totals   postgres.Totals
	States   []postgres.StateCount
	Refusals []postgres.ReasonCount
	Budgets  []postgres.BudgetNode // nodes with something held or spent
	Owed     []settlement.Balance  // payables to merchants, receivables from payers, up to today
	Ledger   LedgerSums            // of the card network
	Wallet   LedgerSums
}

// LedgerSums is a host's own book in figures.
type LedgerSums struct {
	Charges, Returns, Voids, Unvoids, Refunds     int
	Charged, Returned, Voided, Unvoided, Refunded money.Amount
}

// standing is what payers are charged in the end.
func (l *LedgerSums) standing() money.Amount {
	return l.Charged - l.Returned - l.Voided + l.Unvoided - l.Refunded
}

// Facts reads everything back.
func (s *Site) Facts(ctx context.Context, db *postgres.Database) (f Facts, err error) {
	if f.Totals, err = db.Totals(ctx); err != nil {
		return f, err
	}
	if f.States, err = db.PurchasesByState(ctx); err != nil {
		return f, err
	}
	if f.Refusals, err = db.RefusalsByReason(ctx); err != nil {
		return f, err
	}
	nodes, err := db.Budgets(ctx, -1)
	if err != nil {
		return f, err
	}
	for _, n := range nodes {
		if n.Held != 0 || n.Spent != 0 {
			f.Budgets = append(f.Budgets, n)
		}
	}
	if f.Owed, err = db.Owed(ctx, settlement.DayOf(time.Now().UnixNano())); err != nil {
		return f, err
	}
	lines, err := s.Ledger()
	if err != nil {
		return f, err
	}
	payments, err := s.WalletLedger()
	if err != nil {
		return f, err
	}
	f.Ledger, f.Wallet = sumLedger(lines), sumWallet(payments)
	return f, nil
}

func sumLedger(lines []issuer.Line) (sums LedgerSums) {
	for i := range lines {
		line := &lines[i]
		switch line.Kind {
		case issuer.Charge:
			sums.Charges++
			sums.Charged += line.Amount
		case issuer.Return:
			sums.Returns++
			sums.Returned += line.Amount
		case issuer.Void:
			sums.Voids++
			sums.Voided += line.Amount
		case issuer.Unvoid:
			sums.Unvoids++
			sums.Unvoided += line.Amount
		case issuer.Refund:
			sums.Refunds++
			sums.Refunded += line.Amount
		}
	}
	return sums
}

func sumWallet(lines []wallet.Line) (sums LedgerSums) {
	for i := range lines {
		line := &lines[i]
		switch line.Kind {
		case wallet.Pay:
			sums.Charges++
			sums.Charged += line.Amount
		case wallet.Return:
			sums.Returns++
			sums.Returned += line.Amount
		case wallet.RefundDone:
			sums.Refunds++
			sums.Refunded += line.Amount
		}
	}
	return sums
}
