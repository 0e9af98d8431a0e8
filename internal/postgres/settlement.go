package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"huanxin/internal/money"
	"huanxin/settlement"
	"huanxin/switch/projection"
)

// Owed nets the postings up to and including day: what each merchant has advanced, and what each payer owes for it (P6).
// Balance.Manual sets apart what operators have recorded by hand.
func (d *Database) Owed(ctx context.Context, day settlement.Day) ([]settlement.Balance, error) {
	postings, err := d.Postings(ctx, day)
	if err != nil {
		return nil, err
	}
	return settlement.Net(postings)
}

// Postings posts every capture, every subsidy that was recorded by hand, and everything that took one back or a part of
// it, up to and including day, purchase by purchase. A subsidy has one origin, so what takes a part of it back is marked by
// hand as it is. What is posted lies with each fact: the purchase itself shows what
// later ones have left of it. All are read in one statement, so that they are of one instant.
func (d *Database) Postings(ctx context.Context, day settlement.Day) ([]settlement.Posting, error) {
	rows, err := d.pool.Query(ctx, `
		SELECT false AS back, false AS manual, purchase, captured_at AS at, merchant, subsidy, funders, funder_parts, seq
			FROM captures WHERE NOT ordinary AND captured_at < $1
		UNION ALL
		SELECT false, true, purchase, supplemented_at, merchant, subsidy, funders, funder_parts, seq
			FROM supplements WHERE supplemented_at < $1
		UNION ALL
		SELECT true, EXISTS (SELECT FROM supplements s WHERE s.purchase = refunds.purchase), purchase, refunded_at, merchant,
			subsidy, funders, funder_parts, seq
			FROM refunds WHERE cardinality(funders) > 0 AND refunded_at < $1
		ORDER BY purchase, seq`, (day + 1).Start())
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
		seq     uint64
	)
	into := []any{&back, &s.Manual, &s.Purchase, &at, &s.Merchant, &s.Amount, &funders, &parts, &seq}
	_, err = pgx.ForEachRow(rows, into, func() (err error) {
		s.Parts = s.Parts[:0]
		for i, payer := range funders {
			s.Parts = append(s.Parts, settlement.Part{Payer: payer, Amount: parts[i]})
		}
		if back {
			postings, err = settlement.AppendReturn(postings, int64(at), s)
		} else {
			postings, err = settlement.AppendCapture(postings, int64(at), s)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("post captures and refunds: %w", err)
	}
	return postings, nil
}
