package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
)

// segmentLog is the stream of a journal on one machine: the writer's side of the segments, and what readers of its process
// need to find a batch. The folder's lock keeps a second writer out; the caller numbers the batches.
type segmentLog struct {
	segments
	open       openLogFile
	syncFolder func(dir string) error
	sizeOf     func(number uint64) int64
	timeout    time.Duration
	log        *zap.Logger
	place      func(string) // of a drill
	slow       *time.Timer  // tells the operator about a disk that does not answer
	stop       context.CancelFunc
	running    context.Context // of preparations

	// Owned by the appender.
	file   logFile
	number uint64
	at     int64 // end of the log in file
	size   int64 // of file
	next   *preparation

	mu    sync.RWMutex // guards index
	index []segmentStart
}

// newSegmentLog is the log in the journal's folder, which resume or begin readies for appends.
func newSegmentLog(cfg Config) *segmentLog {
	l := &segmentLog{
		segments: segments{logDir(cfg.Dir), cfg.Programme}, open: cfg.openFile, syncFolder: cfg.syncFolder, sizeOf: cfg.segmentSize,
		timeout: cfg.AppendTimeout, log: cfg.Logger, place: cfg.Place,
	}
	l.running, l.stop = context.WithCancel(context.Background())
	l.slow = time.AfterFunc(time.Hour, func() {
		l.log.Error("the disk has not answered a sync within the time-out; the switch stops when it does", zap.Duration("append-timeout", l.timeout))
	})
	l.slow.Stop()
	return l
}

// begin makes the first segment of a new log. dir is the journal's folder.
func (l *segmentLog) begin(dir string) (err error) {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	if err := removeUnfinished(l.dir, segmentSuffix); err != nil {
		return err
	}
	if l.file, err = makeSegment(l.segments, l.header(1), l.open, func() error { return nil }); err != nil {
		return err
	}
	l.number, l.at, l.size = 1, segmentHead, l.sizeOf(1)
	return syncFolder(dir)
}

// resume goes on where a tour has found the end. What the last append wrote is written once more: when its sync failed, the
// kernel may hold it for clean and yet have it nowhere but in memory.
//
// The folders are synced first: an owner may have died between giving a segment its name and making that durable, and what is
// appended to a file without a durable name is lost with it.
func (l *segmentLog) resume(t *tour) (err error) {
	for _, dir := range []string{l.dir, filepath.Dir(l.dir)} {
		if err := l.syncFolder(dir); err != nil {
			return err
		}
	}
	if err := removeUnfinished(l.dir, segmentSuffix); err != nil {
		return err
	}
	f, size, err := t.open(t.at)
	if err != nil {
		return err
	}
	defer f.Close()
	if l.file, err = l.open(t.at.name, 0); err != nil {
		return err
	}
	l.number, l.at, l.size, l.index = t.at.number, t.end, size, t.index
	last := make([]byte, t.last)
	if _, err := f.ReadAt(last, t.end-int64(t.last)); err != nil {
		return err
	}
	if _, err := l.file.WriteAt(last, t.end-int64(t.last)); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.next = l.spare()
	l.prepareNext()
	return nil
}

// spare is the segment that an earlier owner has prepared, if it is good. Otherwise it is made anew: it holds nothing.
func (l *segmentLog) spare() *preparation {
	seg := l.segment(l.number + 1)
	f, size, err := l.segments.open(seg)
	if err != nil {
		return nil
	}
	f.Close()
	p := &preparation{done: make(chan struct{}), hurry: make(chan struct{}), size: size}
	p.file, p.err = l.open(seg.name, 0)
	close(p.done)
	return p
}

func (l *segmentLog) header(number uint64) segmentHeader {
	return segmentHeader{number: number, size: l.sizeOf(number), programme: l.programme}
}

func (l *segmentLog) maxBatch() int { return maxPayload - payloadRoom }

// append writes raw behind what is there and syncs it. Nothing is tried twice: after a failed sync nobody knows what the
// disk holds, and only a restart finds out.
func (l *segmentLog) append(ctx context.Context, raw []byte, position uint64) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrAppend, err)
	}
	begun := time.Now()
	l.slow.Reset(l.timeout)
	defer l.slow.Stop()
	for l.at+int64(len(raw)) > l.size {
		if err := l.roll(ctx); err != nil {
			return fmt.Errorf("%w: %w", ErrAppend, err)
		}
	}
	if l.at == segmentHead {
		// Readers look only for batches that have been acknowledged, and find them in front of this one until then.
		l.mu.Lock()
		l.index = append(l.index, segmentStart{l.number, position})
		l.mu.Unlock()
	}
	if _, err := l.file.WriteAt(raw, l.at); err != nil {
		return fmt.Errorf("%w: %w", ErrAppend, err)
	}
	l.place(PlaceWritten)
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("%w: sync: %w", ErrAppend, err)
	}
	if took := time.Since(begun); took > l.timeout {
		return fmt.Errorf("%w: the disk took %s", ErrAppend, took)
	}
	l.at += int64(len(raw))
	l.prepareNext()
	return nil
}

// prepareNext begins the next segment when the present one has been used far enough.
func (l *segmentLog) prepareNext() {
	if l.next == nil && l.at > l.size/prepareAt {
		l.next = prepare(l.running, l.segments, l.header(l.number+1), l.open, l.log, l.place)
	}
}

// roll goes on with the next segment, waiting for it if need be.
func (l *segmentLog) roll(ctx context.Context) error {
	if l.next == nil {
		l.next = prepare(l.running, l.segments, l.header(l.number+1), l.open, l.log, l.place)
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	next := l.next
	file, err := next.take(ctx)
	if err != nil {
		return fmt.Errorf("segment %d: %w", l.number+1, err)
	}
	if err := l.file.Close(); err != nil {
		return err
	}
	l.file, l.next = file, nil
	l.number, l.at, l.size = l.number+1, segmentHead, next.size
	return nil
}

// scan hands fn every batch from one acknowledged position to another.
func (l *segmentLog) scan(ctx context.Context, from, to uint64, fn func(raw []byte) error) error {
	c, _ := l.cursor("") // which opens nothing yet
	defer c.close()
	for ; from <= to; from++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, err := c.next(ctx, from, to)
		if err == nil {
			err = fn(raw)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// find returns the segment that holds a position.
func (l *segmentLog) find(position uint64) (segmentStart, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for i := len(l.index) - 1; i >= 0; i-- { // most look for the end
		if l.index[i].first <= position {
			return l.index[i], nil
		}
	}
	return segmentStart{}, fmt.Errorf("position %d: %w", position, ErrMissing)
}

func (l *segmentLog) close() error {
	l.stop()
	l.slow.Stop()
	var err error
	if l.next != nil {
		<-l.next.done
		if l.next.file != nil {
			err = l.next.file.Close()
		}
	}
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	return err
}
