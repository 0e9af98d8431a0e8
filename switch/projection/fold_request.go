package projection

import (
	"huanxin/internal/money"
	"huanxin/switch/event"
)

// applyRequest enters requests that changed nothing else: refusals, answers to 0400, kept idempotency keys.
func (f *fold) applyRequest(ev *event.Event) {
	r := Refusal{Seq: f.seq, Month: f.month.date, RefusedAt: f.at, Reasons: []int32{}}
	var key *event.ExchangeKey
	switch b := ev.Body.(type) {
	case *event.Event_RequestKept:
		f.requestKept(b.RequestKept)
		return
	case *event.Event_ReserveRefused:
		m := b.ReserveRefused
		key = m.Key
		r.Kind, r.Response, r.Entitlement, r.Price = "reserve", "57", m.Entitlement, money.Amount(m.Price)
		r.Category, r.City, r.Channel = text(m.Category), text(m.City), text(m.Channel)
		r.Barcode, r.PolicyVersion = text(m.Barcode), text(m.PolicyVersion)
		r.Caller, r.Merchant, r.Reasons = text(m.Caller), text(m.Merchant), codes(m.Reasons)
	case *event.Event_SaleRefused:
		m := b.SaleRefused
		key = m.Key
		r.Kind, r.Response, r.Purchase, r.Price = "sale", text(m.Response), m.Purchase, money.Amount(m.Amount)
		if m.Request != "" {
			r.Kind = text(m.Request)
		}
		if m.Reason != 0 {
			r.Reasons = append(r.Reasons, int32(m.Reason))
		}
	case *event.Event_ReversalAnswered:
		m := b.ReversalAnswered
		if m.Response == "00" {
			f.trail(m.Purchase)
			return
		}
		key = m.Key
		r.Kind, r.Response, r.Purchase = "reversal", text(m.Response), m.Purchase
	}
	f.trail(r.Purchase)
	if key != nil {
		r.Terminal, r.Merchant, r.TerminalBatch, r.STAN = text(key.Terminal), text(key.Merchant), key.Batch, key.Stan
	}
	f.out.Refusals = append(f.out.Refusals, r)
}

func (f *fold) requestKept(m *event.RequestKept) {
	f.trail(m.Purchase)
	f.out.Requests = append(f.out.Requests, Request{
		Seq: f.seq, Month: f.month.date, Request: octets(m.Request), Content: octets(m.Content),
		Kind: enum(m.Kind.String(), "REQUEST_KIND_"), Purchase: m.Purchase, Operation: m.Operation, Reasons: codes(m.Reasons),
		Price: money.Amount(m.Price), KeptAt: f.at,
	})
}

// codes are those of package reason as a database takes them, never nil.
func codes(list []uint32) []int32 {
	out := make([]int32, 0, len(list))
	for _, c := range list {
		out = append(out, int32(c))
	}
	return out
}
