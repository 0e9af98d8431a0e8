package iso8583

import (
	"bytes"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"

	moov "github.com/moov-io/iso8583"
	"github.com/moov-io/iso8583/field"
	"github.com/moov-io/iso8583/specs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The shipped dialects, each held against moov-io/iso8583 reading the very same file.
var shipped = []string{"cup", "cup-sm4", "iso87a", "iso87b", "iso87-hex"}

// difference is one way in which the codec and moov may disagree. Any other disagreement fails the tests.
type difference struct {
	name string // as in README.md
	// refused tells whether it explains that the codec refuses, for err, what moov takes; nil when it never does.
	refused func(c *Codec, raw []byte, err *ParseError) bool
	// taken tells whether it explains that the codec takes what moov refuses; nil when it never does.
	taken func(c *Codec, m *Message) bool
}

var differences = []difference{
	{
		name:    "trailing bytes",
		refused: func(_ *Codec, _ []byte, err *ParseError) bool { return err.Reason == Trailing },
	},
	{
		name: "further bitmaps",
		refused: func(c *Codec, _ []byte, err *ParseError) bool {
			return err.Reason == NoSecondary && err.Field == bitmapField
		},
	},
	{
		name: "pad nibble",
		refused: func(c *Codec, raw []byte, err *ParseError) bool {
			return err.Reason == BadPad && c.plans[err.Field].bcd() && err.Offset < len(raw)
		},
		taken: func(c *Codec, m *Message) bool {
			return anyField(m, func(p *plan, wire []byte, units int) bool {
				return p.enc == encBCD && units&1 == 1 && wire[0]>>4 == 0x0f
			})
		},
	},
	{
		name: "filler inside BCD",
		refused: func(c *Codec, raw []byte, err *ParseError) bool {
			p := &c.plans[err.Field]
			return err.Reason == BadContent && (p.bcd() || p.enc == encParts) && raw[err.Offset]&0x0f == 0x0f
		},
	},
	{
		name: "content",
		refused: func(c *Codec, _ []byte, err *ParseError) bool {
			p := &c.plans[err.Field]
			return err.Reason == BadContent && !p.bcd() && (p.content != contentAny || p.enc == encParts)
		},
	},
	{
		name: "length prefix",
		refused: func(c *Codec, raw []byte, err *ParseError) bool {
			p := &c.plans[err.Field]
			if err.Reason != BadLength {
				return false
			}
			b := raw[err.Offset]
			return p.prefix == prefixASCII && (b == '+' || b == '-') ||
				p.prefix == prefixBCD && p.prefixDigits&1 == 1 && b>>4 != 0
		},
	},
}

func anyField(m *Message, match func(p *plan, wire []byte, units int) bool) bool {
	for n := m.Next(0); n != 0; n = m.Next(n) {
		if match(&m.codec.plans[n], m.Raw(n), m.Len(n)) {
			return true
		}
	}
	return false
}

// nibbles is the one encoding lent to the oracle: digits and D, which moov's LBCD refuses.
type nibbles struct{}

func (nibbles) Encode(v []byte) ([]byte, error) {
	if len(v)%2 == 1 {
		v = append(bytes.Clone(v), '0')
	}
	return hex.DecodeString(string(v))
}

func (nibbles) Decode(b []byte, n int) ([]byte, int, error) {
	size := (n + 1) / 2
	if size > len(b) {
		return nil, 0, os.ErrInvalid
	}
	return []byte(strings.ToUpper(hex.EncodeToString(b[:size]))[:n]), size, nil
}

// oracle is the two codecs of one dialect.
type oracle struct {
	ours  *Codec
	again *Codec // the same dialect compiled apart, so that copies go through the canonical form
	moov  *moov.MessageSpec
}

func newOracle(t testing.TB, name string) *oracle {
	t.Helper()
	spec, err := os.ReadFile("../../config/dialects/" + name + ".json")
	require.NoError(t, err)
	theirs, err := specs.ImportJSON(spec)
	require.NoError(t, err, "moov reads the file as it is")
	o := &oracle{ours: compileDialect(t, name), again: compileDialect(t, name), moov: theirs}
	for n, f := range theirs.Fields {
		if p := &o.ours.plans[n]; p.bcd() && p.content == contentTrack {
			f.Spec().Enc = nibbles{}
		}
	}
	return o
}

// value returns what moov says of field n in our canonical form.
func (o *oracle) value(m *moov.Message, n int) []byte {
	p := &o.ours.plans[n]
	f := m.GetField(n)
	if composite, ok := f.(*field.Composite); ok {
		var v []byte
		subs := composite.GetSubfields()
		for i := 1; i <= len(subs); i++ {
			b, _ := subs[strconv.Itoa(i)].Bytes()
			v = append(v, b...)
		}
		return v
	}
	b, err := f.Bytes()
	if err != nil {
		return nil
	}
	v := p.canonicalTrack(bytes.Clone(b), 0)
	if p.side == padLeft { // moov takes the padding off, we leave it
		for len(v) < p.max {
			v = append([]byte{p.padByte}, v...)
		}
	}
	return v
}

// compareRead holds Parse against moov's Unpack.
func (o *oracle) compareRead(t require.TestingT, raw []byte) {
	var m Message
	theirs := moov.NewMessage(o.moov)
	theirErr := theirs.Unpack(raw)
	err := o.ours.Parse(raw, &m)
	switch {
	case err != nil && theirErr != nil:
		return
	case err != nil:
		require.True(t, o.explainRefused(raw, err.(*ParseError)), "only we refuse: %v\n%X", err, raw)
		return
	case theirErr != nil:
		require.True(t, o.explainTaken(&m), "only moov refuses: %v\n%X", theirErr, raw)
		return
	}
	var present []int
	for n := m.Next(0); n != 0; n = m.Next(n) {
		present = append(present, n)
		require.Equal(t, string(o.value(theirs, n)), string(m.AppendField(nil, n)), "field %d of %X", n, raw)
	}
	for n := range theirs.GetFields() {
		if n > 1 {
			require.Contains(t, present, n)
		}
	}
	mti, err := theirs.GetMTI()
	require.NoError(t, err)
	require.Equal(t, mti, m.MTI().String())
	o.compareRepack(t, &m, theirs)
}

// compareRepack holds a message built anew from its canonical values against moov's Pack.
func (o *oracle) compareRepack(t require.TestingT, m *Message, theirs *moov.Message) {
	var b Builder
	b.Reset(o.again, m.MTI())
	b.CopyAll(m)
	ours, err := b.Append(nil)
	require.NoError(t, err)
	for n := m.Next(0); n != 0; n = m.Next(n) { // a track's separator goes back as the dialect writes it
		if p := &o.ours.plans[n]; p.content == contentTrack && !p.bcd() {
			require.NoError(t, theirs.BinaryField(n, o.theirTrack(p, m.AppendField(nil, n))))
		}
	}
	packed, err := theirs.Pack()
	require.NoError(t, err)
	require.Equal(t, packed, ours)
}

func (o *oracle) theirTrack(p *plan, canonical []byte) []byte {
	return bytes.ReplaceAll(canonical, []byte("D"), []byte{p.separator})
}

func (o *oracle) explainRefused(raw []byte, err *ParseError) bool {
	for _, d := range differences {
		if d.refused != nil && d.refused(o.ours, raw, err) {
			return true
		}
	}
	return false
}

func (o *oracle) explainTaken(m *Message) bool {
	for _, d := range differences {
		if d.taken != nil && d.taken(o.ours, m) {
			return true
		}
	}
	return false
}

// drawValue draws a canonical value that field n can hold.
func drawValue(t *rapid.T, p *plan, n int) []byte {
	label := "field " + strconv.Itoa(n)
	if p.enc == encParts {
		var v []byte
		for i := range p.parts {
			v = append(v, drawValue(t, &p.parts[i], n)...)
		}
		return v
	}
	size := p.max
	if !p.fixed && rapid.IntRange(0, 9).Draw(t, label) > 0 {
		size = rapid.IntRange(0, min(p.max, 40)).Draw(t, label)
	}
	one := rapid.Byte()
	switch {
	case p.content == contentDigits:
		one = rapid.SampledFrom([]byte("0123456789"))
	case p.content == contentTrack && p.bcd():
		one = rapid.SampledFrom([]byte("0123456789ABCDEF"))
	case p.content == contentTrack:
		one = rapid.SampledFrom([]byte("0123456789ABCEFD"))
	case p.enc == encASCII:
		one = rapid.ByteMax(0x7f)
	}
	return rapid.SliceOfN(one, size, size).Draw(t, label)
}

// Every dialect, both directions: what we build is byte for byte what moov packs, and both read the same out of it.
func TestCodecAndMoovAgreeOnGeneratedMessages(t *testing.T) {
	for _, name := range shipped {
		o := newOracle(t, name)
		var numbers []int
		for n := 2; n <= o.ours.LastField(); n++ {
			if o.ours.Defines(n) {
				numbers = append(numbers, n)
			}
		}
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				var b Builder
				mti := MTI(rapid.SampledFrom([]int{0x0100, 0x0110, 0x0200, 0x0420, 0x0800, 0x9999}).Draw(rt, "mti"))
				b.Reset(o.ours, mti)
				theirs := moov.NewMessage(o.moov)
				theirs.MTI(mti.String())
				chosen := rapid.Permutation(numbers).Draw(rt, "fields")
				chosen = chosen[:rapid.IntRange(0, min(25, len(chosen))).Draw(rt, "count")]
				want := map[int][]byte{}
				for _, n := range chosen {
					p := &o.ours.plans[n]
					v := drawValue(rt, p, n)
					want[n] = v
					b.Set(n, v)
					theirValue := v
					if p.enc == encParts {
						wire, err := o.ours.AppendValue(nil, n, v)
						require.NoError(rt, err)
						theirValue = wire
					} else if p.content == contentTrack && !p.bcd() {
						theirValue = o.theirTrack(p, v)
					}
					require.NoError(rt, theirs.BinaryField(n, theirValue))
				}
				ours, err := b.Append(nil)
				require.NoError(rt, err)
				packed, err := theirs.Pack()
				require.NoError(rt, err)
				require.Equal(rt, packed, ours)

				var m Message
				require.NoError(rt, o.ours.Parse(ours, &m))
				for n, v := range want {
					require.Equal(rt, string(v), string(m.AppendField(nil, n)), "field %d", n)
					require.Equal(rt, len(v), m.Len(n))
				}
				o.compareRead(rt, ours)

				// One flipped byte: still the same verdict, or a listed difference.
				if at := rapid.IntRange(0, len(ours)-1).Draw(rt, "at"); len(ours) > 0 {
					damaged := bytes.Clone(ours)
					damaged[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "flip"))
					o.compareRead(rt, damaged)
				}
			})
		})
	}
}

// moov's own Spec87Hex, without our file: it reads what the dialect iso87-hex writes, and its exported JSON compiles to
// the same dialect.
func TestHexDialectIsMoovsSpec87Hex(t *testing.T) {
	ours := compileDialect(t, "iso87-hex")
	exported, err := specs.ExportJSON(specs.Spec87Hex)
	require.NoError(t, err)
	same, err := Compile(exported)
	require.NoError(t, err)
	var b Builder
	b.Reset(ours, 0x0200)
	b.SetString(2, "6224240000000017")
	b.SetUint(4, 479920)
	b.SetString(35, "6224240000000017D30122201")
	b.SetString(41, "10000001")
	b.SetString(90, strings.Repeat("1", 42))
	raw, err := b.Append(nil)
	require.NoError(t, err)

	theirs := moov.NewMessage(specs.Spec87Hex)
	require.NoError(t, theirs.Unpack(raw))
	for n, want := range map[int]string{2: "6224240000000017", 4: "479920", 35: "6224240000000017=30122201", 41: "10000001"} {
		got, err := theirs.GetString(n)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	var m Message
	require.NoError(t, same.Parse(raw, &m))
	require.True(t, m.Equal(4, "000000479920"))
}

func FuzzMessage(f *testing.F) {
	good, bad := loadSamples(f)
	oracles := make([]*oracle, len(shipped))
	for i, name := range shipped {
		oracles[i] = newOracle(f, name)
	}
	for _, s := range append(good, bad...) {
		raw := s.message(f)
		f.Add(uint8(0), raw)
		var m Message
		if oracles[0].ours.Parse(raw, &m) != nil {
			continue
		}
		for i := 1; i < len(shipped); i++ {
			var b Builder
			b.Reset(oracles[i].ours, m.MTI())
			for n := m.Next(0); n != 0; n = m.Next(n) {
				b.Copy(&m, n)
				if b.Err() != nil { // what the other dialect cannot hold stays out of its seed
					break
				}
			}
			if out, err := b.Append(nil); err == nil {
				f.Add(uint8(i), out)
			}
		}
	}
	f.Fuzz(func(t *testing.T, dialect uint8, raw []byte) {
		o := oracles[int(dialect)%len(oracles)]
		o.compareRead(t, raw)
		checkInvariants(t, o.ours, raw)
	})
}

// checkInvariants holds what must be true of every input without an oracle.
func checkInvariants(t *testing.T, c *Codec, raw []byte) {
	var m Message
	err := c.Parse(raw, &m)
	if err != nil {
		pe := err.(*ParseError)
		require.NotZero(t, pe.Reason)
		require.GreaterOrEqual(t, pe.Offset, 0)
		require.LessOrEqual(t, pe.Offset, len(raw))
		require.LessOrEqual(t, pe.Field, maxField)
	}
	for n := m.Next(0); n != 0; n = m.Next(n) { // also of what stands before a refusal
		v := m.AppendField(nil, n)
		require.Len(t, v, m.Len(n))
		require.True(t, m.Equal(n, string(v)))
		sub, ok := m.AppendSub(nil, n, 0, len(v))
		require.True(t, ok)
		require.Equal(t, string(v), string(sub))
		text, isHex := m.AppendText(nil, n)
		var b Builder
		b.Reset(c, m.MTI())
		b.SetText(n, string(text), isHex)
		require.NoError(t, b.Err(), "field %d", n)
		back, reason := c.plans[n].appendField(nil, v)
		require.Zero(t, reason)
		require.Equal(t, back, b.wire[b.parts[n].start:b.parts[n].end], "field %d", n)
	}
	if err != nil {
		return
	}
	var b Builder
	b.Reset(c, m.MTI())
	b.CopyAll(&m)
	again, err := b.Append(nil)
	require.NoError(t, err)
	body := len(raw)
	if first := m.Next(0); first != 0 {
		body = len(m.RawUpTo(first))
	}
	require.Equal(t, string(raw[body:]), string(again[len(again)-len(raw)+body:]), "a copy keeps the bytes, pads included")
	require.Contains(t, []int{0, bitmapSize, 2 * bitmapSize}, len(raw)-len(again), "an empty secondary bitmap is left out")
}

// The table of differences is no excuse list: each entry is shown to occur, and to be what separates the two codecs.
func TestEveryListedDifferenceOccurs(t *testing.T) {
	text := func(s string) string { return hex.EncodeToString([]byte(s)) }
	shown := map[string]bool{}
	for _, tc := range []struct {
		name, dialect, raw string
		refused            bool
	}{
		{"trailing bytes", "cup", "0200 2000000000000000 000000 00", true},
		{"further bitmaps", "cup", "0200 A000000000000000 000000", true},
		{"further bitmaps", "iso87b", "0200 8000000000000000 8000000000000000 0000000000000000", true},
		{"pad nibble", "cup", "0200 4000000000000000 01 15", true},
		{"pad nibble", "cup", "0200 0000020000000000 F001", false},
		{"filler inside BCD", "cup", "0200 2000000000000000 00000F", true},
		{"filler inside BCD", "iso87b", "0200 0000001000000000 44 0000000F", true},
		{"content", "iso87a", text("02002000000000000000ABCDEF"), true},
		{"content", "iso87a", text("ABCD0000000000000000"), true},
		{"length prefix", "iso87a", text("02004000000000000000+15"), true},
		{"length prefix", "cup", "0200 0000000000000010 1002 22", true},
	} {
		o := newOracle(t, tc.dialect)
		raw, ok := unhex(nil, strings.ReplaceAll(tc.raw, " ", ""))
		require.True(t, ok)
		var m Message
		err := o.ours.Parse(raw, &m)
		theirErr := moov.NewMessage(o.moov).Unpack(raw)
		require.Equal(t, tc.refused, err != nil, "%s: %v", tc.raw, err)
		require.Equal(t, tc.refused, theirErr == nil, "%s: %v", tc.raw, theirErr)
		for _, d := range differences {
			if d.name != tc.name {
				continue
			}
			if tc.refused {
				require.True(t, d.refused(o.ours, raw, err.(*ParseError)), tc.raw)
			} else {
				require.True(t, d.taken(o.ours, &m), tc.raw)
			}
			shown[d.name] = true
		}
	}
	require.Len(t, shown, len(differences))
}
