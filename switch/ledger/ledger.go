// Package ledger is a second reading of a programme's facts: what every budget node, person, entitlement, serial number,
// purchase, void, refund and reversal must be, from the events alone.
//
// It shares nothing with package engine, which writes the facts and replays them: where the two disagree one of them is
// wrong, and `huanxin check` says so. So it is deliberately dumb. It knows which fact may follow which, adds and takes away
// fen in int64, and asks the rules in force for nothing but quotas and caps. It decides nothing, and it never stops: a fact
// that does not fit is a Finding with its place, and the reading goes on as if the fact were right, so that one wrong fact
// is one finding and not a thousand.
//
// It keeps what is needed to judge the facts to come: about 72 bytes a purchase, 40 an entitlement, 32 a person and
// category, in tables without pointers (internal/flat). Of what is written down in other places too, such as the merchant
// of a purchase, it keeps a digest.
package ledger

import (
	"bytes"
	"fmt"

	"huanxin/internal/flat"
	"huanxin/subsidy/policy"
	"huanxin/switch/event"
)

// Finding is a fact that cannot be: it contradicts the facts before it, or itself.
type Finding struct {
	Position uint64 // of the batch
	Seq      uint64 // of the event
	Text     string
}

func (f Finding) String() string {
	return fmt.Sprintf("position %d, event %d: %s", f.Position, f.Seq, f.Text)
}

// maxFindings bounds what is kept of them; Found counts all.
const maxFindings = 1000

// Ledger is the books after the events that were added. The zero value is not ready; see New.
type Ledger struct {
	position, seq uint64
	at            int64

	// The programme.
	name   string
	check  []byte // of the key that hashes persons
	epoch  uint64
	keyAct uint64 // the last act on the key store
	digest []byte
	rules  *policy.Programme

	budget       budget
	uses         flat.Slab[use]
	useIndex     flat.Index
	entitlements flat.Slab[entitlement]
	serials      flat.Index
	purchases    flat.Slab[purchase]
	operations   flat.Slab[operation]
	reversals    flat.Slab[reversal]
	items        flat.Slab[item]
	open         map[uint64]bool // items without an end
	categories   names
	requests     uint64 // sent to hosts: gives DE11 and DE37
	inquiries    map[string]bool
	openHolds    int

	// What the projection makes a row of by event number.
	Captures, Refunds, Movements, Refusals, Requests, Supplements, Settlements Facts

	moved []movement // by the present event

	findings []Finding
	found    int
}

// New returns the books of a programme without a history.
func New() *Ledger {
	return &Ledger{
		budget: budget{byPath: map[string]uint16{}}, open: map[uint64]bool{}, inquiries: map[string]bool{},
	}
}

// Seq is the number of the last event; Position that of its batch.
func (l *Ledger) Seq() uint64      { return l.seq }
func (l *Ledger) Position() uint64 { return l.position }

// Findings are the first thousand, in order; Found is how many there are.
func (l *Ledger) Findings() []Finding { return l.findings }
func (l *Ledger) Found() int          { return l.found }

// wrong notes that the present event cannot be.
func (l *Ledger) wrong(format string, args ...any) {
	l.found++
	if len(l.findings) < maxFindings {
		l.findings = append(l.findings, Finding{l.position, l.seq, fmt.Sprintf(format, args...)})
	}
}

// Add takes the next event, which lies in the batch at position. Nothing of ev is kept.
func (l *Ledger) Add(position uint64, ev *event.Event) {
	if l.position = position; ev.Seq != l.seq+1 {
		last := l.seq
		l.seq = ev.Seq
		l.wrong("it follows event %d", last)
	}
	if l.seq = ev.Seq; ev.At < l.at {
		l.wrong("it was decided %d ns before the event in front of it", l.at-ev.At)
	}
	l.at = max(l.at, ev.At)
	l.moved = l.moved[:0]
	l.take(ev)
	l.record()
}

// take knows every fact of the schema. One that moves no money and ends nothing is not looked at; TestEveryFactIsJudged
// holds that this was meant.
func (l *Ledger) take(ev *event.Event) {
	switch b := ev.Body.(type) {
	case *event.Event_Reserved:
		l.reserved(b.Reserved)
	case *event.Event_SaleSent:
		l.saleSent(b.SaleSent)
	case *event.Event_SaleApproved:
		l.saleApproved(b.SaleApproved)
	case *event.Event_SaleDeclined:
		l.saleDeclined(b.SaleDeclined)
	case *event.Event_HoldCancelled:
		l.holdEnded(b.HoldCancelled.Purchase, Cancelled)
	case *event.Event_HoldExpired:
		l.holdEnded(b.HoldExpired.Purchase, Expired)
	case *event.Event_LateAnswer:
		l.lateAnswer(b.LateAnswer)
	case *event.Event_EntitlementClaimed:
		l.claimed(b.EntitlementClaimed)
	case *event.Event_EntitlementExpired:
		l.entitlementEnded(b.EntitlementExpired.Entitlement, b.EntitlementExpired.Released, EntitlementExpired)
	case *event.Event_EntitlementReturned:
		l.entitlementEnded(b.EntitlementReturned.Entitlement, b.EntitlementReturned.Released, EntitlementReturned)
	case *event.Event_EntitlementRestored:
		l.entitlementRestored(b.EntitlementRestored)
	case *event.Event_BudgetNodeSet:
		l.budgetNodeSet(b.BudgetNodeSet)
	case *event.Event_BudgetRoundClosed:
		l.budgetRoundClosed(b.BudgetRoundClosed)
	case *event.Event_BudgetReleased:
		l.budgetReleased(b.BudgetReleased)
	case *event.Event_Supplemented:
		l.supplemented(b.Supplemented)
	case *event.Event_PaymentUnknown:
		l.paymentUnknown(b.PaymentUnknown)
	case *event.Event_QueryAttempted:
		l.queryAttempted(b.QueryAttempted)
	default:
		l.takeOthers(ev)
	}
}

func (l *Ledger) takeOthers(ev *event.Event) {
	switch b := ev.Body.(type) {
	case *event.Event_VoidSent:
		l.voidSent(b.VoidSent)
	case *event.Event_VoidApproved:
		l.voidApproved(b.VoidApproved)
	case *event.Event_VoidDeclined:
		l.voidDeclined(b.VoidDeclined)
	case *event.Event_VoidReleased:
		l.voidReleased(b.VoidReleased)
	case *event.Event_RefundSent:
		l.refundSent(b.RefundSent)
	case *event.Event_RefundApproved:
		l.refundApproved(b.RefundApproved)
	case *event.Event_RefundDeclined:
		l.refundDeclined(b.RefundDeclined)
	case *event.Event_RefundUnknown:
		l.refundUnknown(b.RefundUnknown)
	case *event.Event_ReversalQueued:
		l.reversalQueued(b.ReversalQueued)
	case *event.Event_ReversalAttempted:
		l.reversalAttempted(b.ReversalAttempted)
	case *event.Event_ReversalDone:
		l.reversalDone(b.ReversalDone)
	case *event.Event_ReversalDead:
		l.reversalDead(b.ReversalDead)
	case *event.Event_ReversalRequeued:
		l.reversalRequeued(b.ReversalRequeued)
	case *event.Event_ReversalResolved:
		l.reversalResolved(b.ReversalResolved)
	case *event.Event_WorkItemOpened:
		l.itemOpened(b.WorkItemOpened)
	case *event.Event_WorkItemClosed:
		l.itemClosed(b.WorkItemClosed)
	case *event.Event_InquirySent:
		l.inquirySent(b.InquirySent)
	case *event.Event_InquiryEnded:
		l.inquiryEnded(b.InquiryEnded)
	case *event.Event_OwnershipTaken:
		l.ownershipTaken(b.OwnershipTaken)
	case *event.Event_ProgrammePinned:
		l.programmePinned(b.ProgrammePinned)
	case *event.Event_PolicyApplied:
		l.policyApplied(b.PolicyApplied)
	case *event.Event_KeyActRecorded:
		l.keyActRecorded(b.KeyActRecorded)
	case *event.Event_ReserveRefused:
		m := b.ReserveRefused
		l.Refusals.Add(l.seq, RefusalDigest("reserve", "57", 0, m.Entitlement, m.Price, len(m.Reasons)))
	case *event.Event_SaleRefused:
		l.saleRefused(b.SaleRefused)
	case *event.Event_ReversalAnswered:
		if m := b.ReversalAnswered; m.Response != "00" {
			l.Refusals.Add(l.seq, RefusalDigest("reversal", m.Response, m.Purchase, 0, 0, 0))
		}
	case *event.Event_RequestKept:
		m := b.RequestKept
		l.Requests.Add(l.seq, RequestDigest(m.Request, m.Content, m.Purchase, m.Operation, m.Price))
	case *event.Event_BatchSettled:
		m := b.BatchSettled
		l.Settlements.Add(l.seq, SettlementDigest(m.Key.GetBatch(), m.NextBatch, m.Equal,
			m.Kept.GetDebitAmount(), m.Kept.GetCreditAmount(), m.Kept.GetSubsidyAmount()))
	}
}

// ---- The programme --------------------------------------------------------------------------------------------------

func (l *Ledger) ownershipTaken(m *event.OwnershipTaken) {
	if m.Epoch != l.epoch+1 {
		l.wrong("owner %d follows owner %d", m.Epoch, l.epoch)
	}
	l.epoch = m.Epoch
	clear(l.inquiries) // who asked is gone with the process that asked
}

// programmePinned: another key would hash every person anew, and that is a fresh quota for everybody.
func (l *Ledger) programmePinned(m *event.ProgrammePinned) {
	if l.name != "" && l.name != m.Programme {
		l.wrong("the programme is %q and was %q", m.Programme, l.name)
	}
	if l.check != nil && !bytes.Equal(l.check, m.PersonKeyCheck) {
		l.wrong("the key that hashes persons is another one than before")
	}
	l.name, l.check = m.Programme, bytes.Clone(m.PersonKeyCheck)
}

func (l *Ledger) policyApplied(m *event.PolicyApplied) {
	p, err := policy.Compile(m.Files)
	if err != nil {
		l.wrong("its rules do not compile: %v", err)
		return
	}
	if !bytes.Equal(p.Digest[:], m.Digest) {
		l.wrong("its rules have the digest %x, it names %x", p.Digest[:8], m.Digest[:min(8, len(m.Digest))])
	}
	l.rules, l.digest = p, bytes.Clone(m.Digest)
}

// keyActRecorded: the list of acts on the keys has no gap; only a store that was restored, and says so, goes back.
func (l *Ledger) keyActRecorded(m *event.KeyActRecorded) {
	if m.Number != l.keyAct+1 && m.Act != "restore" {
		l.wrong("act %d on the key store follows act %d", m.Number, l.keyAct)
	}
	l.keyAct = m.Number
}

// names gives the categories, which are few, a number each.
type names struct{ list []string }

func (n *names) of(s string) uint8 {
	for i, name := range n.list {
		if name == s {
			return uint8(i)
		}
	}
	n.list = append(n.list, s)
	return uint8(len(n.list) - 1)
}

// Programme is whose books these are.
type Programme struct {
	Name           string
	PersonKeyCheck []byte
	Epoch          uint64 // of the last taking of ownership
	PolicyDigest   []byte
}

// Programme is that of the last events.
func (l *Ledger) Programme() Programme { return Programme{l.name, l.check, l.epoch, l.digest} }
