package mac

import (
	"crypto/subtle"
	"encoding/binary"
)

// Padding is a padding method of ISO 9797-1, which is also GB/T 15852.1's.
type Padding uint8

// The padding methods. After each there is at least one block, also of data that are empty.
const (
	PadZeros  Padding = iota + 1 // method 1: zeros up to a whole block, none if it is whole and not empty
	PadMarked                    // method 2: one bit 1, then zeros: always something
	PadLength                    // method 3: before everything a block with the length in bits, then as method 1
)

// cbc is CBC-MAC with an initial value of zero, then what the algorithm does with the second key.
func (k *Key) cbc(s *scratch, data []byte) {
	sum := s.sum[:k.size]
	if k.padding == PadLength {
		binary.BigEndian.PutUint64(sum[k.size-8:], uint64(len(data))*8)
		k.first.Encrypt(sum, sum)
	}
	empty := len(data) == 0
	data = k.chain(sum, data, 0)
	if len(data) > 0 || empty || k.padding == PadMarked {
		subtle.XORBytes(sum, sum, data) // as long as data are: zeros behind them change nothing
		if k.padding == PadMarked {
			sum[len(data)] ^= 0x80
		}
		k.first.Encrypt(sum, sum)
	}
	switch k.algorithm {
	case SM4EMAC:
		k.second.Encrypt(sum, sum)
	case X919, SM4Retail:
		k.second.Decrypt(sum, sum)
		k.first.Encrypt(sum, sum)
	}
}

// chain takes whole blocks into sum while more than keep bytes are left, and returns what is left.
func (k *Key) chain(sum, data []byte, keep int) []byte {
	for len(data) >= k.size && len(data) > keep {
		subtle.XORBytes(sum, sum, data[:k.size])
		k.first.Encrypt(sum, sum)
		data = data[k.size:]
	}
	return data
}

// cmac is NIST SP 800-38B: CBC-MAC whose last block is masked, by one subkey if it was whole and by another if it had to
// be padded.
func (k *Key) cmac(s *scratch, data []byte) {
	sum := s.sum[:k.size]
	data = k.chain(sum, data, k.size)
	subtle.XORBytes(sum, sum, data)
	if len(data) == k.size {
		subtle.XORBytes(sum, sum, k.full[:k.size])
	} else {
		sum[len(data)] ^= 0x80
		subtle.XORBytes(sum, sum, k.partial[:k.size])
	}
	k.first.Encrypt(sum, sum)
}

// deriveSubkeys is SP 800-38B §6.1: zeros enciphered, doubled once and twice in the field of the block's size.
func (k *Key) deriveSubkeys() {
	full, partial := k.full[:k.size], k.partial[:k.size]
	k.first.Encrypt(full, full)
	double(full, full)
	double(partial, full)
}

// double is the multiplication by x: a shift, and without a branch the reduction.
func double(dst, src []byte) {
	reduction := byte(0x87) // x^128 + x^7 + x^2 + x + 1
	if len(src) == 8 {
		reduction = 0x1B // x^64 + x^4 + x^3 + x + 1
	}
	carry := src[0] >> 7
	for i := range len(src) - 1 {
		dst[i] = src[i]<<1 | src[i+1]>>7
	}
	dst[len(dst)-1] = src[len(src)-1]<<1 ^ reduction*carry
}
