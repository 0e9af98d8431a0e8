package gateway

import (
	"context"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"huanxin/switch/engine"
)

//go:embed openapi.yaml
var openAPI []byte

// call is one authenticated request on its way to an endpoint.
type call struct {
	ctx    context.Context
	req    *http.Request
	caller string
	body   *object // nil for GET
	of     *endpoint
}

// answer is a success.
type answer struct {
	status     int
	body       any
	location   string
	retryAfter string
}

// endpoint is one operation of the interface. It returns an answer or a problem, never both.
type endpoint struct {
	method, path string
	answer       func(c *call) (*answer, *problem)

	missing  code // what APINotFound says here
	declined code // what APIDeclined says here; "" where no wallet is asked
}

func (g *Gateway) endpoints() []endpoint {
	return []endpoint{
		{http.MethodPost, "/v1/entitlements", g.claim, codeNotFound, ""},
		{http.MethodGet, "/v1/entitlements/{id}", g.show, codeNotFound, ""},
		{http.MethodPost, "/v1/entitlements/{id}/return", g.giveBack, codeNotFound, ""},
		{http.MethodPost, "/v1/entitlements/{id}/codes", g.showCode, codeNotFound, ""},
		{http.MethodPost, "/v1/quotes", g.quote, codeNotFound, ""},
		{http.MethodPost, "/v1/reservations", g.reserve, codeNotFound, ""},
		{http.MethodPost, "/v1/reservations/{id}/commit", g.commit, codePurchaseNotFound, codePaymentDeclined},
		{http.MethodPost, "/v1/reservations/{id}/cancel", g.cancel, codePurchaseNotFound, ""},
		{http.MethodPost, "/v1/reservations/{id}/refunds", g.refund, codePurchaseNotFound, codeRefundDeclined},
		{http.MethodGet, "/v1/purchases/{id}", g.showPurchase, codePurchaseNotFound, ""},
	}
}

// routes builds the handler. ServeMux answers unknown paths and methods in plain text, so both have patterns of their own.
func (g *Gateway) routes() http.Handler {
	mux := http.NewServeMux()
	allow := map[string][]string{}
	for _, e := range g.endpoints() {
		mux.HandleFunc(e.method+" "+e.path, func(w http.ResponseWriter, r *http.Request) { g.serve(w, r, &e) })
		allow[e.path] = append(allow[e.path], e.method)
	}
	mux.HandleFunc(notification.method+" "+notification.path, g.notify)
	allow[notification.path] = []string{notification.method}
	for path, h := range map[string]http.HandlerFunc{
		"/v1/openapi.yaml": g.openAPI, "/healthz": g.healthz, "/readyz": g.readyz,
	} {
		mux.HandleFunc("GET "+path, h)
		allow[path] = []string{http.MethodGet}
	}
	if g.cfg.Gatherer != nil {
		opts := promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}
		mux.Handle("GET /metrics", promhttp.HandlerFor(g.cfg.Gatherer, opts))
		allow["/metrics"] = []string{http.MethodGet}
	}
	for path, methods := range allow {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			p := newProblem(codeMethod)
			p.allow = strings.Join(methods, ", ") // GET includes HEAD
			g.refuse(w, p)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { g.refuse(w, newProblem(codeNoSuchPath)) })
	return mux
}

// serve runs one endpoint: authenticate, read, ask, write, count. Overload and silence are counted, not logged: a claim rush
// would fill the disk.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, e *endpoint) {
	start := g.cfg.Clock()
	caller, status := "", 0
	defer func() { g.metrics.observe(e, status, g.cfg.Clock().Sub(start)) }()

	var a *answer
	caller, p := g.authenticate(r)
	if p == nil {
		a, p = g.run(w, r, e, caller)
	}
	if p != nil {
		status = p.Status
		g.refuse(w, p)
		return
	}
	status = a.status
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	if a.retryAfter != "" {
		w.Header().Set("Retry-After", a.retryAfter)
	}
	writeJSON(w, jsonType, a.status, a.body)
}

// run reads the body and calls the endpoint. A panic in here is a mistake in this package, which holds no state that it
// could have spoilt: it fails this request with a reference and nothing else.
func (g *Gateway) run(w http.ResponseWriter, r *http.Request, e *endpoint, caller string) (a *answer, p *problem) {
	defer func() {
		if v := recover(); v != nil {
			a, p = nil, g.panicked(v)
		}
	}()
	c := &call{ctx: r.Context(), req: r, caller: caller, of: e}
	if e.method == http.MethodPost {
		body, p := g.readBody(w, r)
		if p != nil {
			return nil, p
		}
		if c.body, p = parseObject(body); p != nil {
			return nil, p
		}
	}
	return e.answer(c)
}

// panicked is the problem of a panic with the value v. Only its type is logged: its text might repeat what was sent.
func (g *Gateway) panicked(v any) *problem {
	if v == http.ErrAbortHandler {
		panic(v)
	}
	return g.internal(fmt.Errorf("panic: %T", v), zap.Stack("stack"))
}

// readBody returns the whole body, which must be JSON by its content type and within the limit.
func (g *Gateway) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *problem) {
	if !isJSON(r.Header.Get("Content-Type")) {
		return nil, newProblem(codeMediaType)
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, newProblem(codeMediaType)
	}
	return g.readAll(w, r)
}

// isJSON tells the content type of JSON in UTF-8.
func isJSON(contentType string) bool {
	if contentType == "application/json" {
		return true
	}
	kind, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	return err == nil && kind == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8"))
}

// readAll returns the whole body, which must be within the limit and arrive in time.
func (g *Gateway) readAll(w http.ResponseWriter, r *http.Request) ([]byte, *problem) {
	var body []byte
	var err error
	if size := r.ContentLength; size > 0 && size <= g.cfg.BodyLimit {
		body = make([]byte, size)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, g.cfg.BodyLimit))
	}
	if err == nil {
		return body, nil
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		p := newProblem(codeTooLarge)
		p.Detail = fmt.Sprintf("at most %d bytes", g.cfg.BodyLimit)
		return nil, p
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, newProblem(codeSlowBody)
	}
	p := newProblem(codeMalformed)
	p.Detail = "the body ended early"
	return nil, p
}

// ask submits the input that build makes for a token and waits for its answer.
func (g *Gateway) ask(c *call, build func(engine.Token) any) (*engine.APIReply, *problem) {
	return g.askWithin(c, g.cfg.Timeout, build)
}

// askWithin waits for so long. Whatever ends the waiting, the entry is gone afterwards and a late answer is dropped.
func (g *Gateway) askWithin(c *call, wait time.Duration, build func(engine.Token) any) (*engine.APIReply, *problem) {
	w, p := g.pending.open(c.caller)
	if p != nil {
		return nil, p
	}
	token, submitted := w.token, false
	defer func() {
		if !submitted {
			g.pending.take(token)
		}
	}()
	if err := g.cfg.Submit(build(token)); err != nil {
		return nil, newProblem(codeOverloaded)
	}
	submitted = true
	switch reply := g.pending.wait(c.ctx, w, wait); {
	case reply != nil:
		return g.judge(c, reply)
	case c.ctx.Err() != nil:
		return nil, newProblem(codeGone)
	}
	return nil, newProblem(codeNoAnswer)
}

// judge maps the engine's status: what is no success becomes a problem.
func (g *Gateway) judge(c *call, reply *engine.APIReply) (*engine.APIReply, *problem) {
	switch reply.Status {
	case engine.APIDone, engine.APIRepeated:
		return reply, nil
	case engine.APIPending:
		if c.of.declined != "" {
			return reply, nil
		}
	case engine.APIDeclined:
		if c.of.declined != "" {
			p := newProblem(c.of.declined)
			p.Response = reply.Response
			return nil, p
		}
	case engine.APIRefused:
		return reply, refusal(reply.Reasons)
	case engine.APINotFound:
		return nil, newProblem(c.of.missing)
	case engine.APIConflict:
		return nil, newProblem(codeConflict)
	}
	return nil, g.internal(fmt.Errorf("engine answered status %d", reply.Status))
}

// internal logs err under a fresh reference and returns the problem that shows the reference only.
func (g *Gateway) internal(err error, fields ...zap.Field) *problem {
	p := newProblem(codeInternal)
	var number [6]byte
	if _, randErr := io.ReadFull(g.cfg.Rand, number[:]); randErr != nil {
		err = errors.Join(err, fmt.Errorf("draw reference: %w", randErr))
	}
	p.Reference = hex.EncodeToString(number[:])
	fields = append(slices.Clone(fields), zap.String("reference", p.Reference), zap.Error(err))
	g.cfg.Logger.Error("request could not be answered", fields...)
	return p
}

// refuse writes a problem with the headers that belong to its status.
func (g *Gateway) refuse(w http.ResponseWriter, p *problem) {
	switch p.Status {
	case statusGone:
		return
	case http.StatusUnauthorized:
		if p.Code == codeUnauthenticated {
			w.Header().Set("WWW-Authenticate", `Bearer realm="huanxin"`)
		}
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", p.allow)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	case http.StatusRequestTimeout:
		w.Header().Set("Connection", "close")
	}
	text := p.text
	if text == nil {
		text = encode(p)
	}
	write(w, problemType, p.Status, text)
}

// Values of headers that every answer has. net/http reads them only.
var (
	jsonType    = []string{"application/json"}
	problemType = []string{"application/problem+json"}
	noStore     = []string{"no-store"} // answers hold one-time codes
	noSniff     = []string{"nosniff"}
)

// writeJSON writes a body.
func writeJSON(w http.ResponseWriter, kind []string, status int, body any) {
	write(w, kind, status, encode(body))
}

// encode returns the text of body, which is made of this package's own types and always encodes.
func encode(body any) []byte {
	text, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", body, err))
	}
	return append(text, '\n')
}

// write writes an answer. An error means that the caller has gone; there is nobody to tell.
func write(w http.ResponseWriter, kind []string, status int, text []byte) {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"], h["X-Content-Type-Options"] = kind, noStore, noSniff
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

func (g *Gateway) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI)
}
