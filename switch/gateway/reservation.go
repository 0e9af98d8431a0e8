package gateway

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"

	"huanxin/subsidy/label"
	"huanxin/subsidy/policy"
	"huanxin/switch/engine"
)

// Forms of a reservation's fields. What only concerns the subsidy – an unknown barcode, a serial of the wrong form – is no
// mistake of the request: the engine refuses it with its reason.
var (
	oneTimeForm  = regexp.MustCompile(`^[0-9]{1,32}$`)
	deliveryForm = regexp.MustCompile(`^[0-9]{6}$`)
	serialForm   = regexp.MustCompile(`^[ -~]{1,64}$`)
	orderForm    = regexp.MustCompile(`^[ -~]{1,40}$`)
)

// Names of the operations that take an idempotency key, as they scope it: one key may be used once in each.
const (
	opReserve = "reserve"
	opCommit  = "commit"
	opCancel  = "cancel"
	opRefund  = "refund"
)

// reserve is POST /v1/reservations: the first step of a purchase. Everything that the subsidy needs is held in one step,
// until the reservation is committed, cancelled or expires.
func (g *Gateway) reserve(c *call) (*answer, *problem) {
	key, p := idempotencyKey(c)
	if p != nil {
		return nil, p
	}
	in, p := g.readReservation(c.body)
	if p != nil {
		return nil, p
	}
	origin := g.origin(c, opReserve, key, in.Content)
	in.API = &origin
	reply, p := g.ask(c, func(token engine.Token) any {
		in.Token = token
		return in
	})
	if p != nil {
		return nil, p
	}
	body, p := g.purchaseOf(reply)
	if p != nil {
		return nil, p
	}
	a := &answer{status: http.StatusCreated, body: body, location: purchasePath(reply.Purchase.ID)}
	if reply.Status == engine.APIRepeated {
		a.status, a.location = http.StatusOK, ""
	}
	return a, nil
}

// readReservation takes the fields of a reservation. Content is a hash of all of them as they were sent.
func (g *Gateway) readReservation(o *object) (*engine.ReserveRequest, *problem) {
	in := &engine.ReserveRequest{}
	who, code := g.readRight(o, in)
	merchant := o.text("merchant", true, merchantForm, "15 digits or capital letters")
	copy(in.Key.Merchant[:], merchant)
	in.Channel = o.text("channel", true, codeForm, codeWhat)
	in.Barcode = o.text("barcode", true, barcodeForm, "8 to 14 digits")
	in.Price = o.fen("price_fen")
	in.Components = readComponents(o)
	in.OldItem = o.text("old_item", false, codeForm, codeWhat)
	order := o.text("order", false, orderForm, "1 to 40 printable ASCII characters")
	in.Order = label.Reference([]byte(order))
	in.Delivery = o.text("delivery", false, deliveryForm, "a division code of 6 digits")
	in.Position = readPosition(o)
	serial := o.text("serial", false, serialForm, "1 to 64 printable ASCII characters")
	if serial != "" {
		in.SerialMask = label.MaskSerial([]byte(serial))
		in.SerialOK, in.SerialIMEI = label.SerialForm([]byte(serial))
		in.Serial = engine.Hash(g.cfg.Hasher.Serial(label.FoldSerial([]byte(serial))))
	}
	o.end()
	if p := o.problem(); p != nil {
		return nil, p
	}
	parts := []string{
		merchant, in.Channel, in.Barcode, fen(in.Price), in.OldItem, order, in.Delivery, positionText(in.Position), serial,
		code, strconv.FormatUint(in.Entitlement, 10), who.kind, who.number,
	}
	for _, part := range in.Components { // of any number, so at the end: nothing else can be taken for one of them
		parts = append(parts, part.Kind, fen(part.Amount))
	}
	in.Content = g.content(opReserve, parts...)
	return in, nil
}

// readRight takes what the subsidy is asked on: the one-time code that the buyer shows, or, in a shop where there is no
// code to scan, entitlement and person.
func (g *Gateway) readRight(o *object, in *engine.ReserveRequest) (who person, code string) {
	if o.has("code") {
		code = o.text("code", true, oneTimeForm, "1 to 32 digits")
		in.Code = engine.Hash(g.cfg.Hasher.Code([]byte(code)))
		for _, name := range []string{"entitlement", "person"} {
			if o.has(name) {
				o.invalid(name, "want either code, or entitlement and person")
			}
		}
		return who, code
	}
	if !o.has("entitlement") && !o.has("person") {
		o.fail(fieldProblem(codeMissingField, "code", "want either code, or entitlement and person"))
		return who, code
	}
	in.Entitlement = readEntitlement(o)
	who = g.requiredPerson(o)
	in.Person = g.hash(who)
	return who, code
}

// readEntitlement takes the required number of an entitlement.
func readEntitlement(o *object) uint64 {
	id, ok := parseID(entitlementIDs, o.text("entitlement", true, nil, ""))
	if !ok {
		o.invalid("entitlement", "want E and 12 digits")
	}
	return id
}

// readComponents takes the optional list of price components.
func readComponents(o *object) (list []policy.Component) {
	for _, part := range o.objects("components", maxComponents) {
		list = append(list, policy.Component{
			Kind: part.text("kind", true, codeForm, codeWhat), Amount: part.fen("amount_fen"),
		})
		part.end()
	}
	return list
}

// origin says who asks, under which key. The key is hashed within the scope of the caller and the operation; no key of a
// caller has a blank in it, so that a claim's key, which stands alone, meets none of these.
func (g *Gateway) origin(c *call, operation, key string, content engine.Hash) engine.APIOrigin {
	return engine.APIOrigin{
		Caller: c.caller, Content: content,
		Request: engine.Hash(g.cfg.Hasher.Request(c.caller, operation+" "+key)),
	}
}

// content hashes what makes a request the same request: the operation and every field, an absent one as "".
func (g *Gateway) content(operation string, fields ...string) engine.Hash {
	parts := [][]byte{[]byte(operation)}
	for _, f := range fields {
		parts = append(parts, []byte(f))
	}
	return engine.Hash(g.cfg.Hasher.Content(parts...))
}

func positionText(p engine.Position) string {
	if !p.Given {
		return ""
	}
	return fmt.Sprintf("%s %d %d %d", p.CRS, p.At.Lon, p.At.Lat, p.Age)
}
