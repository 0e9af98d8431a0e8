package engine_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// An engine that is lent its facts, all in the same memory, must end where one ends that may keep them.
func TestAnEngineKeepsNothingOfALentFact(t *testing.T) {
	kept, err := engine.New(labConfig(t))
	require.NoError(t, err)
	lent, err := engine.New(labConfig(t))
	require.NoError(t, err)
	var loan event.Loan
	reserves := 0
	for _, raw := range recorded(t, 50) {
		ev := new(event.Event)
		require.NoError(t, ev.UnmarshalVT(raw))
		kept.Apply(ev)
		ev, packed, err := loan.Decode(bytes.Clone(raw))
		require.NoError(t, err)
		if packed != "" {
			reserves++
		}
		lent.ApplyPacked(ev, packed)
	}
	require.Equal(t, 50, reserves)
	require.NoError(t, lent.CheckInvariants())
	state := func(e *engine.Engine) []byte {
		var b bytes.Buffer
		require.NoError(t, e.WriteState(&b))
		return b.Bytes()
	}
	require.Equal(t, state(kept), state(lent))
}
