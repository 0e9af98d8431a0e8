package hsmtest

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/keys/hsm"
)

const sale = "0x0200702404C020C09811166224240000000017000000000000399900000003301202100006356224240000000017D30122201000000000003130303030303031383938323231303537323230303031313536FA36989B212B59502600000000000000001322000001000500"

// known are codes of the standards' examples, and of pos-dialect §7.
var known = []struct {
	algorithm hsm.MACAlgorithm
	cipher    hsm.Algorithm
	key       string
	data      string // hex when it begins with 0x
	code      string // hex; of CUPECB the characters themselves
}{
	// The constructed sale of pos-dialect §8, MTI to DE63.
	{hsm.CUPECB, hsm.DES, "5BB5C72CD00B7338", sale, "3744364235453036"},
	{hsm.X99, hsm.DES, "0123456789ABCDEF", "7654321 Now is the time for ", "F1D30F6849312CA4"},              // FIPS 113
	{hsm.X99, hsm.DES, "0123456789ABCDEF", "Now is the time for all", "16F701C8825E1D8A"},                   // pos-dialect §7
	{hsm.X919, hsm.TDES, "0123456789ABCDEFFEDCBA9876543210", "Now is the time for all", "4BAD7FBB7CA1B803"}, // pos-dialect §7
	{hsm.X919, hsm.TDES, "0123456789ABCDEFFEDCBA9876543210", "Now is the time for it", "2E2B1428CC78254F"},  // ISO 9797-1 annex B
	{hsm.TDESCMAC, hsm.TDES, "8AA83BF8CBDA10620BC1BF19FBB6CD58BC313D4A371CA8B5", "", "B7A688E122FFAF95"},    // SP 800-38B D.4
	{hsm.AESCMAC, hsm.AES, "2B7E151628AED2A6ABF7158809CF4F3C", "", "BB1D6929E95937287FA37D129B756746"},      // RFC 4493
	{hsm.AESCMAC, hsm.AES, "603DEB1015CA71BE2B73AEF0857D77811F352C073B6108D72D9810A30914DFF4", "", "028962F61B7BF89EFC6B551F4667D983"},
	{hsm.SM4CMAC, hsm.SM4, "0123456789ABCDEFFEDCBA9876543210", "This is the test message for mac", "692C437100F3B5EE2B8ABCEF373D990C"},                     // GB/T 15852.1
	{hsm.HMACSHA256, hsm.HMAC, "0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B", "Hi There", "B0344C61D8DB38535CA8AFCEAF0BF12B881DC200C9833DA726E9376C2E32CFF7"}, // RFC 4231
}

func codes(t *testing.T, m Modules) {
	b := open(t, m)
	for _, c := range known {
		if !b.makes(c.algorithm) || !b.holds(c.cipher, len(c.key)/2) {
			continue
		}
		k := b.form(hsm.MAK, c.cipher, c.key)
		data := []byte(c.data)
		if text, ok := strings.CutPrefix(c.data, "0x"); ok {
			data = bytesOf(t, text)
		}
		code := must(b.MAC([]byte("x"), k, c.algorithm, data))(t)
		require.Equal(t, "x"+string(bytesOf(t, c.code)), string(code), "%s %q", c.algorithm, c.data)
		require.NoError(t, b.Verify(k, c.algorithm, data, code[1:]))
	}
	for _, a := range b.can.MACs {
		k := b.keyFor(a)
		for _, n := range []int{0, 1, 7, 8, 9, 15, 16, 17, 300} {
			data := bytes.Repeat([]byte{0xA5}, n)
			code := must(b.MAC(nil, k, a, data))(t)
			require.NoError(t, b.Verify(k, a, data, code), "%s of %d bytes", a, n)
			require.NoError(t, b.Verify(k, a, data, code[:4]), "%s of %d bytes, the first 4", a, n)
		}
	}
}

func changedCode(t *testing.T, m Modules) {
	b := open(t, m)
	for _, a := range b.can.MACs {
		k, data := b.keyFor(a), []byte("0200 one message of a terminal")
		code := must(b.MAC(nil, k, a, data))(t)
		for i := range code {
			changed := slices.Clone(code)
			changed[i] ^= 0x10
			require.ErrorIs(t, b.Verify(k, a, data, changed), hsm.ErrMAC, "%s byte %d", a, i)
		}
		for i := range data {
			changed := slices.Clone(data)
			changed[i] ^= 1
			require.ErrorIs(t, b.Verify(k, a, changed, code), hsm.ErrMAC, "%s byte %d of the data", a, i)
		}
		require.ErrorIs(t, b.Verify(b.keyFor(a), a, data, code), hsm.ErrMAC, "%s under another key", a)
		require.ErrorIs(t, b.Verify(k, a, data, append(slices.Clone(code), 0)), hsm.ErrMAC, "%s too long", a)
		for n := range 4 {
			require.ErrorIs(t, b.Verify(k, a, data, code[:n]), hsm.ErrMAC, "%s of %d bytes", a, n)
		}
		for _, other := range hsm.AllMACs() {
			if !other.Takes(k.Info()) {
				_, err := b.MAC(nil, k, other, data)
				require.Error(t, err, "%s with a key for %s", other, a)
			}
		}
	}
}

func concurrent(t *testing.T, m Modules) {
	b := open(t, m)
	a, ok := anyMAC(b)
	require.True(t, ok)
	k := b.keyFor(a)
	var callers sync.WaitGroup
	wrong := make([]error, 16)
	want := make([][]byte, len(wrong))
	for i := range wrong {
		want[i] = must(b.MAC(nil, k, a, bytes.Repeat([]byte{byte(i)}, 40)))(t)
	}
	for i := range wrong {
		callers.Go(func() {
			for range 50 {
				if err := b.Verify(k, a, bytes.Repeat([]byte{byte(i)}, 40), want[i]); err != nil {
					wrong[i] = err
				}
			}
		})
	}
	callers.Wait()
	for i, err := range wrong {
		require.NoError(t, err, "caller %d", i)
	}
}
