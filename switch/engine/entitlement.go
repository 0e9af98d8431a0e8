package engine

import (
	"time"

	"huanxin/internal/money"
	"huanxin/risk/geo"
	"huanxin/subsidy"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/reason"
	"huanxin/subsidy/registry"
	"huanxin/switch/event"
)

// claimRequest is what is remembered of an idempotent claim.
type claimRequest struct {
	content     Hash
	entitlement uint64
}

// defaultCodeLife is how long a one-time code lives when the rule of its claim is gone from the policy.
const defaultCodeLife = 60 * time.Second

// claim gives a person an entitlement of a category. A refusal leaves no trace: ten thousand refused claims a second
// cost the journal nothing.
func (e *Engine) claim(in *ClaimRequest) {
	if known, ok := e.claims.get(in.Request); ok && in.Request != (Hash{}) {
		if known.content != in.Content {
			e.replyAPI(APIReply{Token: in.Token, Status: APIConflict})
			return
		}
		e.replyAPI(APIReply{Token: in.Token, Status: APIRepeated, View: e.view(known.entitlement)})
		return
	}
	if e.policy == nil {
		e.refuseAPI(in.Token, reason.ProgrammeNotOpen)
		return
	}
	e.scratch.usage = e.book.AppendUsage(e.scratch.usage[:0], in.Person)
	has := e.book.UsageOf(in.Person, in.Category)
	var d policy.ClaimDecision
	e.policy.DecideClaim(&policy.ClaimRequest{
		At: e.now, City: in.City, Channel: in.Channel, Category: in.Category, IDKind: in.IDKind,
		Claims: has.Claims, Active: has.Live, Usage: e.scratch.usage,
	}, &d)
	if e.paused(in.City, in.Category, in.Channel) {
		d.Refused = append(d.Refused, reason.Paused)
	}
	leaf := subsidy.NoNode
	if d.Rule != nil {
		var why reason.Code
		if leaf, why = e.claimLeaf(in, d.Reserve); why != reason.None {
			d.Refused = append(d.Refused, why)
		}
	}
	if len(d.Refused) > 0 {
		e.refuseAPI(in.Token, d.Refused...)
		return
	}
	env := e.envelope()
	env.claim = event.EntitlementClaimed{
		Entitlement: e.book.NextEntitlement(), Person: env.hash(0, in.Person), Category: in.Category, City: in.City,
		Channel: in.Channel, ExpiresAt: d.ExpiresAt, PolicyVersion: d.Version, Request: env.hash(1, in.Request),
		Content: env.hash(2, in.Content), IdKind: in.IDKind,
	}
	m := &env.claim
	if d.Reserve > 0 {
		m.Reserved, m.Leaf = int64(d.Reserve), e.book.Budget.Path(leaf)
	}
	env.claimed.EntitlementClaimed = m
	env.Body = &env.claimed
	e.emit(&env.Event)
	e.replyAPI(APIReply{Token: in.Token, Status: APIDone, View: e.view(m.Entitlement)})
}

// claimLeaf finds the leaf that a purchase under the claim would take from, and refuses the claim when nothing is left
// there: nobody is sent to a shop for money that is gone. Where the merchant's city will pay, the city of the claim
// stands for it.
func (e *Engine) claimLeaf(in *ClaimRequest, reserve money.Amount) (subsidy.NodeID, reason.Code) {
	city := e.policy.Budget.PayingCity(in.Channel, in.City, in.City, "", in.City)
	if city == "" {
		city = in.City
	}
	leaf, why := e.policy.Budget.LeafAt(city, in.Channel, in.Category, e.now)
	if why != reason.None {
		return subsidy.NoNode, why
	}
	id, ok := e.book.Budget.Find(leaf.Path)
	if !ok {
		return subsidy.NoNode, reason.BudgetUnknown
	}
	if e.book.Budget.Available(id) < max(reserve, 1) {
		return id, reason.BudgetExhausted
	}
	return id, reason.None
}

// own finds an entitlement for its person. Another person's looks like none: ids are not a directory.
func (e *Engine) own(id uint64, person Hash) (subsidy.Entitlement, bool) {
	en, ok := e.book.Entitlement(id)
	if !ok || person != (Hash{}) && e.book.PersonOf(en) != person {
		return subsidy.Entitlement{}, false
	}
	return en, true
}

func (e *Engine) entitlement(in *EntitlementRequest) {
	if _, ok := e.own(in.Entitlement, in.Person); !ok {
		e.replyAPI(APIReply{Token: in.Token, Status: APINotFound})
		return
	}
	e.replyAPI(APIReply{Token: in.Token, Status: APIDone, View: e.view(in.Entitlement)})
}

func (e *Engine) giveBack(in *ReturnRequest) {
	en, ok := e.own(in.Entitlement, in.Person)
	if !ok {
		e.replyAPI(APIReply{Token: in.Token, Status: APINotFound})
		return
	}
	if en.State == subsidy.Returned {
		e.replyAPI(APIReply{Token: in.Token, Status: APIRepeated, View: e.view(en.ID)})
		return
	}
	if why := e.unusable(en); why != reason.None {
		e.refuseAPI(in.Token, why)
		return
	}
	e.emit(&event.Event{Body: &event.Event_EntitlementReturned{EntitlementReturned: &event.EntitlementReturned{
		Entitlement: en.ID, Released: int64(en.Reserved),
	}}})
	e.replyAPI(APIReply{Token: in.Token, Status: APIDone, View: e.view(en.ID)})
}

// showCode binds a fresh one-time code to the entitlement and to where the phone is now: that is how a phone's position
// reaches a purchase at a POS terminal (D6).
func (e *Engine) showCode(in *ShowCodeRequest) {
	en, ok := e.own(in.Entitlement, in.Person)
	if !ok {
		e.replyAPI(APIReply{Token: in.Token, Status: APINotFound})
		return
	}
	why := e.unusable(en)
	if why == reason.None && in.Position.Malformed {
		why = reason.PositionMalformed
	}
	if _, taken := e.book.Code(in.Code); taken { // one chance in 10^18; the app simply asks again
		why = reason.OverloadRetry
	}
	if why != reason.None {
		e.refuseAPI(in.Token, why)
		return
	}
	env := e.envelope()
	env.show = event.CodeShown{Entitlement: en.ID, Code: env.hash(0, in.Code), ExpiresAt: e.now + int64(e.codeLife(en))}
	m := &env.show
	if in.Position.Given {
		at := geo.ToWGS84(in.Position.At, in.Position.CRS)
		m.Position = &env.position
		env.position = event.Position{Lon: at.Lon, Lat: at.Lat, TakenAt: e.now - int64(in.Position.Age)*1e9, Crs: uint32(in.Position.CRS)}
	}
	env.shown.CodeShown = m
	env.Body = &env.shown
	e.emit(&env.Event)
	e.replyAPI(APIReply{Token: in.Token, Status: APIDone, View: e.view(en.ID), CodeEnds: m.ExpiresAt})
}

func (e *Engine) codeLife(en subsidy.Entitlement) time.Duration {
	if e.policy != nil {
		b := e.book
		rule := e.policy.Rule(b.Name(en.Version), b.Name(en.City), b.Name(en.Channel), b.CategoryOf(en), "")
		if rule != nil && rule.CodeLife > 0 {
			return rule.CodeLife
		}
	}
	return defaultCodeLife
}

// quote decides without holding: what the app shows before the buyer walks to the till. Place, serial number and code
// are not asked for; a later reserve can still refuse.
func (e *Engine) quote(in *QuoteRequest) {
	merchant := e.registry.Merchant(text(in.Merchant[:]))
	if e.policy == nil || merchant == nil || merchant.State != registry.Active {
		e.refuseAPI(in.Token, reason.MerchantNotInScheme)
		return
	}
	if e.kills[killKey{merchant: merchant.ID}] != nil {
		e.refuseAPI(in.Token, reason.Stopped)
		return
	}
	c := considered{city: merchant.City, channel: in.Channel, leaf: subsidy.NoNode}
	if in.Entitlement != 0 {
		en, ok := e.own(in.Entitlement, in.Person)
		if !ok {
			e.replyAPI(APIReply{Token: in.Token, Status: APINotFound})
			return
		}
		c.entitlement, c.person, c.category = en, e.book.PersonOf(en), e.book.CategoryOf(en)
		e.judgeEntitlement(&c)
	}
	who := party{merchant: merchant}
	e.considerProduct(&ReserveRequest{Barcode: in.Barcode}, &c, who)
	if e.paused(c.city, c.category, c.channel) {
		c.refuse(reason.Paused)
	}
	e.decide(&c, policyQuestion{price: in.Price, components: in.Components, oldItem: in.OldItem, merchant: merchant.ID})
	e.considerBudget(&c, who, "")
	d := c.decision
	r := APIReply{Token: in.Token, Status: APIDone, Quote: QuoteView{
		Version: d.Version, Price: in.Price, Base: d.Base, Subsidy: d.Subsidy, Payable: d.Payable,
	}}
	if len(c.refused) > 0 {
		r.Quote.Subsidy, r.Quote.Payable = 0, in.Price
		r.Status, r.Reasons = APIRefused, ascending(c.refused)
	}
	e.replyAPI(r)
}

func (e *Engine) refuseAPI(token Token, why ...reason.Code) {
	e.replyAPI(APIReply{Token: token, Status: APIRefused, Reasons: ascending(why)})
}

func (e *Engine) view(id uint64) EntitlementView {
	en, _ := e.book.Entitlement(id)
	state := en.State
	if state == subsidy.Claimed && en.ExpiresAt <= e.now { // the Tick that will expire it has not come yet
		state = subsidy.Expired
	}
	return EntitlementView{
		ID: en.ID, State: state, Category: e.book.CategoryOf(en), City: e.book.Name(en.City),
		Channel: e.book.Name(en.Channel), ClaimedAt: en.ClaimedAt, ExpiresAt: en.ExpiresAt, Version: e.book.Name(en.Version),
	}
}

// expireIfDue ends an entitlement whose time is up and that no purchase holds.
func (e *Engine) expireIfDue(id uint64) {
	en, ok := e.book.Entitlement(id)
	if !ok || en.State != subsidy.Claimed || en.ExpiresAt > e.now {
		return
	}
	e.emit(&event.Event{Body: &event.Event_EntitlementExpired{EntitlementExpired: &event.EntitlementExpired{
		Entitlement: id, Released: int64(en.Reserved),
	}}})
}

// expireIfReleased ends the entitlement of a purchase that has let go of it after its time was up.
func (e *Engine) expireIfReleased(p *purchase) {
	if p.reserved != nil {
		e.expireIfDue(p.reserved.Entitlement)
	}
}

func (e *Engine) applyClaimed(m *event.EntitlementClaimed) {
	leaf := subsidy.NoNode
	if m.Reserved > 0 {
		leaf, _ = e.book.Budget.Find(m.Leaf)
	}
	e.book.Claim(subsidy.Entitlement{
		ID: m.Entitlement, ClaimedAt: e.now, ExpiresAt: m.ExpiresAt, Reserved: money.Amount(m.Reserved), Leaf: leaf,
	}, hash(m.Person), m.Category, m.Channel, m.City, m.PolicyVersion)
	if request := hash(m.Request); request != (Hash{}) {
		e.claims.put(request, e.now, claimRequest{content: hash(m.Content), entitlement: m.Entitlement})
	}
	e.remind(deadline{at: m.ExpiresAt, id: m.Entitlement, kind: entitlementDeadline})
}

func (e *Engine) applyCodeShown(m *event.CodeShown) {
	var at subsidy.CodePosition
	if p := m.Position; p != nil {
		at = subsidy.CodePosition{Given: true, Lon: p.Lon, Lat: p.Lat, TakenAt: p.TakenAt, CRS: uint8(p.Crs)}
	}
	e.book.ShowCode(hash(m.Code), m.Entitlement, m.ExpiresAt, at)
}

// forgetClaims drops idempotency keys older than memory.
func (e *Engine) forgetClaims() {
	for range maxForgotten {
		if _, _, ok := e.claims.popBefore(e.now - memory); !ok {
			return
		}
	}
}
