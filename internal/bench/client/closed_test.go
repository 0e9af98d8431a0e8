package client

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/internal/bench/seed"
)

// serve answers whatever comes with what reply makes of it.
func serve(t *testing.T, reply func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				reply(nc.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String()
}

func echoes(t *testing.T, persons uint64, slots int) *Reserves {
	r, err := NewReserves(ReserveConfig{Codec: cup(t), Slots: slots, Persons: NewNumbers(0, persons), Barcodes: seed.Programme{}.Barcodes(1), Echo: true})
	require.NoError(t, err)
	return r
}

func TestEveryRequestOfARunIsAnswered(t *testing.T) {
	address := serve(t, func(nc *net.TCPConn) { _, _ = io.Copy(nc, nc) })
	loop := Closed{Address: address, Connections: 3, InFlight: 4, Script: echoes(t, 1<<40, 12), Duration: 50 * time.Millisecond}
	run, err := loop.Run(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, run.All, run.Answers)
	require.Positive(t, run.PerSecond())
	require.Equal(t, run.All, run.Latencies.Count())
	require.False(t, run.Exhausted)
}

func TestRunEndsWhenNothingIsLeftToAsk(t *testing.T) {
	address := serve(t, func(nc *net.TCPConn) { _, _ = io.Copy(nc, nc) })
	persons := NewNumbers(0, 5000)
	script, err := NewReserves(ReserveConfig{Codec: cup(t), Slots: 8, Persons: persons, Barcodes: seed.Programme{}.Barcodes(1), Echo: true})
	require.NoError(t, err)
	run, err := (&Closed{Address: address, Connections: 2, InFlight: 4, Script: script, Duration: time.Hour}).Run(t.Context())
	require.NoError(t, err)
	require.True(t, run.Exhausted)
	require.Equal(t, uint64(5000), run.All)
	require.Equal(t, uint64(5000), persons.Taken())
}

func TestWrongAndMissingAnswersMakeARunVoid(t *testing.T) {
	for name, reply := range map[string]func(*net.TCPConn){
		"flipped": func(nc *net.TCPConn) {
			b := make([]byte, 4096)
			n, _ := nc.Read(b)
			b[n-1] ^= 1
			_, _ = nc.Write(b[:n])
			_, _ = io.Copy(io.Discard, nc)
		},
		"twice": func(nc *net.TCPConn) {
			b := make([]byte, 4096)
			n, _ := nc.Read(b)
			_, _ = nc.Write(append(b[:n:n], b[:n]...))
			_, _ = io.Copy(io.Discard, nc)
		},
		"lost": func(nc *net.TCPConn) { _, _ = nc.Read(make([]byte, 4096)) },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&Closed{Address: serve(t, reply), Connections: 1, InFlight: 2, Script: echoes(t, 1<<40, 2), Duration: time.Hour}).Run(t.Context())
			require.Error(t, err)
		})
	}
}
