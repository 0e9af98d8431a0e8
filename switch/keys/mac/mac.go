// Package mac makes and checks the message authentication codes of terminals, host links and key blocks.
//
// A Key is made once from a clear key, is never changed again, and may be used by many goroutines at once. Append and
// Verify allocate nothing but what dst lacks, and take their working memory from a pool in which it lies wiped. Verify takes
// the same time for every wrong code.
//
// It draws no randomness, does no I/O, and knows nothing of messages: which bytes a code covers is the caller's business
// (pos-dialect §7: MTI up to and including field 63, as received).
package mac

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/emmansun/gmsm/sm3"

	"huanxin/switch/keys/block"
)

// Algorithm is a way to make a code.
type Algorithm uint8

// The algorithms. K is the whole key; K1 and K2 are its halves.
const (
	// CUPECB is what UnionPay's terminals use: all blocks XORed, written as hexadecimal text, that enciphered in two steps,
	// of whose hexadecimal text the first 8 characters are the code (pos-dialect §7.1). DES or 3DES by the key's length.
	CUPECB     Algorithm = iota + 1
	CUPECBSM4            // the same over blocks of 16 bytes with SM4 (pos-dialect §7.5)
	X99                  // CBC with DES: ANSI X9.9, ISO 9797-1 algorithm 1
	X919                 // CBC with DES under K1, then D under K2 and E under K1: ANSI X9.19, ISO 9797-1 algorithm 3
	TDESCBC              // CBC with 3DES: ISO 16609, ISO 9797-1 algorithm 1
	TDESCMAC             // NIST SP 800-38B with 3DES
	AESCMAC              // NIST SP 800-38B with AES, RFC 4493
	SM4CBC               // CBC with SM4: GB/T 15852.1 algorithm 1
	SM4EMAC              // CBC under K1, then E under K2: GB/T 15852.1 algorithm 2. 16 bytes: K2 = K xor F0F0…F0
	SM4Retail            // CBC under K1, then D under K2 and E under K1: GB/T 15852.1 algorithm 3
	SM4CMAC              // CMAC with SM4: GB/T 15852.1 algorithm 5
	HMACSM3              // RFC 2104 with SM3 (GB/T 32905)
	HMACSHA256           // RFC 2104 with SHA-256
	algorithmEnd
)

var algorithmNames = [algorithmEnd]string{
	"", "cup-ecb", "cup-ecb-sm4", "x9.9", "x9.19", "3des-cbc", "3des-cmac", "aes-cmac", "sm4-cbc", "sm4-emac", "sm4-retail",
	"sm4-cmac", "hmac-sm3", "hmac-sha256",
}

// Errors of this package. None quotes a key or a code.
var (
	// ErrAlgorithm is returned when an algorithm or a padding is not known.
	ErrAlgorithm = errors.New("unknown MAC algorithm")
	// ErrKeyLength is returned when a key has a length that its algorithm does not have.
	ErrKeyLength = errors.New("wrong length of a MAC key")
	// ErrLength is returned when a code is to be shorter than MinLength or longer than the algorithm makes it.
	ErrLength = errors.New("wrong length of a MAC")
)

// MinLength is the shortest code that a Key makes: X9.9 sends four bytes.
const MinLength = 4

// ParseAlgorithm is the algorithm of that name.
func ParseAlgorithm(name string) (Algorithm, error) {
	for a := CUPECB; a < algorithmEnd; a++ {
		if algorithmNames[a] == name {
			return a, nil
		}
	}
	return 0, fmt.Errorf("%w: want one of %q", ErrAlgorithm, algorithmNames[1:])
}

func (a Algorithm) String() string {
	if a < algorithmEnd && a > 0 {
		return algorithmNames[a]
	}
	return fmt.Sprintf("algorithm(%d)", uint8(a))
}

// Pads reports whether the algorithm takes a padding method. The others have a way of their own to fill the last block.
func (a Algorithm) Pads() bool {
	switch a {
	case X99, X919, TDESCBC, SM4CBC, SM4EMAC, SM4Retail:
		return true
	}
	return false
}

// Config says how codes are made.
type Config struct {
	Algorithm Algorithm
	Padding   Padding // 0 is PadZeros; only where Algorithm.Pads
	Length    int     // bytes of the code, the leftmost; 0 is all of them
}

// Key makes codes. It prints as [redacted].
type Key struct {
	algorithm Algorithm
	padding   Padding
	length    int // of the code
	size      int // of a block
	first     cipher.Block
	second    cipher.Block // K2 where there is one
	full      [block.MaxSize]byte
	partial   [block.MaxSize]byte // CMAC: what is XORed onto a full and onto a padded last block
	hashers   *sync.Pool          // HMAC: of hash.Hash, keyed
}

// Format prints no key, whatever the verb.
func (*Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// New prepares a key. The key is copied, so the caller may wipe it.
func New(c Config, key []byte) (*Key, error) {
	k := &Key{algorithm: c.Algorithm, padding: c.Padding}
	if k.padding == 0 {
		k.padding = PadZeros
	}
	if k.padding > PadLength {
		return nil, fmt.Errorf("%w: padding method %d of ISO 9797-1, want 1, 2 or 3", ErrAlgorithm, k.padding)
	}
	whole, err := k.prepare(key)
	if err != nil {
		return nil, err
	}
	k.length = c.Length
	if k.length == 0 {
		k.length = whole
	}
	if k.length < MinLength || k.length > whole {
		return nil, fmt.Errorf("%w: %s has %d to %d bytes, not %d", ErrLength, k.algorithm, MinLength, whole, k.length)
	}
	return k, nil
}

// prepare sets the ciphers and returns the length of a whole code.
func (k *Key) prepare(key []byte) (whole int, err error) {
	switch k.algorithm {
	case CUPECB:
		return cupLength, k.use(block.DES, key, nil, 8, 16, 24)
	case CUPECBSM4:
		return cupLength, k.use(block.SM4, key, nil, 16)
	case X99:
		err = k.use(block.DES, key, nil, 8)
	case X919:
		err = k.useHalves(block.DES, key)
	case TDESCBC:
		err = k.use(block.DES, key, nil, 16, 24)
	case SM4CBC:
		err = k.use(block.SM4, key, nil, 16)
	case SM4EMAC:
		if len(key) == 16 {
			var second [16]byte // GB/T 15852.1, ISO 9797-1: every other four bits of K complemented, beginning with the first
			defer clear(second[:])
			for i, b := range key {
				second[i] = b ^ 0xF0
			}
			err = k.use(block.SM4, key, second[:], 16)
			break
		}
		err = k.useHalves(block.SM4, key)
	case SM4Retail:
		err = k.useHalves(block.SM4, key)
	case TDESCMAC:
		if err = k.use(block.DES, key, nil, 16, 24); err == nil {
			k.deriveSubkeys()
		}
	case AESCMAC:
		if err = k.use(block.AES, key, nil, 16, 24, 32); err == nil {
			k.deriveSubkeys()
		}
	case SM4CMAC:
		if err = k.use(block.SM4, key, nil, 16); err == nil {
			k.deriveSubkeys()
		}
	case HMACSM3:
		return sm3.Size, k.useHash(sm3.New, key)
	case HMACSHA256:
		return sha256.Size, k.useHash(sha256.New, key)
	default:
		return 0, fmt.Errorf("%w: %s", ErrAlgorithm, k.algorithm)
	}
	return k.size, err
}

func (k *Key) useHalves(c block.Cipher, key []byte) error {
	if n := 2 * c.Size(); len(key) != n { // both ciphers have keys as long as their blocks here
		return fmt.Errorf("%w: %s wants two keys, K1‖K2, of %d bytes together, not %d", ErrKeyLength, k.algorithm, n, len(key))
	}
	half := len(key) / 2
	return k.use(c, key[:half], key[half:], half)
}

func (k *Key) use(c block.Cipher, first, second []byte, lengths ...int) (err error) {
	known := false
	for _, n := range lengths {
		known = known || n == len(first)
	}
	if !known {
		return fmt.Errorf("%w: %s wants one of %v bytes, not %d", ErrKeyLength, k.algorithm, lengths, len(first))
	}
	k.size = c.Size()
	if k.first, err = block.New(c, first); err == nil && second != nil {
		k.second, err = block.New(c, second)
	}
	return err
}

func (k *Key) useHash(newHash func() hash.Hash, key []byte) error {
	if len(key) == 0 {
		return fmt.Errorf("%w: %s wants at least one byte", ErrKeyLength, k.algorithm)
	}
	own := append([]byte(nil), key...) // outlives the caller's, which may be wiped
	k.hashers = &sync.Pool{New: func() any { return hmac.New(newHash, own) }}
	return nil
}

// Size is the length in bytes of the codes that the key makes: for CUPECB and CUPECBSM4 characters.
func (k *Key) Size() int { return k.length }

// scratch is the working memory of one call: the chaining value or the hash, and one block beside it. It is not on the
// stack, because what is handed to a cipher through an interface cannot be.
type scratch struct {
	sum  [sha256.Size]byte
	side [2 * block.MaxSize]byte
}

// scratches holds wiped working memory. Each is one goroutine's between Get and Put.
var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (s *scratch) release() {
	*s = scratch{}
	scratches.Put(s)
}

// Append appends the code of data, Size bytes of it, to dst.
func (k *Key) Append(dst, data []byte) []byte {
	s := scratches.Get().(*scratch)
	dst = append(dst, k.code(s, data)...)
	s.release()
	return dst
}

// Verify reports, in a time that does not depend on the codes, whether code is that of data: all Size bytes of it.
func (k *Key) Verify(data, code []byte) bool {
	s := scratches.Get().(*scratch)
	same := subtle.ConstantTimeCompare(k.code(s, data), code) == 1
	s.release()
	return same
}

// code makes the code in s.
func (k *Key) code(s *scratch, data []byte) []byte {
	switch k.algorithm {
	case CUPECB, CUPECBSM4:
		k.cup(s, data)
	case TDESCMAC, AESCMAC, SM4CMAC:
		k.cmac(s, data)
	case HMACSM3, HMACSHA256:
		h := k.hashers.Get().(hash.Hash)
		h.Reset()
		h.Write(data)
		h.Sum(s.sum[:0])
		k.hashers.Put(h)
	default:
		k.cbc(s, data)
	}
	return s.sum[:k.length]
}
