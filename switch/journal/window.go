package journal

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A read of a cluster asks the stream for a window of messages at a time (JetStream's batched direct get): no consumer state, no
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
	open    bool // a window has been asked for and not read to its end
}

// cursor opens a window for a reader of its own.
func (n *node) cursor(role string) (cursor, error) { return n.openWindow(role) }

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

// ask requests the messages from sequence from on; message gives them.
func (w *window) ask(from uint64) error {
	w.request = fmt.Appendf(w.request[:0], `{"seq":%d,"batch":%d,"max_bytes":%d}`, from, windowMessages, windowBytes)
	return w.nc.PublishRequest("$JS.API.DIRECT.GET."+w.n.stream, w.inbox, w.request)
}

// message returns the next message of the window, or nil at its end.
func (w *window) message(ctx context.Context) (*nats.Msg, uint64, error) {
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

// midway says that what was asked for has not been read to its end, and must be.
func (w *window) midway() bool { return w.open }

// next returns the message at position. When the stream has none there it returns nil, or ErrMissing when the batch has been
// acknowledged and nobody finds it for a while.
func (w *window) next(ctx context.Context, position, acked uint64) ([]byte, error) {
	patience := newPatience()
	for {
		asked := !w.open
		if asked {
			if err := w.ask(position); err != nil {
				return nil, err
			}
			w.open = true
		}
		msg, seq, err := w.message(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, fmt.Errorf("position %d: %w", position, err)
		case msg != nil && seq != position:
			return nil, fmt.Errorf("position %d: %w: the stream continues at %d", position, ErrMissing, seq)
		case msg != nil:
			return msg.Data, nil
		}
		w.open = false
		switch {
		case !asked: // that window was at its end; the next begins here
		case position > acked:
			return nil, nil
		case !patience.wait(ctx):
			return nil, fmt.Errorf("position %d: %w", position, ErrMissing)
		}
	}
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
	patience := newPatience()
	for from <= to {
		if err := w.ask(from); err != nil {
			return err
		}
		start := from
		for {
			msg, seq, err := w.message(ctx)
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
			patience = newPatience()
		} else if !patience.wait(ctx) {
			return fmt.Errorf("position %d: %w: the stream has nothing from there to %d", from, ErrMissing, to)
		}
	}
	return nil
}

// patience is how long a read goes on asking for a batch that must be there: the replica that answers may be a moment
// behind.
type patience struct{ left int }

func newPatience() patience { return patience{left: int(readTimeout / pollInterval)} }

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
