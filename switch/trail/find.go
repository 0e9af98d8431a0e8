package trail

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"huanxin/switch/event"
)

// Query says which purchases are looked for. What is empty does not count; what is given must all be so.
type Query struct {
	Terminal string // of any message of it
	STAN     uint32 // of any message of it: reserve, sale, void or refund
	RRN      string // of its sale, void or refund
	Card     []byte // token of the card
	Serial   []byte // hash of the serial
	Person   []byte // token of the person
}

// ErrNothing is returned by Query.Check for a query that names nothing: it would be the whole journal.
var ErrNothing = errors.New("nothing to look for: name a terminal, STAN, RRN, card, serial or person")

// Check returns what is wrong with a query.
func (q *Query) Check() error {
	for name, hash := range map[string][]byte{"card": q.Card, "serial": q.Serial, "person": q.Person} {
		if len(hash) != 0 && len(hash) != 16 {
			return errors.New(name + ": want a token of 16 bytes")
		}
	}
	if q.Terminal == "" && q.STAN == 0 && q.RRN == "" && len(q.Card)+len(q.Serial)+len(q.Person) == 0 {
		return ErrNothing
	}
	return nil
}

// Found is one purchase as a list shows it.
type Found struct {
	Purchase uint64  `json:"purchase"`
	State    string  `json:"state"`
	At       Instant `json:"at"` // of its first event
	Terminal string  `json:"terminal,omitempty"`
	Merchant string  `json:"merchant,omitempty"`
	STAN     uint32  `json:"stan,omitempty"` // of the sale, else of the reserve
	RRN      string  `json:"rrn,omitempty"`
	CardMask string  `json:"card_mask,omitempty"`
	Amount   int64   `json:"amount_fen"`       // charged, else payable
	Subsidy  int64   `json:"subsidy_fen"`      // held, else spent
	Manual   bool    `json:"manual,omitempty"` // the subsidy was recorded by hand
}

// seen is what a Finder remembers of a purchase: which parts of the query it has met, and what a list shows.
type seen struct {
	Found
	met part
}

// part is a set of parts of a query.
type part uint8

const (
	byTerminal part = 1 << iota
	bySTAN
	byRRN
	byCard
	bySerial
	byPerson
)

// Finder finds purchases in the events of the journal, added in their order. It remembers what may still match: of a
// purchase that meets no part of the query it keeps nothing.
type Finder struct {
	query     Query
	wanted    part
	purchases map[uint64]*seen
	reversals map[uint64]uint64 // to the purchase
	manual    map[uint64]bool   // all purchases with a subsidy recorded by hand: what is met later must show it too
}

// NewFinder begins a search.
func NewFinder(q Query) *Finder {
	f := &Finder{query: q, purchases: map[uint64]*seen{}, reversals: map[uint64]uint64{}, manual: map[uint64]bool{}}
	for p, given := range map[part]bool{
		byTerminal: q.Terminal != "", bySTAN: q.STAN != 0, byRRN: q.RRN != "",
		byCard: len(q.Card) > 0, bySerial: len(q.Serial) > 0, byPerson: len(q.Person) > 0,
	} {
		if given {
			f.wanted |= p
		}
	}
	return f
}

// Add takes the next event.
func (f *Finder) Add(ev *event.Event) {
	switch m := ev.Body.(type) {
	case *event.Event_Reserved:
		r := m.Reserved
		met := f.key(r.Key) | f.hash(r.Serial, f.query.Serial, bySerial) | f.hash(r.Person, f.query.Person, byPerson)
		if p := f.meet(r.Purchase, met, ev.At); p != nil {
			p.from(r.Key)
			p.Amount, p.Subsidy, p.State = r.Payable, r.Subsidy, "reserved"
		}
	case *event.Event_Supplemented:
		r := m.Supplemented.Facts
		f.manual[r.GetPurchase()] = true
		met := f.hash(r.GetSerial(), f.query.Serial, bySerial) | f.hash(r.GetPerson(), f.query.Person, byPerson)
		if p := f.meet(r.GetPurchase(), met, ev.At); p != nil {
			p.Subsidy, p.State = r.GetSubsidy(), "captured"
		}
	case *event.Event_SaleSent:
		s := m.SaleSent
		met := f.key(s.Key) | f.rrn(s.Rrn) | f.hash(s.Card.GetToken(), f.query.Card, byCard)
		if p := f.meet(s.Purchase, met, ev.At); p != nil {
			p.from(s.Key)
			p.Amount, p.RRN, p.CardMask, p.State = s.Amount, s.Rrn, s.Card.GetMask(), "sent"
		}
	case *event.Event_VoidSent:
		f.meet(m.VoidSent.Purchase, f.key(m.VoidSent.Key)|f.rrn(m.VoidSent.Rrn), ev.At)
		f.state(m.VoidSent.Purchase, "voiding")
	case *event.Event_RefundSent:
		f.meet(m.RefundSent.Purchase, f.key(m.RefundSent.Key)|f.rrn(m.RefundSent.Rrn), ev.At)
		f.state(m.RefundSent.Purchase, "refunding")
	default:
		f.moved(ev)
	}
}

// moved follows the state of what has been met.
func (f *Finder) moved(ev *event.Event) {
	switch m := ev.Body.(type) {
	case *event.Event_HoldCancelled:
		f.state(m.HoldCancelled.Purchase, "cancelled")
	case *event.Event_HoldExpired:
		f.state(m.HoldExpired.Purchase, "expired")
	case *event.Event_SaleApproved:
		f.state(m.SaleApproved.Purchase, "captured")
	case *event.Event_SaleDeclined:
		f.state(m.SaleDeclined.Purchase, "declined")
	case *event.Event_PaymentUnknown:
		if m.PaymentUnknown.Operation == 0 {
			f.state(m.PaymentUnknown.Purchase, "unknown")
		}
	case *event.Event_ReversalQueued:
		if m.ReversalQueued.Operation != 0 {
			f.state(m.ReversalQueued.Purchase, "captured")
			return
		}
		f.reversals[m.ReversalQueued.Reversal] = m.ReversalQueued.Purchase
		f.state(m.ReversalQueued.Purchase, "reversing")
	case *event.Event_ReversalDone:
		f.state(f.reversals[m.ReversalDone.Reversal], "reversed")
	case *event.Event_ReversalResolved:
		f.state(f.reversals[m.ReversalResolved.Reversal], "reversed")
	case *event.Event_VoidApproved:
		f.state(m.VoidApproved.Purchase, "voided")
	case *event.Event_VoidDeclined:
		f.state(m.VoidDeclined.Purchase, "captured")
	case *event.Event_RefundApproved:
		f.state(m.RefundApproved.Purchase, "captured")
		if m.RefundApproved.Whole {
			f.state(m.RefundApproved.Purchase, "refunded")
		}
	case *event.Event_RefundDeclined:
		f.state(m.RefundDeclined.Purchase, "captured")
	}
}

// Found returns what matches the whole query, the newest first, at most limit of it, and whether there is more.
func (f *Finder) Found(limit int) (list []Found, more bool) {
	for _, p := range f.purchases {
		if p.met&f.wanted == f.wanted {
			found := p.Found
			found.Manual = f.manual[p.Purchase]
			list = append(list, found)
		}
	}
	slices.SortFunc(list, func(a, b Found) int { return cmp.Compare(b.Purchase, a.Purchase) })
	if len(list) > limit {
		return list[:limit], true
	}
	return list, false
}

func (f *Finder) meet(purchase uint64, met part, at int64) *seen {
	p := f.purchases[purchase]
	if p == nil {
		if met&f.wanted == 0 {
			return nil
		}
		p = &seen{Found: Found{Purchase: purchase, At: Instant(at)}}
		f.purchases[purchase] = p
	}
	p.met |= met
	return p
}

func (f *Finder) state(purchase uint64, state string) {
	if p := f.purchases[purchase]; p != nil {
		p.State = state
	}
}

func (p *seen) from(k *event.ExchangeKey) {
	if k != nil {
		p.Terminal, p.Merchant, p.STAN = k.Terminal, k.Merchant, k.Stan
	}
}

// key meets terminal and STAN by one message: a STAN says nothing without its terminal.
func (f *Finder) key(k *event.ExchangeKey) (met part) {
	if k == nil {
		return 0
	}
	terminal := f.query.Terminal == "" || k.Terminal == f.query.Terminal
	stan := f.query.STAN == 0 || k.Stan == f.query.STAN
	if terminal && stan {
		return byTerminal | bySTAN
	}
	return 0
}

func (f *Finder) rrn(rrn string) part {
	if rrn != "" && rrn == f.query.RRN {
		return byRRN
	}
	return 0
}

func (f *Finder) hash(have, want []byte, p part) part {
	if len(want) > 0 && bytes.Equal(have, want) {
		return p
	}
	return 0
}
