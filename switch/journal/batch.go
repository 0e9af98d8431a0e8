package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/encoding/protowire"

	"huanxin/switch/event"
)

// What is appended is one packed batch: a record of the log, a message of a cluster's stream. Integers are big-endian.
//
//	 0       4     6     8               16              24      28      32
//	┌───────┬─────┬─────┬───────────────┬───────────────┬───────┬───────┐
//	│"HXJB" │vers.│ 0 0 │ position      │ first seq     │ count │ body  │
//	├───────┴─────┴─────┴───────────────┴───────────────┴───────┴───────┤ 32
//	│ SHA-256 of the batch before (whole message); genesis for batch 1  │
//	├───────┬───────────────────────────────────────────────────────────┤ 64
//	│CRC-32C│ body: count × (uvarint length, protobuf Event)            │ 68
//	└───────┴───────────────────────────────────────────────────────────┘
//
// "body" at 28 is the length of the body in bytes. The CRC covers bytes 0–63 and the body. The batch's hash, which its
// successor carries, is the SHA-256 of the whole message, CRC included.
const (
	headerSize    = 68
	formatVersion = 1

	// maxPayload bounds a packed batch. One Step's events must fit one batch, because half a Step must never become
	// durable; a whole rule bundle is about 1 MiB.
	maxPayload = 16 << 20

	offVersion  = 4
	offReserved = 6
	offPosition = 8
	offFirst    = 16
	offCount    = 24
	offLength   = 28
	offPrevious = 32
	offCRC      = 64
)

var (
	batchMagic = []byte("HXJB")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

var (
	// ErrDamaged is returned when the bytes of a batch are not what was appended: wrong magic, length, CRC or an event
	// that does not decode.
	ErrDamaged = errors.New("batch damaged")
	// ErrChain is returned when a batch does not follow the one before it: wrong position, event number or hash.
	ErrChain = errors.New("chain broken")
	// ErrVersion is returned when a batch or an event was written by a newer program: replaying it without
	// understanding it would change history.
	ErrVersion = errors.New("unknown format version")
	// ErrTooLarge is returned when one Step's events do not fit one batch.
	ErrTooLarge = errors.New("batch too large")
)

// Hash is the SHA-256 of a packed batch.
type Hash [sha256.Size]byte

// Genesis is what the first batch of a programme carries as the hash of its predecessor. It ties the chain to its
// programme: a journal cannot be replayed as another's.
func Genesis(programme string) Hash {
	return sha256.Sum256([]byte("huanxin journal\x00" + programme))
}

// Batch is one batch as read back, verified against its predecessor.
type Batch struct {
	Position uint64 // 1, 2, 3 …; equals the sequence in a cluster's stream
	FirstSeq uint64 // number of the first event
	Hash     Hash
	Events   []*event.Event // nil where they are lent: then Each gives them

	lent  []byte // the packed events
	count uint32 // of them
	loan  Lender
}

// Each hands fn the events in order, until it returns an error. packed is the packed body of a Reserved that is lent, which
// fn may keep, else "". Such a Reserved is good until fn returns; every other event is fn's to keep. Where events are lent
// they are decoded here, and Each returns ErrDamaged or ErrVersion as a reader does.
func (b *Batch) Each(fn func(ev *event.Event, packed string) error) error {
	for _, ev := range b.Events {
		if err := fn(ev, ""); err != nil {
			return err
		}
	}
	if b.loan == nil {
		return nil
	}
	rest := b.lent
	for i := range b.count {
		raw, err := cutEvent(&rest, b.FirstSeq+uint64(i))
		if err != nil {
			return err
		}
		ev, packed, err := b.loan.Decode(raw)
		if err = checkEvent(ev, err, b.FirstSeq+uint64(i)); err != nil {
			return err
		}
		if err := fn(ev, packed); err != nil {
			return err
		}
	}
	return wholeBody(rest)
}

// Lender decodes events into memory that it uses again: an event.Loan, or an event.Shelf.
type Lender interface {
	Decode(raw []byte) (ev *event.Event, packed string, err error)
}

// Mark returns the batch's place in the chain.
func (b *Batch) Mark(name string) Mark {
	return Mark{Name: name, Position: b.Position, Hash: b.Hash}
}

// Draft is a batch being packed. It is filled while the draft before it is in flight and reused after its own append;
// the zero Draft is empty and ready.
type Draft struct {
	buf   []byte // headerSize bytes of room, then the body
	first uint64
	count uint32
}

// Reset empties the draft and keeps its memory.
func (d *Draft) Reset() {
	if cap(d.buf) < headerSize {
		d.buf = make([]byte, headerSize, 64<<10)
	}
	d.buf, d.first, d.count = d.buf[:headerSize], 0, 0
}

// Add packs events behind those already in the draft. The events are copied: they may change afterwards. Their numbers
// must continue the draft's; a gap is a broken invariant of the engine and returned as ErrChain.
func (d *Draft) Add(events ...*event.Event) error {
	for _, ev := range events {
		if err := d.add(ev, ""); err != nil {
			return err
		}
	}
	return nil
}

// AddPacked is Add for events of which those that are Reserved have been packed already: packed are their bodies, "" for
// others.
func (d *Draft) AddPacked(events []*event.Event, packed []string) error {
	for i, ev := range events {
		if err := d.add(ev, packed[i]); err != nil {
			return err
		}
	}
	return nil
}

func (d *Draft) add(ev *event.Event, packed string) error {
	if len(d.buf) < headerSize {
		d.Reset()
	}
	if d.count == 0 {
		d.first = ev.Seq
	} else if ev.Seq != d.first+uint64(d.count) {
		return fmt.Errorf("%w: event %d follows event %d", ErrChain, ev.Seq, d.first+uint64(d.count)-1)
	}
	if packed != "" {
		d.buf = protowire.AppendVarint(d.buf, uint64(event.SizeReserved(ev.Seq, ev.At, packed)))
		d.buf = event.AppendReserved(d.buf, ev.Seq, ev.At, packed)
		d.count++
		return nil
	}
	size := ev.SizeVT()
	d.buf = protowire.AppendVarint(d.buf, uint64(size))
	at := len(d.buf)
	d.buf = append(d.buf, make([]byte, size)...)
	if n, err := ev.MarshalToSizedBufferVT(d.buf[at : at+size]); err != nil {
		return fmt.Errorf("pack event %d: %w", ev.Seq, err)
	} else if n != size {
		return fmt.Errorf("pack event %d: %d bytes written, %d announced", ev.Seq, n, size)
	}
	d.count++
	return nil
}

// Empty says that the draft holds no event.
func (d *Draft) Empty() bool { return d.count == 0 }

// Count is the number of events packed so far.
func (d *Draft) Count() int { return int(d.count) }

// Last is the number of the last event; of an empty draft it says nothing.
func (d *Draft) Last() uint64 { return d.first + uint64(d.count) - 1 }

// Size is the number of bytes that the packed batch will take.
func (d *Draft) Size() int { return max(len(d.buf), headerSize) }

// seal writes the header and returns the message and its hash.
func (d *Draft) seal(position uint64, previous Hash) ([]byte, Hash) {
	h := d.buf[:headerSize]
	copy(h, batchMagic)
	binary.BigEndian.PutUint16(h[offVersion:], formatVersion)
	binary.BigEndian.PutUint16(h[offReserved:], 0)
	binary.BigEndian.PutUint64(h[offPosition:], position)
	binary.BigEndian.PutUint64(h[offFirst:], d.first)
	binary.BigEndian.PutUint32(h[offCount:], d.count)
	binary.BigEndian.PutUint32(h[offLength:], uint32(len(d.buf)-headerSize))
	copy(h[offPrevious:], previous[:])
	binary.BigEndian.PutUint32(h[offCRC:], checksum(d.buf))
	return d.buf, sha256.Sum256(d.buf)
}

func checksum(raw []byte) uint32 {
	return crc32.Update(crc32.Checksum(raw[:offCRC], castagnoli), castagnoli, raw[headerSize:])
}

// header is a batch's fixed part.
type header struct {
	position uint64
	first    uint64
	count    uint32
	previous Hash
}

// parseHeader checks everything that can be checked of one batch alone without decoding its events.
func parseHeader(raw []byte) (header, error) {
	if len(raw) < headerSize {
		return header{}, fmt.Errorf("%w: %d bytes, a header has %d", ErrDamaged, len(raw), headerSize)
	}
	if !bytes.Equal(raw[:offVersion], batchMagic) {
		return header{}, fmt.Errorf("%w: magic %x", ErrDamaged, raw[:offVersion])
	}
	if v := binary.BigEndian.Uint16(raw[offVersion:]); v != formatVersion {
		return header{}, fmt.Errorf("%w: batch format %d, this program reads %d", ErrVersion, v, formatVersion)
	}
	if n := binary.BigEndian.Uint32(raw[offLength:]); uint64(n) != uint64(len(raw)-headerSize) {
		return header{}, fmt.Errorf("%w: body of %d bytes announced, %d present", ErrDamaged, n, len(raw)-headerSize)
	}
	if want, got := binary.BigEndian.Uint32(raw[offCRC:]), checksum(raw); want != got {
		return header{}, fmt.Errorf("%w: CRC %08x, computed %08x", ErrDamaged, want, got)
	}
	h := header{
		position: binary.BigEndian.Uint64(raw[offPosition:]),
		first:    binary.BigEndian.Uint64(raw[offFirst:]),
		count:    binary.BigEndian.Uint32(raw[offCount:]),
		previous: Hash(raw[offPrevious:offCRC]),
	}
	if h.count == 0 || h.first == 0 {
		return header{}, fmt.Errorf("%w: %d events from %d", ErrDamaged, h.count, h.first)
	}
	return h, nil
}

// decodeEvents unpacks the body of a batch whose header has been checked.
func decodeEvents(h header, body []byte) ([]*event.Event, error) {
	// The count was covered by the CRC, but a batch forged by hand must not make us allocate: an event has at least
	// two bytes of its own and one of length.
	if uint64(h.count)*3 > uint64(len(body)) {
		return nil, fmt.Errorf("%w: %d events in %d bytes", ErrDamaged, h.count, len(body))
	}
	events := make([]*event.Event, h.count)
	for i := range events {
		raw, err := cutEvent(&body, h.first+uint64(i))
		if err != nil {
			return nil, err
		}
		events[i] = new(event.Event)
		if err := checkEvent(events[i], events[i].UnmarshalVT(raw), h.first+uint64(i)); err != nil {
			return nil, err
		}
	}
	return events, wholeBody(body)
}

// cutEvent takes the first of the packed events off.
func cutEvent(body *[]byte, seq uint64) ([]byte, error) {
	size, n := protowire.ConsumeVarint(*body)
	if n < 0 || size > uint64(len(*body)-n) {
		return nil, fmt.Errorf("%w: length of event %d", ErrDamaged, seq)
	}
	raw := (*body)[n : n+int(size)]
	*body = (*body)[n+int(size):]
	return raw, nil
}

// checkEvent says whether what was decoded, or not, is the event that belongs there.
func checkEvent(ev *event.Event, err error, seq uint64) error {
	switch {
	case err != nil:
		return fmt.Errorf("%w: event %d: %w", ErrDamaged, seq, err)
	case ev.Seq != seq:
		return fmt.Errorf("%w: event %d where %d belongs", ErrDamaged, ev.Seq, seq)
	case ev.Body == nil:
		return fmt.Errorf("%w: event %d has no body that this program knows", ErrVersion, ev.Seq)
	}
	return nil
}

func wholeBody(rest []byte) error {
	if len(rest) != 0 {
		return fmt.Errorf("%w: %d bytes behind the last event", ErrDamaged, len(rest))
	}
	return nil
}

// link is the end of a verified chain: what the next batch must follow.
type link struct {
	position uint64
	hash     Hash
	nextSeq  uint64
}

func genesisLink(programme string) link {
	return link{hash: Genesis(programme), nextSeq: 1}
}

// follow checks that raw is the successor of l and returns the new end.
func (l link) follow(raw []byte) (link, header, error) {
	h, err := l.successor(raw)
	if err != nil {
		return l, h, err
	}
	return l.after(h, sha256.Sum256(raw)), h, nil
}

// successor reads the header of raw and checks that it names l as what comes before.
func (l link) successor(raw []byte) (header, error) {
	h, err := parseHeader(raw)
	if err != nil {
		return h, err
	}
	return h, l.joins(h)
}

// joins checks that a batch names l as what comes before it.
func (l link) joins(h header) error {
	switch {
	case h.position != l.position+1:
		return fmt.Errorf("%w: position %d follows %d", ErrChain, h.position, l.position)
	case h.previous != l.hash:
		return fmt.Errorf("%w: names %x as its predecessor, which is %x", ErrChain, h.previous[:8], l.hash[:8])
	case h.first != l.nextSeq:
		return fmt.Errorf("%w: first event %d, expected %d", ErrChain, h.first, l.nextSeq)
	}
	return nil
}

// after is the end of the chain behind a batch that follows l.
func (l link) after(h header, hash Hash) link {
	return link{position: h.position, hash: hash, nextSeq: h.first + uint64(h.count)}
}

// batch is follow with the events decoded, or lent.
func (l link) batch(raw []byte, loan *event.Loan) (link, *Batch, error) {
	next, h, err := l.follow(raw)
	if err != nil {
		return l, nil, err
	}
	return l.decoded(next, h, raw, loan)
}

// recentBatch is batch for one whose hash is known: what this process has appended itself.
func (l link) recentBatch(r recentBatch, loan *event.Loan) (link, *Batch, error) {
	h, err := l.successor(r.raw)
	if err != nil {
		return l, nil, err
	}
	return l.decoded(l.after(h, r.hash), h, r.raw, loan)
}

func (l link) decoded(next link, h header, raw []byte, loan *event.Loan) (link, *Batch, error) {
	b := &Batch{Position: h.position, FirstSeq: h.first, Hash: next.hash}
	if loan != nil {
		b.lent, b.count, b.loan = raw[headerSize:], h.count, loan
		return next, b, nil
	}
	var err error
	if b.Events, err = decodeEvents(h, raw[headerSize:]); err != nil {
		return l, nil, err
	}
	return next, b, nil
}
