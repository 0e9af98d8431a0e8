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

// PlaceRecovered is a place: the state is restored and ownership is not taken yet.
const PlaceRecovered = "recovered"

// CrashPoint is a point at which a drill ends the process: the Count-th batch that holds an event of this name, or the
// Count-th time that the work comes to a place beside the batches.
type CrashPoint struct {
	Stage Stage
	Event string // name in package event, such as VoidSent
	Place string // in place of stage and event: a name that the package which works there has given it
	Count uint64 // from 1
}

// ParseCrashPoint reads "appended VoidSent 3" and "snapshot-named 1", a place of which the caller knows. Event and place must
// be there: a drill that never crashes would prove nothing.
func ParseCrashPoint(text string, places ...string) (p CrashPoint, err error) {
	parts := strings.Split(text, " ")
	switch len(parts) {
	case 2:
		if p.Place = parts[0]; !slices.Contains(places, p.Place) {
			return CrashPoint{}, fmt.Errorf("%q: want one of %s", p.Place, strings.Join(places, ", "))
		}
	case 3:
		p.Stage, p.Event = Stage(parts[0]), parts[1]
		if !slices.Contains([]Stage{Decided, Appended, Released}, p.Stage) {
			return CrashPoint{}, fmt.Errorf("%q: want %s, %s or %s", parts[0], Decided, Appended, Released)
		}
		if !slices.Contains(eventNames(), p.Event) {
			return CrashPoint{}, fmt.Errorf("%q: no such event", parts[1])
		}
	default:
		return CrashPoint{}, fmt.Errorf("%q: want a point, an event and a count, such as \"appended VoidSent 3\", or a place and a count, "+
			"such as \"snapshot-named 1\"", text)
	}
	count := parts[len(parts)-1]
	if p.Count, err = strconv.ParseUint(count, 10, 32); err != nil || p.Count == 0 {
		return CrashPoint{}, fmt.Errorf("%q: want a count from 1 on", count)
	}
	return p, nil
}

// String is the form that ParseCrashPoint reads.
func (p CrashPoint) String() string {
	if p.Place != "" {
		return fmt.Sprintf("%s %d", p.Place, p.Count)
	}
	return fmt.Sprintf("%s %s %d", p.Stage, p.Event, p.Count)
}

// WatchPlaces makes the function that is told of places: it calls crash once, at the point.
func (p CrashPoint) WatchPlaces(crash func()) func(place string) {
	var seen atomic.Uint64
	return func(place string) {
		if place == p.Place && seen.Add(1) == p.Count {
			crash()
		}
	}
}

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
