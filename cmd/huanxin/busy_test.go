package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIdleShareIsOfTheTimeSinceTheLastLook(t *testing.T) {
	start := cpuTime{idle: 100, all: 400}
	require.EqualValues(t, 1, start.idleSince(cpuTime{}), "the first look sees the machine's whole life")
	require.EqualValues(t, 0.25, cpuTime{idle: 101, all: 404}.idleSince(start))
	require.Zero(t, cpuTime{idle: 100, all: 404}.idleSince(start))
	require.EqualValues(t, 1, start.idleSince(start), "no time has passed")
}
