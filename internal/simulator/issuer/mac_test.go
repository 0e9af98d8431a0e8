package issuer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/internal/simulator/secret"
	"huanxin/switch/iso8583"
)

// sealedNetwork is one that demands MACs and makes them, and the key of both.
func sealedNetwork(t *testing.T, dialect string) (*Network, *link, *secret.Desk, *Ledger) {
	t.Helper()
	desk, err := secret.NewDesk(secret.Network{MAC: "3des-cbc", MACKey: []byte("0123456789abcdef")})
	require.NoError(t, err)
	ledger := NewLedger(nil)
	n, l := startWith(t, dialect, Config{
		Rules: DefaultRules(), Ledger: ledger, Desk: desk, Now: func() time.Time { return time.Date(2025, 6, 18, 23, 5, 12, 0, shanghai) },
	})
	return n, l, desk, ledger
}

// sealed is what a switch does: the MAC of everything before it, as the last field.
func (l *link) sealed(desk *secret.Desk, field int, spoil func(code []byte)) func(*iso8583.Builder) {
	return func(b *iso8583.Builder) {
		b.Set(field, make([]byte, secret.MACSize))
		body, err := b.Append(nil)
		require.NoError(l.t, err)
		code := desk.MAC(body[:len(body)-l.codec.WireSize(field)])
		if spoil != nil {
			spoil(code[:])
		}
		b.Set(field, code[:])
	}
}

// proves reports whether an answer has the MAC of its own bytes.
func (l *link) proves(desk *secret.Desk, m *iso8583.Message, field int) bool {
	l.t.Helper()
	if !m.Has(field) || m.Next(field) != 0 {
		return false
	}
	want := desk.MAC(m.RawUpTo(field))
	return string(want[:]) == string(m.AppendField(nil, field))
}

func TestNetworkBooksNothingWithoutTheMACOfItsBytes(t *testing.T) {
	n, l, desk, ledger := sealedNetwork(t, "cup")
	const rrn = "516900000001"
	wrong := []func(*iso8583.Builder){
		nil,
		l.sealed(desk, 64, func(code []byte) { clear(code) }),
	}
	for bit := range 8 * secret.MACSize {
		wrong = append(wrong, l.sealed(desk, 64, func(code []byte) { code[bit/8] ^= 1 << (bit % 8) }))
	}
	for i, spoiled := range append(wrong, func(b *iso8583.Builder) {
		l.sealed(desk, 64, nil)(b)
		b.SetDigits(4, 10001, 12) // changed on the way
	}) {
		l.send(0x0200, rrn, 10000, spoiled)
		l.want(0x0210, "A0")
		require.EqualValues(t, i+1, n.Forged())
	}
	l.send(0x0400, rrn, 10000, nil)
	l.want(0x0410, "A0")
	require.Zero(t, ledger.Summary())
	_, seen := ledger.Find(rrn)
	require.False(t, seen)

	forged := n.Forged()
	l.send(0x0200, rrn, 10000, l.sealed(desk, 64, nil))
	require.True(t, l.proves(desk, l.want(0x0210, "00"), 64))
	l.send(0x0400, rrn, 10000, l.sealed(desk, 64, nil))
	require.True(t, l.proves(desk, l.want(0x0410, "00"), 64))
	l.send(0x0800, "", 0, nil)
	require.False(t, l.want(0x0810, "00").Has(64), "a management message has none")
	require.Equal(t, forged, n.Forged())
	s := ledger.Summary()
	require.Equal(t, []int{1, 1}, []int{s.Charges, s.Returns})
}

func TestMACOfAMessageWithASecondBitmapIsItsLastField(t *testing.T) {
	n, l, desk, _ := sealedNetwork(t, "iso87b")
	original := func(b *iso8583.Builder) {
		b.SetString(90, "020000000706180510120004802210000000000000")
	}
	l.send(0x0400, "516900000001", 10000, func(b *iso8583.Builder) {
		original(b)
		l.sealed(desk, 64, nil)(b)
	})
	l.want(0x0410, "A0")
	l.send(0x0400, "516900000001", 10000, func(b *iso8583.Builder) {
		original(b)
		l.sealed(desk, 128, nil)(b)
	})
	require.True(t, l.proves(desk, l.want(0x0410, "25"), 128))
	require.EqualValues(t, 1, n.Forged())
}

func TestNetworkSpoilsItsOwnMACsByRule(t *testing.T) {
	_, l, desk, ledger := sealedNetwork(t, "cup")
	good := l.sealed(desk, 64, nil)
	ask := func(mti iso8583.MTI, rrn string, amount uint64) { l.send(mti, rrn, amount, good) }

	ask(0x0200, "516900000001", 10046)
	require.True(t, func() bool { m := l.want(0x0210, "00"); return m.Has(64) && !l.proves(desk, m, 64) }(), "wrong")
	ask(0x0200, "516900000002", 10047)
	require.False(t, l.want(0x0210, "00").Has(64), "missing")
	ask(0x0200, "516900000003", 10048)
	require.False(t, l.proves(desk, l.want(0x0210, "00"), 64), "wrong")
	require.True(t, l.proves(desk, l.want(0x0210, "00"), 64), "then right")
	require.Equal(t, 3, ledger.Summary().Charges)

	ask(0x0200, "516900000004", 10049)
	ask(0x0400, "516900000004", 10049)
	require.False(t, l.proves(desk, l.want(0x0410, "00"), 64))
	ask(0x0401, "516900000004", 10049)
	require.True(t, l.proves(desk, l.want(0x0410, "00"), 64))
	require.Equal(t, 1, ledger.Summary().Returns)
}
