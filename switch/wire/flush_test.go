package wire

import (
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// tcpConn is a served TCP connection and the peer's end of it. The sockets take little at a time.
func tcpConn(t *testing.T, h Handler) (c *Conn, peer *net.TCPConn, ended <-chan Cause) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { dialled.Close() })
	accepted, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, accepted.(*net.TCPConn).SetWriteBuffer(4<<10))
	metrics, err := NewMetrics(prometheus.NewRegistry())
	require.NoError(t, err)
	c, err = New(accepted, Config{Name: "test", Framing: Raw2, Metrics: metrics, MaxQueue: 8 << 20}, h)
	require.NoError(t, err)
	cause := make(chan Cause, 1)
	go func() { cause <- c.Serve() }()
	return c, dialled.(*net.TCPConn), cause
}

// Far more is flushed than the socket takes: what is left is written later, in its order, with what comes meanwhile.
func TestFlushWritesEverythingInOrderThoughTheSocketTakesAPart(t *testing.T) {
	c, peer, ended := tcpConn(t, &later{})
	const frames, size = 4000, 1000
	sent := make(chan error, 1)
	go func() {
		for i := range frames {
			message := make([]byte, size)
			binary.BigEndian.PutUint32(message, uint32(i))
			c.Expect()
			if _, err := c.AnswerLater(raw2(message)); err != nil {
				sent <- err
				return
			}
			if i%7 == 0 {
				c.Flush()
			}
		}
		c.Flush()
		sent <- nil
	}()
	require.NoError(t, <-sent)
	got := make([]byte, 2+size)
	for i := range frames {
		_, err := io.ReadFull(peer, got)
		require.NoError(t, err)
		require.Equal(t, uint32(i), binary.BigEndian.Uint32(got[2:]))
	}
	require.NoError(t, peer.CloseWrite())
	require.Equal(t, CausePeer, <-ended)
}

func TestFlushOfAConnectionThatIsGoneEndsIt(t *testing.T) {
	c, peer, ended := tcpConn(t, &later{})
	require.NoError(t, peer.SetLinger(0))
	require.NoError(t, peer.Close())
	<-ended
	c.Expect()
	_, err := c.AnswerLater(raw2([]byte("late")))
	require.ErrorIs(t, err, ErrClosed)
	c.Flush()
}

func TestOnlyTheFirstAnswerOwesAFlush(t *testing.T) {
	c, _, _ := tcpConn(t, &later{})
	for _, want := range []bool{true, false} {
		c.Expect()
		first, err := c.AnswerLater(raw2([]byte("answer")))
		require.NoError(t, err)
		require.Equal(t, want, first)
	}
	c.Flush()
	c.Expect()
	first, err := c.AnswerLater(raw2([]byte("answer")))
	require.NoError(t, err)
	require.True(t, first)
	c.Close()
}
