package check

import (
	"fmt"
	"sync"
	"sync/atomic"

	"huanxin/switch/event"
	"huanxin/switch/journal"
)

// line hands batches to the ledger and to the engine, which go through them side by side, each decoding for itself: that costs
// less than it would to keep decoded events for the slower of the two.
//
//	journal: read, CRC, chain ──▶ ledger: decode, add
//	                          └─▶ engine: decode, apply
type line struct {
	run    *run
	ledger chan *parcel
	engine chan *parcel
	free   chan *parcel
	wait   sync.WaitGroup // for parcels that were put
	done   sync.WaitGroup // for the two

	// wrong is why a batch is none although it was verified as bytes; the owner reads it after drain.
	wrong  error
	failed atomic.Bool
	mu     sync.Mutex // guards wrong while the two work
}

// parcel is a batch on its way to both.
type parcel struct {
	journal.Packed
	buf  []byte
	left atomic.Int32
}

// parcels bound what is read ahead: so many batches of about a megabyte.
const parcels = 16

func newLine(r *run) *line {
	l := &line{run: r, ledger: make(chan *parcel, parcels), engine: make(chan *parcel, parcels), free: make(chan *parcel, parcels)}
	for range parcels {
		l.free <- new(parcel)
	}
	l.done.Add(2)
	go l.work(l.ledger, l.add())
	go l.work(l.engine, l.apply())
	return l
}

// put hands the next batch over. The error is why it is no use to go on.
func (l *line) put(p journal.Packed) error {
	if l.failed.Load() {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.wrong
	}
	b := <-l.free
	b.Packed, b.buf = p.Keep(b.buf)
	b.left.Store(2)
	l.wait.Add(1)
	l.ledger <- b
	l.engine <- b
	return nil
}

// drain returns when both have gone through everything that was put.
func (l *line) drain() { l.wait.Wait() }

func (l *line) close() {
	close(l.ledger)
	close(l.engine)
	l.done.Wait()
}

func (l *line) work(in <-chan *parcel, take func(*parcel) error) {
	defer l.done.Done()
	for b := range in {
		if !l.failed.Load() {
			if err := take(b); err != nil {
				l.fail(fmt.Errorf("position %d: %w", b.Position, err))
			}
		}
		if b.left.Add(-1) == 0 {
			l.free <- b
			l.wait.Done()
		}
	}
}

func (l *line) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrong == nil {
		l.wrong = err
	}
	l.failed.Store(true)
}

// told is how many events go by until Progress is told again.
const told = 1 << 18

// add is the ledger's way through a batch.
func (l *line) add() func(*parcel) error {
	loan, books, next := new(event.Loan), l.run.ledger, uint64(told)
	return func(b *parcel) error {
		err := b.Lend(loan).Each(func(ev *event.Event, _ string) error {
			books.Add(b.Position, ev)
			return nil
		})
		if l.run.cfg.Progress != nil && books.Seq() >= next {
			l.run.cfg.Progress(b.Position, books.Seq())
			next = books.Seq() + told
		}
		return err
	}
}

// apply is the engine's. One that refuses an event is not asked again.
func (l *line) apply() func(*parcel) error {
	loan := new(event.Loan)
	return func(b *parcel) error {
		if l.run.engine == nil {
			return nil
		}
		at := l.run.engine.Seq()
		defer func() {
			if refused := recover(); refused != nil {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.run.say(Difference{Where: "events", What: "engine", Position: b.Position, Event: at + 1, Text: fmt.Sprint(refused)})
				l.run.engine = nil
			}
		}()
		return b.Lend(loan).Each(func(ev *event.Event, packed string) error {
			l.run.engine.ApplyPacked(ev, packed)
			at = ev.Seq
			return nil
		})
	}
}
