package projection

import (
	"context"
	"fmt"
)

// Once projects batches that follow each other in one transaction and returns the position that they lead to. It is what a
// Projector does again and again, without goroutines, pauses and what is kept in memory in between: for the simulation, in
// which nothing may happen but in its own order. Batches up to the stored position are left out.
func Once(ctx context.Context, store Store, batches []Batch) (Position, error) {
	at, err := store.Position(ctx)
	if err != nil {
		return at, err
	}
	for len(batches) > 0 && batches[0].Position <= at.Batch {
		batches = batches[1:]
	}
	if len(batches) == 0 {
		return at, nil
	}
	f, err := openFold(ctx, store, at.Seq)
	if err != nil {
		return at, err
	}
	f.begin()
	to := at
	for _, b := range batches {
		if b.Position != to.Batch+1 {
			return at, fmt.Errorf("%w: batch %d follows batch %d", ErrParted, b.Position, to.Batch)
		}
		to.Batch, to.Hash = b.Position, b.Hash
	}
	if err := f.fold(ctx, batches); err != nil {
		return at, err
	}
	to.Seq, to.At = f.seq, f.at
	rows, err := store.Pack(f.changes())
	if err != nil {
		return at, err
	}
	if err := store.Write(ctx, at, to, rows); err != nil {
		return at, err
	}
	return to, nil
}
