package main

import (
	"time"

	"github.com/prometheus/procfs"
)

// A machine of which less than this share is idle has none to spare: what can wait then waits.
const spareShare = 0.25

// busyMeter says whether the machine is busy, from what the kernel says of the time since the last look. A machine that does
// not say (no /proc) is never busy. Used by one goroutine.
type busyMeter struct {
	proc procfs.FS
	last cpuTime
	busy bool
	at   time.Time // of the last look
}

// looksApart keeps looks so far apart that the kernel's hundredths of a second say something.
const looksApart = 100 * time.Millisecond

// cpuTime is time since the machine's start, in seconds of all its cores.
type cpuTime struct{ idle, all float64 }

func newBusyMeter() *busyMeter {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return &busyMeter{}
	}
	return &busyMeter{proc: fs}
}

func (m *busyMeter) Busy() bool {
	if now := time.Now(); now.Sub(m.at) >= looksApart {
		m.at = now
		m.busy = m.look()
	}
	return m.busy
}

func (m *busyMeter) look() bool {
	stat, err := m.proc.Stat()
	if err != nil {
		return false
	}
	c := stat.CPUTotal
	now := cpuTime{idle: c.Idle + c.Iowait, all: c.User + c.Nice + c.System + c.Idle + c.Iowait + c.IRQ + c.SoftIRQ + c.Steal}
	busy := now.busySince(m.last)
	m.last = now
	return busy
}

// busySince is not for the first look, which sees the machine's whole life: it says no.
func (t cpuTime) busySince(last cpuTime) bool {
	all := t.all - last.all
	return last.all > 0 && all > 0 && (t.idle-last.idle)/all < spareShare
}
