package drill

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"huanxin/switch/event"
	"huanxin/switch/journal"
)

// State is where a purchase stands.
type State string

// The states that a journal's events lead to.
const (
	Reserved  State = "reserved"
	Expired   State = "expired"
	Cancelled State = "cancelled"
	Sent      State = "sent"
	Captured  State = "captured"
	Declined  State = "declined"
	Reversing State = "reversing"
	Reversed  State = "reversed"
)

// Purchase is what the journal says of one purchase, kept as plainly as possible.
type Purchase struct {
	ID          uint64
	State       State
	Subsidy     int64 // fen; 0 for an ordinary sale
	Amount      int64 // fen, what the payer is charged: payable of the hold, then DE4 of the sale
	Leaf        string
	Entitlement uint64
	Serial      string
	RRN         string
	ExpiresAt   int64 // Unix nanoseconds, of the hold
	Captures    int   // SaleApproved events
	Sendings    int   // SaleSent events
	Pending     int   // reversals towards the host that are neither confirmed nor refused
	WithPerson  bool  // the host refused the last reversal, or knew nothing to reverse: a person settles what is charged
}

// live reports whether the purchase takes budget, entitlement and serial number.
func (p *Purchase) live() bool { return p.State == Reserved || p.State == Sent || p.State == Captured }

// InFlight counts the purchases whose end is still open: sent to a host, or with a reversal that is neither confirmed nor
// refused.
func (b *Book) InFlight() int {
	n := 0
	for _, p := range b.Purchases {
		if p.State == Sent || p.Pending > 0 {
			n++
		}
	}
	return n
}

// OpenHolds counts the holds that are neither used nor ended.
func (b *Book) OpenHolds() int {
	n := 0
	for _, p := range b.Purchases {
		if p.State == Reserved {
			n++
		}
	}
	return n
}

// Key is the identity of an exchange, comparable.
type Key struct {
	Class    uint32
	Terminal string
	Merchant string
	Batch    uint32
	STAN     uint32
}

func keyOf(k *event.ExchangeKey) Key {
	return Key{k.GetClass(), k.GetTerminal(), k.GetMerchant(), k.GetBatch(), k.GetStan()}
}

// Exchange is what the journal says was answered to one request of a terminal.
type Exchange struct {
	Purchase uint64
	Refused  bool   // a reserve that was refused
	Response string // of a sale or reversal that the switch itself answered
}

// Book is a second, deliberately dumb reading of the journal: no engine code is in it, so it can be wrong only in other
// ways than the engine. It knows no policy; budgets are the allocations that the journal states.
type Book struct {
	Purchases  map[uint64]*Purchase
	ByRRN      map[string]*Purchase
	Reserves   map[Key]Exchange
	Sales      map[Key]Exchange
	Reversals  map[Key]Exchange
	Duplicated []string // findings while reading: a hold captured twice, a key that started two purchases
	Overspent  []string // findings while reading: more live subsidy than allocation, a serial or entitlement used twice
	Events     uint64

	reversals    map[uint64]*Purchase // by the id of a pending reversal
	allocations  map[string]int64     // by budget path
	liveSubsidy  map[string]int64     // by budget path, of the node and all below it
	liveSerial   map[string]uint64    // serial → purchase
	liveClaim    map[uint64]uint64    // entitlement → purchase
	saleOfKey    map[Key]uint64
	reserveOfKey map[Key]uint64
}

// NewBook is an empty book.
func NewBook() *Book {
	return &Book{
		Purchases: map[uint64]*Purchase{}, ByRRN: map[string]*Purchase{},
		Reserves: map[Key]Exchange{}, Sales: map[Key]Exchange{}, Reversals: map[Key]Exchange{},
		reversals: map[uint64]*Purchase{}, allocations: map[string]int64{}, liveSubsidy: map[string]int64{},
		liveSerial: map[string]uint64{}, liveClaim: map[uint64]uint64{},
		saleOfKey: map[Key]uint64{}, reserveOfKey: map[Key]uint64{},
	}
}

// ReadBook reads a journal's folder, also while its switch runs.
func ReadBook(dir string) (*Book, error) {
	folder, err := journal.OpenFolder(dir, "")
	if err != nil {
		return nil, err
	}
	book := NewBook()
	err = folder.Replay(1, 0, func(batch *journal.Batch) error {
		for _, ev := range batch.Events {
			if ev.Seq != book.Events+1 {
				return fmt.Errorf("event %d follows %d", ev.Seq, book.Events)
			}
			if err := book.Apply(ev); err != nil {
				return fmt.Errorf("event %d: %w", ev.Seq, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read journal %s: %w", dir, err)
	}
	return book, nil
}

// Apply enters one event.
func (b *Book) Apply(ev *event.Event) error {
	b.Events++
	switch body := ev.Body.(type) {
	case *event.Event_BudgetNodeSet:
		b.allocations[body.BudgetNodeSet.Path] = body.BudgetNodeSet.Amount
	case *event.Event_Reserved:
		return b.reserved(body.Reserved)
	case *event.Event_ReserveRefused:
		b.Reserves[keyOf(body.ReserveRefused.Key)] = Exchange{Refused: true, Response: "57"}
	case *event.Event_HoldCancelled:
		return b.move(body.HoldCancelled.Purchase, Cancelled, Reserved)
	case *event.Event_HoldExpired:
		return b.move(body.HoldExpired.Purchase, Expired, Reserved)
	case *event.Event_SaleSent:
		return b.saleSent(body.SaleSent)
	case *event.Event_SaleRefused:
		s := body.SaleRefused
		b.Sales[keyOf(s.Key)] = Exchange{Purchase: s.Purchase, Response: s.Response}
	case *event.Event_SaleApproved:
		return b.approved(body.SaleApproved.Purchase)
	case *event.Event_SaleDeclined:
		return b.move(body.SaleDeclined.Purchase, Declined, Sent)
	case *event.Event_ReversalAnswered:
		r := body.ReversalAnswered
		b.Reversals[keyOf(r.Key)] = Exchange{Purchase: r.Purchase, Response: r.Response}
	case *event.Event_ReversalQueued:
		return b.queued(body.ReversalQueued)
	case *event.Event_ReversalDone:
		return b.done(body.ReversalDone)
	case *event.Event_WorkItemOpened:
		return b.workItem(body.WorkItemOpened)
	}
	return nil
}

func (b *Book) reserved(r *event.Reserved) error {
	if b.Purchases[r.Purchase] != nil {
		return fmt.Errorf("purchase %d is reserved twice", r.Purchase)
	}
	key := keyOf(r.Key)
	if first, taken := b.reserveOfKey[key]; taken && b.Purchases[first].live() {
		b.Duplicated = append(b.Duplicated, fmt.Sprintf("reserve %v holds purchases %d and %d", key, first, r.Purchase))
	}
	p := &Purchase{
		ID: r.Purchase, State: Reserved, Subsidy: r.Subsidy, Amount: r.Payable, Leaf: r.Leaf,
		Entitlement: r.Entitlement, Serial: string(r.Serial), ExpiresAt: r.ExpiresAt,
	}
	b.Purchases[p.ID] = p
	b.reserveOfKey[key] = p.ID
	b.Reserves[key] = Exchange{Purchase: p.ID, Response: "00"}
	b.take(p)
	return nil
}

func (b *Book) saleSent(s *event.SaleSent) error {
	p := b.Purchases[s.Purchase]
	switch {
	case s.Ordinary && p != nil:
		return fmt.Errorf("ordinary sale %d is there already", s.Purchase)
	case s.Ordinary:
		p = &Purchase{ID: s.Purchase}
		b.Purchases[p.ID] = p
	case p == nil:
		return fmt.Errorf("sale sent for unknown hold %d", s.Purchase)
	case p.State != Reserved:
		b.Duplicated = append(b.Duplicated, fmt.Sprintf("hold %d is %s and was sent to the host again", p.ID, p.State))
	case p.Amount != s.Amount:
		return fmt.Errorf("hold %d is payable with %d fen but %d were sent", p.ID, p.Amount, s.Amount)
	}
	key := keyOf(s.Key)
	if first, taken := b.saleOfKey[key]; taken {
		b.Duplicated = append(b.Duplicated, fmt.Sprintf("sale %v was sent for purchases %d and %d", key, first, p.ID))
	}
	b.saleOfKey[key] = p.ID
	b.Sales[key] = Exchange{Purchase: p.ID}
	p.State, p.RRN, p.Amount = Sent, s.Rrn, s.Amount
	p.Sendings++
	if other := b.ByRRN[s.Rrn]; other != nil {
		b.Duplicated = append(b.Duplicated, fmt.Sprintf("RRN %s is used by purchases %d and %d", s.Rrn, other.ID, p.ID))
	}
	b.ByRRN[s.Rrn] = p
	return nil
}

func (b *Book) approved(id uint64) error {
	p := b.Purchases[id]
	if p == nil {
		return fmt.Errorf("approval of unknown purchase %d", id)
	}
	p.Captures++
	if p.Captures > 1 || p.State != Sent {
		b.Duplicated = append(b.Duplicated, fmt.Sprintf("purchase %d is captured while %s, capture %d", id, p.State, p.Captures))
	}
	p.State = Captured
	return nil
}

func (b *Book) queued(r *event.ReversalQueued) error {
	p := b.Purchases[r.Purchase]
	if p == nil {
		return fmt.Errorf("reversal of unknown purchase %d", r.Purchase)
	}
	if p.live() {
		b.free(p)
	}
	p.State, p.WithPerson = Reversing, false // what a person was asked about before, this reversal settles
	p.Pending++
	b.reversals[r.Reversal] = p
	return nil
}

func (b *Book) done(r *event.ReversalDone) error {
	p := b.reversals[r.Reversal]
	if p == nil {
		return fmt.Errorf("end of unknown reversal %d", r.Reversal)
	}
	p.State = Reversed
	p.Pending--
	delete(b.reversals, r.Reversal)
	return nil
}

// workItem notes the two kinds after which nobody but a person knows what the host has charged. Every other kind reports
// something that the books must agree on nevertheless.
func (b *Book) workItem(w *event.WorkItemOpened) error {
	switch w.Kind {
	case "reversal-refused":
		p := b.reversals[w.Reversal]
		if p == nil {
			return fmt.Errorf("refusal of unknown reversal %d", w.Reversal)
		}
		p.Pending--
		p.WithPerson = true
		delete(b.reversals, w.Reversal)
	case "reversal-without-original":
		p := b.Purchases[w.Purchase]
		if p == nil {
			return fmt.Errorf("work item %d is about unknown purchase %d", w.Item, w.Purchase)
		}
		p.WithPerson = true
	}
	return nil
}

// move ends a purchase that is in state from.
func (b *Book) move(id uint64, to, from State) error {
	p := b.Purchases[id]
	if p == nil || p.State != from {
		return fmt.Errorf("purchase %d becomes %s but is not %s", id, to, from)
	}
	b.free(p)
	p.State = to
	return nil
}

// take enters the purchase into the counts of what is in use, and finds what is used twice or beyond its allocation.
func (b *Book) take(p *Purchase) {
	if p.Subsidy == 0 {
		return
	}
	if other, taken := b.liveSerial[p.Serial]; taken && p.Serial != "" {
		b.Overspent = append(b.Overspent, fmt.Sprintf("one serial number in purchases %d and %d", other, p.ID))
	}
	if other, taken := b.liveClaim[p.Entitlement]; taken {
		b.Overspent = append(b.Overspent, fmt.Sprintf("entitlement %d in purchases %d and %d", p.Entitlement, other, p.ID))
	}
	b.liveSerial[p.Serial], b.liveClaim[p.Entitlement] = p.ID, p.ID
	for _, path := range ancestry(p.Leaf) {
		b.liveSubsidy[path] += p.Subsidy
		if limit, set := b.allocations[path]; set && b.liveSubsidy[path] > limit {
			b.Overspent = append(b.Overspent, fmt.Sprintf("budget %q holds %d fen of %d after purchase %d",
				path, b.liveSubsidy[path], limit, p.ID))
		}
	}
}

func (b *Book) free(p *Purchase) {
	if p.Subsidy == 0 {
		return
	}
	if b.liveSerial[p.Serial] == p.ID {
		delete(b.liveSerial, p.Serial)
	}
	if b.liveClaim[p.Entitlement] == p.ID {
		delete(b.liveClaim, p.Entitlement)
	}
	for _, path := range ancestry(p.Leaf) {
		b.liveSubsidy[path] -= p.Subsidy
	}
}

// ancestry is the leaf and every node above it: "a/b", "a", "".
func ancestry(leaf string) []string {
	list := []string{leaf}
	for i := len(leaf) - 1; i >= 0; i-- {
		if leaf[i] == '/' {
			list = append(list, leaf[:i])
		}
	}
	if leaf != "" {
		list = append(list, "")
	}
	return list
}

// decodeLines reads JSON objects, one a line, and stops at a last line that was cut off by a kill.
func decodeLines[T any](r io.Reader) ([]T, error) {
	var list []T
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return list, nil // what has no newline was being written when its writer died
		}
		if err != nil {
			return nil, err
		}
		var one T
		if err := json.Unmarshal(line, &one); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(list)+1, err)
		}
		list = append(list, one)
	}
}
