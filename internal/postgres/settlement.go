package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"huanxin/internal/money"
	"huanxin/settlement"
	"huanxin/switch/projection"
)

// Owed posts every capture and everything that took one back up to and including day, and nets them: what each merchant
// has advanced, and what each payer owes for it (P6). Both kinds of fact are read in one statement, so that they are of
// one instant.
func (d *Database) Owed(ctx context.Context, day settlement.Day) ([]settlement.Balance, error) {
	rows, err := d.pool.Query(ctx, `
		SELECT false AS back, c.purchase, c.captured_at AS at, p.merchant, p.subsidy, p.funders, p.funder_parts
			FROM captures c JOIN purchases p ON p.id = c.purchase
			WHERE NOT c.ordinary AND c.captured_at < $1
		UNION ALL
		SELECT true, r.purchase, r.refunded_at, p.merchant, p.subsidy, p.funders, p.funder_parts
			FROM refunds r JOIN purchases p ON p.id = r.purchase
			WHERE NOT p.ordinary AND r.refunded_at < $1
		ORDER BY purchase, back`, (day + 1).Start())
	if err != nil {
		return nil, fmt.Errorf("read captures and refunds: %w", err)
	}
	var postings []settlement.Posting
	var (
		back    bool
		at      projection.Instant
		s       settlement.Subsidy
		funders []string
		parts   []money.Amount
	)
	_, err = pgx.ForEachRow(rows, []any{&back, &s.Purchase, &at, &s.Merchant, &s.Amount, &funders, &parts}, func() (err error) {
		s.Parts = s.Parts[:0]
		for i, payer := range funders {
			s.Parts = append(s.Parts, settlement.Part{Payer: payer, Amount: parts[i]})
		}
		if back {
			postings, err = settlement.AppendReversal(postings, int64(at), s)
		} else {
			postings, err = settlement.AppendCapture(postings, int64(at), s)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("post captures and refunds: %w", err)
	}
	return settlement.Net(postings)
}
