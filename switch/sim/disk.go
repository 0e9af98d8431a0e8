package sim

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"huanxin/switch/journal"
)

// errInjected is what every fault of the simulation wraps: an error that does not is the product's own.
var errInjected = errors.New("injected")

// sector is what a disk writes whole or not at all.
const sector = 512

// file is a file of a fixed size, filled with zeros, behind a page cache. What a process has written survives its death;
// what was not synced may be lost with the machine, sector by sector; and what a failed sync was about may be on no disk
// although every later sync says that it is.
type file struct {
	name  string
	w     *world
	size  int64
	view  []byte         // what a reader sees
	disk  []byte         // what a power loss leaves for certain
	dirty map[int64]bool // sectors written and not synced
	lost  map[int64]bool // sectors that the cache holds for clean and the disk does not have
	end   int64          // behind the last write

	// Faults, each good for one call.
	short   bool // a write stops in the middle: the disk is full
	noSync  bool // a sync fails and has persisted nothing
	badSync bool // a sync fails after it has persisted everything
}

func newFile(w *world, name string, size int64) *file {
	return &file{w: w, name: name, size: size, dirty: map[int64]bool{}, lost: map[int64]bool{}}
}

func (f *file) Size() int64  { return f.size }
func (f *file) Close() error { return nil }

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), f.size-off))
	clear(p[:n])
	if off < int64(len(f.view)) {
		copy(p[:n], f.view[off:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if f.name == "mark" {
		f.w.pass(pointMark)
	} else if f.w.reaches(pointWriting) {
		f.put(p[:f.w.rng.IntN(len(p))], off)
		f.w.pass(pointWriting)
	}
	if off+int64(len(p)) > f.size {
		return 0, fmt.Errorf("simulated file %s is too small", f.name)
	}
	if f.short {
		f.short = false
		f.w.count("fault: disk full")
		n := f.w.rng.IntN(len(p))
		f.put(p[:n], off)
		return n, fmt.Errorf("%w: no space left on device", errInjected)
	}
	f.put(p, off)
	return len(p), nil
}

func (f *file) put(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	end := off + int64(len(p))
	f.end = end
	f.view = grown(f.view, end)
	copy(f.view[off:], p)
	for s := off / sector; s <= (end-1)/sector; s++ {
		f.dirty[s] = true
		delete(f.lost, s)
	}
}

func grown(b []byte, n int64) []byte {
	if int64(len(b)) < n {
		b = append(b, make([]byte, n-int64(len(b)))...)
	}
	return b
}

func (f *file) Sync() error {
	if f.name == "log" {
		f.w.pass(pointWritten)
	}
	if f.noSync {
		f.noSync = false
		f.w.count("fault: sync fails")
		for s := range f.dirty {
			f.lost[s] = true
		}
		clear(f.dirty)
		return fmt.Errorf("%w: input/output error", errInjected)
	}
	f.disk = grown(f.disk, int64(len(f.view)))
	for s := range f.dirty {
		f.copySector(f.disk, f.view, s)
	}
	clear(f.dirty)
	if f.badSync {
		f.badSync = false
		f.w.count("fault: sync fails after persisting")
		return fmt.Errorf("%w: input/output error", errInjected)
	}
	return nil
}

func (f *file) copySector(dst, src []byte, s int64) {
	from := s * sector
	if from < int64(len(src)) {
		copy(dst[from:], src[from:min(int64(len(src)), from+sector)])
	}
}

// unsynced is how many sectors up to the end of the last write a power loss might take away. Behind it, remains of an append
// that was cut off may lie on the disk.
func (f *file) unsynced() (n int) {
	for _, set := range []map[int64]bool{f.dirty, f.lost} {
		for s := range set {
			if s*sector < f.end {
				n++
			}
		}
	}
	return n
}

// loseDirty is a power loss: of what was not synced each sector is there or not.
func (f *file) loseDirty() {
	f.disk = grown(f.disk, int64(len(f.view)))
	for _, s := range slices.Sorted(keysOf(f.dirty)) {
		if f.w.rng.IntN(2) == 0 {
			f.copySector(f.disk, f.view, s)
			f.w.count("fault: torn write")
		}
	}
	f.view = slices.Clone(f.disk)
	clear(f.dirty)
	clear(f.lost)
}

// stream is a cluster's: messages that follow each other, whoever sends them, with an answer that may be lost.
type stream struct {
	w        *world
	messages [][]byte
	refuse   bool // the next append is not stored, and nobody knows
	silent   bool // the next append is stored, and its answer is lost
}

func (s *stream) Last() uint64                   { return uint64(len(s.messages)) }
func (s *stream) Message(sequence uint64) []byte { return s.messages[sequence-1] }

func (s *stream) Append(raw []byte, last uint64, named bool) (uint64, error) {
	s.w.pass(pointWriting)
	if s.refuse {
		s.refuse = false
		s.w.count("fault: append lost on the way")
		return 0, fmt.Errorf("%w: time-out", errInjected)
	}
	if named && last != s.Last() {
		s.w.count("fault: stale owner refused")
		return 0, fmt.Errorf("%w: the last message is %d, not %d", journal.ErrFenced, s.Last(), last)
	}
	s.messages = append(s.messages, slices.Clone(raw))
	s.w.pass(pointWritten)
	if s.silent {
		s.silent = false
		s.w.count("fault: answer to an append lost")
		return 0, fmt.Errorf("%w: time-out", errInjected)
	}
	return s.Last(), nil
}

// snapshots keeps the last two states. A file appears under its name when it is whole, so that a crash while it is written
// leaves those before.
type snapshots struct {
	w    *world
	kept []savedState // oldest first
	cold *coldFile
}

type savedState struct {
	journal.Snapshot
	state   []byte
	damaged bool
}

func (s *snapshots) Load(read func(journal.Snapshot, io.Reader) error) (journal.Snapshot, bool) {
	for i := len(s.kept) - 1; i >= 0; i-- {
		if s.kept[i].damaged {
			s.w.count("fault: snapshot damaged")
			continue
		}
		if err := read(s.kept[i].Snapshot, bytesReader(s.kept[i].state)); err == nil {
			return s.kept[i].Snapshot, true
		}
	}
	return journal.Snapshot{}, false
}

func (s *snapshots) Save(snap journal.Snapshot, write func(io.Writer) error) error {
	var b writer
	if err := write(&b); err != nil {
		return err
	}
	s.w.pass(pointSnapshot)
	s.cold.sync()
	s.kept = append(s.kept, savedState{Snapshot: snap, state: b})
	s.kept = s.kept[max(0, len(s.kept)-2):]
	s.w.pass(pointSnapshotSaved)
	return nil
}

// coldFile keeps the records of cold purchases. It is strict within a run: what was written stands.
type coldFile struct {
	b      []byte
	begun  bool // by this run, which says where the log ends for it
	synced int
}

func (c *coldFile) sync() { c.synced = len(c.b) }

func (c *coldFile) WriteAt(p []byte, off int64) (int, error) {
	if off > int64(len(c.b)) {
		return 0, fmt.Errorf("a record at %d, the log ends at %d", off, len(c.b))
	}
	if !c.begun {
		c.begun = true
		c.b = c.b[:off]
		c.synced = min(c.synced, int(off))
	}
	known := min(len(p), len(c.b)-int(off))
	if string(p[:known]) != string(c.b[off:int(off)+known]) {
		return 0, fmt.Errorf("other bytes at %d than before", off)
	}
	c.b = append(c.b, p[known:]...)
	return len(p), nil
}

func (c *coldFile) ReadAt(p []byte, off int64) (n int, err error) {
	if off < int64(len(c.b)) {
		n = copy(p, c.b[off:])
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}
