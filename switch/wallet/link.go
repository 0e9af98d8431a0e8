package wallet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"huanxin/switch/engine"
	"huanxin/switch/outbox"
)

// link is one wallet: a bounded queue, and a worker for each connection.
type link struct {
	cfg    Config
	base   *url.URL
	client *http.Client
	deps   *Deps
	out    *outbox.Outbox
	log    *zap.Logger
	count  counters
	queue  chan *request
	dice   *sync.Mutex   // guards deps.Rand, which all wallets share
	look   chan struct{} // capacity 1: a request has failed, see whether the wallet is there

	down atomic.Pointer[error] // why the wallet is not known to answer; nil while it is
}

var (
	errNotAsked  = errors.New("not asked yet")
	errNoAnswer  = errors.New("no answer")
	errSecret    = errors.New("does not take our signature: are the key files the same, and the clocks?")
	errElsewhere = errors.New("answers, but not as a wallet does")
)

func newLink(cfg Config, deps *Deps, out *outbox.Outbox, dice *sync.Mutex) (*link, error) {
	base, err := cfg.base()
	if err != nil {
		return nil, fmt.Errorf("%w %q: %w", ErrConfig, cfg.Name, err)
	}
	transport := &http.Transport{
		DialContext: cfg.Dial, DialTLSContext: cfg.dialTLS, DisableCompression: true,
		MaxConnsPerHost: cfg.Connections + 1, MaxIdleConnsPerHost: cfg.Connections + 1, // one is the probe's
		IdleConnTimeout: 2 * cfg.Probe, MaxResponseHeaderBytes: maxBody, Protocols: new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(true)
	l := &link{
		cfg: cfg, base: base, deps: deps, out: out, dice: dice,
		log: deps.Logger.With(zap.String("host", cfg.Name)), count: counters{deps.Metrics, cfg.Name},
		queue: make(chan *request, cfg.Queue), look: make(chan struct{}, 1),
		client: &http.Client{
			Transport: transport,
			// Somewhere else is not where the key belongs.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	l.down.Store(&errNotAsked)
	l.count.up(false)
	return l, nil
}

func (l *link) send(req *engine.HostRequest) {
	r, err := newRequest(req, l.deps.Cards)
	if err != nil {
		l.log.Error("request cannot be built", zap.Uint64("purchase", req.Purchase), zap.Uint64("operation", req.Operation),
			zap.Error(err))
		l.unsent(&request{unsent: unsent(req)}, "encode")
		return
	}
	l.count.queued(1)
	select {
	case l.queue <- r:
	default:
		l.count.queued(-1)
		l.unsent(r, "full")
	}
}

// unsent reports a request that certainly never left. When there is no room for the report the engine's time-out takes its
// place: later, but with the same end.
func (l *link) unsent(r *request, fate string) {
	l.count.request(r.act, fate)
	r.wipe()
	if !l.out.Offer(r.unsent) {
		l.count.request(r.act, "lost")
	}
}

// abandon wipes what is still queued when the process ends.
func (l *link) abandon() {
	for {
		select {
		case r := <-l.queue:
			l.count.queued(-1)
			r.wipe()
		default:
			return
		}
	}
}

// work carries one request after the other until ctx ends.
func (l *link) work(ctx context.Context) {
	for {
		select {
		case r := <-l.queue:
			l.count.queued(-1)
			l.carry(ctx, r)
		case <-ctx.Done():
			return
		}
	}
}

// The places of a drill.
const (
	PlaceSending  = "wallet-sending"  // a request is about to leave
	PlaceAnswered = "wallet-answered" // its answer, or silence, has come and nobody knows
)

func (l *link) place(name string) {
	if l.deps.Place != nil {
		l.deps.Place(name)
	}
}

// carry sends one request and submits what comes of it.
func (l *link) carry(ctx context.Context, r *request) {
	defer r.wipe()
	start := l.deps.Now()
	if !start.Before(r.deadline) {
		l.unsent(r, "expired")
		return
	}
	l.place(PlaceSending)
	status, body, sent, err := l.exchange(ctx, r.method, r.path, r.body)
	l.place(PlaceAnswered)
	switch {
	case ctx.Err() != nil:
		return
	case !sent:
		l.log.Warn("wallet not reached", zap.Stringer("kind", r.act), zap.Error(err))
		l.lookSoon()
		l.unsent(r, "dial")
		return
	}
	l.count.request(r.act, "sent")
	if err != nil {
		l.log.Warn("no answer from the wallet", zap.Stringer("kind", r.act), zap.String("rrn", r.about), zap.Error(err))
		l.count.answer(r.act, "silent")
		l.lookSoon()
		l.submit(ctx, r.silence())
		return
	}
	in, result := r.answer(status, body)
	if r.act == queryRefund && result == "not_found" && !r.sentAt.IsZero() && start.Sub(r.sentAt) >= l.cfg.BarAfter {
		l.count.answer(r.act, result)
		l.carry(ctx, r.bar())
		return
	}
	l.count.answer(r.act, result)
	l.count.latency(r.act, l.deps.Now().Sub(start).Seconds())
	if result == "error" || result == "malformed" {
		l.log.Warn("the wallet's answer says nothing", zap.Stringer("kind", r.act), zap.String("rrn", r.about),
			zap.Int("status", status), zap.String("result", result))
	}
	l.submit(ctx, in)
}

func (l *link) submit(ctx context.Context, in *engine.HostAnswered) {
	if in == nil {
		return
	}
	in.Host = l.cfg.Name
	l.out.Put(ctx, in)
}

// exchange is one request and its answer. sent is false only when the client never had a connection for it.
func (l *link) exchange(ctx context.Context, method string, path []string, body *payload) (
	status int, answer []byte, sent bool, err error,
) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.AttemptTimeout)
	defer cancel()
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, method, l.base.JoinPath(path...).String(), nil)
	if err != nil {
		return 0, nil, false, fmt.Errorf("request: %w", err)
	}
	var content []byte
	if body != nil {
		content = body.data
		req.Body, req.ContentLength = body.reader(), int64(len(content))
		req.GetBody = func() (io.ReadCloser, error) { return body.reader(), nil }
		req.Header.Set("Content-Type", "application/json")
		// The same order twice is one order, by the switch's number. So the client may try another connection when the
		// wallet has just closed an idle one. An empty key does not go on the wire.
		req.Header["Idempotency-Key"] = nil
	}
	l.cfg.Key.Sign(req.Header, method, req.URL.EscapedPath(), content, l.deps.Now())
	res, err := l.client.Do(req)
	if err != nil {
		return 0, nil, connected.Load(), err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err == nil && len(answer) > maxBody {
		err = fmt.Errorf("%w: more than %d bytes", errMalformed, maxBody)
	}
	return res.StatusCode, answer, true, err
}

// nobody is the number of a payment that the switch never makes. Asking for it proves that the wallet is there, that it
// takes the signature, and that it is a wallet.
const nobody = "000000000000"

// watch finds out again and again whether the wallet answers, until ctx ends.
func (l *link) watch(ctx context.Context) {
	failures := 0
	for {
		err := l.probe(ctx)
		if ctx.Err() != nil {
			return
		}
		before := l.trouble()
		if err != nil {
			if before == nil || failures == 0 {
				l.log.Warn("wallet down", zap.Error(err))
			}
			failures++
			l.down.Store(&err)
		} else {
			failures = 0
			l.down.Store(nil)
			if before != nil {
				l.log.Info("wallet up")
				l.out.Put(ctx, &engine.HostUp{Host: l.cfg.Name})
			}
		}
		l.count.up(err == nil)
		if !l.pause(ctx, failures) {
			return
		}
	}
}

// probe asks for nobody's payment.
func (l *link) probe(ctx context.Context) error {
	status, body, sent, err := l.exchange(ctx, http.MethodGet, []string{"v1", "payments", nobody}, nil)
	var p Problem
	switch {
	case err != nil && !sent:
		l.count.probe("dial")
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	case err != nil:
		l.count.probe("silent")
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	case status == http.StatusUnauthorized:
		l.count.probe("refused")
		return errSecret
	case status != http.StatusNotFound || decode(body, &p) != nil || p.Error != ErrorNotFound:
		l.count.probe("refused")
		return fmt.Errorf("%w: status %d", errElsewhere, status)
	}
	l.count.probe("up")
	return nil
}

// lookSoon has the wallet probed now rather than when its time has come.
func (l *link) lookSoon() {
	select {
	case l.look <- struct{}{}:
	default:
	}
}

// pause is the wait before the next probe. It reports whether there will be one.
func (l *link) pause(ctx context.Context, failures int) bool {
	least, rest := l.cfg.RetryMin, l.cfg.Probe
	if failures > 0 {
		least, rest = l.backOff(failures-1), 0
	}
	if !wait(ctx, least, nil) {
		return false
	}
	return rest <= least || wait(ctx, rest-least, l.look)
}

// wait reports whether ctx still lives after d, or earlier when something comes from early.
func wait(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-early:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *link) backOff(failures int) time.Duration {
	wait := l.cfg.RetryMax
	if failures < 20 && l.cfg.RetryMin<<failures < wait {
		wait = l.cfg.RetryMin << failures
	}
	l.dice.Lock()
	defer l.dice.Unlock()
	return wait/2 + time.Duration(l.deps.Rand.Int64N(int64(wait/2)+1))
}

// trouble says why the wallet is not known to answer, nil when it does.
func (l *link) trouble() error {
	if why := l.down.Load(); why != nil {
		return *why
	}
	return nil
}
