package control

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// The system takes 107 bytes for the path of a socket. Ours may have longestPath; and since it is made in a nest beside its
// place, under a name of nestLength bytes, its folder may have longestFolder.
const (
	longestPath   = 100
	nestLength    = len("/.c1234567890/s")
	longestFolder = 107 - nestLength
)

// Place is where the socket of a configured path lies: there, or when that is too long for the system, in a folder of the
// temporary folder whose name follows from the path. Server and client compute the same.
func Place(path string) (string, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if len(full) <= longestPath && len(filepath.Dir(full)) <= longestFolder {
		return full, nil
	}
	sum := sha256.Sum256([]byte(full))
	folder := filepath.Join(os.TempDir(), fmt.Sprintf("huanxin-%x", sum[:8]))
	if len(folder) > longestFolder {
		return "", fmt.Errorf("%s and %s are both too long for a socket: set TMPDIR to a shorter folder", full, folder)
	}
	return filepath.Join(folder, "control.sock"), nil
}

// probeTimeout bounds the look whether somebody answers on a socket.
const probeTimeout = 2 * time.Second

// Listen opens the socket of a configured path with mode 0660. A socket that a dead process has left is replaced; one on
// which somebody answers is not (ErrInUse), and neither is a file of another kind.
func Listen(path string) (net.Listener, error) {
	place, err := Place(path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := prepare(place, filepath.Dir(place) != filepath.Dir(mustAbs(path))); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := open(place)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", place, err)
	}
	return l, nil
}

func mustAbs(path string) string {
	full, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return full
}

// prepare makes sure that nothing lives at place. A folder of our own making must be ours alone to write in: whoever owns
// it could put a socket of his there.
func prepare(place string, own bool) error {
	folder := filepath.Dir(place)
	if own {
		if err := os.MkdirAll(folder, 0o750); err != nil {
			return err
		}
		if err := trusted(folder, os.Geteuid()); err != nil {
			return err
		}
	}
	info, err := os.Lstat(place)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is no socket", place)
	}
	conn, err := net.DialTimeout("unix", place, probeTimeout)
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("%w: %s", ErrInUse, place)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return nil // left by a dead process: the new one takes its place
	}
	return fmt.Errorf("%w: %s: %w", ErrInUse, place, err)
}

// trusted demands that a folder belongs to owner and that nobody else may write in it.
func trusted(folder string, owner int) error {
	info, err := os.Lstat(folder)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != owner || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s must be a folder of user %d in which nobody else can write", folder, owner)
	}
	return nil
}

// open makes the socket under another name, gives it its mode, and only then its own name: at no moment is there a socket
// that more people may use.
func open(place string) (net.Listener, error) {
	nest, err := os.MkdirTemp(filepath.Dir(place), ".c")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(nest)
	born := filepath.Join(nest, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: born, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(born, 0o660); err == nil {
		err = os.Rename(born, place)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &socket{UnixListener: l, place: place}, nil
}

// socket is the listener under its final name.
type socket struct {
	*net.UnixListener
	place string
}

// Close stops listening and takes the file away, unless it is another's by now.
func (s *socket) Close() error {
	err := s.UnixListener.Close()
	if conn, dialErr := net.DialTimeout("unix", s.place, probeTimeout); dialErr == nil {
		conn.Close()
		return err
	}
	if removed := os.Remove(s.place); !errors.Is(removed, fs.ErrNotExist) && err == nil {
		err = removed
	}
	return err
}

// Addr is the final place.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.place, Net: "unix"} }
