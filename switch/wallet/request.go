package wallet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"huanxin/switch/engine"
)

// act is what a wallet is asked to do.
type act uint8

const (
	pay act = iota
	queryPayment
	queryRefund
	cancelPayment
	cancelRefund
	giveBack  // a refund, or a void, which is a refund of the whole
	barRefund // withdraw a refund or void that was asked about, because the wallet has never heard of it
)

func (a act) String() string {
	return [...]string{"payment", "payment_query", "refund_query", "payment_cancel", "refund_cancel", "refund", "refund_bar"}[a]
}

// request is one order of the engine on its way to a wallet.
type request struct {
	act      act
	unsent   *engine.HostUnsent // what is submitted if it does not leave
	about    string             // RRN of the payment or refund that the wallet's answer must be about
	method   string
	path     []string // below the wallet's URL
	body     *payload // nil = none
	deadline time.Time
	sentAt   time.Time // of the refund that is asked about; zero when it is not known
}

// errKind is returned for what no wallet can be asked.
var errKind = errors.New("a wallet is not asked this")

// newRequest translates an order. Cancellations and questions name the payment or operation by Original.RRN, or where that
// is empty by the order's own.
func newRequest(req *engine.HostRequest, cards Cards) (*request, error) {
	original := req.Original.RRN
	if original == "" {
		original = req.RRN
	}
	r := &request{unsent: unsent(req), about: original, method: http.MethodPost, deadline: time.Unix(0, req.Deadline)}
	switch {
	case req.Kind == engine.HostSale:
		r.act, r.about, r.path = pay, req.RRN, []string{"v1", "payments"}
		if err := r.order(req, cards); err != nil {
			return nil, err
		}
	case req.Kind == engine.HostVoid || req.Kind == engine.HostRefund:
		r.act, r.about, r.path = giveBack, req.RRN, []string{"v1", "payments", original, "refunds"}
		r.body = newPayload(appendRefundOrder(nil, req.RRN, req.Amount))
	case req.Kind == engine.HostReversal && req.Operation == 0:
		r.act, r.path = cancelPayment, []string{"v1", "payments", original, "cancel"}
	case req.Kind == engine.HostReversal:
		r.act, r.path = cancelRefund, []string{"v1", "refunds", original, "cancel"}
	case req.Kind == engine.HostQuery && req.Operation == 0:
		r.act, r.method, r.path = queryPayment, http.MethodGet, []string{"v1", "payments", original}
	case req.Kind == engine.HostQuery:
		r.act, r.method, r.path = queryRefund, http.MethodGet, []string{"v1", "refunds", original}
		if req.Original.TransmittedAt != 0 {
			r.sentAt = time.Unix(0, req.Original.TransmittedAt)
		}
	default:
		return nil, errKind
	}
	for _, rrn := range []string{r.about, original, req.RRN} {
		if err := checkRRN(rrn, ""); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// order builds the body of a payment from the sealed card record: the terminal's own message may be gone, and a payment
// over HTTP has none.
func (r *request) order(req *engine.HostRequest, cards Cards) error {
	if req.Card == nil {
		return errNoCode
	}
	record, err := cards.OpenCard(req.Card)
	if err != nil {
		return fmt.Errorf("open card record: %w", err)
	}
	defer record.Wipe()
	if len(record.QRCode) == 0 {
		return errNoCode
	}
	// Long enough for any order, so that it never grows and leaves a copy of the code behind.
	room := make([]byte, 0, 1024)
	r.body = newPayload(appendPaymentOrder(room, req.RRN, req.Amount, record.QRCode, trimmed(req.Key.Merchant[:]),
		trimmed(req.Key.Terminal[:]), time.Unix(0, req.TransmittedAt)))
	return nil
}

// trimmed is DE41 or DE42 without what fills it up.
func trimmed(b []byte) string { return string(bytes.Trim(b, " \x00")) }

func (r *request) wipe() {
	if r.body != nil {
		r.body.wipe()
	}
}

// kind is what the engine is told that the answer answers.
func (r *request) kind() engine.HostKind {
	switch r.act {
	case queryPayment, queryRefund, barRefund:
		return engine.HostQuery
	case cancelPayment, cancelRefund:
		return engine.HostReversal
	}
	return engine.HostSale
}

// silence is what the engine is told when there is no answer that says how things stand: that the end is not known. To a
// cancellation nothing is said; it is repeated.
func (r *request) silence() *engine.HostAnswered {
	if r.kind() == engine.HostReversal {
		return nil
	}
	return &engine.HostAnswered{Kind: r.kind(), RRN: r.unsent.RRN, Pending: true}
}

// answer reads what the wallet has answered. The second result is for the metric; in is nil when there is nothing to
// tell.
func (r *request) answer(status int, body []byte) (in *engine.HostAnswered, result string) {
	if status == http.StatusNotFound {
		var p Problem
		if decode(body, &p) == nil && p.Error == ErrorNotFound {
			return r.silence(), "not_found"
		}
	}
	if status != http.StatusOK {
		return r.silence(), "error"
	}
	in = &engine.HostAnswered{Kind: r.kind(), RRN: r.unsent.RRN}
	switch r.act {
	case queryRefund, barRefund, cancelRefund, giveBack:
		var refund Refund
		if decode(body, &refund) != nil || refund.check(r.about) != nil {
			return r.silence(), "malformed"
		}
		r.refund(in, &refund)
		return in, string(refund.Status)
	}
	var payment Payment
	if decode(body, &payment) != nil || payment.check(r.about) != nil {
		return r.silence(), "malformed"
	}
	r.payment(in, &payment)
	return in, string(payment.Status)
}

// bar is the request that withdraws what this query was about. A payment without an end is cancelled by the engine after a
// minute; a refund never is. But one that has not reached the wallet in that time, because this process or a connection
// died on the way, would be asked about for ever. Withdrawn it cannot arrive later, so "nothing was given back" is final.
func (r *request) bar() *request {
	return &request{
		act: barRefund, unsent: r.unsent, about: r.about, method: http.MethodPost, path: []string{"v1", "refunds", r.about, "cancel"},
		deadline: r.deadline,
	}
}

// payment is the table of the package comment for payments.
func (r *request) payment(in *engine.HostAnswered, p *Payment) {
	switch r.act {
	case cancelPayment:
		in.Answer.Response = map[Status]string{
			Closed: responseApproved, Declined: responseNotCharged, Pending: responseLater, Paid: responseUnsupported}[p.Status]
	case queryPayment:
		paymentAnswer(in, p)
		if p.Status == Declined {
			in.Answer.Response = responseNotCharged
		}
	default:
		paymentAnswer(in, p)
	}
}

// paymentAnswer says how a payment stands in the answer to its order.
func paymentAnswer(in *engine.HostAnswered, p *Payment) {
	switch p.Status {
	case Paid:
		approve(&in.Answer, p.Amount, p.Trade, p.PaidAt)
	case Declined:
		in.Answer.Response = responseOf(p.Reason)
	case Closed:
		in.Answer.Response = responseNotCharged
	case Pending:
		in.Pending = true
	}
}

// refund is the table of the package comment for refunds and voids.
func (r *request) refund(in *engine.HostAnswered, f *Refund) {
	if r.act == cancelRefund {
		in.Answer.Response = map[Status]string{
			Closed: responseApproved, Refused: responseNotCharged, Pending: responseLater, Done: responseUnsupported}[f.Status]
		return
	}
	refundAnswer(in, f)
}

func refundAnswer(in *engine.HostAnswered, f *Refund) {
	switch f.Status {
	case Done:
		approve(&in.Answer, f.Amount, f.Trade, f.RefundedAt)
	case Refused:
		in.Answer.Response = responseOf(f.Reason)
	case Closed:
		in.Answer.Response = responseNotCharged
	case Pending:
		in.Pending = true
	}
}

// payload is the body of a request. The HTTP client may still be writing when it has given up waiting, so what was handed
// to it is wiped under a lock, and a reader that comes later gets nothing.
type payload struct {
	mu    sync.Mutex // guards data and wiped
	data  []byte
	wiped bool
}

// errWiped is returned by a reader of a body that is no longer wanted.
var errWiped = errors.New("the request is over")

func newPayload(data []byte) *payload { return &payload{data: data} }

func (p *payload) wipe() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.data)
	p.wiped = true
}

// reader returns a new reader from the start: the client takes one for each connection that it tries.
func (p *payload) reader() io.ReadCloser { return &payloadReader{of: p} }

type payloadReader struct {
	of *payload
	at int
}

func (r *payloadReader) Read(b []byte) (int, error) {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	if r.of.wiped {
		return 0, errWiped
	}
	if r.at == len(r.of.data) {
		return 0, io.EOF
	}
	n := copy(b, r.of.data[r.at:])
	r.at += n
	return n, nil
}

func (r *payloadReader) Close() error { return nil }
