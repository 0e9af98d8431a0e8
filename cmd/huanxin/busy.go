package main

import (
	"runtime"
	"time"

	"github.com/prometheus/procfs"
)

// busyMeter says whether the machine is busy: whether less than a core was idle since the last look, by what the kernel says.
// What can wait would then run in place of what cannot. A machine that does not say (no /proc) is never busy. Used by one
// goroutine.
type busyMeter struct {
	proc  procfs.FS
	spare float64 // the share of the machine that is a core; of a machine with one, half of it
	last  cpuTime
	busy  bool
	at    time.Time // of the last look
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
	return &busyMeter{proc: fs, spare: 1 / float64(max(2, runtime.NumCPU()))}
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
	busy := now.idleSince(m.last) < m.spare
	m.last = now
	return busy
}

// idleSince is the share of the time since last that was idle. The first look sees the machine's whole life: it says all.
func (t cpuTime) idleSince(last cpuTime) float64 {
	all := t.all - last.all
	if last.all == 0 || all <= 0 {
		return 1
	}
	return (t.idle - last.idle) / all
}
