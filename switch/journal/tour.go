package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxRecord bounds what one interrupted append can have left behind.
const maxRecord = maxPayload + 64<<10

// tour goes through all segments and remembers what their next owner needs to know.
type tour struct {
	segments
	position uint64         // of the last batch
	index    []segmentStart // of the segments that hold a batch

	at   segment     // the segment that holds the end of the log, or is the first that is empty
	end  int64       // offset of the end in it
	last int         // length of the batch in front of the end; 0 when the segment has none
	torn *torn       // what stands there instead of zeros
	tape io.ReaderAt // where all batches lie that are in no file; nil everywhere but in a simulation

	before lastBatch // of the segments in front
}

// lastBatch is where a segment's last batch lies.
type lastBatch struct {
	file   string
	offset int64
	size   int
}

// segmentStart is the number of a segment and the position of its first batch.
type segmentStart struct{ number, first uint64 }

// torn is what an interrupted append left at the end of the log.
type torn struct {
	file   string
	offset int64
	end    int64 // behind the last byte that is not zero
	reason error
}

func (t *torn) String() string {
	return fmt.Sprintf("%s holds no record at offset %d (%v)", t.file, t.offset, t.reason)
}

// scan hands fn every batch in order. Nothing is changed.
func (s segments) scan(fn func(raw []byte) error) (*torn, error) {
	t := tour{segments: s}
	err := t.run(fn)
	return t.torn, err
}

// run hands fn every batch in order, checked for itself; whether it follows the one before is for fn to say. Bytes that are
// no batch are damage, unless they are the last of the log and no more than one append can have left: that is torn, and
// the caller judges whether anybody has seen the batch.
func (t *tour) run(fn func(raw []byte) error) error {
	list, err := t.list()
	if err != nil {
		return err
	}
	return t.through(list, func(int) []surveyed { return nil }, nil, fn)
}

// runAhead is run for a log that nobody writes. What a batch is in itself is found out ahead, in several segments at a time,
// and handed to take; fn gets the batches that come where that has found no more.
func (t *tour) runAhead(take func(surveyed) error, fn func(raw []byte) error) error {
	list, err := t.list()
	if err != nil {
		return err
	}
	s := t.surveyAhead(list)
	defer s.stop()
	return t.through(list, s.of, take, fn)
}

func (t *tour) through(list []segment, survey func(i int) []surveyed, take func(surveyed) error, fn func(raw []byte) error) error {
	for i, seg := range list {
		if seg.number != uint64(i+1) {
			return fmt.Errorf("position %d: %w: no segment %d in front of %s", t.position+1, ErrMissing, i+1, seg.name)
		}
		if t.last > 0 {
			t.before = t.lastBatch()
		}
		t.at, t.end, t.last = seg, segmentHead, 0
		for _, b := range survey(i) {
			if err := take(b); err != nil {
				return err
			}
			t.passed(b.size)
		}
		if over, err := t.rest(seg, list[i+1:], fn); err != nil || over {
			return err
		}
	}
	return nil
}

// passed notes the next batch of the segment.
func (t *tour) passed(size int) {
	t.position++
	if t.last == 0 {
		t.index = append(t.index, segmentStart{t.at.number, t.position})
	}
	t.end, t.last = t.end+int64(size), size
}

func (t *tour) lastBatch() lastBatch {
	if t.last == 0 {
		return t.before
	}
	return lastBatch{t.at.name, t.end - int64(t.last), t.last}
}

// rest reads a segment from t.end on; over says that the log ends in it.
func (t *tour) rest(seg segment, later []segment, fn func(raw []byte) error) (over bool, err error) {
	f, size, err := t.open(seg)
	if err != nil {
		return false, fmt.Errorf("position %d: %w", t.position+1, err)
	}
	defer f.Close()
	return t.along(f, size, func() (bool, error) { return inUse(later) }, fn)
}

// along is rest for a segment that is open. later says whether one behind it holds anything.
func (t *tour) along(f io.ReaderAt, size int64, later func() (bool, error), fn func(raw []byte) error) (over bool, err error) {
	c := &chunk{f: f, size: size}
	for {
		raw, reason := c.batch(t.end)
		if reason == nil {
			if err := fn(raw); err != nil {
				return false, err
			}
			t.passed(len(raw))
			continue
		}
		if !errors.Is(reason, errRecord) {
			return false, fmt.Errorf("position %d: %s, offset %d: %w", t.position+1, t.at.name, t.end, reason)
		}
		used, err := later()
		if err != nil {
			return false, err
		}
		rest, end, err := readRest(f, t.end)
		if err != nil {
			return false, err
		}
		// Beside a running owner the batch may have arrived meanwhile, even with others behind it: only what still is no
		// batch after all that has been seen is none.
		c.drop()
		if _, err := c.batch(t.end); err == nil {
			continue
		}
		switch {
		case end == t.end:
			return !used, nil
		case !used && t.oneAppend(rest, end-t.end):
			announced, err := t.announced(c)
			if err != nil {
				return false, err
			}
			if announced > 0 && end > t.end+announced {
				break // the next append has been begun, so this one was acknowledged
			}
			t.torn = &torn{file: t.at.name, offset: t.end, end: end, reason: reason}
			return true, nil
		}
		return false, fmt.Errorf("position %d: %w: %s holds no record at offset %d (%w)", t.position+1, ErrDamaged, t.at.name, t.end, reason)
	}
}

// readRest reads from an offset to the last byte that is not zero, if that is no more than one append.
func readRest(f io.ReaderAt, from int64) (rest []byte, end int64, err error) {
	end, err = lastByte(f, from)
	if err != nil || end-from > maxRecord {
		return nil, end, err
	}
	rest = make([]byte, end-from)
	_, err = f.ReadAt(rest, from)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return rest, end, err
}

// oneAppend says that rest may be what a single interrupted append has left: the writer never has two in flight, so
// anything with the beginning of a later batch in it was once whole. Bytes from outside, which events carry, may look like the
// beginning of one, but hardly with a position that can follow.
func (t *tour) oneAppend(rest []byte, length int64) bool {
	if length > maxRecord {
		return false
	}
	for at := 1; at < len(rest); at++ {
		i := bytes.Index(rest[at:], batchStart)
		if i < 0 {
			break
		}
		at += i
		var word [8]byte // rest ends with its last byte that is not zero
		copy(word[:], rest[min(at+offPosition, len(rest)):])
		if p := binary.BigEndian.Uint64(word[:]); p > t.position+1 && p <= t.position+1+maxRecord/headerSize {
			return false
		}
	}
	return true
}

// announced is the length of the batch whose beginning stands whole at the end of the log, and continues the chain; 0 when
// there is none.
func (t *tour) announced(c *chunk) (int64, error) {
	n, err := c.length(t.end)
	if errors.Is(err, errRecord) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	raw, err := c.at(t.end, headerSize)
	if err != nil {
		return 0, err
	}
	if binary.BigEndian.Uint64(raw[offPosition:]) != t.position+1 {
		return 0, nil
	}
	names := Hash(raw[offPrevious:offCRC])
	previous, err := t.hash()
	if err != nil || names != previous {
		return 0, err
	}
	return int64(n), nil
}

// hash is that of the last batch.
func (t *tour) hash() (Hash, error) {
	if t.position == 0 {
		return Genesis(t.programme), nil
	}
	last := t.lastBatch()
	file := t.tape
	if file == nil {
		f, err := os.Open(last.file)
		if err != nil {
			return Hash{}, err
		}
		defer f.Close()
		file = f
	}
	raw := make([]byte, last.size)
	if _, err := file.ReadAt(raw, last.offset); err != nil {
		return Hash{}, err
	}
	return sha256.Sum256(raw), nil
}

// batchStart are a batch's magic, version and reserved bytes; with its zeros it is nothing that a text can hold.
var batchStart = append(bytes.Clone(batchMagic), 0, formatVersion, 0, 0)

// cut overwrites what an interrupted append has left.
func (t *torn) cut() error {
	f, err := os.OpenFile(t.file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, t.end-t.offset), t.offset)
	if err := errors.Join(err, datasync(f), f.Close()); err != nil {
		return fmt.Errorf("cut torn append off %s: %w", t.file, err)
	}
	return nil
}
