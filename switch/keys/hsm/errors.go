package hsm

import (
	"errors"
	"fmt"
)

// What a module refuses. Each is found with errors.Is.
var (
	// ErrUnsupported is returned for what a module cannot do; the error is an *UnsupportedError.
	ErrUnsupported = errors.New("the module cannot do this")
	// ErrPurpose is returned for a key that is not for what it is asked to do.
	ErrPurpose = errors.New("wrong key purpose")
	// ErrAlgorithm is returned for a key of an algorithm or length that does not do what it is asked to do.
	ErrAlgorithm = errors.New("wrong key algorithm")
	// ErrStrength is returned when a key would leave under a weaker one.
	ErrStrength = errors.New("wrapping key is weaker than the key")
	// ErrExport is returned by Export for a key that is not exportable.
	ErrExport = errors.New("key is not exportable")
	// ErrWeak is returned for a key of zeros, a weak DES key, or a 3DES key whose halves are the same.
	ErrWeak = errors.New("weak key")
	// ErrToken is returned by Load for a token that is not one of this module's, or not for this place.
	ErrToken = errors.New("key token does not open")
	// ErrWrapped is returned by Import for a wrapped key that was altered or is malformed.
	ErrWrapped = errors.New("wrapped key does not open")
	// ErrKCV is returned by Import when the check value is another one.
	ErrKCV = errors.New("key check value differs")
	// ErrKey is returned for a key of another module, one that was released, or none.
	ErrKey = errors.New("not a key of this module")
	// ErrMAC is returned by Verify when the code is not the right one.
	ErrMAC = errors.New("MAC differs")
	// ErrPIN is returned for a translation that must not be.
	ErrPIN = errors.New("PIN translation is refused")
	// ErrPINBlock is returned when a deciphered block is no PIN of its format: DE39 99.
	ErrPINBlock = errors.New("PIN block is malformed")
	// ErrSealed is returned by Open for data that was altered, or sealed by another key or for another place.
	ErrSealed = errors.New("sealed data does not open")
)

// UnsupportedError says what a module cannot do and what it would take.
type UnsupportedError struct {
	Operation string // "translate a PIN block"
	Mechanism string // the vendor's, such as "CKM_VENDOR_SM4_ECB" or "payShield command CC"
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%v: %s would take %s", ErrUnsupported, e.Operation, e.Mechanism)
}

// Is makes errors.Is(err, ErrUnsupported) true.
func (e *UnsupportedError) Is(target error) bool { return target == ErrUnsupported }

// Unsupported is the error of an operation that would take mechanism.
func Unsupported(operation, mechanism string) error {
	return &UnsupportedError{Operation: operation, Mechanism: mechanism}
}
