package engine

import (
	"fmt"

	"huanxin/internal/money"
	"huanxin/subsidy"
)

// CheckInvariants recomputes what must hold after every event and returns the first difference: every open hold is on
// the budget and on an entitlement, a serial belongs to one live purchase, and money is where the purchases say. It
// walks the whole state: the server calls it after recovery and at the stop, tests after every step.
func (e *Engine) CheckInvariants() error { return e.CheckAtEase(func() {}) }

// stride is how many steps of a check, of a tenth of a microsecond to one each, go without a rest.
const stride = 1000

// CheckAtEase is CheckInvariants that calls rest after every stretch of less than a millisecond or two, for whoever checks a state
// of millions beside work that must not wait. Nothing may change while it rests.
func (e *Engine) CheckAtEase(rest func()) error {
	steps := 0
	step := func() {
		if steps++; steps == stride {
			steps = 0
			rest()
		}
	}
	var held, spent money.Amount
	holds, using := 0, 0
	var ordered money.Amount
	leaves := map[subsidy.NodeID]money.Amount{}
	hot := 0
	for p := range e.purchases.all() {
		step()
		hot++
		h, subsidised := p.hold()
		if !subsidised {
			continue
		}
		if err := e.checkHold(p); err != nil {
			return err
		}
		if p.live() || p.locked {
			using++
		}
		if d, ok := p.order(); ok && p.live() {
			ordered += h.Subsidy
			if money.Amount(e.orders.Get(d)) < h.Subsidy {
				return fmt.Errorf("purchase %d has %s under an order that has had %s", p.id, h.Subsidy, money.Amount(e.orders.Get(d)))
			}
		}
		switch {
		case p.holds():
			held += h.Subsidy
			holds++
		case p.spends():
			spent += h.Subsidy
			leaves[p.leaf] += h.Subsidy
		}
	}
	if hot != e.purchases.hot.len() {
		return fmt.Errorf("%d purchases are hot, %d are counted", hot, e.purchases.hot.len())
	}
	for _, sum := range e.purchases.sums.spent {
		spent += sum
	}
	if err := e.book.CheckInSteps(held, step); err != nil {
		return err
	}
	if err := e.checkCold(leaves, using, ordered, step); err != nil {
		return err
	}
	for id := range e.book.Budget.Len() {
		if v := e.book.Budget.View(subsidy.NodeID(id)); v.Paced && (v.Released < 0 || v.Manual < 0) {
			return fmt.Errorf("budget node %q has released %s, %s of it by hand", v.Path, v.Released, v.Manual)
		}
	}
	if holds != e.book.OpenHolds() {
		return fmt.Errorf("%d purchases hold a subsidy, the book counts %d", holds, e.book.OpenHolds())
	}
	if root, ok := e.book.Budget.Find(""); ok {
		if v := e.book.Budget.View(root); v.Spent != spent {
			return fmt.Errorf("the budget has spent %s, captured purchases %s", v.Spent, spent)
		}
	}
	return e.checkHosts()
}

// checkHold holds a purchase against its entitlement, its serial and its payers.
func (e *Engine) checkHold(p *purchase) error {
	h, subsidised := p.hold()
	if !subsidised {
		return nil
	}
	en, ok := e.book.Entitlement(h.Entitlement)
	if !ok {
		return fmt.Errorf("purchase %d has entitlement %d, which does not exist", p.id, h.Entitlement)
	}
	live := p.live() || p.locked
	if owns := en.Purchase == p.id && (en.State == subsidy.Held || en.State == subsidy.Used); owns != live {
		return fmt.Errorf("purchase %d is %s, its entitlement %d is %s by purchase %d", p.id, p.state, en.ID, en.State, en.Purchase)
	}
	if h.Serial != (Hash{}) && live != (e.book.SerialHolder(h.Serial) == p.id) {
		return fmt.Errorf("purchase %d is %s, its serial is held by purchase %d", p.id, p.state, e.book.SerialHolder(h.Serial))
	}
	return p.checkParts()
}

func in(set map[uint64]struct{}, id uint64) bool {
	_, ok := set[id]
	return ok
}

// checkParts holds what is left of a subsidy against its payers' parts.
func (p *purchase) checkParts() error {
	var sum money.Amount
	for _, part := range p.parts {
		if part < 0 {
			return fmt.Errorf("purchase %d: a payer pays %s", p.id, part)
		}
		sum += part
	}
	if len(p.parts) > 0 && sum != p.subsidy || p.subsidy < 0 || p.subsidy+p.returned != money.Amount(p.reserved.Subsidy) {
		return fmt.Errorf("purchase %d has %s of %s left and %s returned, its payers %s", p.id, p.subsidy,
			money.Amount(p.reserved.Subsidy), p.returned, sum)
	}
	return nil
}

// checkHosts holds what is on its way to hosts against the purchases it is about, and the counts against both.
func (e *Engine) checkHosts() error {
	queued, unknown, dead := 0, 0, 0
	for id, r := range e.reversals {
		p := e.purchase(r.purchase)
		o := e.operation(r.operation)
		if p == nil || r.operation == 0 && p.state != Reversing || r.operation != 0 && (o == nil || o.state != opReversing) {
			return fmt.Errorf("reversal %d is queued for purchase %d, operation %d, which is not being reversed", id, r.purchase, r.operation)
		}
		switch r.state {
		case reversalQueued:
			queued++
		case reversalDead:
			dead++
		}
	}
	for id, p := range e.purchases.hot.all() {
		if p == nil { // it rests: nothing has gone to a host
			continue
		}
		open, n := e.openRefunds(p)
		if (p.state == Refunding) != (n > 0) {
			return fmt.Errorf("purchase %d is %s and has %d refunds without an end", id, p.state, n)
		}
		if (p.state == Reversing || p.state == Reversed) && p.refunded != 0 {
			return fmt.Errorf("purchase %d is %s and %s of it are refunded", id, p.state, p.refunded)
		}
		if p.sale != nil && p.refunded+open > money.Amount(p.sale.Amount) {
			return fmt.Errorf("purchase %d was paid %s, %s are refunded and %s on the way", id, money.Amount(p.sale.Amount), p.refunded, open)
		}
		if in(e.asking, id) != (p.state == Unknown) || (p.held != 0) != p.isHolding() || p.held != 0 && e.holding[p.held-1] != p {
			return fmt.Errorf("purchase %d is %s and is not listed so", id, p.state)
		}
	}
	for id, o := range e.purchases.operations {
		if o.state == opUnknown {
			unknown++
		}
		if in(e.unsettled, id) != o.isUnsettled() {
			return fmt.Errorf("operation %d is %s and is not listed so", id, o.state)
		}
	}
	for _, item := range e.items {
		if item.opened.Kind == itemRefundUnknown {
			dead++
		}
	}
	if queued != e.queued || unknown != e.unknown || dead != e.dead {
		return fmt.Errorf("%d reversals queued, %d ends unknown, %d dead letters; counted are %d, %d and %d", queued, unknown, dead,
			e.queued, e.unknown, e.dead)
	}
	return nil
}
