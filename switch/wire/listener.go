package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// keepAlive finds dead peers below the idle time-out: a POS behind a mobile network vanishes without a FIN.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 4}

// Accepting too fast for the machine (no file descriptors) is retried with this back-off, never given up.
const (
	acceptBackoffMin = 5 * time.Millisecond
	acceptBackoffMax = time.Second
)

// Listener accepts the connections of one port and serves each with the same Handler.
type Listener struct {
	cfg Config
	m   *portMetrics
	h   Handler
	nl  net.Listener

	stop chan struct{} // closed by the first Drain or Close
	done sync.WaitGroup

	mu      sync.Mutex // guards conns and stopped: no connection is added once stopped
	conns   map[*Conn]struct{}
	stopped bool
}

// Listen opens a TCP port. Serve accepts on it.
func Listen(ctx context.Context, address string, cfg Config, h Handler) (*Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive, Control: stampSockets}
	nl, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for port %s: %w", cfg.Name, err)
	}
	l, err := NewListener(nl, cfg, h)
	if err != nil {
		return nil, errors.Join(err, nl.Close())
	}
	return l, nil
}

// NewListener serves the connections of nl.
func NewListener(nl net.Listener, cfg Config, h Handler) (*Listener, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Listener{
		cfg: cfg, m: cfg.Metrics.port(cfg.Name), h: h, nl: nl,
		stop: make(chan struct{}), conns: make(map[*Conn]struct{}),
	}, nil
}

// Addr returns the address listened on.
func (l *Listener) Addr() net.Addr { return l.nl.Addr() }

// Serve accepts until Drain or Close, then returns nil; any other end is an error.
func (l *Listener) Serve() error {
	backoff := acceptBackoffMin
	for {
		nc, err := l.nl.Accept()
		if err == nil {
			backoff = acceptBackoffMin
			l.serve(nc)
			continue
		}
		select {
		case <-l.stop:
			return nil
		default:
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept on port %s: %w", l.cfg.Name, err)
		}
		l.m.failed.Inc()
		select {
		case <-l.stop:
			return nil
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, acceptBackoffMax)
	}
}

// serve starts a connection, or closes it at once when the port is full or its sender has enough.
func (l *Listener) serve(nc net.Conn) {
	raw := nc
	source := l.cfg.Limits.Sources.Address(raw.RemoteAddr())
	if source.Limited() && !l.cfg.Limits.Opened.Allow(source.Number(), time.Now()) {
		_ = raw.Close()
		l.m.limited[limitedRate].Inc()
		return
	}
	if !l.cfg.Limits.Open.Take(source) {
		_ = raw.Close()
		l.m.limited[limitedOpen].Inc()
		return
	}
	var stamps *stamped
	if tcp, ok := raw.(*net.TCPConn); ok && l.cfg.Stages != nil {
		if s, err := newStamped(tcp); err == nil {
			stamps, nc = s, s
		}
	}
	if l.cfg.TLS != nil {
		nc = tls.Server(nc, l.cfg.TLS.TLS())
	}
	c := newConn(nc, &l.cfg, l.m, l.h)
	c.source, c.stamps = source, stamps
	if !l.add(c) {
		l.cfg.Limits.Open.Give(source)
		_ = raw.Close()
		l.m.over.Inc()
		return
	}
	go func() {
		defer l.done.Done()
		c.Serve()
		l.cfg.Limits.Open.Give(source)
		l.mu.Lock()
		delete(l.conns, c)
		l.mu.Unlock()
	}()
}

func (l *Listener) add(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped || len(l.conns) >= l.cfg.MaxConns {
		return false
	}
	l.conns[c] = struct{}{}
	l.done.Add(1)
	return true
}

// halt stops accepting and returns the open connections.
func (l *Listener) halt() []*Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.stopped = true
		close(l.stop)
		_ = l.nl.Close()
	}
	open := make([]*Conn, 0, len(l.conns))
	for c := range l.conns {
		open = append(open, c)
	}
	return open
}

// Drain stops accepting and reading, lets every connection have the answers it is owed, and returns when all are
// closed. When ctx ends first the rest is closed as by Close, and ctx's error returned.
func (l *Listener) Drain(ctx context.Context) error {
	for _, c := range l.halt() {
		c.Drain()
	}
	all := make(chan struct{})
	go func() {
		l.done.Wait()
		close(all)
	}()
	select {
	case <-all:
		return nil
	case <-ctx.Done():
		l.Close()
		return fmt.Errorf("drain port %s: %w", l.cfg.Name, ctx.Err())
	}
}

// Close stops accepting, closes every connection at once and returns when all have ended.
func (l *Listener) Close() {
	for _, c := range l.halt() {
		c.Close()
	}
	l.done.Wait()
}
