package gateway

import (
	"errors"
	"net/http"
	"strconv"

	"huanxin/internal/money"
	"huanxin/switch/engine"
)

// purchaseBody is a purchase as the caller sees that has reserved it. No person, card or serial number in clear in it.
type purchaseBody struct {
	Purchase      string       `json:"purchase"`
	State         string       `json:"state"`
	Merchant      string       `json:"merchant"`
	Category      string       `json:"category"`
	Barcode       string       `json:"barcode"`
	Serial        string       `json:"serial,omitempty"` // masked
	Order         string       `json:"order,omitempty"`
	PriceFen      int64        `json:"price_fen"`
	SubsidyFen    int64        `json:"subsidy_fen"`
	PayableFen    int64        `json:"payable_fen"`
	ExpiresAt     string       `json:"expires_at"`
	PolicyVersion string       `json:"policy_version"`
	Payment       *paymentBody `json:"payment,omitempty"`
	Refund        *refundBody  `json:"refund,omitempty"` // in the answer to a refund that is done
}

// paymentBody is how a purchase was paid, or is being paid.
type paymentBody struct {
	Method      string `json:"method"`
	AmountFen   int64  `json:"amount_fen"`
	Reference   string `json:"reference,omitempty"` // external
	Code        string `json:"code,omitempty"`      // wallet: the payment code, masked
	RRN         string `json:"rrn,omitempty"`       // wallet: the switch's own number of the payment
	Response    string `json:"response,omitempty"`  // wallet: its answer code
	SentAt      string `json:"sent_at"`
	RefundedFen int64  `json:"refunded_fen"`
	// RefundingFen is in refunds whose end is not known yet.
	RefundingFen int64 `json:"refunding_fen"`
	// SubsidyReturnedFen is what refunds have taken from the subsidy.
	SubsidyReturnedFen int64 `json:"subsidy_returned_fen"`
}

// refundBody is what one refund has done.
type refundBody struct {
	AmountFen          int64 `json:"amount_fen"`
	SubsidyReturnedFen int64 `json:"subsidy_returned_fen"`
	SubsidyKeptFen     int64 `json:"subsidy_kept_fen"`
}

// How a purchase is paid.
const (
	methodExternal = "external" // the caller has collected the money itself
	methodWallet   = "wallet"   // the switch charges the buyer's wallet
)

// purchaseOf is the body of a reply that must hold a purchase.
func (g *Gateway) purchaseOf(reply *engine.APIReply) (*purchaseBody, *problem) {
	if reply.Purchase == nil {
		return nil, g.internal(errors.New("engine answered without a purchase"))
	}
	v := reply.Purchase
	body := &purchaseBody{
		Purchase: formatID(purchaseIDs, v.ID), State: v.State.String(), Merchant: v.Merchant, Category: v.Category,
		Barcode: v.Barcode, Serial: v.SerialMask, Order: v.Order,
		PriceFen: int64(v.Price), SubsidyFen: int64(v.Subsidy), PayableFen: int64(v.Payable),
		ExpiresAt: formatTime(v.ExpiresAt), PolicyVersion: v.PolicyVersion, Payment: paymentOf(v),
	}
	if r := reply.Refund; r != nil && reply.Status != engine.APIPending {
		body.Refund = &refundBody{int64(r.Amount), int64(r.Returned), int64(r.Kept)}
	}
	return body, nil
}

// paymentOf is nil for a purchase that nobody has tried to pay; so it is in the repeated answer to a reserve.
func paymentOf(v *engine.PurchaseView) *paymentBody {
	if v.Host == "" || v.State == engine.Reserved {
		return nil
	}
	body := &paymentBody{
		AmountFen: int64(v.Amount), SentAt: formatTime(v.SentAt),
		RefundedFen: int64(v.Refunded), RefundingFen: int64(v.Refunding), SubsidyReturnedFen: int64(v.Returned),
	}
	if v.Host == engine.ExternalHost {
		body.Method, body.Reference = methodExternal, v.Reference
		return body
	}
	body.Method, body.Code, body.RRN = methodWallet, v.CardMask, v.RRN
	if v.Answer != nil {
		body.Response = v.Answer.Response
	}
	return body
}

// showPurchase is GET /v1/purchases/{id}. What another caller has reserved, or a till, is not there.
func (g *Gateway) showPurchase(c *call) (*answer, *problem) {
	id, p := purchaseID(c)
	if p != nil {
		return nil, p
	}
	reply, p := g.ask(c, func(token engine.Token) any {
		return &engine.PurchaseRequest{Token: token, Caller: c.caller, Purchase: id}
	})
	if p != nil {
		return nil, p
	}
	return g.purchaseAnswer(reply, id)
}

// purchaseAnswer is 200 with the purchase, or 202 when it has no end yet.
func (g *Gateway) purchaseAnswer(reply *engine.APIReply, id uint64) (*answer, *problem) {
	body, p := g.purchaseOf(reply)
	if p != nil {
		return nil, p
	}
	if reply.Status == engine.APIPending {
		return &answer{status: http.StatusAccepted, body: body, location: purchasePath(id), retryAfter: pollAfter}, nil
	}
	return &answer{status: http.StatusOK, body: body}, nil
}

// pollAfter is what Retry-After says, in seconds, with 202: wallets are asked about as often.
const pollAfter = "3"

// settle asks for something that a wallet may have to confirm. When that takes longer than the request may wait, the
// answer is how the purchase stands now, with 202: the engine has taken the request, and its outcome can be read later.
// Only when the engine does not say even that is it 504.
func (g *Gateway) settle(c *call, id uint64, build func(engine.Token) any) (*answer, *problem) {
	reply, p := g.ask(c, build)
	if p == nil {
		return g.purchaseAnswer(reply, id)
	}
	if p.Code != codeNoAnswer {
		return nil, p
	}
	reply, p = g.askWithin(c, g.look, func(token engine.Token) any {
		return &engine.PurchaseRequest{Token: token, Caller: c.caller, Purchase: id}
	})
	switch {
	case p == nil:
		now := *reply
		now.Status = engine.APIPending
		return g.purchaseAnswer(&now, id)
	case p.Code == codePurchaseNotFound: // which is the answer to what was asked, too
		return nil, p
	}
	return nil, newProblem(codeNoAnswer)
}

// purchaseID reads the purchase of the path. What cannot be a number is unknown like any other.
func purchaseID(c *call) (uint64, *problem) {
	id, ok := parseID(purchaseIDs, c.id)
	if !ok {
		return 0, newProblem(codePurchaseNotFound)
	}
	return id, nil
}

func purchasePath(id uint64) string { return "/v1/purchases/" + formatID(purchaseIDs, id) }

func fen(a money.Amount) string { return strconv.FormatInt(int64(a), 10) }
