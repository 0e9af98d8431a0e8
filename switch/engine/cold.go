package engine

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"huanxin/internal/money"
	"huanxin/subsidy"
)

// ColdLog keeps the records of purchases that have gone cold. An engine writes each behind the one before, from offset 0
// on, and reads any of them at any time; before it decides it writes nothing there, to say how far it relies on the log. Where a record lies follows from the history, so a second engine, and one that
// replays, writes the same bytes at the same offsets; what lies behind the last record of a state means nothing to it.
//
// A log that fails, or gives back other bytes than were written, ends the process: nothing is decided about a purchase
// that cannot be read.
type ColdLog interface {
	io.ReaderAt
	io.WriterAt
}

// coolAfter is how long after its beginning a purchase is looked at for the first time, and how long it is left alone then
// if it cannot go cold. It is a constant because Apply goes by it: a replay must make cold what the live engine did.
const coolAfter = memory / 2

// maxCooled bounds the purchases that one event looks at, so that the first event after a long silence holds up nothing.
const maxCooled = 64

// maxColdOperations bounds the voids and refunds of a purchase that goes cold, so that its record stays far below
// maxRecord: a till may try a refund that its issuer declines thousands of times. One with more stays hot.
const maxColdOperations = 256

// cooling is one entry of the queue in which hot purchases wait to go cold.
type cooling struct {
	purchase uint64
	at       int64
}

// coldEntry is a purchase as read: a cold one, or one that rests.
type coldEntry struct {
	purchase   *purchase // nil when there is none
	operations []*operation
}

func (c coldEntry) operation(id uint64) *operation {
	for _, o := range c.operations {
		if o.id == id {
			return o
		}
	}
	return nil
}

// sent is the request of which is says so.
func (c coldEntry) sent(is func(request) bool) target {
	if c.purchase == nil {
		return target{}
	}
	if c.purchase.sale != nil && is(c.purchase.sale) {
		return target{purchase: c.purchase.id}
	}
	for _, o := range c.operations {
		if is(o.request()) {
			return target{purchase: c.purchase.id, operation: o.id}
		}
	}
	return target{}
}

// coldSums are what the invariants need to know of cold purchases.
type coldSums struct {
	using   int                             // that have an entitlement
	spent   map[subsidy.NodeID]money.Amount // by leaf, never zero
	ordered money.Amount                    // of it, under an order
}

func (c *coldSums) add(p *purchase, sign money.Amount) {
	if !p.live() {
		return
	}
	c.using += int(sign)
	if c.spent[p.leaf] += sign * p.subsidy; c.spent[p.leaf] == 0 {
		delete(c.spent, p.leaf)
	}
	if _, ok := p.order(); ok {
		c.ordered += sign * p.subsidy
	}
}

// cool makes cold what has been hot for long enough. It runs as part of Apply, driven by the instants of the events.
func (e *Engine) cool() {
	s := &e.purchases
	for range maxCooled {
		first, ok := s.cooling.Front()
		if !ok || first.at+s.coolAfter >= e.now {
			return
		}
		s.cooling.Pop()
		p := s.hot.get(first.purchase)
		switch {
		case p == nil && !s.rests(first.purchase): // forgotten
		case p != nil && e.coolable(p):
			e.freeze(p)
		default:
			s.cooling.Push(cooling{first.purchase, e.now})
		}
	}
}

// coolable reports whether nothing is open about a purchase. One that a terminal still has in its batch waits for the
// settlement, which reads the whole batch, but not for ever. One of which an operator may ask why it still keeps
// something stays hot.
func (e *Engine) coolable(p *purchase) bool {
	if p.id > math.MaxUint32 || !p.final() || p.isHolding() || p.proposal != nil || e.reversals[p.reversal] != nil {
		return false
	}
	// One that goes with its last key must be found for as long after its last event as a key is kept.
	if p.forgettable() && p.changed+2*e.purchases.coolAfter >= e.now || len(p.operations) > maxColdOperations {
		return false
	}
	for _, id := range p.operations {
		if o := e.purchases.operations[id]; o.isUnsettled() || o.state == opReversing {
			return false
		}
	}
	if p.sale == nil || p.overHTTP() {
		return true
	}
	key := keyOf(p.sale.Key)
	return e.session(key.Terminal).batch != key.Batch || p.sale.TransmittedAt+3*e.purchases.coolAfter < e.now
}

// freeze makes a purchase cold: from here on it is a record in the log.
func (e *Engine) freeze(p *purchase) {
	s := &e.purchases
	c := coldEntry{purchase: p}
	for _, id := range p.operations {
		c.operations = append(c.operations, s.operations[id])
	}
	s.append(s.frame.encode(c))
	s.remove(p)
	place := uint64(s.last) << 1
	if p.forgettable() {
		place |= placeForgettable
	}
	s.at.Set(p.id, place)
	if p.sale != nil {
		s.number(p.sale, p.id)
	}
	for _, o := range c.operations {
		s.number(o.request(), p.id)
		s.byOperation.Set(o.id, uint32(p.id))
	}
	s.sums.add(p, 1)
	if e.deciding { // a decision may have it in its hands, and an event to come may thaw it
		s.read[p.id] = c
	}
}

// A place in the column is the offset of the record, shifted by one bit: that is set while the purchase is one that goes
// with its last key.
const placeForgettable = 1

// append writes a record behind the last one, the first behind the preamble.
func (s *purchases) append(record []byte) {
	if s.end == 0 {
		record = slices.Concat(preamble, record)
		s.last = int64(len(preamble))
	} else {
		s.last = s.end
	}
	if _, err := s.log.WriteAt(record, s.end); err != nil {
		panic(fmt.Sprintf("cold log: write at %d: %v", s.end, err))
	}
	s.end += int64(len(record))
}

// rely tells the log that all records up to here are there. An engine that follows and had to begin with an older state then
// finds its records there and compares them; it would begin the log anew at its own place otherwise.
func (s *purchases) rely() {
	if _, err := s.log.WriteAt(nil, s.end); err != nil {
		panic(fmt.Sprintf("cold log: it is relied on up to %d: %v", s.end, err))
	}
}

// preamble begins the log: what follows is written as states of this version are.
var preamble = binary.BigEndian.AppendUint32([]byte("HXCL"), stateVersion)

// thaw makes a cold purchase hot: an event is about to change it. It returns nil when there is none.
func (e *Engine) thaw(id uint64) *purchase {
	s := &e.purchases
	c := s.look(id)
	if c.purchase == nil {
		return nil
	}
	s.leave(c)
	delete(s.read, id)
	e.enter(c)
	return c.purchase
}

// enter puts a purchase among the hot ones.
func (e *Engine) enter(c coldEntry) {
	e.add(c.purchase)
	if c.purchase.sale != nil {
		e.purchases.index(c.purchase.sale, target{purchase: c.purchase.id})
	}
	for _, o := range c.operations {
		e.purchases.addOperation(o)
	}
}

// leave takes a purchase out of the tables of the cold. Its record stays where it lies: an older state may name it.
func (s *purchases) leave(c coldEntry) {
	s.at.Set(c.purchase.id, 0)
	if c.purchase.sale != nil {
		s.unnumber(c.purchase.sale, c.purchase.id)
	}
	for _, o := range c.operations {
		s.unnumber(o.request(), c.purchase.id)
		s.byOperation.Set(o.id, 0)
	}
	s.sums.add(c.purchase, -1)
}

// look reads a cold purchase. Two looks within a Step give the same purchase, and so does the thaw that may follow: what a
// decision has in its hands is what the event changes.
func (s *purchases) look(id uint64) coldEntry {
	place := s.at.Get(id)
	if place == 0 {
		return coldEntry{}
	}
	c, ok := s.read[id]
	if !ok {
		var err error
		if c, err = s.frame.read(s.log, int64(place>>1), id); err != nil {
			panic(fmt.Sprintf("cold log: %v; the log can be removed: a start without it makes it anew from the journal", err))
		}
		s.read[id] = c
	}
	return c
}

// putAway ends what a Step has read. A map keeps the room of its largest moment, and clearing it takes as long.
func (s *purchases) putAway() {
	if len(s.read) > usuallyRead {
		s.read = map[uint64]coldEntry{}
		return
	}
	clear(s.read)
}

// usuallyRead is more purchases than a Step reads that is not a look at many.
const usuallyRead = 256

// goes reports whether a purchase goes with its last key.
func (s *purchases) goes(id uint64) bool {
	if p := s.hot.get(id); p != nil {
		return p.forgettable()
	}
	return s.at.Get(id)&placeForgettable != 0
}

// A record of the cold log. Integers are big-endian; the CRC-32C covers the id and what follows.
//
//	 0               4               8                              16
//	┌───────────────┬───────────────┬──────────────────────────────┬──────────────────────────────────┐
//	│ body length   │ CRC-32C       │ id of the purchase           │ body: purchase, operations,      │
//	└───────────────┴───────────────┴──────────────────────────────┴ as in a state of this version ───┘
const (
	recordHeader = 16
	maxRecord    = 1 << 20
	usualRecord  = 2048 // read at once; a longer one takes a second read
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errRecord is what a record is that was not written as it is read.
var errRecord = errors.New("damaged record")

// frame builds and reads records, in buffers of its own.
type frame struct {
	out bytes.Buffer
	w   *stateWriter
	in  []byte
	r   *bufio.Reader
	s   stateReader // on r
}

// encode is the record of a purchase, good until the next.
func (f *frame) encode(c coldEntry) []byte {
	if f.w == nil {
		f.w = &stateWriter{out: bufio.NewWriter(&f.out)}
	}
	f.out.Reset()
	f.out.Write(make([]byte, recordHeader))
	f.w.purchase(c.purchase)
	for _, o := range c.operations {
		f.w.operation(o)
	}
	if f.w.err == nil {
		f.w.err = f.w.out.Flush()
	}
	if f.w.err != nil || f.out.Len() > maxRecord {
		panic(fmt.Sprintf("cold log: purchase %d makes %d bytes: %v", c.purchase.id, f.out.Len(), f.w.err))
	}
	b := f.out.Bytes()
	binary.BigEndian.PutUint32(b, uint32(len(b)-recordHeader))
	binary.BigEndian.PutUint64(b[8:], c.purchase.id)
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

// read reads the record of a purchase at an offset.
func (f *frame) read(log io.ReaderAt, offset int64, id uint64) (coldEntry, error) {
	body, found, err := f.body(log, offset)
	if err == nil && found != id {
		err = fmt.Errorf("%w: it is of purchase %d", errRecord, found)
	}
	if err != nil {
		return coldEntry{}, fmt.Errorf("purchase %d at %d: %w", id, offset, err)
	}
	if f.r == nil {
		f.r = bufio.NewReaderSize(nil, 512)
	}
	f.r.Reset(bytes.NewReader(body))
	r := &f.s
	r.in, r.err = f.r, nil
	c := coldEntry{purchase: r.purchase()}
	for range c.purchase.operations {
		c.operations = append(c.operations, r.operation())
	}
	if r.err != nil {
		return coldEntry{}, fmt.Errorf("purchase %d at %d: %w: %w", id, offset, errRecord, r.err)
	}
	return c, nil
}

// body reads what is at an offset, and the purchase that it is of.
func (f *frame) body(log io.ReaderAt, offset int64) (body []byte, id uint64, err error) {
	if f.in == nil {
		f.in = make([]byte, usualRecord)
	}
	n, err := log.ReadAt(f.in[:usualRecord], offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	if n < recordHeader {
		return nil, 0, fmt.Errorf("%w: it ends after %d bytes", errRecord, n)
	}
	length := int(binary.BigEndian.Uint32(f.in)) + recordHeader
	if length > maxRecord {
		return nil, 0, fmt.Errorf("%w: a length of %d", errRecord, length)
	}
	if length > n {
		if length > len(f.in) {
			f.in = append(f.in, make([]byte, length-len(f.in))...)
		}
		if n, err = log.ReadAt(f.in[:length], offset); n < length {
			return nil, 0, fmt.Errorf("%w: it ends after %d of %d bytes: %w", errRecord, n, length, err)
		}
	}
	b := f.in[:length]
	if crc32.Checksum(b[8:], castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		return nil, 0, errRecord
	}
	return b[recordHeader:], binary.BigEndian.Uint64(b[8:]), nil
}

// memoryLog is the log of an engine that was given none: for tests, and for tools that read a journal once.
type memoryLog struct{ b []byte }

func (m *memoryLog) WriteAt(p []byte, offset int64) (int, error) {
	if offset > int64(len(m.b)) {
		return 0, fmt.Errorf("a record at %d, the log ends at %d", offset, len(m.b))
	}
	m.b = append(m.b[:offset], p...)
	return len(p), nil
}

func (m *memoryLog) ReadAt(p []byte, offset int64) (int, error) {
	if offset > int64(len(m.b)) {
		return 0, io.EOF
	}
	n := copy(p, m.b[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
