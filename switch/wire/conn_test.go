package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/switch/transport"
	"huanxin/switch/transport/transporttest"
)

// echo answers every frame with itself, at once. It records what it was given.
type echo struct {
	mu     sync.Mutex
	frames [][]byte
	closed []Cause
}

func (e *echo) Frame(c *Conn, f Frame) bool {
	c.Expect()
	_ = c.Answer(raw2(f.Message))
	return e.note(f)
}

func (e *echo) note(f Frame) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.frames = append(e.frames, bytes.Clone(f.Message))
	return !bytes.Equal(f.Message, []byte("refuse"))
}

func (e *echo) Closed(_ *Conn, cause Cause) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = append(e.closed, cause)
}

// later keeps the connections and answers when the test says so.
type later struct {
	echo
	conns []*Conn
}

func (l *later) Frame(c *Conn, f Frame) bool {
	c.Expect()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, c)
	l.frames = append(l.frames, bytes.Clone(f.Message))
	return true
}

func (l *later) answerAll() (errs []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.conns {
		errs = append(errs, c.Answer(raw2(l.frames[i])))
	}
	l.conns, l.frames = nil, nil
	return errs
}

func raw2(message []byte) []byte {
	return append([]byte{byte(len(message) >> 8), byte(len(message))}, message...)
}

// duplex is a connection of two pipes, so that one direction can end before the other, as a TCP half-close does.
type duplex struct {
	net.Conn          // to read from
	write    net.Conn // to write to
	writes   int
}

func (d *duplex) Write(b []byte) (int, error)        { d.writes++; return d.write.Write(b) }
func (d *duplex) SetWriteDeadline(t time.Time) error { return d.write.SetWriteDeadline(t) }
func (d *duplex) CloseWrite() error                  { return d.write.Close() }
func (d *duplex) Close() error                       { _ = d.write.Close(); return d.Conn.Close() }
func (d *duplex) SetDeadline(t time.Time) error {
	_ = d.write.SetDeadline(t)
	return d.Conn.SetDeadline(t)
}

func newDuplex() (client, server *duplex) {
	toServer, serverIn := net.Pipe()
	toClient, clientIn := net.Pipe()
	return &duplex{Conn: clientIn, write: toServer}, &duplex{Conn: serverIn, write: toClient}
}

// pipes is a listener whose connections the test makes.
type pipes struct {
	next chan net.Conn
	once sync.Once
	done chan struct{}
}

func newPipes() *pipes { return &pipes{next: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.next:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() *duplex {
	client, server := newDuplex()
	p.next <- server
	return client
}

// port is a listener under test with its metrics.
type port struct {
	*Listener
	pipes *pipes
	reg   *prometheus.Registry
}

func config(t *testing.T, reg *prometheus.Registry) Config {
	m, err := NewMetrics(reg)
	require.NoError(t, err)
	return Config{Name: "test", Framing: Raw2, MaxFrame: 64, Metrics: m}
}

func open(t *testing.T, h Handler, change func(*Config)) *port {
	t.Helper()
	reg := prometheus.NewRegistry()
	cfg := config(t, reg)
	if change != nil {
		change(&cfg)
	}
	p := &port{pipes: newPipes(), reg: reg}
	var err error
	p.Listener, err = NewListener(p.pipes, cfg, h)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- p.Serve() }()
	t.Cleanup(func() {
		p.Close()
		require.NoError(t, <-served)
		require.Zero(t, p.count("huanxin_wire_connections"), "every connection ends when the port closes")
	})
	return p
}

// count returns the value of the series of a metric that has all the label values given.
func (p *port) count(name string, labels ...string) float64 { return count(p.reg, name, labels...) }

func count(reg *prometheus.Registry, name string, labels ...string) float64 {
	families, err := reg.Gather()
	if err != nil {
		panic(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			for _, want := range labels {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetValue() == want
				}
				if !found {
					continue series
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func (p *port) requireClosed(t *testing.T, cause Cause) {
	t.Helper()
	require.Equal(t, 1.0, p.count("huanxin_wire_closes_total", cause.String()), "closes by %s", cause)
}

func ask(t *testing.T, c net.Conn, message string) {
	t.Helper()
	_, err := c.Write(raw2([]byte(message)))
	require.NoError(t, err)
	hear(t, c, message)
}

func hear(t *testing.T, c net.Conn, message string) {
	t.Helper()
	got := make([]byte, 2+len(message))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, message, string(got[2:]))
}

func requireEnd(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

func TestTricklingBytesDoNotExtendTheFrameTimeoutAndHarmNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, &echo{}, func(c *Config) { c.FrameTimeout = 10 * time.Second })
		slow, other := p.pipes.dial(), p.pipes.dial()
		_, err := slow.Write([]byte{0, 20})
		require.NoError(t, err)
		for range 9 {
			time.Sleep(time.Second) // the bubble's clock, not the wall's
			_, err = slow.Write([]byte{'x'})
			require.NoError(t, err)
			ask(t, other, "hello")
		}
		time.Sleep(1001 * time.Millisecond)
		synctest.Wait()
		p.requireClosed(t, CauseSlow)
		requireEnd(t, slow)
		ask(t, other, "still here")
	})
}

func TestFrameTimeoutStartsAnewWithEachFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, &echo{}, func(c *Config) { c.FrameTimeout = 10 * time.Second })
		c := p.pipes.dial()
		for range 5 {
			_, err := c.Write([]byte{0, 2, 'a'})
			require.NoError(t, err)
			time.Sleep(6 * time.Second)
			_, err = c.Write([]byte{'b'})
			require.NoError(t, err)
			hear(t, c, "ab")
		}
	})
}

func TestIdleConnectionIsClosedButNotWhileAnAnswerIsOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &later{}
		p := open(t, h, func(c *Config) { c.IdleTimeout = time.Minute })
		idle, waiting := p.pipes.dial(), p.pipes.dial()
		_, err := waiting.Write(raw2([]byte("slow host")))
		require.NoError(t, err)
		time.Sleep(90 * time.Second)
		synctest.Wait()
		p.requireClosed(t, CauseIdle)
		requireEnd(t, idle)
		require.Equal(t, []error{nil}, h.answerAll())
		hear(t, waiting, "slow host")
		time.Sleep(2 * time.Minute)
		requireEnd(t, waiting)
	})
}

func TestBadBytesEndTheirOwnConnectionOnly(t *testing.T) {
	tests := []struct {
		name    string
		framing Framing
		send    []byte
		end     bool // the peer closes after sending
		cause   Cause
	}{
		{"oversized", Raw2, []byte{0xFF, 0xFF}, false, CauseOversized},
		{"one byte above the maximum", Raw2, []byte{0, 63}, false, CauseOversized},
		{"length is no number", ASCII4, []byte("GET "), false, CauseGarbage},
		{"no TPDU", NAC, []byte{0, 20, 0x61}, false, CauseGarbage},
		{"too short for a TPDU", NAC, []byte{0, 4}, false, CauseGarbage},
		{"truncated", Raw2, []byte{0, 20, 'x'}, true, CauseTruncated},
		{"refused by the handler", Raw2, raw2([]byte("refuse")), false, CauseRefused},
		{"peer closes", Raw2, nil, true, CausePeer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, &echo{}, func(c *Config) { c.Framing = tt.framing })
				bad, other := p.pipes.dial(), p.pipes.dial()
				if len(tt.send) > 0 {
					_, err := bad.Write(tt.send)
					require.NoError(t, err)
				}
				if tt.end {
					require.NoError(t, bad.CloseWrite())
				}
				_, _ = io.Copy(io.Discard, bad)
				synctest.Wait()
				p.requireClosed(t, tt.cause)
				require.Equal(t, 1.0, p.count("huanxin_wire_connections"), "the other connection")
				frame, err := tt.framing.AppendFrame(nil, tpduOf(tt.framing), nil, []byte("ok"))
				require.NoError(t, err)
				_, err = other.Write(frame)
				require.NoError(t, err)
				hear(t, other, "ok")
			})
		})
	}
}

func tpduOf(f Framing) []byte {
	if f.TPDU() {
		return []byte{0x60, 0, 3, 0, 0}
	}
	return nil
}

func TestHalfClosedPeerStillGetsItsAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &later{}
		p := open(t, h, nil)
		c := p.pipes.dial()
		_, err := c.Write(append(raw2([]byte("one")), raw2([]byte("two"))...))
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		synctest.Wait()
		require.Equal(t, 1.0, p.count("huanxin_wire_connections"), "kept open: two answers are owed")
		require.Equal(t, []error{nil, nil}, h.answerAll())
		hear(t, c, "one")
		hear(t, c, "two")
		requireEnd(t, c)
		synctest.Wait()
		p.requireClosed(t, CausePeer)
	})
}

func TestHalfClosedPeerIsNotKeptForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &later{}
		p := open(t, h, func(c *Config) { c.LingerTimeout = 70 * time.Second })
		c := p.pipes.dial()
		_, err := c.Write(raw2([]byte("lost")))
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		time.Sleep(71 * time.Second)
		synctest.Wait()
		p.requireClosed(t, CauseUnanswered)
		require.Equal(t, []error{ErrClosed}, h.answerAll())
	})
}

func TestQueuedAnswersLeaveInOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &later{}
		p := open(t, h, func(c *Config) { c.MaxInFlight = 200 })
		client, server := newDuplex()
		p.pipes.next <- server
		const n = 200
		for range n {
			_, err := client.Write(raw2([]byte("x")))
			require.NoError(t, err)
		}
		synctest.Wait()
		h.answerAll()
		for range n {
			hear(t, client, "x")
		}
		synctest.Wait()
		require.LessOrEqual(t, server.writes, 2, "the first answer, then all that queued up behind it")
		require.Equal(t, float64(n), p.count("huanxin_wire_frames_total", "out"))
		require.Equal(t, float64(3*n), p.count("huanxin_wire_bytes_total", "out"))
		require.Equal(t, float64(n), p.count("huanxin_wire_frames_total", "in"))
		require.Equal(t, float64(3*n), p.count("huanxin_wire_bytes_total", "in"))
	})
}

func TestReadingPausesWhileTooManyAnswersAreOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &later{}
		p := open(t, h, func(c *Config) { c.MaxInFlight = 4 })
		client, other := p.pipes.dial(), p.pipes.dial()
		var sent []byte
		for range 10 {
			sent = append(sent, raw2([]byte("x"))...)
		}
		_, err := client.Write(sent)
		require.NoError(t, err)
		for _, handed := range []int{4, 4, 2} {
			synctest.Wait()
			require.Len(t, h.frames, handed)
			h.answerAll()
			for range handed {
				hear(t, client, "x")
			}
		}
		_, err = other.Write(sent)
		require.NoError(t, err)
		synctest.Wait()
		require.Len(t, h.frames, 4)
		drained := make(chan error, 1)
		go func() { drained <- p.Drain(context.Background()) }()
		synctest.Wait()
		require.Len(t, h.frames, 4, "draining hands over nothing more")
		h.answerAll()
		for range 4 {
			hear(t, other, "x")
		}
		require.NoError(t, client.Close())
		require.NoError(t, other.Close())
		require.NoError(t, <-drained)
	})
}

func TestPeerThatTakesNoAnswersIsCutWhenItsQueueIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &later{}
		p := open(t, h, func(c *Config) { c.MaxQueue = 64 })
		deaf, other := p.pipes.dial(), p.pipes.dial()
		for range 10 {
			_, err := deaf.Write(raw2([]byte("twenty bytes of text")))
			require.NoError(t, err)
		}
		synctest.Wait()
		errs := h.answerAll()
		require.ErrorIs(t, errs[len(errs)-1], ErrClosed)
		require.Contains(t, errs, ErrOverflow)
		synctest.Wait()
		p.requireClosed(t, CauseOverflow)
		_, err := other.Write(raw2([]byte("fine")))
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, []error{nil}, h.answerAll())
		hear(t, other, "fine")
	})
}

func TestStalledWriteIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, &echo{}, func(c *Config) { c.WriteTimeout = 10 * time.Second })
		c := p.pipes.dial()
		_, err := c.Write(raw2([]byte("never read")))
		require.NoError(t, err)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		p.requireClosed(t, CauseStalled)
	})
}

func TestConnectionsBeyondTheMaximumAreClosedAtOnceAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, &echo{}, func(c *Config) { c.MaxConns = 2 })
		one, two := p.pipes.dial(), p.pipes.dial()
		three := p.pipes.dial()
		requireEnd(t, three)
		require.Equal(t, 1.0, p.count("huanxin_wire_connections_refused_total"))
		ask(t, one, "a")
		ask(t, two, "b")
		require.NoError(t, one.Close())
		synctest.Wait()
		ask(t, p.pipes.dial(), "room again")
	})
}

func TestDrainGivesOwedAnswersAndReadsNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &later{}
		p := open(t, h, nil)
		busy, quiet := p.pipes.dial(), p.pipes.dial()
		_, err := busy.Write(raw2([]byte("owed")))
		require.NoError(t, err)
		synctest.Wait()
		drained := make(chan error, 1)
		go func() { drained <- p.Drain(context.Background()) }()
		synctest.Wait()
		requireEnd(t, quiet)
		require.NoError(t, quiet.Close())
		require.Equal(t, []error{nil}, h.answerAll())
		hear(t, busy, "owed")
		requireEnd(t, busy)
		_, err = busy.Write(raw2([]byte("too late")))
		require.NoError(t, err, "discarded, so that no reset overtakes the answer")
		require.NoError(t, busy.CloseWrite())
		require.NoError(t, <-drained)
		require.Empty(t, h.frames, "a frame after the drain is not accepted")
		require.Equal(t, 2.0, p.count("huanxin_wire_closes_total", "drained"))
	})
}

func TestDrainEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &later{}
		p := open(t, h, nil)
		c := p.pipes.dial()
		_, err := c.Write(raw2([]byte("owed")))
		require.NoError(t, err)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		require.ErrorIs(t, p.Drain(ctx), context.DeadlineExceeded)
		require.Equal(t, []error{ErrClosed}, h.answerAll())
	})
}

func TestFramesAreWipedAfterUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newDuplex()
		c, err := New(server, config(t, prometheus.NewRegistry()), &echo{})
		require.NoError(t, err)
		go c.Serve()
		for range 300 { // beyond one buffer, in pieces that straddle its end
			ask(t, client, "6224240000000017D3012")
		}
		synctest.Wait()
		require.NotContains(t, string(c.in), "6224")
		require.NotContains(t, string(c.spare[:cap(c.spare)]), "6224")
		require.NotContains(t, string(c.out[:cap(c.out)]), "6224")
		c.Close()
	})
}

func TestTLSServesAndRefusesOldVersions(t *testing.T) {
	secure, pool := certificate(t, nil)
	reg := prometheus.NewRegistry()
	cfg := config(t, reg)
	cfg.TLS = secure
	l, err := Listen(t.Context(), "127.0.0.1:0", cfg, &echo{})
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- l.Serve() }()

	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "localhost"})
	require.NoError(t, err)
	ask(t, c, "sealed")
	require.NoError(t, c.CloseWrite())
	requireEnd(t, c) // close_notify, not a cut
	_, err = tls.Dial("tcp", l.Addr().String(), &tls.Config{
		RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	require.Error(t, err)

	require.NoError(t, l.Drain(t.Context()))
	require.NoError(t, <-served)
	require.Equal(t, 1.0, count(reg, "huanxin_wire_closes_total", "peer"))
	require.Equal(t, 1.0, count(reg, "huanxin_wire_closes_total", "handshake"))
	require.Equal(t, 1.0, count(reg, "huanxin_wire_handshakes_total", "done"))
	require.Equal(t, 1.0, count(reg, "huanxin_wire_handshakes_total", "refused"))
}

func TestSilentTLSPeerIsCutAfterTheFrameTimeout(t *testing.T) {
	secure, _ := certificate(t, nil)
	synctest.Test(t, func(t *testing.T) {
		p := open(t, &echo{}, func(c *Config) { c.TLS, c.FrameTimeout = secure, 10*time.Second })
		p.pipes.dial()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		p.requireClosed(t, CauseHandshake)
		require.Equal(t, 1.0, p.count("huanxin_wire_handshakes_total", "timeout"))
	})
}

func TestHandshakeThatDoesNotEndHoldsUpNobody(t *testing.T) {
	secure, pool := certificate(t, nil)
	cfg := config(t, prometheus.NewRegistry())
	cfg.TLS = secure
	l, err := Listen(t.Context(), "127.0.0.1:0", cfg, &echo{})
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- l.Serve() }()
	for range 8 { // they have come first, and say nothing
		silent, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer silent.Close()
	}
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "localhost"})
	require.NoError(t, err)
	ask(t, c, "sealed")
	require.NoError(t, c.Close())
	l.Close()
	require.NoError(t, <-served)
}

// named answers with the identity of its peer.
type named struct{}

func (named) Frame(c *Conn, f Frame) bool {
	answer := c.Peer().Identity()
	if !c.Peer().Admits(f.Message) {
		answer += " refused"
	}
	return c.Send(raw2([]byte(answer))) == nil
}

func (named) Closed(*Conn, Cause) {}

func TestPeerIsWhoTheCertificateSays(t *testing.T) {
	var mine tls.Certificate
	secure, pool := certificate(t, func(ca *transporttest.Authority, cfg *transport.Config) {
		cfg.CA, cfg.Identity = ca.File, transport.ByCN
		cert, key, err := ca.Issue("till", transporttest.Subject{CN: "10016919"})
		require.NoError(t, err)
		mine, err = tls.LoadX509KeyPair(cert, key)
		require.NoError(t, err)
	})
	cfg := config(t, prometheus.NewRegistry())
	cfg.TLS = secure
	l, err := Listen(t.Context(), "127.0.0.1:0", cfg, named{})
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- l.Serve() }()
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "localhost", Certificates: []tls.Certificate{mine}})
	require.NoError(t, err)
	for terminal, want := range map[string]string{"10016919": "10016919", "10016918": "10016919 refused"} {
		_, err = c.Write(raw2([]byte(terminal)))
		require.NoError(t, err)
		hear(t, c, want)
	}
	require.NoError(t, c.Close())
	l.Close()
	require.NoError(t, <-served)
}

// certificate is the TLS of a port called localhost, and who vouches for it.
func certificate(t *testing.T, change func(*transporttest.Authority, *transport.Config)) (*transport.Server, *x509.CertPool) {
	t.Helper()
	ca, err := transporttest.New(t.TempDir(), "ca")
	require.NoError(t, err)
	cfg := transport.Config{Name: "port"}
	cfg.Certificate, cfg.Key, err = ca.Issue("server", transporttest.Subject{DNS: []string{"localhost"}})
	require.NoError(t, err)
	if change != nil {
		change(ca, &cfg)
	}
	secure, err := transport.NewServer(cfg)
	require.NoError(t, err)
	text, err := os.ReadFile(ca.File)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(text))
	return secure, pool
}

func TestConfigNamesTheFieldThatIsWrong(t *testing.T) {
	m, err := NewMetrics(prometheus.NewRegistry())
	require.NoError(t, err)
	good := Config{Name: "a", Framing: CUP, Metrics: m}
	_, err = good.withDefaults()
	require.NoError(t, err)
	for want, change := range map[string]func(*Config){
		"Name":        func(c *Config) { c.Name = "" },
		"Framing":     func(c *Config) { c.Framing = 0 },
		"Metrics":     func(c *Config) { c.Metrics = nil },
		"MaxFrame":    func(c *Config) { c.MaxFrame = 1 << 20 },
		"MaxInFlight": func(c *Config) { c.MaxInFlight = -1 },
		"MaxConns":    func(c *Config) { c.MaxConns = -1 },
		"MaxQueue":    func(c *Config) { c.MaxQueue = 100 },
		"time-out":    func(c *Config) { c.IdleTimeout = -1 },
	} {
		bad := good
		change(&bad)
		_, err := NewListener(newPipes(), bad, &echo{})
		require.ErrorIs(t, err, ErrConfig)
		require.ErrorContains(t, err, want)
	}
}

func TestMetricsAreRegisteredOnce(t *testing.T) {
	reg := prometheus.NewRegistry()
	_, err := NewMetrics(reg)
	require.NoError(t, err)
	_, err = NewMetrics(reg)
	require.Error(t, err)
}

// chunks is a peer that sends its bytes in pieces of the given sizes, then ends.
type chunks struct {
	net.Conn
	data  []byte
	sizes []byte
}

func (c *chunks) Read(b []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := len(c.data)
	if len(c.sizes) > 0 {
		n, c.sizes = min(n, 1+int(c.sizes[0])), c.sizes[1:]
	}
	n = copy(b, c.data[:n])
	c.data = c.data[n:]
	return n, nil
}
func (c *chunks) Write(b []byte) (int, error)      { return len(b), nil }
func (c *chunks) Close() error                     { return nil }
func (c *chunks) SetReadDeadline(time.Time) error  { return nil }
func (c *chunks) SetWriteDeadline(time.Time) error { return nil }

// FuzzConn: however a stream is cut into reads, the handler gets exactly the frames that the framing finds in the whole.
func FuzzConn(f *testing.F) {
	f.Add(byte(Raw2), append(raw2([]byte("one")), raw2([]byte("two"))...), []byte{0, 3, 1})
	f.Add(byte(CUP), []byte{0, 14, 0x60, 0, 3, 0, 0, 0x60, 0x31, 0, 0, 0, 0, 8, 0, 1, 0xFF}, []byte{})
	f.Add(byte(ASCII4), []byte("0002ab0000000Xcd"), []byte{5, 5, 5})
	f.Add(byte(NCC), []byte{0, 6, 0x60, 0, 0, 0, 0, 1, 0x99, 0x99}, []byte{1})
	m, err := NewMetrics(prometheus.NewRegistry())
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, framing byte, data, sizes []byte) {
		kind := CUP + Framing(framing)%(Raw4-CUP+1)
		var want [][]byte
		cause := CausePeer
		for rest := data; len(rest) > 0; {
			frame, n, err := kind.Next(rest, 2048)
			if err != nil || n == 0 {
				if cause = CauseTruncated; err != nil {
					cause = CauseGarbage
				}
				break
			}
			want = append(want, bytes.Clone(frame.Message))
			if rest = rest[n:]; bytes.Equal(frame.Message, []byte("refuse")) {
				cause = CauseRefused
				break
			}
		}
		h := &echo{}
		c, err := New(&chunks{data: data, sizes: sizes}, Config{
			Name: "fuzz", Framing: kind, MaxFrame: 2048, MaxQueue: 1 << 30, Metrics: m}, h)
		require.NoError(t, err)
		got := c.Serve()
		if got == CauseOversized {
			got = CauseGarbage
		}
		require.Equal(t, cause, got)
		require.Equal(t, len(want), len(h.frames))
		for i := range want {
			require.True(t, bytes.Equal(want[i], h.frames[i]), "frame %d", i)
		}
		require.Equal(t, []Cause{c.cause}, h.closed)
	})
}

// dropper answers nothing.
type dropper struct{ echo }

func (d *dropper) Frame(c *Conn, f Frame) bool {
	c.Expect()
	c.Forget()
	return d.echo.note(f)
}

func TestForgottenAnswerDoesNotKeepAHalfClosedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, &dropper{}, nil)
		c := p.pipes.dial()
		_, err := c.Write(raw2([]byte("no answer")))
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		requireEnd(t, c)
		synctest.Wait()
		p.requireClosed(t, CausePeer)
	})
}

func TestDialledConnectionHasTheSameLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := &dropper{}
		far, near := newDuplex()
		link, err := New(near, config(t, prometheus.NewRegistry()), answers)
		require.NoError(t, err)
		ended := make(chan Cause, 1)
		go func() { ended <- link.Serve() }()
		require.NoError(t, link.Send(raw2([]byte("request"))))
		hear(t, far, "request")
		_, err = far.Write(raw2([]byte("answer")))
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, [][]byte{[]byte("answer")}, answers.frames)
		link.Close()
		require.Equal(t, CauseClosed, <-ended)
		require.ErrorIs(t, link.Send(raw2([]byte("late"))), ErrClosed)
	})
}

func TestFramesOfAnySizeInPiecesOfAnySize(t *testing.T) {
	m, err := NewMetrics(prometheus.NewRegistry())
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 40), rapid.IntRange(900, 1100), rapid.IntRange(1, 20000)), 1, 20).
			Draw(t, "frame sizes")
		var stream []byte
		var want [][]byte
		for i, n := range sizes {
			frame := bytes.Repeat([]byte{byte('a' + i)}, n)
			want = append(want, frame)
			stream = append(stream, raw2(frame)...)
		}
		pieces := rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "piece sizes")
		h := &dropper{}
		c, err := New(&chunks{data: stream, sizes: pieces}, Config{Name: "test", Framing: Raw2, MaxFrame: 20002, Metrics: m}, h)
		require.NoError(t, err)
		require.Equal(t, CausePeer, c.Serve())
		require.Equal(t, want, h.frames)
		require.LessOrEqual(t, len(c.in), 20002)
		require.Equal(t, make([]byte, len(c.in)), c.in, "wiped")
	})
}
