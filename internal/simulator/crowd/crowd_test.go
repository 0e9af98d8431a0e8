package crowd

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The server closes whoever has said three bytes.
func TestCrowdStaysAndLorisesComeBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	var closed atomic.Int64
	many := make(chan struct{})
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				for n := 0; n < 3; {
					k, err := nc.Read(make([]byte, 3))
					if n += k; err != nil {
						return
					}
				}
				if closed.Add(1) == 6 {
					close(many)
				}
			}()
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	c := Crowd{Address: l.Addr().String(), Idle: 5, Loris: 2, HTTP: l.Addr().String(), HTTPLoris: 1, Pause: time.Millisecond}
	came := false
	go func() {
		<-many
		cancel()
	}()
	r, err := c.Run(ctx, func() { came = true })
	require.NoError(t, err)
	require.True(t, came)
	require.Equal(t, 5, r.Idle)
	require.GreaterOrEqual(t, r.Cut, uint64(3))
}
