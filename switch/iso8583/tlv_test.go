package iso8583

import (
	"strings"
	"testing"

	moovenc "github.com/moov-io/iso8583/encoding"
	"github.com/moov-io/iso8583/prefix"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type object struct {
	tag   uint32
	value string
}

func walk(b []byte) (objects []object, err error) {
	w := WalkTLV(b)
	for {
		tag, v, ok := w.Next()
		if !ok {
			return objects, w.Err()
		}
		objects = append(objects, object{tag, string(v)})
	}
}

func TestTLVReadsTheSamplesChipData(t *testing.T) {
	good, _ := loadSamples(t)
	cup := compileDialect(t, "cup")
	seen := 0
	for _, s := range good {
		m := parse(t, cup, s.message(t))
		if !m.Has(55) {
			continue
		}
		seen++
		objects, err := walk(m.Raw(55))
		require.NoError(t, err, s.Name)
		require.Equal(t, uint32(0x9F26), objects[0].tag)
		amount, ok := FindTLV(m.Raw(55), 0x9F02)
		require.True(t, ok)
		require.Equal(t, string(m.AppendField(nil, 4)), string(appendHex(nil, amount)), s.Name)
		var again []byte
		for _, o := range objects {
			again = AppendTLV(again, o.tag, []byte(o.value))
		}
		require.Equal(t, m.Raw(55), again)
	}
	require.Equal(t, 4, seen)
}

func TestTLVForms(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, tc := range []struct {
		hex  string
		want []object
	}{
		{"", nil},
		{"0000", nil},
		{"9A03260601", []object{{0x9A, "\x26\x06\x01"}}},
		{"9A00", []object{{0x9A, ""}}},
		{"DF8101 0141", []object{{0xDF8101, "A"}}},
		{"DF818101 0141", []object{{0xDF818101, "A"}}},
		{"9A8101AA", []object{{0x9A, "\xAA"}}},
		{"9A820001AA", []object{{0x9A, "\xAA"}}},
		{"9A83000001AA", []object{{0x9A, "\xAA"}}},
		{"9A01AA 0000 9C0100 00", []object{{0x9A, "\xAA"}, {0x9C, "\x00"}}},
		{"70049A01AA00", []object{{0x70, "\x9A\x01\xAA\x00"}}},
	} {
		got, err := walk(fromHex(t, tc.hex))
		require.NoError(t, err, tc.hex)
		require.Equal(t, tc.want, got, tc.hex)
	}
	require.Equal(t, append(fromHex(t, "7181C8"), long...), AppendTLV(nil, 0x71, []byte(long)))
	require.Equal(t, "82012C", string(appendHex(nil, AppendTLV(nil, 0x71, make([]byte, 300))[1:4])))
	require.Equal(t, "83010000", string(appendHex(nil, AppendTLV(nil, 0x71, make([]byte, 65536))[1:5])))
}

func TestMalformedTLVIsRefusedAtItsOffset(t *testing.T) {
	for _, tc := range []struct {
		hex    string
		offset int
	}{
		{"9F", 0}, {"9F02", 0}, {"9A", 0}, {"9A0326", 0}, {"9A80", 0}, {"9A81", 0}, {"9A8200", 0}, {"9A8400000001AA", 0},
		{"9AFF", 0}, {"9FFFFFFFFF0100", 0}, {"9A01AA9F", 3}, {"9A01AA00009F02", 5},
	} {
		w := WalkTLV(fromHex(t, tc.hex))
		for ok := true; ok; {
			_, _, ok = w.Next()
		}
		require.ErrorIs(t, w.Err(), ErrTLV, tc.hex)
		require.Equal(t, tc.offset, w.Offset(), tc.hex)
		_, _, ok := w.Next()
		require.False(t, ok, "a failed walk stays failed")
	}
	_, ok := FindTLV(fromHex(t, "9A01AA9F"), 0x9F02)
	require.False(t, ok)
}

func drawTag(t *rapid.T) uint32 {
	return uint32(rapid.SampledFrom([]int{0x5A, 0x8A, 0x9A, 0x9F02, 0x9F26, 0xDF31, 0xDF8101, 0x71}).Draw(t, "tag"))
}

func TestTLVRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var want []object
		var b []byte
		for range rapid.IntRange(0, 8).Draw(rt, "count") {
			o := object{drawTag(rt), string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "value"))}
			want = append(want, o)
			b = AppendTLV(b, o.tag, []byte(o.value))
		}
		got, err := walk(b)
		require.NoError(rt, err)
		require.Equal(rt, want, got)
	})
}

// FuzzTLV holds the walker against moov's tag and length decoders, applied in turn.
func FuzzTLV(f *testing.F) {
	good, _ := loadSamples(f)
	cup := compileDialect(f, "cup")
	for _, s := range good {
		if m := parse(f, cup, s.message(f)); m.Has(55) {
			f.Add(m.Raw(55))
		}
	}
	f.Add([]byte{0x9A, 0x82, 0, 1, 0xAA})
	f.Add([]byte{0, 0x9F, 0x81, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		w := WalkTLV(b)
		for {
			at := w.Offset()
			tag, v, ok := w.Next()
			if !ok {
				break
			}
			for b[at] == 0 {
				at++
			}
			theirTag, size, err := moovenc.BerTLVTag.Decode(b[at:], 0)
			require.NoError(t, err)
			own := AppendTLV(nil, tag, nil)
			require.Equal(t, string(theirTag), string(appendHex(nil, own[:len(own)-1])))
			n, lengthSize, err := prefix.BerTLV.DecodeLength(999, b[at+size:])
			require.NoError(t, err)
			require.Equal(t, n, len(v))
			require.Equal(t, w.Offset(), at+size+lengthSize+n)
		}
		if w.Err() == nil {
			require.Equal(t, len(b), w.Offset())
		}
	})
}
