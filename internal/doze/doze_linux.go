// Package doze sleeps for less than a millisecond: the runtime's timers may be late by more than that.
package doze

import (
	"syscall"
	"time"
)

// For sleeps in the kernel. A signal may end it early.
func For(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil)
}
