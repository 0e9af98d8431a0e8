package subsidy

import (
	"bytes"
	"fmt"
	"slices"

	"huanxin/internal/money"
)

// Writer takes the state of a book value by value. The engine's snapshot implements it.
type Writer interface {
	Uint(uint64)
	Int(int64)
	Bool(bool)
	Text(string)
	Hash(Hash)
}

// Reader gives back what a Writer took, in the same order. After the first failure every call returns a zero value; the
// caller asks for the error at the end. Len reads a count, 0 after a failure.
type Reader interface {
	Uint() uint64
	Int() int64
	Bool() bool
	Text() string
	Hash() Hash
	Len() int
}

// WriteState writes the book. Equal books write equal bytes: nothing depends on the order of a map.
func (b *Book) WriteState(w Writer) {
	b.Budget.writeState(w)
	writeTexts(w, b.names)
	writeTexts(w, b.categories)
	w.Uint(uint64(len(b.people)))
	for i := range b.people {
		p := &b.people[i]
		w.Hash(p.hash)
		w.Uint(p.categories)
		for c := range b.categories {
			if p.categories>>c&1 == 0 {
				continue
			}
			u := b.usage[usageKey{uint32(i), Category(c)}]
			w.Uint(uint64(u.items))
			w.Uint(uint64(u.claims))
			w.Uint(uint64(u.live))
			w.Int(int64(u.subsidy))
		}
	}
	w.Uint(uint64(len(b.entitlements)))
	for i := range b.entitlements {
		e := &b.entitlements[i]
		w.Uint(uint64(e.Person))
		w.Uint(uint64(e.Category))
		w.Uint(uint64(e.Channel))
		w.Uint(uint64(e.City))
		w.Uint(uint64(e.Version))
		w.Uint(uint64(e.State))
		w.Int(e.ClaimedAt)
		w.Int(e.ExpiresAt)
		w.Int(int64(e.Reserved))
		w.Int(int64(e.Leaf))
		w.Uint(e.Purchase)
	}
	b.writeCodes(w)
	b.writeSerials(w)
	w.Uint(uint64(b.openHolds))
}

func (b *Book) writeCodes(w Writer) {
	w.Uint(uint64(b.shown.Len()))
	for _, s := range b.shown.All() {
		c := b.codes[s.hash]
		w.Hash(s.hash)
		w.Int(s.expiresAt)
		w.Uint(c.entitlement)
		w.Bool(c.spent)
		w.Bool(c.position.Given)
		w.Int(int64(c.position.Lon))
		w.Int(int64(c.position.Lat))
		w.Int(c.position.TakenAt)
		w.Uint(uint64(c.position.CRS))
	}
}

func (b *Book) writeSerials(w Writer) {
	serials := make([]Hash, 0, len(b.serials))
	for s := range b.serials {
		serials = append(serials, s)
	}
	slices.SortFunc(serials, func(a, b Hash) int { return bytes.Compare(a[:], b[:]) })
	w.Uint(uint64(len(serials)))
	for _, s := range serials {
		w.Hash(s)
		w.Uint(b.serials[s])
	}
}

func writeTexts(w Writer, texts []string) {
	w.Uint(uint64(len(texts)))
	for _, s := range texts {
		w.Text(s)
	}
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
		b.byName[s] = Code(len(b.names))
		b.names = append(b.names, s)
	}
	for range r.Len() {
		b.internCategory(r.Text())
	}
	if err := b.readPeople(r); err != nil {
		return nil, err
	}
	n := r.Len()
	b.entitlements = make([]Entitlement, 0, n)
	for i := range n {
		e := Entitlement{
			ID: uint64(i) + 1, Person: uint32(r.Uint()), Category: Category(r.Uint()), Channel: Code(r.Uint()),
			City: Code(r.Uint()), Version: Code(r.Uint()), State: State(r.Uint()), ClaimedAt: r.Int(), ExpiresAt: r.Int(),
			Reserved: money.Amount(r.Int()), Leaf: NodeID(r.Int()), Purchase: r.Uint(),
		}
		if int(e.Person) >= len(b.people) || int(e.Category) >= len(b.categories) || int(e.Leaf) >= b.Budget.Len() ||
			int(max(e.Channel, e.City, e.Version)) >= len(b.names) {
			return nil, fmt.Errorf("entitlement %d points outside the tables", e.ID)
		}
		b.entitlements = append(b.entitlements, e)
	}
	b.readCodes(r)
	for range r.Len() {
		s := r.Hash()
		b.serials[s] = r.Uint()
	}
	b.openHolds = int(r.Uint())
	return b, nil
}

func (b *Book) readPeople(r Reader) error {
	n := r.Len()
	b.people = make([]person, 0, n)
	b.persons = make(map[Hash]uint32, n)
	for i := range n {
		p := person{hash: r.Hash(), categories: r.Uint()}
		if p.categories>>len(b.categories) != 0 {
			return fmt.Errorf("person %d has a category that the book does not", i)
		}
		b.persons[p.hash] = uint32(i)
		b.people = append(b.people, p)
		for c := range b.categories {
			if p.categories>>c&1 == 1 {
				b.usage[usageKey{uint32(i), Category(c)}] = usage{
					items: uint16(r.Uint()), claims: uint16(r.Uint()), live: uint16(r.Uint()), subsidy: money.Amount(r.Int()),
				}
			}
		}
	}
	return nil
}

func (b *Book) readCodes(r Reader) {
	for range r.Len() {
		h, expiresAt := r.Hash(), r.Int()
		b.shown.Push(shownCode{h, expiresAt})
		b.codes[h] = code{expiresAt: expiresAt, entitlement: r.Uint(), spent: r.Bool(), position: CodePosition{
			Given: r.Bool(), Lon: int32(r.Int()), Lat: int32(r.Int()), TakenAt: r.Int(), CRS: uint8(r.Uint()),
		}}
	}
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
