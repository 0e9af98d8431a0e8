package iso8583

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTags59Walk(t *testing.T) {
	b := AppendTag59(nil, "S1", []byte("482913"))
	b = AppendTag59(b, "S6", []byte("maker=10000"))
	b = AppendTag59(b, "S6", []byte("shop=5000"))
	b = AppendTag59(b, "SC", nil)
	b = AppendTag59(b, "A3", []byte("6228000000000000017"))
	require.Equal(t, "S1006482913S6011maker=10000S6009shop=5000SC000A30196228000000000000017", string(b))
	require.True(t, HasTags59(b))
	var names, values []string
	w := WalkTags59(b)
	for {
		name, v, ok := w.Next()
		if !ok {
			break
		}
		names, values = append(names, name.String()), append(values, string(v))
	}
	require.NoError(t, w.Err())
	require.Equal(t, []string{"S1", "S6", "S6", "SC", "A3"}, names)
	require.Equal(t, []string{"482913", "maker=10000", "shop=5000", "", "6228000000000000017"}, values)
	v, ok := FindTag59(b, "S6")
	require.True(t, ok)
	require.Equal(t, "maker=10000", string(v))
	for _, name := range []string{"S2", "", "S", "S6x"} {
		_, ok = FindTag59(b, name)
		require.False(t, ok, name)
	}
}

func TestForeignContentOfField59IsOpaque(t *testing.T) {
	for _, s := range []string{
		"", "A3", "A301", "A3003ab", "A3-01a", "A3+01a", "a3001x", "3A001x", "A_001x", "000001000178",
		"1220898606170800025839931311HFT170803011414201908300934351502001722BD30.621555,114.361954A26001020202160000290210015708",
		"BD30.621555,114.361954A2065",
		"B1001x", // well-formed, but of no family that is ours
	} {
		require.False(t, HasTags59([]byte(s)), s)
	}
	w := WalkTags59([]byte("S1002abBD30.62"))
	_, _, ok := w.Next()
	require.True(t, ok)
	_, _, ok = w.Next()
	require.False(t, ok)
	require.ErrorIs(t, w.Err(), ErrTag59)
	require.Equal(t, 7, w.Offset())
	_, _, ok = w.Next()
	require.False(t, ok)
	_, ok = FindTag59([]byte("S1002abBD30.62S2001x"), "S2")
	require.False(t, ok, "nothing is guessed behind foreign content")
}

func TestTag59ThatCannotBeWrittenIsAMistakeOfTheProgram(t *testing.T) {
	require.Panics(t, func() { AppendTag59(nil, "s1", nil) })
	require.Panics(t, func() { AppendTag59(nil, "S", nil) })
	require.Panics(t, func() { AppendTag59(nil, "S1", make([]byte, 1000)) })
}

func TestTags59RoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var b []byte
		var want []string
		for range rapid.IntRange(0, 6).Draw(rt, "count") {
			name := rapid.StringMatching(`[A-Z][A-Z0-9]`).Draw(rt, "name")
			value := rapid.SliceOfN(rapid.Byte(), 0, 999).Draw(rt, "value")
			b = AppendTag59(b, name, value)
			want = append(want, name+string(value))
		}
		var got []string
		w := WalkTags59(b)
		for {
			name, v, ok := w.Next()
			if !ok {
				break
			}
			got = append(got, name.String()+string(v))
		}
		require.NoError(rt, w.Err())
		require.Equal(rt, want, got)
	})
}

func FuzzTag59(f *testing.F) {
	good, _ := loadSamples(f)
	cup := compileDialect(f, "cup")
	for _, s := range good {
		if m := parse(f, cup, s.message(f)); m.Has(59) {
			f.Add(m.Raw(59))
		}
	}
	f.Add([]byte("S1006482913S2013692012345678A"))
	f.Add([]byte("S1002abBD30.62"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		w := WalkTags59(b)
		for {
			name, v, ok := w.Next()
			if !ok {
				break
			}
			again = AppendTag59(again, name.String(), v)
			found, ok := FindTag59(b, name.String())
			require.True(t, ok)
			require.LessOrEqual(t, len(found), 999)
		}
		require.Equal(t, string(b[:w.Offset()]), string(again))
		if w.Err() == nil {
			require.Equal(t, len(b), w.Offset())
		}
	})
}
