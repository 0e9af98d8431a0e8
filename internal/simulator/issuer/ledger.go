package issuer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// ErrLedger is returned for a ledger file that does not add up: it was edited, or two processes wrote it.
var ErrLedger = errors.New("ledger file is damaged")

// Ledger is the network's own book: what it charged and what it gave back, by RRN. It keeps the rule that makes it a
// judge over the switch: what an RRN asks is done at most once and undone at most once, and the payer of a charge is never
// charged less than nothing or more than its amount.
//
// Every line is written to the file before the method that books it returns, so before the answer that tells of it. The file survives the
// death of the process, not that of the machine: it is a simulator's book. Safe for concurrent use.
type Ledger struct {
	mu          sync.Mutex // guards all below; one line is one write
	file        io.Writer
	closer      io.Closer
	entries     map[string]*Entry    // by RRN
	origins     map[origin][]*Entry  // charges and declined sales, in the order of the book
	authorities map[authority]*Entry // pre-authorisations
	seq         uint64
	summary     Summary
	buffer      []byte
}

// OpenLedger reads the file, creating it when it is missing, and goes on where it ended. A last line without newline was
// being written when the process died; no answer told of it, so it is cut off.
func OpenLedger(path string) (*Ledger, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l := NewLedger(nil)
	whole, err := l.load(file)
	if err == nil {
		err = file.Truncate(whole)
	}
	if err == nil {
		_, err = file.Seek(whole, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("read ledger %s: %w", path, err)
	}
	l.file, l.closer = file, file
	return l, nil
}

// ReadLedger reads a ledger for looking at it only.
func ReadLedger(r io.Reader) (*Ledger, error) {
	l := NewLedger(nil)
	if _, err := l.load(r); err != nil {
		return nil, err
	}
	return l, nil
}

// NewLedger is an empty ledger that writes its lines to w; nil keeps it in memory only.
func NewLedger(w io.Writer) *Ledger {
	return &Ledger{
		file: w, entries: make(map[string]*Entry), origins: make(map[origin][]*Entry), authorities: make(map[authority]*Entry),
	}
}

// Close closes the file.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closer == nil {
		return nil
	}
	err := l.closer.Close()
	l.file, l.closer = closedFile{}, nil
	return err
}

type closedFile struct{}

func (closedFile) Write([]byte) (int, error) { return 0, os.ErrClosed }

// load replays lines and returns how many bytes of whole lines there were.
func (l *Ledger) load(r io.Reader) (int64, error) {
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
		var line Line
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&line); err != nil {
			return whole, fmt.Errorf("%w: line %d: %w", ErrLedger, n, err)
		}
		if line.Seq != l.seq+1 {
			return whole, fmt.Errorf("%w: line %d: seq %d follows %d", ErrLedger, n, line.Seq, l.seq)
		}
		if err := l.check(&line); err != nil {
			return whole, fmt.Errorf("%w: line %d: %w", ErrLedger, n, err)
		}
		l.apply(&line)
		whole += int64(len(text))
	}
}

// post writes one line, then applies it. l.mu is held. A line that cannot be written is not applied and not answered.
func (l *Ledger) post(line *Line) error {
	line.Seq = l.seq + 1
	if err := l.check(line); err != nil {
		return err
	}
	if l.file != nil {
		text, err := json.Marshal(line)
		if err != nil {
			return fmt.Errorf("encode ledger line: %w", err)
		}
		l.buffer = append(append(l.buffer[:0], text...), '\n')
		if _, err := l.file.Write(l.buffer); err != nil {
			return fmt.Errorf("write ledger: %w", err)
		}
	}
	l.apply(line)
	return nil
}
