// Package ledger keeps the book of a simulator in a file: lines of JSON, numbered from 1 without a gap, each written before
// anything that it tells of is answered. What a line means is its owner's.
package ledger

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrDamaged is returned for a file that does not add up: it was edited, or two processes wrote it.
var ErrDamaged = errors.New("ledger file is damaged")

// Owner knows the lines of type L.
type Owner[L any] interface {
	// Number is where a line keeps its number.
	Number(*L) *uint64
	// Check says why a line cannot follow those before it, nil when it can. It changes nothing.
	Check(*L) error
	// Apply enters a line that was checked.
	Apply(*L)
}

// File is a ledger's file, or its memory alone. Its methods are called one at a time. It survives the death of the process,
// not that of the machine: it is a simulator's.
type File[L any] struct {
	owner  Owner[L]
	to     io.Writer // nil: memory only
	closer io.Closer
	seq    uint64
	buffer []byte // lines that are not written yet
	failed error  // of the write after which there is no other
}

// New is an empty ledger that writes its lines to w; nil keeps it in memory only.
func New[L any](owner Owner[L], w io.Writer) *File[L] { return &File[L]{owner: owner, to: w} }

// Open goes on where the file ended, creating it when it is missing. A last line without newline was being written when the
// process died; no answer told of it, so it is cut off.
func (f *File[L]) Open(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("open ledger: %w", err)
	}
	whole, err := f.Load(file)
	if err == nil {
		err = file.Truncate(whole)
	}
	if err == nil {
		_, err = file.Seek(whole, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return fmt.Errorf("read ledger %s: %w", path, err)
	}
	f.to, f.closer = file, file
	return nil
}

// Load applies lines and returns how many bytes of whole lines there were.
func (f *File[L]) Load(r io.Reader) (int64, error) {
	reader := bufio.NewReaderSize(r, 64<<10)
	var whole int64
	for n := 1; ; n++ {
		text, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return whole, nil
		}
		if err != nil {
			return whole, err
		}
		line := new(L)
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(line); err != nil {
			return whole, fmt.Errorf("%w: line %d: %w", ErrDamaged, n, err)
		}
		if seq := *f.owner.Number(line); seq != f.seq+1 {
			return whole, fmt.Errorf("%w: line %d: seq %d follows %d", ErrDamaged, n, seq, f.seq)
		}
		if err := f.owner.Check(line); err != nil {
			return whole, fmt.Errorf("%w: line %d: %w", ErrDamaged, n, err)
		}
		f.enter(line)
		whole += int64(len(text))
	}
}

func (f *File[L]) enter(line *L) {
	f.seq = *f.owner.Number(line)
	f.owner.Apply(line)
}

// Post numbers and writes one line, then applies it. A line that cannot be written is not applied and must not be answered.
func (f *File[L]) Post(line *L) error {
	if err := f.encode(line); err != nil {
		return err
	}
	if err := f.Flush(); err != nil {
		return err
	}
	f.enter(line)
	return nil
}

// Queue is Post for a line that is written by the next Flush, with those queued before it. It is applied at once, so what
// comes next follows it, but nothing may tell of it before that Flush has succeeded.
func (f *File[L]) Queue(line *L) error {
	if err := f.encode(line); err != nil {
		return err
	}
	f.enter(line)
	return nil
}

// encode numbers a line and appends it to what is to be written.
func (f *File[L]) encode(line *L) error {
	*f.owner.Number(line) = f.seq + 1
	if err := f.owner.Check(line); err != nil {
		return err
	}
	if f.to == nil {
		return nil
	}
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("encode ledger line: %w", err)
	}
	f.buffer = append(append(f.buffer, text...), '\n')
	return nil
}

// Flush writes what is queued. A file that could not be written takes nothing more: what was queued has been applied, so
// from there on memory is ahead of it.
func (f *File[L]) Flush() error {
	if f.failed != nil {
		return f.failed
	}
	if len(f.buffer) == 0 {
		return nil
	}
	_, err := f.to.Write(f.buffer)
	f.buffer = f.buffer[:0]
	if err != nil {
		f.failed = fmt.Errorf("write ledger: %w", err)
	}
	return f.failed
}

// Seq is the number of the last line.
func (f *File[L]) Seq() uint64 { return f.seq }

// Close closes the file; what is posted after that fails.
func (f *File[L]) Close() error {
	if f.closer == nil {
		return nil
	}
	err := f.closer.Close()
	f.to, f.closer = closed{}, nil
	return err
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, os.ErrClosed }
