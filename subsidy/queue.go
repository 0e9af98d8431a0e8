package subsidy

// Queue is a first-in-first-out list over one slice. Its memory follows its length. The zero Queue is empty and ready.
type Queue[T any] struct {
	items []T
	head  int
}

// Push puts v at the end.
func (q *Queue[T]) Push(v T) { q.items = append(q.items, v) }

// Front returns what Pop will take; ok is false when the queue is empty.
func (q *Queue[T]) Front() (v T, ok bool) {
	if q.head == len(q.items) {
		return v, false
	}
	return q.items[q.head], true
}

// Pop takes the front away.
func (q *Queue[T]) Pop() {
	q.head++
	if q.head > 1024 && q.head*2 > len(q.items) {
		q.items = append(q.items[:0], q.items[q.head:]...)
		q.head = 0
	}
}

// Items are the waiting values, front first; valid until the next Push or Pop.
func (q *Queue[T]) Items() []T { return q.items[q.head:] }
