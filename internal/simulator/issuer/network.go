package issuer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"huanxin/internal/simulator/secret"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// Config is what a network needs.
type Config struct {
	Framing wire.Framing
	Codec   *iso8583.Codec
	Rules   Rules
	Ledger  *Ledger
	Logger  *zap.Logger
	// Desk checks and makes MACs and opens PIN blocks; nil: there are neither. PIN is the right one of every card, by default
	// 123456: a wrong one is declined with 55, a block that does not open with 99.
	Desk *secret.Desk
	PIN  string
	// Now is the network's clock: time.Now.
	Now func() time.Time
	// CutOver is when the network's clearing day (DE15) ends, since midnight in Shanghai. Default 23 h.
	CutOver time.Duration
	// FrameLimit is the longest message in bytes (default 8192), Connections the most at once (default 256), InFlight
	// the most requests of one connection that wait for a delayed answer (default 16384): above it the connection is not
	// read.
	FrameLimit  int
	Connections int
	InFlight    int
}

// Network is the simulated card network: it listens, decides by its rules, and books before it answers.
type Network struct {
	cfg    Config
	stopAt chan struct{} // closed by Close

	mu        sync.Mutex // guards all below
	listener  net.Listener
	conns     map[*conn]struct{}
	reversals map[string]int // attempts seen by RRN
	closed    bool

	workers  sync.WaitGroup
	approval atomic.Uint32
	told     atomic.Bool // to answer every reversal
	forged   atomic.Uint64
}

// Forged counts requests whose MAC was wrong or missing; they were answered A0 and booked nowhere.
func (n *Network) Forged() uint64 { return n.forged.Load() }

// New makes a network; Serve runs it.
func New(cfg Config) (*Network, error) {
	if err := cfg.Rules.Check(); err != nil {
		return nil, err
	}
	for _, d := range []struct {
		value *int
		def   int
	}{{&cfg.FrameLimit, 8192}, {&cfg.Connections, 256}, {&cfg.InFlight, 16384}} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	for _, n := range []int{3, 4, 11, 37, 39} {
		if !cfg.Codec.Defines(n) {
			return nil, fmt.Errorf("dialect %s has no field %d", cfg.Codec.Name(), n)
		}
	}
	if cfg.PIN == "" {
		cfg.PIN = "123456"
	}
	if cfg.CutOver == 0 {
		cfg.CutOver = 23 * time.Hour
	}
	if cfg.CutOver < 0 || cfg.CutOver > 24*time.Hour {
		return nil, fmt.Errorf("cut-over %s: want a time of day", cfg.CutOver)
	}
	n := &Network{
		cfg: cfg, stopAt: make(chan struct{}), conns: make(map[*conn]struct{}), reversals: make(map[string]int),
	}
	// Each approval has a line of its own, so codes begin where the book ends: no two charges of a book share one.
	n.approval.Store(uint32(cfg.Ledger.length() % 1_000_000))
	return n, nil
}

// Serve accepts connections until Close.
func (n *Network) Serve(listener net.Listener) error {
	n.mu.Lock()
	n.listener = listener
	closed := n.closed
	n.mu.Unlock()
	if closed {
		return listener.Close()
	}
	for {
		nc, err := listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("accept: %w", err)
		}
		c := &conn{network: n, nc: nc, window: make(chan struct{}, n.cfg.InFlight)}
		if !n.add(c) {
			nc.Close()
			continue
		}
		n.workers.Go(func() {
			defer n.remove(c)
			if err := c.serve(); err != nil {
				n.cfg.Logger.Info("connection ended", zap.Error(err))
			}
		})
	}
}

func (n *Network) add(c *conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || len(n.conns) >= n.cfg.Connections {
		return false
	}
	n.conns[c] = struct{}{}
	return true
}

func (n *Network) remove(c *conn) {
	c.nc.Close()
	n.mu.Lock()
	delete(n.conns, c)
	n.mu.Unlock()
}

// Disconnect closes every connection, as a network does that is restarted; it goes on listening.
func (n *Network) Disconnect() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.nc.Close()
	}
}

// AnswerReversals ends the silence of ReverseNever and ReverseMute: from here on every reversal is carried out and answered.
func (n *Network) AnswerReversals() { n.told.Store(true) }

// Close stops listening, closes all connections and waits for what is being booked.
func (n *Network) Close() {
	n.mu.Lock()
	if !n.closed {
		n.closed = true
		close(n.stopAt)
	}
	if n.listener != nil {
		n.listener.Close()
	}
	for c := range n.conns {
		c.nc.Close()
	}
	n.mu.Unlock()
	n.workers.Wait()
}

// attempt counts the reversals of an RRN, from 1.
func (n *Network) attempt(rrn string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reversals[rrn]++
	return n.reversals[rrn]
}

// conn is one link of the switch. Requests are booked in the order in which they arrive; answers leave when their delay
// is over. Requests that have come together are one round: their lines are one write, and their answers are another.
type conn struct {
	network *Network
	nc      net.Conn
	window  chan struct{}  // one token for each delayed answer
	delayed sync.WaitGroup // timers that still hold a token
	writing sync.Mutex     // one write at a time: a round's, or that of a delayed answer

	// The reader's own.
	message iso8583.Message
	builder iso8583.Builder
	body    []byte
	frame   []byte // the answer to the request under way
	out     []byte // answers of the round
}

func (c *conn) serve() error {
	defer c.delayed.Wait()
	defer c.nc.Close()
	limit := c.network.cfg.FrameLimit
	buffer := make([]byte, max(limit, roundSize))
	used := 0
	for {
		n, err := c.nc.Read(buffer[used:])
		used += n
		taken, roundErr := c.round(buffer[:used], limit)
		used = copy(buffer, buffer[taken:used])
		if roundErr != nil {
			return roundErr
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
}

// roundSize is the most that is read at once.
const roundSize = 64 << 10

// round handles the whole requests among the received bytes and returns how many bytes they were. What it has answered
// leaves at its end, also when one of the requests ends the connection.
func (c *conn) round(received []byte, limit int) (taken int, err error) {
	c.network.cfg.Ledger.begin()
	c.out = c.out[:0]
	for taken < len(received) && err == nil {
		var frame wire.Frame
		var size int
		if frame, size, err = c.network.cfg.Framing.Next(received[taken:], limit); err != nil {
			err = fmt.Errorf("frame: %w", err)
		}
		if err != nil || size == 0 {
			break
		}
		err = c.request(frame, &c.message)
		taken += size
	}
	if failed := c.network.cfg.Ledger.end(); failed != nil {
		return taken, errors.Join(err, failed)
	}
	return taken, errors.Join(err, c.write(c.out))
}

// errCut is returned when a rule closes the connection.
var errCut = errors.New("disconnected by rule")

// carryOut answers as the plan says, with what the line says. The book is written before anything leaves.
func (c *conn) carryOut(frame wire.Frame, m *iso8583.Message, line *Line, plan Plan) error {
	if plan.Seal == SealWrongFirst {
		c.build(frame, m, line, SealWrong)
		c.answer(1)
		plan.Answers, plan.Seal = plan.Answers-1, SealGood
	}
	c.build(frame, m, line, plan.Seal)
	switch {
	case plan.Cut == 2:
		c.out = append(c.out, c.frame[:len(c.frame)/2]...)
		return errCut
	case plan.Cut == 1:
		return errCut
	case plan.Answers == 0:
		return nil
	case plan.Delay == 0:
		c.answer(plan.Answers)
		return nil
	}
	select {
	case c.window <- struct{}{}:
	case <-c.network.stopAt:
		return nil
	}
	answer := bytes.Repeat(c.frame, plan.Answers)
	c.delayed.Go(func() {
		timer := time.NewTimer(plan.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			// The delay may be shorter than the round that booked it. And the switch may have gone meanwhile; then nobody
			// hears it.
			c.network.cfg.Ledger.begin()
			if c.network.cfg.Ledger.end() == nil {
				_ = c.write(answer)
			}
		case <-c.network.stopAt:
		}
		<-c.window
	})
	return nil
}

// answer puts c.frame among the answers of the round.
func (c *conn) answer(times int) {
	for range times {
		c.out = append(c.out, c.frame...)
	}
}

func (c *conn) write(frames []byte) error {
	if len(frames) == 0 {
		return nil
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.nc.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if _, err := c.nc.Write(frames); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// stamp is the instant of a ledger line and the clearing day that it belongs to.
func (n *Network) stamp() (at, day string) {
	now := n.cfg.Now().In(shanghai)
	return now.Format(time.RFC3339Nano), n.day(now).Format(time.DateOnly)
}

// day is the clearing day of an instant: what comes after the cut-over belongs to the next one.
func (n *Network) day(now time.Time) time.Time { return now.Add(24*time.Hour - n.cfg.CutOver) }

var shanghai = time.FixedZone("+08:00", 8*3600)

// Listen opens the address and serves it until ctx ends.
func (n *Network) Listen(ctx context.Context, address string, ready func(net.Addr)) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	stop := context.AfterFunc(ctx, n.Close)
	defer stop()
	ready(listener.Addr())
	return n.Serve(listener)
}
