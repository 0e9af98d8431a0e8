package till

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"huanxin/internal/money"
	"huanxin/internal/receipt"
)

// Order is what a shop asks a reservation for.
type Order struct {
	Merchant    string       `json:"merchant"`
	Channel     string       `json:"channel"`
	Code        string       `json:"code,omitempty"`
	Entitlement string       `json:"entitlement,omitempty"`
	Person      *Document    `json:"person,omitempty"`
	Barcode     string       `json:"barcode"`
	Price       money.Amount `json:"price_fen"`
	Serial      string       `json:"serial,omitempty"`
	Order       string       `json:"order,omitempty"`
	Delivery    string       `json:"delivery,omitempty"`
	OldItem     string       `json:"old_item,omitempty"`
	Position    *Position    `json:"position,omitempty"`
}

// Document is the part of a person that later requests repeat.
type Document struct {
	IDKind   string `json:"id_kind"`
	IDNumber string `json:"id_number"`
}

// Document is the person's.
func (p Person) Document() *Document { return &Document{p.IDKind, p.IDNumber} }

// Reserve asks for a reservation.
func (a *API) Reserve(ctx context.Context, key string, order *Order) (APIAnswer, error) {
	return a.call(ctx, "POST", "/v1/reservations", key, order)
}

// CommitWallet has the switch charge the buyer's wallet.
func (a *API) CommitWallet(ctx context.Context, key, purchase, code string, payable money.Amount) (APIAnswer, error) {
	return a.commit(ctx, key, purchase, map[string]any{"method": "wallet", "code": code, "paid_fen": payable})
}

// CommitExternal says that the shop has collected the money itself.
func (a *API) CommitExternal(ctx context.Context, key, purchase, reference string, paid money.Amount) (APIAnswer, error) {
	return a.commit(ctx, key, purchase, map[string]any{"method": "external", "reference": reference, "paid_fen": paid})
}

func (a *API) commit(ctx context.Context, key, purchase string, payment map[string]any) (APIAnswer, error) {
	return a.call(ctx, "POST", "/v1/reservations/"+purchase+"/commit", key, map[string]any{"payment": payment})
}

// CancelReservation gives a reservation back.
func (a *API) CancelReservation(ctx context.Context, key, purchase string) (APIAnswer, error) {
	return a.call(ctx, "POST", "/v1/reservations/"+purchase+"/cancel", key, map[string]any{})
}

// GiveBack is what a shop asks a refund for. No amount means all that is left.
type GiveBack struct {
	Amount    money.Amount `json:"amount_fen,omitempty"`
	Activated bool         `json:"activated,omitempty"`
	Reference string       `json:"reference,omitempty"`
}

// Refund gives a purchase back, as a whole or in part.
func (a *API) Refund(ctx context.Context, key, purchase string, back GiveBack) (APIAnswer, error) {
	return a.call(ctx, "POST", "/v1/reservations/"+purchase+"/refunds", key, back)
}

// Purchase reads a purchase of the caller's own.
func (a *API) Purchase(ctx context.Context, purchase string) (APIAnswer, error) {
	return a.call(ctx, "GET", "/v1/purchases/"+purchase, "", nil)
}

// shop plays a step of an online shop.
func (p *Player) shop(ctx context.Context, s *story, step *Step) error {
	again := step.Order != nil && step.Order.Again || step.Commit != nil && step.Commit.Again || step.GiveBack != nil && step.GiveBack.Again
	if !again || s.key == "" {
		s.requests++
		s.key = fmt.Sprintf("shop-%d-%d-%d", p.run, s.number, s.requests)
	}
	var a APIAnswer
	var err error
	var what string
	switch {
	case step.Order != nil:
		what = "网上预占"
		a, err = p.order(ctx, s, step.Order)
	case step.Commit != nil:
		what = "网上付款"
		a, err = p.commit(ctx, s, step.Commit)
	case step.Drop != nil:
		what = "网上取消"
		a, err = p.API.CancelReservation(ctx, s.key, s.purchase.ID)
	case step.GiveBack != nil:
		what = "网上退货"
		g := step.GiveBack
		a, err = p.API.Refund(ctx, s.key, s.purchase.ID, GiveBack{money.Amount(g.Amount), g.Activated, p.expand(g.Reference)})
	default:
		what = "查询订单"
		a, err = p.API.Purchase(ctx, s.purchase.ID)
	}
	if err != nil {
		return err
	}
	p.say("%s %d %s", what, a.Status, purchaseText(&a))
	if a.Purchase.ID != "" {
		s.purchase = a.Purchase
	}
	return step.Expect.apiAnswer(&a)
}

func (p *Player) order(ctx context.Context, s *story, want *OrderStep) (APIAnswer, error) {
	b := p.buyer(s, 0)
	o := Order{
		Merchant: want.Merchant, Channel: want.Channel, Barcode: want.Barcode, Price: money.Amount(want.Price),
		Serial: p.expand(want.Serial), Order: fmt.Sprintf("WEB%d-%d", p.run, s.number), Delivery: want.Delivery, OldItem: want.OldItem,
	}
	if o.Channel == "" {
		o.Channel = "online"
	}
	if want.ByCode {
		o.Code = s.code
	} else {
		o.Entitlement, o.Person = b.entitlement, b.person.Document()
	}
	return p.API.Reserve(ctx, s.key, &o)
}

func (p *Player) commit(ctx context.Context, s *story, want *CommitStep) (APIAnswer, error) {
	amount := money.Amount(want.Amount)
	if amount == 0 {
		amount = s.purchase.Payable
	}
	switch {
	case (want.Wallet == "") == (want.External == ""):
		return APIAnswer{}, errors.New("a payment is by wallet or external")
	case want.Wallet != "":
		return p.API.CommitWallet(ctx, s.key, s.purchase.ID, p.Script.Cards[want.Wallet].Code, amount)
	}
	return p.API.CommitExternal(ctx, s.key, s.purchase.ID, p.expand(want.External), amount)
}

// purchaseText says what an answer says of a purchase.
func purchaseText(a *APIAnswer) string {
	if len(a.Reasons) > 0 {
		return strings.Join(a.Reasons, " ") + " " + a.Text
	}
	text := receipt.StateText(a.State)
	v := &a.Purchase
	for _, part := range []struct {
		name   string
		amount money.Amount
	}{{"补贴", v.Subsidy}, {"应付", v.Payable}, {"已退", v.Payment.Refunded}, {"收回补贴", a.Refund.Returned}} {
		if part.amount != 0 {
			text += fmt.Sprintf(" %s %s", part.name, part.amount)
		}
	}
	return text
}
