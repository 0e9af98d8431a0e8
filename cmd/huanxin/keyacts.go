package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"huanxin/switch/control"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/keys/store"
)

// actsAtOnce is what one input carries.
const actsAtOnce = 1000

// journalKeyActs brings acts on the key store that the journal does not have yet into it, and returns how many. A store that
// does not go on from what the journal has is an older copy, which is refused but by an operator's word.
func (s *Switch) journalKeyActs(ctx context.Context, restored bool) (int, error) {
	reply, err := s.ask(ctx, "acts on the key store", func(t engine.Token) any {
		return &engine.Look{Token: t, What: engine.LookKeyActs{}}
	})
	if err != nil {
		return 0, err
	}
	seen, ok := reply.Result.(engine.KeyActsView)
	if !ok {
		return 0, fmt.Errorf("acts on the key store: the engine answered with a %T", reply.Result)
	}
	after := seen.Number
	err = s.keys.Continues(seen.Number, hex.EncodeToString(seen.Chain))
	switch {
	case err == nil:
		restored = false
	case errors.Is(err, store.ErrRolledBack) && restored:
		if err := s.keys.Edit(bySwitch("keys.restored"), func(e *store.Edit) error { return e.Restore(seen.Number) }); err != nil {
			return 0, fmt.Errorf("keys.restored: %w", err)
		}
		after = uint64(len(s.keys.Audit(0))) - 1
		s.log.Warn("keys.restored: going on with an older copy of the key store; keys made since must be made again, and the setting removed",
			zap.Uint64("journal_has_act", seen.Number), zap.Uint64("store_ends_at", after))
	default:
		return 0, fmt.Errorf("keys.file: %w. The journal (journal.folder) has its later acts: restore the newest copy. "+
			"If there is none, start once with HUANXIN_KEYS_RESTORED=true", err)
	}
	list := s.keys.Audit(after)
	for rest := list; len(rest) > 0; {
		n := min(actsAtOnce, len(rest))
		acts := make([]*event.KeyActRecorded, n)
		for i := range acts {
			if acts[i], err = keyAct(&rest[i]); err != nil {
				return 0, err
			}
		}
		rest = rest[n:]
		if _, err := s.ask(ctx, "acts on the key store", func(t engine.Token) any {
			return &engine.RecordKeyActs{Token: t, Acts: acts, Restored: restored}
		}); err != nil {
			return 0, err
		}
		restored = false
	}
	return len(list), nil
}

func keyAct(e *store.Entry) (*event.KeyActRecorded, error) {
	at, err := time.Parse(time.RFC3339, e.At)
	if err != nil {
		return nil, fmt.Errorf("act %d on the key store: %w", e.Seq, err)
	}
	chain, err := hex.DecodeString(e.Chain)
	if err != nil {
		return nil, fmt.Errorf("act %d on the key store: %w", e.Seq, err)
	}
	return &event.KeyActRecorded{
		Number: e.Seq, Chain: chain, Act: e.Act, Label: e.Label, Generation: uint32(e.Generation), Purpose: e.Purpose, Algorithm: e.Algorithm,
		Kcv: e.KCV, Detail: e.Detail, ActedAt: at.UnixNano(),
		By: &event.Authority{Actor: e.By, Second: e.Second, Reason: e.Reason, Document: e.Document, Account: e.Account},
	}, nil
}

// reloadKeys takes over what was done to the key store while the switch runs.
func (s *Switch) reloadKeys(ctx context.Context) (*control.KeysReloaded, error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	changed, err := s.keys.Reload()
	if err != nil {
		return nil, err
	}
	if err := s.set.Follow(s.keys); err != nil {
		return nil, err
	}
	acts, err := s.journalKeyActs(ctx, false)
	if err != nil {
		return nil, err
	}
	if changed || acts > 0 {
		s.log.Info("key store reloaded", zap.Int("acts", acts), zap.Stringer("store_under", s.keys.LMK()), zap.String("card_key", s.set.CardKeyID()))
	}
	return &control.KeysReloaded{Changed: changed, Acts: acts, Store: s.keys.Path(), LMK: s.keys.LMK().String(), CardKey: s.set.CardKeyID()}, nil
}
