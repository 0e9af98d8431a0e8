package main

import (
	"math"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
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

// limitMemory tells the collector its share, unless the environment says it (GOGC, GOMEMLIMIT). The tables of persons hold
// no pointers, so that collecting them costs next to nothing: with much memory in use it may collect often, with little it
// need not.
func limitMemory(c config.Memory) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(c.Garbage)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := int64(c.Limit)
	if limit == 0 {
		limit = machineMemory() / 4 * 3
	}
	debug.SetMemoryLimit(limit)
}

// machineMemory is what the machine has, or the control groups around the process when that is less. What cannot be read
// counts as unlimited.
func machineMemory() int64 {
	total := int64(math.MaxInt64)
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if field := strings.Fields(line); len(field) == 3 && field[0] == "MemTotal:" {
				if kib, err := strconv.ParseInt(field[1], 10, 64); err == nil {
					total = kib << 10
				}
			}
		}
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return total
	}
	for _, file := range groupLimits(string(text)) {
		if text, err := os.ReadFile(file); err == nil {
			if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil { // not "max"
				total = min(total, limit)
			}
		}
	}
	return total
}

// groupLimits are the files that may limit the memory of a process whose /proc/self/cgroup says so: those of its own group
// and of every group around it, in either version of control groups.
func groupLimits(cgroup string) (files []string) {
	for line := range strings.Lines(cgroup) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		root, name := "/sys/fs/cgroup", "memory.max"
		if part[0] != "0" {
			if !slices.Contains(strings.Split(part[1], ","), "memory") {
				continue
			}
			root, name = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		for group := path.Clean("/" + part[2]); ; group = path.Dir(group) {
			files = append(files, path.Join(root, group, name))
			if group == "/" {
				break
			}
		}
	}
	return files
}
