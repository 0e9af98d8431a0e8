package server

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"huanxin/switch/engine"
)

func gaugesOf(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	values := map[string]float64{}
	for _, f := range families {
		if m := f.GetMetric(); len(m) == 1 && m[0].GetGauge() != nil {
			values[f.GetName()] = m[0].GetGauge().GetValue()
		}
	}
	return values
}

func TestANewDeadLetterOrWorkItemRaisesOneAlarmWithItsID(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	reg := prometheus.NewRegistry()
	recovered := engine.Vitals{
		Queued: 3, Unknown: 2, Dead: 1, WorkItems: 4, OpenHolds: 5, Pauses: 6, Kills: 7, LastDead: "R1", LastWorkItem: 9,
	}
	r := newRig(t, t.TempDir(), func(c *Config) { c.Logger, c.Metrics = zap.New(core), reg }, func(f *fakeEngine) { f.vitals = recovered })
	r.start()
	require.Zero(t, logs.Len(), "what an earlier run has announced is no news")
	require.Equal(t, 4.0, gaugesOf(t, reg)["huanxin_work_items_open"])

	r.submit(&engine.SignOffRequest{Key: engine.Key{STAN: 1}}, echo(1))
	r.await(1)
	r.submit(signOn(2), echo(3))
	r.await(2)
	r.stop()
	lines := logs.AllUntimed()
	require.Len(t, lines, 2)
	require.Contains(t, lines[0].Message, "dead letter")
	require.Equal(t, map[string]any{"id": "R2", "dead_letters": int64(2)}, lines[0].ContextMap())
	require.Contains(t, lines[1].Message, "work item")
	require.Equal(t, map[string]any{"item": uint64(10), "new": uint64(1), "open": int64(5)}, lines[1].ContextMap())

	values := gaugesOf(t, reg)
	for name, want := range map[string]float64{
		"saf_queued": 3, "saf_unknown": 2, "saf_dead_letters": 2, "work_items_open": 5, "open_holds": 5, "pauses": 6, "stopped": 7,
	} {
		require.Equal(t, want, values["huanxin_"+name], name)
	}
}

func TestAnAlarmWaitsForTheSyncOfWhatItSpeaksOf(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	r := newRig(t, t.TempDir(), func(c *Config) { c.Logger = zap.New(core) }, nil).start()
	r.j.mode.Store(int32(fails))
	r.submit(&engine.SignOffRequest{Key: engine.Key{STAN: 1}})
	require.ErrorIs(t, <-r.ended, errDisk)
	require.Zero(t, logs.Len())
	r.close()
}

func TestACrashPointIsReachedOnceAndInItsOrder(t *testing.T) {
	type stop struct {
		stage   Stage
		durable uint64
		sent    int
	}
	for stage, want := range map[Stage]stop{
		Decided: {Decided, 2, 2}, Appended: {Appended, 3, 2}, Released: {Released, 3, 3},
	} {
		point, err := ParseCrashPoint(string(stage) + " TerminalSignedOn 2")
		require.NoError(t, err)
		require.Equal(t, string(stage)+" TerminalSignedOn 2", point.String())
		var r *rig
		var reached []stop
		watch := point.Watch(func() { reached = append(reached, stop{stage, r.j.durable.Load(), len(r.seen())}) })
		r = newRig(t, t.TempDir(), func(c *Config) { c.BatchInputs, c.Point = 1, watch }, nil).start()
		r.submit(echo(1), signOn(2), echo(3))
		r.await(3) // a batch is released beside the next one's append
		r.submit(signOn(4))
		r.await(1)
		r.submit(signOn(5))
		r.await(1)
		r.stop()
		want.sent += 2 // the two echoes
		require.Equal(t, []stop{want}, reached)
	}
}

func TestACrashPointThatCouldNeverBeReachedIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "appended", "appended VoidSent", "appended VoidSent 0", "appended VoidSent -1", "appended VoidSent x", "sent VoidSent 1",
		"appended NoSuchEvent 1", "appended VoidSent 1 2", "appended  VoidSent 1", "appended VoidSent 99999999999",
	} {
		_, err := ParseCrashPoint(text)
		require.Error(t, err, text)
	}
}

func TestACrashPlaceIsReachedAtItsCount(t *testing.T) {
	point, err := ParseCrashPoint("snapshot-named 2", "snapshot-written", "snapshot-named")
	require.NoError(t, err)
	require.Equal(t, "snapshot-named 2", point.String())
	reached := 0
	watch := point.WatchPlaces(func() { reached++ })
	for i, place := range []string{"snapshot-named", "snapshot-written", "snapshot-named", "snapshot-named"} {
		watch(place)
		require.Equal(t, i >= 2, reached == 1, "after %d places", i+1)
	}
	_, err = ParseCrashPoint("snapshot-named 2", "snapshot-written")
	require.ErrorContains(t, err, "snapshot-written")
}

func FuzzParseCrashPoint(f *testing.F) {
	f.Add("appended VoidSent 3")
	f.Add("decided OwnershipTaken 1")
	f.Add("recovered 1")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseCrashPoint(text, PlaceRecovered)
		if err != nil {
			return
		}
		again, err := ParseCrashPoint(p.String(), PlaceRecovered)
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}

func TestVitalsAreOfTheLastSettledBatch(t *testing.T) {
	v := newVitals(zap.NewNop())
	v.begin(engine.Vitals{Dead: 1, LastDead: "R1"})
	v.settled(engine.Vitals{})
	require.Equal(t, engine.Vitals{}, *v.latest.Load(), "a dead letter that was resolved is gone")
}
