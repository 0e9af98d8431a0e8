package catalogue

import (
	"fmt"
	"runtime"
	"testing"
)

// shelf makes the record of product i, as a decoded event brings it: every text on its own.
func shelf(i int) []string {
	digits := fmt.Sprintf("690%09d", i)
	sum := 0
	for at := range digits {
		sum += int(digits[at]-'0') * (1 + 2*(at%2))
	}
	return []string{
		fmt.Sprintf("%s%d", digits, (10-sum%10)%10), fmt.Sprintf("A%02d", i%17), fmt.Sprintf("对开门冰箱 %d升", 100+i%500), fmt.Sprintf("晨岛%d", i%800),
		fmt.Sprintf("BCD-%dW", i), fmt.Sprint(1 + i%5), "energy", fmt.Sprintf("HX2025A%06d", i), "5999.00", fmt.Sprintf("kind=k%d", i%40), "active", "sn",
	}
}

// BenchmarkCatalogue fills half a million products and looks them up. B/row is what one takes beside the record it came in.
func BenchmarkCatalogue(b *testing.B) {
	const n = 500_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var c Catalogue
	for i := range n {
		p, err := ParseProduct(shelf(i))
		if err != nil {
			b.Fatal(err)
		}
		c.Set(p)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	keys := make([]string, n)
	for i := range keys {
		keys[i] = shelf(i)[0]
	}
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			if p := c.Get(keys[uint32(i)*2654435761%n]); p == nil || p.State != Active {
				b.Fatal("not found")
			}
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/row")
		b.ReportMetric(float64(after.HeapObjects-before.HeapObjects)/n, "objects/row")
	})
}
