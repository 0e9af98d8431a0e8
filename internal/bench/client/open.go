package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"huanxin/internal/simulator/load"
)

// Open sends Rate requests a second whatever the answers do, in turn over Connections. Each connection has InFlight slots;
// a request whose connection has no slot free waits, and its latency counts from the instant at which it was due.
type Open struct {
	Address     string
	Connections int
	InFlight    int
	Script      Script
	Rate        float64
	WarmUp      time.Duration // before counting begins
	Duration    time.Duration // of counting
}

// OpenRun is what an open loop has seen.
type OpenRun struct {
	Asked     uint64         // warm-up included; all were answered
	Waited    uint64         // of them, those that found no slot free
	Latencies load.Latencies // of those that were due in the counted time, from when they were due
	Sent      load.Latencies // the same, from when they were sent: a terminal that waits for an answer can ask nothing
	Declines  load.Latencies // of those of them that were turned away, which are not among Latencies
	// Gap is the longest time in the counted time in which no answer came at all.
	Gap time.Duration
	// WorstAt is when the request with the longest latency was due, since counting began.
	WorstAt time.Duration
}

// Run runs it. An answer that is not as expected, and one that does not come, make it an error.
func (o *Open) Run(ctx context.Context) (*OpenRun, error) {
	begin := time.Now().Add(100 * time.Millisecond)
	r := &openLoop{counted: begin.Add(o.WarmUp)}
	lines := make([]*openLine, o.Connections)
	for i := range lines {
		nc, err := new(net.Dialer).DialContext(ctx, "tcp", o.Address)
		if err != nil {
			closeAll(lines[:i])
			return nil, err
		}
		lines[i] = newOpenLine(r, nc, o.Script, i*o.InFlight, o.InFlight)
	}
	defer closeAll(lines)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, l := range lines {
		all.Go(func() {
			if err := l.listen(); err != nil {
				cancel(err)
			}
		})
	}
	err := r.ask(ctx, o, lines, begin)
	if err == nil {
		err = r.end(ctx, lines)
	}
	if err != nil {
		cancel(err)
		closeAll(lines)
		all.Wait()
		return nil, context.Cause(ctx)
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	run := &OpenRun{Asked: uint64(o.Rate * (o.WarmUp + o.Duration).Seconds()), Gap: time.Duration(r.stall.longest.Load())}
	for _, l := range lines {
		run.Waited += l.waited
		if l.latencies.Max() > run.Latencies.Max() {
			run.WorstAt = l.worst.Sub(r.counted)
		}
		run.Latencies.Merge(&l.latencies)
		run.Sent.Merge(&l.sent)
		run.Declines.Merge(&l.declines)
	}
	return run, nil
}

func closeAll(lines []*openLine) {
	for _, l := range lines {
		l.nc.Close()
	}
}

// openLoop is what the lines of a run share.
type openLoop struct {
	counted time.Time
	over    atomic.Bool // everything has been asked
	stall   stall
}

// ask paces the requests out.
func (r *openLoop) ask(ctx context.Context, o *Open, lines []*openLine, begin time.Time) error {
	var touched []*openLine
	fire := func(n uint64, due time.Time) error {
		l := lines[n%uint64(len(lines))]
		first, err := l.due(due)
		if first {
			touched = append(touched, l)
		}
		return err
	}
	flush := func() error {
		for _, l := range touched {
			if err := l.flush(); err != nil {
				return err
			}
		}
		touched = touched[:0]
		return nil
	}
	return pace(ctx, begin, o.Rate, o.WarmUp+o.Duration, fire, flush)
}

// end waits until every line has heard all its answers.
func (r *openLoop) end(ctx context.Context, lines []*openLine) error {
	r.over.Store(true)
	for _, l := range lines {
		if err := l.finish(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// maxWaiting bounds the requests of one line that wait for a slot: beyond it the server has stopped.
const maxWaiting = 100_000

// openLine is one connection: the pacer asks on it, a goroutine of its own listens.
type openLine struct {
	loop   *openLoop
	nc     net.Conn
	script Script
	first  int
	in     frames

	// mu guards the slots and what is written, between pacer and listener.
	mu        sync.Mutex
	free      []int
	begun     []time.Time // by slot: when its request was due; zero = none in flight
	asked     []time.Time // by slot: when its request was sent
	waiting   []time.Time // requests without a slot, oldest first
	out       []byte
	owed      int
	waited    uint64
	latencies load.Latencies
	sent      load.Latencies
	declines  load.Latencies
	worst     time.Time
}

func newOpenLine(r *openLoop, nc net.Conn, script Script, first, slots int) *openLine {
	l := &openLine{loop: r, nc: nc, script: script, first: first, begun: make([]time.Time, slots), asked: make([]time.Time, slots), in: frames{buf: make([]byte, 64<<10)}}
	for slot := slots; slot > 0; slot-- {
		l.free = append(l.free, slot-1)
	}
	return l
}

// due puts a request out, or lets it wait. first says that the line must be flushed.
func (l *openLine) due(at time.Time) (first bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) == 0 {
		if len(l.waiting) == maxWaiting {
			return false, fmt.Errorf("%w: %d requests of one connection wait for a slot", ErrLost, maxWaiting)
		}
		l.waited++
		l.waiting = append(l.waiting, at)
		return false, nil
	}
	first = len(l.out) == 0
	slot := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	return first, l.ask(slot, at)
}

// ErrExhausted is returned when a script has nothing left to ask before the time of an open loop is over.
var ErrExhausted = errors.New("nothing left to ask")

func (l *openLine) ask(slot int, due time.Time) error {
	frame := l.script.Next(l.first + slot)
	if frame == nil {
		return ErrExhausted
	}
	l.out = append(l.out, frame...)
	l.begun[slot], l.asked[slot] = due, time.Now()
	l.owed++
	return nil
}

func (l *openLine) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write()
}

func (l *openLine) write() error {
	if len(l.out) == 0 {
		return nil
	}
	_, err := l.nc.Write(l.out)
	l.out = l.out[:0]
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return nil
}

// finish bounds the wait for the last answers; a line that is owed none is not listened to any more.
func (l *openLine) finish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owed+len(l.waiting) == 0 {
		return l.nc.SetReadDeadline(time.Now())
	}
	return l.nc.SetReadDeadline(time.Now().Add(patience))
}

func (l *openLine) listen() error {
	for {
		n, err := l.nc.Read(l.in.room())
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && l.done() {
				return nil
			}
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
		l.in.arrived(n)
		if err := l.hear(time.Now()); err != nil {
			return err
		}
		if l.done() {
			return nil
		}
	}
}

func (l *openLine) done() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loop.over.Load() && l.owed+len(l.waiting) == 0
}

// hear judges what has arrived and gives the slots to those who wait for one.
func (l *openLine) hear(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		frame, err := l.in.next()
		if err != nil {
			return err
		}
		if frame == nil {
			return l.write()
		}
		slot, err := l.script.Slot(frame)
		if err != nil {
			return err
		}
		slot -= l.first
		if slot < 0 || slot >= len(l.begun) || l.begun[slot].IsZero() {
			return unexpected(l.first+slot, "nothing asked for on this connection", frame)
		}
		switch err := l.script.Judge(l.first+slot, frame); {
		case err == nil:
			l.record(&l.latencies, l.begun[slot], now)
			if !l.begun[slot].Before(l.loop.counted) {
				l.sent.Record(now.Sub(l.asked[slot]))
			}
		case errors.Is(err, ErrDeclined):
			l.record(&l.declines, l.begun[slot], now)
		default:
			return err
		}
		l.begun[slot] = time.Time{}
		l.owed--
		if len(l.waiting) == 0 {
			l.free = append(l.free, slot)
			continue
		}
		due := l.waiting[0]
		l.waiting = l.waiting[1:]
		if err := l.ask(slot, due); err != nil {
			return err
		}
	}
}

func (l *openLine) record(in *load.Latencies, due, now time.Time) {
	if due.Before(l.loop.counted) {
		return
	}
	l.loop.stall.heard(now)
	took := now.Sub(due)
	if in == &l.latencies && took > in.Max() {
		l.worst = due
	}
	in.Record(took)
}
