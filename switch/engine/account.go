package engine

import (
	"errors"
	"fmt"
	"io"

	"huanxin/internal/money"
)

// Account is what a purchase has, for who holds a state against another reading of the same facts.
type Account struct {
	ID          uint64
	State       PurchaseState
	Subsidised  bool
	Manual      bool
	Holds       bool // its subsidy is held
	Spends      bool // it is spent
	Entitlement uint64
	Leaf        string
	Amount      money.Amount // what the payer is charged: the payable of the hold, then DE4
	Subsidy     money.Amount // what it has now, or had when it let go
	Returned    money.Amount // of it, to the budget, by refunds
	Refunded    money.Amount // to the payer
	Refunding   money.Amount // in refunds without an end
}

// OperationAccount is a void or refund in the same way.
type OperationAccount struct {
	ID, Purchase     uint64
	Void             bool
	State            string
	Amount, Returned money.Amount
}

// ReversalAccount is a reversal that waits for its host or a person.
type ReversalAccount struct {
	ID, Purchase, Operation uint64
	State                   string // queued, dead, refused
	Amount                  money.Amount
	Attempts                uint32
}

// HotAccounts gives the hot purchases in the order of their numbers, each with its voids and refunds. What it gives is good
// until the next.
func (e *Engine) HotAccounts(each func(*Account) error, eachOperation func(*OperationAccount) error) error {
	s := &e.purchases
	for p := range s.all() {
		if err := e.account(p, func(id uint64) *operation { return s.operations[id] }, each, eachOperation); err != nil {
			return err
		}
	}
	return nil
}

// ColdAccounts gives the cold ones in the same way, of n parts part k, counted from 0. Parts may be read side by side, and beside
// HotAccounts. It returns an error where the cold log is damaged.
func (e *Engine) ColdAccounts(k, n uint64, each func(*Account) error, eachOperation func(*OperationAccount) error) error {
	s := &e.purchases
	f, log := new(frame), &window{log: s.log}
	for id := k * (e.lastPurchase + 1) / n; id < (k+1)*(e.lastPurchase+1)/n; id++ {
		place := s.at.Get(id)
		if place == 0 {
			continue
		}
		c, err := f.read(log, int64(place>>1), id)
		if err == nil {
			err = e.account(c.purchase, c.operation, each, eachOperation)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) account(p *purchase, operations func(id uint64) *operation, each func(*Account) error,
	eachOperation func(*OperationAccount) error) error {
	a := Account{
		ID: p.id, State: p.state, Subsidised: p.reserved != nil, Manual: p.manual, Holds: p.reserved != nil && p.holds(),
		Spends: p.reserved != nil && p.spends(), Subsidy: p.subsidy, Returned: p.returned, Refunded: p.refunded,
	}
	if p.reserved != nil {
		a.Entitlement, a.Leaf, a.Amount = p.reserved.Entitlement, e.book.Budget.Path(p.leaf), money.Amount(p.reserved.Payable)
	}
	if p.sale != nil {
		a.Amount = money.Amount(p.sale.Amount)
	}
	for _, id := range p.operations {
		o := operations(id)
		if o == nil {
			return fmt.Errorf("purchase %d has an operation %d that is not there", p.id, id)
		}
		if o.refund != nil && o.isUnsettled() {
			a.Refunding += o.amount()
		}
		if err := eachOperation(&OperationAccount{o.id, o.purchase, o.void != nil, o.state.String(), o.amount(), o.returned}); err != nil {
			return err
		}
	}
	return each(&a)
}

// window reads a log in larger pieces, for who reads records in about the order in which they lie.
type window struct {
	log  io.ReaderAt
	buf  []byte
	from int64
}

// windowSize is some dozen records.
const windowSize = 32 << 10

func (w *window) ReadAt(p []byte, offset int64) (int, error) {
	if len(p) > windowSize {
		return w.log.ReadAt(p, offset)
	}
	if offset < w.from || offset+int64(len(p)) > w.from+int64(len(w.buf)) {
		if w.buf == nil {
			w.buf = make([]byte, windowSize)
		}
		n, err := w.log.ReadAt(w.buf[:windowSize], offset)
		if w.buf, w.from = w.buf[:n], offset; err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
	}
	n := copy(p, w.buf[offset-w.from:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// OpenReversals gives the reversals without an end, in no order.
func (e *Engine) OpenReversals(fn func(ReversalAccount)) {
	for _, r := range e.reversals {
		fn(ReversalAccount{r.id, r.purchase, r.operation, r.state.String(), r.amount, r.attempt})
	}
}

// OpenItems gives the numbers of the work items without an end, in no order.
func (e *Engine) OpenItems(fn func(uint64)) {
	for id := range e.items {
		fn(id)
	}
}

// Counts are how many of each kind there ever were: they are numbered from 1.
type Counts struct {
	Purchases, Operations, Reversals, Items, HostRequests, Epoch uint64
}

// Counts are those of the state.
func (e *Engine) Counts() Counts {
	return Counts{e.lastPurchase, e.lastOperation, e.lastReversal, e.lastItem, e.hostCounter, e.epoch}
}
