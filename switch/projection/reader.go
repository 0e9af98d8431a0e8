package projection

import (
	"context"
	"fmt"
	"sync"
)

// readAhead is how many events wait between the reader and the fold. When there are so many the reader waits, which stops
// nothing else: the journal keeps them.
const readAhead = 4096

// reader fetches batches ahead of the fold.
type reader struct {
	source Source
	done   chan struct{}
	failed chan error    // holds the one error that ended the reading
	come   chan struct{} // holds one when there is something to take …
	room   chan struct{} // … and when something has been taken

	mu      sync.Mutex // guards what follows
	batches []Batch
	events  int
}

func (p *Projector) read(ctx context.Context, from uint64) (*reader, error) {
	source, err := p.cfg.Journal.Follow(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("follow the journal from %d: %w", from, err)
	}
	r := &reader{
		source: source, done: make(chan struct{}), failed: make(chan error, 1), come: make(chan struct{}, 1),
		room: make(chan struct{}, 1),
	}
	go func() {
		defer close(r.done)
		for {
			b, err := source.Next(ctx)
			if err == nil {
				err = r.put(ctx, b)
			}
			if err != nil {
				r.failed <- err
				return
			}
		}
	}()
	return r, nil
}

func (r *reader) put(ctx context.Context, b Batch) error {
	for {
		r.mu.Lock()
		fits := r.events < readAhead
		if fits {
			r.batches = append(r.batches, b)
			r.events += len(b.Events)
		}
		r.mu.Unlock()
		if fits {
			signal(r.come)
			return nil
		}
		select {
		case <-r.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (r *reader) close(cancel func()) {
	cancel()
	<-r.done
	r.source.Close()
}

// take returns the batches that are there, of so many events at most unless the first has more, and waits for one when there are none. With some already taken it waits no
// longer than the writer has to, and then returns none. It returns the error of that transaction as well.
func (r *reader) take(ctx context.Context, events int, some bool, w *writer) ([]Batch, error) {
	for {
		if batches := r.first(events); len(batches) > 0 {
			return batches, nil
		}
		if some && w.ready() {
			return nil, nil
		}
		select {
		case <-r.come:
		case err := <-w.ended:
			if err := w.end(err); err != nil {
				return nil, err
			}
		case <-w.pace:
			w.pace = nil
		case err := <-r.failed:
			r.failed <- err
			if batches := r.first(events); len(batches) > 0 || some { // what had been read before is written first
				return batches, nil
			}
			if err := w.settle(ctx); err != nil {
				return nil, err
			}
			return nil, fmt.Errorf("projection: %w", err)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// first takes what waits, up to so many events; one batch at least.
func (r *reader) first(events int) []Batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, taken := 0, 0
	for n < len(r.batches) && (n == 0 || taken+len(r.batches[n].Events) <= events) {
		taken += len(r.batches[n].Events)
		n++
	}
	batches := r.batches[:n:n]
	if r.batches = r.batches[n:]; len(r.batches) == 0 {
		r.batches = nil // the memory goes with what was taken
	}
	r.events -= taken
	signal(r.room)
	return batches
}
