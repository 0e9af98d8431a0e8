package label

import "bytes"

// Reference is what is kept of a free text that a seller sends, such as an order number. It goes to the journal in clear,
// so a run of digits in it that could be a card number (13 to 19 digits with a right check digit) is kept as first six and
// last four: a till that puts the card into its order reference must not put it on our disk.
func Reference(text []byte) string {
	kept := text // as long as nothing of it is masked
	for at := 0; at < len(kept); {
		end := at
		for end < len(kept) && isDigit(kept[end]) {
			end++
		}
		if n := end - at; n >= 13 && n <= 19 && luhn(kept[at:end]) {
			if &kept[0] == &text[0] {
				kept = bytes.Clone(text)
			}
			for i := at + 6; i < end-4; i++ {
				kept[i] = '*'
			}
		}
		at = max(end, at+1)
	}
	return string(kept)
}
