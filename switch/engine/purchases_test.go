package engine_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A decision that looked into the tables of purchases by itself would find some of them only: the accessors are the one way.
func TestNothingLooksForPurchasesPastTheAccessors(t *testing.T) {
	whole := map[string]bool{ // what walks the tables as a whole
		"purchases.go": true, "cold.go": true, "coldstate.go": true, "snapshot.go": true, "check.go": true, "deadline.go": true, "programme.go": true,
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	table := regexp.MustCompile(`purchases\.(hot|operations|byRRN|byTransmission)\b`)
	for _, file := range files {
		if whole[file] || strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Empty(t, table.FindString(string(text)), file)
	}
}

// Whether a purchase is hot or cold nobody can see. Every story is told again with purchases that go cold in the very
// Step that ends them, and is told in the same words.
func TestEveryStoryIsTheSameWithColdPurchases(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "transcripts", "*.txt"))
	require.NoError(t, err)
	cold := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			l := newCoolingLab(t, atOnce)
			require.Equal(t, string(raw), play(t, l, string(raw)))
			cold += l.live.Cold()
		})
	}
	require.Positive(t, cold)
}

// atOnce makes purchases cold in the Step that ends them.
const atOnce = -1
