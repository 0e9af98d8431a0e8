package journal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"huanxin/switch/event"
)

const testProgramme = "liaoning-test"

// testConfig is a small journal in dir.
func testConfig(dir string) Config {
	return Config{Programme: testProgramme, Dir: dir, MinFree: -1}
}

func mustOpen(t testing.TB, cfg Config) *Journal {
	t.Helper()
	j, err := Open(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { j.Close() })
	return j
}

// events makes n facts with numbers from first on.
func events(first uint64, n int) []*event.Event {
	evs := make([]*event.Event, n)
	for i := range evs {
		seq := first + uint64(i)
		evs[i] = &event.Event{Seq: seq, At: int64(seq) * 1_000_000, Body: &event.Event_HoldExpired{HoldExpired: &event.HoldExpired{Purchase: seq * 7}}}
	}
	return evs
}

// fill appends batches of the given sizes and returns the number of the last event.
func fill(t testing.TB, j *Journal, sizes ...int) uint64 {
	t.Helper()
	var d Draft
	for _, n := range sizes {
		d.Reset()
		require.NoError(t, d.Add(events(j.end.nextSeq, n)...))
		_, err := j.Append(context.Background(), &d)
		require.NoError(t, err)
	}
	return j.end.nextSeq - 1
}

// replayed reads everything back.
func replayed(t testing.TB, j *Journal, from uint64) []*Batch {
	t.Helper()
	var got []*Batch
	require.NoError(t, j.Replay(context.Background(), from, func(b *Batch) error {
		got = append(got, b)
		return nil
	}))
	return got
}

func TestReopenedJournalGivesBackEveryBatchInOrder(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	require.Zero(t, j.Position())
	last := fill(t, j, 1, 64, 3, 1024)
	end := j.end
	require.NoError(t, j.Close())

	j = mustOpen(t, testConfig(dir))
	require.Equal(t, end, j.end)
	batches := replayed(t, j, 1)
	require.Len(t, batches, 4)
	seq := uint64(1)
	for i, b := range batches {
		require.Equal(t, uint64(i+1), b.Position)
		require.Equal(t, seq, b.FirstSeq)
		for _, ev := range b.Events {
			require.True(t, proto.Equal(ev, events(seq, 1)[0]), "event %d", seq)
			seq++
		}
	}
	require.Equal(t, last+1, seq)
	require.Equal(t, end.hash, batches[3].Hash)
	require.Len(t, replayed(t, j, 3), 2)
	require.Empty(t, replayed(t, j, 5))
	fill(t, j, 2)
}

// rawBytes is the size of the file that the floor is measured in, from its beginning again and again.
const rawBytes = 64 << 20

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			j := mustOpen(b, testConfig(b.TempDir()))
			benchAppend(b, n, func(d *Draft) {
				if _, err := j.Append(context.Background(), d); err != nil {
					b.Fatal(err)
				}
			}, func() uint64 { return j.end.nextSeq })
		})
		// The floor: the same bytes, written and synced by hand into a preallocated file.
		b.Run(fmt.Sprintf("events=%d/raw-pwrite-fdatasync", n), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
			require.NoError(b, err)
			defer f.Close()
			for range rawBytes / readAhead {
				_, err := f.Write(make([]byte, readAhead))
				require.NoError(b, err)
			}
			require.NoError(b, f.Sync())
			end, at := genesisLink(testProgramme), int64(0)
			benchAppend(b, n, func(d *Draft) {
				raw, hash := d.seal(end.position+1, end.hash)
				end = link{position: end.position + 1, hash: hash, nextSeq: d.first + uint64(d.count)}
				if _, err := f.WriteAt(raw, at); err != nil {
					b.Fatal(err)
				}
				if err := datasync(f); err != nil {
					b.Fatal(err)
				}
				if at += int64(len(raw)); at > rawBytes-maxPayload {
					at = 0
				}
			}, func() uint64 { return end.nextSeq })
		})
	}
}

// benchAppend packs and appends b.N batches of n holds, each of the size of a real one.
func benchAppend(b *testing.B, n int, appendBatch func(*Draft), next func() uint64) {
	evs := make([]*event.Event, n)
	for i := range evs {
		evs[i] = &event.Event{At: 1750212000000000000, Body: &event.Event_Reserved{Reserved: sampleReserved()}}
	}
	var d Draft
	b.ReportAllocs()
	for b.Loop() {
		d.Reset()
		for i, ev := range evs {
			ev.Seq = next() + uint64(i)
		}
		if err := d.Add(evs...); err != nil {
			b.Fatal(err)
		}
		appendBatch(&d)
	}
	b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(d.Size()), "B/batch")
}

func sampleReserved() *event.Reserved {
	return &event.Reserved{
		Purchase: 123456, Key: &event.ExchangeKey{Class: 1, Terminal: "10000001", Merchant: "898210150450001", Batch: 7, Stan: 123456},
		Content: make([]byte, 16), Entitlement: 345678, Person: make([]byte, 16), Category: "A01", City: "210100",
		PayingCity: "210100", Channel: "store", Barcode: "6901234567892", Serial: make([]byte, 16), SerialMask: "86****0012",
		Order: "SO2025061800017", Price: 599900, Base: 599900, Subsidy: 119980, Payable: 479920,
		Parts: []*event.FundingPart{{Payer: "central", Amount: 101983}, {Payer: "province", Amount: 11998}, {Payer: "city", Amount: 5999}},
		Leaf:  "210100/store/A01/r1", ExpiresAt: 1750212180000000000, PolicyVersion: "liaoning-2025/3", Code: make([]byte, 16),
	}
}

// BenchmarkWalk measures what every start costs: reading and verifying the whole chain.
func BenchmarkWalk(b *testing.B) {
	j := mustOpen(b, testConfig(b.TempDir()))
	evs := make([]*event.Event, 256)
	for i := range evs {
		evs[i] = &event.Event{At: 1, Body: &event.Event_Reserved{Reserved: sampleReserved()}}
	}
	var d Draft
	for j.Size() < 128<<20 {
		d.Reset()
		for i, ev := range evs {
			ev.Seq = j.end.nextSeq + uint64(i)
		}
		require.NoError(b, d.Add(evs...))
		_, err := j.Append(context.Background(), &d)
		require.NoError(b, err)
	}
	b.Run("verify-files", func(b *testing.B) {
		b.SetBytes(j.Size())
		for b.Loop() {
			f, err := OpenFolder(j.cfg.Dir, "")
			require.NoError(b, err)
			_, err = f.Verify()
			require.NoError(b, err)
		}
	})
	b.Run("replay", func(b *testing.B) {
		b.SetBytes(j.Size())
		for b.Loop() {
			require.NoError(b, j.Replay(context.Background(), 1, func(*Batch) error { return nil }))
		}
	})
}
