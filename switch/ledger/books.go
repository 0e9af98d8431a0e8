package ledger

import "fmt"

// Check walks the books and returns what does not add up, of all that is found at most limit: every node's money against that of the purchases
// and claims on it, and every count against what it counts. What the facts have led to is right or wrong by itself; this
// holds that the books are one.
func (l *Ledger) Check(limit int) (list []string, found int) {
	type sums struct{ held, spent, allocated int64 }
	own := make([]sums, len(l.budget.nodes))
	holds, serials, taken := 0, 0, 0
	say := func(text string) {
		if found++; len(list) < limit {
			list = append(list, text)
		}
	}
	for i := range l.purchases.Len() {
		p := l.purchases.At(i)
		switch {
		case p.holds():
			holds++
			// What a claim had taken is held for the purchase now; the entitlement says nothing of it any more.
			if p.leaf != noLeaf {
				own[p.leaf].held += p.subsidy
			}
		case p.spends():
			if p.leaf != noLeaf {
				own[p.leaf].spent += p.subsidy
			}
		}
		if p.holds() || p.spends() || p.has(locked) {
			taken++
			if p.entitlement == 0 || int(p.entitlement) > l.entitlements.Len() { // only of a forged fact, which has been named
				say(fmt.Sprintf("purchase %d is %s, its entitlement %d was never claimed", i+1, p.state, p.entitlement))
			} else if e := l.entitlements.At(int(p.entitlement - 1)); e.holder != uint64(i)+1 || e.state != EntitlementHeld && e.state != EntitlementUsed {
				say(fmt.Sprintf("purchase %d is %s, its entitlement %d is %s by purchase %d", i+1, p.state, p.entitlement, e.state, e.holder))
			}
		}
	}
	for i := range l.entitlements.Len() {
		e := l.entitlements.At(i)
		switch e.state {
		case EntitlementClaimed:
			if e.leaf != noLeaf {
				own[e.leaf].held += int64(e.holder)
			}
		case EntitlementHeld, EntitlementUsed:
			taken--
		}
		if e.serial != [16]byte{} {
			serials++
		}
	}
	if holds != l.openHolds {
		say(fmt.Sprintf("%d purchases hold a subsidy, counted are %d", holds, l.openHolds))
	}
	if serials != l.serials.Len() {
		say(fmt.Sprintf("%d purchases have a serial number, indexed are %d", serials, l.serials.Len()))
	}
	if taken != 0 {
		say(fmt.Sprintf("%+d purchases have an entitlement that is not theirs", taken))
	}
	for i := len(l.budget.nodes) - 1; i >= 0; i-- { // a node is made after the one above it
		n := &l.budget.nodes[i]
		if own[i].held != n.held || own[i].spent != n.spent {
			say(fmt.Sprintf("budget node %q holds %d fen and has spent %d, its purchases and claims hold %d and have spent %d", n.path, n.held,
				n.spent, own[i].held, own[i].spent))
		}
		if own[i].allocated != n.assigned || n.assigned > n.allocated || n.held+n.spent > n.allocated {
			say(fmt.Sprintf("budget node %q has %d fen, gives %d to the nodes below, which have %d; %d are held and %d spent", n.path, n.allocated,
				n.assigned, own[i].allocated, n.held, n.spent))
		}
		if n.parent >= 0 {
			above := &own[n.parent]
			above.held += n.held
			above.spent += n.spent
			above.allocated += n.allocated
		}
	}
	return list, found
}

// Totals are the books in a few figures, in fen.
type Totals struct {
	Allocated, Held, Spent                                   int64
	Purchases, Subsidised, OpenHolds                         uint64
	Captured                                                 uint64 // purchases that stand as captured now
	Charged, Refunded, Returned                              int64
	Entitlements, EntitlementsUsed, PersonsByCategory        uint64
	Serials, Operations, OperationsOpen                      uint64
	Reversals, ReversalsOpen, Items, ItemsOpen, HostRequests uint64
}

// Totals walks the books.
func (l *Ledger) Totals() (t Totals) {
	if root, ok := l.budget.byPath[""]; ok {
		n := &l.budget.nodes[root]
		t.Allocated, t.Held, t.Spent = n.allocated, n.held, n.spent
	}
	t.Purchases, t.OpenHolds, t.Entitlements = l.Purchases(), uint64(l.openHolds), l.Entitlements()
	t.PersonsByCategory, t.Serials, t.HostRequests = uint64(l.uses.Len()), uint64(l.serials.Len()), l.requests
	for i := range l.purchases.Len() {
		p := l.purchases.At(i)
		if p.subsidised() {
			t.Subsidised++
		}
		switch p.state {
		case Captured, Voiding, Refunding, Refunded:
			t.Captured++
			t.Charged += p.amount
		}
		t.Refunded += p.refunded
		t.Returned += p.returned
	}
	for i := range l.entitlements.Len() {
		if l.entitlements.At(i).state == EntitlementUsed {
			t.EntitlementsUsed++
		}
	}
	for i := range l.operations.Len() {
		switch l.operations.At(i).state {
		case OperationSent, OperationUnknown, OperationReversing:
			t.OperationsOpen++
		}
	}
	for id := uint64(1); id <= l.Reversals(); id++ {
		if r, ok := l.Reversal(id); ok && r.Open() {
			t.ReversalsOpen++
		}
	}
	t.Operations, t.Reversals, t.Items, t.ItemsOpen = l.Operations(), l.Reversals(), l.Items(), uint64(len(l.open))
	return t
}
