package soft

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"math/bits"
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

// weakDES are the keys that encipher twice to what was there, and the six pairs that undo each other (NIST SP 800-67 §3.3.2),
// with odd parity.
var weakDES = [...]uint64{
	0x0101010101010101, 0xFEFEFEFEFEFEFEFE, 0xE0E0E0E0F1F1F1F1, 0x1F1F1F1F0E0E0E0E,
	0x011F011F010E010E, 0x1F011F010E010E01, 0x01E001E001F101F1, 0xE001E001F101F101,
	0x01FE01FE01FE01FE, 0xFE01FE01FE01FE01, 0x1FE01FE00EF10EF1, 0xE01FE01FF10EF10E,
	0x1FFE1FFE0EFE0EFE, 0xFE1FFE1FFE0EFE0E, 0xE0FEE0FEF1FEF1FE, 0xFEE0FEE0FEF1FEF1,
}

// weak reports a key that gives less than its length promises.
func weak(a hsm.Algorithm, secret []byte) error {
	var or byte
	for _, b := range secret {
		or |= b
	}
	if or == 0 {
		return fmt.Errorf("%w: zeros", hsm.ErrWeak)
	}
	if a != hsm.DES && a != hsm.TDES {
		return nil
	}
	var parts [3]uint64
	n := 0
	for ; len(secret) >= 8; secret = secret[8:] {
		for _, b := range secret[:8] {
			parts[n] = parts[n]<<8 | uint64(b&^1|byte(1^bits.OnesCount8(b>>1)&1))
		}
		for _, w := range weakDES {
			if parts[n] == w {
				return fmt.Errorf("%w: a weak DES key", hsm.ErrWeak)
			}
		}
		n++
	}
	if n >= 2 && parts[0] == parts[1] || n == 3 && parts[1] == parts[2] {
		return fmt.Errorf("%w: 3DES that is single DES", hsm.ErrWeak)
	}
	return nil
}
