package coldlog_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/bench/seed"
	"huanxin/internal/bench/year"
	"huanxin/risk/geo"
	"huanxin/switch/engine"
	"huanxin/switch/journal"
)

// recovered is the state that a start of the switch comes to, by the snapshots that can be used and the events after them.
type recovered struct {
	state    []byte
	snapshot bool
	sound    error // of a read of every cold purchase
}

func restart(t *testing.T, province *geo.Map, dir string) recovered {
	t.Helper()
	j, err := journal.Open(context.Background(), journal.Config{Programme: "liaoning-2025", Dir: filepath.Join(dir, "journal"), MinFree: -1})
	require.NoError(t, err)
	defer func() { require.NoError(t, j.Close()) }()
	cfg := engine.Config{Map: province, Hosts: map[string]engine.HostProfile{"unionpay": {}}, Cold: j.Cold()}
	var eng *engine.Engine
	snap, ok := j.Snapshots().Load(func(_ journal.Snapshot, r io.Reader) (err error) {
		eng, err = engine.ReadState(cfg, r)
		return err
	})
	if !ok {
		eng, err = engine.New(cfg)
		require.NoError(t, err)
	}
	require.NoError(t, j.Replay(context.Background(), snap.Position+1, func(b *journal.Batch) error {
		for _, ev := range b.Events {
			eng.Apply(ev)
		}
		return nil
	}))
	require.NoError(t, eng.CheckInvariants())
	var state bytes.Buffer
	require.NoError(t, eng.WriteState(&state))
	return recovered{state.Bytes(), ok, eng.CheckCold()}
}

// Whatever becomes of the log, a start comes to the same state, from a snapshot or from the journal alone, and makes the log
// anew as it was. Only a record damaged inside stays unseen until it is asked for, and is then not taken for another.
func TestAStartComesToTheSameStateWhateverBecomesOfTheLog(t *testing.T) {
	province, err := geo.Load(geo.LiaoningGeoJSON)
	require.NoError(t, err)
	cfg := year.Config{
		Dir: filepath.Join(t.TempDir(), "year"), Persons: 400, Terminals: year.FirstTerminal + 20, Products: 50, Days: 12, Tail: 300,
	}
	_, err = year.Make(t.Context(), cfg)
	require.NoError(t, err)
	whole, err := os.ReadFile(filepath.Join(cfg.Dir, "journal", "cold", "000000.cold"))
	require.NoError(t, err)
	require.Greater(t, len(whole), 100_000)

	want := restart(t, province, cfg.Dir)
	require.True(t, want.snapshot)
	require.NoError(t, want.sound)
	written := func(b []byte) func(t *testing.T, name string) {
		return func(t *testing.T, name string) { require.NoError(t, os.WriteFile(name, b, 0o600)) }
	}
	flipped := bytes.Clone(whole)
	flipped[len(whole)/4] ^= 1
	for _, c := range []struct {
		name            string
		harm            func(t *testing.T, name string)
		snapshot, sound bool
	}{
		{"nothing", func(*testing.T, string) {}, true, true},
		{"missing", func(t *testing.T, name string) { require.NoError(t, os.Remove(name)) }, false, true},
		{"the folder is missing", func(t *testing.T, name string) { require.NoError(t, os.RemoveAll(filepath.Dir(name))) }, false, true},
		{"cut", written(whole[:len(whole)/10]), false, true},
		{"empty", written(nil), false, true},
		{"torn behind what the snapshot refers to", written(whole[:len(whole)-3]), true, true},
		{"of another version", written(append([]byte("HXCL\xff\xff\xff\xff"), whole[8:]...)), false, true},
		{"longer than a former run had made durable", written(append(bytes.Clone(whole), make([]byte, 5000)...)), true, true},
		{"a byte has flipped", written(flipped), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			require.NoError(t, seed.Place(cfg.Dir, dir))
			name := filepath.Join(dir, "journal", "cold", "000000.cold")
			c.harm(t, name)
			got := restart(t, province, dir)
			require.Equal(t, c.snapshot, got.snapshot)
			require.True(t, bytes.Equal(want.state, got.state))
			require.Equal(t, c.sound, got.sound == nil, "%v", got.sound)
			if !c.sound {
				require.ErrorContains(t, got.sound, "damaged record")
				return
			}
			made, err := os.ReadFile(name)
			require.NoError(t, err)
			require.True(t, bytes.HasPrefix(made, whole))
		})
	}
}

// The owner has read the newest snapshot, and a moment later its follower cannot: it begins with an older one, or with nothing,
// and writes long before the owner has anything to write.
func TestAFollowerMayBeginWithAnOlderStateThanItsOwner(t *testing.T) {
	province, err := geo.Load(geo.LiaoningGeoJSON)
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "year")
	_, err = year.Make(t.Context(), year.Config{Dir: dir, Persons: 400, Terminals: year.FirstTerminal + 20, Products: 50, Days: 12, Tail: 300})
	require.NoError(t, err)
	j, err := journal.Open(t.Context(), journal.Config{Programme: "liaoning-2025", Dir: filepath.Join(dir, "journal"), MinFree: -1})
	require.NoError(t, err)
	defer func() { require.NoError(t, j.Close()) }()
	cfg := engine.Config{Map: province, Hosts: map[string]engine.HostProfile{"unionpay": {}}, Cold: j.Cold()}
	var owner *engine.Engine
	snap, ok := j.Snapshots().Load(func(_ journal.Snapshot, r io.Reader) (err error) {
		owner, err = engine.ReadState(cfg, r)
		return err
	})
	require.True(t, ok)
	owner.Step(engine.Input{Body: &engine.EchoRequest{Token: 1}})
	follower, err := engine.New(cfg)
	require.NoError(t, err)
	looks := 0
	require.NoError(t, j.Replay(t.Context(), 1, func(b *journal.Batch) error {
		for _, ev := range b.Events {
			follower.Apply(ev)
			if b.Position > snap.Position {
				owner.Apply(ev)
			}
			if follower.Seq()%(snap.Seq/20) == 0 {
				looks++
				require.NoError(t, owner.CheckCold(), "the owner reads on")
			}
		}
		return nil
	}))
	require.GreaterOrEqual(t, looks, 20)
	require.NoError(t, owner.CheckCold())
	require.NoError(t, follower.CheckCold())
	require.Equal(t, owner.Seq(), follower.Seq())
}
