package wallet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"huanxin/internal/money"
	"huanxin/switch/engine"
	"huanxin/switch/keys"
	link "huanxin/switch/wallet"
)

const testSecret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

func testKey(t testing.TB) *link.Key {
	key, err := link.ParseKey([]byte(testSecret))
	require.NoError(t, err)
	return key
}

// memoryNet is a network of pipes; with nobody at the other end a dial is refused.
type memoryNet struct {
	mu       sync.Mutex
	listener *pipeListener
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (n *memoryNet) listen() *pipeListener {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listener = &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	return n.listener
}

func (n *memoryNet) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listener
	n.mu.Unlock()
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// notices brings the wallet's notifications to the links without a network.
type notices struct {
	mu    sync.Mutex
	links *link.Links
}

func (n *notices) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	status := n.links.Notify("purse", req.Header, body)
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Body: http.NoBody, Request: req}, nil
}

// script is a stub of the engine for wallets: it orders, asks every four seconds, cancels after a minute, asks on until it
// knows the end, and believes nothing else.
type script struct {
	t     *testing.T
	vault *keys.Vault
	send  func(*engine.HostRequest)

	mu      sync.Mutex
	jobs    map[string]*job
	orders  int
	refuses int // so many submissions are refused
}

type job struct {
	rrn       string
	payment   string // of a refund
	amount    money.Amount
	sentAt    time.Time
	end       string // "", paid, not paid; done, not done
	cancelled bool
	answers   int
}

func (s *script) Submit(body any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuses > 0 {
		s.refuses--
		return errors.New("overload")
	}
	switch in := body.(type) {
	case *engine.HostAnswered:
		s.answered(in)
	case *engine.HostUnsent:
		// Only what nobody has seen may be called unsent; see the audit at the end.
		if j := s.jobs[in.RRN]; in.Kind == engine.HostSale || in.Kind == engine.HostRefund {
			j.end = "not sent"
		}
	}
	return nil
}

func (s *script) answered(in *engine.HostAnswered) {
	j := s.jobs[in.RRN]
	if j == nil {
		s.t.Errorf("an answer about %s, which was never ordered", in.RRN)
		return
	}
	j.answers++
	approved := in.Answer.Response == "00"
	switch {
	case in.Pending:
	case in.Kind == engine.HostReversal:
		if approved || in.Answer.Response == "12" {
			j.end = "not paid"
		}
	case j.cancelled && approved: // paid before it was cancelled: cancel once more
	case j.end == "" && approved:
		if in.Answer.Amount != int64(j.amount) {
			s.t.Errorf("%s: %d fen instead of %d", j.rrn, in.Answer.Amount, j.amount)
		}
		j.end = "paid"
	case j.end == "":
		j.end = "not paid"
	case j.end == "paid" && !approved:
		s.t.Errorf("%s was paid and is answered %s", j.rrn, in.Answer.Response)
	}
}

func (s *script) order(amount money.Amount, payment string) *job {
	s.orders++
	j := &job{rrn: fmt.Sprintf("5169%08d", s.orders), payment: payment, amount: amount, sentAt: time.Now()}
	req := s.request(j, engine.HostSale)
	if payment != "" {
		req = s.request(j, engine.HostRefund)
		req.Original.RRN = payment
	} else {
		card, err := s.vault.SealCard(&keys.CardRecord{QRCode: []byte("286512345678901234"), EntryMode: []byte("031")})
		require.NoError(s.t, err)
		req.Card = card
	}
	s.mu.Lock()
	s.jobs[j.rrn] = j
	s.mu.Unlock()
	s.send(req)
	return j
}

func (s *script) request(j *job, kind engine.HostKind) *engine.HostRequest {
	req := &engine.HostRequest{
		Host: "purse", Kind: kind, Purchase: 1, RRN: j.rrn, Amount: j.amount, TransmittedAt: time.Now().UnixNano(),
		Deadline: time.Now().Add(15 * time.Second).UnixNano(), Original: engine.OriginalData{RRN: j.rrn, TransmittedAt: j.sentAt.UnixNano()},
	}
	if j.payment != "" {
		req.Operation = 1
	}
	copy(req.Key.Merchant[:], "898210157220001")
	copy(req.Key.Terminal[:], "21010001")
	return req
}

// pursue asks and cancels until every end is known.
func (s *script) pursue() {
	for round := 0; ; round++ {
		var due []*engine.HostRequest
		open := 0
		s.mu.Lock()
		for _, j := range s.jobs {
			if j.end != "" {
				continue
			}
			open++
			kind := engine.HostQuery
			if age := time.Since(j.sentAt); age < 4*time.Second {
				continue
			} else if age > time.Minute && j.payment == "" && (!j.cancelled || round%2 == 0) {
				kind, j.cancelled = engine.HostReversal, true
			}
			due = append(due, s.request(j, kind))
		}
		s.mu.Unlock()
		if open == 0 {
			return
		}
		if round > 1000 {
			s.t.Fatalf("%d without an end", open)
		}
		for _, req := range due {
			s.send(req)
		}
		later(4 * time.Second)
	}
}

// later lets the bubble's clock move on.
func later(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

// town is a wallet, the links to it, and the script that uses them, in a bubble.
type town struct {
	*script
	rules  Rules
	net    *memoryNet
	ledger *Ledger
	wallet *Wallet
	served sync.WaitGroup
	notify *notices
}

func newTown(t *testing.T, rules Rules) *town {
	w := &town{net: &memoryNet{}, ledger: NewLedger(nil), rules: rules, notify: &notices{}}
	set, err := keys.Generate(rand.Reader)
	require.NoError(t, err)
	vault := set.Vault()
	w.script = &script{t: t, vault: vault, jobs: map[string]*job{}}
	metrics, err := link.NewMetrics(prometheus.NewRegistry())
	require.NoError(t, err)
	links, err := link.New([]link.Config{{Name: "purse", URL: "http://wallet", Key: testKey(t), Connections: 64, Dial: w.net.Dial}}, link.Deps{
		Server: w.script, Cards: vault, Logger: zap.NewNop(), Metrics: metrics, Now: time.Now, Rand: mathrand.New(mathrand.NewPCG(1, 2)),
	})
	require.NoError(t, err)
	w.notify.links, w.send = links, links.Send
	w.open()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { links.Run(ctx) })
	t.Cleanup(func() {
		w.close()
		cancel()
		done.Wait()
	})
	synctest.Wait()
	require.Empty(t, links.Down())
	return w
}

// open starts the wallet on the ledger as it is.
func (w *town) open() {
	var err error
	w.wallet, err = New(Config{
		Key: testKey(w.t), Rules: w.rules, Ledger: w.ledger, Logger: zap.NewNop(), Now: time.Now, Notify: "http://switch/v1/wallets/purse/notifications",
		Client: &http.Client{Transport: w.notify, Timeout: 10 * time.Second},
	})
	require.NoError(w.t, err)
	listener := w.net.listen()
	wallet := w.wallet
	w.served.Go(func() { _ = wallet.Serve(listener) })
}

func (w *town) close() {
	w.wallet.Close()
	w.served.Wait()
}

// audit holds what the script believes against the wallet's own book.
func (w *town) audit() {
	require.Zero(w.t, w.ledger.Summary().Conflicts)
	require.Zero(w.t, w.ledger.Summary().Waiting)
	require.Zero(w.t, w.ledger.Summary().WaitingRefunds)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, j := range w.jobs {
		if j.payment != "" {
			r, known := w.ledger.FindRefund(j.rrn)
			require.Equal(w.t, j.end == "paid", r.Status == link.Done, "refund %s: %s, %v", j.rrn, j.end, r)
			require.False(w.t, j.end == "not sent" && known, "refund %s arrived", j.rrn)
			continue
		}
		e, known := w.ledger.Find(j.rrn)
		require.Equal(w.t, j.end == "paid", e.Status == link.Paid, "payment %s: %s, %v", j.rrn, j.end, e)
		require.Equal(w.t, j.end == "paid", e.Paid.Amount > e.Returned, "payment %s: %s, %v", j.rrn, j.end, e)
		require.False(w.t, j.end == "not sent" && known, "payment %s arrived", j.rrn)
	}
}

// Each ordered treatment leads to the end that both sides know.
func TestEveryTreatmentEndsAsTheWalletsBookSays(t *testing.T) {
	for ending, act := range DefaultRules().Endings {
		t.Run(ending+" "+string(act), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t, DefaultRules())
				amount, err := money.ParseYuan("399." + ending)
				require.NoError(t, err)
				j := w.order(amount, "")
				later(4 * time.Second)
				w.pursue()
				w.audit()
				switch {
				case strings.HasPrefix(string(act), "decline"), act == GiveUp, act == WalkAway, act == LoseRequest:
					require.Equal(t, "not paid", j.end)
				default:
					require.Equal(t, "paid", j.end)
				}
				if j.end == "paid" {
					r := w.order(amount, j.rrn)
					later(4 * time.Second)
					w.pursue()
					w.audit()
					require.Equal(t, act != "refund-refuse ACCOUNT_RESTRICTED" && act != RefundUnseen, r.end == "paid")
				}
			})
		})
	}
}

func TestUnfriendlyWalletAndItsRestartsLeaveNobodyInDoubt(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			rules := DefaultRules()
			rules.Unfriendly, rules.Seed = 0.7, seed
			w := newTown(t, rules)
			var paid []*job
			for n := range 60 {
				paid = append(paid, w.order(money.Amount(10000+100*n), ""))
				if n%7 == 6 {
					later(time.Second)
				}
				if n%20 == 19 { // kill -9: the wallet goes on from its book
					w.close()
					w.open()
				}
			}
			w.mu.Lock()
			w.refuses = 30 // the switch is overloaded for a while
			w.mu.Unlock()
			w.pursue()
			w.audit()
			for _, j := range paid {
				if j.end == "paid" {
					w.order(j.amount/2, j.rrn)
				}
			}
			later(10 * time.Second)
			w.pursue()
			w.audit()
			require.Positive(t, w.ledger.Summary().Refunds)
			require.Positive(t, w.ledger.Summary().Closed+w.ledger.Summary().Returns+w.ledger.Summary().Tombstones)
		})
	}
}

// The interface refuses what is not as the document says.
func TestWalletIsStrict(t *testing.T) {
	ledger := NewLedger(nil)
	w, err := New(Config{Key: testKey(t), Rules: DefaultRules(), Ledger: ledger, Logger: zap.NewNop(), Now: time.Now})
	require.NoError(t, err)
	defer w.Close()
	call := func(method, path, body string, change func(*http.Request)) (int, string) {
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		testKey(t).Sign(req.Header, method, path, []byte(body), time.Now())
		if change != nil {
			change(req)
		}
		rec := httptest.NewRecorder()
		w.Handler().ServeHTTP(rec, req)
		var p link.Problem
		_ = json.Unmarshal(rec.Body.Bytes(), &p)
		return rec.Code, p.Error
	}
	good := `{"payment":"516900000001","amount_fen":100,"code":"286512345678901234","merchant":"m","terminal":"","at":"2025-06-18T10:05:12+08:00"}`
	for name, c := range map[string]struct {
		method, path, body string
		change             func(*http.Request)
		status             int
		word               string
	}{
		"unsigned":         {"POST", "/v1/payments", good, func(r *http.Request) { r.Header.Del(link.HeaderSignature) }, 401, "SIGNATURE"},
		"unknown member":   {"POST", "/v1/payments", strings.Replace(good, "{", `{"x":1,`, 1), nil, 400, "MALFORMED"},
		"no code":          {"POST", "/v1/payments", strings.Replace(good, "286512345678901234", "", 1), nil, 400, "MALFORMED"},
		"no amount":        {"POST", "/v1/payments", strings.Replace(good, "100", "0", 1), nil, 400, "MALFORMED"},
		"number too short": {"POST", "/v1/payments", strings.Replace(good, "5169", "", 1), nil, 400, "MALFORMED"},
		"time":             {"POST", "/v1/payments", strings.Replace(good, "T10", " 10", 1), nil, 400, "MALFORMED"},
		"two objects":      {"POST", "/v1/payments", good + good, nil, 400, "MALFORMED"},
		"too long":         {"POST", "/v1/payments", good + strings.Repeat(" ", maxBody), nil, 400, "MALFORMED"},
		"nobody":           {"GET", "/v1/payments/000000000000", "", nil, 404, "NOT_FOUND"},
		"no refund":        {"GET", "/v1/refunds/516900000001", "", nil, 404, "NOT_FOUND"},
		"refund of 0":      {"POST", "/v1/payments/516900000001/refunds", `{"refund":"516900000002","amount_fen":0}`, nil, 400, "MALFORMED"},
		"cancel what":      {"POST", "/v1/payments/what/cancel", "", nil, 400, "MALFORMED"},
		"cancel refund":    {"POST", "/v1/refunds/what/cancel", "", nil, 400, "MALFORMED"},
	} {
		status, word := call(c.method, c.path, c.body, c.change)
		require.Equal(t, []any{c.status, c.word}, []any{status, word}, name)
	}
	require.Equal(t, Summary{}, ledger.Summary(), "nothing of it was booked")
	status, _ := call("POST", "/v1/payments", good, nil)
	require.Equal(t, 200, status)
	status, word := call("POST", "/v1/payments", strings.Replace(good, "100", "200", 1), nil)
	require.Equal(t, []any{409, "CONFLICT"}, []any{status, word})
	require.EqualValues(t, 100, ledger.Summary().OpenFen)
	entry, ok := ledger.Find("516900000001")
	require.True(t, ok)
	require.NotContains(t, entry.Order.Code, "2865", "the book has no codes")
}

func TestWalletThatCannotWorkIsRefused(t *testing.T) {
	good := Config{Key: testKey(t), Rules: DefaultRules(), Ledger: NewLedger(nil), Logger: zap.NewNop(), Now: time.Now}
	for name, change := range map[string]func(*Config){
		"rules":  func(c *Config) { c.Rules.Unfriendly = 2 },
		"key":    func(c *Config) { c.Key = nil },
		"notify": func(c *Config) { c.Notify = "127.0.0.1:8080" },
	} {
		cfg := good
		change(&cfg)
		_, err := New(cfg)
		require.Error(t, err, name)
	}
}
