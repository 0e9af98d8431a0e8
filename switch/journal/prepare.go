package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// How a segment is filled with zeros: in steps that are synced one by one, with a pause in between, so that appends to the
// segment in use find the disk free. 64 MiB take two seconds, in which a busy switch writes less than half a segment.
const (
	zeroStep  = 256 << 10
	zeroPause = 5 * time.Millisecond
	// prepareRetry is the pause before a preparation that failed is begun anew, as long as nobody waits for it.
	prepareRetry = 10 * time.Second
	// segmentRoom is what must be left beside a new segment. Without asking, a preparation that cannot succeed would take the last
	// bytes from snapshots and PostgreSQL each time before it fails.
	segmentRoom = 4 << 20
	// prepareAt is the part of a segment that is written when the next is begun: one quarter.
	prepareAt = 4
)

// logFile is a segment that is written to.
type logFile interface {
	io.WriterAt
	// Sync makes what was written durable.
	Sync() error
	Close() error
}

// openLogFile opens a segment's file for writing.
type openLogFile func(name string, flag int) (logFile, error)

// diskFile is the logFile of every real journal.
type diskFile struct{ *os.File }

func (f diskFile) Sync() error { return datasync(f.File) }

func openDiskFile(name string, flag int) (logFile, error) {
	f, err := os.OpenFile(name, os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

// preparation makes the next segment ready beside the appends to the present one. It fails for good only when somebody
// waits for it: until then it is begun anew, in a file of its own each time.
type preparation struct {
	done  chan struct{} // closed when file or err is there
	hurry chan struct{} // closed by who waits
	size  int64         // of the file
	file  logFile
	err   error
}

func prepare(ctx context.Context, s segments, h segmentHeader, open openLogFile, log *zap.Logger, place func(string)) *preparation {
	p := &preparation{done: make(chan struct{}), hurry: make(chan struct{}), size: h.size}
	go func() {
		defer close(p.done)
		for {
			hurried := isClosed(p.hurry)
			p.file, p.err = makeSegment(s, h, open, func() error {
				place(PlaceSegmentFilling)
				return p.pause(ctx, zeroPause)
			})
			if p.err == nil || hurried || ctx.Err() != nil {
				return
			}
			log.Warn("the journal's next segment cannot be prepared; when it is needed the switch stops", zap.Uint64("segment", h.number), zap.Error(p.err))
			if p.pause(ctx, prepareRetry) != nil {
				return
			}
		}
	}()
	return p
}

// pause waits unless somebody is in a hurry.
func (p *preparation) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.hurry:
	case <-timer.C:
	}
	return nil
}

// take waits for the segment.
func (p *preparation) take(ctx context.Context) (logFile, error) {
	if !isClosed(p.hurry) {
		close(p.hurry)
	}
	select {
	case <-p.done:
		return p.file, p.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// makeSegment writes a whole segment aside, syncs it, and gives it its name: a file with a segment's name is whole.
func makeSegment(s segments, h segmentHeader, open openLogFile, pause func() error) (_ logFile, err error) {
	name := s.segment(h.number).name
	if free, known := freeBytes(s.dir); known && free < uint64(h.size+segmentRoom) {
		return nil, fmt.Errorf("prepare segment %d: %d bytes are free, %d needed: %w", h.number, free, h.size+segmentRoom, syscall.ENOSPC)
	}
	f, err := open(name+".new", os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(name + ".new")
			err = fmt.Errorf("prepare segment %d: %w", h.number, err)
		}
	}()
	step := make([]byte, min(zeroStep, h.size))
	for at := int64(0); at < h.size; {
		n := min(int64(len(step)), h.size-at)
		if at == 0 {
			copy(step, h.append(nil))
		}
		if _, err := f.WriteAt(step[:n], at); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		if at == 0 {
			clear(step)
		}
		if at += n; at < h.size {
			if err := pause(); err != nil {
				return nil, err
			}
		}
	}
	if err := os.Rename(name+".new", name); err != nil {
		return nil, err
	}
	if err := syncFolder(filepath.Dir(name)); err != nil {
		return nil, err
	}
	return f, nil
}

// removeUnfinished removes the files whose making was interrupted.
func removeUnfinished(dir, suffix string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix+".new"))
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
