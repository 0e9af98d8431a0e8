package soft

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/sm4"

	"huanxin/switch/keys/hsm"
)

// Mode is the family of algorithms of a local master key.
type Mode uint8

// The modes.
const (
	// International wraps with AES-256-GCM and derives with HMAC-SHA-256.
	International Mode = iota + 1
	// National wraps with SM4-GCM and derives with HMAC-SM3 (GB/T 32907, GB/T 32905).
	National
)

var modeNames = [...]string{"", "aes-256-gcm", "sm4-gcm"}

func (m Mode) String() string {
	if int(m) >= len(modeNames) {
		return "unknown mode"
	}
	return modeNames[m]
}

// Algorithm is what the mode wraps with.
func (m Mode) Algorithm() hsm.Algorithm {
	if m == National {
		return hsm.SM4
	}
	return hsm.AES
}

// hash is the hash function of the mode.
func (m Mode) hash() func() hash.Hash {
	if m == National {
		return sm3.New
	}
	return sha256.New
}

// ErrLMK is returned by ParseLMK for a text that is no local master key. It quotes nothing of it.
var ErrLMK = errors.New("not a local master key")

// LMKSize is the length in bytes of a local master key's secret, from which the key that wraps, the key that authenticates
// the store file and the id are derived.
const LMKSize = 32

// LMK is a local master key: what every token of a module is wrapped under.
type LMK struct {
	mode   Mode
	id     LMKID
	secret [LMKSize]byte
	wrap   cipher.AEAD
	file   [32]byte
}

// LMKID tells local master keys apart. It is derived from the secret and tells nothing about it.
type LMKID [4]byte

func (id LMKID) String() string { return hex.EncodeToString(id[:]) }

// GenerateLMK draws a new local master key.
func GenerateLMK(mode Mode, rand io.Reader) (*LMK, error) {
	var secret [LMKSize]byte
	if _, err := io.ReadFull(rand, secret[:]); err != nil {
		return nil, fmt.Errorf("draw local master key: %w", err)
	}
	defer clear(secret[:])
	return newLMK(mode, secret[:])
}

func newLMK(mode Mode, secret []byte) (*LMK, error) {
	if mode != International && mode != National {
		return nil, fmt.Errorf("%w: unknown mode", ErrLMK)
	}
	if len(secret) != LMKSize || subtle.ConstantTimeCompare(secret, make([]byte, LMKSize)) == 1 {
		return nil, fmt.Errorf("%w: the secret is not %d bytes, or zero", ErrLMK, LMKSize)
	}
	l := &LMK{mode: mode, secret: [LMKSize]byte(secret)}
	l.id = LMKID(l.derive("id"))
	l.file = [32]byte(l.derive("file"))
	wrap := l.derive("wrap")
	defer clear(wrap)
	var err error
	l.wrap, err = gcm(mode, wrap)
	return l, err
}

// derive is HMAC(secret, "huanxin lmk " use), by the mode's hash.
func (l *LMK) derive(use string) []byte {
	mac := hmac.New(l.mode.hash(), l.secret[:])
	mac.Write([]byte("huanxin lmk " + use))
	return mac.Sum(nil)
}

// gcm is AES-256-GCM, or SM4-GCM under the first 16 bytes.
func gcm(mode Mode, key []byte) (cipher.AEAD, error) {
	var block cipher.Block
	var err error
	if mode == National {
		block, err = sm4.NewCipher(key[:sm4.BlockSize])
	} else {
		block, err = aes.NewCipher(key)
	}
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// ID tells this key from others.
func (l *LMK) ID() LMKID { return l.id }

// Mode is the family of its algorithms.
func (l *LMK) Mode() Mode { return l.mode }

// Authenticate is the code of a file that lies beside the keys: HMAC under a key of its own.
func (l *LMK) Authenticate(file []byte) [32]byte {
	mac := hmac.New(l.mode.hash(), l.file[:])
	mac.Write(file)
	return [32]byte(mac.Sum(nil))
}

// Format prints the id only.
func (l LMK) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "LMK "+l.id.String()) }

// MarshalText prints the id only.
func (l LMK) MarshalText() ([]byte, error) { return []byte("LMK " + l.id.String()), nil }

// AppendSecret appends the key as ParseLMK reads it. It is the one place where a clear key is written: into the file that the
// operator guards.
//
//	aes-256-gcm:<64 hex digits>:<8 hex digits, the id>
func (l *LMK) AppendSecret(dst []byte) []byte {
	dst = append(dst, l.mode.String()...)
	dst = append(dst, ':')
	dst = hex.AppendEncode(dst, l.secret[:])
	dst = append(dst, ':')
	return hex.AppendEncode(dst, l.id[:])
}

// ParseLMK reads what AppendSecret wrote. The id at the end finds a slip of the keyboard.
func ParseLMK(text string) (*LMK, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%w: want mode:secret:id", ErrLMK)
	}
	var mode Mode
	switch parts[0] {
	case International.String():
		mode = International
	case National.String():
		mode = National
	}
	var secret [LMKSize]byte
	defer clear(secret[:])
	if n, err := hex.Decode(secret[:], []byte(parts[1][:min(len(parts[1]), 2*LMKSize)])); err != nil || n != LMKSize || len(parts[1]) != 2*LMKSize {
		return nil, fmt.Errorf("%w: the secret is not %d digits of hex", ErrLMK, 2*LMKSize)
	}
	l, err := newLMK(mode, secret[:])
	if err != nil {
		return nil, err
	}
	if parts[2] != l.id.String() {
		return nil, fmt.Errorf("%w: the id at its end is not that of the secret", ErrLMK)
	}
	return l, nil
}
