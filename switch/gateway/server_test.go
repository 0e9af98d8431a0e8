package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serveOn serves over TCP until the test ends.
func serveOn(t *testing.T, cfg ServerConfig, g *Gateway) (s *Server, address string, served chan error) {
	s, err := NewServer(cfg, g)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served = make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, l.Addr().String(), served
}

// sent writes text to a fresh connection, which half is closed when the text is all there will be, and returns everything that
// comes back until the server closes.
func sent(t *testing.T, address, text string, half bool) string {
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	if half {
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	}
	answer, err := io.ReadAll(conn) // a reset would show that what came before it can be lost
	require.NoError(t, err)
	return string(answer)
}

func TestServerAnswersOverTCP(t *testing.T) {
	b := newBench(t, exchange{reply: claimed(1)})
	_, address, served := serveOn(t, ServerConfig{}, b.g)
	r := claimRequest(claimBody)
	r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", address
	answer, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, 201, answer.StatusCode)
	require.Empty(t, answer.Header.Values("Server"))
	require.Empty(t, served)
}

func TestSlowBodyIsCutOff(t *testing.T) {
	b := newBench(t)
	_, address, _ := serveOn(t, ServerConfig{ReadTimeout: time.Second}, b.g)
	answer := sent(t, address, fmt.Sprintf("POST /v1/entitlements HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", sampleToken), false)
	require.Contains(t, answer, "HTTP/1.1 408 ")
	require.Contains(t, answer, string(codeSlowBody))
	require.Equal(t, 1.0, counted(t, b.g.metrics.unreadable))
}

// A proxy in front and this server must see the same requests in the same bytes: where they might not, the connection ends.
func TestAmbiguousFramingIsRefusedAndEndsTheConnection(t *testing.T) {
	const head = "POST /v1/entitlements HTTP/1.1\r\nHost: x\r\n"
	const second = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, text := range map[string]string{
		"two lengths":                head + "Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
		"negative length":            head + "Content-Length: -1\r\n\r\n",
		"length with a sign":         head + "Content-Length: +3\r\n\r\nabc",
		"length beyond all numbers":  head + "Content-Length: 18446744073709551617\r\n\r\na",
		"no length":                  head + "Content-Length: \r\n\r\n",
		"unknown coding":             head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"two codings":                head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"coding in HTTP/1.0":         "POST /v1/entitlements HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"blank before the colon":     head + "Content-Length : 3\r\n\r\nabc",
		"name of nothing":            head + ": x\r\n\r\n",
		"carriage return in a value": head + "X-A: 1\rContent-Length: 3\r\n\r\n",
		"zero byte in a value":       head + "X-A: 1\x002\r\n\r\n",
		"chunk with a bad size":      head + "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
		"chunk size with a line end": head + "Transfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n",
		"no HTTP":                    "\x16\x03\x01\x02\x00 hello\r\n\r\n",
		"header too large":           head + "X-A: " + strings.Repeat("a", maxHeader) + "\r\n\r\n",
		"body that ends early":       head + "Content-Length: 10\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			_, address, _ := serveOn(t, ServerConfig{}, b.g)
			if name != "body that ends early" {
				text += second
			}
			answer := sent(t, address, text, true)
			require.True(t, strings.HasPrefix(answer, "HTTP/1.1 400 "), answer)
			require.Contains(t, answer, string(codeUnreadable))
			require.Equal(t, 1, strings.Count(answer, "HTTP/1.1 "), answer)
			require.Equal(t, 1.0, counted(t, b.g.metrics.unreadable))
		})
	}
}

// RFC 9112, 6.3: the coding counts, and what follows on that connection is not trusted.
func TestRequestWithBothLengthsIsTheLastOfItsConnection(t *testing.T) {
	b := newBench(t)
	_, address, _ := serveOn(t, ServerConfig{}, b.g)
	answer := sent(t, address, "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", true)
	require.True(t, strings.HasPrefix(answer, "HTTP/1.1 404 "), answer)
	require.Equal(t, 1, strings.Count(answer, "HTTP/1.1 "), answer)
}

func TestBodyBeyondTheLimitIsRefusedUnread(t *testing.T) {
	b := newBench(t)
	_, address, _ := serveOn(t, ServerConfig{}, b.g)
	answer := sent(t, address, "POST /v1/entitlements HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n", false)
	require.True(t, strings.HasPrefix(answer, "HTTP/1.1 413 "), answer)
	require.Contains(t, answer, "at most 16384 bytes")
}

func TestBodyBeyondTheLimitIsRefusedThoughItIsSent(t *testing.T) {
	b := newBench(t)
	_, address, _ := serveOn(t, ServerConfig{}, b.g)
	answer := sent(t, address, "POST /v1/entitlements HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n"+strings.Repeat("x", 40000), true)
	require.True(t, strings.HasPrefix(answer, "HTTP/1.1 413 "), answer)
}

func TestRequestsThatNobodyNeedsAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no host":    "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
		"HTTP/2":     "GET /healthz HTTP/2.0\r\nHost: x\r\nConnection: close\r\n\r\n",
		"a trailer":  "POST /v1/entitlements HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: Idempotency-Key\r\n\r\n0\r\nIdempotency-Key: a\r\n\r\n",
		"undeclared": "POST /v1/entitlements HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nIdempotency-Key: a\r\n\r\n",
	} {
		b := newBench(t)
		_, address, _ := serveOn(t, ServerConfig{}, b.g)
		answer := sent(t, address, text, true)
		require.True(t, strings.HasPrefix(answer, "HTTP/1.1 400 "), "%s: %s", name, answer)
		require.Contains(t, answer, string(codeUnreadable), name)
	}
}

// noDescriptors has no descriptor at first.
type noDescriptors struct {
	countingListener
	left int
}

func (l *noDescriptors) Accept() (net.Conn, error) {
	if l.left > 0 {
		l.left--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.countingListener.Accept()
}

func TestServerThatIsOutOfDescriptorsGoesOn(t *testing.T) {
	l := newBoundedListener(&noDescriptors{left: 3}, 1)
	conn, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, conn.Close())

	l = newBoundedListener(&noDescriptors{left: 1 << 30}, 1)
	require.NoError(t, l.Close())
	_, err = l.accept()
	require.ErrorIs(t, err, net.ErrClosed, "not longer than it is wanted")
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	b := newBench(t)
	_, address, _ := serveOn(t, ServerConfig{}, b.g)
	answer := sent(t, address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nHEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", true)
	in := bufio.NewReader(strings.NewReader(answer))
	for _, want := range []struct {
		method string
		status int
		body   string
	}{{"GET", 200, "ok"}, {"HEAD", 200, ""}, {"GET", 404, string(codeNoSuchPath)}} {
		got, err := http.ReadResponse(in, &http.Request{Method: want.method})
		require.NoError(t, err)
		require.Equal(t, want.status, got.StatusCode)
		body, err := io.ReadAll(got.Body)
		require.NoError(t, err)
		require.Contains(t, string(body), want.body)
		require.Equal(t, want.body == "", len(body) == 0)
	}
}

// countingListener accepts at once and counts.
type countingListener struct{ accepted, closed int }

func (l *countingListener) Accept() (net.Conn, error) {
	l.accepted++
	server, client := net.Pipe()
	return server, client.Close()
}
func (l *countingListener) Close() error   { l.closed++; return nil }
func (l *countingListener) Addr() net.Addr { return nil }

func TestNoConnectionIsAcceptedBeyondTheBound(t *testing.T) {
	inner := &countingListener{}
	l := newBoundedListener(inner, 2)
	first, err := l.Accept()
	require.NoError(t, err)
	_, err = l.Accept()
	require.NoError(t, err)
	require.NoError(t, first.Close())
	require.NoError(t, first.Close(), "closing twice frees one place, not two")
	_, err = l.Accept()
	require.NoError(t, err)
	require.Equal(t, 3, inner.accepted)

	// All places are taken: a further Accept can only wait, so once the listener is closed it must report that.
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	for range 20 {
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	}
	require.Equal(t, 3, inner.accepted)
}

func TestCloseEndsEveryConnection(t *testing.T) {
	b := newBench(t)
	s, address, served := serveOn(t, ServerConfig{}, b.g)
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, 200, answer.StatusCode)
	require.NoError(t, s.Close())
	require.NoError(t, <-served)
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
}

func TestShutdownWaitsForTheRequestInFlight(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	b := newBenchWith(t, func(c *Config) {
		c.Submit = func(any) error {
			close(entered)
			<-leave
			return errors.New("enough")
		}
	})
	s, address, served := serveOn(t, ServerConfig{}, b.g)
	answered := make(chan error, 1)
	go func() {
		r := request("GET", "/v1/entitlements/E000000000001", "")
		r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", address
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			err = answer.Body.Close()
		}
		answered <- err
	}()
	<-entered
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	require.NoError(t, <-served)
	close(leave)
	require.NoError(t, <-answered)
	require.NoError(t, <-down)
}

func TestServerThatHasEndedServesNobody(t *testing.T) {
	for name, end := range map[string]func(*Server) error{
		"close": (*Server).Close, "shutdown": func(s *Server) error { return s.Shutdown(context.Background()) },
	} {
		s, err := NewServer(ServerConfig{}, newBench(t).g)
		require.NoError(t, err)
		require.NoError(t, end(s), name)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, s.Serve(l), name)
		require.ErrorIs(t, l.Close(), net.ErrClosed, name)
	}
}

func TestServerConfigIsChecked(t *testing.T) {
	_, err := NewServer(ServerConfig{ReadTimeout: -1}, newBench(t).g)
	require.Error(t, err)
}
