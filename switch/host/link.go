package host

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"huanxin/switch/engine"
	"huanxin/switch/wire"
)

// link is one connection slot of a host: it dials, signs on, carries requests and answers, and dials again when the
// connection ends. A slot has at most one connection at a time and writes in the order of its queue, which is what keeps
// a reversal behind its sale.
type link struct {
	host  *host
	slot  int
	queue *queue
	up    atomic.Bool
}

// Frames written together, at most.
const writeBatch = 32 << 10

// maxControl bounds the management answers owed to the network; one more is not sent.
const maxControl = 16

// Reasons for which a connection ends.
var (
	errSignOn  = errors.New("sign-on refused")
	errSilent  = errors.New("echo unanswered")
	errStopped = errors.New("stopped")
)

// run keeps the slot connected until ctx ends.
func (l *link) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		lived, err := l.session(ctx, failures)
		if ctx.Err() != nil {
			return
		}
		// A network that signs us on and hangs up is no better than one that does not answer.
		if lived >= l.host.cfg.ReconnectMax {
			failures = 0
		}
		wait := l.host.backOff(failures)
		failures++
		l.host.logger.Warn("host link down", zap.Int("slot", l.slot), zap.Duration("again_in", wait), zap.Error(err))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// session is the life of one connection. It reports how long the link was signed on, and why it ended.
func (l *link) session(ctx context.Context, attempt int) (lived time.Duration, err error) {
	cfg := &l.host.cfg
	address := cfg.Addresses[(attempt+l.slot)%len(cfg.Addresses)]
	dialer := net.Dialer{Timeout: cfg.DialTimeout}
	nc, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		l.host.count.connect("dial")
		return 0, fmt.Errorf("dial: %w", err)
	}
	if nc, err = l.secure(ctx, nc, address); err != nil {
		l.host.count.connect("tls")
		return 0, err
	}
	s := &session{
		link: l, nc: nc, control: make(chan *item, maxControl), signOn: make(chan string, 1),
		flight: newFlight(max(1, cfg.InFlight/cfg.Connections)), ended: make(chan struct{}),
	}
	s.heard.Store(l.host.now().UnixNano())
	return s.run(ctx)
}

// secure puts TLS on a connection, where the profile wants it. When it fails the connection is closed.
func (l *link) secure(ctx context.Context, nc net.Conn, address string) (net.Conn, error) {
	cfg := &l.host.cfg
	if cfg.TLS == nil {
		return nc, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err == nil {
		secure := tls.Client(nc, cfg.TLS.TLS(host))
		shake, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
		defer cancel()
		if err = secure.HandshakeContext(shake); err == nil {
			return secure, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("TLS handshake: %w", err), nc.Close())
}

// session is one connection. The reader and the writer are a goroutine each; whichever fails first ends both.
type session struct {
	link    *link
	nc      net.Conn
	control chan *item  // management messages, written before requests
	signOn  chan string // DE39 of the answer to our sign-on
	flight  *flight
	heard   atomic.Int64 // Unix ns of the last frame received
	probed  time.Time    // when the writer sent its last echo

	// The reader's own.
	mistrusted bool // an answer was dropped for its MAC
	ear        ear
	learnt     []any // what came together, and goes to the server together

	once  sync.Once // closes ended
	ended chan struct{}
	cause error
}

func (s *session) end(cause error) {
	s.once.Do(func() {
		s.cause = cause
		close(s.ended)
		s.nc.Close()
	})
}

func (s *session) run(ctx context.Context) (lived time.Duration, err error) {
	l := s.link
	stop := context.AfterFunc(ctx, func() { s.end(errStopped) })
	defer stop()
	var workers sync.WaitGroup
	workers.Go(func() { s.end(s.read(ctx)) })
	if err := s.logOn(); err != nil {
		l.host.count.connect("signon")
		s.end(err)
		workers.Wait()
		return 0, s.cause
	}
	up := l.host.now()
	l.host.count.connect("up")
	l.host.logger.Info("host link up", zap.Int("slot", l.slot))
	l.queue.start()
	l.up.Store(true)
	l.host.count.up.Inc()
	l.host.out.Put(ctx, &engine.HostUp{Host: l.host.cfg.Name})
	s.end(s.write(ctx))
	lived = l.host.now().Sub(up)
	l.up.Store(false)
	l.host.count.up.Dec()
	// Nobody will write these any more, and nobody has begun to: they have certainly not left.
	for _, it := range l.queue.close() {
		l.host.count.queued.Dec()
		l.host.unsent(it, down)
	}
	workers.Wait()
	return lived, s.cause
}

// logOn sends the sign-on and waits for its answer. A profile without sign-on is up at once.
func (s *session) logOn() error {
	cfg := &s.link.host.cfg
	if !cfg.SignOn {
		return nil
	}
	frame, err := s.link.host.words.manage(nil, manageSignOn, s.link.host.nextSTAN(), s.link.host.now())
	if err != nil {
		return fmt.Errorf("encode sign-on: %w", err)
	}
	if err := s.put(frame); err != nil {
		return err
	}
	timer := time.NewTimer(cfg.EchoTimeout)
	defer timer.Stop()
	select {
	case response := <-s.signOn:
		if response != "00" {
			return fmt.Errorf("%w: %q", errSignOn, response)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("%w: no answer", errSignOn)
	case <-s.ended:
		return s.cause
	}
}

// The places of a drill.
const (
	PlaceHalfWritten = "host-half-written" // half of what goes to the network together is written
	PlaceWritten     = "host-written"      // all of it
)

// putRequests is put, in two halves where a drill wants to be told in between.
func (s *session) putRequests(frames []byte) error {
	place := s.link.host.deps.Place
	if place == nil {
		return s.put(frames)
	}
	if err := s.put(frames[:len(frames)/2]); err != nil {
		return err
	}
	place(PlaceHalfWritten)
	if err := s.put(frames[len(frames)/2:]); err != nil {
		return err
	}
	place(PlaceWritten)
	return nil
}

func (s *session) put(frame []byte) error {
	if err := s.nc.SetWriteDeadline(time.Now().Add(s.link.host.cfg.WriteTimeout)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if _, err := s.nc.Write(frame); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// write sends control messages and the queue, in order, until the connection ends.
func (s *session) write(ctx context.Context) error {
	h := s.link.host
	echo := time.NewTimer(h.cfg.Echo)
	defer echo.Stop()
	var buffer []byte
	defer func() { clear(buffer[:cap(buffer)]) }()
	for {
		var wait time.Time
		buffer, wait = s.gather(buffer[:0])
		if len(buffer) > 0 {
			err := s.putRequests(buffer)
			clear(buffer)
			if err != nil {
				return err
			}
			continue
		}
		if err := s.idle(ctx, echo, wait); err != nil {
			return err
		}
	}
}

// idle waits until something may be there to write. A full window waits for an answer or for until; an idle line sends
// an echo, and one that stays silent after it ends.
func (s *session) idle(ctx context.Context, echo *time.Timer, until time.Time) error {
	h := s.link.host
	wake := s.link.queue.wake
	var expiry <-chan time.Time
	if !until.IsZero() {
		wake = nil
		timer := time.NewTimer(max(0, until.Sub(h.now())))
		defer timer.Stop()
		expiry = timer.C
	}
	select {
	case <-wake:
	case <-s.flight.freed:
	case <-expiry:
	case it := <-s.control:
		return s.put(it.frame)
	case <-echo.C:
		return s.probe(echo)
	case <-s.ended:
		return s.cause
	case <-ctx.Done():
		return errStopped
	}
	return nil
}

// probe is called when the echo timer fires: it sends an echo after Echo of silence, and gives the line up when nothing
// at all has come for EchoTimeout after that.
func (s *session) probe(echo *time.Timer) error {
	h := s.link.host
	now, heard := h.now(), time.Unix(0, s.heard.Load())
	unanswered := !s.probed.IsZero() && heard.Before(s.probed)
	switch {
	case unanswered && now.Sub(s.probed) >= h.cfg.EchoTimeout:
		return errSilent
	case unanswered:
		echo.Reset(h.cfg.EchoTimeout - now.Sub(s.probed))
		return nil
	case now.Sub(heard) < h.cfg.Echo:
		echo.Reset(h.cfg.Echo - now.Sub(heard))
		return nil
	}
	s.probed = now
	echo.Reset(h.cfg.EchoTimeout)
	frame, err := h.words.manage(nil, manageEcho, h.nextSTAN(), now)
	if err != nil {
		return fmt.Errorf("encode echo: %w", err)
	}
	return s.put(frame)
}

// gather takes from the queue what fits one write and the window. From here on an item counts as sent: when the write
// fails, nobody knows how much of it the network has, and the engine's time-out decides. wait is set when the window is
// full. Management answers go first: a busy line must not keep the network waiting for its echo.
func (s *session) gather(buffer []byte) (_ []byte, wait time.Time) {
	h := s.link.host
	now := h.now()
	for range len(s.control) {
		buffer = append(buffer, (<-s.control).frame...)
	}
	for len(buffer) < writeBatch {
		ok, until := s.flight.room(now)
		if !ok {
			return buffer, until
		}
		it := s.link.queue.take()
		if it == nil {
			return buffer, time.Time{}
		}
		h.count.queued.Dec()
		if !now.Before(it.deadline) {
			h.unsent(it, expired)
			continue
		}
		p := &pending{key: it.key, asked: it.asked, sentAt: now, deadline: it.deadline, flight: s.flight}
		s.flight.add(p)
		h.match.remember(p)
		buffer = append(buffer, it.frame...)
		h.count.request(it.asked.kind, sent)
		h.release(it)
	}
	return buffer, time.Time{}
}

// readSize is the most that is read at once.
const readSize = 32 << 10

// read takes frames off the connection until it ends.
func (s *session) read(ctx context.Context) error {
	h := s.link.host
	buffer := make([]byte, max(readSize, h.cfg.FrameLimit))
	used := 0
	for {
		n, err := s.nc.Read(buffer[used:])
		used += n
		taken, frameErr := s.receive(buffer[:used])
		// Answers that came together are offered in one go, so that they are decided in one batch.
		for i, body := range s.learnt {
			h.out.Put(ctx, body)
			s.learnt[i] = nil
		}
		s.learnt = s.learnt[:0]
		rest := copy(buffer, buffer[taken:used])
		clear(buffer[rest:used])
		used = rest
		if frameErr != nil {
			return frameErr
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
}

// receive handles the whole frames among the received bytes and returns how many bytes they were.
func (s *session) receive(received []byte) (taken int, err error) {
	h := s.link.host
	now := h.now()
	for taken < len(received) {
		frame, size, err := h.cfg.Framing.Next(received[taken:], h.cfg.FrameLimit)
		if err != nil {
			h.count.malformed.Inc()
			return taken, fmt.Errorf("frame: %w", err)
		}
		if size == 0 {
			break
		}
		s.heard.Store(now.UnixNano())
		s.hear(frame, now)
		taken += size
	}
	return taken, nil
}

// hear understands one frame: an answer to a request of ours, or a management message.
func (s *session) hear(frame wire.Frame, now time.Time) {
	h := s.link.host
	if frame.KeepAlive() {
		return
	}
	msg, err := h.words.read(&s.ear, frame.Message, now)
	switch {
	case errors.Is(err, errMACWrong) || errors.Is(err, errMACMissing):
		s.mistrust(err)
		return
	case err != nil:
		h.count.malformed.Inc()
		h.logger.Debug("host message not understood", zap.Int("slot", s.link.slot), zap.Error(err))
		return
	}
	switch msg.class {
	case classSignOnAnswer:
		select {
		case s.signOn <- msg.response:
		default: // the answer to an echo
		}
	case classManagement:
		s.reply()
	case classAnswer:
		s.learnt = append(s.learnt, h.answered(&msg, now))
	}
}

// mistrust drops an answer whose MAC is not right. That it came is a reason to look: a key differs, or somebody writes on the line. It is
// logged once a connection, and counted each time.
func (s *session) mistrust(err error) {
	h := s.link.host
	h.count.unproved.Inc()
	if !s.mistrusted {
		s.mistrusted = true
		h.logger.Error("answers of the host are dropped; further ones are only counted (huanxin_host_unproved_total)",
			zap.Int("slot", s.link.slot), zap.Error(err))
	}
}

// reply answers a management message of the network in kind.
func (s *session) reply() {
	h := s.link.host
	answer, err := h.words.manageAnswer(nil, &s.ear.parsed)
	if err != nil {
		h.count.malformed.Inc()
		return
	}
	select {
	case s.control <- &item{frame: answer}:
	default:
	}
}
