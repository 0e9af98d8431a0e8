package catalogue

import (
	"errors"
	"fmt"
)

// ErrGTIN is returned by CheckGTIN for text that is not a barcode number.
var ErrGTIN = errors.New("not a GTIN")

// CheckGTIN accepts a GTIN of 8, 12, 13 or 14 digits with a right check digit (GS1 General Specifications 7.9: weights
// 3 and 1 from the right). All zeros pass the arithmetic but name no product, and are refused.
func CheckGTIN(text string) error {
	switch len(text) {
	case 8, 12, 13, 14:
	default:
		return fmt.Errorf("%w: %q has %d characters, want 8, 12, 13 or 14 digits", ErrGTIN, text, len(text))
	}
	sum, zero := 0, true
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' {
			return fmt.Errorf("%w: %q is not all digits", ErrGTIN, text)
		}
		zero = zero && c == '0'
		weight := 1
		if (len(text)-i)%2 == 0 {
			weight = 3
		}
		sum += int(c-'0') * weight
	}
	if zero {
		return fmt.Errorf("%w: all zeros", ErrGTIN)
	}
	if sum%10 != 0 {
		return fmt.Errorf("%w: %q has a wrong check digit", ErrGTIN, text)
	}
	return nil
}
