package naive

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"huanxin/config/dialects"
	"huanxin/internal/bench/client"
	"huanxin/internal/bench/moovspec"
	"huanxin/internal/bench/seed"
	"huanxin/internal/postgres/pgtest"
	"huanxin/internal/simulator/issuer"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func codec(t *testing.T) *iso8583.Codec {
	t.Helper()
	spec, _, err := dialects.Load("", "cup")
	require.NoError(t, err)
	c, err := iso8583.Compile(spec)
	require.NoError(t, err)
	return c
}

// start runs a server on a database of its own, with a card network beside it.
func start(t *testing.T, cfg Config) (*Server, *issuer.Ledger) {
	t.Helper()
	ledger := issuer.NewLedger(nil)
	network, err := issuer.New(issuer.Config{
		Framing: wire.CUP, Codec: codec(t), Rules: issuer.DefaultRules(), Ledger: ledger, Logger: zap.NewNop(), Now: time.Now,
	})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- network.Serve(l) }()
	t.Cleanup(func() {
		network.Close()
		require.NoError(t, <-ended)
	})
	cfg.URL, cfg.Address, cfg.Host = pgtest.Empty(t).URL(), "127.0.0.1:0", l.Addr().String()
	cfg.Spec, err = moovspec.Load("cup")
	require.NoError(t, err)
	s, err := New(t.Context(), cfg)
	require.NoError(t, err)
	go func() { _ = s.Serve() }()
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, ledger
}

func reserves(t *testing.T, persons uint64) *client.Reserves {
	r, err := client.NewReserves(client.ReserveConfig{
		Codec: codec(t), Slots: 4, Persons: client.NewNumbers(0, persons), Barcodes: seed.Programme{}.Barcodes(1),
	})
	require.NoError(t, err)
	return r
}

func TestEachPersonIsGivenOneHoldAndTheBudgetPaysForIt(t *testing.T) {
	s, _ := start(t, Config{})
	loop := client.Closed{Address: s.Addr().String(), Connections: 2, InFlight: 2, Script: reserves(t, 30), Duration: time.Hour}
	run, err := loop.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(30), run.All)
	var held, purchases int64
	require.NoError(t, s.pool.QueryRow(t.Context(), "SELECT held, (SELECT count(*) FROM purchase) FROM budget").Scan(&held, &purchases))
	require.Equal(t, int64(30*seed.Price/5), held)
	require.Equal(t, int64(30), purchases)

	loop.Script = reserves(t, 30)
	_, err = loop.Run(t.Context())
	require.ErrorContains(t, err, `code "57"`, "the same persons once more")
	require.NoError(t, s.pool.QueryRow(t.Context(), "SELECT held, (SELECT count(*) FROM purchase) FROM budget").Scan(&held, &purchases))
	require.Equal(t, int64(30*seed.Price/5), held, "a refusal undoes all")
	require.Equal(t, int64(30), purchases)
}

func TestSaleGoesToTheNetworkAndIsCaptured(t *testing.T) {
	s, ledger := start(t, Config{Holds: 12, Terminals: 4})
	holds := make([][]uint64, 4)
	for i := range 12 {
		holds[i%4] = append(holds[i%4], uint64(i+1))
	}
	sales, err := client.NewSales(codec(t), 0, holds, func(int) uint32 { return 0 })
	require.NoError(t, err)
	loop := client.Closed{Address: s.Addr().String(), Connections: 1, InFlight: 4, Script: sales, Duration: time.Hour}
	run, err := loop.Run(t.Context())
	require.NoError(t, err)
	n := int(run.All) // the run ends with the first terminal that has no hold left
	require.GreaterOrEqual(t, n, 3)
	require.Len(t, sales.Acks(), n)
	var captured, spent, held int64
	require.NoError(t, s.pool.QueryRow(t.Context(),
		"SELECT (SELECT count(*) FROM purchase WHERE state = 3), spent, held FROM budget").Scan(&captured, &spent, &held))
	require.Equal(t, []int64{int64(n), int64(n) * seed.Price / 5, int64(12-n) * seed.Price / 5}, []int64{captured, spent, held})
	require.Len(t, ledger.Open(), n)
}
