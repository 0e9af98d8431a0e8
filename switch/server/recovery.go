package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"huanxin/internal/mutant"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/journal"
)

// restore makes an engine from the newest good snapshot, or an empty one.
func (s *Server) restore() (Engine, journal.Snapshot, error) {
	var eng Engine
	snap, ok := s.cfg.Snapshots.Load(func(snap journal.Snapshot, r io.Reader) error {
		read, err := s.cfg.ReadEngine(r)
		if err == nil && read.Seq() != snap.Seq {
			err = fmt.Errorf("the state is at event %d, the snapshot says %d", read.Seq(), snap.Seq)
		}
		if err == nil {
			eng = read
		}
		return err
	})
	if ok {
		return eng, snap, nil
	}
	eng, err := s.cfg.NewEngine()
	return eng, journal.Snapshot{}, err
}

// recover restores the state as of the last durable batch.
func (s *Server) recover(ctx context.Context) (Engine, journal.Mark, error) {
	t := stopwatch{last: time.Now(), to: s.metrics.recovery}
	eng, snap, err := s.restore()
	if err != nil {
		return nil, journal.Mark{}, err
	}
	restored := t.lap("snapshot")
	from := eng.Seq()
	end := journal.Mark{Name: "recovered", Position: snap.Position, Hash: snap.Hash}
	first := snap.Position + 1
	if mutant.DoubleApplyAfterCrash && snap.Position > 0 {
		first--
	}
	err = s.cfg.Journal.ReplayLent(ctx, first, func(b *journal.Batch) error {
		end = b.Mark("recovered")
		return applyBatch(eng, b)
	})
	if err != nil {
		return nil, end, err
	}
	replayed := t.lap("replay")
	s.metrics.replayed.Set(float64(eng.Seq() - from))
	if err := eng.CheckInvariants(); err != nil {
		return nil, end, fmt.Errorf("%w after replay: %w", ErrInvariant, err)
	}
	s.log.Info("recovered", zap.Uint64("snapshot", snap.Position), zap.Uint64("position", end.Position), zap.Uint64("seq", eng.Seq()),
		zap.Uint64("replayed", eng.Seq()-from), zap.Duration("snapshot_took", restored), zap.Duration("replay_took", replayed),
		zap.Duration("check_took", t.lap("check")))
	s.metrics.snapshotTaken(snap)
	if s.cfg.Place != nil {
		s.cfg.Place(PlaceRecovered)
	}
	return eng, end, nil
}

// stopwatch writes down how long each phase of a recovery took.
type stopwatch struct {
	last time.Time
	to   *prometheus.GaugeVec
}

// lap ends a phase.
func (t *stopwatch) lap(phase string) time.Duration {
	now := time.Now()
	took := now.Sub(t.last)
	t.last = now
	t.to.WithLabelValues(phase).Set(took.Seconds())
	return took
}

func applyBatch(eng Engine, b *journal.Batch) error {
	err := b.Each(func(ev *event.Event, packed string) error {
		if mutant.DoubleApplyAfterCrash {
			ev.Seq = eng.Seq() + 1
		}
		if ev.Seq != eng.Seq()+1 {
			return fmt.Errorf("event %d where the engine expects %d", ev.Seq, eng.Seq()+1)
		}
		eng.ApplyPacked(ev, packed)
		return nil
	})
	if err != nil {
		return fmt.Errorf("position %d: %w", b.Position, err)
	}
	return nil
}

// takeOwnership is the first Step of the run, before deadlines that passed while nobody ran. Its events are durable
// before anything is accepted: from then on a former owner is fenced, and every sale without an answer is being
// reversed.
func (l *loop) takeOwnership() error {
	own := l.s.cfg.Ownership
	if err := l.decide(&own, l.stamp()); err != nil {
		return err
	}
	sends := l.cur.sends[:0]
	for _, send := range l.cur.sends {
		if send.Admin == nil || send.Admin.Token != 0 {
			sends = append(sends, send)
			continue
		}
		if len(send.Admin.Problems) > 0 {
			return fmt.Errorf("%w: %q", ErrOwnership, send.Admin.Problems)
		}
	}
	l.cur.sends = sends
	if err := l.check(); err != nil {
		return err
	}
	if err := l.appender.settle(l.cur); err != nil {
		return err
	}
	l.cur.reset()
	return nil
}

// lastSnapshot saves the deciding engine's state at a graceful stop, so that the next start replays nothing. The journal
// alone would do: a failure is logged.
func (l *loop) lastSnapshot() error {
	snap := journal.Snapshot{Position: l.appender.end.Position, Hash: l.appender.end.Hash, Seq: l.eng.Seq()}
	if snap.Position <= l.s.metrics.lastSnapshot() {
		return nil
	}
	if err := l.eng.CheckInvariants(); err != nil {
		return fmt.Errorf("%w at the stop: %w", ErrInvariant, err)
	}
	l.s.save(snap, l.eng.WriteState)
	return nil
}

// save writes a snapshot. Without it the next start takes longer, so a failure stops nothing.
func (s *Server) save(snap journal.Snapshot, writeState func(io.Writer) error) {
	err := s.cfg.Snapshots.Save(snap, writeState)
	switch {
	case errors.Is(err, context.Canceled): // the process ends; it has a snapshot of its own to write
		return
	case err != nil:
		s.metrics.snapshotFailures.Inc()
		s.log.Error("snapshot not saved; the next start replays more of the journal", zap.Error(err))
		return
	}
	s.metrics.snapshotTaken(snap)
	s.log.Info("snapshot saved", zap.Uint64("position", snap.Position), zap.Uint64("seq", snap.Seq))
}

var _ Engine = (*engine.Engine)(nil)
