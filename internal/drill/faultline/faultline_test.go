package faultline

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo answers every connection with what it is sent.
func echo(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c) // whatever ends it, the test sees the other side
			}()
		}
	}()
	return l
}

func open(t *testing.T) *Line {
	t.Helper()
	l, err := New("tcp", echo(t, "tcp", "127.0.0.1:0").Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func dial(t *testing.T, l *Line) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Address())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	// A bound for a test that hangs; no verdict depends on it.
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return c
}

func passes(t *testing.T, c net.Conn) {
	t.Helper()
	said := []byte("0200 and some more")
	_, err := c.Write(said)
	require.NoError(t, err)
	heard := make([]byte, len(said))
	_, err = io.ReadFull(c, heard)
	require.NoError(t, err)
	require.Equal(t, said, heard)
}

func TestSoundLinePassesEverythingAndTheEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	said := bytes.Repeat([]byte("0200"), 1<<18)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Write(said) // what is missing fails the comparison
		c.Close()
	}()
	line, err := New("tcp", l.Addr().String())
	require.NoError(t, err)
	defer line.Close()
	heard, err := io.ReadAll(dial(t, line))
	require.NoError(t, err)
	require.True(t, bytes.Equal(said, heard))
}

func TestLineLeadsToAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	echo(t, "unix", path)
	l, err := New("unix", path)
	require.NoError(t, err)
	defer l.Close()
	passes(t, dial(t, l))
}

func TestFaultsThatOnlyDelayLoseNothing(t *testing.T) {
	l := open(t)
	c := dial(t, l)
	passes(t, c)
	for _, s := range []Stream{Out, In} {
		require.NoError(t, l.Impose(Delay(s, 20*time.Millisecond, 10*time.Millisecond), Narrow(s, 64), Slice(s, 4, time.Millisecond),
			HangUpLate(s, 50*time.Millisecond)))
	}
	passes(t, c)
	passes(t, dial(t, l))
	require.NoError(t, l.Heal(t.Context()))
	passes(t, c)
}

func TestBreakResetsAConnectionInUse(t *testing.T) {
	l := open(t)
	c := dial(t, l)
	passes(t, c)
	l.Break()
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	passes(t, dial(t, l))
}

func TestSwallowLeavesTheConnectionOpenUntilItIsHealed(t *testing.T) {
	l := open(t)
	c := dial(t, l)
	passes(t, c)
	require.NoError(t, l.Impose(Swallow(Out), Swallow(In)))
	_, err := c.Write([]byte("lost"))
	require.NoError(t, err)
	require.NoError(t, l.Heal(t.Context()))
	heard, err := io.ReadAll(c)
	require.Empty(t, heard)
	if err != nil { // Toxiproxy closes what it has swallowed from
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	passes(t, dial(t, l))
}

func TestStrandedConnectionSwallowsForEverWhileNewOnesWork(t *testing.T) {
	l := open(t)
	c := dial(t, l)
	passes(t, c)
	l.Strand()
	_, err := c.Write([]byte("lost"))
	require.NoError(t, err)
	for range 10 {
		passes(t, dial(t, l))
	}
	// Its deadline is the only thing that ends the wait: nobody has hung up.
	require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = c.Read(make([]byte, 1))
	var timeout net.Error
	require.True(t, errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
}

func TestResetSomeResetsNewConnectionsAfterTheirFirstBytes(t *testing.T) {
	l := open(t)
	require.NoError(t, l.Impose(ResetSome(In, 1, 10*time.Millisecond)))
	c := dial(t, l)
	_, err := c.Write([]byte("0800"))
	require.NoError(t, err)
	heard, err := io.ReadAll(c)
	require.Empty(t, heard)
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestCutLineTakesNobodyUntilItIsMended(t *testing.T) {
	l := open(t)
	c := dial(t, l)
	passes(t, c)
	l.Cut()
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	refused, err := net.Dial("tcp", l.Address())
	if err == nil { // else the reset was there before the dial had ended
		defer refused.Close()
		_, err = io.ReadAll(refused)
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
	l.Mend()
	passes(t, dial(t, l))
}

func TestImposeNamesWhatIsNoFault(t *testing.T) {
	require.ErrorContains(t, open(t).Impose(Fault{Type: "gremlin", Stream: In, Toxicity: 1}), "gremlin")
}

func TestFarEndBelievesInAConnectionThatHangsUpLate(t *testing.T) {
	l := open(t)
	require.NoError(t, l.Impose(HangUpLate(Out, time.Minute)))
	passes(t, dial(t, l))
	l.Break()
	for near, far := l.Held(); near > 0; near, far = l.Held() { // the test's own time limit ends it
		require.Equal(t, 1, far)
		runtime.Gosched()
	}
	_, far := l.Held()
	require.Equal(t, 1, far)
	l.back.breakAll()
}

func TestSlicesAreHeardInPieces(t *testing.T) {
	l := open(t)
	require.NoError(t, l.Impose(Slice(In, 4, time.Millisecond)))
	passes(t, dial(t, l))
	pieces, bytes := l.Heard()
	require.EqualValues(t, len("0200 and some more"), bytes)
	require.Greater(t, pieces, int64(1))
}

func TestTurnedLineLeadsNewConnectionsElsewhere(t *testing.T) {
	l := open(t)
	before := dial(t, l)
	passes(t, before)
	there, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer there.Close()
	l.Turn("tcp", there.Addr().String())
	passes(t, before)
	_, err = dial(t, l).Write([]byte("0800"))
	require.NoError(t, err)
	c, err := there.Accept()
	require.NoError(t, err)
	require.NoError(t, c.Close())
}
