package flat

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
)

// Digest is the key of a sum: 88 bits of a cryptographic hash. Among a hundred million keys two are alike with a
// probability of one in 10^10.
type Digest [11]byte

// Sums adds amounts up under digests, twenty bytes or so each. Its entries lie in ascending order of their digests in
// many small tables, each with gaps: a table is copied when it is full, so growing moves a thousandth of all.
type Sums struct {
	parts [Parts]part
	n     int
}

const (
	partBits   = 10
	amountBits = 40
	// MaxSum is the largest sum that one entry holds.
	MaxSum = 1<<amountBits - 1
)

// sum is a digest of 88 bits and an amount of 40, never zero: a zero amount is a gap.
type sum struct{ high, low uint64 }

func (s sum) amount() uint64 { return s.low & MaxSum }

func (s sum) before(o sum) bool {
	return s.high < o.high || s.high == o.high && s.low>>amountBits < o.low>>amountBits
}

func (s sum) same(o sum) bool { return s.high == o.high && s.low>>amountBits == o.low>>amountBits }

func (d Digest) key() sum {
	return sum{binary.BigEndian.Uint64(d[:]), (uint64(d[8])<<16 | uint64(d[9])<<8 | uint64(d[10])) << amountBits}
}

func (s sum) digest() (d Digest) {
	binary.BigEndian.PutUint64(d[:], s.high)
	d[8], d[9], d[10] = byte(s.low>>56), byte(s.low>>48), byte(s.low>>amountBits)
	return d
}

// part is a table of sums. No gap lies between an entry's home and the entry; what is pushed beyond the last home lies in
// the tail, which grows as it must.
type part struct {
	entries []sum
	homes   uint32
	n       uint32
}

func (p *part) home(key sum) int {
	return int(uint64(uint32(key.high<<partBits>>32)) * uint64(p.homes) >> 32)
}

// search returns the place of the first entry from key on, or of the gap where it would stand.
func (p *part) search(key sum) int {
	i := p.home(key)
	for i < len(p.entries) && p.entries[i].amount() != 0 && p.entries[i].before(key) {
		i++
	}
	return i
}

func (p *part) has(i int, key sum) bool {
	return i < len(p.entries) && p.entries[i].amount() != 0 && p.entries[i].same(key)
}

// Len is the number of digests that have a sum.
func (s *Sums) Len() int { return s.n }

// Bytes is what the sums take.
func (s *Sums) Bytes() (n int) {
	for i := range s.parts {
		n += cap(s.parts[i].entries) * 16
	}
	return n + len(s.parts)*32
}

// Get is the sum under a digest, 0 for none.
func (s *Sums) Get(d Digest) int64 {
	key := d.key()
	p := &s.parts[key.high>>(64-partBits)]
	if i := p.search(key); p.has(i, key) {
		return int64(p.entries[i].amount())
	}
	return 0
}

// Add changes the sum under a digest. It must stay from 0 to MaxSum; at 0 it is gone.
func (s *Sums) Add(d Digest, by int64) {
	key := d.key()
	p := &s.parts[key.high>>(64-partBits)]
	i := p.search(key)
	was := int64(0)
	if p.has(i, key) {
		was = int64(p.entries[i].amount())
	}
	next := was + by
	switch {
	case next < 0 || next > MaxSum:
		panic(fmt.Sprintf("a sum of %d changes by %d", was, by))
	case next == was:
	case next == 0:
		p.remove(i)
		s.n--
	case was == 0:
		p.insert(key, uint64(next))
		s.n++
	default:
		p.entries[i].low = key.low | uint64(next)
	}
}

func (p *part) insert(key sum, amount uint64) {
	if (p.n+1)*8 > p.homes*7 {
		p.grow()
	}
	i := p.search(key)
	end := i
	for end < len(p.entries) && p.entries[end].amount() != 0 {
		end++
	}
	if end == len(p.entries) {
		p.entries = append(p.entries, sum{})
	}
	copy(p.entries[i+1:end+1], p.entries[i:end])
	p.entries[i] = sum{key.high, key.low | amount}
	p.n++
}

// grow makes room for a quarter more.
func (p *part) grow() {
	old := p.entries
	p.makeRoom(int(p.n))
	end := 0
	for _, s := range old {
		if s.amount() != 0 {
			end = p.place(s, end)
		}
	}
}

// makeRoom gives an empty table places for n entries and a quarter more. It takes what the allocator rounds up to.
func (p *part) makeRoom(n int) {
	const tail = 4
	p.entries = slices.Grow([]sum(nil), n*5/4+4+tail)
	p.entries = p.entries[:cap(p.entries)]
	p.homes = uint32(len(p.entries) - tail)
}

// place puts s, which comes after everything that is there, at its home or at end, where that ends. It returns the end
// behind s.
func (p *part) place(s sum, end int) int {
	i := max(p.home(s), end)
	if i == len(p.entries) {
		p.entries = append(p.entries, sum{})
	}
	p.entries[i] = s
	return i + 1
}

// remove closes the gap it makes with the entries that are not at home.
func (p *part) remove(i int) {
	end := i + 1
	for end < len(p.entries) && p.entries[end].amount() != 0 && p.home(p.entries[end]) < end {
		end++
	}
	copy(p.entries[i:end-1], p.entries[i+1:end])
	p.entries[end-1] = sum{}
	p.n--
}

// Parts is how many tables there are. They follow each other in the order of the digests.
const Parts = 1 << partBits

const sumBytes = 16

// AppendPart appends the sums of table k, 16 bytes each, in ascending order of their digests.
func (s *Sums) AppendPart(dst []byte, k int) []byte {
	for _, e := range s.parts[k].entries {
		if e.amount() != 0 {
			dst = binary.BigEndian.AppendUint64(dst, e.high)
			dst = binary.BigEndian.AppendUint64(dst, e.low)
		}
	}
	return dst
}

// ReadPart fills table k, which must be empty, with what AppendPart gave. It reports false for bytes that are no such sums.
func (s *Sums) ReadPart(k int, b []byte) bool {
	p := &s.parts[k]
	if p.n != 0 || len(b)%sumBytes != 0 {
		return false
	}
	if len(b) == 0 {
		return true
	}
	n := len(b) / sumBytes
	p.makeRoom(n)
	end := 0
	var last sum
	for i := range n {
		e := sum{binary.BigEndian.Uint64(b[i*sumBytes:]), binary.BigEndian.Uint64(b[i*sumBytes+8:])}
		if e.amount() == 0 || int(e.high>>(64-partBits)) != k || i > 0 && !last.before(e) {
			return false
		}
		end, last = p.place(e, end), e
	}
	p.n = uint32(n)
	s.n += n
	return true
}

// All gives the sums in ascending order of their digests. They must not change meanwhile.
func (s *Sums) All() iter.Seq2[Digest, int64] {
	return func(yield func(Digest, int64) bool) {
		for k := range s.parts {
			for _, e := range s.parts[k].entries {
				if e.amount() != 0 && !yield(e.digest(), int64(e.amount())) {
					return
				}
			}
		}
	}
}
