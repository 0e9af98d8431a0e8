//go:build !race

package keys

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// Under the race detector pools drop items on purpose, so the count is taken without it.
func TestContentAllocatesNothing(t *testing.T) {
	h := testSet(t).Hasher()
	pan, amount, long := []byte("6224240000000017"), []byte("000000000001"), bytes.Repeat([]byte("x"), 600)
	require.Zero(t, testing.AllocsPerRun(1000, func() { h.Content(pan, amount, nil, long) }))
	require.Zero(t, testing.AllocsPerRun(1000, func() { h.Card(pan) }))
	require.Zero(t, testing.AllocsPerRun(1000, func() { h.Serial(pan) }))
}

func TestSealingACardAllocatesWhatTheEventKeeps(t *testing.T) {
	v, r := testVault(t, testSet(t)), testRecord()
	require.LessOrEqual(t, testing.AllocsPerRun(1000, func() { _, _ = v.SealCard(&r) }), 5.0, "card, token with envelope, mask")
}
