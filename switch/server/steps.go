package server

import (
	"context"
	"io"

	"huanxin/switch/journal"
)

// Steps is a run of the loop without its goroutines: the same collecting, deciding, appending and releasing, one piece at a
// time and in an order that the caller chooses. The simulation drives it, and calls whatever a crash would cut off no more.
// It belongs to one goroutine. Any error is the end of the run, as it is of Run.
type Steps struct {
	s       *Server
	l       *loop
	flying  *work   // handed over and not appended; nil = the disk is idle
	durable []*work // appended and not released
}

// NewSteps makes a run of it. Logger and Metrics may be set, Busy and Stages are of no use.
func NewSteps(cfg Config) (*Steps, error) {
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	return &Steps{s: s}, nil
}

// Start recovers and takes ownership, as Run does before it accepts anything.
func (p *Steps) Start(ctx context.Context) error {
	p.s.enter(stateRecovering)
	eng, end, err := p.s.recover(ctx)
	if err != nil {
		return err
	}
	p.s.vitals.begin(eng.Vitals())
	p.l = newLoop(p.s, eng, end)
	p.l.timer.Stop()
	if err := p.l.takeOwnership(); err != nil {
		return err
	}
	p.s.enter(stateRunning)
	return nil
}

// Submit is Server.Submit.
func (p *Steps) Submit(body any) error { return p.s.Submit(body) }

// Waiting is how many inputs wait to be decided.
func (p *Steps) Waiting() int { return p.s.queue.len() }

// Due reports whether a deadline has come.
func (p *Steps) Due() bool { return p.l.eng.NextDeadline() <= p.l.stamp() }

// Collect decides what waits, up to the bounds of a batch, and says whether there was anything.
func (p *Steps) Collect() (bool, error) {
	if !p.l.room() {
		return false, nil
	}
	next, ok := p.s.queue.next(p.l.cur, p.s.cfg.BatchInputs)
	if !ok {
		return false, nil
	}
	return true, p.l.collect(next)
}

// Tick fires the deadlines that have come.
func (p *Steps) Tick() error { return p.l.tick() }

// HandOver gives the batch that is being filled to the disk, if that is idle and there is one.
func (p *Steps) HandOver() bool {
	if p.flying != nil || p.l.cur.empty() || len(p.l.appender.free) == 0 {
		return false
	}
	p.flying, p.l.cur = p.l.cur, <-p.l.appender.free
	return true
}

// Append makes the batch that was handed over durable, and says whether there was one.
func (p *Steps) Append() (bool, error) {
	if p.flying == nil {
		return false, nil
	}
	w := p.flying
	if err := p.l.appender.append(w); err != nil {
		return true, err
	}
	p.flying, p.durable = nil, append(p.durable, w)
	return true, nil
}

// Release lets leave what the oldest durable batch releases, and says whether there was one.
func (p *Steps) Release() bool {
	if len(p.durable) == 0 {
		return false
	}
	w := p.durable[0]
	p.durable = p.durable[1:]
	p.l.appender.release(w)
	w.reset()
	p.l.appender.free <- w
	return true
}

// Engine is the one that decides.
func (p *Steps) Engine() Engine { return p.l.eng }

// ApplyBatch replays a batch as recovery and the snapshot follower do.
func ApplyBatch(eng Engine, b *journal.Batch) error { return applyBatch(eng, b) }

// Save keeps a state as the snapshot follower does: a failure stops nothing.
func (p *Steps) Save(snap journal.Snapshot, writeState func(io.Writer) error) {
	p.s.save(snap, writeState)
}
