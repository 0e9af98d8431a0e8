package main

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/registry"
	"huanxin/switch/engine"
	"huanxin/switch/server"
)

// ask submits an admin request of the start sequence and waits for its answer, or for ctx to end with a cause.
func (s *Switch) ask(ctx context.Context, what string, body func(engine.Token) any) (*engine.AdminReply, error) {
	reply, err := s.desk.Ask(ctx, body)
	if errors.Is(err, server.ErrNotRunning) { // an engine that has just stopped running ends ctx, and that says why
		<-ctx.Done()
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if len(reply.Problems) > 0 {
		return nil, &exitError{2, fmt.Errorf("%s was refused: %q", what, reply.Problems)}
	}
	return reply, nil
}

// putIntoForce brings the programme's folder into a journal that has no rules yet. Later starts leave everything as it is:
// what operators have changed since must survive a restart. Only the product library, which no command changes, follows
// the folder for as long as its rules are those in force.
func (s *Switch) putIntoForce(ctx context.Context) error {
	defer func() { // the engines have them now
		s.programme.Merchants, s.programme.Terminals, s.programme.Products = nil, nil, nil
	}()
	reply, err := s.ask(ctx, "rules in force", func(t engine.Token) any {
		return &engine.Look{Token: t, What: engine.LookPolicy{}}
	})
	if err != nil {
		return err
	}
	inForce, ok := reply.Result.(*engine.PolicyView)
	switch {
	case !ok:
		return fmt.Errorf("rules in force: the engine answered with a %T", reply.Result)
	case len(inForce.Files) == 0:
		return s.applyProgramme(ctx)
	case policy.DigestOf(inForce.Files) != s.programme.Digest:
		s.log.Warn("the programme's folder is not what is in force, and stays so; to apply it: huanxin policy apply "+s.cfg.Programme,
			zap.Strings("versions_in_force", inForce.Versions))
		return nil
	}
	return s.setRows(ctx, nil, nil, s.programme.Products)
}

// applyProgramme puts the folder into force. The rules come last: a journal that has them has everything, also when this
// process ends in between.
func (s *Switch) applyProgramme(ctx context.Context) error {
	const actor, why = "huanxin serve", "programme folder read at the first start"
	if err := s.setRows(ctx, s.programme.Merchants, s.programme.Terminals, s.programme.Products); err != nil {
		return err
	}
	reply, err := s.ask(ctx, "rules and budgets", func(t engine.Token) any {
		return &engine.ApplyProgramme{Token: t, Files: s.rules, Actor: actor, Reason: why}
	})
	if err == nil {
		s.log.Info("rules and budgets", zap.Int("changes", reply.Changed))
	}
	return err
}

// rowsAtOnce is what one SetRows may carry.
const rowsAtOnce = 1000

// setRows brings registry rows to the given values. What is already so makes no event. Records are made as they are sent:
// half a million products as lists of texts would be the largest thing in memory.
func (s *Switch) setRows(ctx context.Context, merchants []registry.Merchant, terminals []registry.Terminal, products []catalogue.Product) error {
	changes := 0
	for len(merchants)+len(terminals)+len(products) > 0 {
		var rows engine.SetRows
		room := rowsAtOnce
		rows.Merchants = records(take(&merchants, &room), (*registry.Merchant).Record)
		rows.Terminals = records(take(&terminals, &room), (*registry.Terminal).Record)
		registry.HashSerials(rows.Terminals, s.hasher.Serial)
		rows.Products = records(take(&products, &room), (*catalogue.Product).Record)
		reply, err := s.ask(ctx, "registry rows", func(t engine.Token) any {
			rows.Token = t
			return &rows
		})
		if err != nil {
			return err
		}
		changes += reply.Changed
	}
	if changes > 0 {
		s.log.Info("registry rows", zap.Int("changes", changes))
	}
	return nil
}

// take cuts as many rows off the front of a list as there is room for.
func take[T any](list *[]T, room *int) (taken []T) {
	n := min(*room, len(*list))
	taken, *list = (*list)[:n], (*list)[n:]
	*room -= n
	return taken
}

func records[T any](rows []T, record func(*T) []string) (list [][]string) {
	for i := range rows {
		list = append(list, record(&rows[i]))
	}
	return list
}
