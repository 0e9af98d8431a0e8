package load

import (
	"context"
	"sync/atomic"
	"time"
)

// schedule gives out the times at which messages are due. In closed loop a message is due when it is asked for.
type schedule struct {
	rate  float64
	begin time.Time
	end   time.Time
	next  atomic.Uint64
	now   func() time.Time
}

// due is the time of the n-th message, from 0.
func (s *schedule) due(n uint64) time.Time {
	return s.begin.Add(time.Duration(float64(n) / s.rate * float64(time.Second)))
}

// ticket waits until the next message is due and returns that time. false: the run is over. A terminal that comes late
// gets the ticket's time all the same: its latency counts from there.
func (s *schedule) ticket(ctx context.Context) (time.Time, bool) {
	if s.rate == 0 {
		now := s.now()
		return now, now.Before(s.end) && ctx.Err() == nil
	}
	at := s.due(s.next.Add(1) - 1)
	if !at.Before(s.end) {
		return at, false
	}
	wait := at.Sub(s.now())
	if wait <= 0 {
		return at, ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return at, true
	case <-ctx.Done():
		return at, false
	}
}
