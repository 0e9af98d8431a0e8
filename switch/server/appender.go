package server

import (
	"context"
	"fmt"
	"time"

	"huanxin/internal/doze"
	"huanxin/internal/mutant"
	"huanxin/switch/journal"
	"huanxin/switch/stage"
)

// rotation is how many works go round: one being filled, one being appended, one being released, and one that waits for its
// release, so that a slow release does not hold up the next append.
const rotation = 4

// appender makes works durable one after the other and hands them on to be released: while the answers of one batch are
// built, the next is being synced. It owns the journal's append side while it runs.
type appender struct {
	s       *Server
	in      chan *work // unbuffered: taken only when nothing is in flight
	durable chan *work // to the releaser, in the order of the appends
	free    chan *work
	pause   func(time.Duration)
	done    chan struct{} // closed when it has ended and everything durable is released; err is then set
	err     error
	end     journal.Mark // the last acknowledged batch
}

func newAppender(s *Server, end journal.Mark) *appender {
	a := &appender{
		s: s, in: make(chan *work), durable: make(chan *work, 1), free: make(chan *work, rotation), done: make(chan struct{}),
		pause: doze.For, end: end,
	}
	for range rotation - 1 {
		a.free <- new(work)
	}
	return a
}

func (a *appender) run() {
	defer close(a.done)
	released := make(chan struct{})
	go func() {
		defer close(released)
		for w := range a.durable {
			a.release(w)
			w.reset()
			a.free <- w
		}
	}()
	for w := range a.in {
		begun, inputs := time.Now(), w.inputs
		if a.err = a.append(w); a.err != nil {
			break
		}
		a.durable <- w
		a.gather(inputs, begun)
	}
	close(a.durable)
	<-released
}

// syncsApart is the least time between the beginnings of two appends on a busy machine.
const syncsApart = 700 * time.Microsecond

// smallBatch is below how many inputs a batch can wait for others.
const smallBatch = 128

// gather lets small batches wait for each other while the machine is busy. A sync costs its processor time however few
// share it, and three thousand a second of them are what makes a machine busy that has not much to decide.
func (a *appender) gather(inputs int, begun time.Time) {
	if inputs >= smallBatch || !a.s.cfg.Busy() {
		return
	}
	if left := syncsApart - time.Since(begun); left > 0 {
		a.pause(left)
	}
}

// settle appends and releases in place, while the appender does not run.
func (a *appender) settle(w *work) error {
	if err := a.append(w); err != nil {
		return err
	}
	a.release(w)
	return nil
}

// append returns when the work's events are durable. A batch without events waits for nothing: those before it have been
// appended already.
func (a *appender) append(w *work) error {
	a.s.metrics.batchInputs.Observe(float64(w.inputs))
	a.s.point(Decided, w)
	if mutant.AnswerBeforeSync {
		a.release(w)
		w.sends = w.sends[:0]
	}
	if !w.draft.Empty() {
		begun := time.Now()
		// Not the run's context: a stop must not turn an append that succeeds into one of unknown outcome. The journal
		// has its own time-out.
		end, err := a.s.cfg.Journal.Append(context.Background(), &w.draft)
		if err != nil {
			return fmt.Errorf("%d answers dropped unsent: %w", len(w.sends), err)
		}
		a.s.metrics.appendSeconds.Observe(time.Since(begun).Seconds())
		a.s.metrics.appended(end, w.draft.Last())
		a.end = end
	}
	w.durable = a.s.cfg.Stages.Now()
	for _, at := range w.decided {
		a.s.cfg.Stages.Observe(stage.Journal, at, w.durable)
	}
	a.s.point(Appended, w)
	return nil
}

// release hands out what has become durable.
func (a *appender) release(w *work) {
	for _, send := range w.sends {
		switch {
		case send.Reply != nil:
			a.s.cfg.Terminal(send.Reply)
		case send.Host != nil:
			a.s.cfg.Host(send.Host)
		case send.API != nil:
			a.s.cfg.API(send.API)
		case send.Admin != nil:
			a.s.cfg.Admin(send.Admin)
		}
	}
	a.s.cfg.Flush()
	a.s.cfg.Stages.ObserveAll(stage.Reply, len(w.sends), w.durable, a.s.cfg.Stages.Now())
	a.s.vitals.settled(w.vitals)
	a.s.point(Released, w)
}

// finish waits for the batch in flight and the releases. Nothing may be handed over afterwards.
func (a *appender) finish() error {
	close(a.in)
	<-a.done
	return a.err
}
