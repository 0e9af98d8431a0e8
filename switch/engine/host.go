package engine

import (
	"slices"
	"strconv"
	"time"

	"huanxin/switch/event"
)

// approved are the answers that mean "charged in full" (Q/CUP 006.6 annex A.2; 10 is a partial approval and is not one).
var approved = [...]string{"00", "11", "A2", "A4", "A5", "A6"}

func isApproved(code string) bool { return slices.Contains(approved[:], code) }

func (e *Engine) hostAnswered(in *HostAnswered) {
	p := e.purchases[e.matchAnswer(in)]
	if p == nil || p.sale == nil || p.sale.Host != in.Host {
		return // an answer to nothing we sent: the link has counted it
	}
	if in.Kind == HostReversal {
		e.reversalAnswered(p, in.Answer.Response)
		return
	}
	a := &in.Answer
	a = &event.HostAnswer{Response: a.Response, Approval: a.Approval, ClearingDate: a.ClearingDate, LocalTime: a.LocalTime,
		LocalDate: a.LocalDate, Institutions: a.Institutions, Icc: a.Icc, Network: a.Network, Amount: a.Amount, Acquirer: a.Acquirer}
	if len(a.Response) != 2 {
		a.Response = "96"
	}
	if p.state != Sent {
		e.lateAnswer(p, a)
		return
	}
	partial := a.Response == "10" || isApproved(a.Response) && a.Amount != 0 && a.Amount != p.sale.Amount
	switch {
	case partial:
		e.declinePartial(p, a)
	case isApproved(a.Response):
		e.emit(&event.Event{Body: &event.Event_SaleApproved{SaleApproved: &event.SaleApproved{Purchase: p.id, Answer: a}}})
	default:
		e.decline(p, a, event.DeclineCause_DECLINE_CAUSE_HOST)
	}
	e.answerWaiting(p)
}

// matchAnswer finds the purchase by DE37, which the switch made unique, or by DE11 and DE7 for a host that does not echo
// it.
func (e *Engine) matchAnswer(in *HostAnswered) uint64 {
	if n := rrnNumber(in.RRN); n != 0 {
		return e.byRRN[n]
	}
	return e.byTransmission[transmissionOf(in.STAN, in.TransmittedAt)]
}

// transmission is DE11 and DE7 of a host request in one number; the switch gives each DE11 once a second at most.
type transmission uint64

func transmissionOf(stan uint32, de7 string) transmission {
	n, err := strconv.ParseUint(de7, 10, 32)
	if err != nil || len(de7) != 10 {
		return 0
	}
	return transmission(uint64(stan)<<32 | n)
}

// TransmissionTime is DE7 (MMDDhhmmss, Asia/Shanghai) of an instant, as every message of the switch carries it.
func TransmissionTime(at int64) string { return time.Unix(0, at).In(china).Format("0102150405") }

func (e *Engine) decline(p *purchase, a *event.HostAnswer, cause event.DeclineCause) {
	e.emit(&event.Event{Body: &event.Event_SaleDeclined{SaleDeclined: &event.SaleDeclined{Purchase: p.id, Answer: a, Cause: cause}}})
	e.expireIfReleased(p)
}

// declinePartial: a part of the amount was charged. A till cannot collect the rest under a subsidy that was computed for
// the whole, so the part is given back and the till reads 51.
func (e *Engine) declinePartial(p *purchase, a *event.HostAnswer) {
	charged := chargedBy(p, a)
	a.Response = "51"
	e.emit(&event.Event{Body: &event.Event_SaleDeclined{SaleDeclined: &event.SaleDeclined{
		Purchase: p.id, Answer: a, Cause: event.DeclineCause_DECLINE_CAUSE_PARTIAL,
	}}})
	e.queueReversal(p, event.ReversalCause_REVERSAL_CAUSE_PARTIAL, "06", charged)
	e.expireIfReleased(p)
}

// chargedBy is what an approval has charged: its own amount when it names one that can be, else all of the sale.
func chargedBy(p *purchase, a *event.HostAnswer) int64 {
	if a.Amount <= 0 || a.Amount > p.sale.Amount {
		return p.sale.Amount
	}
	return a.Amount
}

// lateAnswer: the host speaks after the switch has decided without it, or speaks twice. What it said is kept. A charge
// that nothing takes back yet is taken back: the payer gets the money, there is no subsidy.
func (e *Engine) lateAnswer(p *purchase, a *event.HostAnswer) {
	same := p.answer != nil && p.answer.Response == a.Response && p.answer.Approval == a.Approval
	e.emit(&event.Event{Body: &event.Event_LateAnswer{LateAnswer: &event.LateAnswer{Purchase: p.id, Answer: a, Repeated: same}}})
	charged := isApproved(a.Response) || a.Response == "10"
	switch {
	case p.state == Captured && !charged:
		e.openWorkItem("answers-differ", p.id, 0, a.Response, "approved, then answered otherwise")
	case charged && (p.state == Declined || p.state == Reversed && p.undone != rc("00")):
		// Declined before, or the host had found nothing to reverse when it looked: this charge stands alone.
		e.openWorkItem("late-approval", p.id, 0, a.Response, "approved after the switch had given up; reversed once more")
		e.queueReversal(p, event.ReversalCause_REVERSAL_CAUSE_LATE_APPROVAL, "98", chargedBy(p, a))
	}
}

// hostDue: no answer in time. The purchase is unknown; the decision to reverse it is durable before anybody is told.
func (e *Engine) hostDue(id uint64, at int64) {
	p := e.purchases[id]
	if p == nil || p.state != Sent || p.sale.Deadline != at {
		return
	}
	e.queueReversal(p, event.ReversalCause_REVERSAL_CAUSE_TIMEOUT, "98", p.sale.Amount)
	e.expireIfReleased(p)
	e.answerWaiting(p)
}

// hostUnsent: the request certainly never left, so nothing can have been charged.
func (e *Engine) hostUnsent(in *HostUnsent) {
	if in.Kind == HostReversal {
		return // its next attempt is scheduled already
	}
	p := e.purchases[in.Purchase]
	if p == nil || p.state != Sent {
		return
	}
	e.decline(p, &event.HostAnswer{Response: "91"}, event.DeclineCause_DECLINE_CAUSE_NOT_SENT)
	e.answerWaiting(p)
}

func (e *Engine) applySaleApproved(m *event.SaleApproved) {
	p := e.mustPurchase(m.Purchase)
	e.move(p, Captured, Sent)
	p.answer = m.Answer
	if date := m.Answer.ClearingDate; laterDate(e.clearing[p.sale.Host], date) {
		e.clearing[p.sale.Host] = date
	}
	if h, ok := p.hold(); ok {
		e.book.Use(h)
	}
}

// laterDate reports whether the MMDD b lies after a, within half a year, so that January follows December. A straggler
// of the day before does not turn the clearing day back.
func laterDate(a, b string) bool {
	if !isMMDD(b) || !isMMDD(a) {
		return isMMDD(b)
	}
	days := func(s string) int { return (int(s[0]-'0')*10+int(s[1]-'0'))*31 + int(s[2]-'0')*10 + int(s[3]-'0') }
	const year = 12 * 31
	ahead := ((days(b)-days(a))%year + year) % year
	return ahead > 0 && ahead < year/2
}

func isMMDD(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == 4
}

func (e *Engine) applySaleDeclined(m *event.SaleDeclined) {
	p := e.mustPurchase(m.Purchase)
	e.letGo(p)
	e.move(p, Declined, Sent)
	p.answer = m.Answer
}

func (e *Engine) openWorkItem(kind string, purchase, reversal uint64, response, detail string) {
	e.emit(&event.Event{Body: &event.Event_WorkItemOpened{WorkItemOpened: &event.WorkItemOpened{
		Item: e.lastItem + 1, Kind: kind, Purchase: purchase, Reversal: reversal, Response: response, Detail: detail,
	}}})
}
