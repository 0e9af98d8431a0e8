package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Packed is a batch as it lies in the journal, verified against its predecessor and not decoded. It is good until the function
// that it is handed to returns; Keep copies it.
type Packed struct {
	Position uint64
	FirstSeq uint64
	Count    uint32
	Hash     Hash
	raw      []byte
}

// Keep copies the batch into buf, which may be nil, and returns it with the memory that it lies in.
func (p Packed) Keep(buf []byte) (Packed, []byte) {
	buf = append(buf[:0], p.raw...)
	p.raw = buf
	return p, buf
}

// Size is how many bytes the batch has.
func (p Packed) Size() int { return len(p.raw) }

// Lend is the batch for an fn that keeps nothing: its Each decodes and lends the events.
func (p Packed) Lend(loan Lender) *Batch {
	return &Batch{Position: p.Position, FirstSeq: p.FirstSeq, Hash: p.Hash, lent: p.raw[headerSize:], count: p.Count, loan: loan}
}

// errHead ends a walk at the position that it was to come to.
var errHead = errors.New("at the head")

// packedWalk is a walk that hands its batches over as they are, up to a position.
type packedWalk struct {
	*walk
	to uint64 // 0 = to the end
	fn func(Packed) error
}

func (w packedWalk) step(raw []byte) error {
	if w.to != 0 && w.end.position >= w.to {
		return errHead
	}
	before := w.end
	if err := w.walk.step(raw); err != nil {
		return err
	}
	return w.fn(Packed{
		Position: w.end.position, FirstSeq: before.nextSeq, Count: uint32(w.end.nextSeq - before.nextSeq), Hash: w.end.hash, raw: raw,
	})
}

// Head is how far a start would read the journal now: the last whole batch of its last segment, or the mark, if that says more. A
// running owner goes on meanwhile. 0 means that nobody can say: everything is to be read.
func (f *Folder) Head(ctx context.Context) (uint64, error) {
	head := f.mark.Position
	s, ok := f.batches.(segments)
	if !ok {
		return head, nil
	}
	list, err := s.list()
	if err != nil {
		return 0, err
	}
	for _, seg := range slices.Backward(list) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if found := s.survey(seg); len(found) > 0 {
			return max(head, found[len(found)-1].header.position), nil
		}
	}
	return head, nil
}

// ReplayPacked hands fn every batch from the first to position `to` (0 = to the end), verified. With an error, which is one of
// Verify's or fn's own, the report says how far it was good. The chain must hold the marks, of which those behind `to` are not
// looked at.
func (f *Folder) ReplayPacked(ctx context.Context, to uint64, marks []Mark, fn func(Packed) error) (Report, error) {
	within := func(list []Mark) (kept []Mark) {
		for _, m := range list {
			if to == 0 || m.Position <= to {
				kept = append(kept, m)
			}
		}
		return kept
	}
	w := packedWalk{newWalk(f.programme, within(append([]Mark{f.mark}, marks...))), to, fn}
	t, err := f.batches.scan(unlessDone(ctx, w.step))
	if errors.Is(err, errHead) {
		return w.report, nil
	}
	if err == nil {
		err = w.reached(t)
	}
	if err == nil && w.end.position < to {
		err = fmt.Errorf("position %d: %w: the mark is at position %d", w.end.position, ErrShort, to)
	}
	return w.report, err
}

// ReadExportPacked is ReplayPacked for an export.
func ReadExportPacked(ctx context.Context, r io.Reader, fn func(Packed) error) (Report, error) {
	in := bufio.NewReaderSize(r, 1<<20)
	programme, err := readExportHead(in)
	if err != nil {
		return Report{}, err
	}
	w := packedWalk{newWalk(programme, nil), 0, fn}
	step := unlessDone(ctx, w.step)
	var raw []byte
	for {
		if raw, err = readExportBatch(in, raw[:0]); errors.Is(err, io.EOF) {
			return w.report, nil
		} else if err != nil {
			return w.report, fmt.Errorf("position %d: %w", w.end.position+1, err)
		}
		if err := step(raw); err != nil {
			return w.report, err
		}
	}
}
