package postgres

import (
	"context"
	"fmt"

	"huanxin/internal/money"
	"huanxin/switch/projection"
)

// Totals is the programme in figures. Everything is of one instant.
type Totals struct {
	Position projection.Position

	Purchases        int64
	OpenHolds        int64
	Held             money.Amount // subsidy of open holds
	Captures         int64
	Charged          money.Amount // of all captures
	Subsidised       money.Amount
	Refunds          int64
	GivenBack        money.Amount // to payers
	SubsidyRestored  money.Amount
	Entitlements     int64
	Refusals         int64
	ReversalsWaiting int64
	WorkItems        int64
	Terminals        int64 // signed on
}

// Totals returns the figures.
func (d *Database) Totals(ctx context.Context) (t Totals, err error) {
	var hash []byte
	err = d.pool.QueryRow(ctx, `
		SELECT p.batch, p.hash, p.seq, p.at,
			(SELECT count(*) FROM purchases),
			h.n, h.subsidy, c.n, c.amount, c.subsidy, r.n, r.amount, r.subsidy,
			(SELECT count(*) FROM entitlements),
			(SELECT count(*) FROM refusals),
			(SELECT count(*) FROM reversals WHERE state = 'waiting'),
			(SELECT count(*) FROM work_items),
			(SELECT count(*) FROM terminals WHERE signed_on)
		FROM projection_position p,
			(SELECT count(*) n, coalesce(sum(subsidy), 0)::bigint subsidy FROM holds WHERE state = 'open') h,
			(SELECT count(*) n, coalesce(sum(amount), 0)::bigint amount, coalesce(sum(subsidy), 0)::bigint subsidy
				FROM captures) c,
			(SELECT count(*) n, coalesce(sum(amount), 0)::bigint amount, coalesce(sum(subsidy), 0)::bigint subsidy
				FROM refunds) r`).
		Scan(&t.Position.Batch, &hash, &t.Position.Seq, &t.Position.At, &t.Purchases,
			&t.OpenHolds, &t.Held, &t.Captures, &t.Charged, &t.Subsidised, &t.Refunds, &t.GivenBack, &t.SubsidyRestored,
			&t.Entitlements, &t.Refusals, &t.ReversalsWaiting, &t.WorkItems, &t.Terminals)
	if err != nil {
		return Totals{}, fmt.Errorf("read totals: %w", err)
	}
	copy(t.Position.Hash[:], hash)
	return t, nil
}
