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
		"purchases.go": true, "hot.go": true, "cold.go": true, "coldstate.go": true, "snapshot.go": true, "check.go": true, "deadline.go": true, "programme.go": true,
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
