package engine

import (
	"time"

	"huanxin/subsidy/registry"
	"huanxin/switch/event"
)

// Working keys of terminals, as the engine sees them: opaque bytes that a sign-on delivers. Who makes them, opens them and
// checks a MAC with them is switch/terminal. What the engine decides is which of them a terminal has, so that a restart or
// a take-over needs no new sign-on:
//
//   - A sign-on delivers new keys. They are pending: nobody has proved yet that the terminal has them, and those in use
//     stay in use. So a stranger who repeats somebody's sign-on changes nothing for the terminal.
//   - While keys are pending, a further sign-on delivers the same ones again for PendingLife: a sign-on that is resent,
//     two in a row, and a replay that crosses the honest one all end with the same keys.
//   - The first good MAC under pending keys makes them the current ones (TerminalKeysProved). Those before them are kept
//     beside them: the front accepts them for its overlap.

// PendingLife is how long keys that nobody has used are delivered again before new ones take their place.
const PendingLife = int64(time.Hour)

// NewKeys are the working keys that a sign-on may deliver.
type NewKeys struct {
	Kind    uint32 // ciphers and lengths; the engine only compares it
	Wrapped []byte // under the local master key of the front's module
	Checks  []byte // check values, 4 bytes a key
}

// KeyPair are the working keys of one generation.
type KeyPair struct {
	Generation uint32
	Kind       uint32
	Wrapped    string
	IssuedAt   int64
	ProvedAt   int64 // 0 = pending
}

// workingKeys are those of one terminal.
type workingKeys struct {
	last                      uint32 // generation
	previous, active, pending *KeyPair
}

// KeysProved says that a message of the terminal had a good MAC under pending keys. It comes before the message itself and
// has no answer.
type KeysProved struct {
	Terminal   [8]byte
	Generation uint32
}

// LookKeys asks for the working keys of all terminals: a []TerminalKeys in no order.
type LookKeys struct{}

// TerminalKeys are the working keys of one terminal; nil where there are none.
type TerminalKeys struct {
	Terminal                  [8]byte
	Previous, Active, Pending *KeyPair
}

// deliver decides what keys a sign-on delivers: the pending ones again, or the new ones. nil on a line without keys.
func (e *Engine) deliver(s *terminalState, in *NewKeys) *event.WorkingKeys {
	if in == nil {
		return nil
	}
	generation := uint32(1)
	if s.keys != nil {
		if p := s.keys.pending; p != nil && p.Kind == in.Kind && e.now < p.IssuedAt+PendingLife {
			return &event.WorkingKeys{Generation: p.Generation}
		}
		generation = s.keys.last + 1
	}
	return &event.WorkingKeys{Generation: generation, Kind: in.Kind, Wrapped: in.Wrapped, Checks: in.Checks}
}

func (e *Engine) applyWorkingKeys(t *terminalState, m *event.WorkingKeys) {
	if m == nil || len(m.Wrapped) == 0 {
		return
	}
	if t.keys == nil {
		t.keys = &workingKeys{}
	}
	t.keys.last = m.Generation
	t.keys.pending = &KeyPair{Generation: m.Generation, Kind: m.Kind, Wrapped: string(m.Wrapped), IssuedAt: e.now}
}

// keysProved is idempotent: the front says it again when it cannot know that it was heard.
func (e *Engine) keysProved(in *KeysProved) {
	s := e.terminals[in.Terminal]
	if s == nil || s.keys == nil || s.keys.pending == nil || s.keys.pending.Generation != in.Generation {
		return
	}
	e.emit(&event.Event{Body: &event.Event_TerminalKeysProved{TerminalKeysProved: &event.TerminalKeysProved{
		Terminal: string(in.Terminal[:]), Generation: in.Generation,
	}}})
}

func (e *Engine) applyKeysProved(m *event.TerminalKeysProved) {
	t := e.terminals[terminalID(m.Terminal)]
	if t == nil || t.keys == nil || t.keys.pending == nil || t.keys.pending.Generation != m.Generation {
		panic("keys are proved that the terminal does not have")
	}
	k := t.keys
	proved := *k.pending // what a look has given away does not change
	proved.ProvedAt = e.now
	k.previous, k.active, k.pending = k.active, &proved, nil
}

func (e *Engine) lookKeys() []TerminalKeys {
	list := []TerminalKeys{}
	for id, t := range e.terminals {
		if k := t.keys; k != nil {
			list = append(list, TerminalKeys{Terminal: id, Previous: k.previous, Active: k.active, Pending: k.pending})
		}
	}
	return list
}

// clearSerial is the problem of a row whose serial number nobody has hashed: the journal holds none in clear.
const clearSerial = "its serial number must come as a keyed hash"

// provesItself checks the serial number that a sign-on names against the registered one; a terminal for which none is
// registered is known by its line alone.
func (e *Engine) provesItself(in *SignOnRequest, t *registry.Terminal) bool {
	registered, ok := t.SerialHash()
	if ok && (registered == Hash{} || registered == in.Serial) {
		return true
	}
	e.reply(Reply{Token: in.Token, Response: rc("58"), Text: "终端序列号与登记不符"})
	return false
}

func (w *stateWriter) workingKeys(k *workingKeys) {
	w.Bool(k != nil)
	if k == nil {
		return
	}
	w.Uint(uint64(k.last))
	for _, p := range []*KeyPair{k.previous, k.active, k.pending} {
		w.Bool(p != nil)
		if p != nil {
			w.Uint(uint64(p.Generation))
			w.Uint(uint64(p.Kind))
			w.Text(p.Wrapped)
			w.Int(p.IssuedAt)
			w.Int(p.ProvedAt)
		}
	}
}

func (r *stateReader) workingKeys() *workingKeys {
	if !r.Bool() {
		return nil
	}
	k := &workingKeys{last: uint32(r.Uint())}
	for _, to := range []**KeyPair{&k.previous, &k.active, &k.pending} {
		if r.Bool() {
			*to = &KeyPair{
				Generation: uint32(r.Uint()), Kind: uint32(r.Uint()), Wrapped: r.Text(), IssuedAt: r.Int(), ProvedAt: r.Int(),
			}
		}
	}
	return k
}
