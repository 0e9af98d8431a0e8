package soft

import (
	"crypto/cipher"
	"fmt"
	"io"
	"slices"

	"huanxin/switch/keys/hsm"
)

// sealing is the AEAD of a key that may seal.
func (m *Module) sealing(handle hsm.Key) (cipher.AEAD, error) {
	k, err := m.of(handle)
	if err != nil {
		return nil, err
	}
	if err := hsm.Allow(k.info, hsm.OpSeal); err != nil {
		return nil, err
	}
	if s := k.seal.Load(); s != nil {
		return s.AEAD, nil
	}
	b, err := k.block()
	if err != nil {
		return nil, err
	}
	var aead cipher.AEAD
	err = k.with(func([]byte) (err error) {
		if aead, err = cipher.NewGCM(b); err != nil {
			return fmt.Errorf("%w: %w", hsm.ErrAlgorithm, err)
		}
		k.seal.Store(&sealer{aead})
		return nil
	})
	return aead, err
}

// Seal appends nonce, ciphertext and tag. Nonces are random: one key may seal 2^32 times, which at thirty million purchases
// a year is more than a century.
func (m *Module) Seal(dst []byte, handle hsm.Key, plaintext, additional []byte) ([]byte, error) {
	aead, err := m.sealing(handle)
	if err != nil {
		return dst, err
	}
	at := len(dst)
	dst = slices.Grow(dst, nonceSize+len(plaintext)+tagSize)
	out := dst[:at+nonceSize]
	if _, err := io.ReadFull(m.rand, out[at:]); err != nil {
		return dst, fmt.Errorf("draw nonce: %w", err)
	}
	return aead.Seal(out, out[at:], plaintext, additional), nil
}

// Open appends what was sealed.
func (m *Module) Open(dst []byte, handle hsm.Key, sealed, additional []byte) ([]byte, error) {
	aead, err := m.sealing(handle)
	if err != nil {
		return dst, err
	}
	if len(sealed) < nonceSize+tagSize {
		return dst, fmt.Errorf("%w: too short", hsm.ErrSealed)
	}
	out, err := aead.Open(dst, sealed[:nonceSize], sealed[nonceSize:], additional)
	if err != nil {
		return dst, hsm.ErrSealed
	}
	return out, nil
}
