package event

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Most facts are Reserved, and who applies one keeps no more than a copy of its packed bytes. So these are read and written here by
// themselves: what is read lives in memory that is used again, its texts are parts of the packed bytes, and what has been packed
// once is not packed again.

// Loan decodes packed events, one after the other. A Reserved is lent: it is good until the next call. Any other is the
// caller's to keep. The zero Loan is ready.
type Loan struct {
	lent  lent
	piece piece
}

// lent is the memory of one event.
type lent struct {
	event Event
	body  Event_Reserved
	room  ReservedRoom
	texts []string // attributes
}

// piece is where packed facts lie behind each other. Each would be an object for the collector otherwise.
type piece struct{ strings.Builder }

// pieceSize is how many bytes of packed facts lie behind each other.
const pieceSize = 1 << 16

// keep is body as a text.
func (p *piece) keep(body []byte) string {
	if p.Len()+len(body) > p.Cap() {
		p.Builder = strings.Builder{}
		p.Grow(max(len(body), pieceSize))
	}
	at := p.Len()
	p.Write(body)
	return p.String()[at:]
}

// Decode unpacks one event. packed is the packed body of a Reserved, and "" for any other, and for a Reserved that another
// program has packed. Who keeps it keeps its neighbours in memory, too.
func (l *Loan) Decode(raw []byte) (ev *Event, packed string, err error) {
	if packed, ok := l.lent.reserved(raw, &l.piece); ok {
		return &l.lent.event, packed, nil
	}
	ev = new(Event)
	return ev, "", ev.UnmarshalVT(raw)
}

// reserved makes the event what raw says, if that is a Reserved of this schema, whose packed bytes it returns.
func (l *lent) reserved(raw []byte, keep *piece) (packed string, ok bool) {
	seq, at, body, ok := splitReserved(raw)
	if !ok {
		return "", false
	}
	if packed = keep.keep(body); !l.read(packed) {
		return "", false
	}
	l.body.Reserved = &l.room.Fact
	l.event = Event{Seq: seq, At: at, Body: &l.body}
	return packed, true
}

// Reserved unpacks the fact alone.
func (l *Loan) Reserved(packed string) (*Reserved, error) {
	if l.lent.read(packed) {
		return &l.lent.room.Fact, nil
	}
	m := new(Reserved)
	return m, m.UnmarshalVT([]byte(packed))
}

// What stands before a value: the number of its field, and one of two wire types.
const (
	varint = 0
	length = 2 // before so many bytes

	eventSeq      = 1<<3 | varint
	eventAt       = 2<<3 | varint
	eventReserved = 40<<3 | length
)

// splitReserved takes an event apart that has a Reserved and was packed by this schema. ok is false for any other.
func splitReserved(raw []byte) (seq uint64, at int64, body []byte, ok bool) {
	var value [2]uint64
	for i, tag := range [...]byte{eventSeq, eventAt} {
		if len(raw) == 0 || raw[0] != tag {
			return 0, 0, nil, false
		}
		v, n := protowire.ConsumeVarint(raw[1:])
		if n < 0 {
			return 0, 0, nil, false
		}
		value[i], raw = v, raw[1+n:]
	}
	tag, n := protowire.ConsumeVarint(raw)
	if n < 0 || tag != eventReserved {
		return 0, 0, nil, false
	}
	body, m := protowire.ConsumeBytes(raw[n:])
	return value[0], int64(value[1]), body, m >= 0 && n+m == len(raw)
}

// AppendReserved appends an event with a Reserved, of which packed are the packed bytes: what MarshalVT would give.
func AppendReserved(dst []byte, seq uint64, at int64, packed string) []byte {
	if seq != 0 {
		dst = protowire.AppendVarint(append(dst, eventSeq), seq)
	}
	if at != 0 {
		dst = protowire.AppendVarint(append(dst, eventAt), uint64(at))
	}
	dst = protowire.AppendVarint(protowire.AppendVarint(dst, eventReserved), uint64(len(packed)))
	return append(dst, packed...)
}

// SizeReserved is how many bytes AppendReserved appends.
func SizeReserved(seq uint64, at int64, packed string) int {
	n := protowire.SizeVarint(eventReserved) + protowire.SizeBytes(len(packed))
	if seq != 0 {
		n += 1 + protowire.SizeVarint(seq)
	}
	if at != 0 {
		n += 1 + protowire.SizeVarint(uint64(at))
	}
	return n
}

// read fills the room. It reports false for bytes that this schema would have packed otherwise, or has no names for.
func (l *lent) read(packed string) bool {
	r := &l.room
	*r = ReservedRoom{}
	m := &r.Fact
	l.texts = l.texts[:0]
	w := walk{rest: packed}
	ok := true
	for ok && w.next() {
		switch w.tag {
		case 1<<3 | varint:
			m.Purchase = w.number
		case 2<<3 | length:
			ok = readKey(r.Key(), w.text)
		case 3<<3 | length:
			m.Content, ok = r.hash(w.text)
		case 4<<3 | varint:
			m.Entitlement = w.number
		case 5<<3 | length:
			m.Person, ok = r.hash(w.text)
		case 6<<3 | length:
			m.Category = w.text
		case 7<<3 | length:
			m.City = w.text
		case 8<<3 | length:
			m.PayingCity = w.text
		case 9<<3 | length:
			m.Channel = w.text
		case 10<<3 | length:
			m.Barcode = w.text
		case 11<<3 | length:
			m.Serial, ok = r.hash(w.text)
		case 12<<3 | length:
			m.SerialMask = w.text
		case 13<<3 | length:
			m.Order = w.text
		case 14<<3 | varint:
			m.Price = int64(w.number)
		case 15<<3 | varint:
			m.Base = int64(w.number)
		case 16<<3 | varint:
			m.Subsidy = int64(w.number)
		case 17<<3 | varint:
			m.Payable = int64(w.number)
		case 18<<3 | length:
			ok = readPart(r.Part(), w.text)
		case 19<<3 | length:
			m.Leaf = w.text
		case 20<<3 | varint:
			m.ExpiresAt = int64(w.number)
		case 21<<3 | length:
			m.PolicyVersion = w.text
		case 22<<3 | length:
			ok = readPosition(r.Position(), w.text)
		case 23<<3 | length:
			m.LocatedCity = w.text
		case 24<<3 | length:
			m.Marks = append(m.Marks, w.text)
		case 25<<3 | varint:
			m.FromClaim = int64(w.number)
		case 26<<3 | length:
			m.Code, ok = r.hash(w.text)
		case 27<<3 | length:
			m.Components = append(m.Components, new(Component))
			ok = readComponent(m.Components[len(m.Components)-1], w.text)
		case 28<<3 | varint:
			m.ItemsBefore = uint32(w.number)
		case 29<<3 | length:
			m.Caller = w.text
		case 30<<3 | varint:
			m.Grade = uint32(w.number)
		case 31<<3 | length:
			m.Label = w.text
		case 32<<3 | length:
			l.texts = append(l.texts, w.text)
			m.Attributes = l.texts
		case 33<<3 | length:
			m.OldItem = w.text
		default:
			ok = false
		}
	}
	return ok && !w.failed
}

func readKey(m *ExchangeKey, packed string) bool {
	w := walk{rest: packed}
	for w.next() {
		switch w.tag {
		case 1<<3 | varint:
			m.Class = uint32(w.number)
		case 2<<3 | length:
			m.Terminal = w.text
		case 3<<3 | length:
			m.Merchant = w.text
		case 4<<3 | varint:
			m.Batch = uint32(w.number)
		case 5<<3 | varint:
			m.Stan = uint32(w.number)
		default:
			return false
		}
	}
	return !w.failed
}

func readPart(m *FundingPart, packed string) bool {
	w := walk{rest: packed}
	for w.next() {
		switch w.tag {
		case 1<<3 | length:
			m.Payer = w.text
		case 2<<3 | varint:
			m.Amount = int64(w.number)
		default:
			return false
		}
	}
	return !w.failed
}

func readPosition(m *Position, packed string) bool {
	w := walk{rest: packed}
	for w.next() {
		switch w.tag {
		case 1<<3 | varint:
			m.Lon = int32(protowire.DecodeZigZag(w.number & 0xFFFFFFFF))
		case 2<<3 | varint:
			m.Lat = int32(protowire.DecodeZigZag(w.number & 0xFFFFFFFF))
		case 3<<3 | varint:
			m.TakenAt = int64(w.number)
		case 4<<3 | varint:
			m.Crs = uint32(w.number)
		default:
			return false
		}
	}
	return !w.failed
}

func readComponent(m *Component, packed string) bool {
	w := walk{rest: packed}
	for w.next() {
		switch w.tag {
		case 1<<3 | length:
			m.Kind = w.text
		case 2<<3 | varint:
			m.Amount = int64(w.number)
		default:
			return false
		}
	}
	return !w.failed
}

// walk goes through the fields of a packed message, which must stand in the order of their numbers, as they are packed.
type walk struct {
	rest   string
	tag    uint64 // number and wire type of the field
	number uint64 // value of a varint …
	text   string // … or of what has a length
	failed bool
}

// next reads a field; false at the end, or when what follows is none.
func (w *walk) next() bool {
	if w.rest == "" || w.failed {
		return false
	}
	before := w.tag
	w.tag = w.varint()
	switch w.tag & 7 {
	case varint:
		w.number = w.varint()
	case length:
		n := w.varint()
		if n > uint64(len(w.rest)) {
			w.failed = true
			return false
		}
		w.text, w.rest = w.rest[:n], w.rest[n:]
	default:
		w.failed = true
	}
	w.failed = w.failed || w.tag < before
	return !w.failed
}

func (w *walk) varint() (v uint64) {
	for i := range min(len(w.rest), 10) {
		b := w.rest[i]
		if v |= uint64(b&0x7F) << (7 * i); b < 0x80 {
			w.rest = w.rest[i+1:]
			return v
		}
	}
	w.failed = true
	return 0
}
