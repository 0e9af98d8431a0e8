package stage

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestObservationIsCountedInTheFirstBucketThatHoldsIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Uint64Range(0, uint64(time.Minute)).Draw(t, "ns")
		at := bucket(ns)
		if at < buckets {
			require.LessOrEqual(t, ns, uint64(1)<<(firstBit+at))
		}
		if at > 0 {
			require.Greater(t, ns, uint64(1)<<(firstBit+at-1))
		}
	})
}

func TestStagesAreOneHistogramEach(t *testing.T) {
	reg := prometheus.NewRegistry()
	times, err := New(reg)
	require.NoError(t, err)
	times.Observe(Decide, 1, 1+1024)
	times.ObserveAll(Journal, 3, 1, 1+2_000_000)
	times.Observe(Reply, 0, 5_000) // not measured
	times.Observe(Queue, 10, 5)    // a clock that is read in two places may seem to go back

	got, err := reg.Gather()
	require.NoError(t, err)
	found := map[string][2]float64{}
	for _, m := range got[0].Metric {
		found[m.Label[0].GetValue()] = [2]float64{float64(m.Histogram.GetSampleCount()), m.Histogram.GetSampleSum()}
	}
	require.Equal(t, map[string][2]float64{
		"read": {}, "decode": {}, "queue": {1, 0}, "decide": {1, 1.024e-6}, "journal": {3, 0.006}, "reply": {},
	}, found)
}

func TestNothingIsMeasuredWithoutTimes(t *testing.T) {
	var times *Times
	require.Zero(t, times.Now())
	times.Observe(Read, 1, 2)
}

func BenchmarkObserve(b *testing.B) {
	times, err := New(nil)
	require.NoError(b, err)
	from := times.Now()
	for b.Loop() {
		times.Observe(Decide, from, times.Now())
	}
}
