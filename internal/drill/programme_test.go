package drill

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/config/programmes"
	"huanxin/subsidy/policy"
)

func TestDrillProgrammeIsTheSampleWithShortTimes(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, WriteProgramme(dir))
	files, err := programmes.Load(os.DirFS(dir))
	require.NoError(t, err)
	_, err = policy.Compile(files)
	require.NoError(t, err)
	require.Contains(t, string(files["policy.yaml"]), "hold_seconds: 20\n")
	require.Contains(t, string(files["policy.yaml"]), "code_seconds: 20\n")
}
