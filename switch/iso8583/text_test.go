package iso8583

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTextForm(t *testing.T) {
	cup, a87 := compileDialect(t, "cup"), compileDialect(t, "iso87a")
	for _, tc := range []struct {
		name  string
		codec *Codec
		n     int
		value string // canonical
		text  string
		isHex bool
	}{
		{"digits", cup, 60, "2200000100050", "2200000100050", false},
		{"track", cup, 35, "6224240000000017D3012", "6224240000000017D3012", false},
		{"ASCII, blanks kept", cup, 63, "01 ", "01 ", false},
		{"GBK", cup, 56, "\xb3\xc9\xb9\xa6", "成功", false},
		{"empty", cup, 63, "", "", false},
		{"control character", cup, 59, "S1\x00", "533100", true},
		{"half a character", cup, 63, "\xb3", "B3", true},
		{"GBK with a control character", cup, 63, "\xb3\xc9\n", "B3C90A", true},
		{"full-width blank is not printable", cup, 63, "\xa1\xa1", "A1A1", true},
		{"delete", cup, 63, "\x7f", "7F", true},
		{"binary", cup, 52, "12345678", "3132333435363738", false},
		{"DE62 though text", a87, 62, "460|0", "3436307C30", false},
		{"DE55 though text", a87, 55, "ab", "6162", false},
		{"DE128", a87, 128, "8F651B26", "3846363531423236", false},
		{"DE54", cup, 54, "0210156C000000100000", "0210156C000000100000", false},
	} {
		m := parse(t, tc.codec, build(t, tc.codec, 0x0210, map[int]string{tc.n: tc.value}))
		text, isHex := m.AppendText(nil, tc.n)
		require.Equal(t, tc.text, string(text), tc.name)
		require.Equal(t, tc.isHex, isHex, tc.name)
		var b Builder
		b.Reset(tc.codec, 0x0210)
		b.SetText(tc.n, tc.text, tc.isHex)
		out, err := b.Append(nil)
		require.NoError(t, err, tc.name)
		require.Equal(t, m.Bytes(), out, tc.name)
	}
	_, ok := new(Message).AppendText(nil, 2)
	require.False(t, ok)
}

func TestGBKComesBackAsTheSameBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(rt, "raw")
		text, ok := AppendUTF8(nil, raw)
		if !ok {
			return
		}
		back, ok := AppendGBK(nil, string(text))
		require.True(rt, ok)
		require.Equal(rt, string(raw), string(back))
	})
	_, ok := AppendGBK(nil, "\xff")
	require.False(t, ok, "no UTF-8")
}

func TestMask(t *testing.T) {
	for _, tc := range []struct {
		n           int
		value, want string
	}{
		{2, "6224240000000017", "622424******0017"},
		{2, "6224240000000000197", "622424*********0197"},
		{2, "622424000001", "************"},
		{2, "", ""},
		{35, "6224240000000017D3012220", "622424******0017D*******"},
		{35, "6224240000000017", "****************"},
		{36, "99622424", "********"},
		{45, "B622424^张三", "**********"},
		{48, "0101000005" + "00006224240000000017" + "000000479920", "0101000005********************000000479920"},
		{48, "0201000005" + "00006224240000000017" + "00000047992002000006" + "62280000000000000017" + "000000129900",
			"0201000005********************00000047992002000006********************000000129900"},
		{48, "00000047992000100000010000000020000000000000000000000000000000", "00000047992000100000010000000020000000000000000000000000000000"},
		{48, "0002", "0002"},
		{52, "FA36989B212B5950", "****************"},
		{55, "9F26", "****"},
		{59, "A30196228000000000000017", "************************"},
		{62, "6701", "****"},
		{11, "000003", "000003"},
		{64, "38", "38"},
	} {
		require.Equal(t, tc.want, Mask(tc.n, tc.value), "field %d", tc.n)
	}
}
