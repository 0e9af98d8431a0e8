package engine

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"huanxin/internal/mutant"
	"huanxin/switch/event"
)

// approved are the answers that mean "charged in full" (Q/CUP 006.6 annex A.2; 10 is a partial approval and is not one).
var approved = [...]string{"00", "11", "A2", "A4", "A5", "A6"}

func isApproved(code string) bool { return slices.Contains(approved[:], code) }

// movesMoney reports whether an answer says that all or a part of what was asked for has happened.
func movesMoney(code string) bool { return isApproved(code) || code == "10" }

func (e *Engine) hostAnswered(in *HostAnswered) {
	t := e.matchAnswer(in)
	a := answerOf(in)
	if t.inquiry != 0 {
		in.Answer.Response = a.Response
		e.inquiryAnswered(t.inquiry, in)
		return
	}
	p := e.purchase(t.purchase)
	if p == nil || p.sale == nil || p.sale.Host != in.Host {
		return // an answer to nothing we sent: the link has counted it
	}
	o := e.operation(t.operation)
	switch {
	case in.Kind == HostReversal:
		if !in.Pending {
			e.reversalAnswered(p, t.operation, a.Response)
		}
	case o != nil:
		e.operationAnswered(o, a, in.Pending)
	case in.Kind == HostQuery && p.state == Reversing:
		e.paymentQueried(p, a, in.Pending)
	case in.Kind == HostQuery && p.state != Sent && p.state != Unknown:
		// Answered before: wallets answer repeats too. That it was paid is news where the books have nothing paid.
		if !in.Pending && isApproved(a.Response) && (p.state == Declined || p.state == Reversed) {
			e.lateAnswer(p, a)
		}
	case in.Pending:
		if p.state == Sent && p.sale.Wallet {
			e.payUnknown(p.id, 0)
		}
	default:
		e.saleAnswered(p, a)
	}
}

// answerOf is what is kept of an answer. A DE39 that is none counts as a fault of the network.
func answerOf(in *HostAnswered) *event.HostAnswer {
	a := &in.Answer
	out := &event.HostAnswer{Response: a.Response, Approval: a.Approval, ClearingDate: a.ClearingDate, LocalTime: a.LocalTime,
		LocalDate: a.LocalDate, Institutions: a.Institutions, Icc: a.Icc, Network: a.Network, Amount: a.Amount, Acquirer: a.Acquirer}
	if len(out.Response) != 2 {
		out.Response = "96"
	}
	return out
}

func (e *Engine) saleAnswered(p *purchase, a *event.HostAnswer) {
	capturable := p.state == Sent || p.state == Unknown || mutant.LateApprovalCaptured && p.state == Reversing && isApproved(a.Response)
	if !capturable {
		e.lateAnswer(p, a)
		return
	}
	partial := a.Response == "10" || isApproved(a.Response) && a.Amount != 0 && a.Amount != p.sale.Amount
	switch {
	case partial && !mutant.PartialTakenAsFull:
		e.declinePartial(p, a)
	case partial || isApproved(a.Response):
		env := e.envelope()
		env.approval.Purchase, env.approval.Answer = p.id, a
		env.approved.SaleApproved = &env.approval
		env.Body = &env.approved
		e.emit(&env.Event)
	default:
		e.decline(p, a, event.DeclineCause_DECLINE_CAUSE_HOST)
	}
	e.answerWaiting(waitPurchase(p.id))
}

// matchAnswer finds the request by DE37, which the switch made unique, or by DE11 and DE7 for a host that does not echo
// it.
func (e *Engine) matchAnswer(in *HostAnswered) target {
	if n := rrnNumber(in.RRN); n != 0 {
		return e.sentAs(n)
	}
	return e.sentAt(transmissionOf(in.STAN, in.TransmittedAt))
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

// transmissionAt is transmissionOf a request that was sent at an instant.
func transmissionAt(stan uint32, at int64) transmission {
	t := time.Unix(0, at).In(china)
	_, month, day := t.Date()
	hour, minute, second := t.Clock()
	de7 := uint64(month)*1e8 + uint64(day)*1e6 + uint64(hour)*1e4 + uint64(minute)*1e2 + uint64(second)
	return transmission(uint64(stan)<<32 | de7)
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
	e.queueReversal(p, &event.ReversalQueued{Cause: event.ReversalCause_REVERSAL_CAUSE_PARTIAL, Reason: "06", Amount: charged})
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
	charged := movesMoney(a.Response)
	switch {
	case p.state == Captured && !charged:
		e.openWorkItem("answers-differ", p.id, 0, a.Response, "approved, then answered otherwise")
	case charged && (p.state == Declined || p.state == Reversed && p.undone != rc("00") && !p.standing):
		// Declined before, or nothing had been found to reverse by the host, or by an operator: this charge stands alone.
		e.openWorkItem("late-approval", p.id, 0, a.Response, "approved after the switch had given up; reversed once more")
		e.queueReversal(p, &event.ReversalQueued{
			Cause: event.ReversalCause_REVERSAL_CAUSE_LATE_APPROVAL, Reason: "98", Amount: chargedBy(p, a),
		})
	}
}

// hostDue: no answer in time. The purchase is unknown; the decision to reverse it is durable before anybody is told.
func (e *Engine) hostDue(id uint64, at int64) {
	p := e.purchase(id)
	if p == nil || p.state != Sent && p.state != Unknown || p.sale.Deadline != at {
		return
	}
	if p.state == Sent {
		e.giveUp(p, event.ReversalCause_REVERSAL_CAUSE_TIMEOUT)
	}
	e.answerWaiting(waitPurchase(p.id))
}

// giveUp: nobody knows whether the payer was charged. A card network is told to reverse, a wallet is asked.
func (e *Engine) giveUp(p *purchase, cause event.ReversalCause) {
	if p.sale.Wallet {
		e.payUnknown(p.id, 0)
		return
	}
	e.queueReversal(p, &event.ReversalQueued{Cause: cause, Reason: "98", Amount: p.sale.Amount})
	e.expireIfReleased(p)
}

// hostUnsent: the request certainly never left, so nothing can have been charged.
func (e *Engine) hostUnsent(in *HostUnsent) {
	if in.Kind == HostReversal || in.Kind == HostQuery {
		return // its next attempt is scheduled already
	}
	if o := e.operation(in.Operation); o != nil {
		e.operationUnsent(o)
		return
	}
	p := e.purchase(in.Purchase)
	if p == nil || p.state != Sent {
		e.endUnsentInquiry(in)
		return
	}
	e.decline(p, &event.HostAnswer{Response: "91"}, event.DeclineCause_DECLINE_CAUSE_NOT_SENT)
	e.answerWaiting(waitPurchase(p.id))
}

func (e *Engine) applySaleApproved(m *event.SaleApproved) {
	p := e.mustPurchase(m.Purchase)
	if mutant.LateApprovalCaptured && p.state == Reversing {
		p.state = Sent
	}
	e.move(p, Captured, Sent, Unknown)
	p.answer = m.Answer
	e.cleared(p.sale.Host, m.Answer.GetClearingDate())
	if h, ok := p.hold(); ok {
		e.book.Use(h)
	}
}

// cleared notes the clearing day that a host is on. It only moves on.
func (e *Engine) cleared(host, date string) {
	if laterDate(e.clearing[host], date) {
		e.clearing[host] = date
	}
}

// cutOver reports whether the clearing day of a captured purchase is over: its host has answered with a later one, or its
// cut-off has passed. Of a host that has named no day, the cut-off after the sale was sent counts.
func (e *Engine) cutOver(p *purchase) bool {
	date := p.answer.GetClearingDate()
	if !isMMDD(date) {
		return e.now >= e.cutOff(p.sale.Host, e.clearingDay(p.sale.Host, "", p.sale.TransmittedAt), p.sale.TransmittedAt)
	}
	return laterDate(date, e.clearing[p.sale.Host]) || e.now >= e.cutOff(p.sale.Host, date, p.sale.TransmittedAt)
}

// cutOff is the instant at which the clearing day MMDD of a host ends; the year is that in which it lies nearest to near.
func (e *Engine) cutOff(host, date string, near int64) int64 {
	at := time.Unix(0, near).In(china)
	month, day := int(date[0]-'0')*10+int(date[1]-'0'), int(date[2]-'0')*10+int(date[3]-'0')
	best := int64(0)
	for _, year := range []int{at.Year() - 1, at.Year(), at.Year() + 1} {
		end := time.Date(year, time.Month(month), day, 0, 0, 0, 0, china).Add(e.profile(host).CutOff).UnixNano()
		if best == 0 || abs(end-near) < abs(best-near) {
			best = end
		}
	}
	return best
}

func abs(n int64) int64 { return max(n, -n) }

// expiry is until when the network can still be told about a request: the clearing cut-off of its DE15 – where it has none,
// of the clearing day in which it was sent –, and LeastLife from now at least.
func (e *Engine) expiry(host, date string, sentAt int64) int64 {
	return max(e.cutOff(host, e.clearingDay(host, date, sentAt), sentAt), e.now+int64(e.profile(host).LeastLife))
}

// clearingDay is the MMDD that a host has given, or without one the day in which the request was sent.
func (e *Engine) clearingDay(host, date string, sentAt int64) string {
	if isMMDD(date) {
		return date
	}
	at := time.Unix(0, sentAt).In(china)
	if at.Sub(time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, china)) >= e.profile(host).CutOff {
		at = at.AddDate(0, 0, 1)
	}
	return at.Format("0102")
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
	if !mutant.HoldNotReleased {
		e.letGo(p)
	}
	e.move(p, Declined, Sent, Unknown)
	p.answer = m.Answer
}

func (e *Engine) openWorkItem(kind string, purchase, reversal uint64, response, detail string) {
	e.openItem(&event.WorkItemOpened{Kind: kind, Purchase: purchase, Reversal: reversal, Response: response, Detail: detail})
}

// openItem asks for a person. Terminal and merchant are those of the purchase unless the item names its own.
func (e *Engine) openItem(m *event.WorkItemOpened) {
	m.Item = e.lastItem + 1
	if p := e.purchase(m.Purchase); p != nil && m.Terminal == "" {
		terminal := p.terminal()
		m.Terminal, m.Merchant = text(bytes.Trim(terminal[:], "\x00")), p.merchant()
	}
	e.emit(&event.Event{Body: &event.Event_WorkItemOpened{WorkItemOpened: m}})
}
