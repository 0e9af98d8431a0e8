package issuer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"huanxin/internal/money"
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
	// Now is the network's clock: time.Now.
	Now func() time.Time
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
}

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
	return &Network{
		cfg: cfg, stopAt: make(chan struct{}), conns: make(map[*conn]struct{}), reversals: make(map[string]int),
	}, nil
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
// is over.
type conn struct {
	network *Network
	nc      net.Conn
	window  chan struct{}  // one token for each delayed answer
	delayed sync.WaitGroup // timers that still hold a token

	mu      sync.Mutex // guards the writer and what it needs
	builder iso8583.Builder
	body    []byte
}

func (c *conn) serve() error {
	defer c.delayed.Wait()
	defer c.nc.Close()
	limit := c.network.cfg.FrameLimit
	buffer := make([]byte, limit)
	var message iso8583.Message
	used := 0
	for {
		n, err := c.nc.Read(buffer[used:])
		used += n
		rest := buffer[:used]
		for len(rest) > 0 {
			frame, size, err := c.network.cfg.Framing.Next(rest, limit)
			if err != nil {
				return fmt.Errorf("frame: %w", err)
			}
			if size == 0 {
				break
			}
			if err := c.request(frame, &message); err != nil {
				return err
			}
			rest = rest[size:]
		}
		used = copy(buffer, rest)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
}

// errCut is returned when a rule closes the connection.
var errCut = errors.New("disconnected by rule")

// request handles one frame.
func (c *conn) request(frame wire.Frame, m *iso8583.Message) error {
	if frame.KeepAlive() {
		return nil
	}
	if err := c.network.cfg.Codec.Parse(frame.Message, m); err != nil {
		return fmt.Errorf("message: %w", err)
	}
	switch m.MTI() {
	case 0x0200:
		return c.sale(frame, m)
	case 0x0400, 0x0420:
		return c.reversal(frame, m)
	case 0x0800, 0x0820:
		return c.send(c.answer(frame, m, "00", 0, ""), 1)
	}
	return c.send(c.answer(frame, m, "40", 0, ""), 1)
}

func (c *conn) sale(frame wire.Frame, m *iso8583.Message) error {
	n := c.network
	rrn, amount, ok := number(m)
	if !ok {
		return c.send(c.answer(frame, m, "30", 0, ""), 1)
	}
	plan := n.cfg.Rules.Sale(rrn, amount)
	if plan.Unseen {
		return nil
	}
	s := &Sale{
		At: n.stamp(), RRN: rrn, STAN: value(m, 11), Card: CardToken(payer(m)), Terminal: value(m, 41), Merchant: value(m, 42),
		Asked: amount, Response: plan.Response,
	}
	if Approved(plan.Response) || plan.Half {
		s.Grant = amount
		if plan.Half {
			s.Grant = (amount + 1) / 2
		}
		s.Approval = fmt.Sprintf("%06d", n.approval.Add(1)%1_000_000)
	}
	line, err := n.cfg.Ledger.Sell(s)
	if err != nil {
		return fmt.Errorf("book sale: %w", err)
	}
	return c.carryOut(plan, c.answer(frame, m, line.Response, line.Amount, line.Approval))
}

func (c *conn) reversal(frame wire.Frame, m *iso8583.Message) error {
	n := c.network
	rrn, amount, ok := number(m)
	if !ok {
		return c.send(c.answer(frame, m, "30", 0, ""), 1)
	}
	plan := n.cfg.Rules.Reversal(rrn, amount, n.attempt(rrn))
	if plan.Unseen {
		return nil
	}
	response := plan.Response
	if response == "00" {
		var err error
		response, err = n.cfg.Ledger.Reverse(&Reversal{
			At: n.stamp(), RRN: rrn, STAN: value(m, 11), Terminal: value(m, 41), Merchant: value(m, 42),
			Reason: value(m, 39), Amount: amount,
		})
		if err != nil {
			return fmt.Errorf("book reversal: %w", err)
		}
	}
	return c.carryOut(plan, c.answer(frame, m, response, amount, ""))
}

// carryOut answers as the plan says. The book is written already.
func (c *conn) carryOut(plan Plan, answer []byte) error {
	switch {
	case plan.Cut == 2:
		c.mu.Lock()
		_, _ = c.nc.Write(answer[:len(answer)/2])
		c.mu.Unlock()
		return errCut
	case plan.Cut == 1:
		return errCut
	case plan.Answers == 0:
		return nil
	case plan.Delay == 0:
		return c.send(answer, plan.Answers)
	}
	select {
	case c.window <- struct{}{}:
	case <-c.network.stopAt:
		return nil
	}
	c.delayed.Go(func() {
		timer := time.NewTimer(plan.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			// The switch may have gone meanwhile; then nobody hears it.
			_ = c.send(answer, plan.Answers)
		case <-c.network.stopAt:
		}
		<-c.window
	})
	return nil
}

func (c *conn) send(frame []byte, times int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.nc.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	for range times {
		if _, err := c.nc.Write(frame); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

// echoed are the fields that an answer repeats; 12 to 15, 32, 38, 39, 44 and 63 are the network's own (pos-dialect §3).
var echoed = []int{2, 3, 4, 7, 11, 22, 23, 25, 33, 37, 41, 42, 49, 60, 70, 90}

// answer builds the whole frame of an answer.
func (c *conn) answer(frame wire.Frame, m *iso8583.Message, response string, amount money.Amount, approval string) []byte {
	codec := c.network.cfg.Codec
	now := c.network.cfg.Now().In(shanghai)
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &c.builder
	b.Reset(codec, m.MTI().Response())
	set := func(n int, v string) {
		if codec.Defines(n) {
			b.SetString(n, v)
		}
	}
	for _, n := range echoed {
		if codec.Defines(n) {
			b.Copy(m, n)
		}
	}
	set(12, now.Format("150405"))
	set(13, now.Format("0102"))
	set(39, response)
	if m.Has(4) {
		// The network's day ends at 23:00.
		set(15, now.Add(time.Hour).Format("0102"))
		set(32, "48022900")
		set(44, "48022900   48022900   ")
		set(63, "CUP")
		if response == "10" {
			b.SetDigits(4, uint64(amount), 12)
		}
	}
	if approval != "" {
		set(38, approval)
	}
	if m.Has(55) && codec.Defines(55) && m.MTI() == 0x0200 {
		b.Set(55, issuerData(response))
	}
	var err error
	if c.body, err = b.Append(c.body[:0]); err != nil {
		panic("answer of the simulated network does not fit its own dialect: " + err.Error())
	}
	out, err := c.network.cfg.Framing.AppendFrame(nil, wire.AppendSwapped(nil, frame.TPDU), frame.Header, c.body)
	if err != nil {
		panic("answer of the simulated network does not fit its framing: " + err.Error())
	}
	return out
}

// issuerData is DE55 of an answer: authentication data over an invented cryptogram, and the response code for the chip.
func issuerData(response string) []byte {
	out := iso8583.AppendTLV(nil, 0x91, []byte{0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE, 0xF0, response[0], response[1]})
	return iso8583.AppendTLV(out, 0x8A, []byte(response))
}

// number is what the ledger books a message under: DE37 and DE4.
func number(m *iso8583.Message) (rrn string, amount money.Amount, ok bool) {
	v, ok := m.Uint(4)
	rrn = value(m, 37)
	return rrn, money.Amount(v), ok && rrn != "" && v > 0
}

// payer is the card number, of the track when DE2 is absent, or the payment code.
func payer(m *iso8583.Message) string {
	if pan := value(m, 2); pan != "" {
		return pan
	}
	if track := m.AppendField(nil, 35); len(track) > 0 {
		for i, b := range track {
			if b == 'D' {
				return string(track[:i])
			}
		}
	}
	code, _ := iso8583.FindTag59(m.AppendField(nil, 59), "A3")
	return string(code)
}

func value(m *iso8583.Message, n int) string { return string(m.AppendField(nil, n)) }

func (n *Network) stamp() string { return n.cfg.Now().In(shanghai).Format(time.RFC3339Nano) }

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
