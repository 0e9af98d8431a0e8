package issuer

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"huanxin/internal/money"
)

// Kind says what a ledger line records.
type Kind string

const (
	// Charge: the card was charged Amount. Asked is more when the approval was partial.
	Charge Kind = "charge"
	// Return: the charge of RRN was given back.
	Return Kind = "return"
	// Decline: a sale was refused with Response; nothing was charged.
	Decline Kind = "decline"
	// Tombstone: a reversal named an RRN that the network had not seen. Its original must not be charged any more.
	Tombstone Kind = "tombstone"
	// Repeat: a sale came again under an RRN that was already decided. It was refused with 94. The switch never resends a
	// sale, so any such line is a defect of the switch.
	Repeat Kind = "repeat"
	// Overtaken: a sale came after its own reversal. It was refused with 94. On one link this is a defect of the switch.
	Overtaken Kind = "overtaken"
)

// Line is one line of a ledger file: a JSON object.
type Line struct {
	Seq      uint64       `json:"seq"` // from 1, without gaps
	At       string       `json:"at"`  // RFC 3339, +08:00
	Kind     Kind         `json:"kind"`
	RRN      string       `json:"rrn"`
	STAN     string       `json:"stan"`
	Card     string       `json:"card,omitempty"` // token, never the number
	Terminal string       `json:"terminal,omitempty"`
	Merchant string       `json:"merchant,omitempty"`
	Amount   money.Amount `json:"amount_fen"`
	Asked    money.Amount `json:"asked_fen,omitempty"`
	Response string       `json:"response"`
	Approval string       `json:"approval,omitempty"`
	Reason   string       `json:"reason,omitempty"` // DE39 of a reversal request
}

// ErrLedger is returned for a ledger file that does not add up: it was edited, or two processes wrote it.
var ErrLedger = errors.New("ledger file is damaged")

// Entry is what the network knows of one RRN.
type Entry struct {
	Sale     Line // Charge or Decline; zero when only a tombstone exists
	Returned bool
	Tomb     bool
}

// Ledger is the network's own book: what it charged and what it gave back, by RRN. It keeps the rule that makes it a
// judge over the switch: at most one charge and at most one return for an RRN, a return only of a charge.
//
// Every line is written to the file before Post returns, so before the answer that tells of it. The file survives the
// death of the process, not that of the machine: it is a simulator's book. Safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex // guards all below; one line is one write
	file    io.Writer
	closer  io.Closer
	entries map[string]*Entry
	seq     uint64
	summary Summary
	buffer  []byte
}

// Summary is the whole ledger in figures. Amounts are fen.
type Summary struct {
	Charges        int          `json:"charges"`
	ChargedFen     money.Amount `json:"charged_fen"`
	Returns        int          `json:"returns"`
	ReturnedFen    money.Amount `json:"returned_fen"`
	Declines       int          `json:"declines"`
	Tombstones     int          `json:"tombstones"`
	Repeats        int          `json:"repeats"`
	Overtaken      int          `json:"overtaken"`
	OpenCharges    int          `json:"open_charges"` // charged and not returned
	OpenFen        money.Amount `json:"open_fen"`
	PartialCharges int          `json:"partial_charges"`
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
	return &Ledger{file: w, entries: make(map[string]*Entry)}
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

// check refuses a line that would break the book's rule.
func (l *Ledger) check(line *Line) error {
	entry := l.entries[line.RRN]
	switch line.Kind {
	case Charge, Decline:
		if line.Kind == Charge && line.Amount <= 0 {
			return fmt.Errorf("charge of %d fen", line.Amount)
		}
		if entry != nil {
			return fmt.Errorf("RRN %q is already decided", line.RRN)
		}
	case Return:
		if entry == nil || entry.Sale.Kind != Charge || entry.Returned || entry.Sale.Amount != line.Amount {
			return fmt.Errorf("RRN %q: no charge of %d fen to return", line.RRN, line.Amount)
		}
	case Tombstone:
		if entry != nil {
			return fmt.Errorf("RRN %q is known", line.RRN)
		}
	case Repeat, Overtaken:
		if entry == nil {
			return fmt.Errorf("RRN %q is unknown", line.RRN)
		}
	default:
		return fmt.Errorf("kind %q", line.Kind)
	}
	return nil
}

func (l *Ledger) apply(line *Line) {
	l.seq = line.Seq
	s := &l.summary
	switch line.Kind {
	case Charge:
		l.entries[line.RRN] = &Entry{Sale: *line}
		s.Charges++
		s.ChargedFen += line.Amount
		s.OpenCharges++
		s.OpenFen += line.Amount
		if line.Amount < line.Asked {
			s.PartialCharges++
		}
	case Decline:
		l.entries[line.RRN] = &Entry{Sale: *line}
		s.Declines++
	case Return:
		l.entries[line.RRN].Returned = true
		s.Returns++
		s.ReturnedFen += line.Amount
		s.OpenCharges--
		s.OpenFen -= line.Amount
	case Tombstone:
		l.entries[line.RRN] = &Entry{Tomb: true}
		s.Tombstones++
	case Repeat:
		s.Repeats++
	case Overtaken:
		s.Overtaken++
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

// Sale is a request to charge a card. Grant is what the rules would charge: Asked, less in a partial approval, 0 for a
// decline; Response says so in DE39.
type Sale struct {
	At, RRN, STAN, Card, Terminal, Merchant string
	Asked, Grant                            money.Amount
	Response, Approval                      string
}

// Sell records a sale once. An RRN seen before is never charged again: the second one gets 94.
func (l *Ledger) Sell(s *Sale) (Line, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := Line{
		At: s.At, Kind: Charge, RRN: s.RRN, STAN: s.STAN, Card: s.Card, Terminal: s.Terminal, Merchant: s.Merchant,
		Amount: s.Grant, Asked: s.Asked, Response: s.Response, Approval: s.Approval,
	}
	switch entry := l.entries[s.RRN]; {
	case entry != nil && entry.Tomb:
		line.Kind = Overtaken
	case entry != nil:
		line.Kind = Repeat
	case s.Grant == 0:
		line.Kind = Decline
	}
	if line.Kind == Repeat || line.Kind == Overtaken {
		line.Amount, line.Response, line.Approval = 0, "94", ""
	}
	err := l.post(&line)
	return line, err
}

// Reversal is a request to give a charge back. Amount must be what was asked or what was charged.
type Reversal struct {
	At, RRN, STAN, Terminal, Merchant, Reason string
	Amount                                    money.Amount
}

// Reverse records a reversal and returns DE39: 00 when the charge is given back, now or before; 25 for an unknown
// original, which can then never be charged; 12 for one that was declined; 64 for another amount.
func (l *Ledger) Reverse(r *Reversal) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := Line{At: r.At, RRN: r.RRN, STAN: r.STAN, Terminal: r.Terminal, Merchant: r.Merchant, Reason: r.Reason}
	switch entry := l.entries[r.RRN]; {
	case entry == nil:
		line.Kind, line.Response = Tombstone, "25"
		return "25", l.post(&line)
	case entry.Tomb:
		return "25", nil
	case entry.Sale.Kind == Decline:
		return "12", nil
	case r.Amount != entry.Sale.Asked && r.Amount != entry.Sale.Amount:
		return "64", nil
	case entry.Returned:
		return "00", nil
	default:
		line.Kind, line.Response = Return, "00"
		line.Amount, line.Card = entry.Sale.Amount, entry.Sale.Card
		return "00", l.post(&line)
	}
}

// Summary returns the figures.
func (l *Ledger) Summary() Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.summary
}

// Find returns what is known of an RRN.
func (l *Ledger) Find(rrn string) (Entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry := l.entries[rrn]
	if entry == nil {
		return Entry{}, false
	}
	return *entry, true
}

// Open returns the charges that were not given back, by RRN ascending.
func (l *Ledger) Open() []Line {
	return l.charges(func(e *Entry) bool { return !e.Returned })
}

// Returned returns the charges that were given back, by RRN ascending.
func (l *Ledger) Returned() []Line {
	return l.charges(func(e *Entry) bool { return e.Returned })
}

// CardToken names a card or payment code in the ledger without giving its number.
func CardToken(number string) string {
	if number == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("simulated card network\x00" + number))
	return hex.EncodeToString(sum[:8])
}

func (l *Ledger) charges(wanted func(*Entry) bool) []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := make([]Line, 0, l.summary.OpenCharges)
	for _, entry := range l.entries {
		if entry.Sale.Kind == Charge && wanted(entry) {
			lines = append(lines, entry.Sale)
		}
	}
	slices.SortFunc(lines, func(a, b Line) int { return strings.Compare(a.RRN, b.RRN) })
	return lines
}
