package engine_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/risk/geo"
	"huanxin/switch/engine"
	"huanxin/switch/event"
)

// crowd is an engine in which n persons have claimed an air conditioner and show a code in Shenyang.
func crowd(b testing.TB, n int) (*engine.Engine, int64) {
	e, err := engine.New(labConfig(b))
	require.NoError(b, err)
	now := labStart
	step := func(body any) engine.Output { return e.Step(engine.Input{At: now, Body: body}) }
	crowded(b, step)
	for i := range n {
		claimAndShow(step, i)
	}
	require.Equal(b, uint64(n)+1, e.Book().NextEntitlement())
	return e, now
}

// crowded puts a programme with much money into force.
func crowded(b testing.TB, step func(any) engine.Output) {
	files := labFiles(b)
	files["budget.yaml"] = []byte(richBudget)
	for _, body := range []any{
		&engine.TakeOwnership{Owner: "bench", Programme: "test"},
		&engine.ApplyProgramme{Files: files},
		&engine.SetRows{Merchants: labMerchants, Terminals: labTerminals, Products: labProducts},
	} {
		for _, s := range step(body).Sends {
			if s.Admin != nil {
				require.Empty(b, s.Admin.Problems)
			}
		}
	}
}

func claimAndShow(step func(any) engine.Output, i int) {
	step(&engine.ClaimRequest{Token: 1, Person: hashOf(fmt.Sprintf("p%d", i)), IDKind: "id-card", Category: "A04", City: "210100", Channel: "store"})
	step(&engine.ShowCodeRequest{Token: 1, Entitlement: uint64(i) + 1, Code: hashOf(fmt.Sprintf("c%d", i)),
		Position: engine.Position{Given: true, At: geo.Point{Lon: 123_431_500, Lat: 41_805_700}, CRS: geo.WGS84}})
}

const richBudget = `
source: bench
status: assumption
levels: [city, category, round]
claim_reserves: {value: none, source: bench, status: assumption}
paying_city: {default: merchant}
rounds:
  - {id: r1, open: "2026-01-01T00:00:00+08:00", close: "2027-01-01T00:00:00+08:00", carry_over: parent}
nodes:
  - {path: "", amount: 9000000000.00}
  - {path: "210100", amount: 8000000000.00}
  - {path: "210100/A04", amount: 8000000000.00}
  - {path: "210100/A04/r1", amount: 8000000000.00}
`

func benchReserve(i int) *engine.ReserveRequest {
	in := &engine.ReserveRequest{Token: 1, Price: 300_000, Barcode: "6901234102963", SerialOK: true, SerialMask: "SN****01", Order: fmt.Sprintf("order %d", i),
		Code: hashOf(fmt.Sprintf("c%d", i)), Serial: hashOf(fmt.Sprintf("s%d", i)), Content: hashOf("content")}
	in.Key = engine.Key{Class: '1', Batch: 1, STAN: uint32(i % 1_000_000)}
	copy(in.Key.Terminal[:], "21010001")
	copy(in.Key.Merchant[:], "898210157220001")
	return in
}

func benchSale(in *engine.ReserveRequest, r *engine.Reply) *engine.SaleRequest {
	key := in.Key
	key.Class = '2'
	return &engine.SaleRequest{Token: 1, Key: key, Content: hashOf("sale"), Hold: r.Hold, Amount: r.Payable, ICCAmount: r.Payable,
		Host: "cup", EntryMode: [3]byte{'0', '5', '1'}, Card: &event.Card{Token: make([]byte, 16), Mask: "622424******0017", KeyId: "k", Envelope: make([]byte, 64)}}
}

func benchApproval(rrn string) *engine.HostAnswered {
	return &engine.HostAnswered{Host: "cup", Kind: engine.HostSale, RRN: rrn,
		Answer: event.HostAnswer{Response: "00", Approval: "123456", ClearingDate: "0302"}}
}

// BenchmarkReserve decides the reserve of a purchase: code, product, policy, place, serial, budget, hold.
func BenchmarkReserve(b *testing.B) {
	e, now := crowd(b, b.N)
	inputs := make([]*engine.ReserveRequest, b.N)
	for i := range inputs {
		inputs[i] = benchReserve(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, in := range inputs {
		out := e.Step(engine.Input{At: now, Body: in})
		if out.Sends[0].Reply.Response != [2]byte{'0', '0'} {
			b.Fatalf("refused: %v", out.Sends[0].Reply.Reasons)
		}
	}
}

// BenchmarkReserveMillion is the same with a million persons in the state, who come in no order: every look-up misses the
// processor's caches. It reports the median too.
func BenchmarkReserveMillion(b *testing.B) {
	const persons, stride = 1_000_000, 611_953 // coprime: every person comes once
	inputs := make([]*engine.ReserveRequest, min(b.N, persons))
	for i := range inputs {
		inputs[i] = benchReserve(i * stride % persons)
		inputs[i].Key.STAN = uint32(i)
	}
	took := make([]time.Duration, 0, b.N)
	var e *engine.Engine
	var now int64
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		if n%persons == 0 {
			b.StopTimer()
			e, now = crowd(b, persons)
			runtime.GC()
			b.StartTimer()
		}
		begun := time.Now()
		out := e.Step(engine.Input{At: now, Body: inputs[n%persons]})
		took = append(took, time.Since(begun))
		if out.Sends[0].Reply.Response != [2]byte{'0', '0'} {
			b.Fatalf("refused: %v", out.Sends[0].Reply.Reasons)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "p50-ns/op")
}

// BenchmarkSale decides the sale on a hold and its host's approval: two steps.
func BenchmarkSale(b *testing.B) {
	e, now := crowd(b, b.N)
	sales := make([]*engine.SaleRequest, b.N)
	for i := range sales {
		in := benchReserve(i)
		sales[i] = benchSale(in, e.Step(engine.Input{At: now, Body: in}).Sends[0].Reply)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, in := range sales {
		host := e.Step(engine.Input{At: now, Body: in}).Sends[0].Host
		out := e.Step(engine.Input{At: now, Body: benchApproval(host.RRN)})
		if out.Sends[0].Reply.Response != [2]byte{'0', '0'} {
			b.Fatal("declined")
		}
	}
}

// BenchmarkClaimRefused is a claim in a rush on a category that the city does not have money for.
func BenchmarkClaimRefused(b *testing.B) {
	e, now := crowd(b, 1)
	in := &engine.ClaimRequest{Token: 1, Person: hashOf("rush"), IDKind: "id-card", Category: "A01", City: "210100", Channel: "store"}
	b.ReportAllocs()
	for b.Loop() {
		if out := e.Step(engine.Input{At: now, Body: in}); len(out.Events) != 0 {
			b.Fatal("a refused claim leaves no trace")
		}
	}
}

// TestADecisionAllocatesLittle holds what one reserve, one sale and one answer may take from the heap: the facts that stay,
// and what leaves the process.
func TestADecisionAllocatesLittle(t *testing.T) {
	const n = 500
	e, now := crowd(t, n+1)
	holds := make([]*engine.Reply, 0, n+1)
	reserves := make([]*engine.ReserveRequest, n+1) // one more: AllocsPerRun warms up
	for i := range reserves {
		reserves[i] = benchReserve(i)
	}
	sales := make([]*engine.SaleRequest, 0, n+1)
	next := 0
	require.LessOrEqual(t, testing.AllocsPerRun(n, func() {
		in := reserves[next]
		next++
		holds = append(holds, e.Step(engine.Input{At: now, Body: in}).Sends[0].Reply)
	}), 2.0) // the answer, and the growth of tables
	for i, r := range holds {
		sales = append(sales, benchSale(reserves[i], r))
	}
	rrns := make([]string, 0, n+1)
	next = 0
	require.LessOrEqual(t, testing.AllocsPerRun(n, func() {
		rrns = append(rrns, e.Step(engine.Input{At: now, Body: sales[next]}).Sends[0].Host.RRN)
		next++
	}), 5.0) // what rested is unpacked
	answers := make([]*engine.HostAnswered, 0, n+1)
	for _, rrn := range rrns {
		answers = append(answers, benchApproval(rrn))
	}
	next = 0
	require.LessOrEqual(t, testing.AllocsPerRun(n, func() {
		if out := e.Step(engine.Input{At: now, Body: answers[next]}); len(out.Events) != 1 {
			panic("not answered")
		}
		next++
	}), 2.0)
}

// recorded are the packed facts of n purchases: claim, code, reserve, sale, approval.
func recorded(b testing.TB, n int) [][]byte {
	e, err := engine.New(labConfig(b))
	require.NoError(b, err)
	var raw [][]byte
	now := labStart
	step := func(body any) engine.Output {
		out := e.Step(engine.Input{At: now, Body: body})
		for _, ev := range out.Events {
			packed, err := ev.MarshalVT()
			require.NoError(b, err)
			raw = append(raw, packed)
		}
		now += 100_000
		return out
	}
	crowded(b, step)
	for i := range n {
		claimAndShow(step, i)
		in := benchReserve(i)
		r := step(in).Sends[0].Reply
		host := step(benchSale(in, r)).Sends[0].Host
		step(benchApproval(host.RRN))
	}
	return raw
}

// BenchmarkApply decodes and applies what a follower or a replay reads, one event an operation.
func BenchmarkApply(b *testing.B) {
	raw := recorded(b, b.N/5+1)
	e, err := engine.New(labConfig(b))
	require.NoError(b, err)
	var loan event.Loan
	runtime.GC()
	b.ReportAllocs()
	b.ResetTimer()
	for _, packed := range raw[:b.N] {
		ev, body, err := loan.Decode(packed)
		if err != nil {
			b.Fatal(err)
		}
		e.ApplyPacked(ev, body)
	}
}

// BenchmarkClaim is a claim that is granted, and the code for the till.
func BenchmarkClaim(b *testing.B) {
	e, now := crowd(b, 0)
	claims := make([]engine.ClaimRequest, b.N)
	codes := make([]engine.ShowCodeRequest, b.N)
	for i := range claims {
		claims[i] = engine.ClaimRequest{Token: 1, Person: hashOf(fmt.Sprintf("p%d", i)), Request: hashOf(fmt.Sprintf("r%d", i)),
			IDKind: "id-card", Category: "A04", City: "210100", Channel: "store"}
		codes[i] = engine.ShowCodeRequest{Token: 1, Entitlement: uint64(i) + 1, Code: hashOf(fmt.Sprintf("c%d", i)),
			Position: engine.Position{Given: true, At: geo.Point{Lon: 123_431_500, Lat: 41_805_700}, CRS: geo.WGS84}}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range claims {
		e.Step(engine.Input{At: now, Body: &claims[i]})
		if out := e.Step(engine.Input{At: now, Body: &codes[i]}); len(out.Events) != 1 {
			b.Fatal("no code")
		}
	}
}
