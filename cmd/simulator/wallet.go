package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"huanxin/internal/money"
	"huanxin/internal/simulator/wallet"
	link "huanxin/switch/wallet"
)

const walletLong = `Plays a wallet and the people who pay with it, over the interface of docs/interface/wallet.md. It charges and gives back in
a ledger of its own, one JSON line for each, and writes the line before the answer leaves; started again on the same file
it goes on where it was, and a payer who was typing goes on typing.

How it treats an order: the last two digits (fen) of the amount may order it, else --unfriendly is the probability that it
is treated badly. Whole-yuan prices less 15 or 20 per cent never end in one of these:

  14 51 54 57 61 62 96   declined: CODE_INVALID INSUFFICIENT_BALANCE CODE_EXPIRED NOT_ALLOWED AMOUNT_LIMIT
                         ACCOUNT_RESTRICTED SYSTEM_ERROR
  21  lost before it arrives            22 charged, no answer      23 charged, answered too late
  24  charged, answered, notified twice 26 charged, disconnected   27 charged, no answer, but notified
  28  charged, answered slowly
  31  charged, no answer; first cancellation answered 503
  32  charged, no answer; first cancellation lost
  33  charged, no answer; answer of the first cancellation lost
  71  the payer types the password (--password-by), is charged, and the switch is notified
  72  the same, the notification is lost     73 the same, it is late (--late-by)     74 the same, it comes twice
  76  the payer walks away              77 the payer gives up
  81  a refund of this amount takes its time   82 its answer is lost   83 it is refused   84 it never arrives

--rules FILE replaces the table: YAML with endings, unfriendly, acts, password-by, late-by, slow-by, seed.

The key file is the one of hosts.NAME.key-file; whoever comes first creates it. --notify is where notifications go, such as
http://127.0.0.1:8080/v1/wallets/wallet/notifications.`

func newWallet() *cobra.Command {
	var (
		listen, ledger, notify, keyFile, rulesFile string
		unfriendly                                 float64
		lateBy, slowBy, passwordBy                 time.Duration
		seed                                       uint64
	)
	cmd := &cobra.Command{
		Use: "wallet", Short: "模拟钱包与付款人，自带账本 · a wallet and its payers, with a ledger of its own",
		Long: walletLong, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rules, err := walletRules(rulesFile)
			if err != nil {
				return err
			}
			flags := cmd.Flags()
			if flags.Changed("unfriendly") {
				rules.Unfriendly = unfriendly
			}
			for name, delay := range map[string][2]*time.Duration{
				"late-by": {&rules.LateBy, &lateBy}, "slow-by": {&rules.SlowBy, &slowBy}, "password-by": {&rules.PasswordBy, &passwordBy},
			} {
				if flags.Changed(name) {
					*delay[0] = *delay[1]
				}
			}
			if flags.Changed("seed") {
				rules.Seed = seed
			}
			return runWallet(cmd.Context(), cmd.OutOrStdout(), listen, ledger, notify, keyFile, rules)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&listen, "listen", "127.0.0.1:7102", "address to listen on")
	flags.StringVar(&ledger, "ledger", "", "ledger file; empty: in memory only")
	flags.StringVar(&notify, "notify", "", "URL that notifications are sent to; empty: none are sent")
	flags.StringVar(&keyFile, "key-file", "", "file of the secret shared with the switch; created when it is missing")
	flags.StringVar(&rulesFile, "rules", "", "rules file (YAML)")
	flags.Float64Var(&unfriendly, "unfriendly", 0, "probability that a request is treated badly")
	flags.DurationVar(&passwordBy, "password-by", 3*time.Second, "how long a payer types")
	flags.DurationVar(&lateBy, "late-by", 20*time.Second, "how long a late answer or notification takes")
	flags.DurationVar(&slowBy, "slow-by", 500*time.Millisecond, "the longest that a slow answer takes")
	flags.Uint64Var(&seed, "seed", 1, "seed of the unfriendly choices")
	_ = cmd.MarkFlagRequired("key-file")
	cmd.AddCommand(newWalletLedger())
	return cmd
}

func walletRules(file string) (wallet.Rules, error) {
	if file == "" {
		return wallet.DefaultRules(), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return wallet.Rules{}, fmt.Errorf("read rules: %w", err)
	}
	return wallet.ParseRules(text)
}

func runWallet(ctx context.Context, out io.Writer, listen, ledgerFile, notify, keyFile string, rules wallet.Rules) (err error) {
	key, _, err := link.OpenKey(keyFile, rand.Reader)
	if err != nil {
		return err
	}
	ledger := wallet.NewLedger(nil)
	if ledgerFile != "" {
		if ledger, err = wallet.OpenLedger(ledgerFile); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	logger, err := zap.NewProduction()
	if err != nil {
		return fmt.Errorf("make logger: %w", err)
	}
	w, err := wallet.New(wallet.Config{Key: key, Rules: rules, Ledger: ledger, Logger: logger, Now: time.Now, Notify: notify})
	if err != nil {
		return err
	}
	defer w.Close()
	return w.Listen(ctx, listen, func(addr net.Addr) { fmt.Fprintf(out, "wallet listens on %s\n", addr) })
}

// walletReport is what `simulator wallet ledger --json` prints.
type walletReport struct {
	wallet.Summary
	List    []walletPayment `json:"payment_list"` // by RRN ascending
	Refunds []walletRefund  `json:"refund_list"`  // by RRN ascending
}

type walletPayment struct {
	RRN      string       `json:"rrn"`
	Status   string       `json:"status"`
	Asked    money.Amount `json:"asked_fen"`
	Paid     money.Amount `json:"paid_fen"`
	Refunded money.Amount `json:"refunded_fen"`
	Returned money.Amount `json:"returned_fen"`
	Net      money.Amount `json:"net_fen"`
	Merchant string       `json:"merchant"`
	Terminal string       `json:"terminal"`
	Code     string       `json:"code"` // token
	At       string       `json:"at"`
}

type walletRefund struct {
	RRN     string       `json:"rrn"`
	Payment string       `json:"payment"`
	Status  string       `json:"status"`
	Amount  money.Amount `json:"amount_fen"`
	At      string       `json:"at"`
}

func newWalletLedger() *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ledger", Short: "模拟钱包账本汇总 · what the simulated wallet charged and gave back", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := readWallet(file)
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(report)
			}
			return report.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "ledger file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, every payment and refund included")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

func readWallet(file string) (*walletReport, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	defer in.Close()
	ledger, err := wallet.ReadLedger(in)
	if err != nil {
		return nil, fmt.Errorf("read ledger %s: %w", file, err)
	}
	report := &walletReport{Summary: ledger.Summary(), List: []walletPayment{}, Refunds: []walletRefund{}}
	for _, e := range ledger.Payments() {
		report.List = append(report.List, walletPayment{
			RRN: e.Order.RRN, Status: string(e.Status), Asked: e.Order.Amount, Paid: e.Paid.Amount, Refunded: e.Refunded, Returned: e.Returned,
			Net: e.Net(), Merchant: e.Order.Merchant, Terminal: e.Order.Terminal, Code: e.Order.Code, At: e.Order.At,
		})
	}
	for _, e := range ledger.Refunds() {
		report.Refunds = append(report.Refunds, walletRefund{
			RRN: e.Order.RRN, Payment: e.Order.Payment, Status: string(e.Status), Amount: e.Order.Amount, At: e.Order.At,
		})
	}
	return report, nil
}

func (r *walletReport) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, `charged     %6d  %15s yuan
cancelled   %6d  %15s yuan
refunded    %6d  %15s yuan
standing    %6d  %15s yuan
declined    %6d, closed unpaid %d, waiting %d
unknown payments cancelled %d, orders overtaken by it %d, orders repeated %d, numbers used twice %d
`, r.Payments, r.PaidFen, r.Returns, r.ReturnedFen, r.Summary.Refunds, r.RefundedFen, r.Open, r.OpenFen,
		r.Declines, r.Closed, r.Waiting, r.Tombstones, r.Overtaken, r.Repeats, r.Conflicts)
	return err
}
