package engine

import (
	"slices"

	"huanxin/switch/event"
)

// pause is a scope in which nothing new is granted; empty fields mean all.
type pause struct {
	set *event.PauseSet
	to  int64 // 0 = open
}

// paused reports whether a pause is in force for a city, category and channel.
func (e *Engine) paused(city, category, channel string) bool {
	for _, p := range e.pauses {
		if p.set.FromAt <= e.now && (p.to == 0 || e.now < p.to) && covers(p.set.City, city) && covers(p.set.Category, category) &&
			covers(p.set.Channel, channel) {
			return true
		}
	}
	return false
}

func covers(scope, value string) bool { return scope == "" || scope == value }

// killKey names a merchant or a terminal; one is set.
type killKey struct{ merchant, terminal string }

type kill struct {
	set *event.KillSwitchSet
	at  int64
}

func (e *Engine) applyPauseSet(m *event.PauseSet) {
	e.lastPause = max(e.lastPause, m.Pause)
	e.pauses[m.Pause] = &pause{set: m}
	e.forgetPauses()
}

func (e *Engine) applyPauseLifted(m *event.PauseLifted) {
	if p := e.pauses[m.Pause]; p != nil {
		p.to = m.FromAt
	}
	e.forgetPauses()
}

// forgetPauses drops those that are over.
func (e *Engine) forgetPauses() {
	for id, p := range e.pauses {
		if p.to != 0 && p.to <= e.now {
			delete(e.pauses, id)
		}
	}
}

func (e *Engine) applyKillSwitchSet(m *event.KillSwitchSet) {
	key := killKey{m.Merchant, m.Terminal}
	if m.On {
		e.kills[key] = &kill{m, e.now}
	} else {
		delete(e.kills, key)
	}
}

// sortedKills lists what is stopped, merchants first.
func (e *Engine) sortedKills() []killKey {
	keys := make([]killKey, 0, len(e.kills))
	for k := range e.kills {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b killKey) int {
		if (a.merchant == "") != (b.merchant == "") {
			if a.merchant == "" {
				return 1
			}
			return -1
		}
		if a.merchant+a.terminal < b.merchant+b.terminal {
			return -1
		}
		return 1
	})
	return keys
}
