package engine

import (
	"fmt"
	"strconv"
	"time"

	"huanxin/subsidy"
	"huanxin/subsidy/reason"
	"huanxin/switch/event"
)

// sale is 0200: the second exchange of a subsidised purchase, or an ordinary sale. The host request leaves after
// SaleSent is durable.
func (e *Engine) sale(in *SaleRequest) {
	who, code, note := e.admit(in.Key)
	if code != rc("00") {
		e.reply(Reply{Token: in.Token, Response: code, Text: note})
		return
	}
	if e.repeated(in.Token, in.Key, in.Content, exchangeSale, exchangeRefusedSale) {
		return
	}
	if code, why := e.judgeSale(in); code != rc("00") {
		e.refuseSale(in, code, why)
		return
	}
	host, known := e.cfg.Hosts[in.Host]
	if !known {
		e.refuseSale(in, rc("92"), reason.None)
		return
	}
	id := in.Hold
	if id == 0 {
		id = e.lastPurchase + 1
	}
	e.emit(&event.Event{Body: &event.Event_SaleSent{SaleSent: &event.SaleSent{
		Purchase: id, Ordinary: in.Hold == 0, Key: in.Key.event(), Content: bytesOf(in.Content),
		Amount: int64(in.Amount), Host: in.Host, HostStan: hostSTAN(e.hostCounter + 1), Rrn: hostRRN(e.now, e.hostCounter+1),
		TransmittedAt: e.now, Deadline: e.now + int64(host.Timeout), Card: in.Card, EntryMode: string(in.EntryMode[:]),
		City: who.merchant.City, Channel: e.channelOf(in, who),
	}}})
	p := e.purchases[id]
	e.wait(in.Token, id)
	e.out.Sends = append(e.out.Sends, Send{Host: &HostRequest{
		Host: in.Host, Kind: HostSale, Token: in.Token, Purchase: id, STAN: p.sale.HostStan, RRN: p.sale.Rrn,
		TransmittedAt: e.now, Deadline: p.sale.Deadline, Amount: in.Amount, Card: in.Card, Key: in.Key,
	}})
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
	p := e.purchases[in.Hold]
	if p == nil || p.reserved == nil {
		return rc("25"), reason.HoldUnknown
	}
	reservedBy := keyOf(p.reserved.Key)
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
	e.emit(&event.Event{Body: &event.Event_SaleRefused{SaleRefused: &event.SaleRefused{
		Key: in.Key.event(), Content: bytesOf(in.Content), Purchase: in.Hold, Response: string(code[:]),
		Reason: uint32(why), Amount: int64(in.Amount),
	}}})
	e.replyRefusedSale(in.Token, e.exchanges[in.Key])
}

func (e *Engine) replyRefusedSale(token Token, x exchange) {
	r := Reply{Token: token, Response: x.response}
	if f, ok := e.refusals[x.refusal]; ok {
		r.Reasons = f.reasons
	}
	e.reply(r)
}

// replySale answers a sale that has been to a host: in the issuer's words, or 98 when the issuer did not speak in time.
func (e *Engine) replySale(token Token, p *purchase) {
	r := Reply{Token: token, Response: rc("98"), RRN: p.sale.Rrn}
	if p.answer != nil {
		r.Response, r.Answer = rc(p.answer.Response), p.answer
	}
	if p.reserved != nil {
		e.fillSubsidy(&r, p)
	}
	e.reply(r)
}

// DE11 and DE37 towards hosts come from one counter: six digits of it for the STAN (000001 to 999999), and for the RRN
// the last digit of the year, the day of the year (Asia/Shanghai, as DE37 is customarily built) and eight digits of it.
// An RRN therefore names one sale within ten years.
func hostSTAN(n uint64) uint32 { return uint32((n-1)%999_999 + 1) }

func hostRRN(at int64, n uint64) string {
	day := time.Unix(0, at).In(china)
	return fmt.Sprintf("%d%03d%08d", day.Year()%10, day.YearDay(), n%100_000_000)
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
		e.purchases[p.id] = p
	} else {
		p = e.mustPurchase(m.Purchase)
		e.move(p, Sent, Reserved)
	}
	p.sale = m
	e.hostCounter++
	e.indexSale(p)
	key := keyOf(m.Key)
	e.touch(key.Terminal).lastSale = p.id
	e.remember(key, exchange{content: hash(m.Content), kind: exchangeSale, purchase: p.id})
	e.remind(deadline{at: m.Deadline, id: p.id, kind: hostDeadline})
}

// indexSale makes the purchase findable by what a host echoes.
func (e *Engine) indexSale(p *purchase) {
	e.byRRN[rrnNumber(p.sale.Rrn)] = p.id
	e.byTransmission[transmissionOf(p.sale.HostStan, TransmissionTime(p.sale.TransmittedAt))] = p.id
}

func (e *Engine) applySaleRefused(m *event.SaleRefused, seq uint64) {
	x := exchange{content: hash(m.Content), kind: exchangeRefusedSale, response: rc(m.Response)}
	if m.Reason != 0 {
		x.refusal = seq
		e.refusals[seq] = refusal{reasons: []reason.Code{reason.Code(m.Reason)}}
	}
	e.remember(keyOf(m.Key), x)
}
