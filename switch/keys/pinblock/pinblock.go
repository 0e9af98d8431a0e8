// Package pinblock makes, opens and translates PIN blocks: ISO 9564-1 formats 0, 3 and 4, the 16-byte form of format 0
// that goes with SM4, and UnionPay's form without the PAN.
//
// It holds no key and draws no randomness of its own. PINs are digits in a []byte of the caller's, who wipes it; no clear PIN
// or clear block outlives a call in memory of this package, and none is ever in an error. A translation opens one block
// and seals another without giving the PIN out (Translate): this is what the inside of a security module does, and nothing
// else may call it.
package pinblock

import (
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Format is a way to lay out PIN and PAN.
type Format uint8

// The formats. P is a digit of the PIN, L how many there are, A one of the twelve right-most digits of the PAN without its
// check digit, zeros before them if there are fewer.
const (
	ISO0     Format = iota + 1 // 0LPPPP(P/F)…FF xor 0000AAAAAAAAAAAA; ISO 9564-1 §9.3.2, ANSI X9.8
	ISO3                       // the same, filled with random A to F; §9.3.5
	ISO4                       // 4LPPPP(P/A)…AA + 8 random bytes, E(E(that) xor the whole PAN with its length); §9.4.2
	Wide0                      // ISO0 over 16 bytes: filled with F, the PAN's digits right-most; SM4 on UnionPay's links
	Bare                       // 0LPPPP(P/F)…FF without PAN; field 53 begins with 1 (pos-dialect §6). Never translated into
	BareWide                   // Bare over 16 bytes
	formatEnd
)

var formatNames = [formatEnd]string{"", "iso-0", "iso-3", "iso-4", "iso-0-wide", "no-pan", "no-pan-wide"}

// Errors of this package. None quotes a PIN, a PAN or a block.
var (
	// ErrFormat is returned when a format is not known, or the cipher's blocks have not its length.
	ErrFormat = errors.New("unknown PIN block format")
	// ErrPIN is returned when a PIN is not 4 to 12 digits.
	ErrPIN = errors.New("a PIN has 4 to 12 digits")
	// ErrPAN is returned when a PAN is not 1 to 19 digits, or in a translation not 8 to 19.
	ErrPAN = errors.New("wrong length of a PAN, or not all digits")
	// ErrBlock is returned when an opened block is none of its format: the key, the PAN or the format is another one.
	// The terminal gets 99.
	ErrBlock = errors.New("not a PIN block of this format under this key and PAN")
	// ErrNoPAN is returned when a block without the PAN is to be made: two cards with one PIN would show the same block.
	ErrNoPAN = errors.New("no translation into a PIN block without the PAN")
	// ErrPANChange is returned when a translation would bind the PIN to another PAN, which ISO 9564-1 leaves to the issuing
	// of cards: it would let anybody ask whether two cards have one PIN.
	ErrPANChange = errors.New("no translation to another PAN")
	// ErrFill is returned when a given fill has no hexadecimal digits, or for format 3 one that is not A to F.
	ErrFill = errors.New("wrong fill of a PIN block")
)

// Lengths of PINs and PANs in digits.
const (
	MinPIN, MaxPIN = 4, 12
	minPAN, maxPAN = 8, 19 // ISO/IEC 7812-1; of fewer digits too little would enter the block to tell cards apart
)

// ParseFormat is the format of that name, which is what String gives.
func ParseFormat(name string) (Format, error) {
	for f := ISO0; f < formatEnd; f++ {
		if formatNames[f] == name {
			return f, nil
		}
	}
	return 0, fmt.Errorf("%w %q: want one of %q", ErrFormat, name, formatNames[1:])
}

func (f Format) String() string {
	if f.valid() {
		return formatNames[f]
	}
	return fmt.Sprintf("format(%d)", uint8(f))
}

func (f Format) valid() bool { return f > 0 && f < formatEnd }

// Size is the length of a block in bytes, which is also that of its cipher's blocks.
func (f Format) Size() int {
	if f == ISO4 || f == Wide0 || f == BareWide {
		return 16
	}
	return 8
}

// HasPAN reports whether the block is bound to a PAN.
func (f Format) HasPAN() bool { return f != Bare && f != BareWide }

// Random reports whether a part of the block is random.
func (f Format) Random() bool { return f == ISO3 || f == ISO4 }

// Fill is where the random parts of a block come from.
type Fill struct {
	random io.Reader
	fixed  []byte // nibbles
}

// RandomFill draws from random, which in production is crypto/rand.Reader.
func RandomFill(random io.Reader) Fill { return Fill{random: random} }

// FixedFill takes the digits of hex, from the left and again from its beginning if they are too few: for test vectors.
func FixedFill(hex string) (Fill, error) {
	f := Fill{fixed: make([]byte, len(hex))}
	for i := range len(hex) {
		switch c := hex[i]; {
		case c >= '0' && c <= '9':
			f.fixed[i] = c - '0'
		case c >= 'A' && c <= 'F':
			f.fixed[i] = c - 'A' + 10
		case c >= 'a' && c <= 'f':
			f.fixed[i] = c - 'a' + 10
		default:
			return Fill{}, fmt.Errorf("%w: want hexadecimal digits", ErrFill)
		}
	}
	if len(hex) == 0 {
		return Fill{}, fmt.Errorf("%w: want hexadecimal digits", ErrFill)
	}
	return f, nil
}

// nibbles writes one nibble a byte; for format 3 each is from A to F, all equally likely.
func (f Fill) nibbles(dst []byte, letters bool) error {
	for i := 0; i < len(dst); {
		if f.fixed != nil {
			dst[i] = f.fixed[i%len(f.fixed)]
			if letters && dst[i] < 10 {
				return fmt.Errorf("%w: format 3 fills with A to F", ErrFill)
			}
			i++
			continue
		}
		if f.random == nil {
			return fmt.Errorf("%w: nothing to draw from", ErrFill)
		}
		if _, err := io.ReadFull(f.random, dst[i:i+1]); err != nil {
			return fmt.Errorf("draw the fill of a PIN block: %w", err)
		}
		switch {
		case !letters:
			dst[i] &= 15
			i++
		case dst[i] < 252: // the largest multiple of 6
			dst[i] = 10 + dst[i]%6
			i++
		}
	}
	return nil
}

// work is the memory of one call. It lies wiped in a pool between calls, because what is handed to a cipher through an
// interface cannot be on the stack.
type work struct {
	block   [16]byte // a clear block
	pan     [16]byte // what the PAN contributes
	pin     [MaxPIN]byte
	digits  int // of pin
	nibbles [16]byte
}

var works = sync.Pool{New: func() any { return new(work) }}

func (w *work) release() {
	*w = work{}
	works.Put(w)
}

// AppendClear appends the block before it is enciphered. For ISO4 this is the plain PIN field, into which the PAN does
// not enter.
func AppendClear(dst []byte, f Format, pin, pan []byte, fill Fill) ([]byte, error) {
	w := works.Get().(*work)
	defer w.release()
	if err := w.take(pin); err != nil {
		return dst, err
	}
	if err := w.lay(f, pan, fill); err != nil {
		return dst, err
	}
	return append(dst, w.block[:f.Size()]...), nil
}

// Encipher appends the block under b.
func Encipher(dst []byte, f Format, b cipher.Block, pin, pan []byte, fill Fill) ([]byte, error) {
	w := works.Get().(*work)
	defer w.release()
	if err := w.take(pin); err != nil {
		return dst, err
	}
	return w.seal(dst, f, b, pan, fill)
}

// Decipher appends the digits of the PIN in the block src.
func Decipher(dst []byte, f Format, b cipher.Block, src, pan []byte) ([]byte, error) {
	w := works.Get().(*work)
	defer w.release()
	if err := w.open(f, b, src, pan); err != nil {
		return dst, err
	}
	return append(dst, w.pin[:w.digits]...), nil
}

func (w *work) take(pin []byte) error {
	if len(pin) < MinPIN || len(pin) > MaxPIN || !isDigits(pin) {
		return ErrPIN
	}
	w.digits = copy(w.pin[:], pin)
	return nil
}

func isDigits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func fits(f Format, b cipher.Block) error {
	if !f.valid() {
		return fmt.Errorf("%w: %s", ErrFormat, f)
	}
	if b.BlockSize() != f.Size() {
		return fmt.Errorf("%w: %s has %d bytes, its cipher blocks of %d", ErrFormat, f, f.Size(), b.BlockSize())
	}
	return nil
}

// lay makes the clear block of w.pin in w.block.
func (w *work) lay(f Format, pan []byte, fill Fill) error {
	if !f.valid() {
		return fmt.Errorf("%w: %s", ErrFormat, f)
	}
	if err := w.layPAN(f, pan); err != nil {
		return err
	}
	all := w.block[:f.Size()]
	control, filler := byte(0), byte(0xF)
	switch f {
	case ISO3:
		control = 3
	case ISO4:
		control, filler = 4, 0xA
	}
	for i := range all {
		all[i] = filler<<4 | filler
	}
	put(all, 0, control)
	put(all, 1, byte(w.digits))
	for i, c := range w.pin[:w.digits] {
		put(all, 2+i, c-'0')
	}
	if f.Random() {
		from := 2 + w.digits // ISO3: behind the PIN
		if f == ISO4 {
			from = 16 // the second half
		}
		random := w.nibbles[:2*len(all)-from]
		if err := fill.nibbles(random, f == ISO3); err != nil {
			return err
		}
		for i, n := range random {
			put(all, from+i, n)
		}
	}
	if f != ISO4 {
		subtle.XORBytes(all, all, w.pan[:len(all)])
	}
	return nil
}

// layPAN makes what the PAN contributes in w.pan.
func (w *work) layPAN(f Format, pan []byte) error {
	if !f.HasPAN() {
		return nil
	}
	if len(pan) == 0 || len(pan) > maxPAN || !isDigits(pan) {
		return ErrPAN
	}
	at, digits := 0, pan
	if f == ISO4 { // M, the digits beyond twelve; then the whole PAN, zeros before it up to twelve digits, zeros behind it
		put(w.pan[:], 0, byte(max(len(pan), 12)-12))
		at = 1 + max(12-len(pan), 0)
	} else {
		digits = pan[:len(pan)-1]
		digits = digits[max(len(digits)-12, 0):]
		at = 2*f.Size() - len(digits)
	}
	for i, c := range digits {
		put(w.pan[:], at+i, c-'0')
	}
	return nil
}

// seal enciphers the block of w.pin.
func (w *work) seal(dst []byte, f Format, b cipher.Block, pan []byte, fill Fill) ([]byte, error) {
	if err := fits(f, b); err != nil {
		return dst, err
	}
	if err := w.lay(f, pan, fill); err != nil {
		return dst, err
	}
	all := w.block[:f.Size()]
	b.Encrypt(all, all)
	if f == ISO4 {
		subtle.XORBytes(all, all, w.pan[:])
		b.Encrypt(all, all)
	}
	return append(dst, all...), nil
}

// open deciphers src into w.pin. Everything in it that is known beforehand is checked.
func (w *work) open(f Format, b cipher.Block, src, pan []byte) error {
	if err := fits(f, b); err != nil {
		return err
	}
	if len(src) != f.Size() {
		return fmt.Errorf("%w: %d bytes, want %d", ErrBlock, len(src), f.Size())
	}
	if err := w.layPAN(f, pan); err != nil {
		return err
	}
	all := w.block[:f.Size()]
	b.Decrypt(all, src)
	subtle.XORBytes(all, all, w.pan[:len(all)])
	control, filler := byte(0), byte(0xF)
	switch f {
	case ISO3:
		control = 3
	case ISO4:
		b.Decrypt(all, all)
		control, filler = 4, 0xA
		all = all[:8] // the rest is random
	}
	digits := int(get(all, 1))
	good := get(all, 0) == control && digits >= MinPIN && digits <= MaxPIN
	for i := 2; i < 2*len(all); i++ {
		n := get(all, i)
		switch {
		case i < 2+digits:
			good = good && n <= 9
			if i-2 < MaxPIN {
				w.pin[i-2] = '0' + n
			}
		case f == ISO3:
			good = good && n >= 10
		default:
			good = good && n == filler
		}
	}
	if !good {
		return ErrBlock
	}
	w.digits = digits
	return nil
}

func put(all []byte, at int, nibble byte) {
	if at%2 == 0 {
		all[at/2] = all[at/2]&0x0F | nibble<<4
	} else {
		all[at/2] = all[at/2]&0xF0 | nibble
	}
}

func get(all []byte, at int) byte {
	if at%2 == 0 {
		return all[at/2] >> 4
	}
	return all[at/2] & 15
}
