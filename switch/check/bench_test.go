package check_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/risk/geo"
	"huanxin/switch/check"
	"huanxin/switch/engine"
)

// BenchmarkCheck goes through the journal in the folder HUANXIN_BENCH_JOURNAL, which `bench year` makes: DIR/journal after
// bench year --dir DIR --persons 600000. Without one it makes a small journal itself, whose figure says little of a large one's.
func BenchmarkCheck(b *testing.B) {
	dir := os.Getenv("HUANXIN_BENCH_JOURNAL")
	if dir == "" {
		dir = place(b)
	}
	province, err := geo.Load(geo.LiaoningGeoJSON)
	require.NoError(b, err)
	events := uint64(0)
	for b.Loop() {
		r, err := check.Run(b.Context(), check.Config{Folder: dir, Engine: engine.Config{Map: province}})
		require.NoError(b, err)
		require.Zero(b, r.Found)
		events += r.Events
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
