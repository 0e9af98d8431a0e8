package main

import (
	"context"
	"math"
	"os"
	"path"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"huanxin/config"
)

// limitMemory tells the collector its share, unless the environment says it (GOGC, GOMEMLIMIT). The tables of persons hold
// no pointers, so that collecting them costs next to nothing: with much memory in use it may collect often, with little it
// need not.
//
// The limit is watched until ctx ends: see memoryLimit.
func limitMemory(ctx context.Context, c config.Memory, log *zap.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(c.Garbage)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	machine := machineMemory()
	l := memoryLimit{configured: int64(c.Limit), most: machine / 20 * 19}
	if l.configured == 0 {
		l.configured = machine / 4 * 3
	}
	l.now = l.configured
	debug.SetMemoryLimit(l.now)
	go l.watch(ctx, log)
}

// memoryLimit is the collector's soft limit. Near it the collector works as much as it takes, and where a process has more
// threads than cores the runtime's own brake on that does not hold: a state that has outgrown the limit by a little would
// leave decisions a tenth of the machine. So the limit gives way to what lives, by as little as collecting at leisure needs,
// and says so: more memory is an operator's to find, a till's answer is not to wait for it.
//
// It goes up at once and comes back late: what lives swings, and every change starts a collection.
type memoryLimit struct {
	configured, most, now int64 // bytes; most is what the machine has for it

	// Since so many looks less than now was wanted, at most peak.
	lower int
	peak  int64

	said int64 // the limit that the operator has last been told of; 0 when it is as configured
}

const (
	// room is what may gather beside what lives, as its part, before the collector must have run.
	room = 8
	// growth is by what part of itself the limit has grown before that is said again.
	growth = 8
	// watchEvery is how often the limit is held against what lives, lowerAfter how many such looks it stays up.
	watchEvery = time.Second
	lowerAfter = 60
)

// wanted is the limit for so much that lives on the heap, and so much memory beside the heap. It moves in steps.
func (l *memoryLimit) wanted(live, beside int64) int64 {
	const step = 64 << 20
	need := (live + live/room + beside + step - 1) / step * step
	return max(l.configured, min(need, l.most))
}

// look takes in what is wanted at present: whether that changes the limit, and whether the operator should know.
func (l *memoryLimit) look(wanted int64) (changed, tell bool) {
	before := l.now
	if wanted >= l.now {
		l.now, l.lower, l.peak = wanted, 0, 0
	} else if l.lower, l.peak = l.lower+1, max(l.peak, wanted); l.lower == lowerAfter {
		l.now, l.lower, l.peak = l.peak, 0, 0
	}
	if l.now == l.configured {
		l.said = 0
	}
	if tell = l.now > max(l.configured, l.said+l.said/growth); tell {
		l.said = l.now
	}
	return l.now != before, tell
}

func (l *memoryLimit) watch(ctx context.Context, log *zap.Logger) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	figures := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(figures)
		var v [6]int64
		for i := range figures {
			v[i] = int64(figures[i].Value.Uint64())
		}
		changed, tell := l.look(l.wanted(v[0], v[1]-v[2]-v[3]-v[4]-v[5]))
		if tell {
			log.Warn("the state has outgrown memory.limit, which gives way", zap.Int64("live", v[0]), zap.Int64("configured", l.configured), zap.Int64("limit", l.now))
		}
		if changed {
			debug.SetMemoryLimit(l.now)
		}
	}
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
