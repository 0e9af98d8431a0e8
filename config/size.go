package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. In the file it is a whole number with one of the units B, KiB, MiB, GiB: 64KiB.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}}

// ParseSize reads a size. A bare number is refused: nobody should have to guess the unit.
func ParseSize(text string) (Size, error) {
	for _, unit := range sizeUnits {
		digits, found := strings.CutSuffix(text, unit.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/unit.bytes {
			break
		}
		return Size(n * unit.bytes), nil
	}
	return 0, fmt.Errorf("%q is not a size: want a whole number and a unit, such as 64KiB, 512MiB or 8GiB", text)
}

// String writes the size with the largest unit that leaves no remainder.
func (s Size) String() string {
	best, unit := int64(s), "B"
	for _, u := range sizeUnits[:3] {
		if s != 0 && int64(s)%u.bytes == 0 {
			best, unit = int64(s)/u.bytes, u.suffix
		}
	}
	return strconv.FormatInt(best, 10) + unit
}
