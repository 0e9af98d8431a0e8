package flat

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARecordStaysWhereItIs(t *testing.T) {
	var s Slab[[3]uint32]
	require.Panics(t, func() { s.At(0) })
	first := (*[3]uint32)(nil)
	for i := range 3*chunk + 1 {
		require.Equal(t, i, s.Add([3]uint32{uint32(i)}))
		if i == 0 {
			first = s.At(0)
		}
	}
	require.Equal(t, 3*chunk+1, s.Len())
	first[1] = 7
	require.Equal(t, [3]uint32{0, 7}, *s.At(0))
	for i := range s.Len() {
		require.Equal(t, uint32(i), s.At(i)[0])
	}
	require.Panics(t, func() { s.At(s.Len()) }, "a record that is not there, in a chunk that is")
	require.Panics(t, func() { s.At(-1) })
}
