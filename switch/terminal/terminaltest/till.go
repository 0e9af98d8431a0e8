// Package terminaltest has a terminal with keys, as its maker would write it from docs/interface/iso8583.md and pos-dialect §5–7:
// none of the switch's own cryptography is in it, so that a test of a line with keys tests both ends.
package terminaltest

import (
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm4"
	"github.com/stretchr/testify/require"

	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// A message for people is a map of text forms by field number, the MTI under 0.

// With returns a copy of a message with changes; an empty value takes the field out.
func With(f, changes map[int]string) map[int]string {
	out := map[int]string{}
	for n, v := range f {
		out[n] = v
	}
	for n, v := range changes {
		if out[n] = v; v == "" {
			delete(out, n)
		}
	}
	return out
}

// Till is a terminal on a line of framing cup. It is one goroutine's.
type Till struct {
	T      testing.TB
	Codec  *iso8583.Codec
	Cipher string // des, 3des, sm4
	Master []byte
	Conn   net.Conn
	Header []byte // of the last answer

	PIN, MAC, Data []byte // working keys; nil = it has none
}

var (
	tpdu   = []byte{0x60, 0x00, 0x03, 0x00, 0x01}
	header = []byte{0x60, 0x31, 0x00, 0x31, 0x01, 0x00}
)

// ecb is a block cipher of a key: DES of 8 bytes, 3DES of 16 and 24, SM4.
func (k *Till) ecb(key []byte) cipher.Block {
	var b cipher.Block
	var err error
	switch {
	case k.Cipher == "sm4":
		b, err = sm4.NewCipher(key)
	case len(key) == 8:
		b, err = des.NewCipher(key)
	case len(key) == 16:
		b, err = des.NewTripleDESCipher(append(bytes.Clone(key), key[:8]...))
	default:
		b, err = des.NewTripleDESCipher(key)
	}
	require.NoError(k.T, err)
	return b
}

func (k *Till) decipher(key, data []byte) []byte {
	b, out := k.ecb(key), make([]byte, len(data))
	for i := 0; i < len(data); i += b.BlockSize() {
		b.Decrypt(out[i:], data[i:i+b.BlockSize()])
	}
	return out
}

func (k *Till) encipher(key, data []byte) []byte {
	b, out := k.ecb(key), make([]byte, len(data))
	for i := 0; i < len(data); i += b.BlockSize() {
		b.Encrypt(out[i:], data[i:i+b.BlockSize()])
	}
	return out
}

// Take takes DE62 apart: keys of so many bytes, each with the beginning of its check value behind it.
func (k *Till) Take(field62 []byte, place, check, macSize int) {
	var keys [][]byte
	for len(field62) > 0 {
		cryptogram, kcv := field62[:place], field62[place:place+check]
		size := place
		if len(keys) == 1 {
			size = macSize
			require.Equal(k.T, make([]byte, place-size), cryptogram[size:], "zeros behind a shorter key")
		}
		key := k.decipher(k.Master, cryptogram[:size])
		zeros := make([]byte, k.ecb(key).BlockSize())
		require.Equal(k.T, k.encipher(key, zeros)[:check], kcv, "check value of key %d", len(keys))
		keys = append(keys, key)
		field62 = field62[place+check:]
	}
	k.PIN, k.MAC, k.Data = keys[0], keys[1], nil
	if len(keys) > 2 {
		k.Data = keys[2]
	}
}

// cupMAC is pos-dialect §7.1 and §7.5.
func (k *Till) cupMAC(key, data []byte) []byte {
	size := k.ecb(key).BlockSize()
	sum := make([]byte, size)
	for i, c := range data {
		sum[i%size] ^= c
	}
	text := []byte(strings.ToUpper(hex.EncodeToString(sum)))
	block := k.encipher(key, text[:size])
	for i := range block {
		block[i] ^= text[size+i]
	}
	block = k.encipher(key, block)
	return []byte(strings.ToUpper(hex.EncodeToString(block)))[:8]
}

// Message is f with its MAC, when the till has a key.
func (k *Till) Message(f map[int]string) []byte {
	if k.MAC == nil {
		return k.Encode(f)
	}
	raw := k.Encode(With(f, map[int]string{64: "0000000000000000"}))
	return append(raw[:len(raw)-8], k.cupMAC(k.MAC, raw[:len(raw)-8])...)
}

// SendRaw sends a message as it is.
func (k *Till) SendRaw(message []byte) {
	_, err := k.Conn.Write(k.frame(message))
	require.NoError(k.T, err)
}

// ReceiveRaw returns the next message.
func (k *Till) ReceiveRaw() []byte {
	raw := make([]byte, 2)
	_, err := io.ReadFull(k.Conn, raw)
	require.NoError(k.T, err)
	raw = append(raw, make([]byte, int(raw[0])<<8|int(raw[1]))...)
	_, err = io.ReadFull(k.Conn, raw[2:])
	require.NoError(k.T, err)
	frame, _, err := wire.CUP.Next(raw, 0)
	require.NoError(k.T, err)
	k.Header = bytes.Clone(frame.Header)
	return frame.Message
}

// AskRaw sends a message as it is and returns the answer.
func (k *Till) AskRaw(message []byte) map[int]string {
	k.SendRaw(message)
	return k.Decode(k.ReceiveRaw())
}

// Ask sends f with its MAC and checks the answer's.
func (k *Till) Ask(f map[int]string) map[int]string {
	k.SendRaw(k.Message(f))
	answer := k.ReceiveRaw()
	got := k.Decode(answer)
	if got[64] != "" && k.MAC != nil {
		require.Equal(k.T, k.cupMAC(k.MAC, answer[:len(answer)-8]), answer[len(answer)-8:], "MAC of an answer")
	}
	return got
}

// SignOn signs on and takes the keys, if there are any.
func (k *Till) SignOn(f map[int]string, place, check, macSize int) map[int]string {
	k.SendRaw(k.Encode(f))
	got := k.Decode(k.ReceiveRaw())
	require.Empty(k.T, got[64])
	if got[39] == "00" {
		raw, err := hex.DecodeString(got[62])
		require.NoError(k.T, err)
		k.Take(raw, place, check, macSize)
	}
	return got
}

// PINBlock is DE52 under the till's PIN key: ISO 9564-1 format 0 (pos-dialect §6), drawn out to 16 bytes with sm4.
func (k *Till) PINBlock(pin, pan string) string {
	size := 2 * k.ecb(k.PIN).BlockSize()
	text := "0" + string(rune('0'+len(pin))) + pin
	block, _ := hex.DecodeString(text + strings.Repeat("F", size-len(text)))
	digits := pan[len(pan)-13 : len(pan)-1]
	number, _ := hex.DecodeString(strings.Repeat("0", size-len(digits)) + digits)
	for i := range block {
		block[i] ^= number[i]
	}
	return strings.ToUpper(hex.EncodeToString(k.encipher(k.PIN, block)))
}

// Encode makes the message without framing.
func (k *Till) Encode(f map[int]string) []byte {
	var b iso8583.Builder
	mti, err := hex.DecodeString(f[0])
	require.NoError(k.T, err)
	b.Reset(k.Codec, iso8583.MTI(mti[0])<<8|iso8583.MTI(mti[1]))
	for n, v := range f {
		if n != 0 {
			b.SetText(n, v, false)
		}
	}
	out, err := b.Append(nil)
	require.NoError(k.T, err, "%v", f)
	return out
}

// Decode takes a message apart.
func (k *Till) Decode(message []byte) map[int]string {
	var m iso8583.Message
	require.NoError(k.T, k.Codec.Parse(message, &m))
	f := map[int]string{0: m.MTI().String()}
	for n := m.Next(0); n != 0; n = m.Next(n) {
		text, isHex := m.AppendText(nil, n)
		require.False(k.T, isHex, "field %d", n)
		f[n] = string(text)
	}
	return f
}

func (k *Till) frame(message []byte) []byte {
	out, err := wire.CUP.AppendFrame(nil, tpdu, header, message)
	require.NoError(k.T, err)
	return out
}
