package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMachineIsBusyWhenLessThanAQuarterOfItsTimeIsIdle(t *testing.T) {
	start := cpuTime{idle: 100, all: 400}
	require.False(t, start.busySince(cpuTime{}), "the first look sees the machine's whole life")
	require.False(t, cpuTime{idle: 101, all: 404}.busySince(start))
	require.True(t, cpuTime{idle: 100.99, all: 404}.busySince(start))
	require.True(t, cpuTime{idle: 100, all: 404}.busySince(start))
	require.False(t, start.busySince(start), "no time has passed")
}

func TestMachineWithoutFiguresIsNeverBusy(t *testing.T) {
	m := &busyMeter{}
	require.False(t, m.Busy())
	require.False(t, m.Busy())
}
