package year

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/subsidy"
	"huanxin/subsidy/catalogue"
	"huanxin/switch/engine"
	"huanxin/switch/journal"
	"huanxin/switch/keys"
)

func small(t *testing.T) Config {
	return Config{
		Dir: filepath.Join(t.TempDir(), "year"), Persons: 1000, Merchants: 12, Terminals: 40, Products: 200, Days: 20, Tail: 500,
	}
}

// replayed is the state of a folder as a start of the switch finds it.
func replayed(t *testing.T, dir string) (*engine.Engine, *journal.Journal) {
	t.Helper()
	cfg, err := engineConfig()
	require.NoError(t, err)
	j, err := journal.Open(t.Context(), journal.Config{Programme: "liaoning-2025", Dir: filepath.Join(dir, "journal")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close()) })
	var eng *engine.Engine
	snap, ok := j.Snapshots().Load(func(_ journal.Snapshot, r io.Reader) error {
		eng, err = engine.ReadState(cfg, r)
		return err
	})
	require.True(t, ok)
	require.NoError(t, j.Replay(t.Context(), snap.Position+1, func(b *journal.Batch) error {
		for _, ev := range b.Events {
			eng.Apply(ev)
		}
		return nil
	}))
	require.NoError(t, eng.CheckInvariants())
	return eng, j
}

func TestAYearIsWhatItsManifestSaysAndIsMadeOnce(t *testing.T) {
	cfg := small(t)
	m, err := Make(t.Context(), cfg)
	require.NoError(t, err)
	require.Equal(t, 1005, m.Purchases)
	require.GreaterOrEqual(t, m.Tail, uint64(500))
	require.Less(t, m.Tail, uint64(1000))

	again, err := Make(t.Context(), cfg)
	require.NoError(t, err)
	require.Equal(t, m, again)

	eng, j := replayed(t, cfg.Dir)
	require.Equal(t, m.Events, eng.Seq())
	require.Equal(t, m.Batches, j.Position())
	used := 0
	for id := uint64(1); id < eng.Book().NextEntitlement(); id++ {
		if en, ok := eng.Book().Entitlement(id); ok && en.State == subsidy.Used {
			used++
		}
	}
	require.Positive(t, m.Refunds)
	require.GreaterOrEqual(t, used, cfg.Persons)
	require.Less(t, used, m.Purchases, "what is refunded is free again the next day")
	set, err := keys.Load(filepath.Join(cfg.Dir, "keys", "keys.yaml"))
	require.NoError(t, err)
	out := eng.Step(engine.Input{At: m.Until.UnixNano(), Body: &engine.TakeOwnership{
		Owner: "test", Programme: "liaoning-2025", PersonKeyCheck: set.PersonKeyCheck(),
	}})
	for _, s := range out.Sends {
		require.Empty(t, s.Admin.Problems, "the keys are those of the journal")
	}

	cfg.Persons++
	_, err = Make(t.Context(), cfg)
	require.NoError(t, err)
	kept, err := read(cfg.Dir)
	require.NoError(t, err)
	require.NotEqual(t, m.Key, kept.Key, "another year takes its place")
}

func TestAYearThatIsInterruptedIsNone(t *testing.T) {
	cfg := small(t)
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Log = func(string, ...any) { cancel() }
	_, err := Make(ctx, cfg)
	require.ErrorIs(t, err, context.Canceled)
	require.NoDirExists(t, cfg.Dir)
	require.ErrorContains(t, Clone(cfg.Dir, t.TempDir()), "no year")
}

func TestWhatIsAppendedToACloneIsNotInTheYear(t *testing.T) {
	cfg := small(t)
	m, err := Make(t.Context(), cfg)
	require.NoError(t, err)
	before := contents(t, cfg.Dir)
	dir := filepath.Join(t.TempDir(), "clone")
	require.NoError(t, Clone(cfg.Dir, dir))

	eng, j := replayed(t, dir)
	require.Equal(t, m.Events, eng.Seq())
	var draft journal.Draft
	require.NoError(t, draft.Add(eng.Step(engine.Input{At: m.Until.UnixNano(), Body: &engine.SignOnRequest{
		Terminal: [8]byte([]byte("Y0000000")), Merchant: [15]byte([]byte("897210157220000")),
	}}).Events...))
	_, err = j.Append(t.Context(), &draft)
	require.NoError(t, err)
	require.NoError(t, j.Snapshots().Save(journal.Snapshot{Position: j.Position(), Seq: eng.Seq()}, eng.WriteState))
	require.Equal(t, before, contents(t, cfg.Dir))
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.Walk(dir, func(name string, info os.FileInfo, err error) error {
		require.NoError(t, err)
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			all[name] = string(text)
		}
		return nil
	}))
	return all
}

func TestTheWavesOfAPlanCoverEveryPurchaseOnceWithATerminalForEach(t *testing.T) {
	today := time.Date(2026, 3, 1, 15, 0, 0, 0, china)
	for _, cfg := range []Config{
		{Persons: 1, Terminals: 1, Days: 1, Tail: 1}, {Persons: 777, Terminals: 5, Days: 3, Tail: 10}, {Persons: 30_000, Terminals: 50_000, Days: 7, Tail: 1000},
		{Persons: 9_999, Terminals: 100, Days: 1, Tail: 1_000_000},
	} {
		p := newPlan(cfg, today)
		var last time.Time
		for first := 0; first < p.purchases; {
			n := p.waveAt(first)
			require.Positive(t, n)
			require.True(t, p.at(first).After(last), "waves come one after the other")
			last = p.at(first)
			require.Equal(t, p.day(first), p.day(first+n-1), "a wave belongs to one day")
			taken := map[int]bool{}
			for i := first; i < first+n; i++ {
				terminal := p.terminal(i)
				require.False(t, taken[terminal], "a terminal does one purchase at a time")
				require.Less(t, terminal, cfg.Terminals)
				taken[terminal] = true
			}
			first += n
		}
		require.True(t, last.Before(today))
		require.Less(t, p.snapshot, p.purchases)
	}
}

func TestBarcodesOfAYearAreOnes(t *testing.T) {
	for _, n := range []int{0, 1, 499_999, 123_456_789} {
		require.NoError(t, catalogue.CheckGTIN(gtin(n)))
	}
}
