package till

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"huanxin/internal/simulator/secret"
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
	TLS     *tls.Config   // nil: plain TCP
	// Pinpads are the security modules of terminals that have one, by DE41. Messages of such a terminal carry a MAC once a sign-on has
	// brought keys, and answers to it must.
	Pinpads map[string]*secret.Pinpad
}

// ErrLost is returned when the connection ended before the answer came. The terminal does not know what became of its
// request.
var ErrLost = errors.New("connection lost before the answer")

// ErrMAC is returned for an answer whose MAC is wrong, or that says yes without one. The terminal does not know what became of its
// request.
var ErrMAC = errors.New("the answer's MAC is wrong or missing")

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
	mac     []byte
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
	if cfg.TLS != nil {
		secure := tls.Client(nc, cfg.TLS)
		shake, cancel := context.WithTimeout(ctx, cfg.Dial)
		defer cancel()
		if err := secure.HandshakeContext(shake); err != nil {
			return nil, fmt.Errorf("connect to the switch: %w", errors.Join(err, nc.Close()))
		}
		nc = secure
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
		return proved(a)
	case <-l.lost:
		select {
		case a := <-answered: // it came with the last bytes
			return proved(a)
		default:
		}
		return nil, fmt.Errorf("%w: %w", ErrLost, l.cause())
	case <-timer.C:
		return nil, ErrTimeout
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func proved(a *Answer) (*Answer, error) {
	if a.unproved {
		return nil, ErrMAC
	}
	return a, nil
}

// Tell sends a request without waiting for an answer.
func (l *Line) Tell(r *Request) error {
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	pad := l.cfg.Pinpads[r.Terminal]
	if err := r.build(&l.builder, l.cfg.Codec, pad); err != nil {
		return fmt.Errorf("build %s: %w", r.MTI, err)
	}
	seal := pad.Ready() && !r.opens()
	if seal {
		l.builder.Set(macField, make([]byte, secret.MACSize)) // so that the bitmap under the MAC is the one that is sent
	}
	body, err := l.builder.Append(l.body[:0])
	if err != nil {
		return fmt.Errorf("build %s: %w", r.MTI, err)
	}
	if l.body = body; seal {
		if body, err = l.seal(pad, body); err != nil {
			return fmt.Errorf("build %s: %w", r.MTI, err)
		}
	}
	if r.Flip {
		if err := l.flip(body); err != nil {
			return fmt.Errorf("build %s: %w", r.MTI, err)
		}
	}
	if l.out, err = l.cfg.Framing.AppendFrame(l.out[:0], l.cfg.TPDU, l.cfg.Header, body); err != nil {
		return fmt.Errorf("frame %s: %w", r.MTI, err)
	}
	return l.write(l.out)
}

// flip changes the last bit of the amount, as somebody on the line might.
func (l *Line) flip(body []byte) error {
	var m iso8583.Message
	if err := l.cfg.Codec.Parse(body, &m); err != nil {
		return err
	}
	amount := m.Raw(4)
	if len(amount) == 0 {
		return errors.New("there is no amount to change a bit of")
	}
	amount[len(amount)-1] ^= 1
	return nil
}

// macField is DE64.
const macField = 64

// seal fills DE64, the last field.
func (l *Line) seal(pad *secret.Pinpad, body []byte) ([]byte, error) {
	covered := body[:len(body)-l.cfg.Codec.WireSize(macField)]
	l.mac = pad.MAC(l.mac[:0], covered)
	return l.cfg.Codec.AppendValue(covered, macField, l.mac[:secret.MACSize])
}

// opened takes the keys of a sign-on's answer, and reports whether the answer is the switch's: a MAC that is there is right, and nothing
// but a refusal comes without one. Sign-on and echo have none.
func (l *Line) opened(m *iso8583.Message, a *Answer, terminal string) (bool, error) {
	pad := l.cfg.Pinpads[terminal]
	switch {
	case pad == nil:
		return true, nil
	case m.Has(macField):
		var code [secret.MACSize]byte
		return m.CopyField(code[:], macField) == len(code) && pad.Verify(m.RawUpTo(macField), code[:]), nil
	case m.MTI() == 0x0810 && a.Response == "00" && m.Has(62):
		return true, pad.Take(m.AppendField(nil, 62))
	}
	return !approves(a.Response) || m.MTI() == 0x0810 || m.MTI() == 0x0830, nil
}

// approves reports whether DE39 says yes, to some or all of what was asked (pos-dialect §4).
func approves(response string) bool {
	switch response {
	case "00", "10", "11", "A2", "A4", "A5", "A6":
		return true
	}
	return false
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
	ours, err := l.opened(message, answer, key.terminal)
	if err != nil {
		return err
	}
	answer.unproved = !ours
	answer.Renew = len(frame.Header) == wire.HeaderSize && frame.Header[2]&0x0f == 3
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
