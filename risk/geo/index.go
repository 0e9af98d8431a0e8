package geo

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
)

// ErrMap is returned by Load for a file that is not a usable map; the error wrapping it says what is wrong with it.
var ErrMap = errors.New("not a city map")

const (
	cellSize   = 15625 // micro-degrees, 1/64°: about 1.7 km × 1.3 km, many gaps wide
	bandHeight = 7812  // micro-degrees of latitude, about 1/128°
	maxCities  = 64    // bits of a set
	// maxSpan bounds the map's width and height, and with them the index: no province is 30° wide.
	maxSpan = 30_000_000
	// maxIndex bounds what the borders take in the index, where a long slanting edge stands in every cell of its box: a
	// thousand of them would take 70 GB. Liaoning's take 45 thousand.
	maxIndex = 1_000_000
)

// Map is the cities of a province, indexed. Three structures serve one look-up:
//
//   - cells, a grid over the bounding box: which cities cover the whole cell, and which have a border in it. Most of a
//     province's area is decided here by one load;
//   - for each city, edges by latitude band: a crossing count looks at the one band that holds the point;
//   - border, for each cell the edges within GapWidth of it, for points that no polygon holds.
type Map struct {
	cities     []city // ascending code
	minLon     int32
	minLat     int32
	cols, rows int
	cells      []cell
	border     []borderEdge
}

type cell struct {
	full, mixed          uint64 // bit i = cities[i]
	borderFrom, borderTo uint32
}

type borderEdge struct {
	a, b Point
	city uint8
}

type edge struct{ a, b Point }

type city struct {
	code      uint32
	name      string
	edges     []edge // as drawn
	minLat    int32
	bandStart []uint32
	bandEdges []edge // edges of band i: bandEdges[bandStart[i]:bandStart[i+1]]
}

// City is one city of the map.
type City struct {
	Code uint32 // GB/T 2260
	Name string
}

// Cities returns the map's cities in ascending order of code.
func (m *Map) Cities() []City {
	out := make([]City, len(m.cities))
	for i, c := range m.cities {
		out[i] = City{c.code, c.name}
	}
	return out
}

// Load reads a GeoJSON FeatureCollection (RFC 7946) of Polygon and MultiPolygon features in WGS-84 whose
// properties.code is the six-digit division code, and indexes it. Errors wrap ErrMap.
func Load(geojson []byte) (*Map, error) {
	cities, err := decode(geojson)
	if err != nil {
		return nil, err
	}
	m := &Map{cities: cities}
	if err := m.layGrid(); err != nil {
		return nil, err
	}
	for i := range m.cities {
		m.cities[i].layBands()
	}
	m.layCells()
	m.layBorder()
	return m, nil
}

type collection struct {
	Type     string `json:"type"`
	Features []struct {
		Properties struct {
			Code string `json:"code"`
			Name string `json:"name"`
		} `json:"properties"`
		Geometry struct {
			Type        string          `json:"type"`
			Coordinates json.RawMessage `json:"coordinates"`
		} `json:"geometry"`
	} `json:"features"`
}

func decode(geojson []byte) ([]city, error) {
	var c collection
	if err := json.Unmarshal(geojson, &c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMap, err)
	}
	if c.Type != "FeatureCollection" || len(c.Features) == 0 || len(c.Features) > maxCities {
		return nil, fmt.Errorf("%w: want a FeatureCollection of 1 to %d features, have %q of %d",
			ErrMap, maxCities, c.Type, len(c.Features))
	}
	cities := make([]city, 0, len(c.Features))
	for i, f := range c.Features {
		code, err := strconv.ParseUint(f.Properties.Code, 10, 32)
		if err != nil || code < 100000 || code > 999999 {
			return nil, fmt.Errorf("%w: feature %d: code %q is not a six-digit division code", ErrMap, i, f.Properties.Code)
		}
		edges, err := decodeEdges(f.Geometry.Type, f.Geometry.Coordinates)
		if err != nil {
			return nil, fmt.Errorf("%w: feature %s: %w", ErrMap, f.Properties.Code, err)
		}
		cities = append(cities, city{code: uint32(code), name: f.Properties.Name, edges: edges})
	}
	slices.SortFunc(cities, func(a, b city) int { return cmp.Compare(a.code, b.code) })
	for i := 1; i < len(cities); i++ {
		if cities[i].code == cities[i-1].code {
			return nil, fmt.Errorf("%w: code %d stands twice", ErrMap, cities[i].code)
		}
	}
	return cities, nil
}

// decodeEdges flattens a geometry to its edges. Which ring or part an edge came from no longer matters: a point is
// inside when a ray from it crosses an odd number of them, holes and islands included.
func decodeEdges(kind string, coordinates json.RawMessage) ([]edge, error) {
	var parts [][][][]float64
	switch kind {
	case "Polygon":
		parts = make([][][][]float64, 1)
		if err := json.Unmarshal(coordinates, &parts[0]); err != nil {
			return nil, err
		}
	case "MultiPolygon":
		if err := json.Unmarshal(coordinates, &parts); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("geometry is %q, want Polygon or MultiPolygon", kind)
	}
	var edges []edge
	for _, part := range parts {
		for _, ring := range part {
			if len(ring) < 4 {
				return nil, fmt.Errorf("a ring has %d points, want at least 4", len(ring))
			}
			points := make([]Point, len(ring))
			for i, at := range ring {
				if len(at) < 2 || math.Abs(at[0]) > 180 || math.Abs(at[1]) > 90 {
					return nil, fmt.Errorf("point %d of a ring is no longitude and latitude: %v", i, at)
				}
				points[i] = Point{toMicro(at[0]), toMicro(at[1])}
			}
			if points[0] != points[len(points)-1] {
				return nil, errors.New("a ring is not closed")
			}
			for i := 1; i < len(points); i++ {
				if points[i] != points[i-1] {
					edges = append(edges, edge{points[i-1], points[i]})
				}
			}
		}
	}
	if len(edges) == 0 {
		return nil, errors.New("no border")
	}
	return edges, nil
}

func toMicro(degrees float64) int32 { return int32(math.Round(degrees * 1e6)) }

// reach is GapWidth in micro-degrees of longitude and latitude at the given latitude, rounded up.
func reach(lat int32) (lon, vertical int32) {
	v := GapWidth / metresPerMicro
	return int32(v/math.Cos(float64(lat)*(math.Pi/180e6))) + 1, int32(v) + 1
}

// layGrid finds the box around all cities, widened by GapWidth.
func (m *Map) layGrid() error {
	lo, hi := Point{math.MaxInt32, math.MaxInt32}, Point{math.MinInt32, math.MinInt32}
	for _, c := range m.cities {
		for _, e := range c.edges {
			lo.Lon, hi.Lon = min(lo.Lon, e.a.Lon), max(hi.Lon, e.a.Lon)
			lo.Lat, hi.Lat = min(lo.Lat, e.a.Lat), max(hi.Lat, e.a.Lat)
		}
	}
	width, height := int64(hi.Lon)-int64(lo.Lon), int64(hi.Lat)-int64(lo.Lat)
	if width > maxSpan || height > maxSpan || hi.Lat > 85e6 || lo.Lat < -85e6 {
		return fmt.Errorf("%w: it spans %.1f° × %.1f°, more than a province", ErrMap, float64(width)/1e6, float64(height)/1e6)
	}
	// 85° keeps the reach finite; a province on the date line would need another map type.
	dx, dy := reach(max(hi.Lat, -lo.Lat))
	if int64(lo.Lon)-int64(dx) < -180e6 || int64(hi.Lon)+int64(dx) > 180e6 {
		return fmt.Errorf("%w: it touches the date line", ErrMap)
	}
	if err := m.checkIndex(); err != nil {
		return err
	}
	m.minLon, m.minLat = lo.Lon-dx, lo.Lat-dy
	m.cols = int((hi.Lon+dx-m.minLon)/cellSize) + 1
	m.rows = int((hi.Lat+dy-m.minLat)/cellSize) + 1
	m.cells = make([]cell, m.cols*m.rows)
	return nil
}

// checkIndex counts, before anything is allocated for them, the cells and bands in which edges will stand.
func (m *Map) checkIndex() error {
	entries := 0
	for _, c := range m.cities {
		for _, e := range c.edges {
			dx, dy := reach(max(abs(e.a.Lat), abs(e.b.Lat)))
			width, height := int(abs(e.b.Lon-e.a.Lon)), int(abs(e.b.Lat-e.a.Lat))
			entries += ((width+2*int(dx))/cellSize+2)*((height+2*int(dy))/cellSize+2) + height/bandHeight + 2
			if entries > maxIndex {
				return fmt.Errorf("%w: the border of %d is drawn in edges that are too long; more and shorter ones take less room", ErrMap, c.code)
			}
		}
	}
	return nil
}

// cell returns the cell of p, nil outside the grid.
func (m *Map) cell(p Point) *cell {
	dx, dy := int64(p.Lon)-int64(m.minLon), int64(p.Lat)-int64(m.minLat)
	if dx < 0 || dy < 0 {
		return nil
	}
	x, y := int(dx/cellSize), int(dy/cellSize)
	if x >= m.cols || y >= m.rows {
		return nil
	}
	return &m.cells[y*m.cols+x]
}

// span calls visit with every cell that the edge's bounding box, widened by dx and dy, touches. A box instead of the
// line itself costs a few needless entries and cannot miss one.
func (m *Map) span(e edge, dx, dy int32, visit func(*cell)) {
	x0 := max(0, int(min(e.a.Lon, e.b.Lon)-dx-m.minLon)/cellSize)
	x1 := min(m.cols-1, int(max(e.a.Lon, e.b.Lon)+dx-m.minLon)/cellSize)
	y0 := max(0, int(min(e.a.Lat, e.b.Lat)-dy-m.minLat)/cellSize)
	y1 := min(m.rows-1, int(max(e.a.Lat, e.b.Lat)+dy-m.minLat)/cellSize)
	for y := y0; y <= y1; y++ {
		for x := x0; x <= x1; x++ {
			visit(&m.cells[y*m.cols+x])
		}
	}
}

// layCells marks where each city has a border, then asks every other cell's centre.
func (m *Map) layCells() {
	for i, c := range m.cities {
		for _, e := range c.edges {
			m.span(e, 0, 0, func(c *cell) { c.mixed |= 1 << i })
		}
	}
	for at := range m.cells {
		c := &m.cells[at]
		centre := Point{
			m.minLon + int32(at%m.cols)*cellSize + cellSize/2,
			m.minLat + int32(at/m.cols)*cellSize + cellSize/2,
		}
		for i := range m.cities {
			if c.mixed&(1<<i) == 0 && m.cities[i].contains(centre) {
				c.full |= 1 << i
			}
		}
	}
}

// layBorder lists, for each cell that a city does not wholly cover, the edges within GapWidth of it, city by city.
func (m *Map) layBorder() {
	visit := func(do func(c *cell, e borderEdge)) {
		for i, c := range m.cities {
			for _, e := range c.edges {
				// The wider of the two ends' reaches, which differ by a metre.
				dx, dy := reach(max(abs(e.a.Lat), abs(e.b.Lat)))
				m.span(e, dx, dy, func(c *cell) {
					if c.full == 0 {
						do(c, borderEdge{e.a, e.b, uint8(i)})
					}
				})
			}
		}
	}
	visit(func(c *cell, _ borderEdge) { c.borderTo++ })
	total := uint32(0)
	for i := range m.cells {
		c := &m.cells[i]
		n := c.borderTo
		c.borderFrom, c.borderTo = total, total
		total += n
	}
	m.border = make([]borderEdge, total)
	visit(func(c *cell, e borderEdge) {
		m.border[c.borderTo] = e
		c.borderTo++
	})
}

// layBands sorts a city's edges into bands of latitude.
func (c *city) layBands() {
	lo, hi := c.edges[0].a.Lat, c.edges[0].a.Lat
	for _, e := range c.edges {
		lo, hi = min(lo, e.a.Lat), max(hi, e.a.Lat)
	}
	c.minLat = lo
	bands := int(hi-lo)/bandHeight + 1
	c.bandStart = make([]uint32, bands+1)
	visit := func(do func(band int, e edge)) {
		for _, e := range c.edges {
			for b := int(min(e.a.Lat, e.b.Lat)-lo) / bandHeight; b <= int(max(e.a.Lat, e.b.Lat)-lo)/bandHeight; b++ {
				do(b, e)
			}
		}
	}
	visit(func(b int, _ edge) { c.bandStart[b+1]++ })
	for b := range bands {
		c.bandStart[b+1] += c.bandStart[b]
	}
	next := slices.Clone(c.bandStart[:bands])
	c.bandEdges = make([]edge, c.bandStart[bands])
	visit(func(b int, e edge) {
		c.bandEdges[next[b]] = e
		next[b]++
	})
}

// contains counts the edges that a ray from p to the east crosses. Edges are half-open in latitude, so a ray through a
// vertex counts once; products are below 2⁵¹, so the side of an edge is exact.
func (c *city) contains(p Point) bool {
	band := (int64(p.Lat) - int64(c.minLat)) / bandHeight
	if p.Lat < c.minLat || band >= int64(len(c.bandStart)-1) {
		return false
	}
	inside := false
	for _, e := range c.bandEdges[c.bandStart[band]:c.bandStart[band+1]] {
		if (e.a.Lat > p.Lat) == (e.b.Lat > p.Lat) {
			continue
		}
		side := int64(e.b.Lon-e.a.Lon)*int64(p.Lat-e.a.Lat) - int64(e.b.Lat-e.a.Lat)*int64(p.Lon-e.a.Lon)
		// p lies west of an upward edge when it is on its left, of a downward edge when on its right.
		if (side > 0) == (e.b.Lat > e.a.Lat) && side != 0 {
			inside = !inside
		}
	}
	return inside
}

func trailing(set uint64) int { return bits.TrailingZeros64(set) }

func abs(v int32) int32 {
	if v < 0 {
		return -v
	}
	return v
}
