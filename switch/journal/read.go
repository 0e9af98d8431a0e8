package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"huanxin/switch/event"
)

// linkBefore reads the end of the chain just before position from.
func (j *Journal) linkBefore(ctx context.Context, from uint64) (link, error) {
	if j.isClosed() {
		return link{}, ErrClosed
	}
	if from == 0 {
		return link{}, errors.New("positions are numbered from 1")
	}
	if from == 1 {
		return genesisLink(j.cfg.Programme), nil
	}
	// What stands behind the last acknowledged batch is nobody's yet. Beside another owner there is no telling which that is.
	if last := j.position.Load(); from-1 > last && !j.cfg.ReadOnly {
		return link{}, fmt.Errorf("position %d: %w: it was to be followed from %d", last, ErrShort, from)
	}
	var l link
	err := j.stream.scan(ctx, from-1, from-1, func(raw []byte) error {
		h, err := parseHeader(raw)
		if err != nil {
			return fmt.Errorf("position %d: %w", from-1, err)
		}
		// It stands for itself: whoever starts here has its hash as a mark, or takes it on trust from Open's walk.
		l = link{position: h.position - 1, hash: h.previous, nextSeq: h.first}
		l, _, err = l.follow(raw)
		if err == nil && l.position != from-1 {
			err = fmt.Errorf("position %d: %w: the batch says %d", from-1, ErrChain, l.position)
		}
		return err
	})
	return l, err
}

// Holds returns nil when the chain has the batch of m, which somebody has seen durable; ErrShort when it ends before, and
// ErrDiverged when it has another one there. Open asks the same of the marks that it is given; who is reached only later asks here.
func (j *Journal) Holds(ctx context.Context, m Mark) error {
	l, err := j.linkBefore(ctx, m.Position+1)
	if err != nil {
		return fmt.Errorf("%s is at position %d: %w", m.Name, m.Position, err)
	}
	if m.Position > 0 && m.Hash != (Hash{}) && m.Hash != l.hash {
		return diverged(m, l.hash)
	}
	return nil
}

// Replay hands fn every batch from position from (1 = the first) to the present end, in order, verified. The batch and
// its events are fn's to keep. An error of fn ends the replay and is returned as it is.
func (j *Journal) Replay(ctx context.Context, from uint64, fn func(*Batch) error) error {
	return j.replay(ctx, from, nil, fn)
}

// ReplayLent is Replay for an fn that keeps nothing: the batch is good until fn returns, and Each lends its events.
func (j *Journal) ReplayLent(ctx context.Context, from uint64, fn func(*Batch) error) error {
	return j.replay(ctx, from, new(event.Loan), fn)
}

func (j *Journal) replay(ctx context.Context, from uint64, loan *event.Loan, fn func(*Batch) error) error {
	last := j.position.Load()
	if from > last {
		return nil
	}
	l, err := j.linkBefore(ctx, from)
	if err != nil {
		return fmt.Errorf("replay from %d: %w", from, err)
	}
	return j.stream.scan(ctx, from, last, func(raw []byte) error {
		next, b, err := l.batch(raw, loan)
		if err != nil {
			return fmt.Errorf("replay position %d: %w", l.position+1, err)
		}
		l = next
		return fn(b)
	})
}

// Reader follows the journal: it gives every batch from its start on and then waits for the next. It is used by one
// goroutine.
type Reader struct {
	j      *Journal
	cursor cursor
	end    link
	loan   *event.Loan // nil: the batches are the caller's to keep
	recent recentBatch // the last, if it came from memory
}

// Follow opens a reader at position from. In the owner's process it gives acknowledged batches only: a batch whose sync
// fails must not be seen by anybody. Beside another owner (ReadOnly) it gives what the cluster gives.
func (j *Journal) Follow(ctx context.Context, from uint64) (*Reader, error) {
	l, err := j.linkBefore(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("follow from %d: %w", from, err)
	}
	c, err := j.stream.cursor("follower")
	if err != nil {
		return nil, err
	}
	return &Reader{j: j, cursor: c, end: l}, nil
}

// Lend makes every batch from here on good until the call after the one that gave it: its Each lends the events. It is for
// who keeps nothing, and spares the collector a dozen objects an event.
func (r *Reader) Lend() { r.loan = new(event.Loan) }

// Position is the last batch that Next has given, or the one before the reader's start.
func (r *Reader) Position() uint64 { return r.end.position }

// Next returns the next batch, waiting for it if need be. It returns the context's error when that ends, ErrClosed when
// the journal closes, and ErrDamaged, ErrChain, ErrMissing or ErrVersion when what follows cannot be trusted.
func (r *Reader) Next(ctx context.Context) (*Batch, error) {
	r.giveBack()
	position := r.end.position + 1
	if !r.j.cfg.ReadOnly { // a batch whose append has not been acknowledged must not be seen
		if err := r.await(ctx, position); err != nil {
			return nil, err
		}
	}
	next, b, err := r.read(ctx, position)
	if err != nil {
		return nil, err
	}
	r.end = next
	return b, nil
}

// read takes the batch at position from memory where it is kept, else from the stream.
func (r *Reader) read(ctx context.Context, position uint64) (next link, b *Batch, err error) {
	if !r.cursor.midway() {
		r.recent = r.j.recent.at(position)
	}
	if r.recent.raw != nil {
		next, b, err = r.end.recentBatch(r.recent, r.loan)
	} else {
		raw, fetchErr := r.fetch(ctx, position)
		if fetchErr != nil {
			return next, nil, fetchErr
		}
		next, b, err = r.end.batch(raw, r.loan)
	}
	if err != nil {
		return next, nil, fmt.Errorf("follow position %d: %w", position, err)
	}
	return next, b, nil
}

// fetch reads the batch behind the reader's position out of the stream.
func (r *Reader) fetch(ctx context.Context, position uint64) ([]byte, error) {
	for {
		if r.j.isClosed() {
			return nil, ErrClosed
		}
		raw, err := r.cursor.next(ctx, position, r.j.position.Load())
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil && r.j.isClosed():
			return nil, ErrClosed
		case err != nil:
			return nil, fmt.Errorf("follow: %w", err)
		case raw != nil:
			return raw, nil
		}
		if err := r.await(ctx, position); err != nil {
			return nil, err
		}
	}
}

// await returns when the batch at position has been acknowledged. Beside another owner, where nobody tells, it returns
// after a short while.
func (r *Reader) await(ctx context.Context, position uint64) error {
	for r.j.position.Load() < position {
		wake, err := r.j.waitChannel()
		if err != nil {
			return err
		}
		// Appended between the check and the channel?
		if r.j.position.Load() >= position {
			return nil
		}
		var poll <-chan time.Time
		if r.j.cfg.ReadOnly {
			poll = time.After(pollInterval)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		case <-poll:
			return nil
		}
	}
	return nil
}

// Close frees the reader's connection or file.
func (r *Reader) Close() {
	r.giveBack()
	r.cursor.close()
}

// giveBack ends the reading of the batch that Next gave last.
func (r *Reader) giveBack() {
	if r.recent.raw != nil {
		r.j.recent.done(r.recent)
		r.recent = recentBatch{}
	}
}
