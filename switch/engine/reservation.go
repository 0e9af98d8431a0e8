package engine

import (
	"bytes"
	"fmt"
	"slices"

	"huanxin/internal/flat"
	"huanxin/switch/event"
)

// reservation is what a purchase has reserved: the fact packed as in the journal, and of it what is asked for again and
// again. Unpacked the fact takes three times as much, and ten thousands of purchases begin in a busy second.
type reservation struct {
	Key         Key // over HTTP the merchant alone
	Entitlement uint64
	Price       int64
	Subsidy     int64
	Payable     int64
	FromClaim   int64
	ExpiresAt   int64
	Code        Hash
	Serial      Hash
	Caller      string
	order       flat.Digest // of merchant and order; zero = none
	packed      string
}

// set notes a fact and what it is packed as. Nothing of m is kept but its caller's text.
func (r *reservation) set(m *event.Reserved, packed string) {
	*r = reservation{
		Entitlement: m.Entitlement, Price: m.Price, Subsidy: m.Subsidy, Payable: m.Payable, FromClaim: m.FromClaim,
		ExpiresAt: m.ExpiresAt, Code: hash(m.Code), Serial: hash(m.Serial), Caller: m.Caller, packed: packed,
	}
	if m.Key != nil {
		r.Key = keyOf(m.Key)
	}
	if m.Order != "" {
		r.order = orderOf(m.Key.GetMerchant(), m.Order)
	}
}

// pack is what a fact is kept as, good until the next.
func (s *scratch) pack(m *event.Reserved) []byte {
	size := m.SizeVT()
	s.packed = slices.Grow(s.packed[:0], size)[:size]
	if n, err := m.MarshalToSizedBufferVT(s.packed); err != nil || n != size {
		panic(fmt.Sprintf("pack the reserve of purchase %d: %d of %d bytes: %v", m.Purchase, n, size, err))
	}
	return s.packed
}

// fact is all of it, made anew at every call.
func (r *reservation) fact() *event.Reserved {
	m := &event.Reserved{}
	if err := m.UnmarshalVT([]byte(r.packed)); err != nil {
		panic(fmt.Sprintf("unpack a reserve of entitlement %d: %v", r.Entitlement, err))
	}
	return m
}

// merchant is the DE42 of the reserve, without blanks.
func (r *reservation) merchant() string { return text(bytes.TrimRight(r.Key.Merchant[:], "\x00")) }
