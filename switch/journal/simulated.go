package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Simulated is a journal for package sim: the batches, the chain, the walk at Open, the mark and the judgement over a torn
// end are those of every journal; what lies below them is the simulation's. It has no folder, no lock, no snapshots and no
// goroutines.
type Simulated struct {
	Programme string
	// Log holds the batches, one behind the other from offset 0, and Mark how far they had come; or Stream holds the
	// batches as a cluster does.
	Log, Mark SimulatedFile
	Stream    SimulatedStream
	// MustReach are places that the log must still contain.
	MustReach []Mark
	// Now is the clock by which the mark is synced.
	Now func() time.Time
}

// SimulatedFile is a file of a fixed size that was filled with zeros.
type SimulatedFile interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Close() error
	Size() int64
}

// SimulatedStream is a cluster's stream.
type SimulatedStream interface {
	// Append stores raw as the next message and returns its sequence. With named it returns ErrFenced, and stores nothing,
	// when the last one is not at last.
	Append(raw []byte, last uint64, named bool) (uint64, error)
	// Message is the one at a sequence, from 1 to Last.
	Message(sequence uint64) []byte
	Last() uint64
}

// OpenSimulated is Open. isNew says that the journal has never been opened before.
func OpenSimulated(s Simulated, isNew bool) (*Journal, error) {
	cfg, err := (Config{Programme: s.Programme, Dir: "simulated", MinFree: -1, MustReach: s.MustReach, now: s.Now}).checked()
	if err != nil {
		return nil, err
	}
	j := &Journal{cfg: cfg, mark: &markFile{f: s.Mark}}
	marks := s.MustReach
	if !isNew {
		own, err := readMark(s.Mark, ownMark)
		if err != nil {
			return nil, fmt.Errorf("simulated mark: %w", err)
		}
		marks = append(marks[:len(marks):len(marks)], own)
	}
	w := newWalk(cfg.Programme, marks)
	if s.Stream != nil {
		err = j.openMessages(messages{s.Stream}, w)
	} else {
		err = j.openTape(&tape{file: s.Log}, w)
	}
	if err != nil {
		return nil, fmt.Errorf("open simulated journal: %w", err)
	}
	j.end, j.report, j.synced = w.end, w.report, cfg.now()
	j.position.Store(w.end.position)
	j.size.Store(w.report.Bytes)
	return j, j.mark.set(j.end, true)
}

// openTape is openLog for a log of one piece.
func (j *Journal) openTape(l *tape, w *walk) error {
	j.stream = l
	t := &tour{tape: l.file, at: segment{1, "the tape"}, segments: segments{programme: j.cfg.Programme}}
	batch := func(raw []byte) error {
		l.starts = append(l.starts, t.end)
		return w.step(raw)
	}
	if _, err := t.along(l.file, l.file.Size(), func() (bool, error) { return false, nil }, batch); err != nil {
		return err
	}
	if err := w.reached(t.torn); err != nil {
		return err
	}
	if t.torn != nil {
		if _, err := l.file.WriteAt(make([]byte, t.torn.end-t.torn.offset), t.torn.offset); err != nil {
			return err
		}
		if err := l.file.Sync(); err != nil {
			return err
		}
	}
	l.at = t.end
	return l.again(t.last)
}

// tape is a stream in one simulated file.
type tape struct {
	file   SimulatedFile
	at     int64   // end of the log
	starts []int64 // of its batches
}

// again writes the last batch once more, as segmentLog.resume does.
func (l *tape) again(size int) error {
	last := make([]byte, size)
	if _, err := l.file.ReadAt(last, l.at-int64(size)); err != nil {
		return err
	}
	if _, err := l.file.WriteAt(last, l.at-int64(size)); err != nil {
		return err
	}
	return l.file.Sync()
}

func (l *tape) maxBatch() int { return maxPayload - payloadRoom }

func (l *tape) append(_ context.Context, raw []byte, _ uint64) error {
	if _, err := l.file.WriteAt(raw, l.at); err != nil {
		return fmt.Errorf("%w: %w", ErrAppend, err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("%w: sync: %w", ErrAppend, err)
	}
	l.starts = append(l.starts, l.at)
	l.at += int64(len(raw))
	return nil
}

func (l *tape) scan(_ context.Context, from, to uint64, fn func(raw []byte) error) error {
	for ; from <= to; from++ {
		end := l.at
		if int(from) < len(l.starts) {
			end = l.starts[from]
		}
		raw := make([]byte, end-l.starts[from-1])
		if _, err := l.file.ReadAt(raw, l.starts[from-1]); err != nil {
			return err
		}
		if err := fn(raw); err != nil {
			return err
		}
	}
	return nil
}

func (l *tape) cursor(string) (cursor, error) { return nil, errNoCursor }
func (l *tape) close() error                  { return nil }

var errNoCursor = errors.New("a simulated journal is read by Replay")

// messages is the simulated stream of a cluster.
type messages struct{ s SimulatedStream }

func (j *Journal) openMessages(m messages, w *walk) error {
	j.stream = m
	if err := m.scan(context.Background(), 1, m.s.Last(), w.step); err != nil {
		return err
	}
	return w.reached(nil)
}

func (m messages) maxBatch() int { return maxPayload - payloadRoom }

func (m messages) append(_ context.Context, raw []byte, position uint64) error {
	last, named := follows(position)
	switch sequence, err := m.s.Append(raw, last, named); {
	case errors.Is(err, ErrFenced):
		return err
	case err != nil:
		return fmt.Errorf("%w: outcome unknown: %w", ErrAppend, err)
	case sequence != position:
		return fmt.Errorf("%w: stored as message %d", ErrAppend, sequence)
	}
	return nil
}

func (m messages) scan(_ context.Context, from, to uint64, fn func(raw []byte) error) error {
	for ; from <= to; from++ {
		if err := fn(m.s.Message(from)); err != nil {
			return err
		}
	}
	return nil
}

func (m messages) cursor(string) (cursor, error) { return nil, errNoCursor }
func (m messages) close() error                  { return nil }
