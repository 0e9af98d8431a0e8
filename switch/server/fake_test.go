package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/journal"
)

// fakeEngine is a strict engine: it panics when the loop breaks its side of the contract. A SignOnRequest makes one
// event and one reply whose Batch is the event's number; an EchoRequest makes a reply alone; a SignOffRequest makes as
// many events as its STAN says. Everything it hands out is wiped at the next Step.
type fakeEngine struct {
	seq      uint64
	sum      uint64 // over all events: two engines with the same history have the same
	at       int64
	deadline int64
	steps    []string // names of the inputs seen
	applied  int      // events replayed
	problems []string // of a take-over
	broken   func() error
	vitals   engine.Vitals // grows by a dead letter and a work item at each SignOffRequest

	out engine.Output
}

func newFake() *fakeEngine { return &fakeEngine{deadline: math.MaxInt64} }

func (f *fakeEngine) Vitals() engine.Vitals { return f.vitals }

func (f *fakeEngine) Seq() uint64         { return f.seq }
func (f *fakeEngine) NextDeadline() int64 { return f.deadline }

func (f *fakeEngine) CheckInvariants() error {
	if f.broken != nil {
		return f.broken()
	}
	return nil
}

func (f *fakeEngine) CheckAtEase(rest func()) error {
	rest()
	return f.CheckInvariants()
}

func (f *fakeEngine) ApplyPacked(ev *event.Event, _ string) {
	f.applied++
	f.take(ev)
}

func (f *fakeEngine) take(ev *event.Event) {
	if ev.Seq != f.seq+1 {
		panic(fmt.Sprintf("event %d applied after %d", ev.Seq, f.seq))
	}
	f.seq = ev.Seq
	f.sum = f.sum*31 + ev.Seq + uint64(ev.At)
}

func (f *fakeEngine) Step(in engine.Input) engine.Output {
	if in.At < f.at {
		panic("the clock went back")
	}
	f.at = in.At
	for _, ev := range f.out.Events {
		ev.Seq, ev.Body = math.MaxUint64, nil
	}
	clear(f.out.Sends)
	f.out.Events, f.out.Packed, f.out.Sends = f.out.Events[:0], f.out.Packed[:0], f.out.Sends[:0]

	f.steps = append(f.steps, fmt.Sprintf("%T", in.Body))
	switch b := in.Body.(type) {
	case *engine.TakeOwnership:
		if f.problems != nil {
			f.send(engine.Send{Admin: &engine.AdminReply{Problems: f.problems}})
			break
		}
		f.emit(&event.Event{Body: &event.Event_OwnershipTaken{OwnershipTaken: &event.OwnershipTaken{Owner: b.Owner}}})
		f.send(engine.Send{Host: &engine.HostRequest{Reversal: f.seq}})
		f.send(engine.Send{Admin: &engine.AdminReply{}})
	case *engine.SignOnRequest:
		f.emit(&event.Event{Body: &event.Event_TerminalSignedOn{TerminalSignedOn: &event.TerminalSignedOn{Batch: uint32(b.Token)}}})
		f.send(engine.Send{Reply: &engine.Reply{Token: b.Token, Batch: uint32(f.seq)}})
	case *engine.SignOffRequest:
		f.vitals.Dead, f.vitals.WorkItems = f.vitals.Dead+1, f.vitals.WorkItems+1
		f.vitals.LastDead, f.vitals.LastWorkItem = fmt.Sprintf("R%d", f.vitals.Dead), f.vitals.LastWorkItem+1
		for range b.Key.STAN {
			f.emit(&event.Event{Body: &event.Event_TerminalSignedOff{TerminalSignedOff: &event.TerminalSignedOff{Terminal: "10000001"}}})
		}
	case *engine.EchoRequest:
		f.send(engine.Send{Reply: &engine.Reply{Token: b.Token, Batch: uint32(f.seq)}})
	case *engine.ClaimRequest:
		f.send(engine.Send{API: &engine.APIReply{Token: b.Token}})
	case *engine.ReserveRequest:
		f.emit(&event.Event{Body: &event.Event_Reserved{Reserved: &event.Reserved{Purchase: uint64(b.Token)}}})
		f.send(engine.Send{Reply: &engine.Reply{Token: b.Token, Batch: uint32(f.seq)}})
	case *engine.SaleRequest:
		f.send(engine.Send{Reply: &engine.Reply{Token: b.Token, Batch: uint32(f.seq)}})
	case *engine.ReversalRequest:
		f.send(engine.Send{Reply: &engine.Reply{Token: b.Token, Batch: uint32(f.seq)}})
	case *engine.TurnAway:
		f.turnAway(b)
	case *engine.SetRows:
		f.send(engine.Send{Admin: &engine.AdminReply{Token: b.Token}})
	case *engine.Tick:
		if f.deadline > in.At {
			panic("tick before its time")
		}
		f.deadline = math.MaxInt64
		f.emit(&event.Event{Body: &event.Event_HoldExpired{HoldExpired: &event.HoldExpired{Purchase: 1}}})
		f.send(engine.Send{Reply: &engine.Reply{Token: 999_999, Batch: uint32(f.seq)}})
	default:
		panic(fmt.Sprintf("no such input %T", b))
	}
	return f.out
}

// turnAway marks the token of its answer, so that tests can tell; a stale one makes an event.
func (f *fakeEngine) turnAway(in *engine.TurnAway) {
	var token engine.Token
	switch b := in.Body.(type) {
	case *engine.ReserveRequest:
		token = b.Token
	case *engine.SaleRequest:
		token = b.Token
	case *engine.ClaimRequest:
		f.send(engine.Send{API: &engine.APIReply{Token: turnedAway | b.Token}})
		return
	default:
		panic(fmt.Sprintf("%T is never turned away", b))
	}
	if in.Stale {
		token |= droppedStale
		f.emit(&event.Event{Body: &event.Event_SaleRefused{SaleRefused: &event.SaleRefused{}}})
	}
	f.send(engine.Send{Reply: &engine.Reply{Token: turnedAway | token, Batch: uint32(f.seq)}})
}

// Marks on the token of what was turned away.
const (
	turnedAway   engine.Token = 1 << 40
	droppedStale engine.Token = 1 << 41
)

func (f *fakeEngine) emit(ev *event.Event) {
	ev.Seq, ev.At = f.seq+1, f.at
	f.take(ev)
	f.out.Events, f.out.Packed = append(f.out.Events, ev), append(f.out.Packed, "")
}

func (f *fakeEngine) send(s engine.Send) { f.out.Sends = append(f.out.Sends, s) }

func (f *fakeEngine) WriteState(w io.Writer) error {
	b := binary.BigEndian.AppendUint64(nil, f.seq)
	_, err := w.Write(binary.BigEndian.AppendUint64(b, f.sum))
	return err
}

func readFake(r io.Reader) (*fakeEngine, error) {
	var b [16]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return nil, err
	}
	f := newFake()
	f.seq, f.sum = binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
	return f, nil
}

// appendMode is how a fake remote behaves.
type appendMode int32

const (
	works appendMode = iota
	fails
	worksButReportsFailure
)

var errDisk = errors.New("the disk is gone")

// strictJournal is a real journal whose appends can be held and made to fail. It knows what is durable.
type strictJournal struct {
	*journal.Journal
	mode    atomic.Int32
	durable atomic.Uint64 // number of the last event whose append was acknowledged to the loop
	batches atomic.Int64
	largest atomic.Int64 // events of one append
	full    atomic.Bool
	held    chan struct{} // one token is taken for each append; nil: none needed
	waiting chan struct{} // gets a token when an append waits for one
}

func openJournal(t testing.TB, dir string) *strictJournal {
	t.Helper()
	j, err := journal.Open(context.Background(), journal.Config{Programme: "test", Dir: dir, MinFree: -1})
	require.NoError(t, err)
	t.Cleanup(func() { j.Close() })
	s := &strictJournal{Journal: j, waiting: make(chan struct{}, 1024)}
	s.durable.Store(j.Report().LastSeq)
	return s
}

func (j *strictJournal) Full() bool { return j.full.Load() }

func (j *strictJournal) Append(ctx context.Context, d *journal.Draft) (journal.Mark, error) {
	if j.held != nil && j.batches.Load() > 0 { // the take-over is never held
		j.waiting <- struct{}{}
		<-j.held
	}
	if appendMode(j.mode.Load()) == fails {
		return journal.Mark{}, errDisk
	}
	count := d.Count()
	j.largest.Store(max(j.largest.Load(), int64(count)))
	mark, err := j.Journal.Append(ctx, d)
	if err != nil {
		return mark, err
	}
	if appendMode(j.mode.Load()) == worksButReportsFailure {
		return journal.Mark{}, errDisk
	}
	j.batches.Add(1)
	j.durable.Add(uint64(count))
	return mark, nil
}

// rig is a server on a journal in dir with sinks that check that nothing leaves before it is durable.
type rig struct {
	t       testing.TB
	j       *strictJournal
	s       *Server
	engines []*fakeEngine // in the order made: the deciding one first

	mu      sync.Mutex
	arrived chan struct{} // a token for each send
	tokens  []engine.Token
	hosts   int
	tooSoon []string

	cancel context.CancelFunc
	ended  chan error
}

// newRig prepares a server; change may adjust its configuration and each engine made.
func newRig(t testing.TB, dir string, change func(*Config), prepare func(*fakeEngine)) *rig {
	t.Helper()
	r := &rig{t: t, j: openJournal(t, dir), arrived: make(chan struct{}, 1<<16), ended: make(chan error, 1)}
	made := func(f *fakeEngine, err error) (Engine, error) {
		if err != nil {
			return nil, err
		}
		if prepare != nil {
			prepare(f)
		}
		r.mu.Lock()
		r.engines = append(r.engines, f)
		r.mu.Unlock()
		return f, nil
	}
	cfg := Config{
		Journal:    r.j,
		NewEngine:  func() (Engine, error) { return made(newFake(), nil) },
		ReadEngine: func(in io.Reader) (Engine, error) { return made(readFake(in)) },
		Ownership:  engine.TakeOwnership{Owner: "test"},
		Terminal:   func(p *engine.Reply) { r.arrive(p.Token, uint64(p.Batch)) },
		Host:       func(p *engine.HostRequest) { r.hosts++; r.arrive(0, p.Reversal) },
		API:        func(p *engine.APIReply) { r.arrive(p.Token, 0) },
		Admin:      func(p *engine.AdminReply) { r.arrive(p.Token, 0) },
		Metrics:    prometheus.NewRegistry(),
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	r.s, err = New(cfg)
	require.NoError(t, err)
	return r
}

// arrive notes a send and the number of the last event it depends on.
func (r *rig) arrive(token engine.Token, seq uint64) {
	r.mu.Lock()
	if durable := r.j.durable.Load(); seq > durable {
		r.tooSoon = append(r.tooSoon, fmt.Sprintf("token %d left with event %d, durable is %d", token, seq, durable))
	}
	r.tokens = append(r.tokens, token)
	r.mu.Unlock()
	r.arrived <- struct{}{}
}

// start runs the server and waits until it accepts.
func (r *rig) start() *rig {
	r.t.Helper()
	r.launch()
	select {
	case <-r.s.Started():
	case err := <-r.ended:
		require.NoError(r.t, err)
	}
	r.await(1) // the host request of the take-over
	return r
}

func (r *rig) launch() {
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() { r.ended <- r.s.Run(ctx) }()
}

// await waits for n sends.
func (r *rig) await(n int) {
	r.t.Helper()
	for range n {
		select {
		case <-r.arrived:
		case err := <-r.ended:
			require.Fail(r.t, "the server ended", "%v", err)
		case <-time.After(time.Minute):
			require.Fail(r.t, "no answer")
		}
	}
}

// stop ends the run gracefully and closes the journal.
func (r *rig) stop() {
	r.t.Helper()
	r.cancel()
	require.NoError(r.t, <-r.ended)
	r.close()
}

func (r *rig) close() {
	r.t.Helper()
	require.NoError(r.t, r.j.Close())
	require.Empty(r.t, r.tooSoon)
}

// deciding is the engine of the loop; the follower's is made later.
func (r *rig) deciding() *fakeEngine {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.engines[0]
}

func (r *rig) seen() []engine.Token {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]engine.Token(nil), r.tokens...)
}

func (r *rig) submit(bodies ...any) {
	r.t.Helper()
	for _, b := range bodies {
		require.NoError(r.t, r.s.Submit(b))
	}
}

func signOn(token int) *engine.SignOnRequest {
	return &engine.SignOnRequest{Token: engine.Token(token)}
}

func echo(token int) *engine.EchoRequest { return &engine.EchoRequest{Token: engine.Token(token)} }
