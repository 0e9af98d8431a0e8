package issuer

import (
	"crypto/subtle"
	"fmt"
	"hash/fnv"
	"strings"

	"huanxin/internal/money"
	"huanxin/internal/simulator/secret"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// request handles one frame.
func (c *conn) request(frame wire.Frame, m *iso8583.Message) error {
	if frame.KeepAlive() {
		return nil
	}
	if err := c.network.cfg.Codec.Parse(frame.Message, m); err != nil {
		return fmt.Errorf("message: %w", err)
	}
	if !c.proved(m) {
		c.network.forged.Add(1)
		return c.say(frame, m, "A0")
	}
	switch m.MTI() {
	case 0x0100, 0x0200, 0x0220:
		return c.financial(frame, m)
	case 0x0400, 0x0401, 0x0420, 0x0421:
		return c.reversal(frame, m)
	case 0x0800, 0x0820:
		return c.say(frame, m, "00")
	}
	return c.say(frame, m, "40")
}

// macField is where the MAC of a message stands: DE128 when it has fields above 64.
func macField(has func(int) bool, last int) int {
	for n := 65; n <= last; n++ {
		if has(n) {
			return 128
		}
	}
	return 64
}

// proved reports whether a message has the MAC that it must have. Management messages have none.
func (c *conn) proved(m *iso8583.Message) bool {
	desk := c.network.cfg.Desk
	if !desk.Authenticates() || m.MTI()&0x0f00 == 0x0800 {
		return true
	}
	field := macField(m.Has, c.network.cfg.Codec.LastField())
	var code [secret.MACSize]byte
	if m.Next(field) != 0 || m.CopyField(code[:], field) != len(code) {
		return false
	}
	want := desk.MAC(m.RawUpTo(field))
	return subtle.ConstantTimeCompare(want[:], code[:]) == 1
}

// typed is what a PIN block makes of a request: "" when there is none, or it is right, else a code.
func (c *conn) typed(m *iso8583.Message) string {
	if !m.Has(52) || c.network.cfg.Desk == nil { // without keys it looks at none
		return ""
	}
	switch pin, err := c.network.cfg.Desk.PIN(m.AppendField(nil, 52), payer(m)); {
	case err != nil:
		return "99"
	case pin != c.network.cfg.PIN:
		return "55"
	}
	return ""
}

// say answers with a code and nothing else.
func (c *conn) say(frame wire.Frame, m *iso8583.Message, response string) error {
	c.build(frame, m, &Line{Response: response}, SealGood)
	c.answer(1)
	return nil
}

// typeOf sorts a request (pos-dialect §3); ok is false for one that the network does not know.
func typeOf(m *iso8583.Message) (t Type, ok bool) {
	family := m.MTI() == 0x0100 || m.Equal(25, "06")
	switch key := m.MTI().String() + value(m, 3); {
	case key == "0100030000":
		return TypePreauth, true
	case key == "0100200000":
		return TypePreauthVoid, true
	case key == "0200000000" && family:
		return TypeCompletion, true
	case key == "0200200000" && family:
		return TypeCompletionVoid, true
	case key == "0200000000":
		return TypeSale, true
	case key == "0200200000":
		return TypeVoid, true
	case key == "0200310000":
		return TypeInquiry, true
	case key == "0220200000":
		return TypeRefund, true
	}
	return TypeSale, false
}

func (c *conn) financial(frame wire.Frame, m *iso8583.Message) error {
	t, known := typeOf(m)
	rrn, amount, ok := number(m)
	switch {
	case !m.Has(3), rrn == "", t != TypeInquiry && !ok:
		return c.say(frame, m, "30")
	case !known:
		return c.say(frame, m, "40")
	case t == TypeInquiry:
		amount = -1
	}
	plan := c.network.cfg.Rules.Request(t, rrn, amount)
	if plan.Unseen {
		return nil
	}
	if code := c.typed(m); code != "" && Approved(plan.Response) {
		plan = Plan{Response: code, Answers: 1}
	}
	line, err := c.book(t, plan, rrn, amount, m)
	if err != nil {
		return fmt.Errorf("book %s: %w", t, err)
	}
	return c.carryOut(frame, m, line, plan)
}

// book writes what the rules and the ledger make of a request. An inquiry is not booked.
func (c *conn) book(t Type, plan Plan, rrn string, amount money.Amount, m *iso8583.Message) (*Line, error) {
	n := c.network
	at, day := n.stamp()
	approval := ""
	if (Approved(plan.Response) || plan.Half) && t != TypeInquiry {
		approval = fmt.Sprintf("%06d", n.approval.Add(1)%1_000_000)
	}
	var line Line
	var err error
	switch t {
	case TypeInquiry:
		line = Line{Type: t, Card: CardToken(payer(m)), Response: plan.Response}
	case TypeSale, TypePreauth, TypeCompletion:
		s := &Sale{
			Type: t, At: at, Day: day, RRN: rrn, STAN: value(m, 11), Card: CardToken(payer(m)), Terminal: value(m, 41),
			Merchant: value(m, 42), Asked: amount, Response: plan.Response, Approval: approval, Original: named(m),
		}
		switch {
		case plan.Half:
			s.Grant = (amount + 1) / 2
		case Approved(plan.Response):
			s.Grant = amount
		}
		line, err = n.cfg.Ledger.Sell(s)
	default:
		line, err = n.cfg.Ledger.GiveBack(&Back{
			Type: t, At: at, Day: day, RRN: rrn, STAN: value(m, 11), Card: CardToken(payer(m)), Terminal: value(m, 41),
			Merchant: value(m, 42), Amount: amount, Response: plan.Response, Approval: approval, Original: named(m),
		})
	}
	return &line, err
}

// named is what a message says of an earlier one: DE90 = MTI, STAN, DE7 …, or DE61 = batch, STAN, date; and DE38.
func named(m *iso8583.Message) Named {
	o := Named{Approval: value(m, 38)}
	if original := value(m, 90); len(original) >= 14 {
		o.STAN, o.Date = original[4:10], original[10:14]
		return o
	}
	original := value(m, 61)
	if len(original) >= 12 {
		o.STAN = original[6:12]
	}
	if len(original) >= 16 {
		o.Date = original[12:16]
	}
	return o
}

func (c *conn) reversal(frame wire.Frame, m *iso8583.Message) error {
	n := c.network
	rrn, amount, ok := number(m)
	switch {
	case !ok:
		return c.say(frame, m, "30")
	case ofRefund(m):
		return c.say(frame, m, "40")
	}
	t := TypeSale
	if m.Equal(3, "200000") {
		t = TypeVoid
	}
	plan := n.cfg.Rules.Reversal(t, rrn, amount, n.attempt(rrn))
	if plan.Never && n.told.Load() {
		plan = Plan{Response: "00", Answers: 1}
	}
	if plan.Unseen {
		return nil
	}
	line := Line{Response: plan.Response, Amount: amount}
	if plan.Response == "00" {
		at, day := n.stamp()
		var err error
		line.Response, err = n.cfg.Ledger.Reverse(&Reversal{
			At: at, Day: day, RRN: rrn, STAN: value(m, 11), Terminal: value(m, 41), Merchant: value(m, 42),
			Reason: value(m, 39), Amount: amount,
		})
		if err != nil {
			return fmt.Errorf("book reversal: %w", err)
		}
	}
	return c.carryOut(frame, m, &line, plan)
}

// ofRefund reports whether a reversal is about a refund, which is never reversed, whether it has arrived or not.
func ofRefund(m *iso8583.Message) bool {
	return strings.HasPrefix(value(m, 60), "25") || strings.HasPrefix(value(m, 90), "0220")
}

// echoed are the fields that an answer repeats; 12 to 15, 32, 38, 39, 44 and 63 are the network's own (pos-dialect §3).
var echoed = []int{2, 3, 4, 7, 11, 22, 23, 25, 33, 37, 41, 42, 49, 60, 70, 90}

// build makes the whole frame of an answer, c.frame.
func (c *conn) build(frame wire.Frame, m *iso8583.Message, line *Line, as Seal) {
	codec := c.network.cfg.Codec
	now := c.network.cfg.Now().In(shanghai)
	b := &c.builder
	b.Reset(codec, m.MTI().Response())
	set := func(n int, v string) {
		if codec.Defines(n) {
			b.SetString(n, v)
		}
	}
	for _, n := range echoed {
		if codec.Defines(n) {
			b.Copy(m, n)
		}
	}
	set(12, now.Format("150405"))
	set(13, now.Format("0102"))
	set(39, line.Response)
	if m.Has(4) || line.Type == TypeInquiry {
		set(15, c.network.day(now).Format("0102"))
		set(32, "48022900")
		set(44, "48022900   48022900   ")
		set(63, "CUP")
		if line.Response == "10" {
			b.SetDigits(4, uint64(line.Amount), 12)
		}
	}
	if line.Approval != "" {
		set(38, line.Approval)
	}
	if line.Type == TypeInquiry && Approved(line.Response) {
		set(54, balance(line.Card))
	}
	if m.Has(55) && codec.Defines(55) && (m.MTI() == 0x0200 || m.MTI() == 0x0100) {
		b.Set(55, issuerData(line.Response))
	}
	seal := c.network.cfg.Desk.Authenticates() && m.MTI()&0x0f00 != 0x0800 && as != SealNone
	field := 0
	if seal {
		field = macField(b.Has, codec.LastField())
		b.Set(field, make([]byte, secret.MACSize))
	}
	var err error
	if c.body, err = b.Append(c.body[:0]); err != nil {
		panic("answer of the simulated network does not fit its own dialect: " + err.Error())
	}
	if seal {
		covered := c.body[:len(c.body)-codec.WireSize(field)]
		code := c.network.cfg.Desk.MAC(covered)
		if as == SealWrong {
			code[0] ^= 1
		}
		if c.body, err = codec.AppendValue(covered, field, code[:]); err != nil {
			panic("MAC of the simulated network does not fit its own dialect: " + err.Error())
		}
	}
	var swapped [wire.TPDUSize]byte
	c.frame, err = c.network.cfg.Framing.AppendFrame(c.frame[:0], wire.AppendSwapped(swapped[:0], frame.TPDU), frame.Header, c.body)
	if err != nil {
		panic("answer of the simulated network does not fit its framing: " + err.Error())
	}
}

// balance is DE54 of an inquiry: account type 02, available balance 02, yuan, credit, and an amount that is invented but
// always the same for a card (pos-dialect §2).
func balance(card string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(card))
	return fmt.Sprintf("0202156C%012d", 100_00+h.Sum32()%100_000_00)
}

// issuerData is DE55 of an answer: authentication data over an invented cryptogram, and the response code for the chip.
func issuerData(response string) []byte {
	out := iso8583.AppendTLV(nil, 0x91, []byte{0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE, 0xF0, response[0], response[1]})
	return iso8583.AppendTLV(out, 0x8A, []byte(response))
}

// number is what the ledger books a message under: DE37 and DE4.
func number(m *iso8583.Message) (rrn string, amount money.Amount, ok bool) {
	v, ok := m.Uint(4)
	rrn = value(m, 37)
	return rrn, money.Amount(v), ok && rrn != "" && v > 0
}

// payer is the card number, of the track when DE2 is absent, or the payment code.
func payer(m *iso8583.Message) string {
	if pan := value(m, 2); pan != "" {
		return pan
	}
	if track := m.AppendField(nil, 35); len(track) > 0 {
		for i, b := range track {
			if b == 'D' {
				return string(track[:i])
			}
		}
	}
	code, _ := iso8583.FindTag59(m.AppendField(nil, 59), "A3")
	return string(code)
}

func value(m *iso8583.Message, n int) string { return string(m.AppendField(nil, n)) }
