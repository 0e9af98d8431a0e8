package flat

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestQueueAgreesWithASlice also crosses chunks and reads items by their number.
func TestQueueAgreesWithASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Queue[int]
		var want []int
		pushed, popped := 0, 0
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			for range rapid.IntRange(0, 3*queueChunk/2).Draw(t, "push") {
				require.Equal(t, uint64(pushed), q.Push(pushed*3))
				want = append(want, pushed*3)
				pushed++
			}
			for range rapid.IntRange(0, len(want)).Draw(t, "pop") {
				v, ok := q.Front()
				if !ok || v != want[0] {
					require.Fail(t, "front", "%d, want %d", v, want[0])
				}
				q.Pop()
				want = want[1:]
				popped++
			}
			require.Equal(t, len(want), q.Len())
			require.Nil(t, q.At(uint64(popped-1)), "gone, or before the first")
			require.Nil(t, q.At(uint64(pushed)))
			at := popped
			for number, v := range q.All() {
				if number != uint64(at) || *v != want[at-popped] || q.At(number) != v {
					require.Fail(t, "item", "%d is %d", number, *v)
				}
				at++
			}
			require.Equal(t, pushed, at)
			require.LessOrEqual(t, len(q.chunks), len(want)/queueChunk+2, "memory follows the length")
		}
		if len(want) == 0 {
			_, ok := q.Front()
			require.False(t, ok)
			require.Panics(t, q.Pop)
		}
	})
}

// A queue whose items are found by an index goes on past any number that the index could take for a reference.
func TestAReferenceNamesAnItemHoweverManyHavePassed(t *testing.T) {
	const waiting = 5000
	for _, border := range []uint64{1 << 31, 1 << 32, 3 << 31, 1 << 33} {
		begin := border - 20*queueChunk
		q := Queue[uint64]{first: begin, head: begin, tail: begin}
		var x Index
		key := func(number uint64) uint32 { return Mix(number) }
		for i := range uint64(2*waiting + 20*queueChunk) {
			number := q.Push(begin + i)
			x.Add(key(number), q.Ref(number))
			for _, seen := range []uint64{number, q.First()} {
				ref, ok := x.Find(key(seen), func(ref uint32) bool { return *q.At(q.Number(ref)) == seen })
				if !ok || q.Number(ref) != seen {
					t.Fatalf("item %d is lost near %d", seen, border)
				}
			}
			if q.Len() > waiting {
				require.True(t, x.Remove(key(q.First()), q.Ref(q.First())))
				q.Pop()
			}
		}
		require.Greater(t, q.First(), border)
		require.Equal(t, q.Len(), x.Len())
	}
}
