// Package server is the loop around the deciding engine: it takes inputs from the fronts, stamps them with the time,
// lets the engine decide, makes what was decided durable, and only then lets answers and host requests leave.
//
// It does not interpret inputs, knows no protocol, and never retries a failed append. It does not open or close the
// journal: readers of it (the projection) may outlive the loop.
//
// # Contract
//
//   - Nothing that depends on an event reaches a sink before the journal has acknowledged that event. Sends reach the
//     sinks in the order in which the engine gave them out, answers without events included.
//   - A failed append, an append of unknown outcome, a broken invariant and a damaged stream end Run with an error; what
//     was not acknowledged is dropped unsent. The process must exit: the engine in memory is ahead of the journal. The
//     next start replays what is durable, and engine.TakeOwnership settles what was in flight.
//   - The queue is bounded in time and in length. What begins something new and has waited too long is turned away, at the door
//     where that can be foreseen (ErrOverload), else when its turn comes; Admission says what that is, and what never is. When the
//     queue is full Submit returns ErrOverload at once. The till gets 96, HTTP 503, and that message has done nothing. What is turned
//     away at the door is not known to be a repeat or not: an earlier copy of it stands as it did.
//   - What a terminal has given up before its turn came is recorded as refused and not decided.
//   - Claims wait in a line of their own and take at most an eighth of a batch: a rush of them is answered as fast as there is
//     room, and tills and hosts neither queue behind it nor are refused for it.
//   - With the journal at its high-water mark reserves and claims are turned away at their turn, which makes no event: that may last
//     for days, and a repeat of what was decided before must get its answer all the same. Everything else – sales on holds,
//     answers of hosts, reversals – goes on.
//
// The caller stops its fronts first (no new requests, waiting for those in flight), then cancels Run's context: what is
// queued is still decided, synced and released.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/journal"
	"huanxin/switch/stage"
)

var (
	// ErrOverload is returned by Submit when the input would wait too long, or the queue is full. The engine has not seen it: it has
	// done nothing, and if it is a repeat what it repeats stands as before.
	ErrOverload = errors.New("overloaded: the engine's queue is too long")
	// ErrNotRunning is returned by Submit before the engine has recovered and after it has stopped.
	ErrNotRunning = errors.New("engine is not running")
	// ErrOwnership is returned by Run when the engine refuses to take over this journal.
	ErrOwnership = errors.New("take-over refused")
	// ErrInvariant is returned by Run when the engine's state contradicts itself.
	ErrInvariant = errors.New("broken invariant")
)

// Engine is the state machine that the loop drives: *engine.Engine, or a fake.
type Engine interface {
	// Step decides one input. Its output is valid until the next Step.
	Step(engine.Input) engine.Output
	// ApplyPacked replays one recorded event. packed is the packed body of a Reserved that is good for this call only, else "".
	ApplyPacked(ev *event.Event, packed string)
	// NextDeadline is the instant (Unix ns) at which a Tick is due; math.MaxInt64 for none.
	NextDeadline() int64
	// Seq is the number of the last applied event.
	Seq() uint64
	// CheckInvariants returns an error when the state contradicts itself.
	CheckInvariants() error
	// CheckAtEase is the same with a rest now and then.
	CheckAtEase(rest func()) error
	// WriteState writes the state for a snapshot.
	WriteState(io.Writer) error
	// Vitals are the figures for metrics and alarms.
	Vitals() engine.Vitals
}

// Journal is where the loop keeps its events: *journal.Journal, or one that fails on purpose.
type Journal interface {
	Append(context.Context, *journal.Draft) (journal.Mark, error)
	ReplayLent(ctx context.Context, from uint64, fn func(*journal.Batch) error) error
	Follow(ctx context.Context, from uint64) (*journal.Reader, error)
	Snapshots() *journal.SnapshotStore
	Full() bool
}

// Snapshots keeps states: *journal.SnapshotStore, or one that fails on purpose.
type Snapshots interface {
	// Load hands the newest good state to read, and the one before when read refuses it; ok is false when none is left.
	Load(read func(journal.Snapshot, io.Reader) error) (snap journal.Snapshot, ok bool)
	// Save keeps the state that write produces.
	Save(snap journal.Snapshot, write func(io.Writer) error) error
}

// Config is what a server needs. Journal, NewEngine, ReadEngine and the sinks are required.
type Config struct {
	// Journal is open and stays the caller's to close, after Run has returned.
	Journal Journal
	// Snapshots keeps the states. Default: the journal's own.
	Snapshots Snapshots
	// NewEngine makes an engine with an empty history, ReadEngine one from a snapshot. Each is called for the deciding
	// engine and again for the follower's.
	NewEngine  func() (Engine, error)
	ReadEngine func(io.Reader) (Engine, error)
	// Ownership is the first input of the run.
	Ownership engine.TakeOwnership

	// Sinks take what leaves, from one goroutine, in order. They must not block and must not keep the pointer. Tokens
	// that nobody waits for any more are theirs to ignore.
	Terminal func(*engine.Reply)
	Host     func(*engine.HostRequest)
	API      func(*engine.APIReply)
	Admin    func(*engine.AdminReply)
	// Flush is called when everything that one batch releases has been handed to the sinks, from the same goroutine: what
	// they have queued may leave together. Default: nothing.
	Flush func()

	// Clock gives Unix nanoseconds. A clock that steps back is held. Default: the machine's.
	Clock func() int64
	// Queue is the number of inputs that may wait for the engine, and of claims beside them. Default 16384.
	Queue int
	// Admission says how long inputs may wait.
	Admission Admission
	// BatchInputs and BatchBytes end the collection of a batch: inputs decided, bytes of packed events. Defaults 1024
	// and 1 MiB. One Step's events are never split, so a batch may be larger by one Step.
	BatchInputs int
	BatchBytes  int
	// SnapshotEvents and SnapshotEvery say when the follower writes a snapshot: after so many events or so much time
	// with at least one, whichever comes first. Defaults 1 000 000 and 5 min.
	SnapshotEvents uint64
	SnapshotEvery  time.Duration
	// Busy says that the machine has no processor time to spare. The follower then gives way, also while it checks and
	// writes a state, less once it is SnapshotEvents behind and at twice as many not at all; and small batches wait for each
	// other. Called by several goroutines, often. Default: never.
	Busy func() bool
	// CheckBatches runs CheckInvariants before every append. It reads the whole state: for tests and drills.
	CheckBatches bool
	// Point is told when a batch reaches a stage, with the names of its events in order; see CrashPoint. For drills only;
	// nil costs nothing.
	Point func(stage Stage, events []string)
	// Place is told when the work comes to a place beside the batches, as Point is; nil costs nothing.
	Place func(place string)

	// Logger, Metrics and Stages may be nil. The clock of Stages is the one that waiting is measured by.
	Logger  *zap.Logger
	Metrics prometheus.Registerer
	Stages  *stage.Times
}

func (c Config) checked() (Config, error) {
	switch {
	case c.Journal == nil || c.NewEngine == nil || c.ReadEngine == nil:
		return c, errors.New("server: journal and both engine makers are required")
	case c.Terminal == nil || c.Host == nil || c.API == nil || c.Admin == nil:
		return c, errors.New("server: all four sinks are required")
	case c.Queue < 0 || c.BatchInputs < 0 || c.BatchBytes < 0 || c.SnapshotEvery < 0:
		return c, errors.New("server: negative bound")
	}
	if a := c.Admission; a.Target < 0 || a.Interval < 0 || a.Payments < 0 || a.Stale < 0 {
		return c, errors.New("server: negative bound of admission")
	}
	c.Admission = c.Admission.withDefaults()
	if c.Stages == nil {
		c.Stages, _ = stage.New(nil) // which registers nothing, and so cannot fail
	}
	c.Queue = orElse(c.Queue, 16384)
	c.BatchInputs = orElse(c.BatchInputs, 1024)
	c.BatchBytes = orElse(c.BatchBytes, 1<<20)
	c.SnapshotEvents = orElse(c.SnapshotEvents, 1_000_000)
	c.SnapshotEvery = orElse(c.SnapshotEvery, 5*time.Minute)
	if c.Snapshots == nil {
		c.Snapshots = c.Journal.Snapshots()
	}
	if c.Flush == nil {
		c.Flush = func() {}
	}
	if c.Busy == nil {
		c.Busy = func() bool { return false }
	}
	if c.Clock == nil {
		c.Clock = func() int64 { return time.Now().UnixNano() }
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return c, nil
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Server is one run of the loop. It is used once.
type Server struct {
	cfg     Config
	log     *zap.Logger
	metrics *metrics
	vitals  *vitals
	queue   queue
	decided atomic.Uint64
	started chan struct{}

	// gate is held for reading while an input goes into the queue, and for writing when the state changes: after
	// "stopping" has been set nothing enters the queue any more.
	gate  sync.RWMutex
	state runState
}

// runState is what Ready reports.
type runState uint8

const (
	stateNew runState = iota
	stateRecovering
	stateRunning
	stateStopping
	stateStopped
)

var stateText = map[runState]string{
	stateNew:        "not started",
	stateRecovering: "recovering from the journal",
	stateStopping:   "stopping",
	stateStopped:    "stopped",
}

// New checks the configuration and registers the metrics. Nothing runs yet.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Logger, queue: newQueue(cfg.Queue, cfg.Admission), started: make(chan struct{})}
	s.vitals = newVitals(s.log)
	if s.metrics, err = newMetrics(cfg.Metrics, s.queue, &s.decided, cfg.Journal, s.vitals); err != nil {
		return nil, fmt.Errorf("server: register metrics: %w", err)
	}
	return s, nil
}

// Submit puts an input – a pointer to one of package engine's input types – into the queue, or refuses it at once. After
// nil the input will be decided, unless the process dies; the answer comes through a sink.
func (s *Server) Submit(body any) error { return s.SubmitArrived(body, 0) }

// SubmitArrived is Submit for an input that had come to this machine at that instant of Config.Stages; 0 is now.
func (s *Server) SubmitArrived(body any, arrived stage.Instant) error {
	now := s.cfg.Stages.Now()
	in := entry(body, arrived, now)
	switch body.(type) {
	case *engine.ReserveRequest, *engine.ClaimRequest:
		in.full = s.cfg.Journal.Full()
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.state != stateRunning {
		return ErrNotRunning
	}
	if in.class == begins && s.queue.line(in.claim).turnsAway(in.arrived, now) {
		s.metrics.late.Inc()
		return ErrOverload
	}
	if !s.queue.put(in) {
		s.metrics.overload.Inc()
		return ErrOverload
	}
	return nil
}

// TurnsAway tells a front, before it has read a request that begins something new – a claim, or something else –, that it would be
// turned away, and counts it as refused. The front then answers at once: the less it does for it, the more is left for the others.
func (s *Server) TurnsAway(claim bool) bool {
	if !s.queue.line(claim).turnsAway(0, s.cfg.Stages.Now()) {
		return false
	}
	s.metrics.late.Inc()
	return true
}

// Decided is how many inputs have been decided, ticks included. It may be asked at any time.
func (s *Server) Decided() uint64 { return s.decided.Load() }

// Started is closed when Submit begins to accept.
func (s *Server) Started() <-chan struct{} { return s.started }

// Ready returns nil while the loop accepts inputs, else an error saying what it is doing instead.
func (s *Server) Ready() error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.state == stateRunning {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrNotRunning, stateText[s.state])
}

// point tells a drill where a batch has come to.
func (s *Server) point(stage Stage, w *work) {
	if s.cfg.Point != nil && len(w.names) > 0 {
		s.cfg.Point(stage, w.names)
	}
}

func (s *Server) enter(state runState) {
	s.gate.Lock()
	s.state = state
	s.gate.Unlock()
}

// Run recovers, takes ownership, and decides until ctx ends (graceful stop, nil) or something is wrong (error: exit).
func (s *Server) Run(ctx context.Context) error {
	s.enter(stateRecovering)
	defer s.enter(stateStopped)

	eng, end, err := s.recover(ctx)
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	s.vitals.begin(eng.Vitals())
	l := newLoop(s, eng, end)
	if err := l.takeOwnership(); err != nil {
		return fmt.Errorf("take ownership: %w", err)
	}

	follower := s.startFollower()
	s.enter(stateRunning)
	close(s.started)
	s.log.Info("deciding", zap.Uint64("position", l.appender.end.Position), zap.Uint64("seq", eng.Seq()))

	err = l.run(ctx, follower.failed)
	follower.stop()
	if err != nil {
		return err
	}
	return l.lastSnapshot()
}
