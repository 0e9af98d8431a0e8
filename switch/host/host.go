// Package host keeps long-lived links to card networks and carries the switch's requests over them: sales, voids (0200),
// refunds (0220), balance inquiries, the pre-authorisation family (0100, 0200) and reversals (0400).
//
// It decides nothing: it sends what the engine orders and submits what the network answers. It keeps no state that
// matters: which request was sent, when it is overdue and what is to be reversed is in the journal; what is here may
// die with the process.
//
// The contract:
//
//   - Send never blocks and keeps nothing of the request: the message is encoded before it returns, a reversal from the
//     sealed card record, everything else from the terminal's own message. A query is asked of wallets only; here it is
//     unsent.
//   - The caller calls Flush after the last of the requests at hand, so that those for one connection leave together.
//   - Exactly one of three things follows a Send and its Flush: the request is written to a connection (it counts as sent from the
//     moment it is handed to a write, also when that write fails); or HostUnsent is submitted, only when not a byte of
//     it can have left; or, when even that report found no room, nothing – the engine's time-out then decides, as after
//     a write that failed. Nothing is ever written twice.
//   - Every answer that can be read is submitted as HostAnswered, late and repeated ones and those that nobody asked for
//     included; none is dropped while the process lives. While the server is overloaded answers wait in a bounded
//     buffer, and behind it in the network.
//   - The answer of a reversal is submitted as HostReversal, every other as HostSale, whatever was asked: the RRN says
//     which request it answers. DE54 is given in Balance, outside of what is kept.
//   - Requests of one terminal leave in the order of Send: a reversal never overtakes what it takes back. Each terminal
//     belongs to one connection slot; while that slot is down its requests are unsent, not detoured.
//   - HostUp is submitted after each sign-on of each connection.
//   - With a MAC in the profile every request and reversal carries one, and an answer whose MAC is wrong or missing is none: it is
//     counted and dropped, and the engine's time-out does the rest.
//
// F2, F4, F35 and F55 pass unchanged. F52 is the terminal's block translated under the host's key, never the terminal's own. DE7, DE11, DE37, DE32 and DE33 are the switch's. A void or refund names its
// sale by DE61 or DE90 in the numbers under which the network got it, and by its approval code in DE38; a reversal names
// what it takes back in the same way, and is 0401 when it was sent before. The pre-authorisation family passes DE38 and
// DE61 as the terminal gave them: a network knows a pre-authorisation by card and approval code.
//
// The subsidy tags of DE59 and the terminal's private fields (46, 57, 58, 62, 63) and MAC do not leave the switch: where
// the buyer stands and what the state pays is none of the network's business. DE55 of an answer is kept to the tags 71,
// 72, 8A and 91: nothing of the card reaches the journal that way.
package host

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/outbox"
)

// Server takes what the links learn. An error means that it did not take it now.
type Server interface {
	Submit(body any) error
}

// Originals gives the terminal's message of a request that waits for its answer. It is read before Send returns.
type Originals interface {
	Original(engine.Token) (*iso8583.Message, *iso8583.Codec, bool)
}

// Cards opens the envelope that a reversal is built from.
type Cards interface {
	OpenCard(*event.Card) (keys.CardRecord, error)
}

// Deps is what the links use of the rest of the process.
type Deps struct {
	Server    Server
	Originals Originals
	Cards     Cards
	PINs      PINs       // nil where no terminal sends any
	Module    hsm.Module // this and Keys are nil where no profile has keys
	Keys      Keys
	Logger    *zap.Logger
	Metrics   *Metrics
	Now       func() time.Time // time.Now
	Rand      *rand.Rand       // jitter of the waits between connects
	Place     func(string)     // told when what is written comes to one of the places of a drill; nil: nobody
}

// Hosts is all links of the process.
type Hosts struct {
	hosts map[string]*host
	out   *outbox.Outbox
	log   *zap.Logger
}

var (
	// errNoOriginal is returned when the terminal front no longer keeps the message that is to be forwarded.
	errNoOriginal = errors.New("the terminal's message is gone")
	// errNotOffered is returned for what a card network cannot be asked.
	errNotOffered = errors.New("a card network is not asked this")
)

// host is one profile with its connection slots.
type host struct {
	cfg    Config
	words  *words
	deps   *Deps
	out    *outbox.Outbox
	logger *zap.Logger
	links  []*link
	match  *matcher
	count  *counters
	stan   atomic.Uint32 // of management messages
	free   sync.Pool     // *item
	dice   *sync.Mutex   // guards deps.Rand, which all hosts share
}

// New checks the profiles and makes the links; Run connects them.
func New(profiles []Config, deps Deps) (*Hosts, error) {
	h := &Hosts{hosts: make(map[string]*host, len(profiles)), log: deps.Logger}
	bound := 0
	checked := make([]Config, len(profiles))
	for i, profile := range profiles {
		cfg, err := profile.withDefaults()
		if err != nil {
			return nil, err
		}
		if _, twice := h.hosts[cfg.Name]; twice {
			return nil, fmt.Errorf("%w %q: named twice", ErrConfig, cfg.Name)
		}
		h.hosts[cfg.Name] = nil
		checked[i] = cfg
		bound += cfg.Queue * cfg.Connections
	}
	h.out = outbox.New(deps.Server, bound, deps.Metrics.refused)
	var dice sync.Mutex
	for _, cfg := range checked {
		words, err := newWords(&cfg, deps.Module, deps.Keys)
		if err != nil {
			return nil, fmt.Errorf("%w %q: %w", ErrConfig, cfg.Name, err)
		}
		one := &host{
			cfg: cfg, words: words, deps: &deps, out: h.out, logger: deps.Logger.With(zap.String("host", cfg.Name)),
			match: newMatcher(cfg.Remember), count: newCounters(deps.Metrics, cfg.Name), dice: &dice,
		}
		for slot := range cfg.Connections {
			one.links = append(one.links, &link{host: one, slot: slot, queue: newQueue(cfg.Queue)})
		}
		h.hosts[cfg.Name] = one
	}
	return h, nil
}

// Run keeps all links connected until ctx ends, then closes them and returns. What is still queued then stays unsent
// and unreported: the process is about to end, and its successor reverses every sale without an answer.
func (h *Hosts) Run(ctx context.Context) {
	var workers sync.WaitGroup
	workers.Go(func() { h.out.Run(ctx) })
	for _, one := range h.hosts {
		for _, l := range one.links {
			workers.Go(func() { l.run(ctx) })
		}
	}
	workers.Wait()
}

// Down names the hosts of which no connection is signed on, ascending, for /readyz.
func (h *Hosts) Down() []string {
	var down []string
	for name, one := range h.hosts {
		up := false
		for _, l := range one.links {
			up = up || l.up.Load()
		}
		if !up {
			down = append(down, name)
		}
	}
	slices.Sort(down)
	return down
}

// Send takes one request of the engine; it leaves at the latest after the next Flush. It is the server's sink for hosts.
func (h *Hosts) Send(req *engine.HostRequest) {
	one := h.hosts[req.Host]
	if one == nil {
		// A profile that was removed while the journal still has business with it.
		h.log.Error("request for a host that is not configured", zap.String("host", req.Host))
		a := askedBy(req)
		h.out.Offer(a.unsent())
		return
	}
	one.send(req)
}

// Flush lets leave what Send has queued, the requests for one connection in one write. It does not block.
func (h *Hosts) Flush() {
	for _, one := range h.hosts {
		for _, l := range one.links {
			l.queue.flush()
		}
	}
}

func (h *host) send(req *engine.HostRequest) {
	it := h.acquire()
	it.asked = askedBy(req)
	it.key = h.words.key(req)
	it.deadline = time.Unix(0, req.Deadline)
	slot, err := h.slot(&req.Key), h.encode(it, req)
	switch {
	case err != nil:
		h.logger.Error("request cannot be encoded", zap.Uint64("purchase", req.Purchase), zap.Uint64("reversal", req.Reversal), zap.Error(err))
		h.unsent(it, encode)
	case !h.links[slot].up.Load():
		h.unsent(it, down)
	case !h.links[slot].queue.put(it):
		h.unsent(it, full)
	default:
		h.count.queued.Inc()
	}
}

// encode writes the frame of a request.
func (h *host) encode(it *item, req *engine.HostRequest) (err error) {
	switch req.Kind {
	case engine.HostReversal:
		return h.encodeReversal(it, req)
	case engine.HostSale, engine.HostVoid, engine.HostRefund, engine.HostInquiry:
		terminal, _, ok := h.deps.Originals.Original(req.Token)
		if !ok {
			return errNoOriginal
		}
		var pin []byte
		if h.deps.PINs != nil {
			pin = h.deps.PINs.PIN(req.Token)
		}
		it.frame, err = h.words.forward(it.frame[:0], req, terminal, pin)
		return err
	}
	return fmt.Errorf("%w: %s", errNotOffered, kindName(req.Kind))
}

func (h *host) encodeReversal(it *item, req *engine.HostRequest) error {
	record, err := h.deps.Cards.OpenCard(req.Card)
	if err != nil {
		return fmt.Errorf("open card record: %w", err)
	}
	it.frame, err = h.words.reversal(it.frame[:0], req, &record)
	record.Wipe()
	return err
}

// slot is the connection of a terminal: always the same one, so that a reversal goes the way of its sale.
func (h *host) slot(key *engine.Key) int {
	if len(h.links) == 1 {
		return 0
	}
	hash := fnv.New32a()
	_, _ = hash.Write(key.Terminal[:])
	_, _ = hash.Write(key.Merchant[:])
	return int(hash.Sum32() % uint32(len(h.links)))
}

// unsent reports a request that certainly never left. When there is no room for the report the engine's time-out takes
// its place: later, but with the same end.
func (h *host) unsent(it *item, why fate) {
	h.count.request(it.asked.kind, why)
	if !h.out.Offer(it.asked.unsent()) {
		h.count.request(it.asked.kind, lost)
	}
	h.release(it)
}

// answered is an answer under the switch's own numbers, as the server takes it.
func (h *host) answered(msg *message, now time.Time) *engine.HostAnswered {
	p, v := h.match.answer(msg.key, now)
	kind := msg.answer.Kind
	if p == nil {
		msg.answer.RRN = msg.key.rrn()
	} else {
		kind = p.asked.kind
		msg.answer.RRN, msg.answer.STAN = p.asked.rrn, p.asked.stan
		if v == inTime || v == late {
			h.count.latency(p.asked.kind, now.Sub(p.sentAt))
			p.flight.done(p)
		}
	}
	h.count.answer(kind, v)
	msg.answer.Host = h.cfg.Name
	return msg.answer
}

func (h *host) acquire() *item {
	if it, ok := h.free.Get().(*item); ok {
		return it
	}
	return &item{}
}

// release wipes the message: it held a card number.
func (h *host) release(it *item) {
	clear(it.frame)
	*it = item{frame: it.frame[:0]}
	h.free.Put(it)
}

func (h *host) now() time.Time { return h.deps.Now() }

// nextSTAN numbers management messages, 1 … 999999.
func (h *host) nextSTAN() uint32 { return h.stan.Add(1)%999999 + 1 }

// backOff is the wait before the next connect: doubled with each failure, half of it drawn, so that a network that
// comes back is not met by everybody at once.
func (h *host) backOff(failures int) time.Duration {
	wait := h.cfg.ReconnectMax
	if failures < 20 && h.cfg.ReconnectMin<<failures < wait {
		wait = h.cfg.ReconnectMin << failures
	}
	h.dice.Lock()
	defer h.dice.Unlock()
	return wait/2 + time.Duration(h.deps.Rand.Int64N(int64(wait/2)+1))
}
