package engine

import (
	"fmt"
	"slices"
	"strconv"

	"huanxin/internal/money"
	"huanxin/risk"
	"huanxin/risk/geo"
	"huanxin/subsidy"
	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/reason"
	"huanxin/switch/event"
)

// reserve is 0100: everything is checked, and subsidy, quota, entitlement and serial are held in one atomic step, or
// nothing is.
func (e *Engine) reserve(in *ReserveRequest) {
	if in.API != nil {
		e.reserveOverHTTP(in)
		return
	}
	who, ok := e.admitBusiness(in.Token, in.Key, in.Content, exchangeReserve, exchangeRefusedReserve)
	if !ok {
		return
	}
	e.advance(in.Key)
	c := e.consider(in, who)
	if len(c.refused) > 0 {
		e.refuseReserve(in, &c)
		return
	}
	m := e.hold(in, &c)
	e.reply(Reply{
		Token: in.Token, Response: rc("00"), Hold: m.Purchase, ExpiresAt: m.ExpiresAt,
		Price: money.Amount(m.Price), Subsidy: money.Amount(m.Subsidy), Payable: money.Amount(m.Payable),
	})
}

// considered is what all checks of one reserve have found.
type considered struct {
	who         party
	refused     []reason.Code
	marks       []reason.Code
	code        subsidy.CodeView
	entitlement subsidy.Entitlement
	person      Hash
	product     *catalogue.Product
	category    string
	channel     string
	city        string // of the merchant: whose policy applies
	payingCity  string
	decision    *policy.Decision
	leaf        subsidy.NodeID
	fromClaim   money.Amount
	position    Position
	takenAt     int64
	located     uint32
}

// consider runs every check, also after one has failed, so that a refusal names all of its reasons (P5).
func (e *Engine) consider(in *ReserveRequest, who party) considered {
	c := considered{who: who, city: who.merchant.City, channel: in.Channel, leaf: subsidy.NoNode}
	if c.channel == "" {
		c.channel = who.terminal.Channel
	}
	if e.policy == nil {
		c.refused = append(c.refused, reason.ProgrammeNotOpen)
		return c
	}
	e.considerEntitlement(in, &c)
	e.considerProduct(in, &c, who)
	if e.paused(c.city, c.category, c.channel) {
		c.refuse(reason.Paused)
	}
	e.decide(&c, policyQuestion{
		price: in.Price, components: in.Components, oldItem: in.OldItem, merchant: who.merchant.ID,
		ordered: e.ordered(&in.Key.Merchant, in.Order),
	})
	if rule := c.decision.Rule; rule != nil && rule.OrderCap > 0 && in.Order == "" {
		c.refuse(reason.OrderMissing)
	}
	e.considerSerial(in, &c)
	e.considerPlace(in, &c, who.merchant.StoreCity)
	if c.decision.Delivery != nil {
		c.find(c.decision.Delivery.Judge(in.Delivery))
	}
	e.considerBudget(&c, who, in.Delivery)
	c.refused = ascending(c.refused)
	return c
}

// ascending sorts reasons and drops repeats.
func ascending(why []reason.Code) []reason.Code {
	slices.Sort(why)
	return slices.Compact(why)
}

func (c *considered) refuse(r reason.Code) { c.refused = append(c.refused, r) }

func (c *considered) find(r reason.Code, do policy.Action) {
	switch {
	case r == reason.None || do == policy.Allow:
	case do == policy.Mark:
		c.marks = append(c.marks, r)
	default:
		c.refuse(r)
	}
}

// considerEntitlement looks the one-time code up: it names the entitlement, the person, and where the phone was (D6). An
// online shop, which has no code to scan, names entitlement and person instead.
func (e *Engine) considerEntitlement(in *ReserveRequest, c *considered) {
	if in.Entitlement != 0 {
		en, ok := e.own(in.Entitlement, in.Person)
		if !ok || in.Person == (Hash{}) {
			c.refuse(reason.EntitlementUnknown)
			return
		}
		c.entitlement, c.person, c.category = en, e.book.PersonOf(en), e.book.CategoryOf(en)
		e.judgeEntitlement(c)
		return
	}
	code, ok := e.book.Code(in.Code)
	if !ok {
		c.refuse(reason.EntitlementUnknown)
		return
	}
	c.code = code
	c.entitlement, _ = e.book.Entitlement(code.Entitlement)
	c.person = e.book.PersonOf(c.entitlement)
	c.category = e.book.CategoryOf(c.entitlement)
	switch {
	case code.Spent:
		c.refuse(reason.CodeUsed)
	case code.ExpiresAt <= e.now:
		c.refuse(reason.CodeExpired)
	}
	e.judgeEntitlement(c)
}

// judgeEntitlement says why the entitlement cannot be used for this purchase.
func (e *Engine) judgeEntitlement(c *considered) {
	if r := e.unusable(c.entitlement); r != reason.None {
		c.refuse(r)
	}
	if claimed := e.book.Name(c.entitlement.Channel); claimed != "" && claimed != c.channel {
		c.refuse(reason.ChannelMismatch)
	}
}

// unusable says why an entitlement cannot be held now. One whose purchase is being undone will come back, or not.
func (e *Engine) unusable(en subsidy.Entitlement) reason.Code {
	switch {
	case en.State == subsidy.Held || en.State == subsidy.Used:
		if p := e.purchases.ifAwake(en.Purchase); p != nil { // one that rests is reserved, a cold one with an entitlement captured
			switch p.state {
			case Unknown, Reversing, Voiding, Voided, Refunding:
				return reason.EntitlementUnavailable
			case Refunded:
				if p.restoreAt != 0 {
					return reason.EntitlementUnavailable
				}
			}
		}
		return reason.EntitlementUsed
	case en.State == subsidy.Returned:
		return reason.EntitlementReturned
	case en.State == subsidy.Expired || en.ExpiresAt <= e.now:
		return reason.EntitlementExpired
	}
	return reason.None
}

func (e *Engine) considerProduct(in *ReserveRequest, c *considered, who party) {
	c.product = e.catalogue.Get(in.Barcode)
	if c.product == nil {
		c.refuse(reason.ProductUnknown)
		return
	}
	if c.product.State != catalogue.Active {
		c.refuse(reason.ProductWithdrawn)
	}
	if c.category != "" && c.category != c.product.Category {
		c.refuse(reason.CategoryMismatch)
	}
	c.category = c.product.Category
	if !who.merchant.AdmittedFor(c.category, e.groupOf(c.category)) {
		c.refuse(reason.MerchantNotAllowed)
	}
	if !who.merchant.SellsThrough(c.channel) {
		c.refuse(reason.ChannelNotOpen)
	}
}

func (e *Engine) groupOf(category string) string {
	if i, ok := e.policy.CategoryIndex(category); ok {
		return e.policy.Categories[i].Group
	}
	return ""
}

// policyQuestion is what a reserve and a quote ask the policy beyond what considered holds.
type policyQuestion struct {
	price      money.Amount
	components []policy.Component
	oldItem    string
	merchant   string
	ordered    money.Amount // subsidy that the same order has had
	at         int64        // whose rules decide; 0 = now
}

// decide asks the policy. The decision lives in the engine's scratch until the next Step.
func (e *Engine) decide(c *considered, q policyQuestion) {
	r, d := &e.scratch.request, &e.scratch.decision
	e.scratch.usage = e.scratch.usage[:0]
	if c.entitlement.ID != 0 {
		e.scratch.usage = e.book.AppendUsage(e.scratch.usage, c.person)
	}
	at := e.now
	if q.at != 0 {
		at = q.at
	}
	*r = policy.Request{
		At: at, ClaimAt: c.entitlement.ClaimedAt, City: c.city, Channel: c.channel, Category: c.category,
		Merchant: q.merchant, OldItem: q.oldItem, Price: q.price, Components: q.components, Usage: e.scratch.usage,
		OrderSubsidy: q.ordered,
	}
	if c.product != nil {
		r.Grade, r.Label, r.Attributes = c.product.Grade, c.product.Label, c.product.Attributes
	}
	c.decision = d
	if c.category == "" { // neither code nor barcode says what is bought: there is no rule to ask
		*d = policy.Decision{Payable: q.price, Refused: d.Refused[:0], Parts: d.Parts[:0]}
		return
	}
	e.policy.Decide(r, d)
	c.refused = append(c.refused, d.Refused...)
}

func (e *Engine) considerSerial(in *ReserveRequest, c *considered) {
	wanted := catalogue.SerialNone
	if c.product != nil {
		wanted = c.product.Serial
	}
	if c.decision.Evidence != nil && wanted == catalogue.SerialNone {
		wanted = c.decision.Evidence.Serial
	}
	switch {
	case in.Serial == (Hash{}):
		if wanted != catalogue.SerialNone {
			c.refuse(reason.SerialMissing)
		}
	case !in.SerialOK || wanted == catalogue.SerialIMEI && !in.SerialIMEI:
		c.refuse(reason.SerialMalformed)
	case e.book.SerialHolder(in.Serial) != 0:
		c.refuse(reason.SerialUsed)
	}
}

// considerPlace judges where the buyer is: the position bound to the code counts before one in the message, because the
// phone is the buyer's and the terminal is the merchant's.
func (e *Engine) considerPlace(in *ReserveRequest, c *considered, storeCity string) {
	p := risk.Purchase{Rule: e.placeRule(c.decision.Place), Map: e.cfg.Map, MerchantCity: divisionCode(storeCity)}
	switch at := c.code.Position; {
	case at.Given:
		p.Position = risk.Position{Given: true, At: geo.Point{Lon: at.Lon, Lat: at.Lat}, TakenAt: at.TakenAt}
		c.position = Position{Given: true, At: p.Position.At, CRS: geo.CRS(at.CRS)}
	case in.Position.Malformed:
		p.Position.Malformed = true
	case in.Position.Given:
		p.Position = risk.Position{
			Given: true, At: geo.ToWGS84(in.Position.At, in.Position.CRS), TakenAt: e.now - int64(in.Position.Age)*1e9,
		}
		c.position = Position{Given: true, At: p.Position.At, CRS: in.Position.CRS}
	}
	c.takenAt = p.Position.TakenAt
	v := risk.Check(e.now, &p)
	c.refused = append(c.refused, v.Refused...)
	c.marks = append(c.marks, v.Marks...)
	c.located = v.City
}

func divisionCode(code string) uint32 {
	n, err := strconv.ParseUint(code, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// considerBudget finds the leaf that pays and asks whether it can. A claim that took its sum from the budget pays from
// that, also when its round has closed since.
func (e *Engine) considerBudget(c *considered, who party, delivery string) {
	if c.category == "" {
		return
	}
	claimant := e.book.Name(c.entitlement.City)
	c.payingCity = e.policy.Budget.PayingCity(c.channel, who.merchant.City, who.merchant.StoreCity, delivery, claimant)
	want := c.decision.Subsidy
	if en := c.entitlement; en.Reserved > 0 && en.Reserved >= want {
		c.leaf, c.fromClaim = en.Leaf, want
		return
	}
	leaf, why := e.policy.Budget.LeafAt(c.payingCity, c.channel, c.category, e.now)
	if why != reason.None {
		c.refuse(why)
		return
	}
	id, ok := e.book.Budget.Find(leaf.Path)
	if !ok {
		c.refuse(reason.BudgetUnknown)
		return
	}
	c.leaf = id
	if e.book.Budget.Available(id) < max(want, 1) {
		c.refuse(reason.BudgetExhausted)
	}
}

func (e *Engine) refuseReserve(in *ReserveRequest, c *considered) {
	m := &event.ReserveRefused{
		Key: in.Key.event(), Content: bytesOf(in.Content), Reasons: numbersOf(c.refused), Price: int64(in.Price),
		Entitlement: c.entitlement.ID, Barcode: in.Barcode, Category: c.category, City: c.city, Channel: c.channel,
		Code: bytesOf(in.Code),
	}
	if c.decision != nil {
		m.PolicyVersion = c.decision.Version
	}
	if in.API != nil {
		m.Key, m.Content, m.Caller, m.Merchant = nil, nil, in.API.Caller, text(in.Key.Merchant[:])
	}
	e.emit(&event.Event{Body: &event.Event_ReserveRefused{ReserveRefused: m}})
	if in.API == nil {
		e.replyRefused(in.Token, e.seq)
	}
}

func numbersOf(why []reason.Code) []uint32 {
	numbers := make([]uint32, len(why))
	for i, r := range why {
		numbers[i] = uint32(r)
	}
	return numbers
}

func (e *Engine) replyRefused(token Token, id uint64) {
	f := e.refusals[id]
	code := rc("57")
	if slices.Contains(f.reasons, reason.RequestStale) { // it has not been judged
		code = rc("96")
	}
	e.reply(Reply{Token: token, Response: code, Price: money.Amount(f.price), Reasons: f.reasons})
}

// hold takes everything for one purchase. The fact is good for this Step.
func (e *Engine) hold(in *ReserveRequest, c *considered) *event.Reserved {
	d := c.decision
	env := e.envelope()
	room := &env.room
	*room = event.ReservedRoom{Fact: event.Reserved{
		Purchase: e.lastPurchase + 1, Entitlement: c.entitlement.ID, Category: c.category, City: c.city,
		PayingCity: c.payingCity, Channel: c.channel, Barcode: in.Barcode,
		SerialMask: in.SerialMask, Order: in.Order, Price: int64(in.Price), Base: int64(d.Base),
		Subsidy: int64(d.Subsidy), Payable: int64(d.Payable), Leaf: e.book.Budget.Path(c.leaf),
		ExpiresAt: e.now + int64(d.Hold), PolicyVersion: d.Version, FromClaim: int64(c.fromClaim),
		ItemsBefore: uint32(e.book.UsageOf(c.person, c.category).Items), OldItem: in.OldItem,
	}}
	m := &room.Fact
	in.Key.write(room.Key(), c.who)
	m.Content, m.Person, m.Serial, m.Code = hashIn(room, &in.Content), hashIn(room, &c.person), hashIn(room, &in.Serial), hashIn(room, &in.Code)
	if in.API != nil {
		m.Caller = in.API.Caller
	}
	describe(m, c.product)
	for _, part := range d.Parts {
		p := room.Part()
		p.Payer, p.Amount = part.Payer, int64(part.Amount)
	}
	for _, part := range in.Components {
		m.Components = append(m.Components, &event.Component{Kind: part.Kind, Amount: int64(part.Amount)})
	}
	for _, mark := range c.marks {
		m.Marks = append(m.Marks, mark.String())
	}
	if c.position.Given {
		p := room.Position()
		p.Lon, p.Lat, p.TakenAt, p.Crs = c.position.At.Lon, c.position.At.Lat, c.takenAt, uint32(c.position.CRS)
	}
	if c.located != 0 {
		var digits [10]byte
		m.LocatedCity = e.scratch.texts.of(strconv.AppendUint(digits[:0], uint64(c.located), 10))
	}
	env.reserved.Reserved = m
	env.Body = &env.reserved
	e.emit(&env.Event)
	return m
}

// describe writes down what the product was when it was decided on: a later refund is computed by it.
func describe(m *event.Reserved, product *catalogue.Product) {
	if product == nil {
		return
	}
	m.Grade, m.Label = uint32(product.Grade), string(product.Label)
	for _, a := range product.Attributes {
		m.Attributes = append(m.Attributes, a.Key+"="+a.Value)
	}
}

func (e *Engine) replyReserved(token Token, p *purchase) {
	r := Reply{Token: token, Response: rc("00")}
	e.fillSubsidy(&r, p)
	e.reply(r)
}

func (e *Engine) fillSubsidy(r *Reply, p *purchase) {
	r.Hold, r.ExpiresAt = p.id, p.reserved.ExpiresAt
	r.Price, r.Subsidy, r.Payable = money.Amount(p.reserved.Price), money.Amount(p.reserved.Subsidy), money.Amount(p.reserved.Payable)
}

// pending is the reason of every answer that comes before the end is known.
var pending = []reason.Code{reason.OutcomePending}

// cancel gives a hold back: the buyer has changed his mind.
func (e *Engine) cancel(in *CancelRequest) {
	if !e.recognised(in.Token, in.Key) || !e.inSession(in.Token, in.Key) || e.repeated(in.Token, in.Key, in.Content, exchangeCancel) {
		return
	}
	p := e.purchase(in.Hold)
	if p == nil || p.reserved == nil || p.overHTTP() {
		e.reply(Reply{Token: in.Token, Response: rc("25"), Reasons: []reason.Code{reason.HoldUnknown}})
		return
	}
	reservedBy := p.reserved.Key
	switch {
	case reservedBy.Terminal != in.Key.Terminal || reservedBy.Merchant != in.Key.Merchant:
		e.reply(Reply{Token: in.Token, Response: rc("12"), Reasons: []reason.Code{reason.HoldOtherParty}})
	case p.state == HoldExpired || p.state == Cancelled:
		e.reply(Reply{Token: in.Token, Response: rc("00"), Hold: p.id})
	case p.state != Reserved:
		e.reply(Reply{Token: in.Token, Response: rc("22"), Reasons: []reason.Code{reason.HoldConsumed}})
	default:
		e.emit(&event.Event{Body: &event.Event_HoldCancelled{HoldCancelled: &event.HoldCancelled{
			Purchase: p.id, Cause: event.CancelCause_CANCEL_CAUSE_REQUEST, Key: in.Key.event(), Content: bytesOf(in.Content),
		}}})
		e.expireIfReleased(p)
		e.reply(Reply{Token: in.Token, Response: rc("00"), Hold: p.id})
	}
}

func (e *Engine) holdDue(id uint64, at int64) {
	p := e.purchase(id)
	if p == nil || p.state != Reserved || p.reserved.ExpiresAt != at {
		return
	}
	e.emit(&event.Event{Body: &event.Event_HoldExpired{HoldExpired: &event.HoldExpired{Purchase: id}}})
	e.expireIfReleased(p)
}

func (e *Engine) applyReserved(m *event.Reserved, packed string) {
	if m.Purchase != e.lastPurchase+1 {
		panic(fmt.Sprintf("purchase %d is reserved, the last was %d", m.Purchase, e.lastPurchase))
	}
	e.lastPurchase = m.Purchase
	leaf, ok := e.book.Budget.Find(m.Leaf)
	if !ok {
		panic(fmt.Sprintf("purchase %d takes from budget node %q, which does not exist", m.Purchase, m.Leaf))
	}
	e.addReserved(m, packed, leaf)
	e.book.Reserve(subsidy.Hold{
		Purchase: m.Purchase, Entitlement: m.Entitlement, Code: hash(m.Code), Serial: hash(m.Serial), Leaf: leaf,
		Subsidy: money.Amount(m.Subsidy), FromClaim: money.Amount(m.FromClaim),
	})
	e.countReserved(m)
	if key := keyOf(m.Key); m.Caller == "" {
		e.touch(key.Terminal).passed = true
		e.remember(key, exchange{content: hash(m.Content), kind: exchangeReserve, purchase: m.Purchase})
	}
	e.remind(deadline{at: m.ExpiresAt, id: m.Purchase, kind: holdDeadline})
}

func (e *Engine) applyReserveRefused(m *event.ReserveRefused, seq uint64) {
	reasons := make([]reason.Code, len(m.Reasons))
	for i, r := range m.Reasons {
		reasons[i] = reason.Code(r)
	}
	if m.Key == nil { // over HTTP: RequestKept has what a repeat needs
		return
	}
	key := keyOf(m.Key)
	e.touch(key.Terminal).passed = true
	e.refusals[seq] = refusal{price: m.Price, reasons: reasons}
	e.remember(key, exchange{content: hash(m.Content), kind: exchangeRefusedReserve, refusal: seq})
}

func (e *Engine) applyHoldCancelled(m *event.HoldCancelled) {
	p := e.mustPurchase(m.Purchase)
	e.letGo(p)
	e.move(p, Cancelled, Reserved)
	if m.Cause == event.CancelCause_CANCEL_CAUSE_REQUEST && m.Key != nil {
		e.remember(keyOf(m.Key), exchange{content: hash(m.Content), kind: exchangeCancel, purchase: p.id})
	}
}

func (e *Engine) applyHoldExpired(m *event.HoldExpired) {
	p := e.mustPurchase(m.Purchase)
	e.letGo(p)
	e.move(p, HoldExpired, Reserved)
}
