package flat

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The reference is a map; digests that crowd in one place are drawn on purpose.
func TestSumsAgreeWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sums Sums
		want := map[Digest]int64{}
		var keys []Digest
		for range rapid.IntRange(0, 400).Draw(t, "steps") {
			var d Digest
			if len(keys) > 0 && rapid.IntRange(0, 2).Draw(t, "again") == 0 {
				d = rapid.SampledFrom(keys).Draw(t, "key")
			} else {
				binary.BigEndian.PutUint64(d[:], rapid.Uint64Range(0, 3).Draw(t, "part")<<52|rapid.Uint64Range(0, 60).Draw(t, "high"))
				d[10] = rapid.Byte().Draw(t, "low")
				keys = append(keys, d)
			}
			by := rapid.Int64Range(-want[d], 1000).Draw(t, "by")
			if rapid.IntRange(0, 3).Draw(t, "gone") == 0 {
				by = -want[d]
			}
			sums.Add(d, by)
			if want[d] += by; want[d] == 0 {
				delete(want, d)
			}
		}
		require.Equal(t, len(want), sums.Len())
		for _, d := range keys {
			require.Equal(t, want[d], sums.Get(d))
		}
		var order []Digest
		for d, amount := range sums.All() {
			require.Equal(t, want[d], amount)
			order = append(order, d)
		}
		require.Len(t, order, len(want))
		var again Sums
		for k := range Parts {
			require.True(t, again.ReadPart(k, sums.AppendPart(nil, k)))
		}
		require.Equal(t, sums.Len(), again.Len())
		for d, amount := range want {
			require.Equal(t, amount, again.Get(d))
			again.Add(d, -amount)
		}
		require.Zero(t, again.Len())
		require.True(t, slices.IsSortedFunc(order, func(a, b Digest) int { return slices.Compare(a[:], b[:]) }))
	})
}

func TestSumsRefuseWhatIsNoSum(t *testing.T) {
	var sums Sums
	sums.Add(Digest{1}, MaxSum)
	require.Panics(t, func() { sums.Add(Digest{1}, 1) })
	require.Panics(t, func() { sums.Add(Digest{2}, -1) })
}

func TestWhatIsNoTableOfSumsIsRefused(t *testing.T) {
	var sums Sums
	sums.Add(Digest{0, 1}, 5)
	sums.Add(Digest{0, 2}, 5)
	b := sums.AppendPart(nil, 0)
	for name, bad := range map[string][]byte{
		"short": b[:17], "descending": slices.Concat(b[16:], b[:16]), "twice": slices.Concat(b[:16], b[:16]), "zero": make([]byte, 16),
	} {
		require.False(t, new(Sums).ReadPart(0, bad), name)
	}
	require.False(t, new(Sums).ReadPart(1, b), "of another table")
	require.False(t, sums.ReadPart(0, b), "there is something already")
}

func TestSumsStaySmall(t *testing.T) {
	var sums Sums
	const n = 200_000
	for i := range uint64(n) {
		var d Digest
		binary.BigEndian.PutUint64(d[:], i*0x9e3779b97f4a7c15)
		sums.Add(d, 1)
	}
	require.Less(t, float64(sums.Bytes())/n, 25.0, "bytes an entry")
}

func TestAColumnIsZeroWhereNothingWasSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Column[uint32]
		want := map[uint64]uint32{}
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			i := rapid.Uint64Range(0, 5*chunk).Draw(t, "place")
			v := rapid.Uint32Range(0, 3).Draw(t, "value")
			c.Set(i, v)
			if want[i] = v; v == 0 {
				delete(want, i)
			}
			require.Equal(t, want[i], c.Get(i))
		}
		require.Equal(t, len(want), c.Len())
		last := int64(-1)
		for i, v := range c.All() {
			require.Equal(t, want[i], v)
			require.Greater(t, int64(i), last)
			last = int64(i)
			delete(want, i)
		}
		require.Empty(t, want)
		require.Zero(t, c.Get(1<<40))
	})
}
