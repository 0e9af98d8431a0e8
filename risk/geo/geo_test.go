package geo_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/planar"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/risk/geo"
)

const (
	shenyang = 210100
	dalian   = 210200
	yingkou  = 210800
	tieling  = 211200
)

func micro(lon, lat float64) geo.Point {
	return geo.Point{Lon: int32(math.Round(lon * 1e6)), Lat: int32(math.Round(lat * 1e6))}
}

func liaoning(t testing.TB) *geo.Map {
	t.Helper()
	m, err := geo.Load(geo.LiaoningGeoJSON)
	require.NoError(t, err)
	return m
}

// reference is the dumb answer: orb's point in polygon over every ring of every city.
type reference struct {
	codes []uint32
	parts [][]orb.Polygon
}

func loadReference(t testing.TB) reference {
	t.Helper()
	var file struct {
		Features []struct {
			Properties struct {
				Code json.Number
			}
			Geometry struct {
				Type        string
				Coordinates json.RawMessage
			}
		}
	}
	require.NoError(t, json.Unmarshal(geo.LiaoningGeoJSON, &file))
	var r reference
	for _, f := range file.Features {
		var parts []orb.Polygon
		if f.Geometry.Type == "Polygon" {
			parts = make([]orb.Polygon, 1)
			require.NoError(t, json.Unmarshal(f.Geometry.Coordinates, &parts[0]))
		} else {
			require.NoError(t, json.Unmarshal(f.Geometry.Coordinates, &parts))
		}
		// The map's own resolution, so that both sides judge the same lines.
		for _, part := range parts {
			for _, ring := range part {
				for i := range ring {
					ring[i] = orb.Point{math.Round(ring[i][0] * 1e6), math.Round(ring[i][1] * 1e6)}
				}
			}
		}
		code, err := f.Properties.Code.Int64()
		require.NoError(t, err)
		r.codes = append(r.codes, uint32(code))
		r.parts = append(r.parts, parts)
	}
	return r
}

func (r reference) locate(p geo.Point) []uint32 {
	at := orb.Point{float64(p.Lon), float64(p.Lat)}
	var out []uint32
	for i, parts := range r.parts {
		for _, part := range parts {
			if planar.PolygonContains(part, at) {
				out = append(out, r.codes[i])
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

// onBorder reports whether p lies exactly on an edge, where orb counts it to both sides and the map to one.
func (r reference) onBorder(p geo.Point) bool {
	for _, parts := range r.parts {
		for _, part := range parts {
			for _, ring := range part {
				for i := 1; i < len(ring); i++ {
					a, b := ring[i-1], ring[i]
					cross := (b[0]-a[0])*(float64(p.Lat)-a[1]) - (b[1]-a[1])*(float64(p.Lon)-a[0])
					if cross == 0 && float64(p.Lat) >= min(a[1], b[1]) && float64(p.Lat) <= max(a[1], b[1]) {
						return true
					}
				}
			}
		}
	}
	return false
}

func (r reference) check(t require.TestingT, m *geo.Map, p geo.Point) {
	got := m.Locate(p)
	held := []uint32(nil)
	if !got.Gap {
		held = slices.Clone(got.Cities[:got.N])
	}
	want := r.locate(p)
	if !slices.Equal(want, held) && !r.onBorder(p) {
		require.Equal(t, want, held, "%+v", p)
	}
}

func TestLocateAgreesWithPointInPolygon(t *testing.T) {
	m, r := liaoning(t), loadReference(t)
	rapid.Check(t, func(t *rapid.T) {
		p := geo.Point{
			Lon: rapid.Int32Range(118_500_000, 126_000_000).Draw(t, "lon"),
			Lat: rapid.Int32Range(38_500_000, 43_700_000).Draw(t, "lat"),
		}
		r.check(t, m, p)
	})
}

// Uniform points hardly ever meet a border; these are all within 600 m of one.
func TestLocateAgreesWithPointInPolygonNearBorders(t *testing.T) {
	m, r := liaoning(t), loadReference(t)
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SampledFrom(r.parts).Draw(t, "city")
		ring := rapid.SampledFrom(parts).Draw(t, "part")[0]
		at := rapid.SampledFrom(ring).Draw(t, "vertex")
		r.check(t, m, geo.Point{
			Lon: int32(at[0]) + rapid.Int32Range(-7000, 7000).Draw(t, "east"),
			Lat: int32(at[1]) + rapid.Int32Range(-5000, 5000).Draw(t, "north"),
		})
	})
}

// gapReference looks at every edge of every city with the rule's own words.
func (r reference) gapReference(p geo.Point) []uint32 {
	const metres = 20003931.46 / 180e6
	kx := metres * math.Cos(float64(p.Lat)/1e6*math.Pi/180)
	type near struct {
		code uint32
		way  orb.Point
		far  float64
	}
	var all []near
	for i, parts := range r.parts {
		n := near{code: r.codes[i], far: math.Inf(1)}
		for _, part := range parts {
			for _, ring := range part {
				for k := 1; k < len(ring); k++ {
					a := orb.Point{(ring[k-1][0] - float64(p.Lon)) * kx, (ring[k-1][1] - float64(p.Lat)) * metres}
					b := orb.Point{(ring[k][0] - float64(p.Lon)) * kx, (ring[k][1] - float64(p.Lat)) * metres}
					dx, dy := b[0]-a[0], b[1]-a[1]
					t := 0.0
					if d := dx*dx + dy*dy; d > 0 {
						t = min(1, max(0, -(a[0]*dx+a[1]*dy)/d))
					}
					at := orb.Point{a[0] + t*dx, a[1] + t*dy}
					if far := math.Hypot(at[0], at[1]); far < n.far {
						n.far, n.way = far, at
					}
				}
			}
		}
		if n.far <= geo.GapWidth {
			all = append(all, n)
		}
	}
	for i, a := range all {
		for _, b := range all[:i] {
			if a.way[0]*b.way[0]+a.way[1]*b.way[1] < 0 && a.far+b.far <= geo.GapWidth {
				var codes []uint32
				for _, n := range all {
					codes = append(codes, n.code)
				}
				slices.Sort(codes)
				return codes
			}
		}
	}
	return nil
}

// Around known gaps and notches the indexed answer is the brute-force answer; both answers must occur, or the test would
// prove nothing.
func TestGapsAgreeWithBruteForce(t *testing.T) {
	m, r := liaoning(t), loadReference(t)
	random := rand.New(rand.NewPCG(2025, 6))
	gaps, outside := 0, 0
	for range 600 {
		at := defects[random.IntN(len(defects))]
		p := micro(at[0], at[1])
		p.Lon += random.Int32N(1600) - 800
		p.Lat += random.Int32N(1200) - 600
		got := m.Locate(p)
		if len(r.locate(p)) > 0 {
			require.False(t, got.Gap, "%+v", p)
			continue
		}
		want := r.gapReference(p)
		if len(want) == 0 {
			outside++
			require.Zero(t, got.N, "%+v", p)
			continue
		}
		gaps++
		require.True(t, got.Gap, "%+v", p)
		require.Equal(t, want, got.Cities[:got.N], "%+v", p)
	}
	require.Positive(t, gaps)
	require.Positive(t, outside)
}

// defects are gaps between cities and notches of the outer border between two cities.
var defects = [][2]float64{
	{121.26562, 41.82212}, {122.26428, 40.69262}, {123.47535, 41.46461}, {123.75146, 41.79543}, {123.79190, 42.01139},
	{121.02409, 42.24230}, {122.83759, 42.71660}, {125.58289, 40.91711}, {123.55274, 43.00519}, {122.76320, 42.70774},
}

// sharedVertices returns the vertices of a city that lie within some 100 m of another city's vertex.
func (r reference) sharedVertices() []orb.Point {
	const bucket = 1000
	owner := map[[2]int]int{}
	var out []orb.Point
	for i, parts := range r.parts {
		for _, part := range parts {
			for _, at := range part[0] {
				key := [2]int{int(at[0]) / bucket, int(at[1]) / bucket}
				if o, ok := owner[key]; ok && o != i {
					out = append(out, at)
				}
				owner[key] = i
			}
		}
	}
	return out
}

// Cases found by flooding the polygons' complement: they are the map's own defects, not places of choice.
func TestGapBetweenCitiesIsInsideAndTied(t *testing.T) {
	m := liaoning(t)
	for _, c := range []struct {
		lon, lat float64
		cities   []uint32
	}{
		{121.26562, 41.82212, []uint32{210900, 211300}},
		{122.26428, 40.69262, []uint32{210800, 211100}},
		{123.47535, 41.46461, []uint32{210100, 211000}}, // 109 m wide
		{123.75146, 41.79543, []uint32{210100, 210400}},
		{123.79190, 42.01139, []uint32{210100, 211200}},
	} {
		p := micro(c.lon, c.lat)
		l := m.Locate(p)
		require.True(t, l.Gap, "%v", c)
		require.True(t, l.Tie(), "%v", c)
		require.Equal(t, c.cities, l.Cities[:l.N], "%v", c)
		for _, city := range c.cities {
			got, inside := m.Decide(p, city)
			require.True(t, inside)
			require.Equal(t, city, got, "the merchant's city takes the tie")
		}
		got, inside := m.Decide(p, dalian)
		require.True(t, inside)
		require.Equal(t, c.cities[0], got, "a merchant from elsewhere: the lowest code")
	}
}

func TestNotchOfOuterBorderIsOutside(t *testing.T) {
	m := liaoning(t)
	for _, p := range []geo.Point{
		micro(121.02409, 42.24230), // Inner Mongolia, between Chaoyang and Fuxin
		micro(122.83759, 42.71660), // Inner Mongolia, between Fuxin and Shenyang
		micro(125.58289, 40.91711), // Jilin, between Dandong and Benxi
		micro(123.55274, 43.00519), // Inner Mongolia, between Shenyang and Tieling
	} {
		require.Equal(t, geo.Location{}, m.Locate(p), "%+v", p)
	}
}

func TestOverlapGoesToMerchantsCityElseLowestCode(t *testing.T) {
	m, r := liaoning(t), loadReference(t)
	random := rand.New(rand.NewPCG(2025, 7))
	shared := r.sharedVertices()
	overlaps := 0
	for range 4000 {
		at := shared[random.IntN(len(shared))]
		p := geo.Point{Lon: int32(at[0]) + random.Int32N(600) - 300, Lat: int32(at[1]) + random.Int32N(600) - 300}
		held := r.locate(p)
		if len(held) < 2 || r.onBorder(p) {
			continue
		}
		overlaps++
		for _, city := range held {
			got, inside := m.Decide(p, city)
			require.True(t, inside)
			require.Equal(t, city, got)
		}
		got, _ := m.Decide(p, 999999)
		require.Equal(t, held[0], got)
	}
	require.Positive(t, overlaps)
}

// A point of one city only is that city's, wherever the merchant is and however near the border.
func TestMerchantsCityWinsNoPointOfAnotherCity(t *testing.T) {
	m := liaoning(t)
	city, inside := m.Decide(micro(123.433, 41.817), dalian)
	require.True(t, inside)
	require.Equal(t, uint32(shenyang), city)
}

func TestLandmarks(t *testing.T) {
	text, err := os.ReadFile("testdata/geo_points.json")
	require.NoError(t, err)
	var file struct {
		Sensitive struct {
			Points []struct {
				Lon, Lat float64
				Expect   string `json:"expect_code"`
				Ignored  string `json:"pip_code_if_crs_ignored"`
			}
		} `json:"crs_sensitive_derived"`
		Points []struct {
			Name     string
			Lon, Lat float64
			Expect   string `json:"expect_code"`
			Inside   bool
		}
	}
	require.NoError(t, json.Unmarshal(text, &file))
	require.NotEmpty(t, file.Points)
	require.NotEmpty(t, file.Sensitive.Points)
	m := liaoning(t)
	for _, p := range file.Points {
		for _, merchant := range []uint32{0, shenyang, dalian, yingkou} {
			city, inside := m.Decide(micro(p.Lon, p.Lat), merchant)
			require.Equal(t, p.Inside, inside, p.Name)
			require.Equal(t, p.Expect, codeText(city), p.Name)
		}
	}
	for _, p := range file.Sensitive.Points {
		at := micro(p.Lon, p.Lat)
		for _, crs := range []geo.CRS{geo.WGS84, geo.GCJ02, geo.BD09} {
			city, inside := m.Decide(geo.ToWGS84(geo.FromWGS84(at, crs), crs), tieling)
			require.True(t, inside)
			require.Equal(t, p.Expect, codeText(city), "sent as %s", crs)
		}
		// Taken for GCJ-02 the same numbers name another place: the test sees a conversion done wrongly.
		wrong, _ := m.Decide(geo.ToWGS84(at, geo.GCJ02), 0)
		require.Equal(t, p.Ignored, codeText(wrong))
	}
}

func codeText(city uint32) string {
	if city == 0 {
		return ""
	}
	return strconv.Itoa(int(city))
}

func TestCitiesAreListedByCode(t *testing.T) {
	cities := liaoning(t).Cities()
	require.Len(t, cities, 14)
	require.Equal(t, geo.City{Code: shenyang, Name: "沈阳市"}, cities[0])
	require.Equal(t, uint32(211400), cities[13].Code)
}

func TestFarPointsAreOutside(t *testing.T) {
	m := liaoning(t)
	for _, p := range []geo.Point{
		{}, {Lon: math.MinInt32, Lat: math.MinInt32}, {Lon: math.MaxInt32, Lat: math.MaxInt32},
		{Lon: -180e6, Lat: -90e6}, {Lon: 180e6, Lat: 90e6}, {Lon: 123_433_000, Lat: 90e6}, {Lon: 0, Lat: 41_817_000},
	} {
		require.Equal(t, geo.Location{}, m.Locate(p), "%+v", p)
	}
}

func TestLookUpAllocatesNothing(t *testing.T) {
	m := liaoning(t)
	points := []geo.Point{micro(123.433, 41.817), micro(123.47535, 41.46461), micro(120, 39), micro(123.552, 43.005)}
	text := []byte("G123.431500,41.805700,12")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for _, p := range points {
			m.Decide(geo.ToWGS84(p, geo.BD09), shenyang)
		}
		_, _, _, _ = geo.ParsePosition(text)
	}))
}

func TestLoadRefusesWhatIsNoMap(t *testing.T) {
	feature := func(code, geometry string) string {
		return `{"type":"FeatureCollection","features":[{"properties":{"code":"` + code + `"},"geometry":` + geometry + `}]}`
	}
	square := `{"type":"Polygon","coordinates":[[[120,40],[121,40],[121,41],[120,40]]]}`
	for name, text := range map[string]string{
		"not JSON":         `{`,
		"no features":      `{"type":"FeatureCollection","features":[]}`,
		"another type":     `{"type":"Feature","features":[{}]}`,
		"code not digits":  feature("沈阳", square),
		"code too short":   feature("21", square),
		"a line":           feature("210100", `{"type":"LineString","coordinates":[[120,40],[121,40]]}`),
		"open ring":        feature("210100", `{"type":"Polygon","coordinates":[[[120,40],[121,40],[121,41],[120,41]]]}`),
		"three points":     feature("210100", `{"type":"Polygon","coordinates":[[[120,40],[121,40],[120,40]]]}`),
		"not on earth":     feature("210100", `{"type":"Polygon","coordinates":[[[220,40],[221,40],[221,41],[220,40]]]}`),
		"a continent":      feature("210100", `{"type":"Polygon","coordinates":[[[80,40],[121,40],[121,41],[80,40]]]}`),
		"the date line":    feature("210100", `{"type":"Polygon","coordinates":[[[179,40],[180,40],[180,41],[179,40]]]}`),
		"no border at all": feature("210100", `{"type":"Polygon","coordinates":[[[120,40],[120,40],[120,40],[120,40]]]}`),
		"twice the same": `{"type":"FeatureCollection","features":[{"properties":{"code":"210100"},"geometry":` + square +
			`},{"properties":{"code":"210100"},"geometry":` + square + `}]}`,
	} {
		_, err := geo.Load([]byte(text))
		require.ErrorIs(t, err, geo.ErrMap, name)
	}
	_, err := geo.Load([]byte(feature("210100", square)))
	require.NoError(t, err)
}

func BenchmarkDecide(b *testing.B) {
	m := liaoning(b)
	for name, p := range map[string]geo.Point{
		"centre": micro(123.433, 41.817), "border": micro(123.66368, 42.55023),
		"gap": micro(123.47535, 41.46461), "outside": micro(119.6005, 39.9354),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Decide(p, shenyang)
			}
		})
	}
}
