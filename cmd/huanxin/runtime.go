package main

import (
	"bufio"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"huanxin/config"
)

// threadsPerCore is how many threads may run Go code for each core. A sync of the journal keeps its thread's place for a
// while although it only waits; with no more places than cores nobody else runs there meanwhile.
const threadsPerCore = 4

// useThreads has more of them than the runtime would, unless the environment says how many (GOMAXPROCS).
func useThreads() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(threadsPerCore * runtime.GOMAXPROCS(0))
	}
}

// limitMemory tells the collector its share. The tables of persons hold no pointers, so that collecting them costs next to
// nothing: with much memory in use it may collect often, with little it need not.
func limitMemory(c config.Memory) {
	debug.SetGCPercent(c.Garbage)
	limit := int64(c.Limit)
	if limit == 0 {
		limit = machineMemory() / 4 * 3
	}
	debug.SetMemoryLimit(limit)
}

// machineMemory is what the machine has, or the control group of the process when that is less. What cannot be read counts
// as unlimited.
func machineMemory() int64 {
	total := int64(math.MaxInt64)
	if f, err := os.Open("/proc/meminfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			field := strings.Fields(lines.Text())
			if len(field) == 3 && field[0] == "MemTotal:" {
				if kib, err := strconv.ParseInt(field[1], 10, 64); err == nil {
					total = kib << 10
				}
			}
		}
	}
	if text, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if group, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			total = min(total, group)
		}
	}
	return total
}
