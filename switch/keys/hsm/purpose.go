package hsm

import "fmt"

// Purpose is what a key may be used for: one thing (PCI PIN 19).
type Purpose uint8

// The purposes. Their numbers stand in tokens and never change.
const (
	TMK  Purpose = iota + 1 // terminal master key: wraps working keys of a terminal
	PIK                     // PIN key of a terminal
	MAK                     // MAC key of a terminal
	TDK                     // track data key of a terminal
	ZMK                     // zone master key: wraps working keys of a host link
	ZPK                     // PIN key of a host link
	ZAK                     // MAC key of a host link
	KBPK                    // key block protection key: wraps keys as TR-31 blocks
	Card                    // seals card data at rest
	Hash                    // hashes what must be found again but not read: persons, cards, serials
	LMK                     // local master key: wraps tokens; the module's own
	purposeEnd
)

var purposeNames = [purposeEnd]string{"", "TMK", "PIK", "MAK", "TDK", "ZMK", "ZPK", "ZAK", "KBPK", "card", "hash", "LMK"}

// Valid reports whether p is a purpose of the list.
func (p Purpose) Valid() bool { return p > 0 && p < purposeEnd }

func (p Purpose) String() string {
	if !p.Valid() {
		return "purpose " + fmt.Sprint(uint8(p))
	}
	return purposeNames[p]
}

// ParsePurpose is the purpose of that name.
func ParsePurpose(name string) (Purpose, error) {
	for p := TMK; p < purposeEnd; p++ {
		if purposeNames[p] == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%w: %q is none of %q", ErrPurpose, name, purposeNames[1:])
}

// Operation is what can be done with a key.
type Operation uint8

// The operations.
const (
	OpMAC     Operation = iota + 1 // make a code
	OpVerify                       // check a code
	OpPINFrom                      // decipher a PIN block that is translated
	OpPINTo                        // encipher it again
	OpECB                          // wrap or unwrap keys by ECB
	OpBlock                        // wrap or unwrap keys as TR-31 blocks
	OpSeal                         // seal or open data at rest
	opEnd
)

var operationNames = [opEnd]string{"", "MAC", "verify", "decipher a PIN", "encipher a PIN", "wrap by ECB", "wrap key blocks", "seal"}

func (o Operation) String() string { return operationNames[o] }

// Allows is the table of key separation.
//
//	MAC               MAK ZAK Hash
//	verify            MAK ZAK
//	decipher a PIN    PIK ZPK
//	encipher a PIN    ZPK
//	wrap by ECB       TMK ZMK
//	wrap key blocks   KBPK
//	seal              Card
func (p Purpose) Allows(o Operation) bool {
	switch o {
	case OpMAC:
		return p == MAK || p == ZAK || p == Hash
	case OpVerify:
		return p == MAK || p == ZAK
	case OpPINFrom:
		return p == PIK || p == ZPK
	case OpPINTo:
		return p == ZPK
	case OpECB:
		return p == TMK || p == ZMK
	case OpBlock:
		return p == KBPK
	case OpSeal:
		return p == Card
	}
	return false
}

// Wraps reports whether a key of purpose p may wrap one of purpose q: terminal keys go under the terminal's master key, link
// keys under the link's, and master keys only into key blocks.
func (p Purpose) Wraps(q Purpose) bool {
	switch p {
	case TMK:
		return q == PIK || q == MAK || q == TDK
	case ZMK:
		return q == ZPK || q == ZAK
	case KBPK:
		return q == TMK || q == PIK || q == MAK || q == TDK || q == ZMK || q == ZPK || q == ZAK
	}
	return false
}

// Leaves reports whether a key of purpose p may be exportable at all.
func (p Purpose) Leaves() bool { return KBPK.Wraps(p) || p == KBPK }

// takes reports whether a key of a purpose may be one of an algorithm and length. Two SM4 keys in one make codes and nothing
// else: no cipher has a key of 32 bytes there. A local master key is a secret of 32 bytes, whatever it wraps with.
func (p Purpose) takes(a Algorithm, length int) bool {
	two := a == SM4 && length == 32
	switch p {
	case Card:
		return a == AES || a == SM4 && !two
	case Hash:
		return a == HMAC
	case MAK, ZAK:
		return true
	case LMK:
		return (a == AES || a == SM4) && length == 32
	case KBPK:
		return a == TDES || a == AES
	}
	return a != HMAC && !two
}

// Allow is the check that opens every operation: the key's purpose must allow it.
func Allow(i Info, o Operation) error {
	if !i.Purpose.Allows(o) {
		return fmt.Errorf("%w: a %s does not %s", ErrPurpose, i.Purpose, o)
	}
	return nil
}

// AllowWrap is the check of Import and Export: k may be wrapped under a key like under, as w says.
func AllowWrap(k, under Info, w Wrapping) error {
	if !w.Valid() {
		return fmt.Errorf("%w: no wrapping is given", ErrAlgorithm)
	}
	op := OpBlock
	if w == WrapECB {
		op = OpECB
	}
	if err := Allow(under, op); err != nil {
		return err
	}
	if !under.Purpose.Wraps(k.Purpose) {
		return fmt.Errorf("%w: a %s does not wrap a %s", ErrPurpose, under.Purpose, k.Purpose)
	}
	switch w {
	case WrapECB:
		same := k.Algorithm == under.Algorithm || k.Algorithm == DES && under.Algorithm == TDES
		if !same {
			return fmt.Errorf("%w: %s does not wrap %s by ECB", ErrAlgorithm, under.Algorithm, k.Algorithm)
		}
	case WrapTR31B:
		if under.Algorithm != TDES {
			return fmt.Errorf("%w: a TR-31 B block is under 3DES, not %s", ErrAlgorithm, under.Algorithm)
		}
	case WrapTR31D:
		if under.Algorithm != AES {
			return fmt.Errorf("%w: a TR-31 D block is under AES, not %s", ErrAlgorithm, under.Algorithm)
		}
	case WrapAESKW:
		if under.Algorithm != AES || k.Length < 16 || k.Length%8 != 0 {
			return fmt.Errorf("%w: AES key wrap takes 16 bytes or more, in eights, under AES; not %s of %d bytes under %s",
				ErrAlgorithm, k.Algorithm, k.Length, under.Algorithm)
		}
	}
	if strength(k) > strength(under) {
		return fmt.Errorf("%w: %s of %d bytes under %s of %d bytes", ErrStrength, k.Algorithm, k.Length, under.Algorithm, under.Length)
	}
	return nil
}

// AllowExport is the check of Export: AllowWrap, of a key that may leave.
func AllowExport(k, under Info, w Wrapping) error {
	if err := AllowWrap(k, under, w); err != nil {
		return err
	}
	if !k.Exportable {
		return fmt.Errorf("%w: a %s", ErrExport, k.Purpose)
	}
	return nil
}

// strength is a key's in bits, by NIST SP 800-57; keys of 3DES count alike, as terminals have them (pos-dialect §5).
func strength(i Info) int {
	switch i.Algorithm {
	case DES:
		return 56
	case TDES:
		return 112
	case SM4:
		return 128
	case AES:
		return 8 * i.Length
	}
	return min(8*i.Length, 128)
}
