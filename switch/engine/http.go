package engine

import (
	"time"

	"huanxin/internal/money"
	"huanxin/subsidy/reason"
	"huanxin/subsidy/registry"
	"huanxin/switch/event"
)

// What QR acquirers and online shops do over HTTP: reserve (try), commit, cancel, refund. A request that has changed
// something or was refused is kept under its idempotency key (RequestKept): the same again gets the same answer, the same
// key with other content is a conflict.

// requestMemory is how long an idempotency key is kept: longer than it takes to settle a purchase and to reverse it. It is
// a constant because Apply forgets by it.
const requestMemory = int64(35 * 24 * time.Hour)

// apiRequest is what is remembered of a request.
type apiRequest struct {
	content   Hash
	kind      event.RequestKind
	purchase  uint64
	operation uint64
	price     int64
}

// askedBefore answers a request whose key is known. It reports false when the request is new.
func (e *Engine) askedBefore(token Token, api *APIOrigin, kind event.RequestKind) bool {
	known, ok := e.requests.get(api.Request)
	if !ok {
		return false
	}
	why := e.requestWhy[api.Request]
	switch {
	case known.content != api.Content || known.kind != kind:
		e.replyAPI(APIReply{Token: token, Status: APIConflict})
	case len(why) > 0:
		e.replyAPI(APIReply{Token: token, Status: APIRefused, Reasons: why, Purchase: e.viewOf(known.purchase)})
	case !e.purchases.known(known.purchase): // gone with the key of its reserve, which is a little older
		return false
	case kind == event.RequestKind_REQUEST_KIND_COMMIT:
		p := e.purchase(known.purchase)
		if p.state == Sent {
			e.wait(waitPurchase(p.id), waiter{token: token, api: true})
			return true
		}
		e.replyCommit(token, p, APIRepeated)
	case kind == event.RequestKind_REQUEST_KIND_REFUND:
		o := e.operation(known.operation)
		if o.state == opSent {
			e.wait(waitOperation(o.id), waiter{token: token, api: true})
			return true
		}
		e.replyAPIRefund(token, o, APIRepeated)
	default:
		v := e.viewOf(known.purchase)
		if kind == event.RequestKind_REQUEST_KIND_RESERVE {
			v = e.viewReserved(e.purchase(known.purchase))
		}
		e.replyAPI(APIReply{Token: token, Status: APIRepeated, Purchase: v})
	}
	return true
}

// keep records the key of a request with what it has led to.
func (e *Engine) keep(api *APIOrigin, m *event.RequestKept) {
	m.Request, m.Content = bytesOf(api.Request), bytesOf(api.Content)
	e.emit(&event.Event{Body: &event.Event_RequestKept{RequestKept: m}})
}

// refuseKept refuses a request and keeps the refusal.
func (e *Engine) refuseKept(token Token, api *APIOrigin, kind event.RequestKind, purchase uint64, why ...reason.Code) {
	e.keep(api, &event.RequestKept{Kind: kind, Purchase: purchase, Reasons: numbersOf(why)})
	e.replyAPI(APIReply{Token: token, Status: APIRefused, Reasons: why, Purchase: e.viewOf(purchase)})
}

// reserveOverHTTP is the try of a QR acquirer or shop: the checks of a terminal's reserve, without a terminal.
func (e *Engine) reserveOverHTTP(in *ReserveRequest) {
	if e.askedBefore(in.Token, in.API, event.RequestKind_REQUEST_KIND_RESERVE) {
		return
	}
	merchant := e.registry.Merchant(text(in.Key.Merchant[:]))
	switch {
	case merchant == nil || !e.isActive(merchant.ID):
		e.refuseAPI(in.Token, reason.MerchantNotInScheme)
		return
	case e.kills[killKey{merchant: merchant.ID}] != nil:
		e.refuseAPI(in.Token, reason.Stopped)
		return
	}
	in.Key.Class, in.Key.Terminal = '1', [8]byte{}
	c := e.consider(in, party{merchant: merchant, terminal: &registry.Terminal{}})
	if len(c.refused) > 0 {
		e.refuseReserve(in, &c)
		e.keep(in.API, &event.RequestKept{
			Kind: event.RequestKind_REQUEST_KIND_RESERVE, Reasons: numbersOf(c.refused), Price: int64(in.Price),
		})
		e.replyAPI(APIReply{Token: in.Token, Status: APIRefused, Reasons: c.refused})
		return
	}
	e.hold(in, &c)
	id := e.lastPurchase
	e.keep(in.API, &event.RequestKept{Kind: event.RequestKind_REQUEST_KIND_RESERVE, Purchase: id})
	e.replyAPI(APIReply{Token: in.Token, Status: APIDone, Purchase: e.viewOf(id)})
}

// callers finds a purchase for its caller. Another's looks like none.
func (e *Engine) callers(id uint64, caller string) *purchase {
	if p := e.purchase(id); p != nil && p.overHTTP() && p.caller() == caller {
		return p
	}
	return nil
}

// commit is the second step: the buyer has paid the caller, or pays now with a wallet.
func (e *Engine) commit(in *CommitRequest) {
	const kind = event.RequestKind_REQUEST_KIND_COMMIT
	if e.askedBefore(in.Token, &in.API, kind) {
		return
	}
	p := e.callers(in.Purchase, in.API.Caller)
	if p == nil {
		e.replyAPI(APIReply{Token: in.Token, Status: APINotFound})
		return
	}
	host, known := e.cfg.Hosts[in.Host]
	switch {
	case p.state == HoldExpired || p.state == Reserved && p.reserved.ExpiresAt <= e.now:
		e.refuseKept(in.Token, &in.API, kind, p.id, reason.HoldExpired)
	case p.state == Cancelled:
		e.refuseKept(in.Token, &in.API, kind, p.id, reason.HoldCancelled)
	case p.state != Reserved:
		e.refuseKept(in.Token, &in.API, kind, p.id, reason.HoldConsumed)
	case int64(in.Amount) != p.reserved.Payable:
		e.refuseKept(in.Token, &in.API, kind, p.id, reason.PayableMismatch)
	case e.kills[killKey{merchant: p.merchant()}] != nil:
		e.refuseAPI(in.Token, reason.Stopped)
	case !e.isActive(p.merchant()):
		e.refuseAPI(in.Token, reason.MerchantNotInScheme)
	case in.Host == "":
		e.capture(in, p)
	case !known || !host.Wallet:
		e.refuseAPI(in.Token, reason.ChannelNotOpen)
	default:
		e.pay(in, p, host)
	}
}

func (e *Engine) isActive(merchant string) bool {
	m := e.registry.Merchant(merchant)
	return m != nil && m.State == registry.Active
}

// committed is the SaleSent of a commit.
func (e *Engine) committed(in *CommitRequest, p *purchase) *event.SaleSent {
	r := p.reserved.fact()
	return &event.SaleSent{
		Purchase: p.id, Key: &event.ExchangeKey{Class: 2, Merchant: r.Key.Merchant}, Content: bytesOf(in.API.Content),
		Amount: int64(in.Amount), HostStan: hostSTAN(e.hostCounter + 1), Rrn: hostRRN(e.now, e.hostCounter+1), TransmittedAt: e.now,
		City: r.City, Channel: r.Channel, Caller: in.API.Caller,
	}
}

// capture enters a payment that the caller has collected itself.
func (e *Engine) capture(in *CommitRequest, p *purchase) {
	m := e.committed(in, p)
	m.Host, m.Reference, m.Deadline = ExternalHost, in.Reference, e.now
	e.emit(&event.Event{Body: &event.Event_SaleSent{SaleSent: m}})
	e.emit(&event.Event{Body: &event.Event_SaleApproved{SaleApproved: &event.SaleApproved{
		Purchase: p.id, Answer: &event.HostAnswer{Response: "00"},
	}}})
	e.keep(&in.API, &event.RequestKept{Kind: event.RequestKind_REQUEST_KIND_COMMIT, Purchase: p.id})
	e.replyCommit(in.Token, p, APIDone)
}

// pay charges the buyer's wallet.
func (e *Engine) pay(in *CommitRequest, p *purchase, host HostProfile) {
	m := e.committed(in, p)
	m.Host, m.Wallet, m.Card, m.EntryMode, m.Deadline = in.Host, true, in.Card, "032", e.now+int64(host.Timeout)
	e.emit(&event.Event{Body: &event.Event_SaleSent{SaleSent: m}})
	e.keep(&in.API, &event.RequestKept{Kind: event.RequestKind_REQUEST_KIND_COMMIT, Purchase: p.id})
	e.wait(waitPurchase(p.id), waiter{token: in.Token, api: true})
	e.sendSale(0, p)
}

// replyCommit answers a commit as the payment stands.
func (e *Engine) replyCommit(token Token, p *purchase, done APIStatus) {
	r := APIReply{Token: token, Status: done, Purchase: e.viewCommitted(p)}
	switch {
	case p.state == Declined:
		r.Status, r.Response = APIDeclined, p.answer.GetResponse()
	case p.answer != nil && isApproved(p.answer.Response):
	case p.state == Sent || p.state == Unknown:
		r.Status = APIPending
	default: // given up, or taken back
		r.Status, r.Response = APIDeclined, "98"
	}
	e.replyAPI(r)
}

// cancelOverHTTP gives a reservation back. One that has ended by itself is given back already.
func (e *Engine) cancelOverHTTP(in *APICancelRequest) {
	const kind = event.RequestKind_REQUEST_KIND_CANCEL
	if e.askedBefore(in.Token, &in.API, kind) {
		return
	}
	p := e.callers(in.Purchase, in.API.Caller)
	switch {
	case p == nil:
		e.replyAPI(APIReply{Token: in.Token, Status: APINotFound})
		return
	case p.state == HoldExpired || p.state == Cancelled:
	case p.state != Reserved:
		e.refuseKept(in.Token, &in.API, kind, p.id, reason.HoldConsumed)
		return
	default:
		e.emit(&event.Event{Body: &event.Event_HoldCancelled{HoldCancelled: &event.HoldCancelled{
			Purchase: p.id, Cause: event.CancelCause_CANCEL_CAUSE_REQUEST,
		}}})
		e.expireIfReleased(p)
	}
	e.keep(&in.API, &event.RequestKept{Kind: kind, Purchase: p.id})
	e.replyAPI(APIReply{Token: in.Token, Status: APIDone, Purchase: e.viewPurchase(p)})
}

// refundOverHTTP gives a committed purchase back, to the wallet that paid, or as the caller says it has done itself.
func (e *Engine) refundOverHTTP(in *APIRefundRequest) {
	const kind = event.RequestKind_REQUEST_KIND_REFUND
	if e.askedBefore(in.Token, &in.API, kind) {
		return
	}
	p := e.callers(in.Purchase, in.API.Caller)
	if p == nil {
		e.replyAPI(APIReply{Token: in.Token, Status: APINotFound})
		return
	}
	if p.sale == nil {
		e.refuseKept(in.Token, &in.API, kind, p.id, reason.OriginalNotCaptured)
		return
	}
	if e.kills[killKey{merchant: p.merchant()}] != nil {
		e.refuseAPI(in.Token, reason.Stopped)
		return
	}
	amount := in.Amount
	if amount == 0 {
		open, _ := e.openRefunds(p)
		amount = money.Amount(p.sale.Amount) - p.refunded - open
	}
	if code, why := e.judgeRefund(p, amount); code != rc("00") {
		if why == reason.None {
			why = reason.RefundExceeds
		}
		e.refuseKept(in.Token, &in.API, kind, p.id, why)
		return
	}
	o := e.sendRefund(p, &event.RefundSent{
		Content: bytesOf(in.API.Content), Amount: int64(amount), Activated: in.Activated, Caller: in.API.Caller,
		Reference: in.Reference, Card: p.sale.Card,
	})
	e.keep(&in.API, &event.RequestKept{Kind: kind, Purchase: p.id, Operation: o.id})
	if p.sale.Host == ExternalHost {
		e.approveRefund(o, &event.HostAnswer{Response: "00"}, nil)
		e.replyAPIRefund(in.Token, o, APIDone)
		return
	}
	e.wait(waitOperation(o.id), waiter{token: in.Token, api: true})
	e.sendOperation(HostRefund, 0, p, o)
}

func (e *Engine) replyAPIRefund(token Token, o *operation, done APIStatus) {
	p := e.purchase(o.purchase)
	r := APIReply{Token: token, Status: done, Purchase: e.viewPurchase(p), Refund: &RefundView{
		Amount: o.amount(), Returned: o.returned, Kept: o.kept,
	}}
	switch o.state {
	case opSent, opUnknown:
		r.Status = APIPending
	case opDeclined:
		r.Status, r.Response = APIDeclined, o.answer.GetResponse()
	}
	e.replyAPI(r)
}

func (e *Engine) readPurchase(in *PurchaseRequest) {
	p := e.callers(in.Purchase, in.Caller)
	if p == nil {
		e.replyAPI(APIReply{Token: in.Token, Status: APINotFound})
		return
	}
	e.replyAPI(APIReply{Token: in.Token, Status: APIDone, Purchase: e.viewPurchase(p)})
}

func (e *Engine) viewOf(id uint64) *PurchaseView {
	if p := e.purchase(id); p != nil {
		return e.viewPurchase(p)
	}
	return nil
}

// viewPurchase is a purchase as others may see it.
func (e *Engine) viewPurchase(p *purchase) *PurchaseView {
	open, _ := e.openRefunds(p)
	v := &PurchaseView{
		ID: p.id, State: p.state, Ordinary: p.reserved == nil, Merchant: p.merchant(), Caller: p.caller(), Subsidy: p.subsidy,
		Refunded: p.refunded, Returned: p.returned, Refunding: open, Manual: p.manual, Standing: p.standing, Answer: p.answer,
	}
	if !p.overHTTP() {
		terminal := p.terminal()
		v.Terminal = text(terminal[:])
	}
	if p.reserved != nil {
		r := p.reserved.fact()
		v.Price, v.Payable, v.Category, v.Barcode = money.Amount(r.Price), money.Amount(r.Payable), r.Category, r.Barcode
		v.SerialMask, v.Order, v.PolicyVersion, v.Marks = r.SerialMask, r.Order, r.PolicyVersion, r.Marks
		v.ReservedAt, v.ExpiresAt, v.Batch, v.STAN = p.reservedAt, r.ExpiresAt, r.Key.GetBatch(), r.Key.GetStan()
		if p.state == Reserved && r.ExpiresAt <= e.now { // the Tick that will expire it has not come yet
			v.State = HoldExpired
		}
	}
	if s := p.sale; s != nil {
		v.Kind, v.Batch, v.STAN, v.Amount, v.SentAt = s.Kind, s.Key.GetBatch(), s.Key.GetStan(), money.Amount(s.Amount), s.TransmittedAt
		v.Host, v.RRN, v.CardMask, v.EntryMode, v.Reference = s.Host, s.Rrn, s.Card.GetMask(), s.EntryMode, s.Reference
	}
	return v
}

// viewReserved is a purchase as its reserve was answered, whatever has become of it since.
func (e *Engine) viewReserved(p *purchase) *PurchaseView {
	v := e.viewPurchase(&purchase{id: p.id, reserved: p.reserved, reservedAt: p.reservedAt, subsidy: money.Amount(p.reserved.Subsidy)})
	v.State = Reserved
	return v
}

// viewCommitted is a purchase as its commit was answered, without what has been refunded since.
func (e *Engine) viewCommitted(p *purchase) *PurchaseView {
	v := e.viewPurchase(p)
	if p.state == Refunding || p.state == Refunded || p.state == Captured {
		v.State, v.Subsidy, v.Refunded, v.Returned, v.Refunding = Captured, money.Amount(p.reserved.Subsidy), 0, 0, 0
	}
	return v
}

func (e *Engine) applyRequestKept(m *event.RequestKept) {
	var why []reason.Code
	for _, number := range m.Reasons {
		why = append(why, reason.Code(number))
	}
	e.keepRequest(hash(m.Request), e.now, why, apiRequest{
		content: hash(m.Content), kind: m.Kind, purchase: m.Purchase, operation: m.Operation, price: m.Price,
	})
}

func (e *Engine) keepRequest(request Hash, at int64, why []reason.Code, r apiRequest) {
	e.requests.put(request, at, r)
	if delete(e.requestWhy, request); len(why) > 0 {
		e.requestWhy[request] = why
	}
}

// forgetRequests drops idempotency keys older than requestMemory, and with the key of its reserve a purchase that has
// never charged anybody.
func (e *Engine) forgetRequests() {
	for range maxForgotten {
		r, counts, ok := e.requests.popBefore(e.now - requestMemory)
		if !ok {
			return
		}
		if !counts {
			continue
		}
		delete(e.requestWhy, r.request)
		if r.answer.kind == event.RequestKind_REQUEST_KIND_RESERVE && e.purchases.goes(r.answer.purchase) {
			e.drop(e.purchase(r.answer.purchase))
		}
	}
}
