package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"huanxin/switch/journal"
)

// follower keeps a second engine up with the journal and writes snapshots from it, so that the deciding engine never
// pauses. It shares nothing with that one: a snapshot is what replay gives.
type follower struct {
	failed chan error
	cancel context.CancelFunc
	done   chan struct{}
}

// startFollower returns at once: reading the snapshot a second time must not delay the first decision.
func (s *Server) startFollower() *follower {
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{failed: make(chan error, 1), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		if err := s.runFollower(ctx); err != nil && ctx.Err() == nil {
			f.failed <- err
		}
	}()
	return f
}

func (s *Server) runFollower(ctx context.Context) error {
	eng, snap, err := s.restore()
	if err != nil {
		return err
	}
	reader, err := s.cfg.Journal.Follow(ctx, snap.Position+1)
	if err != nil {
		return err
	}
	defer reader.Close()
	reader.Lend()
	return s.follow(ctx, eng, reader, snap)
}

// stop ends the follower and waits for it.
func (f *follower) stop() {
	f.cancel()
	<-f.done
}

// follow applies batches and saves a snapshot whenever one is due, until ctx ends or the stream cannot be trusted.
func (s *Server) follow(ctx context.Context, eng Engine, reader *journal.Reader, last journal.Snapshot) error {
	here := last
	for {
		interval, cancel := context.WithTimeout(ctx, s.cfg.SnapshotEvery)
		err := s.applyUntilDue(interval, eng, reader, last.Seq, &here)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
		if here.Position == last.Position {
			continue
		}
		work := &leisure{ctx: ctx, s: s, seq: here.Seq, begun: time.Now()}
		if err := eng.CheckAtEase(work.rest); err != nil {
			return fmt.Errorf("%w in the follower at position %d: %w", ErrInvariant, here.Position, err)
		}
		s.save(here, func(out io.Writer) error { return eng.WriteState(&leisurely{out, work}) })
		last = here
	}
}

// applyUntilDue returns nil when enough events have come for a snapshot, and the context's error when its time is up.
func (s *Server) applyUntilDue(ctx context.Context, eng Engine, reader *journal.Reader, since uint64, here *journal.Snapshot) error {
	for eng.Seq()-since < s.cfg.SnapshotEvents {
		b, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		begun := time.Now()
		if err := applyBatch(eng, b); err != nil {
			return err
		}
		*here = journal.Snapshot{Position: b.Position, Hash: b.Hash, Seq: eng.Seq(), Taken: time.Now()}
		s.metrics.follow(b.Position, eng.Seq())
		if err := s.giveWay(ctx, eng.Seq(), time.Since(begun)); err != nil {
			return err
		}
	}
	return nil
}

// patience is how many times as long as it has worked the follower waits on a busy machine.
const patience = 15

// owed is how long the follower, which has applied events up to seq, waits when its last piece of work has taken so long: on a
// busy machine a snapshot may be a little older, a till may not wait. Once it is SnapshotEvents behind it waits the less the further
// it is behind, and at twice as many not at all, because what a restart may have to replay would grow without need. Without
// these shades it would be put off altogether and then take a core at once.
func (s *Server) owed(seq uint64, took time.Duration) time.Duration {
	limit := 2 * s.cfg.SnapshotEvents
	behind := max(seq, s.metrics.seq.Load()) - seq // a batch can be read before the appender has counted it
	if behind >= limit || !s.cfg.Busy() {
		return 0
	}
	left := min(1, float64(limit-behind)/float64(s.cfg.SnapshotEvents))
	return min(time.Duration(patience*left*float64(took)), time.Second)
}

// giveWay waits as long as is owed, or until ctx ends.
func (s *Server) giveWay(ctx context.Context, seq uint64, took time.Duration) error {
	wait := s.owed(seq, took)
	if wait == 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// leisure makes one long piece of work, the check and the writing of a state, give way again and again. A state of two million
// purchases takes more than two seconds of a core.
type leisure struct {
	ctx   context.Context
	s     *Server
	seq   uint64
	begun time.Time // of the work since the last rest
}

// rest gives way once that is worth a timer.
func (l *leisure) rest() {
	took := time.Since(l.begun)
	if l.s.owed(l.seq, took) < time.Millisecond {
		return
	}
	_ = l.s.giveWay(l.ctx, l.seq, took) // a stop ends the waits; what comes of the work is for its caller
	l.begun = time.Now()
}

// leisurely is a writer that rests. A stop ends it with the context's error.
type leisurely struct {
	out  io.Writer
	work *leisure
}

func (w *leisurely) Write(p []byte) (int, error) {
	n, err := w.out.Write(p)
	if err == nil {
		w.work.rest()
		err = w.work.ctx.Err()
	}
	return n, err
}
