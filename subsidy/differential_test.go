package subsidy

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
)

// trio is a book, a twin that is written and read again now and then, and the reference of both.
type trio struct {
	t          *rapid.T
	live, twin *Book
	reference  *reference
	holds      map[uint64]Hold // of purchases that hold or use
	used       map[uint64]bool
	purchases  uint64
	codes      int
	now        int64
}

// both does the same to the two books and to their reference.
func (w *trio) both(f func(b *Book), g func(r *reference)) {
	f(w.live)
	f(w.twin)
	g(w.reference)
}

func (w *trio) claim() {
	id := w.live.NextEntitlement()
	reserved := money.Amount(rapid.SampledFrom([]int{0, 0, 500, 900}).Draw(w.t, "reserved"))
	if w.live.Budget.Available(1) < reserved {
		return
	}
	leaf := NodeID(1)
	if reserved == 0 && rapid.Bool().Draw(w.t, "no leaf") {
		leaf = NoNode
	}
	e := Entitlement{ID: id, ClaimedAt: w.now, ExpiresAt: w.now + rapid.Int64Range(-5, 1e15).Draw(w.t, "life"), Reserved: reserved, Leaf: leaf}
	p, category := w.person(), w.category()
	city, version := rapid.SampledFrom([]string{"210100", "210200"}).Draw(w.t, "city"), rapid.SampledFrom([]string{"v1", "v2"}).Draw(w.t, "version")
	w.both(func(b *Book) { b.Claim(e, p, category, "", city, version) }, func(r *reference) { r.claim(e, p, category, "", city, version) })
}

func (w *trio) person() Hash { return Hash{byte(rapid.IntRange(1, 5).Draw(w.t, "person")), 15: 1} }

func (w *trio) category() string {
	return rapid.SampledFrom([]string{"A01", "B01", "C01", "A02", "B02"}).Draw(w.t, "category")
}

func (w *trio) anyEntitlement() (uint64, bool) {
	n := w.live.NextEntitlement() - 1
	if n == 0 {
		return 0, false
	}
	return rapid.Uint64Range(1, n).Draw(w.t, "entitlement"), true
}

func (w *trio) reserve() {
	id, ok := w.anyEntitlement()
	if !ok {
		return
	}
	e, _ := w.live.Entitlement(id)
	if e.State != Claimed {
		return
	}
	w.purchases++
	h := Hold{Purchase: w.purchases, Entitlement: id, Leaf: 1, Subsidy: money.Amount(rapid.IntRange(0, 400).Draw(w.t, "subsidy"))}
	if rapid.Bool().Draw(w.t, "code") {
		h.Code = w.code()
	}
	if serial := (Hash{7: byte(rapid.IntRange(0, 9).Draw(w.t, "serial"))}); w.live.SerialHolder(serial) == 0 {
		h.Serial = serial
	}
	switch {
	case h.Subsidy > 0 && e.Reserved >= h.Subsidy:
		h.FromClaim = h.Subsidy
	case w.live.Budget.View(1).Closed || w.live.Budget.Available(1)+e.Reserved < h.Subsidy:
		return
	}
	w.both(func(b *Book) { b.Reserve(h) }, func(r *reference) { r.reserve(h) })
	w.holds[h.Purchase] = h
}

// move does one of the things that may happen to a purchase.
func (w *trio) move() {
	if w.purchases == 0 {
		return
	}
	id := rapid.Uint64Range(1, w.purchases).Draw(w.t, "purchase")
	h, ok := w.holds[id]
	switch {
	case !ok:
	case !w.used[id] && rapid.Bool().Draw(w.t, "use"):
		w.both(func(b *Book) { b.Use(h) }, func(r *reference) { r.use(h) })
		w.used[id] = true
	case !w.used[id]:
		w.both(func(b *Book) { b.Release(h) }, func(r *reference) { r.release(h) })
		delete(w.holds, id)
	case rapid.Bool().Draw(w.t, "refund"):
		back := money.Amount(rapid.IntRange(0, int(h.Subsidy)).Draw(w.t, "back"))
		w.both(func(b *Book) { b.GiveBack(h, back) }, func(r *reference) { r.giveBack(h, back) })
		h.Subsidy -= back
		h.FromClaim = 0
		w.holds[id] = h
		if h.Subsidy == 0 {
			w.both(func(b *Book) { b.Free(h) }, func(r *reference) { r.free(h) })
			delete(w.holds, id)
		}
	default:
		w.both(func(b *Book) { b.Restore(h) }, func(r *reference) { r.restore(h) })
		delete(w.holds, id)
	}
}

func (w *trio) end() {
	id, ok := w.anyEntitlement()
	if e, _ := w.live.Entitlement(id); !ok || e.State != Claimed {
		return
	}
	var got []money.Amount
	if rapid.Bool().Draw(w.t, "expire") {
		w.both(func(b *Book) { got = append(got, b.Expire(id)) }, func(r *reference) { got = append(got, r.end(id, Expired)) })
	} else {
		w.both(func(b *Book) { got = append(got, b.Return(id)) }, func(r *reference) { got = append(got, r.end(id, Returned)) })
	}
	require.Equal(w.t, got[2], got[0])
	require.Equal(w.t, got[2], got[1])
}

func (w *trio) code() Hash { return Hash{3: byte(rapid.IntRange(0, w.codes).Draw(w.t, "code"))} }

func (w *trio) showCode() {
	id, ok := w.anyEntitlement()
	if !ok {
		return
	}
	w.codes++
	h, v := Hash{3: byte(w.codes)}, CodeView{Entitlement: id, ExpiresAt: w.now + 60e9}
	if rapid.Bool().Draw(w.t, "position") {
		v.Position = CodePosition{Given: true, Lon: 123_431_500, Lat: -41_805_700, TakenAt: w.now - 1, CRS: 2}
	}
	w.both(func(b *Book) { b.ShowCode(h, id, v.ExpiresAt, v.Position) }, func(r *reference) { r.showCode(h, v) })
}

// refused checks that what must panic does, in the book as in the reference, before anything has changed.
func (w *trio) refused() {
	id, ok := w.anyEntitlement()
	if !ok {
		return
	}
	e, _ := w.live.Entitlement(id)
	h := Hold{Purchase: w.purchases + 1, Entitlement: id, Leaf: 1, Serial: Hash{1}}
	if e.State != Claimed {
		require.Panics(w.t, func() { w.live.Reserve(h) })
		require.Panics(w.t, func() { w.reference.reserve(h) })
		require.Panics(w.t, func() { w.live.Expire(id) })
	}
	require.Panics(w.t, func() { w.live.Use(h) })
	require.Panics(w.t, func() { w.live.Release(h) })
	require.Panics(w.t, func() { w.live.Restore(h) })
	require.Panics(w.t, func() { w.live.GiveBack(h, 0) })
	require.Panics(w.t, func() { w.live.Free(h) })
	require.Panics(w.t, func() { w.live.Return(w.live.NextEntitlement()) })
	if owned, ok := w.holds[e.Purchase]; ok {
		owned.Serial = Hash{200}
		require.Panics(w.t, func() { w.live.Release(owned) }, "a hold that is not the one reserved")
	}
}

// restart replaces the twin by what it has written.
func (w *trio) restart() { w.twin = reread(w.t, w.twin) }

func (w *trio) agree() {
	var held money.Amount
	open := 0
	for id, h := range w.holds {
		if !w.used[id] {
			held += h.Subsidy
			open++
		}
	}
	for _, b := range []*Book{w.live, w.twin} {
		require.Equal(w.t, open, b.OpenHolds())
		require.Equal(w.t, uint64(len(w.reference.entitlements))+1, b.NextEntitlement())
		for i, want := range w.reference.entitlements {
			e, ok := b.Entitlement(uint64(i) + 1)
			require.True(w.t, ok)
			require.Equal(w.t, *want, referenceEntitlement{
				person: b.PersonOf(e), category: b.CategoryOf(e), channel: b.Name(e.Channel), city: b.Name(e.City), version: b.Name(e.Version),
				state: e.State, claimedAt: e.ClaimedAt, expiresAt: e.ExpiresAt, reserved: e.Reserved, leaf: e.Leaf, purchase: e.Purchase,
				serial: want.serial, subsidy: want.subsidy,
			})
			require.Equal(w.t, w.reference.holder(want.serial), b.SerialHolder(want.serial))
		}
		for p := range byte(7) {
			person := Hash{p, 15: 1}
			require.Equal(w.t, w.reference.usage(person), b.AppendUsage(nil, person))
			for _, c := range []string{"A01", "A02", "B01", "B02", "C01", "none"} {
				require.Equal(w.t, w.reference.usageOf(person, c), b.UsageOf(person, c))
			}
		}
		for c := range w.codes + 2 {
			v, ok := b.Code(Hash{3: byte(c)})
			want, known := w.reference.codes[Hash{3: byte(c)}]
			require.Equal(w.t, known, ok)
			require.Equal(w.t, want, v)
		}
		for serial := range byte(12) {
			require.Equal(w.t, w.reference.holder(Hash{7: serial}), b.SerialHolder(Hash{7: serial}))
		}
		for id := range b.Budget.Len() {
			require.Equal(w.t, w.reference.budget.View(NodeID(id)), b.Budget.View(NodeID(id)))
		}
		require.NoError(w.t, b.Check(held))
	}
}

func TestBookAgreesWithItsReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &trio{t: t, live: book(t), twin: book(t), holds: map[uint64]Hold{}, used: map[uint64]bool{}, now: 1_700_000_000_000_000_000,
			reference: &reference{budget: book(t).Budget, codes: map[Hash]CodeView{}}}
		t.Repeat(map[string]func(*rapid.T){
			"":         func(t *rapid.T) { w.t = t; w.agree() },
			"claim":    func(*rapid.T) { w.claim() },
			"reserve":  func(*rapid.T) { w.reserve() },
			"move":     func(*rapid.T) { w.move() },
			"settle":   func(*rapid.T) { w.move() },
			"end":      func(*rapid.T) { w.end() },
			"showCode": func(*rapid.T) { w.showCode() },
			"wait": func(t *rapid.T) {
				w.now += rapid.Int64Range(0, 400e9).Draw(t, "wait")
				w.both(func(b *Book) { b.ForgetCodes(w.now) }, func(r *reference) { r.forgetCodes(w.now) })
			},
			"close": func(t *rapid.T) {
				if rapid.IntRange(0, 20).Draw(t, "close") == 0 {
					w.both(func(b *Book) { b.Budget.Close(1) }, func(r *reference) { r.budget.Close(1) })
				}
			},
			"refused": func(*rapid.T) { w.refused() },
			"restart": func(*rapid.T) { w.restart() },
		})
		require.Equal(t, written(w.live), written(w.twin), "equal books write equal bytes, whatever their history")
	})
}

// stateBuffer is a Writer and a Reader as the engine's snapshot is one.
type stateBuffer struct{ out bytes.Buffer }

func (s *stateBuffer) Uint(v uint64) { s.out.Write(binary.AppendUvarint(nil, v)) }
func (s *stateBuffer) Int(v int64)   { s.out.Write(binary.AppendVarint(nil, v)) }

func (s *stateBuffer) Bool(v bool) {
	if v {
		s.Uint(1)
	} else {
		s.Uint(0)
	}
}

func (s *stateBuffer) Bytes(b []byte) {
	s.Uint(uint64(len(b)))
	s.out.Write(b)
}

func (s *stateBuffer) Text(v string) { s.Bytes([]byte(v)) }

type stateSource struct {
	in  *bytes.Reader
	err error
}

func (s *stateSource) Uint() uint64 {
	v, err := binary.ReadUvarint(s.in)
	if err != nil {
		s.err = err
		return 0
	}
	return v
}

func (s *stateSource) Int() int64 {
	v, err := binary.ReadVarint(s.in)
	if err != nil {
		s.err = err
		return 0
	}
	return v
}

func (s *stateSource) Bool() bool { return s.Uint() == 1 }

func (s *stateSource) Len() int { return int(min(s.Uint(), 1<<28)) }

func (s *stateSource) Text() string { return string(s.Block(nil)) }

func (s *stateSource) Block([]byte) []byte {
	n := s.Len()
	if n > s.in.Len() {
		s.err = io.ErrUnexpectedEOF
		return nil
	}
	b := make([]byte, n)
	_, err := io.ReadFull(s.in, b)
	if err != nil {
		s.err = err
	}
	return b
}

func written(b *Book) []byte {
	var s stateBuffer
	b.WriteState(&s)
	return s.out.Bytes()
}

func reread(t require.TestingT, b *Book) *Book {
	state := written(b)
	r := &stateSource{in: bytes.NewReader(state)}
	again, err := ReadBook(r)
	require.NoError(t, err)
	require.NoError(t, r.err)
	require.Zero(t, r.in.Len())
	require.Equal(t, state, written(again))
	return again
}
