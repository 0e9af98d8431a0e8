package terminal

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys"
	"huanxin/switch/stage"
	"huanxin/switch/wire"
)

// fields is a message for people: text forms by field number, the MTI under 0.
type fields map[int]string

// with returns a copy with changes; an empty value takes the field out.
func (f fields) with(changes fields) fields {
	out := fields{}
	for n, v := range f {
		out[n] = v
	}
	for n, v := range changes {
		if out[n] = v; v == "" {
			delete(out, n)
		}
	}
	return out
}

func mtiOf(t testing.TB, digits string) iso8583.MTI {
	raw, err := hex.DecodeString(digits)
	require.NoError(t, err)
	require.Len(t, raw, 2)
	return iso8583.MTI(raw[0])<<8 | iso8583.MTI(raw[1])
}

func loadCodec(t testing.TB, name string) *iso8583.Codec {
	spec, err := os.ReadFile(filepath.Join("..", "..", "config", "dialects", name+".json"))
	require.NoError(t, err)
	codec, err := iso8583.Compile(spec)
	require.NoError(t, err)
	return codec
}

// encode makes the message without framing.
func encode(t testing.TB, codec *iso8583.Codec, f fields) []byte {
	var b iso8583.Builder
	b.Reset(codec, mtiOf(t, f[0]))
	for n, v := range f {
		if n != 0 {
			b.SetText(n, v, false)
		}
	}
	out, err := b.Append(nil)
	require.NoError(t, err, "%v", f)
	return out
}

func decode(t testing.TB, codec *iso8583.Codec, message []byte) fields {
	var m iso8583.Message
	require.NoError(t, codec.Parse(message, &m))
	f := fields{0: m.MTI().String()}
	for n := m.Next(0); n != 0; n = m.Next(n) {
		text, isHex := m.AppendText(nil, n)
		require.False(t, isHex, "field %d", n)
		f[n] = string(text)
	}
	return f
}

var (
	testTPDU   = []byte{0x60, 0x00, 0x03, 0x00, 0x01}
	testHeader = []byte{0x60, 0x31, 0x00, 0x31, 0x01, 0x00}
)

func frameOf(t testing.TB, framing wire.Framing, message []byte) []byte {
	var tpdu, header []byte
	if framing.TPDU() {
		tpdu = testTPDU
	}
	if framing.Header() {
		header = testHeader
	}
	out, err := framing.AppendFrame(nil, tpdu, header, message)
	require.NoError(t, err)
	return out
}

// hasher and vault that the tests can read. The vault is real where the record's own checks matter.
type testHasher struct{}

func hash16(parts ...[]byte) (h [16]byte) {
	for i, p := range parts {
		for _, c := range append([]byte{byte(i), byte(len(p))}, p...) {
			carry := c
			for k := range h {
				h[k] = h[k]*31 + carry
				carry = h[k] + byte(k)
			}
		}
	}
	return h
}

func (testHasher) Serial(b []byte) [16]byte     { return hash16([]byte("serial"), bytes.ToUpper(b)) }
func (testHasher) Code(b []byte) [16]byte       { return hash16([]byte("code"), b) }
func (testHasher) Card(b []byte) [16]byte       { return hash16([]byte("card"), b) }
func (testHasher) Content(f ...[]byte) [16]byte { return hash16(f...) }

type testVault struct {
	mu      sync.Mutex
	records []string // what was sealed, as encoded
	fail    error
}

func (v *testVault) SealCard(r *keys.CardRecord) (*event.Card, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fail != nil {
		return nil, v.fail
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	v.records = append(v.records, string(r.Append(nil)))
	number := r.PAN
	if len(number) == 0 {
		number = r.QRCode
	}
	token := testHasher{}.Card(number)
	return &event.Card{Token: token[:], Mask: r.Mask(), KeyId: "test", Envelope: []byte{1}}, nil
}

// fakeEngine is a strict stand-in for the server: it accepts the documented inputs only, every token once, and answers
// by its script – at once, or when the test says so.
type fakeEngine struct {
	t       testing.TB
	deliver func(*engine.Reply)
	script  func(body any) *engine.Reply // nil: hold the input

	mu     sync.Mutex
	full   bool
	bodies []any
	tokens map[engine.Token]bool
	queue  chan any
	done   chan struct{}
}

var errFull = errors.New("queue is full")

func newFakeEngine(t testing.TB) *fakeEngine {
	return &fakeEngine{
		t: t, tokens: map[engine.Token]bool{}, queue: make(chan any, 4096), done: make(chan struct{}),
		script: func(body any) *engine.Reply { return &engine.Reply{Token: tokenOf(body), Response: [2]byte{'0', '0'}} },
	}
}

func tokenOf(body any) engine.Token {
	switch in := body.(type) {
	case *engine.SignOnRequest:
		return in.Token
	case *engine.SignOffRequest:
		return in.Token
	case *engine.EchoRequest:
		return in.Token
	case *engine.ReserveRequest:
		return in.Token
	case *engine.CancelRequest:
		return in.Token
	case *engine.SaleRequest:
		return in.Token
	case *engine.StatusRequest:
		return in.Token
	case *engine.InquiryRequest:
		return in.Token
	case *engine.VoidRequest:
		return in.Token
	case *engine.RefundRequest:
		return in.Token
	case *engine.ReversalRequest:
		return in.Token
	case *engine.SettlementRequest:
		return in.Token
	case *engine.UploadRequest:
		return in.Token
	case *engine.UploadEndRequest:
		return in.Token
	case *engine.ReportRequest:
		return in.Token
	}
	return 0
}

func (e *fakeEngine) Submit(body any, _ stage.Instant) error {
	token := tokenOf(body)
	if token == 0 {
		panic("input without a token, or none that terminals make")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.full {
		return errFull
	}
	if e.tokens[token] {
		panic("token given twice")
	}
	e.tokens[token] = true
	if in, ok := body.(*engine.ReserveRequest); ok { // its memory is the front's again when it is answered
		kept := *in
		body = &kept
	}
	e.bodies = append(e.bodies, body)
	e.queue <- body
	return nil
}

// run answers from a goroutine of its own, as the server does.
func (e *fakeEngine) run() {
	defer close(e.done)
	for body := range e.queue {
		e.mu.Lock()
		script := e.script
		e.mu.Unlock()
		if reply := script(body); reply != nil {
			if reply.Token == 0 {
				reply.Token = tokenOf(body)
			}
			if reply.At == 0 {
				reply.At = testNow
			}
			e.deliver(reply)
		}
	}
}

func (e *fakeEngine) last() any {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.bodies) == 0 {
		return nil
	}
	return e.bodies[len(e.bodies)-1]
}

func (e *fakeEngine) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.bodies)
}

func (e *fakeEngine) setFull(full bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.full = full
}

func (e *fakeEngine) setScript(script func(body any) *engine.Reply) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.script = script
}

// bench is a front with its fake engine, listening.
type bench struct {
	t      testing.TB
	front  *Front
	engine *fakeEngine
	vault  *testVault
	reg    *prometheus.Registry
	codec  *iso8583.Codec
	log    *bytes.Buffer
	logMu  sync.Mutex
}

func (b *bench) Write(p []byte) (int, error) {
	b.logMu.Lock()
	defer b.logMu.Unlock()
	return b.log.Write(p)
}

func (b *bench) logged() string {
	b.logMu.Lock()
	defer b.logMu.Unlock()
	return b.log.String()
}

// testConfig is complete but for Submit.
func testConfig(t testing.TB, reg *prometheus.Registry) Config {
	m, err := wire.NewMetrics(reg)
	require.NoError(t, err)
	return Config{
		Ports:  []Port{{Name: "cup", Address: "127.0.0.1:0", Framing: wire.CUP, Codec: loadCodec(t, "cup"), SwapTPDU: true}},
		Hasher: testHasher{}, Vault: &testVault{}, Host: "unionpay", QRHost: "wallet",
		Metrics: m, Registerer: reg,
	}
}

func newBench(t testing.TB, change func(*Config)) *bench {
	reg := prometheus.NewRegistry()
	cfg := testConfig(t, reg)
	b := &bench{t: t, engine: newFakeEngine(t), vault: cfg.Vault.(*testVault), reg: reg, log: &bytes.Buffer{}}
	cfg.Submit = b.engine.Submit
	cfg.Now = fixedClock
	encoding := zap.NewProductionEncoderConfig()
	encoding.TimeKey = "" // an instant's digits may look like any secret
	cfg.Log = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoding), zapcore.AddSync(b), zap.DebugLevel))
	if change != nil {
		change(&cfg)
	}
	front, err := New(cfg)
	require.NoError(t, err)
	require.NoError(t, front.Listen(context.Background()))
	b.front, b.codec = front, cfg.Ports[0].Codec
	b.engine.deliver = b.deliver
	go b.engine.run()
	served := make(chan error, 1)
	go func() { served <- front.Serve() }()
	t.Cleanup(func() {
		front.Close()
		require.NoError(t, <-served)
		close(b.engine.queue)
		<-b.engine.done
	})
	return b
}

// deliver gives one reply as the server does with a batch of one.
func (b *bench) deliver(reply *engine.Reply) {
	b.front.Deliver(reply)
	b.front.Flush()
}

func (b *bench) dial() *net.TCPConn { return b.dialPort("cup") }

func (b *bench) dialPort(name string) *net.TCPConn {
	c, err := net.Dial("tcp", b.front.Addr(name).String())
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

func (b *bench) send(c net.Conn, f fields) {
	_, err := c.Write(frameOf(b.t, wire.CUP, encode(b.t, b.codec, f)))
	require.NoError(b.t, err)
}

func (b *bench) receive(c net.Conn) fields {
	_, message := b.receiveFrame(c)
	return decode(b.t, b.codec, message)
}

func (b *bench) receiveFrame(c net.Conn) (raw, message []byte) {
	raw = make([]byte, 2)
	_, err := io.ReadFull(c, raw)
	require.NoError(b.t, err)
	raw = append(raw, make([]byte, int(raw[0])<<8|int(raw[1]))...)
	_, err = io.ReadFull(c, raw[2:])
	require.NoError(b.t, err)
	frame, n, err := wire.CUP.Next(raw, wire.DefaultMaxFrame)
	require.NoError(b.t, err)
	require.Equal(b.t, len(raw), n)
	return raw, frame.Message
}

// ask sends one request on a connection of its own and returns the answer.
func (b *bench) ask(f fields) fields {
	c := b.dial()
	defer c.Close()
	b.send(c, f)
	return b.receive(c)
}

func (b *bench) metric(name string, labels ...string) float64 {
	families, err := b.reg.Gather()
	require.NoError(b.t, err)
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			has := true
			for _, want := range labels {
				has = has && slices.Contains(values, want)
			}
			if has {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// tag59Of returns the values of a tag of DE59 given as text.
func tag59Of(f fields, name string) (values []string) {
	gbk, _ := iso8583.AppendGBK(nil, f[59])
	for walk := iso8583.WalkTags59(gbk); ; {
		tag, v, ok := walk.Next()
		if !ok {
			return values
		}
		if tag.String() == name {
			text, _ := iso8583.AppendUTF8(nil, v)
			values = append(values, string(text))
		}
	}
}

// text59 builds DE59 from name, value, name, value … with values in UTF-8.
func text59(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		gbk, _ := iso8583.AppendGBK(nil, pairs[i+1])
		b.WriteString(pairs[i])
		b.Write(iso8583.AppendDigits(nil, uint64(len(gbk)), 3))
		b.WriteString(pairs[i+1])
	}
	return b.String()
}
