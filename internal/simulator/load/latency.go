package load

import (
	"math/bits"
	"time"
)

// Latencies is a histogram of durations in fixed memory: 128 equal steps in every power of two of nanoseconds, so that
// a percentile is at most 1/128 (0.8 %) above the true one. It has one owner.
type Latencies struct {
	counts [buckets]uint64
	n      uint64
	max    time.Duration
	sum    float64
}

const (
	subBits = 7 // 2^7 steps per octave
	buckets = (64 - subBits) << subBits
)

// bucket is the index of a value: values below 2^subBits have a bucket each, above it the top subBits+1 bits decide.
func bucket(v uint64) int {
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return (shift+1)<<subBits + int(v>>shift) - 1<<subBits
}

// upper is the largest value of a bucket.
func upper(index int) uint64 {
	if index < 1<<subBits {
		return uint64(index)
	}
	shift := index>>subBits - 1
	return (uint64(1<<subBits+index&(1<<subBits-1))+1)<<shift - 1
}

// Record adds one duration; a negative one counts as zero.
func (l *Latencies) Record(d time.Duration) {
	d = max(d, 0)
	l.counts[bucket(uint64(d))]++
	l.n++
	l.sum += float64(d)
	l.max = max(l.max, d)
}

// Count is the number of durations recorded.
func (l *Latencies) Count() uint64 { return l.n }

// Max is the largest duration, exactly.
func (l *Latencies) Max() time.Duration { return l.max }

// Mean is the arithmetic mean, 0 of nothing.
func (l *Latencies) Mean() time.Duration {
	if l.n == 0 {
		return 0
	}
	return time.Duration(l.sum / float64(l.n))
}

// Percentile is the nearest-rank percentile: the smallest recorded value that at least permille of 1000 do not exceed,
// rounded up to its bucket's end and never above Max. 0 of nothing.
func (l *Latencies) Percentile(permille int) time.Duration {
	if l.n == 0 {
		return 0
	}
	rank := (l.n*uint64(permille) + 999) / 1000
	rank = max(rank, 1)
	var seen uint64
	for i, count := range l.counts {
		if seen += count; seen >= rank {
			return min(time.Duration(upper(i)), l.max)
		}
	}
	return l.max
}

// Merge adds what another owner recorded.
func (l *Latencies) Merge(other *Latencies) {
	for i, count := range other.counts {
		l.counts[i] += count
	}
	l.n += other.n
	l.sum += other.sum
	l.max = max(l.max, other.max)
}
