package engine

import "huanxin/internal/flat"

// deadlines gives deadlines back earliest first; equal instants fire by kind and id, so that every replay agrees.
//
// Those of one kind nearly always come in their order, for every hold lasts equally long and so does every entitlement of
// one rule. So they stand in lanes: queues in which each comes after the one before. A million entitlements then cost what
// their queue takes, and neither a deep heap nor the copying of one that grows. What fits no lane goes to a heap.
type deadlines struct {
	lanes []lane
	rest  deadlineHeap
	front int // lane of the earliest, len(lanes) = rest; meaningless when there is none
	n     int
}

// lane holds deadlines of one kind.
type lane struct {
	kind  deadlineKind
	last  due
	queue flat.Queue[due]
}

type due struct {
	at int64
	id uint64
}

func (d due) before(o due) bool { return d.at < o.at || d.at == o.at && d.id < o.id }

// maxLanes bounds the lanes of one kind: so many different lengths of wait are served well.
const maxLanes = 4

// push puts a deadline into the lane whose end lies closest before it.
func (s *deadlines) push(d deadline) {
	first, some := s.first()
	at := s.laneFor(d)
	if at == len(s.lanes) {
		s.rest.push(d)
	} else {
		l := &s.lanes[at]
		l.last = due{d.at, d.id}
		l.queue.Push(l.last)
	}
	s.n++
	if !some || d.before(first) {
		s.front = at
	}
}

// laneFor is the lane for d, len(s.lanes) for the heap.
func (s *deadlines) laneFor(d deadline) int {
	best, empty, same := -1, -1, 0
	for i := range s.lanes {
		l := &s.lanes[i]
		if l.kind != d.kind {
			continue
		}
		same++
		switch {
		case l.queue.Len() == 0:
			empty = i
		case due{d.at, d.id}.before(l.last):
		case best < 0 || s.lanes[best].last.before(l.last):
			best = i
		}
	}
	switch {
	case best >= 0:
		return best
	case empty >= 0:
		return empty
	case same < maxLanes:
		if s.front == len(s.lanes) {
			s.front++ // it is the heap's number
		}
		s.lanes = append(s.lanes, lane{kind: d.kind})
		return len(s.lanes) - 1
	}
	return len(s.lanes)
}

// at is the first of a lane or of the heap.
func (s *deadlines) at(i int) (d deadline, ok bool) {
	if i == len(s.lanes) {
		if len(s.rest) == 0 {
			return d, false
		}
		return s.rest[0], true
	}
	front, ok := s.lanes[i].queue.Front()
	return deadline{at: front.at, id: front.id, kind: s.lanes[i].kind}, ok
}

// first is the earliest deadline; ok is false when there is none.
func (s *deadlines) first() (d deadline, ok bool) {
	if s.n == 0 {
		return d, false
	}
	return s.at(s.front)
}

// pop takes the earliest away. There must be one.
func (s *deadlines) pop() deadline {
	taken, _ := s.first()
	if s.front == len(s.lanes) {
		s.rest.pop()
	} else {
		s.lanes[s.front].queue.Pop()
	}
	s.n--
	var earliest deadline
	found := false
	for i := range len(s.lanes) + 1 {
		if d, ok := s.at(i); ok && (!found || d.before(earliest)) {
			earliest, found, s.front = d, true, i
		}
	}
	return taken
}

// deadlineHeap is a binary heap, earliest first.
type deadlineHeap []deadline

func (h *deadlineHeap) push(d deadline) {
	*h = append(*h, d)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if !s[i].before(s[parent]) {
			break
		}
		s[i], s[parent] = s[parent], s[i]
		i = parent
	}
}

func (h *deadlineHeap) pop() deadline {
	s := *h
	first := s[0]
	last := len(s) - 1
	s[0] = s[last]
	s = s[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if right := child + 1; right < last && s[right].before(s[child]) {
			child = right
		}
		if !s[child].before(s[i]) {
			break
		}
		s[i], s[child] = s[child], s[i]
		i = child
	}
	*h = s
	return first
}
