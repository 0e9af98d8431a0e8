package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// The mark file says how far the journal had come, apart from the stream: JetStream cuts a last block that does not
// check and hands the sequences out again, so the stream alone cannot tell a lost batch from one never appended.
//
// Two slots, one file-system block apart, written in turn (position odd, position even), so that a torn write leaves
// the other. Integers are big-endian.
//
//	 0       4               12                                     44      48
//	┌───────┬───────────────┬──────────────────────────────────────┬───────┐
//	│"HXJM" │ position      │ hash of the batch at that position   │CRC-32C│
//	└───────┴───────────────┴──────────────────────────────────────┴───────┘
const (
	markSize = 48
	slotSize = 4096
	ownMark  = "the journal's own mark"
)

var markMagic = []byte("HXJM")

// ErrMarkDamaged is returned when neither slot of the mark file can be read. The stream may still be whole: check it
// with `huanxin journal verify`, compare its last position with Postgres, then remove the file.
var ErrMarkDamaged = errors.New("mark file damaged")

// markFile is owned by whoever owns the journal.
type markFile struct {
	name string
	f    logFile // nil until the first set: a journal that has never been opened has no mark
	buf  [markSize]byte
}

// openMark opens the file. isNew is true when there is none: the journal has never been opened here.
func openMark(name string) (_ *markFile, own Mark, isNew bool, err error) {
	own.Name = ownMark
	f, err := os.OpenFile(name, os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return &markFile{name: name}, own, true, nil
	}
	if err != nil {
		return nil, own, false, err
	}
	own, err = readMark(f, own.Name)
	if err != nil {
		f.Close()
		return nil, own, false, fmt.Errorf("%s: %w", name, err)
	}
	return &markFile{name: name, f: diskFile{f}}, own, false, nil
}

func readMark(r io.ReaderAt, name string) (Mark, error) {
	best, found := Mark{Name: name}, false
	for slot := int64(0); slot < 2; slot++ {
		var b [markSize]byte
		if n, err := r.ReadAt(b[:], slot*slotSize); err != nil && !errors.Is(err, io.EOF) {
			return best, err
		} else if n < markSize {
			continue
		}
		if !bytes.Equal(b[:4], markMagic) || binary.BigEndian.Uint32(b[44:]) != crc32.Checksum(b[:44], castagnoli) {
			continue
		}
		if p := binary.BigEndian.Uint64(b[4:]); !found || p > best.Position {
			best.Position, best.Hash, found = p, Hash(b[12:44]), true
		}
	}
	if !found {
		return best, ErrMarkDamaged
	}
	return best, nil
}

// set writes the end of the chain to the slot whose turn it is.
func (m *markFile) set(end link, sync bool) error {
	b := m.buf[:]
	copy(b, markMagic)
	binary.BigEndian.PutUint64(b[4:], end.position)
	copy(b[12:44], end.hash[:])
	binary.BigEndian.PutUint32(b[44:], crc32.Checksum(b[:44], castagnoli))
	slot := int64(end.position%2) * slotSize
	if m.f == nil {
		return m.create(b, slot)
	}
	if _, err := m.f.WriteAt(b, slot); err != nil {
		return err
	}
	if sync {
		return m.f.Sync()
	}
	return nil
}

// create makes the file appear with a whole slot in it or not at all.
func (m *markFile) create(b []byte, slot int64) error {
	f, err := os.OpenFile(m.name+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, slot)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(m.name+".new", m.name)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(m.name))
	}
	if err != nil {
		f.Close()
		return err
	}
	m.f = diskFile{f}
	return nil
}

func (m *markFile) close() error {
	if m.f == nil {
		return nil
	}
	return errors.Join(m.f.Sync(), m.f.Close())
}

// makeFolder makes a folder with those above it, each durable in the one above.
func makeFolder(dir string, sync func(string) error) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
		if err := makeFolder(filepath.Dir(dir), sync); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil {
		return err
	}
	return sync(filepath.Dir(dir))
}

// syncFolder makes a rename in the folder durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
