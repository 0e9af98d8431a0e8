package ledger

import (
	"slices"
	"strings"

	"huanxin/switch/event"
)

// State is where a purchase stands.
type State uint8

// The states of a purchase.
const (
	Reserved State = iota + 1
	Sent
	Captured
	Declined
	Reversing
	Reversed
	Expired
	Cancelled
	Unknown // at a wallet that has not said how it ended
	Voiding
	Voided
	Refunding
	Refunded
)

var stateNames = [...]string{"", "reserved", "sent", "captured", "declined", "reversing", "reversed", "expired", "cancelled", "unknown",
	"voiding", "voided", "refunding", "refunded"}

// String is the state as the database and the engine name it.
func (s State) String() string { return stateNames[s] }

// What is true of a purchase beside its state.
const (
	ordinary   = 1 << iota // it began without a subsidy
	manual                 // it got one by hand
	fromClaim              // the claim had taken its money already
	quarantine             // voided: what it has is kept back
	locked                 // refunded: entitlement and serial number are still taken
	keepsHold              // reversing at a wallet: what it has is kept until that has ended …
	wasSpent               // … and it was spent
	sentOnce               // it was sent to a host
)

// purchase is one purchase, in 72 bytes.
type purchase struct {
	amount      int64 // what the payer is charged: the payable of the hold, then DE4
	subsidy     int64 // what it has now, or had when it let go
	returned    int64 // of the subsidy, to the budget, by refunds
	refunded    int64 // to the payer
	refunding   int64 // in refunds without an end
	digest      uint64
	entitlement uint32
	reversal    uint32 // the last one queued
	refunds     uint16 // without an end
	leaf        uint16
	state       State
	kind        uint8
	flags       uint8
}

func (p *purchase) has(flag uint8) bool { return p.flags&flag != 0 }

func (p *purchase) subsidised() bool { return p.entitlement != 0 }

// holds reports whether its subsidy is held and not spent; spends whether it is spent.
func (p *purchase) holds() bool {
	switch p.state {
	case Reserved, Sent, Unknown:
		return p.subsidised()
	case Reversing:
		return p.subsidised() && p.has(keepsHold) && !p.has(wasSpent)
	}
	return false
}

func (p *purchase) spends() bool {
	switch p.state {
	case Captured, Voiding, Refunding:
		return p.subsidised()
	case Voided:
		return p.subsidised() && p.has(quarantine)
	case Reversing:
		return p.subsidised() && p.has(keepsHold) && p.has(wasSpent)
	}
	return false
}

// Purchase is one purchase as it stands.
type Purchase struct {
	ID                        uint64
	State                     State
	Ordinary, Manual          bool
	Holds, Spends             bool // its subsidy
	Quarantined               bool
	Entitlement               uint64
	Leaf                      string
	Amount, Subsidy, Returned int64
	Refunded, Refunding       int64
	RefundsOpen               int
	Reversal                  uint64
	Digest                    uint64 // see PurchaseDigest
}

// Purchases is how many ever began: they are numbered from 1.
func (l *Ledger) Purchases() uint64 { return uint64(l.purchases.Len()) }

// Purchase is the one with that number.
func (l *Ledger) Purchase(id uint64) (Purchase, bool) {
	if id == 0 || id > l.Purchases() {
		return Purchase{}, false
	}
	p := l.purchases.At(int(id - 1))
	return Purchase{
		ID: id, State: p.state, Ordinary: p.has(ordinary) && !p.has(manual), Manual: p.has(manual), Holds: p.holds(), Spends: p.spends(),
		Quarantined: p.has(quarantine), Entitlement: uint64(p.entitlement), Leaf: l.path(p.leaf), Amount: p.amount, Subsidy: p.subsidy,
		Returned: p.returned, Refunded: p.refunded, Refunding: p.refunding, RefundsOpen: int(p.refunds), Reversal: uint64(p.reversal),
		Digest: p.digest,
	}, p.state != 0
}

// begin enters a new purchase.
func (l *Ledger) begin(id uint64, p purchase) *purchase {
	if id != l.Purchases()+1 {
		l.wrong("purchase %d begins, the last was %d", id, l.Purchases())
		if id <= l.Purchases() || id > l.Purchases()+1e6 {
			return nil
		}
	}
	for l.Purchases()+1 < id { // lost ones keep their numbers, and have no state
		l.purchases.Add(purchase{leaf: noLeaf})
	}
	return l.purchases.At(l.purchases.Add(p))
}

// purchase is the one that an event is about. from lists the states in which that event may come.
func (l *Ledger) purchase(id uint64, from ...State) *purchase {
	if id == 0 || id > l.Purchases() || l.purchases.At(int(id-1)).state == 0 {
		l.wrong("purchase %d does not exist", id)
		return nil
	}
	p := l.purchases.At(int(id - 1))
	if !slices.Contains(from, p.state) {
		l.wrong("purchase %d is %s, and this follows only where it is %s", id, p.state, list(from))
		return nil
	}
	return p
}

func list(states []State) string {
	var names []string
	for _, s := range states {
		names = append(names, s.String())
	}
	return strings.Join(names, " or ")
}

func sumOf(parts []*event.FundingPart) (sum int64) {
	for _, part := range parts {
		sum += part.Amount
	}
	return sum
}

func (l *Ledger) reserved(m *event.Reserved) {
	l.checkAmounts(m)
	if m.Payable < 0 || m.Payable > m.Price {
		l.wrong("purchase %d costs %d fen, %d of it to pay", m.Purchase, m.Price, m.Payable)
	}
	leaf := l.leaf(clean(m.Leaf))
	p := l.begin(m.Purchase, purchase{
		amount: m.Payable, subsidy: m.Subsidy, entitlement: uint32(m.Entitlement), leaf: leaf, state: Reserved,
		digest: l.reserveDigest(m),
	})
	if p == nil {
		return
	}
	if m.FromClaim > 0 {
		p.flags |= fromClaim
	}
	l.grab(m.Purchase, m, leaf)
}

// checkAmounts holds the sums of a subsidy against each other.
func (l *Ledger) checkAmounts(m *event.Reserved) {
	if sum := sumOf(m.Parts); sum != m.Subsidy || m.Subsidy < 0 || m.Price < 0 {
		l.wrong("purchase %d costs %d fen and has a subsidy of %d fen, its payers give %d", m.Purchase, m.Price, m.Subsidy, sum)
	}
}

// supplemented: an operator has recorded the subsidy of a purchase that was captured without one.
func (l *Ledger) supplemented(m *event.Supplemented) {
	f := m.Facts
	l.checkAmounts(f)
	l.Supplements.Add(l.seq, SupplementDigest(f.Purchase, f.Entitlement, f.Subsidy, clean(m.CaseId)))
	p := l.purchase(f.GetPurchase(), Captured)
	if p == nil {
		return
	}
	if p.subsidised() {
		l.wrong("purchase %d has a subsidy and is given another", f.Purchase)
		return
	}
	if f.FromClaim > 0 {
		p.flags |= fromClaim
	}
	p.flags |= manual
	p.entitlement, p.leaf, p.subsidy = uint32(f.Entitlement), l.leaf(clean(f.Leaf)), f.Subsidy
	p.digest ^= l.reserveDigest(f)
	l.grab(f.Purchase, f, p.leaf)
	l.use(f.Purchase, p)
}

// use turns a hold into a use.
func (l *Ledger) use(id uint64, p *purchase) {
	e := l.entitled(uint64(p.entitlement), EntitlementHeld)
	if e == nil || e.holder != id {
		l.wrong("purchase %d is captured without entitlement %d", id, p.entitlement)
		return
	}
	e.state = EntitlementUsed
	l.openHolds--
	l.capture(p.leaf, p.subsidy)
}

// release gives back what a purchase has. It is called before the purchase leaves its state.
func (l *Ledger) release(id uint64, p *purchase) {
	switch {
	case p.holds():
		stays := int64(0)
		if p.has(fromClaim) {
			stays = p.subsidy
		} else {
			l.free(p.leaf, p.subsidy)
		}
		l.letGo(id, p, EntitlementHeld, stays)
	case p.spends():
		l.restore(p.leaf, p.subsidy)
		l.letGo(id, p, EntitlementUsed, 0)
	}
}

func (l *Ledger) holdEnded(id uint64, to State) {
	if p := l.purchase(id, Reserved); p != nil {
		l.release(id, p)
		p.state = to
	}
}

func (l *Ledger) saleSent(m *event.SaleSent) {
	l.toHost(m.HostStan, m.Rrn)
	var p *purchase
	if m.Ordinary {
		p = l.begin(m.Purchase, purchase{amount: m.Amount, leaf: noLeaf, state: Sent, kind: uint8(m.Kind), flags: ordinary})
	} else if p = l.purchase(m.Purchase, Reserved); p != nil && p.amount != m.Amount {
		l.wrong("purchase %d is charged %d fen, its hold says %d", m.Purchase, m.Amount, p.amount)
	}
	if p == nil {
		return
	}
	if m.Amount < 0 {
		l.wrong("purchase %d is charged %d fen", m.Purchase, m.Amount)
	}
	p.state, p.amount = Sent, m.Amount
	p.flags |= sentOnce
	p.digest ^= l.sentDigest(m)
}

func (l *Ledger) saleApproved(m *event.SaleApproved) {
	p := l.purchase(m.Purchase, Sent, Unknown)
	if p == nil {
		return
	}
	if a := m.Answer.GetAmount(); a != 0 && a != p.amount {
		l.wrong("purchase %d is captured over %d fen, asked for were %d", m.Purchase, a, p.amount)
	}
	if p.subsidised() {
		l.use(m.Purchase, p)
	}
	p.state = Captured
	p.digest ^= EndDigest(clean(m.Answer.GetResponse()), clean(m.Answer.GetApproval()), clean(m.Answer.GetClearingDate()), l.position)
	l.Captures.Add(l.seq, CaptureDigest(m.Purchase, p.amount, p.subsidy, l.path(p.leaf), clean(m.Answer.GetResponse()), clean(m.Answer.GetApproval())))
}

func (l *Ledger) saleDeclined(m *event.SaleDeclined) {
	p := l.purchase(m.Purchase, Sent, Unknown)
	if p == nil {
		return
	}
	l.release(m.Purchase, p)
	p.state = Declined
	p.digest ^= EndDigest(clean(m.Answer.GetResponse()), "", "", l.position)
}

// lateAnswer is evidence: it moves nothing. A purchase that was never sent cannot be answered.
func (l *Ledger) lateAnswer(m *event.LateAnswer) {
	if id := m.Purchase; id == 0 || id > l.Purchases() || !l.purchases.At(int(id-1)).has(sentOnce) {
		l.wrong("a host has answered purchase %d, which was not sent", id)
	}
	if m.Operation != 0 {
		l.operation(m.Operation, m.Purchase)
	}
}

func (l *Ledger) paymentUnknown(m *event.PaymentUnknown) {
	if m.Operation != 0 {
		if o := l.operation(m.Operation, m.Purchase, OperationSent); o != nil {
			o.state = OperationUnknown
		}
		return
	}
	if p := l.purchase(m.Purchase, Sent); p != nil {
		p.state = Unknown
	}
}

func (l *Ledger) queryAttempted(m *event.QueryAttempted) {
	if m.Operation != 0 {
		l.operation(m.Operation, m.Purchase, OperationUnknown)
		return
	}
	l.purchase(m.Purchase, Unknown)
}

func (l *Ledger) saleRefused(m *event.SaleRefused) {
	kind, reasons := "sale", 0
	if m.Request != "" {
		kind = clean(m.Request)
	}
	if m.Reason != 0 {
		reasons = 1
	}
	l.Refusals.Add(l.seq, RefusalDigest(kind, clean(m.Response), m.Purchase, 0, m.Amount, reasons))
}

// ---- What is sent to hosts ------------------------------------------------------------------------------------------

const (
	stans   = 999_999
	numbers = 100_000_000
)

// toHost holds the numbers of a request against how many were sent before: DE11 runs from 1 to 999999, and the last eight
// digits of DE37 are the count itself. Where every one is the next, none is there twice.
func (l *Ledger) toHost(stan uint32, rrn string) {
	l.requests++
	if want := uint32((l.requests-1)%stans + 1); stan != want {
		l.wrong("request %d to hosts has DE11 %06d, and must have %06d", l.requests, stan, want)
	}
	number, ok := digits(rrn)
	if !ok || len(rrn) != 12 || number%numbers != l.requests%numbers {
		l.wrong("request %d to hosts has DE37 %q: its last eight digits must be %08d", l.requests, rrn, l.requests%numbers)
	}
}

func digits(s string) (n uint64, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return n, s != ""
}

func (l *Ledger) inquirySent(m *event.InquirySent) {
	l.toHost(m.HostStan, m.Rrn)
	l.inquiries[m.Rrn] = true
}

func (l *Ledger) inquiryEnded(m *event.InquiryEnded) {
	if !l.inquiries[m.Rrn] {
		l.wrong("inquiry %s ends and is not open", m.Rrn)
	}
	delete(l.inquiries, m.Rrn)
}
