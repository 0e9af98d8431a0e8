package host

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/iso8583"
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
	pens  sync.Pool // *pen
}

// pen is what writing one message takes.
type pen struct {
	builder iso8583.Builder
	body    []byte
	value   []byte
	whole   []byte // a field as it came, before something is taken out of it
}

func newWords(cfg *Config) (*words, error) {
	w := &words{cfg: cfg, codec: cfg.Codec}
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
func (w *words) frame(dst []byte, p *pen) ([]byte, error) {
	defer w.pens.Put(p)
	body, err := p.builder.Append(p.body[:0])
	if err != nil {
		return dst, fmt.Errorf("build message: %w", err)
	}
	p.body = body
	out, err := w.cfg.Framing.AppendFrame(dst, w.cfg.TPDU, w.cfg.Header, body)
	clear(p.body)
	clear(p.value[:cap(p.value)])
	p.builder.Reset(w.codec, 0)
	if err != nil {
		return dst, fmt.Errorf("frame message: %w", err)
	}
	return out, nil
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

// read understands one message of the network. parsed is the caller's to reuse; nothing of raw is kept.
func (w *words) read(parsed *iso8583.Message, raw []byte, now time.Time) (message, error) {
	if err := w.codec.Parse(raw, parsed); err != nil {
		return message{}, fmt.Errorf("parse: %w", err)
	}
	msg := message{response: string(parsed.AppendField(nil, 39))}
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
	if !isResponse(msg.response) {
		return message{}, errResponse
	}
	if msg.class == classAnswer {
		w.answer(&msg, parsed, now)
	}
	return msg, nil
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

// answer takes what the engine wants of an answer. RRN is the echoed one only where the network echoes ours. What is kept
// of it goes into the journal; DE54, a balance, stays outside of that.
func (w *words) answer(msg *message, m *iso8583.Message, now time.Time) {
	stan, _ := m.Uint(11)
	amount, _ := m.Uint(4)
	for i, n := range [...]int{7, 11, 37} {
		if slices.Contains(w.cfg.MatchKey, n) {
			msg.key.field[i] = string(m.AppendField(nil, n))
		}
	}
	kind := engine.HostSale
	if msg.key.reversal {
		kind = engine.HostReversal
	}
	msg.answer = &engine.HostAnswered{
		Kind: kind, RRN: msg.key.field[2], STAN: uint32(stan), TransmittedAt: w.transmittedAt(m, now),
		Answer: event.HostAnswer{
			Response: msg.response, Approval: approval(m), ClearingDate: digits(m, 15), LocalTime: digits(m, 12),
			LocalDate: digits(m, 13), Institutions: m.AppendField(nil, 44),
			Icc: appendIssuerTags(nil, m.AppendField(nil, 55)), Network: m.AppendField(nil, 63),
			Amount: int64(amount), Acquirer: digits(m, 32),
		},
		Balance: m.AppendField(nil, 54),
	}
}

// transmittedAt is the echoed DE7 in +08:00, whatever zone this network uses; the engine knows no other.
func (w *words) transmittedAt(m *iso8583.Message, now time.Time) string {
	echoed := string(m.AppendField(nil, 7))
	if w.cfg.Zone == shanghai || echoed == "" {
		return echoed
	}
	at, err := time.ParseInLocation("2006"+transmission, now.In(w.cfg.Zone).Format("2006")+echoed, w.cfg.Zone)
	if err != nil {
		return ""
	}
	return at.In(shanghai).Format(transmission)
}

// approval is DE38, an6. Anything else could neither be shown nor be sent back in a reversal as it came: it is left out.
func approval(m *iso8583.Message) string {
	code := m.AppendField(nil, 38)
	for _, c := range code {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	if len(code) != 6 {
		return ""
	}
	return string(code)
}

// digits is a field that must be a number, "" when it is none: what it returns is fit for the journal's strings.
func digits(m *iso8583.Message, n int) string {
	value := m.AppendField(nil, n)
	for _, c := range value {
		if c < '0' || c > '9' {
			return ""
		}
	}
	return string(value)
}
