package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever enters, wakes and leaves, hot says what is there as a map would.
func TestHotHasWhatHasEnteredAndNotLeft(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	h := hot{pages: map[uint64]*hotPage{}}
	there := map[uint64]bool{} // awake
	facts := map[uint64]string{}
	next := uint64(1)
	for range 20_000 {
		ids := slices.Collect(maps.Keys(there))
		switch some := len(ids) > 0; {
		case some && random.IntN(3) == 0:
			id := ids[random.IntN(len(ids))]
			if !there[id] {
				h.wake(&purchase{id: id})
				there[id] = true
				continue
			}
			h.remove(id)
			delete(there, id)
		case random.IntN(2) == 0:
			h.put(&purchase{id: next})
			there[next] = true
			next++
		default:
			facts[next] = fmt.Sprint("fact ", next)
			r := resting{at: int64(next), fact: h.facts.Add(facts[next]), size: uint32(len(facts[next]))}
			h.lay(next, r)
			there[next] = false
			next += 1 + random.Uint64N(300)
		}
		if len(there) > 700 {
			for id, awake := range there {
				if awake {
					h.remove(id)
					delete(there, id)
				}
			}
		}
	}
	require.Equal(t, len(there), h.len())
	seen := 0
	for id, p := range h.all() {
		awake, ok := there[id]
		require.True(t, ok && h.has(id))
		require.Equal(t, awake, p != nil && p.id == id && h.get(id) == p)
		r, rests := h.rested(id)
		require.Equal(t, !awake, rests)
		if rests {
			require.Equal(t, facts[id], h.packed(r))
		}
		seen++
	}
	require.Equal(t, len(there), seen)
	require.False(t, h.has(next))
}

// A damaged state may have a reserve without a fact. It must not rest, for then nothing would be there.
func TestAReserveWithoutAFactDoesNotRest(t *testing.T) {
	s := newPurchases(nil)
	require.False(t, s.canRest(&purchase{id: 1, state: Reserved, reserved: &reservation{}}))
}
