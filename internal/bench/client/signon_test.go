package client

import (
	"bytes"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/bench/seed"
	"huanxin/internal/simulator/secret"
	"huanxin/switch/keys/block"
	"huanxin/switch/keys/mac"
	"huanxin/switch/wire"
)

var (
	master  = bytes.Repeat([]byte{0x13, 0x57, 0x9B, 0xDF}, 4)
	working = bytes.Repeat([]byte{0x02, 0x46, 0x8A, 0xCE}, 4)
)

func padsFor(t *testing.T, n int) []*secret.Pinpad {
	t.Helper()
	book := secret.Book{Terminals: map[string]secret.Terminal{}}
	for i := range n {
		book.Terminals[seed.Terminal(i)] = secret.Terminal{Cipher: "sm4", Master: master, Serial: "S"}
	}
	made, err := book.Pinpads()
	require.NoError(t, err)
	pads := make([]*secret.Pinpad, n)
	for i := range pads {
		pads[i] = made[seed.Terminal(i)]
	}
	return pads
}

// delivery is DE62 with the same key for PINs and MACs.
func delivery(t *testing.T) []byte {
	t.Helper()
	cipher, err := block.New(block.SM4, master)
	require.NoError(t, err)
	under, err := block.New(block.SM4, working)
	require.NoError(t, err)
	one, check := make([]byte, 16), make([]byte, 16)
	cipher.Encrypt(one, working)
	under.Encrypt(check, make([]byte, 16))
	one = append(one, check[:4]...)
	return append(one[:20:20], one...)
}

// signsOn answers sign-ons with a code and DE62.
func signsOn(t *testing.T, code string, keys []byte) string {
	codec := cup(t)
	return serve(t, func(nc *net.TCPConn) {
		var got []byte
		piece := make([]byte, 4096)
		for {
			n, err := nc.Read(piece)
			if err != nil {
				return
			}
			got = append(got, piece[:n]...)
			for {
				f, size, err := wire.CUP.Next(got, 0)
				if err != nil || size == 0 {
					break
				}
				request := read(t, codec, got[:size])
				reply, err := build(codec, 0x0810, map[int][]byte{
					11: request.AppendField(nil, 11), 39: []byte(code), 41: request.AppendField(nil, 41), 62: keys,
				})
				if err != nil || len(f.Message) == 0 {
					return
				}
				got = got[size:]
				_, _ = nc.Write(reply)
			}
		}
	})
}

func TestTerminalsSignOnAndMakeAndCheckMACs(t *testing.T) {
	codec := cup(t)
	const terminals = signOnsAtOnce + 6
	pads := padsFor(t, terminals)
	require.NoError(t, SignOn(t.Context(), signsOn(t, "00", delivery(t)), codec, 0, pads))

	r, err := NewReserves(ReserveConfig{Codec: codec, Slots: terminals, Persons: NewNumbers(0, 9), Barcodes: seed.Programme{}.Barcodes(1), Pads: pads})
	require.NoError(t, err)
	key, err := mac.New(mac.Config{Algorithm: mac.CUPECBSM4}, working)
	require.NoError(t, err)
	for range 2 { // the second is another message in the same frame
		m := read(t, codec, r.Next(terminals-1))
		require.True(t, key.Verify(m.RawUpTo(macField), m.AppendField(nil, macField)))
	}

	good := answer(t, codec, r, terminals-1, "00", "SA01420260101000000S7012000000000042")
	covered, place := macPlaces(good)
	key.Append(place[:0], covered)
	slot, err := r.Slot(good)
	require.NoError(t, err)
	require.Equal(t, terminals-1, slot)
	require.NoError(t, r.Judge(slot, good))
	for _, at := range []int{firstField + 20, len(good) - 1} {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		require.ErrorContains(t, r.Judge(slot, bad), "a wrong MAC")
	}

	require.ErrorContains(t, SignOn(t.Context(), signsOn(t, "A7", nil), codec, 0, pads[:1]), `code "A7"`)
	require.ErrorIs(t, SignOn(t.Context(), signsOn(t, "00", delivery(t)[:39]), codec, 0, pads[:1]), secret.ErrKeys)
}
