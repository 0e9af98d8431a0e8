package limit

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var begin = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

func TestBucketAllowsItsBurstAndThenItsRate(t *testing.T) {
	table := NewTable(Rate{PerSecond: 10, Burst: 3}, 8)
	for range 3 {
		require.True(t, table.Allow(1, begin))
	}
	require.False(t, table.Allow(1, begin))
	require.True(t, table.Allow(2, begin), "another has his own")
	require.False(t, table.Allow(1, begin.Add(99*time.Millisecond)))
	require.True(t, table.Allow(1, begin.Add(100*time.Millisecond)))
	require.False(t, table.Allow(1, begin.Add(100*time.Millisecond)))
	for range 3 {
		require.True(t, table.Allow(1, begin.Add(time.Hour)), "rest gives no more than the burst")
	}
	require.False(t, table.Allow(1, begin.Add(time.Hour)))
}

func TestNoRateIsNoLimit(t *testing.T) {
	var none *Table = NewTable(Rate{}, 8)
	for range 1000 {
		require.True(t, none.Allow(1, begin))
	}
	require.True(t, NewHolders(0).Take(NewSources(nil).Named("a")))
}

// The dumb reference counts tokens.
func TestBucketIsATokenBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, burst := rapid.SampledFrom([]int{1, 2, 4, 5, 10, 100, 1000}).Draw(t, "rate"), rapid.IntRange(1, 20).Draw(t, "burst")
		table := NewTable(Rate{PerSecond: rate, Burst: burst}, 8)
		per := int64(time.Second) / int64(rate)
		now, filled := begin.UnixNano(), begin.UnixNano() // when the bucket holds its first `tokens`
		tokens, part := int64(burst), int64(0)
		for range 200 {
			step := rapid.Int64Range(0, 3*per).Draw(t, "step")
			now += step
			part += now - filled
			filled = now
			tokens, part = min(int64(burst), tokens+part/per), part%per
			if tokens == int64(burst) {
				part = 0
			}
			want := tokens > 0
			if want {
				tokens--
			}
			require.Equal(t, want, table.Allow(7, time.Unix(0, now)))
		}
	})
}

// Strangers fill every place; those who have one are not touched, and memory stays what it was.
func TestTableThatIsFullLetsStrangersShare(t *testing.T) {
	table := NewTable(Rate{PerSecond: 1, Burst: 10}, 64)
	require.Len(t, table.sets, 8)
	honest := uint64(3)
	require.True(t, table.Allow(honest, begin))
	allowed := 0
	for stranger := range uint64(100_000) {
		if table.Allow(1000+stranger, begin) {
			allowed++
		}
	}
	require.Equal(t, 63+8*10, allowed, "one each for the places that were left, and what the shared buckets hold")
	for range 9 {
		require.True(t, table.Allow(honest, begin))
	}
	require.False(t, table.Allow(honest, begin))
	require.True(t, table.Allow(5_000_000, begin.Add(2*time.Second)), "places of those who have been quiet are free again")
}

func TestAddressIsASender(t *testing.T) {
	s := NewSources([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")})
	at := func(text string) Source {
		return s.Address(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text)))
	}
	require.Zero(t, at("127.0.0.1:1"))
	require.Zero(t, at("[::1]:1"))
	require.Zero(t, at("[::ffff:127.0.0.1]:1"))
	require.Equal(t, at("192.0.2.1:1"), at("192.0.2.1:2"))
	require.Equal(t, at("192.0.2.1:1"), at("[::ffff:192.0.2.1]:1"))
	require.NotEqual(t, at("192.0.2.1:1"), at("192.0.2.2:1"))
	require.Equal(t, at("[2001:db8::1]:1"), at("[2001:db8::2]:1"), "a /64 is one sender")
	require.NotEqual(t, at("[2001:db8::1]:1"), at("[2001:db8:0:1::1]:1"))
	require.True(t, at("192.0.2.1:1").Limited())
	require.True(t, s.Address(&net.UnixAddr{Name: "x"}).Limited(), "what is no address is not exempt")
	require.NotEqual(t, at("192.0.2.1:1"), NewSources(nil).Address(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}), "nobody can tell beforehand who shares a place")
	require.NotEqual(t, s.Within(at("192.0.2.1:1"), []byte("30000001")), s.Within(at("192.0.2.2:1"), []byte("30000001")))
	require.NotEqual(t, s.Within(at("192.0.2.1:1"), []byte("30000001")), s.Within(at("192.0.2.1:1"), []byte("30000002")))
	require.Zero(t, (*Sources)(nil).Address(&net.TCPAddr{}))
}

func TestHoldersForgetWhoHoldsNothing(t *testing.T) {
	s := NewSources(nil)
	a, b := s.Named("a"), s.Named("b")
	h := NewHolders(2)
	require.True(t, h.Take(a))
	require.True(t, h.Take(a))
	require.False(t, h.Take(a))
	require.True(t, h.Take(b))
	h.Give(a)
	require.True(t, h.Take(a))
	h.Give(a)
	h.Give(a)
	h.Give(b)
	require.Empty(t, h.held)
	for range 100 {
		require.True(t, h.Take(Source{}), "the exempt are not counted")
	}
	require.Empty(t, h.held)
}

func BenchmarkAllow(b *testing.B) {
	table := NewTable(Rate{PerSecond: 1_000_000_000, Burst: 1000}, 65536)
	now := time.Now()
	b.ReportAllocs()
	for n := range uint64(b.N) {
		table.Allow(n*0x9e3779b97f4a7c15, now)
	}
}
