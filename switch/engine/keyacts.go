package engine

import (
	"bytes"
	"fmt"

	"huanxin/switch/event"
)

// Acts on the key store are done by persons at the machine, whether the switch runs or not. The store chains them; the
// switch brings those that the journal does not have yet (RecordKeyActs), each as a fact of its own. So the journal knows
// every act, in order, and knows a store that was put back to an older state.

// RecordKeyActs brings acts on the key store, from the one after the last that the journal has. They are recorded all or
// not at all; what does not go on from there is a problem.
type RecordKeyActs struct {
	Token Token
	Acts  []*event.KeyActRecorded // at most 1000; they become the engine's
	// Restored: the operator goes on with an older copy of the store, and the first act says so. Its number is what it is.
	Restored bool
}

// LookKeyActs asks how far the journal has them: a KeyActsView.
type LookKeyActs struct{}

// KeyActsView is the last act that the journal has; number 0 is none.
type KeyActsView struct {
	Number uint64
	Chain  []byte
}

// keyActs is the end of the store's list as the journal has it.
type keyActs struct {
	number uint64
	chain  []byte
}

// ActRestore is the act of going on with an older copy of the store.
const ActRestore = "restore"

// chainSize is the length in bytes of the store's hash.
const chainSize = 32

func (e *Engine) recordKeyActs(in *RecordKeyActs) {
	if problems := e.judgeKeyActs(in); len(problems) > 0 {
		e.admin(in.Token, 0, problems)
		return
	}
	for _, act := range in.Acts {
		e.emit(&event.Event{Body: &event.Event_KeyActRecorded{KeyActRecorded: act}})
	}
	e.admin(in.Token, len(in.Acts), nil)
}

func (e *Engine) judgeKeyActs(in *RecordKeyActs) []string {
	acts := in.Acts
	if len(acts) > maxRows {
		return []string{fmt.Sprintf("%d acts at once, at most %d", len(acts), maxRows)}
	}
	next := e.keyActs.number + 1
	if in.Restored && len(acts) > 0 && acts[0].Act == ActRestore {
		next = acts[0].Number
	}
	for _, act := range acts {
		if act.Number != next {
			return []string{fmt.Sprintf("act %d on the key store does not follow act %d", act.Number, next-1)}
		}
		if len(act.Chain) != chainSize || act.By.GetActor() == "" || act.Act == "" {
			return []string{fmt.Sprintf("act %d on the key store says not what was done, by whom, or has no hash", act.Number)}
		}
		next++
	}
	return nil
}

func (e *Engine) applyKeyActRecorded(m *event.KeyActRecorded) {
	e.keyActs = keyActs{m.Number, bytes.Clone(m.Chain)}
}
