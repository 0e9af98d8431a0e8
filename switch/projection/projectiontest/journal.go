package projectiontest

import (
	"context"
	"errors"
	"sync"

	"huanxin/switch/projection"
)

// Journal is a journal in memory that grows while it is followed.
type Journal struct {
	mu      sync.Mutex
	batches []projection.Batch
	grown   chan struct{} // closed and replaced by Append
	broken  error
}

// ErrNotHeld is returned by Holds.
var ErrNotHeld = errors.New("not in the journal")

var _ projection.Journal = (*Journal)(nil)

// NewJournal returns a journal with these batches.
func NewJournal(batches ...projection.Batch) *Journal {
	return &Journal{batches: batches, grown: make(chan struct{})}
}

// Append adds batches and wakes the followers.
func (j *Journal) Append(batches ...projection.Batch) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.batches = append(j.batches[:len(j.batches):len(j.batches)], batches...)
	close(j.grown)
	j.grown = make(chan struct{})
}

// Break makes every reading from here on fail.
func (j *Journal) Break(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = err
	close(j.grown)
	j.grown = make(chan struct{})
}

// Position implements projection.Journal.
func (j *Journal) Position() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return uint64(len(j.batches))
}

// Holds implements projection.Journal.
func (j *Journal) Holds(_ context.Context, at projection.Position) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if at.Batch > uint64(len(j.batches)) || j.batches[at.Batch-1].Hash != at.Hash {
		return ErrNotHeld
	}
	return nil
}

// Follow implements projection.Journal.
func (j *Journal) Follow(_ context.Context, from uint64) (projection.Source, error) {
	if from == 0 {
		return nil, errors.New("positions are numbered from 1")
	}
	return &source{j, from}, nil
}

type source struct {
	j    *Journal
	next uint64
}

// Next implements projection.Source.
func (s *source) Next(ctx context.Context) (projection.Batch, error) {
	for {
		s.j.mu.Lock()
		grown, broken := s.j.grown, s.j.broken
		if s.next <= uint64(len(s.j.batches)) && broken == nil {
			b := s.j.batches[s.next-1]
			s.j.mu.Unlock()
			s.next++
			return b, nil
		}
		s.j.mu.Unlock()
		if broken != nil {
			return projection.Batch{}, broken
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return projection.Batch{}, ctx.Err()
		}
	}
}

// Close implements projection.Source.
func (s *source) Close() {}
