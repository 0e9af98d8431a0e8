package host

import "huanxin/switch/iso8583"

// appendATags copies the tags of the A family out of a DE59, such as A3, the payment code. Subsidy tags say where the
// buyer stands and what the state pays; a field that is not made of tags may say anything. Neither goes to a network.
func appendATags(dst, value []byte) []byte {
	if !iso8583.HasTags59(value) {
		return dst
	}
	walk := iso8583.WalkTags59(value)
	for {
		name, v, ok := walk.Next()
		if !ok {
			return dst
		}
		if name[0] == 'A' {
			dst = iso8583.AppendTag59(dst, name.String(), v)
		}
	}
}

// appendIssuerTags copies what an issuer says to the chip out of a DE55: 71 and 72 (scripts), 8A (response code) and 91
// (authentication). Everything else is an echo of the card's own data and does not belong in the journal.
func appendIssuerTags(dst, value []byte) []byte {
	walk := iso8583.WalkTLV(value)
	for {
		tag, v, ok := walk.Next()
		if !ok {
			return dst
		}
		switch tag {
		case 0x71, 0x72, 0x8A, 0x91:
			dst = iso8583.AppendTLV(dst, tag, v)
		}
	}
}
