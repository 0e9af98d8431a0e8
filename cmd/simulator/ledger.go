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
	Open     []ledgerCharge `json:"open"`     // charges that stand, by RRN ascending
	Returned []ledgerCharge `json:"returned"` // charges that were given back, by RRN ascending
}

type ledgerCharge struct {
	RRN      string       `json:"rrn"`
	STAN     string       `json:"stan"`
	Amount   money.Amount `json:"amount_fen"`
	Asked    money.Amount `json:"asked_fen"`
	Response string       `json:"response"`
	Terminal string       `json:"terminal"`
	Merchant string       `json:"merchant"`
	Card     string       `json:"card"`
	At       string       `json:"at"`
}

func newLedger() *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ledger", Short: "模拟卡组织账本汇总 · what the simulated network charged and returned", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := readReport(file)
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
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, every charge included")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

func readReport(file string) (*ledgerReport, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	defer in.Close()
	ledger, err := issuer.ReadLedger(in)
	if err != nil {
		return nil, fmt.Errorf("read ledger %s: %w", file, err)
	}
	return &ledgerReport{Summary: ledger.Summary(), Open: charges(ledger.Open()), Returned: charges(ledger.Returned())}, nil
}

func charges(lines []issuer.Line) []ledgerCharge {
	list := make([]ledgerCharge, len(lines))
	for i, l := range lines {
		list[i] = ledgerCharge{
			RRN: l.RRN, STAN: l.STAN, Amount: l.Amount, Asked: l.Asked, Response: l.Response,
			Terminal: l.Terminal, Merchant: l.Merchant, Card: l.Card, At: l.At,
		}
	}
	return list
}

func (r *ledgerReport) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, `charged     %6d  %15s yuan   (in part: %d)
returned    %6d  %15s yuan
standing    %6d  %15s yuan
declined    %6d
unknown originals reversed %d, sales repeated %d, sales overtaken by their reversal %d
`, r.Charges, r.ChargedFen, r.PartialCharges, r.Returns, r.ReturnedFen, r.OpenCharges, r.OpenFen,
		r.Declines, r.Tombstones, r.Repeats, r.Overtaken)
	return err
}
