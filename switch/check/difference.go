package check

import (
	"fmt"

	"huanxin/internal/money"
)

// Difference is one thing that is not as the events say, or, with a Count, so many more of a kind.
type Difference struct {
	Where string `json:"where"` // journal, events, state, snapshot, cold log, database, archive
	What  string `json:"what"`
	// Position is that of the batch, Event the number of the event, where there is one to name.
	Position uint64 `json:"position,omitempty"`
	Event    uint64 `json:"event,omitempty"`
	Text     string `json:"text"`
	// Count is how many more of this kind there are that are not told one by one.
	Count int `json:"count,omitempty"`
}

// kind is what differences are counted by.
type kind struct{ where, what string }

// differences are the first of each kind, and how many there are.
type differences struct {
	limit int // of those that are told, of all kinds together
	list  []Difference
	found map[kind]int
	order []kind
	total int
}

// each is how many of one kind are told: a state that has parted altogether must not hide what else is wrong.
func (d *differences) each() int { return max(d.limit/5, 1) }

// add enters one, or with a Count that many.
func (d *differences) add(x Difference) {
	k := kind{x.Where, x.What}
	before, known := d.found[k]
	if !known {
		d.order = append(d.order, k)
	}
	n := max(x.Count, 1)
	d.found[k] += n
	d.total += n
	if x.Count == 0 && before < d.each() && len(d.list) < d.limit {
		d.list = append(d.list, x)
	}
}

// told are those that are told, and behind them how many more there are of each kind.
func (d *differences) told() []Difference {
	listed := map[kind]int{}
	list := append([]Difference{}, d.list...)
	for _, x := range d.list {
		listed[kind{x.Where, x.What}]++
	}
	for _, k := range d.order {
		if more := d.found[k] - listed[k]; more > 0 {
			list = append(list, Difference{Where: k.where, What: k.what, Count: more, Text: fmt.Sprintf("%d more", more)})
		}
	}
	return list
}

func (d Difference) String() string {
	at := ""
	if d.Position != 0 {
		at += fmt.Sprintf(" position %d", d.Position)
	}
	if d.Event != 0 {
		at += fmt.Sprintf(" event %d", d.Event)
	}
	return fmt.Sprintf("%s, %s:%s %s", d.Where, d.What, at, d.Text)
}

func yuan(fen int64) string { return money.Amount(fen).String() }

// bits says which numbers were seen.
type bits []uint64

func newBits(n uint64) bits { return make(bits, n/64+1) }

func (b bits) has(n uint64) bool { return n/64 < uint64(len(b)) && b[n/64]>>(n%64)&1 == 1 }

// add reports whether the number was not there before.
func (b bits) add(n uint64) bool {
	if n/64 >= uint64(len(b)) || b.has(n) {
		return false
	}
	b[n/64] |= 1 << (n % 64)
	return true
}
