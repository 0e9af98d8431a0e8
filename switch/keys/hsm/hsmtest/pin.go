package hsmtest

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/keys/hsm"
)

// pinMoves begins at the PIN block of pos-dialect §6.
func pinMoves(t *testing.T, m Modules) {
	b := open(t, m)
	if !b.reads(hsm.ISO0) || !b.holds(hsm.TDES, 16) {
		return // unsupported says so
	}
	pan := []byte("123456789012345678")
	const pik = "807A23AD32B36D457AE91FDF927570EA"
	block := bytesOf(t, "A2BCBE65CB54B0E7")
	from := hsm.PIN{Key: b.form(hsm.PIK, hsm.TDES, pik), Format: hsm.ISO0, PAN: pan}
	// The same key as a zone key: the block must come out as it went in.
	mirror := hsm.PIN{Key: b.form(hsm.ZPK, hsm.TDES, pik), Format: hsm.ISO0, PAN: pan}
	require.Equal(t, "x"+string(block), string(must(b.TranslatePIN([]byte("x"), from, mirror, block))(t)))

	zone := map[hsm.PINFormat]hsm.Algorithm{hsm.ISO0: hsm.TDES, hsm.ISO3: hsm.TDES, hsm.ISO4: hsm.AES, hsm.ISO0SM4: hsm.SM4}
	for _, format := range b.can.PINs {
		if !format.WithPAN() || !b.holds(zone[format], 0) {
			continue
		}
		there := hsm.PIN{Key: b.generate(hsm.ZPK, zone[format], 0), Format: format, PAN: pan}
		moved := must(b.TranslatePIN(nil, from, there, block))(t)
		require.Len(t, moved, format.Size())
		require.NotEqual(t, block, moved)
		require.Equal(t, block, must(b.TranslatePIN(nil, there, mirror, moved))(t), "%s and back", format)
	}
	if b.reads(hsm.Bare) {
		// Block 1 alone, 06123456FFFFFFFF, under the same key.
		bare := hsm.PIN{Key: from.Key, Format: hsm.Bare}
		require.Equal(t, block, must(b.TranslatePIN(nil, bare, mirror, bytesOf(t, "75EC7A5EFA8DBA63")))(t))
	}
}

func pinStays(t *testing.T, m Modules) {
	b := open(t, m)
	if !b.reads(hsm.ISO0) || !b.holds(hsm.TDES, 16) {
		return
	}
	pan := []byte("123456789012345678")
	block := bytesOf(t, "A2BCBE65CB54B0E7")
	from := hsm.PIN{Key: b.form(hsm.PIK, hsm.TDES, "807A23AD32B36D457AE91FDF927570EA"), Format: hsm.ISO0, PAN: pan}
	to := hsm.PIN{Key: b.generate(hsm.ZPK, hsm.TDES, 16), Format: hsm.ISO0, PAN: pan}
	for name, c := range map[string]struct {
		change func(from, to *hsm.PIN, block *[]byte)
		want   error
	}{
		"to a format without the card number": {func(_, to *hsm.PIN, _ *[]byte) { to.Format = hsm.Bare }, hsm.ErrPIN},
		"to another card":                     {func(_, to *hsm.PIN, _ *[]byte) { to.PAN = []byte("6224240000000017") }, hsm.ErrPIN},
		"without the card number":             {func(_, to *hsm.PIN, _ *[]byte) { to.PAN = nil }, hsm.ErrPIN},
		"to no format":                        {func(_, to *hsm.PIN, _ *[]byte) { to.Format = 0 }, hsm.ErrPIN},
		"to a terminal's key":                 {func(from, to *hsm.PIN, _ *[]byte) { to.Key = from.Key }, hsm.ErrPurpose},
		"to no key":                           {func(_, to *hsm.PIN, _ *[]byte) { to.Key = nil }, hsm.ErrKey},
		"in a block of 16 bytes under 3DES":   {func(_, to *hsm.PIN, _ *[]byte) { to.Format = hsm.ISO4 }, hsm.ErrAlgorithm},
		"of half a block":                     {func(_, _ *hsm.PIN, block *[]byte) { *block = (*block)[:4] }, hsm.ErrPINBlock},
		"of what is no PIN block":             {func(_, _ *hsm.PIN, block *[]byte) { *block = make([]byte, 8) }, hsm.ErrPINBlock},
		"of another card's block": {func(from, to *hsm.PIN, _ *[]byte) {
			from.PAN = []byte("9999999999999999")
			to.PAN = from.PAN
		}, hsm.ErrPINBlock},
	} {
		f, g, part := from, to, block
		c.change(&f, &g, &part)
		out, err := b.TranslatePIN([]byte("x"), f, g, part)
		require.ErrorIs(t, err, c.want, name)
		require.Equal(t, "x", string(out), name)
		require.NotContains(t, err.Error(), "123456", name)
	}
}

// unsupported asks for everything that the module does not claim.
func unsupported(t *testing.T, m Modules) {
	b := open(t, m)
	require.NotEmpty(t, b.can.Name)
	refused := func(err error, what string, args ...any) {
		t.Helper()
		require.ErrorIs(t, err, hsm.ErrUnsupported, what, args)
		var why *hsm.UnsupportedError
		require.True(t, errors.As(err, &why))
		require.NotEmpty(t, why.Operation)
		require.NotEmpty(t, why.Mechanism)
	}
	for _, a := range []hsm.Algorithm{hsm.DES, hsm.TDES, hsm.AES, hsm.SM4, hsm.HMAC} {
		if !b.holds(a, 0) {
			_, _, err := b.Generate(spec(hsm.MAK, a, 0))
			refused(err, "generate %s", a)
			part := make([]byte, a.DefaultLength())
			other := make([]byte, a.DefaultLength())
			for i := range part {
				part[i], other[i] = byte(i*29+3), byte(i*7+90)
			}
			_, _, err = b.Form(spec(hsm.MAK, a, 0), part, other)
			refused(err, "form %s", a)
		}
	}
	for _, a := range hsm.AllMACs() {
		if b.makes(a) {
			continue
		}
		for _, kind := range b.can.Keys {
			if a.Takes(hsm.Info{Algorithm: kind.Algorithm, Length: kind.Length}) {
				k := b.generate(hsm.MAK, kind.Algorithm, kind.Length)
				_, err := b.MAC(nil, k, a, []byte("x"))
				refused(err, "%s", a)
				refused(b.Verify(k, a, []byte("x"), make([]byte, 8)), "%s", a)
			}
		}
	}
	if !b.wraps(hsm.WrapECB) && b.holds(hsm.TDES, 16) {
		tmk, k := b.generate(hsm.TMK, hsm.TDES, 16), b.generate(hsm.MAK, hsm.TDES, 16)
		_, err := b.Export(k, tmk, hsm.WrapECB)
		refused(err, "export by ECB")
		_, _, err = b.Import(spec(hsm.MAK, hsm.TDES, 16), tmk, hsm.WrapECB, make([]byte, 16), make([]byte, 4))
		refused(err, "import by ECB")
	}
	for w, a := range map[hsm.Wrapping]hsm.Algorithm{hsm.WrapTR31B: hsm.TDES, hsm.WrapTR31D: hsm.AES, hsm.WrapAESKW: hsm.AES} {
		if !b.wraps(w) && b.holds(a, 16) {
			kbpk, k := b.generate(hsm.KBPK, a, 16), b.generate(hsm.MAK, a, 16)
			_, err := b.Export(k, kbpk, w)
			refused(err, "export as %s", w)
			_, _, err = b.Import(spec(hsm.MAK, a, 16), kbpk, w, []byte("B0000"), nil)
			refused(err, "import of %s", w)
		}
	}
	if !b.reads(hsm.ISO0) && b.holds(hsm.TDES, 16) {
		pan := []byte("6224240000000017")
		_, err := b.TranslatePIN(nil,
			hsm.PIN{Key: b.generate(hsm.PIK, hsm.TDES, 16), Format: hsm.ISO0, PAN: pan},
			hsm.PIN{Key: b.generate(hsm.ZPK, hsm.TDES, 16), Format: hsm.ISO0, PAN: pan}, make([]byte, 8))
		refused(err, "translate")
	}
}

func refusalAppendsNothing(t *testing.T, m Modules) {
	b := open(t, m)
	a, ok := anyMAC(b)
	require.True(t, ok)
	out, err := b.MAC([]byte("x"), nil, a, []byte("data"))
	require.Error(t, err)
	require.Equal(t, "x", string(out))
	out, err = b.MAC([]byte("x"), b.keyFor(a), 0, []byte("data"))
	require.ErrorIs(t, err, hsm.ErrAlgorithm)
	require.Equal(t, "x", string(out))
	if sealer, ok := b.Module.(hsm.Sealer); ok && len(b.can.Seals) > 0 {
		out, err = sealer.Open([]byte("x"), b.generate(hsm.Card, b.can.Seals[0], 0), make([]byte, 40), nil)
		require.ErrorIs(t, err, hsm.ErrSealed)
		require.Equal(t, "x", string(out))
	}
}
