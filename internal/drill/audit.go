package drill

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"huanxin/internal/simulator/load"
)

// Answer is one answer that a terminal or shop received: what the switch has acknowledged and may therefore not forget.
// The load generator writes one JSON line for each, before it goes on.
type Answer struct {
	Kind     load.Kind `json:"kind"`
	MTI      string    `json:"mti"` // of the request: 0100, 0200 …; none over HTTP
	Cancel   bool      `json:"cancel,omitempty"`
	Terminal string    `json:"terminal"`
	Merchant string    `json:"merchant"`
	Batch    uint32    `json:"batch"`
	STAN     uint32    `json:"stan"`
	Class    uint32    `json:"class"` // of the original for a reversal
	Response string    `json:"response"`
	Hold     uint64    `json:"hold,omitempty"` // over HTTP: the purchase
	RRN      string    `json:"rrn,omitempty"`
	Amount   int64     `json:"amount_fen"` // DE4 of the request
	Subsidy  int64     `json:"subsidy_fen,omitempty"`
	Returned int64     `json:"returned_fen,omitempty"`
	Equal    bool      `json:"equal,omitempty"`
	Refunded int64     `json:"refunded_fen,omitempty"`
	State    string    `json:"state,omitempty"`
}

func (a Answer) key() Key { return Key{a.Class, a.Terminal, a.Merchant, a.Batch, a.STAN} }

func (a Answer) String() string {
	if a.MTI == "" {
		return fmt.Sprintf("%s of P%012d answered %s", a.Kind, a.Hold, a.Response)
	}
	return fmt.Sprintf("%s %s/%s batch %d STAN %06d answered %s", a.MTI, a.Terminal, a.Merchant, a.Batch, a.STAN, a.Response)
}

// Row is a purchase as PostgreSQL has it.
type Row struct {
	ID      uint64
	State   State
	Subsidy int64
	Amount  int64
	RRN     string

	Refunded int64
}

// Verdict is what a comparison found. Every list but Acknowledged must be empty.
type Verdict struct {
	Name                    string
	Acknowledged            int
	Lost                    []string // an acknowledged answer that the journal, or a purchase that PostgreSQL does not know
	Duplicated              []string // two captures for one hold, two charges for one purchase
	Overspent               []string // a budget node, serial number or entitlement used beyond what there is
	ChargedWithoutRecord    []string // a net charge with no captured purchase and no pending reversal
	SubsidisedWithoutCharge []string // a captured subsidised purchase with no net charge
	OrphanHolds             []string // reserved or sent after the drain and beyond expiry
	Unresolved              []string // what has no end after the drain: refunds unknown, reversals open, dead letters; and what hosts refused to reverse
}

// findings are all lists by their names, in the order of the line.
func (v *Verdict) findings() []named {
	return []named{
		{"lost", &v.Lost}, {"duplicated", &v.Duplicated}, {"overspent", &v.Overspent},
		{"charged-without-record", &v.ChargedWithoutRecord}, {"subsidised-without-charge", &v.SubsidisedWithoutCharge},
		{"orphan-holds", &v.OrphanHolds}, {"unresolved", &v.Unresolved},
	}
}

type named struct {
	name string
	list *[]string
}

// Clean reports whether nothing was found.
func (v *Verdict) Clean() bool {
	for _, f := range v.findings() {
		if len(*f.list) > 0 {
			return false
		}
	}
	return true
}

// add takes over what another comparison of the same scenario found; one finding counts once.
func (v *Verdict) add(other *Verdict) {
	v.Acknowledged = max(v.Acknowledged, other.Acknowledged)
	from := other.findings()
	for i, into := range v.findings() {
		for _, finding := range *from[i].list {
			if !slices.Contains(*into.list, finding) {
				*into.list = append(*into.list, finding)
			}
		}
	}
}

// String is the one line of a scenario.
func (v *Verdict) String() string {
	line := fmt.Sprintf("%s acknowledged %d", v.Name, v.Acknowledged)
	for _, f := range v.findings() {
		line += fmt.Sprintf(" %s %d", f.name, len(*f.list))
	}
	return line
}

// Explain writes the findings, at most limit of each kind.
func (v *Verdict) Explain(w io.Writer, limit int) {
	for _, f := range v.findings() {
		for i, finding := range *f.list {
			if i == limit {
				fmt.Fprintf(w, "  %s: … and %d more\n", f.name, len(*f.list)-limit)
				break
			}
			fmt.Fprintf(w, "  %s: %s\n", f.name, finding)
		}
	}
}

// Evidence is what all parties say after a drain.
type Evidence struct {
	Answers []Answer
	Book    *Book
	Ledger  []Movement // of all hosts, their own
	Rows    []Row      // nil: PostgreSQL is not part of the comparison
	Now     int64      // Unix nanoseconds, taken after the drain
}

// Compare holds the books against each other.
func Compare(name string, e Evidence) *Verdict {
	v := &Verdict{
		Name: name, Acknowledged: len(e.Answers), Lost: slices.Clone(e.Book.Miscounted),
		Duplicated: slices.Clone(e.Book.Duplicated), Overspent: slices.Clone(e.Book.Overspent),
		Unresolved: slices.Concat(e.Book.Unresolved(), e.Book.Refusals),
	}
	for _, answer := range e.Answers {
		if problem := unrecorded(e.Book, answer); problem != "" {
			v.Lost = append(v.Lost, fmt.Sprintf("%s: %s", answer, problem))
		}
	}
	compareLedger(v, e)
	for _, id := range slices.Sorted(maps.Keys(e.Book.Purchases)) {
		p := e.Book.Purchases[id]
		if (p.State == Reserved && p.ExpiresAt <= e.Now) || p.State == Sent {
			v.OrphanHolds = append(v.OrphanHolds, fmt.Sprintf("purchase %d is still %s", id, p.State))
		}
	}
	if e.Rows != nil {
		compareRows(v, e)
	}
	return v
}

// compareRows holds PostgreSQL against the journal, row by row and both ways.
func compareRows(v *Verdict, e Evidence) {
	seen := map[uint64]bool{}
	for _, row := range e.Rows {
		p := e.Book.Purchases[row.ID]
		if p == nil || seen[row.ID] {
			v.Duplicated = append(v.Duplicated, fmt.Sprintf("PostgreSQL has a row too many for purchase %d", row.ID))
			continue
		}
		seen[row.ID] = true
		var differs []string
		note := func(name string, has, want any) {
			if has != want {
				differs = append(differs, fmt.Sprintf("%s %v instead of %v", name, has, want))
			}
		}
		note("state", row.State, p.State)
		note("subsidy", row.Subsidy, p.Subsidy)
		note("amount", row.Amount, p.Amount)
		note("RRN", row.RRN, p.RRN)
		note("refunded", row.Refunded, p.Refunded)
		if len(differs) > 0 {
			v.Lost = append(v.Lost, fmt.Sprintf("PostgreSQL has purchase %d with %s", row.ID, strings.Join(differs, ", ")))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.Book.Purchases)) {
		if !seen[id] {
			v.Lost = append(v.Lost, fmt.Sprintf("PostgreSQL lacks purchase %d (%s)", id, e.Book.Purchases[id].State))
		}
	}
}
