package engine

import (
	"fmt"

	"huanxin/internal/money"
	"huanxin/subsidy"
)

// CheckInvariants recomputes what must hold after every event and returns the first difference: every open hold is on
// the budget and on an entitlement, a serial belongs to one live purchase, and money is where the purchases say. It
// walks the whole state: the server calls it after recovery, tests after every step.
func (e *Engine) CheckInvariants() error {
	var held, spent money.Amount
	holds := 0
	orders := map[orderKey]money.Amount{}
	for id, p := range e.purchases {
		h, subsidised := p.hold()
		if !subsidised {
			continue
		}
		en, ok := e.book.Entitlement(h.Entitlement)
		if !ok {
			return fmt.Errorf("purchase %d has entitlement %d, which does not exist", id, h.Entitlement)
		}
		live := p.live()
		if owns := en.Purchase == id && (en.State == subsidy.Held || en.State == subsidy.Used); owns != live {
			return fmt.Errorf("purchase %d is %s, its entitlement %d is %s by purchase %d", id, p.state, en.ID, en.State, en.Purchase)
		}
		if h.Serial != (Hash{}) && live != (e.book.SerialHolder(h.Serial) == id) {
			return fmt.Errorf("purchase %d is %s, its serial is held by purchase %d", id, p.state, e.book.SerialHolder(h.Serial))
		}
		if k, ok := p.order(); ok && live {
			orders[k] += h.Subsidy
		}
		switch p.state {
		case Reserved, Sent:
			held += h.Subsidy
			holds++
		case Captured:
			spent += h.Subsidy
		}
	}
	if err := e.book.Check(held); err != nil {
		return err
	}
	for k, sum := range orders {
		if e.orders[k] != sum {
			return fmt.Errorf("an order of merchant %s has had %s, %s is counted", k.merchant, sum, e.orders[k])
		}
	}
	if len(orders) != len(e.orders) {
		return fmt.Errorf("%d orders have live purchases, %d are counted", len(orders), len(e.orders))
	}
	if holds != e.book.OpenHolds() {
		return fmt.Errorf("%d purchases hold a subsidy, the book counts %d", holds, e.book.OpenHolds())
	}
	if root, ok := e.book.Budget.Find(""); ok {
		if v := e.book.Budget.View(root); v.Spent != spent {
			return fmt.Errorf("the budget has spent %s, captured purchases %s", v.Spent, spent)
		}
	}
	for id, r := range e.reversals {
		if p := e.purchases[r.purchase]; p == nil || p.state != Reversing {
			return fmt.Errorf("reversal %d is queued for purchase %d, which is not being reversed", id, r.purchase)
		}
	}
	return nil
}
