package iso8583

import "errors"

// ErrTag59 is returned by Tags59.Err when what stands at Offset is no tag.
var ErrTag59 = errors.New("malformed tag in field 59")

// Tag59 is the name of a tag of DE59: a capital letter and a capital letter or digit, such as A3 or S7.
type Tag59 [2]byte

// String returns the two characters.
func (t Tag59) String() string { return string(t[:]) }

// tag59Head is the size of a tag's name and length.
const tag59Head = 5

// Tags59 walks the tags of DE59 without allocating, in order and with repetitions:
//
//	name 2 | length 3 decimal digits, bytes of the value | value        A3 019 6228000000000000017
//
// It is strict: the walk ends at the first byte that is not a tag's, and Err and Offset say where. Other makers put
// other things into this field – bare numbers, `BD30.62,114.36`, tags with two-digit lengths – before, between and behind
// their tags. HasTags59 tells whether a field is meant for this walker at all; one that is not is opaque: no tag is
// guessed out of the middle of it.
type Tags59 struct {
	rest   []byte
	offset int
	bad    bool
}

// WalkTags59 starts a walk over b.
func WalkTags59(b []byte) Tags59 { return Tags59{rest: b} }

// HasTags59 tells whether b begins with a well-formed tag of the A or S family, that is, whether it should be walked. A
// caller that needs its own tags refuses (30) a walk that then ends with Err; it passes over a field for which this is
// false, as if it had no tags.
func HasTags59(b []byte) bool {
	w := WalkTags59(b)
	name, _, ok := w.Next()
	return ok && (name[0] == 'A' || name[0] == 'S')
}

// Next returns the next tag and its value, a slice of the walked bytes. false ends the walk, at the end or at something
// malformed, which Err tells apart.
func (w *Tags59) Next() (name Tag59, value []byte, ok bool) {
	if w.bad || len(w.rest) == 0 {
		return Tag59{}, nil, false
	}
	n := tag59Length(w.rest)
	if n < 0 || n > len(w.rest)-tag59Head {
		w.bad = true
		return Tag59{}, nil, false
	}
	name = Tag59(w.rest[:2])
	value = w.rest[tag59Head : tag59Head+n : tag59Head+n]
	w.rest = w.rest[tag59Head+n:]
	w.offset += tag59Head + n
	return name, value, true
}

// Err returns ErrTag59 when the walk ended at something that is no tag.
func (w *Tags59) Err() error {
	if w.bad {
		return ErrTag59
	}
	return nil
}

// Offset returns where the next tag begins, or what is no tag.
func (w *Tags59) Offset() int { return w.offset }

// FindTag59 returns the value of the first tag of that name. ok is false when b holds none, or is malformed before it.
func FindTag59(b []byte, name string) (value []byte, ok bool) {
	w := WalkTags59(b)
	for {
		t, v, more := w.Next()
		if !more {
			return nil, false
		}
		if len(name) == 2 && t[0] == name[0] && t[1] == name[1] {
			return v, true
		}
	}
}

// AppendTag59 appends one tag. It panics when the name is no tag name or the value is longer than 999 bytes: both are
// mistakes of the program, since values that come from outside are bounded by the field they came in.
func AppendTag59(dst []byte, name string, value []byte) []byte {
	if len(name) != 2 || !isTag59(name[0], name[1]) || len(value) > 999 {
		panic("iso8583: tag " + name + " cannot be written to field 59")
	}
	dst = append(dst, name...)
	dst = AppendDigits(dst, uint64(len(value)), 3)
	return append(dst, value...)
}

func isTag59(first, second byte) bool {
	upper := func(b byte) bool { return b >= 'A' && b <= 'Z' }
	return upper(first) && (upper(second) || second >= '0' && second <= '9')
}

// tag59Length returns the announced length, or -1 when no tag's head stands there.
func tag59Length(b []byte) int {
	if len(b) < tag59Head || !isTag59(b[0], b[1]) {
		return -1
	}
	n := 0
	for _, d := range b[2:tag59Head] {
		if d < '0' || d > '9' {
			return -1
		}
		n = n*10 + int(d-'0')
	}
	return n
}
