package server

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/stage"
)

func ms(n int) stage.Instant { return stage.Instant(n) * stage.Instant(time.Millisecond) }

func reserve(token int) *engine.ReserveRequest {
	return &engine.ReserveRequest{Token: engine.Token(token)}
}

// newTestLine has a target of 100 ms, an interval of 500 ms, payments of 2 s and a stale limit of 30 s.
func newTestLine() *line {
	return newLine(1000, Admission{Stale: 30 * time.Second}.withDefaults())
}

// put and take at given instants.
func (l *line) putAt(t *testing.T, body any, at stage.Instant) {
	t.Helper()
	require.True(t, l.put(entry(body, at, at)))
}

func (l *line) takeAt(at stage.Instant) (in queued, tooLong bool) {
	in = <-l.ch
	return in, l.took(&in, at)
}

func TestBurstIsAdmitted(t *testing.T) {
	l := newTestLine()
	now := ms(100_000)
	for i := range 10 {
		l.putAt(t, reserve(i), now)
	}
	_, tooLong := l.takeAt(now + ms(250))
	require.False(t, tooLong)
	require.False(t, l.turnsAway(0, now+ms(250)), "a burst may wait for the interval")
	_, tooLong = l.takeAt(now + ms(251))
	require.False(t, tooLong)
	require.True(t, l.turnsAway(0, now+ms(251)), "others would wait in vain")
	for range 8 {
		_, tooLong = l.takeAt(now + ms(400))
		require.False(t, tooLong, "whoever was in the line before goes on")
	}
	require.False(t, l.turnsAway(0, now+ms(400)), "an empty line turns nobody away")
}

// busy is a line in which every millisecond one comes and one is taken that has waited for so long.
func (l *line) busy(t *testing.T, from, until, wait int) {
	t.Helper()
	for at := from; at < until; at++ {
		l.putAt(t, reserve(at), ms(at-wait))
		l.putAt(t, reserve(at), ms(at-wait)) // so that it is not empty after it
		_, tooLong := l.takeAt(ms(at))
		require.False(t, tooLong)
		<-l.ch
	}
}

func TestQueueThatIsLongForLongIsHeldToTheTarget(t *testing.T) {
	for _, c := range []struct {
		before, wait       int
		tooLong, turnsAway bool
	}{
		{50, 240, false, false}, // in time until now: a disk that stood still for a moment
		{51, 50, false, false},
		{51, 51, false, true},
		{51, 100, false, true},
		{51, 101, true, true},
	} {
		l := newTestLine()
		l.busy(t, 1000, 1501, c.before)
		require.False(t, l.turnsAway(0, ms(1501)))
		l.putAt(t, reserve(1), ms(1502-c.wait))
		l.putAt(t, reserve(2), ms(1502-c.wait))
		_, tooLong := l.takeAt(ms(1502))
		require.Equal(t, [2]bool{c.tooLong, c.turnsAway}, [2]bool{tooLong, l.turnsAway(0, ms(1502))}, "after %d and %d ms", c.before, c.wait)
	}
}

func TestDoorOpensWhenTheWaitIsAQuarterOfItsBound(t *testing.T) {
	l := newTestLine()
	l.busy(t, 1000, 1501, 51)
	for at, wait := range []int{60, 40, 26, 25, 40} {
		l.putAt(t, reserve(at), ms(1502+at-wait))
		l.putAt(t, reserve(at), ms(1502+at-wait))
		l.takeAt(ms(1502 + at))
		require.Equal(t, at < 3, l.turnsAway(0, ms(1502+at)), "after %d ms", wait)
		<-l.ch
	}
}

func TestQueueThatIsEmptyBecauseAllWereTurnedAwayIsLongAllTheSame(t *testing.T) {
	l := newTestLine()
	l.putAt(t, reserve(1), ms(1000))
	_, tooLong := l.takeAt(ms(1501))
	require.True(t, tooLong)
	l.putAt(t, reserve(2), ms(1600))
	_, tooLong = l.takeAt(ms(1701))
	require.True(t, tooLong, "the target counts until nobody was turned away for the interval")
	l.putAt(t, reserve(3), ms(2202))
	_, tooLong = l.takeAt(ms(2303))
	require.False(t, tooLong)
}

func TestWhatEndsSomethingIsNeverTurnedAway(t *testing.T) {
	l := newTestLine()
	never := []any{
		&engine.ReversalRequest{}, &engine.VoidRequest{}, &engine.RefundRequest{}, &engine.CancelRequest{}, &engine.HostAnswered{},
		&engine.HostUnsent{}, &engine.HostUp{}, &engine.CommitRequest{}, &engine.APICancelRequest{}, &engine.APIRefundRequest{},
		&engine.PurchaseRequest{}, &engine.StatusRequest{}, &engine.SettlementRequest{}, &engine.UploadRequest{},
		&engine.UploadEndRequest{}, &engine.ReportRequest{}, &engine.SignOnRequest{}, &engine.SignOffRequest{}, &engine.EchoRequest{},
		&engine.Operate{}, &engine.Look{}, &engine.ReturnRequest{}, &engine.SetRows{}, &engine.ApplyProgramme{},
		&engine.SaleRequest{Kind: event.SaleKind_SALE_KIND_PREAUTH_VOID}, &engine.SaleRequest{Kind: event.SaleKind_SALE_KIND_COMPLETION},
		&engine.SaleRequest{Kind: event.SaleKind_SALE_KIND_COMPLETION_VOID},
	}
	first := []any{
		&engine.ReserveRequest{}, &engine.ReserveRequest{API: &engine.APIOrigin{}}, &engine.ClaimRequest{}, &engine.ShowCodeRequest{},
		&engine.QuoteRequest{}, &engine.EntitlementRequest{}, &engine.InquiryRequest{},
	}
	later := []any{&engine.SaleRequest{}, &engine.SaleRequest{Kind: event.SaleKind_SALE_KIND_PREAUTH}, &engine.CommitRequest{Host: "wallet"}}
	for _, wait := range []stage.Instant{ms(501), ms(2001)} {
		judge := func(want bool, bodies ...any) {
			t.Helper()
			for _, body := range bodies {
				l.putAt(t, body, ms(1))
				_, tooLong := l.takeAt(ms(1) + wait)
				require.Equal(t, want, tooLong, "%T after %v", body, time.Duration(wait))
			}
		}
		judge(false, never...)
		judge(true, first...)
		judge(wait > ms(2000), later...)
	}
}

func TestStaleIsWhatATerminalWouldReverse(t *testing.T) {
	l := newTestLine()
	for body, want := range map[any]bool{
		&engine.ReserveRequest{}: true, &engine.SaleRequest{}: true, &engine.VoidRequest{}: true,
		&engine.RefundRequest{}: false, &engine.ReversalRequest{}: false, &engine.InquiryRequest{}: false,
		&engine.ReserveRequest{API: &engine.APIOrigin{}}: false,
	} {
		in := entry(body, ms(1), ms(20_000)) // read long before it came into the line: its connection had too many under way
		require.Equal(t, want, l.stale(&in, ms(30_002)), "%T", body)
		require.False(t, l.stale(&in, ms(30_001)), "%T", body)
	}
}

// It has been in a socket, behind what its own connection had under way, or has waited for its turn to be read.
func TestWhatWaitedBeforeTheQueueIsTooOldAsLongAsOthersWait(t *testing.T) {
	for _, c := range []struct {
		body    any
		age     int
		tooLong bool
	}{
		{&engine.ReserveRequest{}, 500, false},
		{&engine.ReserveRequest{}, 501, true},
		{&engine.InquiryRequest{}, 501, true},
		{&engine.SaleRequest{}, 2000, false},
		{&engine.SaleRequest{}, 2001, true},
		{&engine.ReversalRequest{}, 29_000, false},
		{&engine.CancelRequest{}, 29_000, false},
	} {
		l := newTestLine()
		now := ms(100_000)
		come := func() { require.True(t, l.put(entry(c.body, now-ms(c.age), now-ms(1)))) }
		come()
		_, tooLong := l.takeAt(now)
		require.False(t, tooLong, "%T: nobody waits behind it, and the engine would be idle", c.body)
		come()
		come()
		_, tooLong = l.takeAt(now)
		require.Equal(t, c.tooLong, tooLong, "%T after %d ms", c.body, c.age)
		require.False(t, l.turnsAway(0, now), "what has just come does not suffer for it")
		require.Equal(t, c.age > 500, l.turnsAway(now-ms(c.age), now), "at the door")
		_, _ = l.takeAt(now)
		require.False(t, l.turnsAway(now-ms(c.age), now), "nor does it while nobody waits")
	}
}

func TestDoorClosesWhileTheLoopIsHeldUp(t *testing.T) {
	l := newTestLine()
	l.putAt(t, reserve(1), ms(10))
	l.putAt(t, reserve(2), ms(11))
	_, _ = l.takeAt(ms(12)) // and then the disk stands still
	require.False(t, l.turnsAway(0, ms(512)))
	require.True(t, l.turnsAway(0, ms(513)))
	_, _ = l.takeAt(ms(600))
	require.False(t, l.turnsAway(0, ms(5000)), "nobody waits")
}

func TestLastQuarterOfTheQueueIsForWhatIsNeverTurnedAway(t *testing.T) {
	q := newQueue(100, Admission{}.withDefaults())
	put := func(body any) bool { return q.put(entry(body, 1, 1)) }
	for range 75 {
		require.True(t, put(reserve(1)))
	}
	require.False(t, put(reserve(1)))
	for range 25 {
		require.True(t, put(&engine.ReversalRequest{}))
	}
	require.False(t, put(&engine.ReversalRequest{}))
	for range 100 {
		require.True(t, put(&engine.ClaimRequest{}), "claims have a line of their own")
	}
}

// The disk stands still, and everything waits. The clock is virtual.
func TestOverloadTurnsAwayWhatIsNewAndDropsWhatWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), func(c *Config) {
			c.BatchInputs = 1
			c.Admission = Admission{Stale: 30 * time.Second}
		}, nil)
		r.j.held = make(chan struct{})
		r.start()
		r.submit(signOn(1))
		<-r.j.waiting       // one is being appended
		r.submit(signOn(2)) // another is the batch behind it
		synctest.Wait()
		r.submit(reserve(3), &engine.SaleRequest{Token: 4}, &engine.ReversalRequest{Token: 5})
		time.Sleep(time.Second)
		require.ErrorIs(t, r.s.Submit(reserve(6)), ErrOverload)
		require.True(t, r.s.TurnsAway(false))
		require.False(t, r.s.TurnsAway(true), "claims have a line of their own")
		r.submit(&engine.SaleRequest{Token: 7}, &engine.ReversalRequest{Token: 8})
		close(r.j.held)
		r.await(7)
		require.Equal(t, []engine.Token{0, 1, 2, 3 | turnedAway, 4, 5, 7, 8}, r.seen())

		r.j.held = make(chan struct{})
		r.submit(signOn(9))
		<-r.j.waiting
		r.submit(signOn(10))
		synctest.Wait()
		r.submit(reserve(11), &engine.SaleRequest{Token: 12}, &engine.ReversalRequest{Token: 13})
		time.Sleep(30*time.Second + time.Millisecond)
		r.submit(&engine.SaleRequest{Token: 14})
		close(r.j.held)
		r.await(6)
		dropped := turnedAway | droppedStale
		require.Equal(t, []engine.Token{9, 10, 11 | dropped, 12 | dropped, 13, 14}, r.seen()[8:])
		require.EqualValues(t, 3, valueOf(t, r.s.metrics.late), "at its turn, at the door, and before it was read")
		require.EqualValues(t, 2, valueOf(t, r.s.metrics.stale))
		r.stop()
	})
}

func valueOf(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	require.NoError(t, c.Write(&m))
	return m.GetCounter().GetValue()
}
