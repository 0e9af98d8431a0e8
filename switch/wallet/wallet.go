// Package wallet carries the switch's payments, questions, cancellations and refunds to wallets over HTTP, and takes their
// notifications. The protocol is the project's own; docs/interface/wallet.md describes it to wallets.
//
// It decides nothing: it sends what the engine orders and submits what the wallet says. It keeps no state that matters:
// how a payment stands, when it is asked for again and when it is cancelled is in the journal; what is here may die with
// the process.
//
// The contract:
//
//   - Send never blocks and keeps nothing of the request. A payment is built from the sealed card record, also for a
//     terminal that waits, and the payment code is wiped as soon as the request is over.
//   - Exactly one of three things follows a Send: HostUnsent, only when not a byte of the request can have left; the
//     request is handed to the HTTP client, and counts as sent from the moment it has a connection; or, when the report of
//     an unsent request found no room, nothing – the engine's time-out then decides. When in doubt it was sent.
//   - Nothing that the wallet says is dropped while the process lives; see package outbox. A notification that the server
//     does not take is answered 503: the wallet sends it again, and if it does not, a query finds out.
//   - Requests of one payment may overtake each other. The wallet makes up for it: everything is idempotent by the switch's
//     number, and a cancellation of an unknown payment bars the payment.
//   - HostUp is submitted whenever a wallet is found to answer that was not known to.
//
// What the wallet says becomes DE39:
//
//	                     to a payment    to a query     to a cancellation   to a refund or void
//	paid, done           00              00             40 (work item)      00
//	declined, refused    by its reason   payment: 12    12                  by its reason
//	                                     refund: by its reason
//	closed               12              12             00                  12
//	pending              Pending         Pending        96 (later)          Pending
//	not found            Pending         Pending *      silence             Pending
//	error, no answer     Pending         Pending        silence             Pending
//
// * A refund or void that the wallet has not heard of Config.BarAfter it was sent is withdrawn, and the answer to that is the
// answer to the query: 12, unless it has come meanwhile.
//
// 12 to a payment or query means: final, nothing is charged or given back. Pending says that the end is not known yet; the
// engine asks until it is. An answer to a payment, refund or void is a HostAnswered of kind HostSale. A notification of a
// payment or refund is treated as the answer to its order, except that pending says nothing and closed answers a query.
package wallet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/keys"
	"huanxin/switch/outbox"
)

// Cards opens the envelope with the payment code.
type Cards interface {
	OpenCard(*event.Card) (keys.CardRecord, error)
}

// Deps is what the links use of the rest of the process.
type Deps struct {
	Server  outbox.Server
	Cards   Cards
	Logger  *zap.Logger
	Metrics *Metrics
	Now     func() time.Time // time.Now
	Rand    *rand.Rand       // jitter of the waits between probes
	Place   func(string)     // told when a request comes to one of the places of a drill; nil: nobody
}

// Links is all wallets of the process.
type Links struct {
	links map[string]*link
	deps  *Deps
	out   *outbox.Outbox
}

// New checks the profiles and makes the links; Run sets them to work.
func New(profiles []Config, deps Deps) (*Links, error) {
	l := &Links{links: make(map[string]*link, len(profiles)), deps: &deps}
	bound := 1
	checked := make([]Config, len(profiles))
	for i, profile := range profiles {
		cfg, err := profile.withDefaults()
		if err != nil {
			return nil, err
		}
		if _, twice := l.links[cfg.Name]; twice {
			return nil, fmt.Errorf("%w %q: named twice", ErrConfig, cfg.Name)
		}
		l.links[cfg.Name] = nil
		checked[i] = cfg
		bound += cfg.Queue
	}
	l.out = outbox.New(deps.Server, bound, deps.Metrics.refused)
	var dice sync.Mutex
	for _, cfg := range checked {
		one, err := newLink(cfg, l.deps, l.out, &dice)
		if err != nil {
			return nil, err
		}
		l.links[cfg.Name] = one
	}
	return l, nil
}

// Run carries requests until ctx ends, then cuts off those under way and returns. What is still queued stays unsent and
// unreported: the process is about to end, and its successor asks for every payment without an end.
func (l *Links) Run(ctx context.Context) {
	var workers sync.WaitGroup
	workers.Go(func() { l.out.Run(ctx) })
	for _, one := range l.links {
		workers.Go(func() { one.watch(ctx) })
		for range one.cfg.Connections {
			workers.Go(func() { one.work(ctx) })
		}
	}
	workers.Wait()
	for _, one := range l.links {
		one.client.CloseIdleConnections()
		one.abandon()
	}
}

// Has reports whether a host is one of these wallets.
func (l *Links) Has(name string) bool { return l.links[name] != nil }

// Down says of each wallet that is not known to answer what was the matter, for /readyz.
func (l *Links) Down() map[string]error {
	down := map[string]error{}
	for name, one := range l.links {
		if err := one.trouble(); err != nil {
			down[name] = err
		}
	}
	return down
}

// Send takes one request of the engine. It is the server's sink for hosts that are wallets.
func (l *Links) Send(req *engine.HostRequest) {
	one := l.links[req.Host]
	if one == nil {
		// A profile that was removed while the journal still has business with it.
		l.deps.Logger.Error("request for a wallet that is not configured", zap.String("host", req.Host))
		l.out.Offer(unsent(req))
		return
	}
	one.send(req)
}

// unsent is the report that a request has certainly not left.
func unsent(req *engine.HostRequest) *engine.HostUnsent {
	return &engine.HostUnsent{
		Kind: req.Kind, Purchase: req.Purchase, Operation: req.Operation, Reversal: req.Reversal, Attempt: req.Attempt, RRN: req.RRN,
	}
}

// errNoCode is returned for a payment whose card record has no payment code.
var errNoCode = errors.New("the card record holds no payment code")
