package tr31

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	require.NoError(t, err)
	return raw
}

// vector is one entry of testdata/tr31.json, and of the list below.
type vector struct {
	ID    string
	Input struct {
		KBPK, Usage, Algorithm, Mode, Exportability string
		KeyBlock                                    string     `json:"key_block"`
		Optional                                    [][]string `json:"optional_blocks"`
	}
	Expected struct{ Key string }
}

func vectors(t testing.TB) []vector {
	text, err := os.ReadFile("../testdata/tr31.json")
	require.NoError(t, err)
	var list []vector
	require.NoError(t, json.Unmarshal(text, &list))
	require.Len(t, list, 4)
	return list
}

// rewrap makes the block again, with the padding that it had.
func rewrap(t testing.TB, kbpk []byte, h Header, key []byte, text string) string {
	t.Helper()
	p, err := derive(h.Version, kbpk)
	require.NoError(t, err)
	_, at, err := parseHeader(text)
	require.NoError(t, err)
	end := len(text) - 2*h.Version.macSize()
	secret := unhex(t, text[at:end])
	cipher.NewCBCDecrypter(p.cipher, unhex(t, text[end:])).CryptBlocks(secret, secret)
	again, err := Wrap(kbpk, h, key, len(secret)-2, bytes.NewReader(secret[2+len(key):]))
	require.NoError(t, err)
	return again
}

func TestBlocksOfTheStandards(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			kbpk := unhex(t, v.Input.KBPK)
			h, key, err := Unwrap(kbpk, v.Input.KeyBlock)
			require.NoError(t, err)
			require.Equal(t, v.Expected.Key, strings.ToUpper(hex.EncodeToString(key)))
			require.Equal(t, v.Input.KeyBlock[0], byte(h.Version))
			require.Equal(t, v.Input.Usage, h.Usage)
			require.Equal(t, v.Input.Algorithm, string(h.Algorithm))
			require.Equal(t, v.Input.Mode, string(h.Mode))
			require.Equal(t, v.Input.Exportability, string(h.Exportability))
			require.Len(t, h.Blocks, len(v.Input.Optional))
			for i, block := range v.Input.Optional {
				require.Equal(t, OptionalBlock{block[0], block[1]}, h.Blocks[i])
			}
			require.Equal(t, v.Input.KeyBlock, rewrap(t, kbpk, h, key, v.Input.KeyBlock))
		})
	}
}

// ANSI X9.143:2021 §8: the key hidden in the length of the longest one of its algorithm, certificates in long optional
// blocks, a check value of the protection key, a time stamp and padding.
func TestBlocksOfX9143(t *testing.T) {
	const master = "88E1AB2A2E3DD38C1FA039A536500CC8A87AB9D62DC92C01058FA79F44657DE6"
	certificates, err := os.ReadFile("testdata/x9.143-8.6.txt")
	require.NoError(t, err)
	for name, test := range map[string]struct {
		kbpk, text, key string
		blocks          []string
	}{
		"8.1": {master, "D0144P0AE00E00002C77FA3F4A553BED6E88AE5C172A4166E3D4ACA8E2AC71C158A476FAC12C13C3829DE55D3AB54C48F4C4FEF7AC75E90FC47F1B77E7B19A73ED46E64410082557",
			"3F419E1CB7079442AA37474C2EFBF8B8", nil},
		"8.4.2": {"1D22BF32387C600AD97F9B97A51311AC", "B0120B0TX12S0100KS1800604B120F929280000015CEB14B76D551F21EC43A75390FA118A98C6CB049E3B9E864A5F4A8B9A5108A6DB5635C95B042D7",
			"E8BC63E5479455E26577F715D587FE68", []string{"KS"}},
		"8.6": {master, strings.TrimSpace(string(certificates)),
			"307702010104202D493257A45B34C11B6526A03DB4D8AE16EE87A0C16BDF1BE23C2DD8B164A2D3A00A06082A8648CE3D030107A1440342" +
				"0004423F48BAC7E9F21303DCBA6370677AEA13FF9F841D27A9671098792B2D1A5976B15BE64836565926CDEA587915BFF36A0AC38E343F" +
				"819B5620E4DFDB02F5BD21", []string{"CT", "KP", "TS"}},
	} {
		kbpk := unhex(t, test.kbpk)
		h, key, err := Unwrap(kbpk, test.text)
		require.NoError(t, err, name)
		var ids []string
		for _, block := range h.Blocks {
			ids = append(ids, block.ID)
		}
		require.Equal(t, test.blocks, ids, name)
		require.Equal(t, unhex(t, test.key), key, name)
		require.Equal(t, test.text, rewrap(t, kbpk, h, key, test.text), name)
	}
}

// Two HSM-made and a library's: 3DES protection keys of two and three keys, a longer padding, one DES key as T.
func TestBlocksOfOthers(t *testing.T) {
	for _, test := range []struct{ kbpk, key, text string }{
		{"EFE0853B256B583D868F251CE99EA1D9", "5DB50B454F8389ADCE573BE50861F2BF", "B0080K0TN00N00001C414014375212C24995E405B5EE052CB92B67F455EA2680F6751088F9F1C228"},
		{"4141414141414141414141414141414141414141414141414141414141414141", "BE19E6A07A760F10EF8E83A226B63AAD141F463FDDD4F47DB244B4023EC3CACC", "D0144D0AN00N0000127862F945C2DED04530FAF7CDBC8B0BA10C7AA79BD5E0C2C5D6AC173BF588E4B19ACF1357178D50EA0AB193228E13958304FC6149632DFDCADF3A5B3D57E814"},
		{"AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBBCCCCCCCCCCCCCCCC", "CCCCCCCCCCCCCCCCDDDDDDDDDDDDDDDD", "B0096M3TC00E0000C7C6FE86A5DE769C20DCA238C52341378B484D544A9764D43963C3B2824AE56C2D07A565DD3AB342"},
		{"AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBB", "EEEEEEEEEEEEEEEE", "B0096M3TC00E0000B6CD513680EF255FC0DC590726FD0129A7CF6602E7F271631AB4EE7350642F11181AF4CC12F12FD9"},
	} {
		kbpk := unhex(t, test.kbpk)
		h, key, err := Unwrap(kbpk, test.text)
		require.NoError(t, err, test.text)
		require.Equal(t, unhex(t, test.key), key)
		require.Equal(t, test.text, rewrap(t, kbpk, h, key, test.text))
	}
}

func TestALongBlockHasEitherLengthOfItsLength(t *testing.T) {
	data := strings.Repeat("x", 262)
	for _, count := range []string{"02", "04"} {
		block, size, err := parseBlock("LB00" + count + "0110" + data + "rest")
		require.NoError(t, err)
		require.Equal(t, OptionalBlock{"LB", data}, block)
		require.Equal(t, 0x110, size)
	}
}

func TestEveryChangedCharacterIsRefused(t *testing.T) {
	for _, v := range vectors(t) {
		kbpk := unhex(t, v.Input.KBPK)
		text := []byte(v.Input.KeyBlock)
		for i := range text {
			for _, other := range []byte("0123456789ABCDEFGNPTVXS aé") {
				was := text[i]
				if other == was {
					continue
				}
				text[i] = other
				_, key, err := Unwrap(kbpk, string(text))
				require.Error(t, err, "%s at %d: %c", v.ID, i, other)
				require.Nil(t, key)
				text[i] = was
			}
		}
		for n := range len(text) {
			_, _, err := Unwrap(kbpk, string(text[:n]))
			require.Error(t, err)
		}
		kbpk[0] ^= 2
		_, _, err := Unwrap(kbpk, string(text))
		require.ErrorIs(t, err, ErrMAC)
	}
}

func drawHeader(t *rapid.T) Header {
	h := Header{
		Version:       rapid.SampledFrom([]Version{B, D}).Draw(t, "version"),
		Usage:         rapid.StringMatching(`[A-Z0-9]{2}`).Filter(func(s string) bool { return s != "I0" }).Draw(t, "usage"),
		Algorithm:     rapid.SampledFrom([]byte("ATDHRSE0")).Draw(t, "algorithm"),
		Mode:          rapid.SampledFrom([]byte("BCDEGNSTVXY7")).Draw(t, "mode"),
		KeyVersion:    rapid.StringMatching(`[A-Z0-9]{2}`).Draw(t, "key version"),
		Exportability: rapid.SampledFrom([]byte("ENS1")).Draw(t, "exportability"),
		Context:       rapid.SampledFrom([]byte("012")).Draw(t, "context"),
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "blocks") {
		size := rapid.SampledFrom([]int{0, 1, 7, 12, 100, 251, 252, 400}).Draw(t, "size")
		h.Blocks = append(h.Blocks, OptionalBlock{[]string{"KS", "KC", "TS", "LB", "HM"}[i], rapid.StringOfN(rapid.RuneFrom([]rune(" ~09AZaz:/=")), size, size, -1).Draw(t, "data")})
	}
	return h
}

func TestWhatIsWrappedUnwraps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHeader(t)
		sizes := map[Version][]int{B: {16, 24}, D: {16, 24, 32}}[h.Version]
		n := rapid.SampledFrom(sizes).Draw(t, "protection")
		kbpk := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "protection key")
		lengths, known := map[byte][]int{'A': {16, 24, 32}, 'T': {8, 16, 24}, 'D': {8}}[h.Algorithm]
		if !known {
			lengths = []int{1, 6, 7, 14, 15, 33, 64, 200}
		}
		n = rapid.SampledFrom(lengths).Draw(t, "length")
		key := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "key")
		hide := rapid.SampledFrom([]int{0, 24, 32, 100}).Draw(t, "hide")
		text, err := Wrap(kbpk, h, key, hide, rand.Reader)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("%04d", len(text)), text[1:5])
		require.GreaterOrEqual(t, len(text), 16+2*(2+max(hide, n))+2*h.Version.macSize())

		got, opened, err := Unwrap(kbpk, text)
		require.NoError(t, err)
		require.Equal(t, key, opened)
		require.Equal(t, h, got)

		changed := []byte(text)
		changed[rapid.IntRange(0, len(text)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		_, opened, err = Unwrap(kbpk, string(changed))
		require.Error(t, err)
		require.Nil(t, opened)
	})
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	const good = "B0080P0TE00E000094B420079CC80BA3461F86FE26EFC4A3B8E4FA4C5F5341176EED7B727B8A248E"
	kbpk := unhex(t, "DD7515F2BFC17F85CE48F3CA25CB21F6")
	for _, test := range []struct {
		text string
		err  error
		says string
	}{
		{"", ErrMalformed, "empty"},
		{"A" + good[1:], ErrVersion, "not supported A"},
		{"C" + good[1:], ErrVersion, "not supported C"},
		{"E" + good[1:], ErrVersion, "not supported E"},
		{"1" + good[1:], ErrVersion, "vendor's own"},
		{"b" + good[1:], ErrVersion, "want B or D"},
		{good[:15], ErrMalformed, "a header has 16"},
		{good + "00", ErrMalformed, "says 80, there are 82"},
		{good[:78], ErrMalformed, "says 80, there are 78"},
		{"B00x0" + good[5:], ErrMalformed, "four digits"},
		{good[:5] + "p0" + good[7:], ErrMalformed, "key usage"},
		{good[:7] + "Q" + good[8:], ErrMalformed, "algorithm"},
		{good[:8] + "Q" + good[9:], ErrMalformed, "mode of use"},
		{good[:9] + " 0" + good[11:], ErrMalformed, "key version"},
		{good[:11] + "Q" + good[12:], ErrMalformed, "exportability"},
		{good[:12] + "0A" + good[14:], ErrMalformed, "number of optional blocks"},
		{good[:14] + "3" + good[15:], ErrMalformed, "key context"},
		{good[:15] + "1" + good[16:], ErrMalformed, "reserved"},
		{good[:12] + "01" + good[14:], ErrMalformed, "optional block"},
		{good[:11] + "N" + good[12:], ErrMAC, "changed"},
		{good[:79] + "e", ErrMalformed, "capital hexadecimal"},
		{good[:79] + "F", ErrMAC, "changed"},
		{"D0112" + good[5:] + strings.Repeat("0", 32), ErrMAC, "changed"},
	} {
		h, key, err := Unwrap(kbpk, test.text)
		require.ErrorIs(t, err, test.err, test.text)
		require.ErrorContains(t, err, test.says)
		require.Nil(t, key)
		require.Equal(t, Header{}, h)
	}
	for _, n := range []int{0, 8, 15, 32} {
		_, _, err := Unwrap(make([]byte, n), good)
		require.ErrorIs(t, err, ErrProtectionKey)
	}
}

func TestOptionalBlocksAreChecked(t *testing.T) {
	for _, test := range []struct{ blocks, count, says string }{
		{"KS", "01", "ends inside an optional block"},
		{"ks0800000000", "01", "id of an optional block"},
		{"KS0300000000", "01", "less than its own header"},
		{"KS0g00000000", "01", "capital hexadecimal"},
		{"KS0d00000000", "01", "capital hexadecimal"},
		{"KS10000", "01", "are left"},
		{"KS00", "01", "ends inside optional block KS"},
		{"KS0003000C00", "01", "want 04"},
		{"KS0004000900", "01", "less than its own header"},
		{"KS04KS04", "02", "stands twice"},
		{"PB04KS04", "02", "not the last"},
		{"KS06AB", "01", "whole cipher blocks"},
	} {
		text := "B0000P0TE00E" + test.count + "00" + test.blocks
		text = "B" + fmt.Sprintf("%04d", len(text)) + text[5:]
		_, _, err := Unwrap(make([]byte, 16), text)
		require.ErrorIs(t, err, ErrMalformed, test.blocks)
		require.ErrorContains(t, err, test.says)
	}
}

func TestWrapRefusesWhatUnwrapWould(t *testing.T) {
	kbpk, key := make([]byte, 16), make([]byte, 16)
	good := Header{Version: B, Usage: "P0", Algorithm: 'T', Mode: 'E', Exportability: 'E'}
	_, err := Wrap(kbpk, good, key, 0, rand.Reader)
	require.NoError(t, err)
	many := make([]OptionalBlock, 100)
	for i := range many {
		many[i] = OptionalBlock{fmt.Sprintf("%02d", i), "abcd"}
	}
	for name, change := range map[string]func(h *Header){
		"version":       func(h *Header) { h.Version = 'A' },
		"usage":         func(h *Header) { h.Usage = "P" },
		"algorithm":     func(h *Header) { h.Algorithm = 0 },
		"mode":          func(h *Header) { h.Mode = 'e' },
		"key version":   func(h *Header) { h.KeyVersion = "1" },
		"exportability": func(h *Header) { h.Exportability = 'X' },
		"context":       func(h *Header) { h.Context = '9' },
		"key length":    func(h *Header) { h.Algorithm = 'D' },
		"id":            func(h *Header) { h.Blocks = []OptionalBlock{{"K", ""}} },
		"padding":       func(h *Header) { h.Blocks = []OptionalBlock{{"PB", ""}} },
		"twice":         func(h *Header) { h.Blocks = []OptionalBlock{{"KS", ""}, {"KS", ""}} },
		"data":          func(h *Header) { h.Blocks = []OptionalBlock{{"KS", "é"}} },
		"long":          func(h *Header) { h.Blocks = []OptionalBlock{{"KS", strings.Repeat("x", 70000)}} },
		"too long":      func(h *Header) { h.Blocks = []OptionalBlock{{"KS", strings.Repeat("x", 9990)}} },
		"many":          func(h *Header) { h.Blocks = many },
	} {
		h := good
		change(&h)
		text, err := Wrap(kbpk, h, key, 0, rand.Reader)
		require.Error(t, err, name)
		require.Empty(t, text, name)
	}
	_, err = Wrap(kbpk, good, nil, 0, rand.Reader)
	require.ErrorIs(t, err, ErrKeyLength)
	_, err = Wrap(kbpk, good, key, 0, bytes.NewReader(nil))
	require.Error(t, err)
	_, err = Wrap(make([]byte, 8), good, key, 0, rand.Reader)
	require.ErrorIs(t, err, ErrProtectionKey)
}

func TestAProtectionKeyIsAsStrongAsWhatItProtects(t *testing.T) {
	for _, test := range []struct {
		version         Version
		algorithm       byte
		protection, key int
		weaker          bool
	}{
		{B, 'T', 16, 16, false}, {B, 'T', 16, 24, true}, {B, 'T', 24, 24, false}, {B, 'A', 24, 16, true}, {B, 'D', 16, 8, false},
		{D, 'A', 16, 16, false}, {D, 'A', 16, 24, true}, {D, 'A', 32, 32, false}, {D, 'T', 16, 24, false}, {D, 'H', 16, 64, false},
	} {
		require.Equal(t, test.weaker, Weaker(Header{Version: test.version, Algorithm: test.algorithm}, test.protection, test.key), "%+v", test)
	}
}

// A block whose MAC is right and whose content is not was made so by a holder of the protection key.
func TestAWrongLengthInsideIsRefused(t *testing.T) {
	kbpk := make([]byte, 16)
	for _, bits := range []uint16{0, 1, 127, 129, 136, 56, 192, 0xFFF8} {
		h := Header{Version: B, Usage: "P0", Algorithm: 'T', Mode: 'E', KeyVersion: "00", Exportability: 'E', Context: '0'}
		header, err := h.append(nil)
		require.NoError(t, err)
		copy(header[1:], "0080")
		secret := make([]byte, 24)
		secret[0], secret[1] = byte(bits>>8), byte(bits)
		p, err := derive(B, kbpk)
		require.NoError(t, err)
		code := p.code(header, secret)
		cipher.NewCBCEncrypter(p.cipher, code).CryptBlocks(secret, secret)
		_, key, err := Unwrap(kbpk, fmt.Sprintf("%s%X%X", header, secret, code))
		require.ErrorIs(t, err, ErrKeyLength, bits)
		require.Nil(t, key)
	}
}

func FuzzUnwrap(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(unhex(f, v.Input.KBPK), v.Input.KeyBlock)
	}
	f.Add(make([]byte, 24), "D0144P0AE00E0300KS08ABCDTS0004000CabPB040000")
	f.Fuzz(func(t *testing.T, kbpk []byte, text string) {
		h, key, err := Unwrap(kbpk, text)
		if err != nil {
			require.Nil(t, key)
			require.Equal(t, Header{}, h)
			return
		}
		again, err := Wrap(kbpk, h, key, 0, rand.Reader)
		require.NoError(t, err)
		_, opened, err := Unwrap(kbpk, again)
		require.NoError(t, err)
		require.Equal(t, key, opened)
	})
}

// FuzzSealed is whoever holds the protection key: the MAC is right, and header and enciphered part are anything.
func FuzzSealed(f *testing.F) {
	kbpk := make([]byte, 16)
	for _, v := range vectors(f) {
		h, at, err := parseHeader(v.Input.KeyBlock)
		require.NoError(f, err)
		_, key, err := Unwrap(unhex(f, v.Input.KBPK), v.Input.KeyBlock)
		require.NoError(f, err)
		bits := uint16(8 * len(key))
		f.Add(h.Version == D, v.Input.KeyBlock[:at], append([]byte{byte(bits >> 8), byte(bits)}, key...))
	}
	f.Add(false, "B0000P0TE00E0200KS08ABCDPB0C00000000", []byte{0, 128, 1})
	f.Add(false, "B0000B0HX12S0100LB00040018a long label", []byte{0xFF, 0xF8})
	f.Fuzz(func(t *testing.T, aes bool, header string, secret []byte) {
		version, size := B, 8
		if aes {
			version, size = D, 16
		}
		if len(header) < headerSize || len(header)+2*len(secret) > maxLength-6*size {
			return
		}
		secret = append(bytes.Clone(secret), make([]byte, size-len(secret)%size)...)
		text := fmt.Appendf(nil, "%c%04d%s", version, len(header)+2*len(secret)+2*size, header[5:])
		p, err := derive(version, kbpk)
		require.NoError(t, err)
		code := p.code(text, secret)
		sealed := make([]byte, len(secret))
		cipher.NewCBCEncrypter(p.cipher, code).CryptBlocks(sealed, secret)
		h, key, err := Unwrap(kbpk, fmt.Sprintf("%s%X%X", text, sealed, code))
		if err != nil {
			require.True(t, errors.Is(err, ErrMalformed) || errors.Is(err, ErrKeyLength) || errors.Is(err, ErrMAC), "%v", err)
			require.Nil(t, key)
			require.Equal(t, Header{}, h)
			return
		}
		require.Equal(t, version, h.Version)
		require.Equal(t, secret[2:2+len(key)], key)
		require.Equal(t, 8*len(key), int(secret[0])<<8|int(secret[1]))
		again, err := Wrap(kbpk, h, key, 0, bytes.NewReader(make([]byte, 32)))
		require.NoError(t, err)
		same, opened, err := Unwrap(kbpk, again)
		require.NoError(t, err)
		require.Equal(t, h, same)
		require.Equal(t, key, opened)
	})
}

// FuzzHeader comes further than FuzzUnwrap, which the MAC stops.
func FuzzHeader(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Input.KeyBlock)
	}
	f.Add("B0048P0TE00N0300KS08ABCDLB0004000CabPB0800000000")
	f.Add("D0032P0AE00E0100TS10202012180000")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) >= 5 { // a right length, or nothing else is ever read
			text = text[:1] + fmt.Sprintf("%04d", len(text)%10000) + text[5:]
		}
		h, at, err := parseHeader(text)
		if err != nil {
			return
		}
		require.LessOrEqual(t, at, len(text))
		again, err := h.append(nil)
		require.NoError(t, err)
		copy(again[1:], fmt.Sprintf("%04d", len(again)))
		same, _, err := parseHeader(string(again))
		require.NoError(t, err)
		require.Equal(t, h, same)
	})
}
