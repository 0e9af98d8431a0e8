package mac

import "crypto/subtle"

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
	for len(data) >= k.size {
		subtle.XORBytes(sum, sum, data[:k.size])
		data = data[k.size:]
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
