package flat

import "strings"

// Scraps keeps texts that go again, mostly in the order in which they came: one behind the other in pieces, each of which
// goes with the last text on it. A text that was read stays good, and keeps its piece in memory.
type Scraps struct {
	pieces map[uint64]*scrapPiece
	last   uint64 // number of the piece that is written to
}

type scrapPiece struct {
	strings.Builder
	n int // texts that are there
}

// Scrap is where a text lies: the number of the piece and the place there.
type Scrap uint64

// scrapPieceSize is the size of a piece; a longer text has one of its own.
const scrapPieceSize = 1 << 18

// Pieces is how many pieces there are.
func (s *Scraps) Pieces() int { return len(s.pieces) }

// Add keeps a text.
func (s *Scraps) Add(text string) Scrap {
	p, at := s.place(len(text))
	p.WriteString(text)
	return at
}

// AddBytes keeps a copy of text.
func (s *Scraps) AddBytes(text []byte) Scrap {
	p, at := s.place(len(text))
	p.Write(text)
	return at
}

// place is the piece whose next n bytes are the next text.
func (s *Scraps) place(n int) (*scrapPiece, Scrap) {
	p := s.pieces[s.last]
	if p == nil || p.Len()+max(n, 1) > scrapPieceSize {
		if p == nil {
			s.pieces = map[uint64]*scrapPiece{}
		} else if p.n == 0 {
			delete(s.pieces, s.last)
		}
		s.last++
		p = &scrapPiece{}
		p.Grow(max(n, scrapPieceSize))
		s.pieces[s.last] = p
	}
	p.n++
	return p, Scrap(s.last*scrapPieceSize + uint64(p.Len()))
}

// At is the text of n bytes at a place.
func (s *Scraps) At(at Scrap, n int) string {
	p, start := s.pieces[uint64(at)/scrapPieceSize], int(at%scrapPieceSize)
	return p.String()[start : start+n]
}

// Remove takes the text at a place away.
func (s *Scraps) Remove(at Scrap) {
	number := uint64(at) / scrapPieceSize
	p := s.pieces[number]
	if p.n--; p.n == 0 && number != s.last {
		delete(s.pieces, number)
	}
}
