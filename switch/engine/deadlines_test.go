package engine

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever comes in whatever order, lanes and heap together give it back as a sorted list would.
func TestDeadlinesFireInOneOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s deadlines
		var want []deadline
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			if len(want) > 0 && rapid.IntRange(0, 2).Draw(t, "pop") == 0 {
				first, ok := s.first()
				require.True(t, ok)
				require.Equal(t, want[0], first)
				require.Equal(t, want[0], s.pop())
				want = want[1:]
				continue
			}
			d := deadline{
				at: rapid.Int64Range(0, 30).Draw(t, "at"), id: rapid.Uint64Range(1, 4).Draw(t, "id"),
				kind: deadlineKind(rapid.IntRange(1, 3).Draw(t, "kind")),
			}
			s.push(d)
			at, _ := slices.BinarySearchFunc(want, d, func(a, b deadline) int {
				if a.before(b) {
					return -1
				}
				return 1
			})
			want = slices.Insert(want, at, d)
		}
		for _, d := range want {
			require.Equal(t, d, s.pop())
		}
		_, ok := s.first()
		require.False(t, ok)
	})
}

// A million entitlements that end equally long after their claim stand in one lane.
func TestWaitsOfOneLengthNeedNoHeap(t *testing.T) {
	var s deadlines
	for i := range int64(5000) {
		for k, wait := range []int64{1_000_000, 60, 3600} {
			s.push(deadline{at: i + wait, id: uint64(i), kind: entitlementDeadline + deadlineKind(k%2)})
		}
	}
	require.Empty(t, s.rest)
	require.Len(t, s.lanes, 3)
}
