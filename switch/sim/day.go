package sim

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// session is the day of a terminal as the facts have it: what its batch holds, and what it may still take back.
type session struct {
	batch   uint32
	last    string // key of its last message that was decided on
	sales   []uint64
	refunds []uint64
}

// went says that a terminal's message was decided on: it has gone on to the next customer.
func (m *model) went(k *event.ExchangeKey) *session {
	if k.GetTerminal() == "" {
		return nil
	}
	s := m.sessions[k.Terminal]
	if s == nil {
		s = &session{batch: k.Batch}
		m.sessions[k.Terminal] = s
	}
	s.last = keyText(k)
	return s
}

// day notes the clearing day that an answer names: a host's days only move on. Histories do not cross a year.
func (m *model) day(host string, a *event.HostAnswer) {
	m.days[host] = max(m.days[host], a.GetClearingDate())
}

// sameDay holds that a purchase may still be undone by its till: in its batch and on its clearing day.
func (m *model) sameDay(p *purchaseFact, s *session, what string) {
	m.must(s != nil && p.key.GetBatch() == s.batch, "what a till undoes is of its open batch", "%s of purchase %d", what, p.id)
	if p.date == "" {
		return
	}
	day, err := time.ParseInLocation("20060102", "2026"+p.date, shanghai)
	if err != nil {
		panic(err)
	}
	cutOff := hostProfiles[p.host].CutOff
	if cutOff == 0 {
		cutOff = 23 * time.Hour
	}
	m.must(p.date >= m.days[p.host] && m.at < day.Add(cutOff).UnixNano(), "what a till undoes is of the clearing day", "%s of purchase %d of %s",
		what, p.id, p.date)
}

// batchSettled works a terminal's totals out anew.
func (m *model) batchSettled(b *event.BatchSettled) {
	m.w.count("turn: batch closed")
	s := m.sessions[b.Key.Terminal]
	if s == nil {
		s = &session{batch: b.Key.Batch}
		m.sessions[b.Key.Terminal] = s
	}
	m.must(b.Key.Batch == s.batch && b.NextBatch == s.batch%999_999+1, "batches follow each other", "%s closes %d, opens %d, has %d",
		b.Key.Terminal, b.Key.Batch, b.NextBatch, s.batch)
	var want event.BatchTotals
	for _, id := range s.sales {
		p := m.purchases[id]
		m.must(!p.underWay && p.voidedBy == 0 || !p.underWay && !p.captured, "a batch closes when all in it has ended", "purchase %d", id)
		switch {
		case p.kind == event.SaleKind_SALE_KIND_PREAUTH || p.kind == event.SaleKind_SALE_KIND_PREAUTH_VOID || !p.captured && !p.whole:
		case p.kind == event.SaleKind_SALE_KIND_COMPLETION_VOID:
			want.CreditAmount, want.CreditCount = want.CreditAmount+p.amount, want.CreditCount+1
		default:
			want.DebitAmount, want.DebitCount = want.DebitAmount+p.amount, want.DebitCount+1
			if p.granted > 0 && !p.manual {
				want.SubsidyAmount, want.SubsidyCount = want.SubsidyAmount+p.granted, want.SubsidyCount+1
			}
		}
	}
	for _, id := range s.refunds {
		if o := m.ops[id]; o.approved {
			want.CreditAmount, want.CreditCount = want.CreditAmount+o.amount, want.CreditCount+1
		}
	}
	m.must(proto.Equal(b.Kept, &want), "a batch's totals are the sums of what is in it", "batch %d of %s: %v, not %v", b.Key.Batch, b.Key.Terminal, b.Kept, &want)
	s.batch, s.sales, s.refunds = b.NextBatch, nil, nil
}

// ---- What was promised ----------------------------------------------------------------------------------------------

// promise is something that was said to somebody, and must be so when everything has ended.
type promise struct {
	text  string
	holds func() bool
}

func (w *world) promised(holds func() bool, format string, args ...any) {
	w.promises = append(w.promises, promise{fmt.Sprintf(format, args...), holds})
}

func (w *world) checkPromises() {
	for _, p := range w.promises {
		if !p.holds() {
			w.fail("what was answered is in the books", "%s", p.text)
		}
	}
	w.stats.Seen["check: answers kept"] += len(w.promises)
}

// target is what a till's key has begun.
type target struct{ purchase, operation uint64 }

// begun finds it.
func (m *model) begun(key engine.Key) target {
	return m.targets[fmt.Sprintf("%c/%s/%s/%d/%d", key.Class, key.Terminal, key.Merchant, key.Batch, key.STAN)]
}

// taken is what a 0400 that was answered 00 has promised: a hold or sale is gone, and a void never was, unless a person has settled it
// otherwise.
func (m *model) taken(t target) bool {
	switch p := m.purchases[t.purchase]; {
	case p == nil:
		return false
	case t.operation != 0:
		return p.voidedBy != t.operation || m.ops[t.operation].settled
	default:
		return !p.captured && !p.held && !p.spent
	}
}

// given is what an approved void or refund has promised.
func (m *model) given(t target) bool {
	o := m.ops[t.operation]
	return o != nil && o.approved && (!o.void || m.purchases[t.purchase].voidedBy == t.operation && !m.purchases[t.purchase].captured)
}
