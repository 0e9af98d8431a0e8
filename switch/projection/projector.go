package projection

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Config is what a Projector needs.
type Config struct {
	Journal Journal
	Store   Store
	// BatchEvents is how many events one transaction holds at most, 20000 by default; one journal batch is never cut, so
	// there may be more. After one that has not ended in WriteTimeout they are smaller, and grow again. A transaction takes what has come while the one before was written: few when little happens.
	BatchEvents int
	// Pace is the least time between the beginnings of two transactions, 100 ms by default: what comes meanwhile goes
	// into one. A full transaction waits for nothing.
	Pace time.Duration
	// Busy says that the machine has no processor time to spare: the projector then takes a fifth of what it could. It is
	// never held altogether: however long a rush lasts, rows come. Called by one goroutine. Default: never.
	Busy func() bool
	// RetryMin and RetryMax bound the pause after a failure of the store, 200 ms and 10 s by default. Each pause is a
	// random time between half and all of a limit that doubles.
	RetryMin time.Duration
	RetryMax time.Duration
	// WriteTimeout bounds one transaction with its reads, and what is read before the first one, 60 s by default: a connection
	// that has gone silent tells nobody.
	WriteTimeout time.Duration

	// Place is told when a transaction comes to one of the places. For drills only. Default: nobody.
	Place func(place string)

	Log     *zap.Logger
	Metrics prometheus.Registerer
	// Now is the clock of the lag metric and nothing else.
	Now func() time.Time
}

// The places of a drill.
const (
	PlaceWritten   = "rows-written"   // everything of a transaction is written, and it is not committed; the store tells it
	PlaceCommitted = "rows-committed" // it is committed, and the projector does not know
)

func (c *Config) check() error {
	if c.BatchEvents == 0 {
		c.BatchEvents = 20_000
	}
	if c.Pace == 0 {
		c.Pace = 100 * time.Millisecond
	}
	if c.RetryMin == 0 {
		c.RetryMin = 200 * time.Millisecond
	}
	if c.RetryMax == 0 {
		c.RetryMax = 10 * time.Second
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = time.Minute
	}
	if c.Place == nil {
		c.Place = func(string) {}
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.Busy == nil {
		c.Busy = func() bool { return false }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case c.Journal == nil || c.Store == nil:
		return errors.New("projection: journal or store is missing")
	case c.BatchEvents < 1 || c.BatchEvents > 1_000_000:
		return fmt.Errorf("projection: %d events in a transaction: want 1 to 1000000", c.BatchEvents)
	case c.Pace < 0 || c.RetryMin < 0 || c.RetryMax < c.RetryMin || c.WriteTimeout < 0:
		return errors.New("projection: a pause or time-out is negative or upside down")
	}
	return nil
}

// Projector follows one journal into one store.
type Projector struct {
	cfg     Config
	metrics metrics
	full    int // events of one transaction: fewer than BatchEvents after one that did not end in its time

	mu      sync.Mutex // guards what follows
	at      Position
	known   bool          // the store has told its position
	outage  error         // why the store cannot be written at present
	changed chan struct{} // closed and replaced when at moves
}

// New checks the configuration and registers the metrics.
func New(cfg Config) (*Projector, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	p := &Projector{cfg: cfg, full: cfg.BatchEvents, changed: make(chan struct{})}
	if err := p.register(cfg.Metrics); err != nil {
		return nil, fmt.Errorf("projection: %w", err)
	}
	return p, nil
}

// Run projects until ctx ends, and then returns nil. It returns an error when going on would be wrong: ErrParted, or the
// journal's own, also when it does not hold what the rows were made from. It is called once.
func (p *Projector) Run(ctx context.Context) error {
	err := p.run(ctx)
	if errors.Is(err, ErrParted) {
		p.metrics.parted.Set(1)
	}
	return err
}

func (p *Projector) run(ctx context.Context) error {
	limit := p.cfg.RetryMin
	for {
		progress, err := p.session(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case !isStoreError(err) && !errors.Is(err, ErrUnreadable):
			return err
		case progress:
			limit = p.cfg.RetryMin
		}
		p.failed(err)
		pause := limit/2 + rand.N(limit/2+1)
		limit = min(2*limit, p.cfg.RetryMax)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// storeError marks what may pass; every other error ends Run.
type storeError struct{ err error }

func (e storeError) Error() string { return e.err.Error() }
func (e storeError) Unwrap() error { return e.err }

func isStoreError(err error) bool {
	var s storeError
	return errors.As(err, &s)
}

// session projects from the stored position on, until something fails. After a failure nothing that was in memory is
// trusted: a commit may have succeeded although its answer was lost.
//
// While one transaction is written the next one is folded, from what has come meanwhile.
func (p *Projector) session(ctx context.Context) (progress bool, err error) {
	looking, cancel := context.WithTimeout(ctx, p.cfg.WriteTimeout)
	at, err := p.cfg.Store.Position(looking)
	cancel()
	if err != nil {
		return false, storeError{fmt.Errorf("read the stored position: %w", err)}
	}
	// Rows from batches that the journal does not hold are the proof that acknowledged batches are lost, and their numbers
	// given to others: nothing may be built upon either.
	if at.Batch > 0 {
		switch err := p.cfg.Journal.Holds(ctx, at); {
		case errors.Is(err, ErrUnreadable):
			return false, err
		case err != nil:
			return false, fmt.Errorf("projection: the rows come from another journal than this: %w", err)
		}
	}
	looking, cancel = context.WithTimeout(ctx, p.cfg.WriteTimeout)
	f, err := openFold(looking, p.cfg.Store, at.Seq)
	cancel()
	if err != nil {
		return false, storeError{fmt.Errorf("read what is projected: %w", err)}
	}
	// With nothing to write, reading is all the proof there can be that the store is back.
	p.moved(at, p.cfg.Journal.Position() <= at.Batch)
	ctx, cancel = context.WithCancel(ctx)
	r, err := p.read(ctx, at.Batch+1)
	if err != nil {
		cancel()
		return false, fmt.Errorf("projection: %w", err)
	}
	defer r.close(cancel)
	w := writer{p: p, at: at, ended: make(chan error, 1)}
	defer func() { progress = w.at.Batch > at.Batch }()
	defer w.wait(cancel)
	for {
		to, err := p.fill(ctx, f, r, &w)
		if err != nil {
			return false, err
		}
		begun := time.Now()
		if err := w.write(ctx, to, f.changes()); err != nil {
			return false, err
		}
		if err := p.giveWay(ctx, &w, begun); err != nil {
			return false, err
		}
	}
}

// fill folds batches into the next transaction: at least one, then what comes until the one before is written and the pace
// is kept, or the transaction is full. It returns the position that they lead to.
func (p *Projector) fill(ctx context.Context, f *fold, r *reader, w *writer) (to Position, err error) {
	f.begin()
	to, events := w.last(), 0
	for {
		batches, err := r.take(ctx, p.full-events, events > 0, w)
		if err != nil {
			return to, err
		}
		if len(batches) == 0 {
			return to, nil
		}
		for _, b := range batches {
			if b.Position != to.Batch+1 {
				return to, fmt.Errorf("%w: batch %d follows batch %d", ErrParted, b.Position, to.Batch)
			}
			to.Batch, to.Hash = b.Position, b.Hash
			events += len(b.Events)
		}
		if err := p.fold(ctx, f, batches, events, w); err != nil {
			return to, err
		}
		to.Seq, to.At = f.seq, f.at
		if events >= p.full || events >= busyBatch && p.cfg.Busy() {
			return to, nil
		}
	}
}

// On a busy machine transactions are small and far apart: PostgreSQL, which shares processor and disk with decisions, then
// works a fifth of the time, a twentieth of a second at a stretch.
const (
	busyBatch    = 2000 // events
	busyPause    = 4    // times what a transaction has taken
	longestPause = time.Second
)

// giveWay lets the transaction in flight end and waits, when the machine is busy.
func (p *Projector) giveWay(ctx context.Context, w *writer, begun time.Time) error {
	if !p.cfg.Busy() {
		return nil
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(busyPause*time.Since(begun), longestPause)):
		return nil
	}
}

func (p *Projector) fold(ctx context.Context, f *fold, batches []Batch, events int, w *writer) error {
	reading, cancel := context.WithTimeout(ctx, p.cfg.WriteTimeout)
	defer cancel()
	err := f.fold(reading, batches)
	switch {
	case errors.Is(err, ErrParted):
		if failed := w.settle(ctx); failed != nil {
			return failed
		}
		return p.confirmParted(reading, w.at, err)
	case err != nil:
		p.shrink(err, events)
		return storeError{fmt.Errorf("read rows: %w", err)}
	}
	return nil
}

// shrink has transactions hold fewer events than the one that did not end in its time: on a starved database the same again would
// not end either.
func (p *Projector) shrink(err error, events int) {
	if errors.Is(err, context.DeadlineExceeded) {
		p.full = max(min(p.full, events)/4, 1)
	}
}

// confirmParted tells rows that another projector, or a commit believed lost, has taken further than at from rows that do
// not fit their position: rows are read after the position, not with it.
func (p *Projector) confirmParted(ctx context.Context, at Position, parted error) error {
	now, err := p.cfg.Store.Position(ctx)
	switch {
	case err != nil:
		return storeError{fmt.Errorf("read the stored position: %w", err)}
	case now.Batch != at.Batch || now.Hash != at.Hash:
		return storeError{fmt.Errorf("%w: batch %d expected, batch %d stored", ErrMoved, at.Batch, now.Batch)}
	}
	return parted
}

func (p *Projector) moved(at Position, healthy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.known = at, true
	if healthy {
		p.outage = nil
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Projector) failed(err error) {
	p.mu.Lock()
	news := p.outage == nil || p.outage.Error() != err.Error()
	p.outage = err
	p.mu.Unlock()
	p.metrics.failures.Inc()
	if news { // not once for each attempt of a long outage
		p.cfg.Log.Warn("projection waits for its database", zap.Error(err))
	}
}

// Position is how far the rows are, as far as this process knows. known is false until the store has told.
func (p *Projector) Position() (at Position, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at, p.known
}

// Outage is why the store cannot be written at present, nil when it can.
func (p *Projector) Outage() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outage
}

// Lag is how many journal batches are not in the rows yet.
func (p *Projector) Lag() uint64 {
	last := p.cfg.Journal.Position()
	at, _ := p.Position()
	if last <= at.Batch {
		return 0
	}
	return last - at.Batch
}

// Wait returns when batch is in the rows, or with ctx's error.
func (p *Projector) Wait(ctx context.Context, batch uint64) error {
	for {
		p.mu.Lock()
		reached, changed := p.known && p.at.Batch >= batch, p.changed
		p.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for batch %d in the rows: %w", batch, ctx.Err())
		case <-changed:
		}
	}
}
