package wallet

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"huanxin/internal/money"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/keys"
)

const (
	walletName = "purse"
	testSecret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	testCode   = "286512345678901234"
)

// memoryNet is a network of pipes: it has no clock of its own, so a bubble's time stands still until everybody waits.
type memoryNet struct {
	conns  chan net.Conn
	closed chan struct{}

	mu      sync.Mutex
	refuses bool // dials fail
	hangs   bool // dials do not end by themselves
}

func newMemoryNet() *memoryNet {
	return &memoryNet{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (n *memoryNet) set(refuses, hangs bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuses, n.hangs = refuses, hangs
}

func (n *memoryNet) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	refuses, hangs := n.refuses, n.hangs
	n.mu.Unlock()
	if refuses {
		return nil, errors.New("connection refused")
	}
	near, far := net.Pipe()
	conns := n.conns
	if hangs {
		conns = nil
	}
	select {
	case conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n *memoryNet) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}
func (n *memoryNet) Close() error   { close(n.closed); return nil }
func (n *memoryNet) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7102} }

// mode is how the fake wallet treats an order.
type mode int

const (
	works          mode = iota
	fails               // 503, nothing done
	reportsFalse        // does it, and says 500
	losesAnswer         // does it, and closes the connection
	stalls              // does it, and never answers
	loses               // closes the connection, nothing done
	speaksNonsense      // does it, and answers something else
)

// order is one request as the fake has received it.
type order struct {
	method, path string
	body         string
}

// fakeWallet is strict: a request that is not signed and formed just as the document says fails the test.
type fakeWallet struct {
	t   testing.TB
	net *memoryNet

	mu       sync.Mutex
	mode     mode
	answers  Status // to payments
	reason   string
	orders   []order
	payments map[string]*Payment
	refunds  map[string]*Refund
	nonsense string
	arrives  string // number of a refund that is done just after it was asked for
}

func startFakeWallet(t testing.TB) *fakeWallet {
	w := &fakeWallet{t: t, net: newMemoryNet(), answers: Paid, payments: map[string]*Payment{}, refunds: map[string]*Refund{}}
	server := &http.Server{Handler: w}
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(w.net) })
	t.Cleanup(func() {
		server.Close()
		done.Wait()
	})
	return w
}

func (w *fakeWallet) set(m mode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mode = m
}

// seen are the orders so far, probes left out.
func (w *fakeWallet) seen() []order {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]order(nil), w.orders...)
}

// expectedMAC is computed from the document, not with the code under test.
func expectedMAC(method, path, stamp string, body []byte) string {
	secret, _ := hex.DecodeString(testSecret)
	sum := sha256.Sum256(body)
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s\n%s\n%s\n%x", method, path, stamp, sum)
	return hex.EncodeToString(mac.Sum(nil))
}

func (w *fakeWallet) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	stamp := r.Header.Get("X-Wallet-Timestamp")
	seconds, _ := strconv.ParseInt(stamp, 10, 64)
	if r.Header.Get("X-Wallet-Signature") != expectedMAC(r.Method, r.URL.EscapedPath(), stamp, body) ||
		time.Until(time.Unix(seconds, 0)).Abs() > time.Second {
		w.t.Errorf("%s %s is not signed as the document says", r.Method, r.URL.Path)
	}
	if len(body) > 0 && (r.Header.Get("Content-Type") != "application/json" || r.ContentLength != int64(len(body))) {
		w.t.Errorf("%s %s: content type %q, length %d", r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.ContentLength)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	probe := strings.HasSuffix(r.URL.Path, "/000000000000")
	if !probe {
		w.orders = append(w.orders, order{r.Method, r.URL.Path, string(body)})
	}
	m := w.mode
	if probe && m != fails {
		m = works
	}
	var status int
	var answer any
	if m != fails && m != loses {
		status, answer = w.do(r.Method, strings.TrimPrefix(r.URL.Path, "/base"), body)
	}
	switch m {
	case fails:
		status, answer = 503, Problem{ErrorBusy}
	case reportsFalse:
		status, answer = 500, map[string]string{"oops": "x"}
	case losesAnswer, loses:
		panic(http.ErrAbortHandler)
	case stalls:
		w.mu.Unlock()
		<-r.Context().Done()
		w.mu.Lock()
		panic(http.ErrAbortHandler)
	case speaksNonsense:
		rw.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(rw, w.nonsense)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(answer)
}

// do books an order.
func (w *fakeWallet) do(method, path string, body []byte) (int, any) {
	part := strings.Split(strings.Trim(path, "/"), "/")
	strict := func(into any) {
		d := json.NewDecoder(strings.NewReader(string(body)))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			w.t.Errorf("%s %s: %v", method, path, err)
		}
	}
	switch {
	case method == "POST" && path == "/v1/payments":
		var o PaymentOrder
		strict(&o)
		p := w.payments[o.Payment]
		if p == nil {
			p = &Payment{Payment: o.Payment, Status: w.answers, Reason: w.reason, Amount: o.Amount}
			if p.Status == Paid {
				p.Trade, p.PaidAt = "2025061822001400000000000001", "2025-06-18T10:05:12+08:00"
			}
			w.payments[o.Payment] = p
		}
		return 200, *p
	case method == "GET" && len(part) == 3 && part[1] == "payments":
		if p := w.payments[part[2]]; p != nil {
			return 200, *p
		}
	case method == "GET" && len(part) == 3 && part[1] == "refunds":
		if r := w.refunds[part[2]]; r != nil {
			return 200, *r
		}
		if part[2] == w.arrives {
			w.refunds[part[2]] = &Refund{Refund: part[2], Status: Done, Amount: 1}
		}
	case method == "POST" && len(part) == 4 && part[1] == "payments" && part[3] == "cancel":
		p := w.payments[part[2]]
		if p == nil {
			p = &Payment{Payment: part[2]}
			w.payments[part[2]] = p
		}
		p.Status = Closed
		return 200, *p
	case method == "POST" && len(part) == 4 && part[1] == "refunds" && part[3] == "cancel":
		r := w.refunds[part[2]]
		if r == nil {
			r = &Refund{Refund: part[2], Status: Closed}
			w.refunds[part[2]] = r
		}
		return 200, *r
	case method == "POST" && len(part) == 4 && part[3] == "refunds":
		var o RefundOrder
		strict(&o)
		r := w.refunds[o.Refund]
		if r == nil {
			r = &Refund{Refund: o.Refund, Payment: part[2], Status: Done, Amount: o.Amount, RefundedAt: "2025-06-19T00:00:01+08:00"}
			if w.answers != Paid {
				r.Status, r.Reason, r.RefundedAt = w.answers, w.reason, ""
			}
			w.refunds[o.Refund] = r
		}
		return 200, *r
	}
	return 404, Problem{ErrorNotFound}
}

// fakeServer takes what the links submit, or refuses it while overloaded.
type fakeServer struct {
	mu     sync.Mutex
	bodies []any
	refuse int
}

func (s *fakeServer) Submit(body any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 {
		s.refuse--
		return errors.New("overload")
	}
	s.bodies = append(s.bodies, body)
	return nil
}

// take returns what was submitted since the last call, once everything in the bubble waits.
func (s *fakeServer) take() []any {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	bodies := s.bodies
	s.bodies = nil
	return bodies
}

// rig is the links to one fake wallet, running inside a bubble.
type rig struct {
	t      testing.TB
	wallet *fakeWallet
	server *fakeServer
	links  *Links
	vault  *keys.Vault
	logs   *observer.ObservedLogs
	stop   func()
}

func newVault(t testing.TB) *keys.Vault {
	set, err := keys.Generate(rand.Reader)
	require.NoError(t, err)
	return set.Vault()
}

func testKey(t testing.TB) *Key {
	key, err := ParseKey([]byte(testSecret + "\n"))
	require.NoError(t, err)
	return key
}

func testMetrics(t testing.TB) *Metrics {
	m, err := NewMetrics(prometheus.NewRegistry())
	require.NoError(t, err)
	return m
}

// start runs the links; the wallet is not yet known to answer.
func start(t testing.TB, change func(*Config)) *rig {
	r := &rig{t: t, wallet: startFakeWallet(t), server: &fakeServer{}, vault: newVault(t)}
	cfg := Config{Name: walletName, URL: "http://127.0.0.1:7102/base", Key: testKey(t), Connections: 4, Dial: r.wallet.net.Dial}
	if change != nil {
		change(&cfg)
	}
	logCore, logs := observer.New(zap.DebugLevel)
	r.logs = logs
	var err error
	r.links, err = New([]Config{cfg}, Deps{
		Server: r.server, Cards: r.vault, Logger: zap.New(logCore), Metrics: testMetrics(t), Now: time.Now,
		Rand: mathrand.New(mathrand.NewPCG(1, 2)),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { r.links.Run(ctx) })
	r.stop = func() {
		cancel()
		done.Wait()
	}
	t.Cleanup(r.stop)
	return r
}

// up runs the links and waits until the wallet has answered.
func up(t testing.TB, change func(*Config)) *rig {
	r := start(t, change)
	require.Equal(t, []any{&engine.HostUp{Host: walletName}}, r.server.take())
	require.Empty(t, r.links.Down())
	return r
}

func rrn(n uint32) string { return fmt.Sprintf("5169%08d", n) }

func (r *rig) request(kind engine.HostKind, n uint32) *engine.HostRequest {
	req := &engine.HostRequest{
		Host: walletName, Kind: kind, Purchase: uint64(n), RRN: rrn(n), Amount: money.Amount(399900), TransmittedAt: time.Now().UnixNano(),
		Deadline: time.Now().Add(15 * time.Second).UnixNano(),
	}
	copy(req.Key.Terminal[:], "21010001")
	copy(req.Key.Merchant[:], "898210157220001")
	return req
}

// payment is the order of a payment; token says whether a terminal waits.
func (r *rig) payment(n uint32, token engine.Token) *engine.HostRequest {
	req := r.request(engine.HostSale, n)
	req.Token = token
	req.Card = r.card(keys.CardRecord{QRCode: []byte(testCode), EntryMode: []byte("031")})
	return req
}

func (r *rig) card(record keys.CardRecord) *event.Card {
	card, err := r.vault.SealCard(&record)
	require.NoError(r.t, err)
	return card
}

// answered is the one thing that was submitted, an answer.
func (r *rig) answered() *engine.HostAnswered {
	r.t.Helper()
	bodies := r.server.take()
	require.Len(r.t, bodies, 1)
	in, ok := bodies[0].(*engine.HostAnswered)
	require.True(r.t, ok, "%T", bodies[0])
	require.Equal(r.t, walletName, in.Host)
	return in
}

// say is a short form of an answer.
func say(in *engine.HostAnswered) string {
	text := map[engine.HostKind]string{engine.HostSale: "sale", engine.HostQuery: "query", engine.HostReversal: "reversal"}[in.Kind]
	if in.Pending {
		return text + " pending" + in.Answer.Response
	}
	return text + " " + in.Answer.Response
}

// later lets the bubble's clock move on.
func later(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}
