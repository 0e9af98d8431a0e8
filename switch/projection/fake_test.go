package projection_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"huanxin/switch/projection"
)

// fakeStore is a store in memory with the store's own strictness: a write names the position it follows, and a row that
// must be new is new. mode says how the next writes end.
type fakeStore struct {
	mu           sync.Mutex
	mode         func() mode
	at           projection.Position
	purchases    map[uint64]projection.Purchase
	holds        map[uint64]projection.Hold
	entitlements map[uint64]projection.Entitlement
	reversals    map[uint64]projection.Reversal
	operations   map[uint64]projection.Operation
	items        map[uint64]projection.WorkItem
	batches      map[uint64]projection.TerminalBatch
	inquiries    map[uint64]projection.Inquiry
	nodes        map[string]projection.Node
	terminals    map[string]projection.Terminal
	pauses       map[uint64]projection.Pause
	kills        map[string]projection.KillSwitch
	programme    projection.Programme
	fresh        map[string]any // rows that are never changed
	reads        int
}

type mode int

const (
	works mode = iota
	fails
	worksButReportsFailure
)

var errStore = errors.New("the store is away")

func newStore() *fakeStore {
	return &fakeStore{
		mode:      func() mode { return works },
		purchases: map[uint64]projection.Purchase{}, holds: map[uint64]projection.Hold{},
		entitlements: map[uint64]projection.Entitlement{}, reversals: map[uint64]projection.Reversal{},
		operations: map[uint64]projection.Operation{}, items: map[uint64]projection.WorkItem{},
		batches: map[uint64]projection.TerminalBatch{}, inquiries: map[uint64]projection.Inquiry{},
		nodes: map[string]projection.Node{}, terminals: map[string]projection.Terminal{},
		pauses: map[uint64]projection.Pause{}, kills: map[string]projection.KillSwitch{}, fresh: map[string]any{},
	}
}

func (s *fakeStore) Position(context.Context) (projection.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode() == fails {
		return projection.Position{}, errStore
	}
	return s.at, nil
}

func pick[T any](s *fakeStore, from map[uint64]T, ids []uint64) ([]T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	var out []T
	for _, id := range ids {
		if v, ok := from[id]; ok {
			out = append(out, v)
		}
	}
	return out, nil
}

func (s *fakeStore) Purchases(_ context.Context, ids []uint64) ([]projection.Purchase, error) {
	return pick(s, s.purchases, ids)
}

func (s *fakeStore) Entitlements(_ context.Context, ids []uint64) ([]projection.Entitlement, error) {
	return pick(s, s.entitlements, ids)
}

func (s *fakeStore) Reversals(_ context.Context, ids []uint64) ([]projection.Reversal, error) {
	return pick(s, s.reversals, ids)
}

func (s *fakeStore) Operations(_ context.Context, ids []uint64) ([]projection.Operation, error) {
	return pick(s, s.operations, ids)
}

func (s *fakeStore) WorkItems(_ context.Context, ids []uint64) ([]projection.WorkItem, error) {
	return pick(s, s.items, ids)
}

func (s *fakeStore) TerminalBatches(_ context.Context, keys []projection.BatchKey) (out []projection.TerminalBatch, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := map[projection.BatchKey]projection.TerminalBatch{}
	for _, b := range s.batches {
		if slices.Contains(keys, b.Key) && b.ID > last[b.Key].ID {
			last[b.Key] = b
		}
	}
	return slices.Collect(maps.Values(last)), nil
}

func (s *fakeStore) OpenInquiries(context.Context) (out []projection.Inquiry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.inquiries {
		if i.EndedAt == 0 {
			out = append(out, i)
		}
	}
	return out, nil
}

func (s *fakeStore) Nodes(context.Context) ([]projection.Node, error) { return all(s, s.nodes), nil }

func (s *fakeStore) Terminals(context.Context) ([]projection.Terminal, error) {
	return all(s, s.terminals), nil
}

func (s *fakeStore) Pauses(context.Context) ([]projection.Pause, error) { return all(s, s.pauses), nil }

func all[K comparable, T any](s *fakeStore, from map[K]T) []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(from))
}

func (s *fakeStore) Programme(context.Context) (projection.Programme, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.programme, nil
}

func (s *fakeStore) Write(_ context.Context, from, to projection.Position, c *projection.Changes) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	mode := s.mode()
	if mode == fails {
		return errStore
	}
	if from.Batch != s.at.Batch || from.Hash != s.at.Hash {
		return projection.ErrMoved
	}
	fresh := maps.Clone(s.fresh)
	add := func(key string, row any) error {
		if fresh[key] != nil {
			return fmt.Errorf("%s is there already", key)
		}
		fresh[key] = row
		return nil
	}
	var err error
	for _, r := range c.Captures {
		err = errors.Join(err, add(fmt.Sprint("capture ", r.Purchase), *r))
	}
	for _, r := range c.Refunds {
		err = errors.Join(err, add(fmt.Sprint("refund ", r.Seq), *r))
	}
	for _, r := range c.Movements {
		err = errors.Join(err, add(fmt.Sprint("movement ", r.Seq, " ", r.Path), *r))
	}
	for _, r := range c.Refusals {
		err = errors.Join(err, add(fmt.Sprint("refusal ", r.Seq), *r))
	}
	for _, r := range c.Supplements {
		err = errors.Join(err, add(fmt.Sprint("supplement ", r.Seq), *r))
	}
	for _, r := range c.Reports {
		err = errors.Join(err, add(fmt.Sprint("report ", r.Seq), *r))
	}
	for _, r := range c.Requests {
		err = errors.Join(err, add(fmt.Sprint("request ", r.Seq), *r))
	}
	for _, r := range c.Acts {
		err = errors.Join(err, add(fmt.Sprint("act ", r.Seq), *r))
	}
	for _, r := range c.Trails {
		err = errors.Join(err, add(fmt.Sprint("trail ", r.Purchase, " ", r.Position), *r))
	}
	if err != nil {
		return err
	}
	s.fresh, s.at = fresh, to
	replace(s.purchases, c.Purchases, func(r *projection.Purchase) uint64 { return r.ID })
	replace(s.holds, c.Holds, func(r *projection.Hold) uint64 { return r.Purchase })
	replace(s.entitlements, c.Entitlements, func(r *projection.Entitlement) uint64 { return r.ID })
	replace(s.reversals, c.Reversals, func(r *projection.Reversal) uint64 { return r.ID })
	replace(s.operations, c.Operations, func(r *projection.Operation) uint64 { return r.ID })
	replace(s.items, c.WorkItems, func(r *projection.WorkItem) uint64 { return r.ID })
	replace(s.batches, c.TerminalBatches, func(r *projection.TerminalBatch) uint64 { return r.ID })
	replace(s.inquiries, c.Inquiries, func(r *projection.Inquiry) uint64 { return r.ID })
	replace(s.nodes, c.Nodes, func(r *projection.Node) string { return r.Path })
	replace(s.terminals, c.Terminals, func(r *projection.Terminal) string { return r.ID })
	replace(s.pauses, c.Pauses, func(r *projection.Pause) uint64 { return r.ID })
	replace(s.kills, c.KillSwitches, func(r *projection.KillSwitch) string { return r.Merchant + "/" + r.Terminal })
	if c.Programme != nil {
		s.programme = *c.Programme
	}
	if mode == worksButReportsFailure {
		return errStore
	}
	return nil
}

func replace[K comparable, T any](into map[K]T, rows []*T, key func(*T) K) {
	for _, r := range rows {
		into[key(r)] = *r
	}
}

// rows is everything in the store, comparable.
func (s *fakeStore) rows() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]any{
		"at": s.at, "purchases": s.purchases, "holds": s.holds, "entitlements": s.entitlements, "reversals": s.reversals,
		"operations": s.operations, "items": s.items, "batches": s.batches, "inquiries": s.inquiries, "nodes": s.nodes,
		"terminals": s.terminals, "pauses": s.pauses, "kills": s.kills, "programme": s.programme, "fresh": s.fresh,
	}
}
