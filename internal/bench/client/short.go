package client

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Short is how most terminals work: connect, one message, its answer, close. Its Ask is for Workers; the slot of a worker
// is its number.
type Short struct {
	Address string
	Script  Script
	workers []shortWorker
}

type shortWorker struct {
	dialer net.Dialer
	in     frames
}

// NewShort prepares workers. Each dials from a loopback address of its own: one address alone has 28 000 ports, and each
// rests for a minute after its connection was closed.
func NewShort(address string, script Script, workers int) *Short {
	s := &Short{Address: address, Script: script, workers: make([]shortWorker, workers)}
	for i := range s.workers {
		s.workers[i].dialer = net.Dialer{
			Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/250), byte(1+i%250))},
		}
		s.workers[i].in = frames{buf: make([]byte, 2*largestBody)}
	}
	return s
}

// Ask makes one connection, asks, judges and closes.
func (s *Short) Ask(ctx context.Context, worker int) (more bool, err error) {
	frame := s.Script.Next(worker)
	if frame == nil {
		return false, nil
	}
	w := &s.workers[worker]
	nc, err := w.dialer.DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return false, err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	if _, err := nc.Write(frame); err != nil {
		return false, fmt.Errorf("%w: %w", ErrLost, err)
	}
	for {
		n, err := nc.Read(w.in.room())
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrLost, err)
		}
		w.in.arrived(n)
		answer, err := w.in.next()
		if err != nil {
			return false, err
		}
		if answer == nil {
			continue
		}
		slot, err := s.Script.Slot(answer)
		if err == nil && slot != worker {
			err = unexpected(slot, "nothing asked for on this connection", answer)
		}
		if err == nil {
			err = s.Script.Judge(worker, answer)
		}
		return true, err
	}
}
