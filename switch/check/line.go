package check

import (
	"fmt"
	"sync"
	"sync/atomic"

	"huanxin/switch/event"
	"huanxin/switch/journal"
)

// line hands batches to the ledger and what it has decoded on to the engine, so that the two go through the same events side by
// side. It is the cheaper of the two that decodes.
//
//	journal: read, CRC, chain ──▶ ledger: decode, add ──▶ engine: apply
type line struct {
	run     *run
	ledger  chan *parcel
	engine  chan *tray
	parcels chan *parcel // empty ones …
	trays   chan *tray
	wait    sync.WaitGroup // for what was put
	done    sync.WaitGroup // for the two

	// wrong is why a batch is none although it was verified as bytes; the owner reads it after drain.
	wrong  error
	at     uint64      // its position
	failed atomic.Bool // wrong is set
}

// parcel is a batch on its way to the ledger.
type parcel struct {
	journal.Packed
	buf []byte
}

// tray is some events on their way to the engine: the rest of one batch, or several batches.
type tray struct {
	shelf event.Shelf
	list  []served
}

type served struct {
	position uint64
	ev       *event.Event
	packed   string // as event.Loan says
}

// What bounds the memory: so many batches of about a megabyte are read ahead, and so many trays of events decoded ahead, which
// are few enough to stay in a processor's cache.
const (
	parcels = 16
	trays   = 8
	perTray = 256
)

func newLine(r *run) *line {
	l := &line{
		run: r, ledger: make(chan *parcel, parcels), engine: make(chan *tray, trays), parcels: make(chan *parcel, parcels),
		trays: make(chan *tray, trays),
	}
	for range parcels {
		l.parcels <- new(parcel)
	}
	for range trays {
		l.trays <- new(tray)
	}
	l.done.Add(2)
	go l.add()
	go l.apply()
	return l
}

// put hands the next batch over. The error is why it is no use to go on.
func (l *line) put(p journal.Packed) error {
	if l.failed.Load() {
		return l.wrong
	}
	b := <-l.parcels
	b.Packed, b.buf = p.Keep(b.buf)
	l.wait.Add(1)
	l.ledger <- b
	return nil
}

// drain returns when both have gone through everything that was put.
func (l *line) drain() { l.wait.Wait() }

func (l *line) close() {
	close(l.ledger)
	l.done.Wait()
}

// told is how many events go by until Progress is told again.
const told = 1 << 18

// add is the ledger's way through what is put.
func (l *line) add() {
	defer l.done.Done()
	defer close(l.engine)
	books, next, t := l.run.ledger, uint64(told), <-l.trays
	pass := func() {
		if len(t.list) > 0 {
			l.wait.Add(1)
			l.engine <- t
			t = <-l.trays
		}
	}
	for b := range l.ledger {
		if !l.failed.Load() {
			err := b.Lend(lender{&t}).Each(func(ev *event.Event, packed string) error {
				books.Add(b.Position, ev)
				if t.list = append(t.list, served{b.Position, ev, packed}); len(t.list) == perTray {
					pass()
				}
				return nil
			})
			if err != nil {
				l.wrong, l.at = fmt.Errorf("position %d: %w", b.Position, err), b.Position
				l.failed.Store(true)
			}
		}
		if l.run.cfg.Progress != nil && books.Seq() >= next {
			l.run.cfg.Progress(b.Position, books.Seq())
			next = books.Seq() + told
		}
		l.parcels <- b
		if len(l.ledger) == 0 { // somebody may be waiting in drain
			pass()
		}
		l.wait.Done()
	}
}

// lender decodes onto the tray that is being filled.
type lender struct{ tray **tray }

func (l lender) Decode(raw []byte) (*event.Event, string, error) { return (*l.tray).shelf.Decode(raw) }

// apply is the engine's way through what the ledger has read. An engine that refuses an event is not asked again.
func (l *line) apply() {
	defer l.done.Done()
	for t := range l.engine {
		l.run.applyAll(t.list)
		clear(t.list)
		t.list = t.list[:0]
		t.shelf.Clear()
		l.trays <- t
		l.wait.Done()
	}
}

func (r *run) applyAll(list []served) {
	if r.engine == nil {
		return
	}
	at := 0
	defer func() {
		if refused := recover(); refused != nil {
			r.say(Difference{Where: "events", What: "engine", Position: list[at].position, Event: list[at].ev.Seq, Text: fmt.Sprint(refused)})
			r.engine = nil
		}
	}()
	for at = range list {
		r.engine.ApplyPacked(list[at].ev, list[at].packed)
	}
}
