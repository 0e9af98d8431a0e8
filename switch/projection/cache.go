package projection

import (
	"cmp"
	"slices"
)

// cache keeps rows that events may still change, and knows which of them the present run has touched. What is not here is
// read when an event names it.
//
// While a run is folded the rows of the run before are on their way to the store, so that reading would not find them yet:
// they stay. What was touched earlier than that is forgotten when nothing more is expected of it.
type cache[T any] struct {
	id      func(*T) uint64
	settled func(*T) bool // nothing more is expected to happen to the row
	rows    map[uint64]*kept[T]
	run     uint64
	touched []*kept[T] // by the present run …
	sent    []*kept[T] // … and by the one before
	free    []*kept[T] // to be used again
}

type kept[T any] struct {
	row   T
	run   uint64 // that has touched it last
	fresh bool   // the store does not have it
}

// maxCached bounds the rows of one cache that are neither touched by a run nor on their way to the store.
const maxCached = 20_000

func newCache[T any](id func(*T) uint64, settled func(*T) bool) cache[T] {
	return cache[T]{id: id, settled: settled, rows: map[uint64]*kept[T]{}}
}

// begin begins a run: what the run before the last has written is in the store.
func (c *cache[T]) begin() {
	written := c.sent
	c.sent, c.touched = c.touched, written[:0]
	for _, k := range written {
		if k.run+1 == c.run && c.settled(&k.row) {
			c.forget(c.id(&k.row), k)
		}
	}
	clear(written)
	for _, k := range c.sent {
		k.fresh = false
	}
	c.run++
	if len(c.rows) > maxCached+len(c.sent) {
		for id, k := range c.rows {
			if k.run+1 < c.run {
				c.forget(id, k)
			}
		}
	}
}

func (c *cache[T]) forget(id uint64, k *kept[T]) {
	delete(c.rows, id)
	if len(c.free) < maxCached {
		*k = kept[T]{}
		c.free = append(c.free, k)
	}
}

// keep enters a row.
func (c *cache[T]) keep(row T, fresh bool) *kept[T] {
	var k *kept[T]
	if n := len(c.free); n > 0 {
		k, c.free = c.free[n-1], c.free[:n-1]
	} else {
		k = new(kept[T])
	}
	k.row, k.fresh = row, fresh
	c.rows[c.id(&k.row)] = k
	return k
}

// has reports whether the row is here.
func (c *cache[T]) has(id uint64) bool { return c.rows[id] != nil }

// look returns a row that is not going to be changed, nil when it is not here.
func (c *cache[T]) look(id uint64) *T {
	if k := c.rows[id]; k != nil {
		return &k.row
	}
	return nil
}

// touch returns a row to change, nil when it is not here.
func (c *cache[T]) touch(id uint64) *T {
	k := c.rows[id]
	if k == nil {
		return nil
	}
	c.mark(k)
	return &k.row
}

// add enters a row that the store does not have, to be changed on.
func (c *cache[T]) add(row T) *T {
	k := c.keep(row, true)
	c.mark(k)
	return &k.row
}

// put enters a row that was read.
func (c *cache[T]) put(row T) { c.keep(row, false) }

func (c *cache[T]) mark(k *kept[T]) {
	if k.run != c.run {
		k.run = c.run
		c.touched = append(c.touched, k)
	}
}

// changes are the rows that the run has touched, in the order of their ids: map order reaches no store.
func (c *cache[T]) changes() (r Rows[T]) {
	slices.SortFunc(c.touched, func(a, b *kept[T]) int { return cmp.Compare(c.id(&a.row), c.id(&b.row)) })
	for _, k := range c.touched {
		if k.fresh {
			r.New = append(r.New, &k.row)
		} else {
			r.Changed = append(r.Changed, &k.row)
		}
	}
	return r
}
