package drill

import (
	"fmt"
	"slices"

	"huanxin/internal/simulator/load"
)

// unrecorded says why the journal does not account for an answer, "" when it does. Answers by which the switch declined
// to decide (30, 40, 96, 91 and the like) claim nothing and need no record.
func unrecorded(b *Book, a Answer) string {
	switch {
	case a.MTI == "":
		return unrecordedHTTP(b, a)
	case a.MTI == "0400":
		return unrecordedReversal(b, a)
	case a.MTI == "0500" || a.MTI == "0320" || a.MTI == "0620":
		return unrecordedBatch(b, a)
	case a.Kind == load.Status || a.Kind == load.Balance:
		return ""
	case a.MTI == "0100" && a.Kind != load.Preauth:
		return unrecordedReserve(b, a)
	case a.Kind == load.Void || a.Kind == load.Refund:
		return unrecordedOperation(b, a)
	}
	return unrecordedSale(b, a)
}

func unrecordedReserve(b *Book, a Answer) string {
	switch {
	case !a.Cancel && a.Response == "00":
		p := b.Purchases[a.Hold]
		if p == nil {
			return fmt.Sprintf("hold %d is not in the journal", a.Hold)
		}
		if p.Promised != a.Subsidy {
			return fmt.Sprintf("hold %d: %d fen of subsidy were answered, %d are recorded", a.Hold, a.Subsidy, p.Promised)
		}
	case !a.Cancel && a.Response == "57":
		if !b.Reserves[a.key()].Refused {
			return "the refusal is not in the journal"
		}
	case a.Cancel && a.Response == "00":
		if p := b.Purchases[a.Hold]; p == nil || p.State != Cancelled {
			return fmt.Sprintf("hold %d is not cancelled in the journal", a.Hold)
		}
	}
	return ""
}

// unrecordedReversal: these four answers say what was, or was not, taken back.
func unrecordedReversal(b *Book, a Answer) string {
	if !slices.Contains([]string{"00", "12", "22", "25"}, a.Response) {
		return ""
	}
	if recorded, ok := b.Reversals[a.key()]; !ok || recorded.Response != a.Response {
		return fmt.Sprintf("the journal has answer %q", recorded.Response)
	}
	return ""
}

func unrecordedBatch(b *Book, a Answer) string {
	if a.Response != "00" {
		return ""
	}
	recorded, ok := b.Batches[a.key()]
	if !ok {
		return "the journal knows nothing of it"
	}
	if a.MTI == "0500" && recorded.Equal != a.Equal {
		return fmt.Sprintf("the totals were answered equal %v, the journal has %v", a.Equal, recorded.Equal)
	}
	return ""
}

// approvals are the response codes that stand for a charge.
var approvals = []string{"00", "11", "A2", "A4", "A5", "A6"}

func unrecordedSale(b *Book, a Answer) string {
	if !slices.Contains(approvals, a.Response) {
		if _, ok := b.Sales[a.key()]; !ok && a.RRN != "" {
			return "a sale that went to the host is not in the journal"
		}
		return ""
	}
	p := b.ByRRN[a.RRN]
	switch {
	case p == nil:
		return fmt.Sprintf("RRN %s is not in the journal", a.RRN)
	case p.Captures == 0:
		return fmt.Sprintf("purchase %d is %s and was never captured", p.ID, p.State)
	case p.Amount != a.Amount:
		return fmt.Sprintf("purchase %d is recorded with %d fen, %d were answered", p.ID, p.Amount, a.Amount)
	}
	return ""
}

// unrecordedOperation: a void or refund that was answered as done must have been, with just these amounts.
func unrecordedOperation(b *Book, a Answer) string {
	x, ok := b.Sales[a.key()]
	if !slices.Contains(approvals, a.Response) {
		if !ok && a.RRN != "" {
			return "a void or refund that went to the host is not in the journal"
		}
		return ""
	}
	o := b.Operations[x.Operation]
	switch {
	case o == nil || o.Void != (a.Kind == load.Void):
		return "the journal knows no such void or refund"
	case o.Approved == 0:
		return fmt.Sprintf("operation %d is %s and was never approved", o.ID, o.State)
	case o.Amount != a.Amount || o.Returned != a.Returned:
		return fmt.Sprintf("operation %d is recorded with %d fen and %d of subsidy, answered were %d and %d", o.ID, o.Amount,
			o.Returned, a.Amount, a.Returned)
	}
	return ""
}

// unrecordedHTTP: what a shop was told.
func unrecordedHTTP(b *Book, a Answer) string {
	if a.Response > "299" {
		return ""
	}
	p := b.Purchases[a.Hold]
	if p == nil || p.Caller == "" {
		return "no purchase of a shop with this number is in the journal"
	}
	switch {
	case a.Kind == load.Order && p.Promised != a.Subsidy:
		return fmt.Sprintf("%d fen of subsidy were answered, %d are recorded", a.Subsidy, p.Promised)
	case a.Kind == load.Commit && p.Sendings == 0, a.State == string(Captured) && p.Captures == 0:
		return fmt.Sprintf("the purchase is %s and was never captured", p.State)
	case a.Kind == load.Drop && p.State != Cancelled && p.State != Expired:
		return fmt.Sprintf("the purchase is %s", p.State)
	case p.Refunded < a.Refunded:
		return fmt.Sprintf("%d fen were answered as given back, %d are recorded", a.Refunded, p.Refunded)
	}
	return ""
}
