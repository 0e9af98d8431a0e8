package projection

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"huanxin/internal/money"
	"huanxin/switch/event"
)

// maxCached bounds each of the caches of rows. A full cache is emptied: what is needed again is read again.
const maxCached = 100_000

// fold keeps the rows that events may still change and applies events to them. After an error, and after a write that
// may have failed, it holds half of a run of events and must be thrown away.
type fold struct {
	store        Store
	purchases    map[uint64]*Purchase
	entitlements map[uint64]*Entitlement
	reversals    map[uint64]*Reversal
	nodes        map[string]*Node
	terminals    map[string]*Terminal
	programme    Programme

	// What the present run has touched.
	at      Instant
	seq     uint64
	touched struct {
		purchases    map[uint64]*Purchase
		holds        map[uint64]*Hold
		entitlements map[uint64]*Entitlement
		reversals    map[uint64]*Reversal
		nodes        map[string]*Node
		terminals    map[string]*Terminal
		programme    bool
	}
	out Changes
}

// openFold reads what every run needs: the small tables.
func openFold(ctx context.Context, store Store, seq uint64) (*fold, error) {
	f := &fold{
		store: store, seq: seq, terminals: map[string]*Terminal{}, purchases: map[uint64]*Purchase{}, entitlements: map[uint64]*Entitlement{},
		reversals: map[uint64]*Reversal{}, nodes: map[string]*Node{},
	}
	nodes, err := store.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	for i := range nodes {
		f.nodes[nodes[i].Path] = &nodes[i]
	}
	terminals, err := store.Terminals(ctx)
	if err != nil {
		return nil, err
	}
	for i := range terminals {
		f.terminals[terminals[i].ID] = &terminals[i]
	}
	f.programme, err = store.Programme(ctx)
	return f, err
}

// run applies the events of batches and returns the rows they lead to. The rows are the fold's own until the next run.
func (f *fold) run(ctx context.Context, batches []Batch) (*Changes, error) {
	f.begin()
	if err := f.load(ctx, batches); err != nil {
		return nil, err
	}
	for _, b := range batches {
		for _, ev := range b.Events {
			if ev.Seq != f.seq+1 {
				return nil, fmt.Errorf("%w: event %d follows event %d", ErrParted, ev.Seq, f.seq)
			}
			f.seq, f.at = ev.Seq, Instant(ev.At)
			if err := f.apply(ev); err != nil {
				return nil, fmt.Errorf("%w: event %d: %w", ErrParted, ev.Seq, err)
			}
		}
	}
	return f.changes(), nil
}

func (f *fold) begin() {
	for _, full := range []bool{
		len(f.purchases) > maxCached, len(f.entitlements) > maxCached, len(f.reversals) > maxCached,
	} {
		if full {
			clear(f.purchases)
			clear(f.entitlements)
			clear(f.reversals)
		}
	}
	f.out = Changes{}
	t := &f.touched
	t.purchases, t.holds = map[uint64]*Purchase{}, map[uint64]*Hold{}
	t.entitlements, t.reversals = map[uint64]*Entitlement{}, map[uint64]*Reversal{}
	t.nodes, t.terminals, t.programme = map[string]*Node{}, map[string]*Terminal{}, false
}

// load fetches the rows that the events name and the caches do not have, in three reads at most: reversals name
// purchases, purchases name entitlements.
func (f *fold) load(ctx context.Context, batches []Batch) error {
	var purchases, entitlements, reversals []uint64
	for _, b := range batches {
		for _, ev := range b.Events {
			p, e, r := names(ev)
			purchases, entitlements, reversals = append(purchases, p), append(entitlements, e), append(reversals, r)
		}
	}
	if ids := missing(reversals, f.reversals); len(ids) > 0 {
		rows, err := f.store.Reversals(ctx, ids)
		if err != nil {
			return err
		}
		for i := range rows {
			f.reversals[rows[i].ID] = &rows[i]
		}
	}
	if ids := missing(purchases, f.purchases); len(ids) > 0 {
		rows, err := f.store.Purchases(ctx, ids)
		if err != nil {
			return err
		}
		for i := range rows {
			f.purchases[rows[i].ID] = &rows[i]
		}
	}
	for _, id := range purchases {
		if p := f.purchases[id]; p != nil {
			entitlements = append(entitlements, p.Entitlement)
		}
	}
	if ids := missing(entitlements, f.entitlements); len(ids) > 0 {
		rows, err := f.store.Entitlements(ctx, ids)
		if err != nil {
			return err
		}
		for i := range rows {
			f.entitlements[rows[i].ID] = &rows[i]
		}
	}
	return nil
}

// names returns the ids of rows that ev changes and that an earlier event made; 0 is none.
func names(ev *event.Event) (purchase, entitlement, reversal uint64) {
	switch b := ev.Body.(type) {
	case *event.Event_EntitlementExpired:
		entitlement = b.EntitlementExpired.Entitlement
	case *event.Event_EntitlementReturned:
		entitlement = b.EntitlementReturned.Entitlement
	case *event.Event_Reserved:
		entitlement = b.Reserved.Entitlement
	case *event.Event_HoldCancelled:
		purchase = b.HoldCancelled.Purchase
	case *event.Event_HoldExpired:
		purchase = b.HoldExpired.Purchase
	case *event.Event_SaleSent:
		if !b.SaleSent.Ordinary {
			purchase = b.SaleSent.Purchase
		}
	case *event.Event_SaleApproved:
		purchase = b.SaleApproved.Purchase
	case *event.Event_SaleDeclined:
		purchase = b.SaleDeclined.Purchase
	case *event.Event_LateAnswer:
		purchase = b.LateAnswer.Purchase
	case *event.Event_ReversalQueued:
		purchase = b.ReversalQueued.Purchase
	case *event.Event_ReversalAttempted:
		reversal = b.ReversalAttempted.Reversal
	case *event.Event_ReversalDone:
		purchase, reversal = b.ReversalDone.Purchase, b.ReversalDone.Reversal
	case *event.Event_WorkItemOpened:
		reversal = b.WorkItemOpened.Reversal
	}
	return purchase, entitlement, reversal
}

func missing[T any](ids []uint64, have map[uint64]*T) []uint64 {
	var out []uint64
	for _, id := range ids {
		if id != 0 && have[id] == nil {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (f *fold) apply(ev *event.Event) error {
	switch b := ev.Body.(type) {
	case *event.Event_OwnershipTaken, *event.Event_ProgrammePinned, *event.Event_PolicyApplied:
		return f.applyProgramme(ev)
	case *event.Event_MerchantSet, *event.Event_TerminalSet, *event.Event_ProductSet, *event.Event_CodeShown:
		return nil // see the package comment
	case *event.Event_BudgetNodeSet, *event.Event_BudgetRoundClosed, *event.Event_BudgetReleased:
		return f.applyBudget(ev)
	case *event.Event_TerminalSignedOn:
		m := b.TerminalSignedOn
		t := f.terminal(m.Terminal)
		t.Merchant, t.Batch, t.SignedOn, t.SignedOnAt = text(m.Merchant), m.Batch, true, f.at
		return nil
	case *event.Event_TerminalSignedOff:
		t := f.terminal(b.TerminalSignedOff.Terminal)
		t.Merchant, t.SignedOn, t.SignedOffAt = text(b.TerminalSignedOff.Merchant), false, f.at
		return nil
	case *event.Event_EntitlementClaimed:
		return f.claimed(b.EntitlementClaimed)
	case *event.Event_EntitlementExpired:
		return f.entitlementEnded(b.EntitlementExpired.Entitlement, b.EntitlementExpired.Released, EntitlementExpired)
	case *event.Event_EntitlementReturned:
		return f.entitlementEnded(b.EntitlementReturned.Entitlement, b.EntitlementReturned.Released, EntitlementReturned)
	case *event.Event_Reserved:
		return f.reserved(b.Reserved)
	case *event.Event_ReserveRefused, *event.Event_SaleRefused, *event.Event_ReversalAnswered:
		f.refused(ev)
		return nil
	case *event.Event_HoldCancelled:
		return f.holdEnded(b.HoldCancelled.Purchase, Cancelled)
	case *event.Event_HoldExpired:
		return f.holdEnded(b.HoldExpired.Purchase, Expired)
	case *event.Event_SaleSent:
		return f.saleSent(b.SaleSent)
	case *event.Event_SaleApproved:
		return f.saleApproved(b.SaleApproved)
	case *event.Event_SaleDeclined:
		return f.saleDeclined(b.SaleDeclined)
	case *event.Event_LateAnswer:
		return f.lateAnswer(b.LateAnswer)
	case *event.Event_ReversalQueued:
		return f.reversalQueued(b.ReversalQueued)
	case *event.Event_ReversalAttempted:
		return f.reversalAttempted(b.ReversalAttempted)
	case *event.Event_ReversalDone:
		return f.reversalDone(b.ReversalDone)
	case *event.Event_WorkItemOpened:
		return f.workItem(b.WorkItemOpened)
	}
	return fmt.Errorf("a fact that this program does not know: %T", ev.Body)
}

func (f *fold) applyProgramme(ev *event.Event) error {
	p := &f.programme
	switch b := ev.Body.(type) {
	case *event.Event_OwnershipTaken:
		m := b.OwnershipTaken
		p.Epoch, p.Owner, p.Software = m.Epoch, text(m.Owner), text(m.Software)
	case *event.Event_ProgrammePinned:
		m := b.ProgrammePinned
		if p.Name != "" && p.Name != text(m.Programme) {
			return fmt.Errorf("the database is programme %q's, the event programme %q's", p.Name, m.Programme)
		}
		p.Name, p.PersonKeyCheck = text(m.Programme), octets(m.PersonKeyCheck)
	case *event.Event_PolicyApplied:
		m := b.PolicyApplied
		p.PolicyDigest, p.PolicyAt, p.PolicyVersions = octets(m.Digest), f.at, []string{}
		for _, v := range m.Versions {
			p.PolicyVersions = append(p.PolicyVersions, text(v))
		}
	}
	p.Seq = f.seq
	f.touched.programme = true
	return nil
}

func (f *fold) terminal(id string) *Terminal {
	id = text(id)
	t := f.terminals[id]
	if t == nil {
		t = &Terminal{ID: id}
		f.terminals[id] = t
	}
	t.Seq = f.seq
	f.touched.terminals[id] = t
	return t
}

func (f *fold) refused(ev *event.Event) {
	r := &Refusal{Seq: f.seq, Month: MonthOf(f.at), RefusedAt: f.at, Reasons: []int32{}}
	var key *event.ExchangeKey
	switch b := ev.Body.(type) {
	case *event.Event_ReserveRefused:
		m := b.ReserveRefused
		key = m.Key
		r.Kind, r.Response, r.Entitlement, r.Price = "reserve", "57", m.Entitlement, money.Amount(m.Price)
		r.Category, r.City, r.Channel = text(m.Category), text(m.City), text(m.Channel)
		r.Barcode, r.PolicyVersion = text(m.Barcode), text(m.PolicyVersion)
		for _, c := range m.Reasons {
			r.Reasons = append(r.Reasons, int32(c))
		}
	case *event.Event_SaleRefused:
		m := b.SaleRefused
		key = m.Key
		r.Kind, r.Response, r.Purchase, r.Price = "sale", text(m.Response), m.Purchase, money.Amount(m.Amount)
		if m.Reason != 0 {
			r.Reasons = append(r.Reasons, int32(m.Reason))
		}
	case *event.Event_ReversalAnswered:
		m := b.ReversalAnswered
		if m.Response == "00" {
			return
		}
		key = m.Key
		r.Kind, r.Response, r.Purchase = "reversal", text(m.Response), m.Purchase
	}
	r.Terminal, r.Merchant = text(key.GetTerminal()), text(key.GetMerchant())
	r.TerminalBatch, r.STAN = key.GetBatch(), key.GetStan()
	f.out.Refusals = append(f.out.Refusals, r)
}

// changes collects what was touched, in the order of ids: map order reaches no store.
func (f *fold) changes() *Changes {
	t, c := &f.touched, &f.out
	c.Purchases = sorted(t.purchases)
	c.Holds = sorted(t.holds)
	c.Entitlements = sorted(t.entitlements)
	c.Reversals = sorted(t.reversals)
	c.Nodes = sorted(t.nodes)
	c.Terminals = sorted(t.terminals)
	if t.programme {
		p := f.programme
		p.PersonKeyCheck, p.PolicyDigest = octets(p.PersonKeyCheck), octets(p.PolicyDigest)
		if p.PolicyVersions == nil {
			p.PolicyVersions = []string{}
		}
		c.Programme = &p
	}
	months := map[time.Time]bool{}
	for _, r := range c.Purchases {
		months[r.Month] = true
	}
	for _, r := range c.Entitlements {
		months[r.Month] = true
	}
	for _, r := range c.Reversals {
		months[r.Month] = true
	}
	if f.at != 0 {
		months[MonthOf(f.at)] = true
	}
	for _, r := range c.Movements {
		months[r.Month] = true
	}
	for _, r := range c.Refusals {
		months[r.Month] = true
	}
	for _, r := range c.Captures {
		months[r.Month] = true
	}
	for _, r := range c.Refunds {
		months[r.Month] = true
	}
	c.Months = slices.SortedFunc(maps.Keys(months), time.Time.Compare)
	return c
}

func sorted[K cmp.Ordered, V any](m map[K]V) []V {
	out := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

// text makes a string fit for a database: what came from a terminal may be padded, and a NUL or a broken character would
// be refused and stop the projection for ever.
func text(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return strings.TrimRight(s, " ")
}

// octets is b, never nil: in a database nil would be null.
func octets(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// enum is the text of an enumeration: "CANCEL_CAUSE_REQUEST" is "request".
func enum(name, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(name, prefix))
}
