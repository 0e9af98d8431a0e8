package geo

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrPosition is returned by ParsePosition for text that is not a position; the error wrapping it says where it fails
// without repeating the text, which is personal data.
var ErrPosition = errors.New("malformed position")

// MaxPositionLength is the longest text that ParsePosition reads, in bytes.
const MaxPositionLength = 40

// maxAgeDigits bounds the age to 999 999 s, eleven days: anything older is stale under every rule.
const maxAgeDigits = 6

// ParsePosition reads the position of a till message (D6): a letter for the system (W WGS-84, G GCJ-02, B BD-09),
// longitude, comma, latitude, both in decimal degrees, comma, and the age of the fix in seconds:
// "W123.431500,41.805700,12". The age must be there: a position of no age may be of any. Degrees have up to three whole
// digits and up to eight decimals, of which the seventh and eighth are rounded away; a leading minus is west or south.
// Nothing else is accepted, no blank, plus sign or exponent. The point is in the system that the letter names: see ToWGS84.
func ParsePosition(text []byte) (p Point, crs CRS, ageSeconds uint32, err error) {
	if len(text) > MaxPositionLength {
		return fail("%d bytes, more than %d", len(text), MaxPositionLength)
	}
	if len(text) == 0 {
		return fail("empty")
	}
	switch text[0] {
	case 'W':
		crs = WGS84
	case 'G':
		crs = GCJ02
	case 'B':
		crs = BD09
	default:
		return fail("byte 1 is not W, G or B")
	}
	lon, at, ok := parseDegrees(text, 1, 180)
	if !ok || at == len(text) || text[at] != ',' {
		return fail("longitude, byte %d", at+1)
	}
	lat, at, ok := parseDegrees(text, at+1, 90)
	if !ok {
		return fail("latitude, byte %d", at+1)
	}
	p = Point{lon, lat}
	if at == len(text) {
		return fail("no age")
	}
	if text[at] != ',' {
		return fail("latitude, byte %d", at+1)
	}
	age := text[at+1:]
	if len(age) == 0 || len(age) > maxAgeDigits {
		return fail("age has %d digits, want 1 to %d", len(age), maxAgeDigits)
	}
	for i, c := range age {
		if c < '0' || c > '9' {
			return fail("age, byte %d", at+2+i)
		}
		ageSeconds = ageSeconds*10 + uint32(c-'0')
	}
	return p, crs, ageSeconds, nil
}

// ParsePoint reads a longitude and a latitude that came apart, each in degrees as ParsePosition reads them. It is for the
// forms of older tills, which give neither an age nor a letter.
func ParsePoint(lon, lat []byte) (Point, error) {
	x, at, ok := parseDegrees(lon, 0, 180)
	if !ok || at < len(lon) {
		return Point{}, fmt.Errorf("%w: longitude, byte %d", ErrPosition, at+1)
	}
	y, at, ok := parseDegrees(lat, 0, 90)
	if !ok || at < len(lat) {
		return Point{}, fmt.Errorf("%w: latitude, byte %d", ErrPosition, at+1)
	}
	return Point{x, y}, nil
}

func fail(format string, args ...any) (Point, CRS, uint32, error) {
	return Point{}, 0, 0, fmt.Errorf("%w: %s", ErrPosition, fmt.Sprintf(format, args...))
}

// parseDegrees reads decimal degrees of at most limit from text[at:] and returns micro-degrees and the offset after
// them, or the offset of the byte that does not fit.
func parseDegrees(text []byte, at int, limit int64) (micro int32, end int, ok bool) {
	negative := at < len(text) && text[at] == '-'
	if negative {
		at++
	}
	start := at
	v := int64(0) // degrees × 1e8
	for ; at < len(text) && at-start < 3 && isDigit(text[at]); at++ {
		v = v*10 + int64(text[at]-'0')
	}
	if at == start {
		return 0, at, false
	}
	decimals := 0
	if at < len(text) && text[at] == '.' {
		at++
		first := at
		for ; at < len(text) && at-first < 8 && isDigit(text[at]); at++ {
			v = v*10 + int64(text[at]-'0')
		}
		decimals = at - first
		if decimals == 0 {
			return 0, at, false
		}
	}
	for ; decimals < 8; decimals++ {
		v *= 10
	}
	if v > limit*1e8 {
		return 0, start, false
	}
	v = (v + 50) / 100
	if negative {
		v = -v
	}
	return int32(v), at, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// AppendPosition appends the text that ParsePosition reads, with six decimals.
func AppendPosition(dst []byte, p Point, crs CRS, ageSeconds uint32) []byte {
	dst = append(dst, "?WGB"[crs&3])
	dst = appendDegrees(dst, p.Lon)
	dst = append(dst, ',')
	dst = appendDegrees(dst, p.Lat)
	dst = append(dst, ',')
	return strconv.AppendUint(dst, uint64(ageSeconds), 10)
}

func appendDegrees(dst []byte, micro int32) []byte {
	v := int64(micro)
	if v < 0 {
		dst = append(dst, '-')
		v = -v
	}
	dst = strconv.AppendInt(dst, v/1e6, 10)
	dst = append(dst, '.')
	for unit := int64(1e5); unit > 0; unit /= 10 {
		dst = append(dst, byte('0'+v/unit%10))
	}
	return dst
}
