package iso8583

import "strings"

// Masked tells whether field n is never shown in clear: card number, tracks, the card numbers of a batch upload, PIN block,
// chip data, the tags with codes and serial numbers, working keys. (PCI DSS 3.4: at most the first six and last four digits of a card number.)
func Masked(n int) bool {
	switch n {
	case 2, 35, 36, 45, 48, 52, 55, 59, 62:
		return true
	}
	return false
}

// Mask returns the text form of field n fit to be shown: a card number as its first six and last four digits, track 2
// as its masked card number with the rest of it blanked, a batch upload (DE48) without its card numbers, the other masked
// fields blanked. A blank is '*', one for each character, so that lengths stay visible. Fields that are not masked come back
// as they are, and so does a DE48 that is no upload.
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
	case n == 48:
		return maskUpload(value)
	}
	return blank(value)
}

// DE48 of a batch upload: count n2, then for each record card type n2, STAN n6, card number n20, amount n12.
const (
	uploadCount  = 2
	uploadRecord = 40
	uploadCard   = 8
	uploadDigits = 20
)

func maskUpload(value string) string {
	if len(value) < uploadCount+uploadRecord || (len(value)-uploadCount)%uploadRecord != 0 {
		return value
	}
	masked := []byte(value)
	for at := uploadCount + uploadCard; at < len(masked); at += uploadRecord {
		copy(masked[at:at+uploadDigits], strings.Repeat("*", uploadDigits))
	}
	return string(masked)
}

// maskPAN blanks a number of fewer than 13 digits altogether: 6 + 4 of it would leave too little hidden.
func maskPAN(pan string) string {
	if len(pan) < 13 {
		return blank(pan)
	}
	return pan[:6] + strings.Repeat("*", len(pan)-10) + pan[len(pan)-4:]
}

func blank(s string) string { return strings.Repeat("*", len([]rune(s))) }
