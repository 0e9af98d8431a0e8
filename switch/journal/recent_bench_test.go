package journal

import "testing"

func BenchmarkRecent(b *testing.B) {
	var r recent
	raw := make([]byte, 300_000)
	for i := 0; b.Loop(); i++ {
		r.push(uint64(i+1), raw, Hash{})
	}
}
