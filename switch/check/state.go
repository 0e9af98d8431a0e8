package check

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"huanxin/subsidy"
	"huanxin/switch/engine"
	"huanxin/switch/ledger"
)

// CompareState holds the state of an engine against the books that were kept from the same facts. say is told every
// difference; where is what it is a difference of.
func CompareState(l *ledger.Ledger, e *engine.Engine, where string, say func(Difference)) error {
	var mu sync.Mutex // one at a time is told
	c := comparison{ledger: l, totals: l.Totals(), engine: e, where: where, told: map[string]int{}, mu: &mu, say: say}
	// Entitlements and persons beside the purchases: nothing changes meanwhile.
	var wait sync.WaitGroup
	wait.Go(func() {
		c.nodes()
		c.entitlements()
		c.persons()
	})
	c.counts()
	c.reversals()
	err := c.purchases()
	wait.Wait()
	return err
}

type comparison struct {
	ledger *ledger.Ledger
	totals ledger.Totals
	engine *engine.Engine
	where  string
	say    func(Difference)
	mu     *sync.Mutex
	told   map[string]int // by what
}

// spelled is how many differences of a kind are put into words. Of two states that have nothing in common there are tens of
// millions, of which nobody reads more.
const spelled = 1000

func (c *comparison) differ(what string, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := Difference{Where: c.where, What: what}
	if c.told[what]++; c.told[what] <= spelled {
		d.Text = fmt.Sprintf(format, args...)
	} else {
		d.Count = 1
	}
	c.say(d)
}

func (c *comparison) counts() {
	n := c.engine.Counts()
	for _, x := range []struct {
		name       string
		books, has uint64
	}{
		{"events", c.ledger.Seq(), c.engine.Seq()}, {"purchases", c.ledger.Purchases(), n.Purchases},
		{"voids and refunds", c.ledger.Operations(), n.Operations}, {"reversals", c.ledger.Reversals(), n.Reversals},
		{"work items", c.ledger.Items(), n.Items}, {"requests to hosts", c.totals.HostRequests, n.HostRequests},
	} {
		if x.books != x.has {
			c.differ("count", "%d %s, by the events there are %d", x.has, x.name, x.books)
		}
	}
}

func (c *comparison) nodes() {
	budget := c.engine.Book().Budget
	nodes := c.ledger.Nodes()
	if budget.Len() != len(nodes) {
		c.differ("budget", "%d budget nodes, by the events there are %d", budget.Len(), len(nodes))
	}
	for _, n := range nodes {
		id, ok := budget.Find(n.Path)
		if !ok {
			c.differ("budget", "no budget node %q", n.Path)
			continue
		}
		v := budget.View(id)
		released := n.Allocated
		if n.Paced {
			released = n.Released
		}
		got := fmt.Sprint("allocated ", v.Allocated, ", held ", v.Held, ", spent ", v.Spent, ", released ", v.Released, ", closed ", v.Closed)
		want := fmt.Sprint("allocated ", yuan(n.Allocated), ", held ", yuan(n.Held), ", spent ", yuan(n.Spent), ", released ", yuan(released),
			", closed ", n.Closed)
		if got != want || v.Paced != n.Paced || int64(v.Manual) != n.Manual {
			c.differ("budget", "budget node %q: %s; by the events: %s", n.Path, got, want)
		}
	}
}

func (c *comparison) entitlements() {
	book := c.engine.Book()
	if book.NextEntitlement() != c.ledger.Entitlements()+1 {
		c.differ("count", "%d entitlements, by the events there are %d", book.NextEntitlement()-1, c.ledger.Entitlements())
		for id := book.NextEntitlement(); id <= c.ledger.Entitlements(); id++ {
			c.differ("entitlement", "entitlement %d is missing", id)
		}
	}
	for id := uint64(1); id < book.NextEntitlement(); id++ {
		has, _ := book.Entitlement(id)
		want, ok := c.ledger.Entitlement(id)
		if !ok {
			c.differ("entitlement", "entitlement %d is %s, no event names it", id, has.State)
			continue
		}
		switch {
		case uint8(has.State) != uint8(want.State) || has.Purchase != want.Purchase || int64(has.Reserved) != want.Reserved:
			c.differ("entitlement", "entitlement %d is %s by purchase %d with %s reserved; by the events %s by %d with %s", id, has.State, has.Purchase,
				has.Reserved, want.State, want.Purchase, yuan(want.Reserved))
		case want.Reserved > 0 && book.Budget.Path(has.Leaf) != want.Leaf:
			c.differ("entitlement", "entitlement %d has taken from %q, by the events from %q", id, book.Budget.Path(has.Leaf), want.Leaf)
		case book.PersonOf(has) != subsidy.Hash(want.Person) || book.CategoryOf(has) != want.Category:
			c.differ("entitlement", "entitlement %d is another person's or of another category than by the events", id)
		}
		if want.Serial != [16]byte{} && book.SerialHolder(subsidy.Hash(want.Serial)) != want.Purchase {
			c.differ("serial", "the serial number of purchase %d is held by purchase %d", want.Purchase, book.SerialHolder(subsidy.Hash(want.Serial)))
		}
	}
}

func (c *comparison) persons() {
	book := c.engine.Book()
	if book.OpenHolds() != int(c.totals.OpenHolds) {
		c.differ("count", "%d holds are open, by the events %d", book.OpenHolds(), c.totals.OpenHolds)
	}
	if book.Serials() != c.ledger.Serials() {
		c.differ("count", "%d serial numbers are taken, by the events %d", book.Serials(), c.ledger.Serials())
	}
	// Each that the events name is looked up. Where the state has no more than those, it has no other.
	if book.Usages() != c.ledger.Persons() {
		c.differ("count", "%d persons and categories, by the events there are %d", book.Usages(), c.ledger.Persons())
		book.EachUsage(func(person subsidy.Hash, category string, has subsidy.Usage) {
			if !c.ledger.Knows(person, category) {
				c.differ("person", "person %x, category %s: %d items, %d claims, %d live, %s; no event names it", person[:4], category, has.Items,
					has.Claims, has.Live, has.Subsidy)
			}
		})
	}
	c.ledger.EachUse(func(u ledger.Use) {
		has := book.UsageOf(subsidy.Hash(u.Person), u.Category)
		if has.Items != u.Items || has.Claims != u.Claims || has.Live != u.Live || int64(has.Subsidy) != u.Subsidy {
			c.differ("person", "person %x, category %s: %d items, %d claims, %d live, %s; by the events %d, %d, %d, %s", u.Person[:4], u.Category,
				has.Items, has.Claims, has.Live, has.Subsidy, u.Items, u.Claims, u.Live, yuan(u.Subsidy))
		}
	})
}

func (c *comparison) reversals() {
	open, items := 0, 0
	c.engine.OpenReversals(func(has engine.ReversalAccount) {
		state := has.State
		if state == "queued" {
			state = ledger.ReversalQueued.String()
		}
		want, ok := c.ledger.Reversal(has.ID)
		if want.Open() {
			open++
		}
		if !ok || want.State.String() != state || want.Purchase != has.Purchase || want.Operation != has.Operation ||
			want.Amount != int64(has.Amount) || want.Attempts != has.Attempts {
			c.differ("reversal", "reversal %d of purchase %d, operation %d over %s is %s after %d attempts; by the events of %d, %d over %s %s after %d",
				has.ID, has.Purchase, has.Operation, has.Amount, state, has.Attempts, want.Purchase, want.Operation, yuan(want.Amount), want.State,
				want.Attempts)
		}
	})
	c.engine.OpenItems(func(id uint64) {
		items++
		if !c.ledger.ItemOpen(id) {
			c.differ("work item", "work item %d is open, by the events it is not", id)
		}
	})
	t := &c.totals
	if open != int(t.ReversalsOpen) {
		c.differ("reversal", "%d reversals have no end, by the events %d", open, t.ReversalsOpen)
	}
	if items != int(t.ItemsOpen) {
		c.differ("work item", "%d work items are open, by the events %d", items, t.ItemsOpen)
	}
}

// gone reports whether a state may have forgotten a purchase: it never charged anybody, or it was undone, and its last key is
// two days old.
func gone(p *ledger.Purchase) bool {
	switch p.State {
	case ledger.Expired, ledger.Cancelled, ledger.Declined, ledger.Reversed:
		return true
	}
	return false
}

func (c *comparison) purchases() error {
	// The cold ones in parts side by side: each is read and unpacked, which takes most of the time.
	cold := uint64(runtime.GOMAXPROCS(0))
	seen, errs := make([]bits, cold+1), make([]error, cold+1)
	var wait sync.WaitGroup
	for k := range seen {
		seen[k] = newBits(c.ledger.Purchases())
		each := func(has *engine.Account) error { c.purchase(has, seen[k]); return nil }
		eachOperation := func(has *engine.OperationAccount) error { c.operation(has); return nil }
		wait.Go(func() {
			if k == 0 {
				errs[k] = c.engine.HotAccounts(each, eachOperation)
			} else {
				errs[k] = c.engine.ColdAccounts(uint64(k-1), cold, each, eachOperation)
			}
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for id := uint64(1); id <= c.ledger.Purchases(); id++ {
		times := 0
		for _, part := range seen {
			if part.has(id) {
				times++
			}
		}
		if times > 1 {
			c.differ("purchase", "purchase %d is there twice", id)
		}
		if times > 0 {
			continue
		}
		if p, ok := c.ledger.Purchase(id); ok && !gone(&p) {
			c.differ("purchase", "purchase %d is missing, by the events it is %s", id, p.State)
		}
	}
	return nil
}

func (c *comparison) purchase(has *engine.Account, seen bits) {
	want, ok := c.ledger.Purchase(has.ID)
	if !ok || !seen.add(has.ID) {
		c.differ("purchase", "purchase %d is %s and is there twice, or no event names it", has.ID, has.State)
		return
	}
	p := &want
	if has.State.String() != p.State.String() || has.Holds != p.Holds || has.Spends != p.Spends || has.Entitlement != p.Entitlement ||
		has.Manual != p.Manual || has.Subsidised != (p.Entitlement != 0) || p.Entitlement != 0 && has.Leaf != p.Leaf ||
		int64(has.Amount) != p.Amount || int64(has.Subsidy) != p.Subsidy || int64(has.Returned) != p.Returned ||
		int64(has.Refunded) != p.Refunded || int64(has.Refunding) != p.Refunding {
		c.differ("purchase", "purchase %d is %s over %s with %s of subsidy on %q, %s returned, %s refunded, %s on the way; "+
			"by the events %s over %s with %s on %q, %s, %s, %s", p.ID, has.State, has.Amount, has.Subsidy, has.Leaf, has.Returned, has.Refunded,
			has.Refunding, p.State, yuan(p.Amount), yuan(p.Subsidy), p.Leaf, yuan(p.Returned), yuan(p.Refunded), yuan(p.Refunding))
	}
}

func (c *comparison) operation(has *engine.OperationAccount) {
	want, _ := c.ledger.Operation(has.ID)
	if want.State.String() != has.State || want.Purchase != has.Purchase || want.Void != has.Void || want.Amount != int64(has.Amount) ||
		want.Returned != int64(has.Returned) {
		c.differ("operation", "operation %d of purchase %d over %s is %s, %s returned; by the events of %d over %s %s, %s", has.ID, has.Purchase,
			has.Amount, has.State, has.Returned, want.Purchase, yuan(want.Amount), want.State, yuan(want.Returned))
	}
}
