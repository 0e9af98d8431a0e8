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

func TestTheGoldenExampleOfTheManualPasses(t *testing.T) {
	manual, err := os.ReadFile("../../docs/programme-format.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(manual), "\n## golden.yaml\n")
	require.True(t, found)
	var example strings.Builder
	for line := range strings.Lines(section) {
		code, indented := strings.CutPrefix(line, "    ")
		if !indented && example.Len() > 0 {
			break
		}
		if indented {
			example.WriteString(code)
		}
	}
	files := readBundle(t, liaoning)
	files[FileGolden] = []byte(example.String())
	results := compile(t, files).RunGolden()
	require.Len(t, results, 3)
	for _, r := range results {
		require.Empty(t, r.Failures, r.Name)
	}
}
