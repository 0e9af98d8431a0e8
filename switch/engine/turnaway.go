package engine

import (
	"fmt"

	"huanxin/subsidy/reason"
	"huanxin/switch/event"
)

// TurnAway is a request that begins something new and has waited too long for its turn. It is not decided: nothing is held,
// charged or sent anywhere. A repeat of what has been decided already gets its answer all the same.
//
// It makes no event, so that a rush that is turned away costs neither the journal nor the budget anything; unless it is Stale.
type TurnAway struct {
	// Body is a pointer to the input that would have been decided: one of those that Sheddable names, or of those that a
	// terminal would reverse.
	Body any
	// Stale says that the terminal has given the request up before its turn came, and will reverse it. Then it is recorded as
	// refused, so that its 0400 gets 12, not charged, and a late copy of it 96, never a decision.
	Stale bool
}

// turnAway answers 96 over a terminal's line and 503 over HTTP.
func (e *Engine) turnAway(in *TurnAway) {
	switch b := in.Body.(type) {
	case *ReserveRequest:
		e.turnAwayReserve(b, in.Stale)
	case *SaleRequest:
		if _, ok := e.admitBusiness(b.Token, b.Key, b.Content, exchangeSale, exchangeRefusedSale); ok {
			e.turnAwayPayment(b.Token, b.Key, in.Stale, &event.SaleRefused{
				Content: bytesOf(b.Content), Purchase: idOf(e.purchase(b.Hold)), Amount: int64(b.Amount),
			})
		}
	case *VoidRequest:
		if e.admitGivingBack(b.Token, b.Key, b.Content, exchangeVoid, exchangeRefusedSale) {
			e.turnAwayPayment(b.Token, b.Key, in.Stale, &event.SaleRefused{
				Content: bytesOf(b.Content), Amount: int64(b.Amount), Request: "void",
			})
		}
	case *InquiryRequest: // it is kept nowhere else either
		if _, ok := e.admitBusiness(b.Token, b.Key, b.Content, exchangeInquiry); ok {
			e.reply(Reply{Token: b.Token, Response: rc("96")})
		}
	case *CommitRequest:
		if !e.askedBefore(b.Token, &b.API, event.RequestKind_REQUEST_KIND_COMMIT) {
			e.refuseAPI(b.Token, reason.OverloadRetry)
		}
	case *ClaimRequest:
		if _, known := e.claims.get(b.Request); known && b.Request != (Hash{}) {
			e.claim(b)
			return
		}
		e.refuseAPI(b.Token, reason.OverloadRetry)
	case *ShowCodeRequest:
		e.refuseAPI(b.Token, reason.OverloadRetry)
	case *QuoteRequest:
		e.refuseAPI(b.Token, reason.OverloadRetry)
	case *EntitlementRequest:
		e.refuseAPI(b.Token, reason.OverloadRetry)
	default:
		panic(fmt.Sprintf("engine: an input of type %T is never turned away", in.Body))
	}
}

func (e *Engine) turnAwayReserve(in *ReserveRequest, stale bool) {
	if in.API != nil {
		if !e.askedBefore(in.Token, in.API, event.RequestKind_REQUEST_KIND_RESERVE) {
			e.refuseAPI(in.Token, reason.OverloadRetry)
		}
		return
	}
	who, ok := e.admitBusiness(in.Token, in.Key, in.Content, exchangeReserve, exchangeRefusedReserve)
	switch {
	case !ok:
	case stale:
		e.advance(in.Key)
		e.refuseReserve(in, &considered{refused: []reason.Code{reason.RequestStale}, city: who.merchant.City, channel: who.terminal.Channel})
	default:
		e.reply(Reply{Token: in.Token, Response: rc("96")})
	}
}

// turnAwayPayment is the same for what would have gone to a host. A stale one is the terminal's next financial message like any
// other: it has been sent.
func (e *Engine) turnAwayPayment(token Token, key Key, stale bool, refused *event.SaleRefused) {
	if !stale {
		e.reply(Reply{Token: token, Response: rc("96")})
		return
	}
	e.advance(key)
	refused.Response, refused.Reason = "96", uint32(reason.RequestStale)
	e.refuseRequest(token, key, refused)
}
