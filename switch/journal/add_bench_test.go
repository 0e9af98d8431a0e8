package journal

import (
	"testing"

	"huanxin/switch/event"
)

// BenchmarkAdd packs the facts of a purchase behind each other: reserve, sale, approval.
func BenchmarkAdd(b *testing.B) {
	hash := make([]byte, 16)
	key := &event.ExchangeKey{Class: 1, Terminal: "21010001", Merchant: "898210157220001", Batch: 1, Stan: 123456}
	events := []*event.Event{
		{At: 1_772_416_800_000_000_000, Body: &event.Event_Reserved{Reserved: &event.Reserved{
			Purchase: 1_000_000, Key: key, Content: hash, Entitlement: 1_000_000, Person: hash, Category: "A04", City: "210100",
			PayingCity: "210100", Channel: "store", Barcode: "6901234102963", Serial: hash, SerialMask: "SN****01", Order: "order 1000000",
			Price: 300_000, Base: 300_000, Subsidy: 60_000, Payable: 240_000, Leaf: "210100/A04/r1",
			Parts:     []*event.FundingPart{{Payer: "central", Amount: 51_000}, {Payer: "province", Amount: 4500}, {Payer: "city", Amount: 4500}},
			ExpiresAt: 1_772_416_980_000_000_000, PolicyVersion: "2026-1", Position: &event.Position{Lon: 123_431_500, Lat: 41_805_700, Crs: 1},
			LocatedCity: "210100", Code: hash, Grade: 1, Label: "energy",
		}}},
		{At: 1_772_416_800_000_000_000, Body: &event.Event_SaleSent{SaleSent: &event.SaleSent{
			Purchase: 1_000_000, Key: key, Content: hash, Amount: 240_000, Host: "cup", HostStan: 123456, Rrn: "606112345678",
			TransmittedAt: 1_772_416_800_000_000_000, Deadline: 1_772_416_825_000_000_000, EntryMode: "051", City: "210100", Channel: "store",
			Card: &event.Card{Token: hash, Mask: "622424******0017", KeyId: "k", Envelope: make([]byte, 64)},
		}}},
		{At: 1_772_416_800_000_000_000, Body: &event.Event_SaleApproved{SaleApproved: &event.SaleApproved{
			Purchase: 1_000_000, Answer: &event.HostAnswer{Response: "00", Approval: "123456", ClearingDate: "0302"},
		}}},
	}
	var d Draft
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		ev := events[i%len(events)]
		ev.Seq = uint64(i + 1)
		if i%1000 == 0 {
			d.Reset()
		}
		if err := d.Add(ev); err != nil {
			b.Fatal(err)
		}
	}
}
