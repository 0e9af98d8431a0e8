package projectiontest

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"huanxin/switch/projection"
)

// Frozen gives rows one by one, as the database does to who holds them against something. What a store holds now is
// Frozen{store.Rows()}.
type Frozen struct{ Rows }

func (f Frozen) Position(context.Context) (projection.Position, error) { return f.At, nil }

func (f Frozen) Programme(context.Context) (projection.Programme, error) {
	return f.Rows.Programme, nil
}

func (f Frozen) Close() {}

func each[K cmp.Ordered, T any](rows map[K]T, fn func(*T) error) error {
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		row := rows[k]
		if err := fn(&row); err != nil {
			return err
		}
	}
	return nil
}

func fresh[T any](rows map[string]any, fn func(*T) error) error {
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		if row, ok := rows[k].(T); ok {
			if err := fn(&row); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f Frozen) EachNode(_ context.Context, fn func(*projection.Node) error) error {
	return each(f.Nodes, fn)
}

func (f Frozen) EachPurchase(_ context.Context, fn func(*projection.Purchase) error) error {
	return each(f.Purchases, fn)
}

func (f Frozen) EachHold(_ context.Context, fn func(*projection.Hold) error) error {
	return each(f.Holds, fn)
}

func (f Frozen) EachEntitlement(_ context.Context, fn func(*projection.Entitlement) error) error {
	return each(f.Entitlements, fn)
}

func (f Frozen) EachReversal(_ context.Context, fn func(*projection.Reversal) error) error {
	return each(f.Reversals, fn)
}

func (f Frozen) EachOperation(_ context.Context, fn func(*projection.Operation) error) error {
	return each(f.Operations, fn)
}

func (f Frozen) EachWorkItem(_ context.Context, fn func(*projection.WorkItem) error) error {
	return each(f.Items, fn)
}

func (f Frozen) EachTerminalBatch(_ context.Context, fn func(*projection.TerminalBatch) error) error {
	return each(f.Batches, fn)
}

func (f Frozen) EachCapture(_ context.Context, fn func(*projection.Capture) error) error {
	return fresh(f.Fresh, fn)
}

func (f Frozen) EachRefund(_ context.Context, fn func(*projection.Refund) error) error {
	return fresh(f.Fresh, fn)
}

func (f Frozen) EachMovement(_ context.Context, fn func(*projection.Movement) error) error {
	return fresh(f.Fresh, fn)
}

func (f Frozen) EachSupplement(_ context.Context, fn func(*projection.Supplement) error) error {
	return fresh(f.Fresh, fn)
}

func (f Frozen) EachRefusal(_ context.Context, fn func(*projection.Refusal) error) error {
	return fresh(f.Fresh, fn)
}

func (f Frozen) EachRequest(_ context.Context, fn func(*projection.Request) error) error {
	return fresh(f.Fresh, fn)
}
