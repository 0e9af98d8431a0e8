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
	ref, ok := k.newest.Find(flat.Fold(request), func(ref uint32) bool { return k.queue.At(k.queue.Number(ref)).request == request })
	return k.queue.Number(ref), ok
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
		k.newest.Remove(flat.Fold(request), k.queue.Ref(old))
	}
	k.newest.Add(flat.Fold(request), k.queue.Ref(k.queue.Push(keptAnswer[T]{request, at, answer})))
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
		k.newest.Remove(flat.Fold(a.request), k.queue.Ref(number))
	}
	k.queue.Pop()
	return a, counts, true
}
