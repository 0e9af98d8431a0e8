package subsidy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"huanxin/internal/money"
)

// crowdHash is a hash as the shell gives them: evenly spread.
func crowdHash(kind byte, i int) (h Hash) {
	v := uint64(i)*0x9e3779b97f4a7c15 + uint64(kind)*0xd6e8feb86659fd93
	for at := 0; at < len(h); at += 8 {
		v ^= v >> 32
		v *= 0xd6e8feb86659fd93
		v ^= v >> 29
		binary.LittleEndian.PutUint64(h[at:], v)
	}
	return h
}

func crowdHold(i int) Hold {
	return Hold{Purchase: uint64(i) + 1, Entitlement: uint64(i) + 1, Serial: crowdHash(1, i), Leaf: 1, Subsidy: money.Amount(20_000 + i%100_000)}
}

func crowdBook() *Book {
	b := NewBook()
	for _, path := range []string{"", "r1"} {
		if err := b.Budget.Set(path, 1<<60); err != nil {
			panic(err)
		}
	}
	return b
}

func (b *Book) crowdClaim(i int) {
	at := 1_700_000_000_000_000_000 + int64(i)*2_999_999_000
	b.Claim(Entitlement{ID: uint64(i) + 1, ClaimedAt: at, ExpiresAt: at + 30*24*3600e9, Leaf: NoNode}, crowdHash(0, i),
		[]string{"A01", "A02", "B01"}[i%3], "", []string{"210100", "210200"}[i%2], "v1")
}

// crowd is a book of n persons with one used entitlement each.
func crowd(n int) *Book {
	b := crowdBook()
	for i := range n {
		b.crowdClaim(i)
		b.Reserve(crowdHold(i))
		b.Use(crowdHold(i))
	}
	return b
}

// counter is a Writer that buffers as the engine's snapshot does and counts.
type counter struct {
	out *bufio.Writer
	n   int
	buf [binary.MaxVarintLen64]byte
}

func (c *counter) put(b []byte)  { c.n += len(b); c.out.Write(b) }
func (c *counter) Uint(v uint64) { c.put(binary.AppendUvarint(c.buf[:0], v)) }
func (c *counter) Int(v int64)   { c.put(binary.AppendVarint(c.buf[:0], v)) }
func (c *counter) Hash(h Hash)   { c.put(h[:]) }
func (c *counter) Text(s string) { c.Bytes([]byte(s)) }
func (c *counter) Bytes(b []byte) {
	c.Uint(uint64(len(b)))
	c.put(b)
}

func (c *counter) Bool(v bool) {
	if v {
		c.Uint(1)
	} else {
		c.Uint(0)
	}
}

type benchSource struct{ in *bufio.Reader }

func (s benchSource) Uint() uint64 { v, _ := binary.ReadUvarint(s.in); return v }
func (s benchSource) Int() int64   { v, _ := binary.ReadVarint(s.in); return v }
func (s benchSource) Bool() bool   { return s.Uint() == 1 }
func (s benchSource) Len() int     { return int(s.Uint()) }
func (s benchSource) Text() string { return string(s.Block(nil)) }
func (s benchSource) Hash() (h Hash) {
	io.ReadFull(s.in, h[:])
	return h
}

func (s benchSource) Block(scratch []byte) []byte {
	n := s.Len()
	if cap(scratch) < n {
		scratch = make([]byte, n)
	}
	io.ReadFull(s.in, scratch[:n])
	return scratch[:n]
}

// BenchmarkCrowd prints, for each size, what a person takes, what a look and a decision cost, how fast the state is
// written, read and checked, and how long a collection takes.
func BenchmarkCrowd(b *testing.B) {
	for _, n := range []int{1_000_000, 10_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchCrowd(b, n) })
	}
}

func benchCrowd(b *testing.B, n int) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	book := crowd(n)
	built := time.Since(start)
	runtime.GC()
	runtime.ReadMemStats(&after)
	heap := after.HeapAlloc - before.HeapAlloc
	run := func(name string, f func(i int)) {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				f(int(uint64(i) * 0x9e3779b97f4a7c15 % uint64(n)))
			}
		})
	}
	b.Run("build", func(b *testing.B) {
		b.ReportMetric(float64(heap)/float64(n), "B/person")
		b.ReportMetric(float64(built)/float64(n), "ns/person")
	})
	run("usage", func(i int) {
		if book.UsageOf(crowdHash(0, i), []string{"A01", "A02", "B01"}[i%3]).Items != 1 {
			b.Fatal("no use")
		}
	})
	run("serial-free", func(i int) {
		if book.SerialHolder(crowdHash(2, i)) != 0 {
			b.Fatal("taken")
		}
	})
	run("serial-taken", func(i int) {
		if book.SerialHolder(crowdHash(1, i)) != uint64(i)+1 {
			b.Fatal("free")
		}
	})
	run("restore-reserve-use", func(i int) {
		book.Restore(crowdHold(i))
		book.Reserve(crowdHold(i))
		book.Use(crowdHold(i))
	})
	var state bytes.Buffer
	whole := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				f()
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s")
		})
	}
	whole("gc", runtime.GC)
	whole("check", func() {
		if err := book.Check(0); err != nil {
			b.Fatal(err)
		}
	})
	whole("write", func() {
		c := &counter{out: bufio.NewWriterSize(io.Discard, 1<<16)}
		book.WriteState(c)
	})
	c := &counter{out: bufio.NewWriterSize(&state, 1<<16)}
	book.WriteState(c)
	c.out.Flush()
	book = nil
	b.Run("state", func(b *testing.B) { b.ReportMetric(float64(c.n)/float64(n), "B/person") })
	whole("read", func() {
		again, err := ReadBook(benchSource{bufio.NewReaderSize(bytes.NewReader(state.Bytes()), 1<<16)})
		if err != nil || again.NextEntitlement() != uint64(n)+1 {
			b.Fatal(err)
		}
	})
}
