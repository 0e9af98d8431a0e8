package journal

import (
	"context"
	"crypto/sha256"
	"fmt"
)

// Report says what a walk over the whole chain found.
type Report struct {
	Programme string
	Batches   uint64
	Events    uint64
	Bytes     int64  // of the packed batches
	Last      Mark   // position and hash of the last batch; position 0 for an empty journal
	LastSeq   uint64 // number of the last event
	// Torn describes bytes of an append that was interrupted and that nobody has seen acknowledged; "" when there are
	// none. They are cut off at the next start.
	Torn string
}

// walk follows the chain from its first batch and holds it against the marks.
type walk struct {
	report Report
	marks  []Mark
	end    link
}

func newWalk(programme string, marks []Mark) *walk {
	return &walk{report: Report{Programme: programme}, marks: marks, end: genesisLink(programme)}
}

// step takes the next batch.
func (w *walk) step(raw []byte) error {
	h, err := parseHeader(raw)
	if err != nil {
		return fmt.Errorf("position %d: %w", w.end.position+1, err)
	}
	return w.take(surveyed{h, sha256.Sum256(raw), len(raw)})
}

// take takes the next batch, which has been read already.
func (w *walk) take(b surveyed) error {
	if err := w.end.joins(b.header); err != nil {
		return fmt.Errorf("position %d: %w", w.end.position+1, err)
	}
	next := w.end.after(b.header, b.hash)
	w.end = next
	w.report.Batches++
	w.report.Events += uint64(b.header.count)
	w.report.Bytes += int64(b.size)
	w.report.Last = Mark{Name: "last batch", Position: next.position, Hash: next.hash}
	w.report.LastSeq = next.nextSeq - 1
	for _, m := range w.marks {
		if m.Position == next.position && m.Hash != (Hash{}) && m.Hash != next.hash {
			return diverged(m, next.hash)
		}
	}
	return nil
}

// unlessDone is fn until ctx ends: a walk over years of batches must be able to be stopped.
func unlessDone[T any](ctx context.Context, fn func(T) error) func(T) error {
	return func(v T) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return fn(v)
	}
}

// diverged says that the batch at a marked position is not the one that was seen there.
func diverged(m Mark, held Hash) error {
	return fmt.Errorf("position %d: %w: %s has seen %x there, the stream holds %x", m.Position, ErrDiverged, m.Name, m.Hash[:8], held[:8])
}

// reached checks that the chain has come as far as every mark. t is what follows the last whole batch, if anything.
func (w *walk) reached(t *torn) error {
	for _, m := range w.marks {
		if m.Position <= w.end.position {
			continue
		}
		err := fmt.Errorf("position %d: %w: %s is at position %d", w.end.position, ErrShort, m.Name, m.Position)
		if t != nil {
			err = fmt.Errorf("%w; position %d: %w: %s", err, w.end.position+1, ErrDamaged, t)
		}
		return err
	}
	if t != nil {
		w.report.Torn = t.String()
	}
	return nil
}
