package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrUnsafe is returned for a file with secrets that others could read or replace. The error says which and how to mend it.
var ErrUnsafe = errors.New("key file is not safe")

// ErrFormat is returned for a file that is no key file of this version. The error names line and field, never a value.
var ErrFormat = errors.New("key file is malformed")

// ErrUnsure is returned when a file has its new content and the disk did not say that this lasts: after a loss of power it
// may have the old one again. Look what is there.
var ErrUnsure = errors.New("the file is written, but may be the old one again after a loss of power")

// ReadGuarded reads a file with secrets of at most limit bytes. It refuses a file or folder that anybody but the owner of
// this process may read or change, and a symbolic link. A missing file is an error that is fs.ErrNotExist. The caller wipes
// what it gets.
func ReadGuarded(path string, limit int64) ([]byte, error) {
	if err := checkFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: %s is a symbolic link", ErrUnsafe, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is no regular file", ErrUnsafe, path)
	}
	if err := checkAccess(path, info, "0600"); err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrFormat, path, limit)
	}
	text := make([]byte, info.Size()+1) // in one piece, so that wiping it wipes all
	n, err := io.ReadFull(f, text)
	if err == nil {
		clear(text)
		return nil, fmt.Errorf("read key file: %s grows while it is read", path)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		clear(text)
		return nil, fmt.Errorf("read key file: %w", err)
	}
	return text[:n], nil
}

func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("key folder: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is no folder", ErrUnsafe, dir)
	}
	return checkAccess(dir, info, "0700")
}

// CheckGuarded is ReadGuarded's check of a file that is open already: only the user of this process may read or change it.
func CheckGuarded(path string, info fs.FileInfo) error { return checkAccess(path, info, "0600") }

func checkAccess(path string, info fs.FileInfo, want string) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%w: %s has mode %04o, want %s (chmod %s %s)", ErrUnsafe, path, mode, want, want, path)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%w: the owner of %s is not known", ErrUnsafe, path)
	}
	if int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to user %d, this process runs as %d", ErrUnsafe, path, stat.Uid, os.Geteuid())
	}
	return nil
}

// makeFolder makes the folder of a file with secrets, with mode 0700, when it is not there.
func makeFolder(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := errors.Join(os.MkdirAll(dir, 0o700), syncFolder(filepath.Dir(dir))); err != nil {
			return fmt.Errorf("create key folder: %w", err)
		}
	}
	return checkFolder(dir)
}

// WriteOnce puts text at path in one step, in a folder that it makes when it is not there. It never overwrites: an existing
// path is an error that is fs.ErrExist. After a crash either the whole file is there or none.
func WriteOnce(path string, text []byte) error {
	return write(path, text, os.Link, nowhere) // fails when path exists, which a rename would not
}

// replace puts text at path in one step, over what is there.
func replace(path string, text []byte, at func(place string)) error {
	return write(path, text, os.Rename, at)
}

// The places of a drill.
const (
	PlaceWritten = "keys-written" // the store's new file, or that of its master key, is there under another name
	PlaceNamed   = "keys-named"   // it has its name, which is not durable yet
)

func nowhere(string) {}

func write(path string, text []byte, put func(from, to string) error, at func(place string)) (err error) {
	dir := filepath.Dir(path)
	if err := makeFolder(dir); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, temporary(path)+"*") // mode 0600
	if err != nil {
		return err
	}
	named := false
	defer func() {
		gone := os.Remove(tmp.Name())
		if named && gone != nil && !errors.Is(gone, fs.ErrNotExist) { // of a link; or the disk takes nothing any more
			gone = fmt.Errorf("%w: %w", ErrUnsure, gone)
		}
		if !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}()
	if _, err = tmp.Write(text); err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	at(PlaceWritten)
	if err = put(tmp.Name(), path); err != nil {
		return err
	}
	named = true
	at(PlaceNamed)
	if err = syncFolder(dir); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsure, err)
	}
	return nil
}

// temporary is how a file's temporary names begin.
func temporary(path string) string { return ".keys-" + filepath.Base(path) + "-" }

// sweep removes what writes of a file have left behind whose process was killed: of the master key's file that is a master key
// in clear. The caller keeps others from writing.
func sweep(path string) (err error) {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), temporary(path)) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, entry.Name())))
		}
	}
	return err
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
