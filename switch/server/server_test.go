package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"huanxin/switch/engine"
	"huanxin/switch/journal"
)

func TestNothingLeavesBeforeItsEventsAreDurableAndOrderIsKept(t *testing.T) {
	r := newRig(t, t.TempDir(), func(c *Config) { c.CheckBatches = true; c.BatchInputs = 7 }, nil).start()
	const n = 3000
	for i := 1; i <= n; i++ {
		if i%3 == 0 {
			r.submit(echo(i))
		} else {
			r.submit(signOn(i))
		}
	}
	r.await(n)
	r.stop()
	want := []engine.Token{0}
	for i := 1; i <= n; i++ {
		want = append(want, engine.Token(i))
	}
	require.Equal(t, want, r.seen())
	require.Equal(t, 1, r.hosts)
}

func TestTheNextBatchFillsWhileOneAppendIsInFlight(t *testing.T) {
	r := newRig(t, t.TempDir(), nil, nil)
	r.j.held = make(chan struct{})
	r.start()
	r.submit(signOn(1))
	<-r.j.waiting // in flight
	for i := 2; i <= 100; i++ {
		r.submit(signOn(i))
	}
	require.Eventually(t, func() bool { return r.s.queue.len() == 0 }, time.Minute, time.Millisecond)
	require.Len(t, r.seen(), 1, "an answer left while its append was in flight")
	close(r.j.held)
	r.await(100)
	require.EqualValues(t, 3, r.j.batches.Load(), "take-over, the first, and all the others in one")
	r.stop()
}

func TestAnswerWithoutEventsWaitsForTheBatchBeforeIt(t *testing.T) {
	r := newRig(t, t.TempDir(), nil, nil)
	r.j.held = make(chan struct{})
	r.start()
	r.submit(signOn(1))
	<-r.j.waiting
	r.submit(echo(2))
	require.Eventually(t, func() bool { return r.s.queue.len() == 0 }, time.Minute, time.Millisecond)
	require.Len(t, r.seen(), 1)
	close(r.j.held)
	r.await(2)
	require.Equal(t, []engine.Token{0, 1, 2}, r.seen())
	require.EqualValues(t, 2, r.j.batches.Load(), "a batch without events is not appended")
	r.stop()
}

func TestFailedAppendStopsTheRunAndNothingLeaves(t *testing.T) {
	for mode, durable := range map[appendMode]uint64{fails: 1, worksButReportsFailure: 2} {
		dir := t.TempDir()
		r := newRig(t, dir, nil, nil).start()
		r.j.mode.Store(int32(mode))
		r.submit(signOn(1))
		require.ErrorIs(t, <-r.ended, errDisk)
		require.ErrorIs(t, r.s.Submit(signOn(2)), ErrNotRunning)
		require.Len(t, r.seen(), 1)
		r.close()

		// The restart finds what is durable – in the lost-reply case also what nobody was told of.
		r = newRig(t, dir, nil, nil).start()
		require.EqualValues(t, durable+1, r.j.durable.Load())
		require.EqualValues(t, durable, r.deciding().applied)
		r.stop()
	}
}

func TestQueueIsBoundedAndRefusesAtOnce(t *testing.T) {
	r := newRig(t, t.TempDir(), func(c *Config) { c.Queue = 8; c.BatchInputs = 4 }, nil)
	r.j.held = make(chan struct{})
	r.start()
	accepted := 0
	var err error
	for err == nil {
		if err = r.s.Submit(signOn(accepted + 1)); err == nil {
			accepted++
		}
		require.LessOrEqual(t, accepted, 8+4+4, "more was taken than queue and batches hold")
	}
	require.ErrorIs(t, err, ErrOverload)
	close(r.j.held)
	r.await(accepted)
	r.submit(echo(1))
	r.await(1)
	r.stop()
}

func TestClaimRushNeitherFillsTheQueueNorStandsBeforeTheTills(t *testing.T) {
	r := newRig(t, t.TempDir(), func(c *Config) { c.Queue = 1000; c.BatchInputs = 80 }, nil)
	r.j.held = make(chan struct{})
	r.start()
	r.submit(signOn(1))
	<-r.j.waiting
	claims := 0
	for r.s.Submit(&engine.ClaimRequest{Token: engine.Token(10_000 + claims)}) == nil {
		claims++
	}
	require.GreaterOrEqual(t, claims, 1000)
	for i := 2; i <= 5; i++ {
		r.submit(signOn(i)) // there is room, and they are decided into the batch that is being filled
	}
	require.Eventually(t, func() bool { return len(r.s.queue.others.ch) == 0 }, time.Minute, time.Millisecond)
	close(r.j.held)
	r.await(4 + 1 + claims)
	before := 0
	for _, token := range r.seen() {
		if token >= 10_000 {
			before++
		}
		if token == 5 {
			break
		}
	}
	require.LessOrEqual(t, before, 80/claimShare, "claims before the last till")
	r.stop()
}

func TestClaimsAreAnsweredWhileTillsNeverStop(t *testing.T) {
	q := newQueue(1000, Admission{}.withDefaults())
	for i := range 1000 {
		require.True(t, q.put(entry(signOn(i), 1, 1)))
		require.True(t, q.put(entry(&engine.ClaimRequest{}, 1, 1)))
	}
	require.False(t, q.put(entry(&engine.ClaimRequest{}, 1, 1)))
	w := new(work)
	for ; w.inputs < 800; w.inputs++ {
		in, ok := q.next(w, 1024)
		require.True(t, ok)
		if in.claim {
			w.claims++
		}
	}
	require.Equal(t, 100, w.claims)
}

func TestBatchEndsAtItsBounds(t *testing.T) {
	r := newRig(t, t.TempDir(), func(c *Config) { c.BatchBytes = 2000 }, nil)
	r.j.held = make(chan struct{})
	r.start()
	r.submit(signOn(1))
	<-r.j.waiting
	for range 10 { // each Step makes about 1.6 KB of events: two fill a batch, and none is split
		r.submit(&engine.SignOffRequest{Key: engine.Key{STAN: 60}})
	}
	close(r.j.held)
	r.submit(echo(2))
	r.await(2)
	require.EqualValues(t, 2+5, r.j.batches.Load())
	r.stop()
}

// The clock holds the loop until everything waits. Whether the appender is ready at the first look is the scheduler's: so it is
// tried until it was.
func TestRushIsNotDecidedInOneGoWhileTheDiskIsIdle(t *testing.T) {
	const rush = 2 * handOver
	var hold atomic.Pointer[chan struct{}]
	r := newRig(t, t.TempDir(), func(c *Config) {
		c.Clock = func() int64 {
			if gate := hold.Load(); gate != nil {
				<-*gate
			}
			return time.Now().UnixNano()
		}
	}, nil).start()
	require.Eventually(t, func() bool {
		r.j.largest.Store(0)
		gate := make(chan struct{})
		hold.Store(&gate)
		for i := range rush {
			r.submit(signOn(i))
		}
		hold.Store(nil)
		close(gate)
		r.await(rush)
		return r.j.largest.Load() == handOver
	}, time.Minute, time.Millisecond)
	r.stop()
}

func TestJournalAtItsHighWaterMarkTurnsReservesAndClaimsAwayAndNothingElse(t *testing.T) {
	r := newRig(t, t.TempDir(), nil, nil).start()
	r.j.full.Store(true)
	events := r.deciding().seq
	r.submit(&engine.ReserveRequest{Token: 1}, &engine.ReserveRequest{Token: 2, API: &engine.APIOrigin{}}, &engine.ClaimRequest{Token: 3})
	r.await(3)
	require.Equal(t, events, r.deciding().seq, "none of them costs the journal anything")
	r.submit(&engine.SaleRequest{Token: 4}, &engine.ReversalRequest{Token: 5}, signOn(6))
	r.await(3)
	r.j.full.Store(false)
	r.submit(&engine.ReserveRequest{Token: 7}, &engine.ClaimRequest{Token: 8})
	r.await(2)
	require.ElementsMatch(t, []engine.Token{0, turnedAway | 1, turnedAway | 2, turnedAway | 3, 4, 5, 6, 7, 8}, r.seen())
	require.EqualValues(t, 3, valueOf(t, r.s.metrics.full))
	r.stop()
}

func TestStopDrainsTheQueueAndSavesASnapshot(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, nil, nil)
	r.j.held = make(chan struct{})
	r.start()
	r.submit(signOn(1))
	<-r.j.waiting
	for i := 2; i <= 50; i++ {
		r.submit(signOn(i))
	}
	r.cancel()
	require.Eventually(t, func() bool { return r.s.Ready() != nil }, time.Minute, time.Millisecond)
	require.ErrorContains(t, r.s.Ready(), "stopping")
	require.ErrorIs(t, r.s.Submit(echo(51)), ErrNotRunning)
	close(r.j.held)
	require.NoError(t, <-r.ended)
	require.Len(t, r.seen(), 51)
	require.ErrorContains(t, r.s.Ready(), "stopped")
	r.close()

	r = newRig(t, dir, nil, nil)
	r.launch()
	<-r.s.Started()
	require.NoError(t, r.s.Ready())
	require.Zero(t, r.deciding().applied, "the snapshot of the stop leaves nothing to replay")
	r.stop()
	require.EqualValues(t, 52, r.deciding().seq)
}

func TestRecoveryIsNewestGoodSnapshotAndTail(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, func(c *Config) { c.SnapshotEvents = 10; c.BatchInputs = 1 }, nil).start()
	for i := 1; i <= 35; i++ {
		r.submit(signOn(i))
	}
	r.await(35)
	// The follower has written the snapshots; the run ends without one of its own.
	require.Eventually(t, func() bool { return r.s.metrics.lastSnapshot() >= 30 }, time.Minute, time.Millisecond)
	r.j.mode.Store(int32(fails))
	r.submit(signOn(36))
	require.ErrorIs(t, <-r.ended, errDisk)
	r.close()

	recovered := func() (eng *fakeEngine, state []byte) {
		r := newRig(t, dir, nil, nil)
		e, _, err := r.s.recover(context.Background())
		require.NoError(t, err)
		var out bytes.Buffer
		require.NoError(t, e.WriteState(&out))
		r.close()
		return e.(*fakeEngine), out.Bytes()
	}
	fast, state := recovered()
	require.EqualValues(t, 36, fast.seq)
	require.Less(t, fast.applied, 10)

	snaps, err := filepath.Glob(filepath.Join(dir, "snapshots", "*.snap"))
	require.NoError(t, err)
	require.Len(t, snaps, 2)
	damage := func(name string) {
		raw, err := os.ReadFile(name)
		require.NoError(t, err)
		raw[len(raw)-1] ^= 1
		require.NoError(t, os.WriteFile(name, raw, 0o600))
	}
	damage(snaps[1])
	older, same := recovered()
	require.Equal(t, state, same)
	require.Greater(t, older.applied, fast.applied)
	damage(snaps[0])
	full, same := recovered()
	require.Equal(t, state, same)
	require.Equal(t, 36, full.applied)
}

func TestTakeOverIsTheFirstEventOfARunEvenWhenDeadlinesHavePassed(t *testing.T) {
	r := newRig(t, t.TempDir(), nil, func(f *fakeEngine) { f.deadline = 1 }).start()
	r.await(1) // the tick's
	r.stop()
	require.Equal(t, []string{"*engine.TakeOwnership", "*engine.Tick"}, r.deciding().steps[:2])
}

func TestRefusedTakeOverStopsTheRun(t *testing.T) {
	r := newRig(t, t.TempDir(), nil, func(f *fakeEngine) { f.problems = []string{"another person key"} })
	r.launch()
	err := <-r.ended
	require.ErrorIs(t, err, ErrOwnership)
	require.ErrorContains(t, err, "another person key")
	require.Zero(t, r.j.Position())
}

func TestDeadlineThatHasPassedIsDecidedBeforeALaterInput(t *testing.T) {
	var now atomic.Int64
	now.Store(100)
	r := newRig(t, t.TempDir(), func(c *Config) { c.Clock = now.Load }, func(f *fakeEngine) { f.deadline = math.MaxInt64 - 1 }).start()
	now.Store(math.MaxInt64 - 1)
	r.submit(signOn(1))
	r.await(2)
	require.Equal(t, []engine.Token{0, 999_999, 1}, r.seen())
	r.stop()
}

func TestDeadlineFiresWithoutAnyInput(t *testing.T) {
	begin := time.Now()
	r := newRig(t, t.TempDir(), nil, func(f *fakeEngine) { f.deadline = begin.Add(50 * time.Millisecond).UnixNano() }).start()
	r.await(1)
	require.False(t, time.Now().Before(begin.Add(50*time.Millisecond)))
	r.stop()
}

func TestClockThatStepsBackIsHeld(t *testing.T) {
	var now atomic.Int64
	now.Store(1_000_000)
	r := newRig(t, t.TempDir(), func(c *Config) { c.Clock = func() int64 { return now.Add(-10) } }, nil).start()
	for i := 1; i <= 20; i++ {
		r.submit(signOn(i))
		r.await(1)
	}
	r.stop() // the fake panics when time goes back
	require.EqualValues(t, 21, r.deciding().seq)
}

func TestBrokenInvariantStopsTheRunBeforeItsBatchIsAppended(t *testing.T) {
	broken := errors.New("held is not the sum of the holds")
	r := newRig(t, t.TempDir(), func(c *Config) { c.CheckBatches = true }, func(f *fakeEngine) {
		f.broken = func() error {
			if f.seq >= 3 {
				return broken
			}
			return nil
		}
	}).start()
	r.submit(signOn(1))
	r.await(1)
	r.submit(signOn(2))
	err := <-r.ended
	require.ErrorIs(t, err, ErrInvariant)
	require.ErrorIs(t, err, broken)
	require.Len(t, r.seen(), 2)
	require.EqualValues(t, 2, r.j.Position())
	r.close()
}

func TestBrokenInvariantAfterReplayStopsTheStart(t *testing.T) {
	dir := t.TempDir()
	newRig(t, dir, nil, nil).start().stop()
	r := newRig(t, dir, nil, func(f *fakeEngine) { f.broken = func() error { return io.ErrUnexpectedEOF } })
	r.launch()
	require.ErrorIs(t, <-r.ended, ErrInvariant)
	require.EqualValues(t, 1, r.j.Position(), "nothing is appended to a state that contradicts itself")
}

func TestSubmitBeforeTheStartIsRefused(t *testing.T) {
	r := newRig(t, t.TempDir(), nil, nil)
	require.ErrorIs(t, r.s.Submit(echo(1)), ErrNotRunning)
	require.ErrorContains(t, r.s.Ready(), "not started")
}

func TestFollowersStateEqualsTheDecidingEngines(t *testing.T) {
	r := newRig(t, t.TempDir(), func(c *Config) { c.SnapshotEvery = time.Millisecond }, nil).start()
	for i := 1; i <= 500; i++ {
		r.submit(signOn(i))
	}
	r.await(500)
	require.Eventually(t, func() bool { return r.s.metrics.lastSnapshot() == r.j.Position() }, time.Minute, time.Millisecond)
	var body []byte
	_, ok := r.j.Snapshots().Load(func(_ journal.Snapshot, in io.Reader) (err error) {
		body, err = io.ReadAll(in)
		return err
	})
	require.True(t, ok)
	r.stop()
	var live bytes.Buffer
	require.NoError(t, r.deciding().WriteState(&live))
	require.Equal(t, live.Bytes(), body)
	require.Zero(t, lag(&r.s.metrics.follower, &r.s.metrics.position))
	require.Zero(t, lag(&r.s.metrics.followed, &r.s.metrics.seq))
}

func TestFollowerGivesWayToABusyMachineUpToItsBound(t *testing.T) {
	busy := true
	s, err := New(Config{
		Journal: openJournal(t, t.TempDir()), NewEngine: func() (Engine, error) { return newFake(), nil },
		ReadEngine: func(in io.Reader) (Engine, error) { return readFake(in) },
		Terminal:   func(*engine.Reply) {}, Host: func(*engine.HostRequest) {}, API: func(*engine.APIReply) {}, Admin: func(*engine.AdminReply) {},
		SnapshotEvents: 100, Busy: func() bool { return busy },
	})
	require.NoError(t, err)
	s.metrics.seq.Store(1000)
	require.Equal(t, 150*time.Millisecond, s.owed(1000, 10*time.Millisecond))
	require.Equal(t, 150*time.Millisecond, s.owed(1001, 10*time.Millisecond), "it has read what is not counted yet")
	require.Equal(t, 150*time.Millisecond, s.owed(900, 10*time.Millisecond))
	require.Equal(t, 75*time.Millisecond, s.owed(850, 10*time.Millisecond), "from there on less and less")
	require.Equal(t, time.Second, s.owed(850, time.Hour))
	require.Zero(t, s.owed(800, time.Hour), "so far behind it waits no more")

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, s.giveWay(ended, 901, time.Hour), context.Canceled, "it waits")
	busy = false
	require.NoError(t, s.giveWay(ended, 901, time.Hour), "nobody needs the machine")
}

func TestStopEndsALeisurelySnapshotWithoutAnAlarm(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	r := newRig(t, t.TempDir(), func(c *Config) { c.Logger = zap.New(core) }, nil)
	defer r.close()
	ended, cancel := context.WithCancel(context.Background())
	pieces := 0
	r.s.save(journal.Snapshot{Position: 7}, func(out io.Writer) error {
		w := &leisurely{out, &leisure{ctx: ended, s: r.s, begun: time.Now()}}
		for {
			if pieces++; pieces == 3 {
				cancel()
			}
			if _, err := w.Write(make([]byte, 10)); err != nil {
				return err
			}
		}
	})
	require.Equal(t, 3, pieces)
	require.Zero(t, r.s.metrics.lastSnapshot())
	require.Zero(t, logs.Len())
	_, saved := r.j.Snapshots().Load(func(journal.Snapshot, io.Reader) error { return nil })
	require.False(t, saved)
}

func TestLongWorkRestsAsSoonAsATimerIsOwed(t *testing.T) {
	r := newRig(t, t.TempDir(), func(c *Config) { c.Busy = func() bool { return true } }, nil)
	defer r.close()
	ended, cancel := context.WithCancel(context.Background())
	cancel() // so that nothing waits
	future, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	work := &leisure{ctx: ended, s: r.s, begun: future}
	work.rest()
	require.Equal(t, future, work.begun, "hardly begun: it goes on, and what it owes adds up")
	work.begun = past
	work.rest()
	require.True(t, work.begun.After(past), "it has rested and begins anew")
}

func TestSmallBatchesWaitForEachOtherOnABusyMachine(t *testing.T) {
	busy := true
	r := newRig(t, t.TempDir(), func(c *Config) { c.Busy = func() bool { return busy } }, nil)
	defer r.close()
	a := newAppender(r.s, journal.Mark{})
	var paused []time.Duration
	a.pause = func(d time.Duration) { paused = append(paused, d) }
	future := time.Now().Add(time.Hour) // so that the test need not be quick
	a.gather(1, future)
	require.Len(t, paused, 1)
	a.gather(handOver, future)
	require.Len(t, paused, 1, "a large one shares its sync already")
	a.gather(1, future.Add(-2*time.Hour))
	require.Len(t, paused, 1, "its sync took long enough")
	busy = false
	a.gather(1, future)
	require.Len(t, paused, 1, "nobody gains by it")
}

func TestFollowerIsNeverHeldAltogether(t *testing.T) {
	r := newRig(t, t.TempDir(), func(c *Config) { c.Busy = func() bool { return true } }, nil).start()
	for i := 1; i <= 100; i++ {
		r.submit(signOn(i))
	}
	r.await(100)
	require.Eventually(t, func() bool { return r.s.metrics.follower.Load() == r.j.Position() }, time.Minute, time.Millisecond)
	r.stop()
}

func TestConfigNamesWhatIsMissing(t *testing.T) {
	_, err := New(Config{})
	require.ErrorContains(t, err, "journal")
	_, err = New(Config{Journal: &strictJournal{}, NewEngine: func() (Engine, error) { return nil, nil }, ReadEngine: func(io.Reader) (Engine, error) { return nil, nil }})
	require.ErrorContains(t, err, "sinks")
}
