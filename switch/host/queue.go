package host

import (
	"sync"
	"time"
)

// item is one encoded request on its way to the network, or a management message (kind 0).
type item struct {
	frame    []byte // length header to last field; wiped when it has left or was given up
	key      matchKey
	asked    asked
	deadline time.Time
}

// queue is the FIFO of one connection slot. It is open only while its connection is signed on, so that what comes out
// of it unsent has certainly never left: closing it hands back everything that no writer has taken.
type queue struct {
	mu    sync.Mutex // guards items and open; put and close decide under it who owns an item
	items []*item    // ring
	head  int
	size  int
	open  bool
	wake  chan struct{} // capacity 1: something may be there
}

func newQueue(bound int) *queue {
	return &queue{items: make([]*item, bound), wake: make(chan struct{}, 1)}
}

// put appends it, or reports that the queue is closed or full. The writer is not woken: see flush.
func (q *queue) put(it *item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	ok := q.open && q.size < len(q.items)
	if ok {
		q.items[(q.head+q.size)%len(q.items)] = it
		q.size++
	}
	return ok
}

// flush wakes the writer when there is something to write.
func (q *queue) flush() {
	q.mu.Lock()
	some := q.size > 0
	q.mu.Unlock()
	if !some {
		return
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take removes the first item; the taker alone owns it from then on. nil when there is none.
func (q *queue) take() *item {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.size == 0 {
		return nil
	}
	it := q.items[q.head]
	q.items[q.head] = nil
	q.head = (q.head + 1) % len(q.items)
	q.size--
	return it
}

// start lets items in.
func (q *queue) start() {
	q.mu.Lock()
	q.open = true
	q.mu.Unlock()
}

// close lets nothing more in and returns what was never taken, in order.
func (q *queue) close() []*item {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = false
	var left []*item
	for ; q.size > 0; q.size-- {
		left = append(left, q.items[q.head])
		q.items[q.head] = nil
		q.head = (q.head + 1) % len(q.items)
	}
	return left
}
