package iso8583

import "strings"

// Masked tells whether field n is never shown in clear: card number, tracks, PIN block, chip data, the tags with codes
// and serial numbers, working keys. (PCI DSS 3.4: at most the first six and last four digits of a card number.)
func Masked(n int) bool {
	switch n {
	case 2, 35, 36, 45, 52, 55, 59, 62:
		return true
	}
	return false
}

// Mask returns the text form of field n fit to be shown: a card number as its first six and last four digits, track 2
// as its masked card number with the rest of it blanked, the other masked fields blanked. A blank is '*', one for each
// character, so that lengths stay visible. Fields that are not masked come back as they are.
func Mask(n int, value string) string {
	switch {
	case !Masked(n):
		return value
	case n == 2:
		return maskPAN(value)
	case n == 35:
		if pan, rest, ok := strings.Cut(value, "D"); ok {
			return maskPAN(pan) + "D" + blank(rest)
		}
	}
	return blank(value)
}

// maskPAN blanks a number of fewer than 13 digits altogether: 6 + 4 of it would leave too little hidden.
func maskPAN(pan string) string {
	if len(pan) < 13 {
		return blank(pan)
	}
	return pan[:6] + strings.Repeat("*", len(pan)-10) + pan[len(pan)-4:]
}

func blank(s string) string { return strings.Repeat("*", len([]rune(s))) }
