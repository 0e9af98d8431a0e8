package wallet

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"huanxin/internal/money"
	"huanxin/internal/simulator/ledger"
	link "huanxin/switch/wallet"
)

// Errors of a ledger.
var (
	// ErrLedger is returned for a ledger file that does not add up: it was edited, or two processes wrote it.
	ErrLedger = ledger.ErrDamaged
	// ErrConflict is returned for a number that is known with other content. Nothing is done.
	ErrConflict = errors.New("known with other content")
	// ErrUnknown is returned for a payment or refund that the wallet has never seen.
	ErrUnknown = errors.New("unknown number")
)

// Ledger is the wallet's own book: what it charged and gave back, by the switch's numbers. It keeps the rules that make it
// a judge over the switch: a payment is charged once at most, what is closed is never charged, and cancellation and
// refunds together never give back more than was charged.
//
// Every line is written to the file before the call returns, so before the answer that tells of it. The file survives the
// death of the process, not that of the machine: it is a simulator's book. Safe for concurrent use.
type Ledger struct {
	mu       sync.Mutex // guards all below; one line is one write
	file     *ledger.File[Line]
	payments map[string]*Entry
	refunds  map[string]*RefundEntry
	summary  Summary
}

// Summary is the whole ledger in figures. Amounts are fen.
type Summary struct {
	Payments       int          `json:"payments"` // charged
	PaidFen        money.Amount `json:"paid_fen"`
	Returns        int          `json:"returns"` // cancelled after they were charged
	ReturnedFen    money.Amount `json:"returned_fen"`
	Refunds        int          `json:"refunds"`
	RefundedFen    money.Amount `json:"refunded_fen"`
	Declines       int          `json:"declines"`
	RefundsRefused int          `json:"refunds_refused"`
	Closed         int          `json:"closed"` // cancelled while they waited
	Tombstones     int          `json:"tombstones"`
	Overtaken      int          `json:"overtaken"`
	Repeats        int          `json:"repeats"`
	Conflicts      int          `json:"conflicts"`
	Waiting        int          `json:"waiting"` // payments without an end
	WaitingRefunds int          `json:"waiting_refunds"`
	Open           int          `json:"open"` // payments that charge the payer in the end
	OpenFen        money.Amount `json:"open_fen"`
}

func (s *Summary) count(line *Line) {
	switch line.Kind {
	case Pay:
		s.Payments++
		s.PaidFen += line.Amount
		s.OpenFen += line.Amount
	case Return:
		s.Returns++
		s.ReturnedFen += line.Amount
		s.OpenFen -= line.Amount
	case RefundDone:
		s.Refunds++
		s.RefundedFen += line.Amount
		s.OpenFen -= line.Amount
	case Decline:
		s.Declines++
	case RefundRefuse:
		s.RefundsRefused++
	case Close:
		s.Closed++
	case Tombstone:
		s.Tombstones++
	case Overtaken:
		s.Overtaken++
	case Repeat:
		s.Repeats++
	case Conflict:
		s.Conflicts++
	}
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
	l := &Ledger{payments: make(map[string]*Entry), refunds: make(map[string]*RefundEntry)}
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

// post writes one line, then applies it. l.mu is held.
func (l *Ledger) post(line *Line) error { return l.file.Post(line) }

// Order is a payment or a refund that the switch has ordered, and what the rules make of it: Status paid, pending or declined
// of a payment, done, pending or refused of a refund.
type Order struct {
	At, RRN, Payment, Code, Merchant, Terminal string
	Amount                                     money.Amount
	Status                                     link.Status
	Reason, Trade                              string
}

func (o *Order) line(kind Kind) *Line {
	line := &Line{
		At: o.At, Kind: kind, RRN: o.RRN, Payment: o.Payment, Code: o.Code, Merchant: o.Merchant, Terminal: o.Terminal, Amount: o.Amount,
	}
	switch kind {
	case Pay, RefundDone:
		line.Trade = o.Trade
	case Decline, RefundRefuse:
		line.Reason = o.Reason
	}
	return line
}

// asks reports whether two orders under one number ask for the same.
func asks(a, b *Line) bool {
	return a.Payment == b.Payment && a.Code == b.Code && a.Merchant == b.Merchant && a.Terminal == b.Terminal && a.Amount == b.Amount
}

// Pay books a payment order and returns how the payment stands. Only a new one is decided as the order says.
func (l *Ledger) Pay(o *Order) (Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.payments[o.RRN]
	kind := map[link.Status]Kind{link.Paid: Pay, link.Pending: Wait, link.Declined: Decline}[o.Status]
	switch {
	case e != nil && e.Tomb:
		kind = Overtaken
	case e != nil && asks(&e.Order, o.line(Repeat)):
		kind = Repeat
	case e != nil || l.refunds[o.RRN] != nil:
		kind = Conflict
	}
	err := l.post(o.line(kind))
	if err == nil && kind == Conflict {
		err = ErrConflict
	}
	if err != nil {
		return Entry{}, err
	}
	return *l.payments[o.RRN], nil
}

// Settle ends a payment that waits: paid, or declined for a reason. One that has ended meanwhile stays as it is. The second
// result reports whether this call ended it.
func (l *Ledger) Settle(at, rrn string, status link.Status, reason, trade string) (Entry, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.payments[rrn]
	if e == nil {
		return Entry{}, false, ErrUnknown
	}
	if e.Status != link.Pending {
		return *e, false, nil
	}
	line := e.Order
	line.At, line.Kind, line.Reason, line.Trade = at, Pay, "", trade
	if status != link.Paid {
		line.Kind, line.Reason, line.Trade = Decline, reason, ""
	}
	err := l.post(&line)
	return *e, err == nil, err
}

// Cancel closes a payment: what waits is never charged, what is left of a charge is given back, an unknown one is barred. A
// declined one stays declined.
func (l *Ledger) Cancel(at, rrn string) (Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := Line{At: at, RRN: rrn, Kind: Tombstone}
	if e := l.payments[rrn]; e != nil {
		line.Code, line.Merchant, line.Terminal, line.Amount = e.Order.Code, e.Order.Merchant, e.Order.Terminal, e.Order.Amount
		switch e.Status {
		case link.Pending:
			line.Kind = Close
		case link.Paid:
			line.Kind, line.Amount, line.Trade = Return, e.left(), e.Paid.Trade
		default:
			return *e, nil
		}
	} else if l.refunds[rrn] != nil {
		return Entry{}, ErrConflict
	}
	if err := l.post(&line); err != nil {
		return Entry{}, err
	}
	return *l.payments[rrn], nil
}

// Refund books a refund order and returns how the refund stands. What cannot be given back is refused whatever the order
// says.
func (l *Ledger) Refund(o *Order) (RefundEntry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, of := l.refunds[o.RRN], l.payments[o.Payment]
	kind := map[link.Status]Kind{link.Done: RefundDone, link.Pending: RefundWait, link.Refused: RefundRefuse}[o.Status]
	refuse := func(reason string) { kind, o.Reason = RefundRefuse, reason }
	switch {
	case e != nil && (e.Status == link.Closed || asks(&e.Order, o.line(Repeat))):
		kind = Repeat
	case e != nil || l.payments[o.RRN] != nil:
		kind = Conflict
	case of == nil:
		refuse("UNKNOWN_PAYMENT")
	case of.Status != link.Paid:
		refuse("NOT_PAID")
	case o.Amount <= 0 || o.Amount > of.left():
		refuse("REFUND_EXCEEDS")
	}
	err := l.post(o.line(kind))
	if err == nil && kind == Conflict {
		err = ErrConflict
	}
	if err != nil {
		return RefundEntry{}, err
	}
	return *l.refunds[o.RRN], nil
}

// SettleRefund ends a refund that waits, as Settle does a payment.
func (l *Ledger) SettleRefund(at, rrn string, status link.Status, reason, trade string) (RefundEntry, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.refunds[rrn]
	if e == nil {
		return RefundEntry{}, false, ErrUnknown
	}
	if e.Status != link.Pending {
		return *e, false, nil
	}
	line := e.Order
	line.At, line.Kind, line.Reason, line.Trade = at, RefundDone, "", trade
	if status != link.Done {
		line.Kind, line.Reason, line.Trade = RefundRefuse, reason, ""
	}
	err := l.post(&line)
	return *e, err == nil, err
}

// CancelRefund withdraws a refund that waits and bars an unknown one. One that has ended stays as it is.
func (l *Ledger) CancelRefund(at, rrn string) (RefundEntry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := Line{At: at, RRN: rrn, Kind: RefundTombstone}
	if e := l.refunds[rrn]; e != nil {
		if e.Status != link.Pending {
			return *e, nil
		}
		line.Kind, line.Payment, line.Amount = RefundClose, e.Order.Payment, e.Order.Amount
	} else if l.payments[rrn] != nil {
		return RefundEntry{}, ErrConflict
	}
	if err := l.post(&line); err != nil {
		return RefundEntry{}, err
	}
	return *l.refunds[rrn], nil
}

// Summary returns the figures.
func (l *Ledger) Summary() Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.summary
}

// Find returns what is known of a payment.
func (l *Ledger) Find(rrn string) (Entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.payments[rrn]; e != nil {
		return *e, true
	}
	return Entry{}, false
}

// FindRefund returns what is known of a refund.
func (l *Ledger) FindRefund(rrn string) (RefundEntry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.refunds[rrn]; e != nil {
		return *e, true
	}
	return RefundEntry{}, false
}

// Payments returns every payment, by RRN ascending.
func (l *Ledger) Payments() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]Entry, 0, len(l.payments))
	for _, e := range l.payments {
		list = append(list, *e)
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Order.RRN, b.Order.RRN) })
	return list
}

// Refunds returns every refund, by RRN ascending.
func (l *Ledger) Refunds() []RefundEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]RefundEntry, 0, len(l.refunds))
	for _, e := range l.refunds {
		list = append(list, *e)
	}
	slices.SortFunc(list, func(a, b RefundEntry) int { return strings.Compare(a.Order.RRN, b.Order.RRN) })
	return list
}

// CodeToken names a payment code in the ledger without giving it.
func CodeToken(code string) string {
	sum := sha256.Sum256([]byte("simulated wallet\x00" + code))
	return hex.EncodeToString(sum[:8])
}
