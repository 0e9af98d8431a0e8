package flat

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// pair is what an Index and its reference, a map, hold of one entry.
type pair struct{ hash, ref uint32 }

// sound requires that every entry can be reached and that nothing else is there.
func sound(t require.TestingT, x *Index, want map[pair]bool) {
	require.Equal(t, len(want), x.Len())
	n := 0
	for i := range x.shards {
		s := &x.shards[i]
		var last entry
		require.Equal(t, int(s.n), count(s))
		for at, e := range s.entries {
			if e == gap {
				continue
			}
			n++
			if !want[pair{e.hash(), e.ref()}] || i != x.shardOf(e.hash()) || n > 1 && last >= e || s.home(e.hash()) > at {
				require.Fail(t, "misplaced", "%x at %d of shard %d after %x", uint64(e), at, i, uint64(last))
			}
			for back := at; back > s.home(e.hash()) && s.entries[back-1] == gap; back-- {
				require.Fail(t, "gap between home and entry")
			}
			last = e
		}
	}
	require.Equal(t, len(want), n)
}

func count(s *shard) (n int) {
	for _, e := range s.entries {
		if e != gap {
			n++
		}
	}
	return n
}

func (x *Index) has(p pair) bool {
	_, ok := x.Find(p.hash, func(ref uint32) bool { return ref == p.ref })
	return ok
}

// TestIndexAgreesWithAMap adds and removes under few and many hashes, and looks for what is there and what is not.
func TestIndexAgreesWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x Index
		if rapid.Bool().Draw(t, "presized") {
			x.Reserve(rapid.IntRange(0, 5000).Draw(t, "room"))
		}
		want := map[pair]bool{}
		spread := rapid.SampledFrom([]uint32{1, 7, 1 << 10, 1<<32 - 1}).Draw(t, "spread")
		burst := rapid.SampledFrom([]int{1, 40}).Draw(t, "burst")
		if spread > 7 && rapid.IntRange(0, 9).Draw(t, "large") == 0 {
			burst = 1500 // several shards
		}
		counter := rapid.Uint32().Draw(t, "first")
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			for range burst {
				counter++
				p := pair{Mix(uint64(counter)) % spread, counter % (uint32(burst) * 40)}
				switch {
				case !want[p]:
					if x.has(p) || x.Remove(p.hash, p.ref) {
						require.Fail(t, "found what was never added")
					}
					x.Add(p.hash, p.ref)
					want[p] = true
				case counter%3 == 0:
					require.Panics(t, func() { x.Add(p.hash, p.ref) })
				default:
					if !x.Remove(p.hash, p.ref) {
						require.Fail(t, "lost")
					}
					delete(want, p)
				}
			}
			for p := range want {
				require.True(t, x.has(p))
				if rapid.IntRange(0, 3).Draw(t, "remove") > 0 {
					require.True(t, x.Remove(p.hash, p.ref))
					delete(want, p)
				}
				break
			}
		}
		for p := range want {
			if !x.has(p) {
				require.Fail(t, "lost")
			}
		}
		sound(t, &x, want)
	})
}

// TestAddingAllIsAddingOneByOne also leaves references out, and finds the keys that are there twice.
func TestAddingAllIsAddingOneByOne(t *testing.T) {
	for _, n := range []int{0, 1, 700, 5000, batch + 1000} {
		keys := make([]uint32, n)
		for i := range keys {
			keys[i] = Mix(uint64(i))
		}
		var all Index
		all.AddAll(n, func(ref uint32) (uint32, bool) { return keys[ref], ref%3 != 1 })
		want := map[pair]bool{}
		for ref, hash := range keys {
			if ref%3 != 1 {
				want[pair{hash, uint32(ref)}] = true
			}
		}
		sound(t, &all, want)
		_, _, found := all.Twins(func(a, b uint32) bool { return a == b })
		require.False(t, found)
		if n >= 5000 {
			all.Add(keys[3], 4)
			all.Add(keys[3], 1)
			a, b, found := all.Twins(func(a, b uint32) bool { return a+b == 7 })
			require.True(t, found)
			require.Equal(t, []uint32{3, 4}, []uint32{a, b})
			require.Equal(t, len(want)+2, all.Len())
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte("aabbccddeeffgghh"), uint32(1))
	f.Add([]byte{0, 0, 0, 0, 255, 255, 255, 255, 1, 0, 1, 0}, uint32(0xffff_ffff))
	f.Fuzz(func(t *testing.T, data []byte, stride uint32) {
		var x Index
		want := map[pair]bool{}
		for ; len(data) >= 2; data = data[2:] {
			v := uint32(binary.LittleEndian.Uint16(data))
			p := pair{v * stride, v % 97}
			if want[p] {
				require.True(t, x.Remove(p.hash, p.ref))
				delete(want, p)
			} else {
				x.Add(p.hash, p.ref)
				want[p] = true
			}
			require.Equal(t, want[p], x.has(p))
		}
		sound(t, &x, want)
	})
}

func TestAReferenceMayBeAnythingButTheLast(t *testing.T) {
	var x Index
	x.Add(0, 0)
	x.Add(0, MaxRef)
	x.Add(1<<32-1, 0)
	x.Add(1<<32-1, MaxRef)
	require.Panics(t, func() { x.Add(5, MaxRef+1) })
	for _, p := range []pair{{0, 0}, {0, MaxRef}, {1<<32 - 1, 0}, {1<<32 - 1, MaxRef}} {
		require.True(t, x.has(p))
	}
	require.False(t, x.has(pair{1, 0}))
	require.Equal(t, 4, x.Len())
}

// TestGrowthMovesFewEntries is why there are shards: the dearest call on a table of a million moves about two thousand
// entries.
func TestGrowthMovesFewEntries(t *testing.T) {
	const n = 300_000
	var grown, presized Index
	presized.Reserve(n)
	before := len(presized.shards)
	for i := range uint32(n) {
		grown.Add(Mix(uint64(i)), i)
		presized.Add(Mix(uint64(i)), i)
	}
	require.Len(t, presized.shards, before, "a presized index does not split")
	for _, x := range []*Index{&grown, &presized} {
		largest, bytes := 0, 0
		for i := range x.shards {
			largest = max(largest, int(x.shards[i].n))
			bytes += cap(x.shards[i].entries) * 8
		}
		require.Less(t, largest, 2500)
		require.Less(t, float64(bytes)/n, 11.0, "bytes per entry")
		for i := range uint32(n) {
			if !x.has(pair{Mix(uint64(i)), i}) {
				t.Fatal(i, "is lost")
			}
		}
	}
	levels := 1 << (bits.Len(uint(len(grown.shards))) - 1)
	t.Logf("%d shards, %d of them split", len(grown.shards), len(grown.shards)-levels)
}

// key16 is a key as the core has them: a keyed hash of something.
func key16(i int) (k [16]byte) {
	binary.LittleEndian.PutUint64(k[:8], uint64(i)*0x9e3779b97f4a7c15)
	binary.LittleEndian.PutUint64(k[8:], uint64(i)*0xd6e8feb86659fd93)
	return k
}

func BenchmarkTable(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		keys := make([][16]byte, n)
		for i := range keys {
			keys[i] = key16(i)
		}
		var x Index
		var records Slab[[16]byte]
		add := func(i int) { x.Add(Fold(keys[i]), uint32(records.Add(keys[i]))) }
		find := func(k [16]byte) bool {
			_, ok := x.Find(Fold(k), func(ref uint32) bool { return *records.At(int(ref)) == k })
			return ok
		}
		m := map[[16]byte]uint32{}
		type table struct {
			name  string
			empty func()
			add   func(i int)
			find  func(k [16]byte) bool
		}
		for _, c := range []table{
			{"flat", func() { x, records = Index{}, Slab[[16]byte]{} }, add, find},
			{"map", func() { m = map[[16]byte]uint32{} }, func(i int) { m[keys[i]] = uint32(i) },
				func(k [16]byte) bool { _, ok := m[k]; return ok }},
		} {
			b.Run(fmt.Sprintf("add/%s/%d", c.name, n), func(b *testing.B) {
				var before, after runtime.MemStats
				c.empty()
				runtime.GC()
				runtime.ReadMemStats(&before)
				b.ResetTimer()
				for i := range b.N {
					if i%n == 0 {
						c.empty()
					}
					c.add(i % n)
				}
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64((b.N-1)%n+1), "B/row")
				for i := (b.N-1)%n + 1; i < n; i++ {
					c.add(i)
				}
			})
			b.Run(fmt.Sprintf("hit/%s/%d", c.name, n), func(b *testing.B) {
				for i := range b.N {
					if !c.find(keys[uint32(i)*2654435761%uint32(n)]) {
						b.Fatal("not found")
					}
				}
			})
			b.Run(fmt.Sprintf("miss/%s/%d", c.name, n), func(b *testing.B) {
				for i := range b.N {
					if c.find(key16(n + i)) {
						b.Fatal("found")
					}
				}
			})
		}
	}
}
