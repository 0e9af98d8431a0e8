package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/highwayhash"
)

// Earlier releases kept the journal in an embedded NATS server. The block files of its store are read here, by ourselves, to
// bring such a journal over (import.go) and to show one that has not been opened since.
//
// Only what JetStream v2.15.2 wrote for our stream (no compression, no encryption, no deletes) is understood; anything
// else is refused. Files are N.blk, N = 1, 2, 3 …, holding records one after another, integers little-endian:
//
//	 0       4          12         20    22
//	┌───────┬──────────┬──────────┬─────┬─────────┬───────┬─────────┬─────────┬──────────────┐
//	│length │ sequence │ time     │ s   │subject s│ h (4) │header h │ message │ HighwayHash 8│
//	└───────┴──────────┴──────────┴─────┴─────────┴───────┴─────────┴─────────┴──────────────┘
//
// The length is the whole record's; its top bit says that h and header are there. The hash covers sequence, time,
// subject, header and message; its key is SHA-256("STREAM-N"). Length, s and h are covered by nothing of JetStream's:
// a flip in them moves the message's bounds and is found by our own CRC.
const (
	recordHeader   = 22
	recordHash     = 8
	recordTop      = 1 << 31
	sequenceErased = 1 << 63 // deleted message
	sequenceGrave  = 1 << 62 // tombstone: refers to a message, is none itself

	// maxBlock is far above what JetStream writes: blocks of 8 MiB and the record that went over.
	maxBlock = 64 << 20
)

// record is one parsed record; its slices lie in the block's buffer.
type record struct {
	sequence uint64
	subject  []byte
	message  []byte
}

// parseRecord reads the record at the start of buf and returns its length.
func parseRecord(buf []byte, digest hash.Hash) (record, int, error) {
	if len(buf) < recordHeader+recordHash {
		return record{}, 0, fmt.Errorf("%w: %d bytes left", errRecord, len(buf))
	}
	word := binary.LittleEndian.Uint32(buf)
	length, subject := uint64(word&^recordTop), uint64(binary.LittleEndian.Uint16(buf[20:]))
	from, least := recordHeader+subject, recordHeader+subject+recordHash
	if word&recordTop != 0 {
		from, least = from+4, least+4
	}
	if length > uint64(len(buf)) || length < least {
		return record{}, 0, fmt.Errorf("%w: length %d", errRecord, length)
	}
	covered := buf[from : length-recordHash]
	digest.Reset()
	digest.Write(buf[4:20])
	digest.Write(buf[recordHeader : recordHeader+subject])
	digest.Write(covered)
	var sum [recordHash]byte
	if !bytes.Equal(digest.Sum(sum[:0]), buf[length-recordHash:length]) {
		return record{}, 0, fmt.Errorf("%w: hash", errRecord)
	}
	if word&recordTop != 0 {
		h := uint64(binary.LittleEndian.Uint32(buf[from-4:]))
		if h > uint64(len(covered)) {
			return record{}, 0, fmt.Errorf("%w: header of %d bytes", errRecord, h)
		}
		covered = covered[h:]
	}
	return record{
		sequence: binary.LittleEndian.Uint64(buf[4:]),
		subject:  buf[recordHeader : recordHeader+subject],
		message:  covered,
	}, int(length), nil
}

// blocks is the folder of a stream's block files.
type blocks struct {
	dir     string
	stream  string
	subject string
}

// storeDir is the folder of the embedded server's files.
func storeDir(dir string) string { return filepath.Join(dir, "store") }

func streamsDir(dir string) string { return filepath.Join(storeDir(dir), "jetstream", "$G", "streams") }

func openBlocks(dir, programme string) blocks {
	return blocks{
		dir:     filepath.Join(streamsDir(dir), streamName(programme), "msgs"),
		stream:  streamName(programme),
		subject: subjectName(programme),
	}
}

// storedProgrammes lists the programmes that have a stream in the folder.
func storedProgrammes(dir string) ([]string, error) {
	entries, err := os.ReadDir(streamsDir(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ours := strings.CutPrefix(e.Name(), streamPrefix); ours && e.IsDir() {
			names = append(names, name)
		}
	}
	return names, nil
}

// scan hands fn every message in order. A record that does not check is damage, unless it is the last thing in the last
// block and no more than one append can have left: that is returned as torn, and the caller judges whether anybody has
// seen the batch. Nothing is changed.
func (b blocks) scan(fn func(raw []byte) error) (*torn, error) {
	files, err := b.files()
	if err != nil {
		return nil, err
	}
	var buf []byte
	position := uint64(0)
	for i, file := range files {
		if buf, err = readBlock(buf, file.name); err != nil {
			return nil, err
		}
		digest, err := b.digest(file.index)
		if err != nil {
			return nil, err
		}
		for at := 0; at < len(buf); {
			rec, n, err := parseRecord(buf[at:], digest)
			if err != nil {
				t := &torn{file: file.name, offset: int64(at), reason: err}
				if i == len(files)-1 && oneRecord(buf[at:]) {
					return t, nil
				}
				return nil, fmt.Errorf("position %d: %w: %s", position+1, ErrDamaged, t)
			}
			at += n
			if rec.sequence&sequenceGrave != 0 {
				continue
			}
			if rec.sequence != position+1 {
				return nil, fmt.Errorf("position %d: %w: %s continues with sequence %d", position+1, ErrMissing, file.name, rec.sequence&^sequenceErased)
			}
			position++
			if string(rec.subject) != b.subject {
				return nil, fmt.Errorf("position %d: %w: subject %.64q", position, ErrDamaged, rec.subject)
			}
			if err := fn(rec.message); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// oneRecord says that rest may be what a single interrupted append has left: the writer never had two in flight, so
// anything with a second batch in it was once whole.
func oneRecord(rest []byte) bool {
	return len(rest) <= maxRecord && bytes.Count(rest, batchMagic) <= 1
}

type blockFile struct {
	index uint64
	name  string
}

// files lists the blocks that hold something, in order.
func (b blocks) files() ([]blockFile, error) {
	entries, err := os.ReadDir(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []blockFile
	for _, e := range entries {
		number, isBlock := strings.CutSuffix(e.Name(), ".blk")
		if !isBlock {
			continue
		}
		index, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%w: unexpected file %s", ErrDamaged, e.Name())
		}
		if fi, err := e.Info(); err != nil {
			return nil, err
		} else if fi.Size() > 0 {
			files = append(files, blockFile{index: index, name: filepath.Join(b.dir, e.Name())})
		}
	}
	slices.SortFunc(files, func(x, y blockFile) int { return int(x.index) - int(y.index) })
	return files, nil
}

func (b blocks) digest(index uint64) (hash.Hash, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", b.stream, index))
	return highwayhash.New64(key[:])
}

// readBlock reads a whole file into buf.
func readBlock(buf []byte, name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return buf, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return buf, err
	}
	if fi.Size() > maxBlock {
		return buf, fmt.Errorf("%w: %s has %d bytes", ErrDamaged, name, fi.Size())
	}
	buf = slices.Grow(buf[:0], int(fi.Size()))[:fi.Size()]
	// While the owner runs the file only grows; what comes after this size is not ours to see yet.
	if _, err := io.ReadFull(f, buf); err != nil {
		return buf, fmt.Errorf("read %s: %w", name, err)
	}
	return buf, nil
}
