package mac

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/emmansun/gmsm/cbcmac"
	"github.com/emmansun/gmsm/padding"
	"github.com/emmansun/gmsm/sm4"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	require.NoError(t, err)
	return raw
}

func mustKey(t testing.TB, c Config, key []byte) *Key {
	t.Helper()
	k, err := New(c, key)
	require.NoError(t, err)
	return k
}

// vector is one entry of testdata/crypto_check.json.
type vector struct {
	ID, Kind, Expected string
	Input              struct {
		Key       string
		Keys      []string
		Data      string
		DataASCII string `json:"data_ascii"`
		Padding   *int
	}
}

func (v vector) algorithm() (Algorithm, bool) {
	for prefix, a := range map[string]Algorithm{
		"x9.9-": X99, "x9.19-": X919, "cmac-aes": AESCMAC, "cmac-tdes": TDESCMAC, "sm4-cbcmac": SM4CBC, "sm4-emac": SM4EMAC,
		"sm4-ansiretail": SM4Retail, "sm4-cmac": SM4CMAC,
	} {
		if strings.HasPrefix(v.ID, prefix) {
			return a, true
		}
	}
	return 0, false
}

func TestVectorsOfTheStandards(t *testing.T) {
	text, err := os.ReadFile("../testdata/crypto_check.json")
	require.NoError(t, err)
	var vectors []vector
	require.NoError(t, json.Unmarshal(text, &vectors))
	ran := 0
	for _, v := range vectors {
		a, ok := v.algorithm()
		if !ok {
			continue
		}
		ran++
		t.Run(v.ID, func(t *testing.T) {
			data := append(unhex(t, v.Input.Data), v.Input.DataASCII...)
			c := Config{Algorithm: a}
			if v.Input.Padding != nil {
				c.Padding = Padding(*v.Input.Padding)
			}
			k := mustKey(t, c, unhex(t, v.Input.Key+strings.Join(v.Input.Keys, "")))
			require.Equal(t, v.Expected, strings.ToUpper(hex.EncodeToString(k.Append(nil, data))))
			require.True(t, k.Verify(data, unhex(t, v.Expected)))
		})
	}
	require.Equal(t, 22, ran)
}

// NIST SP 800-38B D, ISO 9797-1 and GB/T 15852.1 annexes, RFC 4493, pos-dialect §7.
func TestMoreVectors(t *testing.T) {
	const (
		nist  = "6BC1BEE22E409F96E93D7E117393172AAE2D8A571E03AC9C9EB76FAC45AF8E5130C81C46A35CE411E5FBC1191A0A52EFF69F2445DF4F9B17AD2B417BE66C3710"
		aes1  = "2B7E151628AED2A6ABF7158809CF4F3C"
		tdes2 = "4CF15134A2850DD58A3D10BA80570D38"
		tdes3 = "8AA83BF8CBDA10620BC1BF19FBB6CD58BC313D4A371CA8B5"
		k1    = "0123456789ABCDEFFEDCBA9876543210"
		k2    = "4149D2ADED9456681EC8B511D9E7EE04"
		whole = "54686973206973207468652074657374206D65737361676520666F72206D6163"
	)
	for _, test := range []struct {
		a               Algorithm
		p               Padding
		key, data, want string
	}{
		{AESCMAC, 0, aes1, nist[:32], "070A16B46B4D4144F79BDD9DD04A287C"},
		{AESCMAC, 0, aes1, nist, "51F0BEBF7E3B9D92FC49741779363CFE"},
		{TDESCMAC, 0, tdes3, nist[:16], "8E8F293136283797"},
		{TDESCMAC, 0, tdes3, nist[:64], "33E6B1092400EAE5"},
		{TDESCMAC, 0, tdes2, "", "BD2EBF9A3BA00361"},
		{TDESCMAC, 0, tdes2, nist[:16], "4FF2AB813C53CE83"},
		{TDESCMAC, 0, tdes2, nist[:40], "62DD1B471902BD4E"},
		{TDESCMAC, 0, tdes2, nist[:64], "31B1E431DABC4EB8"},
		{X99, 0, k1[:16], hex.EncodeToString([]byte("Now is the time for all")), "16F701C8825E1D8A"},
		{X919, 0, k1, hex.EncodeToString([]byte("Now is the time for all")), "4BAD7FBB7CA1B803"},
		{X919, 1, k1, hex.EncodeToString([]byte("Now is the time for all ")), "A1C72E74EA3FA9B6"},
		{X919, 2, k1, hex.EncodeToString([]byte("Now is the time for it")), "5A692CE64F404145"},
		{SM4CBC, 2, k1, whole, "4B6553AF3C4E27448412315AC7849535"},
		{SM4CBC, 3, k1, whole, "71AF7E4553404CBCC4F2973CDBD0F063"},
		{SM4EMAC, 2, k1 + k2, "", "2CF6EDF63CCE144489EADDF07B4938DB"},
		{SM4Retail, 2, k1 + k2, whole, "51E9928C2238330C3231B8752A9AFD7F"},
		{SM4Retail, 3, k1 + k2, whole, "7CD48C4242E45575E51AAF0DCC7A208C"},
		{SM4CMAC, 0, k1, "", "29E154322E5C7BD8EE6A25BA549B24BC"},
	} {
		name := fmt.Sprintf("%s %d %s", test.a, test.p, test.data)
		k := mustKey(t, Config{Algorithm: test.a, Padding: test.p}, unhex(t, test.key))
		require.Equal(t, test.want, strings.ToUpper(hex.EncodeToString(k.Append(nil, unhex(t, test.data)))), name)
	}
}

// The messages of testdata/iso8583 that carry a MAC: from the MTI up to field 64, which is their last 8 bytes.
func TestTerminalMessagesCarryTheirCode(t *testing.T) {
	text, err := os.ReadFile("../../../testdata/iso8583/constructed.json")
	require.NoError(t, err)
	var samples struct {
		MAK      string `json:"mak_clear"`
		Messages []struct {
			Name, Hex string
			MAC       *struct {
				ASCII string `json:"mac_ascii"`
			}
		}
	}
	require.NoError(t, json.Unmarshal(text, &samples))
	k := mustKey(t, Config{Algorithm: CUPECB}, unhex(t, samples.MAK))
	ran := 0
	for _, m := range samples.Messages {
		if m.MAC == nil {
			continue
		}
		ran++
		raw := unhex(t, m.Hex)[2+5+6:] // length, TPDU, header
		data, code := raw[:len(raw)-8], raw[len(raw)-8:]
		require.Equal(t, m.MAC.ASCII, string(code), m.Name)
		require.Equal(t, m.MAC.ASCII, string(k.Append(nil, data)), m.Name)
		require.True(t, k.Verify(data, code), m.Name)
		require.False(t, k.Verify(data, bytes.ToLower(code)), m.Name)
		data[len(data)/2] ^= 1
		require.False(t, k.Verify(data, code), m.Name)
	}
	require.Equal(t, 7, ran)
}

// oracle makes a whole code the slow way.
func oracle(a Algorithm, p Padding, key, data []byte) []byte {
	triple := func(key []byte) cipher.Block {
		b, _ := des.NewTripleDESCipher(append(bytes.Clone(key), key[:24-len(key)]...))
		return b
	}
	pads := map[Padding]padding.NewPaddingFunc{PadMarked: padding.NewISO9797M2Padding, PadLength: padding.NewISO9797M3Padding}
	switch a {
	case CUPECB:
		if len(key) == 8 {
			b, _ := des.NewCipher(key)
			return cupOracle(b, data)
		}
		return cupOracle(triple(key), data)
	case CUPECBSM4:
		b, _ := sm4.NewCipher(key)
		return cupOracle(b, data)
	case X99:
		b, _ := des.NewCipher(key)
		return cbcOracle(b, p, data)
	case X919:
		one, _ := des.NewCipher(key[:8])
		two, _ := des.NewCipher(key[8:])
		sum := cbcOracle(one, p, data)
		two.Decrypt(sum, sum)
		one.Encrypt(sum, sum)
		return sum
	case TDESCBC:
		return cbcOracle(triple(key), p, data)
	case TDESCMAC:
		return cmacOracle(triple(key), 0x1B, data)
	case AESCMAC:
		b, _ := aes.NewCipher(key)
		return cmacOracle(b, 0x87, data)
	case SM4CBC:
		b, _ := sm4.NewCipher(key)
		if p != PadZeros {
			return cbcmac.NewCBCMACWithPadding(b, 16, pads[p]).MAC(bytes.Clone(data))
		}
		return cbcOracle(b, p, data)
	case SM4EMAC:
		if p != PadZeros {
			return cbcmac.NewEMACWithPadding(sm4.NewCipher, key[:16], key[16:], 16, pads[p]).MAC(bytes.Clone(data))
		}
		one, _ := sm4.NewCipher(key[:16])
		two, _ := sm4.NewCipher(key[16:])
		sum := cbcOracle(one, p, data)
		two.Encrypt(sum, sum)
		return sum
	case SM4Retail:
		if p != PadZeros {
			return cbcmac.NewANSIRetailMACWithPadding(sm4.NewCipher, key[:16], key[16:], 16, pads[p]).MAC(bytes.Clone(data))
		}
		one, _ := sm4.NewCipher(key[:16])
		two, _ := sm4.NewCipher(key[16:])
		sum := cbcOracle(one, p, data)
		two.Decrypt(sum, sum)
		one.Encrypt(sum, sum)
		return sum
	case SM4CMAC:
		b, _ := sm4.NewCipher(key)
		return cbcmac.NewCMAC(b, 16).MAC(data)
	}
	panic("no oracle")
}

func cbcOracle(b cipher.Block, p Padding, data []byte) []byte {
	size := b.BlockSize()
	all := bytes.Clone(data)
	if p == PadMarked {
		all = append(all, 0x80)
	}
	for len(all) == 0 || len(all)%size != 0 {
		all = append(all, 0)
	}
	if p == PadLength {
		all = append(binary.BigEndian.AppendUint64(make([]byte, size-8), uint64(8*len(data))), all...)
	}
	out := make([]byte, len(all))
	cipher.NewCBCEncrypter(b, make([]byte, size)).CryptBlocks(out, all)
	return out[len(out)-size:]
}

func cmacOracle(b cipher.Block, reduction int64, data []byte) []byte {
	size := b.BlockSize()
	zero := make([]byte, size)
	b.Encrypt(zero, zero)
	twice := func(block []byte) []byte {
		n := new(big.Int).Lsh(new(big.Int).SetBytes(block), 1)
		if n.Bit(8*size) == 1 {
			n.SetBit(n, 8*size, 0)
			n.Xor(n, big.NewInt(reduction))
		}
		return n.FillBytes(make([]byte, size))
	}
	mask, all := twice(zero), bytes.Clone(data)
	if len(all) == 0 || len(all)%size != 0 {
		mask = twice(mask)
		for all = append(all, 0x80); len(all)%size != 0; {
			all = append(all, 0)
		}
	}
	for i, m := range mask {
		all[len(all)-size+i] ^= m
	}
	out := make([]byte, len(all))
	cipher.NewCBCEncrypter(b, make([]byte, size)).CryptBlocks(out, all)
	return out[len(out)-size:]
}

func cupOracle(b cipher.Block, data []byte) []byte {
	size := b.BlockSize()
	sum := make([]byte, size)
	for i, c := range data {
		sum[i%size] ^= c
	}
	text := []byte(fmt.Sprintf("%X", sum))
	b.Encrypt(sum, text[:size])
	for i := range sum {
		sum[i] ^= text[size+i]
	}
	b.Encrypt(sum, sum)
	return []byte(fmt.Sprintf("%X", sum))[:8]
}

var keyLengths = map[Algorithm][]int{
	CUPECB: {8, 16, 24}, CUPECBSM4: {16}, X99: {8}, X919: {16}, TDESCBC: {16, 24}, TDESCMAC: {16, 24}, AESCMAC: {16, 24, 32},
	SM4CBC: {16}, SM4EMAC: {32, 16}, SM4Retail: {32}, SM4CMAC: {16},
}

func TestCodesAreThoseOfTheSlowWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Algorithm(rapid.IntRange(int(CUPECB), int(SM4CMAC)).Draw(t, "algorithm"))
		p := Padding(rapid.IntRange(1, 3).Draw(t, "padding"))
		size := rapid.SampledFrom(keyLengths[a]).Draw(t, "size")
		key := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "key")
		data := rapid.SliceOfN(rapid.Byte(), 0, 70).Draw(t, "data")
		prepared := bytes.Clone(key)
		k, err := New(Config{Algorithm: a, Padding: p}, prepared)
		require.NoError(t, err)
		clear(prepared)

		if a == SM4EMAC && size == 16 {
			for _, b := range key[:16] {
				key = append(key, b^0xF0)
			}
		}
		want := oracle(a, p, key, data)
		require.Equal(t, want, k.Append([]byte("x"), data)[1:])
		require.Equal(t, len(want), k.Size())
		require.True(t, k.Verify(data, want))
		require.False(t, k.Verify(data, want[:len(want)-1]))
		require.False(t, k.Verify(data, nil))
		wrong := bytes.Clone(want)
		wrong[rapid.IntRange(0, len(want)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		require.False(t, k.Verify(data, wrong))

		length := rapid.IntRange(MinLength, len(want)).Draw(t, "length")
		short, err := New(Config{Algorithm: a, Padding: p, Length: length}, key)
		require.NoError(t, err)
		require.Equal(t, want[:length], short.Append(nil, data))
	})
}

// Padding method 1 of data that are empty is one block of zeros, and method 3's has the length block before it.
func TestEmptyDataAreOneBlock(t *testing.T) {
	key := unhex(t, "0123456789ABCDEF")
	b, err := des.NewCipher(key)
	require.NoError(t, err)
	want := make([]byte, 8)
	b.Encrypt(want, want)
	for _, data := range [][]byte{nil, make([]byte, 1), make([]byte, 8)} {
		require.Equal(t, want, mustKey(t, Config{Algorithm: X99}, key).Append(nil, data))
	}
	b.Encrypt(want, want)
	require.Equal(t, want, mustKey(t, Config{Algorithm: X99, Padding: PadLength}, key).Append(nil, nil))
	copy(want, []byte{0x80, 0, 0, 0, 0, 0, 0, 0})
	b.Encrypt(want, want)
	require.Equal(t, want, mustKey(t, Config{Algorithm: X99, Padding: PadMarked}, key).Append(nil, nil))
}

func TestHMACsAreThePublishedOnes(t *testing.T) {
	// RFC 4231, case 2; and the same with SM3, as OpenSSL makes it.
	k := mustKey(t, Config{Algorithm: HMACSHA256}, []byte("Jefe"))
	require.Equal(t, unhex(t, "5BDCC146BF60754E6A042426089575C75A003F089D2739839DEC58B964EC3843"), k.Append(nil, []byte("what do ya want for nothing?")))
	k = mustKey(t, Config{Algorithm: HMACSM3}, []byte("Jefe"))
	require.Equal(t, unhex(t, "2E87F1D16862E6D964B50A5200BF2B10B764FAA9680A296A2405F24BEC39F882"), k.Append(nil, []byte("what do ya want for nothing?")))
	k = mustKey(t, Config{Algorithm: HMACSM3}, bytes.Repeat([]byte{0xAA}, 131))
	require.Equal(t, k.Append(nil, nil), k.Append(nil, nil), "a key longer than a block, empty data, used again")
}

func TestWhatAnAlgorithmDoesNotHaveIsRefused(t *testing.T) {
	for a, lengths := range keyLengths {
		good := map[int]bool{}
		for _, n := range lengths {
			good[n] = true
		}
		for n := range 50 {
			_, err := New(Config{Algorithm: a}, make([]byte, n))
			if good[n] {
				require.NoError(t, err, "%s %d", a, n)
			} else {
				require.ErrorIs(t, err, ErrKeyLength, "%s %d", a, n)
			}
		}
	}
	_, err := New(Config{Algorithm: HMACSM3}, nil)
	require.ErrorIs(t, err, ErrKeyLength)
	for _, a := range []Algorithm{0, algorithmEnd} {
		_, err := New(Config{Algorithm: a}, make([]byte, 16))
		require.ErrorIs(t, err, ErrAlgorithm)
	}
	_, err = New(Config{Algorithm: X99, Padding: 4}, make([]byte, 8))
	require.ErrorIs(t, err, ErrAlgorithm)
	for _, n := range []int{-1, 1, 3, 9} {
		_, err = New(Config{Algorithm: X99, Length: n}, make([]byte, 8))
		require.ErrorIs(t, err, ErrLength)
	}
	_, err = ParseAlgorithm("md5")
	require.ErrorIs(t, err, ErrAlgorithm)
	for a := CUPECB; a < algorithmEnd; a++ {
		named, err := ParseAlgorithm(a.String())
		require.NoError(t, err)
		require.Equal(t, a, named)
	}
}

func TestAKeyPrintsNothing(t *testing.T) {
	k := mustKey(t, Config{Algorithm: HMACSM3}, []byte("sekret"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		require.Equal(t, "[redacted]", fmt.Sprintf(verb, k))
	}
}

func TestOneKeyServesManyGoroutines(t *testing.T) {
	for _, test := range benchmarks {
		k := mustKey(t, Config{Algorithm: test.a}, bytes.Repeat([]byte{7}, test.size))
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				data := bytes.Repeat([]byte{byte(i)}, 100+i)
				want := k.Append(nil, data)
				for range 200 {
					if !k.Verify(data, want) {
						t.Error("another code for the same data")
						return
					}
				}
			})
		}
		group.Wait()
	}
}

var benchmarks = []struct {
	name string
	a    Algorithm
	size int
}{
	{"cup-ecb-des", CUPECB, 8}, {"cup-ecb-3des", CUPECB, 16}, {"cup-ecb-sm4", CUPECBSM4, 16}, {"x9.19", X919, 16},
	{"3des-cbc", TDESCBC, 16}, {"3des-cmac", TDESCMAC, 16}, {"aes-cmac", AESCMAC, 16}, {"sm4-cbc", SM4CBC, 16}, {"sm4-emac", SM4EMAC, 16},
	{"sm4-retail", SM4Retail, 32}, {"sm4-cmac", SM4CMAC, 16}, {"hmac-sm3", HMACSM3, 32}, {"hmac-sha256", HMACSHA256, 32},
}

// A sale has some 250 bytes.
func BenchmarkVerify(b *testing.B) {
	data := bytes.Repeat([]byte{0x35}, 250)
	for _, test := range benchmarks {
		b.Run(test.name, func(b *testing.B) {
			k := mustKey(b, Config{Algorithm: test.a}, bytes.Repeat([]byte{7}, test.size))
			code := k.Append(nil, data)
			b.ReportAllocs()
			for b.Loop() {
				if !k.Verify(data, code) {
					b.Fatal("wrong")
				}
			}
		})
	}
}
