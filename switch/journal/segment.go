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
	"slices"
	"strconv"
	"strings"
)

// The journal's own log is a folder of segments, files of a fixed size that were filled with zeros before their first use,
// so that an append changes nothing but bytes: no length, no block map. 00000001.seg, 00000002.seg …, without a gap:
//
//	 0       4     6     8               16              24                  88      92            4096
//	┌───────┬─────┬─────┬───────────────┬───────────────┬───────────────────┬───────┬─────────────┬───────┬───────┬─ ─ ─┐
//	│"HXJL" │vers.│name │ number        │ size of file  │ programme's name  │CRC-32C│ zeros       │ batch │ batch │zeros│
//	└───────┴─────┴─────┴───────────────┴───────────────┴───────────────────┴───────┴─────────────┴───────┴───────┴─ ─ ─┘
//
// "name" is the length of the programme's name; the CRC covers bytes 0–87; integers are big-endian. Batches are as in
// batch.go, one behind the other. One that does not fit into the rest of a segment begins the next: no batch lies in two.
// The header is written when the segment is prepared, so it does not say which batch comes first: the batch says that
// itself, and an interrupted append can only have torn a batch.
const (
	segmentVersion = 1
	segmentHead    = 4096 // a file-system block, which no append rewrites
	segmentSuffix  = ".seg"

	offSegmentName   = 6
	offSegmentNumber = 8
	offSegmentSize   = 16
	offProgramme     = 24
	offSegmentCRC    = 88

	// firstSegmentSize keeps small journals small; every other segment takes the largest batch.
	firstSegmentSize = 4 << 20
	segmentSize      = 64 << 20
)

var segmentMagic = []byte("HXJL")

// errRecord is the reason why bytes are not a record.
var errRecord = errors.New("not a record")

// sizeOfSegment is the size of the file with a number.
func sizeOfSegment(number uint64) int64 {
	if number == 1 {
		return firstSegmentSize
	}
	return segmentSize
}

type segmentHeader struct {
	number    uint64
	size      int64
	programme string
}

// append writes the header's bytes; zeros follow up to segmentHead.
func (h segmentHeader) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, segmentMagic...)
	dst = binary.BigEndian.AppendUint16(dst, segmentVersion)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(h.programme)))
	dst = binary.BigEndian.AppendUint64(dst, h.number)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.size))
	dst = append(dst, h.programme...)
	dst = append(dst, make([]byte, offSegmentCRC-offProgramme-len(h.programme))...)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// parseSegmentHeader reads the first segmentHead bytes of a segment.
func parseSegmentHeader(raw []byte) (segmentHeader, error) {
	if len(raw) < segmentHead || !bytes.Equal(raw[:4], segmentMagic) {
		return segmentHeader{}, fmt.Errorf("%w: no header of a segment", ErrDamaged)
	}
	if want, got := binary.BigEndian.Uint32(raw[offSegmentCRC:]), crc32.Checksum(raw[:offSegmentCRC], castagnoli); want != got {
		return segmentHeader{}, fmt.Errorf("%w: segment header CRC %08x, computed %08x", ErrDamaged, want, got)
	}
	if v := binary.BigEndian.Uint16(raw[4:]); v != segmentVersion {
		return segmentHeader{}, fmt.Errorf("%w: segment format %d, this program reads %d", ErrVersion, v, segmentVersion)
	}
	name := int(binary.BigEndian.Uint16(raw[offSegmentName:]))
	if name > offSegmentCRC-offProgramme || !programmeName.Match(raw[offProgramme:offProgramme+name]) {
		return segmentHeader{}, fmt.Errorf("%w: programme's name in a segment header", ErrDamaged)
	}
	h := segmentHeader{
		number:    binary.BigEndian.Uint64(raw[offSegmentNumber:]),
		size:      int64(binary.BigEndian.Uint64(raw[offSegmentSize:])),
		programme: string(raw[offProgramme : offProgramme+name]),
	}
	if !bytes.Equal(raw[:segmentHead], h.append(make([]byte, 0, segmentHead))[:segmentHead]) {
		return segmentHeader{}, fmt.Errorf("%w: bytes behind a segment header", ErrDamaged)
	}
	return h, nil
}

// segments is the folder of a programme's log, for reading.
type segments struct {
	dir       string
	programme string
}

// segment is one file of it.
type segment struct {
	number uint64
	name   string
}

func logDir(dir string) string { return filepath.Join(dir, "log") }

func (s segments) segment(number uint64) segment {
	return segment{number, filepath.Join(s.dir, fmt.Sprintf("%08d%s", number, segmentSuffix))}
}

// list gives the segments in order. A gap is reported with the batch in front of it by whoever reads that far.
func (s segments) list() ([]segment, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []segment
	for _, e := range entries {
		digits, isSegment := strings.CutSuffix(e.Name(), segmentSuffix)
		if !isSegment {
			continue
		}
		number, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || s.segment(number).name != filepath.Join(s.dir, e.Name()) {
			return nil, fmt.Errorf("position 1: %w: unexpected file %s", ErrDamaged, e.Name())
		}
		list = append(list, s.segment(number))
	}
	slices.SortFunc(list, func(x, y segment) int { return int(x.number) - int(y.number) })
	return list, nil
}

// open opens a segment and checks that it is the one that its name says, and whole.
func (s segments) open(seg segment) (_ *os.File, size int64, err error) {
	f, err := os.Open(seg.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("%w: no file %s", ErrMissing, seg.name)
	}
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	head := make([]byte, segmentHead)
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	h, err := parseSegmentHeader(head)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", seg.name, err)
	}
	fi, err := f.Stat()
	switch {
	case err != nil:
		return nil, 0, err
	case h.programme != s.programme:
		return nil, 0, fmt.Errorf("%w: %s is of %s", ErrProgramme, seg.name, h.programme)
	case h.number != seg.number:
		return nil, 0, fmt.Errorf("%w: %s holds segment %d", ErrDamaged, seg.name, h.number)
	case fi.Size() != h.size:
		return nil, 0, fmt.Errorf("%w: %s has %d bytes of %d", ErrDamaged, seg.name, fi.Size(), h.size)
	}
	return f, h.size, nil
}

// programmeOfLog is the programme whose segments lie in dir; "" when there are none.
func programmeOfLog(dir string) (string, error) {
	list, err := segments{dir: logDir(dir)}.list()
	if err != nil || len(list) == 0 {
		return "", err
	}
	f, err := os.Open(list[0].name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, segmentHead)
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	h, err := parseSegmentHeader(head)
	if err != nil {
		return "", fmt.Errorf("position 1: %s: %w", list[0].name, err)
	}
	return h.programme, nil
}

// inUse says whether one of the segments holds anything.
func inUse(list []segment) (bool, error) {
	for _, seg := range list {
		f, err := os.Open(seg.name)
		if err != nil {
			return false, err
		}
		_, empty, err := firstByte(f, segmentHead)
		f.Close()
		if err != nil || !empty {
			return err == nil, err
		}
	}
	return false, nil
}

// Files are the segments of a folder whose owner has stopped.
type Files struct {
	Sealed []string // never written again: a copy of the folder may share them
	Open   string   // holds the end of the log; "" when there is no log
	Spare  []string // prepared and empty: a copy may leave them out
}

// FilesOf tells the segments in a journal's folder apart.
func FilesOf(dir string) (Files, error) {
	list, err := segments{dir: logDir(dir)}.list()
	if err != nil {
		return Files{}, err
	}
	var files Files
	for i, seg := range list {
		used, err := inUse(list[i+1:])
		switch {
		case err != nil:
			return Files{}, err
		case used:
			files.Sealed = append(files.Sealed, seg.name)
		case files.Open == "":
			files.Open = seg.name
		default:
			files.Spare = append(files.Spare, seg.name)
		}
	}
	return files, nil
}
