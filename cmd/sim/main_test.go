package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRangesAreReadAsTheyAreWritten(t *testing.T) {
	for _, list := range [][]int{nil, {0}, {1, 2, 3}, {3, 17, 18, 19, 40}} {
		read, err := parse(ranges(list))
		require.NoError(t, err)
		require.Equal(t, list, read)
	}
	_, err := parse("1,x")
	require.Error(t, err)
}
