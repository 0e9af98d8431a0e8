package journal

import "sync"

// recent keeps the last acknowledged batches of the owner's process, so that readers who have caught up – the snapshot
// follower, the projection – take what was just appended from memory: reading it back would cost the server the same
// lock that the next append needs, a round trip, and a second hash of every byte. A reader that is further behind reads
// the stream.
//
// The bytes are a copy, checked like the stream's but for the hash, which the append has computed. Copies lie behind each
// other in a few shelves, of which the oldest is cleared for new ones unless somebody reads in it: fresh memory for every
// batch would cost more than the copying.
type recent struct {
	mu      sync.Mutex // guards what follows, but for the bytes behind the last batch of the newest shelf
	shelves [recentShelves]*shelf
	newest  int
}

// shelf holds batches whose positions follow each other.
type shelf struct {
	buf     []byte
	first   uint64 // position of the first batch
	batches []shelved
	readers int // who have a batch of it
}

type shelved struct {
	end  int // of its bytes
	hash Hash
}

// recentBatch is a batch in a reader's hands, until done.
type recentBatch struct {
	raw   []byte
	hash  Hash
	shelf *shelf
}

// Bounds of what is kept. A batch larger than a shelf is not kept.
const (
	recentShelves = 8
	shelfBytes    = 2 << 20
)

// push keeps the batch at position. Only the appender calls it.
func (r *recent) push(position uint64, raw []byte, hash Hash) {
	if len(raw) > shelfBytes {
		return
	}
	s := r.room(position, len(raw))
	at := len(s.buf)
	copy(s.buf[at:at+len(raw)], raw) // behind what readers may see
	r.mu.Lock()
	defer r.mu.Unlock()
	s.buf = s.buf[:at+len(raw)]
	s.batches = append(s.batches, shelved{at + len(raw), hash})
}

// room returns the shelf for a batch: the newest, where it follows what is there and fits, else the oldest, cleared.
func (r *recent) room(position uint64, size int) *shelf {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.shelves[r.newest]
	if s != nil && s.first+uint64(len(s.batches)) == position && len(s.buf)+size <= shelfBytes {
		return s
	}
	r.newest = (r.newest + 1) % recentShelves
	if s = r.shelves[r.newest]; s == nil || s.readers > 0 {
		s = &shelf{buf: make([]byte, 0, shelfBytes)}
		r.shelves[r.newest] = s
	}
	s.buf, s.batches, s.first = s.buf[:0], s.batches[:0], position
	return s
}

// at returns the batch at position, which is the reader's until it calls done; the zero recentBatch when it is not kept.
func (r *recent) at(position uint64) recentBatch {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.shelves {
		if s == nil || position < s.first || position-s.first >= uint64(len(s.batches)) {
			continue
		}
		i, start := position-s.first, 0
		if i > 0 {
			start = s.batches[i-1].end
		}
		s.readers++
		found := s.batches[i]
		return recentBatch{raw: s.buf[start:found.end:found.end], hash: found.hash, shelf: s}
	}
	return recentBatch{}
}

// done gives a batch back.
func (r *recent) done(b recentBatch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.shelf.readers--
}
