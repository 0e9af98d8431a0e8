package journal

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"huanxin/switch/event"
)

// mixed makes n facts of which every other is a Reserved, packed as the engine packs it.
func mixed(t testing.TB, first uint64, n int) (evs []*event.Event, packed []string) {
	evs, packed = events(first, n), make([]string, n)
	for i, ev := range evs {
		if i%2 == 0 {
			m := &event.Reserved{Purchase: ev.Seq, Price: 100, Category: "A04", Content: make([]byte, 16)}
			body, err := m.MarshalVT()
			require.NoError(t, err)
			ev.Body, packed[i] = &event.Event_Reserved{Reserved: m}, string(body)
		}
	}
	return evs, packed
}

// What was packed before is appended as what is packed now, and lent as what is kept: from memory, from the log, in a replay.
func TestLentEventsAreThoseThatAreKept(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, testConfig(dir))
	var d, again Draft
	for _, n := range []int{1, 64, 3, 500} {
		evs, packed := mixed(t, j.end.nextSeq, n)
		d.Reset()
		again.Reset()
		require.NoError(t, d.AddPacked(evs, packed))
		require.NoError(t, again.Add(evs...))
		require.Equal(t, again.buf[headerSize:], d.buf[headerSize:])
		_, err := j.Append(context.Background(), &d)
		require.NoError(t, err)
	}
	kept := replayed(t, j, 1)

	seen := 0
	check := func(b *Batch) error {
		want := kept[b.Position-1]
		require.Equal(t, want.Hash, b.Hash)
		i := 0
		require.NoError(t, b.Each(func(ev *event.Event, packed string) error {
			require.True(t, proto.Equal(want.Events[i], ev))
			require.Equal(t, ev.GetReserved() != nil, packed != "")
			i++
			return nil
		}))
		require.Len(t, want.Events, i)
		seen++
		return nil
	}
	follow := func(j *Journal) {
		r, err := j.Follow(context.Background(), 1)
		require.NoError(t, err)
		defer r.Close()
		r.Lend()
		for range kept {
			b, err := r.Next(context.Background())
			require.NoError(t, err)
			require.Nil(t, b.Events)
			require.NoError(t, check(b))
		}
	}
	follow(j)
	require.NoError(t, j.ReplayLent(context.Background(), 1, check))
	require.NoError(t, j.Close())
	follow(mustOpen(t, testConfig(dir)))
	require.Equal(t, 3*len(kept), seen)
}

// A batch forged by hand, its sums right: its events are refused when they are lent as when they are kept.
func TestForgedEventsAreNotLent(t *testing.T) {
	for name, forge := range map[string]func(d *Draft){
		"a number that is not its own": func(d *Draft) { d.buf[headerSize+2] = 9 },
		"bytes behind the last":        func(d *Draft) { d.buf = append(d.buf, 0) },
		"a length beyond the end":      func(d *Draft) { d.buf[headerSize] = 127 },
	} {
		t.Run(name, func(t *testing.T) {
			var d Draft
			evs, packed := mixed(t, 1, 1)
			require.NoError(t, d.AddPacked(evs, packed))
			forge(&d)
			raw, _ := d.seal(1, Genesis("p"))
			_, _, err := genesisLink("p").batch(raw, nil)
			require.ErrorIs(t, err, ErrDamaged)
			_, b, err := genesisLink("p").batch(raw, new(event.Loan))
			require.NoError(t, err)
			require.ErrorIs(t, b.Each(func(*event.Event, string) error { return nil }), ErrDamaged)
		})
	}
}
