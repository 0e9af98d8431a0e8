package engine

import (
	"fmt"

	"huanxin/switch/event"
)

// Apply replays one recorded event. Step itself ends by applying its own events, so that a replayed engine and a live
// one are the same by construction. It panics when the event does not fit the state: the journal is then not this
// engine's, or damaged in a way that its hashes do not show, and no decision may be built on it.
//
// Apply keeps what it needs of ev; the caller must not change it afterwards.
func (e *Engine) Apply(ev *event.Event) { e.ApplyPacked(ev, "") }

// ApplyPacked is Apply for who has the packed body of a Reserved at hand: a copy of it is kept, and nothing of ev itself, which
// may change afterwards. packed is "" for any other event, of which Apply says what is kept.
func (e *Engine) ApplyPacked(ev *event.Event, packed string) {
	if ev.Seq != e.seq+1 {
		panic(fmt.Sprintf("event %d follows event %d", ev.Seq, e.seq))
	}
	e.seq = ev.Seq
	e.now = max(e.now, ev.At)
	e.lastAt = e.now
	if !e.deciding {
		e.purchases.putAway()
	}
	e.change(ev, packed)
	e.book.ForgetCodes(e.now)
	e.forget()
	e.forgetClaims()
	e.forgetRequests()
	e.cool()
}

func (e *Engine) change(ev *event.Event, packed string) {
	switch b := ev.Body.(type) {
	case *event.Event_Reserved:
		e.applyReserved(b.Reserved, packed)
	case *event.Event_SaleSent:
		e.applySaleSent(b.SaleSent)
	case *event.Event_SaleApproved:
		e.applySaleApproved(b.SaleApproved)
	case *event.Event_CodeShown:
		e.applyCodeShown(b.CodeShown)
	case *event.Event_EntitlementClaimed:
		e.applyClaimed(b.EntitlementClaimed)
	case *event.Event_ReserveRefused:
		e.applyReserveRefused(b.ReserveRefused, ev.Seq)
	case *event.Event_SaleRefused:
		e.applySaleRefused(b.SaleRefused, ev.Seq)
	case *event.Event_SaleDeclined:
		e.applySaleDeclined(b.SaleDeclined)
	case *event.Event_LateAnswer:
		e.applyLateAnswer(b.LateAnswer)
	case *event.Event_HoldCancelled:
		e.applyHoldCancelled(b.HoldCancelled)
	case *event.Event_HoldExpired:
		e.applyHoldExpired(b.HoldExpired)
	case *event.Event_ReversalAnswered:
		e.applyReversalAnswered(b.ReversalAnswered)
	case *event.Event_ReversalQueued:
		e.applyReversalQueued(b.ReversalQueued)
	case *event.Event_ReversalAttempted:
		e.applyReversalAttempted(b.ReversalAttempted)
	case *event.Event_ReversalDone:
		e.applyReversalDone(b.ReversalDone)
	case *event.Event_WorkItemOpened:
		e.applyWorkItem(b.WorkItemOpened)
	case *event.Event_EntitlementExpired:
		e.mustRelease(b.EntitlementExpired.Released, int64(e.book.Expire(b.EntitlementExpired.Entitlement)))
	case *event.Event_EntitlementReturned:
		e.mustRelease(b.EntitlementReturned.Released, int64(e.book.Return(b.EntitlementReturned.Entitlement)))
	case *event.Event_TerminalSignedOn:
		e.applySignedOn(b.TerminalSignedOn)
	case *event.Event_TerminalSignedOff:
		e.applySignedOff(b.TerminalSignedOff)
	case *event.Event_TerminalKeysProved:
		e.applyKeysProved(b.TerminalKeysProved)
	case *event.Event_BudgetNodeSet:
		e.applyBudgetNodeSet(b.BudgetNodeSet)
	case *event.Event_BudgetRoundClosed:
		e.applyRoundClosed(b.BudgetRoundClosed)
	case *event.Event_BudgetReleased:
		e.applyBudgetReleased(b.BudgetReleased)
	case *event.Event_MerchantSet:
		e.applyMerchantSet(b.MerchantSet)
	case *event.Event_TerminalSet:
		e.applyTerminalSet(b.TerminalSet)
	case *event.Event_ProductSet:
		e.applyProductSet(b.ProductSet)
	case *event.Event_PolicyApplied:
		e.applyPolicy(b.PolicyApplied)
	case *event.Event_OwnershipTaken:
		e.applyOwnershipTaken(b.OwnershipTaken)
	case *event.Event_ProgrammePinned:
		e.applyPinned(b.ProgrammePinned)
	default:
		e.changeAfterSale(ev)
	}
}

func (e *Engine) changeAfterSale(ev *event.Event) {
	switch b := ev.Body.(type) {
	case *event.Event_VoidSent:
		e.applyVoidSent(b.VoidSent)
	case *event.Event_VoidApproved:
		e.applyVoidApproved(b.VoidApproved)
	case *event.Event_VoidDeclined:
		e.applyVoidDeclined(b.VoidDeclined)
	case *event.Event_VoidReleased:
		e.applyVoidReleased(b.VoidReleased)
	case *event.Event_RefundSent:
		e.applyRefundSent(b.RefundSent)
	case *event.Event_RefundApproved:
		e.applyRefundApproved(b.RefundApproved)
	case *event.Event_RefundDeclined:
		e.applyRefundDeclined(b.RefundDeclined)
	case *event.Event_RefundUnknown:
		e.applyRefundUnknown(b.RefundUnknown)
	case *event.Event_EntitlementRestored:
		e.applyEntitlementRestored(b.EntitlementRestored)
	case *event.Event_InquirySent:
		e.applyInquirySent(b.InquirySent)
	case *event.Event_InquiryEnded:
		e.applyInquiryEnded(b.InquiryEnded)
	case *event.Event_PaymentUnknown:
		e.applyPaymentUnknown(b.PaymentUnknown)
	case *event.Event_QueryAttempted:
		e.applyQueryAttempted(b.QueryAttempted)
	case *event.Event_BatchSettled:
		e.applyBatchSettled(b.BatchSettled)
	case *event.Event_BatchUploaded:
		e.applyBatchUploaded(b.BatchUploaded)
	case *event.Event_BatchUploadEnded:
		e.applyBatchUploadEnded(b.BatchUploadEnded)
	case *event.Event_TerminalReported:
		e.applyTerminalReported(b.TerminalReported)
	case *event.Event_RequestKept:
		e.applyRequestKept(b.RequestKept)
	default:
		e.changeByOperator(ev)
	}
}

func (e *Engine) changeByOperator(ev *event.Event) {
	switch b := ev.Body.(type) {
	case *event.Event_WorkItemClosed:
		e.applyWorkItemClosed(b.WorkItemClosed)
	case *event.Event_ReversalDead:
		e.applyReversalDead(b.ReversalDead)
	case *event.Event_ReversalRequeued:
		e.applyReversalRequeued(b.ReversalRequeued)
	case *event.Event_ReversalResolved:
		e.applyReversalResolved(b.ReversalResolved)
	case *event.Event_PauseSet:
		e.applyPauseSet(b.PauseSet)
	case *event.Event_PauseLifted:
		e.applyPauseLifted(b.PauseLifted)
	case *event.Event_KillSwitchSet:
		e.applyKillSwitchSet(b.KillSwitchSet)
	case *event.Event_HoldReleaseProposed:
		e.mustPurchase(b.HoldReleaseProposed.Purchase).proposal = b.HoldReleaseProposed
	case *event.Event_Supplemented:
		e.applySupplemented(b.Supplemented)
	case *event.Event_KeyActRecorded:
		e.applyKeyActRecorded(b.KeyActRecorded)
	default:
		panic(fmt.Sprintf("event %d has a body that this version does not know: %T", ev.Seq, ev.Body))
	}
}

// mustRelease holds what an event says was given back against what the book gave back.
func (e *Engine) mustRelease(said, done int64) {
	if said != done {
		panic(fmt.Sprintf("event %d releases %d, the book released %d", e.seq, said, done))
	}
}
