package terminal

import (
	"time"

	"huanxin/subsidy/reason"
	"huanxin/switch/engine"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// echoed are the fields that every answer takes from its request.
var echoed = []int{3, 4, 11, 25, 41, 42, 49, 60}

// Limits of an answer's DE59, so that it fits 600 bytes whatever was found: tags of fixed size take up to 110.
const (
	maxReasonBytes = 270
	maxTextBytes   = 200
)

// china is the zone of everything a till shows.
var china = time.FixedZone("+08:00", 8*60*60)

// answerer builds answers. It belongs to one goroutine at a time.
type answerer struct {
	b      iso8583.Builder
	codec  *iso8583.Codec
	field  []byte // DE59 or DE60 under construction
	text   []byte
	packed []byte // the message
	frame  []byte // the frame

	mac     []byte // of the last answer that has one
	omitted []int  // fields of the last answer that the dialect does not take
}

// answer builds the frame of an answer to x. It is valid until the next call. A field that does not fit the dialect of the
// port is left out, and only it: the till needs the rest, the reference number and the amounts above all. The error is for
// what cannot be left out, the answer code, and for an answer that is too large as a whole. field62 are the working keys that
// a sign-on delivers.
func (a *answerer) answer(x *exchange, r *engine.Reply, field62 []byte) ([]byte, error) {
	a.begin(x)
	a.b.Copy(&x.msg, echoed...)
	a.batch(x, r)
	at := time.Unix(0, r.At).In(china)
	a.set(12, at.AppendFormat(a.text[:0], "150405"))
	a.set(13, at.AppendFormat(a.text[:0], "0102"))
	a.b.Set(39, r.Response[:])
	if r.Purchase != nil {
		a.original(r.Purchase)
	} else {
		a.setString(37, r.RRN)
		a.issuer(r)
	}
	a.set(54, r.Balance)
	a.totals(x, r)
	a.tags(x, r)
	a.set(62, field62)
	return a.pack(x)
}

// minimal is the answer when the full one cannot be written at all: what the request itself had, and the code.
func (a *answerer) minimal(x *exchange, code [2]byte) ([]byte, error) {
	a.begin(x)
	a.b.Copy(&x.msg, echoed...)
	a.b.Set(39, code[:])
	return a.pack(x)
}

func (a *answerer) begin(x *exchange) {
	a.codec, a.omitted = x.port.Codec, a.omitted[:0]
	a.b.Reset(a.codec, x.msg.MTI().Response())
}

func (a *answerer) pack(x *exchange) ([]byte, error) {
	var err error
	if x.mac != nil {
		a.b.SetZero(macField)
	}
	if a.packed, err = a.b.Append(a.packed[:0]); err != nil {
		return nil, err
	}
	if x.mac != nil {
		if err = a.seal(x); err != nil {
			return nil, err
		}
	}
	if x.renew && len(x.head) == wire.HeaderSize { // pos-dialect §1: processing request 3
		x.head[2] = x.head[2]&0xF0 | 3
	}
	tpdu := x.tpdu
	var swapped [wire.TPDUSize]byte
	if x.port.SwapTPDU && len(tpdu) > 0 {
		tpdu = wire.AppendSwapped(swapped[:0], tpdu)
	}
	a.frame, err = x.port.Framing.AppendFrame(a.frame[:0], tpdu, x.head, a.packed)
	return a.frame, err
}

// set puts a value in when the dialect has the field, the value is there, and it fits.
func (a *answerer) set(n int, value []byte) {
	if len(value) > 0 && a.codec.Defines(n) && !a.b.TrySet(n, value) {
		a.omitted = append(a.omitted, n)
	}
}

func (a *answerer) setString(n int, value string) {
	a.text = append(a.text[:0], value...)
	a.set(n, a.text)
}

// batch puts the open batch into 60.2 of a sign-on's answer.
func (a *answerer) batch(x *exchange, r *engine.Reply) {
	if x.kind != kindSignOn || r.Batch == 0 {
		return
	}
	a.field = x.msg.AppendField(a.field[:0], 60)
	digits := iso8583.AppendDigits(a.text[:0], uint64(r.Batch), 6)
	if len(digits) == 6 && len(a.field) >= 8 {
		copy(a.field[2:8], digits)
		a.set(60, a.field)
	}
}

// issuer puts in what the host has answered, DE44, DE55 and DE63 as they came.
func (a *answerer) issuer(r *engine.Reply) {
	h := r.Answer
	if h == nil {
		return
	}
	a.setString(12, h.LocalTime)
	a.setString(13, h.LocalDate)
	a.setString(15, h.ClearingDate)
	a.setString(32, h.Acquirer)
	a.setString(38, h.Approval)
	a.set(44, h.Institutions)
	a.set(55, h.Icc)
	a.set(63, h.Network)
}

// totals answers a settlement: totals that agree come back as they were sent, others as the switch has them, each half with
// its reconciliation code. One that is refused has none: nothing was compared.
func (a *answerer) totals(x *exchange, r *engine.Reply) {
	if r.Totals == nil || x.kind != kindSettlement {
		return
	}
	code := byte(totalsDiffer)
	a.field = a.field[:0]
	if r.Equal {
		code = totalsEqual
		a.field = x.msg.AppendField(a.field, 48)
	} else {
		a.field = appendHalf(a.field, r.Totals)
		a.field = appendHalf(a.field, &engine.Totals{})
	}
	if len(a.field) == totalsSize {
		a.field[codeAt], a.field[halfSize+codeAt] = code, code
		a.set(48, a.field)
	}
}

// appendHalf appends one half of DE48, its code 0.
func appendHalf(dst []byte, t *engine.Totals) []byte {
	dst = iso8583.AppendDigits(dst, uint64(t.Debit), 12)
	dst = iso8583.AppendDigits(dst, uint64(min(t.DebitCount, maxCount)), 3)
	dst = iso8583.AppendDigits(dst, uint64(t.Credit), 12)
	dst = iso8583.AppendDigits(dst, uint64(min(t.CreditCount, maxCount)), 3)
	return append(dst, '0')
}

// maxCount is the largest n3. A batch of more is one that no terminal can settle as equal.
const maxCount = 999

// original puts in what a slip of the purchase asked about would have: its numbers, not those of today's question.
func (a *answerer) original(p *engine.PurchaseView) {
	a.setString(37, p.RRN)
	if h := p.Answer; h != nil {
		a.setString(15, h.ClearingDate)
		a.setString(32, h.Acquirer)
		a.setString(38, h.Approval)
		a.set(44, h.Institutions)
	}
}

// tags puts DE59 in: amounts and hold for the receipt, reasons and text for the cashier.
func (a *answerer) tags(x *exchange, r *engine.Reply) {
	a.field = a.field[:0]
	switch {
	case r.Purchase != nil:
		a.purchase(r.Purchase)
	case r.Totals != nil:
		a.count(tagSubsidyCount, r.Totals.SubsidyCount)
		a.number(tagSubsidySum, int64(r.Totals.Subsidy))
	case r.Refund != nil:
		if r.Hold != 0 {
			a.number(tagHold, int64(r.Hold))
			a.number(tagSubsidy, int64(r.Refund.Kept))
			a.number(tagReturned, int64(r.Refund.Returned))
		}
	default:
		a.amounts(x, r)
	}
	amounts := len(a.field)
	room := amounts + maxReasonBytes
	for _, c := range r.Reasons {
		name := c.String()
		if len(a.field)+5+len(name) > room {
			break
		}
		a.tag(tagReason, name)
	}
	if a.text = cashierText(a.text[:0], x, r); len(a.text) > 0 {
		a.field = iso8583.AppendTag59(a.field, tagText, a.text)
	}
	if len(a.field) > 0 && !a.b.TrySet(59, a.field) { // a short DE59: what the slip needs goes before what the cashier reads
		a.set(59, a.field[:amounts])
	}
}

// amounts are those of a reserve, a sale or its void.
func (a *answerer) amounts(x *exchange, r *engine.Reply) {
	if r.Hold != 0 && (x.kind != kindReversal || x.msg.Equal(3, "390000")) {
		a.number(tagHold, int64(r.Hold))
	}
	if r.Price > 0 {
		a.number(tagPrice, int64(r.Price))
	}
	if r.Price > 0 && r.Hold != 0 { // a refusal has no payable that a till could charge
		a.number(tagSubsidy, int64(r.Subsidy))
		a.number(tagPayable, int64(r.Payable))
	}
	if x.kind != kindVoid {
		a.instant(tagExpiry, "20060102150405", r.ExpiresAt)
	}
}

// purchase is how a purchase stands, and what its slip says. One without a subsidy has no hold and none of its amounts.
func (a *answerer) purchase(p *engine.PurchaseView) {
	state := p.State.String()
	if p.Standing {
		state = "charged"
	}
	a.tag(tagState, state)
	a.text = iso8583.AppendDigits(a.text[:0], uint64(p.Batch), 6)
	a.text = iso8583.AppendDigits(a.text, uint64(p.STAN), 6)
	at := p.SentAt
	if at == 0 {
		at = p.ReservedAt
	}
	a.text = time.Unix(0, at).In(china).AppendFormat(a.text, "0102150405")
	a.field = iso8583.AppendTag59(a.field, tagOriginal, a.text)
	if p.Answer != nil && p.Answer.Response != "" {
		a.tag(tagAnswered, p.Answer.Response)
	}
	if !p.Ordinary {
		a.number(tagHold, int64(p.ID))
		a.number(tagPrice, int64(p.Price))
		a.number(tagSubsidy, int64(p.Subsidy))
		a.number(tagPayable, int64(p.Payable))
	}
	if p.State == engine.Reserved {
		a.instant(tagExpiry, "20060102150405", p.ExpiresAt)
	}
	if p.SentAt != 0 {
		a.number(tagCharged, int64(p.Amount))
	}
	if p.CardMask != "" {
		a.tag(tagCard, p.CardMask)
	}
	if p.Refunded > 0 {
		a.number(tagRefunded, int64(p.Refunded))
	}
}

func (a *answerer) tag(name, value string) {
	a.text = append(a.text[:0], value...)
	a.field = iso8583.AppendTag59(a.field, name, a.text)
}

// instant appends a tag with an instant, none for 0.
func (a *answerer) instant(name, layout string, at int64) {
	if at != 0 {
		a.text = time.Unix(0, at).In(china).AppendFormat(a.text[:0], layout)
		a.field = iso8583.AppendTag59(a.field, name, a.text)
	}
}

// count appends an n3 tag.
func (a *answerer) count(name string, n uint32) {
	a.text = iso8583.AppendDigits(a.text[:0], uint64(min(n, maxCount)), 3)
	a.field = iso8583.AppendTag59(a.field, name, a.text)
}

// number appends an n12 tag.
func (a *answerer) number(name string, v int64) {
	a.text = iso8583.AppendDigits(a.text[:0], uint64(v), 12)
	a.field = iso8583.AppendTag59(a.field, name, a.text)
}

// cashierText appends what the cashier reads, in GBK: the reasons, else the engine's text, else the text of the code
// when it is the switch that answers. An issuer's code has no text of ours, but for two: 91, which is certain, not charged;
// and 51 where the issuer had approved a part.
func cashierText(dst []byte, x *exchange, r *engine.Reply) []byte {
	if len(r.Reasons) > 0 {
		return appendReasons(dst, r.Reasons)
	}
	text := r.Text
	if text == "" && (r.Answer == nil || r.Response == neverSent || partial(x, r)) {
		text = codeText(x.kind, r)
	}
	if out, ok := iso8583.AppendGBK(dst, text); ok && len(out)-len(dst) <= maxTextBytes {
		return out
	}
	return dst
}

// partial tells whether 51 is the switch's: the issuer has named an amount that is not the one asked for.
func partial(x *exchange, r *engine.Reply) bool {
	asked, ok := x.msg.Uint(4)
	return ok && r.Response == tooLittle && r.Answer.Amount > 0 && r.Answer.Amount < int64(asked)
}

// appendReasons joins as many texts as fit; the first always does.
func appendReasons(dst []byte, reasons []reason.Code) []byte {
	start := len(dst)
	for i, c := range reasons {
		text := c.Text().ZH
		if i > 0 {
			text = "；" + text
		}
		out, ok := iso8583.AppendGBK(dst, text)
		if !ok || len(out)-start > maxTextBytes {
			break
		}
		dst = out
	}
	return dst
}
