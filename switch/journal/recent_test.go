package journal

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestABatchInAReadersHandsIsNotOverwritten(t *testing.T) {
	var r recent
	batch := func(position uint64) []byte { return bytes.Repeat([]byte{byte(position)}, shelfBytes/3) }
	r.push(1, batch(1), Hash{1})
	held := r.at(1)
	require.Equal(t, batch(1), held.raw)
	require.Equal(t, Hash{1}, held.hash)
	last := uint64(1)
	for ; last < 10*3*recentShelves; last++ {
		r.push(last+1, batch(last+1), Hash{byte(last + 1)})
	}
	require.Equal(t, batch(1), held.raw)
	require.Nil(t, r.at(1).raw, "it is no longer kept for others")
	r.done(held)
	for position := last - 3*(recentShelves-1); position <= last; position++ {
		b := r.at(position)
		require.Equal(t, batch(position), b.raw)
		require.Equal(t, Hash{byte(position)}, b.hash)
		r.done(b)
	}
	require.Nil(t, r.at(last+1).raw)
}

// What is too large for a shelf leaves a gap, and no batch is ever taken for another.
func TestRecentBatchesMayHaveGaps(t *testing.T) {
	var r recent
	for position := uint64(1); position < 100; position++ {
		raw := bytes.Repeat([]byte{byte(position)}, 100)
		if position%10 == 0 {
			raw = make([]byte, shelfBytes+1)
		}
		r.push(position, raw, Hash{})
	}
	for position := uint64(0); position < 110; position++ {
		if b := r.at(position); b.raw != nil {
			require.Equal(t, bytes.Repeat([]byte{byte(position)}, 100), b.raw)
			require.NotZero(t, position%10)
			r.done(b)
		}
	}
}

// Room for a batch costs nothing once the shelves are there, as long as nobody sits in front of one.
func TestKeepingARecentBatchAllocatesNothing(t *testing.T) {
	var r recent
	raw := make([]byte, 300_000)
	position := uint64(0)
	push := func() {
		position++
		r.push(position, raw, Hash{})
		r.done(r.at(position))
	}
	for range recentShelves * shelfBytes / len(raw) * 2 {
		push()
	}
	require.Zero(t, testing.AllocsPerRun(100, push))
}
