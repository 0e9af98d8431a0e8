package issuer

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"huanxin/internal/money"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/host"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys"
	"huanxin/switch/wire"
)

// dumbEngine stands in for the engine: it sends sales, voids and refunds over the real link, reverses sales and voids that
// are not answered as a plain approval, and remembers what it believes was done. A refund without an answer is unknown.
type dumbEngine struct {
	hosts    *host.Hosts
	messages map[engine.HostKind]*iso8583.Message

	mu   sync.Mutex // guards asks
	asks map[string]*dumbAsk
	up   chan struct{}
}

type dumbAsk struct {
	n        uint32
	kind     engine.HostKind
	amount   money.Amount
	of       *dumbAsk // of a void or refund: its sale
	sentAt   time.Time
	approved bool
	reversed bool
	unsent   bool
	unknown  bool
	ended    bool
	done     chan struct{}
}

func (e *dumbEngine) Original(token engine.Token) (*iso8583.Message, *iso8583.Codec, bool) {
	m := e.messages[engine.HostKind(token)]
	return m, m.Codec(), true
}

func (e *dumbEngine) OpenCard(*event.Card) (keys.CardRecord, error) {
	return keys.CardRecord{
		PAN: []byte("6224240000000017"), EntryMode: []byte("022"), Currency: []byte("156"), POSData: []byte("2200000100060"),
	}, nil
}

func rrnOf(n uint32) string { return string(iso8583.AppendDigits(nil, uint64(n), 12)) }

// ask sends a request. When nothing has come by the deadline it is given up. The done channel closes when all is settled
// that can be.
func (e *dumbEngine) ask(kind engine.HostKind, n uint32, of *dumbAsk, patience time.Duration) *dumbAsk {
	rrn := rrnOf(n)
	a := &dumbAsk{n: n, kind: kind, amount: 10000, of: of, sentAt: time.Now(), done: make(chan struct{})}
	if kind == engine.HostRefund {
		a.amount = 4000
	}
	e.mu.Lock()
	e.asks[rrn] = a
	e.mu.Unlock()
	req := &engine.HostRequest{
		Host: "net", Kind: kind, Token: engine.Token(kind), Purchase: uint64(n), STAN: n, RRN: rrn, TransmittedAt: a.sentAt.UnixNano(),
		Deadline: a.sentAt.Add(patience).UnixNano(), Amount: a.amount, Key: keyOf(n),
	}
	if of != nil {
		req.Original = engine.OriginalData{STAN: of.n, RRN: rrnOf(of.n), TransmittedAt: of.sentAt.UnixNano(), Amount: of.amount}
	}
	e.hosts.Send(req)
	e.hosts.Flush()
	time.AfterFunc(patience, func() { e.giveUp(rrn, 1) })
	return a
}

func keyOf(n uint32) engine.Key {
	k := engine.Key{Class: '2', Batch: 1, STAN: n}
	copy(k.Terminal[:], string(iso8583.AppendDigits(nil, uint64(n%7), 8)))
	copy(k.Merchant[:], "898210157220001")
	return k
}

func (e *dumbEngine) giveUp(rrn string, attempt uint32) {
	e.mu.Lock()
	a := e.asks[rrn]
	again := !a.approved && !a.ended
	if again && a.kind == engine.HostRefund {
		a.unknown, again = true, false
		e.end(a)
	}
	a.reversed = a.reversed || again
	e.mu.Unlock()
	if !again {
		return
	}
	processing := "000000"
	if a.kind == engine.HostVoid {
		processing = "200000"
	}
	e.hosts.Send(&engine.HostRequest{
		Host: "net", Kind: engine.HostReversal, Purchase: uint64(a.n), Reversal: uint64(a.n), Attempt: attempt, STAN: a.n, RRN: rrn,
		TransmittedAt: time.Now().UnixNano(), Deadline: time.Now().Add(time.Hour).UnixNano(), Amount: 10000, Reason: "98",
		Processing: processing, Key: keyOf(a.n), Original: engine.OriginalData{STAN: a.n, TransmittedAt: a.sentAt.UnixNano()},
	})
	e.hosts.Flush()
	time.AfterFunc(20*time.Millisecond, func() { e.giveUp(rrn, attempt+1) }) // until it is answered
}

// Submit takes what the links learn.
func (e *dumbEngine) Submit(body any) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch in := body.(type) {
	case *engine.HostUp:
		select {
		case e.up <- struct{}{}:
		default:
		}
	case *engine.HostUnsent:
		if a := e.asks[in.RRN]; in.Kind != engine.HostReversal && !a.reversed {
			a.unsent = true
			e.end(a)
		}
	case *engine.HostAnswered:
		a := e.asks[in.RRN]
		switch {
		case in.Kind == engine.HostReversal && in.Answer.Response != "96":
			e.end(a)
		case in.Kind == engine.HostSale && !a.reversed && !a.ended:
			if a.approved = Approved(in.Answer.Response); a.approved || in.Answer.Response != "10" {
				e.end(a)
			}
		}
	}
	return nil
}

func (e *dumbEngine) end(a *dumbAsk) {
	if !a.ended {
		a.ended = true
		close(a.done)
	}
}

// believed is what the switch's side thinks that the payer of each sale is charged. The end of an unknown refund it learns
// from the network's own account, as from a clearing file.
func (e *dumbEngine) believed(ledger *Ledger) map[string]money.Amount {
	list := map[string]money.Amount{}
	for rrn, a := range e.asks {
		if a.kind == engine.HostSale && a.approved {
			list[rrn] += a.amount
		}
		if a.kind != engine.HostSale && (a.approved || a.unknown && ledger.Outcome(rrn).Done) {
			list[rrnOf(a.of.n)] -= a.amount
		}
	}
	for rrn, net := range list {
		if net == 0 {
			delete(list, rrn)
		}
	}
	return list
}

// The link and the network, both real, with every kind of bad treatment: what the switch's side believes to be charged is
// what stands in the network's ledger, to the RRN.
func TestLinkAndLedgerAgreeOverAnUnfriendlyNetwork(t *testing.T) {
	codec := codecOf(t, "cup")
	rules := DefaultRules()
	rules.Unfriendly, rules.LateBy, rules.SlowBy = 0.3, 300*time.Millisecond, 10*time.Millisecond
	ledger := NewLedger(nil)
	network, err := New(Config{Framing: wire.CUP, Codec: codec, Rules: rules, Ledger: ledger, Logger: zap.NewNop(), Now: time.Now})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- network.Serve(listener) }()

	const sales, tills = 400, 16
	e := &dumbEngine{asks: make(map[string]*dumbAsk), up: make(chan struct{}, 2), messages: map[engine.HostKind]*iso8583.Message{
		engine.HostSale:   tillMessage(t, codec, 0x0200, "000000", "000000010000", "2200000100060"),
		engine.HostVoid:   tillMessage(t, codec, 0x0200, "200000", "000000010000", "2300000100060"),
		engine.HostRefund: tillMessage(t, codec, 0x0220, "200000", "000000004000", "2500000100060"),
	}}
	metrics, err := host.NewMetrics(prometheus.NewRegistry())
	require.NoError(t, err)
	e.hosts, err = host.New([]host.Config{{
		Name: "net", Addresses: []string{listener.Addr().String()}, Framing: wire.CUP, Codec: codec, SignOn: true, Connections: 2,
		TPDU: []byte{0x60, 0, 3, 0, 0}, Header: []byte{0x60, 0x31, 0, 0x31, 1, 0},
		ReconnectMin: time.Millisecond, ReconnectMax: 4 * time.Millisecond,
	}}, host.Deps{
		Server: e, Originals: e, Cards: e, Logger: zap.NewNop(), Metrics: metrics, Now: time.Now, Rand: rand.New(rand.NewPCG(1, 1)),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		e.hosts.Run(ctx)
	}()
	for range 2 {
		await(t, e.up)
	}
	var next, sent atomic.Uint32
	var workers sync.WaitGroup
	ask := func(kind engine.HostKind, of *dumbAsk) *dumbAsk {
		a := e.ask(kind, next.Add(1), of, 150*time.Millisecond)
		<-a.done
		return a
	}
	for range tills {
		workers.Go(func() {
			for sent.Load() < sales {
				sale := ask(engine.HostSale, nil)
				if sale.unsent {
					continue // the slot is being dialled again
				}
				if sent.Add(1)%100 == 50 {
					network.Disconnect()
				}
				switch {
				case !sale.approved:
				case sale.n%3 == 0:
					ask(engine.HostVoid, sale)
				case sale.n%3 == 1: // three of them exceed the sale
					for range 3 {
						ask(engine.HostRefund, sale)
					}
				}
			}
		})
	}
	settled := make(chan struct{})
	go func() {
		workers.Wait()
		close(settled)
	}()
	await(t, settled)
	cancel()
	<-stopped
	network.Close()
	require.NoError(t, <-served)

	charged := map[string]money.Amount{}
	for _, entry := range ledger.Open() {
		charged[entry.Line.RRN] = entry.Net
	}
	require.Equal(t, charged, e.believed(ledger), "what is charged, and what the switch believes")
	s := ledger.Summary()
	require.Zero(t, s.Repeats)
	require.Greater(t, s.Charges, sales/2)
	for name, n := range map[string]int{"returns": s.Returns, "voids": s.Voids, "unvoids": s.Unvoids, "refunds": s.Refunds} {
		require.Positive(t, n, name)
	}
}

func await(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		require.Fail(t, "waited in vain")
	}
}

func tillMessage(t *testing.T, codec *iso8583.Codec, mti iso8583.MTI, code, amount, posData string) *iso8583.Message {
	t.Helper()
	var b iso8583.Builder
	b.Reset(codec, mti)
	for n, v := range map[int]string{2: "6224240000000017", 3: code, 4: amount, 11: "000001", 22: "022", 25: "00",
		41: "21010001", 42: "898210157220001", 49: "156", 60: posData} {
		b.SetString(n, v)
	}
	raw, err := b.Append(nil)
	require.NoError(t, err)
	m := new(iso8583.Message)
	require.NoError(t, codec.Parse(raw, m))
	return m
}
