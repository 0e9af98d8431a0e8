package flat

import (
	"encoding/binary"
	"iter"
)

// Column is an array of numbers that is zero wherever nothing was set. Stretches that were never set take nothing, so it
// suits numbers that are given in order, most of which have something: it needs no hash and no key.
type Column[T uint32 | uint64] struct {
	chunks []*[chunk]T
	n      int
}

// Len is the number of places that are not zero.
func (c *Column[T]) Len() int { return c.n }

// Bytes is what the column takes.
func (c *Column[T]) Bytes() int {
	n := cap(c.chunks) * 8
	for _, values := range c.chunks {
		if values != nil {
			n += binary.Size(values)
		}
	}
	return n
}

// Get returns what was set at i.
func (c *Column[T]) Get(i uint64) T {
	if i/chunk >= uint64(len(c.chunks)) || c.chunks[i/chunk] == nil {
		return 0
	}
	return c.chunks[i/chunk][i%chunk]
}

// Set puts v at i; 0 takes away what was there.
func (c *Column[T]) Set(i uint64, v T) {
	was := c.Get(i)
	if was == v {
		return
	}
	for i/chunk >= uint64(len(c.chunks)) {
		c.chunks = append(c.chunks, nil)
	}
	if c.chunks[i/chunk] == nil {
		c.chunks[i/chunk] = new([chunk]T)
	}
	c.chunks[i/chunk][i%chunk] = v
	switch {
	case was == 0:
		c.n++
	case v == 0:
		c.n--
	}
}

// All gives the places that are not zero, in ascending order. The column must not change meanwhile.
func (c *Column[T]) All() iter.Seq2[uint64, T] {
	return func(yield func(uint64, T) bool) {
		for k, values := range c.chunks {
			if values == nil {
				continue
			}
			for j, v := range values {
				if v != 0 && !yield(uint64(k)*chunk+uint64(j), v) {
					return
				}
			}
		}
	}
}
