package check_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/risk/geo"
	"huanxin/switch/check"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/ledger"
)

// story is one of a recorded history: every fact of the schema of its day, as an engine has written it.
type story struct {
	name   string
	events []*event.Event
}

// histories are the files of them, the newest last.
func histories(t testing.TB) (names []string) {
	files, err := filepath.Glob("../engine/testdata/history/*.events")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 3)
	for _, file := range files {
		names = append(names, filepath.Base(file))
	}
	return names
}

// stories reads a released history of the engine's tests.
func stories(t testing.TB, file string) (list []story) {
	raw, err := os.ReadFile("../engine/testdata/history/" + file)
	require.NoError(t, err)
	r := bytes.NewReader(raw)
	get := func() []byte {
		n, err := binary.ReadUvarint(r)
		require.NoError(t, err)
		b := make([]byte, n)
		_, err = io.ReadFull(r, b)
		require.NoError(t, err)
		return b
	}
	for r.Len() > 0 {
		s := story{name: string(get())}
		n, err := binary.ReadUvarint(r)
		require.NoError(t, err)
		for range n {
			ev := new(event.Event)
			require.NoError(t, ev.UnmarshalVT(get()))
			s.events = append(s.events, ev)
		}
		get() // balances
		list = append(list, s)
	}
	return list
}

func newEngine(t testing.TB) *engine.Engine {
	province, err := geo.Load(geo.LiaoningGeoJSON)
	require.NoError(t, err)
	e, err := engine.New(engine.Config{Map: province})
	require.NoError(t, err)
	return e
}

// Every story that the engine's transcripts tell is one to the ledger too, and after every single event the books that the
// two of them keep are the same.
func TestTheEngineAndTheLedgerKeepTheSameBooks(t *testing.T) {
	for _, file := range histories(t) {
		for _, s := range stories(t, file) {
			t.Run(file+"/"+s.name, func(t *testing.T) {
				l, e := ledger.New(), newEngine(t)
				for _, ev := range s.events {
					l.Add(ev.Seq, ev)
					e.Apply(ev)
					require.Empty(t, l.Findings())
					wrong, _ := l.Check(10)
					require.Empty(t, wrong, "event %d %T", ev.Seq, ev.Body)
					var differences []check.Difference
					require.NoError(t, check.CompareState(l, e, "state", func(d check.Difference) { differences = append(differences, d) }))
					require.Empty(t, differences, "event %d %T", ev.Seq, ev.Body)
				}
			})
		}
	}
}

// A forged journal is a journal with findings, whatever stands in it: nothing ends the reading of it.
func TestTheLedgerReadsEveryForgery(t *testing.T) {
	names := histories(t)
	draw := rand.New(rand.NewPCG(1, 2))
	forged := 0
	for _, s := range stories(t, names[len(names)-1]) {
		for at, ev := range s.events {
			raw, err := ev.MarshalVT()
			require.NoError(t, err)
			changed := bytes.Clone(raw)
			changed[draw.IntN(len(changed))] ^= byte(1 << draw.IntN(8))
			other := new(event.Event)
			if other.UnmarshalVT(changed) != nil {
				continue
			}
			forged++
			l := ledger.New()
			for i, ev := range s.events {
				if i == at {
					ev = other
				}
				l.Add(ev.Seq, ev)
			}
			l.Check(10)
		}
	}
	require.Greater(t, forged, 500)
}

func TestAPurchaseWithoutAnEntitlementIsFound(t *testing.T) {
	names := histories(t)
	found := false
	for _, s := range stories(t, names[len(names)-1]) {
		l := ledger.New()
		for _, ev := range s.events {
			if r := ev.GetReserved(); r != nil {
				r.Entitlement += 99_999
			}
			l.Add(ev.Seq, ev)
			lines, _ := l.Check(10)
			for _, line := range lines {
				found = found || strings.Contains(line, "was never claimed")
			}
		}
	}
	require.True(t, found)
}

// Whatever the state has too many, or has not, is found: each claim that one of the two has not heard of.
func TestClaimsAreComparedBothWays(t *testing.T) {
	names := histories(t)
	for _, s := range stories(t, names[len(names)-1]) {
		for i, ev := range s.events {
			m := ev.GetEntitlementClaimed()
			if m == nil {
				continue
			}
			before, after := ledger.New(), ledger.New()
			less, more := newEngine(t), newEngine(t)
			for _, ev := range s.events[:i] {
				before.Add(ev.Seq, ev)
				after.Add(ev.Seq, ev)
				less.Apply(ev)
				more.Apply(ev)
			}
			isNew := !before.Knows([16]byte(m.Person), m.Category)
			after.Add(ev.Seq, ev)
			more.Apply(ev)
			found := func(l *ledger.Ledger, e *engine.Engine) (kinds map[string]string) {
				kinds = map[string]string{}
				require.NoError(t, check.CompareState(l, e, "state", func(d check.Difference) { kinds[d.What] += d.Text }))
				return kinds
			}
			extra, missing := found(before, more), found(after, less)
			require.Contains(t, extra["entitlement"], "no event names it")
			require.Contains(t, missing["entitlement"], "is missing")
			if isNew {
				require.Contains(t, extra["person"], "no event names it")
			}
			require.NotEmpty(t, extra["person"])
			require.NotEmpty(t, missing["person"])
		}
	}
}
