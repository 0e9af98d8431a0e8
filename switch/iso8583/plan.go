package iso8583

// Limits of what a message may be.
const (
	// MaxMessage is the largest message in bytes, without framing.
	MaxMessage = 0xffff

	maxField    = 128
	maxValue    = 9999
	mtiField    = 0
	bitmapField = 1
	bitmapSize  = 8
	mtiDigits   = 4
)

type encoding uint8

const (
	encNone  encoding = iota // field not in the dialect
	encASCII                 // a byte per character, below 128
	encBytes                 // the bytes themselves
	encBCD                   // two digits a byte; an odd count has its pad nibble first (right-aligned)
	encLBCD                  // two digits a byte; an odd count has its pad nibble last (left-aligned)
	encHex                   // two hexadecimal characters a byte
	encParts                 // fixed parts one after the other
)

type content uint8

const (
	contentAny    content = iota
	contentDigits         // 0 to 9
	contentTrack          // canonical 0 to 9 and D; A to F where a part of the track is enciphered
)

type prefixKind uint8

const (
	prefixNone prefixKind = iota
	prefixASCII
	prefixBCD
	prefixBinary
	prefixHex
)

type padSide uint8

const (
	padNone padSide = iota
	padLeft
	padRight
)

// plan is one field, ready to be read and written. Lengths are counted in units: digits for BCD, else bytes of the
// canonical form.
type plan struct {
	enc          encoding
	content      content
	prefix       prefixKind
	prefixDigits uint8
	prefixSize   uint8 // bytes on the wire
	fixed        bool
	binary       bool // declared as binary: hexadecimal for people
	hex          bool // shown as hexadecimal: binary, or one of DE52, 55, 62, 64
	side         padSide
	padByte      byte
	padNibble    byte
	separator    byte
	max          int // units, fixed or at most; bytes for parts
	units        int // of all parts together
	parts        []plan
	description  string
}

func (p *plan) defined() bool { return p.enc != encNone }
func (p *plan) bcd() bool     { return p.enc == encBCD || p.enc == encLBCD }

// size returns the bytes that n units take on the wire.
func (p *plan) size(n int) int {
	switch p.enc {
	case encBCD, encLBCD:
		return (n + 1) / 2
	case encHex:
		return 2 * n
	}
	return n
}

// length reads the length prefix at pos. at is where a refusal points.
func (p *plan) length(raw []byte, pos int) (n int, reason Reason, at int) {
	if p.fixed {
		return p.max, 0, 0
	}
	end := pos + int(p.prefixSize)
	if end > len(raw) {
		return 0, Truncated, len(raw)
	}
	switch p.prefix {
	case prefixBCD:
		for i, b := range raw[pos:end] {
			if b > 0x99 || b&0x0f > 9 || i == 0 && p.prefixDigits&1 == 1 && b > 9 {
				return 0, BadLength, pos + i
			}
			n = n*100 + int(b>>4)*10 + int(b&0x0f)
		}
	case prefixASCII:
		for i, b := range raw[pos:end] {
			if b < '0' || b > '9' {
				return 0, BadLength, pos + i
			}
			n = n*10 + int(b-'0')
		}
	case prefixBinary:
		for _, b := range raw[pos:end] {
			n = n<<8 | int(b)
		}
	case prefixHex:
		for i, b := range raw[pos:end] {
			v := hexValue[b]
			if v > 0x0f {
				return 0, BadLength, pos + i
			}
			n = n<<4 | int(v)
		}
	}
	if n > p.max {
		return 0, BadLength, pos
	}
	return n, 0, 0
}

// appendLength writes the length prefix. The caller has checked n against max; false means too many for the prefix.
func (p *plan) appendLength(dst []byte, n int) ([]byte, bool) {
	if p.fixed {
		return dst, true
	}
	digits := int(p.prefixDigits)
	switch p.prefix {
	case prefixASCII, prefixBCD:
		if n >= pow10(digits) {
			return dst, false
		}
		if p.prefix == prefixASCII {
			for d := digits - 1; d >= 0; d-- {
				dst = append(dst, '0'+byte(n/pow10(d)%10))
			}
			return dst, true
		}
		for d := int(p.prefixSize)*2 - 2; d >= 0; d -= 2 {
			dst = append(dst, byte(n/pow10(d+1)%10<<4|n/pow10(d)%10))
		}
	case prefixBinary, prefixHex:
		if digits < 4 && n >= 1<<(8*digits) {
			return dst, false
		}
		for d := digits - 1; d >= 0; d-- {
			b := byte(n >> (8 * d))
			if p.prefix == prefixBinary {
				dst = append(dst, b)
			} else {
				dst = append(dst, hexDigits[b>>4], hexDigits[b&0x0f])
			}
		}
	}
	return dst, true
}

func pow10(n int) int {
	v := 1
	for ; n > 0; n-- {
		v *= 10
	}
	return v
}

// verify checks the wire form of n units and returns the index of the byte that decided.
func (p *plan) verify(wire []byte, n int) (Reason, int) {
	switch p.enc {
	case encBCD, encLBCD:
		return p.verifyNibbles(wire, n)
	case encHex:
		for i, b := range wire {
			if hexValue[b] > 0x0f {
				return BadContent, i
			}
		}
		if p.content != contentAny {
			for i := 0; i < len(wire); i += 2 {
				if !p.allows(hexValue[wire[i]]<<4 | hexValue[wire[i+1]]) {
					return BadContent, i
				}
			}
		}
	case encASCII, encBytes:
		if p.enc == encBytes && p.content == contentAny {
			return 0, 0
		}
		for i, b := range wire {
			if !p.allows(b) {
				return BadContent, i
			}
		}
	case encParts:
		at := 0
		for i := range p.parts {
			part := &p.parts[i]
			size := part.size(part.max)
			if reason, bad := part.verify(wire[at:at+size], part.max); reason != 0 {
				return reason, at + bad
			}
			at += size
		}
	}
	return 0, 0
}

func (p *plan) verifyNibbles(wire []byte, n int) (Reason, int) {
	if n&1 == 1 {
		last := len(wire) - 1
		spare, at := wire[0]>>4, 0
		if p.enc == encLBCD {
			spare, at = wire[last]&0x0f, last
		}
		if spare != 0 && spare != 0x0f {
			return BadPad, at
		}
		if p.content == contentTrack {
			return 0, 0
		}
		digit := wire[0] & 0x0f
		if p.enc == encLBCD {
			digit, wire = wire[last]>>4, wire[:last]
		}
		if digit > 9 {
			return BadContent, at
		}
		if p.enc == encBCD {
			if reason, bad := badBCD(wire[1:]); reason != 0 {
				return reason, bad + 1
			}
			return 0, 0
		}
	}
	if p.content == contentTrack {
		return 0, 0
	}
	return badBCD(wire)
}

func badBCD(wire []byte) (Reason, int) {
	for i, b := range wire {
		if b > 0x99 || b&0x0f > 9 {
			return BadContent, i
		}
	}
	return 0, 0
}

// allows tells whether a byte of a text encoding may stand in the field.
func (p *plan) allows(b byte) bool {
	switch p.content {
	case contentDigits:
		return b >= '0' && b <= '9'
	case contentTrack:
		return trackChar(b) != 0
	}
	return p.enc != encASCII || b < 0x80
}

// trackChar returns the canonical character of a track's byte, 0 when it is none. The code of tracks puts the nibbles
// ten to fifteen at ':' to '?', so that '=' is D.
func trackChar(b byte) byte {
	switch {
	case b >= '0' && b <= '9', b >= 'A' && b <= 'F':
		return b
	case b >= ':' && b <= '?':
		return b - ':' + 'A'
	case b >= 'a' && b <= 'f':
		return b - 'a' + 'A'
	}
	return 0
}

// appendCanonical appends the canonical form of a verified wire form of n units.
func (p *plan) appendCanonical(dst, wire []byte, n int) []byte {
	switch p.enc {
	case encBCD, encLBCD:
		for i, skip := 0, p.skip(n); i < n; i++ {
			dst = append(dst, hexDigits[nibble(wire, i+skip)])
		}
		return dst
	case encHex:
		at := len(dst)
		for i := 0; i+1 < len(wire); i += 2 {
			dst = append(dst, hexValue[wire[i]]<<4|hexValue[wire[i+1]])
		}
		return p.canonicalTrack(dst, at)
	case encParts:
		for i := range p.parts {
			part := &p.parts[i]
			size := part.size(part.max)
			dst = part.appendCanonical(dst, wire[:size], part.max)
			wire = wire[size:]
		}
		return dst
	}
	at := len(dst)
	return p.canonicalTrack(append(dst, wire...), at)
}

func (p *plan) canonicalTrack(dst []byte, from int) []byte {
	if p.content == contentTrack {
		for i := from; i < len(dst); i++ {
			dst[i] = trackChar(dst[i])
		}
	}
	return dst
}

// skip is the number of nibbles before the first digit of n.
func (p *plan) skip(n int) int {
	if p.enc == encBCD {
		return n & 1
	}
	return 0
}

// char returns one character of the canonical form; i is within n.
func (p *plan) char(wire []byte, n, i int) byte {
	switch p.enc {
	case encBCD, encLBCD:
		return hexDigits[nibble(wire, i+p.skip(n))]
	case encHex:
		b := hexValue[wire[2*i]]<<4 | hexValue[wire[2*i+1]]
		if p.content == contentTrack {
			return trackChar(b)
		}
		return b
	case encParts:
		for k := range p.parts {
			part := &p.parts[k]
			if i < part.max {
				return part.char(wire[:part.size(part.max)], part.max, i)
			}
			i -= part.max
			wire = wire[part.size(part.max):]
		}
	}
	if p.content == contentTrack {
		return trackChar(wire[i])
	}
	return wire[i]
}

func nibble(wire []byte, i int) byte {
	b := wire[i>>1]
	if i&1 == 0 {
		return b >> 4
	}
	return b & 0x0f
}

// appendField appends prefix and wire form of a canonical value; on refusal dst comes back as it was.
func (p *plan) appendField(dst, v []byte) ([]byte, Reason) {
	if p.enc == encParts {
		return p.appendParts(dst, v)
	}
	missing := 0
	if len(v) > p.max {
		return dst, BadLength
	}
	if p.fixed && len(v) < p.max || !p.fixed && p.side != padNone {
		missing = p.max - len(v)
		if missing > 0 && p.side == padNone {
			return dst, BadLength
		}
	}
	out, ok := p.appendLength(dst, len(v)+missing)
	if !ok {
		return dst, BadLength
	}
	out, ok = p.appendWire(out, v, missing)
	if !ok {
		return dst, BadContent
	}
	return out, 0
}

func (p *plan) appendParts(dst, v []byte) ([]byte, Reason) {
	if len(v) != p.units {
		return dst, BadLength
	}
	out, ok := p.appendLength(dst, p.max)
	if !ok {
		return dst, BadLength
	}
	for i := range p.parts {
		part := &p.parts[i]
		if out, ok = part.appendWire(out, v[:part.max], 0); !ok {
			return dst, BadContent
		}
		v = v[part.max:]
	}
	return out, 0
}

// appendWire writes v with missing pad characters on the plan's side.
func (p *plan) appendWire(dst, v []byte, missing int) ([]byte, bool) {
	n := len(v) + missing
	if p.bcd() {
		return p.appendNibbles(dst, v, missing)
	}
	left := 0
	if p.side == padLeft {
		left = missing
	}
	for i := range n {
		b := p.padByte
		if i >= left && i-left < len(v) {
			b = v[i-left]
		}
		if p.content == contentTrack {
			if b = trackChar(b); b == 'D' {
				b = p.separator
			}
		}
		if !p.allows(b) {
			return dst, false
		}
		if p.enc == encHex {
			dst = append(dst, hexDigits[b>>4], hexDigits[b&0x0f])
		} else {
			dst = append(dst, b)
		}
	}
	return dst, true
}

func (p *plan) appendNibbles(dst, v []byte, missing int) ([]byte, bool) {
	left := 0
	if p.side == padLeft {
		left = missing
	}
	n := len(v) + missing
	half, have := byte(0), false
	if n&1 == 1 && p.enc == encBCD {
		half, have = p.padNibble, true
	}
	for i := range n {
		b := p.padByte
		if i >= left && i-left < len(v) {
			b = v[i-left]
		}
		x := hexValue[b]
		if p.content == contentTrack {
			x = hexValue[trackChar(b)]
		}
		if x > 0x0f || x > 9 && p.content != contentTrack {
			return dst, false
		}
		if have {
			dst = append(dst, half<<4|x)
		}
		half, have = x, !have
	}
	if have {
		dst = append(dst, half<<4|p.padNibble)
	}
	return dst, true
}

const hexDigits = "0123456789ABCDEF"

// hexValue is the value of a hexadecimal character of either case, 0xff for every other byte.
var hexValue = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()
