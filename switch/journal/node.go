package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

const (
	// maxPayload of the embedded server. One Step's events must fit one batch, because half a Step must never become
	// durable; a whole rule bundle is about 1 MiB. JetStream itself takes records up to 32 MiB.
	maxPayload = 16 << 20
	// payloadRoom is what the message headers of an append may take of the payload limit.
	payloadRoom = 4 << 10
	// maxPending is what the server may queue towards one reading connection: more than one read window.
	maxPending = 256 << 20
	// startTimeout is how long the server may take to come up and read its files.
	startTimeout = 5 * time.Minute
	// readTimeout is how long one message of a read may be on its way.
	readTimeout = 30 * time.Second

	streamPrefix = "HUANXIN_"

	headerExpectedSequence = "Nats-Expected-Last-Sequence"
	headerExpectedStream   = "Nats-Expected-Stream"
	codeWrongLastSequence  = 10071
)

// node is the journal's way to its stream: the embedded server, if any, and the connection of the writer.
type node struct {
	cfg      Config
	stream   string
	subject  string
	srv      *server.Server
	nc       *nats.Conn
	js       jetstream.JetStream
	maxBatch int
}

// appendRequest is the writer's reusable message.
type appendRequest struct {
	msg      nats.Msg
	expected [1]string
}

func streamName(programme string) string  { return streamPrefix + programme }
func subjectName(programme string) string { return "huanxin." + programme }

func storeDir(dir string) string { return filepath.Join(dir, "store") }

func startNode(ctx context.Context, cfg Config) (*node, error) {
	n := &node{cfg: cfg, stream: streamName(cfg.Programme), subject: subjectName(cfg.Programme)}
	var err error
	if cfg.URL == "" {
		err = n.startServer(ctx)
	}
	if err == nil {
		n.nc, err = n.connect("writer")
	}
	if err == nil {
		n.js, err = jetstream.New(n.nc)
	}
	if err != nil {
		n.stop()
		return nil, err
	}
	n.maxBatch = min(int(n.nc.MaxPayload()), maxPayload) - payloadRoom
	return n, nil
}

func (n *node) startServer(ctx context.Context) error {
	srv, err := server.NewServer(&server.Options{
		ServerName:             "huanxin-" + n.cfg.Programme,
		DontListen:             true,
		NoSigs:                 true,
		JetStream:              true,
		DisableJetStreamBanner: true,
		StoreDir:               storeDir(n.cfg.Dir),
		SyncAlways:             true,
		// The journal guards its own size (HighWater); a limit here would turn a full journal into a failed append.
		JetStreamMaxStore:  1 << 60,
		JetStreamMaxMemory: 64 << 20,
		MaxPayload:         maxPayload,
		MaxPending:         maxPending,
	})
	if err != nil {
		return fmt.Errorf("configure embedded server: %w", err)
	}
	n.srv = srv
	srv.SetLoggerV2(serverLog{n.cfg.Logger.Named("nats").Sugar()}, false, false, false)
	srv.Start()
	wait := startTimeout
	if d, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(d))
	}
	if !srv.ReadyForConnections(wait) {
		return fmt.Errorf("embedded server on %s did not start within %s", storeDir(n.cfg.Dir), wait)
	}
	if !srv.JetStreamEnabled() {
		return fmt.Errorf("embedded server on %s did not open its store", storeDir(n.cfg.Dir))
	}
	return nil
}

// connect opens one more connection. Readers have their own, so that a long replay never delays an append's answer.
func (n *node) connect(role string) (*nats.Conn, error) {
	log := n.cfg.Logger
	opts := []nats.Option{
		nats.Name("huanxin " + role),
		nats.NoCallbacksAfterClientClose(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("journal connection", zap.String("role", role), zap.Error(err))
		}),
	}
	url := n.cfg.URL
	if n.srv != nil {
		url = nats.DefaultURL // not dialled
		opts = append(opts, nats.InProcessServer(n.srv), nats.NoReconnect())
	} else {
		opts = append(opts, nats.MaxReconnects(-1), nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			log.Warn("journal connection lost", zap.String("role", role), zap.Error(err))
		}))
	}
	nc, err := nats.Connect(url, opts...)
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

// append publishes raw as the message at position, naming the sequence it follows, and waits for the stream's answer.
func (n *node) append(ctx context.Context, r *appendRequest, raw []byte, position uint64) error {
	if r.msg.Header == nil {
		r.msg.Subject = n.subject
		r.msg.Header = nats.Header{headerExpectedStream: {n.stream}, headerExpectedSequence: r.expected[:]}
	}
	r.expected[0] = strconv.FormatUint(position-1, 10)
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

func (n *node) stop() {
	if n.nc != nil {
		n.nc.Close()
	}
	if n.srv != nil {
		n.srv.Shutdown()
		n.srv.WaitForShutdown()
	}
}

// serverLog hands the embedded server's own messages to ours. Its notices are of no interest to an operator.
type serverLog struct{ log *zap.SugaredLogger }

func (l serverLog) Noticef(format string, v ...any) { l.log.Debugf(format, v...) }
func (l serverLog) Warnf(format string, v ...any)   { l.log.Warnf(format, v...) }
func (l serverLog) Errorf(format string, v ...any)  { l.log.Errorf(format, v...) }
func (l serverLog) Fatalf(format string, v ...any)  { l.log.Errorf(format, v...) }
func (l serverLog) Debugf(string, ...any)           {}
func (l serverLog) Tracef(string, ...any)           {}
