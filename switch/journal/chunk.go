package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// readAhead is what a reader of segments takes from the file at a time.
const readAhead = 1 << 20

// chunk reads batches out of a segment, a large piece at a time.
type chunk struct {
	f    io.ReaderAt
	size int64 // of the segment
	off  int64 // where buf lies in it
	buf  []byte
}

// at returns n bytes at off, valid until the next call.
func (c *chunk) at(off int64, n int) ([]byte, error) {
	if off < c.off || off+int64(n) > c.off+int64(len(c.buf)) {
		want := int(min(max(int64(n), readAhead), c.size-off))
		if cap(c.buf) < want {
			c.buf = make([]byte, want)
		}
		c.buf, c.off = c.buf[:want], off
		if _, err := c.f.ReadAt(c.buf, off); err != nil {
			c.drop()
			return nil, err
		}
	}
	return c.buf[off-c.off:][:n], nil
}

// drop forgets what has been read: the file may say more by now.
func (c *chunk) drop() { c.buf = c.buf[:0] }

// length is the length of the batch that the header at off announces. It returns errRecord where there is none.
func (c *chunk) length(off int64) (int, error) {
	if c.size-off < headerSize {
		return 0, fmt.Errorf("%w: %d bytes left", errRecord, c.size-off)
	}
	h, err := c.at(off, headerSize)
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(h[:offVersion], batchMagic) {
		return 0, fmt.Errorf("%w: magic %x", errRecord, h[:offVersion])
	}
	// A torn append can have left zeros for the version, but no other.
	switch v := binary.BigEndian.Uint16(h[offVersion:]); v {
	case formatVersion:
	case 0:
		return 0, fmt.Errorf("%w: version", errRecord)
	default:
		return 0, fmt.Errorf("%w: batch format %d, this program reads %d", ErrVersion, v, formatVersion)
	}
	n := headerSize + int64(binary.BigEndian.Uint32(h[offLength:]))
	if n > maxPayload || n > c.size-off {
		return 0, fmt.Errorf("%w: length %d", errRecord, n)
	}
	return int(n), nil
}

// batch returns the packed batch at off, checked for itself. It returns errRecord where there is none.
func (c *chunk) batch(off int64) ([]byte, error) {
	raw, _, err := c.headed(off)
	return raw, err
}

// headed is batch with the header, which was read for the check.
func (c *chunk) headed(off int64) ([]byte, header, error) {
	n, err := c.length(off)
	if err != nil {
		return nil, header{}, err
	}
	raw, err := c.at(off, n)
	if err != nil {
		return nil, header{}, err
	}
	h, err := parseHeader(raw)
	if err != nil {
		return nil, header{}, fmt.Errorf("%w: %w", errRecord, err)
	}
	return raw, h, nil
}

var zeros [64 << 10]byte

// firstByte finds the first byte behind from that is not zero.
func firstByte(f io.ReaderAt, from int64) (at int64, none bool, err error) {
	err = pieces(f, from, func(off int64, piece []byte) bool {
		at = off + int64(len(piece)-len(bytes.TrimLeft(piece, "\x00")))
		return false
	}, &none)
	return at, none, err
}

// lastByte finds the end of what is not zero behind from: the offset behind its last byte, from when there is none.
func lastByte(f io.ReaderAt, from int64) (end int64, err error) {
	end = from
	var none bool
	err = pieces(f, from, func(off int64, piece []byte) bool {
		end = off + int64(len(bytes.TrimRight(piece, "\x00")))
		return true
	}, &none)
	return end, err
}

// pieces hands fn what is not all zero of a file from an offset on, until fn has enough. none says that there was nothing.
func pieces(f io.ReaderAt, from int64, fn func(off int64, piece []byte) bool, none *bool) error {
	*none = true
	buf := make([]byte, readAhead)
	for off := from; ; {
		n, err := f.ReadAt(buf, off)
		for i := 0; i < n; i += len(zeros) {
			piece := buf[i:min(n, i+len(zeros))]
			if bytes.Equal(piece, zeros[:len(piece)]) {
				continue
			}
			*none = false
			if !fn(off+int64(i), piece) {
				return nil
			}
		}
		off += int64(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
