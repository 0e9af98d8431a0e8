package year

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/internal/bench/seed"
	"huanxin/subsidy"
)

func small(t *testing.T) Config {
	return Config{
		Dir: filepath.Join(t.TempDir(), "year"), Persons: 1000, Terminals: FirstTerminal + 40, Products: 200, Days: 20, Tail: 500,
	}
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

	dir := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, seed.Place(cfg.Dir, dir))
	s, err := seed.Resume(t.Context(), dir)
	require.NoError(t, err)
	eng := s.Engine()
	require.NoError(t, eng.CheckInvariants())
	require.Greater(t, eng.Seq(), m.Events)
	used := 0
	for id := uint64(1); id < eng.Book().NextEntitlement(); id++ {
		if en, ok := eng.Book().Entitlement(id); ok && en.State == subsidy.Used {
			used++
		}
	}
	require.Positive(t, m.Refunds)
	require.GreaterOrEqual(t, used, cfg.Persons)
	require.Less(t, used, m.Purchases, "what is refunded is free again the next day")
	require.NoError(t, s.Crowd(10), "others can claim after it")
	require.NoError(t, s.Close())

	cfg.Persons++
	_, err = Make(t.Context(), cfg)
	require.NoError(t, err)
	kept, err := Read(cfg.Dir)
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
}

func TestTheWavesOfAPlanCoverEveryPurchaseOnceWithATerminalForEach(t *testing.T) {
	today := time.Date(2026, 3, 1, 15, 0, 0, 0, china)
	for _, cfg := range []Config{
		{Persons: 1, Terminals: FirstTerminal + 1, Days: 1, Tail: 1}, {Persons: 777, Terminals: FirstTerminal + 5, Days: 3, Tail: 10}, {Persons: 30_000, Terminals: 50_000, Days: 7, Tail: 1000},
		{Persons: 9_999, Terminals: FirstTerminal + 100, Days: 1, Tail: 1_000_000},
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
