package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMemoryLimitsOfEveryGroupAroundTheProcessAreRead(t *testing.T) {
	require.Equal(t, []string{
		"/sys/fs/cgroup/system.slice/huanxin.service/memory.max", "/sys/fs/cgroup/system.slice/memory.max", "/sys/fs/cgroup/memory.max",
	}, groupLimits("0::/system.slice/huanxin.service\n"))
	require.Equal(t, []string{
		"/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
	}, groupLimits("7:cpu,cpuacct:/job\n5:memory:/job\nbroken\n"))
	require.Positive(t, machineMemory())
}
