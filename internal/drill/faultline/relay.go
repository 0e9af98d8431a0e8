package faultline

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// relay passes bytes on between connections that it accepts and connections that it dials for them.
type relay struct {
	listener net.Listener
	dial     func() (net.Conn, error)
	workers  sync.WaitGroup

	mu     sync.Mutex // guards all below
	pairs  map[*pair]struct{}
	down   bool
	closed bool

	pieces, bytes atomic.Int64 // read from the far ends
}

// pair is one connection and its continuation.
type pair struct {
	near, far net.Conn
	stranded  atomic.Bool
}

func newRelay(dial func() (net.Conn, error)) (*relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: listener, dial: dial, pairs: map[*pair]struct{}{}}
	r.workers.Go(r.accept)
	return r, nil
}

func (r *relay) address() string { return r.listener.Addr().String() }

func (r *relay) accept() {
	for {
		near, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		r.workers.Go(func() { r.serve(near) })
	}
}

func (r *relay) serve(near net.Conn) {
	far, err := r.dial()
	if err != nil {
		reset(near)
		return
	}
	p := &pair{near: near, far: far}
	if !r.add(p) {
		reset(near)
		reset(far)
		return
	}
	var ways sync.WaitGroup
	ways.Go(func() { p.pass(p.far, p.near, func(int) {}) })
	ways.Go(func() {
		p.pass(p.near, p.far, func(n int) {
			r.pieces.Add(1)
			r.bytes.Add(int64(n))
		})
	})
	ways.Wait()
	near.Close()
	far.Close()
	r.mu.Lock()
	delete(r.pairs, p)
	r.mu.Unlock()
}

func (r *relay) add(p *pair) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down || r.closed {
		return false
	}
	r.pairs[p] = struct{}{}
	return true
}

// pass hands on what comes from one end until that ends. A stranded pair reads on and hands nothing over, not even the end.
func (p *pair) pass(to, from net.Conn, count func(n int)) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if p.stranded.Load() {
			if err != nil {
				return
			}
			continue
		}
		if n > 0 {
			count(n)
			if _, writeErr := to.Write(buffer[:n]); writeErr != nil {
				reset(from)
				return
			}
		}
		if errors.Is(err, syscall.ECONNRESET) {
			reset(to)
			return
		}
		if err != nil {
			if half, ok := to.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite() // it may be gone already
			}
			return
		}
	}
}

// reset closes a connection with RST where it is TCP.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it may be gone already
	}
	c.Close()
}

// held is how many connections there are.
func (r *relay) held() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pairs)
}

func (r *relay) breakAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		reset(p.near)
		reset(p.far)
	}
}

func (r *relay) strand() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		p.stranded.Store(true)
	}
}

func (r *relay) setDown(down bool) {
	r.mu.Lock()
	r.down = down
	r.mu.Unlock()
}

func (r *relay) close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	err := r.listener.Close()
	r.breakAll()
	r.workers.Wait()
	if err != nil {
		return fmt.Errorf("close relay: %w", err)
	}
	return nil
}
