package wallet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"huanxin/internal/money"
	link "huanxin/switch/wallet"
)

// reply is what is answered to a request, unless its fate is another.
type reply struct {
	fate   Fate
	delay  time.Duration
	status int
	body   any
}

func refused(status int, word string) reply {
	return reply{status: status, body: link.Problem{Error: word}}
}

func (w *Wallet) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(rrn string, body []byte) reply{
		"POST /v1/payments":              func(_ string, body []byte) reply { return w.order(body) },
		"GET /v1/payments/{rrn}":         func(rrn string, _ []byte) reply { return w.ask(rrn, false) },
		"POST /v1/payments/{rrn}/cancel": func(rrn string, _ []byte) reply { return w.cancel(rrn) },
		"POST /v1/payments/{rrn}/refunds": func(rrn string, body []byte) reply {
			return w.refund(rrn, body)
		},
		"GET /v1/refunds/{rrn}":         func(rrn string, _ []byte) reply { return w.ask(rrn, true) },
		"POST /v1/refunds/{rrn}/cancel": func(rrn string, _ []byte) reply { return w.cancelRefund(rrn) },
	} {
		mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) { w.serve(rw, r, handle) })
	}
	mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprintln(rw, "ok") })
	return mux
}

// serve checks the signature, has the request treated, and answers as its fate is.
func (w *Wallet) serve(rw http.ResponseWriter, r *http.Request, handle func(string, []byte) reply) {
	if !w.enter() {
		panic(http.ErrAbortHandler)
	}
	defer w.busy.Done()
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxBody))
	if err != nil {
		write(rw, refused(http.StatusBadRequest, link.ErrorMalformed))
		return
	}
	if w.cfg.Key.Verify(r.Header, r.Method, r.URL.EscapedPath(), body, w.cfg.Now()) != nil {
		write(rw, refused(http.StatusUnauthorized, link.ErrorSignature))
		return
	}
	a := handle(r.PathValue("rrn"), body)
	switch a.fate {
	case Busy:
		write(rw, refused(http.StatusServiceUnavailable, link.ErrorBusy))
	case Cut:
		panic(http.ErrAbortHandler)
	case Unseen, Lost:
		w.sleep(r.Context(), silenceLimit)
		panic(http.ErrAbortHandler)
	default:
		if a.delay > 0 && !w.sleep(r.Context(), a.delay) {
			panic(http.ErrAbortHandler) // nobody listens any more
		}
		write(rw, a)
	}
}

func write(rw http.ResponseWriter, a reply) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(a.status)
	_ = json.NewEncoder(rw).Encode(a.body)
}

// failed is the answer to what could not be booked.
func (w *Wallet) failed(err error) reply {
	switch {
	case errors.Is(err, ErrConflict):
		return refused(http.StatusConflict, link.ErrorConflict)
	case errors.Is(err, ErrUnknown):
		return refused(http.StatusNotFound, link.ErrorNotFound)
	}
	w.cfg.Logger.Error("cannot be booked", zap.Error(err))
	return refused(http.StatusServiceUnavailable, link.ErrorBusy)
}

// maxAmount is the largest of n12.
const maxAmount = money.Amount(999_999_999_999)

// good reports whether a payment order has what the document demands.
func good(o *link.PaymentOrder) bool {
	_, err := time.Parse(time.RFC3339, o.At)
	return err == nil && number(o.Payment) && o.Code != "" && len(o.Code) <= 64 && o.Merchant != "" &&
		o.Amount > 0 && o.Amount <= maxAmount
}

func (w *Wallet) order(body []byte) reply {
	var o link.PaymentOrder
	if strict(body, &o) != nil || !good(&o) {
		return refused(http.StatusBadRequest, link.ErrorMalformed)
	}
	p := w.cfg.Rules.Payment(o.Payment, o.Amount)
	if p.Fate == Unseen {
		return reply{fate: Unseen}
	}
	_, known := w.cfg.Ledger.Find(o.Payment)
	now := w.cfg.Now()
	e, err := w.cfg.Ledger.Pay(&Order{
		At: stamp(now), RRN: o.Payment, Code: CodeToken(o.Code), Merchant: o.Merchant, Terminal: o.Terminal, Amount: o.Amount,
		Status: p.Status, Reason: p.Reason, Trade: trade(now, o.Payment),
	})
	if err != nil {
		return w.failed(err)
	}
	if !known {
		w.goOn(p, o.Payment, false)
	}
	return reply{fate: p.Fate, delay: p.Delay, status: http.StatusOK, body: e.Payment()}
}

func (w *Wallet) refund(payment string, body []byte) reply {
	var o link.RefundOrder
	if strict(body, &o) != nil || !number(o.Refund) || !number(payment) || o.Amount <= 0 || o.Amount > maxAmount {
		return refused(http.StatusBadRequest, link.ErrorMalformed)
	}
	p := w.cfg.Rules.Refund(o.Refund, o.Amount)
	if p.Fate == Unseen {
		return reply{fate: Unseen}
	}
	_, known := w.cfg.Ledger.FindRefund(o.Refund)
	now := w.cfg.Now()
	e, err := w.cfg.Ledger.Refund(&Order{
		At: stamp(now), RRN: o.Refund, Payment: payment, Amount: o.Amount,
		Status: p.Status, Reason: p.Reason, Trade: trade(now, o.Refund),
	})
	if err != nil {
		return w.failed(err)
	}
	if !known && e.Status == p.Status {
		w.goOn(p, o.Refund, true)
	}
	return reply{fate: p.Fate, delay: p.Delay, status: http.StatusOK, body: e.Refund()}
}

func (w *Wallet) ask(rrn string, refund bool) reply {
	var body any
	if refund {
		e, ok := w.cfg.Ledger.FindRefund(rrn)
		if !ok {
			return w.failed(ErrUnknown)
		}
		body = e.Refund()
	} else {
		e, ok := w.cfg.Ledger.Find(rrn)
		if !ok {
			return w.failed(ErrUnknown)
		}
		body = e.Payment()
	}
	return reply{fate: w.cfg.Rules.Ask(rrn, w.attempt("query", rrn)), status: http.StatusOK, body: body}
}

func (w *Wallet) cancel(rrn string) reply {
	if !number(rrn) {
		return refused(http.StatusBadRequest, link.ErrorMalformed)
	}
	known, _ := w.cfg.Ledger.Find(rrn)
	fate := w.cfg.Rules.Cancel(rrn, known.Order.Amount, w.attempt("cancel", rrn))
	if fate == Unseen || fate == Busy {
		return reply{fate: fate}
	}
	e, err := w.cfg.Ledger.Cancel(stamp(w.cfg.Now()), rrn)
	if err != nil {
		return w.failed(err)
	}
	return reply{fate: fate, status: http.StatusOK, body: e.Payment()}
}

func (w *Wallet) cancelRefund(rrn string) reply {
	if !number(rrn) {
		return refused(http.StatusBadRequest, link.ErrorMalformed)
	}
	e, err := w.cfg.Ledger.CancelRefund(stamp(w.cfg.Now()), rrn)
	if err != nil {
		return w.failed(err)
	}
	return reply{status: http.StatusOK, body: e.Refund()}
}

// strict reads one JSON object that has no member beside the known ones.
func strict(body []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return nil
}

// number reports whether it is an RRN.
func number(rrn string) bool { return len(rrn) == 12 && strings.Trim(rrn, "0123456789") == "" }
