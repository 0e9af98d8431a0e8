package block

import (
	"encoding/binary"
	"slices"
)

// weakDES are the keys under which enciphering twice gives back what was there, and the six pairs that undo each other
// (NIST SP 800-67 §3.3.2), with odd parity.
var weakDES = [...]uint64{
	0x0101010101010101, 0xFEFEFEFEFEFEFEFE, 0xE0E0E0E0F1F1F1F1, 0x1F1F1F1F0E0E0E0E,
	0x011F011F010E010E, 0x1F011F010E010E01, 0x01E001E001F101F1, 0xE001E001F101F101,
	0x01FE01FE01FE01FE, 0xFE01FE01FE01FE01, 0x1FE01FE00EF10EF1, 0xE01FE01FF10EF10E,
	0x1FFE1FFE0EFE0EFE, 0xFE1FFE1FFE0EFE0E, 0xE0FEE0FEF1FEF1FE, 0xFEE0FEE0FEF1FEF1,
}

// Weak says why a key gives less than its length promises: it is of zeros, a weak DES key, or a 3DES key two of whose
// neighbouring parts are the same. It is empty for a good one.
func Weak(c Cipher, key []byte) (why string) {
	var or byte
	for _, b := range key {
		or |= b
	}
	if or == 0 {
		return "zeros"
	}
	if c != DES {
		return ""
	}
	var last uint64
	for at := 0; at+8 <= len(key); at += 8 {
		odd := [8]byte(key[at:])
		SetOddParity(odd[:])
		part := binary.BigEndian.Uint64(odd[:])
		clear(odd[:])
		if slices.Contains(weakDES[:], part) {
			return "a weak DES key"
		}
		if at > 0 && part == last {
			return "3DES that is single DES"
		}
		last = part
	}
	return ""
}
