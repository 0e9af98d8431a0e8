// Package crowd is what a port of the switch must bear beside its work: connections that say nothing, and slow-lorises, which say a
// byte a second so that they are never silent and never done. A loris that is cut off comes back.
//
// It judges nothing: it counts what became of its connections, and whoever measures the switch beside it judges.
package crowd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Crowd is how many of them come where.
type Crowd struct {
	Address string // a port for terminals, of the framing cup
	Idle    int    // connections that say nothing
	Loris   int    // connections that say a byte a second

	HTTP      string // address of the HTTP interface, with HTTPLoris
	HTTPLoris int

	// Pause is the time between two bytes of a loris. Default 1 s.
	Pause time.Duration
}

// Report is what became of them.
type Report struct {
	Idle int    // connections without a word that were open until the end
	Cut  uint64 // lorises that were cut off; each has come back
}

// beginnings are what a loris would say if it ever came to an end: a frame of 256 bytes, a request.
var beginnings = struct{ frame, request []byte }{
	append([]byte{0x01, 0x00, 0x60, 0x00, 0x03, 0x00, 0x00}, make([]byte, 249)...),
	[]byte("GET /v1/entitlements/0000000000000000000000000000000000000000000000000000000000000000 HTTP/1.1\r\n"),
}

// Run is there until ctx ends. ready is called when everybody has come. Connections come from many addresses of this machine: one
// alone has too few ports.
func (c *Crowd) Run(ctx context.Context, ready func()) (r Report, err error) {
	if c.Pause == 0 {
		c.Pause = time.Second
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := make([]net.Conn, 0, c.Idle)
	defer func() {
		for _, nc := range idle {
			nc.Close()
		}
	}()
	for i := range c.Idle {
		nc, err := dial(ctx, c.Address, i)
		if err != nil {
			return r, fmt.Errorf("connection %d of %d: %w", i+1, c.Idle, err)
		}
		idle = append(idle, nc)
	}
	var all sync.WaitGroup
	var cut atomic.Uint64
	for i := range c.Loris + c.HTTPLoris {
		address, says := c.Address, beginnings.frame
		if i >= c.Loris {
			address, says = c.HTTP, beginnings.request
		}
		nc, err := dial(ctx, address, c.Idle+i)
		if err != nil {
			cancel(err)
			break
		}
		all.Go(func() {
			for ctx.Err() == nil {
				if !trickle(ctx, nc, says, c.Pause) {
					return
				}
				cut.Add(1)
				if nc, err = dial(ctx, address, c.Idle+i); err != nil {
					cancel(fmt.Errorf("a loris comes back: %w", err))
					return
				}
			}
		})
	}
	if ctx.Err() == nil {
		ready()
	}
	<-ctx.Done()
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return r, err
	}
	for _, nc := range idle {
		if open(nc) {
			r.Idle++
		}
	}
	r.Cut = cut.Load()
	return r, nil
}

func dial(ctx context.Context, address string, n int) (net.Conn, error) {
	d := net.Dialer{Timeout: time.Minute, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 2, byte(n/250), byte(1+n%250))}}
	return d.DialContext(ctx, "tcp", address)
}

// trickle says one byte after the other until it is cut off, or ctx ends: then it reports false. It waits by listening.
func trickle(ctx context.Context, nc net.Conn, says []byte, pause time.Duration) (wasCut bool) {
	defer nc.Close()
	heard := make([]byte, 512)
	for n := 0; ctx.Err() == nil; n++ {
		if _, err := nc.Write(says[n%len(says) : n%len(says)+1]); err != nil {
			return true
		}
		_ = nc.SetReadDeadline(time.Now().Add(pause))
		for {
			if _, err := nc.Read(heard); errors.Is(err, os.ErrDeadlineExceeded) {
				break
			} else if err != nil {
				return ctx.Err() == nil
			}
		}
	}
	return false
}

// open tells whether nobody has closed the connection.
func open(nc net.Conn) bool {
	_ = nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := nc.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}
