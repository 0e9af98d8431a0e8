package geo_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/risk/geo"
)

// Vectors that two public libraries and an independent implementation agree on, at the journal's resolution.
func TestConversionMatchesPublishedVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/coord.json")
	require.NoError(t, err)
	var file struct {
		Points []struct {
			Name  string
			WGS84 [2]float64
			GCJ02 [2]float64
			BD09  [2]float64
			Exact [2]float64 `json:"exact_inverse_gcj02_to_wgs84"`
		}
	}
	require.NoError(t, json.Unmarshal(text, &file))
	require.NotEmpty(t, file.Points)
	near := func(want [2]float64, got geo.Point, what string) {
		require.InDelta(t, want[0]*1e6, float64(got.Lon), 1, what)
		require.InDelta(t, want[1]*1e6, float64(got.Lat), 1, what)
	}
	for _, p := range file.Points {
		wgs, gcj, bd := micro(p.WGS84[0], p.WGS84[1]), micro(p.GCJ02[0], p.GCJ02[1]), micro(p.BD09[0], p.BD09[1])
		near(p.GCJ02, geo.FromWGS84(wgs, geo.GCJ02), p.Name+" to GCJ-02")
		near(p.BD09, geo.FromWGS84(wgs, geo.BD09), p.Name+" to BD-09")
		near(p.Exact, geo.ToWGS84(gcj, geo.GCJ02), p.Name+" from GCJ-02")
		near(p.WGS84, geo.ToWGS84(bd, geo.BD09), p.Name+" from BD-09")
		require.Equal(t, wgs, geo.ToWGS84(wgs, geo.WGS84), p.Name)
	}
}

func TestConversionRoundTripsWithinOneMicroDegree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := geo.Point{
			Lon: rapid.Int32Range(73_000_000, 136_000_000).Draw(t, "lon"),
			Lat: rapid.Int32Range(2_000_000, 54_000_000).Draw(t, "lat"),
		}
		crs := rapid.SampledFrom([]geo.CRS{geo.WGS84, geo.GCJ02, geo.BD09}).Draw(t, "crs")
		back := geo.ToWGS84(geo.FromWGS84(p, crs), crs)
		require.LessOrEqual(t, math.Abs(float64(back.Lon)-float64(p.Lon)), 1.0)
		require.LessOrEqual(t, math.Abs(float64(back.Lat)-float64(p.Lat)), 1.0)
	})
}

// Whatever a phone sends, the result stays a position and within one shift of it.
func TestConversionOfAnyPointStaysNear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := geo.Point{
			Lon: rapid.Int32Range(-180e6, 180e6).Draw(t, "lon"),
			Lat: rapid.Int32Range(-90e6, 90e6).Draw(t, "lat"),
		}
		crs := rapid.SampledFrom([]geo.CRS{geo.GCJ02, geo.BD09}).Draw(t, "crs")
		got := geo.ToWGS84(p, crs)
		require.Less(t, math.Abs(float64(got.Lon)-float64(p.Lon)), 100_000.0)
		require.Less(t, math.Abs(float64(got.Lat)-float64(p.Lat)), 100_000.0)
	})
}

func TestShiftEndsAtItsBox(t *testing.T) {
	tokyo := micro(139.6917, 35.6895)
	require.Equal(t, tokyo, geo.FromWGS84(tokyo, geo.GCJ02))
	require.Equal(t, tokyo, geo.ToWGS84(tokyo, geo.GCJ02))
}

func TestCRSNumbersAreTheJournals(t *testing.T) {
	require.EqualValues(t, 1, geo.WGS84)
	require.EqualValues(t, 2, geo.GCJ02)
	require.EqualValues(t, 3, geo.BD09)
	require.False(t, geo.CRS(0).Valid())
	require.False(t, geo.CRS(4).Valid())
	require.True(t, geo.BD09.Valid())
}

func BenchmarkToWGS84(b *testing.B) {
	p := micro(123.4376357, 41.80812804)
	for _, crs := range []geo.CRS{geo.GCJ02, geo.BD09} {
		b.Run(crs.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				geo.ToWGS84(p, crs)
			}
		})
	}
}
