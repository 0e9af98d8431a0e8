package gateway

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func serveOn(t *testing.T, cfg ServerConfig, handler http.Handler) string {
	s, err := NewServer(cfg, handler)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return l.Addr().String()
}

func TestServerAnswersOverTCP(t *testing.T) {
	b := newBench(t, exchange{reply: claimed(1)})
	address := serveOn(t, ServerConfig{}, b.g.Handler())
	r := claimRequest(claimBody)
	r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", address
	answer, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, 201, answer.StatusCode)
}

func TestSlowBodyIsCutOff(t *testing.T) {
	b := newBench(t)
	address := serveOn(t, ServerConfig{ReadTimeout: time.Second}, b.g.Handler())
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /v1/entitlements HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", sampleToken)
	require.NoError(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestTimeout, answer.StatusCode)
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

func TestShutdownWaitsForTheRequestInFlight(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s, err := NewServer(ServerConfig{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-leave
	}))
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	answered := make(chan error, 1)
	go func() {
		answer, err := http.Get("http://" + l.Addr().String())
		if err == nil {
			err = answer.Body.Close()
		}
		answered <- err
	}()
	<-entered
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	require.ErrorIs(t, <-served, http.ErrServerClosed)
	close(leave)
	require.NoError(t, <-answered)
	require.NoError(t, <-down)
}

func TestServerConfigIsChecked(t *testing.T) {
	_, err := NewServer(ServerConfig{ReadTimeout: -1}, http.NotFoundHandler())
	require.Error(t, err)
}
