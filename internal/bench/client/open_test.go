package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnOpenLoopIsAnsweredWhollyAndCountsAfterItsWarmUp(t *testing.T) {
	address := serve(t, func(nc *net.TCPConn) { _, _ = io.Copy(nc, nc) })
	loop := Open{
		Address: address, Connections: 3, InFlight: 2, Script: echoes(t, 1<<40, 6), Rate: 5000, WarmUp: 20 * time.Millisecond,
		Duration: 100 * time.Millisecond,
	}
	run, err := loop.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(600), run.Asked)
	require.InDelta(t, 500, run.Latencies.Count(), 1)
	require.Equal(t, run.Latencies.Count(), run.Sent.Count())
	require.LessOrEqual(t, run.Sent.Max(), run.Latencies.Max(), "nothing is sent before it is due")
	require.GreaterOrEqual(t, run.WorstAt, time.Duration(0))
}

func TestAnOpenLoopEndsWithWhatIsWrong(t *testing.T) {
	address := serve(t, func(nc *net.TCPConn) { _, _ = nc.Read(make([]byte, 4096)) })
	_, err := (&Open{Address: address, Connections: 1, InFlight: 1, Script: echoes(t, 1<<40, 1), Rate: 1000, Duration: time.Second}).Run(t.Context())
	require.ErrorIs(t, err, ErrLost)

	address = serve(t, func(nc *net.TCPConn) { _, _ = io.Copy(nc, nc) })
	_, err = (&Open{Address: address, Connections: 1, InFlight: 1, Script: echoes(t, 3, 1), Rate: 10_000, Duration: time.Second}).Run(t.Context())
	require.ErrorIs(t, err, ErrExhausted)
}

func TestARequestThatWaitsForASlotCountsFromWhenItWasDue(t *testing.T) {
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close() })
	go func() { _, _ = io.Copy(io.Discard, far) }()
	start := time.Unix(1000, 0)
	script := echoes(t, 10, 1)
	l := newOpenLine(&openLoop{counted: start}, near, script, 0, 1)
	_, err := l.due(start)
	require.NoError(t, err)
	_, err = l.due(start.Add(time.Millisecond))
	require.NoError(t, err)
	require.Equal(t, uint64(1), l.waited)

	answer := func(now time.Time) {
		n := copy(l.in.room(), script.slots[0].frame)
		l.in.arrived(n)
		require.NoError(t, l.hear(now))
	}
	answer(start.Add(100 * time.Millisecond))
	answer(start.Add(101 * time.Millisecond))
	require.Equal(t, uint64(2), l.latencies.Count())
	require.Equal(t, 100*time.Millisecond, l.latencies.Max())
	require.GreaterOrEqual(t, l.latencies.Percentile(100), 99*time.Millisecond, "the second was sent after the first was answered, and is as late")
	require.Equal(t, int64(time.Millisecond), l.loop.stall.longest.Load())
}

func TestPaceFiresEveryInstantOnceAndNoneEarly(t *testing.T) {
	start := time.Now()
	var fired []uint64
	flushed := 0
	err := pace(t.Context(), start, 10_000, 50*time.Millisecond, func(n uint64, due time.Time) error {
		require.False(t, due.After(time.Now()))
		require.Equal(t, start.Add(time.Duration(n)*100*time.Microsecond), due)
		fired = append(fired, n)
		return nil
	}, func() error { flushed++; return nil })
	require.NoError(t, err)
	require.Len(t, fired, 500)
	require.Equal(t, uint64(499), fired[499])
	require.Positive(t, flushed)

	broken := errors.New("broken")
	require.ErrorIs(t, pace(t.Context(), start, 1, time.Second, func(uint64, time.Time) error { return broken }, nil), broken)
}

func TestEveryClaimOfARushIsAnotherAndIsAnswered(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen[r.Header.Get("Idempotency-Key")+string(body)] = true
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprintf(w, `{"reasons":["BUDGET_EXHAUSTED"],"of":%q}`, r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	rush := Claims{
		Address: strings.TrimPrefix(server.URL, "http://"), Token: "secret", Connections: 3, Rate: 5000, Duration: 40 * time.Millisecond,
		First: 7, Category: "A04", City: "210100", Channel: "store", Status: http.StatusUnprocessableEntity, Reason: "BUDGET_EXHAUSTED",
	}
	run, err := rush.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(200), run.Answered)
	require.Equal(t, uint64(200), run.Latencies.Count())
	require.Len(t, seen, 200)

	rush.Status = http.StatusCreated
	_, err = rush.Run(t.Context())
	require.ErrorContains(t, err, "want 201")
}

func TestAnswersAreReadOnlyWhenTheyAreWhole(t *testing.T) {
	const whole = "HTTP/1.1 201 Created\r\nContent-Type: x\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1"
	for n := range len(whole) - len("HTTP/1.1") {
		_, _, size, err := readAnswer([]byte(whole[:n]))
		require.NoError(t, err)
		require.Zero(t, size)
	}
	status, body, size, err := readAnswer([]byte(whole))
	require.NoError(t, err)
	require.Equal(t, 201, status)
	require.Equal(t, "hello", string(body))
	require.Equal(t, len(whole)-len("HTTP/1.1"), size)
	for _, bad := range []string{"SIP/2.0 200 OK\r\n\r\n", "HTTP/1.1 xx\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"} {
		_, _, _, err := readAnswer([]byte(bad))
		require.Error(t, err, bad)
	}
}
