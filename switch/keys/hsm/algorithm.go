package hsm

import (
	"fmt"
	"slices"
)

// Algorithm is the cipher of a key.
type Algorithm uint8

// The algorithms. Their numbers stand in tokens and never change.
const (
	DES  Algorithm = iota + 1 // 8 bytes; MAC keys of old terminals
	TDES                      // 16 or 24 bytes
	AES                       // 16, 24 or 32 bytes
	SM4                       // 16 bytes; 32 for the two keys of SM4Retail and SM4EMAC
	HMAC                      // 16 to 64 bytes
	algorithmEnd
)

var algorithmNames = [algorithmEnd]string{"", "des", "3des", "aes", "sm4", "hmac"}

// Valid reports whether a is an algorithm of the list.
func (a Algorithm) Valid() bool { return a > 0 && a < algorithmEnd }

func (a Algorithm) String() string {
	if !a.Valid() {
		return "algorithm " + fmt.Sprint(uint8(a))
	}
	return algorithmNames[a]
}

// ParseAlgorithm is the algorithm of that name.
func ParseAlgorithm(name string) (Algorithm, error) {
	for a := DES; a < algorithmEnd; a++ {
		if algorithmNames[a] == name {
			return a, nil
		}
	}
	return 0, fmt.Errorf("%w: the name is none of %q", ErrAlgorithm, algorithmNames[1:])
}

// DefaultLength is a key's in bytes where nothing is said.
func (a Algorithm) DefaultLength() int { return [algorithmEnd]int{0, 8, 16, 32, 16, 32}[a] }

// ValidLength reports whether a has keys of n bytes.
func (a Algorithm) ValidLength(n int) bool {
	switch a {
	case DES:
		return n == 8
	case TDES:
		return n == 16 || n == 24
	case AES:
		return n == 16 || n == 24 || n == 32
	case SM4:
		return n == 16 || n == 32
	case HMAC:
		return n >= 16 && n <= 64
	}
	return false
}

// MACAlgorithm is a way to make a message authentication code.
type MACAlgorithm uint8

// The MAC algorithms, with the padding of ISO 9797-1 method 1 (zeros) where they pad at all.
const (
	CUPECB     MACAlgorithm = iota + 1 // pos-dialect §7.1, §7.5: DES, 3DES, SM4 by the key
	X99                                // DES
	X919                               // 3DES of 16 bytes
	TDESCBC                            // 3DES
	TDESCMAC                           // 3DES
	AESCMAC                            // AES
	SM4CBC                             // SM4
	SM4EMAC                            // SM4 of 32 bytes, or of 16 whose second key is derived
	SM4Retail                          // SM4 of 32 bytes
	SM4CMAC                            // SM4
	HMACSM3                            // HMAC
	HMACSHA256                         // HMAC
	macEnd
)

// macNames are those of `huanxin keys mac --alg`.
var macNames = [macEnd]string{
	"", "cup-ecb", "x9.9", "x9.19", "3des-cbc", "3des-cmac", "aes-cmac", "sm4-cbc", "sm4-emac", "sm4-retail", "sm4-cmac",
	"hmac-sm3", "hmac-sha256",
}

// Valid reports whether a is an algorithm of the list.
func (a MACAlgorithm) Valid() bool { return a > 0 && a < macEnd }

func (a MACAlgorithm) String() string {
	if !a.Valid() {
		return "MAC algorithm " + fmt.Sprint(uint8(a))
	}
	return macNames[a]
}

// ParseMAC is the MAC algorithm of that name.
func ParseMAC(name string) (MACAlgorithm, error) {
	for a := CUPECB; a < macEnd; a++ {
		if macNames[a] == name {
			return a, nil
		}
	}
	return 0, fmt.Errorf("%w: the name is none of %q", ErrAlgorithm, macNames[1:])
}

// AllMACs are the MAC algorithms.
func AllMACs() []MACAlgorithm {
	all := make([]MACAlgorithm, 0, macEnd)
	for a := CUPECB; a < macEnd; a++ {
		all = append(all, a)
	}
	return all
}

// Takes reports whether keys like i make codes of a.
func (a MACAlgorithm) Takes(i Info) bool {
	switch a {
	case CUPECB:
		return i.Algorithm == DES || i.Algorithm == TDES || i.Algorithm == SM4 && i.Length == 16
	case X99:
		return i.Algorithm == DES
	case X919:
		return i.Algorithm == TDES && i.Length == 16
	case TDESCBC, TDESCMAC:
		return i.Algorithm == TDES
	case AESCMAC:
		return i.Algorithm == AES
	case SM4CBC, SM4CMAC:
		return i.Algorithm == SM4 && i.Length == 16
	case SM4EMAC:
		return i.Algorithm == SM4
	case SM4Retail:
		return i.Algorithm == SM4 && i.Length == 32
	case HMACSM3, HMACSHA256:
		return i.Algorithm == HMAC
	}
	return false
}

// AllowMAC is the check of MAC (o is OpMAC) and Verify (OpVerify).
func AllowMAC(i Info, o Operation, a MACAlgorithm) error {
	if err := Allow(i, o); err != nil {
		return err
	}
	if !a.Takes(i) {
		return fmt.Errorf("%w: a %s key of %d bytes makes no %s", ErrAlgorithm, i.Algorithm, i.Length, a)
	}
	return nil
}

// PINFormat is the form of a PIN block.
type PINFormat uint8

// The formats.
const (
	ISO0    PINFormat = iota + 1 // ISO 9564-1 format 0, with the card number; 8 bytes, under DES or 3DES
	ISO3                         // format 3, with the card number and random fill
	ISO4                         // format 4, with the card number; 16 bytes, under AES (or SM4, by agreement)
	ISO0SM4                      // format 0 in a block of 16 bytes, under SM4 (pos-dialect §6)
	Bare                         // DE53 digit 1: without the card number; 8 bytes. It is read, never written
	BareSM4                      // the same in a block of 16 bytes, under SM4
	pinEnd
)

var pinNames = [pinEnd]string{"", "iso-0", "iso-3", "iso-4", "iso-0-sm4", "bare", "bare-sm4"}

// Valid reports whether f is a format of the list.
func (f PINFormat) Valid() bool { return f > 0 && f < pinEnd }

func (f PINFormat) String() string {
	if !f.Valid() {
		return "PIN format " + fmt.Sprint(uint8(f))
	}
	return pinNames[f]
}

// ParsePIN is the PIN format of that name.
func ParsePIN(name string) (PINFormat, error) {
	if i := slices.Index(pinNames[1:], name); i >= 0 {
		return PINFormat(i + 1), nil
	}
	return 0, fmt.Errorf("%w: the name is none of %q", ErrPIN, pinNames[1:])
}

// Size is the block's in bytes.
func (f PINFormat) Size() int {
	if f == ISO4 || f == ISO0SM4 || f == BareSM4 {
		return 16
	}
	return 8
}

// WithPAN reports whether the format carries the card number.
func (f PINFormat) WithPAN() bool { return f.Valid() && f != Bare && f != BareSM4 }

func (f PINFormat) takes(a Algorithm) bool {
	switch f {
	case ISO4:
		return a == AES || a == SM4
	case ISO0SM4, BareSM4:
		return a == SM4
	}
	return a == DES || a == TDES
}

// PIN is one side of a translation.
type PIN struct {
	Key    Key
	Format PINFormat
	PAN    []byte // the card number's digits; not looked at where the format has none
}

// String prints no card number.
func (p PIN) String() string { return "PIN block " + p.Format.String() }

// GoString prints no card number.
func (p PIN) GoString() string { return p.String() }

// AllowPIN is the check of TranslatePIN before anything is deciphered.
func AllowPIN(from, to PIN, block []byte) error {
	if from.Key == nil || to.Key == nil {
		return ErrKey
	}
	if !from.Format.Valid() || !to.Format.Valid() {
		return fmt.Errorf("%w: a format is not given", ErrPIN)
	}
	if !to.Format.WithPAN() {
		return fmt.Errorf("%w: %s does not carry the card number, so nothing is translated to it", ErrPIN, to.Format)
	}
	for _, side := range []struct {
		pin PIN
		op  Operation
	}{{from, OpPINFrom}, {to, OpPINTo}} {
		i := side.pin.Key.Info()
		if err := Allow(i, side.op); err != nil {
			return err
		}
		if !side.pin.Format.takes(i.Algorithm) {
			return fmt.Errorf("%w: %s is not under %s", ErrAlgorithm, side.pin.Format, i.Algorithm)
		}
		if side.pin.Format.WithPAN() && !validPAN(side.pin.PAN) {
			return fmt.Errorf("%w: %s takes a card number of 8 to 19 digits", ErrPIN, side.pin.Format)
		}
	}
	if from.Format.WithPAN() && string(from.PAN) != string(to.PAN) {
		return fmt.Errorf("%w: a translation does not change the card number", ErrPIN)
	}
	if len(block) != from.Format.Size() {
		return fmt.Errorf("%w: %d bytes are no block of %s", ErrPINBlock, len(block), from.Format)
	}
	return nil
}

func validPAN(pan []byte) bool {
	for _, c := range pan {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(pan) >= 8 && len(pan) <= 19
}

// Wrapping is how one key lies under another.
type Wrapping uint8

// The wrappings.
const (
	WrapECB   Wrapping = iota + 1 // block by block (pos-dialect §5: 3DES-ECB or SM4-ECB), no header and no MAC
	WrapTR31B                     // TR-31 version B, under 3DES
	WrapTR31D                     // TR-31 version D, under AES
	WrapAESKW                     // AES Key Wrap (RFC 3394, CKM_AES_KEY_WRAP): a MAC, but no header; what every token of PKCS#11 has
	wrapEnd
)

var wrapNames = [wrapEnd]string{"", "ecb", "tr31-b", "tr31-d", "aes-kw"}

// Valid reports whether w is a wrapping of the list.
func (w Wrapping) Valid() bool { return w > 0 && w < wrapEnd }

func (w Wrapping) String() string {
	if !w.Valid() {
		return "wrapping " + fmt.Sprint(uint8(w))
	}
	return wrapNames[w]
}

// ParseWrapping is the wrapping of that name.
func ParseWrapping(name string) (Wrapping, error) {
	if i := slices.Index(wrapNames[1:], name); i >= 0 {
		return Wrapping(i + 1), nil
	}
	return 0, fmt.Errorf("%w: the name is none of %q", ErrAlgorithm, wrapNames[1:])
}
