package engine

import (
	"fmt"
	"strconv"
	"time"

	"huanxin/internal/money"
	"huanxin/subsidy"
	"huanxin/subsidy/reason"
	"huanxin/switch/event"
)

// sale is 0200: the second exchange of a subsidised purchase, or an ordinary sale. The host request leaves after
// SaleSent is durable.
func (e *Engine) sale(in *SaleRequest) {
	who, ok := e.admitBusiness(in.Token, in.Key, in.Content, exchangeSale, exchangeRefusedSale)
	if !ok {
		return
	}
	e.advance(in.Key)
	if code, why := e.judgeSale(in); code != rc("00") {
		e.refuseSale(in, code, why)
		return
	}
	host, known := e.cfg.Hosts[in.Host]
	if !known || host.Wallet && in.Kind != event.SaleKind_SALE_KIND_UNSPECIFIED {
		e.refuseSale(in, rc("92"), reason.None)
		return
	}
	id := in.Hold
	if id == 0 {
		id = e.lastPurchase + 1
	}
	room := &event.SaleSentRoom{Fact: event.SaleSent{
		Purchase: id, Ordinary: in.Hold == 0, Kind: in.Kind, Wallet: host.Wallet,
		Amount: int64(in.Amount), Host: in.Host, HostStan: hostSTAN(e.hostCounter + 1), Rrn: hostRRN(e.now, e.hostCounter+1),
		TransmittedAt: e.now, Deadline: e.now + int64(host.Timeout), Card: in.Card, EntryMode: e.scratch.texts.of(in.EntryMode[:]),
		City: who.merchant.City, Channel: e.channelOf(in, who),
	}}
	in.Key.write(room.Key(), who)
	if in.Content != (Hash{}) {
		room.Content(in.Content[:])
	}
	env := e.envelope()
	env.sent.SaleSent = &room.Fact
	env.Body = &env.sent
	e.emit(&env.Event)
	e.wait(waitPurchase(id), waiter{token: in.Token})
	e.sendSale(in.Token, e.purchase(id))
}

// sendSale hands a payment to its host.
func (e *Engine) sendSale(token Token, p *purchase) {
	e.out.Sends = append(e.out.Sends, Send{Host: &HostRequest{
		Host: p.sale.Host, Kind: HostSale, Token: token, Purchase: p.id, STAN: p.sale.HostStan, RRN: p.sale.Rrn,
		TransmittedAt: e.now, Deadline: p.sale.Deadline, Amount: money.Amount(p.sale.Amount), Card: p.sale.Card,
		Key: keyOf(p.sale.Key), Processing: processing(p.sale.Kind),
	}})
}

// processing is DE3 of a payment.
func processing(kind event.SaleKind) string {
	switch kind {
	case event.SaleKind_SALE_KIND_PREAUTH:
		return "030000"
	case event.SaleKind_SALE_KIND_PREAUTH_VOID, event.SaleKind_SALE_KIND_COMPLETION_VOID:
		return "200000"
	}
	return "000000"
}

func (e *Engine) channelOf(in *SaleRequest, who party) string {
	if in.QR {
		return "qr"
	}
	return who.terminal.Channel
}

// judgeSale says whether a sale may go to the host. A sale on a hold must come from the terminal that reserved, in time,
// once, over exactly the payable; the chip's own amount 9F02 must agree, since the cryptogram is over it.
func (e *Engine) judgeSale(in *SaleRequest) ([2]byte, reason.Code) {
	if in.Hold == 0 {
		if in.ICCAmount >= 0 && in.ICCAmount != in.Amount {
			return rc("13"), reason.PayableMismatch
		}
		return rc("00"), reason.None
	}
	p := e.purchase(in.Hold)
	if p == nil || p.reserved == nil || p.manual {
		return rc("25"), reason.HoldUnknown
	}
	reservedBy := p.reserved.Key
	if reservedBy.Terminal != in.Key.Terminal || reservedBy.Merchant != in.Key.Merchant {
		return rc("12"), reason.HoldOtherParty
	}
	switch p.state {
	case Reserved:
	case HoldExpired:
		return rc("12"), reason.HoldExpired
	case Cancelled:
		return rc("12"), reason.HoldCancelled
	default:
		return rc("22"), reason.HoldConsumed
	}
	if p.reserved.ExpiresAt <= e.now { // the Tick that will expire it has not come yet
		return rc("12"), reason.HoldExpired
	}
	if int64(in.Amount) != p.reserved.Payable || in.ICCAmount >= 0 && in.ICCAmount != in.Amount {
		return rc("13"), reason.PayableMismatch
	}
	return rc("00"), reason.None
}

func (e *Engine) refuseSale(in *SaleRequest, code [2]byte, why reason.Code) {
	e.refuseRequest(in.Token, in.Key, &event.SaleRefused{
		Content: bytesOf(in.Content), Purchase: in.Hold, Response: string(code[:]), Reason: uint32(why), Amount: int64(in.Amount),
	})
}

// refuseRequest records that the switch itself refuses a sale, void or refund, so that a repeat gets the same answer.
func (e *Engine) refuseRequest(token Token, key Key, m *event.SaleRefused) {
	m.Key = key.event()
	e.emit(&event.Event{Body: &event.Event_SaleRefused{SaleRefused: m}})
	x, _ := e.exchanges.get(key)
	e.replyRefusedSale(token, x)
}

func idOf(p *purchase) uint64 {
	if p == nil {
		return 0
	}
	return p.id
}

func (e *Engine) replyRefusedSale(token Token, x exchange) {
	r := Reply{Token: token, Response: x.response}
	if f, ok := e.refusals[x.refusal]; ok {
		r.Reasons = f.reasons
	}
	e.reply(r)
}

// replySale answers a sale that has been to a host: in the issuer's words, or 98 when the issuer did not speak in time. A
// payment that a wallet has not decided is answered 68: neither charged nor not charged.
func (e *Engine) replySale(token Token, p *purchase) {
	r := Reply{Token: token, Response: rc("98"), RRN: p.sale.Rrn}
	switch {
	case p.answer != nil:
		r.Response, r.Answer = rc(p.answer.Response), p.answer
	case p.state == Unknown:
		r.Response, r.Reasons = rc("68"), pending
	}
	if p.reserved != nil && !p.manual {
		e.fillSubsidy(&r, p)
	}
	e.reply(r)
}

// DE11 and DE37 towards hosts come from one counter: six digits of it for the STAN (000001 to 999999), and for the RRN
// the last digit of the year, the day of the year (Asia/Shanghai, as DE37 is customarily built) and eight digits of it.
// An RRN therefore names one sale within ten years.
func hostSTAN(n uint64) uint32 { return uint32((n-1)%lastSTAN + 1) }

const lastSTAN = 999_999

func hostRRN(at int64, n uint64) string {
	day := time.Unix(0, at).In(china)
	return rrnText(uint64(day.Year()%10*1000+day.YearDay())*numbers + n%numbers)
}

// rrnText is a number as the twelve digits of DE37.
func rrnText(n uint64) string {
	var digits [12]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i], n = '0'+byte(n%10), n/10
	}
	return string(digits[:])
}

var china = time.FixedZone("+08:00", 8*60*60)

func rrnNumber(rrn string) uint64 {
	n, err := strconv.ParseUint(rrn, 10, 64)
	if err != nil || len(rrn) != 12 {
		return 0
	}
	return n
}

func (e *Engine) applySaleSent(m *event.SaleSent) {
	var p *purchase
	if m.Ordinary {
		if m.Purchase != e.lastPurchase+1 {
			panic(fmt.Sprintf("sale starts purchase %d, the last was %d", m.Purchase, e.lastPurchase))
		}
		e.lastPurchase = m.Purchase
		p = &purchase{id: m.Purchase, leaf: subsidy.NoNode, state: Sent, changed: e.now}
		e.add(p)
	} else {
		p = e.mustPurchase(m.Purchase)
		e.move(p, Sent, Reserved)
	}
	p.sale = m
	e.hostCounter++
	e.purchases.index(m, target{purchase: p.id})
	if key := keyOf(m.Key); m.Caller == "" {
		t := e.touch(key.Terminal)
		t.last, t.passed = target{purchase: p.id}, false
		t.items = append(t.items, t.last)
		e.remember(key, exchange{content: hash(m.Content), kind: exchangeSale, purchase: p.id})
	}
	e.remind(deadline{at: m.Deadline, id: p.id, kind: hostDeadline})
}

func (e *Engine) applySaleRefused(m *event.SaleRefused, seq uint64) {
	x := exchange{content: hash(m.Content), kind: exchangeRefusedSale, response: rc(m.Response)}
	if m.Reason != 0 {
		x.refusal = seq
		e.refusals[seq] = refusal{reasons: []reason.Code{reason.Code(m.Reason)}}
	}
	key := keyOf(m.Key)
	e.touch(key.Terminal).passed = true
	e.remember(key, x)
}
