package server

import (
	"context"
	"fmt"
	"math"
	"time"

	"huanxin/switch/engine"
	"huanxin/switch/journal"
	"huanxin/switch/stage"
)

// work is one batch on its way: events packed as they were decided, and what may leave when they are durable.
type work struct {
	draft   journal.Draft
	sends   []engine.Send
	inputs  int
	claims  int             // of the inputs
	turned  int             // of the inputs, those that were turned away, which cost next to nothing
	decided []stage.Instant // of each input, when it was decided
	durable stage.Instant
	vitals  engine.Vitals // after its last input
	names   []string      // of its events, with Config.Point only
}

func (w *work) empty() bool { return w.inputs == 0 }

func (w *work) reset() {
	w.draft.Reset()
	clear(w.sends) // replies must not live on in the spare capacity
	w.sends, w.inputs, w.names, w.decided = w.sends[:0], 0, w.names[:0], w.decided[:0]
	w.claims, w.turned = 0, 0
}

// loop decides. Works go round: one is filled here while the appender has another, so that one append is in flight and the
// next batch collects whatever comes meanwhile, and the one before is being released.
type loop struct {
	s        *Server
	eng      Engine
	cur      *work
	appender *appender

	at    int64 // of the last input
	next  int64 // deadline that the timer is set for
	timer *time.Timer
	said  stage.Instant // when an overload was last logged
}

func newLoop(s *Server, eng Engine, end journal.Mark) *loop {
	l := &loop{s: s, eng: eng, cur: new(work), appender: newAppender(s, end), next: math.MaxInt64}
	l.timer = time.NewTimer(math.MaxInt64)
	return l
}

// run decides until ctx ends, the appender fails or the follower finds the stream damaged.
func (l *loop) run(ctx context.Context, follower <-chan error) error {
	defer l.timer.Stop()
	go l.appender.run()
	stopped := ctx.Done()
	for {
		l.setTimer()
		others, claims, out := l.open()
		select {
		case next := <-others:
			if err := l.collect(next); err != nil {
				return l.abandon(err)
			}
		case next := <-claims:
			if err := l.collect(next); err != nil {
				return l.abandon(err)
			}
		case <-l.timer.C:
			l.next = math.MaxInt64
			if err := l.tick(); err != nil {
				return l.abandon(err)
			}
		case out <- l.cur:
			l.cur = <-l.appender.free
		case <-l.appender.done:
			return l.appender.err
		case err := <-follower:
			return l.abandon(fmt.Errorf("snapshot follower: %w", err))
		case <-stopped:
			stopped = nil
			l.s.enter(stateStopping) // from here on the queue only shrinks
		}
		if stopped == nil && l.s.queue.len() == 0 && l.cur.empty() {
			return l.appender.finish()
		}
	}
}

// open gives the channels that the loop may use now: the queue's while the batch has room, the appender's – which takes the
// batch as soon as it is idle – while the batch holds something.
func (l *loop) open() (others, claims <-chan queued, out chan<- *work) {
	if l.room() {
		others, claims = l.s.queue.lines(l.cur, l.s.cfg.BatchInputs)
	}
	if !l.cur.empty() {
		out = l.appender.in
	}
	return others, claims, out
}

// room says that the batch may take one more. What is turned away must not keep out what is decided, but is bounded too: all of it
// is answered when the batch is released.
func (l *loop) room() bool {
	return l.cur.inputs-l.cur.turned < l.s.cfg.BatchInputs && l.cur.turned < turnedShare*l.s.cfg.BatchInputs && l.cur.draft.Size() < l.s.cfg.BatchBytes
}

// turnedShare is how many times as many as it may decide a batch may turn away.
const turnedShare = 8

// collect decides next and everything else that waits already, up to the batch's bounds. It never waits for more, and hands
// over what it has when the appender is idle.
func (l *loop) collect(next queued) error {
	look := l.cur.inputs + handOver
	begun := l.s.cfg.Stages.Now()
	for {
		done, err := l.step(next, begun)
		if err != nil {
			return err
		}
		begun = done
		if l.cur.inputs >= look {
			look = l.cur.inputs + handOver
			if handed, err := l.offer(); handed || err != nil {
				return err // and run sees to whatever else has come
			}
		}
		var ok bool
		if l.room() {
			next, ok = l.s.queue.next(l.cur, l.s.cfg.BatchInputs)
		}
		if !ok {
			return l.check()
		}
	}
}

// handOver is after how many inputs of a batch the appender is looked at although more wait. A rush of a thousand decided in
// one go would leave the disk idle meanwhile, and everybody idle while it syncs; small batches gain nothing by the look.
const handOver = 256

// offer gives the batch to the appender if that is idle.
func (l *loop) offer() (handed bool, err error) {
	if err := l.check(); err != nil {
		return false, err
	}
	select {
	case l.appender.in <- l.cur:
		l.cur = <-l.appender.free
		return true, nil
	default:
		return false, nil
	}
}

// step decides one input. A deadline that has passed is decided before an input that comes after it. The clocks are read
// once for each input: they are a twentieth of what a small decision takes.
func (l *loop) step(next queued, begun stage.Instant) (done stage.Instant, err error) {
	l.s.cfg.Stages.Observe(stage.Queue, next.at, begun)
	at := l.stamp()
	if l.eng.NextDeadline() <= at {
		if err := l.decide(new(engine.Tick), at); err != nil {
			return 0, err
		}
	}
	turned := l.cur.turned
	if err := l.decide(l.admitted(&next, begun), at); err != nil {
		return 0, err
	}
	if next.claim && l.cur.turned == turned {
		l.cur.claims++
	}
	done = l.s.cfg.Stages.Now()
	l.s.cfg.Stages.Observe(stage.Decide, begun, done)
	l.cur.decided = append(l.cur.decided, done)
	return done, nil
}

// admitted is what the engine is to decide about an input: itself, or that it is turned away.
func (l *loop) admitted(next *queued, now stage.Instant) any {
	line := l.s.queue.line(next.claim)
	tooLong := line.took(next, now)
	switch {
	case line.stale(next, now):
		l.s.metrics.stale.Inc()
		return &engine.TurnAway{Body: next.body, Stale: true}
	case next.full:
		l.s.metrics.full.Inc()
		l.cur.turned++
		return &engine.TurnAway{Body: next.body}
	case tooLong:
		l.s.metrics.late.Inc()
		l.cur.turned++
		l.say(now)
		return &engine.TurnAway{Body: next.body}
	}
	return next.body
}

// sayEvery is how often an overload that lasts makes a line in the log.
const sayEvery = stage.Instant(time.Minute)

func (l *loop) say(now stage.Instant) {
	if l.said == 0 || now-l.said > sayEvery {
		l.said = now
		l.s.log.Warn("overloaded: requests wait too long, new ones are turned away (huanxin_engine_refused_total); budgets are untouched")
	}
}

// decide lets the engine decide one input, and packs what came out: the engine's buffers are reused at once.
func (l *loop) decide(body any, at int64) error {
	out := l.eng.Step(engine.Input{At: at, Body: body})
	l.s.decided.Add(1)
	l.cur.inputs++
	l.cur.sends = append(l.cur.sends, out.Sends...)
	if err := l.cur.draft.AddPacked(out.Events, out.Packed); err != nil {
		return fmt.Errorf("pack the events of %T: %w", body, err)
	}
	if l.s.cfg.Point != nil {
		for _, ev := range out.Events {
			l.cur.names = append(l.cur.names, eventName(ev))
		}
	}
	return nil
}

// stamp reads the clock, which for the engine never goes back.
func (l *loop) stamp() int64 {
	l.at = max(l.at, l.s.cfg.Clock())
	return l.at
}

// tick fires what is due. The timer may be early when the machine's clock has been set.
func (l *loop) tick() error {
	at := l.stamp()
	if l.eng.NextDeadline() > at {
		return nil
	}
	if err := l.decide(new(engine.Tick), at); err != nil {
		return err
	}
	return l.check()
}

// longestSleep bounds the timer: the machine's clock may be set while it runs.
const longestSleep = time.Second

func (l *loop) setTimer() {
	deadline := l.eng.NextDeadline()
	if deadline == l.next {
		return
	}
	l.next = deadline
	wait := longestSleep
	if now := l.stamp(); deadline <= now {
		wait = 0
	} else if left := deadline - now; left < int64(wait) {
		wait = time.Duration(left)
	}
	l.timer.Reset(wait)
}

// check runs before a batch may be appended: it reads the figures, and when configured the invariants.
func (l *loop) check() error {
	l.cur.vitals = l.eng.Vitals()
	if !l.s.cfg.CheckBatches {
		return nil
	}
	if err := l.eng.CheckInvariants(); err != nil {
		return fmt.Errorf("%w after event %d: %w", ErrInvariant, l.eng.Seq(), err)
	}
	return nil
}

// abandon drops the batch being filled and waits for the one in flight, which is sound and may still be acknowledged.
func (l *loop) abandon(err error) error {
	if late := l.appender.finish(); late != nil {
		return fmt.Errorf("%w; %w", err, late)
	}
	return err
}
