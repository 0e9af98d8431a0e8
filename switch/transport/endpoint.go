// Package transport is the TLS of listening ports and of links: versions and suites, the certificates of both sides, who a verified
// certificate may speak for, and the exchange of certificates while the process runs.
//
// It opens no socket. 国密 TLCP (GB/T 38636) is not spoken here: it is terminated in front of the switch; see docs/operator.md.
//
// The contract:
//
//   - Server and Client read their files once, and fail when those cannot work. From then on every handshake uses what was read
//     last.
//   - Reload reads the files again. What cannot work is refused as a whole, with an error that names the file, and what was there
//     goes on. Connections that stand are never touched: they keep certificate and identity until they end.
//   - On a server that asks for certificates sessions are not resumed: every connection proves anew who it is, under the
//     authorities of that moment. A certificate that nobody has bound is refused in the handshake.
//   - Revocation lists are not read: whoever is to be shut out is taken out of the bindings.
package transport

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// generation is what was read from the files at one time.
type generation struct {
	tls      *tls.Config
	bindings *Bindings
	expires  time.Time // of the certificate; zero without one
}

// endpoint is what Server and Client have in common.
type endpoint struct {
	cfg Config
	now func() time.Time
	of  func(*endpoint, *generation) error // completes a generation for its side

	current atomic.Pointer[generation]

	mu    sync.Mutex // guards what follows: one reload at a time
	read  []look     // the files behind current, or behind what was last refused
	stale []look     // what the last Poll saw, when it differed from read
}

func (e *endpoint) open(cfg Config) error {
	e.cfg, e.now = cfg, time.Now
	if err := e.cfg.check(); err != nil {
		return fmt.Errorf("%w %s: %w", ErrConfig, cfg.Name, err)
	}
	_, err := e.Reload()
	return err
}

// Name is the port's or link's name.
func (e *endpoint) Name() string { return e.cfg.Name }

// Expires is when the certificate ends; zero without one.
func (e *endpoint) Expires() time.Time { return e.current.Load().expires }

// Reload reads the files and uses what they hold for every handshake from now on. changed is false when they hold what is in use
// already. After an error what was in use goes on.
func (e *endpoint) Reload() (changed bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reload()
}

// Poll reloads when the files have changed and stayed the same since the Poll before: so they are not read while somebody still writes
// them, nor a new certificate beside an old key. What was refused is not tried again until it changes.
func (e *endpoint) Poll() (changed bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := e.look()
	if same(seen, e.read) {
		e.stale = nil
		return false, nil
	}
	if !same(seen, e.stale) {
		e.stale = seen
		return false, nil
	}
	return e.reload()
}

// reload is called with mu held.
func (e *endpoint) reload() (changed bool, err error) {
	seen := e.look()
	e.stale = nil
	old := e.read
	e.read = seen
	if e.current.Load() != nil && same(seen, old) {
		return false, nil
	}
	g, err := e.load()
	if err != nil {
		return false, fmt.Errorf("%w %s: %w", ErrConfig, e.cfg.Name, err)
	}
	e.current.Store(g)
	return true, nil
}

// look is a file as the file system shows it.
type look struct {
	info os.FileInfo // nil when there is none
}

func (e *endpoint) look() []look {
	var seen []look
	for _, path := range []string{e.cfg.Certificate, e.cfg.Key, e.cfg.CA, e.cfg.Bindings} {
		var one look
		if path != "" {
			if info, err := os.Stat(path); err == nil {
				one.info = info
			}
		}
		seen = append(seen, one)
	}
	return seen
}

func same(a, b []look) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i].info, b[i].info
		if (x == nil) != (y == nil) {
			return false
		}
		if x != nil && (!os.SameFile(x, y) || x.Size() != y.Size() || !x.ModTime().Equal(y.ModTime())) {
			return false
		}
	}
	return true
}

// load reads every file and builds what a side needs of them.
func (e *endpoint) load() (*generation, error) {
	minVersion, err := version(e.cfg.MinVersion)
	if err != nil {
		return nil, err
	}
	ciphers, err := suites(e.cfg.Ciphers)
	if err != nil {
		return nil, err
	}
	g := &generation{tls: &tls.Config{MinVersion: minVersion, CipherSuites: ciphers}}
	if e.cfg.Certificate != "" {
		if err := e.loadCertificate(g); err != nil {
			return nil, err
		}
	}
	if e.cfg.Bindings != "" {
		text, err := os.ReadFile(e.cfg.Bindings)
		if err != nil {
			return nil, err
		}
		if g.bindings, err = ParseBindings(text, e.cfg.Identity); err != nil {
			return nil, fmt.Errorf("%s: %w", e.cfg.Bindings, err)
		}
	}
	return g, e.of(e, g)
}

func (e *endpoint) loadCertificate(g *generation) error {
	info, err := os.Stat(e.cfg.Key)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o, want 0600 (chmod 0600 %s)", e.cfg.Key, mode, e.cfg.Key)
	}
	cert, err := tls.LoadX509KeyPair(e.cfg.Certificate, e.cfg.Key)
	if err != nil {
		return fmt.Errorf("certificate %s, key %s: %w", e.cfg.Certificate, e.cfg.Key, err)
	}
	now := e.now()
	switch {
	case now.After(cert.Leaf.NotAfter):
		return fmt.Errorf("certificate %s ended on %s", e.cfg.Certificate, cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(cert.Leaf.NotBefore):
		return fmt.Errorf("certificate %s begins on %s", e.cfg.Certificate, cert.Leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	g.expires = cert.Leaf.NotAfter
	g.tls.Certificates = []tls.Certificate{cert}
	return nil
}

// pool reads the authorities; nil without a file of them.
func (e *endpoint) pool() (*x509.CertPool, error) {
	if e.cfg.CA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(e.cfg.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) || !bytes.Contains(text, []byte("CERTIFICATE")) {
		return nil, fmt.Errorf("%s holds no certificate of an authority", e.cfg.CA)
	}
	return pool, nil
}

// Server is the TLS of a listening port.
type Server struct {
	endpoint
	tls *tls.Config
}

// NewServer reads the files of a listening port.
func NewServer(cfg Config) (*Server, error) {
	s := &Server{}
	s.of = forServer
	if err := cfg.checkServer(); err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrConfig, cfg.Name, err)
	}
	if err := s.open(cfg); err != nil {
		return nil, err
	}
	s.tls = &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.current.Load().tls, nil
		},
	}
	return s, nil
}

// TLS is what tls.Server takes. It stays the same; what it does follows the files.
func (s *Server) TLS() *tls.Config { return s.tls }

// errStranger ends a handshake.
var errStranger = errors.New("the certificate's identity is bound to nobody")

func forServer(e *endpoint, g *generation) error {
	pool, err := e.pool()
	if err != nil || pool == nil {
		return err
	}
	g.tls.ClientCAs = pool
	g.tls.ClientAuth = tls.VerifyClientCertIfGiven
	if e.cfg.Required {
		g.tls.ClientAuth = tls.RequireAndVerifyClientCert
	}
	g.tls.SessionTicketsDisabled = true
	g.tls.VerifyConnection = func(state tls.ConnectionState) error {
		if _, known := g.bindings.peerOf(shown(&state), e.cfg.Identity); !known {
			return errStranger
		}
		return nil
	}
	return nil
}

// shown is the certificate that the peer has proved, nil without one.
func shown(state *tls.ConnectionState) *x509.Certificate {
	if len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return nil
	}
	return state.VerifiedChains[0][0]
}

// Peer is who is at the other end of a connection whose handshake is done, nil when this port asks for no certificate. One that was
// bound when its handshake began and is not any more may speak for nobody.
func (s *Server) Peer(state tls.ConnectionState) *Peer {
	if s.cfg.CA == "" {
		return nil
	}
	cert := shown(&state)
	p, _ := s.current.Load().bindings.peerOf(cert, s.cfg.Identity)
	if p.identity == "" && cert != nil {
		p.identity = "(bound to nobody)"
	}
	return p
}

// Client is the TLS of a link that this process dials.
type Client struct{ endpoint }

// NewClient reads the files of a link.
func NewClient(cfg Config) (*Client, error) {
	c := &Client{}
	c.of = forClient
	return c, c.open(cfg)
}

func forClient(e *endpoint, g *generation) (err error) {
	g.tls.RootCAs, err = e.pool()
	return err
}

// TLS is what tls.Client takes for a connection to host, the name or address that is dialled. It belongs to the caller.
func (c *Client) TLS(host string) *tls.Config {
	cfg := c.current.Load().tls.Clone()
	cfg.ServerName = host
	if c.cfg.ServerName != "" {
		cfg.ServerName = c.cfg.ServerName
	}
	return cfg
}
