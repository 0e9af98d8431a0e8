package sim

import (
	"context"
	"errors"
	"time"

	"huanxin/switch/journal"
	"huanxin/switch/projection"
	"huanxin/switch/projection/projectiontest"
)

// disturb is what happens to the machine, the lines and the clock.
func (w *world) disturb(kind Kind) {
	switch kind {
	case SaveSnapshot:
		w.save()
	case DamageSnapshot:
		if n := len(w.snaps.kept); n > 0 {
			w.snaps.kept[n-1].damaged = true
		}
	case Project:
		w.project(oneOf(w, projectiontest.Works, projectiontest.Works, projectiontest.Works, projectiontest.Fails, projectiontest.WorksButReportsFailure))
	case Crash:
		w.armed = &arming{at: point(w.rng.IntN(int(points))), after: w.rng.IntN(4), power: w.chance(400)}
		switch w.armed.at {
		case pointRecovering, pointOwnership: // the process must die first
			w.armed.after = 0
			if p := w.proc; p != nil {
				w.write("# run %d is killed", p.run)
				w.died(p, w.chance(300))
			}
		case pointSnapshot, pointSnapshotSaved:
			w.armed.after = 0
			w.save()
		case pointProjecting, pointProjected:
			w.armed.after = 0
			w.project(projectiontest.Works)
		}
	case DiskFault:
		switch {
		case w.cluster && w.chance(500):
			w.stream.refuse = true
		case w.cluster:
			w.stream.silent = true
		default:
			*oneOf(w, &w.log.short, &w.log.noSync, &w.log.badSync) = true
		}
	case SlowDisk:
		w.slow = w.now + int64(w.between(5*time.Second, 2*time.Minute))
	case SecondOwner:
		w.secondOwner()
	case HighWater:
		w.full = true
		w.after(w.between(time.Second, 3*time.Minute), func() { w.full = false })
	case LinkDown:
		down := w.between(time.Second, 4*time.Minute)
		if w.chance(80) { // past the clearing cut-off
			down = w.between(20*time.Hour, 30*time.Hour)
		}
		w.hosts[oneOf(w, hostNames...)].linkDown(down)
	case Noise:
		w.noise = oneOf(w, noise{}, noise{lost: 20, doubled: 20, slow: 10}, noise{lost: 100, doubled: 60, slow: 60}, noise{lost: 250, doubled: 150, slow: 150})
	default:
		w.passTime(kind)
	}
}

func (w *world) passTime(kind Kind) {
	switch kind {
	case ClockBack:
		w.count("fault: clock set back")
		w.skew = -int64(w.between(time.Second, 30*time.Second))
		w.after(w.between(time.Second, 2*time.Minute), func() { w.skew = 0 })
	case Restart:
		w.restart()
	case Midnight: // to a moment before it, so that what is under way crosses it
		at := time.Unix(0, w.now).In(shanghai)
		next := time.Date(at.Year(), at.Month(), at.Day()+1, 0, 0, 0, 0, shanghai)
		w.count("turn: midnight")
		w.advance(next.Add(-w.between(time.Second, 40*time.Second)).Sub(at))
	case NextDay:
		w.advance(w.between(20*time.Hour, 30*time.Hour))
	}
}

// save has the follower save its state.
func (w *world) save() {
	p := w.proc
	if p == nil || !p.ready || w.followed.Position == 0 {
		return
	}
	w.guard(p, func() error {
		p.steps.Save(journal.Snapshot{Position: w.followed.Position, Hash: w.followed.Hash, Seq: w.follower.Seq()}, w.follower.WriteState)
		return nil
	})
}

func (w *world) position() projection.Position {
	at, err := w.rows.Position(context.Background())
	if err != nil {
		return projection.Position{}
	}
	return at
}

// project brings the rows up to the end of the journal in one transaction, which may fail, or whose answer may be lost.
func (w *world) project(end projectiontest.End) {
	p := w.proc
	if p == nil || !p.ready {
		return
	}
	calls := 0
	w.rows.Let(func() projectiontest.End {
		if calls++; calls == 1 { // it is asked for its position
			return projectiontest.Works
		}
		w.pass(pointProjecting)
		return end
	})
	defer w.rows.Let(func() projectiontest.End { return projectiontest.Works })
	w.guard(p, func() error {
		at := w.position()
		calls = 0
		var batches []projection.Batch
		if err := p.j.Replay(context.Background(), at.Batch+1, func(b *journal.Batch) error {
			batches = append(batches, projection.Batch{Position: b.Position, Hash: b.Hash, Events: b.Events})
			return nil
		}); err != nil {
			return err
		}
		_, err := projection.Once(context.Background(), w.rows, batches)
		switch {
		case err == nil:
			w.pass(pointProjected)
		case errors.Is(err, projectiontest.ErrStore) && end == projectiontest.Fails:
			w.count("fault: database away")
		case errors.Is(err, projectiontest.ErrStore):
			w.count("fault: commit of rows unanswered")
		default:
			w.fail("rows follow the journal", "%v", err)
		}
		return nil
	})
}

// secondOwner starts a second switch while the first one runs. On a cluster it takes over, and the first one finds out when it
// appends; in a folder the lock keeps it out, which is not simulated.
func (w *world) secondOwner() {
	old := w.proc
	if old == nil || !old.ready || w.stale != nil || !w.cluster {
		return
	}
	p := w.newProcess()
	w.stale, w.proc = old, p
	w.cold, w.snaps.cold = p.cold, p.cold
	w.guard(p, func() error { return p.start(false) })
}

// restart stops the switch the way an operator does, and starts it again.
func (w *world) restart() {
	p := w.proc
	if p == nil || !p.ready {
		return
	}
	w.count("turn: graceful restart")
	w.guard(p, func() error {
		if err := p.drain(); err != nil {
			return err
		}
		p.eng.sameAsFollower("replay equals live state")
		p.steps.Save(journal.Snapshot{Position: w.followed.Position, Hash: w.followed.Hash, Seq: p.eng.Seq()}, p.eng.WriteState)
		return nil
	})
	if !p.dead {
		p.dead = true
		w.proc = nil
		w.after(w.between(time.Second, 10*time.Second), w.start)
	}
}
