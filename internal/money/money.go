// Package money holds amounts in fen and the only arithmetic that may be done on them: checked addition and
// subtraction, rates in basis points with a named rounding, and splitting whose parts sum exactly.
//
// It knows one currency, renminbi (ISO 4217 numeric 156). It never uses a float: a subsidy is decided to the fen, and
// D5 makes the operator pay for every fen that goes astray.
package money

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Amount is a sum of renminbi in fen (1 yuan = 100 fen). Negative amounts are legal: they are postings in the other
// direction.
type Amount int64

// ErrOverflow is returned when a result does not fit an Amount. No caller may go on with a truncated sum.
var ErrOverflow = errors.New("amount overflows 64 bits")

// ErrSyntax is returned by ParseYuan and ParseN12 for text that is not an amount.
var ErrSyntax = errors.New("not an amount")

// Add returns a + b.
func (a Amount) Add(b Amount) (Amount, error) {
	s := a + b
	if (s > a) != (b > 0) && b != 0 {
		return 0, ErrOverflow
	}
	return s, nil
}

// Sub returns a − b.
func (a Amount) Sub(b Amount) (Amount, error) {
	d := a - b
	if (d < a) != (b > 0) && b != 0 {
		return 0, ErrOverflow
	}
	return d, nil
}

// Min returns the smaller of a and b.
func Min(a, b Amount) Amount {
	if a < b {
		return a
	}
	return b
}

// Rounding says what happens to the part of a fen that a rate leaves over.
type Rounding uint8

const (
	// Truncate drops it (towards zero). It is the default of every programme: the state never pays a fen too much.
	Truncate Rounding = iota
	// HalfUp rounds half a fen away from zero.
	HalfUp
	// HalfEven rounds half a fen to the even neighbour (banker's rounding).
	HalfEven
)

// MulDiv returns a × num ÷ den with one rounding of the exact quotient. num must not be negative, den must be
// positive. A rate of 15 % is MulDiv(15, 100, r) or MulDiv(1500, 10000, r): the result is the same.
func (a Amount) MulDiv(num, den int64, r Rounding) (Amount, error) {
	if num < 0 || den <= 0 {
		return 0, fmt.Errorf("rate %d/%d: numerator must be >= 0 and denominator > 0", num, den)
	}
	negative := a < 0
	magnitude := uint64(a)
	if negative {
		magnitude = -magnitude
	}
	hi, lo := bits.Mul64(magnitude, uint64(num))
	d := uint64(den)
	if hi >= d {
		return 0, ErrOverflow
	}
	q, rem := bits.Div64(hi, lo, d)
	// rem < den <= 2^63-1, so doubling cannot wrap.
	switch twice := rem * 2; {
	case r == HalfUp && twice >= d, r == HalfEven && (twice > d || twice == d && q&1 == 1):
		q++
	}
	if q > math.MaxInt64 {
		return 0, ErrOverflow
	}
	if negative {
		return -Amount(q), nil
	}
	return Amount(q), nil
}

// Split divides a into len(weights) parts in proportion to weights. The parts sum to a exactly: each part is truncated
// towards zero and the fen left over go one each to the parts with the largest remainders, ties to the earlier part.
// dst is reused when it is large enough.
func (a Amount) Split(dst []Amount, weights []int64) ([]Amount, error) {
	var total int64
	for i, w := range weights {
		if w < 0 {
			return nil, fmt.Errorf("weight %d is negative", i)
		}
		if total > math.MaxInt64-w {
			return nil, ErrOverflow
		}
		total += w
	}
	if total == 0 {
		return nil, errors.New("weights sum to zero")
	}
	dst = dst[:0]
	var given Amount
	for _, w := range weights {
		part, err := a.MulDiv(w, total, Truncate)
		if err != nil {
			return nil, err
		}
		given += part
		dst = append(dst, part)
	}
	unit := Amount(1)
	if a < 0 {
		unit = -1
	}
	for given != a {
		best, bestRem := -1, uint64(0)
		for i, w := range weights {
			rem := remainder(a, w, total)
			if dst[i] != mustTruncate(a, w, total) { // already has its extra fen
				continue
			}
			if best < 0 || rem > bestRem {
				best, bestRem = i, rem
			}
		}
		dst[best] += unit
		given += unit
	}
	return dst, nil
}

func remainder(a Amount, w, total int64) uint64 {
	magnitude := uint64(a)
	if a < 0 {
		magnitude = -magnitude
	}
	hi, lo := bits.Mul64(magnitude, uint64(w))
	_, rem := bits.Div64(hi, lo, uint64(total))
	return rem
}

func mustTruncate(a Amount, w, total int64) Amount {
	part, err := a.MulDiv(w, total, Truncate)
	if err != nil {
		panic("split: a share that fitted before overflows now")
	}
	return part
}

// String prints yuan with two decimals, such as "4799.20".
func (a Amount) String() string { return string(a.AppendYuan(nil)) }

// AppendYuan appends a in yuan with two decimals.
func (a Amount) AppendYuan(dst []byte) []byte {
	magnitude := uint64(a)
	if a < 0 {
		dst = append(dst, '-')
		magnitude = -magnitude
	}
	dst = strconv.AppendUint(dst, magnitude/100, 10)
	fen := magnitude % 100
	return append(dst, '.', byte('0'+fen/10), byte('0'+fen%10))
}

// MaxN12 is the largest amount that fits ISO 8583 DE4 (n12).
const MaxN12 Amount = 999_999_999_999

// AppendN12 appends a as the twelve decimal digits of ISO 8583 DE4. a must lie in 0..MaxN12; anything else is a broken
// invariant of the caller, since every amount on its way to a wire has been checked against the ceiling before.
func (a Amount) AppendN12(dst []byte) []byte {
	if a < 0 || a > MaxN12 {
		panic(fmt.Sprintf("amount %d does not fit n12", int64(a)))
	}
	var digits [12]byte
	v := uint64(a)
	for i := 11; i >= 0; i-- {
		digits[i] = byte('0' + v%10)
		v /= 10
	}
	return append(dst, digits[:]...)
}

// ParseN12 reads exactly twelve decimal digits, the content of ISO 8583 DE4.
func ParseN12(text []byte) (Amount, error) {
	if len(text) != 12 {
		return 0, fmt.Errorf("%w: %d digits, want 12", ErrSyntax, len(text))
	}
	var v int64
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%w: not all digits", ErrSyntax)
		}
		v = v*10 + int64(c-'0')
	}
	return Amount(v), nil
}

// ParseYuan reads a non-negative amount in yuan such as "5999", "5999.0" or "5999.00". More than two decimals, signs,
// exponents, separators and empty text are refused.
func ParseYuan(text string) (Amount, error) {
	whole, frac, dotted := strings.Cut(text, ".")
	if !allDigits(whole) || dotted && (!allDigits(frac) || len(frac) > 2) {
		return 0, fmt.Errorf("%w: %q, want yuan with at most two decimals", ErrSyntax, text)
	}
	if len(frac) == 1 {
		frac += "0"
	}
	if frac == "" {
		frac = "00"
	}
	v, err := strconv.ParseInt(whole+frac, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is too large", ErrSyntax, text)
	}
	return Amount(v), nil
}

func allDigits(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
