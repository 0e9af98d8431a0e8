package soft

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"sync/atomic"

	"huanxin/switch/keys/block"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/mac"
)

// key is a handle of this module. The key schedules that it takes are made when they are first used and kept.
type key struct {
	module   *Module
	info     hsm.Info
	secret   []byte // kept for exports; collected with the handle
	released atomic.Bool

	macs   [16]atomic.Pointer[mac.Key] // by hsm.MACAlgorithm
	cipher atomic.Pointer[schedule]
	seal   atomic.Pointer[sealer]
}

type schedule struct{ cipher.Block }

type sealer struct{ cipher.AEAD }

func (m *Module) newKey(spec hsm.Spec, secret []byte) (*key, error) {
	kcv, err := checkValue(spec.Algorithm, secret)
	if err != nil {
		return nil, err
	}
	return &key{
		module: m, secret: bytes.Clone(secret),
		info: hsm.Info{Purpose: spec.Purpose, Algorithm: spec.Algorithm, Length: spec.Length, Exportable: spec.Exportable, KCV: kcv},
	}, nil
}

func (k *key) Info() hsm.Info { return k.info }

func (k *key) Release() { k.released.Store(true) }

// Format prints no key.
func (k *key) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, k.info.Purpose.String()+" [redacted]")
}

// MarshalText prints no key.
func (k *key) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// blockCipher is the cipher of an algorithm, with DES and 3DES told apart by the key.
func blockCipher(a hsm.Algorithm) block.Cipher {
	switch a {
	case hsm.AES:
		return block.AES
	case hsm.SM4:
		return block.SM4
	}
	return block.DES
}

// block is the key's schedule.
func (k *key) block() (cipher.Block, error) {
	if s := k.cipher.Load(); s != nil {
		return s.Block, nil
	}
	b, err := block.New(blockCipher(k.info.Algorithm), k.secret)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", hsm.ErrAlgorithm, err)
	}
	k.cipher.Store(&schedule{b})
	return b, nil
}

// checkValue is E(zeros), of an HMAC key the code of no data; of two SM4 keys that of the first.
func checkValue(a hsm.Algorithm, secret []byte) (kcv [hsm.KCVSize]byte, err error) {
	if a == hsm.HMAC {
		h := hmac.New(sha256.New, secret)
		return [hsm.KCVSize]byte(h.Sum(nil)), nil
	}
	if a == hsm.SM4 {
		secret = secret[:16]
	}
	value, err := block.KCV(blockCipher(a), secret, hsm.KCVSize)
	if err != nil {
		return kcv, fmt.Errorf("%w: %w", hsm.ErrAlgorithm, err)
	}
	return [hsm.KCVSize]byte(value), nil
}

// setParity makes every byte of a DES key odd (FIPS 46-3).
func setParity(secret []byte) { block.SetOddParity(secret) }

// weak reports a key that gives less than its length promises.
func weak(a hsm.Algorithm, secret []byte) error {
	c := blockCipher(a)
	if a == hsm.HMAC { // has no weak keys but zeros, as AES
		c = block.AES
	}
	if why := block.Weak(c, secret); why != "" {
		return fmt.Errorf("%w: %s", hsm.ErrWeak, why)
	}
	return nil
}
