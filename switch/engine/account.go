package engine

import (
	"fmt"

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

// Accounts gives every purchase that the state has, the hot ones in the order of their numbers, then the cold ones, each with
// its voids and refunds. It reads the whole cold log, and returns an error where that is damaged. What it gives is good until
// the next.
func (e *Engine) Accounts(each func(*Account) error, eachOperation func(*OperationAccount) error) error {
	give := func(p *purchase, operations func(id uint64) *operation) error {
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
	s := &e.purchases
	for p := range s.all() {
		if err := give(p, func(id uint64) *operation { return s.operations[id] }); err != nil {
			return err
		}
	}
	for id, place := range s.at.All() {
		c, err := s.frame.read(s.log, int64(place>>1), id)
		if err != nil {
			return err
		}
		if err := give(c.purchase, c.operation); err != nil {
			return err
		}
	}
	return nil
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
