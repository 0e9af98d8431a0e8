package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"huanxin/internal/simulator/load"
)

// Closed keeps InFlight requests in flight on each of Connections: a new one leaves when an answer has come.
type Closed struct {
	Address     string
	TLS         *tls.Config // nil: plain TCP
	Connections int
	InFlight    int
	Script      Script
	WarmUp      time.Duration // before counting begins
	Duration    time.Duration // of counting
}

// Run is what was counted.
type Run struct {
	Answers   uint64 // in the counted time
	All       uint64 // warm-up and the end included
	Elapsed   time.Duration
	Latencies load.Latencies // of all answers
	// Exhausted says that the script had no more to ask before the time was over; Elapsed is up to then.
	Exhausted bool
}

// PerSecond is the throughput.
func (r *Run) PerSecond() float64 { return float64(r.Answers) / r.Elapsed.Seconds() }

// patience is how long an answer may take before the run counts as failed.
const patience = 30 * time.Second

// ErrLost is returned when a connection ended or stayed silent while an answer was owed.
var ErrLost = errors.New("answer lost")

// Run runs it. An answer that is not as expected, and one that does not come, make it an error.
func (c *Closed) Run(ctx context.Context) (*Run, error) {
	lines := make([]*line, c.Connections)
	defer func() {
		for _, l := range lines {
			if l != nil {
				l.nc.Close()
			}
		}
	}()
	var stop atomic.Bool
	exhausted := make(chan struct{}, 1)
	for i := range lines {
		nc, err := dial(ctx, c.Address, c.TLS)
		if err != nil {
			return nil, err
		}
		lines[i] = &line{
			nc: nc, script: c.Script, first: i * c.InFlight, slots: c.InFlight, stop: &stop, exhausted: exhausted,
			began: make([]time.Time, c.InFlight), in: frames{buf: make([]byte, 256<<10)},
		}
	}
	failed := make(chan error, c.Connections)
	var all sync.WaitGroup
	limit := time.Now().Add(c.WarmUp + c.Duration + patience)
	for _, l := range lines {
		all.Go(func() {
			if err := l.run(limit); err != nil {
				failed <- err
			}
		})
	}
	run := &Run{}
	count := counting{c.WarmUp, c.Duration, func() (n uint64) {
		for _, l := range lines {
			n += l.answers.Load()
		}
		return n
	}, exhausted, failed}
	err := count.run(ctx, run)
	stop.Store(true)
	if err != nil {
		for _, l := range lines {
			l.nc.Close()
		}
	}
	all.Wait()
	close(failed)
	if err == nil {
		err = <-failed
	}
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		run.All += l.answers.Load()
		run.Latencies.Merge(&l.latencies)
	}
	return run, nil
}

// dial connects, and shakes hands where there is TLS.
func dial(ctx context.Context, address string, config *tls.Config) (net.Conn, error) {
	if config == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
}

// line is one connection. All but answers belongs to its goroutine.
type line struct {
	nc           net.Conn
	script       Script
	first, slots int
	stop         *atomic.Bool
	exhausted    chan<- struct{}

	in        frames
	out       []byte
	began     []time.Time
	owed      int
	latencies load.Latencies
	answers   atomic.Uint64
}

func (l *line) run(limit time.Time) error {
	if err := l.nc.SetDeadline(limit); err != nil {
		return err
	}
	for slot := range l.slots {
		l.ask(l.first+slot, time.Now())
	}
	if err := l.flush(); err != nil {
		return err
	}
	for l.owed > 0 {
		n, err := l.nc.Read(l.in.room())
		if err != nil {
			return fmt.Errorf("%w: %d answers owed: %w", ErrLost, l.owed, err)
		}
		l.in.arrived(n)
		if err := l.hear(time.Now()); err != nil {
			return err
		}
		if err := l.flush(); err != nil {
			return err
		}
	}
	return nil
}

// ask puts the slot's next request out.
func (l *line) ask(slot int, now time.Time) {
	if l.stop.Load() {
		return
	}
	frame := l.script.Next(slot)
	if frame == nil {
		select { // once is enough: counting ends then, other slots go on until they have no more either
		case l.exhausted <- struct{}{}:
		default:
		}
		return
	}
	l.out = append(l.out, frame...)
	l.began[slot-l.first] = now
	l.owed++
}

// hear judges every whole answer that has arrived and asks anew.
func (l *line) hear(now time.Time) error {
	heard := uint64(0)
	for {
		frame, err := l.in.next()
		if err != nil {
			return err
		}
		if frame == nil {
			l.answers.Add(heard)
			return nil
		}
		slot, err := l.script.Slot(frame)
		if err != nil {
			return err
		}
		if slot < l.first || slot >= l.first+l.slots || l.began[slot-l.first].IsZero() {
			return unexpected(slot, "nothing asked for on this connection", frame)
		}
		if err := l.script.Judge(slot, frame); err != nil {
			return err
		}
		l.latencies.Record(now.Sub(l.began[slot-l.first]))
		l.began[slot-l.first] = time.Time{}
		l.owed--
		heard++
		l.ask(slot, now)
	}
}

func (l *line) flush() error {
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
