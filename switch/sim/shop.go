package sim

import (
	"fmt"
	"time"

	"huanxin/internal/money"
	"huanxin/switch/engine"
)

// shop is a shop's server: it buys over HTTP.
type shop struct {
	caller   string
	merchant string
	city     string
	bought   []*order
}

// order is what a shop knows of one purchase.
type order struct {
	id      uint64
	payable money.Amount
	paid    bool
	undone  bool // somebody has asked for it to be undone
}

func (w *world) origin(s *shop, content string) engine.APIOrigin {
	w.codes++
	return engine.APIOrigin{Caller: s.caller, Request: hashOf("%s %d", s.caller, w.codes), Content: hashOf("%s", content)}
}

// try, then commit – with a payment of its own or by the buyer's wallet – or cancel, or neither.
func (w *world) sellOnline(s *shop) {
	p := oneOf(w, w.persons...)
	category := oneOf(w, "A01", "A04", "A04")
	w.claim(p, category, s.city, func(id uint64) {
		origin, product, serial := w.origin(s, "try"), products[category], w.serial()
		w.codes++
		name := fmt.Sprint("order ", w.codes)
		w.ask(&call{left: 2, body: func(token engine.Token) any {
			api := origin
			in := &engine.ReserveRequest{Token: token, API: &api, Entitlement: id, Person: p.hash, Barcode: product.barcode,
				Price: product.price, Serial: serial, SerialMask: "***", SerialOK: true, Order: name, Channel: "store",
				Position: engine.Position{Given: true, At: shenyang, Age: 5}}
			copy(in.Key.Merchant[:], s.merchant)
			return in
		}, done: func(a any) {
			r := a.(*engine.APIReply)
			if r.Purchase == nil || r.Status != engine.APIDone && r.Status != engine.APIRepeated {
				return
			}
			o := &order{id: r.Purchase.ID, payable: r.Purchase.Payable}
			s.bought = append(s.bought, o)
			switch {
			case w.chance(100):
				w.cancelOnline(s, o)
			case w.chance(80):
			default:
				w.after(w.between(0, 30*time.Second), func() { w.commit(s, o) })
			}
		}})
	})
}

func (w *world) commit(s *shop, o *order) {
	in := engine.CommitRequest{API: w.origin(s, "commit"), Purchase: o.id, Amount: o.payable}
	if w.chance(500) {
		in.Reference = fmt.Sprint("PAY-", o.id)
	} else {
		in.Host, in.Card = "wallet", cards[0]
	}
	w.ask(&call{left: 4, body: func(token engine.Token) any {
		again := in
		again.Token = token
		return &again
	}, done: func(a any) {
		status := a.(*engine.APIReply).Status
		o.paid = status == engine.APIDone || status == engine.APIRepeated
	}})
}

func (w *world) cancelOnline(s *shop, o *order) {
	in := engine.APICancelRequest{API: w.origin(s, "cancel"), Purchase: o.id}
	w.ask(&call{left: 2, body: func(token engine.Token) any {
		again := in
		again.Token = token
		return &again
	}})
}

func (w *world) refundOnline(s *shop, o *order) {
	o.undone = true
	in := engine.APIRefundRequest{API: w.origin(s, "refund"), Purchase: o.id, Reference: fmt.Sprint("BACK-", o.id), Activated: w.chance(50)}
	if w.chance(400) {
		in.Amount = max(o.payable/money.Amount(2+w.rng.IntN(4)), 1)
	}
	w.ask(&call{left: 3, body: func(token engine.Token) any {
		again := in
		again.Token = token
		return &again
	}})
}

func (w *world) readOnline(s *shop, o *order) {
	w.ask(&call{body: func(token engine.Token) any {
		return &engine.PurchaseRequest{Token: token, Caller: s.caller, Purchase: o.id}
	}})
}
