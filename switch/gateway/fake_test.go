package gateway

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp/fasthttputil"

	"huanxin/switch/engine"
	"huanxin/switch/keys"
)

const (
	sampleToken = "sample-token-0123456789"
	otherToken  = "another-token-9876543210"
)

// start is the instant of every test: 2026-06-18 10:00 in China.
var start = time.Date(2026, 6, 18, 10, 0, 0, 0, china)

// counter is a source of "random" bytes that repeats itself from run to run.
type counter struct {
	mu sync.Mutex
	n  byte
}

func (c *counter) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range p {
		c.n++
		p[i] = c.n
	}
	return len(p), nil
}

// mode is how the fake engine treats an input.
type mode int

const (
	works     mode = iota // takes it and answers
	full                  // does not take it: nothing happens
	lostReply             // takes it and never answers
)

// exchange is one input that the fake expects and what it does with it.
type exchange struct {
	mode  mode
	want  any // pointer to an engine input; its Token is not compared
	reply engine.APIReply
}

// fakeEngine is strict: every input must be the next of its script, every token fresh, and at the end of the test nothing
// may be left.
type fakeEngine struct {
	t       testing.TB
	gateway *Gateway

	mu     sync.Mutex
	script []exchange
	tokens map[engine.Token]bool
	lost   []engine.APIReply
}

func (f *fakeEngine) Submit(body any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.script) == 0 {
		f.t.Errorf("unexpected input %T", body)
		return errors.New("unexpected")
	}
	next := f.script[0]
	f.script = f.script[1:]
	if next.mode == full {
		return errors.New("queue is full")
	}
	value := reflect.ValueOf(body).Elem()
	token := value.FieldByName("Token").Interface().(engine.Token)
	if token == 0 || f.tokens[token] {
		f.t.Errorf("token %d is zero or was used", token)
	}
	f.tokens[token] = true
	got := reflect.New(value.Type())
	got.Elem().Set(value)
	got.Elem().FieldByName("Token").SetUint(0)
	if next.want != nil && !reflect.DeepEqual(next.want, got.Interface()) {
		f.t.Errorf("input\n got %+v\nwant %+v", got.Interface(), next.want)
	}
	reply := next.reply
	reply.Token = token
	if next.mode == lostReply {
		f.lost = append(f.lost, reply)
		return nil
	}
	if reply.Purchase != nil {
		view := *reply.Purchase
		reply.Purchase = &view
	}
	go func() {
		f.gateway.Deliver(&reply)
		clear(reply.Reasons) // the server reuses its memory after Deliver
		if reply.Purchase != nil {
			*reply.Purchase = engine.PurchaseView{}
		}
		reply = engine.APIReply{}
	}()
	return nil
}

func testKeys(t testing.TB) *keys.Set {
	set, err := keys.Generate(&counter{})
	require.NoError(t, err)
	return set
}

func testHasher(t testing.TB) *keys.Hasher { return testKeys(t).Hasher() }

func testVault(t testing.TB) *keys.Vault {
	return testKeys(t).Vault()
}

// bench is a gateway on a scripted engine.
type bench struct {
	t      testing.TB
	g      *Gateway
	engine *fakeEngine
	hasher *keys.Hasher

	once   sync.Once
	client *http.Transport
}

// submitted lets the engine take everything and answer nothing, hands each input to see, and has the requests that see
// nothing come end at once.
func submitted(t testing.TB, see func(input any)) *bench {
	return newBenchWith(t, func(c *Config) {
		c.Submit = func(body any) error {
			see(body)
			return errors.New("enough")
		}
	})
}

func newBench(t testing.TB, script ...exchange) *bench {
	return newBenchWith(t, func(*Config) {}, script...)
}

func newBenchWith(t testing.TB, change func(*Config), script ...exchange) *bench {
	f := &fakeEngine{t: t, script: script, tokens: map[engine.Token]bool{}}
	registry := prometheus.NewPedanticRegistry()
	cfg := Config{
		Submit: f.Submit, Hasher: testHasher(t), Tokens: []Token{{"sample", sampleToken}, {"other", otherToken}}, Rand: &counter{},
		Clock: func() time.Time { return start }, Registerer: registry, Gatherer: registry, Timeout: time.Minute,
		Vault: testVault(t), WalletHost: "wallet",
	}
	change(&cfg)
	g, err := New(cfg)
	require.NoError(t, err)
	f.gateway = g
	t.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.script) > 0 {
			t.Errorf("%d inputs never came", len(f.script))
		}
		if n := g.pending.size(); n > 0 {
			t.Errorf("%d requests are still waiting", n)
		}
	})
	return &bench{t: t, g: g, engine: f, hasher: cfg.Hasher}
}

// request makes a request with the sample token; headers are "Name: value" and replace what is there.
func request(method, path, body string, headers ...string) *http.Request {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, reader)
	r.Header.Set("Authorization", "Bearer "+sampleToken)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
		if value == "" {
			r.Header.Del(name)
		}
	}
	return r
}

// do sends a request over a connection in memory, as any client would.
func (b *bench) do(r *http.Request) *httptest.ResponseRecorder {
	b.once.Do(func() {
		b.client = &http.Transport{DialContext: b.dial(), DisableCompression: true}
		b.t.Cleanup(b.client.CloseIdleConnections)
	})
	r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", "switch"
	answer, err := b.client.RoundTrip(r)
	require.NoError(b.t, err)
	defer answer.Body.Close()
	w := httptest.NewRecorder()
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	_, err = io.Copy(w, answer.Body)
	require.NoError(b.t, err)
	return w
}

// dial serves the gateway on a listener in memory until the test ends.
func (b *bench) dial() func(context.Context, string, string) (net.Conn, error) {
	s, err := NewServer(ServerConfig{}, b.g)
	require.NoError(b.t, err)
	l := fasthttputil.NewInmemoryListener()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	b.t.Cleanup(func() {
		require.NoError(b.t, s.Close())
		require.NoError(b.t, <-served)
	})
	return func(context.Context, string, string) (net.Conn, error) { return l.Dial() }
}

const claimBody = `{"person":{"id_kind":"ID","id_number":"210102190001010014"},"category":"A01","city":"210100","channel":"store"}`

func claimRequest(body string, headers ...string) *http.Request {
	return request("POST", "/v1/entitlements", body, append([]string{"Idempotency-Key: k-1"}, headers...)...)
}

// counted is the value of a counter.
func counted(t *testing.T, c prometheus.Counter) float64 {
	var m dto.Metric
	require.NoError(t, c.Write(&m))
	return m.GetCounter().GetValue()
}
