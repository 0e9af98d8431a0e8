package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"huanxin/switch/journal"
	"huanxin/switch/trail"
)

// Index is PostgreSQL, as far as it knows where the journal speaks of a purchase.
type Index interface {
	// Projected is the last batch of the journal that the index has.
	Projected(ctx context.Context) (uint64, error)
	// Positions are the batches that hold events of a purchase, ascending.
	Positions(ctx context.Context, purchase uint64) ([]uint64, error)
	// Settled are the numbers of the events by which a batch of a terminal was settled.
	Settled(ctx context.Context, b trail.Batch) ([]uint64, error)
	// Find returns at most limit purchases, the newest first.
	Find(ctx context.Context, q trail.Query, limit int) ([]trail.Found, error)
}

// Journal is where the facts are read.
type Journal interface {
	// Position is the last acknowledged batch.
	Position() uint64
	// Replay hands fn the batches from a position on, in order, until the end or an error of fn.
	Replay(ctx context.Context, from uint64, fn func(*journal.Batch) error) error
}

// Archive finds purchases and tells their stories. The index says where to read; what it does not have yet, or while it is
// away, is read from the journal itself, as long as the context lets it: then the answer says what is missing.
type Archive struct {
	Index   Index
	Journal Journal
	// IndexTimeout bounds one question to the index; behind it the index counts as away. Default 5 s.
	IndexTimeout time.Duration
}

var errEnough = errors.New("enough")

// Trail tells the story of a purchase. It has no entries when there is no such purchase.
func (a *Archive) Trail(ctx context.Context, purchase uint64) (*trail.Trail, error) {
	end := a.Journal.Position()
	known, from, away := a.places(ctx, purchase)
	b, err := a.read(ctx, purchase, known, from)
	if err != nil {
		return incomplete(ctx, b, away, err)
	}
	if away != nil { // all of it has been read
		return b.Trail(), nil
	}
	// The settlement of its batches is no event of the purchase: the index knows those by themselves.
	more, err := a.settlements(ctx, b.Batches(), known, end)
	if err != nil {
		b.Trail().Incomplete = fmt.Sprintf("the settlement of its batch was not looked up: %v", err)
		return b.Trail(), nil
	}
	if len(more) == 0 {
		return b.Trail(), nil
	}
	known = slices.Compact(slices.Sorted(slices.Values(append(known, more...))))
	whole, err := a.read(ctx, purchase, known, from)
	if err != nil {
		return incomplete(ctx, b, nil, err)
	}
	return whole.Trail(), nil
}

// incomplete gives what there is when reading has taken too long; any other error is one.
func incomplete(ctx context.Context, b *trail.Builder, away, err error) (*trail.Trail, error) {
	if ctx.Err() == nil {
		return nil, err
	}
	t := b.Trail()
	t.Incomplete = fmt.Sprintf("not all of the journal could be read in time (%v)", context.Cause(ctx))
	if away != nil {
		t.Incomplete += fmt.Sprintf("; the index is away: %v", away)
	}
	return t, nil
}

// places says which batches to read: those that the index names, and everything from a position on. An index that is
// ahead of the journal's end, or knows nothing, leaves everything to be read.
func (a *Archive) places(ctx context.Context, purchase uint64) (known []uint64, from uint64, away error) {
	ctx, cancel := a.ask(ctx)
	defer cancel()
	// First how far it is, then what it knows: what comes between is read twice, not never.
	at, err := a.Index.Projected(ctx)
	if err == nil {
		known, err = a.Index.Positions(ctx, purchase)
	}
	if err != nil {
		return nil, 1, err
	}
	known = slices.DeleteFunc(known, func(p uint64) bool { return p > at })
	return known, at + 1, nil
}

func (a *Archive) ask(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout := a.IndexTimeout
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	return context.WithTimeout(ctx, timeout)
}

// read builds the story from known batches and everything from a position on.
func (a *Archive) read(ctx context.Context, purchase uint64, known []uint64, from uint64) (*trail.Builder, error) {
	b := trail.New(purchase)
	add := func(batch *journal.Batch) error {
		for _, ev := range batch.Events {
			b.Add(batch.Position, ev)
		}
		return ctx.Err()
	}
	for _, position := range known {
		batch, err := a.batch(ctx, position)
		if err != nil {
			return b, err
		}
		if err := add(batch); err != nil {
			return b, err
		}
	}
	return b, a.Journal.Replay(ctx, from, add)
}

// batch reads one batch.
func (a *Archive) batch(ctx context.Context, position uint64) (*journal.Batch, error) {
	var found *journal.Batch
	err := a.Journal.Replay(ctx, position, func(b *journal.Batch) error {
		found = b
		return errEnough
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("position %d: %w", position, journal.ErrMissing)
	}
	return found, nil
}

// settlements are the positions at which the first of the batches' settlements after the purchase are.
func (a *Archive) settlements(ctx context.Context, batches []trail.Batch, known []uint64, end uint64) ([]uint64, error) {
	var more []uint64
	if len(known) == 0 {
		return nil, nil
	}
	first, err := a.batch(ctx, known[0])
	if err != nil {
		return nil, err
	}
	for _, b := range batches {
		asking, cancel := a.ask(ctx)
		seqs, err := a.Index.Settled(asking, b)
		cancel()
		if err != nil {
			return nil, err
		}
		slices.Sort(seqs)
		for _, seq := range seqs {
			if seq < first.FirstSeq {
				continue // of an earlier batch with this number
			}
			position, err := a.positionOf(ctx, seq, known[0], end)
			if err != nil {
				return nil, err
			}
			more = append(more, position)
			break
		}
	}
	return more, nil
}

// positionOf finds the batch that holds an event, between two positions: it is the last one that does not begin later.
func (a *Archive) positionOf(ctx context.Context, seq, low, high uint64) (uint64, error) {
	for low < high {
		middle := low + (high-low+1)/2
		b, err := a.batch(ctx, middle)
		if err != nil {
			return 0, err
		}
		if b.FirstSeq <= seq {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low, nil
}

// Find returns the purchases that a query means. While the index is away or behind, the journal is searched from its
// beginning.
func (a *Archive) Find(ctx context.Context, q trail.Query, limit int) (*Finding, error) {
	end := a.Journal.Position()
	asking, cancel := a.ask(ctx)
	at, err := a.Index.Projected(asking)
	if err == nil && at >= end {
		var list []trail.Found
		if list, err = a.Index.Find(asking, q, limit+1); err == nil {
			cancel()
			f := &Finding{Purchases: list}
			if f.More = len(list) > limit; f.More {
				f.Purchases = list[:limit]
			}
			return f, nil
		}
	}
	cancel()
	return a.search(ctx, q, limit, err)
}

func (a *Archive) search(ctx context.Context, q trail.Query, limit int, away error) (*Finding, error) {
	finder := trail.NewFinder(q)
	read := uint64(0)
	err := a.Journal.Replay(ctx, 1, func(b *journal.Batch) error {
		for _, ev := range b.Events {
			finder.Add(ev)
		}
		read = b.Position
		return ctx.Err()
	})
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	f := &Finding{}
	f.Purchases, f.More = finder.Found(limit)
	if err != nil {
		why := "the index is behind"
		if away != nil {
			why = fmt.Sprintf("the index is away: %v", away)
		}
		f.Incomplete = fmt.Sprintf("the journal was searched up to batch %d only; %s", read, why)
	}
	return f, nil
}
