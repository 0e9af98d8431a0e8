package terminal

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"huanxin/switch/stage"
	"huanxin/switch/wire"
)

// What came before anybody read it is handed over with the instant of its arrival, so that the server can tell that its terminal has
// given it up. The kernel may take a moment to hand it over; were it as old as its reading, it would never be older than the serving.
func TestRequestThatWaitedInItsSocketIsHandedOverWithItsAge(t *testing.T) {
	times, err := stage.New(nil)
	require.NoError(t, err)
	older := func() bool {
		submitted := make(chan stage.Instant, 1)
		cfg := testConfig(t, prometheus.NewRegistry())
		cfg.Stages = times
		cfg.Submit = func(_ any, arrived stage.Instant) error { submitted <- arrived; return nil }
		front, err := New(cfg)
		require.NoError(t, err)
		require.NoError(t, front.Listen(context.Background()))
		conn, err := net.Dial("tcp", front.Addr("cup").String())
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write(frameOf(t, wire.CUP, encode(t, cfg.Ports[0].Codec, reserve)))
		require.NoError(t, err)
		before := times.Now()
		served := make(chan error, 1)
		go func() { served <- front.Serve() }()
		at := <-submitted
		front.Close()
		require.NoError(t, <-served)
		return at < before
	}
	require.Eventually(t, older, time.Minute, time.Millisecond)
}
