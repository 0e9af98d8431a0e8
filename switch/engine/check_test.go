package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckOfALargeStateRestsAgainAndAgain(t *testing.T) {
	e, _ := crowd(t, 2500)
	rests := 0
	require.NoError(t, e.CheckAtEase(func() { rests++ }))
	require.Equal(t, 7, rests, "each entitlement is looked at twice, each person once")
}
