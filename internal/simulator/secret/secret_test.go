package secret

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	require.NoError(t, err)
	return raw
}

// The vector of pos-dialect §5: a delivery of 40 bytes with a MAC key of one length.
const (
	master  = "CA5D92598DCA48CE8A4C76361A9269E9"
	field62 = "6701EAD6A9AD51E51AA406E2C27FCFA98D0A74B8B651F9E9BACE9AE10000000000000000AB7153CA"
)

func TestPinpadTakesTheKeysOfASignOn(t *testing.T) {
	p, err := newPinpad(Terminal{Cipher: "3des", Master: unhex(t, master), Serial: "SIM-4C304119"})
	require.NoError(t, err)
	code, serial := p.SignOn()
	require.Equal(t, 3, code)
	require.Equal(t, "Sequence No12SIM-4C304119", serial)
	require.False(t, p.Ready())
	require.False(t, p.Verify([]byte("x"), []byte("00000000")))

	require.NoError(t, p.Take(unhex(t, field62)))
	require.True(t, p.Ready())
	pin, control, capture, err := p.PIN("123456", "123456789012345678")
	require.NoError(t, err)
	require.Equal(t, "A2BCBE65CB54B0E7", fmt.Sprintf("%X", pin), "pos-dialect §6")
	require.Equal(t, "2600000000000000 06", control+" "+capture)

	code64 := p.MAC(nil, []byte("covered"))
	require.Len(t, code64, MACSize)
	require.True(t, p.Verify([]byte("covered"), code64))
	require.False(t, p.Verify([]byte("coverec"), code64))
}

func TestPinpadRefusesADeliveryThatIsNotWhole(t *testing.T) {
	p, err := newPinpad(Terminal{Cipher: "3des", Master: unhex(t, master)})
	require.NoError(t, err)
	require.ErrorIs(t, p.Take(nil), ErrKeys)
	require.ErrorIs(t, p.Take(make([]byte, 41)), ErrKeys)
	for at := range 36 { // the last four bytes but the zeros between
		bad := unhex(t, field62)
		bad[at] ^= 4
		require.ErrorIs(t, p.Take(bad), ErrKeys, at)
	}
	require.False(t, p.Ready())
}

func TestBookIsReadAsItWasWrittenAndPrintsNoKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	key := unhex(t, "0123456789ABCDEFFEDCBA9876543210")
	b := &Book{
		Terminals: map[string]Terminal{"21010001": {Cipher: "sm4", Master: key, Serial: "S1"}},
		Network:   &Network{MAC: "3des-cbc", MACKey: key, PIN: "iso-0", Cipher: "3des", PINKey: key},
	}
	require.NoError(t, b.Write(path))
	got, err := Open(path)
	require.NoError(t, err)
	require.Equal(t, b, got)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", b, got.Terminals, *got.Network), "0123")
	require.NotContains(t, fmt.Sprintf("%v %x", b.Network.MACKey, b.Network.MACKey), "23")
	empty, err := Open("")
	require.NoError(t, err)
	require.Empty(t, empty.Terminals)
	_, err = Open(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, ErrBook)
	bad := &Book{Terminals: map[string]Terminal{"x": {Cipher: "aes", Master: key}}}
	require.NoError(t, bad.Write(path))
	_, err = Open(path)
	require.ErrorIs(t, err, ErrBook)
}

func TestDeskOpensPINsOfTheSwitch(t *testing.T) {
	key := unhex(t, "0123456789ABCDEFFEDCBA9876543210")
	d, err := NewDesk(Network{MAC: "sm4-cbc", MACKey: key, PIN: "iso-0", Cipher: "3des", PINKey: unhex(t, "807A23AD32B36D457AE91FDF927570EA")})
	require.NoError(t, err)
	require.True(t, d.Authenticates())
	pin, err := d.PIN(unhex(t, "A2BCBE65CB54B0E7"), "123456789012345678")
	require.NoError(t, err)
	require.Equal(t, "123456", pin)
	_, err = d.PIN(unhex(t, "A2BCBE65CB54B0E8"), "123456789012345678")
	require.Error(t, err)
	require.NotEqual(t, d.MAC([]byte("a")), d.MAC([]byte("b")))
	var none *Desk
	require.False(t, none.Authenticates())
	_, err = none.PIN(nil, "")
	require.Error(t, err)
}
