// Package hsm is the one door to key material. Behind it stands a module: software, a PKCS#11 token, a vendor's payment
// HSM. In front of it stand terminals, host links and the key commands, none of which ever sees a clear key.
//
// It holds no keys and does no cryptography; switch/keys/soft does, and switch/keys/p11 asks a token to.
//
// The contract of a Module, which hsmtest checks for every implementation:
//
//   - A Key is an opaque handle. What leaves the module of a key is its Info, its check value, a token wrapped under the
//     module's local master key, and an export under another key of the module. Nothing prints a key.
//   - A token is opaque bytes that only a module with the same local master key loads, only with the Bind it was made with,
//     and not at all once a bit of it has changed. A token may lie in a file or a journal: it is as safe as the master key.
//   - Every key has a purpose and an algorithm, which are inside the token and cannot be changed. An operation that they do
//     not allow is refused with ErrPurpose or ErrAlgorithm before the key is touched; the table is Purpose.Allows.
//   - A refused operation appends nothing to dst and changes nothing.
//   - What a module cannot do it refuses with an error that is ErrUnsupported and names the vendor mechanism that it would
//     take. Capabilities says the same beforehand.
//   - All methods are safe for concurrent use. MAC and Verify of a software module allocate nothing; Verify compares in
//     constant time.
//   - Errors name operation, purpose and algorithm, never a key, a PIN, a card number or what was inside a token.
package hsm

import (
	"crypto/subtle"
	"fmt"
)

// Module holds keys and works with them.
type Module interface {
	// Capabilities says what the module can do. It is the same for the life of the module.
	Capabilities() Capabilities

	// Generate draws a key. DES keys get odd parity; weak keys are drawn again.
	Generate(spec Spec) (Key, []byte, error)

	// Form makes a key of two or three components of its length, XOR-ed: the key ceremony, where no one person knows the
	// key. The module wipes neither component; the caller does. A key that is zero or weak is refused with ErrWeak.
	Form(spec Spec, components ...[]byte) (Key, []byte, error)

	// Load takes back a token that Generate, Form, Import or the same module in an earlier process gave. bind is the Spec's.
	// ErrToken: altered, for another bind, or wrapped under a master key that this module does not have.
	Load(bind string, token []byte) (Key, error)

	// Import takes in a key that another party has wrapped under a key that this module holds, as Wrapping says. With
	// WrapECB the wrapped bytes tell nothing about the key, so spec says what it is, and check (1 to 4 bytes) must be
	// the first bytes of its check value: ErrKCV otherwise. With a key block the block says what it is, must agree with spec's
	// purpose, and with its algorithm and length where they are not zero (ErrPurpose, ErrAlgorithm), and check may be empty. With WrapAESKW
	// spec says what the key is, and check may be empty. ErrWrapped: the block's MAC or header, or the wrapped key's, is
	// not right.
	Import(spec Spec, under Key, w Wrapping, wrapped, check []byte) (Key, []byte, error)

	// Export wraps a key under another, as w says: the cryptogram that a terminal gets at sign-on (pos-dialect §5), or a key
	// block. Only an exportable key leaves, never a stronger key under a weaker one (ErrStrength), and hash keys, card keys
	// and master keys never leave.
	Export(k, under Key, w Wrapping) ([]byte, error)

	// MAC appends the whole message authentication code of data to dst: 8 bytes of an 8-byte cipher, 16 of a 16-byte one, the
	// 8 ASCII characters of DE64 for CUPECB, 32 for an HMAC. A link that sends fewer takes the first ones.
	MAC(dst []byte, k Key, a MACAlgorithm, data []byte) ([]byte, error)

	// Verify reports with ErrMAC that mac is not the beginning of data's code. Fewer than 4 bytes are never accepted.
	Verify(k Key, a MACAlgorithm, data, mac []byte) error

	// TranslatePIN appends block, deciphered under from and enciphered under to, to dst. The PIN stays inside. The target
	// always carries the card number and has a zone key; where both formats carry it, it is the same one (ErrPIN): nobody
	// finds a PIN by moving it from card to card. ErrPINBlock: what is inside block is no PIN of that format, DE39 99.
	TranslatePIN(dst []byte, from, to PIN, block []byte) ([]byte, error)
}

// Sealer is a Module that also seals data at rest, under keys of purpose Card.
type Sealer interface {
	Module

	// Seal appends nonce, 12 bytes drawn by the module, ciphertext and tag, 16 bytes, to dst: AES-GCM under an AES key,
	// SM4-GCM under an SM4 key.
	Seal(dst []byte, k Key, plaintext, additional []byte) ([]byte, error)

	// Open appends what Seal has sealed to dst. ErrSealed: altered, or of another key or other additional data.
	Open(dst []byte, k Key, sealed, additional []byte) ([]byte, error)
}

// Key is a handle to one key inside the module that gave it. No other module takes it (ErrKey).
type Key interface {
	// Info is what may be known of the key.
	Info() Info
	// Release tells the module that this handle is not used again; a token's objects are scarce. A second call does
	// nothing, and what has been released is refused with ErrKey.
	Release()
}

// Spec says what key is wanted.
type Spec struct {
	// Bind is what the token belongs to ("terminal/10000001/mak", a record of the key store): Load needs the same.
	Bind       string
	Purpose    Purpose
	Algorithm  Algorithm
	Length     int  // bytes; 0 is Algorithm.DefaultLength
	Exportable bool // may be exported under another key
}

// Check reports what no module can make, with Length filled in.
func (s Spec) Check() (Spec, error) {
	if !s.Purpose.Valid() {
		return s, fmt.Errorf("%w: none is given", ErrPurpose)
	}
	if !s.Algorithm.Valid() {
		return s, fmt.Errorf("%w: none is given", ErrAlgorithm)
	}
	if s.Length == 0 {
		s.Length = s.Algorithm.DefaultLength()
	}
	if !s.Algorithm.ValidLength(s.Length) {
		return s, fmt.Errorf("%w: %s has no key of %d bytes", ErrAlgorithm, s.Algorithm, s.Length)
	}
	if !s.Purpose.takes(s.Algorithm, s.Length) {
		return s, fmt.Errorf("%w: %s keys: none is of %s with %d bytes", ErrAlgorithm, s.Purpose, s.Algorithm, s.Length)
	}
	if s.Exportable && !s.Purpose.Leaves() {
		return s, fmt.Errorf("%w: a %s never leaves the module", ErrPurpose, s.Purpose)
	}
	return s, nil
}

// Combine makes the key of a ceremony's components, which it does not wipe; the caller wipes the result, too. s is checked.
func (s Spec) Combine(components [][]byte) ([]byte, error) {
	if len(components) < 2 || len(components) > 3 {
		return nil, fmt.Errorf("a key is formed of 2 or 3 components, not %d", len(components))
	}
	secret := make([]byte, s.Length)
	for i, c := range components {
		if len(c) != len(secret) {
			clear(secret)
			return nil, fmt.Errorf("%w: component %d has %d bytes, want %d", ErrAlgorithm, i+1, len(c), len(secret))
		}
		subtle.XORBytes(secret, secret, c)
	}
	return secret, nil
}

// KCVSize is the length in bytes of the check value in Info, which pos-dialect §5 sends whole; others send its first 3.
const KCVSize = 4

// Info is what may be known of a key.
type Info struct {
	Purpose    Purpose
	Algorithm  Algorithm
	Length     int // bytes
	Exportable bool
	// KCV is the check value: the first bytes of enciphering a block of zeros; of an HMAC key those of the code of no data.
	KCV [KCVSize]byte
}

// Capabilities says what a module can do.
type Capabilities struct {
	Name     string // for people: "software", "SoftHSM v2.6 slot 3"
	Hardware bool   // keys are inside certified hardware; false is for demonstration
	Keys     []KeyKind
	MACs     []MACAlgorithm
	PINs     []PINFormat // formats that TranslatePIN takes
	Wraps    []Wrapping  // of Import and Export
	Seals    []Algorithm // of Sealer
}

// KeyKind is a sort of key that a module can hold.
type KeyKind struct {
	Algorithm Algorithm
	Length    int // bytes
}
