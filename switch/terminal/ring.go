package terminal

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"huanxin/switch/engine"
	"huanxin/switch/keys/hsm"
)

// ring holds the MAC keys of all terminals, so that a message is checked before anything else knows of it. It is fed from
// the engine: at the start, and by the answers to sign-ons. Keys are opened when they are first needed.
//
// It is bounded by the terminals of the registry: only a sign-on that the engine has taken puts keys in.
type ring struct {
	module hsm.Module
	shards [ringShards]ringShard
}

const ringShards = 64

type ringShard struct {
	mu      sync.RWMutex // guards entries
	entries map[[8]byte]*ringEntry
}

// ringEntry is one terminal. Who checks a MAC reads keys; who changes them holds mu.
type ringEntry struct {
	mu   sync.Mutex
	keys atomic.Pointer[ringKeys]
}

// ringKeys never change once they are seen.
type ringKeys struct {
	previous, active, pending *ringPair
}

// ringPair are the working keys of one generation.
type ringPair struct {
	engine.KeyPair
	mac atomic.Pointer[openedKey]
}

// openedKey is a key that was loaded, or why it cannot be. Who uses the key keeps the openedKey: when nobody does, the module
// hears that the key is not used any more.
type openedKey struct {
	key hsm.Key
	err error
}

func newRing(m hsm.Module) *ring {
	r := &ring{module: m}
	for i := range r.shards {
		r.shards[i].entries = map[[8]byte]*ringEntry{}
	}
	return r
}

func (r *ring) shard(terminal [8]byte) *ringShard {
	h := uint32(2166136261)
	for _, c := range terminal {
		h = (h ^ uint32(c)) * 16777619
	}
	return &r.shards[h%ringShards]
}

// find returns the keys of a terminal, nil when it has none.
func (r *ring) find(terminal [8]byte) *ringEntry {
	s := r.shard(terminal)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[terminal]
}

// entry is find, made when there is none.
func (r *ring) entry(terminal [8]byte) *ringEntry {
	if e := r.find(terminal); e != nil {
		return e
	}
	s := r.shard(terminal)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[terminal]
	if e == nil {
		e = &ringEntry{}
		e.keys.Store(&ringKeys{})
		s.entries[terminal] = e
	}
	return e
}

// load takes over what the engine has of a terminal.
func (r *ring) load(t engine.TerminalKeys) {
	pair := func(p *engine.KeyPair) *ringPair {
		if p == nil {
			return nil
		}
		return &ringPair{KeyPair: *p}
	}
	r.entry(t.Terminal).keys.Store(&ringKeys{previous: pair(t.Previous), active: pair(t.Active), pending: pair(t.Pending)})
}

// deliver takes over what a sign-on has delivered. An answer may be delivered after the terminal has used its keys: those of
// an answer before it are the same ones.
func (r *ring) deliver(terminal [8]byte, p *engine.KeyPair) {
	e := r.entry(terminal)
	e.mu.Lock()
	defer e.mu.Unlock()
	k := e.keys.Load()
	if k.active != nil && k.active.Generation >= p.Generation || k.pending != nil && k.pending.Generation >= p.Generation {
		return
	}
	e.keys.Store(&ringKeys{previous: k.previous, active: k.active, pending: &ringPair{KeyPair: *p}})
}

// pending returns the kept keys that a sign-on of a terminal will most likely be delivered again, "" for none.
func (r *ring) pending(terminal [8]byte, kind uint32, now time.Time) string {
	e := r.find(terminal)
	if e == nil {
		return ""
	}
	if p := e.keys.Load().pending; p != nil && p.Kind == kind && now.UnixNano() < p.IssuedAt+engine.PendingLife {
		return p.Wrapped
	}
	return ""
}

// prove makes pending keys the current ones.
func (e *ringEntry) prove(p *ringPair, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := e.keys.Load()
	if k.pending != p {
		return
	}
	proved := &ringPair{KeyPair: p.KeyPair}
	proved.ProvedAt = now.UnixNano()
	proved.mac.Store(p.mac.Load())
	e.keys.Store(&ringKeys{previous: k.active, active: proved})
}

// macKey opens the MAC key of a pair, once. A key that does not open stays so: its master key is another one.
func (r *ring) macKey(terminal [8]byte, p *ringPair) *openedKey {
	if opened := p.mac.Load(); opened != nil {
		return opened
	}
	opened := &openedKey{}
	if opened.key, opened.err = openOne(r.module, terminal, []byte(p.Wrapped), macKey); opened.key != nil {
		runtime.AddCleanup(opened, hsm.Key.Release, opened.key)
	}
	p.mac.CompareAndSwap(nil, opened) // another goroutine may have been faster
	return p.mac.Load()
}
