package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTimeOfDayIsReadAndWritten(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"23:00": 23 * time.Hour, "00:01": time.Minute, "09:05:07": 9*time.Hour + 5*time.Minute + 7*time.Second, "24:00": 24 * time.Hour,
	} {
		got, err := ParseTimeOfDay(text)
		require.NoError(t, err, text)
		require.Equal(t, TimeOfDay(want), got, text)
		require.Equal(t, text, got.String())
	}
	midnight, err := ParseTimeOfDay("00:00")
	require.NoError(t, err)
	require.Equal(t, "24:00", midnight.String(), "a day that ends at midnight has 24 hours, not none")
	for _, text := range []string{"", "23", "2300", "23:60", "24:01", "24:00:01", "23-00", "1:000", "-1:00", "+1:00", "23:00:0", "ab:cd"} {
		_, err := ParseTimeOfDay(text)
		require.Error(t, err, text)
	}
}

func FuzzParseTimeOfDay(f *testing.F) {
	for _, text := range []string{"23:00", "24:00", "00:00:00", "7:00", "99:99:99"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := ParseTimeOfDay(text)
		if err != nil {
			return
		}
		require.Positive(t, at)
		require.LessOrEqual(t, at, wholeDay)
		again, err := ParseTimeOfDay(at.String())
		require.NoError(t, err)
		require.Equal(t, at, again)
	})
}
