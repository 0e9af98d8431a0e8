package iso8583

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, ok := unhex(nil, strings.ReplaceAll(s, " ", ""))
	require.True(t, ok, s)
	return b
}

func parse(t testing.TB, c *Codec, raw []byte) *Message {
	t.Helper()
	m := new(Message)
	require.NoError(t, c.Parse(raw, m))
	return m
}

func build(t testing.TB, c *Codec, mti MTI, fields map[int]string) []byte {
	t.Helper()
	var b Builder
	b.Reset(c, mti)
	for n, v := range fields {
		b.SetString(n, v)
	}
	raw, err := b.Append(nil)
	require.NoError(t, err)
	return raw
}

func TestOddDigitsLieOnTheirSide(t *testing.T) {
	cup, b87 := compileDialect(t, "cup"), compileDialect(t, "iso87b")
	for _, tc := range []struct {
		codec *Codec
		n     int
		value string
		wire  string
	}{
		{cup, 22, "021", "0210"},
		{cup, 23, "001", "0001"},
		{cup, 2, "6224240000000000197", "19 62242400000000001970"},
		{cup, 35, "6224240000000017D301222010000000000", "35 6224240000000017D3012220100000000000"},
		{cup, 60, "2200000100050", "0013 22000001000500"},
		{cup, 60, "", "0000"},
		{cup, 48, "0", "0001 00"},
		{b87, 22, "021", "0021"},
		{b87, 27, "6", "06"},
		{b87, 28, "D00000100", "44 00000100"},
		{b87, 60, "2200000100050", "0013 32323030303030313030303530"},
	} {
		wire, err := tc.codec.AppendValue(nil, tc.n, []byte(tc.value))
		require.NoError(t, err)
		require.Equal(t, fromHex(t, tc.wire), wire, "field %d", tc.n)
		m := parse(t, tc.codec, build(t, tc.codec, 0x0200, map[int]string{tc.n: tc.value}))
		require.Equal(t, tc.value, string(m.AppendField(nil, tc.n)))
		require.Equal(t, len(tc.value), m.Len(tc.n))
	}
}

func TestPadNibbleMayBeZeroOrFAndSurvivesACopy(t *testing.T) {
	cup := compileDialect(t, "cup")
	raw := fromHex(t, "0200 4000060020000010 19 6224240000000000197F 021F F001 05 1D222F 0003 123F")
	m := parse(t, cup, raw)
	for n, want := range map[int]string{2: "6224240000000000197", 22: "021", 23: "001", 35: "1D222", 60: "123"} {
		require.True(t, m.Equal(n, want), "field %d", n)
	}
	var b Builder
	b.Reset(cup, m.MTI())
	b.CopyAll(m)
	again, err := b.Append(nil)
	require.NoError(t, err)
	require.Equal(t, raw, again)

	withF, err := Compile([]byte(`{"name":"f","fields":{
		"0":{"type":"String","length":4,"enc":"BCD","prefix":"BCD.Fixed"},
		"1":{"type":"Bitmap","length":8,"enc":"Binary","prefix":"Binary.Fixed"},
		"2":{"type":"String","length":19,"enc":"LBCD","prefix":"BCD.LL","padNibble":"F"},
		"23":{"type":"String","length":3,"enc":"BCD","prefix":"BCD.Fixed","padNibble":"F"}}}`))
	require.NoError(t, err)
	require.Equal(t, fromHex(t, "0200 4000020000000000 03 123F F001"), build(t, withF, 0x0200, map[int]string{2: "123", 23: "001"}))
}

func TestRefusalsNameFieldAndOffset(t *testing.T) {
	cup, b87, a87 := compileDialect(t, "cup"), compileDialect(t, "iso87b"), compileDialect(t, "iso87a")
	for _, tc := range []struct {
		name  string
		codec *Codec
		raw   []byte
		want  ParseError
	}{
		{"nothing", cup, nil, ParseError{0, 0, Truncated}},
		{"half an MTI", cup, fromHex(t, "02"), ParseError{0, 1, Truncated}},
		{"MTI no digits", cup, fromHex(t, "0A00 0000000000000000"), ParseError{0, 0, BadContent}},
		{"half a bitmap", cup, fromHex(t, "0200 7000"), ParseError{1, 4, Truncated}},
		{"bitmap no hex", a87, []byte("0200000000000000G000"), ParseError{1, 16, BadContent}},
		{"secondary in a 64-field dialect", cup, fromHex(t, "0200 8000000000000000"), ParseError{1, 2, NoSecondary}},
		{"secondary missing", b87, fromHex(t, "0200 8000000000000000"), ParseError{1, 10, Truncated}},
		{"third bitmap", b87, fromHex(t, "0200 8000000000000000 8000000000000000"), ParseError{1, 10, NoSecondary}},
		{"undefined field", cup, fromHex(t, "0200 0800000000000000 00"), ParseError{5, 10, Undefined}},
		{"length missing", cup, fromHex(t, "0200 4000000000000000"), ParseError{2, 10, Truncated}},
		{"length half there", cup, fromHex(t, "0200 0000000000000010 00"), ParseError{60, 11, Truncated}},
		{"length no BCD", cup, fromHex(t, "0200 4000000000000000 1A"), ParseError{2, 10, BadLength}},
		{"length over the maximum", cup, fromHex(t, "0200 4000000000000000 20 0000"), ParseError{2, 10, BadLength}},
		{"LLL of four digits", cup, fromHex(t, "0200 0000000000000010 1002 22"), ParseError{60, 10, BadLength}},
		{"ASCII length no digits", a87, []byte("02004000000000000000+15"), ParseError{2, 20, BadLength}},
		{"body too short", cup, fromHex(t, "0200 2000000000000000 0000"), ParseError{3, 12, Truncated}},
		{"no digits", cup, fromHex(t, "0200 3000000000000000 000000 0000000000A0"), ParseError{4, 18, BadContent}},
		{"odd no digits", cup, fromHex(t, "0200 4000000000000000 03 12A0"), ParseError{2, 12, BadContent}},
		{"pad nibble", cup, fromHex(t, "0200 4000000000000000 03 1235"), ParseError{2, 12, BadPad}},
		{"trailing", cup, fromHex(t, "0200 2000000000000000 000000 00"), ParseError{3, 13, Trailing}},
		{"trailing without fields", cup, fromHex(t, "0200 0000000000000000 00"), ParseError{1, 10, Trailing}},
		{"too large", cup, make([]byte, MaxMessage+1), ParseError{0, 0, TooLarge}},
	} {
		var m Message
		err := tc.codec.Parse(tc.raw, &m)
		require.Equal(t, &tc.want, err, tc.name)
		require.NotContains(t, err.Error(), "unknown", tc.name)
	}
}

func TestFieldsBeforeARefusalStayReadable(t *testing.T) {
	cup := compileDialect(t, "cup")
	good := build(t, cup, 0x0200, map[int]string{3: "000000", 11: "000007", 41: "10000001", 60: "22000001"})
	var m Message
	require.Error(t, cup.Parse(good[:len(good)-1], &m))
	require.Equal(t, MTI(0x0200), m.MTI())
	require.True(t, m.Equal(11, "000007"))
	require.True(t, m.Equal(41, "10000001"))
	require.False(t, m.Has(60))
}

func TestAMessageIsFreshAfterEveryParse(t *testing.T) {
	cup := compileDialect(t, "cup")
	var m Message
	require.NoError(t, cup.Parse(build(t, cup, 0x0200, map[int]string{3: "000000", 11: "000001"}), &m))
	require.NoError(t, cup.Parse(build(t, cup, 0x0810, map[int]string{39: "00"}), &m))
	require.Equal(t, MTI(0x0810), m.MTI())
	require.False(t, m.Has(3))
	require.Equal(t, 39, m.Next(0))
	require.Zero(t, m.Next(39))
	m.Reset()
	require.Nil(t, m.Raw(39))
	require.False(t, m.Has(39))
}

func TestAbsentAndImpossibleFieldsAreNothing(t *testing.T) {
	cup := compileDialect(t, "cup")
	m := parse(t, cup, build(t, cup, 0x0200, map[int]string{3: "000000"}))
	for _, n := range []int{-1, 0, 1, 2, 64, 128, 129, 1 << 20} {
		require.False(t, m.Has(n))
		require.Nil(t, m.Raw(n))
		require.Zero(t, m.Len(n))
		require.Empty(t, m.AppendField(nil, n))
		require.Equal(t, -1, m.CopyField(make([]byte, 9), n))
		require.False(t, m.Equal(n, ""))
		_, ok := m.Uint(n)
		require.False(t, ok)
		_, ok = m.AppendSub(nil, n, 0, 0)
		require.False(t, ok)
	}
	require.Equal(t, 3, m.Next(-5))
	require.Zero(t, m.Next(1<<20))
}

func TestSubfieldsAreTakenByDigitPosition(t *testing.T) {
	for _, name := range shipped { // BCD, text and hexadecimal alike
		c := compileDialect(t, name)
		m := parse(t, c, build(t, c, 0x0200, map[int]string{4: "000000399900", 41: "10000001", 60: "22000001000501"}))
		batch, ok := m.SubUint(60, 2, 6)
		require.True(t, ok, name)
		require.Equal(t, uint64(1), batch)
		sub, ok := m.AppendSub([]byte("x"), 60, 11, 3)
		require.True(t, ok)
		require.Equal(t, "x501", string(sub))
		amount, ok := m.Uint(4)
		require.True(t, ok)
		require.Equal(t, uint64(399900), amount)
		var terminal [8]byte
		require.Equal(t, 8, m.CopyField(terminal[:], 41))
		require.Equal(t, "10000001", string(terminal[:]))
		require.Equal(t, -1, m.CopyField(terminal[:7], 41))
		_, ok = m.SubUint(60, 12, 3)
		require.False(t, ok, "beyond the field")
		_, ok = m.SubUint(60, 0, 0)
		require.False(t, ok)
		_, ok = m.AppendSub(nil, 60, 14, 1)
		require.False(t, ok)
	}
	a := compileDialect(t, "iso87a")
	m := parse(t, a, build(t, a, 0x0200, map[int]string{60: "2X"}))
	_, ok := m.Uint(60)
	require.False(t, ok, "letters are no number")
}

func TestMACCoversEverythingUpToItsField(t *testing.T) {
	cup := compileDialect(t, "cup")
	var b Builder
	b.Reset(cup, 0x0210)
	b.SetZero(64)
	b.SetUint(4, 399900)
	b.SetString(39, "00")
	out, err := b.Append([]byte("frame:"))
	require.NoError(t, err)
	require.Equal(t, 8, cup.WireSize(64))
	body := out[len("frame:") : len(out)-cup.WireSize(64)]
	out, err = cup.AppendValue(out[:len("frame:")+len(body)], 64, []byte("7D6B5E06"))
	require.NoError(t, err)
	m := parse(t, cup, out[len("frame:"):])
	require.Equal(t, body, m.RawUpTo(64))
	require.Equal(t, "7D6B5E06", string(m.Raw(64)))
	require.Equal(t, m.Bytes()[:10], m.RawUpTo(2), "field 4 is the next one present")
	require.Equal(t, m.Bytes(), m.RawUpTo(65))
	require.Zero(t, cup.WireSize(60), "no fixed length")

	a := compileDialect(t, "iso87a")
	m = parse(t, a, build(t, a, 0x0210, map[int]string{2: "6224240000000017", 128: "12345678"}))
	require.Len(t, m.Raw(128), 16)
	require.Len(t, m.RawUpTo(128), 4+32+2+16)
	require.Equal(t, 4+32, len(m.RawUpTo(2)), "the length prefix belongs to the field")
}

func TestKeepOutlivesTheReadBuffer(t *testing.T) {
	cup := compileDialect(t, "cup")
	raw := build(t, cup, 0x0200, map[int]string{11: "000007"})
	m := parse(t, cup, raw)
	kept := m.Keep(make([]byte, 0, 64))
	clear(raw)
	require.True(t, m.Equal(11, "000007"))
	require.Equal(t, kept, m.Bytes())
}

func TestBuilderOrderDoesNotMatter(t *testing.T) {
	cup := compileDialect(t, "cup")
	want := fromHex(t, "0200 2020000000000010 000000 000003 0008 22000001")
	var b Builder
	for _, order := range [][]int{{3, 11, 60}, {60, 11, 3}, {11, 60, 3}} {
		b.Reset(cup, 0x0200)
		for _, n := range order {
			b.SetString(n, map[int]string{3: "000000", 11: "000003", 60: "22000001"}[n])
		}
		out, err := b.Append(nil)
		require.NoError(t, err)
		require.Equal(t, want, out)
	}
	b.SetString(11, "000009")
	b.Remove(3)
	b.Remove(3)
	b.Remove(0)
	require.False(t, b.Has(3))
	out, err := b.Append(nil)
	require.NoError(t, err)
	require.Equal(t, fromHex(t, "0200 0020000000000010 000009 0008 22000001"), out)
}

func TestBuilderKeepsTheFirstRefusal(t *testing.T) {
	cup := compileDialect(t, "cup")
	for _, tc := range []struct {
		name string
		act  func(b *Builder)
		want FieldError
	}{
		{"short", func(b *Builder) { b.SetString(3, "00") }, FieldError{3, BadLength}},
		{"long", func(b *Builder) { b.SetString(3, "0000000") }, FieldError{3, BadLength}},
		{"too long for a variable field", func(b *Builder) { b.SetString(2, strings.Repeat("1", 20)) }, FieldError{2, BadLength}},
		{"letters", func(b *Builder) { b.SetString(3, "00000A") }, FieldError{3, BadContent}},
		{"masked", func(b *Builder) { b.SetString(2, "622424******0017") }, FieldError{2, BadContent}},
		{"track separator elsewhere", func(b *Builder) { b.SetString(2, "62D") }, FieldError{2, BadContent}},
		{"undefined", func(b *Builder) { b.SetString(5, "000000000000") }, FieldError{5, Undefined}},
		{"secondary", func(b *Builder) { b.SetString(70, "301") }, FieldError{70, Undefined}},
		{"bitmap", func(b *Builder) { b.Set(1, nil) }, FieldError{1, Undefined}},
		{"negative", func(b *Builder) { b.Set(-1, nil) }, FieldError{-1, Undefined}},
		{"number too big", func(b *Builder) { b.SetUint(11, 1_000_000) }, FieldError{11, BadLength}},
		{"zero of a variable field", func(b *Builder) { b.SetZero(60) }, FieldError{60, BadLength}},
		{"text outside GBK", func(b *Builder) { b.SetText(63, "😀", false) }, FieldError{63, BadContent}},
		{"odd hexadecimal", func(b *Builder) { b.SetText(62, "123", false) }, FieldError{62, BadContent}},
		{"no hexadecimal", func(b *Builder) { b.SetText(59, "XY", true) }, FieldError{59, BadContent}},
		{"hexadecimal of digits", func(b *Builder) { b.SetText(60, "22", true) }, FieldError{60, BadContent}},
	} {
		var b Builder
		b.Reset(cup, 0x0200)
		b.SetString(11, "000001")
		tc.act(&b)
		b.SetString(4, "x")
		dst := []byte("kept")
		out, err := b.Append(dst)
		require.Equal(t, &tc.want, err, tc.name)
		require.Equal(t, dst, out)
		b.Reset(cup, 0x0200)
		require.NoError(t, b.Err())
	}
	var b Builder
	b.Reset(cup, 0x02A0)
	_, err := b.Append(nil)
	require.Equal(t, &FieldError{mtiField, BadContent}, err)
	_, err = cup.AppendValue(nil, 5, nil)
	require.Equal(t, &FieldError{5, Undefined}, err)
	_, err = cup.AppendValue(nil, 3, nil)
	require.Equal(t, &FieldError{3, BadLength}, err)
}

func TestARequestCrossesIntoAnotherDialect(t *testing.T) {
	good, _ := loadSamples(t)
	cup := compileDialect(t, "cup")
	for _, s := range good {
		if s.Name != "sale_req_0200" {
			continue
		}
		m := parse(t, cup, s.message(t))
		for _, name := range []string{"iso87a", "iso87b"} {
			host := compileDialect(t, name)
			var b Builder
			b.Reset(host, m.MTI())
			b.CopyAll(m)
			b.Remove(64)
			b.SetString(7, "0601100512")
			b.SetUint(11, 777777)
			b.SetString(37, "100000000777")
			out, err := b.Append(nil)
			require.NoError(t, err, name)
			h := parse(t, host, out)
			want := s.fields()
			want[7], want[11], want[37] = "0601100512", "777777", "100000000777"
			for n, v := range want {
				text, _ := h.AppendText(nil, n)
				require.Equal(t, v, string(text), "%s field %d", name, n)
			}
			if name == "iso87a" {
				require.Contains(t, string(out), "6224240000000017=30122201", "= on an ASCII line")
			}

			// The answer comes back the same way.
			b.Reset(cup, m.MTI().Response())
			b.Copy(m, 3, 4, 11, 25, 41, 42, 49, 60)
			b.Copy(h, 37)
			b.SetString(39, "00")
			out, err = b.Append(nil)
			require.NoError(t, err)
			answer := parse(t, cup, out)
			require.Equal(t, MTI(0x0210), answer.MTI())
			require.True(t, answer.Equal(37, "100000000777"))
			require.True(t, answer.Equal(11, "000003"))
		}
		return
	}
	t.Fatal("the sale is not among the samples")
}

func TestSecondaryBitmapOnlyWhenNeeded(t *testing.T) {
	c := compileDialect(t, "iso87b")
	require.Equal(t, fromHex(t, "0800 0020000000000000 000001"), build(t, c, 0x0800, map[int]string{11: "000001"}))
	raw := build(t, c, 0x0800, map[int]string{11: "000001", 70: "301"})
	require.Equal(t, fromHex(t, "0800 8020000000000000 0400000000000000 000001 0301"), raw)
	m := parse(t, c, raw)
	require.Equal(t, 11, m.Next(0))
	require.Equal(t, 70, m.Next(11))
	require.False(t, m.Has(1))
	empty := parse(t, c, fromHex(t, "0800 8000000000000000 0000000000000000"))
	require.Zero(t, empty.Next(0))
}

func TestMTI(t *testing.T) {
	for request, answer := range map[MTI]MTI{
		0x0100: 0x0110, 0x0200: 0x0210, 0x0220: 0x0230, 0x0221: 0x0230, 0x0400: 0x0410, 0x0800: 0x0810, 0x0820: 0x0830,
		0x0210: 0x0210, 0x1200: 0x1210,
	} {
		require.Equal(t, answer.String(), request.Response().String())
	}
	require.Equal(t, "0200", MTI(0x0200).String())
}

func TestPaddingWordFillsShortValues(t *testing.T) {
	c := compileDialect(t, "iso87-hex") // moov's Spec87Hex pads 4, 5, 6 on the left with 0
	m := parse(t, c, build(t, c, 0x0200, map[int]string{4: "479920"}))
	require.True(t, m.Equal(4, "000000479920"))
	right, err := Compile([]byte(`{"fields":{
		"0":{"type":"String","length":4,"enc":"ASCII","prefix":"ASCII.Fixed"},
		"1":{"type":"Bitmap","enc":"HexToASCII","prefix":"Hex.Fixed"},
		"41":{"type":"String","length":8,"enc":"ASCII","prefix":"ASCII.Fixed","padding":{"type":"Right","pad":" "}},
		"60":{"type":"Numeric","length":5,"enc":"LBCD","prefix":"Binary.L","padding":{"type":"Left","pad":"0"}}}}`))
	require.NoError(t, err)
	require.Equal(t, "02000000000000800010T1      \x05\x00\x12\x00", string(build(t, right, 0x0200, map[int]string{41: "T1", 60: "120"})))
}

func TestDescriptionsComeFromTheFile(t *testing.T) {
	cup := compileDialect(t, "cup")
	require.Contains(t, cup.Description(2), "主账号")
	require.Empty(t, cup.Description(5))
	require.Empty(t, cup.Description(128))
	require.Equal(t, "UnionPay-style POS", cup.Name())
	require.Equal(t, 64, cup.LastField())
	require.True(t, cup.Defines(2))
	require.False(t, cup.Defines(0))
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	good, bad := loadSamples(t)
	cup, b87 := compileDialect(t, "cup"), compileDialect(t, "iso87b")
	var raws [][]byte
	for _, s := range append(good, bad...) { // refusals included
		raws = append(raws, s.message(t))
	}
	var m Message
	var echo, host Builder
	out := make([]byte, 0, 4096)
	value := make([]byte, 0, 1024)
	round := func() {
		for _, raw := range raws {
			if cup.Parse(raw, &m) != nil {
				continue
			}
			for n := m.Next(0); n != 0; n = m.Next(n) {
				value = m.AppendField(value[:0], n)
				_, _ = m.Uint(n)
				_ = m.Equal(n, "00")
			}
			_, _ = m.SubUint(60, 2, 6)
			for w := WalkTLV(m.Raw(55)); ; {
				if _, _, ok := w.Next(); !ok {
					break
				}
			}
			_, _ = FindTag59(m.Raw(59), "A3")
			echo.Reset(cup, m.MTI().Response())
			echo.Copy(&m, 2, 3, 4, 11, 25, 41, 42, 49, 60)
			echo.SetString(39, "00")
			echo.SetUint(12, 100512)
			echo.SetZero(64)
			out, _ = echo.Append(out[:0])
			host.Reset(b87, m.MTI())
			host.Copy(&m, 2, 3, 4, 14, 22, 35, 41, 42, 49, 52, 55)
			host.SetUint(11, 777)
			out, _ = host.Append(out[:0])
		}
	}
	round()
	require.Zero(t, testing.AllocsPerRun(50, round))
}

func TestLargestValuesFit(t *testing.T) {
	cup := compileDialect(t, "cup")
	digits := strings.Repeat("1234567890", 99) + "123456789"
	m := parse(t, cup, build(t, cup, 0x0200, map[int]string{60: digits}))
	require.Equal(t, digits, string(m.AppendField(nil, 60)))

	c := compileDialect(t, "iso87a")
	var b Builder
	b.Reset(c, 0x0200)
	for n := 46; n <= 127; n++ {
		if c.Defines(n) && c.WireSize(n) == 0 {
			b.Set(n, bytes.Repeat([]byte("7"), c.plans[n].max))
		}
	}
	raw, err := b.Append(nil)
	require.NoError(t, err)
	m = parse(t, c, raw)
	require.Len(t, m.Raw(127), 999)
}

func TestTrySetLeavesTheBuilderAsItWasWhenTheDialectDoesNotTakeTheValue(t *testing.T) {
	cup := compileDialect(t, "cup")
	var b Builder
	b.Reset(cup, 0x0210)
	b.SetString(39, "00")
	before, err := b.Append(nil)
	require.NoError(t, err)
	require.False(t, b.TrySet(37, []byte("too long to be a retrieval reference")))
	require.False(t, b.TrySet(11, []byte("12x456")))
	require.False(t, b.TrySet(5, []byte("1")), "not a field of the dialect")
	after, err := b.Append(nil)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.True(t, b.TrySet(37, []byte("516900000001")))
	require.True(t, b.Has(37))
}

func TestWipeLeavesNothingOfAMessage(t *testing.T) {
	cup := compileDialect(t, "cup")
	var b Builder
	b.Reset(cup, 0x0200)
	b.SetString(2, "6224240000000000197")
	b.Wipe()
	require.Equal(t, make([]byte, cap(b.wire)), b.wire[:cap(b.wire)])
	require.Equal(t, make([]byte, cap(b.plain)), b.plain[:cap(b.plain)])
	require.False(t, b.Has(2))
}
