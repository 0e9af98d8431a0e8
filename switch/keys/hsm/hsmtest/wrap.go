package hsmtest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/keys/hsm"
)

// wrapECB is the sign-on of pos-dialect §5, in both directions.
func wrapECB(t *testing.T, m Modules) {
	b := open(t, m)
	if !b.wraps(hsm.WrapECB) {
		return // unsupported says so
	}
	if b.holds(hsm.TDES, 16) {
		tmk := b.form(hsm.TMK, hsm.TDES, "CA5D92598DCA48CE8A4C76361A9269E9")
		for _, c := range []struct {
			purpose      hsm.Purpose
			algorithm    hsm.Algorithm
			wrapped, kcv string
		}{
			{hsm.PIK, hsm.TDES, "6701EAD6A9AD51E51AA406E2C27FCFA9", "8D0A74B8"},
			{hsm.MAK, hsm.DES, "B651F9E9BACE9AE1", "AB7153CA"},
		} {
			wrapped, kcv := bytesOf(t, c.wrapped), bytesOf(t, c.kcv)
			if !b.holds(c.algorithm, len(wrapped)) {
				continue
			}
			s := spec(c.purpose, c.algorithm, len(wrapped))
			k, token, err := b.Import(s, tmk, hsm.WrapECB, wrapped, kcv)
			require.NoError(t, err)
			info := k.Info()
			require.Equal(t, kcv, info.KCV[:])
			require.Equal(t, wrapped, must(b.Export(k, tmk, hsm.WrapECB))(t))
			loaded := must(b.Load(s.Bind, token))(t)
			require.Equal(t, info, loaded.Info())
			_, _, err = b.Import(s, tmk, hsm.WrapECB, wrapped, []byte{kcv[0], kcv[1], kcv[2] ^ 1})
			require.ErrorIs(t, err, hsm.ErrKCV)
			_, _, err = b.Import(s, tmk, hsm.WrapECB, wrapped, nil)
			require.ErrorIs(t, err, hsm.ErrKCV, "ECB without a check value proves nothing")
			_, _, err = b.Import(s, tmk, hsm.WrapECB, wrapped[:7], kcv)
			require.ErrorIs(t, err, hsm.ErrWrapped)
		}
	}
	for _, a := range []hsm.Algorithm{hsm.DES, hsm.TDES, hsm.SM4, hsm.AES} {
		if !b.holds(a, 0) {
			continue
		}
		tmk, mak := b.generate(hsm.TMK, a, 0), b.generate(hsm.MAK, a, 0)
		wrapped := must(b.Export(mak, tmk, hsm.WrapECB))(t)
		require.Len(t, wrapped, a.DefaultLength())
		kcv := mak.Info().KCV
		back, _, err := b.Import(spec(hsm.MAK, a, 0), tmk, hsm.WrapECB, wrapped, kcv[:3])
		require.NoError(t, err)
		require.Equal(t, mak.Info(), back.Info(), "%s", a)
	}
}

// blocks are examples of ASC X9 TR-31:2018 A.7.2, A.7.4 and of ISO 20038:2017 B.3; KCVs are computed.
var blocks = []struct {
	wrapping  hsm.Wrapping
	cipher    hsm.Algorithm
	kbpk      string
	block     string
	purpose   hsm.Purpose
	algorithm hsm.Algorithm
	length    int
	kcv       string
}{
	{hsm.WrapTR31B, hsm.TDES, "DD7515F2BFC17F85CE48F3CA25CB21F6",
		"B0080P0TE00E000094B420079CC80BA3461F86FE26EFC4A3B8E4FA4C5F5341176EED7B727B8A248E", hsm.ZPK, hsm.TDES, 16, "57C409"},
	{hsm.WrapTR31D, hsm.AES, "88E1AB2A2E3DD38C1FA039A536500CC8A87AB9D62DC92C01058FA79F44657DE6",
		"D0112P0AE00E0000B82679114F470F540165EDFBF7E250FCEA43F810D215F8D207E2E417C07156A27E8E31DA05F7425509593D03A457DC34", hsm.ZPK, hsm.AES, 16, "08793E"},
}

func keyBlocks(t *testing.T, m Modules) {
	b := open(t, m)
	for _, c := range blocks {
		if !b.wraps(c.wrapping) || !b.holds(c.cipher, len(c.kbpk)/2) || !b.holds(c.algorithm, c.length) {
			continue
		}
		kbpk := b.form(hsm.KBPK, c.cipher, c.kbpk)
		s := spec(c.purpose, c.algorithm, c.length)
		k, _, err := b.Import(s, kbpk, c.wrapping, []byte(c.block), nil)
		require.NoError(t, err)
		info := k.Info()
		if c.algorithm != hsm.AES { // of an AES key X9.143 shows the CMAC of zeros, Info the enciphered zeros
			require.Equal(t, c.kcv, upper(info.KCV[:3]))
		}
		exported := must(b.Export(k, kbpk, c.wrapping))(t)
		require.NotEqual(t, c.block, string(exported), "the fill is random")
		back, _, err := b.Import(s, kbpk, c.wrapping, exported, nil)
		require.NoError(t, err)
		require.Equal(t, info, back.Info())
		for i := range exported {
			changed := slices.Clone(exported)
			changed[i] ^= 1
			_, _, err := b.Import(s, kbpk, c.wrapping, changed, nil)
			require.Error(t, err, "character %d", i)
		}
		_, _, err = b.Import(spec(hsm.MAK, c.algorithm, c.length), kbpk, c.wrapping, exported, nil)
		require.ErrorIs(t, err, hsm.ErrPurpose, "the block says what it is")
	}
}

// keyWrap is RFC 3394 §4.1 and §4.6.
func keyWrap(t *testing.T, m Modules) {
	b := open(t, m)
	if !b.wraps(hsm.WrapAESKW) {
		return // unsupported says so
	}
	const data = "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F"
	const kek = "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"
	for _, c := range []struct {
		length  int
		wrapped string
	}{
		{16, "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"},
		{32, "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"},
	} {
		wrapped := bytesOf(t, c.wrapped)
		under := b.form(hsm.KBPK, hsm.AES, kek[:2*c.length])
		want := b.form(hsm.MAK, hsm.AES, data[:2*c.length]).Info()
		s := spec(hsm.MAK, hsm.AES, c.length)
		k, token, err := b.Import(s, under, hsm.WrapAESKW, wrapped, nil)
		require.NoError(t, err)
		require.Equal(t, want, k.Info())
		require.Equal(t, want, must(b.Load(s.Bind, token))(t).Info())
		require.Equal(t, wrapped, must(b.Export(k, under, hsm.WrapAESKW))(t))
		_, _, err = b.Import(s, under, hsm.WrapAESKW, wrapped, want.KCV[:])
		require.NoError(t, err)
		_, _, err = b.Import(s, under, hsm.WrapAESKW, wrapped, []byte{want.KCV[0] ^ 1})
		require.ErrorIs(t, err, hsm.ErrKCV)
		_, _, err = b.Import(s, under, hsm.WrapAESKW, wrapped[8:], nil)
		require.ErrorIs(t, err, hsm.ErrWrapped)
		for i := range wrapped {
			changed := slices.Clone(wrapped)
			changed[i] ^= 1
			_, _, err = b.Import(s, under, hsm.WrapAESKW, changed, nil)
			require.ErrorIs(t, err, hsm.ErrWrapped, "byte %d", i)
		}
	}
	under := b.generate(hsm.KBPK, hsm.AES, 16)
	for _, kind := range b.can.Keys {
		k := b.generate(hsm.MAK, kind.Algorithm, kind.Length)
		wrapped, err := b.Export(k, under, hsm.WrapAESKW)
		switch {
		case kind.Length < 16 || kind.Length%8 != 0:
			require.ErrorIs(t, err, hsm.ErrAlgorithm, "%+v", kind)
			continue
		case kind.Algorithm == hsm.AES && kind.Length > 16:
			require.ErrorIs(t, err, hsm.ErrStrength, "%+v", kind)
			continue
		}
		require.NoError(t, err, "%+v", kind)
		back, _, err := b.Import(spec(hsm.MAK, kind.Algorithm, kind.Length), under, hsm.WrapAESKW, wrapped, nil)
		require.NoError(t, err, "%+v", kind)
		require.Equal(t, k.Info(), back.Info())
	}
	_, err := b.Export(b.generate(hsm.MAK, hsm.AES, 16), b.generate(hsm.TMK, hsm.AES, 16), hsm.WrapAESKW)
	require.ErrorIs(t, err, hsm.ErrPurpose)
}

func leaving(t *testing.T, m Modules) {
	b := open(t, m)
	kind, ok := b.kindOf(func(a hsm.Algorithm) bool { return a == hsm.TDES || a == hsm.SM4 || a == hsm.AES })
	require.True(t, ok)
	if b.wraps(hsm.WrapECB) {
		tmk := b.generate(hsm.TMK, kind.Algorithm, kind.Length)
		s := spec(hsm.MAK, kind.Algorithm, kind.Length)
		s.Exportable = false
		kept, token, err := b.Generate(s)
		require.NoError(t, err)
		_, err = b.Export(kept, tmk, hsm.WrapECB)
		require.ErrorIs(t, err, hsm.ErrExport)
		_, err = b.Export(must(b.Load(s.Bind, token))(t), tmk, hsm.WrapECB)
		require.ErrorIs(t, err, hsm.ErrExport, "the token remembers")
		_, err = b.Export(b.generate(hsm.TMK, kind.Algorithm, kind.Length), tmk, hsm.WrapECB)
		require.ErrorIs(t, err, hsm.ErrPurpose, "a master key does not leave by ECB")
		_, err = b.Export(b.generate(hsm.ZPK, kind.Algorithm, kind.Length), tmk, hsm.WrapECB)
		require.ErrorIs(t, err, hsm.ErrPurpose, "a link's key is nothing for a terminal")
		if b.holds(hsm.DES, 0) && b.holds(hsm.TDES, 0) {
			_, err = b.Export(b.generate(hsm.MAK, hsm.TDES, 0), b.generate(hsm.TMK, hsm.DES, 0), hsm.WrapECB)
			require.Error(t, err, "3DES under DES")
		}
	}
	for p, a := range map[hsm.Purpose]hsm.Algorithm{hsm.Card: hsm.AES, hsm.Hash: hsm.HMAC, hsm.LMK: hsm.AES} {
		if !b.holds(a, 0) {
			continue
		}
		_, _, err := b.Generate(hsm.Spec{Purpose: p, Algorithm: a, Exportable: true})
		require.ErrorIs(t, err, hsm.ErrPurpose, "%s never leaves", p)
	}
	if b.wraps(hsm.WrapTR31D) && b.holds(hsm.AES, 16) && b.holds(hsm.AES, 32) {
		_, err := b.Export(b.generate(hsm.MAK, hsm.AES, 32), b.generate(hsm.KBPK, hsm.AES, 16), hsm.WrapTR31D)
		require.ErrorIs(t, err, hsm.ErrStrength)
	}
}

func sealing(t *testing.T, m Modules) {
	b := open(t, m)
	sealer, ok := b.Module.(hsm.Sealer)
	if !ok {
		require.Empty(t, b.can.Seals)
		return
	}
	for _, a := range b.can.Seals {
		k := b.generate(hsm.Card, a, 0)
		sealed := must(sealer.Seal([]byte("x"), k, []byte("a card"), []byte("its place")))(t)
		require.Len(t, sealed, 1+12+len("a card")+16)
		require.NotContains(t, string(sealed), "a card")
		require.Equal(t, "ya card", string(must(sealer.Open([]byte("y"), k, sealed[1:], []byte("its place")))(t)))
		again := must(sealer.Seal(nil, k, []byte("a card"), []byte("its place")))(t)
		require.NotEqual(t, sealed[1:], again, "the nonce is new")
		_, err := sealer.Open(nil, k, again, []byte("another place"))
		require.ErrorIs(t, err, hsm.ErrSealed)
		_, err = sealer.Open(nil, b.generate(hsm.Card, a, 0), again, []byte("its place"))
		require.ErrorIs(t, err, hsm.ErrSealed)
		for i := range again {
			changed := slices.Clone(again)
			changed[i] ^= 1
			_, err = sealer.Open(nil, k, changed, []byte("its place"))
			require.ErrorIs(t, err, hsm.ErrSealed, "%s byte %d", a, i)
			_, err = sealer.Open(nil, k, again[:i], []byte("its place"))
			require.ErrorIs(t, err, hsm.ErrSealed, "%s cut at %d", a, i)
		}
	}
}
