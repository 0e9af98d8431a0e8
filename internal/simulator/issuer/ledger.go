package issuer

import (
	"io"
	"sync"

	"huanxin/internal/simulator/ledger"
)

// ErrLedger is returned for a ledger file that does not add up: it was edited, or two processes wrote it.
var ErrLedger = ledger.ErrDamaged

// Ledger is the network's own book: what it charged and what it gave back, by RRN. It keeps the rule that makes it a
// judge over the switch: what an RRN asks is done at most once and undone at most once, and the payer of a charge is never
// charged less than nothing or more than its amount.
//
// Every line is written to the file before the answer that tells of it: before the method that books it returns, or, between
// begin and end, by end, all lines of a round in one write. The file survives the death of the process, not that of the
// machine: it is a simulator's book. Safe for concurrent use.
type Ledger struct {
	mu          sync.Mutex // guards all below
	rounds      int        // that have begun and not ended: lines are queued meanwhile
	file        *ledger.File[Line]
	entries     map[string]*Entry    // by RRN
	origins     map[origin][]*Entry  // charges and declined sales, in the order of the book
	authorities map[authority]*Entry // pre-authorisations
	summary     Summary
}

// OpenLedger reads the file, creating it when it is missing, and goes on where it ended.
func OpenLedger(path string) (*Ledger, error) {
	l := NewLedger(nil)
	if err := l.file.Open(path); err != nil {
		return nil, err
	}
	return l, nil
}

// ReadLedger reads a ledger for looking at it only.
func ReadLedger(r io.Reader) (*Ledger, error) {
	l := NewLedger(nil)
	if _, err := l.file.Load(r); err != nil {
		return nil, err
	}
	return l, nil
}

// NewLedger is an empty ledger that writes its lines to w; nil keeps it in memory only.
func NewLedger(w io.Writer) *Ledger {
	l := &Ledger{
		entries: make(map[string]*Entry), origins: make(map[origin][]*Entry), authorities: make(map[authority]*Entry),
	}
	l.file = ledger.New[Line](lines{l}, w)
	return l
}

// Close closes the file.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// lines is what the ledger's file asks of the ledger.
type lines struct{ of *Ledger }

func (l lines) Number(line *Line) *uint64 { return &line.Seq }
func (l lines) Check(line *Line) error    { return l.of.check(line) }
func (l lines) Apply(line *Line)          { l.of.apply(line) }

// begin opens a round: a connection answers requests that have come together, and nothing leaves before end.
func (l *Ledger) begin() {
	l.mu.Lock()
	l.rounds++
	l.mu.Unlock()
}

// end writes what has been booked, in this round or in another one that is still open. With an error nothing that was
// booked may be answered.
func (l *Ledger) end() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rounds--
	return l.file.Flush()
}

// post writes one line and applies it; within a round end writes it. l.mu is held.
func (l *Ledger) post(line *Line) error {
	if l.rounds > 0 {
		return l.file.Queue(line)
	}
	return l.file.Post(line)
}
