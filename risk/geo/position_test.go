package geo_test

import (
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

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"type":"FeatureCollection","features":[{"properties":{"code":"210100"},"geometry":` +
		`{"type":"Polygon","coordinates":[[[120,40],[121,40],[121,41],[120,40]]]}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := geo.Load(text)
		if err != nil {
			require.ErrorIs(t, err, geo.ErrMap)
			return
		}
		m.Locate(geo.Point{Lon: 120_500_000, Lat: 40_200_000})
	})
}
