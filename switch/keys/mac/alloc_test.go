//go:build !race

package mac

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// Under the race detector pools drop items on purpose, so the count is taken without it.
func TestCodesAllocateNothing(t *testing.T) {
	data := bytes.Repeat([]byte{0x35}, 251)
	for _, test := range benchmarks {
		k := mustKey(t, Config{Algorithm: test.a}, bytes.Repeat([]byte{7}, test.size))
		dst := k.Append(nil, data)
		code := bytes.Clone(dst)
		require.Zero(t, testing.AllocsPerRun(1000, func() { dst = k.Append(dst[:0], data) }), test.name)
		require.Zero(t, testing.AllocsPerRun(1000, func() { k.Verify(data, code) }), test.name)
	}
}
