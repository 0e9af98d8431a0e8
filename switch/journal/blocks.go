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

// The block files of the embedded server are read here directly, for two reasons. A flipped byte in a stored sequence
// number makes JetStream fill the gap it seems to see, entry by entry, until memory is gone: the files must be known
// to be good before the server opens them. And an operator must be able to read a journal while its owner runs.
//
// Only what JetStream v2.15.2 writes for our stream (no compression, no encryption, no deletes) is understood; anything
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

	// maxRecord bounds what one interrupted append can have left behind.
	maxRecord = maxPayload + 64<<10
	// maxBlock is far above what JetStream writes: blocks of 8 MiB and the record that went over.
	maxBlock = 64 << 20
)

// errRecord is the reason why bytes are not a record.
var errRecord = errors.New("not a record")

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

func streamsDir(dir string) string { return filepath.Join(dir, "store", "jetstream", "$G", "streams") }

func openBlocks(dir, programme string) blocks {
	return blocks{
		dir:     filepath.Join(streamsDir(dir), streamName(programme), "msgs"),
		stream:  streamName(programme),
		subject: subjectName(programme),
	}
}

// torn is what an interrupted append left at the end of the last block.
type torn struct {
	file   string
	offset int64
	reason error
}

func (t *torn) String() string {
	return fmt.Sprintf("%s holds no record at offset %d (%v)", t.file, t.offset, t.reason)
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
				if i == len(files)-1 && oneAppend(buf[at:]) {
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

// oneAppend says that rest may be what a single interrupted append has left: the writer never has two in flight, so
// anything with a second batch in it was once whole.
func oneAppend(rest []byte) bool {
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

// cut removes what an interrupted append has left, and the index that may know of it, so that the server finds only
// whole records and reads them all anew.
func (b blocks) cut(t *torn) error {
	f, err := os.OpenFile(t.file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(t.offset), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("cut torn append off %s: %w", t.file, err)
	}
	if err := os.Remove(filepath.Join(b.dir, "index.db")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFolder(b.dir)
}

// roll notices when the server begins a new block. The server syncs what it writes into a block, but not the folder in
// which the block appears: after a power loss a whole synced file could be without a name.
type roll struct {
	dir  string
	last uint64
	next string // the file that the server will create when the present block is full
}

// openRoll syncs the stream's folder and those above it, up to the journal's.
func (b blocks) openRoll(top string) (*roll, error) {
	r := &roll{dir: b.dir}
	r.next = r.name(1)
	if _, err := r.advance(); err != nil {
		return nil, err
	}
	for dir := b.dir; ; dir = filepath.Dir(dir) {
		if err := syncFolder(dir); err != nil {
			return nil, err
		}
		if dir == filepath.Clean(top) {
			return r, nil
		}
	}
}

func (r *roll) name(index uint64) string {
	return filepath.Join(r.dir, strconv.FormatUint(index, 10)+".blk")
}

// advance moves over blocks that have appeared.
func (r *roll) advance() (moved bool, err error) {
	for {
		_, err := os.Lstat(r.next)
		if errors.Is(err, fs.ErrNotExist) {
			return moved, nil
		}
		if err != nil {
			return moved, err
		}
		r.last++
		moved, r.next = true, r.name(r.last+1)
	}
}

// appended makes the name of a new block durable; without a new block it costs one look at the folder.
func (r *roll) appended() error {
	moved, err := r.advance()
	if err != nil || !moved {
		return err
	}
	return syncFolder(r.dir)
}
