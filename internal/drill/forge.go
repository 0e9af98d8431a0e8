package drill

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"

	"huanxin/switch/event"
)

// A forger edits facts by hand, with the layouts of the journal's README and nothing of its code.

// forgery is how far a forger goes.
type forgery int

const (
	editedEvent    forgery = iota // one event, and the CRC of its batch
	rewrittenChain                // and every batch after it, so that the chain holds; mark and snapshots, which know better, are removed
)

// Layouts: switch/journal/README.md.
const (
	segmentStart  = 4096
	batchHead     = 68
	batchLength   = 28
	batchPrevious = 32
	batchCRC      = 64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// forge changes the amount of an ordinary sale in the middle of the journal in dir, by one fen.
func forge(dir string, how forgery) (what string, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "log", "*.seg"))
	if err != nil {
		return "", err
	}
	slices.Sort(names)
	segments := make([][]byte, len(names))
	var batches [][]byte // all of the journal, within their segments
	for i, name := range names {
		if segments[i], err = os.ReadFile(name); err != nil {
			return "", err
		}
		for rest := segments[i][segmentStart:]; bytes.HasPrefix(rest, []byte("HXJB")); {
			n := batchHead + int(binary.BigEndian.Uint32(rest[batchLength:]))
			batches = append(batches, rest[:n:n])
			rest = rest[n:]
		}
	}
	edited := -1
	for i := len(batches) / 2; i < len(batches) && edited < 0; i++ {
		if what, err = editSale(batches[i][batchHead:]); err != nil {
			return "", err
		} else if what != "" {
			edited = i
		}
	}
	if edited < 0 {
		return "", fmt.Errorf("%s holds no ordinary sale in its second half", dir)
	}
	seal(batches[edited])
	if how == rewrittenChain {
		for i := edited + 1; i < len(batches); i++ {
			hash := sha256.Sum256(batches[i-1])
			copy(batches[i][batchPrevious:], hash[:])
			seal(batches[i])
		}
		if err := errors.Join(os.Remove(filepath.Join(dir, "mark")), os.RemoveAll(filepath.Join(dir, "snapshots"))); err != nil {
			return "", err
		}
	}
	for i, name := range names {
		if err := os.WriteFile(name, segments[i], 0o600); err != nil {
			return "", err
		}
	}
	return what, nil
}

// seal gives a batch the CRC of what it says.
func seal(batch []byte) {
	sum := crc32.Update(crc32.Checksum(batch[:batchCRC], castagnoli), castagnoli, batch[batchHead:])
	binary.BigEndian.PutUint32(batch[batchCRC:], sum)
}

// editSale edits the first ordinary sale of a batch's body in place, "" when there is none.
func editSale(body []byte) (what string, err error) {
	for len(body) > 0 {
		size, n := binary.Uvarint(body)
		if n <= 0 || size > uint64(len(body)-n) {
			return "", errors.New("a batch's body is not as documented")
		}
		raw := body[n : n+int(size)]
		body = body[n+int(size):]
		var ev event.Event
		if err := ev.UnmarshalVT(raw); err != nil {
			return "", err
		}
		sale := ev.GetSaleSent()
		if sale == nil || !sale.Ordinary {
			continue
		}
		was := sale.Amount
		sale.Amount ^= 1
		is, err := ev.MarshalVT()
		if err != nil {
			return "", err
		}
		if len(is) != len(raw) {
			continue
		}
		copy(raw, is)
		return fmt.Sprintf("event %d, purchase %d: amount %d → %d fen", ev.Seq, sale.Purchase, was, sale.Amount), nil
	}
	return "", nil
}
