package till

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// LineConfig says how a line speaks.
type LineConfig struct {
	Address string
	Framing wire.Framing
	Codec   *iso8583.Codec
	TPDU    []byte        // default 6000030000
	Header  []byte        // default 603100310100
	Dial    time.Duration // default 5 s
	Timeout time.Duration // for one answer; default 60 s
}

// ErrLost is returned when the connection ended before the answer came. The terminal does not know what became of its
// request.
var ErrLost = errors.New("connection lost before the answer")

// ErrTimeout is returned when no answer came in time. The same holds.
var ErrTimeout = errors.New("no answer in time")

// Line is one connection to the switch, shared by any number of terminals, each with its own requests in flight. It is
// safe for concurrent use. A lost line stays lost; dial another.
type Line struct {
	cfg  LineConfig
	nc   net.Conn
	lost chan struct{} // closed when the line ends

	writeMu sync.Mutex // guards builder and out, and keeps frames whole
	builder iso8583.Builder
	body    []byte
	out     []byte

	mu      sync.Mutex // guards pending and err
	pending map[answerKey]chan *Answer
	err     error

	strays atomic.Uint64 // answers that nobody waited for
}

// DialLine connects.
func DialLine(ctx context.Context, cfg LineConfig) (*Line, error) {
	if cfg.Framing.TPDU() && cfg.TPDU == nil {
		cfg.TPDU = []byte{0x60, 0x00, 0x03, 0x00, 0x00}
	}
	if cfg.Framing.Header() && cfg.Header == nil {
		cfg.Header = []byte{0x60, 0x31, 0x00, 0x31, 0x01, 0x00}
	}
	if cfg.Dial == 0 {
		cfg.Dial = 5 * time.Second
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	dialer := net.Dialer{Timeout: cfg.Dial}
	nc, err := dialer.DialContext(ctx, "tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("connect to the switch: %w", err)
	}
	l := &Line{cfg: cfg, nc: nc, lost: make(chan struct{}), pending: make(map[answerKey]chan *Answer)}
	go l.read()
	return l, nil
}

// Close ends the line; whoever waits gets ErrLost.
func (l *Line) Close() {
	l.nc.Close()
	<-l.lost
}

// Strays counts answers that nobody waited for: late or repeated ones.
func (l *Line) Strays() uint64 { return l.strays.Load() }

// Lost is closed when the line has ended.
func (l *Line) Lost() <-chan struct{} { return l.lost }

// Ask sends a request and waits for its answer: ErrLost, ErrTimeout, or the context's error when none comes.
func (l *Line) Ask(ctx context.Context, r *Request) (*Answer, error) {
	answered := make(chan *Answer, 1)
	key := r.key()
	l.mu.Lock()
	l.pending[key] = answered
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		if l.pending[key] == answered {
			delete(l.pending, key)
		}
		l.mu.Unlock()
	}()
	if err := l.Tell(r); err != nil {
		return nil, err
	}
	timer := time.NewTimer(l.cfg.Timeout)
	defer timer.Stop()
	select {
	case a := <-answered:
		return a, nil
	case <-l.lost:
		select {
		case a := <-answered: // it came with the last bytes
			return a, nil
		default:
		}
		return nil, fmt.Errorf("%w: %w", ErrLost, l.cause())
	case <-timer.C:
		return nil, ErrTimeout
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Tell sends a request without waiting for an answer.
func (l *Line) Tell(r *Request) error {
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	if err := r.build(&l.builder, l.cfg.Codec); err != nil {
		return fmt.Errorf("build %s: %w", r.MTI, err)
	}
	body, err := l.builder.Append(l.body[:0])
	if err != nil {
		return fmt.Errorf("build %s: %w", r.MTI, err)
	}
	l.body = body
	if l.out, err = l.cfg.Framing.AppendFrame(l.out[:0], l.cfg.TPDU, l.cfg.Header, body); err != nil {
		return fmt.Errorf("frame %s: %w", r.MTI, err)
	}
	return l.write(l.out)
}

func (l *Line) write(frame []byte) error {
	if err := l.nc.SetWriteDeadline(time.Now().Add(l.cfg.Timeout)); err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	if _, err := l.nc.Write(frame); err != nil {
		l.nc.Close()
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return nil
}

func (l *Line) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// read delivers answers until the connection ends.
func (l *Line) read() {
	err := l.receive()
	l.nc.Close()
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
	close(l.lost)
}

func (l *Line) receive() error {
	buffer := make([]byte, 16<<10)
	var message iso8583.Message
	used := 0
	for {
		n, err := l.nc.Read(buffer[used:])
		used += n
		rest := buffer[:used]
		for len(rest) > 0 {
			frame, size, err := l.cfg.Framing.Next(rest, len(buffer))
			if err != nil {
				return fmt.Errorf("frame: %w", err)
			}
			if size == 0 {
				break
			}
			if err := l.deliver(frame, &message); err != nil {
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

func (l *Line) deliver(frame wire.Frame, message *iso8583.Message) error {
	if frame.KeepAlive() {
		return nil
	}
	if err := l.cfg.Codec.Parse(frame.Message, message); err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	key, answer, err := readAnswer(message, time.Now())
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	answered := l.pending[key]
	if answered == nil {
		l.strays.Add(1)
		return nil
	}
	delete(l.pending, key)
	answered <- answer
	return nil
}
