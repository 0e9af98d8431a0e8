package client

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// Every frame of the bench is of the POS line: length, TPDU, header, message.
const (
	lengthSize  = 2
	messageAt   = lengthSize + wire.TPDUSize + wire.HeaderSize
	bitmapAt    = messageAt + 2
	firstField  = bitmapAt + 8
	largestBody = 4096
)

var (
	tpdu   = []byte{0x60, 0x00, 0x03, 0x00, 0x00}
	header = []byte{0x60, 0x31, 0x00, 0x31, 0x01, 0x00}
)

// build makes a frame of fields in canonical form.
func build(codec *iso8583.Codec, mti iso8583.MTI, fields map[int][]byte) ([]byte, error) {
	var b iso8583.Builder
	b.Reset(codec, mti)
	for n, value := range fields {
		b.Set(n, value)
	}
	message, err := b.Append(nil)
	if err != nil {
		return nil, err
	}
	return wire.CUP.AppendFrame(nil, tpdu, header, message)
}

// place finds the one place of value in frame.
func place(frame, value []byte) (int, error) {
	at := bytes.Index(frame, value)
	if at < 0 || bytes.Contains(frame[at+1:], value) {
		return 0, fmt.Errorf("%x does not stand in the frame exactly once", value)
	}
	return at, nil
}

// putBCD writes v in digits/2 bytes.
func putBCD(dst []byte, v uint32) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte(v/10%10)<<4 | byte(v%10)
		v /= 100
	}
}

func readBCD(src []byte) (v uint32) {
	for _, b := range src {
		v = v*100 + uint32(b>>4)*10 + uint32(b&15)
	}
	return v
}

// putDigits writes v zero-filled.
func putDigits(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
}

// readDigits reads decimal digits; ok is false when there is anything else.
func readDigits(src []byte) (v uint64, ok bool) {
	for _, c := range src {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, len(src) > 0
}

// frames takes whole frames off what has arrived.
type frames struct {
	buf        []byte
	start, end int
}

// room is where the next bytes go; at least one frame fits.
func (f *frames) room() []byte {
	if f.start == f.end {
		f.start, f.end = 0, 0
	}
	if len(f.buf)-f.end < largestBody {
		f.end = copy(f.buf, f.buf[f.start:f.end])
		f.start = 0
	}
	return f.buf[f.end:]
}

func (f *frames) arrived(n int) { f.end += n }

// next is the next whole frame, length included; nil when there is none.
func (f *frames) next() ([]byte, error) {
	have := f.end - f.start
	if have < lengthSize {
		return nil, nil
	}
	total := lengthSize + int(binary.BigEndian.Uint16(f.buf[f.start:]))
	if total < firstField || total > largestBody {
		return nil, fmt.Errorf("frame of %d bytes", total)
	}
	if have < total {
		return nil, nil
	}
	frame := f.buf[f.start : f.start+total]
	f.start += total
	return frame, nil
}
