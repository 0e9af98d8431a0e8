package hsm

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamesReadBack(t *testing.T) {
	for p := TMK; p.Valid(); p++ {
		got, err := ParsePurpose(p.String())
		require.NoError(t, err)
		require.Equal(t, p, got)
	}
	for a := DES; a.Valid(); a++ {
		got, err := ParseAlgorithm(a.String())
		require.NoError(t, err)
		require.Equal(t, a, got)
		require.True(t, a.ValidLength(a.DefaultLength()), "%s", a)
	}
	for _, a := range AllMACs() {
		got, err := ParseMAC(a.String())
		require.NoError(t, err)
		require.Equal(t, a, got)
	}
	for f := ISO0; f.Valid(); f++ {
		got, err := ParsePIN(f.String())
		require.NoError(t, err)
		require.Equal(t, f, got)
	}
	for w := WrapECB; w.Valid(); w++ {
		got, err := ParseWrapping(w.String())
		require.NoError(t, err)
		require.Equal(t, w, got)
	}
	_, err := ParsePurpose("")
	require.ErrorIs(t, err, ErrPurpose)
	_, err = ParseMAC("cup")
	require.ErrorIs(t, err, ErrAlgorithm)
}

// TestEveryPurposeDoesOneThing: a key that both wraps keys and deciphers data gives the keys away (PCI PIN 19).
func TestEveryPurposeDoesOneThing(t *testing.T) {
	wraps := func(p Purpose) bool { return p.Allows(OpECB) || p.Allows(OpBlock) }
	pins := func(p Purpose) bool { return p.Allows(OpPINFrom) || p.Allows(OpPINTo) }
	macs := func(p Purpose) bool { return p.Allows(OpMAC) || p.Allows(OpVerify) }
	for p := TMK; p.Valid(); p++ {
		n := 0
		for _, does := range []bool{wraps(p), pins(p), macs(p), p.Allows(OpSeal)} {
			if does {
				n++
			}
		}
		require.LessOrEqual(t, n, 1, "%s", p)
		require.False(t, p.Allows(OpECB) && p.Allows(OpBlock), "%s", p)
		for q := TMK; q.Valid(); q++ {
			if p.Wraps(q) {
				require.True(t, wraps(p), "%s", p)
				require.True(t, q.Leaves(), "%s", q)
			}
		}
	}
	for _, p := range []Purpose{Card, Hash, LMK} {
		require.False(t, p.Leaves(), "%s", p)
	}
}

func TestPINPrintsNoCardNumber(t *testing.T) {
	p := PIN{Format: ISO0, PAN: []byte("6224240000000017")}
	require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", p, p, p, p), "6224")
	require.NotContains(t, fmt.Sprintf("%v %+v", p, p), "54") // the digits as bytes
}

func TestUnsupportedNamesTheMechanism(t *testing.T) {
	err := fmt.Errorf("sign-on: %w", Unsupported("export by SM4-ECB", "CKM_VENDOR_SM4_ECB"))
	require.ErrorIs(t, err, ErrUnsupported)
	var why *UnsupportedError
	require.True(t, errors.As(err, &why))
	require.Equal(t, "CKM_VENDOR_SM4_ECB", why.Mechanism)
	require.ErrorContains(t, err, "CKM_VENDOR_SM4_ECB")
}

// GB/T 15852.1 algorithms 2 and 3 have two keys, which are one of 32 bytes here. Nothing enciphers with such a one.
func TestTwoSM4KeysInOneOnlyMakeCodes(t *testing.T) {
	for p := TMK; p.Valid(); p++ {
		_, err := Spec{Purpose: p, Algorithm: SM4, Length: 32}.Check()
		if p == MAK || p == ZAK || p == LMK { // of an LMK SM4 is what it wraps with
			require.NoError(t, err, "%s", p)
		} else {
			require.ErrorIs(t, err, ErrAlgorithm, "%s", p)
		}
	}
	_, err := Spec{Purpose: LMK, Algorithm: AES, Length: 16}.Check()
	require.ErrorIs(t, err, ErrAlgorithm)
}
