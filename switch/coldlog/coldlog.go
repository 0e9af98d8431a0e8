// Package coldlog keeps the records of purchases that have gone cold: one run of bytes in a folder of files, written from
// front to back, read anywhere.
//
// It does not know what a record is. The engine says where each goes and checks what it gets back. The bytes are a function
// of the journal: what a crash takes away is written again by the replay that follows, just so. README.md says what holds
// when.
package coldlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// ErrOther is returned by WriteAt for other bytes than this run has written or relied on there: two engines with one
// history have parted.
var ErrOther = errors.New("cold log: other bytes are there")

// buffered is how much waits before it is handed to the files.
const buffered = 1 << 16

// Log is the log of one programme's cold purchases. Engines of one process share it: what one has written, the other finds
// there and compares.
type Log struct {
	files *files

	// mu guards what has not reached the files yet. Bytes below end never change while the process runs, so they are read
	// without it.
	mu      sync.Mutex
	failed  error // of a write or sync; nothing is written or synced any more
	begun   bool  // something was written in this run, so end is known
	end     int64 // behind the last byte written in this run
	waiting []byte
}

// Open opens the log in a folder, or makes it. What is in it stands until it is written anew.
func Open(folder string) (*Log, error) {
	f, err := openFiles(folder, fileSize)
	if err != nil {
		return nil, fmt.Errorf("open cold log: %w", err)
	}
	return &Log{files: f}, nil
}

// WriteAt puts p at an offset: behind everything that was written in this run, or at a place where p is already. The first
// write of a run, which may be of nothing, goes where its engine says, over what a former run may have left there; what lies
// before is relied on.
func (l *Log) WriteAt(p []byte, offset int64) (int, error) {
	there, err := l.extend(p, offset)
	if err != nil || there == 0 {
		return len(p), err
	}
	before := make([]byte, there)
	if n, err := l.ReadAt(before, offset); n < there {
		return 0, err
	}
	if !bytes.Equal(before, p[:there]) {
		return 0, fmt.Errorf("%w, between %d and %d", ErrOther, offset, offset+int64(there))
	}
	return len(p), nil
}

// extend appends what of p lies behind the end, and returns how much does not.
func (l *Log) extend(p []byte, offset int64) (there int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return 0, l.failed
	}
	if !l.begun {
		if size := l.files.size(); offset > size {
			return 0, fmt.Errorf("cold log: a record at %d, the files end at %d", offset, size)
		}
		l.begun, l.end = true, offset
	}
	if offset > l.end {
		return 0, fmt.Errorf("cold log: a record at %d, the last one ends at %d", offset, l.end)
	}
	there = int(min(int64(len(p)), l.end-offset))
	l.waiting = append(l.waiting, p[there:]...)
	l.end += int64(len(p) - there)
	if len(l.waiting) >= buffered {
		return there, l.flush()
	}
	return there, nil
}

// flush hands what waits to the files. The caller has mu.
func (l *Log) flush() error {
	if len(l.waiting) == 0 {
		return nil
	}
	if err := l.files.write(l.waiting, l.end-int64(len(l.waiting))); err != nil {
		l.failed = fmt.Errorf("cold log: %w", err)
		return l.failed
	}
	l.waiting = l.waiting[:0]
	return nil
}

// ReadAt reads as io.ReaderAt says. Behind the last record there may be what a former run has left.
func (l *Log) ReadAt(p []byte, offset int64) (int, error) {
	inFiles, waiting := int64(len(p)), 0
	l.mu.Lock()
	if first := l.end - int64(len(l.waiting)); l.begun && offset+int64(len(p)) > first {
		inFiles = max(0, first-offset)
		if from := offset + inFiles - first; from < int64(len(l.waiting)) {
			waiting = copy(p[inFiles:], l.waiting[from:])
		}
	}
	l.mu.Unlock()
	n, err := l.files.read(p[:inFiles], offset)
	if n < int(inFiles) {
		return n, err
	}
	if n += waiting; n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Sync makes everything written so far durable. After a failed one nobody knows what is on disk, so every later write and
// sync fails too.
func (l *Log) Sync() error {
	l.mu.Lock()
	err := l.failed
	if err == nil {
		err = l.flush()
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if err = l.files.sync(); err == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = fmt.Errorf("sync cold log: %w", err)
	return l.failed
}

// Close writes what waits and closes the files. Nothing depends on it: a replay writes what is missing.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.flush(), l.files.close())
}
