package wire

import (
	"encoding/binary"
	"io"
	"net"
	"syscall"
	"time"

	"huanxin/switch/stage"
)

// stampSockets has the kernel note when the bytes of a socket came in. What is accepted by it does so too. A kernel that refuses
// stamps nothing.
func stampSockets(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, 1)
	})
}

// stamped is a TCP connection that tells when what was read last had come in.
type stamped struct {
	*net.TCPConn
	raw  syscall.RawConn
	read func(fd uintptr) bool // receive, bound once so that a read allocates nothing

	// Of the Read under way or the last one.
	into   []byte
	notes  [stampSize]byte
	n      int
	noted  int
	failed error

	fresh   bool          // read since arrivedAt was asked last
	emptied bool          // that read took all that there was
	last    stage.Instant // what arrivedAt said
	empty   stage.Instant // arrival of what emptied the socket: what has come since is younger
}

// A control message of 64-bit Linux: length, level, kind, and a time in seconds and nanoseconds.
const (
	stampLevel = 8
	stampKind  = 12
	stampTime  = 16
	stampSize  = 32
)

func newStamped(tcp *net.TCPConn) (*stamped, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &stamped{TCPConn: tcp, raw: raw}
	s.read = s.receive
	return s, nil
}

// Read is the connection's own, and takes the stamp along.
func (s *stamped) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.into = p
	err := s.raw.Read(s.read)
	s.into = nil
	switch {
	case err != nil:
		return 0, err
	case s.failed != nil:
		return 0, s.failed
	case s.n == 0:
		return 0, io.EOF
	}
	s.fresh, s.emptied = true, s.n < len(p)
	return s.n, nil
}

func (s *stamped) receive(fd uintptr) (done bool) {
	for {
		s.n, s.noted, _, _, s.failed = syscall.Recvmsg(int(fd), s.into, s.notes[:], 0)
		switch s.failed {
		case nil:
			return true
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		}
		s.n = 0
		return true
	}
}

// arrivedAt is when the last bytes had come in. Of bytes that the kernel has put together it knows the newest, so it makes no message
// older than it is; nor does a clock that was set, for longer than the socket was seen empty.
func (s *stamped) arrivedAt(now stage.Instant) stage.Instant {
	if s.fresh {
		s.last = max(1, s.empty, now-stage.Instant(s.age()))
	}
	if s.fresh && s.emptied {
		s.empty = s.last // at the earliest: what has come since then may have waited
	}
	s.fresh = false
	return s.last
}

// age is by the machine's clock, which the kernel stamps by; 0 when there is no stamp.
func (s *stamped) age() time.Duration {
	order := binary.NativeEndian
	if s.noted < stampSize || order.Uint32(s.notes[stampLevel:]) != syscall.SOL_SOCKET || order.Uint32(s.notes[stampKind:]) != syscall.SO_TIMESTAMPNS {
		return 0
	}
	at := int64(order.Uint64(s.notes[stampTime:]))*int64(time.Second) + int64(order.Uint64(s.notes[stampTime+8:]))
	return max(0, time.Duration(time.Now().UnixNano()-at))
}
