package projectiontest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"huanxin/switch/projection"
)

// Rows is everything that a store holds.
type Rows struct {
	At           projection.Position
	Purchases    map[uint64]projection.Purchase
	Holds        map[uint64]projection.Hold
	Entitlements map[uint64]projection.Entitlement
	Reversals    map[uint64]projection.Reversal
	Operations   map[uint64]projection.Operation
	Items        map[uint64]projection.WorkItem
	Batches      map[uint64]projection.TerminalBatch
	Inquiries    map[uint64]projection.Inquiry
	Nodes        map[string]projection.Node
	Terminals    map[string]projection.Terminal
	Pauses       map[uint64]projection.Pause
	Kills        map[string]projection.KillSwitch // by merchant/terminal
	Programme    projection.Programme
	Fresh        map[string]any // captures, refunds and all else that is never changed
}

// Store is a store in memory with the store's own strictness: a write names the position it follows, and a row that must
// be new is new.
type Store struct {
	mu   sync.Mutex
	ends func() End
	rows Rows
}

var _ projection.Store = (*Store)(nil)

// End says how a write, or a reading of the position, ends.
type End int

const (
	Works End = iota
	Fails
	WorksButReportsFailure // the answer is lost
)

// ErrStore is returned by a store that fails, or reports that it has.
var ErrStore = errors.New("the store is away")

// NewStore returns an empty store that works.
func NewStore() *Store {
	return &Store{ends: func() End { return Works }, rows: Rows{
		Purchases: map[uint64]projection.Purchase{}, Holds: map[uint64]projection.Hold{},
		Entitlements: map[uint64]projection.Entitlement{}, Reversals: map[uint64]projection.Reversal{},
		Operations: map[uint64]projection.Operation{}, Items: map[uint64]projection.WorkItem{},
		Batches: map[uint64]projection.TerminalBatch{}, Inquiries: map[uint64]projection.Inquiry{},
		Nodes: map[string]projection.Node{}, Terminals: map[string]projection.Terminal{},
		Pauses: map[uint64]projection.Pause{}, Kills: map[string]projection.KillSwitch{}, Fresh: map[string]any{},
	}}
}

// Let makes what follows end as ends says. ends is called with the store locked.
func (s *Store) Let(ends func() End) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = ends
}

// Rows is everything in the store, comparable. Its maps are the store's own: read them while nobody writes.
func (s *Store) Rows() Rows {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows
}

// Position implements projection.Store.
func (s *Store) Position(context.Context) (projection.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ends() == Fails {
		return projection.Position{}, ErrStore
	}
	return s.rows.At, nil
}

func pick[T any](s *Store, from map[uint64]T, ids []uint64) ([]T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []T
	for _, id := range ids {
		if v, ok := from[id]; ok {
			out = append(out, v)
		}
	}
	return out, nil
}

// choose returns the rows for which want is true.
func choose[K comparable, T any](s *Store, from map[K]T, want func(T) bool) (out []T, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range from {
		if want(v) {
			out = append(out, v)
		}
	}
	return out, nil
}

func all[T any](T) bool { return true }

// Purchases implements projection.Store.
func (s *Store) Purchases(_ context.Context, ids []uint64) ([]projection.Purchase, error) {
	return pick(s, s.rows.Purchases, ids)
}

// Entitlements implements projection.Store.
func (s *Store) Entitlements(_ context.Context, ids []uint64) ([]projection.Entitlement, error) {
	return pick(s, s.rows.Entitlements, ids)
}

// Reversals implements projection.Store.
func (s *Store) Reversals(_ context.Context, ids []uint64) ([]projection.Reversal, error) {
	return pick(s, s.rows.Reversals, ids)
}

// Operations implements projection.Store.
func (s *Store) Operations(_ context.Context, ids []uint64) ([]projection.Operation, error) {
	return pick(s, s.rows.Operations, ids)
}

// TerminalBatches implements projection.Store.
func (s *Store) TerminalBatches(_ context.Context, keys []projection.BatchKey) ([]projection.TerminalBatch, error) {
	wanted, err := choose(s, s.rows.Batches, func(b projection.TerminalBatch) bool { return slices.Contains(keys, b.Key) })
	last := map[projection.BatchKey]projection.TerminalBatch{}
	for _, b := range wanted {
		if b.ID > last[b.Key].ID {
			last[b.Key] = b
		}
	}
	return slices.Collect(maps.Values(last)), err
}

// OpenWorkItems implements projection.Store.
func (s *Store) OpenWorkItems(context.Context) ([]projection.WorkItem, error) {
	return choose(s, s.rows.Items, func(w projection.WorkItem) bool { return w.State == projection.ItemOpen })
}

// OpenInquiries implements projection.Store.
func (s *Store) OpenInquiries(context.Context) ([]projection.Inquiry, error) {
	return choose(s, s.rows.Inquiries, func(i projection.Inquiry) bool { return i.EndedAt == 0 })
}

// Nodes implements projection.Store.
func (s *Store) Nodes(context.Context) ([]projection.Node, error) {
	return choose(s, s.rows.Nodes, all)
}

// Terminals implements projection.Store.
func (s *Store) Terminals(context.Context) ([]projection.Terminal, error) {
	return choose(s, s.rows.Terminals, all)
}

// Pauses implements projection.Store.
func (s *Store) Pauses(context.Context) ([]projection.Pause, error) {
	return choose(s, s.rows.Pauses, all)
}

// Programme implements projection.Store.
func (s *Store) Programme(context.Context) (projection.Programme, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows.Programme, nil
}

// Pack implements projection.Store: the rows are copied.
func (s *Store) Pack(c *projection.Changes) (projection.Packed, error) {
	p := *c
	p.Purchases, p.Holds, p.Entitlements = rowsOf(c.Purchases), rowsOf(c.Holds), rowsOf(c.Entitlements)
	p.Reversals, p.Operations = rowsOf(c.Reversals), rowsOf(c.Operations)
	p.WorkItems, p.TerminalBatches, p.Inquiries = copies(c.WorkItems), copies(c.TerminalBatches), copies(c.Inquiries)
	p.Terminals, p.Pauses, p.KillSwitches, p.Nodes = copies(c.Terminals), copies(c.Pauses), copies(c.KillSwitches), copies(c.Nodes)
	p.Captures, p.Supplements, p.Refunds = slices.Clone(c.Captures), slices.Clone(c.Supplements), slices.Clone(c.Refunds)
	p.Movements, p.Refusals, p.Reports = slices.Clone(c.Movements), slices.Clone(c.Refusals), slices.Clone(c.Reports)
	p.Requests, p.Acts, p.Trails = slices.Clone(c.Requests), slices.Clone(c.Acts), slices.Clone(c.Trails)
	return &p, nil
}

func rowsOf[T any](r projection.Rows[T]) projection.Rows[T] {
	return projection.Rows[T]{New: copies(r.New), Changed: copies(r.Changed)}
}

func copies[T any](rows []*T) []*T {
	out := make([]*T, 0, len(rows))
	for _, r := range rows {
		row := *r
		out = append(out, &row)
	}
	return out
}

// Write implements projection.Store.
func (s *Store) Write(_ context.Context, from, to projection.Position, rows projection.Packed) error {
	c := rows.(*projection.Changes)
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.ends()
	if end == Fails {
		return ErrStore
	}
	if from.Batch != s.rows.At.Batch || from.Hash != s.rows.At.Hash {
		return projection.ErrMoved
	}
	fresh := maps.Clone(s.rows.Fresh)
	purchase := func(r *projection.Purchase) uint64 { return r.ID }
	hold := func(r *projection.Hold) uint64 { return r.Purchase }
	entitlement := func(r *projection.Entitlement) uint64 { return r.ID }
	reversal := func(r *projection.Reversal) uint64 { return r.ID }
	operation := func(r *projection.Operation) uint64 { return r.ID }
	if err := errors.Join(
		absent(s.rows.Purchases, c.Purchases.New, purchase), absent(s.rows.Holds, c.Holds.New, hold),
		absent(s.rows.Entitlements, c.Entitlements.New, entitlement), absent(s.rows.Reversals, c.Reversals.New, reversal),
		absent(s.rows.Operations, c.Operations.New, operation),
		add(fresh, c.Captures, func(r *projection.Capture) string { return fmt.Sprint("capture ", r.Purchase) }),
		add(fresh, c.Supplements, func(r *projection.Supplement) string { return fmt.Sprint("supplement ", r.Seq) }),
		add(fresh, c.Refunds, func(r *projection.Refund) string { return fmt.Sprint("refund ", r.Seq) }),
		add(fresh, c.Movements, func(r *projection.Movement) string { return fmt.Sprint("movement ", r.Seq, " ", r.Path) }),
		add(fresh, c.Refusals, func(r *projection.Refusal) string { return fmt.Sprint("refusal ", r.Seq) }),
		add(fresh, c.Reports, func(r *projection.TerminalReport) string { return fmt.Sprint("report ", r.Seq) }),
		add(fresh, c.Requests, func(r *projection.Request) string { return fmt.Sprint("request ", r.Seq) }),
		add(fresh, c.Acts, func(r *projection.OperatorAct) string { return fmt.Sprint("act ", r.Seq) }),
		add(fresh, c.Trails, func(r *projection.Trail) string { return fmt.Sprint("trail ", r.Purchase, " ", r.Position) }),
	); err != nil {
		return err
	}
	s.rows.Fresh, s.rows.At = fresh, to
	replace(s.rows.Purchases, append(c.Purchases.New, c.Purchases.Changed...), purchase)
	replace(s.rows.Holds, append(c.Holds.New, c.Holds.Changed...), hold)
	replace(s.rows.Entitlements, append(c.Entitlements.New, c.Entitlements.Changed...), entitlement)
	replace(s.rows.Reversals, append(c.Reversals.New, c.Reversals.Changed...), reversal)
	replace(s.rows.Operations, append(c.Operations.New, c.Operations.Changed...), operation)
	replace(s.rows.Items, c.WorkItems, func(r *projection.WorkItem) uint64 { return r.ID })
	replace(s.rows.Batches, c.TerminalBatches, func(r *projection.TerminalBatch) uint64 { return r.ID })
	replace(s.rows.Inquiries, c.Inquiries, func(r *projection.Inquiry) uint64 { return r.ID })
	replace(s.rows.Nodes, c.Nodes, func(r *projection.Node) string { return r.Path })
	replace(s.rows.Terminals, c.Terminals, func(r *projection.Terminal) string { return r.ID })
	replace(s.rows.Pauses, c.Pauses, func(r *projection.Pause) uint64 { return r.ID })
	replace(s.rows.Kills, c.KillSwitches, func(r *projection.KillSwitch) string { return r.Merchant + "/" + r.Terminal })
	if c.Programme != nil {
		s.rows.Programme = *c.Programme
	}
	if end == WorksButReportsFailure {
		return ErrStore
	}
	return nil
}

func add[T any](fresh map[string]any, rows []T, key func(*T) string) error {
	for i := range rows {
		name := key(&rows[i])
		if fresh[name] != nil {
			return fmt.Errorf("%s is there already", name)
		}
		fresh[name] = rows[i]
	}
	return nil
}

func absent[T any](there map[uint64]T, rows []*T, key func(*T) uint64) error {
	for _, r := range rows {
		if _, ok := there[key(r)]; ok {
			return fmt.Errorf("%T %d is there already", *r, key(r))
		}
	}
	return nil
}

func replace[K comparable, T any](into map[K]T, rows []*T, key func(*T) K) {
	for _, r := range rows {
		into[key(r)] = *r
	}
}
