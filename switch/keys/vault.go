package keys

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/store"
)

// Envelope layout:
//
//	version 2 | key id length n (1..MaxKeyID) | key id n | algorithm 1 | nonce 12 | ciphertext | tag 16
//
// algorithm is hsm.AES (3) or hsm.SM4 (4); sealed with AES-GCM or SM4-GCM. Version 1 has no algorithm byte, is AES-256-GCM,
// and is opened only. The additional data is
//
//	"huanxin envelope " version 0x00 purpose 0x00 key id 0x00 caller's data
//
// so an envelope opens only under the key, for the purpose and in the place that it was sealed for.
const (
	envelopeVersion = 2
	firstVersion    = 1
	nonceSize       = 12
	tagSize         = 16
)

// MaxKeyID is the longest key id in bytes.
const MaxKeyID = store.MaxCardID

// Errors of Open. Neither says what was inside.
var (
	// ErrEnvelope is returned for bytes that are no envelope of a version that is known.
	ErrEnvelope = errors.New("not an envelope")
	// ErrUnknownKey is returned when there is no key of the envelope's id.
	ErrUnknownKey = errors.New("unknown card key")
	// ErrOpen is returned when the envelope was altered, or sealed by another key or for another place.
	ErrOpen = errors.New("envelope does not open")
)

// Vault seals and opens envelopes of one purpose. It is safe for concurrent use. Nonces are random: one key may seal 2^32
// envelopes, which at thirty million purchases a year is more than a century.
type Vault struct {
	purpose string
	set     *Set
	hasher  *Hasher
	desks   *sync.Pool // of *desk
}

// Vault returns the vault for card data. It follows the set: a card key that Follow has brought seals from then on.
func (s *Set) Vault() *Vault {
	return &Vault{
		purpose: "card", set: s, hasher: s.Hasher(),
		desks: &sync.Pool{New: func() any { return &desk{plain: make([]byte, 0, maxCardRecord)} }},
	}
}

// Format prints no key.
func (*Vault) Format(f fmt.State, _ rune) { writeRedacted(f) }

// MarshalText prints no key.
func (*Vault) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Seal appends the envelope of plaintext to dst. aad is what the envelope belongs to; Open needs the same. The only error
// is that of the module and its source of randomness.
func (v *Vault) Seal(dst, plaintext, aad []byte) ([]byte, error) {
	return v.seal(v.set.cards.Load(), dst, plaintext, aad)
}

func (v *Vault) seal(cards *cardKeys, dst, plaintext, aad []byte) ([]byte, error) {
	d := v.desks.Get().(*desk)
	defer v.desks.Put(d)
	id, key := cards.current, cards.all[cards.current]
	at := len(dst)
	dst = slices.Grow(dst, sealedSize(id, len(plaintext)))
	out := append(dst, envelopeVersion, byte(len(id)))
	out = append(out, id...)
	out = append(out, byte(key.Info().Algorithm))
	d.additional = v.appendAdditional(d.additional[:0], envelopeVersion, id, aad)
	out, err := v.set.module.Seal(out, key, plaintext, d.additional)
	if err != nil {
		return dst[:at], err
	}
	return out, nil
}

// sealedSize is the size of an envelope of n bytes.
func sealedSize(id string, n int) int { return 3 + len(id) + nonceSize + n + tagSize }

// desk is what sealing takes, kept from one envelope to the next.
type desk struct {
	additional []byte
	plain      []byte // a card record; wiped
}

// Open appends what was sealed in envelope to dst. It returns dst unchanged with an error.
func (v *Vault) Open(dst, envelope, aad []byte) ([]byte, error) {
	e, err := splitEnvelope(envelope)
	if err != nil {
		return dst, err
	}
	key := v.set.cards.Load().all[string(e.id)]
	if key == nil {
		return dst, fmt.Errorf("%w %q", ErrUnknownKey, e.id)
	}
	if key.Info().Algorithm != e.algorithm {
		return dst, fmt.Errorf("%w (key %q is for %s)", ErrOpen, e.id, key.Info().Algorithm)
	}
	out, err := v.set.module.Open(dst, key, e.sealed, v.appendAdditional(nil, e.version, string(e.id), aad))
	if err != nil {
		return dst, fmt.Errorf("%w (key %q)", ErrOpen, e.id)
	}
	return out, nil
}

func (v *Vault) appendAdditional(dst []byte, version byte, id string, aad []byte) []byte {
	dst = append(dst, "huanxin envelope "...)
	dst = append(dst, '0'+version, 0)
	dst = append(dst, v.purpose...)
	dst = append(dst, 0)
	dst = append(dst, id...)
	dst = append(dst, 0)
	return append(dst, aad...)
}

// envelope is one, split.
type envelope struct {
	version   byte
	id        []byte
	algorithm hsm.Algorithm
	sealed    []byte // nonce, ciphertext, tag
}

func splitEnvelope(b []byte) (e envelope, err error) {
	if len(b) < 2 {
		return e, fmt.Errorf("%w: %d bytes", ErrEnvelope, len(b))
	}
	e.version, e.algorithm = b[0], hsm.AES
	at := 2 + int(b[1]) // behind the id
	head := at
	switch e.version {
	case firstVersion:
	case envelopeVersion:
		head++
	default:
		return e, fmt.Errorf("%w: version %d", ErrEnvelope, e.version)
	}
	if len(b) < head+nonceSize+tagSize {
		return e, fmt.Errorf("%w: %d bytes", ErrEnvelope, len(b))
	}
	if e.id = b[2:at]; !store.CardID(string(e.id)) {
		return e, fmt.Errorf("%w: key id", ErrEnvelope)
	}
	if e.version != firstVersion {
		e.algorithm = hsm.Algorithm(b[at])
	}
	e.sealed = b[head:]
	return e, nil
}
