package geo

import "math"

// CRS is the coordinate system a sender names. Its number is what the journal holds.
type CRS uint8

const (
	// WGS84 is what satellites give.
	WGS84 CRS = iota + 1
	// GCJ02 is the shifted system that maps and phones in mainland China must use; 300 to 700 m from WGS-84.
	GCJ02
	// BD09 is Baidu's shift on top of GCJ-02, about 900 m more.
	BD09
)

// String returns the name in use among map developers.
func (c CRS) String() string {
	switch c {
	case WGS84:
		return "WGS-84"
	case GCJ02:
		return "GCJ-02"
	case BD09:
		return "BD-09"
	}
	return "unknown"
}

// Valid reports whether c is one of the three systems.
func (c CRS) Valid() bool { return c >= WGS84 && c <= BD09 }

// ToWGS84 converts p from crs. GCJ-02 and BD-09 have published forward formulas only; the inverse is iterated to
// convergence (below 1e-9°, a tenth of a millimetre), not approximated by one step, which is metres off. A crs that is
// not Valid is taken as WGS-84: the caller has refused it before.
//
// The GCJ-02 shift applies inside a bounding box, 72.004–137.8347° E and 0.8293–55.8271° N, which is wider than China;
// outside it GCJ-02 and WGS-84 are the same.
func ToWGS84(p Point, crs CRS) Point {
	lon, lat := float64(p.Lon)/1e6, float64(p.Lat)/1e6
	switch crs {
	case GCJ02:
		lon, lat = wgsFromGCJ(lon, lat)
	case BD09:
		lon, lat = gcjFromBD(lon, lat)
		lon, lat = wgsFromGCJ(lon, lat)
	default:
		return p
	}
	return Point{toMicro(lon), toMicro(lat)}
}

// FromWGS84 is the forward direction: what a phone of that system would send for p.
func FromWGS84(p Point, crs CRS) Point {
	lon, lat := float64(p.Lon)/1e6, float64(p.Lat)/1e6
	switch crs {
	case GCJ02:
		lon, lat = gcjFromWGS(lon, lat)
	case BD09:
		lon, lat = gcjFromWGS(lon, lat)
		lon, lat = bdFromGCJ(lon, lat)
	default:
		return p
	}
	return Point{toMicro(lon), toMicro(lat)}
}

// The constants of the shift: axis and squared eccentricity of the Krasovsky 1940 ellipsoid.
const (
	krasovskyAxis = 6378245.0
	krasovskyE2   = 0.00669342162296594323
	bdPi          = math.Pi * 3000 / 180
	// maxIterations bounds the inverses. The shift changes by under 1 % of the way, so that each round gains two digits
	// and five suffice.
	maxIterations = 12
	converged     = 1e-10
)

func inShiftBox(lon, lat float64) bool {
	return lon >= 72.004 && lon <= 137.8347 && lat >= 0.8293 && lat <= 55.8271
}

func gcjFromWGS(lon, lat float64) (float64, float64) {
	if !inShiftBox(lon, lat) {
		return lon, lat
	}
	x, y := lon-105, lat-35
	root := math.Sqrt(math.Abs(x))
	wave := 20*math.Sin(6*x*math.Pi) + 20*math.Sin(2*x*math.Pi)
	north := -100 + 2*x + 3*y + 0.2*y*y + 0.1*x*y + 0.2*root +
		(wave+20*math.Sin(y*math.Pi)+40*math.Sin(y/3*math.Pi)+
			160*math.Sin(y/12*math.Pi)+320*math.Sin(y*math.Pi/30))*2/3
	east := 300 + x + 2*y + 0.1*x*x + 0.1*x*y + 0.1*root +
		(wave+20*math.Sin(x*math.Pi)+40*math.Sin(x/3*math.Pi)+
			150*math.Sin(x/12*math.Pi)+300*math.Sin(x/30*math.Pi))*2/3

	rad := lat / 180 * math.Pi
	magic := 1 - krasovskyE2*math.Sin(rad)*math.Sin(rad)
	sqrtMagic := math.Sqrt(magic)
	return lon + east*180/(krasovskyAxis/sqrtMagic*math.Cos(rad)*math.Pi),
		lat + north*180/(krasovskyAxis*(1-krasovskyE2)/(magic*sqrtMagic)*math.Pi)
}

func wgsFromGCJ(lon, lat float64) (float64, float64) {
	return invert(gcjFromWGS, lon, lat)
}

func bdFromGCJ(lon, lat float64) (float64, float64) {
	z := math.Sqrt(lon*lon+lat*lat) + 0.00002*math.Sin(lat*bdPi)
	theta := math.Atan2(lat, lon) + 0.000003*math.Cos(lon*bdPi)
	sin, cos := math.Sincos(theta)
	return z*cos + 0.0065, z*sin + 0.006
}

func gcjFromBD(lon, lat float64) (float64, float64) {
	return invert(bdFromGCJ, lon, lat)
}

// invert finds the point that forward takes to (lon, lat): it walks by what is still missing. At the edge of the shift
// box no such point may exist; it then ends at the last step, at most one shift away.
func invert(forward func(lon, lat float64) (float64, float64), lon, lat float64) (float64, float64) {
	x, y := lon, lat
	for range maxIterations {
		fx, fy := forward(x, y)
		dx, dy := lon-fx, lat-fy
		x, y = x+dx, y+dy
		if math.Abs(dx) < converged && math.Abs(dy) < converged {
			break
		}
	}
	return x, y
}
