package engine

import "encoding/binary"

// texts makes one string of equal texts: cities and entry modes stand in every fact, and a million purchases need not keep a
// million copies. It remembers one text in each of its places and no more; where two compete, both are right and one is
// made again. The zero texts is empty and ready.
type texts struct{ places []string }

const textPlaces = 1 << 8

// of returns string(b).
func (t *texts) of(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if t.places == nil {
		t.places = make([]string, textPlaces)
	}
	place := &t.places[placeOf(b)]
	if *place != string(b) {
		*place = string(b)
	}
	return *place
}

// placeOf scatters texts by their length, first and last bytes: codes differ there.
func placeOf(b []byte) uint64 {
	var first, last uint64
	if n := len(b); n >= 8 {
		first, last = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	} else {
		for _, c := range b {
			first = first<<8 | uint64(c)
		}
	}
	h := (first ^ uint64(len(b))) * 0x9e3779b97f4a7c15
	h = (h ^ last ^ h>>32) * 0x9e3779b97f4a7c15
	return h >> (64 - 8)
}
