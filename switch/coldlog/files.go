package coldlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// fileSize is the length of every file but the last. A file that another one follows is written no more.
const fileSize = 256 << 20

// files are one run of bytes, cut into files of one length. A read may go on beside a write elsewhere.
type files struct {
	folder string
	each   int64

	mu    sync.RWMutex // guards the list, not the bytes
	list  []disk
	dirty []bool // written since the last sync began
	fresh bool   // a file was made since the last sync
}

// disk is one of the files.
type disk interface {
	io.ReaderAt
	io.WriterAt
	Stat() (os.FileInfo, error)
	Sync() error
	Close() error
}

func openFiles(folder string, each int64) (*files, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	f := &files{folder: folder, each: each, fresh: true}
	for {
		name := f.name(len(f.list))
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			return f, nil
		}
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		f.list, f.dirty = append(f.list, file), append(f.dirty, false)
	}
}

func (f *files) name(i int) string { return filepath.Join(f.folder, fmt.Sprintf("%06d.cold", i)) }

// size is how many bytes there are without a gap.
func (f *files) size() (sum int64) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, file := range f.list {
		fi, err := file.Stat()
		if err != nil {
			return sum
		}
		sum += min(fi.Size(), f.each)
		if fi.Size() < f.each {
			return sum
		}
	}
	return sum
}

func (f *files) write(p []byte, offset int64) error {
	for len(p) > 0 {
		i := int(offset / f.each)
		file, err := f.forWriting(i)
		if err != nil {
			return err
		}
		n, err := file.WriteAt(p[:min(int64(len(p)), f.each-offset%f.each)], offset%f.each)
		f.written(i)
		if err != nil {
			return err
		}
		p, offset = p[n:], offset+int64(n)
	}
	return nil
}

// written notes it when the bytes are in the file, and not before: a sync that comes between takes them for its own.
func (f *files) written(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirty[i] = true
}

func (f *files) forWriting(i int) (disk, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i == len(f.list) {
		file, err := os.OpenFile(f.name(i), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		f.list, f.dirty, f.fresh = append(f.list, file), append(f.dirty, false), true
	}
	return f.list[i], nil
}

// read fills p, or returns how much there was and io.EOF.
func (f *files) read(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		at := offset + int64(n)
		f.mu.RLock()
		var file disk
		if i := at / f.each; i < int64(len(f.list)) {
			file = f.list[i]
		}
		f.mu.RUnlock()
		if file == nil {
			return n, io.EOF
		}
		got, err := file.ReadAt(p[n:n+int(min(int64(len(p)-n), f.each-at%f.each))], at%f.each)
		n += got
		if err != nil && n < len(p) {
			return n, err
		}
	}
	return n, nil
}

// sync makes what was written durable, and that the files are there.
func (f *files) sync() error {
	f.mu.Lock()
	var written []disk
	for i, file := range f.list {
		if f.dirty[i] {
			written, f.dirty[i] = append(written, file), false
		}
	}
	fresh := f.fresh
	f.fresh = false
	f.mu.Unlock()
	for _, file := range written {
		if err := file.Sync(); err != nil {
			return err
		}
	}
	if !fresh {
		return nil
	}
	folder, err := os.Open(f.folder)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (f *files) close() (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, file := range f.list {
		err = errors.Join(err, file.Close())
	}
	f.list, f.dirty = nil, nil
	return err
}
