package soft

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/hsm/hsmtest"
)

func testLMK(t testing.TB, mode Mode, seed byte) *LMK {
	l, err := newLMK(mode, bytes.Repeat([]byte{seed}, LMKSize))
	require.NoError(t, err)
	return l
}

func testModule(t testing.TB, mode Mode, seed byte) *Module {
	m, err := New(Config{LMK: testLMK(t, mode, seed), Rand: rand.Reader})
	require.NoError(t, err)
	return m
}

func TestModuleKeepsTheContract(t *testing.T) {
	for _, mode := range []Mode{International, National} {
		t.Run(mode.String(), func(t *testing.T) {
			hsmtest.Run(t, hsmtest.Modules{
				Open:     func(t testing.TB) hsm.Module { return testModule(t, mode, 7) },
				Stranger: func(t testing.TB) hsm.Module { return testModule(t, mode, 8) },
			})
		})
	}
}

// Keys and PINs must not be found in what is printed of a module, a handle or a master key.
func TestNothingPrintsAKey(t *testing.T) {
	m := testModule(t, International, 7)
	secret := []byte("0123456789abcdef")
	k, _, err := m.Form(hsm.Spec{Bind: "x", Purpose: hsm.MAK, Algorithm: hsm.AES}, bytes.Repeat(secret, 2), bytes.Repeat([]byte{1}, 32))
	require.NoError(t, err)
	for _, v := range []any{m, k, m.LMK(), *m.LMK()} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			text := fmt.Sprintf(verb, v)
			require.NotContains(t, text, "7, 7", verb)
			require.NotContains(t, text, "[7 7", verb)
			require.NotContains(t, text, "070707", verb)
			require.Less(t, len(text), 60, "%s %s", verb, text)
		}
	}
}

func TestTokensOfAFormerMasterKeyStillOpen(t *testing.T) {
	m := testModule(t, International, 7)
	spec := hsm.Spec{Bind: "terminal/1/mak", Purpose: hsm.MAK, Algorithm: hsm.TDES}
	made, token, err := m.Generate(spec)
	require.NoError(t, err)
	old := m.LMK()
	next := testLMK(t, National, 9)

	m.Take(m.Adopting(next, old))
	loaded, err := m.Load(spec.Bind, token)
	require.NoError(t, err)
	require.Equal(t, made.Info(), loaded.Info())
	again, err := m.Masters().Rewrap(spec.Bind, "terminal/2/mak", token)
	require.NoError(t, err)
	id, err := TokenLMK(again)
	require.NoError(t, err)
	require.Equal(t, next.ID(), id)

	// Another process has the new key, and the old one as a token under it.
	former, err := m.Masters().WrapFormer("lmk/old", old)
	require.NoError(t, err)
	other, err := New(Config{LMK: next, Rand: rand.Reader})
	require.NoError(t, err)
	_, err = other.Load(spec.Bind, token)
	require.ErrorIs(t, err, hsm.ErrToken)
	known := other.Masters()
	got, err := known.AddFormer("lmk/old", former)
	require.NoError(t, err)
	require.Equal(t, old.ID(), got)
	_, err = other.Load(spec.Bind, token)
	require.ErrorIs(t, err, hsm.ErrToken, "before they are taken nothing has changed")
	other.Take(known)
	_, err = other.Load(spec.Bind, token)
	require.NoError(t, err)
	_, err = other.Load(spec.Bind, again)
	require.ErrorIs(t, err, hsm.ErrToken, "rewrapped for another place")
	loaded, err = other.Load("terminal/2/mak", again)
	require.NoError(t, err)
	require.Equal(t, made.Info(), loaded.Info())
	_, err = known.AddFormer("terminal/2/mak", again)
	require.ErrorIs(t, err, hsm.ErrPurpose)
}

func TestMasterKeyReadsBack(t *testing.T) {
	for _, mode := range []Mode{International, National} {
		l := testLMK(t, mode, 3)
		text := string(l.AppendSecret(nil))
		back, err := ParseLMK(text)
		require.NoError(t, err)
		require.Equal(t, l.ID(), back.ID())
		require.Equal(t, mode, back.Mode())
		for i := range text {
			changed := []byte(text)
			changed[i] ^= 1
			_, err := ParseLMK(string(changed))
			require.ErrorIs(t, err, ErrLMK, "character %d", i)
			require.NotContains(t, err.Error(), "0303")
		}
	}
	require.NotEqual(t, testLMK(t, International, 3).ID(), testLMK(t, National, 3).ID())
	_, err := newLMK(International, make([]byte, LMKSize))
	require.ErrorIs(t, err, ErrLMK)
}

// Tokens of the key of pos-dialect §5, under the master keys of this test.
const (
	tokenInternational = "0174968B7C03021001050505050505050505050505E903F8748EB5E8AB4B94E7BA89E2086EE75ED04EDF580DB9742EB07D0903488F"
	tokenNational      = "01FF766C0103021001050505050505050505050505D3CC251CFAC4D78560748C4C0D788B5B54F5E0E49D12D22D56013B1FCA836691"
)

func unhex(t testing.TB, text string) []byte {
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	return b
}

// TestTokenStaysTheSameForEver is a fixture: tokens stand in journals.
func TestTokenStaysTheSameForEver(t *testing.T) {
	for mode, token := range map[Mode]string{
		International: tokenInternational,
		National:      tokenNational,
	} {
		m := testModule(t, mode, 7)
		k, err := m.Load("terminal/10000001/mak", unhex(t, token))
		require.NoError(t, err)
		require.Equal(t, hsm.Info{Purpose: hsm.MAK, Algorithm: hsm.TDES, Length: 16, Exportable: true, KCV: k.Info().KCV}, k.Info())
		code, err := m.MAC(nil, k, hsm.CUPECB, []byte("0200"))
		require.NoError(t, err)
		require.Equal(t, "2DEAE09C", string(code))
	}
}

func FuzzToken(f *testing.F) {
	m := testModule(f, International, 7)
	f.Add(unhex(f, tokenInternational))
	f.Add(unhex(f, tokenNational))
	f.Fuzz(func(t *testing.T, token []byte) {
		k, err := m.Load("terminal/10000001/mak", token)
		if err != nil {
			require.ErrorIs(t, err, hsm.ErrToken)
			return
		}
		require.Equal(t, unhex(t, tokenInternational), token, "the one token that opens")
		require.Equal(t, hsm.MAK, k.Info().Purpose)
	})
}

// FuzzImport: what another party has wrapped becomes the key that was asked for, or one of the refusals, and goes out again
// as it came in.
func FuzzImport(f *testing.F) {
	m := testModule(f, International, 7)
	secret := unhex(f, "5BB5C72CD00B73386701EAD6A9AD51E5")
	var under []*key
	for i, spec := range []hsm.Spec{
		{Purpose: hsm.TMK, Algorithm: hsm.TDES}, {Purpose: hsm.TMK, Algorithm: hsm.SM4}, {Purpose: hsm.ZMK, Algorithm: hsm.AES},
		{Purpose: hsm.KBPK, Algorithm: hsm.TDES, Length: 24}, {Purpose: hsm.KBPK, Algorithm: hsm.AES},
	} {
		n := cmp.Or(spec.Length, spec.Algorithm.DefaultLength())
		part := append(bytes.Clone(secret), "0123456789abcdef"...)[:n]
		handle, _, err := m.Form(spec, part, bytes.Repeat([]byte{byte(i)}, n))
		require.NoError(f, err)
		own, err := m.of(handle)
		require.NoError(f, err)
		under = append(under, own)
		for w := hsm.WrapECB; w.Valid(); w++ {
			for _, leaves := range []hsm.Spec{
				{Purpose: hsm.MAK, Algorithm: hsm.TDES, Exportable: true}, {Purpose: hsm.PIK, Algorithm: hsm.SM4, Exportable: true},
				{Purpose: hsm.ZPK, Algorithm: hsm.AES, Length: 16, Exportable: true}, {Purpose: hsm.MAK, Algorithm: hsm.DES, Exportable: true},
			} {
				n := cmp.Or(leaves.Length, leaves.Algorithm.DefaultLength())
				inner, _, err := m.Form(leaves, secret[:n], bytes.Repeat([]byte{9}, n))
				require.NoError(f, err)
				kcv := inner.Info().KCV
				if wrapped, err := m.Export(inner, own, w); err == nil {
					f.Add(byte(i), byte(w), byte(leaves.Purpose), byte(leaves.Algorithm), byte(n), true, wrapped, kcv[:])
				}
			}
		}
	}
	refusals := []error{hsm.ErrPurpose, hsm.ErrAlgorithm, hsm.ErrStrength, hsm.ErrWeak, hsm.ErrWrapped, hsm.ErrKCV, hsm.ErrExport}
	f.Fuzz(func(t *testing.T, by, wrapping, purpose, algorithm, length byte, leaves bool, wrapped, check []byte) {
		wrapper, w := under[int(by)%len(under)], hsm.Wrapping(wrapping)
		spec := hsm.Spec{Bind: "fuzz", Purpose: hsm.Purpose(purpose), Algorithm: hsm.Algorithm(algorithm), Length: int(length), Exportable: leaves}
		if len(check) == 0 && w == hsm.WrapECB { // what the sender of these bytes would have said
			if whole, secret, err := wrapper.importBare(spec, w, wrapped); err == nil {
				kcv, err := checkValue(whole.Algorithm, secret)
				require.NoError(t, err)
				check = kcv[:]
			}
		}
		k, token, err := m.Import(spec, wrapper, w, wrapped, check)
		if err != nil {
			require.True(t, slices.ContainsFunc(refusals, func(sentinel error) bool { return errors.Is(err, sentinel) }), "%v", err)
			require.Nil(t, k)
			require.Nil(t, token)
			return
		}
		info := k.Info()
		require.Equal(t, spec.Purpose, info.Purpose)
		require.Equal(t, leaves, info.Exportable)
		require.True(t, bytes.HasPrefix(info.KCV[:], check))
		require.Contains(t, []hsm.Algorithm{0, info.Algorithm}, spec.Algorithm)
		loaded, err := m.Load("fuzz", token)
		require.NoError(t, err)
		require.Equal(t, info, loaded.Info())
		out, err := m.Export(loaded, wrapper, w)
		if !leaves {
			require.ErrorIs(t, err, hsm.ErrExport)
			return
		}
		require.NoError(t, err)
		if w == hsm.WrapECB || w == hsm.WrapAESKW {
			require.Equal(t, wrapped, out)
		}
	})
}

func FuzzParseLMK(f *testing.F) {
	f.Add(string(testLMK(f, International, 3).AppendSecret(nil)))
	f.Add("sm4-gcm::")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLMK(text)
		if err != nil {
			require.ErrorIs(t, err, ErrLMK)
			return
		}
		require.Equal(t, text, string(l.AppendSecret(nil)), "one key has one writing")
	})
}

func BenchmarkVerify(b *testing.B) {
	m := testModule(b, International, 7)
	data := bytes.Repeat([]byte{0x5A}, 200)
	for _, a := range []hsm.Algorithm{hsm.TDES, hsm.SM4} {
		b.Run(a.String(), func(b *testing.B) {
			k, _, err := m.Generate(hsm.Spec{Purpose: hsm.MAK, Algorithm: a})
			require.NoError(b, err)
			code, err := m.MAC(nil, k, hsm.CUPECB, data)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Verify(k, hsm.CUPECB, data, code); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Release leaves nothing of a key in its handle, whatever was made of it before, and whoever asks later is refused.
func TestReleaseWipesTheKey(t *testing.T) {
	m := testModule(t, International, 7)
	for _, spec := range []hsm.Spec{
		{Purpose: hsm.PIK, Algorithm: hsm.TDES}, {Purpose: hsm.MAK, Algorithm: hsm.TDES}, {Purpose: hsm.Card, Algorithm: hsm.AES},
		{Purpose: hsm.TMK, Algorithm: hsm.SM4}, {Purpose: hsm.KBPK, Algorithm: hsm.AES},
	} {
		made, token, err := m.Generate(spec)
		require.NoError(t, err)
		loaded, err := m.Load(spec.Bind, token)
		require.NoError(t, err)
		for _, handle := range []hsm.Key{made, loaded} {
			k := handle.(*key)
			secret := k.secret
			require.NotEqual(t, make([]byte, len(secret)), secret)
			_, err := k.block()
			require.NoError(t, err)
			_, _ = m.MAC(nil, k, hsm.CUPECB, []byte("x"))
			_, _ = m.Seal(nil, k, []byte("x"), nil)
			k.Release()
			require.Equal(t, make([]byte, len(secret)), secret, "%s", spec.Purpose)
			require.Nil(t, k.secret)
			require.Nil(t, k.cipher.Load())
			require.Nil(t, k.seal.Load())
			for i := range k.macs {
				require.Nil(t, k.macs[i].Load())
			}
			_, err = k.block()
			require.ErrorIs(t, err, hsm.ErrKey, "no schedule of a wiped key")
			require.Equal(t, made.Info(), k.Info())
		}
	}
}

// Whoever is at work with a key while it is released gets the right code or is refused; never one of a wiped key.
func TestReleaseBesideWorkGivesNoWrongCode(t *testing.T) {
	m := testModule(t, International, 7)
	spec := hsm.Spec{Purpose: hsm.MAK, Algorithm: hsm.TDES}
	made, token, err := m.Generate(spec)
	require.NoError(t, err)
	want, err := m.MAC(nil, made, hsm.TDESCMAC, []byte("0200"))
	require.NoError(t, err)
	for range 200 {
		k, err := m.Load(spec.Bind, token)
		require.NoError(t, err)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				got, err := m.MAC(nil, k, hsm.TDESCMAC, []byte("0200"))
				if err == nil && !bytes.Equal(got, want) || err != nil && !errors.Is(err, hsm.ErrKey) {
					t.Errorf("%X, %v", got, err)
				}
			})
		}
		group.Go(k.Release)
		group.Wait()
	}
}
