//go:build !linux

package peer

import "os"

// Fdatasync makes the file's content durable; only Linux leaves the rest of the file's description out.
func Fdatasync(f *os.File) error { return f.Sync() }
