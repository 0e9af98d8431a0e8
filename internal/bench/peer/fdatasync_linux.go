package peer

import (
	"errors"
	"os"
	"syscall"
)

// Fdatasync makes the file's content durable.
func Fdatasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
