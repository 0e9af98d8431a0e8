package projection

import (
	"context"
	"fmt"
	"time"
)

// writer has at most one transaction in flight.
type writer struct {
	p     *Projector
	at    Position // written
	to    Position // in flight
	busy  bool
	ended chan error       // of the one in flight
	pace  <-chan time.Time // tells that the next may begin; nil when it may
}

// ready reports whether a transaction that is not full may begin.
func (w *writer) ready() bool { return !w.busy && w.pace == nil }

// last is the position that the next transaction follows.
func (w *writer) last() Position {
	if w.busy {
		return w.to
	}
	return w.at
}

// write sends the rows that lead from the last position to the next one, when the transaction before is through.
func (w *writer) write(ctx context.Context, to Position, c *Changes) error {
	// Packed while the one before is still written.
	rows, err := w.p.cfg.Store.Pack(c)
	if err != nil {
		return storeError{fmt.Errorf("pack batches up to %d: %w", to.Batch, err)}
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	w.to, w.busy, w.pace = to, true, time.After(w.p.cfg.Pace)
	go func(from Position) {
		ctx, cancel := context.WithTimeout(ctx, w.p.cfg.WriteTimeout)
		defer cancel()
		started := w.p.cfg.Now()
		err := w.p.cfg.Store.Write(ctx, from, to, rows)
		if err == nil {
			w.p.cfg.Place(PlaceCommitted)
		}
		w.p.metrics.seconds.Observe(w.p.cfg.Now().Sub(started).Seconds())
		w.ended <- err
	}(w.at)
	return nil
}

// settle waits for the transaction in flight.
func (w *writer) settle(ctx context.Context) error {
	if !w.busy {
		return nil
	}
	select {
	case err := <-w.ended:
		return w.end(err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end notes how the transaction in flight has ended.
func (w *writer) end(err error) error {
	w.busy = false
	if err != nil {
		w.p.shrink(err, int(w.to.Seq-w.at.Seq))
		return storeError{fmt.Errorf("write batches %d to %d: %w", w.at.Batch+1, w.to.Batch, err)}
	}
	w.p.metrics.events.Add(float64(w.to.Seq - w.at.Seq))
	w.at = w.to
	w.p.full = min(2*w.p.full, w.p.cfg.BatchEvents)
	w.p.moved(w.at, true)
	return nil
}

// wait returns when nothing is in flight any more: the session is over. What it was is for the next one to find out.
func (w *writer) wait(cancel func()) {
	cancel()
	if w.busy {
		<-w.ended
		w.busy = false
	}
}
