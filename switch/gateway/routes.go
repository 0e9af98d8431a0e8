package gateway

import (
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
	"go.uber.org/zap"

	"huanxin/switch/engine"
)

//go:embed openapi.yaml
var openAPI []byte

// call is one authenticated request on its way to an endpoint.
type call struct {
	req    *fasthttp.Request // valid until the answer is written, like all that it refers to
	id     string            // what stands in the path where the endpoint has {id}
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
	kind     kind
}

// kind says what an endpoint's request may meet in an overload.
type kind uint8

const (
	goesOn kind = iota // it ends, undoes or asks about something that has begun
	begins
	claims
)

func (g *Gateway) endpoints() []endpoint {
	return []endpoint{
		{http.MethodPost, "/v1/entitlements", g.claim, codeNotFound, "", claims},
		{http.MethodGet, "/v1/entitlements/{id}", g.show, codeNotFound, "", begins},
		{http.MethodPost, "/v1/entitlements/{id}/return", g.giveBack, codeNotFound, "", goesOn},
		{http.MethodPost, "/v1/entitlements/{id}/codes", g.showCode, codeNotFound, "", begins},
		{http.MethodPost, "/v1/quotes", g.quote, codeNotFound, "", begins},
		{http.MethodPost, "/v1/reservations", g.reserve, codeNotFound, "", begins},
		{http.MethodPost, "/v1/reservations/{id}/commit", g.commit, codePurchaseNotFound, codePaymentDeclined, goesOn},
		{http.MethodPost, "/v1/reservations/{id}/cancel", g.cancel, codePurchaseNotFound, "", goesOn},
		{http.MethodPost, "/v1/reservations/{id}/refunds", g.refund, codePurchaseNotFound, codeRefundDeclined, goesOn},
		{http.MethodGet, "/v1/purchases/{id}", g.showPurchase, codePurchaseNotFound, "", goesOn},
	}
}

// handler answers one request. id is what stands in its path for {id} or {name}.
type handler func(ctx *fasthttp.RequestCtx, id string)

// route is one path with what it takes.
type route struct {
	before, after string // the path round {id}; of a path without, before is all of it
	on            map[string]handler
	allow         string // what Allow says: GET includes HEAD
	limited       bool   // an address may ask so often only; not whether the switch is well
}

// routes are all paths that there are: those without {id} by their text, the others in a list.
type routes struct {
	fixed map[string]*route
	named []*route
}

func (r *routes) add(method, path string, h handler) {
	before, after, named := strings.Cut(path, "{")
	if named {
		_, after, _ = strings.Cut(after, "}")
	}
	at := r.fixed[path]
	if at == nil {
		at = &route{before: before, after: after, on: map[string]handler{}}
		r.fixed[path] = at // also one with {id}, so that its methods come together; sent as it is, it is nobody's id
		if named {
			r.named = append(r.named, at)
		}
	}
	at.on[method] = h
	if at.allow != "" {
		at.allow += ", "
	}
	at.allow += method
}

// find is exact: an encoded character or a slash too many is another path.
func (r *routes) find(path []byte) (at *route, id string) {
	if at = r.fixed[string(path)]; at != nil {
		return at, ""
	}
	text := string(path)
	for _, at := range r.named {
		inner, ok := strings.CutPrefix(text, at.before)
		if !ok {
			continue
		}
		if inner, ok = strings.CutSuffix(inner, at.after); ok && inner != "" && !strings.Contains(inner, "/") {
			return at, inner
		}
	}
	return nil, ""
}

func (g *Gateway) routes() *routes {
	r := &routes{fixed: map[string]*route{}}
	for _, e := range g.endpoints() {
		r.add(e.method, e.path, func(ctx *fasthttp.RequestCtx, id string) { g.serve(ctx, id, &e) })
	}
	r.add(notification.method, notification.path, g.notify)
	r.add(http.MethodGet, "/v1/openapi.yaml", g.openAPI)
	for _, at := range r.fixed {
		at.limited = true
	}
	r.add(http.MethodGet, "/healthz", g.healthz)
	r.add(http.MethodGet, "/readyz", g.readyz)
	if g.cfg.Gatherer != nil {
		// No Timeout: it would leave a goroutine with a request that is no longer valid. What is gathered is in memory.
		opts := promhttp.HandlerOpts{MaxRequestsInFlight: 4}
		shown := fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(g.cfg.Gatherer, opts))
		r.add(http.MethodGet, "/metrics", func(ctx *fasthttp.RequestCtx, _ string) { shown(ctx) })
	}
	return r
}

// Handle answers one request. A panic in here is a mistake in this package, which holds no state that it could have spoilt: it
// fails this request with a reference and nothing else.
func (g *Gateway) Handle(ctx *fasthttp.RequestCtx) {
	defer func() {
		if v := recover(); v != nil {
			ctx.Response.Reset()
			g.refuse(ctx, g.panicked(v))
		}
	}()
	if p := oddities(&ctx.Request.Header); p != nil {
		g.refuse(ctx, p)
		return
	}
	at, id := g.paths.find(ctx.URI().PathOriginal())
	if at == nil {
		g.refuse(ctx, newProblem(codeNoSuchPath))
		return
	}
	method := string(ctx.Method())
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if h := at.on[method]; h != nil {
		if at.limited && g.tooMany(ctx) {
			g.metrics.limited[limitedSource].Inc()
			g.refuse(ctx, newProblem(codeTooMany))
			return
		}
		h(ctx, id)
		return
	}
	p := newProblem(codeMethod)
	p.allow = at.allow
	g.refuse(ctx, p)
}

// tooMany tells whether the address has asked more often than it may. It comes before the token is looked at, so that nobody can try
// tokens faster either.
func (g *Gateway) tooMany(ctx *fasthttp.RequestCtx) bool {
	if g.cfg.Limits.Requests == nil {
		return false
	}
	source := g.cfg.Limits.Sources.Address(ctx.RemoteAddr())
	return source.Limited() && !g.cfg.Limits.Requests.Allow(source.Number(), g.cfg.Clock())
}

// callerTooMany is the same for a token.
func (g *Gateway) callerTooMany(ctx *fasthttp.RequestCtx, caller string) bool {
	limits := &g.cfg.Limits
	return limits.Callers != nil && limits.Sources.Address(ctx.RemoteAddr()).Limited() &&
		!limits.Callers.Allow(limits.Sources.Named(caller).Number(), g.cfg.Clock())
}

// oddities are what the library takes and HTTP/1 does not, or what nobody needs: trailers would count as headers.
func oddities(h *fasthttp.RequestHeader) *problem {
	switch version := string(h.Protocol()); {
	case version != "HTTP/1.1" && version != "HTTP/1.0":
		return unreadable("want HTTP/1.1")
	case version == "HTTP/1.1" && len(h.Host()) == 0:
		return unreadable("a request needs Host")
	case len(h.PeekTrailerKeys()) > 0:
		return unreadable("trailers are not taken")
	}
	return nil
}

// Unreadable answers what could not be read as a request: too large, too slow, cut off, or no HTTP/1. The connection is closed
// afterwards. err may repeat what was sent, so it goes nowhere.
func (g *Gateway) Unreadable(ctx *fasthttp.RequestCtx, err error) {
	var slow interface{ Timeout() bool } // fasthttp's own is no net.Error
	var header *fasthttp.ErrSmallBuffer
	var p *problem
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		p = newProblem(codeTooLarge)
		p.Detail = fmt.Sprintf("at most %d bytes", g.cfg.BodyLimit)
	case errors.As(err, &header):
		p = unreadable("the header is too large: at most %d bytes", maxHeader)
	case errors.As(err, &slow) && slow.Timeout():
		p = newProblem(codeSlowBody)
	default:
		p = unreadable("no HTTP request, or it ended early")
	}
	switch c := ctx.Conn().(type) {
	case *boundedConn:
		c.unread.Store(true)
	case *secureConn:
		c.unread.Store(true)
	}
	g.metrics.unreadable.Inc()
	g.refuse(ctx, p)
}

// serve runs one endpoint: authenticate, read, ask, write, count. Overload and silence are counted, not logged: a claim rush
// would fill the disk.
func (g *Gateway) serve(ctx *fasthttp.RequestCtx, id string, e *endpoint) {
	start := g.cfg.Clock()
	a, p := g.run(ctx, id, e)
	status := 0
	if p != nil {
		status = p.Status
		g.refuse(ctx, p)
	} else {
		status = a.status
		if a.location != "" {
			ctx.Response.Header.Set("Location", a.location)
		}
		if a.retryAfter != "" {
			ctx.Response.Header.Set("Retry-After", a.retryAfter)
		}
		writeJSON(ctx, a.status, a.body)
	}
	g.metrics.observe(e, status, g.cfg.Clock().Sub(start))
}

// run reads the request and calls the endpoint, whose panic is a problem like any other.
func (g *Gateway) run(ctx *fasthttp.RequestCtx, id string, e *endpoint) (a *answer, p *problem) {
	defer func() {
		if v := recover(); v != nil {
			a, p = nil, g.panicked(v)
		}
	}()
	c := &call{req: &ctx.Request, id: id, of: e}
	if c.caller, p = g.authenticate(c.req); p != nil {
		return nil, p
	}
	if !peerOf(ctx.Conn()).Admits([]byte(c.caller)) {
		return nil, newProblem(codeUnauthenticated) // another's token: its certificate says so
	}
	if g.callerTooMany(ctx, c.caller) {
		g.metrics.limited[limitedCaller].Inc()
		return nil, newProblem(codeTooMany)
	}
	if e.kind != goesOn && g.cfg.TurnsAway != nil && g.cfg.TurnsAway(e.kind == claims) {
		return nil, newProblem(codeOverloaded)
	}
	if e.method == http.MethodPost {
		if !isJSON(&c.req.Header) {
			return nil, newProblem(codeMediaType)
		}
		if c.body, p = parseObject(c.req.Body()); p != nil {
			return nil, p
		}
	}
	return e.answer(c)
}

// panicked is the problem of a panic with the value v. Only its type is logged: its text might repeat what was sent.
func (g *Gateway) panicked(v any) *problem {
	return g.internal(fmt.Errorf("panic: %T", v), zap.Stack("stack"))
}

// isJSON tells a body of JSON in UTF-8 that is sent as it is.
func isJSON(h *fasthttp.RequestHeader) bool {
	if encoding := h.Peek(fasthttp.HeaderContentEncoding); len(encoding) > 0 && string(encoding) != "identity" {
		return false
	}
	contentType := h.ContentType()
	if string(contentType) == "application/json" {
		return true
	}
	kind, params, err := mime.ParseMediaType(string(contentType))
	charset := params["charset"]
	return err == nil && kind == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8"))
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
	if reply := g.pending.wait(w, wait); reply != nil {
		return g.judge(c, reply)
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
func (g *Gateway) refuse(ctx *fasthttp.RequestCtx, p *problem) {
	h := &ctx.Response.Header
	switch p.Status {
	case http.StatusUnauthorized:
		if p.Code == codeUnauthenticated {
			h.Set("WWW-Authenticate", `Bearer realm="huanxin"`)
		}
	case http.StatusMethodNotAllowed:
		h.Set("Allow", p.allow)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", retryAfter)
	}
	text := p.text
	if text == nil {
		text = encode(p)
	}
	write(ctx, "application/problem+json", p.Status, text)
}

// writeJSON writes a body.
func writeJSON(ctx *fasthttp.RequestCtx, status int, body any) {
	write(ctx, "application/json", status, encode(body))
}

// encode returns the text of body, which is made of this package's own types and always encodes.
func encode(body any) []byte {
	text, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", body, err))
	}
	return append(text, '\n')
}

// write sets an answer. text is read until it has left, never changed.
func write(ctx *fasthttp.RequestCtx, kind string, status int, text []byte) {
	h := &ctx.Response.Header
	h.SetContentType(kind)
	h.Set("Cache-Control", "no-store") // answers hold one-time codes
	h.Set("X-Content-Type-Options", "nosniff")
	ctx.SetStatusCode(status)
	ctx.Response.SetBodyRaw(text)
}

func (g *Gateway) openAPI(ctx *fasthttp.RequestCtx, _ string) {
	write(ctx, "application/yaml", http.StatusOK, openAPI)
}
