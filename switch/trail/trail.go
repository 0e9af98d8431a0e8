// Package trail tells the whole story of one purchase from the facts of the journal: every event, every message that was
// received or sent because of it, every reason, in the order of the history.
//
// It reads no journal and keeps no message: what a terminal or a host said is rebuilt from the facts that were kept of it.
// So a message of a trail has the fields that mattered, not all that was on the line, and never a card number, a person, a
// code or a serial in clear: the journal has none.
//
// The contract:
//
//  1. Make a Builder with New and Add the events of the journal in the order of their numbers – all of them, or only those
//     of some batches, as long as none of the purchase's own is left out. It picks what belongs to the purchase.
//  2. What belongs to it is known only from its first event on: a story that begins in the middle lacks what refers back.
//  3. Trail gives what has been told so far. Finder finds the number of a purchase from the facts in the same way.
package trail

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"huanxin/subsidy/policy"
	"huanxin/subsidy/reason"
	"huanxin/switch/event"
)

// Trail is the story of one purchase.
type Trail struct {
	Purchase uint64  `json:"purchase"`
	Entries  []Entry `json:"entries"`
	// Incomplete says why events may be missing, "" when none are.
	Incomplete string `json:"incomplete,omitempty"`
}

// Entry is one event and what went over the lines with it.
type Entry struct {
	Seq      uint64           `json:"seq"`
	Position uint64           `json:"position"` // of its batch in the journal
	At       Instant          `json:"at"`
	Event    string           `json:"event"` // name in package event, such as SaleSent
	What     Text             `json:"what"`
	Facts    []Field          `json:"facts,omitempty"`
	Reasons  []Reason         `json:"reasons,omitempty"`
	Messages []Message        `json:"messages,omitempty"`
	By       *event.Authority `json:"by,omitempty"` // of an operator's act
}

// Text is a sentence in the two languages of the system.
type Text struct {
	ZH string `json:"zh"`
	EN string `json:"en"`
}

// Reason is one reason of package reason.
type Reason struct {
	Code uint16 `json:"code"`
	Name string `json:"name"`
	ZH   string `json:"zh"`
	EN   string `json:"en"`
}

// Message is one message, rebuilt from the facts.
type Message struct {
	Direction string  `json:"direction"` // in: received by the switch; out: sent by it
	Peer      string  `json:"peer"`      // terminal, host or caller with its name
	Type      string  `json:"type"`      // MTI; over HTTP and to wallets what was asked
	Fields    []Field `json:"fields"`
}

// Field is one name and value. Fields of ISO 8583 messages are named F4, F60.2, F59.S7.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

const (
	in  = "in"
	out = "out"
)

// Instant is Unix nanoseconds. In JSON it is RFC 3339 in +08:00 with milliseconds, "" for 0.
type Instant int64

// String is the form of JSON, "-" for 0.
func (i Instant) String() string {
	if i == 0 {
		return "-"
	}
	return time.Unix(0, int64(i)).In(policy.China()).Format("2006-01-02T15:04:05.000Z07:00")
}

// MarshalJSON implements json.Marshaler.
func (i Instant) MarshalJSON() ([]byte, error) {
	if i == 0 {
		return []byte(`""`), nil
	}
	return json.Marshal(i.String())
}

// UnmarshalJSON implements json.Unmarshaler. It gives back what the form holds: milliseconds.
func (i *Instant) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	if s == "" {
		*i = 0
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || at.Year() < 1970 || at.Year() > 2200 {
		return fmt.Errorf("instant %q: want RFC 3339", s)
	}
	*i = Instant(at.UnixNano())
	return nil
}

// Builder gathers the story of one purchase.
type Builder struct {
	trail Trail

	// What later events refer back to.
	reserved   *event.Reserved
	sale       *event.SaleSent
	approval   string // DE38 of the sale
	reversals  map[uint64]*event.ReversalQueued
	operations map[uint64]*operation
	items      map[uint64]bool
	batches    map[Batch]batchState
}

// Batch is one batch of a terminal, in which the purchase or an operation of it has its place. Its settlement belongs to
// the story.
type Batch struct {
	Terminal, Merchant string
	Number             uint32
}

type batchState uint8

const (
	open batchState = iota + 1
	closed
)

// operation is a void or refund of the purchase.
type operation struct {
	void   *event.VoidSent
	refund *event.RefundSent
}

// New begins the story of a purchase.
func New(purchase uint64) *Builder {
	return &Builder{
		trail:      Trail{Purchase: purchase, Entries: []Entry{}},
		reversals:  map[uint64]*event.ReversalQueued{},
		operations: map[uint64]*operation{},
		items:      map[uint64]bool{},
		batches:    map[Batch]batchState{},
	}
}

// Trail is what has been told so far.
func (b *Builder) Trail() *Trail { return &b.trail }

// Batches are those in which the purchase has a place and of which no settlement has been told yet, in order.
func (b *Builder) Batches() (list []Batch) {
	for k, state := range b.batches {
		if state == open {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(x, y Batch) int {
		return cmp.Or(cmp.Compare(x.Terminal, y.Terminal), cmp.Compare(x.Merchant, y.Merchant),
			cmp.Compare(x.Number, y.Number))
	})
	return list
}

// Add takes the next event of the journal.
func (b *Builder) Add(position uint64, ev *event.Event) {
	e := &Entry{Seq: ev.Seq, Position: position, At: Instant(ev.At)}
	switch {
	case b.ofPurchase(e, ev), b.ofReversal(e, ev), b.ofOperation(e, ev), b.ofTerminal(e, ev), b.ofOperator(e, ev):
		e.Event = nameOf(ev)
		b.trail.Entries = append(b.trail.Entries, *e)
	}
}

func nameOf(ev *event.Event) string {
	m := ev.ProtoReflect()
	return string(m.WhichOneof(m.Descriptor().Oneofs().ByName("body")).Message().Name())
}

// mine reports whether an event names the purchase.
func (b *Builder) mine(purchase uint64) bool { return purchase != 0 && purchase == b.trail.Purchase }

// batch notes that the purchase has a place in the batch of this request.
func (b *Builder) batch(k *event.ExchangeKey) {
	if k != nil {
		b.batches[Batch{k.Terminal, k.Merchant, k.Batch}] = open
	}
}

func (e *Entry) say(zh, en string) *Entry {
	e.What = Text{zh, en}
	return e
}

// fact adds a name and value; an empty value says nothing and is left out.
func (e *Entry) fact(name, value string) *Entry {
	e.Facts = appendField(e.Facts, name, value)
	return e
}

func (e *Entry) reasons(codes ...uint32) *Entry {
	for _, code := range codes {
		if code == 0 {
			continue
		}
		t := reason.Code(code).Text()
		e.Reasons = append(e.Reasons, Reason{uint16(code), t.Name, t.ZH, t.EN})
	}
	return e
}

func (e *Entry) message(direction, peer, kind string, fields []Field) *Entry {
	e.Messages = append(e.Messages, Message{direction, peer, kind, fields})
	return e
}

func appendField(fields []Field, name, value string) []Field {
	if value == "" {
		return fields
	}
	return append(fields, Field{name, value})
}
