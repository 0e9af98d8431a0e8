package engine_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
)

// stored is a state with the cold log that it refers to.
type stored struct {
	cfg   engine.Config
	state []byte
}

// storedStates are what is kept at the end of stories that leave something in every part of a state.
func storedStates(t testing.TB) (list []stored) {
	for _, name := range []string{
		"old-purchase-is-as-good-as-new", "settlement-unequal-is-uploaded-record-by-record", "stopped-and-suspended",
		"reversal-is-dead-at-the-clearing-cut-off", "host-gives-back-another-amount", "http-try-commit-refund", "claims",
	} {
		text, err := os.ReadFile(filepath.Join("testdata", "transcripts", name+".txt"))
		require.NoError(t, err)
		for _, wait := range []int64{0, atOnce} {
			l := newCoolingLab(t, wait)
			play(t, l, string(text))
			list = append(list, stored{l.cfg, []byte(stateOf(t, l.live))})
		}
	}
	return list
}

// readDamaged reads what may be no state any more: it is refused, or as good as any other.
func readDamaged(t testing.TB, cfg engine.Config, state []byte) {
	e, err := engine.ReadState(cfg, bytes.NewReader(state))
	if err != nil {
		require.ErrorIs(t, err, engine.ErrState)
		return
	}
	require.NoError(t, e.CheckInvariants())
	require.NoError(t, e.WriteState(&bytes.Buffer{}))
}

// A start takes the state before one that is damaged, so damage must come back as an error: never as a panic, nor as a
// length that nobody has the memory for.
func TestADamagedStateIsAnErrorAndAsksForNoMemory(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0x7f} // the largest length that is read
	for i, s := range storedStates(t) {
		_, err := engine.ReadState(s.cfg, bytes.NewReader(s.state))
		require.NoError(t, err)
		begin := bytes.LastIndex(s.state, []byte("versions:")) // what comes before are the rules, mostly
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n := 0
		for at := begin + i; at < len(s.state); at += 13 {
			with := [][]byte{{s.state[at] ^ 1}, huge, {s.state[at] ^ 0x80}, {}}[n%4]
			readDamaged(t, s.cfg, slices.Concat(s.state[:at], with, s.state[at+1:]))
			n++
		}
		readDamaged(t, s.cfg, s.state[:begin+len(s.state)%100])
		readDamaged(t, s.cfg, append(bytes.Clone(s.state), 0))
		runtime.ReadMemStats(&after)
		require.Less(t, (after.TotalAlloc-before.TotalAlloc)/uint64(n), uint64(16<<20), "bytes for one reading")
	}
}

func FuzzReadState(f *testing.F) {
	states := storedStates(f)
	for i, s := range states {
		f.Add(uint8(i), uint32(len(s.state)/2), uint8(1), []byte{0xff, 0xff, 0xff, 0x7f})
	}
	f.Fuzz(func(t *testing.T, which uint8, at uint32, cut uint8, with []byte) {
		s := states[int(which)%len(states)]
		from := int(at) % (len(s.state) + 1)
		readDamaged(t, s.cfg, slices.Concat(s.state[:from], with, s.state[min(from+int(cut), len(s.state)):]))
	})
}
