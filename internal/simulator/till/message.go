package till

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"huanxin/internal/money"
	"huanxin/internal/simulator/secret"
	"huanxin/switch/iso8583"
)

// Card is a payment card, or a payment code when Code is set.
type Card struct {
	PAN    string `yaml:"pan"`
	Expiry string `yaml:"expiry"` // YYMM
	Track2 string `yaml:"track2"` // with separator D
	Seq    string `yaml:"seq"`    // chip: sequence number, 3 digits
	Code   string `yaml:"code"`   // QR: payment code
	Chip   bool   `yaml:"chip"`
}

// Kinds of request: DE60.1, and for management 60.3.
const (
	KindManagement     = 0
	KindBalance        = 1
	KindPreauth        = 10
	KindPreauthVoid    = 11
	KindCompletion     = 20
	KindCompletionVoid = 21
	KindSale           = 22
	KindVoid           = 23
	KindRefund         = 25
	KindReserve        = 96
	KindCancel         = 97
	KindStatus         = 98

	NetSignOn      = 1
	NetSignOff     = 2
	NetSettle      = 201 // 0500, and the details of 0320
	NetEndDiffers  = 202 // 0320: all sent, the totals had differed
	NetCertificate = 205 // 0320: the certificate of one chip transaction
	NetEndEqual    = 207 // 0320: all sent, the totals had been equal
	NetEcho        = 301
	NetState       = 362 // 0820: state of the terminal
	NetScript      = 951 // 0620: what an issuer's script has done
)

// form is what a kind of request has beside its amount and card: DE3 and DE25.
type form struct{ code, condition string }

var forms = map[int]form{
	KindBalance:        {"310000", "00"},
	KindPreauth:        {"030000", "06"},
	KindPreauthVoid:    {"200000", "06"},
	KindCompletion:     {"000000", "06"},
	KindCompletionVoid: {"200000", "06"},
	KindSale:           {"000000", "00"},
	KindVoid:           {"200000", "00"},
	KindRefund:         {"200000", "00"},
	KindReserve:        {"390000", "00"},
	KindCancel:         {"390000", "00"},
	KindStatus:         {"390000", "00"},
}

// Tag is one subsidy tag of DE59; the value is UTF-8 here and GBK on the wire.
type Tag struct{ Name, Value string }

// Original is DE61: the batch and STAN of an earlier message, and where a refund or a pre-authorisation names it, its day.
type Original struct {
	Batch uint32
	STAN  uint32
	Date  string // MMDD, or empty
}

func (o *Original) digits() string { return fmt.Sprintf("%06d%06d%s", o.Batch, o.STAN, o.Date) }

// Request is one message of a terminal.
type Request struct {
	MTI      iso8583.MTI
	Kind     int // DE60.1
	Net      int // DE60.3 of management messages
	Terminal string
	Merchant string
	Batch    uint32
	STAN     uint32
	Amount   money.Amount // DE4; not in management messages, a balance inquiry or a status query
	Card     *Card        // of a payment, what takes it back, and their reversals
	Cause    string       // DE39 of a reversal
	RRN      string       // DE37 of the original
	Approval string       // DE38 of the original
	Original *Original    // DE61
	Details  string       // DE48: digits of a settlement or an upload
	State    string       // DE62: state codes of the terminal
	Chip     []byte       // DE55 of a script result or certificate
	PIN      string       // typed by the payer; goes as DE52, under the terminal's key
	Flip     bool         // one bit of the message is changed under way

	line string // that the script gives the till
	Tags []Tag  // DE59
}

// Answer is what the switch said.
type Answer struct {
	MTI      iso8583.MTI
	STAN     uint32
	Response string
	RRN      string
	Approval string
	Batch    uint32 // sign-on: the open batch; else as asked
	Hold     uint64
	Price    money.Amount
	Subsidy  money.Amount // a refund: what stays
	Payable  money.Amount
	Expires  string // YYYYMMDDhhmmss, +08:00
	Reasons  []string
	Text     string
	At       time.Time // DE12 and DE13 in the year of now
	Clearing string    // DE15

	Balance  string       // DE54: as received
	Returned money.Amount // a refund: subsidy given back to the budget
	Recon    byte         // settlement: '1' the totals are equal, '2' they are not
	Totals   Totals       // settlement: as the switch has them

	// Of a status query.
	State    string // such as captured
	Original string // batch, STAN and MMDDhhmmss of the purchase asked about
	Was      string // DE39 that it had been answered
	Charged  money.Amount
	Refunded money.Amount
	CardMask string

	Renew    bool // the header asks the terminal to sign on again
	unproved bool // its MAC is wrong or missing
}

// Refused reports whether the answer says no.
func (a *Answer) Refused() bool { return a.Response != "00" }

// ErrAnswer is returned for an answer that a terminal could not read.
var ErrAnswer = errors.New("answer is malformed")

// build puts the request into b. A reversal repeats its original's F3, F4, F11, card number, 60 and 61.
func (r *Request) build(b *iso8583.Builder, codec *iso8583.Codec, pad *secret.Pinpad) error {
	b.Reset(codec, r.MTI)
	b.SetDigits(11, uint64(r.STAN), 6)
	b.SetString(41, r.Terminal)
	b.SetString(42, r.Merchant)
	if r.Kind == KindManagement {
		return r.manage(b, pad)
	}
	how, known := forms[r.Kind]
	if !known {
		return fmt.Errorf("there is no request of kind %d", r.Kind)
	}
	b.SetString(3, how.code)
	if r.Kind != KindBalance && r.Kind != KindStatus {
		b.SetDigits(4, uint64(r.Amount), 12)
	}
	b.SetString(25, how.condition)
	b.SetString(49, "156")
	b.SetString(60, fmt.Sprintf("%02d%06d000%s", r.Kind, r.Batch, "60"))
	if r.Kind == KindRefund {
		b.SetString(63, "001") // the operator who gives money back is named
	}
	r.card(b)
	if err := r.typed(b, pad); err != nil {
		return err
	}
	r.original(b)
	if r.Cause != "" {
		b.SetString(39, r.Cause)
	}
	return errors.Join(r.tags(b), b.Err())
}

// manage puts what the messages of 60.1 = 00 have: sign-on and sign-off, echo, settlement and upload, reports.
func (r *Request) manage(b *iso8583.Builder, pad *secret.Pinpad) error {
	net, serial := r.Net, ""
	if pad != nil && r.Net == NetSignOn {
		net, serial = pad.SignOn()
	}
	b.SetString(60, fmt.Sprintf("00%06d%03d", r.Batch, net))
	if serial != "" {
		b.SetString(62, serial)
	}
	if r.MTI == 0x0500 {
		b.SetString(49, "156")
	}
	if r.MTI == 0x0500 || r.Net == NetSignOn {
		b.SetString(63, "001")
	}
	if r.Details != "" {
		b.SetString(48, r.Details)
	}
	if r.State != "" {
		b.SetString(62, r.State)
	}
	if r.Chip != nil {
		b.SetString(3, "000000")
		b.SetDigits(4, uint64(r.Amount), 12)
		b.Set(55, r.Chip)
		r.card(b)
	}
	r.original(b)
	return errors.Join(r.tags(b), b.Err())
}

// original puts what names an earlier message: DE37, DE38 and DE61.
func (r *Request) original(b *iso8583.Builder) {
	if r.RRN != "" {
		b.SetString(37, r.RRN)
	}
	if r.Approval != "" {
		b.SetString(38, r.Approval)
	}
	if r.Original != nil {
		b.SetString(61, r.Original.digits())
	}
}

// opens reports whether a request carries no MAC: it asks for keys, or whether somebody is there.
func (r *Request) opens() bool {
	return r.Kind == KindManagement && (r.Net == NetSignOn || r.Net == NetEcho)
}

// typed puts the PIN. A reversal has none.
func (r *Request) typed(b *iso8583.Builder, pad *secret.Pinpad) error {
	if r.PIN == "" || r.Card == nil || r.MTI == 0x0400 {
		return nil
	}
	if pad == nil {
		return errors.New("a terminal without keys has nowhere to type a PIN")
	}
	block, control, capture, err := pad.PIN(r.PIN, r.Card.PAN)
	if err != nil {
		return err
	}
	b.Set(52, block)
	b.SetString(53, control)
	b.SetString(26, capture)
	return nil
}

// card puts what was read of the card. The reserve has none; a reversal sends no track.
func (r *Request) card(b *iso8583.Builder) {
	reversal := r.MTI == 0x0400
	switch c := r.Card; {
	case c == nil:
		b.SetString(22, "012")
	case c.Code != "":
		b.SetString(22, "032")
	default:
		b.SetString(2, c.PAN)
		b.SetString(14, c.Expiry)
		typed := "2" // the third digit: a PIN or none
		if r.PIN != "" {
			typed = "1"
		}
		if !c.Chip {
			b.SetString(22, "02"+typed)
		} else {
			b.SetString(22, "05"+typed)
			b.SetString(23, c.Seq)
			if r.Chip == nil {
				b.Set(55, chipData(r.Amount, reversal))
			}
		}
		if c.Track2 != "" && !reversal {
			b.SetString(35, c.Track2)
		}
	}
}

// tags puts DE59: the payment code as A3, then the subsidy tags.
func (r *Request) tags(b *iso8583.Builder) error {
	var value []byte
	if r.Card != nil && r.Card.Code != "" {
		value = iso8583.AppendTag59(value, "A3", []byte(r.Card.Code))
	}
	for _, tag := range r.Tags {
		text, ok := iso8583.AppendGBK(nil, tag.Value)
		if !ok || len(tag.Name) != 2 || len(text) > 999 {
			return fmt.Errorf("tag %s cannot be written", tag.Name)
		}
		value = iso8583.AppendTag59(value, tag.Name, text)
	}
	if len(value) > 0 {
		b.Set(59, value)
	}
	return nil
}

// chipData is DE55 of the simulated chip: the amount that its cryptogram would be over is 9F02.
func chipData(amount money.Amount, reversal bool) []byte {
	var bcd [6]byte
	digits := fmt.Sprintf("%012d", amount)
	for i := range bcd {
		bcd[i] = digits[2*i]<<4 | digits[2*i+1]&0x0f
	}
	if reversal {
		return []byte("\x95\x05\x00\x00\x00\x00\x00\x9F\x1E\x08SIMTERM1\x9F\x10\x08\x07\x01\x01\x03\xA0\x00\x00\x01\x9F\x36\x02\x00\x01")
	}
	out := []byte("\x9F\x26\x08\x12\x34\x56\x78\x9A\xBC\xDE\xF0\x9F\x27\x01\x80\x9F\x10\x08\x07\x01\x01\x03\xA0\x00\x00\x01" +
		"\x9F\x37\x04\x00\x00\x00\x01\x9F\x36\x02\x00\x01\x95\x05\x00\x00\x00\x00\x00\x9A\x03\x25\x06\x18\x9C\x01\x00\x9F\x02\x06")
	out = append(out, bcd[:]...)
	return append(out, "\x5F\x2A\x02\x01\x56\x82\x02\x7C\x00\x9F\x1A\x02\x01\x56\x9F\x33\x03\xE0\xE1\xC8\x9F\x1E\x08SIMTERM1"...)
}

// answerKey is what an answer is matched by: a terminal has one request of an MTI class and STAN open at a time.
type answerKey struct {
	class    iso8583.MTI
	terminal string
	merchant string
	stan     uint32
}

func (r *Request) key() answerKey {
	return answerKey{r.MTI & 0x0f00, r.Terminal, r.Merchant, r.STAN}
}

// readAnswer takes an answer apart.
func readAnswer(m *iso8583.Message, now time.Time) (answerKey, *Answer, error) {
	stan, _ := m.Uint(11)
	a := &Answer{
		MTI: m.MTI(), STAN: uint32(stan), Response: string(m.AppendField(nil, 39)), RRN: field(m, 37), Approval: field(m, 38),
	}
	key := answerKey{m.MTI() & 0x0f00, string(m.AppendField(nil, 41)), string(m.AppendField(nil, 42)), a.STAN}
	if len(a.Response) != 2 {
		return key, nil, fmt.Errorf("%w: no DE39", ErrAnswer)
	}
	if batch, ok := m.SubUint(60, 2, 6); ok {
		a.Batch = uint32(batch)
	}
	a.Clearing, a.Balance = field(m, 15), field(m, 54)
	if a.MTI == 0x0510 && a.Response == "00" {
		if err := a.readTotals(m); err != nil {
			return key, nil, err
		}
	}
	if at, err := time.ParseInLocation("20060102150405", now.In(shanghai).Format("2006")+field(m, 13)+field(m, 12), shanghai); err == nil {
		a.At = at
	}
	return key, a, a.readTags(m.Raw(59))
}

func field(m *iso8583.Message, n int) string { return strings.TrimSpace(string(m.AppendField(nil, n))) }

// readTags takes DE59 of an answer.
func (a *Answer) readTags(value []byte) error {
	walk := iso8583.WalkTags59(value)
	for {
		name, v, ok := walk.Next()
		if !ok {
			break
		}
		if err := a.readTag(name.String(), v); err != nil {
			return err
		}
	}
	if walk.Err() != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, walk.Err())
	}
	return nil
}

func (a *Answer) readTag(name string, value []byte) error {
	var err error
	switch name {
	case "S7":
		a.Hold, err = strconv.ParseUint(string(value), 10, 64)
	case "S8":
		a.Subsidy, err = money.ParseN12(value)
	case "S9":
		a.Payable, err = money.ParseN12(value)
	case "SG":
		a.Price, err = money.ParseN12(value)
	case "SL":
		a.Charged, err = money.ParseN12(value)
	case "SN":
		a.Refunded, err = money.ParseN12(value)
	case "SP":
		a.Returned, err = money.ParseN12(value)
	case "SK":
		a.Totals.Subsidy, err = money.ParseN12(value)
	case "SJ":
		var n uint64
		n, err = strconv.ParseUint(string(value), 10, 32)
		a.Totals.SubsidyCount = uint32(n)
	case "SA":
		a.Expires = string(value)
	case "SB":
		a.Reasons = append(a.Reasons, string(value))
	case "SC":
		text, ok := iso8583.AppendUTF8(nil, value)
		if !ok {
			return fmt.Errorf("%w: DE59 tag SC is not GBK", ErrAnswer)
		}
		a.Text = string(text)
	case "SF":
		a.State = string(value)
	case "SH":
		a.Original = string(value)
	case "SI":
		a.Was = string(value)
	case "SM":
		a.CardMask = string(value)
	}
	if err != nil {
		return fmt.Errorf("%w: DE59 tag %s: %w", ErrAnswer, name, err)
	}
	return nil
}

var shanghai = time.FixedZone("+08:00", 8*3600)
