package issuer

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"huanxin/internal/money"
)

// Summary is the whole ledger in figures. Amounts are fen.
type Summary struct {
	Charges        int          `json:"charges"`
	ChargedFen     money.Amount `json:"charged_fen"`
	Returns        int          `json:"returns"` // charges that were reversed
	ReturnedFen    money.Amount `json:"returned_fen"`
	Voids          int          `json:"voids"`
	VoidedFen      money.Amount `json:"voided_fen"`
	Unvoids        int          `json:"unvoids"` // voids that were reversed: their charges stand again
	UnvoidedFen    money.Amount `json:"unvoided_fen"`
	Refunds        int          `json:"refunds"`
	RefundedFen    money.Amount `json:"refunded_fen"`
	Preauths       int          `json:"preauths"`
	Declines       int          `json:"declines"`
	Tombstones     int          `json:"tombstones"`
	Repeats        int          `json:"repeats"`
	Overtaken      int          `json:"overtaken"`
	OpenCharges    int          `json:"open_charges"` // of which anything is still charged
	OpenFen        money.Amount `json:"open_fen"`     // what payers are charged in the end
	PartialCharges int          `json:"partial_charges"`
}

// add counts one line. What is open is counted where money moves.
func (s *Summary) add(line *Line) {
	switch line.Kind {
	case Charge:
		s.Charges++
		s.ChargedFen += line.Amount
		if line.Amount < line.Asked {
			s.PartialCharges++
		}
	case Return:
		s.Returns++
		s.ReturnedFen += line.Amount
	case Void:
		s.Voids++
		s.VoidedFen += line.Amount
	case Unvoid:
		s.Unvoids++
		s.UnvoidedFen += line.Amount
	case Refund:
		s.Refunds++
		s.RefundedFen += line.Amount
	case Preauth:
		s.Preauths++
	case Decline:
		s.Declines++
	case Tombstone:
		s.Tombstones++
	case Repeat:
		s.Repeats++
	case Overtaken:
		s.Overtaken++
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

// Outcome tells what really happened to the request with this RRN: to a sale, a void, a refund or any other. It is what an
// operator asks a clearing file when the switch could not learn the end of something. An RRN that never came is not Known.
func (l *Ledger) Outcome(rrn string) Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry := l.entries[rrn]
	if entry == nil || entry.Tomb {
		return Outcome{RRN: rrn}
	}
	line := &entry.Line
	o := Outcome{
		RRN: rrn, Type: line.Type.String(), Known: true, Response: line.Response, Original: line.Original, Day: line.Day,
		Amount: line.Amount, Net: entry.Net,
	}
	if of := l.entries[line.Original]; of != nil && line.Kind != Charge {
		o.Net = of.Net
	}
	switch line.Kind {
	case Charge, Preauth:
		o.Done = entry.stands()
	case Void, PreauthVoid, Refund:
		o.Done = !entry.Returned
	}
	return o
}

// Open returns the charges of which anything is still charged, by RRN ascending.
func (l *Ledger) Open() []Entry {
	return l.charges(func(e *Entry) bool { return e.Net > 0 })
}

// Returned returns the charges that were reversed, by RRN ascending.
func (l *Ledger) Returned() []Entry {
	return l.charges(func(e *Entry) bool { return e.Returned })
}

// Voided returns the charges that a void has taken back, by RRN ascending.
func (l *Ledger) Voided() []Entry {
	return l.charges(func(e *Entry) bool { return e.Void != "" })
}

// Refunded returns the charges of which anything was refunded, by RRN ascending.
func (l *Ledger) Refunded() []Entry {
	return l.charges(func(e *Entry) bool { return e.Refunded > 0 })
}

func (l *Ledger) charges(wanted func(*Entry) bool) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := []Entry{}
	for _, entry := range l.entries {
		if entry.Line.Kind == Charge && wanted(entry) {
			list = append(list, *entry)
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Line.RRN, b.Line.RRN) })
	return list
}

// length is how many lines the book has.
func (l *Ledger) length() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Seq()
}

// CardToken names a card or payment code in the ledger without giving its number.
func CardToken(number string) string {
	if number == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("simulated card network\x00" + number))
	return hex.EncodeToString(sum[:8])
}
