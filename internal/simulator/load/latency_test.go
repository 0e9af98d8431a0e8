package load

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestEveryValueLiesInItsBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Uint64Range(0, math.MaxInt64).Draw(t, "v")
		i := bucket(v)
		require.Less(t, i, buckets)
		require.LessOrEqual(t, v, upper(i))
		if i > 0 {
			require.Greater(t, v, upper(i-1))
		}
	})
}

// Sorting is the reference: the histogram may be at most 1/128 above it, never below.
func TestPercentilesAgreeWithSorting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.OneOf(
			rapid.Int64Range(0, 1000), rapid.Int64Range(0, 1e9), rapid.Int64Range(0, math.MaxInt64/2),
		), 1, 300).Draw(t, "values")
		var whole, left, right Latencies
		for i, v := range values {
			whole.Record(time.Duration(v))
			if i%2 == 0 {
				left.Record(time.Duration(v))
			} else {
				right.Record(time.Duration(v))
			}
		}
		left.Merge(&right)
		sorted := slices.Sorted(slices.Values(values))
		for _, permille := range []int{0, 1, 500, 990, 999, 1000} {
			rank := int(math.Ceil(float64(permille) * float64(len(sorted)) / 1000))
			exact := sorted[max(rank, 1)-1]
			got := int64(whole.Percentile(permille))
			require.GreaterOrEqual(t, got, exact, "p%d", permille)
			require.LessOrEqual(t, got-exact, exact/128, "p%d", permille)
			require.Equal(t, got, int64(left.Percentile(permille)))
		}
		require.Equal(t, sorted[len(sorted)-1], int64(whole.Max()))
		require.Equal(t, uint64(len(values)), left.Count())
		require.Equal(t, whole.Max(), whole.Percentile(1000))
	})
}

func TestEmptyHistogramIsZero(t *testing.T) {
	var l Latencies
	require.Zero(t, l.Percentile(990))
	require.Zero(t, l.Mean())
	l.Record(-time.Second)
	require.Zero(t, l.Max())
	require.Equal(t, uint64(1), l.Count())
}
