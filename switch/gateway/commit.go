package gateway

import (
	"fmt"
	"regexp"
	"strconv"

	"huanxin/internal/money"
	"huanxin/subsidy/label"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/keys"
)

var (
	referenceForm = regexp.MustCompile(`^[ -~]{1,64}$`)
	payCodeForm   = regexp.MustCompile(`^[0-9A-Za-z]{12,64}$`)
)

// Field 22 of a payment code that was read from a screen, and field 49, as a till would send them: links to wallets see no
// difference between the two ways in.
const (
	scannedEntry = "032"
	renminbi     = "156"
)

// payment is how a commit says that the buyer pays.
type payment struct {
	method    string
	reference string       // external: the caller's own number of the payment, as sent
	paid      money.Amount // what the buyer has been shown and has agreed to: the payable
	code      string       // wallet: the buyer's payment code, which lives for this request only
}

// commit is POST /v1/reservations/{id}/commit: the second step. Either the caller has collected the payable, or the switch
// charges the buyer's wallet.
func (g *Gateway) commit(c *call) (*answer, *problem) {
	id, p := purchaseID(c)
	if p != nil {
		return nil, p
	}
	key, p := idempotencyKey(c)
	if p != nil {
		return nil, p
	}
	pay := readPayment(c.body)
	c.body.end()
	if p := c.body.problem(); p != nil {
		return nil, p
	}
	content := g.content(opCommit, strconv.FormatUint(id, 10), pay.method, pay.reference, fen(pay.paid), pay.code)
	in := &engine.CommitRequest{
		API: g.origin(c, opCommit, key, content), Purchase: id, Amount: pay.paid, Reference: label.Reference([]byte(pay.reference)),
	}
	if pay.method == methodWallet {
		if g.cfg.WalletHost == "" {
			return nil, newProblem(codeNoWallet)
		}
		in.Host = g.cfg.WalletHost
		if in.Card, p = g.seal(pay.code); p != nil {
			return nil, p
		}
	}
	return g.settle(c, id, func(token engine.Token) any {
		in.Token = token
		return in
	})
}

// readPayment takes the required object payment.
func readPayment(o *object) (pay payment) {
	po := o.object("payment", true)
	if po == nil {
		return pay
	}
	switch pay.method = po.text("method", true, nil, ""); pay.method {
	case methodExternal:
		pay.reference = po.text("reference", true, referenceForm, "1 to 64 printable ASCII characters")
	case methodWallet:
		pay.code = po.text("code", true, payCodeForm, "12 to 64 letters or digits")
	default:
		po.invalid("method", "want external or wallet") // unless it is missing or no string, which is the problem already
		return pay
	}
	pay.paid = po.fen("paid_fen")
	po.end()
	return pay
}

// seal puts a payment code into an envelope: the engine and its journal see token and mask only.
func (g *Gateway) seal(code string) (*event.Card, *problem) {
	record := keys.CardRecord{QRCode: []byte(code), EntryMode: []byte(scannedEntry), Currency: []byte(renminbi)}
	defer record.Wipe()
	card, err := g.cfg.Vault.SealCard(&record)
	if err != nil {
		return nil, g.internal(fmt.Errorf("seal payment code: %w", err))
	}
	return card, nil
}

// cancel is POST /v1/reservations/{id}/cancel: nobody pays; what was held is free again.
func (g *Gateway) cancel(c *call) (*answer, *problem) {
	id, p := purchaseID(c)
	if p != nil {
		return nil, p
	}
	key, p := idempotencyKey(c)
	if p != nil {
		return nil, p
	}
	c.body.end()
	if p := c.body.problem(); p != nil {
		return nil, p
	}
	reply, p := g.ask(c, func(token engine.Token) any {
		return &engine.APICancelRequest{
			Token: token, Purchase: id, API: g.origin(c, opCancel, key, g.content(opCancel, strconv.FormatUint(id, 10))),
		}
	})
	if p != nil {
		return nil, p
	}
	return g.purchaseAnswer(reply, id)
}

// refund is POST /v1/reservations/{id}/refunds: the buyer gets back all that is left, or amount_fen of it. A refund that
// the caller pays out itself is named by its reference.
func (g *Gateway) refund(c *call) (*answer, *problem) {
	id, p := purchaseID(c)
	if p != nil {
		return nil, p
	}
	key, p := idempotencyKey(c)
	if p != nil {
		return nil, p
	}
	o := c.body
	in := &engine.APIRefundRequest{Purchase: id}
	if o.has("amount_fen") { // which is never 0: to the engine that is all that is left
		in.Amount = money.Amount(o.integer("amount_fen", 1, int64(money.MaxN12)))
	}
	in.Activated = o.boolean("activated")
	reference := o.text("reference", false, referenceForm, "1 to 64 printable ASCII characters")
	in.Reference = label.Reference([]byte(reference))
	o.end()
	if p := o.problem(); p != nil {
		return nil, p
	}
	content := g.content(opRefund, strconv.FormatUint(id, 10), fen(in.Amount), strconv.FormatBool(in.Activated), reference)
	in.API = g.origin(c, opRefund, key, content)
	return g.settle(c, id, func(token engine.Token) any {
		in.Token = token
		return in
	})
}
