package gateway

import (
	"net/http"
	"regexp"

	"huanxin/switch/engine"
)

var (
	merchantForm = regexp.MustCompile(`^[0-9A-Z]{15}$`)
	barcodeForm  = regexp.MustCompile(`^[0-9]{8,14}$`)
)

// maxComponents bounds the price components of one quote or reservation.
const maxComponents = 16

// quoteBody is a decision without a hold. Reasons is empty when the subsidy would be given.
type quoteBody struct {
	PriceFen      int64        `json:"price_fen"`
	BaseFen       int64        `json:"base_fen"`
	SubsidyFen    int64        `json:"subsidy_fen"`
	PayableFen    int64        `json:"payable_fen"`
	Reasons       []reasonText `json:"reasons"`
	PolicyVersion string       `json:"policy_version"`
}

// quote is POST /v1/quotes: what a reserve would decide now. A refusal is a good answer to that question, so it comes with
// 200 and the reasons beside the amounts.
func (g *Gateway) quote(c *call) (*answer, *problem) {
	ask, p := g.readQuote(c.body)
	if p != nil {
		return nil, p
	}
	reply, p := g.ask(c, func(token engine.Token) any {
		ask.Token = token
		return ask
	})
	if p != nil && p.Code != codeRefused {
		return nil, p
	}
	q := &reply.Quote
	if p != nil { // refused before there was anything to compute: the buyer would pay the price
		q.Price, q.Subsidy, q.Payable = ask.Price, 0, ask.Price
	}
	return &answer{status: http.StatusOK, body: &quoteBody{
		PriceFen: int64(q.Price), BaseFen: int64(q.Base), SubsidyFen: int64(q.Subsidy), PayableFen: int64(q.Payable),
		Reasons: reasonTexts(reply.Reasons), PolicyVersion: q.Version,
	}}, nil
}

func (g *Gateway) readQuote(o *object) (*engine.QuoteRequest, *problem) {
	ask := &engine.QuoteRequest{}
	withEntitlement := o.has("entitlement")
	if withEntitlement {
		ask.Entitlement = readEntitlement(o)
	}
	if po := o.object("person", false); po != nil {
		if !withEntitlement {
			o.invalid("person", "a person counts only together with an entitlement")
		}
		ask.Person = g.hash(readPerson(po, false, g.today()))
	}
	copy(ask.Merchant[:], o.text("merchant", true, merchantForm, "15 digits or capital letters"))
	ask.Channel = o.text("channel", true, codeForm, codeWhat)
	ask.Barcode = o.text("barcode", true, barcodeForm, "8 to 14 digits")
	ask.Price = o.fen("price_fen")
	ask.Components = readComponents(o)
	ask.OldItem = o.text("old_item", false, codeForm, codeWhat)
	o.end()
	return ask, o.problem()
}
