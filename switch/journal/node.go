package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"huanxin/internal/mutant"
)

const (
	// payloadRoom is what the message headers of an append may take of the payload limit.
	payloadRoom = 4 << 10
	// leastPayload is what a server must take. The loop goes on filling a batch until it has about 1 MiB, and one Step more may
	// hold a bundle of rules of that size: a batch that is refused ends the owner.
	leastPayload = 4 << 20
	// readTimeout is how long one message of a read may be on its way.
	readTimeout = 30 * time.Second

	streamPrefix = "HUANXIN_"

	headerExpectedSequence = "Nats-Expected-Last-Sequence"
	headerExpectedStream   = "Nats-Expected-Stream"
	codeWrongLastSequence  = 10071
)

// node is the journal's way to its stream on an external cluster: the connection of the writer.
type node struct {
	cfg     Config
	stream  string
	subject string
	nc      *nats.Conn
	js      jetstream.JetStream
	request appendRequest
}

// appendRequest is the writer's reusable message.
type appendRequest struct {
	msg      nats.Msg
	expected [1]string
}

func streamName(programme string) string  { return streamPrefix + programme }
func subjectName(programme string) string { return "huanxin." + programme }

func reachNode(cfg Config) (_ *node, err error) {
	n := &node{cfg: cfg, stream: streamName(cfg.Programme), subject: subjectName(cfg.Programme)}
	if n.nc, err = n.connect("writer"); err != nil {
		return nil, err
	}
	if n.js, err = jetstream.New(n.nc); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *node) maxBatch() int { return min(int(n.nc.MaxPayload()), maxPayload) - payloadRoom }

// connect opens one more connection. Readers have their own, so that a long replay never delays an append's answer.
func (n *node) connect(role string) (*nats.Conn, error) {
	log := n.cfg.Logger
	opts := []nats.Option{
		nats.Name("huanxin " + role),
		nats.NoCallbacksAfterClientClose(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("journal connection", zap.String("role", role), zap.Error(err))
		}),
		nats.MaxReconnects(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			log.Warn("journal connection lost", zap.String("role", role), zap.Error(err))
		}),
	}
	nc, err := nats.Connect(n.cfg.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect %s to the journal's server: %w", role, err)
	}
	return nc, nil
}

// openStream looks the programme's stream up and, where allowed, creates it.
func (n *node) openStream(ctx context.Context, mayCreate bool) error {
	_, err := n.js.Stream(ctx, n.stream)
	if err == nil {
		return nil
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("look up stream %s: %w", n.stream, err)
	}
	if !mayCreate && n.cfg.MustExist {
		return fmt.Errorf("%w: stream %s is not on the cluster", ErrAbsent, n.stream)
	}
	if !mayCreate {
		return fmt.Errorf("%w: stream %s is gone or its description is unreadable, but the journal was in use before", ErrMissing, n.stream)
	}
	_, err = n.js.CreateStream(ctx, jetstream.StreamConfig{
		Name:        n.stream,
		Description: "journal of programme " + n.cfg.Programme,
		Subjects:    []string{n.subject},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		Storage:     jetstream.FileStorage,
		Replicas:    n.cfg.Replicas,
		MaxMsgs:     -1,
		MaxBytes:    -1,
		DenyDelete:  true,
		AllowDirect: true,
		Duplicates:  100 * time.Millisecond, // the shortest; appends are fenced by sequence, not by message id
	})
	if err != nil {
		return fmt.Errorf("create stream %s: %w", n.stream, err)
	}
	return nil
}

// pubAck is the stream's answer to an append.
type pubAck struct {
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq"`
	Error  *struct {
		Code        int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

// follows is the sequence that an append of the batch at position names as the last one, so that the stream refuses it when
// another writer has been there.
func follows(position uint64) (last uint64, named bool) {
	return position - 1, !mutant.StaleOwnerAccepted
}

// append publishes raw as the message at position, naming the sequence it follows, and waits for the stream's answer.
func (n *node) append(ctx context.Context, raw []byte, position uint64) error {
	r := &n.request
	if r.msg.Header == nil {
		r.msg.Subject = n.subject
		r.msg.Header = nats.Header{headerExpectedStream: {n.stream}}
	}
	if last, named := follows(position); named {
		r.expected[0] = strconv.FormatUint(last, 10)
		r.msg.Header[headerExpectedSequence] = r.expected[:]
	}
	r.msg.Data = raw
	ctx, cancel := context.WithTimeout(ctx, n.cfg.AppendTimeout)
	defer cancel()
	answer, err := n.nc.RequestMsgWithContext(ctx, &r.msg)
	if err != nil {
		return fmt.Errorf("%w: outcome unknown: %w", ErrAppend, err)
	}
	var ack pubAck
	switch err := json.Unmarshal(answer.Data, &ack); {
	case err != nil:
		return fmt.Errorf("%w: outcome unknown: answer of %d bytes: %w", ErrAppend, len(answer.Data), err)
	case ack.Error != nil && ack.Error.Code == codeWrongLastSequence:
		return fmt.Errorf("%w: %s", ErrFenced, ack.Error.Description)
	case ack.Error != nil:
		return fmt.Errorf("%w: refused: %s (%d)", ErrAppend, ack.Error.Description, ack.Error.Code)
	case ack.Seq != position:
		return fmt.Errorf("%w: stored as message %d of %s", ErrAppend, ack.Seq, ack.Stream)
	}
	return nil
}

func (n *node) close() error {
	if n.nc != nil {
		n.nc.Close()
	}
	return nil
}
