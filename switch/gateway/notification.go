package gateway

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/valyala/fasthttp"
)

// notification is the path on which wallets tell how payments and refunds have ended.
var notification = endpoint{method: http.MethodPost, path: "/v1/wallets/{name}/notifications"}

// notify takes a wallet's notification. It has no bearer token: the wallet signs it, and the link to that wallet checks
// the signature over the body as it was sent. The answer has no body: a wallet looks at the status only.
func (g *Gateway) notify(ctx *fasthttp.RequestCtx, wallet string) {
	start := g.cfg.Clock()
	status, p := g.takeNotification(&ctx.Request, wallet)
	if p != nil {
		status = p.Status
		g.refuse(ctx, p)
	} else {
		ctx.SetStatusCode(status)
	}
	g.metrics.observe(&notification, status, g.cfg.Clock().Sub(start))
}

// takeNotification hands over copies of header and body, and maps what the link says about them.
func (g *Gateway) takeNotification(r *fasthttp.Request, wallet string) (status int, p *problem) {
	defer func() {
		if v := recover(); v != nil {
			status, p = 0, g.panicked(v)
		}
	}()
	if g.cfg.Notify == nil {
		return 0, newProblem(codeWalletNotFound)
	}
	header := http.Header{}
	for name, value := range r.Header.All() {
		header.Add(string(name), string(value))
	}
	status = g.cfg.Notify(wallet, header, bytes.Clone(r.Body()))
	switch {
	case status >= 200 && status < 300:
		return status, nil
	case status == http.StatusNotFound:
		return 0, newProblem(codeWalletNotFound)
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		return 0, newProblem(codeOverloaded)
	case status == http.StatusUnauthorized:
		return 0, newProblem(codeSignature)
	case status >= 400 && status < 500:
		return 0, newProblem(codeNotification)
	}
	return 0, g.internal(fmt.Errorf("wallet link answered status %d", status))
}
