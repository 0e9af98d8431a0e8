package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	link "huanxin/switch/wallet"
)

// Config is what a wallet needs.
type Config struct {
	Key    *link.Key // shared with the switch
	Rules  Rules
	Ledger *Ledger
	Logger *zap.Logger
	// Now is the wallet's clock: time.Now.
	Now func() time.Time
	// Notify is where notifications go, "" = nowhere.
	Notify string
	// Client sends them. Default: one with a time-out of 10 s.
	Client *http.Client
	// Pending bounds the payers, answers and notifications that wait for their time (default 16384); one more comes at once.
	Pending int
}

// Wallet is the simulated wallet: it serves the interface, decides by its rules, and books before it answers.
type Wallet struct {
	cfg     Config
	server  *http.Server
	handler http.Handler
	notices *notifier

	life context.Context // ends with Close
	end  context.CancelFunc
	busy sync.WaitGroup // requests, and payers and answers that wait for their time

	mu       sync.Mutex     // guards all below
	attempts map[string]int // of queries and cancellations, by number
	waiting  int
	closed   bool
}

// Limits of the HTTP server.
const (
	maxBody      = 16 << 10
	readTimeout  = 10 * time.Second
	silenceLimit = time.Minute // a request that is not answered is let go then at the latest
)

// New makes a wallet; Serve runs it. Payers whom the ledger knows to be typing go on typing.
func New(cfg Config) (*Wallet, error) {
	if err := cfg.Rules.Check(); err != nil {
		return nil, err
	}
	if cfg.Key == nil || cfg.Ledger == nil || cfg.Logger == nil || cfg.Now == nil {
		return nil, errors.New("wallet: Key, Ledger, Logger and Now must be given")
	}
	if cfg.Pending == 0 {
		cfg.Pending = 16384
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: 10 * time.Second}
	}
	w := &Wallet{cfg: cfg, attempts: make(map[string]int)}
	w.life, w.end = context.WithCancel(context.Background())
	w.handler = w.routes()
	w.server = &http.Server{Handler: w.handler, ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout, MaxHeaderBytes: maxBody}
	var err error
	if w.notices, err = newNotifier(w.life, &w.cfg); err != nil {
		return nil, err
	}
	for _, e := range cfg.Ledger.Payments() {
		if e.Status == link.Pending {
			w.goOn(cfg.Rules.Payment(e.Order.RRN, e.Order.Amount), e.Order.RRN, false)
		}
	}
	for _, e := range cfg.Ledger.Refunds() {
		if e.Status == link.Pending {
			w.goOn(cfg.Rules.Refund(e.Order.RRN, e.Order.Amount), e.Order.RRN, true)
		}
	}
	return w, nil
}

// Handler serves the interface.
func (w *Wallet) Handler() http.Handler { return w.handler }

// Listen serves at address until ctx ends; ready is told the address first.
func (w *Wallet) Listen(ctx context.Context, address string, ready func(net.Addr)) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ready(listener.Addr())
	stop := context.AfterFunc(ctx, w.Close)
	defer stop()
	return w.Serve(listener)
}

// Serve serves the interface until Close.
func (w *Wallet) Serve(listener net.Listener) error {
	if err := w.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	w.Close()
	return nil
}

// Close ends everything and waits for what is being booked. Nobody who waits is settled any more.
func (w *Wallet) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.end()
	_ = w.server.Close()
	w.busy.Wait()
	w.notices.workers.Wait()
}

// enter reports whether something new may begin; whoever began calls busy.Done.
func (w *Wallet) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.busy.Add(1)
	}
	return !w.closed
}

// later runs fn after d, at once when too much waits. Not after Close.
func (w *Wallet) later(d time.Duration, fn func()) {
	if !w.enter() {
		return
	}
	w.mu.Lock()
	if w.waiting >= w.cfg.Pending {
		d = 0
	}
	w.waiting++
	w.mu.Unlock()
	go func() {
		defer w.busy.Done()
		if w.sleep(w.life, d) {
			fn()
		}
		w.mu.Lock()
		w.waiting--
		w.mu.Unlock()
	}()
}

// sleep waits until d is over; false when ctx or the wallet has ended before.
func (w *Wallet) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-w.life.Done():
		return false
	}
}

// goOn arranges what becomes of something that was booked as the plan says: its end, and the notifications of it.
func (w *Wallet) goOn(p Plan, rrn string, refund bool) {
	switch {
	case p.Status == link.Pending && p.Final == "":
	case p.Status == link.Pending:
		w.later(p.After, func() { w.settle(p, rrn, refund) })
	default:
		w.notify(p, rrn, refund)
	}
}

// settle ends what waits.
func (w *Wallet) settle(p Plan, rrn string, refund bool) {
	var ended bool
	var err error
	now := w.cfg.Now()
	if refund {
		_, ended, err = w.cfg.Ledger.SettleRefund(stamp(now), rrn, p.Final, p.FinalReason, trade(now, rrn))
	} else {
		_, ended, err = w.cfg.Ledger.Settle(stamp(now), rrn, p.Final, p.FinalReason, trade(now, rrn))
	}
	if err != nil {
		w.cfg.Logger.Error("cannot be settled", zap.String("rrn", rrn), zap.Error(err))
	} else if ended {
		w.notify(p, rrn, refund)
	}
}

// notify sends the notifications of the plan, with the state as it is now: a late one may be out of date.
func (w *Wallet) notify(p Plan, rrn string, refund bool) {
	if p.Notices == 0 || w.notices.target == nil {
		return
	}
	var n link.Notification
	if refund {
		e, _ := w.cfg.Ledger.FindRefund(rrn)
		state := e.Refund()
		n.Refund = &state
	} else {
		e, _ := w.cfg.Ledger.Find(rrn)
		state := e.Payment()
		n.Payment = &state
	}
	text, err := json.Marshal(n)
	if err != nil {
		w.cfg.Logger.Error("notification cannot be written", zap.Error(err))
		return
	}
	if p.NoticeAfter == 0 {
		w.notices.send(text, p.Notices)
		return
	}
	w.later(p.NoticeAfter, func() { w.notices.send(text, p.Notices) })
}

// attempt counts how often something was asked about a number, from 1.
func (w *Wallet) attempt(what, rrn string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempts[what+rrn]++
	return w.attempts[what+rrn]
}

var shanghai = time.FixedZone("+08:00", 8*3600)

func stamp(at time.Time) string { return at.In(shanghai).Format(time.RFC3339) }

// trade is the wallet's own number of a charge or refund.
func trade(at time.Time, rrn string) string {
	return at.In(shanghai).Format("20060102") + "22001400" + rrn
}
