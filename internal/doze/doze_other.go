//go:build !linux

package doze

import "time"

// For is the runtime's own sleep where no other is at hand.
func For(d time.Duration) { time.Sleep(d) }
