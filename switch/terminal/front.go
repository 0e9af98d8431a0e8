// Package terminal is the edge to POS terminals: it listens, reads ISO 8583 requests, turns them into engine inputs, and
// writes the answers. docs/interface/iso8583.md says what terminals see of it.
//
// It decides nothing about money or subsidies and keeps no state but the requests that wait for an answer, and the keys that
// the engine has recorded. It answers by itself only what never becomes an engine input: 30 for a message that cannot be read or
// lacks a field, 40 for what is not offered, 13 for a payment or refund of zero, 96 when the server's queue or the table of pending
// requests is full; on a port with a Line also A0 for a wrong or missing MAC (guard.go), 99 and A7 for a PIN or keys that cannot be
// passed on.
//
// Duties of the caller, in order: New, LoadKeys where ports have a Line, Listen, Serve (which blocks) beside a server that takes Submit; every reply of the
// engine to Deliver, once, from one goroutine or several, and Flush after the last of those at hand; at the end Drain,
// then Close. Original may be called between a request's Submit and its Deliver.
//
// What is in clear only while a request waits: card numbers, those of a batch upload too, track, payment code, one-time code.
// The buffers that held them are zeroed when the request is answered; logs and metrics never see them.
package terminal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"huanxin/switch/engine"
	"huanxin/switch/iso8583"
	"huanxin/switch/stage"
	"huanxin/switch/wire"
)

// Front is all terminal ports of a process.
type Front struct {
	cfg       Config
	m         *metrics
	table     *table
	ports     []*port
	readers   sync.Pool // of *reader
	answerers sync.Pool // of *answerer
	spares    sync.Pool // of *exchange, for requests that find the table full
	ring      *ring     // nil without keys
	keyFault  atomic.Bool

	mu        sync.Mutex   // guards unflushed
	unflushed []*wire.Conn // connections with answers that wait for Flush
}

// port is one listening port: the handler of its connections.
type port struct {
	Port
	front    *Front
	listener *wire.Listener
	omitted  [lastField + 1]atomic.Bool // fields left out of an answer before
}

// lastField is the highest field number of ISO 8583:1987.
const lastField = 128

// New checks the configuration and prepares everything; it opens no port.
func New(cfg Config) (*Front, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	f := &Front{cfg: cfg, table: newTable(cfg.MaxPending)}
	if cfg.Keys != nil {
		f.ring = newRing(cfg.Keys.Module)
	}
	if f.m, err = newMetrics(cfg.Registerer, f.table); err != nil {
		return nil, err
	}
	f.readers.New = func() any { return &reader{front: f, scratch: make([]byte, 0, scratchSize)} }
	f.answerers.New = func() any { return &answerer{text: make([]byte, 0, 256), field: make([]byte, 0, 600)} }
	f.spares.New = func() any { return new(exchange) }
	for _, p := range cfg.Ports {
		f.ports = append(f.ports, &port{Port: p, front: f})
	}
	return f, nil
}

// Listen opens every port, or none. Connections are taken by Serve.
func (f *Front) Listen(ctx context.Context) error {
	for _, p := range f.ports {
		cfg := p.wire(f.cfg.Metrics, f.cfg.Stages)
		cfg.Turns, cfg.Limits = f.cfg.Turns, f.cfg.Limits.Limits
		l, err := wire.Listen(ctx, p.Address, cfg, p)
		if err != nil {
			f.Close()
			return err
		}
		p.listener = l
	}
	return nil
}

// Addr returns the address that a port listens on, nil before Listen or for a name that is none.
func (f *Front) Addr(name string) net.Addr {
	for _, p := range f.ports {
		if p.Name == name && p.listener != nil {
			return p.listener.Addr()
		}
	}
	return nil
}

// ErrNotListening is returned by Serve before Listen.
var ErrNotListening = errors.New("terminal ports are not open")

// Serve serves all ports until Drain or Close, then returns nil. A port that fails ends Serve with its error; the others
// go on until Close.
func (f *Front) Serve() error {
	for _, p := range f.ports {
		if p.listener == nil {
			return ErrNotListening
		}
	}
	ended := make(chan error, len(f.ports))
	for _, p := range f.ports {
		go func() { ended <- p.listener.Serve() }()
	}
	for range f.ports {
		if err := <-ended; err != nil {
			return err
		}
	}
	return nil
}

// Drain stops accepting and reading on every port, gives the answers that are owed, and returns when every connection
// is closed, or cuts the rest when ctx ends. The server must run until it returns: it is who answers.
func (f *Front) Drain(ctx context.Context) error {
	ended := make(chan error, len(f.ports))
	for _, p := range f.ports {
		go func() {
			if p.listener == nil {
				ended <- nil
				return
			}
			ended <- p.listener.Drain(ctx)
		}()
	}
	var errs []error
	for range f.ports {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

// Close cuts every connection and closes every port.
func (f *Front) Close() {
	for _, p := range f.ports {
		if p.listener != nil {
			p.listener.Close()
		}
	}
}

// Frame reads one request in the connection's read loop: parse, judge, submit; or answer at once.
func (p *port) Frame(c *wire.Conn, frame wire.Frame) (keep bool) {
	if frame.KeepAlive() {
		probe, err := p.Framing.AppendFrame(nil, nil, nil, nil)
		return err == nil && c.Send(probe) == nil
	}
	f := p.front
	begun, now := f.cfg.Stages.Now(), f.cfg.Now()
	f.cfg.Stages.Observe(stage.Read, c.ArrivedAt(), begun)
	x, room := f.table.take()
	if x == nil {
		x = f.spares.Get().(*exchange)
	}
	if p.Line != nil && c.Data == nil {
		c.Data = new(guards)
	}
	x.load(c, p, frame, now)
	c.Expect()
	r := f.readers.Get().(*reader)
	body, no := r.read(x)
	f.readers.Put(r)
	f.m.requests[x.kind].Inc()
	f.cfg.Stages.Observe(stage.Decode, begun, f.cfg.Stages.Now())
	if no == nil && !room.enough(body) {
		no = overload
	}
	if no == nil {
		if f.cfg.Submit(body, c.ArrivedAt()) == nil {
			return true // x now belongs to the engine's side
		}
		no = overload
	}
	return f.refuse(x, no)
}

// Closed has nothing to do: what the connection is still owed is dropped by Deliver, and the terminal reverses it.
func (p *port) Closed(*wire.Conn, wire.Cause) {}

// refuse answers what does not reach the engine. false gives the connection up.
func (f *Front) refuse(x *exchange, no *refusal) (keep bool) {
	if no.code == [2]byte{} {
		f.m.unanswerable.Inc()
		// The metric tells; a line each would let whoever reaches the port fill the disk.
		f.cfg.Log.Debug("unanswerable message", zap.String("port", x.port.Name))
		x.conn.Forget()
		f.free(x)
		return false
	}
	f.answer(x, &engine.Reply{Response: no.code, At: x.at.UnixNano(), Text: no.text}, false)
	return true
}

// Deliver answers the terminal that waits under the reply's token; the answer leaves with the next Flush. A token that
// nobody waits under is ignored. It does not block and keeps nothing of the reply.
func (f *Front) Deliver(reply *engine.Reply) {
	x := f.table.find(reply.Token)
	if x == nil {
		f.m.unexpected.Inc()
		return
	}
	if reply.Fresh && x.mac != nil {
		x.conn.Data.(*guards).prove(x.terminal)
	}
	f.answer(x, reply, true)
}

// Flush lets leave what Deliver has queued, one write for all answers of a connection. It does not block.
func (f *Front) Flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, c := range f.unflushed {
		c.Flush()
		f.unflushed[i] = nil
	}
	f.unflushed = f.unflushed[:0]
}

// answer builds the answer to x, which is expected, forgets x, and queues the answer: by the time that the terminal can
// read it nothing of its request is left. later leaves the writing to Flush; else it is called from Frame.
func (f *Front) answer(x *exchange, reply *engine.Reply, later bool) {
	a := f.answerers.Get().(*answerer)
	defer f.answerers.Put(a)
	field62, reply := f.signedOn(x, reply)
	frame, err := a.answer(x, reply, field62)
	f.omitted(x, a.omitted)
	if err != nil {
		f.m.minimal.Inc()
		f.cfg.Log.Error("answer does not fit the dialect, sent without its details",
			zap.String("port", x.port.Name), zap.Error(err))
		frame, err = a.minimal(x, reply.Response)
	}
	f.m.answered(x.kind, reply.Response, f.cfg.Now().Sub(x.at))
	f.log(x, reply)
	conn, port := x.conn, x.port
	f.free(x)
	if err != nil {
		f.cfg.Log.Error("answer cannot be written", zap.String("port", port.Name), zap.Error(err))
		conn.Forget()
		return
	}
	if f.send(conn, frame, later) != nil {
		f.m.undelivered.Inc()
	}
}

// signedOn takes over what an accepted sign-on delivers: the keys before the terminal can use them, and the connection, which
// is open to it again. Keys that cannot be delivered are an answer of their own.
func (f *Front) signedOn(x *exchange, reply *engine.Reply) ([]byte, *engine.Reply) {
	if x.delivery == nil || reply.Keys == nil {
		return nil, reply
	}
	field62, err := f.field62(x.terminal, x.delivery, reply.Keys)
	if err != nil {
		f.keyFailed(err)
		return nil, &engine.Reply{Response: notSecured, At: reply.At, Text: "工作密钥下发失败"}
	}
	f.ring.deliver(x.terminal, reply.Keys)
	x.conn.Data.(*guards).open(x.terminal)
	f.m.delivered.Inc()
	return field62, reply
}

func (f *Front) send(conn *wire.Conn, frame []byte, later bool) error {
	if !later {
		return conn.AnswerHere(frame)
	}
	first, err := conn.AnswerLater(frame)
	if first {
		f.mu.Lock()
		f.unflushed = append(f.unflushed, conn)
		f.mu.Unlock()
	}
	return err
}

// omitted counts fields that were left out of an answer. A field is logged once a port: what a network once sends in a
// form that the port's dialect does not take it sends with every answer.
func (f *Front) omitted(x *exchange, fields []int) {
	for _, n := range fields {
		f.m.omitted.Inc()
		if !x.port.omitted[n].Swap(true) {
			f.cfg.Log.Warn("field of an answer does not fit the dialect, left out; further ones are only counted",
				zap.String("port", x.port.Name), zap.Int("field", n))
		}
	}
}

func (f *Front) log(x *exchange, reply *engine.Reply) {
	entry := f.cfg.Log.Check(zap.DebugLevel, "answered")
	if entry == nil {
		return
	}
	entry.Write(zap.String("port", x.port.Name), zap.Stringer("mti", x.msg.MTI()),
		zap.ByteString("terminal", x.msg.AppendField(nil, 41)), zap.ByteString("stan", x.msg.AppendField(nil, 11)),
		zap.ByteString("rc", reply.Response[:]))
}

// free takes an exchange back, into the table or among the spares, which have no token.
func (f *Front) free(x *exchange) {
	if x.token.Load() != 0 {
		f.table.give(x)
		return
	}
	x.wipe()
	f.spares.Put(x)
}

// Original returns the request that waits under token, with its codec, for the host link to build its own message from.
// It is valid until the request is answered, so the caller encodes at once and keeps nothing. false: nobody waits.
func (f *Front) Original(token engine.Token) (*iso8583.Message, *iso8583.Codec, bool) {
	x := f.table.find(token)
	if x == nil {
		return nil, nil, false
	}
	return &x.msg, x.port.Codec, true
}

// PIN returns the PIN block of the request that waits under token as its host takes it, nil when it has none. Like Original it is
// valid until the request is answered.
func (f *Front) PIN(token engine.Token) []byte {
	x := f.table.find(token)
	if x == nil || x.pinSize == 0 {
		return nil
	}
	return x.pin[:x.pinSize]
}

// LoadKeys takes over the working keys that the engine has, before Listen.
func (f *Front) LoadKeys(list []engine.TerminalKeys) {
	if f.ring == nil {
		return
	}
	for _, t := range list {
		f.ring.load(t)
	}
}

// Pending returns how many requests wait for an answer.
func (f *Front) Pending() int { return f.table.inUse() }

// keyFailed counts what a key module refuses. It is logged once: a terminal could have it logged with every message.
func (f *Front) keyFailed(err error) {
	f.m.keyFaults.Inc()
	if !f.keyFault.Swap(true) {
		f.cfg.Log.Error("key module refused; further refusals are only counted (huanxin_terminal_key_failures_total)", zap.Error(err))
	}
}

func (f *Front) sealFailed(err error) {
	f.cfg.Log.Error("card could not be sealed, answered 96", zap.Error(fmt.Errorf("seal card: %w", err)))
}
