package redis

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServerSyncsEveryWriteAndWritesNothingElse(t *testing.T) {
	args, err := Arguments("/tmp/x", "127.0.0.1:7777")
	require.NoError(t, err)
	for _, pair := range [][2]string{{"--appendonly", "yes"}, {"--appendfsync", "always"}, {"--save", ""}, {"--port", "7777"}, {"--bind", "127.0.0.1"}} {
		at := -1
		for i, a := range args {
			if a == pair[0] {
				at = i
			}
		}
		require.NotEqual(t, -1, at, pair[0])
		require.Equal(t, pair[1], args[at+1])
	}
	_, err = Arguments("/tmp/x", "nonsense")
	require.Error(t, err)
}
