// Package stage measures where the time of a message goes on its way through the switch. The stages follow one another
// without a gap, from the arrival of a message's bytes to the answer that is handed to the socket again; what a message
// waits for at a host lies between two passes and belongs to none.
//
// It is on the way of every message, so an observation is two atomic additions and no look-up.
package stage

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Stage is one part of the way.
type Stage uint8

// The stages, in order.
const (
	// Read: from the arrival of the bytes, as far back as the line knows it, to the frame's turn.
	Read Stage = iota
	// Decode: parsing, judging and hashing, up to the engine's queue.
	Decode
	// Queue: waiting for the engine.
	Queue
	// Decide: the engine's Step, and packing its events.
	Decide
	// Journal: from the decision to its durable record; the wait for the append before it is in it.
	Journal
	// Reply: from the durable record until the answers of its batch are handed to their connections.
	Reply

	stages
)

var names = [stages]string{"read", "decode", "queue", "decide", "journal", "reply"}

// String returns the metric label.
func (s Stage) String() string { return names[s] }

// Buckets are powers of two from 1.024 µs: 24 of them reach 8.6 s.
const (
	firstBit = 10
	buckets  = 24
)

// Times are the histograms of all stages. All methods may be called from any goroutine, and on nil, which measures nothing.
type Times struct {
	stages [stages]histogram
	start  time.Time
	clock  func() Instant // nil: the machine's
	desc   *prometheus.Desc
}

type histogram struct {
	counts [buckets + 1]atomic.Uint64 // the last one is above every bucket
	sum    atomic.Uint64              // ns
}

// New registers huanxin_stage_seconds. reg may be nil.
func New(reg prometheus.Registerer) (*Times, error) {
	t := &Times{start: time.Now(), desc: prometheus.NewDesc("huanxin_stage_seconds",
		"Time of a message in each stage of its way through the switch.", []string{"stage"}, nil)}
	if reg == nil {
		return t, nil
	}
	return t, reg.Register(t)
}

// Simulated measures by another clock than the machine's, and registers nothing.
func Simulated(clock func() Instant) *Times { return &Times{clock: clock} }

// Instant is a reading of the monotonic clock, in nanoseconds since some beginning; 0 is "not measured".
type Instant int64

// Now reads the clock.
func (t *Times) Now() Instant {
	if t == nil {
		return 0
	}
	if t.clock != nil {
		return t.clock()
	}
	return Instant(time.Since(t.start)) + 1
}

// Observe adds one message that was in the stage from one instant to another. It adds nothing when from was not measured.
func (t *Times) Observe(s Stage, from, to Instant) { t.ObserveAll(s, 1, from, to) }

// ObserveAll adds n messages that were in the stage together.
func (t *Times) ObserveAll(s Stage, n int, from, to Instant) {
	if t == nil || from == 0 || n <= 0 {
		return
	}
	took := uint64(max(0, to-from))
	h := &t.stages[s]
	h.counts[bucket(took)].Add(uint64(n))
	h.sum.Add(took * uint64(n))
}

// bucket is the index of the first bucket whose bound is not below ns.
func bucket(ns uint64) int {
	if ns == 0 {
		return 0
	}
	return min(max(0, bits.Len64(ns-1)-firstBit), buckets)
}

// Describe is part of prometheus.Collector.
func (t *Times) Describe(to chan<- *prometheus.Desc) { to <- t.desc }

// Collect is part of prometheus.Collector.
func (t *Times) Collect(to chan<- prometheus.Metric) {
	for s := range stages {
		h := &t.stages[s]
		sum := float64(h.sum.Load()) / 1e9
		count := uint64(0)
		below := make(map[float64]uint64, buckets)
		for i := range buckets {
			count += h.counts[i].Load()
			below[float64(uint64(1)<<(firstBit+i))/1e9] = count
		}
		count += h.counts[buckets].Load()
		to <- prometheus.MustNewConstHistogram(t.desc, count, sum, below, s.String())
	}
}
