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

// maxCached bounds each of the caches of rows. A full cache is emptied: what is needed again is read again.
const maxCached = 100_000

// fold keeps the rows that events may still change and applies events to them. After an error, and after a write that
// may have failed, it holds half of a run of events and must be thrown away.
type fold struct {
	store Store
	// Caches: what is not here is read when an event names it.
	purchases    map[uint64]*Purchase
	entitlements map[uint64]*Entitlement
	reversals    map[uint64]*Reversal
	operations   map[uint64]*Operation
	batches      map[BatchKey]*TerminalBatch
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
	seq      uint64
	touched  touched
	out      Changes
}

// touched are the rows that a run has changed, once each.
type touched struct {
	purchases    map[uint64]*Purchase
	holds        map[uint64]*Hold
	entitlements map[uint64]*Entitlement
	reversals    map[uint64]*Reversal
	operations   map[uint64]*Operation
	items        map[uint64]*WorkItem
	batches      map[uint64]*TerminalBatch
	inquiries    map[uint64]*Inquiry
	nodes        map[string]*Node
	terminals    map[string]*Terminal
	pauses       map[uint64]*Pause
	kills        map[string]*KillSwitch
	programme    bool
	trails       map[uint64]uint64 // purchase → the last batch that is entered
}

// openFold reads what every run needs: the small tables.
func openFold(ctx context.Context, store Store, seq uint64) (*fold, error) {
	f := &fold{
		store: store, seq: seq, purchases: map[uint64]*Purchase{}, entitlements: map[uint64]*Entitlement{},
		reversals: map[uint64]*Reversal{}, operations: map[uint64]*Operation{}, batches: map[BatchKey]*TerminalBatch{},
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

// run applies the events of batches and returns the rows they lead to. The rows are the fold's own until the next run.
func (f *fold) run(ctx context.Context, batches []Batch) (*Changes, error) {
	f.begin()
	if err := f.load(ctx, batches); err != nil {
		return nil, err
	}
	for _, b := range batches {
		f.position = b.Position
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
	n := max(len(f.purchases), len(f.entitlements), len(f.reversals), len(f.operations), len(f.batches))
	if n > maxCached {
		clear(f.purchases)
		clear(f.entitlements)
		clear(f.reversals)
		clear(f.operations)
		clear(f.batches)
	}
	f.out = Changes{}
	f.touched = touched{
		purchases: map[uint64]*Purchase{}, holds: map[uint64]*Hold{}, entitlements: map[uint64]*Entitlement{},
		reversals: map[uint64]*Reversal{}, operations: map[uint64]*Operation{}, items: map[uint64]*WorkItem{},
		batches: map[uint64]*TerminalBatch{}, inquiries: map[uint64]*Inquiry{}, nodes: map[string]*Node{},
		terminals: map[string]*Terminal{}, pauses: map[uint64]*Pause{}, kills: map[string]*KillSwitch{},
		trails: map[uint64]uint64{},
	}
}

func (f *fold) apply(ev *event.Event) error {
	switch ev.Body.(type) {
	case *event.Event_MerchantSet, *event.Event_TerminalSet, *event.Event_ProductSet, *event.Event_PauseSet,
		*event.Event_PauseLifted, *event.Event_KillSwitchSet, *event.Event_HoldReleaseProposed, *event.Event_Supplemented:
		return f.applyOperator(ev)
	case *event.Event_CodeShown:
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

// trail notes that the present batch has an event of a purchase; 0 is none.
func (f *fold) trail(purchase uint64) {
	if purchase == 0 || f.touched.trails[purchase] == f.position {
		return
	}
	f.touched.trails[purchase] = f.position
	f.out.Trails = append(f.out.Trails, &Trail{Purchase: purchase, Position: f.position, Month: MonthOf(f.at)})
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

// changes collects what was touched, in the order of ids: map order reaches no store.
func (f *fold) changes() *Changes {
	t, c := &f.touched, &f.out
	c.Purchases, c.Holds, c.Entitlements = sorted(t.purchases), sorted(t.holds), sorted(t.entitlements)
	c.Reversals, c.Operations, c.WorkItems = sorted(t.reversals), sorted(t.operations), sorted(t.items)
	c.TerminalBatches, c.Inquiries, c.Terminals = sorted(t.batches), sorted(t.inquiries), sorted(t.terminals)
	c.Nodes, c.Pauses, c.KillSwitches = sorted(t.nodes), sorted(t.pauses), sorted(t.kills)
	if t.programme {
		p := f.programme
		p.PersonKeyCheck, p.PolicyDigest = octets(p.PersonKeyCheck), octets(p.PolicyDigest)
		if p.PolicyVersions == nil {
			p.PolicyVersions = []string{}
		}
		c.Programme = &p
	}
	c.Months = c.months(f.at)
	return c
}

// months are those that partitions must be there for. Holds lie where their purchases do.
func (c *Changes) months(at Instant) []time.Time {
	set := map[time.Time]bool{}
	if at != 0 {
		set[MonthOf(at)] = true
	}
	addMonths(set, c.Purchases, func(r *Purchase) time.Time { return r.Month })
	addMonths(set, c.Entitlements, func(r *Entitlement) time.Time { return r.Month })
	addMonths(set, c.Reversals, func(r *Reversal) time.Time { return r.Month })
	addMonths(set, c.Operations, func(r *Operation) time.Time { return r.Month })
	addMonths(set, c.TerminalBatches, func(r *TerminalBatch) time.Time { return r.Month })
	addMonths(set, c.Inquiries, func(r *Inquiry) time.Time { return r.Month })
	addMonths(set, c.Captures, func(r *Capture) time.Time { return r.Month })
	addMonths(set, c.Supplements, func(r *Supplement) time.Time { return r.Month })
	addMonths(set, c.Refunds, func(r *Refund) time.Time { return r.Month })
	addMonths(set, c.Movements, func(r *Movement) time.Time { return r.Month })
	addMonths(set, c.Refusals, func(r *Refusal) time.Time { return r.Month })
	addMonths(set, c.Reports, func(r *TerminalReport) time.Time { return r.Month })
	addMonths(set, c.Requests, func(r *Request) time.Time { return r.Month })
	addMonths(set, c.Trails, func(r *Trail) time.Time { return r.Month })
	return slices.SortedFunc(maps.Keys(set), time.Time.Compare)
}

func addMonths[T any](set map[time.Time]bool, rows []*T, month func(*T) time.Time) {
	for _, r := range rows {
		set[month(r)] = true
	}
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
