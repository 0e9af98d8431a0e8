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

	"huanxin/switch/event"
)

// fold keeps the rows that events may still change and applies events to them. After an error, and after a write that
// may have failed, it holds half of a run of events and must be thrown away.
type fold struct {
	store        Store
	purchases    cache[Purchase]
	entitlements cache[Entitlement]
	reversals    cache[Reversal]
	operations   cache[Operation]
	batches      map[BatchKey]*TerminalBatch // a cache too
	// Small tables, and what is open: all there is.
	items     map[uint64]*WorkItem
	inquiries map[string]*Inquiry // by RRN
	nodes     map[string]*Node
	terminals map[string]*Terminal
	pauses    map[uint64]*Pause
	programme Programme

	// What the present run has touched.
	position uint64 // of the batch
	at       Instant
	month    month // of at
	seq      uint64
	sent     uint64 // the last event of the run before, whose rows may be on their way to the store
	touched  touched
	out      Changes

	wanted [4][]uint64 // ids that load collects, kept for their memory
}

// touched are the rows that a run has changed, once each, but for those that are in caches.
type touched struct {
	holds     map[uint64]*Hold
	items     map[uint64]*WorkItem
	batches   map[uint64]*TerminalBatch
	inquiries map[uint64]*Inquiry
	nodes     map[string]*Node
	terminals map[string]*Terminal
	pauses    map[uint64]*Pause
	kills     map[string]*KillSwitch
	programme bool
	trails    map[uint64]uint64 // purchase → the last batch that is entered
}

// openFold reads what every run needs: the small tables.
func openFold(ctx context.Context, store Store, seq uint64) (*fold, error) {
	f := &fold{
		store: store, seq: seq,
		purchases:    newCache(func(p *Purchase) uint64 { return p.ID }, (*Purchase).settled),
		entitlements: newCache(func(e *Entitlement) uint64 { return e.ID }, (*Entitlement).settled),
		reversals:    newCache(func(r *Reversal) uint64 { return r.ID }, func(r *Reversal) bool { return r.State != ReversalWaiting }),
		operations:   newCache(func(o *Operation) uint64 { return o.ID }, (*Operation).settled),
		batches:      map[BatchKey]*TerminalBatch{},
		touched: touched{
			holds: map[uint64]*Hold{}, items: map[uint64]*WorkItem{}, batches: map[uint64]*TerminalBatch{},
			inquiries: map[uint64]*Inquiry{}, nodes: map[string]*Node{}, terminals: map[string]*Terminal{},
			pauses: map[uint64]*Pause{}, kills: map[string]*KillSwitch{}, trails: map[uint64]uint64{},
		},
	}
	var err error
	if f.nodes, err = readAll(ctx, store.Nodes, func(n *Node) string { return n.Path }); err != nil {
		return nil, err
	}
	if f.terminals, err = readAll(ctx, store.Terminals, func(t *Terminal) string { return t.ID }); err != nil {
		return nil, err
	}
	if f.pauses, err = readAll(ctx, store.Pauses, func(p *Pause) uint64 { return p.ID }); err != nil {
		return nil, err
	}
	if f.items, err = readAll(ctx, store.OpenWorkItems, func(w *WorkItem) uint64 { return w.ID }); err != nil {
		return nil, err
	}
	if f.inquiries, err = readAll(ctx, store.OpenInquiries, func(i *Inquiry) string { return i.RRN }); err != nil {
		return nil, err
	}
	f.programme, err = store.Programme(ctx)
	return f, err
}

func readAll[K comparable, T any](ctx context.Context, read func(context.Context) ([]T, error), key func(*T) K) (map[K]*T, error) {
	rows, err := read(ctx)
	if err != nil {
		return nil, err
	}
	all := make(map[K]*T, len(rows))
	for i := range rows {
		all[key(&rows[i])] = &rows[i]
	}
	return all, nil
}

// begin begins a run: the events of one transaction. What the last run has led to must have been taken.
func (f *fold) begin() {
	f.purchases.begin()
	f.entitlements.begin()
	f.reversals.begin()
	f.operations.begin()
	if len(f.batches) > maxCached {
		maps.DeleteFunc(f.batches, func(_ BatchKey, b *TerminalBatch) bool { return b.Seq <= f.sent })
	}
	f.sent = f.seq
	f.out.reset()
	t := &f.touched
	clear(t.holds)
	clear(t.items)
	clear(t.batches)
	clear(t.inquiries)
	clear(t.nodes)
	clear(t.terminals)
	clear(t.pauses)
	clear(t.kills)
	clear(t.trails)
	t.programme = false
}

// fold applies the events of batches.
func (f *fold) fold(ctx context.Context, batches []Batch) error {
	if err := f.load(ctx, batches); err != nil {
		return err
	}
	for _, b := range batches {
		f.position = b.Position
		for _, ev := range b.Events {
			if ev.Seq != f.seq+1 {
				return fmt.Errorf("%w: event %d follows event %d", ErrParted, ev.Seq, f.seq)
			}
			f.seq, f.at = ev.Seq, Instant(ev.At)
			f.turnMonth()
			if err := f.apply(ev); err != nil {
				return fmt.Errorf("%w: event %d: %w", ErrParted, ev.Seq, err)
			}
		}
	}
	return nil
}

// turnMonth makes f.month that of the present event. A row that is there already has its partition.
func (f *fold) turnMonth() {
	if f.at < f.month.from || f.at >= f.month.to {
		f.month = monthAround(f.at)
	}
	if n := len(f.out.Months); n > 0 && f.out.Months[n-1].Equal(f.month.date) {
		return
	}
	if !slices.ContainsFunc(f.out.Months, f.month.date.Equal) {
		f.out.Months = append(f.out.Months, f.month.date)
		slices.SortFunc(f.out.Months, time.Time.Compare)
	}
}

func (f *fold) apply(ev *event.Event) error {
	switch ev.Body.(type) {
	case *event.Event_MerchantSet, *event.Event_TerminalSet, *event.Event_ProductSet, *event.Event_PauseSet,
		*event.Event_PauseLifted, *event.Event_KillSwitchSet, *event.Event_HoldReleaseProposed, *event.Event_Supplemented,
		*event.Event_KeyActRecorded:
		return f.applyOperator(ev)
	case *event.Event_CodeShown, *event.Event_TerminalKeysProved:
		return nil // see the package comment
	case *event.Event_OwnershipTaken, *event.Event_ProgrammePinned, *event.Event_PolicyApplied:
		return f.applyProgramme(ev)
	case *event.Event_BudgetNodeSet, *event.Event_BudgetRoundClosed, *event.Event_BudgetReleased:
		return f.applyBudget(ev)
	case *event.Event_TerminalSignedOn, *event.Event_TerminalSignedOff, *event.Event_BatchSettled, *event.Event_BatchUploaded,
		*event.Event_BatchUploadEnded, *event.Event_TerminalReported, *event.Event_InquirySent, *event.Event_InquiryEnded:
		return f.applyTerminal(ev)
	case *event.Event_EntitlementClaimed, *event.Event_EntitlementExpired, *event.Event_EntitlementReturned,
		*event.Event_EntitlementRestored:
		return f.applyEntitlement(ev)
	case *event.Event_Reserved, *event.Event_HoldCancelled, *event.Event_HoldExpired, *event.Event_SaleSent,
		*event.Event_SaleApproved, *event.Event_SaleDeclined, *event.Event_LateAnswer, *event.Event_PaymentUnknown,
		*event.Event_QueryAttempted:
		return f.applyPurchase(ev)
	case *event.Event_ReserveRefused, *event.Event_SaleRefused, *event.Event_ReversalAnswered, *event.Event_RequestKept:
		f.applyRequest(ev)
		return nil
	case *event.Event_ReversalQueued, *event.Event_ReversalAttempted, *event.Event_ReversalDone, *event.Event_ReversalDead,
		*event.Event_ReversalRequeued, *event.Event_ReversalResolved, *event.Event_WorkItemOpened, *event.Event_WorkItemClosed:
		return f.applyReversal(ev)
	case *event.Event_VoidSent, *event.Event_VoidApproved, *event.Event_VoidDeclined, *event.Event_VoidReleased,
		*event.Event_RefundSent, *event.Event_RefundApproved, *event.Event_RefundDeclined, *event.Event_RefundUnknown:
		return f.applyOperation(ev)
	}
	return fmt.Errorf("a fact that this program does not know: %T", ev.Body)
}

// trail notes that the present batch has an event of a purchase; 0 is none. A row that says so itself was touched in this
// run: it is in the cache.
func (f *fold) trail(purchase uint64) {
	if purchase == 0 || f.touched.trails[purchase] == f.position {
		return
	}
	if p := f.purchases.look(purchase); p != nil && (p.ReservedIn == f.position || p.SentIn == f.position || p.EndedIn == f.position) {
		return
	}
	f.touched.trails[purchase] = f.position
	f.out.Trails = append(f.out.Trails, Trail{Purchase: purchase, Position: f.position, Month: f.month.date})
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
		f.act("policy", byOperator(m.Actor, m.Reason, m.Document, m.Account), 0, "versions="+strings.Join(p.PolicyVersions, ","))
	}
	p.Seq = f.seq
	f.touched.programme = true
	return nil
}

// changes collects what the run has touched, in the order of ids: map order reaches no store. The rows are the fold's own:
// they are taken before the next run begins.
func (f *fold) changes() *Changes {
	t, c := &f.touched, &f.out
	c.Purchases, c.Entitlements = f.purchases.changes(), f.entitlements.changes()
	c.Reversals, c.Operations = f.reversals.changes(), f.operations.changes()
	for _, p := range c.Purchases.New {
		if h := t.holds[p.ID]; h != nil {
			c.Holds.New = append(c.Holds.New, h)
		}
	}
	for _, p := range c.Purchases.Changed {
		if h := t.holds[p.ID]; h != nil {
			c.Holds.Changed = append(c.Holds.Changed, h)
		}
	}
	c.WorkItems, c.TerminalBatches, c.Inquiries = sorted(t.items), sorted(t.batches), sorted(t.inquiries)
	c.Terminals, c.Nodes, c.Pauses, c.KillSwitches = sorted(t.terminals), sorted(t.nodes), sorted(t.pauses), sorted(t.kills)
	if t.programme {
		p := f.programme
		p.PersonKeyCheck, p.PolicyDigest = octets(p.PersonKeyCheck), octets(p.PolicyDigest)
		if p.PolicyVersions == nil {
			p.PolicyVersions = []string{}
		}
		c.Programme = &p
	}
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
