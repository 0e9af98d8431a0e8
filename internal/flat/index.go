package flat

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Index finds the references of records by a 32-bit hash of their key. It keeps no keys: the caller says which of the
// few references with the right hash is the one. An entry takes about ten bytes.
//
// It is linear hashing over small shards. The low bits of the hash choose the shard, and shards are split one at a time,
// in their order, as entries come in, so that a shard holds 512 to 2048 of them however many there are. Inside a shard
// an entry lies at or soon after the place that its high bits name, all in ascending order: a search for what is absent
// ends as early as one for what is there, and a removal closes the gap instead of leaving a mark.
//
// Hashes must be spread evenly: those of secret-keyed hashes are, others go through Mix or Fold. Whoever could choose
// many keys of one hash would make calls on that hash slow, never wrong. What the core indexes are keyed hashes of what
// people choose, and numbers that the switch itself gives.
type Index struct {
	shards []shard
	n      int
}

// MaxRef is the largest reference that an Index takes.
const MaxRef = math.MaxUint32 - 1

const (
	perShard = 1024 // entries, on average, above which one shard is split
	// A shard gets 9 places for 7 entries and grows when more than 7 of 8 are taken.
	roomEntries, roomPlaces = 7, 9
	fullEntries, fullPlaces = 7, 8
)

// Mix spreads a number, such as an id, over a hash.
func Mix(v uint64) uint32 {
	v ^= v >> 32
	v *= 0xd6e8feb86659fd93
	v ^= v >> 32
	v *= 0xd6e8feb86659fd93
	return uint32(v >> 32)
}

// Fold makes a hash of 16 bytes.
func Fold(b [16]byte) uint32 {
	return Mix(binary.LittleEndian.Uint64(b[:8]) ^ binary.LittleEndian.Uint64(b[8:])*0x9e3779b97f4a7c15)
}

// Len is the number of entries.
func (x *Index) Len() int { return x.n }

// Reserve makes room in an empty index for n entries to come, so that adding them moves nothing.
func (x *Index) Reserve(n int) {
	if x.n != 0 {
		panic(fmt.Sprintf("reserve on an index of %d", x.n))
	}
	x.shards = make([]shard, max(1, (n+perShard-1)/perShard))
	levels := 1
	for levels*2 <= len(x.shards) {
		levels *= 2
	}
	for i := range x.shards {
		share := n / levels
		if i >= levels || i+levels < len(x.shards) { // split already, or born of a split
			share /= 2
		}
		x.shards[i].makeRoom(share)
	}
}

// Find asks same about the references added under hash, until it says yes. same must not change the index.
func (x *Index) Find(hash uint32, same func(ref uint32) bool) (ref uint32, ok bool) {
	if x.n == 0 {
		return 0, false
	}
	s := &x.shards[x.shardOf(hash)]
	for i := s.search(makeEntry(hash, 0)); i < len(s.entries); i++ {
		e := s.entries[i]
		if e == gap || e.hash() != hash {
			break
		}
		if same(e.ref()) {
			return e.ref(), true
		}
	}
	return 0, false
}

// Add puts a reference under a hash. The caller has seen that its key is not there; the same reference twice under one
// hash is a broken invariant.
func (x *Index) Add(hash, ref uint32) {
	if ref > MaxRef {
		panic(fmt.Sprintf("reference %d is too large for an index", ref))
	}
	if len(x.shards) == 0 {
		x.Reserve(0)
	}
	x.shards[x.shardOf(hash)].add(makeEntry(hash, ref))
	if x.n++; x.n > len(x.shards)*perShard {
		x.split()
	}
}

// batch is how many entries AddAll sorts at a time.
const batch = 1 << 20

// AddAll puts the references 0 … n−1 into an empty index, but those that hash leaves out. It goes from shard to shard,
// so that each is near at hand when its entries come: ten million one by one mean as many waits for memory. Whether two
// of them have one key is for Twins to say.
func (x *Index) AddAll(n int, hash func(ref uint32) (hash uint32, ok bool)) {
	count := 0
	for ref := range uint32(n) {
		if _, ok := hash(ref); ok {
			count++
		}
	}
	x.Reserve(count)
	list := make([]entry, 0, min(count, batch))
	sorted := make([]entry, cap(list))
	ends := make([]uint32, len(x.shards)+1)
	flush := func() {
		clear(ends)
		for _, e := range list {
			ends[x.shardOf(e.hash())+1]++
		}
		for i := range x.shards {
			ends[i+1] += ends[i]
		}
		for _, e := range list {
			at := &ends[x.shardOf(e.hash())]
			sorted[*at] = e
			*at++
		}
		for _, e := range sorted[:len(list)] {
			x.shards[x.shardOf(e.hash())].add(e)
		}
		x.n += len(list)
		list = list[:0]
	}
	for ref := range uint32(n) {
		if h, ok := hash(ref); ok {
			list = append(list, makeEntry(h, ref))
		}
		if len(list) == batch {
			flush()
		}
	}
	flush()
}

// Twins looks for two references of one key. same is asked about references of one hash only.
func (x *Index) Twins(same func(a, b uint32) bool) (a, b uint32, found bool) {
	for i := range x.shards {
		entries := x.shards[i].entries
		for at, e := range entries {
			for next := at + 1; e != gap && next < len(entries) && entries[next] != gap && entries[next].hash() == e.hash(); next++ {
				if same(e.ref(), entries[next].ref()) {
					return e.ref(), entries[next].ref(), true
				}
			}
		}
	}
	return 0, 0, false
}

// Remove takes a reference away that was added under hash. It reports whether it was there.
func (x *Index) Remove(hash, ref uint32) bool {
	if x.n == 0 || !x.shards[x.shardOf(hash)].remove(makeEntry(hash, ref)) {
		return false
	}
	x.n--
	return true
}

// shardOf reads as many low bits as number the shards; a shard that is not born yet is still part of its parent.
func (x *Index) shardOf(hash uint32) int {
	mask := uint32(1)<<bits.Len(uint(len(x.shards)-1)) - 1
	if i := int(hash & mask); i < len(x.shards) {
		return i
	}
	return int(hash & (mask >> 1))
}

// split divides the oldest shard of its size by one more bit of the hash.
func (x *Index) split() {
	bit := uint32(1) << (bits.Len(uint(len(x.shards))) - 1)
	parent := &x.shards[len(x.shards)-int(bit)]
	var low, high shard
	stay := 0
	for _, e := range parent.entries {
		if e != gap && e.hash()&bit == 0 {
			stay++
		}
	}
	low.makeRoom(stay)
	high.makeRoom(int(parent.n) - stay)
	lowEnd, highEnd := 0, 0
	for _, e := range parent.entries {
		switch {
		case e == gap:
		case e.hash()&bit == 0:
			lowEnd = low.place(e, lowEnd)
		default:
			highEnd = high.place(e, highEnd)
		}
	}
	*parent = low
	x.shards = append(x.shards, high)
}

// entry is a hash in its high half and a reference in its low half.
type entry uint64

// gap is no entry, since its reference is too large, and comes after every other.
const gap entry = math.MaxUint64

func makeEntry(hash, ref uint32) entry { return entry(hash)<<32 | entry(ref) }

func (e entry) hash() uint32 { return uint32(e >> 32) }

func (e entry) ref() uint32 { return uint32(e) }

// shard is a table of entries in ascending order, with gaps. No gap lies between an entry's home and the
// entry. Entries pushed beyond the last home lie in the tail of the slice, which grows as it must.
type shard struct {
	entries []entry
	homes   uint32
	n       uint32
}

func (s *shard) home(hash uint32) int { return int(uint64(hash) * uint64(s.homes) >> 32) }

// makeRoom gives an empty shard places for n entries. It takes what the allocator rounds up to.
func (s *shard) makeRoom(n int) {
	homes := n*roomPlaces/roomEntries + 4
	tail := homes/64 + 4
	s.entries = slices.Grow([]entry(nil), homes+tail)
	s.entries = s.entries[:cap(s.entries)]
	for i := range s.entries {
		s.entries[i] = gap
	}
	s.homes = uint32(len(s.entries) - tail)
}

func (s *shard) add(e entry) {
	if (s.n+1)*fullPlaces > s.homes*fullEntries {
		old := *s
		*s = shard{}
		s.makeRoom(int(old.n) + 1)
		end := 0
		for _, o := range old.entries {
			if o != gap {
				end = s.place(o, end)
			}
		}
	}
	s.insert(e)
}

// place puts e, which comes after everything that is there, at its home or at end, where that ends. It returns the end
// behind e.
func (s *shard) place(e entry, end int) int {
	i := max(s.home(e.hash()), end)
	if i == len(s.entries) {
		s.entries = append(s.entries, gap)
	}
	s.entries[i] = e
	s.n++
	return i + 1
}

// search returns the place of the first entry from e on, or of the gap where e would stand.
func (s *shard) search(e entry) int {
	i := s.home(e.hash())
	for i < len(s.entries) && s.entries[i] < e {
		i++
	}
	return i
}

// insert moves what follows e up to the next gap on by one.
func (s *shard) insert(e entry) {
	i := s.search(e)
	if i < len(s.entries) && s.entries[i] == e {
		panic(fmt.Sprintf("reference %d is in the index already", e.ref()))
	}
	end := i
	for end < len(s.entries) && s.entries[end] != gap {
		end++
	}
	if end == len(s.entries) {
		s.entries = append(s.entries, gap)
	}
	copy(s.entries[i+1:end+1], s.entries[i:end])
	s.entries[i] = e
	s.n++
}

// remove closes the gap it makes with the entries that are not at home.
func (s *shard) remove(e entry) bool {
	i := s.search(e)
	if i == len(s.entries) || s.entries[i] != e {
		return false
	}
	end := i + 1
	for end < len(s.entries) && s.entries[end] != gap && s.home(s.entries[end].hash()) < end {
		end++
	}
	copy(s.entries[i:end-1], s.entries[i+1:end])
	s.entries[end-1] = gap
	s.n--
	return true
}
