package iso8583

import "errors"

// ErrTLV is returned by TLV.Err when the bytes are no sequence of BER-TLV objects.
var ErrTLV = errors.New("malformed BER-TLV")

// TLV walks the data objects of DE55 (BER-TLV as in EMV book 3, annex B) without allocating:
//
//	for w := iso8583.WalkTLV(value); ; {
//		tag, v, ok := w.Next()
//		if !ok {
//			break // then w.Err()
//		}
//	}
//
// Objects come in order, repeated tags included; constructed objects come whole, their value is walked by another TLV.
// Tags have one to four bytes; lengths are definite, short or with one to three bytes (81, 82, 83), and need not be
// minimal. Zero bytes between objects are skipped, as EMV allows.
type TLV struct {
	rest   []byte
	offset int
	bad    bool
}

// WalkTLV starts a walk over b.
func WalkTLV(b []byte) TLV { return TLV{rest: b} }

// Next returns the next object: its tag as a number (9F02 is 0x9F02) and its value, a slice of the walked bytes. false
// ends the walk, at the end or at a malformed object, which Err tells apart.
func (w *TLV) Next() (tag uint32, value []byte, ok bool) {
	for len(w.rest) > 0 && w.rest[0] == 0 {
		w.skip(1)
	}
	if w.bad || len(w.rest) == 0 {
		return 0, nil, false
	}
	tag, size := tlvTag(w.rest)
	if size == 0 {
		return w.fail()
	}
	n, lengthSize := tlvLength(w.rest[size:])
	if lengthSize == 0 || n > len(w.rest)-size-lengthSize {
		return w.fail()
	}
	start := size + lengthSize
	value = w.rest[start : start+n : start+n]
	w.skip(start + n)
	return tag, value, true
}

// Err returns ErrTLV when the walk ended at a malformed object.
func (w *TLV) Err() error {
	if w.bad {
		return ErrTLV
	}
	return nil
}

// Offset returns where the next object begins, or the malformed one.
func (w *TLV) Offset() int { return w.offset }

func (w *TLV) skip(n int) {
	w.rest = w.rest[n:]
	w.offset += n
}

func (w *TLV) fail() (uint32, []byte, bool) {
	w.bad = true
	return 0, nil, false
}

// tlvTag returns size 0 when no tag of up to four bytes stands there.
func tlvTag(b []byte) (tag uint32, size int) {
	tag = uint32(b[0])
	if b[0]&0x1f != 0x1f {
		return tag, 1
	}
	for size = 1; size < 4 && size < len(b); size++ {
		tag = tag<<8 | uint32(b[size])
		if b[size]&0x80 == 0 {
			return tag, size + 1
		}
	}
	return 0, 0
}

// tlvLength returns size 0 when no definite length of up to three bytes stands there.
func tlvLength(b []byte) (n, size int) {
	if len(b) == 0 {
		return 0, 0
	}
	if b[0] < 0x80 {
		return int(b[0]), 1
	}
	count := int(b[0] & 0x7f)
	if count == 0 || count > 3 || len(b) <= count {
		return 0, 0
	}
	for _, x := range b[1 : 1+count] {
		n = n<<8 | int(x)
	}
	return n, 1 + count
}

// FindTLV returns the value of the first object with the tag. ok is false when b holds none, or is malformed before it.
func FindTLV(b []byte, tag uint32) (value []byte, ok bool) {
	w := WalkTLV(b)
	for {
		t, v, more := w.Next()
		if !more {
			return nil, false
		}
		if t == tag {
			return v, true
		}
	}
}

// AppendTLV appends one object with a minimal length. The tag is written as it is: 0x9F02 takes two bytes.
func AppendTLV(dst []byte, tag uint32, value []byte) []byte {
	for shift := 24; shift >= 0; shift -= 8 {
		if b := tag >> shift; b != 0 || shift == 0 {
			dst = append(dst, byte(b))
		}
	}
	switch n := len(value); {
	case n < 0x80:
		dst = append(dst, byte(n))
	case n <= 0xff:
		dst = append(dst, 0x81, byte(n))
	case n <= 0xffff:
		dst = append(dst, 0x82, byte(n>>8), byte(n))
	default:
		dst = append(dst, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, value...)
}
