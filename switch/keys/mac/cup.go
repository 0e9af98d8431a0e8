package mac

import (
	"crypto/subtle"
	"encoding/binary"
)

// cupLength is the code's length: characters of field 64.
const cupLength = 8

// upperHex is how UnionPay writes bytes inside the code. Lower case would make another code.
const upperHex = "0123456789ABCDEF"

// cup is the terminals' MAC (pos-dialect §7.1, §7.5):
//
//	R  = all blocks of data XORed, the last one filled with zeros
//	H  = R as hexadecimal text, twice as long as a block
//	E1 = E(first half of H)
//	E2 = E(E1 xor second half of H)
//	code = the first 8 characters of E2 as hexadecimal text
//
// Only two blocks are enciphered, however long the message is.
func (k *Key) cup(s *scratch, data []byte) {
	sum, text := s.sum[:k.size], s.side[:2*k.size]
	var words [2]uint64 // a block of 8 bytes uses the first
	for len(data) >= k.size {
		for i := range k.size / 8 {
			words[i] ^= binary.BigEndian.Uint64(data[8*i:])
		}
		data = data[k.size:]
	}
	for i := range k.size / 8 {
		binary.BigEndian.PutUint64(sum[8*i:], words[i])
	}
	subtle.XORBytes(sum, sum, data)
	putHex(text, sum)
	k.first.Encrypt(sum, text[:k.size])
	subtle.XORBytes(sum, sum, text[k.size:])
	k.first.Encrypt(sum, sum)
	putHex(text, sum[:cupLength/2])
	copy(s.sum[:], text[:cupLength])
}

func putHex(dst, src []byte) {
	for i, b := range src {
		dst[2*i], dst[2*i+1] = upperHex[b>>4], upperHex[b&15]
	}
}
