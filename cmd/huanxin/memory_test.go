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

func TestMemoryLimitGivesWayToWhatLivesAndComesBack(t *testing.T) {
	l := memoryLimit{configured: 1000 << 20, most: 4000 << 20}
	require.EqualValues(t, 1000<<20, l.wanted(0, 0))
	require.EqualValues(t, 1000<<20, l.wanted(700<<20, 90<<20), "there is room")
	for live := int64(900 << 20); live < 3200<<20; live += 7 << 20 {
		limit := l.wanted(live, 90<<20)
		require.GreaterOrEqual(t, limit-90<<20-live, live/room, "room to collect at leisure")
		require.LessOrEqual(t, limit-90<<20-live, live/room+64<<20, "and no more than that")
	}
	require.EqualValues(t, 4000<<20, l.wanted(3900<<20, 90<<20), "the machine has no more")
	require.EqualValues(t, 1000<<20, l.wanted(500<<20, 90<<20), "what has been forgotten is given back")
}

func TestMemoryLimitStaysUpWhileWhatLivesSwingsAndSaysSoOnce(t *testing.T) {
	const mib = 1 << 20
	l := memoryLimit{configured: 1000 * mib, most: 4000 * mib, now: 1000 * mib}
	changes, told := 0, 0
	looks := func(n int, wanted ...int64) {
		for i := range n {
			changed, tell := l.look(wanted[i%len(wanted)])
			if changed {
				changes++
			}
			if tell {
				told++
			}
		}
	}
	looks(3601, 1088*mib, 1024*mib)
	require.EqualValues(t, 1088*mib, l.now, "the highest of a swing")
	require.Equal(t, []int{1, 1}, []int{changes, told}, "an hour of it is one change and one warning")

	looks(lowerAfter-1, 1000*mib)
	require.EqualValues(t, 1088*mib, l.now, "not yet")
	looks(1, 1024*mib)
	require.EqualValues(t, 1024*mib, l.now, "the most that was wanted of late")
	looks(lowerAfter, 1000*mib)
	require.EqualValues(t, 1000*mib, l.now)
	require.Equal(t, []int{3, 1}, []int{changes, told}, "coming back is no news")

	for step := range int64(40) { // a state that grows is given its limit at once, and told of for each eighth
		looks(1, (1024+64*step)*mib)
		require.EqualValues(t, (1024+64*step)*mib, l.now)
	}
	require.Equal(t, 1+9, told)
}
