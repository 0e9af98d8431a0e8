package check

import (
	"context"
	"encoding/hex"
	"fmt"

	"huanxin/switch/ledger"
	"huanxin/switch/projection"
)

// Database is the rows of the projection as they are at one moment, which does not pass while they are read: postgres.Frozen.
// What an Each gives is good until the next.
type Database interface {
	Position(context.Context) (projection.Position, error)
	Programme(context.Context) (projection.Programme, error)
	EachNode(context.Context, func(*projection.Node) error) error
	EachPurchase(context.Context, func(*projection.Purchase) error) error
	EachHold(context.Context, func(*projection.Hold) error) error
	EachEntitlement(context.Context, func(*projection.Entitlement) error) error
	EachReversal(context.Context, func(*projection.Reversal) error) error
	EachOperation(context.Context, func(*projection.Operation) error) error
	EachWorkItem(context.Context, func(*projection.WorkItem) error) error
	EachCapture(context.Context, func(*projection.Capture) error) error
	EachRefund(context.Context, func(*projection.Refund) error) error
	EachMovement(context.Context, func(*projection.Movement) error) error
	EachSupplement(context.Context, func(*projection.Supplement) error) error
	EachRefusal(context.Context, func(*projection.Refusal) error) error
	EachRequest(context.Context, func(*projection.Request) error) error
	EachTerminalBatch(context.Context, func(*projection.TerminalBatch) error) error
	Close()
}

// tables holds the rows against the books of the same moment.
type tables struct {
	db    Database
	l     *ledger.Ledger
	limit int
	say   func(Difference)
	rows  map[string]uint64
	told  map[string]int // by table
}

func (t *tables) differ(what, format string, args ...any) {
	d := Difference{Where: "database", What: what}
	if t.told[what]++; t.told[what] <= spelled {
		d.Text = fmt.Sprintf(format, args...)
	} else {
		d.Count = 1
	}
	t.say(d)
}

// CompareRows holds the rows against the books that were kept up to the same event, table by table, and returns how many rows
// of each there are. say is told every difference, of the tables with a row for some events at most limit one by one. What is not
// looked at stands in README.md.
func CompareRows(ctx context.Context, l *ledger.Ledger, db Database, limit int, say func(Difference)) (map[string]uint64, error) {
	t := &tables{db: db, l: l, limit: limit, say: say, rows: map[string]uint64{}, told: map[string]int{}}
	for _, compare := range []func(context.Context) error{
		t.programme, t.nodes, t.purchases, t.holds, t.entitlements, t.reversals, t.operations, t.workItems, t.captures, t.refunds,
		t.movements, t.supplements, t.refusals, t.requests, t.settlements,
	} {
		if err := compare(ctx); err != nil {
			return t.rows, fmt.Errorf("database: %w", err)
		}
	}
	return t.rows, nil
}

// compareDatabase is CompareRows at the position that the database names.
func (r *run) compareDatabase(ctx context.Context) (err error) {
	r.report.Database = &Rows{Position: r.at.Batch, Events: r.at.Seq}
	if r.at.Batch == 0 {
		r.note("the database has no rows yet: its projection is at the beginning")
	} else if r.at.Hash != r.hash || r.at.Seq != r.ledger.Seq() {
		r.say(Difference{Where: "database", What: "projection_position", Position: r.at.Batch, Text: fmt.Sprintf(
			"it has the batch as %x with event %d, the journal as %x with event %d", r.at.Hash[:8], r.at.Seq, r.hash[:8], r.ledger.Seq())})
	}
	r.report.Database.Rows, err = CompareRows(ctx, r.ledger, r.database, r.cfg.Limit, r.say)
	return err
}

func (t *tables) programme(ctx context.Context) error {
	has, err := t.db.Programme(ctx)
	if err != nil {
		return err
	}
	want := t.l.Programme()
	if has.Name != want.Name || has.Epoch != want.Epoch || hex.EncodeToString(has.PolicyDigest) != hex.EncodeToString(want.PolicyDigest) ||
		hex.EncodeToString(has.PersonKeyCheck) != hex.EncodeToString(want.PersonKeyCheck) {
		t.differ("programme", "it is %s, owner %d, rules %x, key %x; by the events %s, %d, %x, %x", has.Name, has.Epoch, has.PolicyDigest,
			has.PersonKeyCheck, want.Name, want.Epoch, want.PolicyDigest, want.PersonKeyCheck)
	}
	return nil
}

func (t *tables) nodes(ctx context.Context) error {
	want := map[string]ledger.Node{}
	for _, n := range t.l.Nodes() {
		want[n.Path] = n
	}
	err := t.db.EachNode(ctx, func(has *projection.Node) error {
		t.rows["budget_nodes"]++
		n, ok := want[has.Path]
		if !ok {
			t.differ("budget_nodes", "a row too many: %q", has.Path)
			return nil
		}
		delete(want, has.Path)
		if int64(has.Allocated) != n.Allocated || int64(has.Held) != n.Held || int64(has.Spent) != n.Spent || has.Closed != n.Closed ||
			has.Paced != n.Paced || int64(has.Released) != n.Released || int64(has.Manual) != n.Manual {
			t.differ("budget_nodes", "%q: allocated %s, held %s, spent %s, released %s; by the events %s, %s, %s, %s", has.Path, has.Allocated, has.Held,
				has.Spent, has.Released, yuan(n.Allocated), yuan(n.Held), yuan(n.Spent), yuan(n.Released))
		}
		return nil
	})
	for path := range want {
		t.differ("budget_nodes", "no row for %q", path)
	}
	return err
}

// numbered compares a table of things that are numbered from 1.
type numbered struct {
	t    *tables
	name string
	seen bits
	last uint64
}

func (t *tables) numbered(name string, last uint64) *numbered {
	return &numbered{t: t, name: name, seen: newBits(last), last: last}
}

// take reports whether a row is one that should be there.
func (n *numbered) take(id uint64, known bool) bool {
	n.t.rows[n.name]++
	if !known || !n.seen.add(id) {
		n.t.differ(n.name, "a row too many: %d", id)
		return false
	}
	return true
}

// end tells what is missing.
func (n *numbered) end(known func(id uint64) bool) {
	for id := uint64(1); id <= n.last; id++ {
		if !n.seen.has(id) && known(id) {
			n.t.differ(n.name, "no row for %d", id)
		}
	}
}

func (t *tables) purchases(ctx context.Context) error {
	n := t.numbered("purchases", t.l.Purchases())
	err := t.db.EachPurchase(ctx, func(has *projection.Purchase) error {
		p, ok := t.l.Purchase(has.ID)
		if !n.take(has.ID, ok) {
			return nil
		}
		digest := uint64(0)
		if !has.Ordinary || has.Manual {
			h := ledger.Held{
				Merchant: has.Merchant, Terminal: has.Terminal, Order: has.OrderRef,
				Person: has.Person, Category: has.Category, City: has.City, PayingCity: has.PayingCity, LocatedCity: has.LocatedCity,
				Barcode: has.Barcode, SerialMask: has.SerialMask, Serial: has.SerialHash, Label: has.Label, OldItem: has.OldItem,
				Version: has.PolicyVersion, Attributes: has.Attributes, Marks: has.Marks, Price: int64(has.Price), Base: int64(has.Base),
				FromClaim: int64(has.FromClaim), ItemsBefore: has.ItemsBefore, Grade: has.Grade, At: int64(has.ReservedAt), ExpiresAt: int64(has.ExpiresAt),
			}
			digest ^= h.Digest()
		}
		if has.SentIn != 0 {
			digest ^= ledger.SentDigest(has.Merchant, has.Terminal, has.Host, has.RRN, has.CardMask, has.EntryMode, has.Reference, has.CardToken, has.STAN, has.HostSTAN,
				has.TerminalBatch, int64(has.SentAt), has.SentIn)
		}
		if has.EndedIn != 0 {
			digest ^= ledger.EndDigest(has.Response, has.Approval, has.ClearingDate, has.EndedIn)
		}
		switch {
		case has.State != p.State.String() || int64(has.Subsidy) != p.Subsidy || int64(has.Amount) != p.Amount || int64(has.Returned) != p.Returned ||
			int64(has.Refunded) != p.Refunded || int64(has.Refunding) != p.Refunding || int(has.RefundsOpen) != p.RefundsOpen ||
			has.Entitlement != p.Entitlement || has.Leaf != p.Leaf || has.Manual != p.Manual || has.Reversal != p.Reversal:
			t.differ("purchases", "%d: %s over %s with %s of subsidy on %q, %s returned, %s refunded, %s on the way, entitlement %d, reversal %d; "+
				"by the events %s over %s with %s on %q, %s, %s, %s, %d, %d", has.ID, has.State, has.Amount, has.Subsidy, has.Leaf, has.Returned,
				has.Refunded, has.Refunding, has.Entitlement, has.Reversal, p.State, yuan(p.Amount), yuan(p.Subsidy), p.Leaf, yuan(p.Returned),
				yuan(p.Refunded), yuan(p.Refunding), p.Entitlement, p.Reversal)
		case digest != p.Digest:
			t.differ("purchases", "%d: its description (person, product, terminal, host, card, response …) is not what the events say", has.ID)
		}
		return nil
	})
	n.end(func(id uint64) bool { _, ok := t.l.Purchase(id); return ok })
	return err
}

// holdState is the state of the hold of a purchase.
func holdState(p *ledger.Purchase) string {
	switch {
	case p.Holds:
		return projection.HoldOpen
	case p.Spends:
		return projection.HoldSpent
	}
	return projection.HoldReleased
}

func (t *tables) holds(ctx context.Context) error {
	n := t.numbered("holds", t.l.Purchases())
	err := t.db.EachHold(ctx, func(has *projection.Hold) error {
		p, ok := t.l.Purchase(has.Purchase)
		if !n.take(has.Purchase, ok && p.Entitlement != 0) {
			return nil
		}
		subsidy := p.Subsidy
		if p.State == ledger.Refunded { // as it was when the hold let go of it
			subsidy = int64(has.Subsidy)
		}
		if has.State != holdState(&p) || int64(has.Subsidy) != subsidy || has.Entitlement != p.Entitlement || has.Leaf != p.Leaf {
			t.differ("holds", "%d: %s, %s on %q for entitlement %d; by the events %s, %s on %q for %d", has.Purchase, has.State, has.Subsidy, has.Leaf,
				has.Entitlement, holdState(&p), yuan(subsidy), p.Leaf, p.Entitlement)
		}
		return nil
	})
	n.end(func(id uint64) bool { p, ok := t.l.Purchase(id); return ok && p.Entitlement != 0 })
	return err
}

func (t *tables) entitlements(ctx context.Context) error {
	n := t.numbered("entitlements", t.l.Entitlements())
	err := t.db.EachEntitlement(ctx, func(has *projection.Entitlement) error {
		e, ok := t.l.Entitlement(has.ID)
		if !n.take(has.ID, ok) {
			return nil
		}
		digest := ledger.EntitlementDigest(has.Person, has.Category, has.City, has.Channel, has.IDKind, has.PolicyVersion, has.Leaf,
			int64(has.ClaimedAt), int64(has.ExpiresAt))
		switch {
		case has.State != e.State.String() || has.Purchase != e.Purchase || int64(has.Reserved) != e.Reserved:
			t.differ("entitlements", "%d: %s by purchase %d with %s reserved; by the events %s by %d with %s", has.ID, has.State, has.Purchase,
				has.Reserved, e.State, e.Purchase, yuan(e.Reserved))
		case digest != e.Digest:
			t.differ("entitlements", "%d: its description (person, category, city, channel, version, times) is not what the events say", has.ID)
		}
		return nil
	})
	n.end(func(id uint64) bool { _, ok := t.l.Entitlement(id); return ok })
	return err
}

func (t *tables) reversals(ctx context.Context) error {
	n := t.numbered("reversals", t.l.Reversals())
	err := t.db.EachReversal(ctx, func(has *projection.Reversal) error {
		r, ok := t.l.Reversal(has.ID)
		if n.take(has.ID, ok) && (has.State != r.State.String() || has.Purchase != r.Purchase || has.Operation != r.Operation ||
			int64(has.Amount) != r.Amount || has.Attempts != r.Attempts) {
			t.differ("reversals", "%d: %s, of purchase %d, operation %d over %s, %d attempts; by the events %s, of %d, %d over %s, %d", has.ID, has.State,
				has.Purchase, has.Operation, has.Amount, has.Attempts, r.State, r.Purchase, r.Operation, yuan(r.Amount), r.Attempts)
		}
		return nil
	})
	n.end(func(id uint64) bool { _, ok := t.l.Reversal(id); return ok })
	return err
}

func (t *tables) operations(ctx context.Context) error {
	n := t.numbered("operations", t.l.Operations())
	err := t.db.EachOperation(ctx, func(has *projection.Operation) error {
		o, ok := t.l.Operation(has.ID)
		if n.take(has.ID, ok) && (has.State != o.State.String() || has.Purchase != o.Purchase || (has.Kind == projection.OperationVoid) != o.Void ||
			int64(has.Amount) != o.Amount || int64(has.Returned) != o.Returned) {
			t.differ("operations", "%d: a %s of purchase %d over %s is %s, %s returned; by the events of %d over %s %s, %s", has.ID, has.Kind, has.Purchase,
				has.Amount, has.State, has.Returned, o.Purchase, yuan(o.Amount), o.State, yuan(o.Returned))
		}
		return nil
	})
	n.end(func(id uint64) bool { _, ok := t.l.Operation(id); return ok })
	return err
}

func (t *tables) workItems(ctx context.Context) error {
	n := t.numbered("work_items", t.l.Items())
	err := t.db.EachWorkItem(ctx, func(has *projection.WorkItem) error {
		if n.take(has.ID, has.ID > 0 && has.ID <= t.l.Items()) && (has.State == projection.ItemOpen) != t.l.ItemOpen(has.ID) {
			t.differ("work_items", "%d is %s; by the events open: %v", has.ID, has.State, t.l.ItemOpen(has.ID))
		}
		return nil
	})
	n.end(func(uint64) bool { return true })
	return err
}

// facts compares a table of rows by event.
func (t *tables) facts(name string, want, has *ledger.Facts, err error) error {
	t.rows[name] = has.Rows()
	if err != nil {
		return err
	}
	if want.Rows() != has.Rows() {
		t.differ(name, "%d rows, by the events there are %d", has.Rows(), want.Rows())
	}
	list, found := want.Compare(has, t.limit)
	if more := found - len(list); more > 0 {
		t.say(Difference{Where: "database", What: name, Count: more})
	}
	for _, d := range list {
		at := Difference{Where: "database", What: name, Event: d.Seq}
		switch {
		case d.To != 0:
			at.Text = fmt.Sprintf("a row of the events up to %d says something else than the event", d.To)
		case d.Missing:
			at.Text = "no row for it"
		default:
			at.Text = "a row too many"
		}
		t.say(at)
	}
	return nil
}

func (t *tables) captures(ctx context.Context) error {
	var f ledger.Facts
	return t.facts("captures", &t.l.Captures, &f, t.db.EachCapture(ctx, func(c *projection.Capture) error {
		f.Add(c.Seq, ledger.CaptureDigest(c.Purchase, int64(c.Amount), int64(c.Subsidy), c.Leaf, c.Response, c.Approval))
		return nil
	}))
}

func (t *tables) refunds(ctx context.Context) error {
	var f ledger.Facts
	return t.facts("refunds", &t.l.Refunds, &f, t.db.EachRefund(ctx, func(c *projection.Refund) error {
		f.Add(c.Seq, ledger.RefundDigest(c.Purchase, c.Kind, int64(c.Amount), int64(c.Subsidy), c.Reversal, c.Operation))
		return nil
	}))
}

func (t *tables) movements(ctx context.Context) error {
	var f ledger.Facts
	return t.facts("budget_movements", &t.l.Movements, &f, t.db.EachMovement(ctx, func(m *projection.Movement) error {
		f.Add(m.Seq, ledger.MovementDigest(m.Path, int64(m.Allocated), int64(m.Held), int64(m.Spent), int64(m.Released)))
		return nil
	}))
}

func (t *tables) supplements(ctx context.Context) error {
	var f ledger.Facts
	return t.facts("supplements", &t.l.Supplements, &f, t.db.EachSupplement(ctx, func(s *projection.Supplement) error {
		f.Add(s.Seq, ledger.SupplementDigest(s.Purchase, s.Entitlement, int64(s.Subsidy), s.CaseID))
		return nil
	}))
}

func (t *tables) refusals(ctx context.Context) error {
	var f ledger.Facts
	return t.facts("refusals", &t.l.Refusals, &f, t.db.EachRefusal(ctx, func(r *projection.Refusal) error {
		f.Add(r.Seq, ledger.RefusalDigest(r.Kind, r.Response, r.Purchase, r.Entitlement, int64(r.Price), len(r.Reasons)))
		return nil
	}))
}

func (t *tables) requests(ctx context.Context) error {
	var f ledger.Facts
	return t.facts("requests", &t.l.Requests, &f, t.db.EachRequest(ctx, func(r *projection.Request) error {
		f.Add(r.Seq, ledger.RequestDigest(r.Request, r.Content, r.Purchase, r.Operation, int64(r.Price)))
		return nil
	}))
}

func (t *tables) settlements(ctx context.Context) error {
	var f ledger.Facts
	return t.facts("batches", &t.l.Settlements, &f, t.db.EachTerminalBatch(ctx, func(b *projection.TerminalBatch) error {
		f.Add(b.ID, ledger.SettlementDigest(b.Key.Batch, b.NextBatch, b.Equal, int64(b.Kept.Debit), int64(b.Kept.Credit), int64(b.Kept.Subsidy)))
		return nil
	}))
}
