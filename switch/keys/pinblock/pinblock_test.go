package pinblock

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/switch/keys/block"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	require.NoError(t, err)
	return raw
}

func upper(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

func mustCipher(t testing.TB, c block.Cipher, key []byte) cipher.Block {
	t.Helper()
	b, err := block.New(c, key)
	require.NoError(t, err)
	return b
}

func fixed(t testing.TB, digits string) Fill {
	t.Helper()
	f, err := FixedFill(digits)
	require.NoError(t, err)
	return f
}

func TestClearBlocks(t *testing.T) {
	for _, test := range []struct {
		name, pin, pan string
		f              Format
		fill, want     string
	}{
		{"ANSI X9.24-1 A.4", "1234", "4012345678909", ISO0, "F", "041274EDCBA9876F"},
		{"pos-dialect §6", "123456", "123456789012345678", ISO0, "F", "061253DFFEDCBA98"},
		{"constructed messages", "123456", "6224240000000017", ISO0, "F", "06127616FFFFFFFE"},
		{"PAN of 12 digits: a zero before eleven", "1234", "123456789012", ISO0, "F", "041235DCBA9876FE"},
		{"PAN of 8 digits", "123456789012", "12345678", ISO0, "F", "0C12345679B35798"},
		{"PAN of 19 digits", "12345", "6230606601007726888", ISO0, "F", "0512525EFF88D977"},
		{"format 3", "1234", "4012345678909", ISO3, "ABCDEFABCDEF", "341274B9F9B9D35D"},
		{"format 4", "1234", "432198765432109870", ISO4, "0123456789ABCDEF", "441234AAAAAAAAAA0123456789ABCDEF"},
		{"format 4, twelve digits", "123456789012", "432198765432109870", ISO4, "F", "4C123456789012AAFFFFFFFFFFFFFFFF"},
		{"SM4", "123654", "6230606601007726888", Wide0, "F", "06123654FFFFFFFFFFFF99FEFF88D977"},
		{"without PAN", "123456", "", Bare, "F", "06123456FFFFFFFF"},
		{"without PAN, SM4", "1234", "", BareWide, "F", "041234FFFFFFFFFFFFFFFFFFFFFFFFFF"},
	} {
		got, err := AppendClear(nil, test.f, []byte(test.pin), []byte(test.pan), fixed(t, test.fill))
		require.NoError(t, err, test.name)
		require.Equal(t, test.want, upper(got), test.name)
	}
}

// pos-dialect §6 and the constructed messages: under the PIN key of §5.
func TestEncipheredBlocksOfTheDialect(t *testing.T) {
	key := mustCipher(t, block.DES, unhex(t, "807A23AD32B36D457AE91FDF927570EA"))
	for pan, want := range map[string]string{"123456789012345678": "A2BCBE65CB54B0E7", "6224240000000017": "FA36989B212B5950"} {
		got, err := Encipher(nil, ISO0, key, []byte("123456"), []byte(pan), Fill{})
		require.NoError(t, err)
		require.Equal(t, want, upper(got))
		pin, err := Decipher(nil, ISO0, key, got, []byte(pan))
		require.NoError(t, err)
		require.Equal(t, "123456", string(pin))
	}
}

func TestFormatFourIsEncipheredTwiceAroundThePAN(t *testing.T) {
	key := mustCipher(t, block.AES, unhex(t, "00112233445566778899AABBCCDDEEFF"))
	for pan, field := range map[string]string{
		"432198765432109870":  "64321987654321098700000000000000",
		"4321987654321098765": "74321987654321098765000000000000",
		"432198765432":        "04321987654320000000000000000000",
		"87654321":            "00000876543210000000000000000000",
		"7":                   "00000000000070000000000000000000",
	} {
		got, err := Encipher(nil, ISO4, key, []byte("1234"), []byte(pan), fixed(t, "0123456789ABCDEF"))
		require.NoError(t, err)
		want := unhex(t, "441234AAAAAAAAAA0123456789ABCDEF")
		key.Encrypt(want, want)
		for i, b := range unhex(t, field) {
			want[i] ^= b
		}
		key.Encrypt(want, want)
		require.Equal(t, want, got, pan)
	}
}

var (
	allFormats = []Format{ISO0, ISO3, ISO4, Wide0, Bare, BareWide}
	drawPIN    = rapid.StringMatching(`[0-9]{4,12}`)
	drawPAN    = rapid.StringMatching(`[0-9]{8,19}`) // what a translation takes
)

func drawCipher(t *rapid.T, f Format, label string) cipher.Block {
	c, size := block.DES, rapid.SampledFrom([]int{8, 16, 24}).Draw(t, label+" size")
	if f.Size() == 16 {
		c, size = rapid.SampledFrom([]block.Cipher{block.AES, block.SM4}).Draw(t, label+" cipher"), 16
	}
	b, err := block.New(c, rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, label+" key"))
	require.NoError(t, err)
	return b
}

func TestTranslationKeepsThePIN(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pin, pan := drawPIN.Draw(t, "pin"), []byte(drawPAN.Draw(t, "pan"))
		from, to := rapid.SampledFrom(allFormats).Draw(t, "from"), rapid.SampledFrom(allFormats).Draw(t, "to")
		here, there := Side{from, drawCipher(t, from, "from"), pan}, Side{to, drawCipher(t, to, "to"), bytes.Clone(pan)}
		sealed, err := Encipher(nil, from, here.Block, []byte(pin), pan, RandomFill(rand.Reader))
		require.NoError(t, err)
		require.Len(t, sealed, from.Size())
		opened, err := Decipher(nil, from, here.Block, sealed, pan)
		require.NoError(t, err)
		require.Equal(t, pin, string(opened))

		out, err := Translate(nil, sealed, here, there, RandomFill(rand.Reader))
		if !to.HasPAN() {
			require.ErrorIs(t, err, ErrNoPAN)
			require.Empty(t, out)
			return
		}
		require.NoError(t, err)
		opened, err = Decipher(nil, to, there.Block, out, pan)
		require.NoError(t, err)
		require.Equal(t, pin, string(opened))

		there.PAN[rapid.IntRange(0, len(pan)-1).Draw(t, "changed digit")] ^= 1
		out, err = Translate(nil, sealed, here, there, RandomFill(rand.Reader))
		if from.HasPAN() {
			require.ErrorIs(t, err, ErrPANChange)
			require.Empty(t, out)
		}
	})
}

// A wrong PAN shows in format 4 always, in the others where it hits the filling.
func TestAnotherPANDoesNotOpenFormatFour(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pin, pan := drawPIN.Draw(t, "pin"), []byte(drawPAN.Draw(t, "pan"))
		key := drawCipher(t, ISO4, "key")
		sealed, err := Encipher(nil, ISO4, key, []byte(pin), pan, RandomFill(rand.Reader))
		require.NoError(t, err)
		pan[rapid.IntRange(0, len(pan)-1).Draw(t, "changed digit")] ^= 1
		opened, err := Decipher(nil, ISO4, key, sealed, pan)
		require.ErrorIs(t, err, ErrBlock)
		require.Empty(t, opened)
	})
}

// Blocks that a right key opens to something which no terminal makes.
func TestWhatIsNoBlockIsRefused(t *testing.T) {
	pan := []byte("6224240000000017")
	for name, test := range map[string]struct {
		f     Format
		clear string
	}{
		"another format":          {ISO0, "161234FFFFFFFFFF"},
		"three digits":            {ISO0, "03123FFFFFFFFFFF"},
		"thirteen digits":         {ISO0, "0D1234567890123F"},
		"a letter in the PIN":     {ISO0, "04123AFFFFFFFFFF"},
		"a digit in the filling":  {ISO0, "041234FFFFFFFFF0"},
		"format 3, a digit":       {ISO3, "341234AAAAAAAAA9"},
		"format 3, format 0":      {ISO3, "041234FFFFFFFFFF"},
		"format 4, filled with F": {ISO4, "441234FFFFFFFFFF0123456789ABCDEF"},
		"format 4, format 0":      {ISO4, "041234AAAAAAAAAA0123456789ABCDEF"},
		"SM4, a zero":             {Wide0, "041234FFFFFFFFFFFFFFFFFFFFFFFFF0"},
		"without PAN":             {Bare, "041234FFFFFFFF0F"},
	} {
		w := works.Get().(*work)
		require.NoError(t, w.layPAN(test.f, pan))
		key := mustCipher(t, map[int]block.Cipher{8: block.DES, 16: block.SM4}[test.f.Size()], make([]byte, 16))
		raw := unhex(t, test.clear)
		if test.f == ISO4 {
			key.Encrypt(raw, raw)
		}
		for i := range raw {
			raw[i] ^= w.pan[i]
		}
		w.release()
		key.Encrypt(raw, raw)
		pin, err := Decipher(nil, test.f, key, raw, pan)
		require.ErrorIs(t, err, ErrBlock, name)
		require.Empty(t, pin, name)
		_, err = Decipher(nil, test.f, key, raw[1:], pan)
		require.ErrorIs(t, err, ErrBlock, name)
	}
}

func TestWhatIsNoPINOrPANIsRefused(t *testing.T) {
	for _, pin := range []string{"", "123", "1234567890123", "12a4", "12 4"} {
		_, err := AppendClear(nil, ISO0, []byte(pin), []byte("6224240000000017"), Fill{})
		require.ErrorIs(t, err, ErrPIN)
	}
	for _, pan := range []string{"", "12345678901234567890", "62242400000000D7"} {
		for _, f := range []Format{ISO0, ISO3, ISO4, Wide0} {
			_, err := AppendClear(nil, f, []byte("1234"), []byte(pan), fixed(t, "F"))
			require.ErrorIs(t, err, ErrPAN)
		}
	}
	key := mustCipher(t, block.DES, make([]byte, 16))
	short, err := Encipher(nil, ISO0, key, []byte("1234"), []byte("1234567"), Fill{})
	require.NoError(t, err)
	side := Side{ISO0, key, []byte("1234567")}
	_, err = Translate(nil, short, side, side, Fill{})
	require.ErrorIs(t, err, ErrPAN)
	des, aes := mustCipher(t, block.DES, make([]byte, 16)), mustCipher(t, block.AES, make([]byte, 16))
	for f, b := range map[Format]cipher.Block{ISO0: aes, ISO3: aes, ISO4: des, Wide0: des, Bare: aes, 0: des, formatEnd: des} {
		_, err := Encipher(nil, f, b, []byte("1234"), []byte("6224240000000017"), fixed(t, "F"))
		require.ErrorIs(t, err, ErrFormat)
		_, err = Decipher(nil, f, b, make([]byte, 16), []byte("6224240000000017"))
		require.ErrorIs(t, err, ErrFormat)
	}
	_, err = ParseFormat("2")
	require.ErrorIs(t, err, ErrFormat)
	for _, f := range allFormats {
		named, err := ParseFormat(f.String())
		require.NoError(t, err)
		require.Equal(t, f, named)
	}
}

func TestAFillIsHexadecimal(t *testing.T) {
	for _, text := range []string{"", "G", "0x12"} {
		_, err := FixedFill(text)
		require.ErrorIs(t, err, ErrFill)
	}
	_, err := AppendClear(nil, ISO3, []byte("1234"), []byte("6224240000000017"), fixed(t, "A9"))
	require.ErrorIs(t, err, ErrFill)
	_, err = AppendClear(nil, ISO3, []byte("1234"), []byte("6224240000000017"), Fill{})
	require.ErrorIs(t, err, ErrFill)
	_, err = AppendClear(nil, ISO4, []byte("1234"), []byte("6224240000000017"), RandomFill(bytes.NewReader(nil)))
	require.Error(t, err)
	lower, err := AppendClear(nil, ISO3, []byte("1234"), []byte("6224240000000017"), fixed(t, "abcdef"))
	require.NoError(t, err)
	capital, err := AppendClear(nil, ISO3, []byte("1234"), []byte("6224240000000017"), fixed(t, "ABCDEF"))
	require.NoError(t, err)
	require.Equal(t, capital, lower)
}

func TestFormatThreeFillsWithEveryLetter(t *testing.T) {
	count := map[byte]int{}
	for range 500 {
		got, err := AppendClear(nil, ISO3, []byte("1234"), []byte("10000000000000009"), RandomFill(rand.Reader))
		require.NoError(t, err)
		for i := 6; i < 16; i++ {
			count[get(got, i)]++
		}
	}
	require.Len(t, count, 6)
	for letter := range count {
		require.GreaterOrEqual(t, letter, byte(10))
	}
}

func TestNothingIsLeftInTheWorkingMemory(t *testing.T) {
	key := mustCipher(t, block.AES, make([]byte, 16))
	w := &work{}
	require.NoError(t, w.take([]byte("1234")))
	_, err := w.seal(nil, ISO4, key, []byte("6224240000000017"), fixed(t, "F"))
	require.NoError(t, err)
	w.release()
	require.Equal(t, work{}, *w)
}

func FuzzDecipher(f *testing.F) {
	f.Add(byte(1), []byte("06127616FFFFFFFE"), []byte("6224240000000017"))
	f.Add(byte(3), make([]byte, 16), []byte("4321987654321098765"))
	f.Fuzz(func(t *testing.T, format byte, src, pan []byte) {
		what := Format(format)
		key := mustCipher(t, cipherOf(what), make([]byte, 16))
		pin, err := Decipher(nil, what, key, src, pan)
		if err != nil {
			require.Empty(t, pin)
			return
		}
		again, err := Encipher(nil, what, key, pin, pan, fixed(t, "F"))
		require.NoError(t, err)
		opened, err := Decipher(nil, what, key, again, pan)
		require.NoError(t, err)
		require.Equal(t, pin, opened)
	})
}

func cipherOf(f Format) block.Cipher {
	if f.Size() == 16 {
		return block.AES
	}
	return block.DES
}

// forms are the clear fields that hold a PIN, before the PAN is XOR-ed in: the standard's drawings, written a second time.
var forms = map[Format]*regexp.Regexp{
	ISO0:     regexp.MustCompile(`^0(.)([0-9]*)F*$`),
	ISO3:     regexp.MustCompile(`^3(.)([0-9]*)[A-F]*$`),
	ISO4:     regexp.MustCompile(`^4(.)([0-9]*)A*.{16}$`),
	Wide0:    regexp.MustCompile(`^0(.)([0-9]*)F*$`),
	Bare:     regexp.MustCompile(`^0(.)([0-9]*)F*$`),
	BareWide: regexp.MustCompile(`^0(.)([0-9]*)F*$`),
}

// FuzzField is a terminal that enciphers whatever it likes, which FuzzDecipher's random bytes hardly ever come to: a field is
// opened exactly when it has the form of its format, and every translation that is allowed keeps the PIN.
func FuzzField(f *testing.F) {
	card := []byte("6224240000000017")
	for _, format := range allFormats {
		for _, pin := range []string{"1234", "123456789012"} {
			field, err := AppendClear(nil, format, []byte(pin), card, fixed(f, "F"))
			require.NoError(f, err)
			w := new(work)
			require.NoError(f, w.layPAN(format, card))
			if format != ISO4 {
				subtle.XORBytes(field, field, w.pan[:len(field)])
			}
			f.Add(byte(format), field, card)
		}
	}
	f.Add(byte(ISO0), []byte("\x03\x12\x3F\xFF\xFF\xFF\xFF\xFF"), []byte("1"))
	f.Add(byte(ISO4), []byte("\x4C\x12\x34\x56\x78\x90\x12\xAB12345678"), []byte("4321987654321098765"))
	f.Fuzz(func(t *testing.T, format byte, field, pan []byte) {
		from := Side{Format(format), nil, pan}
		if !from.Format.valid() || len(field) != from.Format.Size() {
			return
		}
		from.Block = mustCipher(t, cipherOf(from.Format), bytes.Repeat([]byte{3}, 16))
		w, src := new(work), bytes.Clone(field)
		if w.layPAN(from.Format, pan) != nil {
			_, err := Decipher(nil, from.Format, from.Block, src, pan)
			require.ErrorIs(t, err, ErrPAN)
			return
		}
		if from.Format == ISO4 {
			from.Block.Encrypt(src, src)
		}
		subtle.XORBytes(src, src, w.pan[:len(src)])
		from.Block.Encrypt(src, src)

		want := ""
		if m := forms[from.Format].FindStringSubmatch(upper(field)); m != nil && m[1] == fmt.Sprintf("%X", len(m[2])) {
			want = m[2]
		}
		pin, err := Decipher(nil, from.Format, from.Block, src, pan)
		if len(want) < MinPIN || len(want) > MaxPIN {
			require.ErrorIs(t, err, ErrBlock)
			require.Empty(t, pin)
		} else {
			require.NoError(t, err)
			require.Equal(t, want, string(pin))
		}
		for _, format := range allFormats {
			to := Side{format, mustCipher(t, cipherOf(format), make([]byte, 16)), pan}
			out, refused := Translate(nil, src, from, to, fixed(t, "F"))
			switch {
			case !format.HasPAN():
				require.ErrorIs(t, refused, ErrNoPAN)
			case len(pan) < minPAN:
				require.ErrorIs(t, refused, ErrPAN)
			case err == nil && isDigits(pan) && len(pan) <= maxPAN:
				require.NoError(t, refused)
				pin, err := Decipher(nil, format, to.Block, out, pan)
				require.NoError(t, err)
				require.Equal(t, want, string(pin))
			default:
				require.Error(t, refused)
				require.Empty(t, out)
			}
		}
	})
}

func BenchmarkTranslate(b *testing.B) {
	pan := []byte("6224240000000017")
	from := Side{ISO0, mustCipher(b, block.DES, bytes.Repeat([]byte{3}, 16)), pan}
	sealed, err := Encipher(nil, ISO0, from.Block, []byte("123456"), pan, Fill{})
	require.NoError(b, err)
	for name, to := range map[string]Side{
		"iso-0 to iso-0": {ISO0, mustCipher(b, block.DES, make([]byte, 16)), pan},
		"iso-0 to iso-4": {ISO4, mustCipher(b, block.AES, make([]byte, 16)), pan},
	} {
		b.Run(name, func(b *testing.B) {
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				if out, err = Translate(out[:0], sealed, from, to, fixed(b, "F")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
