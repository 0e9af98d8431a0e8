//go:build !linux

package journal

import "os"

// datasync makes the file's content durable; only Linux leaves the rest of the file's description out.
func datasync(f *os.File) error { return f.Sync() }
