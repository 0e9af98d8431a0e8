package limit

import (
	"sync"
	"time"
)

// Rate is how often something may happen: Burst times at once, and PerSecond in the long run. The zero Rate is no limit.
type Rate struct {
	PerSecond int
	Burst     int
}

// ways is how many places a sender's bucket may have.
const ways = 8

// Table has a bucket for each sender. All methods may be called by several goroutines. A nil Table has no limit.
type Table struct {
	interval int64 // ns by which each event moves the instant of being full
	depth    int64 // how far ahead of now that instant may lie after an event
	sets     []set // a power of two
}

// set has the places of those whose numbers end alike.
type set struct {
	mu     sync.Mutex
	keys   [ways]uint64
	full   [ways]int64 // when the bucket is full again, Unix ns
	shared int64       // of everybody who finds no place
}

// NewTable makes a table for so many senders, nil for no limit.
func NewTable(rate Rate, senders int) *Table {
	if rate.PerSecond <= 0 {
		return nil
	}
	sets := 1
	for sets*ways < senders {
		sets *= 2
	}
	interval := max(1, int64(time.Second)/int64(rate.PerSecond))
	return &Table{interval: interval, depth: interval * int64(max(1, rate.Burst)), sets: make([]set, sets)}
}

// Allow takes one token of a sender's bucket, or reports that it is empty.
func (t *Table) Allow(sender uint64, now time.Time) bool {
	if t == nil {
		return true
	}
	at := now.UnixNano()
	s := &t.sets[sender&uint64(len(t.sets)-1)]
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.take(s.bucket(sender, at), at)
}

// bucket finds or makes the sender's. It is called with mu held.
func (s *set) bucket(sender uint64, now int64) *int64 {
	free := -1
	for i := range s.keys {
		if s.keys[i] == sender && s.full[i] != 0 {
			return &s.full[i]
		}
		if free < 0 && s.full[i] <= now {
			free = i
		}
	}
	if free < 0 {
		return &s.shared
	}
	s.keys[free], s.full[free] = sender, now
	return &s.full[free]
}

// take moves the instant at which a bucket is full, as long as it stays within the burst.
func (t *Table) take(full *int64, now int64) bool {
	next := max(*full, now) + t.interval
	if next-now > t.depth {
		return false
	}
	*full = next
	return true
}
