package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// Limit is an echo that answers when what it got is on disk, and nothing else: no codec, no decision, no state. Frames of
// all connections that wait go into one write and one fdatasync; while one is under way the next batch collects. What is
// released is written by another goroutine, so that the disk does not wait for the sockets.
type Limit struct {
	file   *os.File
	listen net.Listener

	mu      sync.Mutex // guards waiting
	waiting *batch
	wake    chan struct{} // of one: there is something in waiting
	release chan *batch
	buffers sync.Pool // of *[]byte, for reading
	free    chan *batch
}

// batch is what goes to disk together.
type batch struct {
	bytes  []byte
	frames []piece
}

// piece is what one connection gets back: a part of the batch's bytes.
type piece struct {
	conn  *echo
	bytes int
}

// echo is one connection.
type echo struct {
	nc  net.Conn
	out []byte // of the release under way
}

// logSize is the size of the preallocated file, which is written round and round: writing over blocks that exist needs no
// metadata, and that is what the limit is.
const logSize = 64 << 20

// NewLimit opens the log in dir and listens.
func NewLimit(dir, address string) (*Limit, error) {
	file, err := os.OpenFile(dir+"/limit.log", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for range logSize / len(zeros) {
		if _, err := file.Write(zeros); err != nil {
			return nil, fmt.Errorf("preallocate the log: %w", err)
		}
	}
	if err := file.Sync(); err != nil {
		return nil, err
	}
	listen, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	l := &Limit{
		file: file, listen: listen, waiting: new(batch),
		wake: make(chan struct{}, 1), release: make(chan *batch, 1), free: make(chan *batch, 4),
	}
	l.buffers.New = func() any { buf := make([]byte, 64<<10); return &buf }
	return l, nil
}

// Addr is where it listens.
func (l *Limit) Addr() net.Addr { return l.listen.Addr() }

// Close ends Serve.
func (l *Limit) Close() error { return errors.Join(l.listen.Close(), l.file.Close()) }

// Serve serves until Close, or until the log fails.
func (l *Limit) Serve() error {
	failed := make(chan error, 2)
	go func() { failed <- l.sync() }()
	go l.answer()
	go func() { failed <- l.accept() }()
	return <-failed
}

func (l *Limit) accept() error {
	for {
		nc, err := l.listen.Accept()
		if err != nil {
			return err
		}
		go l.read(&echo{nc: nc})
	}
}

// read takes whole frames off one connection and puts them into the batch that waits.
func (l *Limit) read(c *echo) {
	defer c.nc.Close()
	held := l.buffers.Get().(*[]byte) // terminals that connect for one message must not pay for a large buffer each
	defer l.buffers.Put(held)
	buf := *held
	have := 0
	for {
		n, err := c.nc.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		whole, bad := wholeFrames(buf[:have])
		if bad {
			return
		}
		if whole > 0 {
			l.add(c, buf[:whole])
			have = copy(buf, buf[whole:have])
		}
	}
}

// wholeFrames is how many bytes of buf are whole frames; bad when one is larger than any buffer.
func wholeFrames(buf []byte) (n int, bad bool) {
	for len(buf)-n >= 2 {
		size := 2 + int(binary.BigEndian.Uint16(buf[n:]))
		if size > 8<<10 {
			return n, true
		}
		if n+size > len(buf) {
			break
		}
		n += size
	}
	return n, false
}

func (l *Limit) add(c *echo, frames []byte) {
	l.mu.Lock()
	l.waiting.bytes = append(l.waiting.bytes, frames...)
	l.waiting.frames = append(l.waiting.frames, piece{c, len(frames)})
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// sync makes what waits durable, batch by batch.
func (l *Limit) sync() error {
	offset := int64(0)
	for range l.wake {
		var next *batch
		select {
		case next = <-l.free:
		default:
			next = new(batch)
		}
		l.mu.Lock()
		full := l.waiting
		l.waiting = next
		l.mu.Unlock()
		if len(full.bytes) == 0 {
			l.free <- full
			continue
		}
		if offset+int64(len(full.bytes)) > logSize {
			offset = 0
		}
		if _, err := l.file.WriteAt(full.bytes, offset); err != nil {
			return fmt.Errorf("write the log: %w", err)
		}
		if err := Fdatasync(l.file); err != nil {
			return fmt.Errorf("sync the log: %w", err)
		}
		offset += int64(len(full.bytes))
		l.release <- full
	}
	return io.EOF
}

// answer gives back what has become durable, one write for each connection.
func (l *Limit) answer() {
	var order []*echo
	for b := range l.release {
		at := 0
		for _, p := range b.frames {
			if len(p.conn.out) == 0 {
				order = append(order, p.conn)
			}
			p.conn.out = append(p.conn.out, b.bytes[at:at+p.bytes]...)
			at += p.bytes
		}
		for _, c := range order {
			// A client that has gone has gone; its reader sees that too.
			_, _ = c.nc.Write(c.out)
			c.out = c.out[:0]
		}
		order = order[:0]
		b.bytes, b.frames = b.bytes[:0], b.frames[:0]
		select {
		case l.free <- b:
		default:
		}
	}
}
