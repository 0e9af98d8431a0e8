package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"huanxin/internal/money"
	"huanxin/internal/simulator/issuer"
)

// ledgerReport is what `simulator ledger --json` prints.
type ledgerReport struct {
	issuer.Summary
	// Charges, each list by RRN ascending.
	Open     []ledgerCharge `json:"open"`     // of which anything is still charged
	Returned []ledgerCharge `json:"returned"` // that were reversed
	Voided   []ledgerCharge `json:"voided"`   // that a void has taken back
	Refunded []ledgerCharge `json:"refunded"` // of which anything was refunded
}

type ledgerCharge struct {
	RRN      string       `json:"rrn"`
	STAN     string       `json:"stan"`
	Amount   money.Amount `json:"amount_fen"`
	Asked    money.Amount `json:"asked_fen"`
	Refunded money.Amount `json:"refunded_fen"`
	Net      money.Amount `json:"net_fen"` // what is still charged
	Response string       `json:"response"`
	Terminal string       `json:"terminal"`
	Merchant string       `json:"merchant"`
	Card     string       `json:"card"`
	At       string       `json:"at"`
}

func newLedger() *cobra.Command {
	var file, rrn string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ledger", Short: "模拟卡组织账本汇总 · what the simulated network charged and returned", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ledger, err := readLedger(file)
			if err != nil {
				return err
			}
			encoder := json.NewEncoder(cmd.OutOrStdout())
			encoder.SetIndent("", "  ")
			if rrn != "" {
				return encoder.Encode(ledger.Outcome(rrn))
			}
			report := newReport(ledger)
			if asJSON {
				return encoder.Encode(report)
			}
			return report.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "ledger file")
	cmd.Flags().StringVar(&rrn, "rrn", "", "print what really happened to one sale, void or refund, as JSON")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, every charge included")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

func readLedger(file string) (*issuer.Ledger, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	defer in.Close()
	ledger, err := issuer.ReadLedger(in)
	if err != nil {
		return nil, fmt.Errorf("read ledger %s: %w", file, err)
	}
	return ledger, nil
}

func newReport(ledger *issuer.Ledger) *ledgerReport {
	return &ledgerReport{
		Summary: ledger.Summary(), Open: charges(ledger.Open()), Returned: charges(ledger.Returned()),
		Voided: charges(ledger.Voided()), Refunded: charges(ledger.Refunded()),
	}
}

func charges(entries []issuer.Entry) []ledgerCharge {
	list := make([]ledgerCharge, len(entries))
	for i := range entries {
		l := &entries[i].Line
		list[i] = ledgerCharge{
			RRN: l.RRN, STAN: l.STAN, Amount: l.Amount, Asked: l.Asked, Refunded: entries[i].Refunded, Net: entries[i].Net,
			Response: l.Response, Terminal: l.Terminal, Merchant: l.Merchant, Card: l.Card, At: l.At,
		}
	}
	return list
}

func (r *ledgerReport) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, `charged     %6d  %15s yuan   (in part: %d)
reversed    %6d  %15s yuan
voided      %6d  %15s yuan   (of which undone: %d, %s yuan)
refunded    %6d  %15s yuan
standing    %6d  %15s yuan
set aside   %6d
declined    %6d
unknown originals reversed %d, requests repeated %d, requests overtaken by their reversal %d
`, r.Charges, r.ChargedFen, r.PartialCharges, r.Returns, r.ReturnedFen, r.Voids, r.VoidedFen, r.Unvoids, r.UnvoidedFen,
		r.Refunds, r.RefundedFen, r.OpenCharges, r.OpenFen, r.Preauths, r.Declines, r.Tombstones, r.Repeats, r.Overtaken)
	return err
}
