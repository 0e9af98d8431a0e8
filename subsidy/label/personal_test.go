package label

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPersonalNumbersAreFoundHoweverTheyAreSpaced(t *testing.T) {
	for text, want := range map[string]Personal{
		"":                       NothingPersonal,
		"冰箱限额调整 LN-2025-118":     NothingPersonal,
		"oss://evidence/7":       NothingPersonal,
		"2025-06-18 10:00 终端故障":  NothingPersonal,
		"RRN 633000000001":       NothingPersonal,
		"P000000000012 S2025001": NothingPersonal,

		"payer of 6222021234567890128 complains": CardNumber,
		"持卡人6222021234567890128投诉":               CardNumber,
		"6222 0212 3456 7890 128":                CardNumber,
		"6222-0212-3456-7890-128":                CardNumber,
		"62 2202 - 1234567890128":                CardNumber,
		"６２２２０２１２３４５６７８９０１２８":                    CardNumber,
		"LN-2025-118 6222 0212 3456 7890 128":    CardNumber,
		"6222021234567890128, 2025-06-18":        CardNumber,
		"6222021234567890129":                    NothingPersonal, // a wrong check digit
		"LN6222021234567890128":                  NothingPersonal, // a document
		"6222021234567890128号":                   CardNumber,
		"LN2025000118123456":                     NothingPersonal,
		"550e8400-e29b-41d4-a716-446655440000":   NothingPersonal,
		"00006222021234567890128":                NothingPersonal, // 23 digits
		"4111111111111111":                       CardNumber,

		"身份证 11010519491231002X": IdentityNumber,
		"11010519491231002x":     IdentityNumber,
		"110105 19491231 002 X":  IdentityNumber,
		"ID11010519491231002X":   IdentityNumber,
		"440524-18800101-0014":   IdentityNumber,
		"110105194912310021":     NothingPersonal,
		"LN202500011800000000":   NothingPersonal,
		"11010519491231002XL":    NothingPersonal,

		"call 13800138000":     MobileNumber,
		"电话13800138000。":       MobileNumber,
		"138-0013-8000":        MobileNumber,
		"138 00138000":         MobileNumber,
		"2025 138 0013 8000":   MobileNumber,
		"+86 13800138000":      MobileNumber,
		"+8613800138000":       MobileNumber,
		"12800138000":          NothingPersonal,
		"138001380001":         NothingPersonal,
		"SN13800138000":        NothingPersonal,
		"13800138000A":         NothingPersonal,
		"2025-06-18 123456789": NothingPersonal, // a date and a number
	} {
		require.Equal(t, want, FindPersonal(text), text)
	}
}

// Whatever blanks and dashes stand in a card number, and whatever Chinese around it, it is found.
func TestNoSpacingHidesACardNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := []byte(rapid.StringMatching(`[1-9][0-9]{11,17}`).Draw(t, "digits"))
		for check := byte('0'); check <= '9'; check++ {
			if card := append(digits, check); luhn(card) {
				digits = card
				break
			}
		}
		text := rapid.SampledFrom([]string{"", "卡", "卡 ", "LN-1 ", "（"}).Draw(t, "before")
		for i, c := range digits {
			if i > 0 {
				text += rapid.SampledFrom([]string{"", "", " ", "-", "－", "  "}).Draw(t, "between")
			}
			text += string(c)
		}
		text += rapid.SampledFrom([]string{"", "号", " x1", "）"}).Draw(t, "after")
		require.NotEqual(t, NothingPersonal, FindPersonal(text), text)
	})
}
