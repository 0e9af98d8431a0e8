package iso8583

import "math/bits"

// Codec reads and writes the messages of one dialect. It is immutable and safe for concurrent use.
type Codec struct {
	name      string
	last      int // 64 or 128
	hasBitmap bool
	bitmapHex bool // bitmaps as 16 hexadecimal characters each
	plans     [maxField + 1]plan
}

// Name returns the name that the specification gives itself.
func (c *Codec) Name() string { return c.name }

// LastField returns 64, or 128 for a dialect with a secondary bitmap.
func (c *Codec) LastField() int { return c.last }

// Defines tells whether the dialect has field n, 2 to 128.
func (c *Codec) Defines(n int) bool {
	return n > bitmapField && n <= c.last && c.plans[n].defined()
}

// Description returns what the specification says about field n, "" when it says nothing.
func (c *Codec) Description(n int) string {
	if n < 0 || n > c.last {
		return ""
	}
	return c.plans[n].description
}

// WireSize returns the size in bytes of a field of fixed length, 0 for any other.
func (c *Codec) WireSize(n int) int {
	if !c.Defines(n) || !c.plans[n].fixed {
		return 0
	}
	return c.plans[n].size(c.plans[n].max)
}

// AppendValue appends field n alone – length prefix and wire form of the canonical value v – to dst. The error is a
// *FieldError; dst comes back unchanged with it.
func (c *Codec) AppendValue(dst []byte, n int, v []byte) ([]byte, error) {
	if !c.Defines(n) {
		return dst, &FieldError{Field: n, Reason: Undefined}
	}
	out, reason := c.plans[n].appendField(dst, v)
	if reason != 0 {
		return dst, &FieldError{Field: n, Reason: reason}
	}
	return out, nil
}

// Parse takes a whole message, MTI first and without framing, apart into m. m refers to raw until the next Parse or
// Keep. Every byte of every field is checked, so that no accessor of m can fail afterwards.
//
// The error is a *ParseError that lies in m. After it m holds the MTI and the fields before the bad one – what an answer
// 30 needs to echo – and no other: they may themselves be misread when it is the bitmap that is wrong.
func (c *Codec) Parse(raw []byte, m *Message) error {
	m.begin(c, raw)
	if len(raw) > MaxMessage {
		return m.fail(mtiField, 0, TooLarge)
	}
	pos, reason, at := c.parseMTI(raw, m)
	if reason != 0 {
		return m.fail(mtiField, at, reason)
	}
	var announced [2]uint64
	if pos, reason, at = c.parseBitmap(raw, pos, &announced); reason != 0 {
		return m.fail(bitmapField, at, reason)
	}
	last := bitmapField
	for word, left := range announced {
		for left != 0 {
			bit := bits.LeadingZeros64(left)
			left &^= 1 << (63 - bit)
			last = 64*word + bit + 1
			if pos, reason, at = c.parseField(raw, pos, last, &m.spans[last]); reason != 0 {
				return m.fail(last, at, reason)
			}
			m.has[word] |= 1 << (63 - bit)
		}
	}
	if pos != len(raw) {
		return m.fail(last, pos, Trailing)
	}
	return nil
}

func (c *Codec) parseMTI(raw []byte, m *Message) (pos int, reason Reason, at int) {
	p := &c.plans[mtiField]
	end := p.size(mtiDigits)
	if end > len(raw) {
		return 0, Truncated, len(raw)
	}
	if reason, at = p.verify(raw[:end], mtiDigits); reason != 0 {
		return 0, reason, at
	}
	for i := range mtiDigits {
		m.mti = m.mti<<4 | MTI(p.char(raw[:end], mtiDigits, i)-'0')
	}
	return end, 0, 0
}

// parseBitmap reads the primary bitmap and, when bit 1 says so, the secondary one. The bits that announce bitmaps are
// taken out.
func (c *Codec) parseBitmap(raw []byte, pos int, announced *[2]uint64) (next int, reason Reason, at int) {
	const top = 1 << 63
	for word := range announced {
		start := pos
		for range bitmapSize {
			var b byte
			if b, pos, reason = c.bitmapByte(raw, pos); reason != 0 {
				return 0, reason, min(pos, len(raw))
			}
			announced[word] = announced[word]<<8 | uint64(b)
		}
		if announced[word]&top == 0 {
			return pos, 0, 0
		}
		announced[word] &^= top
		if word == 1 || c.last == 64 {
			return 0, NoSecondary, start
		}
	}
	return pos, 0, 0
}

func (c *Codec) bitmapByte(raw []byte, pos int) (b byte, next int, reason Reason) {
	if !c.bitmapHex {
		if pos >= len(raw) {
			return 0, len(raw), Truncated
		}
		return raw[pos], pos + 1, 0
	}
	if pos+2 > len(raw) {
		return 0, len(raw), Truncated
	}
	hi, lo := hexValue[raw[pos]], hexValue[raw[pos+1]]
	if hi > 0x0f || lo > 0x0f {
		return 0, pos, BadContent
	}
	return hi<<4 | lo, pos + 2, 0
}

func (c *Codec) parseField(raw []byte, pos, n int, s *span) (next int, reason Reason, at int) {
	p := &c.plans[n]
	if !p.defined() {
		return 0, Undefined, pos
	}
	units, reason, at := p.length(raw, pos)
	if reason != 0 {
		return 0, reason, at
	}
	start := pos + int(p.prefixSize)
	end := start + p.size(units)
	if p.enc == encParts && units != p.max {
		return 0, BadLength, pos
	}
	if end > len(raw) {
		return 0, Truncated, len(raw)
	}
	if reason, at = p.verify(raw[start:end], units); reason != 0 {
		return 0, reason, start + at
	}
	if p.enc == encParts {
		units = p.units
	}
	*s = span{start: uint16(start), end: uint16(end), units: uint16(units)}
	return end, 0, 0
}
