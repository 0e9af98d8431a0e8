package client

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"huanxin/internal/doze"
)

// pace calls fire for every instant of an open loop, rate a second from start on for that long, as soon as it has come,
// and flush after those that came together. What was late keeps its instant: the time that a request waited for its turn
// is part of its latency, so that a stall of the server is seen in full (no coordinated omission).
//
// It sleeps in the kernel, on a thread of its own: the runtime's timers may be a millisecond late, which is as much as the
// switch needs for an answer.
func pace(ctx context.Context, start time.Time, rate float64, lasts time.Duration, fire func(n uint64, due time.Time) error, flush func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer onePlaceMore()()
	total := uint64(rate * lasts.Seconds())
	interval := float64(time.Second) / rate
	due := func(n uint64) time.Time { return start.Add(time.Duration(float64(n) * interval)) }
	for n := uint64(0); n < total; {
		if err := ctx.Err(); err != nil {
			return err
		}
		for now := time.Now(); n < total && !due(n).After(now); n++ {
			if err := fire(n, due(n)); err != nil {
				return err
			}
		}
		if err := flush(); err != nil {
			return err
		}
		if n < total {
			sleep(time.Until(due(n)))
		}
	}
	return nil
}

// places guards the number of the runtime's places.
var places sync.Mutex

// onePlaceMore makes room for a pacer, until taken is called. A thread that sleeps in the kernel keeps its place among those that
// may run Go code for up to ten milliseconds: with as many places as cores two pacers leave nobody to hear the answers.
func onePlaceMore() (taken func()) {
	add := func(n int) {
		places.Lock()
		defer places.Unlock()
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
	}
	add(1)
	return func() { add(-1) }
}

// shortest and longest are bounds of one sleep: below it is not worth a call, above it ctx is not heard.
const (
	shortest = 20 * time.Microsecond
	longest  = 50 * time.Millisecond
)

func sleep(d time.Duration) {
	if d < shortest {
		return
	}
	doze.For(min(d, longest))
}

// stall watches for the longest time in which nobody heard anything.
type stall struct {
	last, longest atomic.Int64 // Unix ns; ns
}

// heard notes that an answer has come.
func (s *stall) heard(now time.Time) {
	at := now.UnixNano()
	before := s.last.Swap(at)
	if before == 0 {
		return
	}
	for gap := at - before; ; {
		longest := s.longest.Load()
		if gap <= longest || s.longest.CompareAndSwap(longest, gap) {
			return
		}
	}
}
