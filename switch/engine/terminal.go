package engine

import (
	"bytes"
	"fmt"

	"huanxin/subsidy/reason"
	"huanxin/subsidy/registry"
	"huanxin/switch/event"
)

// terminalState is what the engine knows of a terminal beyond its registry row.
type terminalState struct {
	batch       uint32
	signedOff   bool
	last        target       // of the last sale, void or refund: only that one can still be reversed by the terminal
	passed      bool         // and that no longer, for a reserve or a refused message has come after it
	pending     []uint64     // reversals towards hosts, in order; only the first is on its way
	items       []target     // sales and refunds of the open batch, in order
	closed      *closedBatch // the batch settled last, nil = none
	quarantined []uint64     // purchases whose void is not yet beyond recall
	keys        *workingKeys // nil = it has never got any
}

// session returns the state of a terminal, made on first sight with the batch of its registry row. It is part of the
// state only once an event has touched it; until then a fresh one is as good.
func (e *Engine) session(id [8]byte) *terminalState {
	if t := e.terminals[id]; t != nil {
		return t
	}
	t := &terminalState{batch: 1}
	if row := e.registry.Terminal(text(id[:])); row != nil && row.Batch > 0 {
		t.batch = row.Batch
	}
	return t
}

// touch is session for Apply: the state is kept.
func (e *Engine) touch(id [8]byte) *terminalState {
	if t := e.terminals[id]; t != nil {
		return t
	}
	t := e.session(id)
	e.terminals[id] = t
	return t
}

// text is a fixed-width field without its trailing blanks, as the registry writes ids.
func text(field []byte) string { return string(bytes.TrimRight(field, " ")) }

// party is who a request comes from.
type party struct {
	terminal *registry.Terminal
	merchant *registry.Merchant
}

// identify finds terminal and merchant of a request. On refusal the code is DE39: 97 unknown terminal, 03 merchant unknown
// or not the terminal's.
func (e *Engine) identify(terminal [8]byte, merchant [15]byte) (party, [2]byte) {
	t := e.registry.Terminal(text(terminal[:]))
	if t == nil {
		return party{}, rc("97")
	}
	m := e.registry.Merchant(text(merchant[:]))
	if m == nil || m.ID != t.Merchant {
		return party{}, rc("03")
	}
	return party{t, m}, rc("00")
}

// active is the refusal of a party that is suspended, 00 when it may do new business.
func (p party) active() [2]byte {
	switch {
	case p.merchant.State != registry.Active:
		return rc("03")
	case p.terminal.State != registry.Active:
		return rc("58")
	}
	return rc("00")
}

// recognised admits what is taken from every terminal that is known, suspended and stopped ones too: reversals,
// settlement, reports and questions.
func (e *Engine) recognised(token Token, key Key) bool {
	if _, code := e.identify(key.Terminal, key.Merchant); code != rc("00") {
		e.reply(Reply{Token: token, Response: code})
		return false
	}
	return true
}

// admitGivingBack admits voids and refunds: from suspended parties too, not from stopped ones.
func (e *Engine) admitGivingBack(token Token, key Key, content Hash, kinds ...exchangeKind) bool {
	return e.recognised(token, key) && e.isNew(token, key, content, kinds) && !e.stopped(token, key)
}

// isNew answers what is a repeat, or of another batch than the open one, and reports whether neither is so. A repeat gets its
// answer whatever has become of its sender or its batch since, or a payer would be charged whose till was told otherwise.
func (e *Engine) isNew(token Token, key Key, content Hash, kinds []exchangeKind) bool {
	x, known := e.find(key)
	if !(known && x.content == content) && !e.inSession(token, key) {
		return false
	}
	return !known || !e.repeated(token, key, content, kinds...)
}

// admitBusiness admits what begins something new.
func (e *Engine) admitBusiness(token Token, key Key, content Hash, kinds ...exchangeKind) (party, bool) {
	p, code := e.identify(key.Terminal, key.Merchant)
	if code != rc("00") {
		e.reply(Reply{Token: token, Response: code})
		return p, false
	}
	if !e.isNew(token, key, content, kinds) {
		return p, false
	}
	if code := p.active(); code != rc("00") {
		e.reply(Reply{Token: token, Response: code})
		return p, false
	}
	return p, !e.stopped(token, key)
}

// stopped answers a party that the kill switch has stopped.
func (e *Engine) stopped(token Token, key Key) bool {
	code := rc("00")
	if e.kills[killKey{merchant: text(key.Merchant[:])}] != nil {
		code = rc("03")
	} else if e.kills[killKey{terminal: text(key.Terminal[:])}] != nil {
		code = rc("58")
	}
	if code == rc("00") {
		return false
	}
	e.reply(Reply{Token: token, Response: code, Reasons: []reason.Code{reason.Stopped}})
	return true
}

// inSession answers 77 when the batch is not the open one or the terminal has signed off.
func (e *Engine) inSession(token Token, key Key) bool {
	s := e.session(key.Terminal)
	switch {
	case s.signedOff:
		e.reply(Reply{Token: token, Response: rc("77"), Text: "终端已签退，请重新签到"})
	case s.batch != key.Batch:
		e.reply(Reply{Token: token, Response: rc("77"), Text: fmt.Sprintf("批次号不符，当前批次%06d，请签到", s.batch)})
	default:
		return true
	}
	return false
}

// signOn is taken from suspended parties too: they still refund and settle.
func (e *Engine) signOn(in *SignOnRequest) {
	p, code := e.identify(in.Terminal, in.Merchant)
	if code != rc("00") {
		e.reply(Reply{Token: in.Token, Response: code})
		return
	}
	if !e.provesItself(in, p.terminal) {
		return
	}
	s := e.session(in.Terminal)
	keys := e.deliver(s, in.Keys)
	e.emit(&event.Event{Body: &event.Event_TerminalSignedOn{TerminalSignedOn: &event.TerminalSignedOn{
		Terminal: string(in.Terminal[:]), Merchant: string(in.Merchant[:]), Batch: s.batch, Keys: keys, Serial: bytesOf(in.Serial),
	}}})
	r := Reply{Token: in.Token, Response: rc("00"), Batch: s.batch}
	if keys != nil {
		r.Keys = e.session(in.Terminal).keys.delivered(keys)
	}
	e.reply(r)
}

// signOff ends a session once. A recording of it, of today or of a batch that is closed, is answered 00 and ends none: what the
// terminal sends after it would be refused, and could then be sent by others.
func (e *Engine) signOff(in *SignOffRequest) {
	if !e.recognised(in.Token, in.Key) || e.repeated(in.Token, in.Key, Hash{}, exchangeSignOff) {
		return
	}
	if e.session(in.Key.Terminal).batch == in.Key.Batch {
		e.emit(&event.Event{Body: &event.Event_TerminalSignedOff{TerminalSignedOff: &event.TerminalSignedOff{
			Terminal: string(in.Key.Terminal[:]), Merchant: string(in.Key.Merchant[:]), Key: in.Key.event(),
		}}})
	}
	e.reply(Reply{Token: in.Token, Response: rc("00")})
}

func (e *Engine) echo(in *EchoRequest) {
	_, code := e.identify(in.Terminal, in.Merchant)
	e.reply(Reply{Token: in.Token, Response: code, Batch: e.session(in.Terminal).batch})
}

func (e *Engine) applySignedOn(m *event.TerminalSignedOn) {
	t := e.touch(terminalID(m.Terminal))
	t.signedOff = false
	t.batch = m.Batch
	e.applyWorkingKeys(t, m.Keys)
}

func (e *Engine) applySignedOff(m *event.TerminalSignedOff) {
	e.touch(terminalID(m.Terminal)).signedOff = true
	if m.Key != nil {
		e.remember(keyOf(m.Key), exchange{kind: exchangeSignOff})
	}
}

func terminalID(s string) (id [8]byte) {
	copy(id[:], s)
	return id
}

// report keeps what a terminal tells without asking for anything.
func (e *Engine) report(in *ReportRequest) {
	if !e.recognised(in.Token, in.Key) || e.repeated(in.Token, in.Key, in.Content, exchangeReport) {
		return
	}
	m := &event.TerminalReported{
		Key: in.Key.event(), Content: bytesOf(in.Content), Kind: in.Kind, Icc: in.ICC, Detail: in.Detail,
		Purchase: idOf(e.original(in.Key, in.RRN, in.Original)),
	}
	e.emit(&event.Event{Body: &event.Event_TerminalReported{TerminalReported: m}})
	e.reply(Reply{Token: in.Token, Response: rc("00")})
}

func (e *Engine) applyTerminalReported(m *event.TerminalReported) {
	e.remember(keyOf(m.Key), exchange{content: hash(m.Content), kind: exchangeReport})
}

// status tells a terminal how a purchase stands and what its slip says: "the bank's message says charged, the slip says
// failed" is the commonest dispute. A merchant sees its own purchases only.
func (e *Engine) status(in *StatusRequest) {
	if !e.recognised(in.Token, in.Key) {
		return
	}
	p := e.asked(in)
	if p == nil || p.merchant() != text(in.Key.Merchant[:]) {
		e.reply(Reply{Token: in.Token, Response: rc("25")})
		return
	}
	r := Reply{Token: in.Token, Response: rc("00"), Purchase: e.viewPurchase(p)}
	if p.sale != nil {
		r.RRN = p.sale.Rrn
	}
	if p.reserved != nil {
		e.fillSubsidy(&r, p)
	}
	e.reply(r)
}

// asked finds the purchase that a status query is about.
func (e *Engine) asked(in *StatusRequest) *purchase {
	switch {
	case in.Hold != 0:
		return e.purchase(in.Hold)
	case in.RRN != "":
		return e.purchase(e.sentAs(rrnNumber(in.RRN)).purchase)
	case in.Original != (Original{}):
		if p := e.original(in.Key, "", in.Original); p != nil {
			return p
		}
		key := in.Key
		key.Batch, key.STAN = in.Original.Batch, in.Original.STAN
		for _, class := range []byte("12") {
			key.Class = class
			if x, ok := e.exchanges.get(key); ok {
				return e.purchase(x.purchase)
			}
		}
		return nil
	}
	return e.purchase(e.session(in.Key.Terminal).last.purchase)
}
