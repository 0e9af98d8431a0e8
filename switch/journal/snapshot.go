package journal

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"huanxin/switch/coldlog"
)

// A snapshot file holds the state that a given batch leads to. Its name is the position in 20 digits and ".snap".
// Integers are big-endian; the CRC covers bytes 0–99.
//
//	 0       4     6     8               16              24
//	┌───────┬─────┬─────┬───────────────┬───────────────┐
//	│"HXJS" │vers.│ 0 0 │ position      │ engine seq    │
//	├───────┴─────┴─────┴───────────────┴───────────────┤ 24
//	│ hash of the batch at that position                │
//	├───────────────┬───────────────────────────────────┤ 56
//	│ body length   │ SHA-256 of the body               │
//	├───────┬───────┴───────────────────────────────────┤ 96 – four bytes zero – 100
//	│CRC-32C│ body: the engine's own state format       │
//	└───────┴───────────────────────────────────────────┘ 104
const (
	snapshotHeader  = 104
	snapshotVersion = 1
	snapshotsKept   = 2
	snapshotSuffix  = ".snap"
)

var snapshotMagic = []byte("HXJS")

// ErrSnapshot is returned when a snapshot file is not what was written.
var ErrSnapshot = errors.New("snapshot damaged")

// Snapshot names a stored state.
type Snapshot struct {
	Position uint64 // of the last batch applied
	Hash     Hash   // of that batch
	Seq      uint64 // of the last event applied
	Taken    time.Time
}

// SnapshotStore keeps the last two snapshots in a folder. Save belongs to one goroutine.
type SnapshotStore struct {
	dir  string
	cold *coldlog.Log // a state refers to what is in it
	log  *zap.Logger

	place func(string) // of a drill
}

func openSnapshots(dir string, cold *coldlog.Log, log *zap.Logger, place func(string)) (*SnapshotStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := removeUnfinished(dir, snapshotSuffix); err != nil { // of a process that was killed while it saved
		return nil, err
	}
	return &SnapshotStore{dir: dir, cold: cold, log: log, place: place}, nil
}

// Save writes the state that write produces and removes all but the last two. A crash at any moment leaves the earlier
// snapshots as they were: the file appears under its name only when it is whole and synced, and so is what it refers to.
func (s *SnapshotStore) Save(snap Snapshot, write func(io.Writer) error) error {
	name := filepath.Join(s.dir, fmt.Sprintf("%020d%s", snap.Position, snapshotSuffix))
	if err := s.save(name, snap, write); err != nil {
		return fmt.Errorf("save snapshot %d: %w", snap.Position, err)
	}
	return s.prune()
}

func (s *SnapshotStore) save(name string, snap Snapshot, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(name+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(name + ".new")
		}
	}()
	if _, err = f.Write(make([]byte, snapshotHeader)); err != nil {
		return err
	}
	body := &digester{w: &steady{f: f}, sum: sha256.New()}
	buffered := bufio.NewWriterSize(body, 1<<20)
	if err = write(buffered); err != nil {
		return err
	}
	if err = buffered.Flush(); err != nil {
		return err
	}
	if _, err = f.WriteAt(appendSnapshotHeader(nil, snap, body.n, body.sum.Sum(nil)), 0); err != nil {
		return err
	}
	s.place(PlaceSnapshotWritten)
	if err = s.cold.Sync(); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	s.place(PlaceSnapshotSynced)
	if err = os.Rename(name+".new", name); err != nil {
		return err
	}
	s.place(PlaceSnapshotNamed)
	return syncFolder(s.dir)
}

func appendSnapshotHeader(dst []byte, snap Snapshot, length uint64, sum []byte) []byte {
	start := len(dst)
	dst = append(dst, snapshotMagic...)
	dst = binary.BigEndian.AppendUint16(dst, snapshotVersion)
	dst = binary.BigEndian.AppendUint16(dst, 0)
	dst = binary.BigEndian.AppendUint64(dst, snap.Position)
	dst = binary.BigEndian.AppendUint64(dst, snap.Seq)
	dst = append(dst, snap.Hash[:]...)
	dst = binary.BigEndian.AppendUint64(dst, length)
	dst = append(dst, sum...)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// steady syncs a file as it is written. Half a gigabyte in one sync at the end would hold up every sync of the log beside it
// for a tenth of a second.
type steady struct {
	f       *os.File
	written int // since the last sync
}

// steadyBytes take a disk a few milliseconds.
const steadyBytes = 4 << 20

func (s *steady) Write(p []byte) (int, error) {
	n, err := s.f.Write(p)
	if s.written += n; err == nil && s.written >= steadyBytes {
		s.written = 0
		err = datasync(s.f)
	}
	return n, err
}

// digester counts and hashes what is written through it.
type digester struct {
	w   io.Writer
	sum hash.Hash
	n   uint64
}

func (d *digester) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	d.sum.Write(p[:n])
	d.n += uint64(n)
	return n, err
}

// Load hands the newest good snapshot to read. A damaged one, or one that read refuses, is logged and the one before
// taken. ok is false when none is left: the caller replays from position 1.
func (s *SnapshotStore) Load(read func(Snapshot, io.Reader) error) (snap Snapshot, ok bool) {
	for _, name := range s.files() {
		snap, err := s.load(name, read)
		if err == nil {
			return snap, true
		}
		s.log.Warn("snapshot not usable, taking the one before", zap.String("file", name), zap.Error(err))
	}
	return Snapshot{}, false
}

// newest is Load for the header alone.
func (s *SnapshotStore) newest() (Snapshot, bool) {
	return s.Load(func(Snapshot, io.Reader) error { return nil })
}

// load checks the whole file before it lets read see a byte of it.
func (s *SnapshotStore) load(name string, read func(Snapshot, io.Reader) error) (Snapshot, error) {
	f, err := os.Open(name)
	if err != nil {
		return Snapshot{}, err
	}
	defer f.Close()
	snap, err := checkSnapshot(f)
	if err != nil {
		return Snapshot{}, err
	}
	if fi, err := f.Stat(); err == nil {
		snap.Taken = fi.ModTime()
	}
	if _, err := f.Seek(snapshotHeader, io.SeekStart); err != nil {
		return Snapshot{}, err
	}
	return snap, read(snap, bufio.NewReaderSize(f, 1<<20))
}

func checkSnapshot(r io.Reader) (Snapshot, error) {
	h := make([]byte, snapshotHeader)
	if _, err := io.ReadFull(r, h); err != nil {
		return Snapshot{}, fmt.Errorf("%w: header: %w", ErrSnapshot, err)
	}
	if !bytes.Equal(h[:4], snapshotMagic) || binary.BigEndian.Uint32(h[100:]) != crc32.Checksum(h[:100], castagnoli) {
		return Snapshot{}, fmt.Errorf("%w: header", ErrSnapshot)
	}
	if v := binary.BigEndian.Uint16(h[4:]); v != snapshotVersion {
		return Snapshot{}, fmt.Errorf("%w: snapshot format %d, this program reads %d", ErrVersion, v, snapshotVersion)
	}
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	if err != nil {
		return Snapshot{}, err
	}
	if want := binary.BigEndian.Uint64(h[56:]); uint64(n) != want {
		return Snapshot{}, fmt.Errorf("%w: body of %d bytes, %d written", ErrSnapshot, n, want)
	}
	if !bytes.Equal(h[64:96], sum.Sum(nil)) {
		return Snapshot{}, fmt.Errorf("%w: body", ErrSnapshot)
	}
	return Snapshot{
		Position: binary.BigEndian.Uint64(h[8:]),
		Seq:      binary.BigEndian.Uint64(h[16:]),
		Hash:     Hash(h[24:56]),
	}, nil
}

// files lists the snapshots, newest first.
func (s *SnapshotStore) files() []string {
	names, _ := filepath.Glob(filepath.Join(s.dir, "*"+snapshotSuffix)) // the pattern is well-formed
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(b, a) })
	return names
}

func (s *SnapshotStore) prune() error {
	names := s.files()
	for _, name := range names[min(len(names), snapshotsKept):] {
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("remove old snapshot: %w", err)
		}
	}
	return nil
}
