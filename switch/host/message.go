package host

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"

	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys/hsm"
)

// Message types of the link.
const (
	mtiPreauth         = iso8583.MTI(0x0100) // pre-authorisation, and its void
	mtiPreauthAnswer   = iso8583.MTI(0x0110)
	mtiFinancial       = iso8583.MTI(0x0200) // sale, void, completion and its void, balance inquiry
	mtiFinancialAnswer = iso8583.MTI(0x0210)
	mtiRefund          = iso8583.MTI(0x0220)
	mtiRefundAnswer    = iso8583.MTI(0x0230)
	mtiReversal        = iso8583.MTI(0x0400)
	mtiReversalRepeat  = iso8583.MTI(0x0401)
	mtiReversalAnswer  = iso8583.MTI(0x0410)
	mtiRepeatAnswer    = iso8583.MTI(0x0411) // some networks answer a repeat as one
	mtiAdviceAnswer    = iso8583.MTI(0x0430) // some networks answer a reversal as the advice it is
	mtiNetwork         = iso8583.MTI(0x0800)
	mtiNetworkAnswer   = iso8583.MTI(0x0810)
	mtiNetworkAdvice   = iso8583.MTI(0x0820)
	mtiNetworkAdvAnswr = iso8583.MTI(0x0830)
)

// manageCode is what a management message asks.
type manageCode uint16

const (
	manageSignOn manageCode = 1   // 60.3 or DE70 = 001
	manageEcho   manageCode = 301 // 60.3 or DE70 = 301
)

// class sorts what a network sends.
type class uint8

const (
	classAnswer       class = iota + 1 // to a request or a reversal
	classSignOnAnswer                  // to a management message of ours
	classManagement                    // a management message of the network
)

// message is a frame of the network as far as the link understands it. answer is set for classAnswer.
type message struct {
	class    class
	response string // DE39
	key      matchKey
	answer   *engine.HostAnswered
}

var (
	errMTI      = errors.New("message type is not expected from a host")
	errResponse = errors.New("answer without a DE39 of two letters or digits")
)

// words writes and reads the messages of one profile. Safe for concurrent use.
type words struct {
	cfg   *Config
	codec *iso8583.Codec
	seal  *seal     // nil without MACs
	pin   *pinWords // nil for a host that takes no PIN
	pens  sync.Pool // *pen
}

// pen is what writing one message takes.
type pen struct {
	builder iso8583.Builder
	body    []byte
	value   []byte
	whole   []byte // a field as it came, before something is taken out of it
	code    [32]byte
}

func newWords(cfg *Config, module hsm.Module, keys Keys) (w *words, err error) {
	w = &words{cfg: cfg, codec: cfg.Codec}
	if w.seal, err = newSeal(cfg, module, keys); err != nil {
		return nil, err
	}
	if w.pin, err = newPINWords(cfg, module, keys); err != nil {
		return nil, err
	}
	w.pens.New = func() any { return new(pen) }
	need := []int{3, 4, 11, 37, 39, 41, 42}
	need = append(need, map[string]int{"de60": 60, "de70": 70}[cfg.Management], map[string]int{"de61": 61, "de90": 90}[cfg.Original])
	for _, n := range append(need, cfg.MatchKey...) {
		if !w.codec.Defines(n) {
			return nil, fmt.Errorf("dialect %s has no field %d", w.codec.Name(), n)
		}
	}
	return w, nil
}

// frame builds the message, puts the link's framing around it and wipes the pen.
func (w *words) frame(dst []byte, p *pen) ([]byte, error) { return w.finish(dst, p, nil) }

// sealed is frame with a MAC, where the profile has one.
func (w *words) sealed(dst []byte, p *pen) ([]byte, error) { return w.finish(dst, p, w.seal) }

func (w *words) finish(dst []byte, p *pen, seal *seal) ([]byte, error) {
	defer w.pens.Put(p)
	defer p.wipe()
	field := 0
	if seal != nil {
		field = seal.reserve(&p.builder)
	}
	body, err := p.builder.Append(p.body[:0])
	if err != nil {
		return dst, fmt.Errorf("build message: %w", err)
	}
	p.body = body
	if seal != nil {
		if body, err = seal.append(body, field, p.code[:0]); err != nil {
			return dst, err
		}
	}
	out, err := w.cfg.Framing.AppendFrame(dst, w.cfg.TPDU, w.cfg.Header, body)
	if err != nil {
		return dst, fmt.Errorf("frame message: %w", err)
	}
	return out, nil
}

// wipe leaves nothing of a message in a pen that waits for the next one.
func (p *pen) wipe() {
	clear(p.body[:cap(p.body)])
	clear(p.value[:cap(p.value)])
	clear(p.whole[:cap(p.whole)])
	p.builder.Wipe()
}

// manage writes a sign-on or an echo. In POS style the echo is 0820 and the code is 60.3.
func (w *words) manage(dst []byte, code manageCode, stan uint32, now time.Time) ([]byte, error) {
	p := w.pens.Get().(*pen)
	mti := mtiNetwork
	if w.cfg.Management == "de60" && code == manageEcho {
		mti = mtiNetworkAdvice
	}
	p.builder.Reset(w.codec, mti)
	w.stamp(p, now, stan)
	if w.cfg.Management == "de60" {
		p.value = fmt.Appendf(p.value[:0], "00000000%03d", code)
		p.builder.Set(60, p.value)
	} else {
		p.builder.SetDigits(70, uint64(code), 3)
	}
	return w.frame(dst, p)
}

// manageAnswer answers a management message of the network with 00.
func (w *words) manageAnswer(dst []byte, asked *iso8583.Message) ([]byte, error) {
	p := w.pens.Get().(*pen)
	p.builder.Reset(w.codec, asked.MTI().Response())
	p.builder.Copy(asked, 7, 11, 12, 13, 32, 33, 37, 41, 42, 60, 70)
	p.builder.SetString(39, "00")
	return w.frame(dst, p)
}

// ear is what reading messages takes. It belongs to one goroutine and is reused with each message.
type ear struct {
	parsed iso8583.Message
	code   [macSize]byte
	text   []byte // of the answer under way, which goes into one string
	data   []byte // and into one slice
}

// read understands one message of the network; nothing of raw is kept.
func (w *words) read(e *ear, raw []byte, now time.Time) (message, error) {
	parsed := &e.parsed
	if err := w.codec.Parse(raw, parsed); err != nil {
		return message{}, fmt.Errorf("parse: %w", err)
	}
	msg := message{response: responseOf(parsed)}
	switch parsed.MTI() {
	case mtiFinancialAnswer, mtiPreauthAnswer, mtiRefundAnswer:
		msg.class = classAnswer
	case mtiReversalAnswer, mtiRepeatAnswer, mtiAdviceAnswer:
		msg.class, msg.key.reversal = classAnswer, true
	case mtiNetworkAnswer, mtiNetworkAdvAnswr:
		msg.class = classSignOnAnswer
	case mtiNetwork, mtiNetworkAdvice:
		msg.class = classManagement
		return msg, nil
	default:
		return message{}, fmt.Errorf("%w: %s", errMTI, parsed.MTI())
	}
	if msg.class == classAnswer && w.seal != nil {
		if err := w.seal.check(parsed, &e.code); err != nil {
			return message{}, err
		}
	}
	if !isResponse(msg.response) {
		return message{}, errResponse
	}
	if msg.class == classAnswer {
		w.answer(&msg, e, now)
	}
	return msg, nil
}

// responseOf is DE39. Most answers say 00.
func responseOf(m *iso8583.Message) string {
	if m.Equal(39, "00") {
		return "00"
	}
	return string(m.AppendField(nil, 39))
}

// isResponse tells a DE39 (an2) from anything else; what it lets pass is fit for the journal.
func isResponse(code string) bool {
	for i := range len(code) {
		if c := code[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(code) == 2
}

// answer takes what the engine wants of an answer. What is kept of it goes into the journal; DE54, a balance, stays outside
// of that. RRN is not set: what the network echoes is ours only where it is in the key.
func (w *words) answer(msg *message, e *ear, now time.Time) {
	m := &e.parsed
	stan, _ := m.Uint(11)
	amount, _ := m.Uint(4)
	for _, n := range w.cfg.MatchKey {
		switch n {
		case 7:
			m.CopyField(msg.key.de7[:], 7)
		case 11:
			m.CopyField(msg.key.de11[:], 11)
		case 37:
			m.CopyField(msg.key.de37[:], 37)
		}
	}
	kind := engine.HostSale
	if msg.key.reversal {
		kind = engine.HostReversal
	}
	text, data := e.collect()
	msg.answer = &engine.HostAnswered{
		Kind: kind, STAN: uint32(stan), TransmittedAt: w.transmittedAt(text[5], now),
		Answer: event.HostAnswer{
			Response: msg.response, Approval: text[0], ClearingDate: text[1], LocalTime: text[2], LocalDate: text[3],
			Acquirer: text[4], Institutions: data[0], Icc: data[1], Network: data[2], Amount: int64(amount),
		},
		Balance: data[3],
	}
}

// collect takes DE38, 15, 12, 13 and 32 as text, "" for what is not fit for the journal's strings, then DE7 as it came; and
// DE44, 55, 63 and 54 as bytes. An answer is kept for as long as its purchase: its fields share two pieces of memory.
func (e *ear) collect() (text [6]string, data [4][]byte) {
	var ends [len(text)]int
	e.text = e.text[:0]
	for i, n := range [...]int{38, 15, 12, 13, 32, 7} {
		at := len(e.text)
		e.text = e.parsed.AppendField(e.text, n)
		if value := e.text[at:]; n == 38 && !isApproval(value) || n != 38 && n != 7 && !isDigits(value) {
			e.text = e.text[:at]
		}
		ends[i] = len(e.text)
	}
	all, at := string(e.text), 0
	for i, end := range ends {
		text[i], at = all[at:end], end
	}
	e.data = e.parsed.AppendField(e.data[:0], 44)
	ends[0] = len(e.data)
	e.data = e.parsed.AppendField(e.data, 55)
	// The tags that are kept move to the front of the field: the walk is never behind what is written.
	e.data = appendIssuerTags(e.data[:ends[0]], e.data[ends[0]:])
	ends[1] = len(e.data)
	for i, n := range [...]int{63, 54} {
		e.data = e.parsed.AppendField(e.data, n)
		ends[2+i] = len(e.data)
	}
	kept, at := bytes.Clone(e.data), 0
	for i := range data {
		if end := ends[i]; end > at {
			data[i], at = kept[at:end:end], end
		}
	}
	clear(e.data[:cap(e.data)]) // a balance
	return text, data
}

// transmittedAt is the echoed DE7 in +08:00, whatever zone this network uses; the engine knows no other.
func (w *words) transmittedAt(echoed string, now time.Time) string {
	if w.cfg.Zone == shanghai || echoed == "" {
		return echoed
	}
	at, err := time.ParseInLocation("2006"+transmission, now.In(w.cfg.Zone).Format("2006")+echoed, w.cfg.Zone)
	if err != nil {
		return ""
	}
	return at.In(shanghai).Format(transmission)
}

// isApproval tells a DE38, an6. Anything else could neither be shown nor be sent back in a reversal as it came: it is left
// out.
func isApproval(code []byte) bool {
	for _, c := range code {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(code) == 6
}

// isDigits tells a field that is a number.
func isDigits(value []byte) bool {
	for _, c := range value {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
