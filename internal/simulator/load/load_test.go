package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/config/dialects"
	"huanxin/internal/simulator/fakeswitch"
	"huanxin/internal/simulator/till"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

func startSwitch(t testing.TB, lose func(n int, mti string) bool) (*fakeswitch.Switch, Config) {
	t.Helper()
	spec, _, err := dialects.Load("../../../config/dialects", "cup")
	require.NoError(t, err)
	codec, err := iso8583.Compile(spec)
	require.NoError(t, err)
	sw, err := fakeswitch.Start(codec, lose)
	require.NoError(t, err)
	t.Cleanup(sw.Close)
	cfg := Config{
		Line: till.LineConfig{Address: sw.Address(), Framing: wire.CUP, Codec: codec, Timeout: 20 * time.Second},
		API:  till.NewAPI(sw.API(), "token", 4, 20*time.Second),
		Mix:  Mix{Reserve: 6, Sale: 3, Cancel: 1, Ordinary: 2}, Goods: []Goods{{Category: "A01", Barcode: "6901234567892", Price: 599900}},
		City: "210100", Channel: "store", Position: till.Position{CRS: "WGS84", Lon: 123.4, Lat: 41.8}, Duration: 400 * time.Millisecond,
		Expected: map[Kind][]string{
			Claim: {"201"}, Code: {"201"}, Reserve: {"00"}, Sale: {"00"}, Cancel: {"00"}, Ordinary: {"00"}, Reversal: {"00", "25"},
		},
		Connections: 2, InFlight: 3, Seed: 7,
	}
	for i := range 6 {
		cfg.Tills = append(cfg.Tills, till.Till{Terminal: string(rune('1'+i)) + "1010001", Merchant: "898210157220001", Batch: 1})
	}
	return sw, cfg
}

func acknowledged(t testing.TB, text string) []Acknowledged {
	t.Helper()
	var list []Acknowledged
	for line := range strings.Lines(text) {
		var a Acknowledged
		require.NoError(t, json.Unmarshal([]byte(line), &a))
		list = append(list, a)
	}
	return list
}

func TestClosedLoopBehavesAsTerminalsMust(t *testing.T) {
	sw, cfg := startSwitch(t, nil)
	var record bytes.Buffer
	cfg.Acknowledged = &record
	report, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Empty(t, sw.Violations())
	require.Empty(t, report.Unexpected)
	require.Equal(t, "closed", report.Mode)
	require.Positive(t, report.Messages)
	require.Zero(t, report.Lost+report.Unanswered+report.Open)
	require.Len(t, acknowledged(t, record.String()), int(report.Messages))
	require.EqualValues(t, sw.Count("0200"), report.Kinds[Sale].Count+report.Kinds[Ordinary].Count)
	require.NoError(t, report.Print(&record))
}

func TestLostAnswersAreReversedBeforeAnythingElse(t *testing.T) {
	sw, cfg := startSwitch(t, func(n int, _ string) bool { return n%5 == 0 })
	var record bytes.Buffer
	cfg.Acknowledged = &record
	report, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Empty(t, sw.Violations())
	require.Zero(t, sw.Unsettled(), "every unanswered request is reversed before the end")
	require.Positive(t, report.Lost)
	require.Positive(t, report.Unanswered)
	require.Zero(t, report.Open)
	reversals := 0
	for _, a := range acknowledged(t, record.String()) {
		if a.MTI == "0400" {
			reversals++
			require.Contains(t, []uint32{1, 2}, a.Class)
		}
	}
	require.EqualValues(t, report.Kinds[Reversal].Count, reversals)
}

func TestOpenLoopSendsAtFixedTimes(t *testing.T) {
	sw, cfg := startSwitch(t, nil)
	cfg.Rate, cfg.Duration = 200, 500*time.Millisecond
	report, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Empty(t, sw.Violations())
	require.Equal(t, "open", report.Mode)
	// 100 tickets; a purchase begun with the last one is finished beyond them, and a reserve without a code in time is
	// not sent.
	require.LessOrEqual(t, report.Messages, uint64(100+len(cfg.Tills)))
	require.Positive(t, report.Messages)
}

func TestScheduleIsFixedWhateverTheDelay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		begin := time.Date(2025, 6, 18, 10, 0, 0, 0, time.UTC)
		late := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "late"))
		s := schedule{
			rate: rapid.Float64Range(0.5, 1e5).Draw(t, "rate"), begin: begin, end: begin.Add(24 * time.Hour),
			now: func() time.Time { return begin.Add(24 * time.Hour).Add(late) }, // far behind: no ticket waits
		}
		for n := range 5 {
			at, ok := s.ticket(context.Background())
			require.True(t, ok)
			require.InDelta(t, float64(n)/s.rate, at.Sub(begin).Seconds(), 1e-6)
		}
	})
}

func TestStallIsChargedToEveryMessageThatWasDue(t *testing.T) {
	begin := time.Date(2025, 6, 18, 10, 0, 0, 0, time.UTC)
	now := begin
	s := schedule{rate: 10, begin: begin, end: begin.Add(time.Hour), now: func() time.Time { return now }}
	tally := newTally(map[Kind][]string{Sale: {"00"}})
	at, _ := s.ticket(context.Background())
	now = now.Add(time.Second) // the switch stalls for one second; ten more messages become due
	tally.answered(Sale, "00", "", now.Sub(at), nil)
	for range 10 {
		at, _ = s.ticket(context.Background())
		tally.answered(Sale, "00", "", now.Sub(at), nil) // each answered at once
	}
	k := tally.report(10, time.Second).Kinds[Sale]
	require.InDelta(t, 1.0, k.Max, 0.01)
	require.InDelta(t, 0.5, k.P50, 0.01, "not zero: the buyers had to wait")
}

func TestMixComesOutInProportion(t *testing.T) {
	sw, cfg := startSwitch(t, nil)
	cfg.Mix = Mix{Ordinary: 1}
	cfg.API = nil
	report, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Zero(t, sw.Count("0100"))
	require.EqualValues(t, sw.Count("0200"), report.Messages)
}

func TestUnexpectedAnswersAreCountedWithTheFirstExample(t *testing.T) {
	tally := newTally(map[Kind][]string{Sale: {"00"}})
	tally.answered(Sale, "00", "", 0, nil)
	tally.answered(Sale, "51", "", 0, func() string { return "first" })
	tally.answered(Sale, "51", "", 0, func() string { return "second" })
	tally.answered(Reserve, "57", "SERIAL_USED", 0, func() string { return "third" })
	require.Equal(t, []Unexpected{
		{Reserve, "57 SERIAL_USED", 1, "third"}, {Sale, "51", 2, "first"},
	}, tally.report(0, time.Second).Unexpected)
}

func TestRunsThatCannotBeMadeAreRefused(t *testing.T) {
	_, good := startSwitch(t, nil)
	for name, change := range map[string]func(*Config){
		"terminals": func(c *Config) { c.InFlight = 4 },
		"duration":  func(c *Config) { c.Duration = 0 },
		"rate":      func(c *Config) { c.Rate = -1 },
		"goods":     func(c *Config) { c.Goods = nil },
		"mix":       func(c *Config) { c.Mix = Mix{} },
		"sales":     func(c *Config) { c.Mix = Mix{Reserve: 1, Sale: 2} },
		"shop":      func(c *Config) { c.Mix.Shop = 1 },
		"part":      func(c *Config) { c.Stuck = 2 },
	} {
		cfg := good
		change(&cfg)
		_, err := Run(context.Background(), cfg)
		require.ErrorIs(t, err, ErrConfig, name)
	}
	for _, text := range []string{"", "reserve", "reserve=x", "reserve=-1", "gift=1", "sale=1", "reserve=1,sale=2"} {
		_, err := ParseMix(text)
		require.ErrorIs(t, err, ErrConfig, text)
	}
	mix, err := ParseMix("reserve=60,sale=30,ordinary=10")
	require.NoError(t, err)
	require.Equal(t, Mix{Reserve: 60, Sale: 30, Ordinary: 10}, mix)
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestRunEndsWhenItsRecordCannotBeWritten(t *testing.T) {
	_, cfg := startSwitch(t, nil)
	cfg.Acknowledged, cfg.Duration = fullDisk{}, time.Hour
	_, err := Run(context.Background(), cfg)
	require.ErrorContains(t, err, "no space left")
}

// wholeDay is a mix with every story in it.
func wholeDay(t testing.TB, lose func(n int, mti string) bool) (*fakeswitch.Switch, Config) {
	sw, cfg := startSwitch(t, lose)
	cfg.Mix = Mix{
		Reserve: 3, Sale: 2, Cancel: 1, Ordinary: 2, Void: 2, Unvoid: 1, Refund: 1, Partial: 2, Undo: 1, Preauth: 2, Settle: 1,
		Balance: 1, Status: 1, Certificate: 1, Shop: 1,
	}
	cfg.Shop = Shop{Merchant: "898210157320016", Channel: "online", Delivery: "210102"}
	cfg.Wallet = 0.3
	for _, kind := range []Kind{Preauth, Void, Refund, Upload, Balance, Status, Certificate} {
		cfg.Expected[kind] = []string{"00"}
	}
	for _, kind := range []Kind{Order, Commit, Drop, GiveBack, LookUp} {
		cfg.Expected[kind] = []string{"200", "201"}
	}
	cfg.Expected[Settle] = []string{"00 equal"}
	return sw, cfg
}

func TestWholeDayIsSettledEqual(t *testing.T) {
	sw, cfg := wholeDay(t, nil)
	var record bytes.Buffer
	cfg.Acknowledged, cfg.Duration = &record, time.Second
	report, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Empty(t, sw.Violations())
	require.Empty(t, report.Unexpected)
	for _, kind := range Kinds() {
		if kind != Mischief && kind != LookUp {
			require.NotNil(t, report.Kinds[kind], "%s was never played", kind)
		}
	}
	for _, a := range acknowledged(t, record.String()) {
		require.NotEmpty(t, a.Kind)
		require.Equal(t, a.Kind.http(), a.MTI == "")
	}
}

func TestWholeDayWithLostAnswersIsSettledEqualToo(t *testing.T) {
	sw, cfg := wholeDay(t, func(n int, mti string) bool { return n%7 == 0 && mti != "0220" })
	cfg.Duration = time.Second
	report, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Empty(t, sw.Violations())
	require.Zero(t, sw.Unsettled())
	require.Positive(t, report.Lost)
	require.Equal(t, map[string]uint64{"00 equal": report.Kinds[Settle].Count}, report.Kinds[Settle].Answer)
}

func TestUnfriendlyTerminalsAreCountedApart(t *testing.T) {
	sw, cfg := wholeDay(t, nil)
	cfg.Unfriendly, cfg.Duration = 0.5, time.Second
	report, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Empty(t, sw.Violations())
	for _, what := range []string{"resend same", "void twice 22", "reverse late 00"} {
		require.Positive(t, report.Kinds[Mischief].Answer[what], "%s of %v", what, report.Kinds[Mischief].Answer)
	}
	require.Positive(t, report.Kinds[Settle].Answer["00 differs"])
}
