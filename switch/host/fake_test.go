package host

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"huanxin/config/dialects"
	"huanxin/internal/money"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys"
	"huanxin/switch/wire"
)

// patience bounds every wait of a test: reaching it is a failure, never a way to pass.
const patience = 30 * time.Second

func codecOf(t testing.TB, name string) *iso8583.Codec {
	t.Helper()
	spec, _, err := dialects.Load("../../config/dialects", name)
	require.NoError(t, err)
	codec, err := iso8583.Compile(spec)
	require.NoError(t, err)
	return codec
}

// fakeNetwork is the other end of the links: it accepts connections and lets the test read and write each.
type fakeNetwork struct {
	t        testing.TB
	codec    *iso8583.Codec
	framing  wire.Framing
	listener net.Listener
	peers    chan *peer
}

func listen(t testing.TB, codec *iso8583.Codec, framing wire.Framing) *fakeNetwork {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &fakeNetwork{t: t, codec: codec, framing: framing, listener: listener, peers: make(chan *peer, 16)}
	go func() {
		for {
			nc, err := listener.Accept()
			if err != nil {
				return
			}
			f.peers <- &peer{f: f, nc: nc}
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return f
}

func (f *fakeNetwork) accept() *peer {
	f.t.Helper()
	select {
	case p := <-f.peers:
		f.t.Cleanup(func() { p.nc.Close() })
		return p
	case <-time.After(patience):
		require.Fail(f.t, "no connection")
		return nil
	}
}

// peer is one accepted connection.
type peer struct {
	f      *fakeNetwork
	nc     net.Conn
	buffer []byte
}

// next reads one message; every byte of it must parse in the link's dialect.
func (p *peer) next() *iso8583.Message {
	p.f.t.Helper()
	m, err := p.read()
	require.NoError(p.f.t, err)
	return m
}

func (p *peer) read() (*iso8583.Message, error) {
	for {
		frame, n, err := p.f.framing.Next(p.buffer, 8192)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			m := new(iso8583.Message)
			if err := p.f.codec.Parse(frame.Message, m); err != nil {
				return nil, err
			}
			m.Keep(nil)
			p.buffer = append([]byte(nil), p.buffer[n:]...)
			return m, nil
		}
		chunk := make([]byte, 4096)
		_ = p.nc.SetReadDeadline(time.Now().Add(patience))
		n, err = p.nc.Read(chunk)
		p.buffer = append(p.buffer, chunk[:n]...)
		if err != nil && n == 0 {
			return nil, err
		}
	}
}

// frame builds an answer to m.
func (p *peer) frame(m *iso8583.Message, response string, change func(b *iso8583.Builder)) []byte {
	return p.frameOf(m.MTI().Response(), m, response, change)
}

func (p *peer) frameOf(mti iso8583.MTI, m *iso8583.Message, response string, change func(b *iso8583.Builder)) []byte {
	var b iso8583.Builder
	b.Reset(p.f.codec, mti)
	for _, n := range []int{3, 4, 7, 11, 37, 41, 42, 60, 70} {
		if p.f.codec.Defines(n) {
			b.Copy(m, n)
		}
	}
	b.SetString(39, response)
	if change != nil {
		change(&b)
	}
	body, err := b.Append(nil)
	require.NoError(p.f.t, err)
	return p.wrap(body)
}

func (p *peer) wrap(body []byte) []byte {
	var tpdu, header []byte
	if p.f.framing.TPDU() {
		tpdu = []byte{0x60, 0, 0, 0, 3}
	}
	if p.f.framing.Header() {
		header = []byte{0x60, 0x31, 0, 0x31, 1, 0}
	}
	out, err := p.f.framing.AppendFrame(nil, tpdu, header, body)
	require.NoError(p.f.t, err)
	return out
}

func (p *peer) write(frame []byte) {
	p.f.t.Helper()
	_, err := p.nc.Write(frame)
	require.NoError(p.f.t, err)
}

func (p *peer) answer(m *iso8583.Message, response string) { p.write(p.frame(m, response, nil)) }

// logOn takes the sign-on and approves it.
func (p *peer) logOn() {
	p.f.t.Helper()
	m := p.next()
	require.Equal(p.f.t, iso8583.MTI(0x0800), m.MTI())
	p.answer(m, "00")
}

// fakeServer takes what the links submit, or refuses it while overloaded.
type fakeServer struct {
	t      testing.TB
	bodies chan any

	mu      sync.Mutex
	refuse  int // so many more are refused
	refused chan struct{}
}

var errOverload = errors.New("overload")

func (s *fakeServer) Submit(body any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 {
		s.refuse--
		select {
		case s.refused <- struct{}{}:
		default:
		}
		return errOverload
	}
	s.bodies <- body
	return nil
}

func (s *fakeServer) next() any {
	s.t.Helper()
	select {
	case body := <-s.bodies:
		return body
	case <-time.After(patience):
		require.Fail(s.t, "nothing submitted")
		return nil
	}
}

func (s *fakeServer) up() { require.IsType(s.t, &engine.HostUp{}, s.next()) }
func (s *fakeServer) answered() *engine.HostAnswered {
	return must[*engine.HostAnswered](s.t, s.next())
}
func (s *fakeServer) unsent() *engine.HostUnsent { return must[*engine.HostUnsent](s.t, s.next()) }

func must[T any](t testing.TB, v any) T {
	t.Helper()
	got, ok := v.(T)
	require.True(t, ok, "%T %v", v, v)
	return got
}

type fakeOriginals map[engine.Token]*iso8583.Message

func (o fakeOriginals) Original(token engine.Token) (*iso8583.Message, *iso8583.Codec, bool) {
	m, ok := o[token]
	if !ok {
		return nil, nil, false
	}
	return m, m.Codec(), true
}

// fakeCards gives a fresh record each time: the link wipes what it gets.
type fakeCards struct{ record func() keys.CardRecord }

func (c fakeCards) OpenCard(card *event.Card) (keys.CardRecord, error) {
	if card == nil {
		return keys.CardRecord{}, keys.ErrEnvelope
	}
	return c.record(), nil
}

// rig is links, server and network of one test.
type rig struct {
	t       testing.TB
	hosts   *Hosts
	server  *fakeServer
	network *fakeNetwork
	cup     *iso8583.Codec
	orig    fakeOriginals
	metrics *Metrics
	now     func() time.Time
	clockMu sync.Mutex
	skew    time.Duration
}

func start(t testing.TB, dialect string, framing wire.Framing, change func(*Config)) *rig {
	t.Helper()
	return startWith(t, dialect, framing, func(c *Config, _ *Deps) {
		if change != nil {
			change(c)
		}
	})
}

func startWith(t testing.TB, dialect string, framing wire.Framing, change func(*Config, *Deps)) *rig {
	t.Helper()
	r := &rig{
		t: t, server: &fakeServer{t: t, bodies: make(chan any, 4096), refused: make(chan struct{}, 1)},
		network: listen(t, codecOf(t, dialect), framing), cup: codecOf(t, "cup"), orig: fakeOriginals{},
	}
	r.now = func() time.Time {
		r.clockMu.Lock()
		defer r.clockMu.Unlock()
		return time.Now().Add(r.skew)
	}
	var err error
	r.metrics, err = NewMetrics(prometheus.NewRegistry())
	require.NoError(t, err)
	cfg := Config{
		Name: "unionpay", Addresses: []string{r.network.listener.Addr().String()}, Framing: framing, Codec: r.network.codec,
		SignOn: true, Acquirer: "48022100", ReconnectMin: time.Millisecond, ReconnectMax: 5 * time.Millisecond,
	}
	if framing.TPDU() {
		cfg.TPDU = []byte{0x60, 0, 3, 0, 0}
	}
	if framing.Header() {
		cfg.Header = []byte{0x60, 0x31, 0, 0x31, 1, 0}
	}
	deps := Deps{
		Server: r.server, Originals: r.orig, Cards: fakeCards{record}, Logger: zap.NewNop(), Metrics: r.metrics,
		Now: r.now, Rand: rand.New(rand.NewPCG(1, 2)),
	}
	change(&cfg, &deps)
	r.hosts, err = New([]Config{cfg}, deps)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.hosts.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return r
}

// connected starts a link that is signed on.
func connected(t testing.TB, dialect string, framing wire.Framing, change func(*Config)) (*rig, *peer) {
	t.Helper()
	return logOn(start(t, dialect, framing, change))
}

func connectedWith(t testing.TB, dialect string, framing wire.Framing, change func(*Config, *Deps)) (*rig, *peer) {
	t.Helper()
	return logOn(startWith(t, dialect, framing, change))
}

func logOn(r *rig) (*rig, *peer) {
	r.t.Helper()
	p := r.network.accept()
	p.logOn()
	r.server.up()
	return r, p
}

// send gives one request as the server does with a batch of one.
func (r *rig) send(req *engine.HostRequest) {
	r.hosts.Send(req)
	r.hosts.Flush()
}

func record() keys.CardRecord {
	return keys.CardRecord{
		PAN: []byte("6224240000000017"), Expiry: []byte("3012"), Sequence: []byte("001"), EntryMode: []byte("052"),
		Condition: []byte("00"), Currency: []byte("156"), ICC: []byte("\x95\x05\x00\x00\x00\x00\x00\x9F\x36\x02\x00\x01"),
		POSData: []byte("2200000100060"),
	}
}

var sentAt = time.Date(2025, 6, 18, 10, 5, 12, 0, shanghai)

// original is the terminal's message in the cup dialect, with every kind of field in it; change makes another one of a
// sale.
func (r *rig) original(token engine.Token, mti iso8583.MTI, change map[int]string) *iso8583.Message {
	var b iso8583.Builder
	b.Reset(r.cup, mti)
	b.SetString(2, "6224240000000017")
	b.SetString(3, "000000")
	b.SetString(4, "000000479920")
	b.SetString(11, "000003")
	b.SetString(14, "3012")
	b.SetString(22, "052")
	b.SetString(23, "001")
	b.SetString(25, "00")
	b.SetString(35, "6224240000000017D301222010000000000")
	b.SetString(37, "TERMINALRRN1")
	b.SetString(41, "21010001")
	b.SetString(42, "898210157220001")
	b.SetString(49, "156")
	b.Set(55, []byte("\x9F\x26\x08\x01\x02\x03\x04\x05\x06\x07\x08\x9F\x02\x06\x00\x00\x00\x47\x99\x20"))
	b.SetString(59, "A3004CODES7012000000000123S5030W123.431500,41.805700,00000012A2002XY")
	b.SetString(60, "2200000100060")
	b.SetString(63, "001")
	b.SetString(64, "12345678")
	for n, v := range change {
		if b.Remove(n); v != "" {
			b.SetString(n, v)
		}
	}
	raw, err := b.Append(nil)
	require.NoError(r.t, err)
	m := new(iso8583.Message)
	require.NoError(r.t, r.cup.Parse(raw, m))
	r.orig[token] = m
	return m
}

func (r *rig) sale(n uint32) *engine.HostRequest {
	r.original(engine.Token(n), 0x0200, nil)
	return &engine.HostRequest{
		Host: "unionpay", Kind: engine.HostSale, Token: engine.Token(n), Purchase: uint64(n), STAN: n, RRN: rrn(n),
		TransmittedAt: sentAt.UnixNano(), Deadline: r.now().Add(time.Hour).UnixNano(), Amount: 479920, Key: key("21010001"),
	}
}

// request is the n-th one of the switch, over a message of the terminal.
func (r *rig) request(kind engine.HostKind, n uint32, mti iso8583.MTI, change map[int]string) *engine.HostRequest {
	req := r.sale(n)
	r.original(engine.Token(n), mti, change)
	req.Kind = kind
	return req
}

// soldAt and soldAs are when and under which DE11 the network got the sale that is taken back.
var soldAt = sentAt.Add(-time.Hour)

const soldAs = 4711

// void takes back the sale whose batch and STAN at the terminal were 1 and 2.
func (r *rig) void(n uint32) *engine.HostRequest {
	req := r.request(engine.HostVoid, n, 0x0200, map[int]string{
		3: "200000", 38: "TERMNL", 60: "2300000100060", 61: "0000010000020618",
	})
	req.Purchase, req.Operation = 7, uint64(n)
	req.Original = engine.OriginalData{STAN: soldAs, RRN: rrn(7), TransmittedAt: soldAt.UnixNano(), Amount: 479920, Approval: "123456"}
	return req
}

// refund is of another batch than its sale, whose batch was 9.
func (r *rig) refund(n uint32) *engine.HostRequest {
	req := r.void(n)
	r.original(engine.Token(n), 0x0220, map[int]string{
		3: "200000", 4: "000000100000", 60: "2500000100060", 61: "0000090000020618",
	})
	req.Kind, req.Amount = engine.HostRefund, 100000
	return req
}

func (r *rig) reversal(n uint32) *engine.HostRequest {
	return &engine.HostRequest{
		Host: "unionpay", Kind: engine.HostReversal, Purchase: uint64(n), Reversal: uint64(n) + 100, Attempt: 1, STAN: n, RRN: rrn(n),
		TransmittedAt: sentAt.Add(time.Minute).UnixNano(), Deadline: r.now().Add(time.Hour).UnixNano(), Amount: money.Amount(479920),
		Reason: "98", Card: &event.Card{Mask: "622424******0017"}, Key: key("21010001"),
		Original: engine.OriginalData{STAN: n, TransmittedAt: sentAt.UnixNano(), Approval: "123456"},
	}
}

func key(terminal string) engine.Key {
	k := engine.Key{Class: '2', Batch: 1, STAN: 3}
	copy(k.Terminal[:], terminal)
	copy(k.Merchant[:], "898210157220001")
	return k
}

func rrn(n uint32) string { return string(iso8583.AppendDigits([]byte("5169"), uint64(n), 8)) }

func fieldOf(m *iso8583.Message, n int) string { return string(m.AppendField(nil, n)) }
