package terminal

import (
	"context"
	"crypto/rand"
	"io"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
	"huanxin/switch/keys"
	"huanxin/switch/stage"
	"huanxin/switch/wire"
)

// realKeys replaces the fakes by switch/keys: hashing and sealing are most of the cost of a sale.
func realKeys(b testing.TB, cfg *Config) {
	set, err := keys.Generate(rand.Reader)
	require.NoError(b, err)
	cfg.Hasher, cfg.Vault = set.Hasher(), set.Vault()
}

// BenchmarkRequest is one message in place: parse, judge, hash, seal, submit, answer; without the network.
func BenchmarkRequest(b *testing.B) {
	for _, message := range []struct {
		name string
		fields
	}{{"echo", echo}, {"reserve", reserve}, {"sale", sale}, {"reversal", reversal}, {"refund", refund}, {"upload", upload}} {
		b.Run(message.name, func(b *testing.B) {
			cfg := testConfig(b, prometheus.NewRegistry())
			realKeys(b, &cfg)
			var front *Front
			var reply engine.Reply
			cfg.Submit = func(body any, _ stage.Instant) error {
				reply = engine.Reply{Token: tokenOf(body), Response: approved, At: testNow, Hold: 42, RRN: "516900000001"}
				return nil
			}
			front, err := New(cfg)
			require.NoError(b, err)
			p := front.ports[0]
			conn, err := wire.New(discard{}, p.wire(cfg.Metrics, nil), p)
			require.NoError(b, err)
			frame, _, err := wire.CUP.Next(frameOf(b, wire.CUP, encode(b, p.Codec, message.fields)), 0)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				p.Frame(conn, frame)
				front.Deliver(&reply)
				front.Flush()
			}
		})
	}
}

// discard takes everything that is written to it.
type discard struct{ net.Conn }

func (discard) Write(p []byte) (int, error)      { return len(p), nil }
func (discard) SetWriteDeadline(time.Time) error { return nil }
func (discard) Close() error                     { return nil }

// BenchmarkPipelined is the whole way over loopback TCP: 16 connections, up to 64 sales in flight on each, answered by
// another goroutine, as the server does.
func BenchmarkPipelined(b *testing.B) {
	const conns, window = 16, 64
	cfg := testConfig(b, prometheus.NewRegistry())
	realKeys(b, &cfg)
	queue := make(chan engine.Token, 1<<16)
	cfg.Submit = func(body any, _ stage.Instant) error { queue <- tokenOf(body); return nil }
	front, err := New(cfg)
	require.NoError(b, err)
	require.NoError(b, front.Listen(context.Background()))
	go func() { _ = front.Serve() }()
	defer front.Close()
	go func() {
		for token := range queue {
			front.Deliver(&engine.Reply{Token: token, Response: approved, At: testNow, RRN: "516900000001"})
			if len(queue) == 0 {
				front.Flush()
			}
		}
	}()
	frame := frameOf(b, wire.CUP, encode(b, front.ports[0].Codec, sale))
	burst := make([]byte, 0, window*len(frame))
	for range window {
		burst = append(burst, frame...)
	}
	answer := answerSize(b, front, frame)
	b.ResetTimer()
	ended := make(chan error, conns)
	for range conns {
		go func() { ended <- pump(front.Addr("cup").String(), burst, window*answer, b.N/conns/window+1) }()
	}
	for range conns {
		require.NoError(b, <-ended)
	}
	b.ReportMetric(float64(conns*window*(b.N/conns/window+1))/b.Elapsed().Seconds(), "msgs/s")
}

func answerSize(b *testing.B, front *Front, frame []byte) int {
	c, err := net.Dial("tcp", front.Addr("cup").String())
	require.NoError(b, err)
	defer c.Close()
	_, err = c.Write(frame)
	require.NoError(b, err)
	require.NoError(b, c.(*net.TCPConn).CloseWrite())
	got, err := io.ReadAll(c)
	require.NoError(b, err)
	return len(got)
}

func pump(address string, burst []byte, answers, rounds int) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	got := make([]byte, answers)
	for range rounds {
		if _, err := c.Write(burst); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, got); err != nil {
			return err
		}
	}
	return nil
}
