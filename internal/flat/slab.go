// Package flat holds tables of millions of rows for the state of the core: a Slab keeps records, a Queue those that leave
// in their order, Texts what they are called, Scraps texts that go again, an Index finds them by a hash of their key; Column and Sums hold numbers.
// None holds a pointer per row, so the collector has nothing to walk, and none ever copies itself to grow: the longest
// pause of one call is the move of about two thousand index entries or a new chunk.
//
// All have one owner, start empty as their zero value, and behave the same in every process: nothing is drawn.
package flat

import "fmt"

// chunk is how many records a Slab allocates at once. A power of two that makes a whole number of pages of every record
// size, small enough to be cleared in tens of microseconds.
const chunk = 4096

// Slab is an array that only grows, in chunks that stay where they are: a pointer from At remains good. Records without
// pointers are what it is for.
type Slab[T any] struct {
	chunks []*[chunk]T
	n      int
}

// Len is the number of records.
func (s *Slab[T]) Len() int { return s.n }

// Add puts a record at the end and returns where it lies.
func (s *Slab[T]) Add(v T) int {
	if s.n == len(s.chunks)*chunk {
		s.chunks = append(s.chunks, new([chunk]T))
	}
	i := s.n
	s.chunks[i/chunk][i%chunk] = v
	s.n++
	return i
}

// At is record i, to be read and changed in place.
func (s *Slab[T]) At(i int) *T {
	if uint(i) >= uint(s.n) {
		outside(i, s.n)
	}
	return &s.chunks[uint(i)/chunk][uint(i)%chunk]
}

func outside(i, n int) { panic(fmt.Sprintf("record %d of %d", i, n)) }
