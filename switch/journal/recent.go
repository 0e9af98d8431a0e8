package journal

import (
	"bytes"
	"sync"
)

// recent keeps the last acknowledged batches of the owner's process, so that readers who have caught up – the snapshot
// follower, the projection – take what was just appended from memory: reading it back would cost the server the same
// lock that the next append needs, a round trip, and a second hash of every byte. A reader that is further behind reads
// the stream.
//
// The bytes are a copy that nobody changes any more. They are checked like the stream's, but for the hash, which the
// append has computed.
type recent struct {
	mu    sync.Mutex // guards what follows
	ring  [recentBatches]recentBatch
	last  uint64 // position of the newest
	first uint64 // position of the oldest; above last when there is none
	size  int    // bytes held
}

type recentBatch struct {
	raw  []byte
	hash Hash
}

// Bounds of what is kept: batches, and bytes of them. One batch above the bytes is not kept.
const (
	recentBatches = 4096
	recentBytes   = 16 << 20
)

// push keeps the batch at position, which follows the one before, and drops the oldest beyond the bounds.
func (r *recent) push(position uint64, raw []byte, hash Hash) {
	b := recentBatch{raw: bytes.Clone(raw), hash: hash}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first > r.last || position != r.last+1 {
		r.first = position
	}
	for ; r.first < position && (r.size+len(raw) > recentBytes || position-r.first >= recentBatches); r.first++ {
		old := &r.ring[r.first%recentBatches]
		r.size -= len(old.raw)
		*old = recentBatch{}
	}
	r.last = position
	r.ring[position%recentBatches] = b
	r.size += len(raw)
}

// at returns the batch at position; ok is false when it is not kept.
func (r *recent) at(position uint64) (b recentBatch, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if position < r.first || position > r.last || r.last == 0 {
		return recentBatch{}, false
	}
	return r.ring[position%recentBatches], true
}
