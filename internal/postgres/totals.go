package postgres

import (
	"context"
	"fmt"

	"huanxin/internal/money"
	"huanxin/switch/projection"
)

// Totals is the programme in figures. Everything is of one instant. Charges are those of sales and completions; the rest
// of the pre-authorisation family only passes through (Passes).
type Totals struct {
	Position projection.Position

	Purchases        int64
	Unknown          int64 // at a wallet that has not said how they ended
	OpenHolds        int64
	Held             money.Amount // subsidy of open holds
	Captures         int64
	Charged          money.Amount // of all captures
	Subsidised       money.Amount // of all captures, and of supplements
	Passes           int64        // pre-authorisations and voids of the family that hosts have approved
	Refunds          int64        // what took back a charge or a part: reversals, freed voids, refunds, voided completions
	GivenBack        money.Amount // to payers, by them
	SubsidyRestored  money.Amount // to the budget, by them
	Entitlements     int64
	Refusals         int64
	ReversalsWaiting int64
	WorkItems        int64 // ever opened
	WorkItemsOpen    int64
	Terminals        int64 // signed on

	Voids           int64        // approved and standing
	Quarantined     int64        // voids of which nothing is free yet; they are not among Refunds
	QuarantinedBack money.Amount // what their payers have got back
	PayerRefunds    int64        // refunds that hosts have confirmed, a part of Refunds
	Refunded        money.Amount // to payers, by them
	SubsidyReturned money.Amount // to the budget, by them
	OperationsOpen  int64        // voids and refunds on their way or being undone
	// OperationsUnknown are voids and refunds without an answer.
	OperationsUnknown int64
	// DeadLetters are reversals, and refunds without an answer, whose clearing cut-off has passed: only the clearing file
	// can tell.
	DeadLetters int64

	// ManualSupplements are subsidies that operators have recorded by hand; they are among Subsidised, and stand out here.
	ManualSupplements int64
	ManualSubsidy     money.Amount
	OperatorActs      int64

	Batches        int64 // settled by terminals
	BatchesUnequal int64
}

// Totals returns the figures.
func (d *Database) Totals(ctx context.Context) (t Totals, err error) {
	var hash []byte
	err = d.pool.QueryRow(ctx, `
		SELECT p.batch, p.hash, p.seq, p.at, pu.n, pu.unknown,
			h.n, h.subsidy, c.n, c.amount, c.subsidy + s.subsidy, c.passes,
			r.n + c.undone - r.redone, r.amount + c.undone_amount - r.redone_amount, r.subsidy,
			(SELECT count(*) FROM entitlements),
			(SELECT count(*) FROM refusals),
			rv.waiting, w.n, w.open,
			(SELECT count(*) FROM terminals WHERE signed_on),
			o.voids, o.quarantined, o.quarantined_amount, r.payer, r.payer_amount, r.payer_subsidy, o.open, o.unknown,
			rv.dead + w.dead, s.n, s.subsidy, (SELECT count(*) FROM operator_acts), b.n, b.unequal
		FROM projection_position p,
			(SELECT count(*) n, count(*) FILTER (WHERE state = 'unknown') unknown FROM purchases) pu,
			(SELECT count(*) n, coalesce(sum(subsidy), 0)::bigint subsidy FROM holds WHERE state = 'open') h,
			(SELECT count(*) FILTER (WHERE kind IN ('sale', 'completion')) n,
				coalesce(sum(amount) FILTER (WHERE kind IN ('sale', 'completion')), 0)::bigint amount,
				coalesce(sum(subsidy), 0)::bigint subsidy,
				count(*) FILTER (WHERE kind NOT IN ('sale', 'completion')) passes,
				count(*) FILTER (WHERE kind = 'completion_void') undone,
				coalesce(sum(amount) FILTER (WHERE kind = 'completion_void'), 0)::bigint undone_amount
				FROM captures) c,
			(SELECT count(*) FILTER (WHERE sale_kind IN ('sale', 'completion')) n,
				coalesce(sum(amount) FILTER (WHERE sale_kind IN ('sale', 'completion')), 0)::bigint amount,
				coalesce(sum(subsidy), 0)::bigint subsidy,
				count(*) FILTER (WHERE kind = 'refund') payer,
				coalesce(sum(amount) FILTER (WHERE kind = 'refund'), 0)::bigint payer_amount,
				coalesce(sum(subsidy) FILTER (WHERE kind = 'refund'), 0)::bigint payer_subsidy,
				count(*) FILTER (WHERE sale_kind = 'completion_void') redone,
				coalesce(sum(amount) FILTER (WHERE sale_kind = 'completion_void'), 0)::bigint redone_amount
				FROM refunds) r,
			(SELECT count(*) n, coalesce(sum(subsidy), 0)::bigint subsidy FROM supplements) s,
			(SELECT count(*) FILTER (WHERE state = 'waiting') waiting, count(*) FILTER (WHERE state = 'dead') dead
				FROM reversals) rv,
			(SELECT count(*) n, count(*) FILTER (WHERE state = 'open') open,
				count(*) FILTER (WHERE state = 'open' AND kind = 'refund-unknown') dead FROM work_items) w,
			(SELECT count(*) FILTER (WHERE kind = 'void' AND state = 'approved') voids,
				count(*) FILTER (WHERE kind = 'void' AND state = 'approved' AND released_at IS NULL) quarantined,
				coalesce(sum(amount) FILTER (WHERE kind = 'void' AND state = 'approved' AND released_at IS NULL), 0)::bigint
					quarantined_amount,
				count(*) FILTER (WHERE state IN ('sent', 'unknown', 'reversing')) open,
				count(*) FILTER (WHERE state = 'unknown') unknown
				FROM operations) o,
			(SELECT count(*) n, count(*) FILTER (WHERE NOT equal) unequal FROM batches) b`).
		Scan(&t.Position.Batch, &hash, &t.Position.Seq, &t.Position.At, &t.Purchases, &t.Unknown,
			&t.OpenHolds, &t.Held, &t.Captures, &t.Charged, &t.Subsidised, &t.Passes,
			&t.Refunds, &t.GivenBack, &t.SubsidyRestored, &t.Entitlements, &t.Refusals,
			&t.ReversalsWaiting, &t.WorkItems, &t.WorkItemsOpen, &t.Terminals,
			&t.Voids, &t.Quarantined, &t.QuarantinedBack, &t.PayerRefunds, &t.Refunded, &t.SubsidyReturned,
			&t.OperationsOpen, &t.OperationsUnknown, &t.DeadLetters, &t.ManualSupplements, &t.ManualSubsidy, &t.OperatorActs,
			&t.Batches, &t.BatchesUnequal)
	if err != nil {
		return Totals{}, fmt.Errorf("read totals: %w", err)
	}
	copy(t.Position.Hash[:], hash)
	return t, nil
}
