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
