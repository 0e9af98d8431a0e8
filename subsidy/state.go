package subsidy

import (
	"encoding/binary"
	"errors"
	"fmt"

	"huanxin/internal/flat"
	"huanxin/internal/money"
)

// Writer takes the state of a book value by value. The engine's snapshot implements it.
type Writer interface {
	Uint(uint64)
	Int(int64)
	Bool(bool)
	Text(string)
	// Bytes takes a block of rows, at most 8 MiB, and does not keep it.
	Bytes(block []byte)
}

// Reader gives back what a Writer took, in the same order. After the first failure every call returns a zero value; the
// caller asks for the error at the end. Len reads a count, 0 after a failure.
type Reader interface {
	Uint() uint64
	Int() int64
	Bool() bool
	Text() string
	Len() int
	// Block reads what Bytes took into scratch, or into something larger, and returns it.
	Block(scratch []byte) []byte
}

// blockRows is how many rows of a large table make one block. Rows are written as differences to the row before, so a
// block stands for itself.
const blockRows = 4096

var errBlock = errors.New("a block of rows is damaged")

// WriteState writes the book. Equal books write equal bytes, whatever their history: nothing depends on the order of a
// map, on where a table has put a row or on how it has grown.
func (b *Book) WriteState(w Writer) {
	b.Budget.writeState(w)
	writeTexts(w, b.names)
	writeTexts(w, b.categories)
	w.Uint(uint64(len(b.terms)))
	for _, t := range b.terms {
		w.Int(int64(t.leaf))
		w.Uint(uint64(t.channel))
		w.Uint(uint64(t.city))
		w.Uint(uint64(t.version))
		w.Uint(uint64(t.category))
	}
	w.Uint(uint64(b.people.list.Len()))
	writeBlocks(w, b.people.list.Len(), b.people.append)
	w.Uint(uint64(b.entitlements.Len()))
	writeBlocks(w, b.entitlements.Len(), b.appendEntitlements)
	b.codes.writeState(w)
	w.Uint(uint64(b.openHolds))
}

func writeTexts(w Writer, texts []string) {
	w.Uint(uint64(len(texts)))
	for _, s := range texts {
		w.Text(s)
	}
}

// writeBlocks writes n rows in blocks; add appends rows from … to.
func writeBlocks(w Writer, n int, add func(dst []byte, from, to int) []byte) {
	var block []byte
	for from := 0; from < n; from += blockRows {
		block = add(block[:0], from, min(from+blockRows, n))
		w.Bytes(block)
	}
}

// readBlocks reads n rows; read takes those of one block.
func readBlocks(r Reader, n int, read func(in *rows, from, to int) error) error {
	var block []byte
	for from := 0; from < n; from += blockRows {
		block = r.Block(block)
		if len(block) == 0 { // the Reader has failed, and says why
			return errBlock
		}
		in := rows{rest: block}
		if err := read(&in, from, min(from+blockRows, n)); err != nil {
			return err
		}
		if in.bad || len(in.rest) != 0 {
			return errBlock
		}
	}
	return nil
}

// rows reads the values of one block. After the first failure everything is zero and bad is set.
type rows struct {
	rest []byte
	bad  bool
}

func (r *rows) uint() uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		v := r.rest[0]
		r.rest = r.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *rows) int() int64 {
	v := r.uint()
	return int64(v>>1) ^ -int64(v&1)
}

// small reads a value of at most limit.
func (r *rows) small(limit uint64) uint64 {
	v := r.uint()
	if v > limit {
		r.fail()
		return 0
	}
	return v
}

func (r *rows) hash() (h Hash) {
	if len(r.rest) < len(h) {
		r.fail()
		return h
	}
	copy(h[:], r.rest)
	r.rest = r.rest[len(h):]
	return h
}

func (r *rows) fail() { r.rest, r.bad = nil, true }

// A person is its hash and its uses, of each the category – with moreUses when another follows – and the counts.
const moreUses = 64

func (p *people) append(dst []byte, from, to int) []byte {
	for i := from; i < to; i++ {
		dst = append(dst, p.list.At(i).hash[:]...)
		for u := p.first(uint32(i)); u != nil; u = p.after(u) {
			c := byte(u.category)
			if u.next != 0 {
				c |= moreUses
			}
			dst = append(dst, c)
			dst = binary.AppendUvarint(dst, uint64(u.items))
			dst = binary.AppendUvarint(dst, uint64(u.claims))
			dst = binary.AppendUvarint(dst, uint64(u.live))
			dst = binary.AppendUvarint(dst, uint64(u.subsidy()))
		}
	}
	return dst
}

// read reads rows without indexing them: the count of a damaged state must not size a table.
func (p *people) read(in *rows, from, to, categories int) error {
	for i := from; i < to; i++ {
		one := person{hash: in.hash()}
		more := in.use(&one.use)
		last := p.first(uint32(p.list.Add(one)))
		for more {
			var u use
			more = in.use(&u)
			if u.category <= last.category {
				return fmt.Errorf("person %d: %w", i, errBlock)
			}
			last = p.appendUse(last, u)
		}
		if int(last.category) >= categories {
			return fmt.Errorf("person %d has a category that the book does not", i)
		}
	}
	return nil
}

func (r *rows) use(u *use) (more bool) {
	c := r.small(2*moreUses - 1)
	u.category = Category(c &^ moreUses)
	u.items, u.claims, u.live = uint16(r.small(1<<16-1)), uint16(r.small(1<<16-1)), uint16(r.small(1<<16-1))
	u.spend(money.Amount(r.small(1<<63 - 1)))
	return c&moreUses != 0
}

func (p *people) reindex() error {
	p.index.AddAll(p.list.Len(), func(i uint32) (uint32, bool) { return flat.Fold(p.hash(i)), true })
	if a, b, found := p.index.Twins(func(a, b uint32) bool { return p.hash(a) == p.hash(b) }); found {
		return fmt.Errorf("persons %d and %d are one", a, b)
	}
	return nil
}

// hasSerial is added to the state of an entitlement that has one.
const hasSerial = 8

// before is what the next row of a block is written as a difference to.
type before struct {
	person        uint32
	claimed, life int64
	purchase      uint64
}

// appendEntitlements writes times and numbers as differences, most of which take one or two bytes.
func (b *Book) appendEntitlements(dst []byte, from, to int) []byte {
	var last before
	for i := from; i < to; i++ {
		e := b.entitlements.At(i)
		state := byte(e.state())
		if e.serial != (Hash{}) {
			state |= hasSerial
		}
		dst = append(dst, state) // below 0x80, as a one-byte varint is
		dst = binary.AppendUvarint(dst, uint64(e.packed>>stateBits))
		dst = binary.AppendVarint(dst, int64(e.person)-int64(last.person)-1)
		dst = binary.AppendVarint(dst, e.claimedAt-last.claimed)
		life := e.expiresAt - e.claimedAt
		dst = binary.AppendVarint(dst, life-last.life)
		switch {
		case e.taken():
			dst = binary.AppendVarint(dst, int64(e.holder-last.purchase))
			last.purchase = e.holder
		case e.state() == Claimed:
			dst = binary.AppendUvarint(dst, e.holder)
		}
		if state&hasSerial != 0 {
			dst = append(dst, e.serial[:]...)
		}
		last.person, last.claimed, last.life = e.person, e.claimedAt, life
	}
	return dst
}

func (b *Book) readEntitlements(in *rows, from, to int) error {
	var last before
	for i := from; i < to; i++ {
		state := in.small(hasSerial | uint64(Returned))
		t := uint32(in.small(maxTerms - 1))
		e := record{packed: t<<stateBits | uint32(state&^hasSerial)}
		e.person = uint32(int64(last.person) + 1 + in.int())
		e.claimedAt = last.claimed + in.int()
		last.life += in.int()
		e.expiresAt = e.claimedAt + last.life
		switch {
		case e.taken():
			e.holder = last.purchase + uint64(in.int())
			last.purchase = e.holder
		case e.state() == Claimed:
			e.holder = in.uint()
		}
		if state&hasSerial != 0 {
			if e.serial = in.hash(); !e.taken() || e.serial == (Hash{}) {
				return fmt.Errorf("entitlement %d: %w", i+1, errBlock)
			}
		}
		if e.state() == 0 || e.state() > Returned || int(e.person) >= b.people.list.Len() || int(t) >= len(b.terms) {
			return fmt.Errorf("entitlement %d points outside the tables", i+1)
		}
		if b.useOf(&e) == nil {
			return fmt.Errorf("entitlement %d is of a category that its person has nothing of", i+1)
		}
		last.person, last.claimed = e.person, e.claimedAt
		b.entitlements.Add(e)
	}
	return nil
}

func (b *Book) indexSerials() error {
	serial := func(i uint32) Hash { return b.entitlements.At(int(i)).serial }
	b.serials.AddAll(b.entitlements.Len(), func(i uint32) (uint32, bool) { return flat.Fold(serial(i)), serial(i) != Hash{} })
	if i, j, found := b.serials.Twins(func(i, j uint32) bool { return serial(i) == serial(j) }); found {
		return fmt.Errorf("entitlements %d and %d have one serial", i+1, j+1)
	}
	return nil
}

func (c *codes) writeState(w Writer) {
	w.Uint(uint64(c.shown.Len()))
	first := c.shown.First()
	writeBlocks(w, c.shown.Len(), func(dst []byte, from, to int) []byte {
		for i := from; i < to; i++ {
			dst = c.shown.At(first + uint64(i)).append(dst)
		}
		return dst
	})
}

func (c *code) append(dst []byte) []byte {
	v := &c.view
	dst = append(dst, c.hash[:]...)
	dst = binary.AppendVarint(dst, v.ExpiresAt)
	dst = binary.AppendUvarint(dst, v.Entitlement)
	var flags byte
	if v.Spent {
		flags |= 1
	}
	if v.Position.Given {
		flags |= 2
	}
	dst = binary.AppendUvarint(append(dst, flags), uint64(v.Position.CRS))
	dst = binary.AppendVarint(dst, int64(v.Position.Lon))
	dst = binary.AppendVarint(dst, int64(v.Position.Lat))
	return binary.AppendVarint(dst, v.Position.TakenAt)
}

func (c *codes) read(in *rows, from, to int) error {
	for range to - from {
		one := code{hash: in.hash()}
		v := &one.view
		v.ExpiresAt, v.Entitlement = in.int(), in.uint()
		flags := in.small(3)
		v.Spent, v.Position.Given = flags&1 != 0, flags&2 != 0
		v.Position.CRS = uint8(in.small(1<<8 - 1))
		v.Position.Lon, v.Position.Lat, v.Position.TakenAt = int32(in.int()), int32(in.int()), in.int()
		if in.bad {
			return errBlock
		}
		c.show(one)
	}
	return nil
}

// ReadBook reads what WriteState wrote. It returns an error for a state whose parts contradict each other; whether the
// bytes were complete is the Reader's to say.
func ReadBook(r Reader) (*Book, error) {
	b := NewBook()
	if err := b.Budget.readState(r); err != nil {
		return nil, err
	}
	b.names = nil
	for range r.Len() {
		s := r.Text()
		if _, known := b.byName[s]; known && len(b.names) > 0 {
			return nil, fmt.Errorf("name %q stands twice", s)
		}
		b.byName[s] = Code(len(b.names))
		b.names = append(b.names, s)
	}
	for i := range min(r.Len(), MaxCategories) {
		if int(b.internCategory(r.Text())) != i {
			return nil, fmt.Errorf("category %d stands twice", i)
		}
	}
	if err := b.readTerms(r); err != nil {
		return nil, err
	}
	err := readBlocks(r, r.Len(), func(in *rows, from, to int) error { return b.people.read(in, from, to, len(b.categories)) })
	if err != nil {
		return nil, err
	}
	if err := b.people.reindex(); err != nil {
		return nil, err
	}
	if err := readBlocks(r, r.Len(), b.readEntitlements); err != nil {
		return nil, err
	}
	if err := b.indexSerials(); err != nil {
		return nil, err
	}
	if err := readBlocks(r, r.Len(), b.codes.read); err != nil {
		return nil, err
	}
	b.openHolds = int(r.Uint())
	return b, nil
}

func (b *Book) readTerms(r Reader) error {
	for i := range min(r.Len(), maxTerms) {
		leaf, channel, city, version, category := r.Int(), r.Uint(), r.Uint(), r.Uint(), r.Uint()
		names := uint64(len(b.names))
		if leaf < int64(NoNode) || leaf >= int64(b.Budget.Len()) || max(channel, city, version) >= names || category >= uint64(len(b.categories)) {
			return fmt.Errorf("terms %d of entitlements point outside the tables", i)
		}
		t := terms{NodeID(leaf), Code(channel), Code(city), Code(version), Category(category)}
		if int(b.internTerms(t)) != i {
			return fmt.Errorf("terms %d of entitlements stand twice", i)
		}
	}
	return nil
}

func (b *Budget) writeState(w Writer) {
	w.Uint(uint64(len(b.nodes)))
	for i := range b.nodes {
		n := &b.nodes[i]
		w.Text(n.path)
		w.Int(int64(n.allocated))
		w.Int(int64(n.held))
		w.Int(int64(n.spent))
		w.Int(int64(n.released))
		w.Text(n.day)
		w.Int(int64(n.manual))
		w.Bool(n.paced)
		w.Bool(n.closed)
	}
}

func (b *Budget) readState(r Reader) error {
	for range r.Len() {
		n := node{path: r.Text(), parent: NoNode, allocated: money.Amount(r.Int()), held: money.Amount(r.Int()),
			spent: money.Amount(r.Int()), released: money.Amount(r.Int()), day: r.Text(), manual: money.Amount(r.Int()), paced: r.Bool(), closed: r.Bool()}
		if _, known := b.byPath[n.path]; known && len(b.nodes) > 0 {
			return fmt.Errorf("budget node %q stands twice", n.path)
		}
		if n.path != "" {
			parent, ok := b.byPath[parentPath(n.path)]
			if !ok {
				return fmt.Errorf("budget node %q comes before its parent", n.path)
			}
			n.parent = parent
			b.nodes[parent].children++
			b.nodes[parent].assigned += n.allocated
		}
		b.byPath[n.path] = NodeID(len(b.nodes))
		b.nodes = append(b.nodes, n)
	}
	return nil
}
