//go:build !linux

package client

import "time"

// kernelSleep is the runtime's own where no call for it is at hand; it may be late by a millisecond.
func kernelSleep(d time.Duration) { time.Sleep(d) }
