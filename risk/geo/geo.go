// Package geo answers one question about a purchase: in which city of the programme's province does it happen (D6)?
//
// It holds the polygons of a province's cities, converts the three coordinate systems that phones in China send, and
// reads the position text of a till message. It does not judge: what a position outside the province means for a
// subsidy is risk.PlaceRule's matter.
//
// The contract:
//
//   - Positions are Points: integer micro-degrees (1e-6°, at most 0.11 m), because that is what the journal stores. Point in
//     polygon is decided in integers, so the same Point gives the same city on every machine.
//   - A Map speaks WGS-84 only. The caller converts with ToWGS84 first; a GCJ-02 point taken for WGS-84 is some 500 m
//     off and lands in the wrong city near a border.
//   - A Map is immutable after Load and safe for concurrent use. Locate and Decide allocate nothing.
//
// # Ties
//
// The public polygons are drawn on a grid of 1/1024° (109 m north-south, about 82 m east-west in Liaoning), each city on
// its own, so neighbours overlap in places and leave gaps in others. Both are ties, and both are real places with shops:
//
//   - in two or more polygons: each of those cities is a candidate;
//   - in no polygon, but in a gap between two cities of the province: each city within GapWidth is a candidate. A point
//     is in a gap when two cities lie on opposite sides of it (the ways to their nearest points make more than a right
//     angle) and the two ways together are no longer than GapWidth.
//
// Opposite sides are what tells a gap from the outside: seen from the sea, another province or another country, all
// cities of this one lie on one side, also where two of them meet at the outer border. So a gap admits nothing across
// the outer border. Where the outer border itself is notched between two cities, the width decides: on the map of
// Liaoning the widest gap measures 109 m and the narrowest notch that a point was found in 165 m.
//
// A tie goes to the merchant's city when it is a candidate, otherwise to the candidate with the lowest code.
package geo

import (
	_ "embed"
	"math"
	"slices"
)

// LiaoningGeoJSON is the map of Liaoning: 14 cities, WGS-84, properties.code = GB/T 2260. Decoded from echarts 4.9.0
// (Apache-2.0), its GCJ-02 original converted by an exact inverse. Showing it to the public in China needs a map review
// number; deciding with it does not.
//
//go:embed liaoning.geojson
var LiaoningGeoJSON []byte

// GapWidth is the widest gap, in metres, that two neighbouring polygons can leave. Drawn on a 1/1024° grid, each of them
// misses the true border by at most half the diagonal of a grid step; a whole diagonal is 136 m in Liaoning. The rest is
// allowance for the conversion from GCJ-02.
const GapWidth = 150.0

// MaxCandidates bounds the cities of one Location. Where more than three meet, the lowest codes are kept.
const MaxCandidates = 3

// metresPerMicro is one micro-degree of latitude in metres (meridian length / 180°, WGS-84 mean).
const metresPerMicro = 20003931.46 / 180e6

// Point is a position in micro-degrees (1e-6°). East and north are positive.
type Point struct{ Lon, Lat int32 }

// Location is where a Point lies. The zero Location is outside the province.
type Location struct {
	// Cities are the first N candidates: division codes, ascending.
	Cities [MaxCandidates]uint32
	N      int
	// Gap says that no polygon holds the point and the candidates are the cities on both sides of the gap.
	Gap bool
}

// Has reports whether city is a candidate.
func (l Location) Has(city uint32) bool {
	return slices.Contains(l.Cities[:l.N], city)
}

// Tie reports whether there is more than one candidate.
func (l Location) Tie() bool { return l.N > 1 }

// Choose settles a tie: the merchant's city when it is a candidate, otherwise the lowest code. inside is false when
// there is no candidate; city is then 0.
func (l Location) Choose(merchantCity uint32) (city uint32, inside bool) {
	if l.N == 0 {
		return 0, false
	}
	if l.Has(merchantCity) {
		return merchantCity, true
	}
	return l.Cities[0], true
}

// Decide is Locate followed by Choose: the city that p (WGS-84) counts for, and whether it is in the province at all.
func (m *Map) Decide(p Point, merchantCity uint32) (city uint32, inside bool) {
	return m.Locate(p).Choose(merchantCity)
}

// Locate returns the candidate cities of p (WGS-84).
func (m *Map) Locate(p Point) Location {
	c := m.cell(p)
	if c == nil {
		return Location{}
	}
	var l Location
	held := c.full
	for mixed := c.mixed; mixed != 0; mixed &= mixed - 1 {
		i := trailing(mixed)
		if m.cities[i].contains(p) {
			held |= 1 << i
		}
	}
	if held != 0 {
		m.fill(&l, held)
		return l
	}
	if near := m.gap(c, p); near != 0 {
		l.Gap = true
		m.fill(&l, near)
	}
	return l
}

// fill writes the cities of set, which are in ascending order of code because Load sorted them.
func (m *Map) fill(l *Location, set uint64) {
	for ; set != 0 && l.N < MaxCandidates; set &= set - 1 {
		l.Cities[l.N] = m.cities[trailing(set)].code
		l.N++
	}
}

// gap returns the cities within GapWidth of p when p lies in a gap between two of them, otherwise none. c is p's cell:
// its border list holds every edge within GapWidth of any of its points.
func (m *Map) gap(c *cell, p Point) uint64 {
	edges := m.border[c.borderFrom:c.borderTo]
	if len(edges) == 0 {
		return 0
	}
	kx := metresPerMicro * math.Cos(float64(p.Lat)*(math.Pi/180e6))
	noWay := way{x: math.Inf(1)}
	var (
		near  uint64
		ways  [maxNear]way // nearest point of each near city, seen from p, in metres
		n     int
		owner = -1
		best  = noWay
	)
	// Edges of one city stand together.
	for i := range edges {
		e := &edges[i]
		if int(e.city) != owner {
			n = keep(&ways, n, best, owner, &near)
			owner, best = int(e.city), noWay
		}
		if w := e.wayFrom(p, kx); w.square() < best.square() {
			best = w
		}
	}
	n = keep(&ways, n, best, owner, &near)

	for i := range n {
		for j := range i {
			a, b := ways[i], ways[j]
			opposite := a.x*b.x+a.y*b.y < 0
			if opposite && math.Sqrt(a.square())+math.Sqrt(b.square()) <= GapWidth {
				return near
			}
		}
	}
	return 0
}

// maxNear bounds how many cities are looked at around one gap; no place on a map has so many within GapWidth.
const maxNear = 8

// keep adds the nearest way to one city when it is within GapWidth.
func keep(ways *[maxNear]way, n int, w way, owner int, near *uint64) int {
	if owner < 0 || n == maxNear || w.square() > GapWidth*GapWidth {
		return n
	}
	ways[n] = w
	*near |= 1 << owner
	return n + 1
}

// way is a vector in metres, east and north.
type way struct{ x, y float64 }

func (w way) square() float64 { return w.x*w.x + w.y*w.y }

// wayFrom returns the way from p to the nearest point of the edge, on a plane that touches the earth at p. Within
// GapWidth that plane is exact to millimetres.
func (e *borderEdge) wayFrom(p Point, kx float64) way {
	ax, ay := float64(e.a.Lon-p.Lon)*kx, float64(e.a.Lat-p.Lat)*metresPerMicro
	bx, by := float64(e.b.Lon-p.Lon)*kx, float64(e.b.Lat-p.Lat)*metresPerMicro
	dx, dy := bx-ax, by-ay
	t := 0.0
	if d := dx*dx + dy*dy; d > 0 {
		t = min(1, max(0, -(ax*dx+ay*dy)/d))
	}
	return way{ax + t*dx, ay + t*dy}
}
