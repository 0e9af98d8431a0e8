package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// segmentCursor reads the log's batches by position, in the owner's process, beside its appends.
type segmentCursor struct {
	l     *segmentLog
	f     *os.File // nil before the first batch
	in    segmentStart
	chunk chunk
	at    uint64 // position of the batch at off
	off   int64
	known uint64 // the last batch that had been acknowledged before the chunk was read
}

func (l *segmentLog) cursor(string) (cursor, error) { return &segmentCursor{l: l}, nil }

// midway is never true: a file is read from any offset.
func (c *segmentCursor) midway() bool { return false }

// next returns the batch at position, which is not above acked, the last that has been acknowledged.
func (c *segmentCursor) next(_ context.Context, position, acked uint64) ([]byte, error) {
	if position > acked {
		return nil, nil
	}
	raw, err := c.read(position, acked)
	if errors.Is(err, errRecord) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return nil, fmt.Errorf("position %d: %w", position, err)
	}
	return raw, nil
}

func (c *segmentCursor) read(position, acked uint64) ([]byte, error) {
	in, err := c.l.find(position)
	if err != nil {
		return nil, err
	}
	if c.f == nil || in != c.in || position < c.at {
		if err := c.enter(in); err != nil {
			return nil, err
		}
	}
	if position > c.known { // the chunk may hold what stood there before that batch
		c.chunk.drop()
		c.known = acked
	}
	for ; c.at < position; c.at++ {
		n, err := c.chunk.length(c.off)
		if err != nil {
			return nil, err
		}
		c.off += int64(n)
	}
	raw, err := c.chunk.batch(c.off)
	if err != nil {
		return nil, err
	}
	c.at, c.off = c.at+1, c.off+int64(len(raw))
	return raw, nil
}

// enter goes to the beginning of a segment.
func (c *segmentCursor) enter(in segmentStart) error {
	f, size, err := c.l.segments.open(c.l.segment(in.number))
	if err != nil {
		return err
	}
	c.close()
	c.f, c.in, c.at, c.off, c.known = f, in, in.first, segmentHead, 0
	c.chunk = chunk{f: f, size: size, buf: c.chunk.buf[:0]}
	return nil
}

func (c *segmentCursor) close() {
	if c.f != nil {
		c.f.Close()
		c.f = nil
	}
}
