// Package soft is the software module: an hsm.Module whose keys are in the memory of the process. It is for demonstration
// and for tests; production has a certified HSM behind the same interface.
//
// Its tokens are wrapped under a local master key (LMK). It does not say where that comes from, and keeps no file:
// switch/keys/store does both.
//
// What it cannot protect against: whoever can read the memory of the process has its keys. Buffers that a key has passed
// are wiped, which is best effort: the Go runtime may have copied a value before.
package soft

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"sync/atomic"

	"huanxin/switch/keys/hsm"
)

// Config is what a module needs.
type Config struct {
	LMK    *LMK      // wraps new tokens
	Former []*LMK    // open older ones
	Rand   io.Reader // crypto/rand.Reader; safe for concurrent use
}

// Module is a software module.
type Module struct {
	rand io.Reader
	lmks atomic.Pointer[lmks]
}

// lmks are the local master keys of one moment. It is never changed, only replaced.
type lmks struct {
	current *LMK
	all     map[LMKID]*LMK
}

// New makes a module.
func New(c Config) (*Module, error) {
	if c.LMK == nil || c.Rand == nil {
		return nil, errors.New("a module needs a local master key and a source of randomness")
	}
	m := &Module{rand: c.Rand}
	m.lmks.Store(newLMKs(c.LMK, c.Former...))
	return m, nil
}

// Masters are the local master keys of a module at one moment, or as they would be. Nobody else sees those of Adopting before
// Take: what is read under them may still turn out to be wrong. They belong to one goroutine.
type Masters struct {
	module *Module
	lmks   *lmks
}

// Masters are the local master keys of now.
func (m *Module) Masters() *Masters { return &Masters{m, m.lmks.Load()} }

// Adopting is what there would be with lmk as the one that wraps, and former ones that open; those of before that are not among
// them are gone.
func (m *Module) Adopting(lmk *LMK, former ...*LMK) *Masters {
	return &Masters{m, newLMKs(lmk, former...)}
}

func newLMKs(lmk *LMK, former ...*LMK) *lmks {
	next := &lmks{current: lmk, all: map[LMKID]*LMK{}}
	for _, l := range former {
		next.all[l.id] = l
	}
	next.all[lmk.id] = lmk
	return next
}

// Take makes them those of the module. Keys that are loaded stay as they are.
func (m *Module) Take(s *Masters) { m.lmks.Store(s.lmks) }

// LMK is the one that wraps.
func (s *Masters) LMK() *LMK { return s.lmks.current }

// Load is Module.Load under these.
func (s *Masters) Load(bind string, token []byte) (hsm.Key, error) {
	spec, secret, err := s.lmks.open(bind, token)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return s.module.newKey(spec, secret)
}

// Rewrap makes a token for another place, under the one that wraps. The key stays the same.
func (s *Masters) Rewrap(bind, next string, token []byte) ([]byte, error) {
	spec, secret, err := s.lmks.open(bind, token)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	spec.Bind = next
	return s.lmks.current.wrapKey(s.module.rand, spec, secret)
}

// AddFormer lets these open tokens of a master key that has wrapped before: the token holds that key, of purpose LMK.
func (s *Masters) AddFormer(bind string, token []byte) (LMKID, error) {
	spec, secret, err := s.lmks.open(bind, token)
	if err != nil {
		return LMKID{}, err
	}
	defer clear(secret)
	if spec.Purpose != hsm.LMK {
		return LMKID{}, fmt.Errorf("%w: a %s is no master key", hsm.ErrPurpose, spec.Purpose)
	}
	mode := International
	if spec.Algorithm == hsm.SM4 {
		mode = National
	}
	l, err := newLMK(mode, secret)
	if err != nil {
		return LMKID{}, err
	}
	more := &lmks{current: s.lmks.current, all: maps.Clone(s.lmks.all)}
	more.all[l.id] = l
	s.lmks = more
	return l.id, nil
}

// WrapFormer makes the token with which AddFormer brings back l.
func (s *Masters) WrapFormer(bind string, l *LMK) ([]byte, error) {
	spec := hsm.Spec{Bind: bind, Purpose: hsm.LMK, Algorithm: l.mode.Algorithm(), Length: LMKSize}
	return s.lmks.current.wrapKey(s.module.rand, spec, l.secret[:])
}

// LMK is the local master key that wraps.
func (m *Module) LMK() *LMK { return m.lmks.Load().current }

// Format prints no key.
func (*Module) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "software module") }

// Capabilities says that everything of the interface is here.
func (m *Module) Capabilities() hsm.Capabilities {
	return hsm.Capabilities{
		Name: "software", Keys: kinds(), MACs: hsm.AllMACs(),
		PINs:  []hsm.PINFormat{hsm.ISO0, hsm.ISO3, hsm.ISO4, hsm.ISO0SM4, hsm.Bare, hsm.BareSM4},
		Wraps: []hsm.Wrapping{hsm.WrapECB, hsm.WrapTR31B, hsm.WrapTR31D, hsm.WrapAESKW},
		Seals: []hsm.Algorithm{hsm.AES, hsm.SM4},
	}
}

func kinds() (list []hsm.KeyKind) {
	for a := hsm.DES; a.Valid(); a++ {
		for n := 8; n <= maxKey; n += 4 {
			if a.ValidLength(n) {
				list = append(list, hsm.KeyKind{Algorithm: a, Length: n})
			}
		}
	}
	return list
}

// maxDraws bounds how often Generate meets a weak key: a source that gives nothing else is broken.
const maxDraws = 16

// Generate draws a key.
func (m *Module) Generate(spec hsm.Spec) (hsm.Key, []byte, error) {
	spec, err := spec.Check()
	if err != nil {
		return nil, nil, err
	}
	secret := make([]byte, spec.Length)
	defer clear(secret)
	for range maxDraws {
		if _, err := io.ReadFull(m.rand, secret); err != nil {
			return nil, nil, fmt.Errorf("draw a %s: %w", spec.Purpose, err)
		}
		if spec.Algorithm == hsm.DES || spec.Algorithm == hsm.TDES {
			setParity(secret)
		}
		if weak(spec.Algorithm, secret) == nil {
			return m.take(spec, secret)
		}
	}
	return nil, nil, fmt.Errorf("draw a %s: %w: the source of randomness is broken", spec.Purpose, hsm.ErrWeak)
}

// Form makes a key of components.
func (m *Module) Form(spec hsm.Spec, components ...[]byte) (hsm.Key, []byte, error) {
	if len(components) > 0 && spec.Length == 0 {
		spec.Length = len(components[0])
	}
	spec, err := spec.Check()
	if err != nil {
		return nil, nil, err
	}
	secret, err := spec.Combine(components)
	if err != nil {
		return nil, nil, err
	}
	defer clear(secret)
	if err := weak(spec.Algorithm, secret); err != nil {
		return nil, nil, err
	}
	return m.take(spec, secret)
}

// take makes handle and token of a clear key, which the caller wipes.
func (m *Module) take(spec hsm.Spec, secret []byte) (hsm.Key, []byte, error) {
	k, err := m.newKey(spec, secret)
	if err != nil {
		return nil, nil, err
	}
	token, err := m.lmks.Load().current.wrapKey(m.rand, spec, secret)
	if err != nil {
		k.Release()
		return nil, nil, err
	}
	return k, token, nil
}

// Load takes back a token.
func (m *Module) Load(bind string, token []byte) (hsm.Key, error) {
	return m.Masters().Load(bind, token)
}

// open gives the clear key in a token, which the caller wipes.
func (l *lmks) open(bind string, token []byte) (hsm.Spec, []byte, error) {
	h, err := parseToken(bind, token)
	if err != nil {
		return hsm.Spec{}, nil, err
	}
	lmk := l.all[h.lmk]
	if lmk == nil {
		return hsm.Spec{}, nil, fmt.Errorf("%w: it is under master key %s, which this module does not have", hsm.ErrToken, h.lmk)
	}
	secret, err := lmk.unwrapKey(bind, token)
	return h.spec, secret, err
}

// of is the key behind a handle, if it is one of this module's.
func (m *Module) of(k hsm.Key) (*key, error) {
	own, ok := k.(*key)
	if !ok || own == nil || own.module != m || own.released.Load() {
		return nil, hsm.ErrKey
	}
	return own, nil
}
