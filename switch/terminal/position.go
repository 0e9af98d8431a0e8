package terminal

import (
	"huanxin/risk/geo"
	"huanxin/switch/engine"
)

// Where a message may say that it is, in the order of preference:
//
//	DE59 S5             W123.431500,41.805700,12  system, longitude, latitude, age, all four
//	DE59 BD<lat>,<lon>  as Baidu's library gives it: BD-09, latitude first, no age
//	DE58 GA, GB         longitude and latitude in two tags; the system is the port's setting, no age
//
// The last two are what terminals in the field already send.

// readPosition reads the text of S5. Without an age it is malformed: it could not be told from a stale one.
func readPosition(text []byte) engine.Position {
	at, crs, age, err := geo.ParsePosition(text)
	if err != nil {
		return engine.Position{Given: true, Malformed: true}
	}
	return engine.Position{Given: true, At: at, CRS: crs, Age: age}
}

// readPair reads a longitude and a latitude that came apart. An age is not known and taken as 0.
func readPair(crs geo.CRS, lon, lat []byte) engine.Position {
	at, err := geo.ParsePoint(lon, lat)
	if err != nil {
		return engine.Position{Given: true, Malformed: true}
	}
	return engine.Position{Given: true, At: at, CRS: crs}
}

// readBaidu reads lat,lon.
func readBaidu(text []byte) engine.Position {
	for i, c := range text {
		if c == ',' {
			return readPair(geo.BD09, text[i+1:], text[:i])
		}
	}
	return engine.Position{Given: true, Malformed: true}
}

// readField58 reads GA and GB of DE58. Without both there is no position: DE58 has other uses.
func readField58(field []byte, crs geo.CRS) engine.Position {
	var lon, lat []byte
	for t := (tags{rest: field}); ; {
		name, value, ok, _ := t.next()
		if !ok {
			break
		}
		switch string(name[:]) {
		case tagLongitude:
			lon = value
		case tagLatitude:
			lat = value
		}
	}
	if len(lon) == 0 || len(lat) == 0 {
		return engine.Position{}
	}
	return readPair(crs, lon, lat)
}
