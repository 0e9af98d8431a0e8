package main

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/procfs"
)

// busyMeter says whether decisions need the machine: whether there were many of them, and less than a core idle by what the
// kernel says, until the last look. What can wait would then run in place of what cannot. It is not for what can wait to be kept
// from a machine that it keeps busy itself. A machine that does not say (no /proc) is never busy.
type busyMeter struct{ busy atomic.Bool }

// looksApart keeps looks so far apart that the kernel's hundredths of a second say something.
const looksApart = 100 * time.Millisecond

// manyDecisions between two looks: a thousand a second.
const manyDecisions = 100

// cpuTime is time since the machine's start, in seconds of all its cores.
type cpuTime struct{ idle, all float64 }

func (m *busyMeter) Busy() bool { return m.busy.Load() }

// watch looks until ctx ends. decided counts decisions.
func (m *busyMeter) watch(ctx context.Context, decided func() uint64) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return
	}
	spare := 1 / float64(max(2, runtime.NumCPU())) // the share of the machine that is a core; of a machine with one, half of it
	var last cpuTime
	before := decided()
	tick := time.NewTicker(looksApart)
	defer tick.Stop()
	defer m.busy.Store(false) // who drains must not wait
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		stat, err := proc.Stat()
		if err != nil {
			return
		}
		c := stat.CPUTotal
		now := cpuTime{idle: c.Idle + c.Iowait, all: c.User + c.Nice + c.System + c.Idle + c.Iowait + c.IRQ + c.SoftIRQ + c.Steal}
		count := decided()
		m.busy.Store(count-before >= manyDecisions && now.idleSince(last) < spare)
		last, before = now, count
	}
}

// idleSince is the share of the time since last that was idle. The first look sees the machine's whole life: it says all.
func (t cpuTime) idleSince(last cpuTime) float64 {
	all := t.all - last.all
	if last.all == 0 || all <= 0 {
		return 1
	}
	return (t.idle - last.idle) / all
}
