package iso8583

import "math/bits"

// Builder collects the fields of one message, in any order and from anywhere, and appends the message to a buffer. The
// zero Builder is made ready by Reset and is reused by the next Reset. Values are copied when they are set. The first
// refusal is kept: the setters after it do nothing, and Err and Append report it.
type Builder struct {
	codec *Codec
	mti   MTI
	has   [2]uint64
	parts [maxField + 1]extent // valid where has says so
	wire  []byte               // encoded fields, prefixes included, in the order they were set
	plain []byte               // canonical form on its way from one dialect to another
	fault FieldError
}

type extent struct{ start, end uint32 }

// Reset empties the builder for a message of c's dialect.
func (b *Builder) Reset(c *Codec, mti MTI) {
	b.codec, b.mti, b.has, b.wire, b.fault = c, mti, [2]uint64{}, b.wire[:0], FieldError{}
}

// Wipe clears what the builder was given, card numbers and tracks among it, and leaves it empty.
func (b *Builder) Wipe() {
	clear(b.wire[:cap(b.wire)])
	clear(b.plain[:cap(b.plain)])
	b.Reset(b.codec, 0)
}

// Err returns the first refusal as a *FieldError that lies in the builder until the next Reset; nil when there was none.
func (b *Builder) Err() error {
	if b.fault.Reason == 0 {
		return nil
	}
	return &b.fault
}

// Has tells whether field n is set.
func (b *Builder) Has(n int) bool {
	return n > bitmapField && n <= maxField && b.has[(n-1)>>6]&(1<<(63-uint(n-1)&63)) != 0
}

// Set puts the canonical value v into field n, in place of what was there. A value shorter than a fixed length is
// refused, unless the dialect gives the field a padding.
func (b *Builder) Set(n int, v []byte) {
	if !b.ready(n) {
		return
	}
	start := len(b.wire)
	var reason Reason
	b.wire, reason = b.codec.plans[n].appendField(b.wire, v)
	b.put(n, start, reason)
}

// TrySet is Set for a value that the dialect may not take: then it returns false, and the builder is as before.
func (b *Builder) TrySet(n int, v []byte) bool {
	if b.fault.Reason != 0 || !b.codec.Defines(n) {
		return false
	}
	start := len(b.wire)
	wire, reason := b.codec.plans[n].appendField(b.wire, v)
	if reason != 0 {
		b.wire = wire[:start]
		return false
	}
	b.wire = wire
	b.put(n, start, 0)
	return true
}

// SetString is Set for a string.
func (b *Builder) SetString(n int, v string) {
	b.plain = append(b.plain[:0], v...)
	b.Set(n, b.plain)
}

// SetUint puts a number into field n: zero-filled on the left to a fixed length, with no leading zeros otherwise. A
// number with more digits than the field holds is refused.
func (b *Builder) SetUint(n int, v uint64) {
	if !b.ready(n) {
		return
	}
	width := 1
	if p := &b.codec.plans[n]; p.fixed {
		width = p.max
	}
	b.SetDigits(n, v, width)
}

// SetDigits puts a number into field n with at least width digits, zero-filled on the left.
func (b *Builder) SetDigits(n int, v uint64, width int) {
	b.plain = AppendDigits(b.plain[:0], v, width)
	b.Set(n, b.plain)
}

// SetZero puts a field of fixed length in with the lowest value it can hold: digits zero, binary zero, text '0'. It
// keeps the place of a MAC that is not computed yet.
func (b *Builder) SetZero(n int) {
	if !b.ready(n) {
		return
	}
	p := &b.codec.plans[n]
	if !p.fixed {
		b.put(n, len(b.wire), BadLength)
		return
	}
	zero := byte('0')
	if p.binary {
		zero = 0
	}
	units := p.max
	if p.enc == encParts {
		units = p.units
	}
	b.plain = b.plain[:0]
	for range units {
		b.plain = append(b.plain, zero)
	}
	b.Set(n, b.plain)
}

// Copy takes the given fields from m where m has them; fields that m has not are left as they are. Between messages of
// the same codec the wire form is copied, pad nibbles included; otherwise the canonical form is encoded anew, and what
// the other dialect cannot hold is refused.
func (b *Builder) Copy(m *Message, fields ...int) {
	for _, n := range fields {
		b.copyField(m, n)
	}
}

// CopyAll takes every field of m. Set, Remove and further copies then change what is to differ.
func (b *Builder) CopyAll(m *Message) {
	for n := m.Next(0); n != 0; n = m.Next(n) {
		b.copyField(m, n)
	}
}

// Remove takes field n out.
func (b *Builder) Remove(n int) {
	if b.Has(n) {
		b.has[(n-1)>>6] &^= 1 << (63 - uint(n-1)&63)
	}
}

// Append appends the message to dst: MTI, bitmaps, fields. On error dst comes back unchanged; the error is a
// *FieldError that lies in the builder until the next Reset.
func (b *Builder) Append(dst []byte) ([]byte, error) {
	if err := b.Err(); err != nil {
		return dst, err
	}
	out, ok := b.appendMTI(dst)
	if !ok {
		b.fault = FieldError{Field: mtiField, Reason: BadContent}
		return dst, &b.fault
	}
	out = b.appendBitmaps(out)
	for word, left := range b.has {
		for left != 0 {
			bit := bits.LeadingZeros64(left)
			left &^= 1 << (63 - bit)
			at := b.parts[64*word+bit+1]
			out = append(out, b.wire[at.start:at.end]...)
		}
	}
	if len(out)-len(dst) > MaxMessage {
		b.fault = FieldError{Field: mtiField, Reason: TooLarge}
		return dst, &b.fault
	}
	return out, nil
}

func (b *Builder) appendMTI(dst []byte) ([]byte, bool) {
	var digits [mtiDigits]byte
	return b.codec.plans[mtiField].appendWire(dst, b.mti.Append(digits[:0]), 0)
}

func (b *Builder) appendBitmaps(dst []byte) []byte {
	primary := b.has[0]
	if b.has[1] == 0 {
		return b.appendBitmap(dst, primary)
	}
	return b.appendBitmap(b.appendBitmap(dst, primary|1<<63), b.has[1])
}

func (b *Builder) appendBitmap(dst []byte, word uint64) []byte {
	for shift := 56; shift >= 0; shift -= 8 {
		x := byte(word >> shift)
		if b.codec.bitmapHex {
			dst = append(dst, hexDigits[x>>4], hexDigits[x&0x0f])
		} else {
			dst = append(dst, x)
		}
	}
	return dst
}

func (b *Builder) copyField(m *Message, n int) {
	if !m.Has(n) || !b.ready(n) {
		return
	}
	if m.codec != b.codec {
		b.plain = m.AppendField(b.plain[:0], n)
		b.Set(n, b.plain)
		return
	}
	start := len(b.wire)
	s := m.spans[n]
	b.wire = append(b.wire, m.raw[int(s.start)-int(b.codec.plans[n].prefixSize):s.end]...)
	b.put(n, start, 0)
}

// ready refuses a field that the dialect has not.
func (b *Builder) ready(n int) bool {
	if b.fault.Reason != 0 {
		return false
	}
	if !b.codec.Defines(n) {
		b.fault = FieldError{Field: n, Reason: Undefined}
		return false
	}
	return true
}

func (b *Builder) put(n, start int, reason Reason) {
	if reason != 0 {
		b.fault = FieldError{Field: n, Reason: reason}
		return
	}
	b.has[(n-1)>>6] |= 1 << (63 - uint(n-1)&63)
	b.parts[n] = extent{uint32(start), uint32(len(b.wire))}
}

// AppendDigits appends v in decimal with at least width digits, zero-filled on the left.
func AppendDigits(dst []byte, v uint64, width int) []byte {
	var buf [20]byte
	i := len(buf)
	for v > 0 {
		i--
		buf[i] = '0' + byte(v%10)
		v /= 10
	}
	for n := len(buf) - i; n < width; n++ {
		dst = append(dst, '0')
	}
	return append(dst, buf[i:]...)
}
