package engine

import (
	"huanxin/subsidy/registry"
	"huanxin/switch/event"
)

// Working keys of terminals, as the engine sees them: opaque bytes that a sign-on delivers. Who makes them, opens them and
// checks a MAC with them is switch/terminal. What the engine decides is which of them a terminal has, so that a restart or
// a take-over needs no new sign-on:
//
//   - A sign-on delivers new keys. They are pending: nobody has proved yet that the terminal has them, and those in use
//     stay in use. So a stranger who repeats somebody's sign-on changes nothing for the terminal.
//   - While keys are pending, every sign-on delivers the same ones again, however late: a sign-on that is resent, two in a
//     row, and a stranger's after that of a terminal which then stood idle all end with the same keys. New ones take
//     their place only when the terminal's master key is another one, which a stranger does not change, or when the module
//     does not open them any more.
//   - The first good MAC under pending keys makes them the current ones (TerminalKeysProved). Those before them are kept
//     beside them: the front accepts them for its overlap.
//   - Each kind of keys stands by itself. A terminal that can be reached under two ciphers has keys of both, and a sign-on
//     at a listener of the one leaves those of the other alone.

// NewKeys are the working keys that a sign-on may deliver.
type NewKeys struct {
	Kind    uint32  // ciphers, lengths and group; the engine only compares it
	Wrapped []byte  // under the local master key of the front's module
	Checks  []byte  // check values, 4 bytes a key
	Master  [4]byte // check value of the terminal's master key, under which they are sent
	Spoilt  uint32  // generation of pending keys that do not open any more, 0 = none
}

// KeyPair are the working keys of one generation.
type KeyPair struct {
	Generation uint32
	Kind       uint32
	Wrapped    string
	Master     [4]byte
	IssuedAt   int64
	ProvedAt   int64 // 0 = pending
}

// workingKeys are those of one terminal.
type workingKeys struct {
	last uint32      // generation, of all kinds
	sets []*kindKeys // one a kind, in the order in which they came; there are as many kinds as a front's listeners have
}

// kindKeys are those of one kind.
type kindKeys struct {
	kind                      uint32
	previous, active, pending *KeyPair
}

// of returns the set of a kind, nil when there is none.
func (k *workingKeys) of(kind uint32) *kindKeys {
	if k != nil {
		for _, s := range k.sets {
			if s.kind == kind {
				return s
			}
		}
	}
	return nil
}

// awaiting returns the set whose pending keys are of a generation, nil when there is none.
func (k *workingKeys) awaiting(generation uint32) *kindKeys {
	if k != nil {
		for _, s := range k.sets {
			if s.pending != nil && s.pending.Generation == generation {
				return s
			}
		}
	}
	return nil
}

// KeysProved says that a message of the terminal had a good MAC under pending keys. It comes before the message itself and
// has no answer.
type KeysProved struct {
	Terminal   [8]byte
	Generation uint32
}

// LookKeys asks for the working keys of all terminals: a []TerminalKeys in no order.
type LookKeys struct{}

// TerminalKeys are the working keys of one kind that a terminal has; nil where there are none.
type TerminalKeys struct {
	Terminal                  [8]byte
	Kind                      uint32
	Previous, Active, Pending *KeyPair
}

// deliver decides what keys a sign-on delivers: the pending ones again, or the new ones. nil on a line without keys.
func (e *Engine) deliver(s *terminalState, in *NewKeys) *event.WorkingKeys {
	if in == nil {
		return nil
	}
	again := func(p *KeyPair) *event.WorkingKeys {
		return &event.WorkingKeys{Generation: p.Generation, Kind: in.Kind}
	}
	if has := s.keys.of(in.Kind); has != nil {
		switch p, a := has.pending, has.active; {
		case p != nil && p.Master == in.Master && p.Generation != in.Spoilt:
			return again(p)
		case a != nil && a.Wrapped == string(in.Wrapped): // pending when the front looked, and proved since
			return again(a)
		}
	}
	generation := uint32(1)
	if s.keys != nil {
		generation = s.keys.last + 1
	}
	return &event.WorkingKeys{Generation: generation, Kind: in.Kind, Wrapped: in.Wrapped, Checks: in.Checks, Master: in.Master[:]}
}

// delivered returns the keys that a sign-on has delivered.
func (k *workingKeys) delivered(m *event.WorkingKeys) *KeyPair {
	s := k.of(m.Kind)
	if s.pending != nil && s.pending.Generation == m.Generation {
		return s.pending
	}
	return s.active
}

func (e *Engine) applyWorkingKeys(t *terminalState, m *event.WorkingKeys) {
	if m == nil || len(m.Wrapped) == 0 {
		return
	}
	if t.keys == nil {
		t.keys = &workingKeys{}
	}
	t.keys.last = m.Generation
	s := t.keys.of(m.Kind)
	if s == nil {
		s = &kindKeys{kind: m.Kind}
		t.keys.sets = append(t.keys.sets, s)
	}
	s.pending = &KeyPair{Generation: m.Generation, Kind: m.Kind, Wrapped: string(m.Wrapped), IssuedAt: e.now}
	copy(s.pending.Master[:], m.Master)
}

// keysProved is idempotent: the front says it again when it cannot know that it was heard.
func (e *Engine) keysProved(in *KeysProved) {
	s := e.terminals[in.Terminal]
	if s == nil || s.keys.awaiting(in.Generation) == nil {
		return
	}
	e.emit(&event.Event{Body: &event.Event_TerminalKeysProved{TerminalKeysProved: &event.TerminalKeysProved{
		Terminal: string(in.Terminal[:]), Generation: in.Generation,
	}}})
}

func (e *Engine) applyKeysProved(m *event.TerminalKeysProved) {
	var s *kindKeys
	if t := e.terminals[terminalID(m.Terminal)]; t != nil {
		s = t.keys.awaiting(m.Generation)
	}
	if s == nil {
		panic("keys are proved that the terminal does not have")
	}
	proved := *s.pending // what a look has given away does not change
	proved.ProvedAt = e.now
	s.previous, s.active, s.pending = s.active, &proved, nil
}

func (e *Engine) lookKeys() []TerminalKeys {
	list := []TerminalKeys{}
	for id, t := range e.terminals {
		if t.keys == nil {
			continue
		}
		for _, s := range t.keys.sets {
			list = append(list, TerminalKeys{Terminal: id, Kind: s.kind, Previous: s.previous, Active: s.active, Pending: s.pending})
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
	w.Uint(uint64(len(k.sets)))
	for _, s := range k.sets {
		w.Uint(uint64(s.kind))
		for _, p := range []*KeyPair{s.previous, s.active, s.pending} {
			w.Bool(p != nil)
			if p != nil {
				w.Uint(uint64(p.Generation))
				w.Text(p.Wrapped)
				w.put(p.Master[:])
				w.Int(p.IssuedAt)
				w.Int(p.ProvedAt)
			}
		}
	}
}

func (r *stateReader) workingKeys() *workingKeys {
	if !r.Bool() {
		return nil
	}
	k := &workingKeys{last: uint32(r.Uint())}
	for range r.Each() {
		s := &kindKeys{kind: uint32(r.Uint())}
		for _, to := range []**KeyPair{&s.previous, &s.active, &s.pending} {
			if r.Bool() {
				*to = &KeyPair{Generation: uint32(r.Uint()), Kind: s.kind, Wrapped: r.Text()}
				r.full((*to).Master[:])
				(*to).IssuedAt, (*to).ProvedAt = r.Int(), r.Int()
			}
		}
		k.sets = append(k.sets, s)
	}
	return k
}
