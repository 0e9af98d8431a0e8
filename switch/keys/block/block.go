// Package block names the block ciphers of the line – DES, 3DES, AES, SM4 – and makes their check values.
//
// It holds no key, draws no randomness and does no I/O. A cipher.Block that New returns has its key schedule ready, is never
// changed again and may be used by many goroutines at once.
package block

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/bits"

	"github.com/emmansun/gmsm/sm4"
)

// Cipher is one block cipher, or for DES the family: the length of the key tells single DES from 3DES.
type Cipher uint8

// The ciphers.
const (
	DES Cipher = iota + 1 // keys of 8 bytes (DES), 16 (3DES with K3 = K1) and 24 (3DES)
	AES                   // keys of 16, 24, 32 bytes; FIPS 197
	SM4                   // keys of 16 bytes; GB/T 32907
)

// Errors of this package. None quotes a key.
var (
	// ErrCipher is returned when a cipher is not known by name or number.
	ErrCipher = errors.New("unknown cipher")
	// ErrKeyLength is returned when a key has a length that its cipher does not have.
	ErrKeyLength = errors.New("wrong key length")
	// ErrDataLength is returned when data are not whole blocks.
	ErrDataLength = errors.New("data are not whole blocks")
)

// MaxSize is the length in bytes of the largest block.
const MaxSize = aes.BlockSize

// ParseCipher is the cipher called des, 3des (the same), aes or sm4.
func ParseCipher(name string) (Cipher, error) {
	switch name {
	case "des", "3des":
		return DES, nil
	case "aes":
		return AES, nil
	case "sm4":
		return SM4, nil
	}
	return 0, fmt.Errorf("%w: want des, 3des, aes or sm4", ErrCipher)
}

func (c Cipher) String() string {
	switch c {
	case DES:
		return "des"
	case AES:
		return "aes"
	case SM4:
		return "sm4"
	}
	return fmt.Sprintf("cipher(%d)", uint8(c))
}

// Size is the length of a block in bytes: 8 or 16.
func (c Cipher) Size() int {
	if c == DES {
		return des.BlockSize
	}
	return MaxSize
}

// KeyLength reports whether the cipher has keys of n bytes.
func (c Cipher) KeyLength(n int) bool {
	switch c {
	case DES:
		return n == 8 || n == 16 || n == 24
	case AES:
		return n == 16 || n == 24 || n == 32
	case SM4:
		return n == 16
	}
	return false
}

// New prepares key for use. The key is copied into the schedule, so the caller may wipe it.
func New(c Cipher, key []byte) (cipher.Block, error) {
	if c < DES || c > SM4 {
		return nil, fmt.Errorf("%w: %s", ErrCipher, c)
	}
	if !c.KeyLength(len(key)) {
		return nil, fmt.Errorf("%w: %s has no keys of %d bytes", ErrKeyLength, c, len(key))
	}
	switch {
	case c == AES:
		return aes.NewCipher(key)
	case c == SM4:
		return sm4.NewCipher(key)
	case len(key) == 8:
		return des.NewCipher(key)
	case len(key) == 16: // keying option 2: K3 = K1
		var triple [24]byte
		defer clear(triple[:])
		copy(triple[copy(triple[:], key):], key[:8])
		return des.NewTripleDESCipher(triple[:])
	}
	return des.NewTripleDESCipher(key)
}

// AppendECB appends src enciphered block by block: how a working key travels under the terminal's master key
// (pos-dialect §5).
func AppendECB(dst []byte, b cipher.Block, src []byte) ([]byte, error) {
	return appendBlocks(dst, b.BlockSize(), src, b.Encrypt)
}

// AppendECBOpened appends src deciphered block by block.
func AppendECBOpened(dst []byte, b cipher.Block, src []byte) ([]byte, error) {
	return appendBlocks(dst, b.BlockSize(), src, b.Decrypt)
}

func appendBlocks(dst []byte, size int, src []byte, crypt func(dst, src []byte)) ([]byte, error) {
	if len(src)%size != 0 {
		return dst, fmt.Errorf("%w: %d bytes in blocks of %d", ErrDataLength, len(src), size)
	}
	dst = append(dst, src...)
	for at := dst[len(dst)-len(src):]; len(at) > 0; at = at[size:] {
		crypt(at[:size], at[:size])
	}
	return dst, nil
}

// KCV is the check value of a key: the first n bytes of eight (DES) or sixteen zero bytes enciphered with it. Four
// bytes on the line (pos-dialect §5), three with most HSMs.
func KCV(c Cipher, key []byte, n int) ([]byte, error) {
	b, err := New(c, key)
	if err != nil {
		return nil, err
	}
	if n < 1 || n > c.Size() {
		return nil, fmt.Errorf("a check value of %s has 1 to %d bytes, not %d", c, c.Size(), n)
	}
	value := make([]byte, c.Size())
	b.Encrypt(value, value)
	return value[:n], nil
}

// Checks reports whether value is a check value of key, of its own length. A wrong length of the key or the value is no
// match.
func Checks(c Cipher, key, value []byte) bool {
	want, err := KCV(c, key, len(value))
	return err == nil && subtle.ConstantTimeCompare(want, value) == 1
}

// SetOddParity makes every byte of a DES key odd, as FIPS 46-3 has it; DES itself ignores the lowest bit of each byte.
func SetOddParity(key []byte) {
	for i, b := range key {
		key[i] = b&^1 | byte(1^bits.OnesCount8(b>>1)&1)
	}
}
