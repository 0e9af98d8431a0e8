package block

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// RFC 3394 §4.
func TestKeyWrapIsTheStandards(t *testing.T) {
	const data = "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F"
	const kek = "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"
	for _, test := range []struct {
		kek, key int
		wrapped  string
	}{
		{16, 16, "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"},
		{24, 16, "96778B25AE6CA435F92B5B97C050AED2468AB8A17AD84E5D"},
		{32, 16, "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7"},
		{24, 24, "031D33264E15D33268F24EC260743EDCE1C6C7DDEE725A936BA814915C6762D2"},
		{32, 24, "A8F9BC1612C68B3FF6E6F4FBE30E71E4769C8B80A32CB8958CD5D17D6B254DA1"},
		{32, 32, "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"},
	} {
		b, err := New(AES, unhex(t, kek)[:test.kek])
		require.NoError(t, err)
		wrapped, err := AppendWrapped([]byte("x"), b, unhex(t, data)[:test.key])
		require.NoError(t, err)
		require.Equal(t, append([]byte("x"), unhex(t, test.wrapped)...), wrapped)
		key, err := AppendUnwrapped([]byte("y"), b, wrapped[1:])
		require.NoError(t, err)
		require.Equal(t, append([]byte("y"), unhex(t, data)[:test.key]...), key)
	}
}

func TestAnAlteredWrappedKeyDoesNotOpen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, err := New(rapid.SampledFrom([]Cipher{AES, SM4}).Draw(t, "cipher"), rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "kek"))
		require.NoError(t, err)
		key := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "key")
		wrapped, err := AppendWrapped(nil, b, key)
		require.NoError(t, err)
		opened, err := AppendUnwrapped(nil, b, wrapped)
		require.NoError(t, err)
		require.Equal(t, key, opened)
		wrapped[rapid.IntRange(0, len(wrapped)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		opened, err = AppendUnwrapped([]byte("x"), b, wrapped)
		require.ErrorIs(t, err, ErrWrapped)
		require.Equal(t, "x", string(opened))
	})
	b, err := New(AES, make([]byte, 16))
	require.NoError(t, err)
	for n := range 40 {
		_, err := AppendWrapped(nil, b, make([]byte, n))
		if n == 16 || n == 24 || n == 32 {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, ErrKeyLength)
		}
		_, err = AppendUnwrapped(nil, b, make([]byte, n))
		require.ErrorIs(t, err, ErrWrapped)
	}
	des, err := New(DES, make([]byte, 16))
	require.NoError(t, err)
	_, err = AppendWrapped(nil, des, make([]byte, 16))
	require.Error(t, err)
	_, err = AppendUnwrapped(nil, des, make([]byte, 24))
	require.ErrorIs(t, err, ErrWrapped)
}

func TestWeakKeysAreFound(t *testing.T) {
	for _, key := range []string{
		"0000000000000000", "0101010101010101", "0001000100010001", "FFFFFFFFFFFFFFFF", "01FE01FE01FE01FE",
		"0123456789ABCDEF0123456789ABCDEF", "0123456789ABCDEF0022446688AACCEE", "0123456789ABCDEFFEFEFEFEFEFEFEFE",
		"0123456789ABCDEFFEDCBA9876543210FEDCBA9876543210",
	} {
		raw := unhex(t, key)
		kept := bytes.Clone(raw)
		require.NotEmpty(t, Weak(DES, raw), key)
		require.Equal(t, kept, raw)
	}
	for _, key := range []string{"0123456789ABCDEF", "0123456789ABCDEFFEDCBA9876543210", "0123456789ABCDEFFEDCBA98765432100123456789ABCDEF"} {
		require.Empty(t, Weak(DES, unhex(t, key)), key)
	}
	require.NotEmpty(t, Weak(AES, make([]byte, 16)))
	require.NotEmpty(t, Weak(SM4, make([]byte, 16)))
	require.Empty(t, Weak(AES, unhex(t, "01010101010101010101010101010101")))
}
