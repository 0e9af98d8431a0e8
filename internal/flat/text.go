package flat

import (
	"fmt"
	"strings"
)

// Texts keeps short texts one behind the other in large pieces, so that half a million of them are a few hundred objects
// for the collector. A text that was read stays good whatever is added, and keeps its piece in memory.
type Texts struct {
	pieces []*strings.Builder
	bytes  int
}

// piece is the size of a piece, and so the longest text.
const piece = 1 << 16

// Len is how many bytes were added.
func (t *Texts) Len() int { return t.bytes }

// Add keeps the parts as one text and returns where it lies.
func (t *Texts) Add(parts ...string) uint32 {
	n := 0
	for _, part := range parts {
		n += len(part)
	}
	if n > piece {
		panic(fmt.Sprintf("a text of %d bytes", n))
	}
	last := len(t.pieces) - 1
	if last < 0 || t.pieces[last].Len()+n > piece {
		if last++; last == 1<<32/piece {
			panic("more than 4 GiB of texts")
		}
		t.pieces = append(t.pieces, &strings.Builder{})
		t.pieces[last].Grow(piece)
	}
	b := t.pieces[last]
	at := uint32(last)*piece + uint32(b.Len())
	for _, part := range parts {
		b.WriteString(part)
	}
	t.bytes += n
	return at
}

// At is the text of n bytes at a place.
func (t *Texts) At(at uint32, n int) string {
	start := int(at % piece)
	return t.pieces[at/piece].String()[start : start+n]
}
