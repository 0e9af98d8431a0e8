package flat

import "iter"

// Queue is a first-in-first-out list in chunks: its memory follows its length, and neither end ever moves what waits.
// Every item has a number, one more than that of the item before it, under which it can be read while it waits.
type Queue[T any] struct {
	chunks []*[queueChunk]T // of the items from first on; the front lies in the first of them
	first  uint64           // number of the first place in chunks, a multiple of queueChunk
	head   uint64           // number of the front
	tail   uint64           // number that the next item gets
}

const queueChunk = 512

// Len is how many items wait.
func (q *Queue[T]) Len() int { return int(q.tail - q.head) }

// First is the number of the front, of the next item to be pushed when the queue is empty.
func (q *Queue[T]) First() uint64 { return q.head }

// Push puts v at the end and returns its number.
func (q *Queue[T]) Push(v T) uint64 {
	i := q.tail - q.first
	if i == uint64(len(q.chunks))*queueChunk {
		q.chunks = append(q.chunks, new([queueChunk]T))
	}
	q.chunks[i/queueChunk][i%queueChunk] = v
	q.tail++
	return q.tail - 1
}

// refBits are far more than items ever wait at a time, so that the low bits of a number stand for all of it, and fewer than
// would make a reference that an Index does not take.
const refBits = 1<<31 - 1

// Ref is the number of an item that waits as the reference of an Index, Number the number behind such a reference. They hold
// however many items have passed.
func (q *Queue[T]) Ref(number uint64) uint32 { return uint32(number & refBits) }

// Number is described with Ref.
func (q *Queue[T]) Number(ref uint32) uint64 { return q.head + (uint64(ref)-q.head)&refBits }

// At is the item of a number, to be read and changed in place; nil when it does not wait.
func (q *Queue[T]) At(number uint64) *T {
	if number < q.head || number >= q.tail {
		return nil
	}
	i := number - q.first
	return &q.chunks[i/queueChunk][i%queueChunk]
}

// Front returns what Pop will take; ok is false when the queue is empty.
func (q *Queue[T]) Front() (v T, ok bool) {
	if q.head == q.tail {
		return v, false
	}
	return *q.At(q.head), true
}

// Pop takes the front away.
func (q *Queue[T]) Pop() {
	if q.head == q.tail {
		panic("pop of an empty queue")
	}
	var none T
	*q.At(q.head) = none // what it points at may go
	q.head++
	if q.head-q.first == queueChunk {
		q.chunks[0] = nil
		q.chunks = q.chunks[1:]
		q.first = q.head
	}
}

// All iterates over the waiting items, front first, with their numbers. The queue must not change meanwhile.
func (q *Queue[T]) All() iter.Seq2[uint64, *T] {
	return func(yield func(uint64, *T) bool) {
		for i := q.head; i < q.tail; i++ {
			if !yield(i, q.At(i)) {
				return
			}
		}
	}
}
