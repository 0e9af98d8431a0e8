package label

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSerialForms(t *testing.T) {
	for serial, want := range map[string][2]bool{ // ok, imei
		"490154203237518":       {true, true},
		"490154203237519":       {true, false}, // fifteen digits, wrong check digit: a serial, no IMEI
		"000000000000000":       {false, false},
		"000000":                {false, false},
		"00000A":                {true, false},
		"SN-12/3.4":             {true, false},
		"------":                {false, false},
		"SN-1/2.3":              {false, false}, // five characters that count
		"sn-12/3.4":             {true, false},
		"12345":                 {false, false},
		"SN 123456":             {false, false},
		"SN_123456":             {false, false},
		"序列号":                   {false, false},
		strings.Repeat("A", 32): {true, false},
		strings.Repeat("A", 33): {false, false},
	} {
		ok, imei := SerialForm([]byte(serial))
		require.Equal(t, want, [2]bool{ok, imei}, serial)
	}
}

func TestSerialMaskHidesAtLeastHalf(t *testing.T) {
	require.Equal(t, "490********7518", MaskSerial([]byte("490154203237518")))
	require.Equal(t, "*****", MaskSerial([]byte("12345")))
	rapid.Check(t, func(t *rapid.T) {
		serial := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "serial")
		mask := MaskSerial(serial)
		require.Len(t, mask, len(serial))
		require.GreaterOrEqual(t, 2*strings.Count(mask, "*"), len(serial))
		require.NotRegexp(t, `[^ -~]`, mask)
	})
}

func TestLuhnAgreesWithTheTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`[0-9]{14}`).Draw(t, "digits")
		right := 0
		for d := byte('0'); d <= '9'; d++ {
			if luhn([]byte(digits + string(d))) {
				right++
			}
		}
		require.Equal(t, 1, right, "exactly one check digit is right")
		// Reference: sum of the digits as written, the doubled ones through a table.
		doubled := [10]int{0, 2, 4, 6, 8, 1, 3, 5, 7, 9}
		sum := 0
		for i, c := range digits + "0" {
			if i%2 == 1 {
				sum += doubled[c-'0']
			} else {
				sum += int(c - '0')
			}
		}
		require.Equal(t, sum%10 == 0, luhn([]byte(digits+"0")))
	})
}

// A reference is free text that the journal keeps in clear.
func TestACardNumberInAReferenceIsMasked(t *testing.T) {
	for order, kept := range map[string]string{
		"":                           "",
		"R1-21010001-000003":         "R1-21010001-000003",
		"6224240000000017":           "622424******0017",
		"NO6224240000000017/2":       "NO622424******0017/2",
		"6224240000000018":           "6224240000000018", // no check digit of a card
		"2026112300000000000001":     "2026112300000000000001",
		"4111111111111111 411111111": "411111******1111 411111111",
	} {
		require.Equal(t, kept, Reference([]byte(order)))
	}
}

// FuzzReference: only digits in the middle of a possible card number change, and none is left in clear.
func FuzzReference(f *testing.F) {
	f.Add([]byte("R1-21010001-000003"))
	f.Add([]byte("NO6224240000000017/2 4111111111111111"))
	f.Add([]byte("62242400000000176224240000000017"))
	f.Fuzz(func(t *testing.T, text []byte) {
		before := string(text)
		kept := Reference(text)
		require.Equal(t, before, string(text), "the request is left as it was")
		require.Len(t, kept, len(before))
		for i := range kept {
			if kept[i] != before[i] {
				require.True(t, kept[i] == '*' && isDigit(before[i]))
			}
		}
		require.Equal(t, kept, Reference([]byte(kept)))
		for _, run := range strings.FieldsFunc(kept, func(r rune) bool { return r < '0' || r > '9' }) {
			require.False(t, len(run) >= 13 && len(run) <= 19 && luhn([]byte(run)))
		}
	})
}

// FuzzSerial: one label is one serial however it is typed, and what is hashed is long enough to tell items apart.
func FuzzSerial(f *testing.F) {
	f.Add("SN-12/3.4 x")
	f.Add("490154203237518")
	f.Fuzz(func(t *testing.T, serial string) {
		folded := string(FoldSerial([]byte(serial)))
		require.Equal(t, folded, string(FoldSerial([]byte(folded))))
		require.Equal(t, folded, string(FoldSerial([]byte(strings.Join(strings.Split(serial, ""), "-")))))
		ok, imei := SerialForm([]byte(serial))
		require.False(t, imei && !ok)
		if ok {
			require.GreaterOrEqual(t, len(folded), serialMinSize)
			require.Equal(t, folded, string(FoldSerial([]byte(strings.ToLower(serial)))))
			require.Regexp(t, `^[A-Z0-9]+$`, folded)
		}
		require.Len(t, MaskSerial([]byte(serial)), len(serial))
	})
}
