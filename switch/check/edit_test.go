package check_test

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"crypto/sha256"

	"huanxin/switch/event"
)

// segment is the bytes of a journal's first segment, for who edits them by hand. The layout of a batch is drawn in package
// journal; it is spelt out here once more on purpose.
type segment struct {
	t     testing.TB
	file  string
	bytes []byte
}

const (
	segmentHead = 4096
	batchHead   = 68
)

func openSegment(t testing.TB, journal string) *segment {
	file := filepath.Join(journal, "log", "00000001.seg")
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	return &segment{t, file, b}
}

func (s *segment) save() { require.NoError(s.t, os.WriteFile(s.file, s.bytes, 0o600)) }

// batches are where the batches of the segment lie.
func (s *segment) batches() (list [][2]int) {
	for at := segmentHead; at+batchHead <= len(s.bytes) && string(s.bytes[at:at+4]) == "HXJB"; {
		end := at + batchHead + int(binary.BigEndian.Uint32(s.bytes[at+28:]))
		list = append(list, [2]int{at, end})
		at = end
	}
	return list
}

// batch is the batch at a position.
func (s *segment) batch(position int) []byte {
	at := s.batches()[position-1]
	return s.bytes[at[0]:at[1]]
}

// replace puts other batches in the place of all.
func (s *segment) replace(batches ...[]byte) {
	at := segmentHead
	clear(s.bytes[segmentHead:])
	for _, b := range batches {
		at += copy(s.bytes[at:], b)
	}
}

// all are copies of the batches.
func (s *segment) all() (list [][]byte) {
	for i := range s.batches() {
		list = append(list, append([]byte(nil), s.batch(i+1)...))
	}
	return list
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sign computes the CRC of a batch anew.
func sign(b []byte) []byte {
	binary.BigEndian.PutUint32(b[28:], uint32(len(b)-batchHead))
	binary.BigEndian.PutUint32(b[64:], crc32.Update(crc32.Checksum(b[:64], castagnoli), castagnoli, b[batchHead:]))
	return b
}

// chain makes every batch name the one before it, from a position on: whoever can write the files can do that.
func chain(batches [][]byte, from int) {
	for i := from; i < len(batches); i++ {
		sum := sha256.Sum256(batches[i-1])
		copy(batches[i][32:64], sum[:])
		sign(batches[i])
	}
}

// edit changes the events of a batch and computes its CRC anew.
func edit(t testing.TB, batch []byte, change func(*event.Event) bool) []byte {
	out, rest, changed := append([]byte(nil), batch[:batchHead]...), batch[batchHead:], false
	for len(rest) > 0 {
		raw, n := protowire.ConsumeBytes(rest)
		require.Positive(t, n)
		rest = rest[n:]
		ev := new(event.Event)
		require.NoError(t, ev.UnmarshalVT(raw))
		if !changed && change(ev) {
			changed = true
			var err error
			raw, err = ev.MarshalVT()
			require.NoError(t, err)
		}
		out = protowire.AppendBytes(out, raw)
	}
	if !changed {
		return nil
	}
	return sign(out)
}

// mark writes the journal's mark as its owner would: the end of the chain.
func (s *segment) mark() {
	batches := s.all()
	b := make([]byte, 48)
	copy(b, "HXJM")
	sum := sha256.Sum256(batches[len(batches)-1])
	binary.BigEndian.PutUint64(b[4:], uint64(len(batches)))
	copy(b[12:44], sum[:])
	binary.BigEndian.PutUint32(b[44:], crc32.Checksum(b[:44], castagnoli))
	file := filepath.Join(filepath.Dir(filepath.Dir(s.file)), "mark")
	old, err := os.ReadFile(file)
	require.NoError(s.t, err)
	clear(old)
	copy(old, b)
	require.NoError(s.t, os.WriteFile(file, old, 0o600))
}
