package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"time"

	"huanxin/switch/engine"
	"huanxin/switch/journal"
	"huanxin/switch/server"
	"huanxin/switch/stage"
)

// process is one run of the switch: the real loop, step by step, around the real engine.
type process struct {
	w       *world
	run     int
	j       *journal.Journal
	steps   *server.Steps
	eng     *watched
	dead    bool
	ready   bool
	durable uint64         // last event whose append was acknowledged
	needs   map[any]uint64 // what is to leave → the last event that must be durable before
	cold    *coldFile
	sent    int // by the present release
	writing bool
	waking  int64 // when the loop looks next; 0 = it does not
}

// guard runs a piece of a process. A crash, an injected error and a fence end the process; everything else that is wrong
// ends the history.
func (w *world) guard(p *process, fn func() error) {
	if p.dead {
		return
	}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case crash:
			w.write("# run %d dies at point %d, %s", p.run, r.at, pointNames[r.at])
			w.stats.Seen["crash: "+pointNames[r.at]]++
			power := w.armed.power
			w.armed = nil
			w.died(p, power)
		case violation:
			panic(r)
		default:
			w.fail(panicked, "%v, in %s", r, place())
		}
	}()
	err := fn()
	switch {
	case err == nil:
	case errors.Is(err, errInjected) || errors.Is(err, journal.ErrFenced):
		w.write("# run %d stops: %v", p.run, err)
		w.died(p, w.chance(200))
	case errors.Is(err, server.ErrInvariant):
		w.fail("invariant of the engine", "%v", err)
	default:
		w.fail("the switch refuses to go on", "%v", err)
	}
}

// died ends a process; somebody starts the next one.
func (w *world) died(p *process, power bool) {
	p.dead = true
	if w.stale == p {
		w.stale = nil
		return
	}
	w.proc = nil
	switch {
	case power && !w.cluster:
		w.count("turn: power loss")
		w.log.loseDirty()
		w.mark.loseDirty()
		w.cold.b = w.cold.b[:w.cold.synced+w.rng.IntN(len(w.cold.b)-w.cold.synced+1)]
	default:
		w.count("turn: process killed")
	}
	wait := w.between(time.Second, 20*time.Second)
	if w.chance(50) {
		wait = w.between(time.Minute, 20*time.Minute)
	}
	w.after(wait, w.start)
}

// start begins a run, unless one is there.
func (w *world) start() {
	if w.proc != nil {
		return
	}
	p := w.newProcess()
	w.proc = p
	w.guard(p, func() error { return p.start(false) })
}

func (w *world) newProcess() *process {
	w.runs++
	w.stats.Restarts++
	cold := w.cold
	if w.proc != nil { // another machine, with a log of its own
		cold = &coldFile{b: bytes.Clone(w.cold.b)}
	}
	cold.begun = false
	return &process{w: w, run: w.runs, needs: map[any]uint64{}, cold: cold}
}

// start opens the journal, recovers and takes ownership.
func (p *process) start(isNew bool) (err error) {
	w := p.w
	w.write("# run %d starts", p.run)
	parts := journal.Simulated{Programme: programmeID, Mark: w.mark, Now: func() time.Time { return time.Unix(0, w.now) }}
	if w.cluster {
		parts.Stream = w.stream
	} else {
		parts.Log = w.log
	}
	if at := w.position(); at.Batch > 0 {
		parts.MustReach = []journal.Mark{{Name: "the rows", Position: at.Batch, Hash: at.Hash}}
	}
	if p.j, err = journal.OpenSimulated(parts, isNew); err != nil {
		return err
	}
	if w.acked.Position > 0 {
		if err := p.j.Holds(context.Background(), w.acked); err != nil {
			w.fail("an acknowledged batch is lost", "%v", err)
		}
	}
	w.follow(p.j)
	p.durable = p.j.Report().LastSeq
	p.steps, err = server.NewSteps(server.Config{
		Journal: watchedJournal{p.j, p}, Snapshots: w.snaps,
		NewEngine:  func() (server.Engine, error) { return p.watch(engine.New(p.engineConfig())) },
		ReadEngine: func(r io.Reader) (server.Engine, error) { return p.watch(engine.ReadState(p.engineConfig(), r)) },
		Ownership:  engine.TakeOwnership{Owner: fmt.Sprint("run ", p.run), Software: "sim", Programme: programmeID, PersonKeyCheck: [8]byte{1}},
		Terminal:   func(r *engine.Reply) { p.leaves(r, func() { w.once(r); w.answered(r.Token, r) }) },
		API:        func(r *engine.APIReply) { p.leaves(r, func() { w.answered(r.Token, r) }) },
		Admin:      func(r *engine.AdminReply) { p.leaves(r, func() { w.answered(r.Token, r) }) },
		Host:       func(r *engine.HostRequest) { p.leaves(r, func() { w.hosts[r.Host].request(p, r) }) },
		Clock:      func() int64 { return w.now + w.skew },
		Stages:     stage.Simulated(func() stage.Instant { return stage.Instant(w.now - w.born) }),
		Admission:  server.Admission{Stale: 30 * time.Second},
		Queue:      oneOf(w, 4, 256), BatchInputs: oneOf(w, 1, 4, 16, 64),
	})
	if err != nil {
		return err
	}
	if err := p.steps.Start(context.Background()); err != nil {
		return err
	}
	p.ready = true
	p.wake(0)
	return nil
}

func (p *process) engineConfig() engine.Config {
	return engine.Config{Map: province(), Hosts: hostProfiles, Cold: p.cold}
}

func (p *process) watch(e *engine.Engine, err error) (server.Engine, error) {
	if err != nil {
		return nil, err
	}
	p.eng = &watched{Engine: e, p: p}
	return p.eng, nil
}

// leaves holds what a sink gets against the journal: nothing leaves before it is durable.
func (p *process) leaves(what any, deliver func()) {
	need, known := p.needs[what]
	delete(p.needs, what)
	switch {
	case !known:
		p.w.fail("a reply that nobody has decided", "%+v", what)
	case need > p.durable:
		p.w.fail("every reply's events are in the journal", "event %d is not durable, %d is: %+v", need, p.durable, what)
	}
	if p.sent > 0 {
		p.w.pass(pointSending)
	}
	p.sent++
	deliver()
}

// submit gives an input to the switch, if it runs, and reports whether it has taken it.
func (w *world) submit(body any) (taken bool) {
	p := w.proc
	if w.stale != nil && w.chance(300) { // it does not know yet that it is not the owner any more
		p = w.stale
	}
	if p == nil || !p.ready {
		return false
	}
	w.guard(p, func() error {
		switch err := p.steps.Submit(body); {
		case errors.Is(err, server.ErrOverload):
			w.count("fault: turned away at the door")
			return nil
		case err != nil:
			return nil
		}
		if w.full {
			w.atTheMark(body)
		}
		taken = true
		p.wake(w.between(0, 300*time.Microsecond))
		return nil
	})
	return taken
}

// atTheMark counts what is turned away at its turn because the journal is at its high-water mark.
func (w *world) atTheMark(body any) {
	switch body.(type) {
	case *engine.ReserveRequest, *engine.ClaimRequest:
		w.count("fault: journal at its high-water mark")
	}
}

// wake has the loop look for work.
func (p *process) wake(wait time.Duration) {
	at := p.w.now + int64(wait)
	if p.waking != 0 && p.waking <= at {
		return
	}
	p.waking = at
	p.w.at(at, func() {
		if p.waking == at {
			p.waking = 0
			p.w.guard(p, p.look)
		}
	})
}

// look is one turn of the loop.
func (p *process) look() error {
	if !p.ready {
		return nil
	}
	for range 64 {
		if p.steps.Due() {
			if err := p.steps.Tick(); err != nil {
				return err
			}
		}
		if p.steps.Waiting() > 0 {
			p.w.pass(pointWaiting)
		}
		if any, err := p.steps.Collect(); err != nil {
			return err
		} else if !any {
			break
		}
		if p.w.chance(300) {
			break
		}
	}
	p.handOver()
	wait := time.Duration(max(p.eng.NextDeadline()-p.w.now-p.w.skew, 0))
	if p.steps.Waiting() > 0 || p.steps.Due() {
		wait = 200 * time.Microsecond
	}
	p.wake(max(min(wait, 24*time.Hour), 100*time.Microsecond))
	return nil
}

func (p *process) handOver() {
	if p.writing || !p.steps.HandOver() {
		return
	}
	p.writing = true
	took := p.w.between(100*time.Microsecond, 3*time.Millisecond)
	switch {
	case p.w.now < p.w.slow:
		p.w.count("fault: slow disk")
		took = p.w.between(100*time.Millisecond, 40*time.Second)
	case p.w.chance(5):
		took = p.w.between(100*time.Millisecond, 4*time.Second)
	}
	p.w.after(took, func() { p.w.guard(p, p.append) })
}

func (p *process) append() error {
	p.w.pass(pointDecided)
	if _, err := p.steps.Append(); err != nil {
		return err
	}
	p.writing = false
	p.w.pass(pointAppended)
	p.w.after(p.w.between(0, 500*time.Microsecond), func() { p.w.guard(p, p.release) })
	p.handOver()
	return nil
}

func (p *process) release() error {
	p.sent = 0
	p.steps.Release()
	p.w.pass(pointReleased)
	p.handOver()
	return nil
}

// drain decides, appends and releases everything that waits.
func (p *process) drain() error {
	for range 10_000 {
		if p.steps.Due() {
			if err := p.steps.Tick(); err != nil {
				return err
			}
		}
		collected, err := p.steps.Collect()
		if err != nil {
			return err
		}
		p.steps.HandOver()
		appended, err := p.steps.Append()
		if err != nil {
			return err
		}
		p.sent = 0
		if !p.steps.Release() && !appended && !collected && !p.steps.Due() {
			p.writing = false
			return nil
		}
	}
	return errors.New("the switch does not come to rest")
}

// watchedJournal is the journal as the loop sees it.
type watchedJournal struct {
	*journal.Journal
	p *process
}

func (j watchedJournal) Full() bool { return j.p.w.full }

func (j watchedJournal) Append(ctx context.Context, d *journal.Draft) (journal.Mark, error) {
	w, p := j.p.w, j.p
	mark, err := j.Journal.Append(ctx, d)
	if err != nil {
		return mark, err
	}
	if n := w.log.unsynced(); n > 0 {
		w.fail("an append that is acknowledged is synced", "%d sectors are not", n)
	}
	w.acked, p.durable = journal.Mark{Name: "acknowledged", Position: mark.Position, Hash: mark.Hash}, d.Last()
	w.stats.Batches++
	w.follow(j.Journal)
	if p.eng != nil && w.stats.Batches%32 == 0 {
		p.eng.sameAsFollower("replay equals live state")
	}
	return mark, nil
}

func (j watchedJournal) ReplayLent(ctx context.Context, from uint64, fn func(*journal.Batch) error) error {
	n := 0
	return j.Journal.ReplayLent(ctx, from, func(b *journal.Batch) error {
		if n++; n > 1 {
			j.p.w.pass(pointRecovering)
		}
		return fn(b)
	})
}

// follow lets the observers see what has become durable.
func (w *world) follow(j *journal.Journal) {
	err := j.Replay(context.Background(), w.followed.Position+1, func(b *journal.Batch) error {
		for _, ev := range b.Events {
			w.stats.Events++
			w.fact(ev)
			w.model.read(ev)
			w.ledger.Add(b.Position, ev)
			if ev.Seq != w.follower.Seq()+1 {
				w.fail("events are numbered without a gap", "%d follows %d", ev.Seq, w.follower.Seq())
			}
			w.follower.Apply(ev)
		}
		w.followed = b.Mark("followed")
		w.write("= batch %d", b.Position)
		w.model.compare(w.follower)
		if w.ledger.Found() > 0 {
			w.fail("the ledger finds nothing", "%s", w.ledger.Findings()[0])
		}
		return nil
	})
	if err != nil {
		w.fail("the journal can be read", "%v", err)
	}
}

// watched is the deciding engine with the invariants checked after every step.
type watched struct {
	*engine.Engine
	p     *process
	steps int
}

func (e *watched) Step(in engine.Input) engine.Output {
	w := e.p.w
	if _, is := in.Body.(*engine.TakeOwnership); is {
		e.sameAsFollower("replay equals live state")
	}
	out := e.Engine.Step(in)
	if t, is := in.Body.(*engine.TurnAway); is && t.Stale {
		w.count("fault: dropped, its terminal has given up")
	} else if is {
		w.count("fault: turned away in the queue")
	}
	w.stats.Inputs++
	if w.keep {
		w.write("> run %d %T", e.p.run, in.Body)
	}
	for i := range out.Sends {
		s := &out.Sends[i]
		switch {
		case s.Reply != nil:
			e.p.needs[s.Reply] = e.Seq()
		case s.Host != nil:
			e.p.needs[s.Host] = e.Seq()
		case s.API != nil:
			e.p.needs[s.API] = e.Seq()
		case s.Admin != nil:
			e.p.needs[s.Admin] = e.Seq()
		}
	}
	if err := e.CheckInvariants(); err != nil {
		w.fail("invariant of the engine", "after %T: %v", in.Body, err)
	}
	if err := checkBudget(e.Engine); err != nil {
		w.fail("spent + held + free = allocated", "after %T: %v", in.Body, err)
	}
	if e.steps++; len(out.Events) == 0 && e.steps%16 == 0 {
		e.sameAsFollower("a rejected input changes nothing")
	}
	if _, is := in.Body.(*engine.TakeOwnership); is {
		w.pass(pointOwnership)
	}
	return out
}

// sameAsFollower holds the deciding engine against the one that has seen the journal only, where they are equally far.
func (e *watched) sameAsFollower(invariant string) {
	w := e.p.w
	if e.Seq() != w.follower.Seq() || w.stale == e.p {
		return
	}
	w.stats.Seen["check: "+invariant]++
	if a, b := stateOf(e.Engine), stateOf(w.follower); !bytes.Equal(a, b) {
		w.fail(invariant, "the states differ at event %d, from byte %d of %d", e.Seq(), firstDifference(a, b), len(a))
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func stateOf(e *engine.Engine) []byte {
	var b writer
	if err := e.WriteState(&b); err != nil {
		panic(err)
	}
	return b
}

// writer is a buffer without the rest of one.
type writer []byte

func (b *writer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

func bytesReader(b []byte) io.Reader { return bytes.NewReader(b) }

func keysOf[K comparable, V any](m map[K]V) iter.Seq[K] { return maps.Keys(m) }
