package sim

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The same seed is the same history, line for line: what a failure prints can be played again.
func TestSameSeedSameHistory(t *testing.T) {
	for seed := uint64(1); seed <= 4; seed++ {
		ops := Operations(seed, 200)
		require.Equal(t, ops, Operations(seed, 200))
		first, second := Play(seed, ops, true), Play(seed, ops, true)
		require.Equal(t, first, second)
		require.Greater(t, len(first.History), 200)
	}
}

func TestAnotherSeedIsAnotherHistory(t *testing.T) {
	require.NotEqual(t, Play(1, Operations(1, 20), false).Hash, Play(2, Operations(2, 20), false).Hash)
}

// Every invariant holds in every history, and the histories hold every fault. make sim plays more of them.
func TestInvariantsHold(t *testing.T) {
	const seeds, lanes = 100, 4
	results := make([]Stats, lanes)
	t.Run("seeds", func(t *testing.T) {
		for lane := range lanes {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				for seed := uint64(lane + 1); seed <= seeds; seed += lanes {
					r := Play(seed, Operations(seed, 500), false)
					require.Nil(t, r.Failure, "seed %d; play it again: bin/sim -from %d -seeds 1", seed, seed)
					results[lane].Add(r.Stats)
				}
			})
		}
	})
	var total Stats
	for _, s := range results {
		total.Add(s)
	}
	require.Empty(t, total.Missing())
	require.Equal(t, seeds*500, total.Operations)
}

// A part of the operations can be played: that is how a failure is shrunk.
func TestAPartOfAHistoryPlays(t *testing.T) {
	ops := Operations(5, 300)
	var odd []int
	for i := 1; i < len(ops); i += 2 {
		odd = append(odd, i)
	}
	r := Play(5, Choose(ops, odd), false)
	require.Nil(t, r.Failure)
	require.Equal(t, len(odd), r.Stats.Operations)
}

func TestShrinkFindsTheFewThatBreak(t *testing.T) {
	needed := []int{17, 18, 140, 399}
	breaks := func(part []int) bool {
		for _, n := range needed {
			if !slices.Contains(part, n) {
				return false
			}
		}
		return true
	}
	require.Equal(t, needed, shrink(400, 1000, breaks))
}

// A sector that was written and not synced is there or not after a power loss; what a failed sync was about is not.
func TestPowerLossTakesWhatWasNotSynced(t *testing.T) {
	w := newWorld(1, 0, false)
	f := w.log
	_, err := f.WriteAt(slices.Repeat([]byte{1}, 4*sector), 0)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	_, err = f.WriteAt(slices.Repeat([]byte{2}, 2*sector), 0)
	require.NoError(t, err)
	f.noSync = true
	require.ErrorIs(t, f.Sync(), errInjected)
	require.NoError(t, f.Sync(), "a later sync knows nothing of it")
	require.Equal(t, 2, f.unsynced())
	_, err = f.WriteAt([]byte{3}, 3*sector)
	require.NoError(t, err)
	f.loseDirty()
	b := make([]byte, 4*sector)
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	require.Equal(t, slices.Repeat([]byte{1}, 3*sector), b[:3*sector])
	require.Contains(t, []byte{1, 3}, b[3*sector])
	require.Zero(t, f.unsynced())
}
