package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"huanxin/internal/money"
	"huanxin/switch/projection"
)

// StateCount is how many purchases are in one state, and what they sum up to.
type StateCount struct {
	State    string
	Ordinary bool // without a subsidy
	Count    int64
	Subsidy  money.Amount
	Amount   money.Amount // what payers are charged
}

// PurchasesByState counts all purchases.
func (d *Database) PurchasesByState(ctx context.Context) ([]StateCount, error) {
	rows, err := d.pool.Query(ctx, `
		SELECT state, ordinary, count(*), sum(subsidy)::bigint, sum(amount)::bigint
		FROM purchases GROUP BY state, ordinary ORDER BY state, ordinary`)
	if err != nil {
		return nil, fmt.Errorf("count purchases: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[StateCount])
	if err != nil {
		return nil, fmt.Errorf("count purchases: %w", err)
	}
	return out, nil
}

// Purchases returns up to limit purchases with ids above after, ascending: page by page through all of them.
func (d *Database) Purchases(ctx context.Context, after uint64, limit int) ([]projection.Purchase, error) {
	return selectRows(ctx, d, purchaseTable, "WHERE id > $1 ORDER BY id LIMIT $2", int64(after), limit)
}

// ReasonCount is how often the switch refused for one reason.
type ReasonCount struct {
	Kind     string // reserve, sale, reversal
	Response string // DE39
	Reason   int32  // code of package reason, 0 = none
	Count    int64
}

// RefusalsByReason counts refusals. A refusal with several reasons counts for each of them.
func (d *Database) RefusalsByReason(ctx context.Context) ([]ReasonCount, error) {
	rows, err := d.pool.Query(ctx, `
		SELECT r.kind, r.response, coalesce(c.code, 0), count(*)
		FROM refusals r LEFT JOIN LATERAL unnest(r.reasons) AS c (code) ON true
		GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`)
	if err != nil {
		return nil, fmt.Errorf("count refusals: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ReasonCount])
	if err != nil {
		return nil, fmt.Errorf("count refusals: %w", err)
	}
	return out, nil
}
