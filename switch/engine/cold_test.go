package engine_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
	"huanxin/switch/event"
)

const (
	atOnce = -1      // purchases go cold in the Step that ends them
	never  = 1 << 60 // and never
)

// Whether a purchase is hot or cold nobody can see. Every story is told again with purchases that go cold in the very Step
// that ends them, and with such as never do, and is told in the same words.
func TestEveryStoryIsTheSameWithColdPurchases(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "transcripts", "*.txt"))
	require.NoError(t, err)
	cold := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, wait := range []int64{atOnce, never} {
				l := newCoolingLab(t, wait)
				require.Equal(t, string(raw), play(t, l, string(raw)))
				cold += l.live.Cold()
				require.True(t, wait == atOnce || l.live.Cold() == 0)
			}
		})
	}
	require.Positive(t, cold)
}

// oldPurchases plays the story of old purchases up to where they have just gone cold, by the rule that is in force.
func oldPurchases(t *testing.T) *lab {
	text, err := os.ReadFile(filepath.Join("testdata", "transcripts", "old-purchase-is-as-good-as-new.txt"))
	require.NoError(t, err)
	l := newLab(t)
	play(t, l, strings.Join(strings.Split(string(text), "\n\n")[:2], "\n\n"))
	require.Equal(t, 4, l.live.Cold())
	require.NoError(t, l.live.CheckCold())
	return l
}

func TestAPurchaseGoesColdADayAfterItsBeginningWhenItsBatchIsSettled(t *testing.T) {
	l := newLab(t)
	tell := func(lines ...string) string { return play(t, l, strings.Join(lines, "\n")) }
	tell("sale stan=1 amount=100", "host", "sale stan=2 amount=100", "sale stan=1 t=21010002 amount=100", "host")
	tell("settle t=21010002 stan=9 debit=100/1")
	tell("clock +24h", "signon")
	require.Zero(t, l.live.Cold(), "not before a day has passed")
	tell("clock +1s", "signon")
	require.Equal(t, 1, l.live.Cold(), "of the terminal that has settled; the other one's batch is open")
	tell("clock +24h", "signon", "clock +25h", "signon")
	require.Equal(t, 2, l.live.Cold(), "but a batch that is never settled keeps nothing for ever; what is being reversed stays")
	require.NoError(t, l.live.CheckCold())
}

// An answer by DE11 and DE7, for a host that does not echo DE37, finds a cold purchase too.
func TestAColdPurchaseIsFoundByTransmission(t *testing.T) {
	l := oldPurchases(t)
	in := &engine.HostAnswered{Host: "cup", Kind: engine.HostSale, STAN: 2, TransmittedAt: engine.TransmissionTime(labStart)}
	in.Answer.Response = "05"
	out := l.step(in)
	require.Len(t, out.Events, 2)
	require.Equal(t, uint64(2), out.Events[0].GetLateAnswer().GetPurchase())
	in.TransmittedAt = engine.TransmissionTime(labStart + int64(time.Second))
	require.Empty(t, l.step(in).Events)
	in.STAN = 77
	require.Empty(t, l.step(in).Events)
}

// A state refers to the log. Without all of what it refers to it is refused, and recovery takes another one.
func TestAStateWithoutItsColdLogIsRefused(t *testing.T) {
	l := oldPurchases(t)
	state := stateOf(t, l.shadow)
	whole := l.coldLive.b
	flipped := func(at int) []byte {
		b := bytes.Clone(whole)
		b[at] ^= 1
		return b
	}
	for name, b := range map[string][]byte{
		"missing": nil, "torn": whole[:len(whole)-1], "shorter by a record": whole[:len(whole)/2],
		"of another version": flipped(7), "damaged at its end": flipped(len(whole) - 1),
	} {
		l.cfg.Cold = &coldLog{b: b}
		_, err := engine.ReadState(l.cfg, strings.NewReader(state))
		require.ErrorIs(t, err, engine.ErrState, name)
		require.ErrorContains(t, err, "cold log", name)
	}
	l.cfg.Cold = &coldLog{b: append(bytes.Clone(whole), "what a former run has left"...)}
	_, err := engine.ReadState(l.cfg, strings.NewReader(state))
	require.NoError(t, err)
	l.cfg.Cold = nil
	_, err = engine.ReadState(l.cfg, strings.NewReader(state))
	require.ErrorIs(t, err, engine.ErrState)
}

// A record that cannot be read is never taken for a purchase that does not exist: the process ends.
func TestADamagedRecordStopsTheEngine(t *testing.T) {
	l := oldPurchases(t)
	state := stateOf(t, l.shadow)
	for _, at := range []int{8, 12, 16, 20, 30} { // length, CRC, id, body of the first record
		log := &coldLog{b: bytes.Clone(l.coldLive.b)}
		log.b[at] ^= 1
		l.cfg.Cold = log
		e, err := engine.ReadState(l.cfg, strings.NewReader(state))
		require.NoError(t, err)
		require.Error(t, e.CheckCold())
		refused := false
		for id := uint64(1); id <= 4; id++ {
			func() {
				defer func() {
					if why := recover(); why != nil {
						refused = true
						require.Contains(t, why, fmt.Sprintf("purchase %d", id))
					}
				}()
				out := e.Step(engine.Input{At: l.now, Body: &engine.Look{Token: 1, What: engine.LookPurchase{ID: id}}})
				require.NotNil(t, out.Sends[0].Admin.Result.(*engine.PurchaseView))
			}()
		}
		require.True(t, refused, "byte %d", at)
	}
}

// failing is a log whose disk is full.
type failing struct{ coldLog }

func (f *failing) WriteAt([]byte, int64) (int, error) { return 0, fmt.Errorf("no space left") }

func TestALogThatCannotBeWrittenStopsTheEngine(t *testing.T) {
	cfg := labConfig(t)
	cfg.Cold = &failing{}
	e, err := engine.New(cfg)
	require.NoError(t, err)
	recorded := oldPurchases(t).recorded
	require.PanicsWithValue(t, "cold log: write at 0: no space left", func() {
		for _, raw := range recorded {
			ev := &event.Event{}
			require.NoError(t, ev.UnmarshalVT(raw))
			e.Apply(ev)
		}
	})
}

// old makes an engine in which n purchases of one terminal were captured, and settled in batches of a hundred.
func old(b testing.TB, n int) (e *engine.Engine, step func(any) engine.Output, pass func(time.Duration)) {
	cfg := labConfig(b)
	cfg.Cold = &coldLog{}
	e, err := engine.New(cfg)
	require.NoError(b, err)
	now := labStart
	step = func(body any) engine.Output { return e.Step(engine.Input{At: now, Body: body}) }
	pass = func(d time.Duration) { now += int64(d) }
	crowded(b, step)
	batch := uint32(1)
	settle := func() {
		in := &engine.SettlementRequest{Token: 1, Key: benchReserve(0).Key}
		in.Key.Class, in.Key.Batch = '5', batch
		require.Equal(b, [2]byte{'0', '0'}, step(in).Sends[0].Reply.Response)
		batch++
	}
	for i := range n {
		claimAndShow(step, i)
		in := benchReserve(i)
		in.Key.Batch = batch
		out := step(in)
		sale := benchSale(in, out.Sends[0].Reply)
		host := step(sale).Sends[0].Host
		out = step(&engine.HostAnswered{Host: host.Host, Kind: engine.HostSale, RRN: host.RRN,
			Answer: event.HostAnswer{Response: "00", Approval: "A00001", ClearingDate: "0302", Institutions: []byte("0305000003010000")}})
		require.Len(b, out.Events, 1)
		if i%100 == 99 {
			settle()
		}
	}
	settle()
	return e, step, pass
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkColdPurchase reports what a hot and a cold purchase take in memory, and what a look at a cold one and its thaw cost.
func BenchmarkColdPurchase(b *testing.B) {
	const n = 20_000
	e, step, pass := old(b, n)
	signOn := &engine.SignOnRequest{Terminal: benchReserve(0).Key.Terminal, Merchant: benchReserve(0).Key.Merchant}
	hot := heap()
	for e.Cold() < n {
		pass(25 * time.Hour)
		for range n/32 + 1 {
			step(signOn)
		}
	}
	log := e.ColdLog().(*coldLog)
	after := heap()
	b.Run("look", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			step(&engine.Look{Token: 1, What: engine.LookPurchase{ID: uint64(i%n) + 1}})
		}
		b.ReportMetric(float64(hot-after+int64(cap(log.b)))/n, "B/hot-less-cold")
		b.ReportMetric(float64(e.ColdBytes())/n, "B/cold")
		b.ReportMetric(float64(len(log.b))/n, "B/record")
	})
	b.Run("thaw", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			step(&engine.HostAnswered{Host: "cup", Kind: engine.HostSale, RRN: e.RRN(uint64(i%n) + 1), Answer: event.HostAnswer{Response: "00"}})
		}
	})
}

// A switch that stood for days finds old purchases and others in flight. While it takes back the ones, the others go cold.
func TestATakeOverAfterDaysFindsWhatWasInFlight(t *testing.T) {
	l := newLab(t)
	var lines []string
	for i := range 100 {
		lines = append(lines, fmt.Sprintf("sale stan=%d amount=10", 2*i+1), "host", fmt.Sprintf("sale stan=%d t=21010002 amount=20", i+1))
	}
	lines = append(lines, "settle stan=999 debit=1000/100")
	play(t, l, strings.Join(lines, "\n"))
	l.now += int64(26 * time.Hour)
	out := l.restart()
	require.Equal(t, 102, len(out.Events), "the ownership, each sale without an answer to be reversed, and the first of them sent")
	require.Equal(t, 100, l.live.Cold())
	require.NoError(t, l.live.CheckCold())
}
