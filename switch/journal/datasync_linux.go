package journal

import (
	"errors"
	"os"
	"syscall"
)

// datasync makes the file's content durable, and of its description only what is needed to read it: for a write inside a
// preallocated file that is nothing.
func datasync(f *os.File) error {
	for {
		// Interrupted is not failed: the call has done nothing yet.
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
