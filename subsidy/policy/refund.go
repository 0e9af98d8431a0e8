package policy

import "math"

// Restore says when a person may use the entitlement of a refunded purchase again.
type Restore uint8

const (
	AtOnce Restore = iota
	NextDay
	Never
)

// RefundRule says until when a purchase can be refunded and what the refund gives back.
type RefundRule struct {
	Window    int     // business days after the day of the sale; 0 = that day only
	SameDay   Restore // refunded on the day of the sale
	Later     Restore // refunded on a later day
	Activated Restore // the goods were activated: the stricter of this and the day's rule holds
}

// Open reports whether a sale of one instant may be refunded at another.
func (r *RefundRule) Open(soldAt, at int64) bool {
	days := dayOf(at) - dayOf(soldAt)
	return days >= 0 && days <= int64(r.Window)
}

// RestoredAt returns the instant from which the entitlement can be used again, or false when it stays used. The money
// goes back to the budget in every case: it was not spent.
func (r *RefundRule) RestoredAt(soldAt, refundedAt int64, activated bool) (int64, bool) {
	rule := r.Later
	if dayOf(soldAt) == dayOf(refundedAt) {
		rule = r.SameDay
	}
	if activated {
		rule = max(rule, r.Activated)
	}
	switch rule {
	case AtOnce:
		return refundedAt, true
	case NextDay:
		return startOf(dayOf(refundedAt) + 1), true
	default:
		return math.MaxInt64, false
	}
}
