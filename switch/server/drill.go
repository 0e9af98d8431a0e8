package server

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"huanxin/switch/event"
)

// Stage is a named point on the way of a batch.
type Stage string

// The stages, in order. Between decided and appended lies the sync, between appended and released what leaves.
const (
	Decided  Stage = "decided"  // the engine has decided; nothing is durable
	Appended Stage = "appended" // the events are durable; nothing has left
	Released Stage = "released" // answers and host requests have been handed to the fronts
)

// CrashPoint is a point at which a drill ends the process: the Count-th batch that holds an event of this name.
type CrashPoint struct {
	Stage Stage
	Event string // name in package event, such as VoidSent
	Count uint64 // from 1
}

// ParseCrashPoint reads "appended VoidSent 3". The event must be one of the schema's: a drill that never crashes would
// prove nothing.
func ParseCrashPoint(text string) (CrashPoint, error) {
	parts := strings.Split(text, " ")
	if len(parts) != 3 {
		return CrashPoint{}, fmt.Errorf("%q: want a point, an event and a count, such as \"appended VoidSent 3\"", text)
	}
	p := CrashPoint{Stage: Stage(parts[0]), Event: parts[1]}
	if !slices.Contains([]Stage{Decided, Appended, Released}, p.Stage) {
		return CrashPoint{}, fmt.Errorf("%q: want %s, %s or %s", parts[0], Decided, Appended, Released)
	}
	if !slices.Contains(eventNames(), p.Event) {
		return CrashPoint{}, fmt.Errorf("%q: no such event", parts[1])
	}
	var err error
	if p.Count, err = strconv.ParseUint(parts[2], 10, 32); err != nil || p.Count == 0 {
		return CrashPoint{}, fmt.Errorf("%q: want a count from 1 on", parts[2])
	}
	return p, nil
}

// String is the form that ParseCrashPoint reads.
func (p CrashPoint) String() string { return fmt.Sprintf("%s %s %d", p.Stage, p.Event, p.Count) }

// Watch makes the function for Config.Point: it calls crash once, at the point.
func (p CrashPoint) Watch(crash func()) func(Stage, []string) {
	var seen atomic.Uint64
	return func(stage Stage, events []string) {
		if stage == p.Stage && slices.Contains(events, p.Event) && seen.Add(1) == p.Count {
			crash()
		}
	}
}

func eventNames() (names []string) {
	fields := new(event.Event).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range fields.Len() {
		names = append(names, string(fields.Get(i).Message().Name()))
	}
	return names
}

// eventName is the name of an event's body, "" when it has none.
func eventName(ev *event.Event) string {
	m := ev.ProtoReflect()
	field := m.WhichOneof(m.Descriptor().Oneofs().ByName("body"))
	if field == nil {
		return ""
	}
	return string(field.Message().Name())
}
