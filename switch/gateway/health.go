package gateway

import "net/http"

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
func (g *Gateway) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, jsonType, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}

// readyz says which part is not ready; a load balancer sends nothing while it answers 503.
func (g *Gateway) readyz(w http.ResponseWriter, _ *http.Request) {
	body, status := readyBody{Ready: true, Parts: []partBody{}}, http.StatusOK
	for _, part := range g.cfg.Ready() {
		p := partBody{Name: part.Name, Ready: part.Err == nil}
		if part.Err != nil {
			p.Error, body.Ready, status = part.Err.Error(), false, http.StatusServiceUnavailable
		}
		body.Parts = append(body.Parts, p)
	}
	writeJSON(w, jsonType, status, body)
}
