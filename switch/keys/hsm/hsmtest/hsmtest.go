// Package hsmtest holds a module to the contract of hsm.Module. Every implementation runs it: what Capabilities names is
// tried with the examples of the standards, what it does not name must be refused as hsm.ErrUnsupported.
package hsmtest

import (
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/keys/hsm"
)

// Modules opens the modules under test.
type Modules struct {
	// Open opens a module; called again, it opens another one with the same local master key.
	Open func(t testing.TB) hsm.Module
	// Stranger opens a module with another local master key.
	Stranger func(t testing.TB) hsm.Module
}

// Run runs the contract.
func Run(t *testing.T, m Modules) {
	for name, test := range map[string]func(*testing.T, Modules){
		"a key survives its token":                       keySurvivesToken,
		"a token opens in its place only":                tokenOpensInItsPlace,
		"a changed token does not open":                  changedToken,
		"check values are those of the standard":         checkValues,
		"components are XOR-ed, weak keys refused":       components,
		"codes are those of the standards":               codes,
		"a changed code is refused":                      changedCode,
		"keys do what their purpose says":                separation,
		"keys arrive and leave as terminals take them":   wrapECB,
		"key blocks are those of the standards":          keyBlocks,
		"AES key wrap is the standard's":                 keyWrap,
		"keys leave only as they may":                    leaving,
		"a PIN moves from key to key":                    pinMoves,
		"a PIN does not move where it must not":          pinStays,
		"what is sealed opens, and nothing else":         sealing,
		"a released or foreign key is refused":           released,
		"many callers at once get what one gets":         concurrent,
		"what is not supported names what it would take": unsupported,
		"a refusal leaves the destination as it was":     refusalAppendsNothing,
	} {
		t.Run(name, func(t *testing.T) { test(t, m) })
	}
}

// bench is one module and what it can do.
type bench struct {
	t testing.TB
	hsm.Module
	can hsm.Capabilities
}

func open(t testing.TB, m Modules) *bench {
	module := m.Open(t)
	return &bench{t, module, module.Capabilities()}
}

func (b *bench) holds(a hsm.Algorithm, length int) bool {
	if length == 0 {
		length = a.DefaultLength()
	}
	return slices.Contains(b.can.Keys, hsm.KeyKind{Algorithm: a, Length: length})
}

func (b *bench) makes(a hsm.MACAlgorithm) bool { return slices.Contains(b.can.MACs, a) }
func (b *bench) wraps(w hsm.Wrapping) bool     { return slices.Contains(b.can.Wraps, w) }
func (b *bench) reads(f hsm.PINFormat) bool    { return slices.Contains(b.can.PINs, f) }
func (b *bench) kind() (hsm.KeyKind, bool)     { return b.kindOf(hsm.Algorithm.Valid) }
func bytesOf(t testing.TB, text string) []byte { return must(hex.DecodeString(text))(t) }
func upper(b []byte) string                    { return string(hexUpper(b)) }
func spec(p hsm.Purpose, a hsm.Algorithm, n int) hsm.Spec {
	return hsm.Spec{Bind: "test", Purpose: p, Algorithm: a, Length: n, Exportable: p.Leaves()}
}

func hexUpper(b []byte) []byte {
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return out
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		require.NoError(t, err)
		return v
	}
}

// kindOf is a sort of key that the module holds.
func (b *bench) kindOf(like func(hsm.Algorithm) bool) (hsm.KeyKind, bool) {
	for _, k := range b.can.Keys {
		if like(k.Algorithm) {
			return k, true
		}
	}
	return hsm.KeyKind{}, false
}

// form brings a known key in, as two components.
func (b *bench) form(p hsm.Purpose, a hsm.Algorithm, key string) hsm.Key {
	b.t.Helper()
	k, _, err := b.formErr(p, a, key)
	require.NoError(b.t, err)
	return k
}

func (b *bench) formErr(p hsm.Purpose, a hsm.Algorithm, key string) (hsm.Key, []byte, error) {
	whole := bytesOf(b.t, key)
	first, second := make([]byte, len(whole)), make([]byte, len(whole))
	for i := range whole {
		first[i] = byte(37*i + 11)
		second[i] = whole[i] ^ first[i]
	}
	return b.Form(spec(p, a, len(whole)), first, second)
}

func (b *bench) generate(p hsm.Purpose, a hsm.Algorithm, n int) hsm.Key {
	b.t.Helper()
	k, _, err := b.Generate(spec(p, a, n))
	require.NoError(b.t, err)
	return k
}

// purposeFor is a purpose that keys of a may have.
func purposeFor(a hsm.Algorithm) hsm.Purpose { return hsm.MAK }

func keySurvivesToken(t *testing.T, m Modules) {
	b := open(t, m)
	again := open(t, m)
	require.NotEmpty(t, b.can.Keys, "a module holds something")
	for _, kind := range b.can.Keys {
		s := spec(purposeFor(kind.Algorithm), kind.Algorithm, kind.Length)
		made, token, err := b.Generate(s)
		require.NoError(t, err, "%+v", kind)
		info := made.Info()
		require.Equal(t, s.Purpose, info.Purpose)
		require.Equal(t, kind, hsm.KeyKind{Algorithm: info.Algorithm, Length: info.Length})
		require.True(t, info.Exportable)
		other, _, err := b.Generate(s)
		require.NoError(t, err)
		require.NotEqual(t, info.KCV, other.Info().KCV, "two keys are two keys")
		loaded, err := again.Load(s.Bind, token)
		require.NoError(t, err, "%+v", kind)
		require.Equal(t, info, loaded.Info())
		for _, a := range b.can.MACs {
			if !a.Takes(info) {
				continue
			}
			want := must(b.MAC(nil, made, a, []byte("one message")))(t)
			require.Equal(t, want, must(again.MAC(nil, loaded, a, []byte("one message")))(t), "%s", a)
		}
	}
}

func tokenOpensInItsPlace(t *testing.T, m Modules) {
	b := open(t, m)
	kind, _ := b.kind()
	s := spec(hsm.MAK, kind.Algorithm, kind.Length)
	_, token, err := b.Generate(s)
	require.NoError(t, err)
	_, err = b.Load(s.Bind+" elsewhere", token)
	require.ErrorIs(t, err, hsm.ErrToken)
	_, err = b.Load("", token)
	require.ErrorIs(t, err, hsm.ErrToken)
	_, err = m.Stranger(t).Load(s.Bind, token)
	require.ErrorIs(t, err, hsm.ErrToken)
}

func changedToken(t *testing.T, m Modules) {
	b := open(t, m)
	kind, _ := b.kind()
	s := spec(hsm.MAK, kind.Algorithm, kind.Length)
	_, token, err := b.Generate(s)
	require.NoError(t, err)
	for i := range token {
		changed := slices.Clone(token)
		changed[i] ^= 1
		_, err := b.Load(s.Bind, changed)
		require.ErrorIs(t, err, hsm.ErrToken, "byte %d", i)
		_, err = b.Load(s.Bind, token[:i])
		require.ErrorIs(t, err, hsm.ErrToken, "cut at %d", i)
	}
	_, err = b.Load(s.Bind, append(slices.Clone(token), 0))
	require.ErrorIs(t, err, hsm.ErrToken)
}

func checkValues(t *testing.T, m Modules) {
	b := open(t, m)
	for _, c := range []struct {
		algorithm hsm.Algorithm
		key, kcv  string
	}{
		{hsm.DES, "0123456789ABCDEF", "D5D44FF7"},                  // FIPS 81
		{hsm.DES, "5BB5C72CD00B7338", "AB7153CA"},                  // pos-dialect §5
		{hsm.TDES, "807A23AD32B36D457AE91FDF927570EA", "8D0A74B8"}, // pos-dialect §5
		{hsm.AES, "2B7E151628AED2A6ABF7158809CF4F3C", "7DF76B0C"},  // FIPS 197 applied to zeros
		{hsm.SM4, "0123456789ABCDEFFEDCBA9876543210", "2677F46B"},  // GB/T 32907 applied to zeros
	} {
		if b.holds(c.algorithm, len(c.key)/2) {
			info := b.form(hsm.MAK, c.algorithm, c.key).Info()
			require.Equal(t, c.kcv, upper(info.KCV[:]), "%s %s", c.algorithm, c.key)
		}
	}
}

func components(t *testing.T, m Modules) {
	b := open(t, m)
	kind, ok := b.kindOf(func(a hsm.Algorithm) bool { return a == hsm.TDES || a == hsm.AES })
	require.True(t, ok, "a module holds 3DES or AES keys")
	s := spec(hsm.MAK, kind.Algorithm, kind.Length)
	part := func(seed byte) []byte {
		p := make([]byte, kind.Length)
		for i := range p {
			p[i] = seed + byte(i)*17
		}
		return p
	}
	one, two, three := part(1), part(0x52), part(0x93)
	k3, _, err := b.Form(s, one, two, three)
	require.NoError(t, err)
	both := make([]byte, kind.Length)
	for i := range both {
		both[i] = two[i] ^ three[i]
	}
	k2, _, err := b.Form(s, both, one)
	require.NoError(t, err)
	require.Equal(t, k3.Info(), k2.Info())
	require.Equal(t, part(1), one, "components are the caller's")

	_, _, err = b.Form(s, one)
	require.Error(t, err, "one component is one person")
	_, _, err = b.Form(s, one, two, three, both)
	require.Error(t, err)
	_, _, err = b.Form(s, one, two[1:])
	require.ErrorIs(t, err, hsm.ErrAlgorithm, "another length")
	_, _, err = b.Form(s, one, one)
	require.ErrorIs(t, err, hsm.ErrWeak, "zeros")
	if b.holds(hsm.TDES, 16) {
		_, _, err = b.formErr(hsm.MAK, hsm.TDES, "0123456789ABCDEF0123456789ABCDEF")
		require.ErrorIs(t, err, hsm.ErrWeak, "3DES that is DES")
	}
	if b.holds(hsm.DES, 8) {
		_, _, err = b.formErr(hsm.MAK, hsm.DES, "FEFEFEFEFEFEFEFE")
		require.ErrorIs(t, err, hsm.ErrWeak, "a weak DES key")
	}
	_, _, err = b.Form(hsm.Spec{Purpose: hsm.MAK}, one, two)
	require.ErrorIs(t, err, hsm.ErrAlgorithm)
	_, _, err = b.Generate(hsm.Spec{Algorithm: kind.Algorithm})
	require.ErrorIs(t, err, hsm.ErrPurpose)
}

func separation(t *testing.T, m Modules) {
	b := open(t, m)
	kind, ok := b.kindOf(func(a hsm.Algorithm) bool { return a == hsm.TDES || a == hsm.AES })
	require.True(t, ok)
	alg, form := hsm.TDESCMAC, hsm.ISO0
	if kind.Algorithm == hsm.AES {
		alg, form = hsm.AESCMAC, hsm.ISO4
	}
	pan := []byte("6224240000000017")
	for _, p := range []hsm.Purpose{hsm.TMK, hsm.PIK, hsm.MAK, hsm.TDK, hsm.ZMK, hsm.ZPK, hsm.ZAK, hsm.KBPK} {
		k := b.generate(p, kind.Algorithm, kind.Length)
		_, err := b.MAC(nil, k, alg, []byte("x"))
		refusedUnless(t, p.Allows(hsm.OpMAC), err, "%s MAC", p)
		err = b.Verify(k, alg, []byte("x"), make([]byte, 8))
		refusedUnless(t, p.Allows(hsm.OpVerify), err, "%s verify", p)
		zone := b.generate(hsm.ZPK, kind.Algorithm, kind.Length)
		block := make([]byte, form.Size())
		if b.reads(form) {
			_, err = b.TranslatePIN(nil, hsm.PIN{Key: k, Format: form, PAN: pan}, hsm.PIN{Key: zone, Format: form, PAN: pan}, block)
			refusedUnless(t, p.Allows(hsm.OpPINFrom), err, "%s from", p)
			_, err = b.TranslatePIN(nil, hsm.PIN{Key: zone, Format: form, PAN: pan}, hsm.PIN{Key: k, Format: form, PAN: pan}, block)
			refusedUnless(t, p.Allows(hsm.OpPINTo), err, "%s to", p)
		}
		for _, w := range b.can.Wraps {
			mac := b.generate(hsm.MAK, kind.Algorithm, kind.Length)
			_, err = b.Export(mac, k, w)
			if p != hsm.TMK || w != hsm.WrapECB {
				if p != hsm.KBPK || w == hsm.WrapECB {
					require.ErrorIs(t, err, hsm.ErrPurpose, "%s %s", p, w)
				}
			}
		}
		if sealer, ok := b.Module.(hsm.Sealer); ok {
			_, err = sealer.Seal(nil, k, []byte("x"), nil)
			require.ErrorIs(t, err, hsm.ErrPurpose, "%s seals", p)
		}
	}
}

// refusedUnless wants ErrPurpose where the purpose does not allow it, and any other outcome where it does.
func refusedUnless(t *testing.T, allowed bool, err error, format string, args ...any) {
	t.Helper()
	if allowed {
		require.False(t, errors.Is(err, hsm.ErrPurpose), format, args)
		return
	}
	require.ErrorIs(t, err, hsm.ErrPurpose, format, args)
}

func released(t *testing.T, m Modules) {
	b := open(t, m)
	a, ok := anyMAC(b)
	require.True(t, ok)
	k := b.keyFor(a)
	k.Release()
	k.Release()
	_, err := b.MAC(nil, k, a, []byte("x"))
	require.ErrorIs(t, err, hsm.ErrKey)
	require.ErrorIs(t, b.Verify(k, a, []byte("x"), make([]byte, 8)), hsm.ErrKey)
	_, err = b.MAC(nil, open(t, m).keyFor(a), a, []byte("x"))
	require.ErrorIs(t, err, hsm.ErrKey, "a handle of another module")
	_, err = b.MAC(nil, nil, a, []byte("x"))
	require.ErrorIs(t, err, hsm.ErrKey)
}

func anyMAC(b *bench) (hsm.MACAlgorithm, bool) {
	for _, a := range b.can.MACs {
		if a != hsm.HMACSM3 && a != hsm.HMACSHA256 {
			return a, true
		}
	}
	return 0, false
}

// keyFor draws a MAC key of any kind that makes codes of a.
func (b *bench) keyFor(a hsm.MACAlgorithm) hsm.Key {
	b.t.Helper()
	for _, kind := range b.can.Keys {
		if a.Takes(hsm.Info{Algorithm: kind.Algorithm, Length: kind.Length}) {
			return b.generate(hsm.MAK, kind.Algorithm, kind.Length)
		}
	}
	b.t.Fatalf("the module says it makes %s and holds no key for it", a)
	return nil
}
