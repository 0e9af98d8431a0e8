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

	"huanxin/config/dialects"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/host"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys"
	"huanxin/switch/wire"
)

// dumbEngine stands in for the engine: it sends sales over the real link, reverses what is not answered as a plain approval, and
// remembers what it believes was charged.
type dumbEngine struct {
	hosts   *host.Hosts
	message *iso8583.Message

	mu    sync.Mutex // guards sales
	sales map[string]*dumbSale
	up    chan struct{}
}

type dumbSale struct {
	n        uint32
	captured bool
	reversed bool
	unsent   bool
	ended    bool
	done     chan struct{}
}

func (e *dumbEngine) Original(engine.Token) (*iso8583.Message, *iso8583.Codec, bool) {
	return e.message, e.message.Codec(), true
}

func (e *dumbEngine) OpenCard(*event.Card) (keys.CardRecord, error) {
	return keys.CardRecord{
		PAN: []byte("6224240000000017"), EntryMode: []byte("022"), Currency: []byte("156"), POSData: []byte("2200000100060"),
	}, nil
}

func rrnOf(n uint32) string { return string(iso8583.AppendDigits(nil, uint64(n), 12)) }

// sell sends the sale. When nothing has come by the deadline it is given up and reversed. The channel closes when all is
// settled.
func (e *dumbEngine) sell(n uint32, patience time.Duration) <-chan struct{} {
	rrn, done := rrnOf(n), make(chan struct{})
	e.mu.Lock()
	e.sales[rrn] = &dumbSale{n: n, done: done}
	e.mu.Unlock()
	e.hosts.Send(&engine.HostRequest{
		Host: "net", Kind: engine.HostSale, Purchase: uint64(n), STAN: n, RRN: rrn, TransmittedAt: time.Now().UnixNano(),
		Deadline: time.Now().Add(patience).UnixNano(), Amount: 10000, Key: keyOf(n),
	})
	time.AfterFunc(patience, func() { e.giveUp(rrn) })
	return done
}

func (e *dumbEngine) wasUnsent(n uint32) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sales[rrnOf(n)].unsent
}

func keyOf(n uint32) engine.Key {
	k := engine.Key{Class: '2', Batch: 1, STAN: n}
	copy(k.Terminal[:], string(iso8583.AppendDigits(nil, uint64(n%7), 8)))
	copy(k.Merchant[:], "898210157220001")
	return k
}

func (e *dumbEngine) giveUp(rrn string) {
	e.mu.Lock()
	s := e.sales[rrn]
	again := !s.captured && !s.ended
	s.reversed = s.reversed || again
	e.mu.Unlock()
	if !again {
		return
	}
	e.hosts.Send(&engine.HostRequest{
		Host: "net", Kind: engine.HostReversal, Purchase: uint64(s.n), Reversal: uint64(s.n), STAN: s.n, RRN: rrn,
		TransmittedAt: time.Now().UnixNano(), Deadline: time.Now().Add(time.Hour).UnixNano(), Amount: 10000, Reason: "98",
		Key: keyOf(s.n), Original: engine.OriginalData{STAN: s.n, TransmittedAt: time.Now().UnixNano()},
	})
	time.AfterFunc(20*time.Millisecond, func() { e.giveUp(rrn) }) // until it is answered
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
		if s := e.sales[rrnOf(uint32(in.Purchase))]; in.Kind == engine.HostSale && !s.reversed {
			s.unsent = true
			e.end(s)
		}
	case *engine.HostAnswered:
		s := e.sales[in.RRN]
		switch {
		case in.Kind == engine.HostReversal && in.Answer.Response != "96":
			e.end(s)
		case in.Kind == engine.HostSale && !s.reversed && !s.ended:
			if s.captured = Approved(in.Answer.Response); s.captured || in.Answer.Response != "10" {
				e.end(s)
			}
		}
	}
	return nil
}

func (e *dumbEngine) end(s *dumbSale) {
	if !s.ended {
		s.ended = true
		close(s.done)
	}
}

// The link and the network, both real, with every kind of bad treatment: what the switch's side believes to be charged is
// what stands in the network's ledger, to the RRN.
func TestLinkAndLedgerAgreeOverAnUnfriendlyNetwork(t *testing.T) {
	spec, _, err := dialects.Load("../../../config/dialects", "cup")
	require.NoError(t, err)
	codec, err := iso8583.Compile(spec)
	require.NoError(t, err)
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
	e := &dumbEngine{message: saleMessage(t, codec), sales: make(map[string]*dumbSale), up: make(chan struct{}, 2)}
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
	for range tills {
		workers.Go(func() {
			for sent.Load() < sales {
				n := next.Add(1)
				<-e.sell(n, 150*time.Millisecond)
				if e.wasUnsent(n) {
					continue // the slot is being dialled again
				}
				if sent.Add(1)%100 == 50 {
					network.Disconnect()
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

	believed := map[string]bool{}
	for rrn, s := range e.sales {
		if s.captured {
			believed[rrn] = true
		}
	}
	for _, line := range ledger.Open() {
		require.True(t, believed[line.RRN], "RRN %s is charged and the switch does not know", line.RRN)
		delete(believed, line.RRN)
	}
	require.Empty(t, believed, "the switch believes in charges that do not stand")
	require.Zero(t, ledger.Summary().Repeats)
	require.Greater(t, ledger.Summary().Charges, sales/2)
	require.Positive(t, ledger.Summary().Returns)
}

func await(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		require.Fail(t, "waited in vain")
	}
}

func saleMessage(t *testing.T, codec *iso8583.Codec) *iso8583.Message {
	t.Helper()
	var b iso8583.Builder
	b.Reset(codec, 0x0200)
	for n, v := range map[int]string{2: "6224240000000017", 3: "000000", 4: "000000010000", 11: "000001", 22: "022", 25: "00",
		41: "21010001", 42: "898210157220001", 49: "156", 60: "2200000100060"} {
		b.SetString(n, v)
	}
	raw, err := b.Append(nil)
	require.NoError(t, err)
	m := new(iso8583.Message)
	require.NoError(t, codec.Parse(raw, m))
	return m
}
