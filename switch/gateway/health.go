package gateway

import (
	"net/http"

	"github.com/valyala/fasthttp"
)

type partBody struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	Error string `json:"error,omitempty"`
}

type readyBody struct {
	Ready bool       `json:"ready"`
	Parts []partBody `json:"parts"`
}

// healthz says that the process answers at all; a supervisor restarts it when it does not.
func (g *Gateway) healthz(ctx *fasthttp.RequestCtx, _ string) {
	writeJSON(ctx, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}

// readyz says which part is not ready; a load balancer sends nothing while it answers 503.
func (g *Gateway) readyz(ctx *fasthttp.RequestCtx, _ string) {
	body, status := readyBody{Ready: true, Parts: []partBody{}}, http.StatusOK
	for _, part := range g.cfg.Ready() {
		p := partBody{Name: part.Name, Ready: part.Err == nil}
		if part.Err != nil {
			p.Error, body.Ready, status = part.Err.Error(), false, http.StatusServiceUnavailable
		}
		body.Parts = append(body.Parts, p)
	}
	writeJSON(ctx, status, body)
}
