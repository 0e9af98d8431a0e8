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
	step := func(body any) {
		for _, s := range e.Step(engine.Input{At: now, Body: body}).Sends {
			if s.Admin != nil {
				require.Empty(b, s.Admin.Problems)
			}
		}
	}
	files := labFiles(b)
	files["budget.yaml"] = []byte(richBudget)
	step(&engine.TakeOwnership{Owner: "bench", Programme: "test"})
	step(&engine.ApplyProgramme{Files: files})
	step(&engine.SetRows{Merchants: labMerchants, Terminals: labTerminals, Products: labProducts})
	for i := range n {
		step(&engine.ClaimRequest{Token: 1, Person: hashOf(fmt.Sprintf("p%d", i)), IDKind: "id-card", Category: "A04", City: "210100", Channel: "store"})
		step(&engine.ShowCodeRequest{Token: 1, Entitlement: uint64(i) + 1, Code: hashOf(fmt.Sprintf("c%d", i)),
			Position: engine.Position{Given: true, At: geo.Point{Lon: 123_431_500, Lat: 41_805_700}, CRS: geo.WGS84}})
	}
	require.Equal(b, uint64(n)+1, e.Book().NextEntitlement())
	return e, now
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
		r := e.Step(engine.Input{At: now, Body: in}).Sends[0].Reply
		key := in.Key
		key.Class = '2'
		sales[i] = &engine.SaleRequest{Token: 1, Key: key, Content: hashOf("sale"), Hold: r.Hold, Amount: r.Payable, ICCAmount: r.Payable,
			Host: "cup", EntryMode: [3]byte{'0', '5', '1'}, Card: &event.Card{Token: make([]byte, 16), Mask: "622424******0017", KeyId: "k", Envelope: make([]byte, 64)}}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, in := range sales {
		host := e.Step(engine.Input{At: now, Body: in}).Sends[0].Host
		out := e.Step(engine.Input{At: now, Body: &engine.HostAnswered{Host: "cup", Kind: engine.HostSale, RRN: host.RRN,
			Answer: event.HostAnswer{Response: "00", Approval: "123456", ClearingDate: "0302"}}})
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
	reserves := make([]*engine.ReserveRequest, n+1) // one more: AllocsPerRun warms up
	for i := range reserves {
		reserves[i] = benchReserve(i)
	}
	sales := make([]engine.SaleRequest, 0, n+1)
	next := 0
	require.LessOrEqual(t, testing.AllocsPerRun(n, func() {
		in := reserves[next]
		next++
		r := e.Step(engine.Input{At: now, Body: in}).Sends[0].Reply
		sales = append(sales, engine.SaleRequest{Token: 1, Key: in.Key, Content: in.Content, Hold: r.Hold, Amount: r.Payable,
			ICCAmount: -1, Host: "cup", EntryMode: [3]byte{'0', '5', '1'}})
	}), 3.0)
	answers := make([]engine.HostAnswered, 0, n+1)
	next = 0
	require.LessOrEqual(t, testing.AllocsPerRun(n, func() {
		sales[next].Key.Class = '2'
		host := e.Step(engine.Input{At: now, Body: &sales[next]}).Sends[0].Host
		next++
		answers = append(answers, engine.HostAnswered{Host: "cup", Kind: engine.HostSale, RRN: host.RRN,
			Answer: event.HostAnswer{Response: "00", Approval: "123456", ClearingDate: "0302"}})
	}), 3.0)
	next = 0
	require.LessOrEqual(t, testing.AllocsPerRun(n, func() {
		if out := e.Step(engine.Input{At: now, Body: &answers[next]}); len(out.Events) != 1 {
			panic("not answered")
		}
		next++
	}), 2.0)
}
