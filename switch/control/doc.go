// Package control is how operators speak to a running switch: HTTP and JSON over a local socket, guarded by the
// permissions of its file. The commands of huanxin use it, and so may a portal.
//
// It decides nothing: an act goes to the engine as an input (engine.Operate), a look too (engine.Look), and what comes back
// is what the engine said. The trail of a purchase is read from the journal beside it, with PostgreSQL as the index.
//
// # Who may
//
// Whoever can open the socket: its mode is 0660. The account that spoke is read from the connection (SO_PEERCRED) and
// recorded with every act, beside the name that the operator gives. Nothing else is asked; a portal that lets many people
// use one account must name them in "by".
//
// # Requests
//
// All bodies are JSON objects; a name that is not known, stands twice, or is missing is refused with 400. Amounts are fen,
// instants RFC 3339 (written in +08:00), tokens and hashes 32 hexadecimal digits.
//
//	POST /v1/acts               OperateRequest → OperateAnswer: 200 done (or, with dry_run, could be), 422 refused, 409 what
//	                            the act expects to stand does not stand any more
//	POST /v1/keys/reload        → KeysReloaded: the key store is read again, and acts on it become events; 409 when it is not
//	                            a continuation of what was read before, or cannot be opened: the keys stay as they were
//	GET  /v1/saf?id=&state=&limit=      → []SAFItem: what is on its way to hosts or waits for a person
//	GET  /v1/budget?path=       → []BudgetNode: a node and all below it
//	GET  /v1/holds?older_than=&limit=   → []Hold: purchases that lock a subsidy and have no end; older_than is a duration
//	GET  /v1/pauses             → []Pause
//	GET  /v1/stops              → []Stop
//	GET  /v1/registry?merchant=&terminal=   → Registry: rows by the columns of the tables
//	GET  /v1/policy             → Policy: the rule bundle in force, files included
//	GET  /v1/purchases/{id}     → Story: how it stands and its whole trail; 404 when there is none
//	POST /v1/purchases/find     FindRequest → Finding. A search is a POST because a serial in clear must not stand in a URL
//
// Everything but 200 and 422 is answered with {"problem": "…"}: 400 the request is wrong, 404, 409, 503 the switch is starting,
// stopping or overloaded and nothing has happened, 504 no answer in time. After a 504 it is not known whether an act was
// carried out: look before it is repeated.
//
// # Bounds
//
// Requests that wait for the engine, connections, the size of a body and every wait are bounded; one request too many is
// answered 503 at once. Acts are not retried here, and not by the client.
package control

import (
	"context"
	"errors"

	"huanxin/switch/engine"
)

var (
	// ErrInUse is returned by Listen when another process answers on the socket.
	ErrInUse = errors.New("another process answers on the control socket")
	// ErrBusy is returned by Ask when as many requests wait as may.
	ErrBusy = errors.New("too many control requests at once")
	// ErrUnreachable is returned by a Client when nobody answers on the socket.
	ErrUnreachable = errors.New("no running switch answers")
)

// Asker puts one admin request to the engine and waits for its answer; *Desk is one.
type Asker interface {
	Ask(ctx context.Context, body func(engine.Token) any) (*engine.AdminReply, error)
}
