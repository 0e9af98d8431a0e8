package drill

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryTerminalIsInOneCrew(t *testing.T) {
	s := &Site{Dir: t.TempDir(), Keyed: true}
	s.Programme = s.file("programme")
	require.NoError(t, WriteProgramme(s.Programme))
	require.NoError(t, s.writeCrews())
	rows := func(file string) (list []string) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Contains(t, string(text), "id,merchant,city")
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "2") {
				list = append(list, line)
			}
		}
		return list
	}
	var all []string
	share := 0.0
	for _, c := range s.crews() {
		mine := rows(s.tillsFile(c))
		require.GreaterOrEqual(t, len(mine), c.connections)
		if c.cipher != "" {
			require.Len(t, mine, keyedTills)
		}
		all = append(all, mine...)
		share += c.share
	}
	require.ElementsMatch(t, rows(s.Programme+"/terminals.csv"), all)
	require.InDelta(t, 1, share, 1e-9)
}
