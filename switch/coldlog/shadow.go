package coldlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// Shadow is the log of an engine that replays a journal beside the one whose log it is: it writes nothing there. What that
// engine would write is compared with what is there. From the first bytes on that are not, it goes on in a file of its own,
// which has no name and is gone with the process.
//
// A log may rightly end early, or hold other bytes behind the last record of the newest snapshot: a crash took them away,
// or the owner's buffer has them. Whether that is so is for the caller to say, who knows what the snapshots refer to.
type Shadow struct {
	folder string
	work   string // folder of the file of its own
	each   int64
	mu     sync.Mutex // guards list: readers may be many
	list   []*os.File

	ahead   []byte // of the log, read at once for the records to come …
	aheadAt int64  // … from here on

	own  *os.File
	from int64 // where the file of its own begins; −1 while there is none
	end  int64 // behind the last byte written
}

// OpenShadow looks at the log in a folder, which need not be there. work is the folder for what is not; "" is the system's for
// temporary files.
func OpenShadow(folder, work string) *Shadow {
	return &Shadow{folder: folder, work: work, each: fileSize, from: -1}
}

// Parted is the offset from which on the log did not hold what was written, and whether there is one.
func (s *Shadow) Parted() (offset int64, ok bool) { return s.from, s.from >= 0 }

// End is how much was written.
func (s *Shadow) End() int64 { return s.end }

// WriteAt compares p with what is there, or keeps it.
func (s *Shadow) WriteAt(p []byte, offset int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.end = max(s.end, offset+int64(len(p)))
	if s.from < 0 {
		if s.holds(p, offset) {
			return len(p), nil
		}
		f, err := os.CreateTemp(s.work, "huanxin-cold-*")
		if err != nil {
			return 0, err
		}
		if err := os.Remove(f.Name()); err != nil {
			return 0, errors.Join(err, f.Close())
		}
		s.own, s.from = f, offset
	}
	if offset < s.from {
		return 0, fmt.Errorf("cold log: a record at %d, behind %d", offset, s.from)
	}
	return s.own.WriteAt(p, offset-s.from)
}

// readAhead is what is read of the log at once, to be compared with what is written.
const readAhead = 256 << 10

// holds reports whether the log has p at offset. What was read ahead may have been too early: it is read anew before it is said
// to be another.
func (s *Shadow) holds(p []byte, offset int64) bool {
	if at := offset - s.aheadAt; at >= 0 && at+int64(len(p)) <= int64(len(s.ahead)) && bytes.Equal(s.ahead[at:at+int64(len(p))], p) {
		return true
	}
	if want := max(readAhead, len(p)); cap(s.ahead) < want {
		s.ahead = make([]byte, want)
	}
	s.ahead = s.ahead[:cap(s.ahead)]
	n, _ := s.live(s.ahead, offset)
	s.ahead, s.aheadAt = s.ahead[:n], offset
	return n >= len(p) && bytes.Equal(s.ahead[:len(p)], p)
}

// ReadAt reads as io.ReaderAt says, of what was written. Any number may read while nobody writes.
func (s *Shadow) ReadAt(p []byte, offset int64) (n int, err error) {
	wanted := len(p)
	if left := s.end - offset; left < int64(len(p)) {
		if left <= 0 {
			return 0, io.EOF
		}
		p = p[:left]
	}
	if live := int64(len(p)); s.from < 0 || offset < s.from {
		if s.from >= 0 {
			live = min(live, s.from-offset)
		}
		if n, err = s.live(p[:live], offset); err != nil {
			return n, err
		}
	}
	if n < len(p) {
		got, err := s.own.ReadAt(p[n:], offset+int64(n)-s.from)
		if n += got; err != nil {
			return n, err
		}
	}
	if n < wanted {
		return n, io.EOF
	}
	return n, nil
}

// live reads from the files of the log. One that was not there when it was asked for before may be by now.
func (s *Shadow) live(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		at := offset + int64(n)
		f := s.file(int(at / s.each))
		if f == nil {
			return n, io.EOF
		}
		got, err := f.ReadAt(p[n:n+int(min(int64(len(p)-n), s.each-at%s.each))], at%s.each)
		n += got
		if err != nil && n < len(p) {
			return n, err
		}
	}
	return n, nil
}

// file is file i of the log, nil while it is not there.
func (s *Shadow) file(i int) *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.list) <= i {
		f, err := os.Open(filepath.Join(s.folder, fmt.Sprintf("%06d.cold", len(s.list))))
		if err != nil {
			return nil
		}
		s.list = append(s.list, f)
	}
	return s.list[i]
}

// Close closes the files.
func (s *Shadow) Close() (err error) {
	for _, f := range s.list {
		err = errors.Join(err, f.Close())
	}
	if s.own != nil {
		err = errors.Join(err, s.own.Close())
	}
	return err
}
