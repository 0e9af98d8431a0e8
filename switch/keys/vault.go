package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Envelope layout:
//
//	version 1 | key id length n (1..MaxKeyID) | key id n | nonce 12 | ciphertext | tag 16
//
// Sealed with AES-256-GCM. The additional data is
//
//	"huanxin envelope 1" 0x00 purpose 0x00 key id 0x00 caller's data
//
// so an envelope opens only under the key, for the purpose and in the place that it was sealed for.
const (
	envelopeVersion = 1
	nonceSize       = 12
	tagSize         = 16
)

// MaxKeyID is the longest key id in bytes.
const MaxKeyID = 16

// Errors of Open. Neither says what was inside.
var (
	// ErrEnvelope is returned for bytes that are no envelope of this version.
	ErrEnvelope = errors.New("not an envelope")
	// ErrUnknownKey is returned when the key file holds no key of the envelope's id.
	ErrUnknownKey = errors.New("unknown card key")
	// ErrOpen is returned when the envelope was altered, or sealed by another key or for another place.
	ErrOpen = errors.New("envelope does not open")
)

// Vault seals and opens envelopes of one purpose. It is safe for concurrent use when its source of randomness is. Nonces
// are random: one key may seal 2^32 envelopes, which at thirty million purchases a year is more than a century.
type Vault struct {
	purpose string
	current string
	keys    map[string]cipher.AEAD
	rand    io.Reader
	hasher  *Hasher
	desks   *sync.Pool // of *desk
}

// Vault returns the vault for card data; nonces come from rand (crypto/rand.Reader).
func (s *Set) Vault(rand io.Reader) (*Vault, error) {
	v := &Vault{purpose: "card", current: s.current, keys: map[string]cipher.AEAD{}, rand: rand, hasher: s.Hasher()}
	v.desks = &sync.Pool{New: func() any { return &desk{plain: make([]byte, 0, maxCardRecord)} }}
	for id, key := range s.card {
		block, err := aes.NewCipher(key[:])
		if err != nil {
			return nil, fmt.Errorf("card key %s: %w", id, err)
		}
		if v.keys[id], err = cipher.NewGCM(block); err != nil {
			return nil, fmt.Errorf("card key %s: %w", id, err)
		}
	}
	if v.keys[v.current] == nil {
		return nil, fmt.Errorf("current card key %q: %w", v.current, ErrUnknownKey)
	}
	return v, nil
}

// Format prints no key.
func (Vault) Format(f fmt.State, _ rune) { writeRedacted(f) }

// MarshalText prints no key.
func (Vault) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Seal appends the envelope of plaintext to dst. aad is what the envelope belongs to; Open needs the same. The only error
// is that of the source of randomness.
func (v *Vault) Seal(dst, plaintext, aad []byte) ([]byte, error) {
	d := v.desks.Get().(*desk)
	defer v.desks.Put(d)
	if _, err := io.ReadFull(v.rand, d.nonce[:]); err != nil {
		return dst, fmt.Errorf("draw nonce: %w", err)
	}
	dst = slices.Grow(dst, v.sealedSize(len(plaintext)))
	dst = append(dst, envelopeVersion, byte(len(v.current)))
	dst = append(dst, v.current...)
	dst = append(dst, d.nonce[:]...)
	d.additional = v.appendAdditional(d.additional[:0], v.current, aad)
	return v.keys[v.current].Seal(dst, d.nonce[:], plaintext, d.additional), nil
}

// sealedSize is the size of an envelope of n bytes.
func (v *Vault) sealedSize(n int) int { return 2 + len(v.current) + nonceSize + n + tagSize }

// desk is what sealing takes, kept from one envelope to the next.
type desk struct {
	nonce      [nonceSize]byte
	additional []byte
	plain      []byte // a card record; wiped
}

// Open appends what was sealed in envelope to dst. It returns dst unchanged with an error.
func (v *Vault) Open(dst, envelope, aad []byte) ([]byte, error) {
	id, nonce, sealed, err := splitEnvelope(envelope)
	if err != nil {
		return dst, err
	}
	key := v.keys[string(id)]
	if key == nil {
		return dst, fmt.Errorf("%w %q", ErrUnknownKey, id)
	}
	out, err := key.Open(dst, nonce, sealed, v.appendAdditional(nil, string(id), aad))
	if err != nil {
		return dst, fmt.Errorf("%w (key %q)", ErrOpen, id)
	}
	return out, nil
}

func (v *Vault) appendAdditional(dst []byte, id string, aad []byte) []byte {
	dst = append(dst, "huanxin envelope 1\x00"...)
	dst = append(dst, v.purpose...)
	dst = append(dst, 0)
	dst = append(dst, id...)
	dst = append(dst, 0)
	return append(dst, aad...)
}

func splitEnvelope(b []byte) (id, nonce, sealed []byte, err error) {
	if len(b) < 2 {
		return nil, nil, nil, fmt.Errorf("%w: %d bytes", ErrEnvelope, len(b))
	}
	if b[0] != envelopeVersion {
		return nil, nil, nil, fmt.Errorf("%w: version %d", ErrEnvelope, b[0])
	}
	n := int(b[1])
	if len(b) < 2+n+nonceSize+tagSize {
		return nil, nil, nil, fmt.Errorf("%w: %d bytes", ErrEnvelope, len(b))
	}
	if !validKeyID(string(b[2 : 2+n])) {
		return nil, nil, nil, fmt.Errorf("%w: key id", ErrEnvelope)
	}
	return b[2 : 2+n], b[2+n : 2+n+nonceSize], b[2+n+nonceSize:], nil
}

func validKeyID(id string) bool {
	for i := range len(id) {
		if c := id[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(id) >= 1 && len(id) <= MaxKeyID
}
