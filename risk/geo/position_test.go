package geo_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/risk/geo"
)

func TestPositionTextIsRead(t *testing.T) {
	for _, c := range []struct {
		text string
		p    geo.Point
		crs  geo.CRS
		age  uint32
	}{
		{"W123.431500,41.805700,12", geo.Point{Lon: 123_431_500, Lat: 41_805_700}, geo.WGS84, 12},
		{"G123.4376,41.8081,0", geo.Point{Lon: 123_437_600, Lat: 41_808_100}, geo.GCJ02, 0},
		{"B123,41,0", geo.Point{Lon: 123_000_000, Lat: 41_000_000}, geo.BD09, 0},
		{"W123.43763570,41.80812804,999999", geo.Point{Lon: 123_437_636, Lat: 41_808_128}, geo.WGS84, 999999},
		{"W-0.0000005,-90,0", geo.Point{Lon: -1, Lat: -90_000_000}, geo.WGS84, 0},
		{"W180.00000000,90.0,7", geo.Point{Lon: 180_000_000, Lat: 90_000_000}, geo.WGS84, 7},
	} {
		p, crs, age, err := geo.ParsePosition([]byte(c.text))
		require.NoError(t, err, c.text)
		require.Equal(t, c.p, p, c.text)
		require.Equal(t, c.crs, crs, c.text)
		require.Equal(t, c.age, age, c.text)
	}
}

func TestMalformedPositionIsRefused(t *testing.T) {
	for text, says := range map[string]string{
		"":                                 "empty",
		"123.4,41.8":                       "byte 1",
		"w123.4,41.8":                      "byte 1",
		"W":                                "longitude, byte 2",
		"W,41.8":                           "longitude, byte 2",
		"W123.4":                           "longitude, byte 7",
		"W123.4,":                          "latitude, byte 8",
		"W 123.4,41.8":                     "longitude, byte 2",
		"W+123.4,41.8":                     "longitude, byte 2",
		"W123.,41.8":                       "longitude, byte 6",
		"W.5,41.8":                         "longitude, byte 2",
		"W1e2,41.8":                        "longitude, byte 3",
		"W180.000001,41.8":                 "longitude, byte 2",
		"W1234.5,41.8":                     "longitude, byte 5",
		"W123.4,90.00000001":               "latitude, byte 8",
		"W123.4,41.8x":                     "latitude, byte 12",
		"W123.4,41.8":                      "no age",
		"W123.4,41.8,":                     "age has 0 digits",
		"W123.4,41.8,1234567":              "age has 7 digits",
		"W123.4,41.8,-1":                   "age, byte 13",
		"W123.4,41.8,1.5":                  "age, byte 14",
		"W123.123456789,41.8":              "longitude, byte 14",
		"W123.4,41.8,1\n":                  "age, byte 14",
		"W" + strings.Repeat("1", 40):      "41 bytes",
		"NaN,NaN":                          "byte 1",
		"W一二三,四一":                          "longitude, byte 2",
		"W123.431500,41.805700,12,surplus": "age has 10 digits",
	} {
		_, _, _, err := geo.ParsePosition([]byte(text))
		require.ErrorIs(t, err, geo.ErrPosition, text)
		require.ErrorContains(t, err, says, text)
	}
}

func TestPointOfTwoTextsIsRead(t *testing.T) {
	p, err := geo.ParsePoint([]byte("123.4315"), []byte("-41.8057"))
	require.NoError(t, err)
	require.Equal(t, geo.Point{Lon: 123_431_500, Lat: -41_805_700}, p)
	for _, bad := range [][2]string{
		{"", "41"}, {"123", ""}, {"123,", "41"}, {"123", "41,5"}, {"180.1", "41"}, {"123", "90.1"}, {"W123", "41"}, {"123", "41 "},
	} {
		p, err := geo.ParsePoint([]byte(bad[0]), []byte(bad[1]))
		require.ErrorIs(t, err, geo.ErrPosition, "%q", bad)
		require.Zero(t, p)
	}
}

func TestPositionTextRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := geo.Point{
			Lon: rapid.Int32Range(-180e6, 180e6).Draw(t, "lon"),
			Lat: rapid.Int32Range(-90e6, 90e6).Draw(t, "lat"),
		}
		crs := rapid.SampledFrom([]geo.CRS{geo.WGS84, geo.GCJ02, geo.BD09}).Draw(t, "crs")
		age := rapid.Uint32Range(0, 999_999).Draw(t, "age")
		text := geo.AppendPosition(nil, p, crs, age)
		q, c, a, err := geo.ParsePosition(text)
		require.NoError(t, err, string(text))
		require.Equal(t, p, q)
		require.Equal(t, crs, c)
		require.Equal(t, age, a)
	})
}

func FuzzParsePosition(f *testing.F) {
	for _, seed := range []string{"W123.431500,41.805700,12", "G123.4,41.8,0", "G123.4,41.8", "B-1,-2,3", "W180,90", "W180,90,999999", "W,,", "W1.,2", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, crs, age, err := geo.ParsePosition(text)
		if err != nil {
			require.ErrorIs(t, err, geo.ErrPosition)
			require.Zero(t, p)
			return
		}
		require.True(t, crs.Valid())
		require.True(t, p.Lon >= -180e6 && p.Lon <= 180e6 && p.Lat >= -90e6 && p.Lat <= 90e6)
		q, c, a, err := geo.ParsePosition(geo.AppendPosition(nil, p, crs, age))
		require.NoError(t, err)
		require.Equal(t, p, q)
		require.Equal(t, crs, c)
		require.Equal(t, age, a)
	})
}

// outline is a map read a second time, without any index.
type outline struct {
	Features []struct {
		Properties struct{ Code string }
		Geometry   struct {
			Type        string
			Coordinates json.RawMessage
		}
	}
}

// holders are the codes of the features that hold p: those of whose edges a ray to the east crosses an odd number.
func (o *outline) holders(t testing.TB, p geo.Point) (codes []uint32) {
	for _, f := range o.Features {
		parts := make([][][][]float64, 1)
		into := any(&parts)
		if f.Geometry.Type == "Polygon" {
			into = &parts[0]
		}
		require.NoError(t, json.Unmarshal(f.Geometry.Coordinates, into))
		inside := false
		for _, ring := range slices.Concat(parts...) {
			for i := 1; i < len(ring); i++ {
				a, b := micro(ring[i-1][0], ring[i-1][1]), micro(ring[i][0], ring[i][1])
				if (a.Lat > p.Lat) == (b.Lat > p.Lat) {
					continue
				}
				if a.Lat > b.Lat {
					a, b = b, a
				}
				left := int64(b.Lon-a.Lon)*int64(p.Lat-a.Lat) - int64(b.Lat-a.Lat)*int64(p.Lon-a.Lon)
				if left > 0 {
					inside = !inside
				}
			}
		}
		if inside {
			code, err := strconv.ParseUint(f.Properties.Code, 10, 32)
			require.NoError(t, err)
			codes = append(codes, uint32(code))
		}
	}
	slices.Sort(codes)
	return codes[:min(len(codes), geo.MaxCandidates)]
}

// FuzzLoad: what is no map is refused, and a map answers as its polygons do, in bounded memory.
func FuzzLoad(f *testing.F) {
	feature := func(code, kind, coordinates string) string {
		return `{"properties":{"code":"` + code + `"},"geometry":{"type":"` + kind + `","coordinates":` + coordinates + `}}`
	}
	whole := func(features ...string) []byte {
		return []byte(`{"type":"FeatureCollection","features":[` + strings.Join(features, ",") + `]}`)
	}
	f.Add(whole(feature("210100", "Polygon", `[[[120,40],[121,40],[121,41],[120,40]]]`)), int32(120_500_000), int32(40_200_000))
	f.Add(whole(feature("210100", "Polygon", `[[[120,40],[121,40],[121,41],[120,41],[120,40]],[[120.2,40.2],[120.4,40.2],[120.4,40.4],[120.2,40.2]]]`),
		feature("210200", "MultiPolygon", `[[[[121.001,40],[122,40],[122,41],[121.001,41],[121.001,40]]],[[[120.25,40.25],[120.3,40.25],[120.3,40.3],[120.25,40.25]]]]`)),
		int32(121_000_500), int32(40_500_000))
	f.Add(whole(feature("210100", "Polygon", `[[[120,40],[150,70],[121,40],[149,70],[120,40]]]`)), int32(130_000_000), int32(50_000_000))
	f.Add(whole(feature("210100", "Polygon", `[[[179.9,84],[179.99,84.9],[179.8,84],[179.9,84]]]`)), int32(179_900_000), int32(84_100_000))
	f.Fuzz(func(t *testing.T, text []byte, lon, lat int32) {
		m, err := geo.Load(text)
		if err != nil {
			require.ErrorIs(t, err, geo.ErrMap)
			return
		}
		var o outline
		require.NoError(t, json.Unmarshal(text, &o))
		for _, p := range []geo.Point{{Lon: 120_500_000, Lat: 40_200_000}, {Lon: lon % 180e6, Lat: lat % 90e6}} {
			got := m.Locate(p)
			want := o.holders(t, p)
			if got.Gap {
				require.Empty(t, want)
				continue
			}
			require.True(t, slices.Equal(want, got.Cities[:got.N]), "%v: want %v, got %+v", p, want, got)
		}
	})
}

// A thousand edges across the whole map would stand in every cell of it.
func TestAMapOfLongEdgesTakesNoEndOfMemory(t *testing.T) {
	ring := []string{"[100,30]"}
	for i := range 1000 {
		ring = append(ring, fmt.Sprintf("[%d,%d]", 100+29*(i%2), 30+29*(i%2)), fmt.Sprintf("[%.3f,30]", 100+float64(i)/1000))
	}
	ring = append(ring, ring[0])
	text := `{"type":"FeatureCollection","features":[{"properties":{"code":"210100"},"geometry":{"type":"Polygon","coordinates":[[` +
		strings.Join(ring, ",") + `]]}}]}`
	_, err := geo.Load([]byte(text))
	require.ErrorIs(t, err, geo.ErrMap)
	require.ErrorContains(t, err, "210100")
}
