package postgres_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"huanxin/internal/postgres"
	"huanxin/risk/geo"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/journal"
	"huanxin/switch/projection"
)

// BenchmarkBacklog drains a journal of b.N purchases – claim, code, reserve, sale, approval, as the engine writes them –
// into a private cluster with its usual settings, and says what that costs on both sides:
//
//	go test -run '^$' -bench Backlog -benchtime 30000x ./internal/postgres
//
// "through" is a day of trade, 64 purchases at a time from claim to approval; "claimed" are purchases with entitlements
// that all persons have claimed before.
func BenchmarkBacklog(b *testing.B) {
	for _, c := range []struct {
		name    string
		claimed bool
	}{{"through", false}, {"claimed", true}} {
		b.Run(c.name, func(b *testing.B) { backlog(b, c.claimed) })
	}
}

func backlog(b *testing.B, claimed bool) {
	ctx := context.Background()
	j, err := journal.Open(ctx, journal.Config{Programme: "test", Dir: b.TempDir()})
	require.NoError(b, err)
	defer func() { require.NoError(b, j.Close()) }()
	trade(b, j, b.N, claimed)

	server, err := postgres.StartPrivate(ctx, postgres.PrivateConfig{Dir: filepath.Join(b.TempDir(), "postgres")})
	require.NoError(b, err)
	defer func() { require.NoError(b, server.Close()) }()
	d, err := postgres.Open(ctx, postgres.Config{URL: server.URL()})
	require.NoError(b, err)
	defer d.Close()
	_, err = d.Migrate(ctx)
	require.NoError(b, err)
	p, err := projection.New(projection.Config{Journal: following{j}, Store: d.Projection(), Metrics: prometheus.NewRegistry()})
	require.NoError(b, err)

	wal, cpu, own := walBytes(b, d.URL()), cpuOf(b, server.Data()), ownCPU(b)
	b.ReportAllocs()
	b.ResetTimer()
	run, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(run) }()
	require.NoError(b, p.Wait(run, j.Position()))
	b.StopTimer()
	purchases := float64(b.N)
	b.ReportMetric(purchases/b.Elapsed().Seconds(), "purchases/s")
	b.ReportMetric((ownCPU(b)-own).Seconds()*1e5/purchases, "go-s/100k")
	b.ReportMetric((cpuOf(b, server.Data())-cpu).Seconds()*1e5/purchases, "pg-s/100k")
	b.ReportMetric(float64(walBytes(b, d.URL())-wal)/purchases, "wal-B/op")
	b.ReportMetric(float64(rowsOf(b, d.URL()))/purchases, "rows/op")
	cancel()
	require.NoError(b, <-ended)
}

// following lets a projector read a journal.
type following struct{ *journal.Journal }

func (f following) Holds(ctx context.Context, at projection.Position) error {
	return f.Journal.Holds(ctx, journal.Mark{Name: "rows", Position: at.Batch, Hash: at.Hash})
}

func (f following) Follow(ctx context.Context, from uint64) (projection.Source, error) {
	r, err := f.Journal.Follow(ctx, from)
	return source{r}, err
}

type source struct{ *journal.Reader }

func (s source) Next(ctx context.Context) (projection.Batch, error) {
	b, err := s.Reader.Next(ctx)
	if err != nil {
		return projection.Batch{}, err
	}
	return projection.Batch{Position: b.Position, Hash: b.Hash, Events: b.Events}, nil
}

// abreast is how many purchases are on their way at a time: each of their steps shares a batch of the journal.
const abreast = 64

const terminals = 500

// trade lets the engine decide n purchases and appends what it says to j.
func trade(b *testing.B, j *journal.Journal, n int, claimed bool) {
	province, err := geo.Load(geo.LiaoningGeoJSON)
	require.NoError(b, err)
	e, err := engine.New(engine.Config{Map: province, Hosts: map[string]engine.HostProfile{
		"cup": {Timeout: 25 * time.Second, FirstRetry: 5 * time.Second, MaxRetry: time.Minute},
	}})
	require.NoError(b, err)
	now := time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC).UnixNano()
	var draft journal.Draft
	step := func(body any) engine.Output {
		now += 20_000
		out := e.Step(engine.Input{At: now, Body: body})
		require.NoError(b, draft.Add(out.Events...))
		for _, s := range out.Sends {
			if s.Admin != nil {
				require.Empty(b, s.Admin.Problems)
			}
		}
		return out
	}
	flush := func() {
		_, err := j.Append(context.Background(), &draft)
		require.NoError(b, err)
		draft.Reset()
	}
	step(&engine.TakeOwnership{Owner: "bench", Programme: "test"})
	step(&engine.ApplyProgramme{Files: programmeOfTrade(b)})
	rows := &engine.SetRows{
		Merchants: [][]string{{"898210157220001", "沈阳电器", "210100", "210100", "5722", "@appliance", "store", "active"}},
		Products:  [][]string{{"6901234102963", "A04", "空调", "凌风", "K1", "1", "energy", "HX5", "3000.00", "", "active", "sn"}},
	}
	for i := range terminals {
		rows.Terminals = append(rows.Terminals, []string{fmt.Sprint(21010001 + i), "898210157220001", "210100", "store", "123.4294", "41.7964", "active", "1"})
	}
	step(rows)
	flush()

	each := func(from int, input func(i int) any) {
		for i := from; i < min(from+abreast, n); i++ {
			step(input(i))
		}
		flush()
	}
	claim := func(i int) any {
		return &engine.ClaimRequest{Token: 1, Person: hashOf("p", i), IDKind: "id-card", Category: "A04", City: "210100", Channel: "store"}
	}
	show := func(i int) any {
		return &engine.ShowCodeRequest{Token: 1, Entitlement: uint64(i) + 1, Code: hashOf("c", i),
			Position: engine.Position{Given: true, At: geo.Point{Lon: 123_431_500, Lat: 41_805_700}, CRS: geo.WGS84}}
	}
	for from := 0; claimed && from < n; from += abreast {
		each(from, claim)
	}
	for from := 0; from < n; from += abreast {
		if !claimed {
			each(from, claim)
		}
		each(from, show)
		buy(b, step, flush, from, min(from+abreast, n))
	}
	require.Equal(b, uint64(n)+1, e.Book().NextEntitlement())
}

func buy(b *testing.B, step func(any) engine.Output, flush func(), from, to int) {
	replies := make([]*engine.Reply, 0, abreast)
	for i := from; i < to; i++ {
		in := &engine.ReserveRequest{Token: 1, Price: 300_000, Barcode: "6901234102963", SerialOK: true, SerialMask: "SN****01",
			Order: fmt.Sprintf("order %d", i), Code: hashOf("c", i), Serial: hashOf("s", i), Content: hashOf("content", 0), Key: keyOf('1', i)}
		reply := step(in).Sends[0].Reply
		require.Equal(b, "00", string(reply.Response[:]), "%v", reply.Reasons)
		replies = append(replies, reply)
	}
	flush()
	hosts := make([]*engine.HostRequest, 0, abreast)
	for i := from; i < to; i++ {
		r := replies[i-from]
		token := hashOf("card", i)
		hosts = append(hosts, step(&engine.SaleRequest{Token: 1, Key: keyOf('2', i), Content: hashOf("sale", i), Hold: r.Hold,
			Amount: r.Payable, ICCAmount: r.Payable, Host: "cup", EntryMode: [3]byte{'0', '5', '1'},
			Card: &event.Card{Token: token[:], Mask: "622424******0017", KeyId: "k", Envelope: make([]byte, 64)}}).Sends[0].Host)
	}
	flush()
	for _, h := range hosts {
		out := step(&engine.HostAnswered{Host: "cup", Kind: engine.HostSale, RRN: h.RRN,
			Answer: event.HostAnswer{Response: "00", Approval: "123456", ClearingDate: "0302"}})
		require.Equal(b, "00", string(out.Sends[0].Reply.Response[:]))
	}
	flush()
}

func keyOf(class byte, i int) engine.Key {
	k := engine.Key{Class: class, Batch: 1, STAN: uint32(i/terminals)*2 + uint32(class-'0')}
	copy(k.Terminal[:], strconv.Itoa(21010001+i%terminals))
	copy(k.Merchant[:], "898210157220001")
	return k
}

func hashOf(kind string, i int) engine.Hash {
	sum := sha256.Sum256(fmt.Append(nil, kind, i))
	return engine.Hash(sum[:16])
}

func programmeOfTrade(b *testing.B) map[string][]byte {
	files := map[string][]byte{"budget.yaml": []byte(`
source: bench
status: assumption
levels: [city, channel, category, round]
claim_reserves: {value: none, source: bench, status: assumption}
paying_city: {default: merchant}
rounds:
  - {id: r1, open: "2026-01-01T00:00:00+08:00", close: "2027-01-01T00:00:00+08:00", carry_over: parent}
nodes:
  - {path: "", amount: 9000000000.00}
  - {path: "210100", amount: 8000000000.00}
  - {path: "210100/store", amount: 8000000000.00}
  - {path: "210100/store/A04", amount: 8000000000.00}
  - {path: "210100/store/A04/r1", amount: 8000000000.00}
`)}
	for _, name := range []string{"programme.yaml", "policy.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "switch", "engine", "testdata", "programme", name))
		require.NoError(b, err)
		files[name] = text
	}
	return files
}

// ownCPU is what this process has used so far.
func ownCPU(b *testing.B) time.Duration {
	var use syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// cpuOf is what the server of a data folder and its processes have used so far, those included that have ended.
func cpuOf(b *testing.B, data string) time.Duration {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	require.NoError(b, err)
	postmaster, _, _ := strings.Cut(string(text), "\n")
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(b, err)
	ticks := 0
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // has ended
		}
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+2:]) // from the third on: state, parent …
		number := func(i int) int {
			n, err := strconv.Atoi(string(fields[i-3]))
			require.NoError(b, err)
			return n
		}
		switch postmaster {
		case filepath.Base(filepath.Dir(file)):
			ticks += number(14) + number(15) + number(16) + number(17)
		case string(fields[4-3]):
			ticks += number(14) + number(15)
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func walBytes(b *testing.B, url string) (n int64) {
	ask(b, url, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint", &n)
	return n
}

func rowsOf(b *testing.B, url string) (n int64) {
	for _, table := range []string{"purchases", "holds", "captures", "entitlements", "budget_movements", "purchase_positions"} {
		var rows int64
		ask(b, url, "SELECT count(*) FROM "+table, &rows)
		n += rows
	}
	return n
}

func ask(b *testing.B, url, question string, into *int64) {
	conn, err := pgx.Connect(context.Background(), url)
	require.NoError(b, err)
	defer conn.Close(context.Background())
	require.NoError(b, conn.QueryRow(context.Background(), question).Scan(into))
}
