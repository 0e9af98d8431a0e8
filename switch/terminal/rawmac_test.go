package terminal

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/iso8583"
	"huanxin/switch/keys/mac"
)

// What stands on the wire is under the MAC, and not what it means: terminals pad with F as well as with 0 (pos-dialect §12).
func TestTheMACIsOverTheBytesAsTheyCame(t *testing.T) {
	_, k := one(t, nil)
	key, err := mac.New(mac.Config{Algorithm: mac.CUPECB}, k.MAC)
	require.NoError(t, err)
	seal := func(message []byte) []byte {
		covered := message[: len(message)-8 : len(message)-8]
		return append(covered, key.Append(nil, covered)[:8]...)
	}
	padded := func(message []byte) []byte {
		var m iso8583.Message
		message = bytes.Clone(message)
		require.NoError(t, k.Codec.Parse(message, &m))
		entry := m.Raw(22) // three digits in two bytes: the last nibble says nothing
		require.Equal(t, byte(0), entry[1]&0x0F)
		entry[1] |= 0x0F
		return message
	}
	good := k.Message(paid(1))
	require.Equal(t, good, seal(good), "the test makes MACs as its till does")
	other := padded(good)
	require.NotEqual(t, good, other)
	sealed := seal(other)
	require.NotEqual(t, good[len(good)-8:], sealed[len(sealed)-8:])
	require.Equal(t, "00", k.AskRaw(sealed)[39], "its own pad")
	require.Equal(t, "A0", k.AskRaw(padded(k.Message(paid(2))))[39], "the MAC of the same message, padded otherwise")

	_, k = one(t, nil)
	small := k.Message(paid(3))
	at := len(small) - 8
	copy(small[at:], strings.ToLower(string(small[at:])))
	if bytes.Equal(small, k.Message(paid(3))) { // eight digits without a letter: once in 43
		small = append(small[:at], bytes.Repeat([]byte{'a'}, 8)...)
	}
	require.Equal(t, "A0", k.AskRaw(small)[39], "capitals matter (pos-dialect §7.1)")
}

// Whatever is answered to who has proved himself carries a MAC: yes, no, and what was not understood.
func TestEveryAnswerToAGoodMACCarriesOne(t *testing.T) {
	_, k := one(t, nil)
	for name, c := range map[string]struct {
		request fields
		code    string
	}{
		"an approval":           {paid(1), "00"},
		"its repeat":            {paid(1), "00"},
		"a refusal":             {reserve.with(fields{11: "000031"}), "57"},
		"a reversal":            {reversal.with(fields{11: "000032"}), "25"},
		"a field that is wrong": {paid(4).with(fields{4: ""}), "30"},
		"not served":            {paid(5).with(fields{3: "990000"}), "40"},
	} {
		answer := k.Ask(c.request)
		require.Equal(t, c.code, answer[39], name)
		require.Len(t, answer[64], 16, name) // that it is right Ask has checked
	}
}
