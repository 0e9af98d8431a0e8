package block

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrWrapped is returned for a wrapped key that was altered, or wrapped under another key.
var ErrWrapped = errors.New("wrapped key does not open")

// wrapIV stands before a key and proves that it was unwrapped whole: RFC 3394 §2.2.3.1.
const wrapIV = 0xA6A6A6A6A6A6A6A6

// WrapLength reports whether AES Key Wrap takes a key of n bytes.
func WrapLength(n int) bool { return n >= 16 && n%8 == 0 }

// AppendWrapped appends key under kek, a cipher with blocks of 16 bytes, by AES Key Wrap: RFC 3394, KW of NIST SP 800-38F,
// CKM_AES_KEY_WRAP of PKCS#11. It is 8 bytes longer than key.
func AppendWrapped(dst []byte, kek cipher.Block, key []byte) ([]byte, error) {
	if !WrapLength(len(key)) || kek.BlockSize() != MaxSize {
		return dst, fmt.Errorf("%w: key wrap takes 16 bytes or more, in eights, not %d", ErrKeyLength, len(key))
	}
	start, n := len(dst), len(key)/8
	dst = append(dst, make([]byte, 8)...)
	dst = append(dst, key...)
	out := dst[start:]
	b := make([]byte, MaxSize)
	defer clear(b)
	a := uint64(wrapIV)
	for t := range 6 * n {
		at := out[8+8*(t%n):][:8]
		binary.BigEndian.PutUint64(b, a)
		copy(b[8:], at)
		kek.Encrypt(b, b)
		a = binary.BigEndian.Uint64(b) ^ uint64(t+1)
		copy(at, b[8:])
	}
	binary.BigEndian.PutUint64(out, a)
	return dst, nil
}

// AppendUnwrapped appends the key that was wrapped under kek.
func AppendUnwrapped(dst []byte, kek cipher.Block, wrapped []byte) ([]byte, error) {
	if !WrapLength(len(wrapped)-8) || kek.BlockSize() != MaxSize {
		return dst, fmt.Errorf("%w: %d bytes", ErrWrapped, len(wrapped))
	}
	start, n := len(dst), len(wrapped)/8-1
	dst = append(dst, wrapped[8:]...)
	out := dst[start:]
	b := make([]byte, MaxSize)
	defer clear(b)
	a := binary.BigEndian.Uint64(wrapped)
	for t := 6*n - 1; t >= 0; t-- {
		at := out[8*(t%n):][:8]
		binary.BigEndian.PutUint64(b, a^uint64(t+1))
		copy(b[8:], at)
		kek.Decrypt(b, b)
		a = binary.BigEndian.Uint64(b)
		copy(at, b[8:])
	}
	binary.BigEndian.PutUint64(b, a)
	if subtle.ConstantTimeCompare(b[:8], binary.BigEndian.AppendUint64(nil, wrapIV)) != 1 {
		clear(out)
		return dst[:start], ErrWrapped
	}
	return dst, nil
}
