package sim

import (
	"math/rand/v2"
	"time"

	"huanxin/internal/money"
	"huanxin/risk/geo"
	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// Operation is one thing that somebody or something does. A history is a list of them: each carries what its random choices
// are made of, so that a part of the list can be played as well.
type Operation struct {
	Kind Kind
	Luck uint64
}

// Kind says what an operation does.
type Kind int

// The kinds, with how often each is drawn.
const (
	Visit Kind = iota
	PlainSale
	Preauthorise
	Void
	Refund
	LateReversal
	Resend
	Settle
	SignOn
	SignOff
	Status
	Inquire
	Quote
	ReturnEntitlement
	SellOnline
	RefundOnline
	ReadOnline
	Operate
	SaveSnapshot
	DamageSnapshot
	Project
	Crash
	DiskFault
	SlowDisk
	SecondOwner
	HighWater
	LinkDown
	Noise
	ClockBack
	Restart
	Midnight
	NextDay
	Wait
	kinds
)

var kindNames = [kinds]string{
	"visit", "plain-sale", "preauthorise", "void", "refund", "late-reversal", "resend", "settle", "sign-on", "sign-off", "status", "inquire",
	"quote", "return-entitlement", "sell-online", "refund-online", "read-online", "operate", "save-snapshot", "damage-snapshot", "project",
	"crash", "disk-fault", "slow-disk", "second-owner", "high-water", "link-down", "noise", "clock-back", "restart", "midnight", "next-day", "wait",
}

var weights = [kinds]int{
	Visit: 190, PlainSale: 70, Preauthorise: 12, Void: 70, Refund: 80, LateReversal: 30, Resend: 60, Settle: 22, SignOn: 20, SignOff: 5,
	Status: 20, Inquire: 6, Quote: 6, ReturnEntitlement: 6, SellOnline: 70, RefundOnline: 35, ReadOnline: 6, Operate: 70, SaveSnapshot: 20,
	DamageSnapshot: 3, Project: 20, Crash: 25, DiskFault: 10, SlowDisk: 6, SecondOwner: 8, HighWater: 4, LinkDown: 10, Noise: 10, ClockBack: 5,
	Restart: 6, Midnight: 6, NextDay: 3, Wait: 40,
}

// Operations draws the operations of a seed.
func Operations(seed uint64, n int) []Operation {
	rng := rand.New(rand.NewPCG(seed, 0x6f7065726174))
	total := 0
	for _, w := range weights {
		total += w
	}
	list := make([]Operation, n)
	for i := range list {
		pick := rng.IntN(total)
		for kind, weight := range weights {
			if pick -= weight; pick < 0 {
				list[i] = Operation{Kind(kind), rng.Uint64()}
				break
			}
		}
	}
	return list
}

var shenyang = geo.Point{Lon: 123_431_500, Lat: 41_805_700}

// do carries out an operation, and lets the time pass until the next.
func (w *world) do(op Operation) {
	w.rng = rand.New(rand.NewPCG(w.seed, op.Luck))
	if op.Kind < SaveSnapshot {
		w.trade(op.Kind)
	} else {
		w.disturb(op.Kind)
	}
	w.advance(w.pause())
	w.stats.Operations++
}

// pause is the time between two operations: mostly moments, now and then long enough for deadlines.
func (w *world) pause() time.Duration {
	switch luck := w.rng.IntN(100); {
	case luck < 50:
		return w.between(0, time.Second)
	case luck < 80:
		return w.between(time.Second, 15*time.Second)
	case luck < 96:
		return w.between(15*time.Second, 70*time.Second)
	default:
		return w.between(time.Minute, 12*time.Minute)
	}
}

// oneSlip is a sale that somebody comes back for, mostly a recent one.
func (w *world) oneSlip() *slip {
	if len(w.slips) == 0 {
		return nil
	}
	from := 0
	if w.chance(600) {
		from = max(0, len(w.slips)-8)
	}
	return w.slips[from+w.rng.IntN(len(w.slips)-from)]
}

func (w *world) trade(kind Kind) {
	t := oneOf(w, w.tills...)
	s := w.oneSlip()
	shop := oneOf(w, w.shops...)
	switch kind {
	case Visit:
		w.visit(t)
	case PlainSale:
		w.sell(t, 0, money.Amount(1+w.rng.IntN(1000))*100)
	case Preauthorise:
		w.pay(t, &engine.SaleRequest{Amount: 70_000, Host: oneOf(w, "cup", "bank"), Kind: oneOf(w, event.SaleKind_SALE_KIND_PREAUTH,
			event.SaleKind_SALE_KIND_COMPLETION, event.SaleKind_SALE_KIND_PREAUTH_VOID, event.SaleKind_SALE_KIND_COMPLETION_VOID)})
	case Void:
		if s != nil {
			w.void(s)
		}
	case Refund:
		if s != nil {
			w.refund(s, t)
		}
	case LateReversal:
		switch {
		case s == nil:
		case len(s.voids) > 0 && w.chance(500):
			w.reverse(oneOf(w, s.voids...), s.amount)
		case len(t.reserves) > 0 && w.chance(150): // of a reserve, on whose hold a sale may ride by now
			key := t.reserves[max(0, len(t.reserves)-1-w.rng.IntN(4))]
			if p := w.model.purchases[w.model.begun(key).purchase]; p != nil {
				w.reverse(key, money.Amount(p.price))
			}
		case w.chance(200): // before its original
			key := w.key(t, '2')
			w.reverse(key, 700)
			w.after(w.between(0, time.Second), func() { t.stan--; w.sell(t, 0, 700) })
		default:
			w.reverse(s.key, s.amount)
		}
	case Resend:
		if len(t.sent) > 0 {
			again := *oneOf(w, t.sent...)
			again.left, again.heard, again.done, again.silent = 0, false, nil, nil
			w.ask(&again)
		}
	case Settle:
		w.settle(t)
	case SignOn:
		w.signOn(t)
	case SignOff:
		w.signOff(t)
		w.after(w.between(0, time.Minute), func() { w.signOn(t) })
	case Status:
		w.look(t, s)
	default:
		w.tradeMore(kind, t, shop)
	}
}

func (w *world) tradeMore(kind Kind, t *till, shop *shop) {
	p := oneOf(w, w.persons...)
	switch kind {
	case Inquire:
		key := w.key(t, '2')
		w.ask(&call{body: func(token engine.Token) any {
			return &engine.InquiryRequest{Token: token, Key: key, Content: hashOf("q"), Host: "cup", Card: cards[0]}
		}})
	case Quote:
		w.ask(&call{body: func(token engine.Token) any {
			in := &engine.QuoteRequest{Token: token, Entitlement: p.entitlements["A01"], Person: p.hash, Channel: "store", Barcode: products["A01"].barcode, Price: 500_000}
			copy(in.Merchant[:], t.merchant)
			return in
		}})
	case ReturnEntitlement:
		category := oneOf(w, "A01", "A04")
		if id := p.entitlements[category]; id != 0 {
			w.ask(&call{body: func(token engine.Token) any {
				return &engine.ReturnRequest{Token: token, Entitlement: id, Person: p.hash}
			}})
			delete(p.entitlements, category)
		}
	case SellOnline:
		w.sellOnline(shop)
	case RefundOnline, ReadOnline:
		if len(shop.bought) == 0 {
			return
		}
		if o := oneOf(w, shop.bought...); kind == RefundOnline {
			w.refundOnline(shop, o)
		} else {
			w.readOnline(shop, o)
		}
	case Operate:
		w.operate()
	}
}
