package client

import (
	"syscall"
	"time"
)

// kernelSleep sleeps in the kernel. A signal ends it early, which the caller's loop mends.
func kernelSleep(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil)
}
