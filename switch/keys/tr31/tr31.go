// Package tr31 wraps keys into TR-31 key blocks (ANSI X9.143, ISO 20038) and unwraps them: versions B, protected by 3DES,
// and D, protected by AES.
//
// A block binds a key to what it may be used for: usage, algorithm, mode and exportability stand in clear before it, and a
// code over them and the key is at its end. Unwrap gives nothing of a block out before that code was found right. What the
// attributes forbid is the caller's to obey: this package knows the form, not the policy.
//
// It keeps no key, draws no randomness of its own and does no I/O.
package tr31

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"huanxin/switch/keys/block"
	"huanxin/switch/keys/mac"
)

// Errors of this package. None quotes a key.
var (
	// ErrVersion is returned for a block of another version than B or D.
	ErrVersion = errors.New("key block version is not supported")
	// ErrMalformed is returned for text that is no key block.
	ErrMalformed = errors.New("malformed key block")
	// ErrProtectionKey is returned for a protection key of a length that the version does not have.
	ErrProtectionKey = errors.New("wrong length of the key block protection key")
	// ErrMAC is returned when the code at the end is not that of header and key: one of them was changed, or the block was
	// made under another protection key.
	ErrMAC = errors.New("the key block's MAC is wrong: it was changed, or another key protects it")
	// ErrKeyLength is returned when the key has a length that its algorithm does not have.
	ErrKeyLength = errors.New("wrong length of the wrapped key")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// maxLength is what four digits can say.
const maxLength = 9999

// protection are the two keys that a protection key is for (X9.143 §7): one enciphers, one makes the code.
type protection struct {
	cipher cipher.Block
	mac    *mac.Key
}

// derive makes them: CMAC under the protection key over a counter, what the key is for, the cipher and the length.
func derive(v Version, key []byte) (p protection, err error) {
	c, algorithm, number := block.DES, mac.TDESCMAC, uint16(0)
	good := len(key) == 16 || len(key) == 24
	if number = uint16(len(key)/8 - 2); v == D { // 0: 3DES of two keys; 1: of three
		c, algorithm = block.AES, mac.AESCMAC
		good = good || len(key) == 32
		number += 2 // 2, 3, 4: AES-128, 192, 256
	}
	if !good {
		return p, fmt.Errorf("%w: version %c, %d bytes", ErrProtectionKey, v, len(key))
	}
	k, err := mac.New(mac.Config{Algorithm: algorithm}, key)
	if err != nil {
		return p, err
	}
	derived := make([]byte, 0, 48)
	defer func() { clear(derived[:cap(derived)]) }()
	for purpose := range uint16(2) { // 0 enciphers, 1 makes the code
		derived = derived[:0]
		for counter := byte(1); len(derived) < len(key); counter++ {
			input := [8]byte{0: counter}
			binary.BigEndian.PutUint16(input[1:], purpose)
			binary.BigEndian.PutUint16(input[4:], number)
			binary.BigEndian.PutUint16(input[6:], uint16(8*len(key)))
			derived = k.Append(derived, input[:])
		}
		if purpose == 0 {
			p.cipher, err = block.New(c, derived[:len(key)])
		} else {
			p.mac, err = mac.New(mac.Config{Algorithm: algorithm}, derived[:len(key)])
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// Wrap makes the block of key under the protection key. hide is the length in bytes up to which random bytes lengthen the
// key, so that the block does not show how long it is; 0 for no more than whole cipher blocks need.
func Wrap(protectionKey []byte, h Header, key []byte, hide int, random io.Reader) (string, error) {
	if h.KeyVersion == "" {
		h.KeyVersion = "00"
	}
	if h.Context == 0 {
		h.Context = '0'
	}
	if err := h.check(); err != nil {
		return "", err
	}
	if len(key) == 0 || len(key) > maxLength/2 {
		return "", fmt.Errorf("%w: %d bytes", ErrKeyLength, len(key))
	}
	if err := h.keyFits(len(key)); err != nil {
		return "", err
	}
	p, err := derive(h.Version, protectionKey)
	if err != nil {
		return "", err
	}
	text, err := h.append(nil)
	if err != nil {
		return "", err
	}
	size := h.Version.cipherSize()
	secret := make([]byte, (2+max(len(key), min(hide, maxLength/2))+size-1)/size*size)
	defer clear(secret)
	length := len(text) + 2*len(secret) + 2*h.Version.macSize()
	if length > maxLength {
		return "", malformed("%d characters, at most %d", length, maxLength)
	}
	copy(text[1:], fmt.Sprintf("%04d", length))
	binary.BigEndian.PutUint16(secret, uint16(8*len(key)))
	if _, err := io.ReadFull(random, secret[2+copy(secret[2:], key):]); err != nil {
		return "", fmt.Errorf("draw the padding of a key block: %w", err)
	}
	code := p.code(text, secret)
	cipher.NewCBCEncrypter(p.cipher, code).CryptBlocks(secret, secret)
	return fmt.Sprintf("%s%X%X", text, secret, code), nil
}

// Weaker reports whether a protection key of that version and length in bytes is weaker than a key of the header's
// algorithm and length, by the equivalent strengths of NIST SP 800-57: the chain is then no stronger than its protection.
func Weaker(h Header, protectionKey, key int) bool {
	strength := func(aes bool, n int) int {
		if aes {
			return 8 * n
		}
		return map[int]int{8: 56, 16: 80, 24: 112}[n]
	}
	return (h.Algorithm == 'A' || h.Algorithm == 'T') && strength(h.Version == D, protectionKey) < strength(h.Algorithm == 'A', key)
}

// Unwrap opens a block. The key is the caller's to wipe.
func Unwrap(protectionKey []byte, text string) (Header, []byte, error) {
	h, at, err := parseHeader(text)
	if err != nil {
		return Header{}, nil, err
	}
	end := len(text) - 2*h.Version.macSize()
	size := h.Version.cipherSize()
	if end-at < 2*size || (end-at)%(2*size) != 0 {
		return Header{}, nil, malformed("the enciphered key is not whole cipher blocks of %d bytes", size)
	}
	sealed, code := make([]byte, (end-at)/2), make([]byte, h.Version.macSize())
	if !decodeHex(sealed, text[at:end]) || !decodeHex(code, text[end:]) {
		return Header{}, nil, malformed("key and MAC: want capital hexadecimal digits")
	}
	p, err := derive(h.Version, protectionKey)
	if err != nil {
		return Header{}, nil, err
	}
	secret := sealed
	defer clear(secret)
	cipher.NewCBCDecrypter(p.cipher, code).CryptBlocks(secret, sealed)
	if subtle.ConstantTimeCompare(p.code([]byte(text[:at]), secret), code) != 1 {
		return Header{}, nil, ErrMAC
	}
	bits := int(binary.BigEndian.Uint16(secret)) // from here on the block is what its maker wrote
	if bits == 0 || bits%8 != 0 || bits/8 > len(secret)-2 {
		return Header{}, nil, fmt.Errorf("%w: %d bits in %d bytes", ErrKeyLength, bits, len(secret)-2)
	}
	if err := h.keyFits(bits / 8); err != nil {
		return Header{}, nil, err
	}
	return h, append([]byte(nil), secret[2:2+bits/8]...), nil
}

// code is the MAC over header and clear key.
func (p protection) code(header, secret []byte) []byte {
	all := append(append(make([]byte, 0, len(header)+len(secret)), header...), secret...)
	defer clear(all)
	return p.mac.Append(nil, all)
}

func decodeHex(dst []byte, text string) bool {
	for i := range dst {
		high, ok := hexDigit(text[2*i])
		low, also := hexDigit(text[2*i+1])
		if !ok || !also {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}
