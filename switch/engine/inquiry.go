package engine

import "huanxin/switch/event"

// inquiry is a question to a host that moves no money, such as the balance of a card, while it is under way.
type inquiry struct {
	key      Key
	host     string
	deadline int64
	sent     transmission
}

// inquire passes a question on. It is journaled for its numbers and its key; what was answered is not kept, so a resend
// after the end is told to ask anew.
func (e *Engine) inquire(in *InquiryRequest) {
	if _, ok := e.admitBusiness(in.Token, in.Key, in.Content, exchangeInquiry); !ok {
		return
	}
	host, known := e.cfg.Hosts[in.Host]
	if !known || host.Wallet {
		e.reply(Reply{Token: in.Token, Response: rc("92")})
		return
	}
	m := &event.InquirySent{
		Key: in.Key.event(), Content: bytesOf(in.Content), Host: in.Host, HostStan: hostSTAN(e.hostCounter + 1),
		Rrn: hostRRN(e.now, e.hostCounter+1), TransmittedAt: e.now, Deadline: e.now + int64(host.Timeout),
	}
	e.emit(&event.Event{Body: &event.Event_InquirySent{InquirySent: m}})
	e.wait(waitInquiry(rrnNumber(m.Rrn)), waiter{token: in.Token})
	e.out.Sends = append(e.out.Sends, Send{Host: &HostRequest{
		Host: in.Host, Kind: HostInquiry, Token: in.Token, STAN: m.HostStan, RRN: m.Rrn, TransmittedAt: e.now, Deadline: m.Deadline,
		Card: in.Card, Key: in.Key, Processing: "310000",
	}})
}

func (e *Engine) inquiryAnswered(id uint64, in *HostAnswered) {
	if q, ok := e.inquiries[id]; ok && q.host == in.Host {
		e.endInquiry(id, Reply{Response: rc(in.Answer.Response), RRN: in.RRN, Answer: &in.Answer, Balance: in.Balance})
	}
}

func (e *Engine) inquiryDue(id uint64, at int64) {
	if q, ok := e.inquiries[id]; ok && q.deadline == at {
		e.endInquiry(id, Reply{Response: rc("98"), Text: "支付渠道应答超时，请重新查询"})
	}
}

// endUnsentInquiry: the question never left.
func (e *Engine) endUnsentInquiry(in *HostUnsent) {
	if id := rrnNumber(in.RRN); in.Kind == HostInquiry {
		if _, ok := e.inquiries[id]; ok {
			e.endInquiry(id, Reply{Response: rc("91")})
		}
	}
}

func (e *Engine) endInquiry(id uint64, r Reply) {
	e.emit(&event.Event{Body: &event.Event_InquiryEnded{InquiryEnded: &event.InquiryEnded{
		Rrn: rrnText(id), Response: string(r.Response[:]),
	}}})
	for w := range e.served(waitInquiry(id)) {
		own := r
		own.Token = w.token
		e.reply(own)
	}
}

func (e *Engine) applyInquirySent(m *event.InquirySent) {
	id, key := rrnNumber(m.Rrn), keyOf(m.Key)
	e.hostCounter++
	q := inquiry{key: key, host: m.Host, deadline: m.Deadline, sent: transmissionAt(m.HostStan, m.TransmittedAt)}
	e.inquiries[id] = q
	e.purchases.ask(id, q.sent)
	e.remember(key, exchange{content: hash(m.Content), kind: exchangeInquiry, operation: id})
	e.remind(deadline{at: m.Deadline, id: id, kind: inquiryDeadline})
}

func (e *Engine) applyInquiryEnded(m *event.InquiryEnded) { e.forgetInquiry(rrnNumber(m.Rrn)) }

func (e *Engine) forgetInquiry(id uint64) {
	e.purchases.answered(id, e.inquiries[id].sent)
	delete(e.inquiries, id)
}
