package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// ServerConfig bounds what a connection may take of the process.
type ServerConfig struct {
	// ReadTimeout is for a whole request; its header has at most half of it. Default 10 s.
	ReadTimeout time.Duration
	// AnswerTimeout is the Gateway's Timeout: an answer must be written within ReadTimeout + AnswerTimeout + 5 s. Default 5 s.
	AnswerTimeout time.Duration
	// IdleTimeout is between two requests of a connection. Default 2 min.
	IdleTimeout time.Duration
	// MaxConnections bounds open connections. One more waits in the kernel's queue until another closes. Default 20000.
	MaxConnections int
	// Logger gets what net/http has to say about broken connections. Default: none.
	Logger *zap.Logger
}

// maxHeader bounds a request's header in bytes.
const maxHeader = 16 << 10

func (c *ServerConfig) setDefaultsAndCheck() error {
	if c.ReadTimeout == 0 {
		c.ReadTimeout = 10 * time.Second
	}
	if c.AnswerTimeout == 0 {
		c.AnswerTimeout = 5 * time.Second
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = 2 * time.Minute
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 20000
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.ReadTimeout < 0 || c.AnswerTimeout < 0 || c.IdleTimeout < 0 || c.MaxConnections < 0 {
		return errors.New("gateway: time-outs and MaxConnections must be positive")
	}
	return nil
}

// Server serves a handler within the bounds of its configuration.
type Server struct {
	http           *http.Server
	maxConnections int
}

// NewServer returns a server for handler; it listens nowhere yet.
func NewServer(cfg ServerConfig, handler http.Handler) (*Server, error) {
	if err := cfg.setDefaultsAndCheck(); err != nil {
		return nil, err
	}
	errorLog, err := zap.NewStdLogAt(cfg.Logger, zap.DebugLevel)
	if err != nil {
		return nil, err
	}
	return &Server{maxConnections: cfg.MaxConnections, http: &http.Server{
		Handler:           handler,
		ReadTimeout:       cfg.ReadTimeout,
		ReadHeaderTimeout: cfg.ReadTimeout / 2,
		WriteTimeout:      cfg.ReadTimeout + cfg.AnswerTimeout + 5*time.Second,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          errorLog,
	}}, nil
}

// Serve accepts connections on l, at most MaxConnections at a time, until Shutdown or Close; it then
// returns http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error {
	return s.http.Serve(newBoundedListener(l, s.maxConnections))
}

// Shutdown stops accepting and waits until every request is answered or ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close ends all connections at once.
func (s *Server) Close() error { return s.http.Close() }

// boundedListener accepts only while there is a free slot.
type boundedListener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newBoundedListener(l net.Listener, limit int) *boundedListener {
	return &boundedListener{Listener: l, slots: make(chan struct{}, limit), closed: make(chan struct{})}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &boundedConn{Conn: conn, release: func() { <-l.slots }}, nil
}

func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type boundedConn struct {
	net.Conn
	once    sync.Once
	release func()
}

func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.release)
	return err
}
