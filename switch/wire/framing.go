package wire

import (
	"errors"
	"fmt"
)

// Framing says how messages follow one another on a byte stream: how the length is written, and which routing bytes
// stand between length and message. It is a value of configuration, one per listening port or host link.
//
//	cup     LL LL | 60 DD DD SS SS | HH×6 | message     length binary, counts everything after itself
//	nac     LL LL | 60 DD DD SS SS | message            length binary, counts TPDU and message
//	ncc     LL LL | 60 DD DD SS SS | message            length four BCD digits
//	ascii4  "0126" | message                            length four ASCII digits
//	raw2    LL LL | message                             length binary
//	raw4    LL LL LL LL | message                       length binary
//
// Binary lengths are big-endian. cup is the UnionPay POS line; the others are jPOS' NACChannel, NCCChannel,
// ASCIIChannel, PostChannel and RawChannel.
type Framing uint8

// The framings. The zero Framing is none of them, so that a forgotten setting is noticed.
const (
	CUP Framing = iota + 1
	NAC
	NCC
	ASCII4
	Raw2
	Raw4
)

// Sizes of the routing bytes.
const (
	TPDUSize   = 5 // 60, destination, source
	HeaderSize = 6 // 12 nibbles; letters are seen in the last six, so nothing requires digits
)

// DefaultMaxFrame is the largest frame accepted where the configuration names none. Length bytes are counted.
const DefaultMaxFrame = 4096

// tpduID is the first byte of every TPDU of the POS family.
const tpduID = 0x60

// The ways a frame can be wrong, beside ErrOversized. They carry no detail, so that refusing costs nothing and each can
// be a counter's label. None of them can be recovered from: where the next frame would begin is unknown, so the
// connection is closed.
var (
	// ErrLength is returned when the length field is no number in its own notation.
	ErrLength = errors.New("malformed length field")
	// ErrShort is returned when the announced length cannot hold the framing's TPDU and header and a byte of message.
	ErrShort = errors.New("length too small for TPDU, header and message")
	// ErrTPDU is returned when the TPDU does not begin with 60, as soon as that byte has come.
	ErrTPDU = errors.New("malformed TPDU")
)

// Frame is one frame taken apart. The slices point into the buffer given to Next. TPDU and Header are nil where the
// framing has none. A frame without Message is a keep-alive.
type Frame struct {
	TPDU    []byte
	Header  []byte
	Message []byte
}

// KeepAlive tells whether the frame is a bare zero length, which peers on ascii4, raw2 and raw4 send to probe the line.
// The customary reaction is to send the same bytes back.
func (f Frame) KeepAlive() bool { return len(f.Message) == 0 }

// ParseFraming returns the framing of a configured name.
func ParseFraming(name string) (Framing, error) {
	for f := CUP; f <= Raw4; f++ {
		if f.String() == name {
			return f, nil
		}
	}
	return 0, fmt.Errorf("unknown framing %q: one of cup, nac, ncc, ascii4, raw2, raw4", name)
}

// String returns the configured name.
func (f Framing) String() string {
	switch f {
	case CUP:
		return "cup"
	case NAC:
		return "nac"
	case NCC:
		return "ncc"
	case ASCII4:
		return "ascii4"
	case Raw2:
		return "raw2"
	case Raw4:
		return "raw4"
	}
	return "unknown"
}

// LengthSize returns the size of the length field in bytes.
func (f Framing) LengthSize() int {
	if f == ASCII4 || f == Raw4 {
		return 4
	}
	return 2
}

// TPDU tells whether frames carry a TPDU.
func (f Framing) TPDU() bool { return f == CUP || f == NAC || f == NCC }

// Header tells whether frames carry the six header bytes of the POS line.
func (f Framing) Header() bool { return f == CUP }

// Next takes the first frame off buf. n is the number of bytes it used; n = 0 without an error means that the frame is
// not complete yet: read more behind the same bytes and call again. What can be refused is refused before the body has
// come, so a buffer of max bytes is always enough. max limits the whole frame, length field included; 0 stands for
// DefaultMaxFrame. Nothing is allocated.
//
// Errors: ErrLength, ErrOversized, ErrShort, ErrTPDU.
func (f Framing) Next(buf []byte, max int) (frame Frame, n int, err error) {
	total, err := f.frameSize(buf, max)
	if err != nil || total == 0 || total > len(buf) {
		return Frame{}, 0, err
	}
	return f.split(buf[f.LengthSize():total]), total, nil
}

// frameSize returns the size of the frame that buf begins with, length field included, or 0 when buf is too short to
// tell. The rest of the frame need not be there yet.
func (f Framing) frameSize(buf []byte, max int) (total int, err error) {
	if max <= 0 {
		max = DefaultMaxFrame
	}
	size := f.LengthSize()
	body, err := f.Length(buf)
	if err != nil || len(buf) < size {
		return 0, err
	}
	if body > max-size {
		return 0, ErrOversized
	}
	if body == 0 && !f.TPDU() {
		return size, nil
	}
	if body <= f.routing() {
		return 0, ErrShort
	}
	if f.TPDU() && len(buf) > size && buf[size] != tpduID {
		return 0, ErrTPDU
	}
	return size + body, nil
}

// AppendFrame appends a frame to dst. tpdu and header must be there, with their full size, exactly when the framing
// carries them. An empty message makes a keep-alive where the framing knows one. On error dst is returned unchanged.
func (f Framing) AppendFrame(dst, tpdu, header, message []byte) ([]byte, error) {
	if want := sizeIf(f.TPDU(), TPDUSize); len(tpdu) != want {
		return dst, fmt.Errorf("framing %v takes a TPDU of %d bytes, given %d", f, want, len(tpdu))
	}
	if want := sizeIf(f.Header(), HeaderSize); len(header) != want {
		return dst, fmt.Errorf("framing %v takes a header of %d bytes, given %d", f, want, len(header))
	}
	if len(tpdu) > 0 && tpdu[0] != tpduID {
		return dst, ErrTPDU
	}
	if len(message) == 0 && f.TPDU() {
		return dst, ErrShort
	}
	out, err := f.appendLength(dst, len(tpdu)+len(header)+len(message))
	if err != nil {
		return dst, err
	}
	out = append(out, tpdu...)
	out = append(out, header...)
	return append(out, message...), nil
}

// AppendSwapped appends tpdu with destination and source exchanged, as a network access controller expects it in the
// answer. Many POS hosts answer it unchanged instead: it is a setting of the port.
func AppendSwapped(dst, tpdu []byte) []byte {
	if len(tpdu) != TPDUSize {
		return append(dst, tpdu...)
	}
	return append(dst, tpdu[0], tpdu[3], tpdu[4], tpdu[1], tpdu[2])
}

// routing is the number of bytes between length field and message.
func (f Framing) routing() int {
	return sizeIf(f.TPDU(), TPDUSize) + sizeIf(f.Header(), HeaderSize)
}

func (f Framing) split(body []byte) (frame Frame) {
	if f.TPDU() {
		frame.TPDU, body = body[:TPDUSize:TPDUSize], body[TPDUSize:]
	}
	if f.Header() {
		frame.Header, body = body[:HeaderSize:HeaderSize], body[HeaderSize:]
	}
	frame.Message = body[:len(body):len(body)]
	return frame
}

// Length reads the length field that buf begins with: the number of bytes that follow it. Where the field is not
// complete yet the number means nothing, but a bad digit is reported. The error is ErrLength.
func (f Framing) Length(buf []byte) (int, error) {
	if len(buf) > f.LengthSize() {
		buf = buf[:f.LengthSize()]
	}
	n := 0
	for _, b := range buf {
		switch f {
		case ASCII4:
			if b < '0' || b > '9' {
				return 0, ErrLength
			}
			n = n*10 + int(b-'0')
		case NCC:
			if b>>4 > 9 || b&0x0f > 9 {
				return 0, ErrLength
			}
			n = n*100 + int(b>>4)*10 + int(b&0x0f)
		default:
			n = n<<8 | int(b)
		}
	}
	return n, nil
}

func (f Framing) appendLength(dst []byte, n int) ([]byte, error) {
	limit := 0xffff
	switch f {
	case NCC, ASCII4:
		limit = 9999
	case Raw4:
		limit = 1<<31 - 1
	}
	if n > limit {
		return dst, ErrOversized
	}
	switch f {
	case NCC:
		return append(dst, byte(n/1000<<4|n/100%10), byte(n/10%10<<4|n%10)), nil
	case ASCII4:
		return append(dst, byte('0'+n/1000), byte('0'+n/100%10), byte('0'+n/10%10), byte('0'+n%10)), nil
	case Raw4:
		return append(dst, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), nil
	}
	return append(dst, byte(n>>8), byte(n)), nil
}

func sizeIf(present bool, size int) int {
	if present {
		return size
	}
	return 0
}
