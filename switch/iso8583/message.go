package iso8583

import "math/bits"

// MTI is a message type indicator, packed as its four digits: 0x0200 is a financial request.
type MTI uint16

// String returns the four digits.
func (t MTI) String() string { return string(t.Append(nil)) }

// Append appends the four digits.
func (t MTI) Append(dst []byte) []byte {
	return append(dst, hexDigits[t>>12], hexDigits[t>>8&0xf], hexDigits[t>>4&0xf], hexDigits[t&0xf])
}

// Response returns the indicator of the answer: 0200 → 0210, 0221 (a repeat) → 0230. An answer's own indicator comes
// back unchanged.
func (t MTI) Response() MTI {
	if t>>4&1 == 1 {
		return t
	}
	return t&^0x000f + 0x0010
}

// Message is a parsed message: offsets into the bytes it was parsed from. The zero Message is ready for Parse and is
// reused by the next one; it is about a kilobyte, so share it rather than make it. Field numbers outside 2 to 128 are
// simply absent.
type Message struct {
	codec *Codec
	raw   []byte
	mti   MTI
	has   [2]uint64
	spans [maxField + 1]span // valid where has says so
	err   ParseError
}

// span is where a field's wire form lies, and how many digits or bytes it says.
type span struct{ start, end, units uint16 }

func (m *Message) begin(c *Codec, raw []byte) {
	m.codec, m.raw, m.mti, m.has = c, raw, 0, [2]uint64{}
}

func (m *Message) fail(field, offset int, reason Reason) error {
	m.err = ParseError{Field: field, Offset: offset, Reason: reason}
	return &m.err
}

// Reset drops the reference to the parsed bytes.
func (m *Message) Reset() { m.begin(nil, nil) }

// Keep copies the message's bytes to the end of buf[:0] and refers to the copy from then on. It returns the copy, to be
// given again as buf when the message is done with.
func (m *Message) Keep(buf []byte) []byte {
	buf = append(buf[:0], m.raw...)
	m.raw = buf
	return buf
}

// Codec returns the codec that parsed the message, nil before the first Parse.
func (m *Message) Codec() *Codec { return m.codec }

// Bytes returns the whole message as it was given to Parse.
func (m *Message) Bytes() []byte { return m.raw }

// MTI returns the message type indicator.
func (m *Message) MTI() MTI { return m.mti }

// Has tells whether field n is there.
func (m *Message) Has(n int) bool {
	return n > bitmapField && n <= maxField && m.has[(n-1)>>6]&(1<<(63-uint(n-1)&63)) != 0
}

// Next returns the number of the first field after n that is there, 0 when there is none. for n := m.Next(0); n != 0;
// n = m.Next(n) visits all in order.
func (m *Message) Next(n int) int {
	if n < 0 {
		n = 0
	}
	for word := n >> 6; word < len(m.has); word++ {
		left := m.has[word]
		if word == n>>6 {
			left = left << (n & 63) >> (n & 63)
		}
		if left != 0 {
			return 64*word + bits.LeadingZeros64(left) + 1
		}
	}
	return 0
}

// Raw returns the wire form of field n, without its length prefix; nil when it is absent. For text and binary fields
// that are not written as hexadecimal this is the value itself.
func (m *Message) Raw(n int) []byte {
	if !m.Has(n) {
		return nil
	}
	s := m.spans[n]
	return m.raw[s.start:s.end:s.end]
}

// RawUpTo returns the bytes from the MTI up to the first byte (length prefix included) of field n, or of the next
// present field after it, or the whole message: RawUpTo(64) is what a MAC in field 64 covers.
func (m *Message) RawUpTo(n int) []byte {
	if !m.Has(n) {
		if n = m.Next(n); n == 0 {
			return m.raw
		}
	}
	return m.raw[:int(m.spans[n].start)-int(m.codec.plans[n].prefixSize)]
}

// Len returns the length of field n in characters of its canonical form: digits for BCD, else bytes. 0 when absent.
func (m *Message) Len(n int) int {
	if !m.Has(n) {
		return 0
	}
	return int(m.spans[n].units)
}

// AppendField appends the canonical form of field n; nothing when it is absent.
func (m *Message) AppendField(dst []byte, n int) []byte {
	if !m.Has(n) {
		return dst
	}
	s := m.spans[n]
	return m.codec.plans[n].appendCanonical(dst, m.raw[s.start:s.end], int(s.units))
}

// CopyField copies the canonical form of field n to dst and returns its length; -1 when it is absent or longer than
// dst.
func (m *Message) CopyField(dst []byte, n int) int {
	if !m.Has(n) || m.Len(n) > len(dst) {
		return -1
	}
	return len(m.AppendField(dst[:0:len(dst)], n))
}

// Equal tells whether field n is there and its canonical form is v.
func (m *Message) Equal(n int, v string) bool {
	if !m.Has(n) || m.Len(n) != len(v) {
		return false
	}
	p, raw := &m.codec.plans[n], m.Raw(n)
	for i := range len(v) {
		if p.char(raw, len(v), i) != v[i] {
			return false
		}
	}
	return true
}

// Uint returns field n as a decimal number. false: absent, empty, over 18 digits, or not all digits.
func (m *Message) Uint(n int) (uint64, bool) { return m.SubUint(n, 0, m.Len(n)) }

// SubUint returns count digits of field n from position from as a decimal number, such as 60.2 = SubUint(60, 2, 6).
// false: the field is absent or too short, or the characters are not all digits, or count is not 1 to 18.
func (m *Message) SubUint(n, from, count int) (uint64, bool) {
	if count < 1 || count > 18 || from < 0 || from+count > m.Len(n) {
		return 0, false
	}
	p, raw, units := &m.codec.plans[n], m.Raw(n), m.Len(n)
	v := uint64(0)
	for i := from; i < from+count; i++ {
		d := p.char(raw, units, i) - '0'
		if d > 9 {
			return 0, false
		}
		v = v*10 + uint64(d)
	}
	return v, true
}

// AppendSub appends count characters of the canonical form of field n from position from. false: the field is absent or
// too short, and dst comes back unchanged.
func (m *Message) AppendSub(dst []byte, n, from, count int) ([]byte, bool) {
	if count < 0 || from < 0 || !m.Has(n) || from+count > m.Len(n) {
		return dst, false
	}
	p, raw, units := &m.codec.plans[n], m.Raw(n), m.Len(n)
	for i := from; i < from+count; i++ {
		dst = append(dst, p.char(raw, units, i))
	}
	return dst, true
}
