package block

import (
	"bytes"
	"encoding/hex"
	"math/bits"
	"testing"

	"github.com/emmansun/gmsm/sm3"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	require.NoError(t, err)
	return raw
}

// pos-dialect §5: field 62 of a sign-on answer, and the same set in triple length, which has no published vector.
func TestWorkingKeysOpenUnderTheMasterKey(t *testing.T) {
	master, err := New(DES, unhex(t, "CA5D92598DCA48CE8A4C76361A9269E9"))
	require.NoError(t, err)
	field := unhex(t, "6701EAD6A9AD51E51AA406E2C27FCFA98D0A74B8B651F9E9BACE9AE10000000000000000AB7153CA")

	pin, err := AppendECBOpened(nil, master, field[:16])
	require.NoError(t, err)
	require.Equal(t, unhex(t, "807A23AD32B36D457AE91FDF927570EA"), pin)
	require.True(t, Checks(DES, pin, field[16:20]))
	whole, err := KCV(DES, pin, 8)
	require.NoError(t, err)
	require.Equal(t, unhex(t, "8D0A74B8C5EF66C6"), whole)

	mac, err := AppendECBOpened(nil, master, field[20:28])
	require.NoError(t, err)
	require.Equal(t, unhex(t, "5BB5C72CD00B7338"), mac)
	require.True(t, Checks(DES, mac, field[36:40]))
	whole, err = KCV(DES, mac, 8)
	require.NoError(t, err)
	require.Equal(t, unhex(t, "AB7153CA985B10C2"), whole)

	again, err := AppendECB(nil, master, pin)
	require.NoError(t, err)
	require.Equal(t, field[:16], again)
}

func TestCheckValuesOfKnownKeys(t *testing.T) {
	for _, test := range []struct {
		name  string
		c     Cipher
		key   string
		value string
	}{
		{"FIPS 81", DES, "0123456789ABCDEF", "D5D44FF720683D0D"},
		{"TR-31:2018 A.7.2.2", DES, "3F419E1CB7079442AA37474C2EFBF8B8", "57C409"},
		{"TR-31:2018 A.7.3.2", DES, "E8BC63E5479455E26577F715D587FE68", "9A4212"},
		{"ISO 20038 B.3", DES, "767361707064642032454552206B6479", "B29D42"},
		{"the same key of triple length", DES, "3F419E1CB7079442AA37474C2EFBF8B83F419E1CB7079442", "57C409"},
		{"AES-128, zeros", AES, "00000000000000000000000000000000", "66E94BD4EF8A2C3B884CFA59CA342B2E"},
		{"AES-128", AES, "3F419E1CB7079442AA37474C2EFBF8B8", "E5E07CBB898BF8EE1D753236314ED336"},
		{"AES-192, zeros", AES, "000000000000000000000000000000000000000000000000", "AAE06992ACBF52A3E8F4A96EC9300BD7"},
		{"AES-256, zeros", AES, "0000000000000000000000000000000000000000000000000000000000000000", "DC95C078A2408989AD48A21492842087"},
		{"SM4", SM4, "0123456789ABCDEFFEDCBA9876543210", "2677F46B09C122CC975533105BD4A22A"},
	} {
		want := unhex(t, test.value)
		got, err := KCV(test.c, unhex(t, test.key), len(want))
		require.NoError(t, err, test.name)
		require.Equal(t, want, got, test.name)
		require.True(t, Checks(test.c, unhex(t, test.key), want), test.name)
		want[len(want)-1] ^= 1
		require.False(t, Checks(test.c, unhex(t, test.key), want), test.name)
	}
}

// GB/T 32907-2016 A.1 and A.2.
func TestSM4IsTheStandards(t *testing.T) {
	key := unhex(t, "0123456789ABCDEFFEDCBA9876543210")
	b, err := New(SM4, key)
	require.NoError(t, err)
	data := bytes.Clone(key)
	b.Encrypt(data, data)
	require.Equal(t, unhex(t, "681EDF34D206965E86B3E94F536E4246"), data)
	for range 999_999 {
		b.Encrypt(data, data)
	}
	require.Equal(t, unhex(t, "595298C7C6FD271F0402F804C33D3F66"), data)
	for range 1_000_000 {
		b.Decrypt(data, data)
	}
	require.Equal(t, key, data)
}

// GB/T 32905-2016 A.1, A.2, and two lengths around its padding.
func TestSM3IsTheStandards(t *testing.T) {
	for data, want := range map[string]string{
		"abc":                                    "66C7F0F462EEEDD9D1F2D46BDC10E4E24167C4875CF2F7A2297DA02B8F4BA8E0",
		string(bytes.Repeat([]byte("abcd"), 16)): "DEBE9FF92275B8A138604889C18E5A4D6FDB70E5387E5765293DCBA39C0C5732",
		string(bytes.Repeat([]byte("abcd"), 16)) + "abc": "952EB84CACEE9C10BDE4D6882D29D63140BA72AF6FE485085095DCCD5B872453",
		string(bytes.Repeat([]byte("abcd"), 32)) + "abc": "E1C53F367A9C5D19AB6DDD30248A7DAFCC607E74E6BCFA52B00E0BA35E470421",
	} {
		sum := sm3.Sum([]byte(data))
		require.Equal(t, unhex(t, want), sum[:], data)
	}
}

func TestWhatACipherDoesNotHaveIsRefused(t *testing.T) {
	for _, c := range []Cipher{DES, AES, SM4} {
		for n := range 40 {
			_, err := New(c, make([]byte, n))
			if c.KeyLength(n) {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, ErrKeyLength)
			}
		}
		for _, n := range []int{-1, 0, c.Size() + 1} {
			_, err := KCV(c, make([]byte, 16), n)
			require.Error(t, err)
		}
		require.False(t, Checks(c, make([]byte, 16), nil), "nothing checks nothing")
		named, err := ParseCipher(c.String())
		require.NoError(t, err)
		require.Equal(t, c, named)
	}
	for _, c := range []Cipher{0, SM4 + 1} {
		_, err := New(c, make([]byte, 16))
		require.ErrorIs(t, err, ErrCipher)
	}
	_, err := ParseCipher("rc4")
	require.ErrorIs(t, err, ErrCipher)
	b, err := New(DES, make([]byte, 8))
	require.NoError(t, err)
	_, err = AppendECB(nil, b, make([]byte, 9))
	require.ErrorIs(t, err, ErrDataLength)
}

func TestWhatIsEncipheredOpens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom([]Cipher{DES, AES, SM4}).Draw(t, "cipher")
		size := rapid.SampledFrom([]int{8, 16, 24, 32}).Filter(c.KeyLength).Draw(t, "size")
		key := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "key")
		kept := bytes.Clone(key)
		b, err := New(c, key)
		require.NoError(t, err)
		require.Equal(t, kept, key, "preparing a key changes nothing of it")
		clear(key)

		blocks := rapid.IntRange(0, 4).Draw(t, "blocks") * c.Size()
		data := rapid.SliceOfN(rapid.Byte(), blocks, blocks).Draw(t, "data")
		sealed, err := AppendECB([]byte("kept"), b, data)
		require.NoError(t, err)
		opened, err := AppendECBOpened(nil, b, sealed[4:])
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, opened))
		require.Equal(t, "kept", string(sealed[:4]))
	})
}

func TestParityIsOddAndChangesNothingForDES(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "key")
		odd := bytes.Clone(key)
		SetOddParity(odd)
		for i, b := range odd {
			require.Equal(t, 1, bits.OnesCount8(b)%2)
			require.Equal(t, key[i]&^1, b&^1)
		}
		one, err := KCV(DES, key, 8)
		require.NoError(t, err)
		require.True(t, Checks(DES, odd, one))
	})
}

func BenchmarkEncrypt(b *testing.B) {
	for _, test := range []struct {
		name string
		c    Cipher
		size int
	}{{"des", DES, 8}, {"3des", DES, 16}, {"aes", AES, 16}, {"sm4", SM4, 16}} {
		b.Run(test.name, func(b *testing.B) {
			cipher, err := New(test.c, make([]byte, test.size))
			require.NoError(b, err)
			data := make([]byte, test.c.Size())
			b.ReportAllocs()
			for b.Loop() {
				cipher.Encrypt(data, data)
			}
		})
	}
}
