package projection

import (
	"context"
	"slices"

	"huanxin/switch/event"
)

// refs are the rows that an event changes and that an earlier event made; zero values are none.
type refs struct {
	purchase, entitlement, reversal, operation uint64
	batch                                      BatchKey
}

// load fetches the rows that the events name and the caches do not have, in one read for each table: reversals name
// operations, purchases name entitlements.
func (f *fold) load(ctx context.Context, batches []Batch) error {
	purchases, entitlements, reversals, operations := f.wanted[0][:0], f.wanted[1][:0], f.wanted[2][:0], f.wanted[3][:0]
	defer func() { f.wanted = [4][]uint64{purchases, entitlements, reversals, operations} }()
	want := func(list *[]uint64, id uint64) {
		if id != 0 {
			*list = append(*list, id)
		}
	}
	var settled []BatchKey
	for _, b := range batches {
		for _, ev := range b.Events {
			r := refsOf(ev)
			want(&purchases, r.purchase)
			want(&entitlements, r.entitlement)
			want(&reversals, r.reversal)
			want(&operations, r.operation)
			if r.batch.Terminal != "" && f.batches[r.batch] == nil {
				settled = append(settled, r.batch)
			}
		}
	}
	if err := fetch(ctx, reversals, &f.reversals, f.store.Reversals); err != nil {
		return err
	}
	for _, id := range reversals {
		if r := f.reversals.look(id); r != nil {
			want(&operations, r.Operation)
		}
	}
	if err := fetch(ctx, operations, &f.operations, f.store.Operations); err != nil {
		return err
	}
	if err := fetch(ctx, purchases, &f.purchases, f.store.Purchases); err != nil {
		return err
	}
	for _, id := range purchases {
		if p := f.purchases.look(id); p != nil {
			want(&entitlements, p.Entitlement)
		}
	}
	err := fetch(ctx, entitlements, &f.entitlements, f.store.Entitlements)
	if err != nil || len(settled) == 0 {
		return err
	}
	rows, err := f.store.TerminalBatches(ctx, settled)
	for i := range rows {
		f.batches[rows[i].Key] = &rows[i]
	}
	return err
}

// fetch reads the rows that a cache does not have.
func fetch[T any](ctx context.Context, ids []uint64, have *cache[T], read func(context.Context, []uint64) ([]T, error)) error {
	var missing []uint64
	for _, id := range ids {
		if !have.has(id) {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	rows, err := read(ctx, slices.Compact(missing))
	for i := range rows {
		have.put(rows[i])
	}
	return err
}

func refsOf(ev *event.Event) (r refs) {
	switch b := ev.Body.(type) {
	case *event.Event_EntitlementExpired:
		r.entitlement = b.EntitlementExpired.Entitlement
	case *event.Event_EntitlementReturned:
		r.entitlement = b.EntitlementReturned.Entitlement
	case *event.Event_EntitlementRestored:
		r.purchase, r.entitlement = b.EntitlementRestored.Purchase, b.EntitlementRestored.Entitlement
	case *event.Event_Reserved:
		r.entitlement = b.Reserved.Entitlement
	case *event.Event_HoldCancelled:
		r.purchase = b.HoldCancelled.Purchase
	case *event.Event_HoldExpired:
		r.purchase = b.HoldExpired.Purchase
	case *event.Event_SaleSent:
		if !b.SaleSent.Ordinary {
			r.purchase = b.SaleSent.Purchase
		}
	case *event.Event_SaleApproved:
		r.purchase = b.SaleApproved.Purchase
	case *event.Event_SaleDeclined:
		r.purchase = b.SaleDeclined.Purchase
	case *event.Event_Supplemented:
		r.purchase, r.entitlement = b.Supplemented.GetFacts().GetPurchase(), b.Supplemented.GetFacts().GetEntitlement()
	case *event.Event_LateAnswer:
		r.purchase, r.operation = b.LateAnswer.Purchase, b.LateAnswer.Operation
	case *event.Event_PaymentUnknown:
		r.purchase, r.operation = b.PaymentUnknown.Purchase, b.PaymentUnknown.Operation
	case *event.Event_QueryAttempted:
		r.purchase, r.operation = b.QueryAttempted.Purchase, b.QueryAttempted.Operation
	default:
		refsAfterSale(ev, &r)
	}
	return r
}

// refsAfterSale is the second half of refsOf: reversals, operations, and a terminal's uploads.
func refsAfterSale(ev *event.Event, r *refs) {
	switch b := ev.Body.(type) {
	case *event.Event_ReversalQueued:
		r.purchase, r.operation = b.ReversalQueued.Purchase, b.ReversalQueued.Operation
	case *event.Event_ReversalAttempted:
		r.reversal = b.ReversalAttempted.Reversal
	case *event.Event_ReversalDone:
		r.purchase, r.reversal = b.ReversalDone.Purchase, b.ReversalDone.Reversal
	case *event.Event_ReversalDead:
		r.reversal = b.ReversalDead.Reversal
	case *event.Event_ReversalRequeued:
		r.reversal = b.ReversalRequeued.Reversal
	case *event.Event_ReversalResolved:
		r.purchase, r.reversal = b.ReversalResolved.Purchase, b.ReversalResolved.Reversal
	case *event.Event_WorkItemOpened:
		r.reversal = b.WorkItemOpened.Reversal
	case *event.Event_VoidSent:
		r.purchase = b.VoidSent.Purchase
	case *event.Event_VoidApproved:
		r.purchase, r.operation = b.VoidApproved.Purchase, b.VoidApproved.Operation
	case *event.Event_VoidDeclined:
		r.purchase, r.operation = b.VoidDeclined.Purchase, b.VoidDeclined.Operation
	case *event.Event_VoidReleased:
		r.purchase, r.operation = b.VoidReleased.Purchase, b.VoidReleased.Operation
	case *event.Event_RefundSent:
		r.purchase = b.RefundSent.Purchase
	case *event.Event_RefundApproved:
		r.purchase, r.operation = b.RefundApproved.Purchase, b.RefundApproved.Operation
	case *event.Event_RefundDeclined:
		r.purchase, r.operation = b.RefundDeclined.Purchase, b.RefundDeclined.Operation
	case *event.Event_RefundUnknown:
		r.purchase, r.operation = b.RefundUnknown.Purchase, b.RefundUnknown.Operation
	case *event.Event_BatchUploaded:
		r.batch = batchKey(b.BatchUploaded.Key)
	case *event.Event_BatchUploadEnded:
		r.batch = batchKey(b.BatchUploadEnded.Key)
	}
}
