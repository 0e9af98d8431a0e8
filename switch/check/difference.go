package check

import (
	"fmt"

	"huanxin/internal/money"
)

// Difference is one thing that is not as the events say.
type Difference struct {
	Where string `json:"where"` // journal, events, state, snapshot, cold log, database, archive
	What  string `json:"what"`
	// Position is that of the batch, Event the number of the event, where there is one to name.
	Position uint64 `json:"position,omitempty"`
	Event    uint64 `json:"event,omitempty"`
	Text     string `json:"text"`
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
