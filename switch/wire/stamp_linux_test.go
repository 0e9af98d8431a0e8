package wire

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"huanxin/switch/stage"
)

// holding is a handler that is busy with the first message until it may go on, and tells when the second had arrived.
type holding struct {
	busy, goOn chan struct{}
	arrived    chan stage.Instant
}

func (h *holding) Frame(c *Conn, f Frame) bool {
	if string(f.Message) == "first" {
		h.busy <- struct{}{}
		<-h.goOn
		return true
	}
	h.arrived <- c.ArrivedAt()
	return true
}

func (h *holding) Closed(*Conn, Cause) {}

// A message that came while its connection was not read is as old as it is. The kernel may take a moment to hand it over, so that it
// is seen at the first try or at a later one; without stamps it never is.
func TestMessageIsAsOldAsItsArrivalAndNotAsItsReading(t *testing.T) {
	secure, pool := certificate(t, nil)
	for name, dial := range map[string]func(string) (net.Conn, error){
		"plain": func(address string) (net.Conn, error) { return net.Dial("tcp", address) },
		"TLS": func(address string) (net.Conn, error) {
			return tls.Dial("tcp", address, &tls.Config{RootCAs: pool, ServerName: "localhost"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			times, err := stage.New(nil)
			require.NoError(t, err)
			h := &holding{busy: make(chan struct{}), goOn: make(chan struct{}), arrived: make(chan stage.Instant)}
			cfg := config(t, prometheus.NewRegistry())
			if cfg.Stages = times; name == "TLS" {
				cfg.TLS = secure
			}
			l, err := Listen(context.Background(), "127.0.0.1:0", cfg, h)
			require.NoError(t, err)
			served := make(chan error, 1)
			go func() { served <- l.Serve() }()
			defer func() { l.Close(); require.NoError(t, <-served) }()
			peer, err := dial(l.Addr().String())
			require.NoError(t, err)
			defer peer.Close()
			send := func(text string) {
				_, err := peer.Write(raw2([]byte(text)))
				require.NoError(t, err)
			}
			require.Eventually(t, func() bool {
				send("first")
				<-h.busy
				sent := times.Now()
				send("second")
				before := times.Now()
				h.goOn <- struct{}{}
				arrived := <-h.arrived
				require.Greater(t, arrived, sent-stage.Instant(20*time.Millisecond), "and no older, but for what two clocks differ by")
				return arrived < before
			}, time.Minute, time.Millisecond)
		})
	}
}

func stampOf(at time.Time) (notes [stampSize]byte) {
	binary.NativeEndian.PutUint64(notes[0:], stampSize)
	binary.NativeEndian.PutUint32(notes[stampLevel:], syscall.SOL_SOCKET)
	binary.NativeEndian.PutUint32(notes[stampKind:], syscall.SO_TIMESTAMPNS)
	binary.NativeEndian.PutUint64(notes[stampTime:], uint64(at.Unix()))
	binary.NativeEndian.PutUint64(notes[stampTime+8:], uint64(at.Nanosecond()))
	return notes
}

func TestClockThatWasSetMakesNoMessageOlderThanTheSocketWasEmpty(t *testing.T) {
	hour := stage.Instant(time.Hour)
	read := func(s *stamped, emptied bool, at time.Time) {
		s.fresh, s.emptied, s.noted, s.notes = true, emptied, stampSize, stampOf(at)
	}
	var s stamped
	read(&s, false, time.Now().Add(-time.Hour))
	got := s.arrivedAt(10 * hour)
	require.InDelta(t, int64(9*hour), int64(got), float64(time.Minute))
	require.Equal(t, got, s.arrivedAt(11*hour), "TLS had more of the same bytes")

	read(&s, true, time.Now())
	emptied := s.arrivedAt(20 * hour)
	read(&s, false, time.Now().Add(-time.Hour))
	require.Equal(t, emptied, s.arrivedAt(20*hour+7), "it has come since")
	read(&s, true, time.Now().Add(-time.Hour))
	require.Equal(t, emptied, s.arrivedAt(20*hour+hour/4), "and so has what was left")

	read(&s, true, time.Now().Add(time.Hour))
	require.Equal(t, 40*hour, s.arrivedAt(40*hour), "nothing comes from the future")
	read(&s, true, time.Unix(0, 0))
	s.noted = 0
	require.Equal(t, 50*hour, s.arrivedAt(50*hour), "a kernel that stamps nothing")
	read(&s, true, time.Unix(0, 0))
	s.notes[stampKind]++
	require.Equal(t, 60*hour, s.arrivedAt(60*hour), "another note")
}

func TestReadWithAStampAllocatesNothing(t *testing.T) {
	cfg := net.ListenConfig{Control: stampSockets}
	nl, err := cfg.Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer nl.Close()
	peer, err := net.Dial("tcp", nl.Addr().String())
	require.NoError(t, err)
	defer peer.Close()
	nc, err := nl.Accept()
	require.NoError(t, err)
	defer nc.Close()
	s, err := newStamped(nc.(*net.TCPConn))
	require.NoError(t, err)
	out, in := make([]byte, 100), make([]byte, 200)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := peer.Write(out); err != nil {
			panic(err)
		}
		if _, err := s.Read(in); err != nil {
			panic(err)
		}
		s.arrivedAt(1 << 60)
	}))
	require.Equal(t, stampSize, s.noted, "this kernel stamps")
}
