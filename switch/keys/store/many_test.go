package store

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/keys/hsm"
)

func generateMany(t testing.TB, s *Store, n int) {
	t.Helper()
	edit(t, s, func(e *Edit) error {
		for i := range n {
			if _, err := e.Generate(Wanted{Label: fmt.Sprintf("tmk/%08d", n-i), Algorithm: hsm.TDES, Exportable: true}); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestManyKeysAreOneEditWithAnActForEach(t *testing.T) {
	s := testStore(t)
	const n = 300
	generateMany(t, s, n)
	again := reopen(t, s)
	require.Equal(t, s.Records(), again.Records())
	acts := again.Audit(2)
	require.Len(t, acts, n)
	require.NoError(t, again.Continues(acts[n-1].Seq, acts[n-1].Chain))
	drawn := map[string]bool{}
	for i := range n {
		label := fmt.Sprintf("tmk/%08d", n-i)
		r, ok := again.FindRecord(label)
		require.True(t, ok)
		drawn[r.KCV] = true
		require.Equal(t, Entry{
			Seq: uint64(i) + 3, At: r.Created, Act: "generate", Label: label, Generation: 1, Purpose: "TMK", Algorithm: "3des", KCV: r.KCV, By: "Chen",
			Second: "Wang", Reason: "test", Document: "T-1", Chain: acts[i].Chain,
		}, acts[i])
	}
	require.Len(t, drawn, n)
}

func TestAnEditThatFailsHalfWayHasDoneNothing(t *testing.T) {
	s := testStore(t)
	generateMany(t, s, 3)
	before, err := os.ReadFile(s.cfg.Path)
	require.NoError(t, err)
	enough := errors.New("enough")
	err = s.Edit(chen, func(e *Edit) error {
		for i := range 5 {
			if _, err := e.Generate(Wanted{Label: fmt.Sprintf("tmk/1%07d", i), Algorithm: hsm.TDES}); err != nil {
				return err
			}
		}
		if _, err := e.Rotate("tmk/00000001", 0, false); err != nil {
			return err
		}
		return enough
	})
	require.ErrorIs(t, err, enough)
	after, err := os.ReadFile(s.cfg.Path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	_, ok := s.Find("tmk/10000000")
	require.False(t, ok)
	r, ok := s.FindRecord("tmk/00000001")
	require.True(t, ok)
	require.Equal(t, 1, r.Generation)
}

// One edit sees what it has done itself.
func TestKeysOfOneLabelFollowEachOtherWithinAnEdit(t *testing.T) {
	s := testStore(t)
	edit(t, s, func(e *Edit) error {
		require.False(t, e.Has("tmk/00000001"))
		for range 2 {
			if _, err := e.Generate(Wanted{Label: "tmk/00000001", Algorithm: hsm.TDES}); err != nil {
				return err
			}
			if _, err := e.Rotate("card", 0, false); err != nil {
				return err
			}
		}
		require.True(t, e.Has("tmk/00000001"))
		if _, err := e.Retire("tmk/00000001", 1); err != nil {
			return err
		}
		_, err := e.Retire("tmk/00000001", 0)
		require.False(t, e.Has("tmk/00000001"), "both are destroyed")
		return err
	})
	states := map[string][]State{}
	for _, r := range reopen(t, s).Records() {
		states[r.Label] = append(states[r.Label], r.State)
	}
	require.Equal(t, map[string][]State{
		"hash/person": {Active}, "card/c1": {Former}, "card/c2": {Former}, "card/c3": {Active}, "tmk/00000001": {Retired, Retired},
	}, states)
}

// What a store of a province's terminals costs: make it, open it, do one act more.
func BenchmarkStoreOfManyKeys(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := testStore(b)
			generateMany(b, s, n)
			b.Run("generate", func(b *testing.B) {
				for range b.N {
					generateMany(b, testStore(b), n)
				}
				info, err := os.Stat(s.cfg.Path)
				require.NoError(b, err)
				b.ReportMetric(float64(info.Size())/float64(n), "file-B/key")
			})
			b.Run("open", func(b *testing.B) {
				b.ReportAllocs()
				for range b.N {
					reopen(b, s)
				}
			})
			b.Run("one more", func(b *testing.B) {
				for i := range b.N {
					generate(b, s, fmt.Sprintf("tmk/more%d", i), hsm.TDES)
				}
			})
			b.Run("find", func(b *testing.B) {
				for i := range b.N {
					if _, ok := s.Find(fmt.Sprintf("tmk/%08d", 1+i%n)); !ok {
						b.Fatal("not found")
					}
				}
			})
		})
	}
}
