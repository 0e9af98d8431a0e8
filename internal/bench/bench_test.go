package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMedianAndSpread(t *testing.T) {
	require.Equal(t, 3.0, Of("x", 9, 1, 3).Median())
	require.Equal(t, 2.5, Of("x", 4, 1, 2, 3).Median())
	require.Zero(t, Series{}.Median())
	require.Equal(t, 2.0, Of("x", 1, 2, 5).Spread())
	require.Zero(t, Series{}.Spread())
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	// The machine was twice as fast in the second round, for both.
	ours, peer := Of("switch", 10, 20, 10), Of("limit", 20, 40, 20)
	require.Equal(t, []float64{0.5, 0.5, 0.5}, ours.Over(peer).Values)
	row := AtLeast("throughput", "/s", ours, peer, 0.5)
	require.Equal(t, Row{
		Metric: "throughput", Figure: 10, Unit: "/s", Peer: "limit", PeerFigure: 20, Ratio: 0.5, Target: "≥ 0.5 ×", Met: true,
	}, row)
	require.False(t, AtLeast("throughput", "/s", ours, peer, 0.51).Met)
	require.True(t, AtMost("p99", "ms", ours, peer, 0.5).Met)
	require.False(t, AtMost("p99", "ms", ours, Of("limit", 0), 0.5).Met, "no figure of the peer is no success")
}

func TestContendersTakeTurns(t *testing.T) {
	b := &Bench{Log: io.Discard}
	var order string
	contender := func(name string) Contender {
		return Contender{name, func(_ context.Context, round int) (float64, error) {
			order += name
			return float64(round), nil
		}}
	}
	list, err := b.Alternate(t.Context(), 3, contender("a"), contender("b"))
	require.NoError(t, err)
	require.Equal(t, "abbaab", order)
	require.Equal(t, []float64{0, 1, 2}, list[1].Values)
}

func TestScenarioThatFailsGivesNoFigureAndKeepsNobodyElse(t *testing.T) {
	void := errors.New("an answer was not as expected")
	all := []Scenario{
		{Name: "bad", Run: func(context.Context, *Bench) (Result, error) { return Result{Rows: []Row{{}}}, void }},
		{Name: "good", Run: func(context.Context, *Bench) (Result, error) { return Result{Rows: []Row{{Metric: "m"}}}, nil }},
	}
	var out bytes.Buffer
	rows, err := (&Bench{Log: io.Discard}).Run(t.Context(), all, &out)
	require.ErrorIs(t, err, void)
	require.Equal(t, []Row{{Scenario: "bad", Metric: "void: nothing was measured", Target: "a run as expected"}, {Scenario: "good", Metric: "m"}}, rows)
	require.Contains(t, out.String(), "| good | m |")
	_, err = Pick(all, "good,missing")
	require.ErrorContains(t, err, "bad, good")
	picked, err := Pick(all, "good")
	require.NoError(t, err)
	require.Len(t, picked, 1)
	words := []Scenario{{Name: "secured pingpong"}, {Name: "secured pipelined"}, {Name: "secure"}}
	picked, err = Pick(words, "secured")
	require.NoError(t, err)
	require.Equal(t, words[:2], picked)
}

func TestResultsHaveTheAgreedNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "var", "bench.json")
	require.NoError(t, WriteRows(file, []Row{{Scenario: "pingpong", Metric: "throughput", Figure: 1, Unit: "/s", Peer: "limit", PeerFigure: 2, Ratio: 0.5, Target: "≥ 0.5 ×", Met: true}}))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.JSONEq(t, `{"results":[{"scenario":"pingpong","metric":"throughput","figure":1,"unit":"/s","peer":"limit","peer_figure":2,"ratio":0.5,"target":"≥ 0.5 ×","met":true}]}`, string(text))
}

func TestFiguresArePrintedWithTheDigitsThatMeanSomething(t *testing.T) {
	for want, v := range map[string]float64{"123456": 123456.4, "512": 512.3, "40": 40, "0.5": 0.5, "12.3": 12.345, "0.042": 0.0421, "0": 0} {
		require.Equal(t, want, number(v))
	}
}
