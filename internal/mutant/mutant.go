// Package mutant names ten bugs that the product does not have. Each is a constant that is false, so that the condition in
// which it stands compiles to nothing; a build with the tag mutant_… of one of them has that bug, and the simulation must find
// it (make sim-teeth). No build has two.
package mutant

// The bugs. A constant is true in the build with its tag alone.
const (
	// HoldNotReleased: a sale that its host declines keeps its hold.
	HoldNotReleased = active == 1
	// AnswerBeforeSync: answers and host requests leave before the events behind them are synced.
	AnswerBeforeSync = active == 2
	// RefundInFlightNotCounted: a refund without an end is not taken off what is left to refund.
	RefundInFlightNotCounted = active == 3
	// DoubleApplyAfterCrash: a recovery applies the last batch of its snapshot a second time.
	DoubleApplyAfterCrash = active == 4
	// StaleOwnerAccepted: an append does not name the batch that it follows.
	StaleOwnerAccepted = active == 5
	// ReversedVoidPaysTwice: a void is taken back after its quarantine, when what it freed may be another's.
	ReversedVoidPaysTwice = active == 6
	// LateApprovalCaptured: an approval that comes after its sale was given up captures it.
	LateApprovalCaptured = active == 7
	// PartialTakenAsFull: a partial approval captures the sale.
	PartialTakenAsFull = active == 8
	// DuplicateAcrossMidnight: a request that is sent again after midnight is taken for a new one.
	DuplicateAcrossMidnight = active == 9
	// SaleResentAfterRestart: a restart sends again what was sent and not answered.
	SaleResentAfterRestart = active == 10
)

// Tags are the build tags, in the order of the constants.
var Tags = names[1:]

var names = []string{
	"",
	"mutant_hold_not_released",
	"mutant_answer_before_sync",
	"mutant_refund_in_flight_not_counted",
	"mutant_double_apply_after_crash",
	"mutant_stale_owner_accepted",
	"mutant_reversed_void_pays_twice",
	"mutant_late_approval_captured",
	"mutant_partial_taken_as_full",
	"mutant_duplicate_across_midnight",
	"mutant_sale_resent_after_restart",
}

// Active is the build tag of the bug that this build has, "" for none.
func Active() string { return names[active] }
