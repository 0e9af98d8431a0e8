package server

import (
	"context"
	"errors"
	"fmt"
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
		if err := eng.CheckInvariants(); err != nil {
			return fmt.Errorf("%w in the follower at position %d: %w", ErrInvariant, here.Position, err)
		}
		s.save(eng, here)
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

// giveWay waits when the machine is busy, fifteen times as long as the last batch has taken: a snapshot may be a little older,
// a till may not wait. Once it is SnapshotEvents behind it waits no more: what a restart may have to replay would grow without
// need.
func (s *Server) giveWay(ctx context.Context, seq uint64, took time.Duration) error {
	if s.metrics.seq.Load() >= seq+s.cfg.SnapshotEvents || !s.cfg.Busy() {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(15*took, time.Second)):
		return nil
	}
}
