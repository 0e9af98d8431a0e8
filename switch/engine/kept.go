package engine

import "huanxin/internal/flat"

// kept are answers under the keys of their requests, in the order in which they were given: those that are old enough are
// taken from the front. It holds no pointers that its values do not have.
type kept[T any] struct {
	queue  flat.Queue[keptAnswer[T]]
	newest flat.Index // of the numbers in the queue, by key
}

type keptAnswer[T any] struct {
	request Hash
	at      int64
	answer  T
}

func (k *kept[T]) find(request Hash) (number uint64, ok bool) {
	ref, ok := k.newest.Find(flat.Fold(request), func(ref uint32) bool { return k.queue.At(k.number(ref)).request == request })
	return k.number(ref), ok
}

// number is a reference of the index as a number of the queue: its low 32 bits, and more than so many never wait.
func (k *kept[T]) number(ref uint32) uint64 {
	first := k.queue.First()
	return first + uint64(ref-uint32(first))
}

func (k *kept[T]) get(request Hash) (answer T, ok bool) {
	number, ok := k.find(request)
	if !ok {
		return answer, false
	}
	return k.queue.At(number).answer, true
}

// put keeps an answer. One that is kept under the same key no longer counts.
func (k *kept[T]) put(request Hash, at int64, answer T) {
	if old, ok := k.find(request); ok {
		k.newest.Remove(flat.Fold(request), uint32(old))
	}
	k.newest.Add(flat.Fold(request), uint32(k.queue.Push(keptAnswer[T]{request, at, answer})))
}

// popBefore takes the oldest answer away if it was given before an instant. counts is false for one that another took the
// place of.
func (k *kept[T]) popBefore(at int64) (a keptAnswer[T], counts, ok bool) {
	if a, ok = k.queue.Front(); !ok || a.at >= at {
		return a, false, false
	}
	number := k.queue.First()
	newest, found := k.find(a.request)
	if counts = found && newest == number; counts {
		k.newest.Remove(flat.Fold(a.request), uint32(number))
	}
	k.queue.Pop()
	return a, counts, true
}
