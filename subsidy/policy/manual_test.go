package policy

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheManualNamesEverySettingAndFile(t *testing.T) {
	manual, err := os.ReadFile("../../docs/programme-format.md")
	require.NoError(t, err)
	for s := range settingCount {
		require.Contains(t, string(manual), "`"+s.String()+"`")
		require.Equal(t, required(s), strings.Contains(string(manual), "`"+s.String()+"` ●"), "%s: ● in the manual", s)
	}
	for _, name := range append(append(RuleFiles(), tableFiles()...), FileGolden) {
		require.Contains(t, string(manual), "`"+name+"`")
	}
}
