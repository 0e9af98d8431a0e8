package terminal

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/switch/iso8583"
	"huanxin/switch/keys"
)

func parseRecord(encoded string) (keys.CardRecord, error) {
	return keys.ParseCardRecord([]byte(encoded))
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
	texts := []string{totalsText, zeroAmount, pinRefused}
	for _, list := range append(slices.Collect(maps.Values(kindTexts)), codeTexts) {
		texts = append(texts, slices.Collect(maps.Values(list))...)
	}
	for _, text := range append(texts, slices.Collect(maps.Values(notTaken))...) {
		gbk, ok := iso8583.AppendGBK(nil, text)
		require.True(t, ok, text)
		require.LessOrEqual(t, len(gbk), 40, text)
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
