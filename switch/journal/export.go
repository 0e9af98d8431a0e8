package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// An export is a journal in one flat file, independent of the folder's files: for fixtures and archives. Integers are
// big-endian.
//
//	"HXJX" │ version (2) │ length of the programme's name (2) │ name
//	then for each batch: length (4) │ packed batch, as in batch.go
const exportVersion = 1

var exportMagic = []byte("HXJX")

// ErrExport is returned when a file is not an export, or ends inside a batch.
var ErrExport = errors.New("not a journal export")

// Export writes every batch to w, verifying the chain on the way. With an error – those of Verify – what was written is short.
func (f *Folder) Export(w io.Writer) (Report, error) {
	out := bufio.NewWriterSize(w, 1<<20)
	head := append([]byte(nil), exportMagic...)
	head = binary.BigEndian.AppendUint16(head, exportVersion)
	head = binary.BigEndian.AppendUint16(head, uint16(len(f.programme)))
	if _, err := out.Write(append(head, f.programme...)); err != nil {
		return Report{}, err
	}
	wk := newWalk(f.programme, []Mark{f.mark})
	t, err := f.batches.scan(func(raw []byte) error {
		if err := wk.step(raw); err != nil {
			return err
		}
		if _, err := out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(raw)))); err != nil {
			return err
		}
		_, err := out.Write(raw)
		return err
	})
	if err == nil {
		err = wk.reached(t)
	}
	return wk.report, errors.Join(err, out.Flush())
}

// ReadExport verifies an export from its first batch on and hands each batch to fn (nil: verify only). It returns
// ErrExport, ErrDamaged, ErrChain or ErrVersion, wrapped with the position.
func ReadExport(r io.Reader, fn func(*Batch) error) (Report, error) {
	in := bufio.NewReaderSize(r, 1<<20)
	programme, err := readExportHead(in)
	if err != nil {
		return Report{}, err
	}
	w := newWalk(programme, nil)
	var raw []byte
	for {
		if raw, err = readExportBatch(in, raw[:0]); errors.Is(err, io.EOF) {
			return w.report, nil
		} else if err != nil {
			return w.report, fmt.Errorf("position %d: %w", w.end.position+1, err)
		}
		before := w.end
		if err := w.step(raw); err != nil {
			return w.report, err
		}
		if fn == nil {
			continue
		}
		_, b, err := before.batch(raw, nil)
		if err != nil {
			return w.report, fmt.Errorf("position %d: %w", w.end.position, err)
		}
		if err := fn(b); err != nil {
			return w.report, err
		}
	}
}

func readExportHead(in io.Reader) (programme string, err error) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:]); err != nil || string(head[:4]) != string(exportMagic) {
		return "", fmt.Errorf("%w: no magic", ErrExport)
	}
	if v := binary.BigEndian.Uint16(head[4:]); v != exportVersion {
		return "", fmt.Errorf("%w: export format %d, this program reads %d", ErrVersion, v, exportVersion)
	}
	name := make([]byte, binary.BigEndian.Uint16(head[6:]))
	if _, err := io.ReadFull(in, name); err != nil || !programmeName.Match(name) {
		return "", fmt.Errorf("%w: programme's name", ErrExport)
	}
	return string(name), nil
}

// readExportBatch returns io.EOF at the end of the file.
func readExportBatch(in io.Reader, raw []byte) ([]byte, error) {
	var word [4]byte
	if n, err := io.ReadFull(in, word[:]); n == 0 && errors.Is(err, io.EOF) {
		return raw, io.EOF
	} else if err != nil {
		return raw, fmt.Errorf("%w: ends in a length", ErrExport)
	}
	size := binary.BigEndian.Uint32(word[:])
	if size > maxPayload {
		return raw, fmt.Errorf("%w: batch of %d bytes", ErrExport, size)
	}
	// Grown as the bytes arrive: a wrong length must not cost memory.
	part := io.LimitReader(in, int64(size))
	for {
		if len(raw) == cap(raw) {
			raw = append(raw, 0)[:len(raw)]
		}
		n, err := part.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+n]
		if len(raw) == int(size) {
			return raw, nil
		}
		if err != nil {
			return raw, fmt.Errorf("%w: ends inside a batch", ErrExport)
		}
	}
}
