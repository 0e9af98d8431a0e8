package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"huanxin/config/programmes"
	"huanxin/internal/money"
	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/reason"
)

// newPolicyCommand is `huanxin policy`: check a programme folder, explain one decision, put a folder into force.
func newPolicyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "检查补贴方案，解释一笔补贴，使方案生效 – check a programme, explain a decision, put one into force",
	}
	cmd.AddCommand(newPolicyCheckCommand(), newPolicyExplainCommand(), newPolicyApplyCommand(), newPolicyShowCommand())
	return cmd
}

func badInput(format string, args ...any) error { return &exitError{2, fmt.Errorf(format, args...)} }

// loadProgramme resolves, reads and compiles. where names the folder in problems.
func loadProgramme(name string) (p *policy.Programme, files map[string][]byte, where string, err error) {
	folder, where, err := programmes.Resolve(name)
	if err != nil {
		return nil, nil, "", err
	}
	if files, err = programmes.Load(folder); err != nil {
		return nil, nil, where, err
	}
	p, err = policy.Compile(files)
	return p, files, where, err
}

func newPolicyCheckCommand() *cobra.Command {
	var assumptions bool
	cmd := &cobra.Command{
		Use:   "check DIR",
		Short: "检查方案目录并运行对照案例 – validate a programme folder and run its golden cases",
		Long: `Reads all files of a programme folder, prints every problem as file:line: what is wrong, then runs the golden cases.

--assumptions lists what no source was found for, with the reason it was chosen.

Exit codes: 0 everything is right and every golden case passes; 1 problems or failing cases; 2 no such folder.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badInput("policy check: want one folder or programme name, not %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return checkPolicy(cmd.OutOrStdout(), args[0], assumptions)
		},
	}
	cmd.Flags().BoolVar(&assumptions, "assumptions", false, "列出未经核实的取值 – list the values that are assumptions")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return badInput("%w", err) })
	return cmd
}

func checkPolicy(out io.Writer, name string, assumptions bool) error {
	p, _, where, err := loadProgramme(name)
	var problems policy.Problems
	switch {
	case errors.As(err, &problems):
		for _, problem := range problems {
			fmt.Fprintf(out, "%s/%s\n", where, problem)
		}
		return &exitError{1, fmt.Errorf("%s: %d problems", where, len(problems))}
	case err != nil:
		return badInput("%w", err)
	}
	failed := 0
	results := p.RunGolden()
	for _, r := range results {
		if len(r.Failures) > 0 {
			failed++
			fmt.Fprintf(out, "%s/%s:%d: %s: %s\n", where, policy.FileGolden, r.Line, r.Name, strings.Join(r.Failures, "; "))
		}
	}
	fmt.Fprintf(out, "%s %s\n", p.ID, p.Name.ZH)
	fmt.Fprintf(out, "政策版本 %d 城市 %d 渠道 %d 品类 %d 资金节点 %d 商户 %d 终端 %d 商品 %d 示例人员 %d\n",
		len(p.Versions), len(p.Cities), len(p.Channels), len(p.Categories), len(p.Budget.Nodes), len(p.Merchants), len(p.Terminals), len(p.Products), len(p.Persons))
	writeOrigins(out, p, assumptions)
	fmt.Fprintf(out, "摘要 digest %x\n", p.Digest)
	fmt.Fprintf(out, "对照案例 golden cases: %d passed, %d failed\n", len(results)-failed, failed)
	if len(results) == 0 {
		fmt.Fprintf(out, "警告 warning: 没有对照案例，不能生效 – no golden case in %s: nothing says what is right, and policy apply refuses it\n",
			policy.FileGolden)
	}
	if failed > 0 {
		return &exitError{1, fmt.Errorf("%s: %d of %d golden cases failed", where, failed, len(results))}
	}
	return nil
}

// writeOrigins says how many values are verified and how many assumed, and lists the latter when asked.
func writeOrigins(out io.Writer, p *policy.Programme, list bool) {
	assumed := 0
	for i := range p.Values {
		v := &p.Values[i]
		if v.Status != policy.Assumption {
			continue
		}
		assumed++
		if list {
			fmt.Fprintf(out, "假设 %s:%d: %s: %s\n", v.File, v.Line, v.Key, v.Source)
		}
	}
	fmt.Fprintf(out, "取值 values: %d verified 已核实, %d assumption 假设\n", len(p.Values)-assumed, assumed)
}

// explainFlags are the flags of `policy explain` as typed.
type explainFlags struct {
	programme, city, category, channel, grade, label, merchant, price, at, oldItem string
	used                                                                           int
	attributes                                                                     []string
	json                                                                           bool
}

func newPolicyExplainCommand() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "解释一笔补贴如何算出 – explain how one decision comes about",
		Long: `Decides one purchase by the policy of a programme and says how. Only policy and --used count: no budget, no claim, no
state of merchants, products or serial numbers. When the subsidy is refused, subsidy is 0 and payable is the price.

--used N means N items of the same category, without an amount: caps in yuan per person are not touched by it.
--label defaults to the label that goods of the category usually carry; --old-item to "none handed in".

Exit codes: 0 for any decision, refused or not; 2 for bad input.`,
		Example: `  huanxin policy explain --programme liaoning-2025 --city 210100 --category A01 --grade 1 --price 5999.00 \
    --at 2025-06-18T10:00:00+08:00 --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return badInput("policy explain: unexpected argument %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return explainPolicy(cmd.OutOrStdout(), &f) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return badInput("%w", err) })
	flags := cmd.Flags()
	flags.StringVar(&f.programme, "programme", "liaoning-2025", "方案目录或名称 folder or name")
	flags.StringVar(&f.city, "city", "", "城市代码 division code, such as 210100 (required)")
	flags.StringVar(&f.category, "category", "", "品类代码 category code, such as A01 (required)")
	flags.StringVar(&f.channel, "channel", "store", "渠道 channel: store, qr, online …")
	flags.StringVar(&f.grade, "grade", "none", "能效/水效等级 grade: 1…5, or none (also 0)")
	flags.StringVar(&f.label, "label", "", "标识种类 label: energy, water or none (default: the category's)")
	flags.StringVar(&f.merchant, "merchant", "", "商户号 merchant id (default: none, no merchant rules)")
	flags.StringVar(&f.price, "price", "", "商品成交价（元）price in yuan after all discounts (required)")
	flags.StringVar(&f.at, "at", "", "时间 instant with zone, such as 2025-06-18T10:00:00+08:00 (required)")
	flags.StringVar(&f.oldItem, "old-item", "", "交售旧品种类 kind of old item handed in (default: none)")
	flags.IntVar(&f.used, "used", 0, "该品类已享受件数 items of this category the person has had")
	flags.StringArrayVar(&f.attributes, "attr", nil, "商品属性 attribute key=value, may be repeated")
	flags.BoolVar(&f.json, "json", false, "输出 JSON – print one JSON object")
	return cmd
}

func explainPolicy(out io.Writer, f *explainFlags) error {
	p, _, where, err := loadProgramme(f.programme)
	var problems policy.Problems
	if errors.As(err, &problems) {
		return badInput("programme %s has %d problems, the first: %s (see huanxin policy check)", where, len(problems), problems[0])
	}
	if err != nil {
		return badInput("%w", err)
	}
	r, err := f.request(p)
	if err != nil {
		return &exitError{2, err}
	}
	var d policy.Decision
	p.Decide(r, &d)
	if f.json {
		return writeExplainJSON(out, &d)
	}
	_, err = out.Write(appendExplanation(nil, p, r, &d))
	return err
}

// request checks the flags against the programme.
func (f *explainFlags) request(p *policy.Programme) (*policy.Request, error) {
	r := &policy.Request{City: f.city, Channel: f.channel, Category: f.category, Merchant: f.merchant, OldItem: f.oldItem}
	if err := f.checkCodes(p); err != nil {
		return nil, err
	}
	category, _ := p.CategoryIndex(f.category)
	r.Label = p.Categories[category].Label
	if f.label != "" {
		r.Label = catalogue.Label(f.label)
		if r.Label != catalogue.LabelEnergy && r.Label != catalogue.LabelWater && r.Label != catalogue.LabelNone {
			return nil, fmt.Errorf("--label %q: want energy, water or none", f.label)
		}
	}
	var err error
	// Goods without a label are grade 0 in many interfaces; the tables write none.
	if f.grade != "0" {
		if r.Grade, err = catalogue.ParseGrade(f.grade); err != nil {
			return nil, fmt.Errorf("--grade %w", err)
		}
	}
	if f.price == "" {
		return nil, errors.New("--price is missing: the price in yuan, such as 5999.00")
	}
	if r.Price, err = money.ParseYuan(f.price); err != nil {
		return nil, fmt.Errorf("--price %w", err)
	}
	if r.Price > money.MaxN12 {
		return nil, fmt.Errorf("--price %s: above %s, the most a card message can carry", f.price, money.MaxN12)
	}
	if f.at == "" {
		return nil, errors.New("--at is missing: an instant with zone, such as 2025-06-18T10:00:00+08:00")
	}
	at, err := time.Parse(time.RFC3339, f.at)
	if err != nil || at.Year() < 1970 || at.Year() > 2200 {
		return nil, fmt.Errorf("--at %q: want an instant with zone, such as 2025-06-18T10:00:00+08:00", f.at)
	}
	r.At = at.UnixNano()
	if f.used < 0 || f.used > 1_000_000 {
		return nil, fmt.Errorf("--used %d: want 0 or more", f.used)
	}
	if f.used > 0 {
		r.Usage = []policy.CategoryUse{{Category: f.category, Items: f.used}}
	}
	if r.Attributes, err = catalogue.ParseAttributes(strings.Join(f.attributes, ";")); err != nil {
		return nil, fmt.Errorf("--attr: %w", err)
	}
	return r, nil
}

func (f *explainFlags) checkCodes(p *policy.Programme) error {
	if f.city == "" {
		return errors.New("--city is missing: a division code, such as 210100")
	}
	if _, ok := p.CityIndex(f.city); !ok {
		return fmt.Errorf("--city %q: not a city of programme %s; want the division code of a city, such as %s (%s)", f.city, p.ID, p.Cities[0].Code, p.Cities[0].Name.ZH)
	}
	if f.category == "" {
		return errors.New("--category is missing: a category code, such as A01")
	}
	if _, ok := p.CategoryIndex(f.category); !ok {
		return fmt.Errorf("--category %q: not a category of programme %s", f.category, p.ID)
	}
	if _, ok := p.ChannelIndex(f.channel); !ok {
		return fmt.Errorf("--channel %q: not a channel of programme %s", f.channel, p.ID)
	}
	if f.oldItem != "" && nameOf(p.OldItems, f.oldItem) == "" {
		return fmt.Errorf("--old-item %q: not a kind of old item of programme %s", f.oldItem, p.ID)
	}
	if f.merchant == "" {
		return nil
	}
	for i := range p.Merchants {
		if p.Merchants[i].ID == f.merchant {
			return nil
		}
	}
	return fmt.Errorf("--merchant %q: not a merchant of programme %s", f.merchant, p.ID)
}

// explainJSON is the answer of `policy explain --json`.
type explainJSON struct {
	Subsidy money.Amount    `json:"subsidy_fen"`
	Payable money.Amount    `json:"payable_fen"`
	Refused []explainReason `json:"refused"`
	Version string          `json:"policy_version"`
}

type explainReason struct {
	Code string `json:"code"`
	ZH   string `json:"zh"`
	EN   string `json:"en"`
}

func writeExplainJSON(out io.Writer, d *policy.Decision) error {
	answer := explainJSON{Subsidy: d.Subsidy, Payable: d.Payable, Refused: []explainReason{}, Version: d.Version}
	for _, code := range d.Refused {
		answer.Refused = append(answer.Refused, explainReasonOf(code))
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(answer)
}

func explainReasonOf(code reason.Code) explainReason {
	t := code.Text()
	return explainReason{t.Name, t.ZH, t.EN}
}

func nameOf(list []policy.Coded, code string) string {
	for i := range list {
		if list[i].Code == code {
			return list[i].Name.ZH
		}
	}
	return ""
}
