package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"huanxin/switch/limit"
	"huanxin/switch/stage"
	"huanxin/switch/transport"
)

// ErrClosed is returned by Send and Answer when the connection has ended: the peer will not get the frame.
var ErrClosed = errors.New("connection is closed")

// ErrOverflow is returned by Send and Answer when the peer does not take its answers; the connection is closed.
var ErrOverflow = errors.New("write queue is full")

// ErrOversized is returned by a Framing when the length field announces more than the caller's limit, before the body
// has come. Of the ways a frame can be wrong it is the one counted apart (CauseOversized).
var ErrOversized = errors.New("frame larger than the limit")

// Handler is what a connection serves. Calls for one connection come from one goroutine, in order.
type Handler interface {
	// Frame takes one whole frame, keep-alives included. It is called in place by the read loop, so it must not block:
	// while it runs this connection reads nothing. The frame's bytes are wiped when it returns. false gives the
	// connection up (CauseRefused): for frames that cannot be answered.
	Frame(c *Conn, frame Frame) (keep bool)
	// Closed is called once, last, whatever the cause.
	Closed(c *Conn, cause Cause)
}

// Read buffers start small, for tens of thousands of quiet terminals, and grow under load up to bigBuffer or what
// MaxFrame needs. A write buffer that once grew beyond bigBuffer is not kept.
const (
	smallBuffer = 1 << 10
	bigBuffer   = 16 << 10
)

// Conn is one connection: a read loop that hands whole frames to its Handler, and a queue of frames to write. The
// goroutine that calls Serve reads; a writer runs only while there is something to write, takes everything that has
// queued up, and writes it at once, so that many small answers cost one system call.
type Conn struct {
	cfg *Config
	m   *portMetrics
	h   Handler
	nc  net.Conn

	source limit.Source    // by its address until a certificate has proved more
	peer   *transport.Peer // set by the handshake, before the first frame

	// Data is the Handler's own, untouched here.
	Data any

	// Owned by the goroutine of Serve: in[start:end] is received and not yet handled.
	in         []byte
	start, end int
	inFrame    bool          // in[start:end] is the beginning of a frame
	frameEnds  time.Time     // by when that frame must be complete
	stamps     *stamped      // nil where nobody stamps
	arrivedAt  stage.Instant // the last bytes
	answered   bool          // by AnswerHere: the read loop owes a Flush

	flush func()          // c.write, bound once so that starting a writer allocates nothing
	raw   syscall.RawConn // of a TCP connection without TLS, for writes that do not wait; else nil

	// mu guards what follows: frames come from any goroutine, the end of the connection from either side.
	mu        sync.Mutex
	out       []byte // queued
	spare     []byte // the other write buffer, empty, or nil while it is being written
	writing   bool   // a writer is running
	waits     bool   // what is queued waits for a Flush
	owed      int    // answers expected
	paused    bool   // the read loop waits on resume
	stopping  bool   // no frame is read any more; close when nothing is owed and all is written
	closed    bool
	cause     Cause
	resume    chan struct{} // one token: half of the answers owed are given, or reading stops
	completed chan struct{} // closed when stopping is complete, or the connection closed
	complete  bool
}

// New makes a connection over nc; cfg is checked. The caller runs Serve. It is how a host link, which dials by itself,
// gets the same life cycle as an accepted terminal connection.
func New(nc net.Conn, cfg Config, h Handler) (*Conn, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return newConn(nc, &cfg, cfg.Metrics.port(cfg.Name), h), nil
}

func newConn(nc net.Conn, cfg *Config, m *portMetrics, h Handler) *Conn {
	c := &Conn{cfg: cfg, m: m, h: h, nc: nc, resume: make(chan struct{}, 1), completed: make(chan struct{})}
	c.flush = c.write
	switch tcp := nc.(type) {
	case *net.TCPConn:
		c.raw, _ = tcp.SyscallConn()
	case *stamped:
		c.raw, _ = tcp.SyscallConn()
	}
	return c
}

// Serve reads until the connection ends, waits for the answers still owed where the peer can still take them, closes,
// and calls Handler.Closed. It returns the cause. Call it once.
func (c *Conn) Serve() Cause {
	c.m.opened.Inc()
	c.m.open.Inc()
	cause := c.handshake()
	if cause == causeNone {
		c.in = make([]byte, min(smallBuffer, c.bufferLimit()))
		cause = c.read()
	}
	switch cause {
	case CauseReset, CauseHandshake:
		// Nobody is there to answer.
	default:
		cause = c.linger(cause)
	}
	c.finish(cause)
	clear(c.in)
	c.mu.Lock()
	cause = c.cause
	c.mu.Unlock()
	c.m.open.Dec()
	c.h.Closed(c, cause)
	return cause
}

func (c *Conn) handshake() Cause {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return causeNone
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.FrameTimeout)
	defer cancel()
	err := t.HandshakeContext(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		c.m.shakes[shakeTimeout].Inc()
		return CauseHandshake
	case err != nil:
		c.m.shakes[shakeRefused].Inc()
		return CauseHandshake
	}
	c.m.shakes[shakeDone].Inc()
	if c.cfg.TLS != nil {
		c.peer = c.cfg.TLS.Peer(t.ConnectionState())
		if name := c.peer.Identity(); name != "" && c.source.Limited() { // an exempt address stays exempt
			c.source = c.cfg.Limits.Sources.Named(name)
		}
	}
	return causeNone
}

// Peer is who is at the other end, as its certificate has proved: nil, which admits everybody, on a port that asks for none. It stays
// the same for the life of the connection, and is for Handler.Frame and everything after it.
func (c *Conn) Peer() *transport.Peer { return c.peer }

// Source is the sender that limits count by: whom a certificate names, else the address. It is for Handler.Frame.
func (c *Conn) Source() limit.Source { return c.source }

// read is the read loop: deadline, read, hand over every whole frame.
func (c *Conn) read() Cause {
	for {
		c.makeRoom()
		if stop := c.arm(); stop {
			return CauseDrained
		}
		n, err := c.nc.Read(c.in[c.end:])
		c.end += n
		c.m.bytesIn.Add(float64(n))
		if n > 0 {
			c.noteArrival()
			c.cfg.Turns.take()
			cause := c.handle()
			c.cfg.Turns.give()
			if cause != causeNone {
				return cause
			}
		}
		if err != nil {
			if cause := c.readEnded(err); cause != causeNone {
				return cause
			}
		}
	}
}

// arm sets the deadline of the next read: the end of the frame under way, or of idleness. It reports that the
// connection is being drained.
func (c *Conn) arm() (stop bool) {
	deadline := c.frameEnds
	if !c.inFrame {
		deadline = time.Now().Add(c.cfg.IdleTimeout)
	}
	// Under mu, so that the past deadline that Drain sets is never overwritten.
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return true
	}
	// A connection that cannot take a deadline fails its read or write too.
	_ = c.nc.SetReadDeadline(deadline)
	return false
}

// handle hands over the whole frames in the buffer and wipes them: they may have held a card number or a track.
func (c *Conn) handle() Cause {
	defer c.flushHere()
	handled := 0
	for c.start < c.end {
		frame, n, err := c.cfg.Framing.Next(c.in[c.start:c.end], c.cfg.MaxFrame)
		if errors.Is(err, ErrOversized) {
			return CauseOversized
		}
		if err != nil {
			return CauseGarbage
		}
		if n == 0 {
			break
		}
		if stop := c.pause(); stop {
			return CauseDrained
		}
		handled++
		keep := c.h.Frame(c, frame)
		clear(c.in[c.start : c.start+n])
		c.start += n
		if !keep {
			return CauseRefused
		}
	}
	c.m.framesIn.Add(float64(handled))
	if c.start == c.end {
		c.start, c.end, c.inFrame = 0, 0, false
		return causeNone
	}
	if handled > 0 || !c.inFrame {
		c.inFrame, c.frameEnds = true, time.Now().Add(c.cfg.FrameTimeout)
	}
	return causeNone
}

// noteArrival finds out when what has been read had come to this machine.
func (c *Conn) noteArrival() {
	now := c.cfg.Stages.Now()
	c.arrivedAt = now
	if c.stamps != nil {
		c.arrivedAt = c.stamps.arrivedAt(now)
	}
}

// ArrivedAt is when the last bytes of the frame being handled had come to this machine: as the kernel tells, on a port that Listen has
// opened on Linux, else when the socket gave them. 0 without Config.Stages. It is for Handler.Frame.
func (c *Conn) ArrivedAt() stage.Instant { return c.arrivedAt }

// pause waits while the connection is owed as many answers as it may be. It reports that no frame is to be handed over
// any more. Only the read loop adds to what is owed, so the limit holds when it returns.
func (c *Conn) pause() (stop bool) {
	c.mu.Lock()
	c.paused = c.owed >= c.cfg.MaxInFlight && !c.stopping && !c.closed
	wait := c.paused
	stop = c.stopping || c.closed
	c.mu.Unlock()
	if !wait {
		return stop
	}
	c.flushHere()
	c.cfg.Turns.give()
	<-c.resume
	c.cfg.Turns.take()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping || c.closed
}

// unpause is called with mu held.
func (c *Conn) unpause() {
	if c.paused {
		c.paused = false
		c.resume <- struct{}{}
	}
}

// settle takes one answer off what is owed. It is called with mu held.
func (c *Conn) settle() {
	c.owed--
	if c.owed <= c.cfg.MaxInFlight/2 {
		c.unpause()
	}
}

// readEnded turns the error of a read into a cause, or into none when reading goes on.
func (c *Conn) readEnded(err error) Cause {
	switch {
	case errors.Is(err, io.EOF) && c.start == c.end:
		return CausePeer
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return CauseTruncated
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case c.stopping:
			return CauseDrained
		case c.inFrame:
			return CauseSlow
		case c.owed > 0:
			return causeNone // the engine answers every request in bounded time
		}
		return CauseIdle
	}
	return CauseReset
}

func (c *Conn) bufferLimit() int { return max(bigBuffer, c.cfg.MaxFrame) }

// makeRoom leaves at least one free byte behind end. There always is room to make: a frame above MaxFrame is refused at
// its length field, which is shorter than any buffer.
func (c *Conn) makeRoom() {
	if c.start > 0 && c.end == len(c.in) {
		n := copy(c.in, c.in[c.start:c.end])
		clear(c.in[n:c.end])
		c.start, c.end = 0, n
	}
	if c.end < len(c.in) {
		return
	}
	bigger := make([]byte, min(2*len(c.in), c.bufferLimit()))
	copy(bigger, c.in[:c.end])
	clear(c.in)
	c.in = bigger
}

// Expect notes that an answer will come for the frame being handled, so that the connection is kept for it when the
// peer half-closes or the process drains. Every Expect is followed by exactly one Answer, AnswerLater, AnswerHere or Forget.
func (c *Conn) Expect() {
	c.mu.Lock()
	c.owed++
	c.mu.Unlock()
}

// Answer sends the answer to an expected frame, or ErrClosed, ErrOverflow. It does not block and does not keep frame.
func (c *Conn) Answer(frame []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	return c.enqueue(frame)
}

// AnswerLater is Answer but leaves the writing to the next Flush: of many answers to one connection that become ready
// together, the first would else leave alone. first tells that the caller owes the connection a Flush.
func (c *Conn) AnswerLater(frame []byte) (first bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	if err := c.queue(frame); err != nil || c.writing {
		return false, err
	}
	if len(c.out) > c.cfg.MaxQueue/2 { // the rest of the batch needs room
		c.startWriter()
		return false, nil
	}
	if c.waits {
		return false, nil
	}
	c.waits = true
	return true, nil
}

// AnswerHere is Answer for Handler.Frame, on the goroutine that called it: the answer leaves when the read loop has handled what
// it has read. A rush that is refused at the door then costs a write for each read, not for each message.
func (c *Conn) AnswerHere(frame []byte) error {
	c.answered = true
	_, err := c.AnswerLater(frame)
	return err
}

// flushHere is called by the read loop.
func (c *Conn) flushHere() {
	if c.answered {
		c.answered = false
		c.Flush()
	}
}

// Flush writes what AnswerLater has queued. It does not block: what the socket takes at once is written in place, which
// saves a goroutine for nearly every answer, and a writer does the rest.
func (c *Conn) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.raw != nil && !c.writing && !c.closed && len(c.out) > 0 {
		c.writeAtOnce()
	}
	c.startWriter()
}

// writeAtOnce gives the socket what it takes without waiting. An error is left for the writer to meet. It is called with
// mu held, and gives it up meanwhile.
func (c *Conn) writeAtOnce() {
	buf := c.out
	c.out, c.spare, c.writing = c.spare[:0], nil, true
	c.mu.Unlock()
	written := 0
	_ = c.raw.Write(func(fd uintptr) bool {
		if n, err := syscall.Write(int(fd), buf); err == nil {
			written = n
		}
		return true
	})
	c.m.bytesOut.Add(float64(written))
	clear(buf[:written]) // towards a host it held a card number
	c.mu.Lock()
	c.writing = false
	switch rest := buf[written:]; {
	case c.closed:
		clear(rest)
	case len(rest) > 0:
		queued := c.out
		c.out = append(rest, queued...)
		clear(queued)
		c.spare = queued[:0]
	default:
		c.spare = buf[:0]
		if cap(buf) > bigBuffer {
			c.spare = nil
		}
	}
	c.checkComplete()
}

// Forget is Answer without one.
func (c *Conn) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	c.checkComplete()
}

// Send queues a frame that answers nothing, or returns ErrClosed, ErrOverflow. It does not block and does not keep
// frame. Frames leave in the order of the calls.
func (c *Conn) Send(frame []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.enqueue(frame)
}

// enqueue queues a frame and has it written. It is called with mu held.
func (c *Conn) enqueue(frame []byte) error {
	if err := c.queue(frame); err != nil {
		return err
	}
	c.startWriter()
	return nil
}

// startWriter is called with mu held.
func (c *Conn) startWriter() {
	c.waits = false
	if !c.writing && len(c.out) > 0 && !c.closed {
		c.writing = true
		go c.flush()
	}
}

// queue is called with mu held.
func (c *Conn) queue(frame []byte) error {
	if c.closed {
		return ErrClosed
	}
	if len(c.out)+len(frame) > c.cfg.MaxQueue {
		c.close(CauseOverflow)
		return ErrOverflow
	}
	c.out = append(c.out, frame...)
	c.m.framesOut.Inc()
	return nil
}

// write empties the queue, as much as there is with each write, and ends. At most one runs per connection.
func (c *Conn) write() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.out) > 0 && !c.closed {
		buf := c.out
		c.out = c.spare[:0]
		c.spare = nil
		c.mu.Unlock()
		_ = c.nc.SetWriteDeadline(time.Now().Add(c.cfg.WriteTimeout))
		n, err := c.nc.Write(buf)
		c.m.bytesOut.Add(float64(n))
		clear(buf) // towards a host it held a card number
		c.mu.Lock()
		if cap(buf) <= bigBuffer {
			c.spare = buf[:0]
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.close(CauseStalled)
		} else if err != nil {
			c.close(CauseWrite)
		}
	}
	c.writing = false
	c.checkComplete()
}

// checkComplete is called with mu held when an answer was given or the writer ended.
func (c *Conn) checkComplete() {
	if c.stopping && !c.complete && c.owed <= 0 && !c.writing && len(c.out) == 0 {
		c.complete = true
		close(c.completed)
	}
}

// linger waits until everything owed is answered and written, LingerTimeout has passed, or the connection is closed.
// Nothing is read any more. It returns the cause to close with.
func (c *Conn) linger(cause Cause) Cause {
	c.mu.Lock()
	c.stopping = true
	c.checkComplete()
	c.mu.Unlock()
	timer := time.NewTimer(c.cfg.LingerTimeout)
	defer timer.Stop()
	select {
	case <-c.completed:
	case <-timer.C:
		return CauseUnanswered
	}
	c.farewell(cause)
	return cause
}

// farewell ends a connection in order. TLS says goodbye, so that the peer can tell the end from a cut. And closing a
// socket that still has unread requests would reset it, which may overtake the last answers: so a drained connection is
// half-closed and what still comes is discarded until the peer closes too, for at most WriteTimeout. What is discarded
// was never accepted: the terminal gets no answer and reverses.
func (c *Conn) farewell(cause Cause) {
	_, secure := c.nc.(*tls.Conn)
	if !secure && cause != CauseDrained {
		return
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	_ = c.nc.SetDeadline(time.Now().Add(c.cfg.WriteTimeout))
	if !ok || half.CloseWrite() != nil || cause != CauseDrained {
		return
	}
	for {
		if _, err := c.nc.Read(c.in); err != nil {
			return
		}
	}
}

func (c *Conn) finish(cause Cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.close(cause)
}

// close is called with mu held; the first cause stays.
func (c *Conn) close(cause Cause) {
	if c.closed {
		return
	}
	clear(c.out)
	c.closed, c.cause, c.out = true, cause, nil
	c.m.closes[cause].Inc() // before the peer can see it
	// Below TLS: its own Close may wait for the peer, and whoever is here must not.
	if t, ok := c.nc.(*tls.Conn); ok {
		_ = t.NetConn().Close()
	} else {
		_ = c.nc.Close()
	}
	if !c.complete {
		c.complete = true
		close(c.completed)
	}
	c.unpause()
}

// Close ends the connection at once; answers still queued are lost. Serve then returns.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.close(CauseClosed)
}

// Drain makes the connection stop reading, answer what it owes, and close. It does not wait: Serve returns when done.
func (c *Conn) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.stopping {
		return
	}
	c.stopping = true
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	c.unpause()
	c.checkComplete()
}
