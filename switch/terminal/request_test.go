package terminal

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/switch/iso8583"
	"huanxin/switch/keys"
)

func parseRecord(encoded string) (keys.CardRecord, error) {
	return keys.ParseCardRecord([]byte(encoded))
}

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
		ok, imei := serialForm([]byte(serial))
		require.Equal(t, want, [2]bool{ok, imei}, serial)
	}
}

func TestSerialMaskHidesAtLeastHalf(t *testing.T) {
	require.Equal(t, "490********7518", maskSerial([]byte("490154203237518")))
	require.Equal(t, "*****", maskSerial([]byte("12345")))
	rapid.Check(t, func(t *rapid.T) {
		serial := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "serial")
		mask := maskSerial(serial)
		require.Len(t, mask, len(serial))
		require.GreaterOrEqual(t, 2*strings.Count(mask, "*"), len(serial))
		require.True(t, printable([]byte(mask)))
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

func TestBCDAmountAgreesWithTheDigits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.Int64Range(0, 999_999_999_999).Draw(t, "fen")
		digits := iso8583.AppendDigits(nil, uint64(want), 12)
		var packed []byte
		for i := 0; i < 12; i += 2 {
			packed = append(packed, (digits[i]-'0')<<4|(digits[i+1]-'0'))
		}
		require.Equal(t, want, int64(bcdAmount(packed)))
		require.Equal(t, want, amount(digits))
	})
	require.EqualValues(t, -1, bcdAmount([]byte{0, 0, 0, 0, 0x0A, 0}))
	require.EqualValues(t, -1, bcdAmount(make([]byte, 5)))
	require.EqualValues(t, -1, amount([]byte("1234567890123")))
}

func TestUnhexedLeavesChipDataAlone(t *testing.T) {
	require.Equal(t, []byte{0x9F, 0x02}, unhexed([]byte("9F02")))
	require.Equal(t, []byte{0x9F, 0x02}, unhexed([]byte("9f02")))
	require.Equal(t, []byte{0x9F, 0x02, 0x06}, unhexed([]byte{0x9F, 0x02, 0x06}))
	require.Equal(t, []byte("9F0"), unhexed([]byte("9F0")))
}

func TestEveryCodeTextFitsTheCashiersDisplay(t *testing.T) {
	for code, text := range codeTexts {
		gbk, ok := iso8583.AppendGBK(nil, text)
		require.True(t, ok, "%s", code)
		require.LessOrEqual(t, len(gbk), 40, "%s", code)
	}
}

// FuzzTags: the walk of DE59 ends, gives out only slices of the field in order, and reads back what was written.
func FuzzTags(f *testing.F) {
	f.Add([]byte(text59("S1", "12345678", "S2", "6901234567892")))
	f.Add([]byte("BD30.621555,114.361954A260010202021600002900"))
	f.Add([]byte("A2065010020202016000029021001570803006000113040080424729205008H7062801"))
	f.Add([]byte("S6012merchant=200S7012000000000042"))
	f.Add([]byte("GA010123.431500GB00941.805700"))
	f.Add([]byte("S1999"))
	f.Fuzz(func(t *testing.T, data []byte) {
		left := len(data)
		for walk := (tags{rest: data}); ; {
			_, value, ok, done := walk.next()
			if !ok {
				require.Equal(t, done, len(walk.rest) == 0)
				break
			}
			require.Less(t, len(walk.rest), left, "every step takes something")
			require.LessOrEqual(t, len(value), left-len(walk.rest))
			left = len(walk.rest)
		}
		var s subsidyTags
		_ = s.read(data)
		_ = readField58(data, 2)
		_ = readPosition(data)
		_ = readBaidu(data)
	})
}

// The order reference is free text that the journal keeps in clear.
func TestACardNumberInAnOrderReferenceIsMasked(t *testing.T) {
	for order, kept := range map[string]string{
		"":                           "",
		"R1-21010001-000003":         "R1-21010001-000003",
		"6224240000000017":           "622424******0017",
		"NO6224240000000017/2":       "NO622424******0017/2",
		"6224240000000018":           "6224240000000018", // no check digit of a card
		"2026112300000000000001":     "2026112300000000000001",
		"4111111111111111 411111111": "411111******1111 411111111",
	} {
		require.Equal(t, kept, orderReference([]byte(order)))
	}
}
