package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"huanxin/switch/limit"
	"huanxin/switch/transport"
)

// ServerConfig bounds what a connection may take of the process.
type ServerConfig struct {
	// ReadTimeout is for a whole request; the first of a connection has as long from the accept. Default 10 s.
	ReadTimeout time.Duration
	// WriteTimeout is for an answer to leave. Default 10 s.
	WriteTimeout time.Duration
	// IdleTimeout is between two requests of a connection. Default 2 min.
	IdleTimeout time.Duration
	// MaxConnections bounds open connections. One more waits in the kernel's queue until another closes. Default 8192: each may keep a header, a body and an answer in memory, 28 KiB.
	MaxConnections int
	// TLS, when set, is spoken on every connection; ReadTimeout bounds the handshake. A caller whose certificate is bound to other names
	// than that of its token is not taken for who it says.
	TLS *transport.Server
}

// maxHeader bounds a request's header in bytes.
const maxHeader = 8 << 10

func (c *ServerConfig) setDefaultsAndCheck() error {
	if c.ReadTimeout == 0 {
		c.ReadTimeout = 10 * time.Second
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = 10 * time.Second
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = 2 * time.Minute
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 8192
	}
	if c.ReadTimeout < 0 || c.WriteTimeout < 0 || c.IdleTimeout < 0 || c.MaxConnections < 0 {
		return errors.New("gateway: time-outs and MaxConnections must be positive")
	}
	return nil
}

// Server serves a Gateway over HTTP/1 within the bounds of its configuration.
type Server struct {
	http           *fasthttp.Server
	maxConnections int
	secure         *transport.Server // nil: plain TCP
	metrics        *metrics
	limits         Limits

	mu       sync.Mutex
	listener *boundedListener // nil until it serves
	ended    bool
}

// NewServer returns a server for g; it listens nowhere yet.
func NewServer(cfg ServerConfig, g *Gateway) (*Server, error) {
	if err := cfg.setDefaultsAndCheck(); err != nil {
		return nil, err
	}
	return &Server{maxConnections: cfg.MaxConnections, secure: cfg.TLS, metrics: g.metrics, limits: g.cfg.Limits, http: &fasthttp.Server{
		Handler:            g.Handle,
		ErrorHandler:       g.Unreadable,
		ReadTimeout:        cfg.ReadTimeout,
		WriteTimeout:       cfg.WriteTimeout,
		IdleTimeout:        cfg.IdleTimeout,
		ReadBufferSize:     maxHeader,
		MaxRequestBodySize: int(g.cfg.BodyLimit),
		Concurrency:        2 * cfg.MaxConnections, // the listener is the bound
		Logger:             silent{},

		CloseOnShutdown:              true,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true,
	}}, nil
}

// silent is told of broken connections and of what came over them, which may be personal. Unreadable requests are counted.
type silent struct{}

func (silent) Printf(string, ...any) {}

// Serve accepts connections on l, at most MaxConnections at a time, until Shutdown or Close; it then returns nil, at once when
// they came first.
func (s *Server) Serve(l net.Listener) error {
	bounded := newBoundedListener(l, s.maxConnections)
	bounded.limits, bounded.metrics = s.limits, s.metrics
	s.mu.Lock()
	s.listener = bounded
	ended := s.ended
	s.mu.Unlock()
	if ended {
		return bounded.Close()
	}
	if s.secure != nil {
		return s.http.Serve(&secureListener{bounded, s.secure, s.metrics})
	}
	return s.http.Serve(bounded)
}

// end lets nothing more be accepted, now or by a Serve that is still to come.
func (s *Server) end() (*boundedListener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.listener == nil {
		return nil, nil
	}
	return s.listener, s.listener.Close()
}

// Shutdown stops accepting and waits until every request is answered or ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	_, err := s.end()
	return errors.Join(err, s.http.ShutdownWithContext(ctx))
}

// Close ends all connections at once.
func (s *Server) Close() error {
	l, err := s.end()
	if l != nil {
		l.closeAll()
	}
	return err
}

// boundedListener accepts only while there is a free slot, and tries again when the system has none, as when it is out of
// descriptors: fasthttp would give up.
type boundedListener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
	err    error // of closing

	limits  Limits
	metrics *metrics

	mu   sync.Mutex
	open map[*boundedConn]struct{} // nil once all are closed
}

func newBoundedListener(l net.Listener, limit int) *boundedListener {
	return &boundedListener{Listener: l, slots: make(chan struct{}, limit), closed: make(chan struct{}), open: map[*boundedConn]struct{}{}}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, source, err := l.acceptFrom()
	if err != nil {
		<-l.slots
		return nil, err
	}
	c := &boundedConn{Conn: conn, socket: conn, of: l, source: source}
	l.mu.Lock()
	late := l.open == nil
	if !late {
		l.open[c] = struct{}{}
	}
	l.mu.Unlock()
	if late {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	return c, nil
}

// acceptFrom passes over connections of those who have enough of them.
func (l *boundedListener) acceptFrom() (net.Conn, limit.Source, error) {
	for {
		conn, err := l.accept()
		if err != nil {
			return nil, limit.Source{}, err
		}
		source := l.limits.Sources.Address(conn.RemoteAddr())
		if l.limits.Open.Take(source) {
			return conn, source, nil
		}
		l.metrics.limited[limitedConnections].Inc()
		_ = conn.Close() // of no interest to anybody
	}
}

const (
	backoffMin = 5 * time.Millisecond
	backoffMax = time.Second
)

func (l *boundedListener) accept() (net.Conn, error) {
	for backoff := backoffMin; ; backoff = min(2*backoff, backoffMax) {
		conn, err := l.Listener.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		select {
		case <-l.closed:
			return nil, net.ErrClosed
		case <-time.After(backoff):
		}
	}
}

// Close closes the listener once, however often it is called.
func (l *boundedListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.err = l.Listener.Close()
	})
	return l.err
}

// closeAll closes every connection that was accepted; the listener is closed.
func (l *boundedListener) closeAll() {
	l.mu.Lock()
	open := l.open
	l.open = nil
	l.mu.Unlock()
	for c := range open {
		c.once.Do(c.leave)
		_ = c.socket.Close() // of no interest to anybody
	}
}

type boundedConn struct {
	net.Conn          // what is read and written
	socket   net.Conn // below TLS, if there is any
	once     sync.Once
	of       *boundedListener
	source   limit.Source
	unread   atomic.Bool // something may lie in the socket that nobody will read
}

// What a connection that is closed unread may still send: a system that is closed with input unread resets the connection, and the
// caller may not see the answer that says why.
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 64 << 10
)

// Close lets a caller whose request was not read to its end see the answer.
func (c *boundedConn) Close() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if ok && c.unread.Swap(false) && half.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	return c.cut()
}

func (c *boundedConn) cut() error {
	err := c.Conn.Close()
	c.once.Do(c.leave)
	return err
}

func (c *boundedConn) leave() {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	c.of.limits.Open.Give(c.source)
	<-c.of.slots
}

// secureListener speaks TLS on every connection that it has accepted.
type secureListener struct {
	*boundedListener
	tls     *transport.Server
	metrics *metrics
}

func (l *secureListener) Accept() (net.Conn, error) {
	conn, err := l.boundedListener.Accept()
	if err != nil {
		return nil, err
	}
	c, ok := conn.(*boundedConn)
	if !ok {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	secure := tls.Server(c.socket, l.tls.TLS())
	c.Conn = secure
	return &secureConn{boundedConn: c, tls: secure, of: l}, nil
}

// secureConn is a connection under TLS. fasthttp begins with its handshake, in the connection's own goroutine and with its deadlines.
type secureConn struct {
	*boundedConn
	tls  *tls.Conn
	of   *secureListener
	peer *transport.Peer // set by the handshake
}

// Handshake is part of what fasthttp takes for a connection under TLS, and so is ConnectionState.
func (c *secureConn) Handshake() error {
	if err := c.tls.Handshake(); err != nil {
		c.of.metrics.refused.Inc()
		return err
	}
	c.of.metrics.secured.Inc()
	c.peer = c.of.tls.Peer(c.tls.ConnectionState())
	return nil
}

func (c *secureConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// peerOf is who is at the other end of a connection.
func peerOf(conn net.Conn) *transport.Peer {
	if c, ok := conn.(*secureConn); ok {
		return c.peer
	}
	return nil
}
