package mutant_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/mutant"
)

func TestThisBuildHasNoMutant(t *testing.T) { require.Empty(t, mutant.Active()) }

// The places that name a mutant compile with every build, for they name a constant; what a tag alone selects is this package.
func TestEveryMutantCompiles(t *testing.T) {
	for _, tag := range mutant.Tags {
		out, err := exec.Command("go", "vet", "-tags", tag, ".").CombinedOutput()
		require.NoError(t, err, "%s: %s", tag, out)
	}
}
