//go:build !linux

package wire

import (
	"errors"
	"net"
	"syscall"

	"huanxin/switch/stage"
)

func stampSockets(_, _ string, _ syscall.RawConn) error { return nil }

// stamped does not exist here: a message is as old as its read.
type stamped struct{ *net.TCPConn }

func newStamped(*net.TCPConn) (*stamped, error) { return nil, errors.ErrUnsupported }

func (s *stamped) arrivedAt(now stage.Instant) stage.Instant { return now }
