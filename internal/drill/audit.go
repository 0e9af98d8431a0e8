package drill

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"huanxin/internal/simulator/issuer"
)

// Answer is one answer that a terminal received: what the switch has acknowledged and may therefore not forget. The load
// generator writes one JSON line for each, before it goes on.
type Answer struct {
	MTI      string `json:"mti"` // of the request: 0100, 0200, 0400
	Cancel   bool   `json:"cancel,omitempty"`
	Terminal string `json:"terminal"`
	Merchant string `json:"merchant"`
	Batch    uint32 `json:"batch"`
	STAN     uint32 `json:"stan"`
	Class    uint32 `json:"class"` // of the original for a reversal
	Response string `json:"response"`
	Hold     uint64 `json:"hold,omitempty"`
	RRN      string `json:"rrn,omitempty"`
	Amount   int64  `json:"amount_fen"` // DE4 of the request
	Subsidy  int64  `json:"subsidy_fen,omitempty"`
}

func (a Answer) key() Key { return Key{a.Class, a.Terminal, a.Merchant, a.Batch, a.STAN} }

// Row is a purchase as PostgreSQL has it.
type Row struct {
	ID      uint64
	State   State
	Subsidy int64
	Amount  int64
	RRN     string
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
}

// Clean reports whether nothing was found.
func (v *Verdict) Clean() bool {
	return len(v.Lost)+len(v.Duplicated)+len(v.Overspent)+len(v.ChargedWithoutRecord)+len(v.SubsidisedWithoutCharge)+len(v.OrphanHolds) == 0
}

// add takes over what another comparison of the same scenario found; one finding counts once.
func (v *Verdict) add(other *Verdict) {
	v.Acknowledged = max(v.Acknowledged, other.Acknowledged)
	for _, kind := range []struct {
		into *[]string
		from []string
	}{
		{&v.Lost, other.Lost}, {&v.Duplicated, other.Duplicated}, {&v.Overspent, other.Overspent},
		{&v.ChargedWithoutRecord, other.ChargedWithoutRecord}, {&v.SubsidisedWithoutCharge, other.SubsidisedWithoutCharge},
		{&v.OrphanHolds, other.OrphanHolds},
	} {
		for _, finding := range kind.from {
			if !slices.Contains(*kind.into, finding) {
				*kind.into = append(*kind.into, finding)
			}
		}
	}
}

// String is the one line of a scenario.
func (v *Verdict) String() string {
	return fmt.Sprintf("%s acknowledged %d lost %d duplicated %d overspent %d charged-without-record %d subsidised-without-charge %d orphan-holds %d",
		v.Name, v.Acknowledged, len(v.Lost), len(v.Duplicated), len(v.Overspent), len(v.ChargedWithoutRecord),
		len(v.SubsidisedWithoutCharge), len(v.OrphanHolds))
}

// Explain writes the findings, at most limit of each kind.
func (v *Verdict) Explain(w io.Writer, limit int) {
	for _, kind := range []struct {
		name string
		list []string
	}{
		{"lost", v.Lost}, {"duplicated", v.Duplicated}, {"overspent", v.Overspent},
		{"charged without record", v.ChargedWithoutRecord}, {"subsidised without charge", v.SubsidisedWithoutCharge},
		{"orphan hold", v.OrphanHolds},
	} {
		for i, finding := range kind.list {
			if i == limit {
				fmt.Fprintf(w, "  %s: … and %d more\n", kind.name, len(kind.list)-limit)
				break
			}
			fmt.Fprintf(w, "  %s: %s\n", kind.name, finding)
		}
	}
}

// Evidence is what the four parties say after a drain.
type Evidence struct {
	Answers []Answer
	Book    *Book
	Ledger  []issuer.Line // the host's own
	Rows    []Row         // nil: PostgreSQL is not part of the comparison
	Now     int64         // Unix nanoseconds, taken after the drain
}

// Compare holds the four books against each other.
func Compare(name string, e Evidence) *Verdict {
	v := &Verdict{
		Name: name, Acknowledged: len(e.Answers),
		Duplicated: slices.Clone(e.Book.Duplicated), Overspent: slices.Clone(e.Book.Overspent),
	}
	for _, answer := range e.Answers {
		if problem := unrecorded(e.Book, answer); problem != "" {
			v.Lost = append(v.Lost, fmt.Sprintf("%s %s/%s batch %d STAN %06d answered %s: %s",
				answer.MTI, answer.Terminal, answer.Merchant, answer.Batch, answer.STAN, answer.Response, problem))
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

// unrecorded says why the journal does not account for an answer, "" when it does. Answers by which the switch declined
// to decide (30, 40, 96, 91 and the like) claim nothing and need no record.
func unrecorded(b *Book, a Answer) string {
	switch {
	case a.MTI == "0100" && !a.Cancel && a.Response == "00":
		p := b.Purchases[a.Hold]
		if p == nil {
			return fmt.Sprintf("hold %d is not in the journal", a.Hold)
		}
		if p.Subsidy != a.Subsidy {
			return fmt.Sprintf("hold %d: %d fen of subsidy were answered, %d are recorded", a.Hold, a.Subsidy, p.Subsidy)
		}
	case a.MTI == "0100" && !a.Cancel && a.Response == "57":
		if !b.Reserves[a.key()].Refused {
			return "the refusal is not in the journal"
		}
	case a.MTI == "0100" && a.Cancel && a.Response == "00":
		if p := b.Purchases[a.Hold]; p == nil || p.State != Cancelled {
			return fmt.Sprintf("hold %d is not cancelled in the journal", a.Hold)
		}
	case a.MTI == "0200":
		return unrecordedSale(b, a)
	case a.MTI == "0400" && (a.Response == "00" || a.Response == "25"):
		if recorded, ok := b.Reversals[a.key()]; !ok || recorded.Response != a.Response {
			return fmt.Sprintf("the journal has answer %q", recorded.Response)
		}
	}
	return ""
}

// approvals are the response codes that stand for a charge.
var approvals = []string{"00", "11", "A2", "A4", "A5", "A6"}

func unrecordedSale(b *Book, a Answer) string {
	if !slices.Contains(approvals, a.Response) {
		if _, ok := b.Sales[a.key()]; !ok && a.RRN != "" {
			return "a sale that went to the host is not in the journal"
		}
		return ""
	}
	p := b.ByRRN[a.RRN]
	switch {
	case p == nil:
		return fmt.Sprintf("RRN %s is not in the journal", a.RRN)
	case p.Captures == 0:
		return fmt.Sprintf("purchase %d is %s and was never captured", p.ID, p.State)
	case p.Amount != a.Amount:
		return fmt.Sprintf("purchase %d is recorded with %d fen, %d were answered", p.ID, p.Amount, a.Amount)
	}
	return ""
}

// balance is what the ledger says of one RRN.
type balance struct {
	charges, returns int
	net              int64 // fen
}

// balances adds the ledger up, trusting none of its own rules. A sale that reached the host again is a finding even
// though the host refused it: the switch must never resend one.
func balances(v *Verdict, lines []issuer.Line) map[string]balance {
	list := map[string]balance{}
	for _, line := range lines {
		b := list[line.RRN]
		switch line.Kind {
		case issuer.Charge:
			b.charges++
			b.net += int64(line.Amount)
		case issuer.Return:
			b.returns++
			b.net -= int64(line.Amount)
		case issuer.Repeat:
			v.Duplicated = append(v.Duplicated, fmt.Sprintf("the sale with RRN %s was sent to the host again", line.RRN))
		}
		list[line.RRN] = b
	}
	return list
}

func compareLedger(v *Verdict, e Evidence) {
	charged := map[uint64]int{} // net charges by purchase
	ledger := balances(v, e.Ledger)
	for _, rrn := range slices.Sorted(maps.Keys(ledger)) {
		entry := ledger[rrn]
		if entry.charges > 1 {
			v.Duplicated = append(v.Duplicated, fmt.Sprintf("RRN %s was charged %d times", rrn, entry.charges))
		}
		if entry.net == 0 {
			continue
		}
		p := e.Book.ByRRN[rrn]
		switch {
		case p == nil:
			v.ChargedWithoutRecord = append(v.ChargedWithoutRecord, fmt.Sprintf("RRN %s, %d fen: not in the journal", rrn, entry.net))
			continue
		case p.State == Captured && entry.net != p.Amount:
			v.ChargedWithoutRecord = append(v.ChargedWithoutRecord, fmt.Sprintf("RRN %s: %d fen charged, purchase %d records %d", rrn, entry.net, p.ID, p.Amount))
		case p.State != Captured && p.Pending == 0 && !p.WithPerson:
			v.ChargedWithoutRecord = append(v.ChargedWithoutRecord, fmt.Sprintf("RRN %s: purchase %d is %s and no reversal is pending", rrn, p.ID, p.State))
		}
		charged[p.ID]++
	}
	for _, id := range slices.Sorted(maps.Keys(e.Book.Purchases)) {
		p := e.Book.Purchases[id]
		if p.State != Captured {
			continue
		}
		switch {
		case charged[id] > 1:
			v.Duplicated = append(v.Duplicated, fmt.Sprintf("purchase %d was charged %d times", id, charged[id]))
		case charged[id] == 0 && p.Subsidy > 0:
			v.SubsidisedWithoutCharge = append(v.SubsidisedWithoutCharge, fmt.Sprintf("purchase %d, RRN %s", id, p.RRN))
		case charged[id] == 0:
			v.Lost = append(v.Lost, fmt.Sprintf("ordinary purchase %d, RRN %s, is captured but not charged", id, p.RRN))
		}
	}
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
