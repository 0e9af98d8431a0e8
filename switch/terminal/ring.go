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
	entries map[ringKey]*ringEntry
}

// ringKey names the keys of one kind that a terminal has. Those of another kind are not found: a MAC under them proves nothing at
// a port that has stronger ones.
type ringKey struct {
	terminal [8]byte
	kind     uint32 // see Line.kind
}

// ringEntry are the keys of one ringKey. Who checks a MAC reads keys; who changes them holds mu.
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
		r.shards[i].entries = map[ringKey]*ringEntry{}
	}
	return r
}

func (r *ring) shard(key ringKey) *ringShard {
	h := uint32(2166136261)
	for _, c := range key.terminal {
		h = (h ^ uint32(c)) * 16777619
	}
	return &r.shards[h%ringShards]
}

// find returns the keys under key, nil when there are none.
func (r *ring) find(key ringKey) *ringEntry {
	s := r.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[key]
}

// entry is find, made when there is none.
func (r *ring) entry(key ringKey) *ringEntry {
	if e := r.find(key); e != nil {
		return e
	}
	s := r.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key]
	if e == nil {
		e = &ringEntry{}
		e.keys.Store(&ringKeys{})
		s.entries[key] = e
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
	keys := &ringKeys{previous: pair(t.Previous), active: pair(t.Active), pending: pair(t.Pending)}
	r.entry(ringKey{t.Terminal, t.Kind}).keys.Store(keys)
}

// deliver takes over what a sign-on has delivered. An answer may be delivered after the terminal has used its keys: those of
// an answer before it are the same ones.
func (r *ring) deliver(terminal [8]byte, p *engine.KeyPair) {
	e := r.entry(ringKey{terminal, p.Kind})
	e.mu.Lock()
	defer e.mu.Unlock()
	k := e.keys.Load()
	if k.active != nil && k.active.Generation >= p.Generation || k.pending != nil && k.pending.Generation >= p.Generation {
		return
	}
	e.keys.Store(&ringKeys{previous: k.previous, active: k.active, pending: &ringPair{KeyPair: *p}})
}

// pending returns the keys that a sign-on of a terminal will most likely be delivered again, nil for none.
func (r *ring) pending(key ringKey) *ringPair {
	if e := r.find(key); e != nil {
		return e.keys.Load().pending
	}
	return nil
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

// macKey opens the MAC key of a pair, once. A key whose token does not open stays so: its master key is another one. What a
// module says that has trouble of its own is not kept.
func (r *ring) macKey(terminal [8]byte, p *ringPair) *openedKey {
	if opened := p.mac.Load(); opened != nil {
		return opened
	}
	opened := &openedKey{}
	if opened.key, opened.err = openOne(r.module, terminal, []byte(p.Wrapped), macKey); opened.key != nil {
		runtime.AddCleanup(opened, hsm.Key.Release, opened.key)
	} else if !opensNever(opened.err) {
		return opened
	}
	p.mac.CompareAndSwap(nil, opened) // another goroutine may have been faster
	return p.mac.Load()
}
