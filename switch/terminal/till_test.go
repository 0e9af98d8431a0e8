package terminal

import (
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"encoding/hex"
	"net"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm4"
	"github.com/stretchr/testify/require"

	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// till is a terminal with keys, as its maker would write it from docs/interface/iso8583.md and pos-dialect §5–7: none of the
// switch's own cryptography is in it.
type till struct {
	t      testing.TB
	codec  *iso8583.Codec
	master []byte
	cipher string
	conn   net.Conn
	head   []byte // of the last answer

	pin, mac, data []byte
}

// ecb is a block cipher of a key: DES of 8 bytes, 3DES of 16 and 24, SM4.
func (k *till) ecb(key []byte) cipher.Block {
	var b cipher.Block
	var err error
	switch {
	case k.cipher == "sm4":
		b, err = sm4.NewCipher(key)
	case len(key) == 8:
		b, err = des.NewCipher(key)
	case len(key) == 16:
		b, err = des.NewTripleDESCipher(append(bytes.Clone(key), key[:8]...))
	default:
		b, err = des.NewTripleDESCipher(key)
	}
	require.NoError(k.t, err)
	return b
}

func (k *till) decipher(key, data []byte) []byte {
	b, out := k.ecb(key), make([]byte, len(data))
	for i := 0; i < len(data); i += b.BlockSize() {
		b.Decrypt(out[i:], data[i:i+b.BlockSize()])
	}
	return out
}

func (k *till) encipher(key, data []byte) []byte {
	b, out := k.ecb(key), make([]byte, len(data))
	for i := 0; i < len(data); i += b.BlockSize() {
		b.Encrypt(out[i:], data[i:i+b.BlockSize()])
	}
	return out
}

// take takes DE62 apart: keys of so many bytes, each with the beginning of its check value behind it.
func (k *till) take(field62 []byte, place, check, macSize int) {
	var keys [][]byte
	for len(field62) > 0 {
		cryptogram, kcv := field62[:place], field62[place:place+check]
		size := place
		if len(keys) == 1 {
			size = macSize
			require.Equal(k.t, make([]byte, place-size), cryptogram[size:], "zeros behind a shorter key")
		}
		key := k.decipher(k.master, cryptogram[:size])
		zeros := make([]byte, k.ecb(key).BlockSize())
		require.Equal(k.t, k.encipher(key, zeros)[:check], kcv, "check value of key %d", len(keys))
		keys = append(keys, key)
		field62 = field62[place+check:]
	}
	k.pin, k.mac, k.data = keys[0], keys[1], nil
	if len(keys) > 2 {
		k.data = keys[2]
	}
}

// cupMAC is pos-dialect §7.1 and §7.5.
func (k *till) cupMAC(key, data []byte) []byte {
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

// message is f with its MAC, when the till has a key.
func (k *till) message(f fields) []byte {
	if k.mac == nil {
		return encode(k.t, k.codec, f)
	}
	raw := encode(k.t, k.codec, f.with(fields{64: "0000000000000000"}))
	return append(raw[:len(raw)-8], k.cupMAC(k.mac, raw[:len(raw)-8])...)
}

func (k *till) sendRaw(message []byte) {
	_, err := k.conn.Write(frameOf(k.t, wire.CUP, message))
	require.NoError(k.t, err)
}

func (k *till) receiveRaw() []byte {
	raw := readFrame(k.conn)
	require.NotNil(k.t, raw)
	frame, _, err := wire.CUP.Next(raw, 0)
	require.NoError(k.t, err)
	k.head = bytes.Clone(frame.Header)
	return frame.Message
}

func (k *till) askRaw(message []byte) fields {
	k.sendRaw(message)
	return decode(k.t, k.codec, k.receiveRaw())
}

// ask sends f with its MAC and checks the answer's.
func (k *till) ask(f fields) fields {
	k.sendRaw(k.message(f))
	answer := k.receiveRaw()
	got := decode(k.t, k.codec, answer)
	if got[64] != "" && k.mac != nil {
		require.Equal(k.t, k.cupMAC(k.mac, answer[:len(answer)-8]), answer[len(answer)-8:], "MAC of an answer")
	}
	return got
}

// signOn signs on and takes the keys, if there are any.
func (k *till) signOn(f fields, place, check, macSize int) fields {
	k.sendRaw(encode(k.t, k.codec, f))
	got := decode(k.t, k.codec, k.receiveRaw())
	require.Empty(k.t, got[64])
	if got[39] == "00" {
		raw, err := hex.DecodeString(got[62])
		require.NoError(k.t, err)
		k.take(raw, place, check, macSize)
	}
	return got
}

// pinBlock is DE52 under the till's PIN key: ISO 9564-1 format 0 (pos-dialect §6), drawn out to 16 bytes with sm4.
func (k *till) pinBlock(pin, pan string) string {
	size := 2 * k.ecb(k.pin).BlockSize()
	text := "0" + string(rune('0'+len(pin))) + pin
	block, _ := hex.DecodeString(text + strings.Repeat("F", size-len(text)))
	digits := pan[len(pan)-13 : len(pan)-1]
	number, _ := hex.DecodeString(strings.Repeat("0", size-len(digits)) + digits)
	for i := range block {
		block[i] ^= number[i]
	}
	return strings.ToUpper(hex.EncodeToString(k.encipher(k.pin, block)))
}
