package gateway

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/switch/limit"
)

func TestAddressThatAsksTooOftenGets429(t *testing.T) {
	b := newBenchWith(t, func(c *Config) {
		c.Limits = Limits{Sources: limit.NewSources(nil), Requests: limit.NewTable(limit.Rate{PerSecond: 1, Burst: 1}, 64)}
		c.Clock = func() time.Time { return time.Unix(1_800_000_000, 0) }
	}, exchange{reply: claimed(1)})
	require.Equal(t, http.StatusCreated, b.do(claimRequest(claimBody)).Code)
	w := b.do(claimRequest(claimBody))
	requireProblem(t, w, codeTooMany)
	require.Equal(t, retryAfter, w.Header().Get("Retry-After"))
	health, err := http.NewRequest(http.MethodGet, "/healthz", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, b.do(health).Code, "whoever watches the switch is never refused")
}

func TestCallerThatAsksTooOftenGets429AndOthersDoNot(t *testing.T) {
	b := newBenchWith(t, func(c *Config) {
		c.Limits = Limits{Sources: limit.NewSources(nil), Callers: limit.NewTable(limit.Rate{PerSecond: 1, Burst: 1}, 64)}
		c.Clock = func() time.Time { return time.Unix(1_800_000_000, 0) }
	}, exchange{reply: claimed(1)}, exchange{reply: claimed(2)})
	require.Equal(t, http.StatusCreated, b.do(claimRequest(claimBody)).Code)
	requireProblem(t, b.do(claimRequest(claimBody)), codeTooMany)
	other := claimRequest(claimBody)
	other.Header.Set("Authorization", "Bearer "+otherToken)
	require.Equal(t, http.StatusCreated, b.do(other).Code)
}

func TestAddressWithTooManyConnectionsIsClosedAtOnce(t *testing.T) {
	b := newBenchWith(t, func(c *Config) { c.Limits = Limits{Sources: limit.NewSources(nil), Open: limit.NewHolders(1)} })
	_, address, _ := serveOn(t, ServerConfig{}, b.g)
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	alive := func(conn net.Conn) error {
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		_, err := conn.Read(make([]byte, 4))
		return err
	}
	first := dial()
	require.NoError(t, alive(first))
	require.Error(t, alive(dial()))
	require.NoError(t, alive(first))
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool { return alive(dial()) == nil }, time.Minute, time.Millisecond)
}

// A slow-loris of HTTP sends a byte a moment and never ends its header.
func TestSlowLorisOfHTTPIsCutOff(t *testing.T) {
	b := newBench(t)
	_, address, _ := serveOn(t, ServerConfig{ReadTimeout: 200 * time.Millisecond}, b.g)
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, conn)
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for sent := 0; ; sent++ {
		select {
		case <-ended:
			require.Less(t, sent, 10_000)
			return
		case <-tick.C:
			_, _ = io.WriteString(conn, "G")
		}
	}
}
