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
	nodes        map[string]projection.Node
	terminals    map[string]projection.Terminal
	programme    projection.Programme
	fresh        map[string]any // captures, refunds, movements, refusals, work items
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
		nodes: map[string]projection.Node{}, terminals: map[string]projection.Terminal{}, fresh: map[string]any{},
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

func (s *fakeStore) Nodes(context.Context) ([]projection.Node, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.nodes)), nil
}

func (s *fakeStore) Terminals(context.Context) ([]projection.Terminal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.terminals)), nil
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
	for _, r := range c.WorkItems {
		err = errors.Join(err, add(fmt.Sprint("work item ", r.ID), *r))
	}
	if err != nil {
		return err
	}
	s.fresh, s.at = fresh, to
	for _, r := range c.Purchases {
		s.purchases[r.ID] = *r
	}
	for _, r := range c.Holds {
		s.holds[r.Purchase] = *r
	}
	for _, r := range c.Entitlements {
		s.entitlements[r.ID] = *r
	}
	for _, r := range c.Reversals {
		s.reversals[r.ID] = *r
	}
	for _, r := range c.Nodes {
		s.nodes[r.Path] = *r
	}
	for _, r := range c.Terminals {
		s.terminals[r.ID] = *r
	}
	if c.Programme != nil {
		s.programme = *c.Programme
	}
	if mode == worksButReportsFailure {
		return errStore
	}
	return nil
}

// rows is everything in the store, comparable.
func (s *fakeStore) rows() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]any{
		"at": s.at, "purchases": s.purchases, "holds": s.holds, "entitlements": s.entitlements, "reversals": s.reversals,
		"nodes": s.nodes, "terminals": s.terminals, "programme": s.programme, "fresh": s.fresh,
	}
}
