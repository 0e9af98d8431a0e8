package soft

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"huanxin/switch/keys/block"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/mac"
)

// key is a handle of this module. The key schedules that it takes are made when they are first used and kept.
type key struct {
	module   *Module
	info     hsm.Info
	released atomic.Bool

	mu     sync.Mutex // guards secret, and that no schedule is made once it is wiped
	secret []byte     // for exports and for schedules; nil once released

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

// Release wipes the key and lets go of what was made of it: the schedules are the libraries' and cannot be wiped. Whoever is
// working with one at this moment comes to his end.
func (k *key) Release() {
	k.released.Store(true)
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.secret)
	k.secret = nil
	for i := range k.macs {
		k.macs[i].Store(nil)
	}
	k.cipher.Store(nil)
	k.seal.Store(nil)
}

// with calls f with the clear key, which f neither keeps nor changes. A released key has none.
func (k *key) with(f func(secret []byte) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.secret == nil {
		return hsm.ErrKey
	}
	return f(k.secret)
}

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
	var b cipher.Block
	err := k.with(func(secret []byte) (err error) {
		if b, err = block.New(blockCipher(k.info.Algorithm), secret); err != nil {
			return fmt.Errorf("%w: %w", hsm.ErrAlgorithm, err)
		}
		k.cipher.Store(&schedule{b})
		return nil
	})
	return b, err
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
