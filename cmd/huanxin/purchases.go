package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"huanxin/switch/control"
	"huanxin/switch/trail"
)

// newPurchaseCommand is `huanxin purchase`: find one, and tell its whole story.
func newPurchaseCommand() *cobra.Command {
	return group("purchase", "查询交易 – the whole trail of a purchase, and how to find one", newPurchaseShowCommand(),
		newPurchaseFindCommand())
}

func newPurchaseShowCommand() *cobra.Command {
	var f switchFlags
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "全程轨迹 – every event, every message masked, every reason",
		Long: `Tells everything that has happened to a purchase, from the journal: reserve, sale, answers in time and late, reversals with
every attempt, voids, refunds, acts of operators, refusals, work items, and the settlement of its batch. Messages are rebuilt
from the facts: what arrived with an arrow to the left, what was sent with one to the right. Times are +08:00.

ID is the hold id of the slip or the P number over HTTP, with or without leading zeros.`,
		Args: arguments(1, 1, "the number of a purchase"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parsePurchase(args[0])
			if err != nil {
				return err
			}
			client, err := f.client()
			if err != nil {
				return err
			}
			story, err := client.Purchase(cmd.Context(), id)
			if err != nil {
				return failed(err)
			}
			if f.json {
				return writeJSON(cmd.OutOrStdout(), story)
			}
			text := story.AppendText(nil)
			if now := story.Now; now != nil {
				text = append(text, nowText(now)...)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	f.add(cmd)
	return cmd
}

// nowText is how a purchase stands.
func nowText(p *control.Purchase) string {
	parts := []string{"现状 now: " + p.State}
	if p.Manual {
		parts = append(parts, "人工补录 recorded by hand")
	}
	// What is undone holds and charges nothing any more.
	live := slices.Contains([]string{"reserved", "sent", "unknown", "captured", "voiding", "refunding"}, p.State)
	for _, a := range []struct {
		name  string
		value fmt.Stringer
		show  bool
	}{
		{"成交价 price", p.Price, p.Price != 0}, {"补贴 subsidy", p.Subsidy, live && p.Price != 0},
		{"应付 payable", p.Payable, live && p.Price != 0}, {"付款 amount", p.Amount, live && p.Amount != 0},
		{"已退 refunded", p.Refunded, p.Refunded != 0},
		{"退货中 refunding", p.Refunding, p.Refunding != 0}, {"补贴退回 returned", p.Returned, p.Returned != 0},
	} {
		if a.show {
			parts = append(parts, a.name+" "+a.value.String())
		}
	}
	return strings.Join(parts, " · ") + "\n"
}

func newPurchaseFindCommand() *cobra.Command {
	var f switchFlags
	var q control.FindRequest
	cmd := &cobra.Command{
		Use:   "find",
		Short: "查找交易 – by terminal, STAN, RRN, card token, serial, person token",
		Long: `Lists the purchases to which everything that is given applies, the newest first. --stan needs --terminal. Card and person are
tokens, 32 hexadecimal digits; the serial is given as it stands on the label and hashed by the switch.`,
		Args: arguments(0, 0, "flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := f.client()
			if err != nil {
				return err
			}
			found, err := client.Find(cmd.Context(), &q)
			if err != nil {
				return failed(err)
			}
			out := cmd.OutOrStdout()
			if f.json {
				return writeJSON(out, found)
			}
			for i := range found.Purchases {
				fmt.Fprintln(out, foundLine(&found.Purchases[i]))
			}
			switch {
			case found.Incomplete != "":
				fmt.Fprintf(out, "不完整 incomplete: %s\n", found.Incomplete)
			case found.More:
				fmt.Fprintln(out, "… 还有更多 more (--limit)")
			case len(found.Purchases) == 0:
				fmt.Fprintln(out, "无 none")
			}
			return nil
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&q.Terminal, "terminal", "", "终端号 terminal (DE41)")
	flags.Uint32Var(&q.STAN, "stan", 0, "流水号 STAN of any message of it (DE11)")
	flags.StringVar(&q.RRN, "rrn", "", "检索参考号 RRN of its sale, void or refund (DE37)")
	flags.StringVar(&q.Card, "card", "", "卡令牌 token of the card")
	flags.StringVar(&q.Serial, "serial", "", "序列号 serial number, as on the label")
	flags.StringVar(&q.Person, "person", "", "人员令牌 token of the person")
	flags.IntVar(&q.Limit, "limit", 50, "最多 at most")
	return cmd
}

func foundLine(p *trail.Found) string {
	text := fmt.Sprintf("P%012d  %s  %-10s %s/%s STAN %06d  RRN %s  %s  付款 amount %s  补贴 subsidy %s", p.Purchase, p.At,
		p.State, p.Terminal, p.Merchant, p.STAN, p.RRN, p.CardMask, yuanText(p.Amount), yuanText(p.Subsidy))
	if p.Manual {
		text += "  人工补录 manual"
	}
	return text
}

// newSupplementCommand is `huanxin supplement`: a subsidy recorded by hand.
func newSupplementCommand() *cobra.Command {
	var f actFlags
	var purchase, entitlement string
	var s control.Supplement
	cmd := &cobra.Command{
		Use:   "supplement --purchase ID --entitlement E --barcode B --serial SN --case ID --evidence REF",
		Short: "人工补录补贴 – record by hand the subsidy of a purchase that was captured without one",
		Long: `Takes budget, quota, entitlement and serial as a reserve would have, by the rules at the time of the sale. It is refused
without a case id and a reference of the evidence, is marked MANUAL in the trail, and stands out in every report.

The serial goes to the switch in clear, is hashed there, and is neither kept nor logged.`,
		Args: arguments(0, 0, "flags only"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if strings.TrimSpace(s.CaseID) == "" || strings.TrimSpace(s.Evidence) == "" {
				return &exitError{1, fmt.Errorf("refused: a supplement by hand needs --case and --evidence")}
			}
			if s.Purchase, err = parsePurchase(purchase); err != nil {
				return err
			}
			if s.Entitlement, err = parseEntitlement(entitlement); err != nil {
				return err
			}
			if s.Barcode == "" {
				return badInput("--barcode is missing")
			}
			return f.run(cmd, control.Act{Supplement: &s})
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&purchase, "purchase", "", "交易号 purchase (required)")
	flags.StringVar(&entitlement, "entitlement", "", "资格号 entitlement (required)")
	flags.StringVar(&s.Barcode, "barcode", "", "商品条码 barcode (required)")
	flags.StringVar(&s.Serial, "serial", "", "序列号 serial number, as on the label")
	flags.StringVar(&s.OldItem, "old-item", "", "交售旧品 kind of the old item handed in")
	flags.StringVar(&s.CaseID, "case", "", "工单号 case id (required)")
	flags.StringVar(&s.Evidence, "evidence", "", "凭证 reference of the proof (required)")
	return cmd
}
