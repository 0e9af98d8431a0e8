package label

import "strings"

// Serial numbers are hashed, so that one item is subsidised once, and shown masked. What a serial may look like:
//
//	SN    6 to 32 of A–Z 0–9 - / . in either case, not all zero
//	IMEI  the same, 15 digits with a right check digit (Luhn, 3GPP TS 23.003)
//
// Which of the two a product needs, the engine knows. What is hashed has neither the marks nor the difference of case: one
// label is typed with and without its dashes.
const (
	imeiSize      = 15
	serialMinSize = 6
	serialMaxSize = 32
)

// SerialForm says whether serial has the form of a serial, and whether it is an IMEI.
func SerialForm(serial []byte) (ok, imei bool) {
	if len(serial) < serialMinSize || len(serial) > serialMaxSize {
		return false, false
	}
	digits, zeros, marks := 0, 0, 0
	for _, c := range serial {
		switch {
		case isDigit(c):
			digits++
			if c == '0' {
				zeros++
			}
		case c == '-', c == '/', c == '.':
			marks++
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
		default:
			return false, false
		}
	}
	// What is left without the marks is what is hashed: it must be long enough, and say something.
	if left := len(serial) - marks; left < serialMinSize || zeros == left {
		return false, false
	}
	return true, digits == imeiSize && len(serial) == imeiSize && luhn(serial)
}

// FoldSerial takes - / . and blanks out of serial and turns its letters upper-case, in place.
func FoldSerial(serial []byte) []byte {
	folded := serial[:0]
	for _, c := range serial {
		switch c {
		case '-', '/', '.', ' ', '\t':
		default:
			folded = append(folded, upper(c))
		}
	}
	return folded
}

// luhn checks the last digit (ISO/IEC 7812-1 annex B).
func luhn(digits []byte) bool {
	sum := 0
	for i, c := range digits {
		d := int(c - '0')
		if (len(digits)-i)%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// MaskSerial is what receipts and screens show. At most half is shown: 3 and 4 of an IMEI, so that the six digits that
// tell one phone from the next of its model keep three unknown; of short serials less.
func MaskSerial(serial []byte) string {
	n := len(serial)
	head, tail := 3, 4
	switch {
	case n < 6:
		head, tail = 0, 0
	case n < 10:
		head, tail = 1, 2
	case n < 14:
		head, tail = 2, 3
	}
	var b strings.Builder
	b.Grow(n)
	for i, c := range serial {
		if i >= head && i < n-tail || c < ' ' || c > '~' {
			c = '*'
		}
		b.WriteByte(upper(c))
	}
	return b.String()
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
