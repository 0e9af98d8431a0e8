package engine

import (
	"bytes"
	"fmt"

	"huanxin/subsidy/registry"
	"huanxin/switch/event"
)

// terminalState is what the engine knows of a terminal beyond its registry row.
type terminalState struct {
	batch     uint32
	signedOff bool
	lastSale  uint64   // purchase of the last financial message: only that one can still be reversed by the terminal
	pending   []uint64 // reversals towards hosts, in order; only the first is on its way
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

// identify finds terminal and merchant of a request. On refusal the code is DE39: 97 unknown terminal, 58 suspended
// terminal, 03 merchant unknown, suspended or not the terminal's.
func (e *Engine) identify(terminal [8]byte, merchant [15]byte) (party, [2]byte) {
	t := e.registry.Terminal(text(terminal[:]))
	if t == nil {
		return party{}, rc("97")
	}
	m := e.registry.Merchant(text(merchant[:]))
	if m == nil || m.ID != t.Merchant || m.State != registry.Active {
		return party{}, rc("03")
	}
	if t.State != registry.Active {
		return party{}, rc("58")
	}
	return party{t, m}, rc("00")
}

// admit is identify plus the session: 77 when the batch is not the open one or the terminal has signed off.
func (e *Engine) admit(key Key) (party, [2]byte, string) {
	p, code := e.identify(key.Terminal, key.Merchant)
	if code != rc("00") {
		return p, code, ""
	}
	s := e.session(key.Terminal)
	switch {
	case s.signedOff:
		return p, rc("77"), "终端已签退，请重新签到"
	case s.batch != key.Batch:
		return p, rc("77"), fmt.Sprintf("批次号不符，当前批次%06d，请签到", s.batch)
	}
	return p, rc("00"), ""
}

func (e *Engine) signOn(in *SignOnRequest) {
	_, code := e.identify(in.Terminal, in.Merchant)
	if code != rc("00") {
		e.reply(Reply{Token: in.Token, Response: code})
		return
	}
	batch := e.session(in.Terminal).batch
	e.emit(&event.Event{Body: &event.Event_TerminalSignedOn{TerminalSignedOn: &event.TerminalSignedOn{
		Terminal: string(in.Terminal[:]), Merchant: string(in.Merchant[:]), Batch: batch,
	}}})
	e.reply(Reply{Token: in.Token, Response: rc("00"), Batch: batch})
}

func (e *Engine) signOff(in *SignOffRequest) {
	_, code := e.identify(in.Terminal, in.Merchant)
	if code != rc("00") {
		e.reply(Reply{Token: in.Token, Response: code})
		return
	}
	s := e.session(in.Terminal)
	if !s.signedOff {
		e.emit(&event.Event{Body: &event.Event_TerminalSignedOff{TerminalSignedOff: &event.TerminalSignedOff{
			Terminal: string(in.Terminal[:]), Merchant: string(in.Merchant[:]),
		}}})
	}
	e.reply(Reply{Token: in.Token, Response: rc("00"), Batch: s.batch})
}

func (e *Engine) echo(in *EchoRequest) {
	_, code := e.identify(in.Terminal, in.Merchant)
	e.reply(Reply{Token: in.Token, Response: code, Batch: e.session(in.Terminal).batch})
}

func (e *Engine) applySignedOn(m *event.TerminalSignedOn) {
	t := e.touch(terminalID(m.Terminal))
	t.signedOff = false
	t.batch = m.Batch
}

func (e *Engine) applySignedOff(m *event.TerminalSignedOff) {
	e.touch(terminalID(m.Terminal)).signedOff = true
}

func terminalID(s string) (id [8]byte) {
	copy(id[:], s)
	return id
}
