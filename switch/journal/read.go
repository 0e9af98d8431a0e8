package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A read asks the stream for a window of messages at a time (JetStream's batched direct get): no consumer state, no
// waiting for something that may never come – the server answers what it has and says when that was all.
const (
	windowMessages = 1024
	windowBytes    = 8 << 20
)

// pollInterval is how often a follower of an external cluster looks for batches appended by another process. Within
// the owner's process it is woken by the append itself.
const pollInterval = 20 * time.Millisecond

// window reads messages of the stream from a sequence on.
type window struct {
	nc      *nats.Conn
	n       *node
	inbox   string
	sub     *nats.Subscription
	request []byte
}

func (n *node) openWindow(role string) (*window, error) {
	nc, err := n.connect(role)
	if err != nil {
		return nil, err
	}
	w := &window{nc: nc, n: n, inbox: nc.NewInbox()}
	if w.sub, err = nc.SubscribeSync(w.inbox); err == nil {
		// Bounded by the window that was asked for.
		err = w.sub.SetPendingLimits(-1, -1)
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("subscribe %s: %w", role, err)
	}
	return w, nil
}

func (w *window) close() { w.nc.Close() }

// ask requests the messages from sequence from on; next gives them.
func (w *window) ask(from uint64) error {
	w.request = fmt.Appendf(w.request[:0], `{"seq":%d,"batch":%d,"max_bytes":%d}`, from, windowMessages, windowBytes)
	return w.nc.PublishRequest("$JS.API.DIRECT.GET."+w.n.stream, w.inbox, w.request)
}

// next returns the next message of the window, or nil at its end.
func (w *window) next(ctx context.Context) (*nats.Msg, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	msg, err := w.sub.NextMsgWithContext(ctx)
	if err != nil {
		return nil, 0, err
	}
	switch status := msg.Header.Get("Status"); status {
	case "":
	case "204", "404":
		return nil, 0, nil
	default:
		return nil, 0, fmt.Errorf("stream answered %s %s", status, msg.Header.Get("Description"))
	}
	seq, err := strconv.ParseUint(msg.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return nil, 0, fmt.Errorf("message without sequence: %w", err)
	}
	return msg, seq, nil
}

// scan hands every message from `from` to `to` to fn, in order and without a gap, or says which position is missing.
func (n *node) scan(ctx context.Context, from, to uint64, fn func(raw []byte) error) error {
	if from > to {
		return nil
	}
	w, err := n.openWindow("reader")
	if err != nil {
		return err
	}
	defer w.close()
	patience := n.patience()
	for from <= to {
		if err := w.ask(from); err != nil {
			return err
		}
		start := from
		for {
			msg, seq, err := w.next(ctx)
			if err != nil {
				return fmt.Errorf("read batch %d: %w", from, err)
			}
			if msg == nil {
				break
			}
			if from > to {
				continue // the rest of the window
			}
			if seq != from {
				return fmt.Errorf("position %d: %w: the stream continues at %d", from, ErrMissing, seq)
			}
			if err := fn(msg.Data); err != nil {
				return err
			}
			from++
		}
		if from > start {
			patience = n.patience()
		} else if !patience.wait(ctx) {
			return fmt.Errorf("position %d: %w: the stream has nothing from there to %d", from, ErrMissing, to)
		}
	}
	return nil
}

// patience is how long a read goes on asking for a batch that must be there. The embedded server either has it or not;
// in a cluster the replica that answers may be a moment behind.
type patience struct{ left int }

func (n *node) patience() patience {
	if n.cfg.URL == "" {
		return patience{}
	}
	return patience{left: int(readTimeout / pollInterval)}
}

// wait returns false when there is no point in asking again.
func (p *patience) wait(ctx context.Context) bool {
	p.left--
	if p.left < 0 {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pollInterval):
		return true
	}
}

// walk verifies the chain as the server gives it.
func (n *node) walk(ctx context.Context, w *walk) error {
	state, err := n.state(ctx)
	if err != nil {
		return err
	}
	if err := n.scan(ctx, 1, state.LastSeq, w.step); err != nil {
		return err
	}
	return w.reached(nil)
}

// agrees checks that the server, having opened its files, has everything that the walk over them found, and no more.
func (n *node) agrees(ctx context.Context, end link) error {
	state, err := n.state(ctx)
	if err != nil {
		return err
	}
	if state.LastSeq != end.position || state.Msgs != end.position {
		return fmt.Errorf("position %d: %w: the block files hold %d batches, the server gives %d up to %d", end.position, ErrMissing, end.position, state.Msgs, state.LastSeq)
	}
	last, err := n.linkBefore(ctx, end.position+1)
	if err == nil && last != end {
		err = fmt.Errorf("position %d: %w: the server gives %x, the block files hold %x", end.position, ErrDiverged, last.hash[:8], end.hash[:8])
	}
	return err
}

func (n *node) state(ctx context.Context) (jetstream.StreamState, error) {
	stream, err := n.js.Stream(ctx, n.stream)
	if err != nil {
		return jetstream.StreamState{}, fmt.Errorf("look up stream %s: %w", n.stream, err)
	}
	state := stream.CachedInfo().State
	if state.Msgs > 0 && state.FirstSeq != 1 {
		return state, fmt.Errorf("position 1: %w: the stream begins at %d", ErrMissing, state.FirstSeq)
	}
	return state, nil
}

// linkBefore reads the end of the chain just before position from.
func (n *node) linkBefore(ctx context.Context, from uint64) (link, error) {
	if from == 0 {
		return link{}, errors.New("positions are numbered from 1")
	}
	if from == 1 {
		return genesisLink(n.cfg.Programme), nil
	}
	var l link
	err := n.scan(ctx, from-1, from-1, func(raw []byte) error {
		h, err := parseHeader(raw)
		if err != nil {
			return fmt.Errorf("position %d: %w", from-1, err)
		}
		// It stands for itself: whoever starts here has its hash as a mark, or takes it on trust from Open's walk.
		l = link{position: h.position - 1, hash: h.previous, nextSeq: h.first}
		l, _, err = l.follow(raw)
		if err == nil && l.position != from-1 {
			err = fmt.Errorf("position %d: %w: the batch says %d", from-1, ErrChain, l.position)
		}
		return err
	})
	return l, err
}

// Replay hands fn every batch from position from (1 = the first) to the present end, in order, verified. The batch and
// its events are fn's to keep. An error of fn ends the replay and is returned as it is.
func (j *Journal) Replay(ctx context.Context, from uint64, fn func(*Batch) error) error {
	last := j.position.Load()
	if from > last {
		return nil
	}
	l, err := j.node.linkBefore(ctx, from)
	if err != nil {
		return fmt.Errorf("replay from %d: %w", from, err)
	}
	return j.node.scan(ctx, from, last, func(raw []byte) error {
		next, b, err := l.batch(raw)
		if err != nil {
			return fmt.Errorf("replay position %d: %w", l.position+1, err)
		}
		l = next
		return fn(b)
	})
}

// Reader follows the journal: it gives every batch from its start on and then waits for the next. It is used by one
// goroutine.
type Reader struct {
	j    *Journal
	w    *window
	end  link
	open bool // a window has been asked for and not read to its end
	got  bool // the window has given something
}

// Follow opens a reader at position from. In the owner's process it gives acknowledged batches only: a batch whose sync
// fails must not be seen by anybody. Beside another owner (ReadOnly) it gives what the cluster gives.
func (j *Journal) Follow(ctx context.Context, from uint64) (*Reader, error) {
	l, err := j.node.linkBefore(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("follow from %d: %w", from, err)
	}
	w, err := j.node.openWindow("follower")
	if err != nil {
		return nil, err
	}
	return &Reader{j: j, w: w, end: l}, nil
}

// Position is the last batch that Next has given, or the one before the reader's start.
func (r *Reader) Position() uint64 { return r.end.position }

// Next returns the next batch, waiting for it if need be. It returns the context's error when that ends, ErrClosed when
// the journal closes, and ErrDamaged, ErrChain, ErrMissing or ErrVersion when what follows cannot be trusted.
func (r *Reader) Next(ctx context.Context) (*Batch, error) {
	position := r.end.position + 1
	if !r.j.cfg.ReadOnly { // a batch whose append has not been acknowledged must not be seen
		if err := r.await(ctx, position); err != nil {
			return nil, err
		}
	}
	next, b, err := r.read(ctx, position)
	if err != nil {
		return nil, err
	}
	r.end = next
	return b, nil
}

// read takes the batch at position from memory where it is kept, else from the stream.
func (r *Reader) read(ctx context.Context, position uint64) (next link, b *Batch, err error) {
	recent, kept := r.j.recent.at(position)
	if kept && !r.open { // what is left of a window has been asked for and must be read
		next, b, err = r.end.recentBatch(recent)
	} else {
		msg, fetchErr := r.fetch(ctx)
		if fetchErr != nil {
			return next, nil, fetchErr
		}
		next, b, err = r.end.batch(msg.Data)
	}
	if err != nil {
		return next, nil, fmt.Errorf("follow position %d: %w", position, err)
	}
	return next, b, nil
}

// fetch reads the message behind the reader's position.
func (r *Reader) fetch(ctx context.Context) (*nats.Msg, error) {
	position := r.end.position + 1
	patience := r.j.node.patience()
	for {
		if !r.open {
			if err := r.await(ctx, position); err != nil {
				return nil, err
			}
			if err := r.w.ask(position); err != nil {
				return nil, r.closedOr(err)
			}
			r.open, r.got = true, false
		}
		msg, seq, err := r.w.next(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, r.closedOr(fmt.Errorf("follow position %d: %w", position, err))
		case msg != nil && seq != position:
			return nil, fmt.Errorf("follow position %d: %w: the stream continues at %d", position, ErrMissing, seq)
		case msg != nil:
			r.got = true
			return msg, nil
		}
		r.open = false
		if !r.got && position <= r.j.position.Load() && !patience.wait(ctx) {
			return nil, fmt.Errorf("follow position %d: %w", position, ErrMissing)
		}
	}
}

// await returns when the batch at position has been acknowledged. Beside another owner, where nobody tells, it returns
// after a short while.
func (r *Reader) await(ctx context.Context, position uint64) error {
	for r.j.position.Load() < position {
		wake, err := r.j.waitChannel()
		if err != nil {
			return err
		}
		// Appended between the check and the channel?
		if r.j.position.Load() >= position {
			return nil
		}
		var poll <-chan time.Time
		if r.j.cfg.ReadOnly {
			poll = time.After(pollInterval)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		case <-poll:
			return nil
		}
	}
	return nil
}

func (r *Reader) closedOr(err error) error {
	if _, closed := r.j.waitChannel(); closed != nil {
		return closed
	}
	return err
}

// Close frees the reader's connection.
func (r *Reader) Close() { r.w.close() }
