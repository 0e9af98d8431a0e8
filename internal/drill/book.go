package drill

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

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
	Unknown   State = "unknown" // at a wallet that has not said how it ended
	Captured  State = "captured"
	Declined  State = "declined"
	Reversing State = "reversing"
	Reversed  State = "reversed"
	Voiding   State = "voiding"
	Voided    State = "voided"
	Refunding State = "refunding"
	Refunded  State = "refunded"
)

// Purchase is what the journal says of one purchase, kept as plainly as possible.
type Purchase struct {
	ID          uint64
	State       State
	Kind        event.SaleKind
	Host        string
	Caller      string // who made it over HTTP
	Subsidy     int64  // fen, what it has now; 0 for an ordinary sale
	Promised    int64  // fen, the subsidy as it was reserved
	Amount      int64  // fen, what the payer is charged: payable of the hold, then DE4 of the sale
	Refunded    int64  // fen, given back to the payer by refunds
	Leaf        string
	Entitlement uint64
	Serial      string
	RRN         string
	ExpiresAt   int64 // Unix nanoseconds, of the hold
	Captures    int   // SaleApproved events
	Sendings    int   // SaleSent events
	Pending     int   // reversals of the sale that have no end
	Standing    int64 // fen, of a charge that a person has found to stand although the purchase is reversed

	operations []*Operation
	wallet     bool // its host is a wallet
	subsidised bool // it has, or had, a subsidy
	budget     bool // its subsidy counts against the budget
	goods      bool // its entitlement and serial number are taken
}

// Operation is a void or refund.
type Operation struct {
	ID       uint64
	Purchase uint64
	Void     bool
	State    string // sent, unknown, approved, declined, reversing, reversed
	Amount   int64
	RRN      string
	Host     string
	Approved int   // how often a host, or a person for it, has said yes
	Returned int64 // fen, of the subsidy, to the budget
	key      Key
}

// open reports whether the operation has no end.
func (o *Operation) open() bool {
	return o.State == "sent" || o.State == "unknown" || o.State == "reversing"
}

// Reversal is one that is on its way to a host, or waits for a person.
type Reversal struct {
	ID        uint64
	Purchase  uint64
	Operation uint64 // the void that is taken back; 0 = the sale
	State     string // queued, dead, refused
	amount    int64
	keepsHold bool
}

// moving counts what will end by itself: payments and operations with a host that has not given up or will be asked again,
// and reversals on their way.
func (b *Book) moving() int {
	n := 0
	for _, p := range b.Purchases {
		if p.State == Sent || p.State == Unknown {
			n++
		}
	}
	for _, o := range b.Operations {
		if o.State == "sent" || o.State == "unknown" && b.Purchases[o.Purchase].wallet {
			n++
		}
	}
	for _, r := range b.Open {
		if r.State == "queued" {
			n++
		}
	}
	return n
}

// Unresolved names everything that has no end: what is on its way, what nobody knows the end of, and dead letters.
func (b *Book) Unresolved() (list []string) {
	for _, id := range slices.Sorted(maps.Keys(b.Purchases)) {
		if p := b.Purchases[id]; p.State == Unknown {
			list = append(list, fmt.Sprintf("wallet payment of purchase %d is unknown", id))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.Operations)) {
		if o := b.Operations[id]; o.open() {
			list = append(list, fmt.Sprintf("operation %d of purchase %d is %s", id, o.Purchase, o.State))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.Open)) {
		r := b.Open[id]
		list = append(list, fmt.Sprintf("reversal %d of purchase %d is %s", id, r.Purchase, r.State))
	}
	return list
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
	Purchase  uint64
	Operation uint64
	Refused   bool   // a reserve that was refused
	Response  string // of what the switch itself answered
	Equal     bool   // settlement: the totals agreed
}

// Book is a second, deliberately dumb reading of the journal: no engine code is in it, so it can be wrong only in other
// ways than the engine. It knows no policy; budgets are the allocations that the journal states.
type Book struct {
	Purchases       map[uint64]*Purchase
	Operations      map[uint64]*Operation
	Open            map[uint64]*Reversal // reversals without an end
	ByRRN           map[string]*Purchase
	OperationsByRRN map[string]*Operation
	Reserves        map[Key]Exchange
	Sales           map[Key]Exchange // and voids, refunds, inquiries
	Reversals       map[Key]Exchange
	Batches         map[Key]Exchange  // settlements, uploads and reports
	Requests        map[string]string // idempotency key over HTTP → what it has led to
	Duplicated      []string          // findings while reading: a hold captured twice, a key that started two purchases
	Overspent       []string          // findings while reading: more live subsidy than allocation, a serial or entitlement used twice
	Refusals        []string          // findings while reading: reversals that a host would not do. The hosts of a drill do all that are right
	Miscounted      []string          // findings while reading: a batch that was settled with other totals than its records give
	Events          uint64
	Seen            Tally

	allocations  map[string]int64  // by budget path
	liveSubsidy  map[string]int64  // by budget path, of the node and all below it
	liveSerial   map[string]uint64 // serial → purchase
	liveClaim    map[uint64]uint64 // entitlement → purchase
	saleOfKey    map[Key]uint64
	reserveOfKey map[Key]uint64
	batch        map[string][]item // by terminal: payments and refunds since its last settlement
}

// NewBook is an empty book.
func NewBook() *Book {
	return &Book{
		Purchases: map[uint64]*Purchase{}, Operations: map[uint64]*Operation{}, Open: map[uint64]*Reversal{},
		ByRRN: map[string]*Purchase{}, OperationsByRRN: map[string]*Operation{},
		Reserves: map[Key]Exchange{}, Sales: map[Key]Exchange{}, Reversals: map[Key]Exchange{}, Batches: map[Key]Exchange{},
		Requests: map[string]string{}, allocations: map[string]int64{}, liveSubsidy: map[string]int64{},
		liveSerial: map[string]uint64{}, liveClaim: map[uint64]uint64{},
		saleOfKey: map[Key]uint64{}, reserveOfKey: map[Key]uint64{}, batch: map[string][]item{},
	}
}

// ReadBook reads a journal's folder, also while its switch runs.
func ReadBook(dir string) (*Book, error) {
	folder, err := journal.OpenFolder(dir, "")
	if err != nil {
		return nil, err
	}
	book := NewBook()
	if err := folder.Replay(1, 0, book.enter); err != nil {
		return nil, fmt.Errorf("read journal %s: %w", dir, err)
	}
	return book, nil
}

// ReadClusterBook reads the journal of a programme on a cluster, also while its switch runs.
func ReadClusterBook(ctx context.Context, url, programme string) (*Book, error) {
	j, err := journal.Open(ctx, journal.Config{URL: url, Programme: programme, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer j.Close()
	book := NewBook()
	if err := j.Replay(ctx, 1, book.enter); err != nil {
		return nil, fmt.Errorf("read journal of %s: %w", programme, err)
	}
	return book, nil
}

// enter applies a batch.
func (b *Book) enter(batch *journal.Batch) error {
	for _, ev := range batch.Events {
		if ev.Seq != b.Events+1 {
			return fmt.Errorf("event %d follows %d", ev.Seq, b.Events)
		}
		if err := b.Apply(ev); err != nil {
			return fmt.Errorf("event %d: %w", ev.Seq, err)
		}
	}
	return nil
}

// Apply enters one event.
func (b *Book) Apply(ev *event.Event) error {
	b.Events++
	b.Seen.count(ev)
	switch body := ev.Body.(type) {
	case *event.Event_BudgetNodeSet:
		b.allocations[body.BudgetNodeSet.Path] = body.BudgetNodeSet.Amount
	case *event.Event_Reserved:
		return b.reserved(body.Reserved)
	case *event.Event_ReserveRefused:
		if body.ReserveRefused.Caller == "" {
			b.Reserves[keyOf(body.ReserveRefused.Key)] = Exchange{Refused: true, Response: "57"}
		}
	case *event.Event_HoldCancelled:
		return b.end(body.HoldCancelled.Purchase, Cancelled, Reserved)
	case *event.Event_HoldExpired:
		return b.end(body.HoldExpired.Purchase, Expired, Reserved)
	case *event.Event_SaleSent:
		return b.saleSent(body.SaleSent)
	case *event.Event_SaleRefused:
		s := body.SaleRefused
		b.Sales[keyOf(s.Key)] = Exchange{Purchase: s.Purchase, Response: s.Response}
	case *event.Event_SaleApproved:
		return b.approved(body.SaleApproved.Purchase)
	case *event.Event_SaleDeclined:
		return b.end(body.SaleDeclined.Purchase, Declined, Sent, Unknown)
	case *event.Event_PaymentUnknown:
		return b.unknown(body.PaymentUnknown)
	case *event.Event_Supplemented:
		return b.supplemented(body.Supplemented.Facts)
	case *event.Event_InquirySent:
		b.Sales[keyOf(body.InquirySent.Key)] = Exchange{}
	case *event.Event_RequestKept:
		b.kept(body.RequestKept)
	case *event.Event_ReversalAnswered, *event.Event_ReversalQueued, *event.Event_ReversalDone, *event.Event_ReversalDead,
		*event.Event_ReversalRequeued, *event.Event_ReversalResolved, *event.Event_WorkItemOpened:
		return b.applyReversal(ev)
	case *event.Event_BatchSettled, *event.Event_BatchUploaded, *event.Event_BatchUploadEnded, *event.Event_TerminalReported:
		b.applyBatch(ev)
	default:
		return b.applyOperation(ev)
	}
	return nil
}

func (b *Book) purchase(id uint64) (*Purchase, error) {
	p := b.Purchases[id]
	if p == nil {
		return nil, fmt.Errorf("purchase %d is unknown", id)
	}
	return p, nil
}

func (b *Book) reserved(r *event.Reserved) error {
	if b.Purchases[r.Purchase] != nil {
		return fmt.Errorf("purchase %d is reserved twice", r.Purchase)
	}
	p := &Purchase{ID: r.Purchase, State: Reserved, Caller: r.Caller, ExpiresAt: r.ExpiresAt}
	p.subsidise(r)
	b.Purchases[p.ID] = p
	if r.Caller == "" {
		key := keyOf(r.Key)
		if first, taken := b.reserveOfKey[key]; taken && b.Purchases[first].budget {
			b.Duplicated = append(b.Duplicated, fmt.Sprintf("reserve %v holds purchases %d and %d", key, first, r.Purchase))
		}
		b.reserveOfKey[key] = p.ID
		b.Reserves[key] = Exchange{Purchase: p.ID, Response: "00"}
	}
	b.take(p)
	return nil
}

func (p *Purchase) subsidise(r *event.Reserved) {
	p.Subsidy, p.Promised, p.Leaf, p.Entitlement, p.Serial = r.Subsidy, r.Subsidy, r.Leaf, r.Entitlement, string(r.Serial)
	p.subsidised = true
	if p.State == Reserved {
		p.Amount = r.Payable
	}
}

// supplemented: an operator has given a captured purchase its subsidy by hand.
func (b *Book) supplemented(r *event.Reserved) error {
	p, err := b.purchase(r.Purchase)
	if err != nil {
		return err
	}
	if p.State != Captured || p.subsidised {
		return fmt.Errorf("purchase %d gets a subsidy by hand but is %s", p.ID, p.State)
	}
	p.subsidise(r)
	p.Promised = 0 // what its slip says: nothing
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
	if s.Caller == "" {
		key := keyOf(s.Key)
		if first, taken := b.saleOfKey[key]; taken {
			b.Duplicated = append(b.Duplicated, fmt.Sprintf("sale %v was sent for purchases %d and %d", key, first, p.ID))
		}
		b.saleOfKey[key] = p.ID
		b.Sales[key] = Exchange{Purchase: p.ID}
		b.batch[key.Terminal] = append(b.batch[key.Terminal], item{purchase: p.ID})
	}
	p.State, p.RRN, p.Amount, p.Kind, p.Host, p.wallet = Sent, s.Rrn, s.Amount, s.Kind, s.Host, s.Wallet
	if s.Caller != "" {
		p.Caller = s.Caller
	}
	p.Sendings++
	b.number(s.Rrn, fmt.Sprintf("purchase %d", p.ID))
	b.ByRRN[s.Rrn] = p
	return nil
}

// number finds an RRN that is given out twice.
func (b *Book) number(rrn, to string) {
	if other := b.ByRRN[rrn]; other != nil {
		b.Duplicated = append(b.Duplicated, fmt.Sprintf("RRN %s is used by purchase %d and %s", rrn, other.ID, to))
	}
	if other := b.OperationsByRRN[rrn]; other != nil {
		b.Duplicated = append(b.Duplicated, fmt.Sprintf("RRN %s is used by operation %d and %s", rrn, other.ID, to))
	}
}

func (b *Book) approved(id uint64) error {
	p, err := b.purchase(id)
	if err != nil {
		return err
	}
	p.Captures++
	if p.Captures > 1 || p.State != Sent && p.State != Unknown {
		b.Duplicated = append(b.Duplicated, fmt.Sprintf("purchase %d is captured while %s, capture %d", id, p.State, p.Captures))
	}
	p.State = Captured
	return nil
}

func (b *Book) unknown(u *event.PaymentUnknown) error {
	if u.Operation != 0 {
		_, err := b.turn(u.Operation, "unknown", "sent")
		return err
	}
	p, err := b.purchase(u.Purchase)
	if err != nil {
		return err
	}
	if p.State != Sent || !p.wallet {
		return fmt.Errorf("purchase %d becomes unknown but is %s", p.ID, p.State)
	}
	p.State = Unknown
	return nil
}

// kept notes an idempotency key: it leads to one thing only.
func (b *Book) kept(r *event.RequestKept) {
	what := fmt.Sprintf("%s of purchase %d, operation %d, reasons %v", r.Kind, r.Purchase, r.Operation, r.Reasons)
	if before, known := b.Requests[string(r.Request)]; known && before != what {
		b.Duplicated = append(b.Duplicated, fmt.Sprintf("one idempotency key led to %s and to %s", before, what))
	}
	b.Requests[string(r.Request)] = what
}

// end ends a purchase that is in one of the states from: what it has is free.
func (b *Book) end(id uint64, to State, from ...State) error {
	p := b.Purchases[id]
	if p == nil || !slices.Contains(from, p.State) {
		return fmt.Errorf("purchase %d becomes %s but is not %s", id, to, from)
	}
	b.free(p)
	p.State = to
	return nil
}

// take enters the purchase into the counts of what is in use, and finds what is used twice or beyond its allocation.
func (b *Book) take(p *Purchase) {
	if other, taken := b.liveSerial[p.Serial]; taken && p.Serial != "" {
		b.Overspent = append(b.Overspent, fmt.Sprintf("one serial number in purchases %d and %d", other, p.ID))
	}
	if other, taken := b.liveClaim[p.Entitlement]; taken {
		b.Overspent = append(b.Overspent, fmt.Sprintf("entitlement %d in purchases %d and %d", p.Entitlement, other, p.ID))
	}
	b.liveSerial[p.Serial], b.liveClaim[p.Entitlement] = p.ID, p.ID
	p.goods, p.budget = true, true
	for _, path := range ancestry(p.Leaf) {
		b.liveSubsidy[path] += p.Subsidy
		if limit, set := b.allocations[path]; set && b.liveSubsidy[path] > limit {
			b.Overspent = append(b.Overspent, fmt.Sprintf("budget %q holds %d fen of %d after purchase %d",
				path, b.liveSubsidy[path], limit, p.ID))
		}
	}
}

// free lets go of everything that a purchase still has.
func (b *Book) free(p *Purchase) {
	if p.budget {
		b.giveBack(p, p.Subsidy)
		p.budget = false
	}
	b.freeGoods(p)
}

// giveBack takes an amount out of the budget's use.
func (b *Book) giveBack(p *Purchase, amount int64) {
	for _, path := range ancestry(p.Leaf) {
		b.liveSubsidy[path] -= amount
	}
}

// freeGoods lets go of entitlement and serial number.
func (b *Book) freeGoods(p *Purchase) {
	if !p.goods {
		return
	}
	p.goods = false
	if b.liveSerial[p.Serial] == p.ID {
		delete(b.liveSerial, p.Serial)
	}
	if b.liveClaim[p.Entitlement] == p.ID {
		delete(b.liveClaim, p.Entitlement)
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
