package control

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"huanxin/subsidy/label"
	"huanxin/switch/engine"
	"huanxin/switch/trail"
)

// Config is what a server needs; all of it is required but for the bounds.
type Config struct {
	Asker   Asker
	Archive *Archive
	Hasher  Hasher
	// ReloadKeys takes over what was done to the key store; nil where there is none.
	ReloadKeys func(context.Context) (*KeysReloaded, error)
	// Ready returns why nothing is taken yet or any more, nil while the switch serves.
	Ready func() error
	Log   *zap.Logger

	// AnswerTimeout bounds the wait for the engine's answer (default 10 s), ReadTimeout the reading of a story, a search or
	// the key store (default 60 s).
	AnswerTimeout time.Duration
	ReadTimeout   time.Duration
	// Connections bounds those open at once; more wait to be accepted. Default 64.
	Connections int
}

// Server answers operators. It is used once: Serve, then Shutdown or Close.
type Server struct {
	cfg  Config
	http *http.Server
}

// Bounds of a request.
const (
	bodyLimit   = 32 << 20 // a rule bundle in base64
	headerLimit = 16 << 10
	slack       = 10 * time.Second // for writing an answer
)

// NewServer prepares a server. Nothing listens yet.
func NewServer(cfg Config) *Server {
	if cfg.AnswerTimeout == 0 {
		cfg.AnswerTimeout = 10 * time.Second
	}
	if cfg.ReadTimeout == 0 {
		cfg.ReadTimeout = time.Minute
	}
	if cfg.Connections == 0 {
		cfg.Connections = 64
	}
	s := &Server{cfg: cfg}
	s.http = &http.Server{
		Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: max(cfg.AnswerTimeout, cfg.ReadTimeout) + 30*time.Second + slack, IdleTimeout: time.Minute,
		MaxHeaderBytes: headerLimit, ErrorLog: zap.NewStdLog(cfg.Log),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if inner, ok := conn.(*counted); ok {
				conn = inner.Conn
			}
			return context.WithValue(ctx, accountKey{}, accountOf(conn))
		},
	}
	return s
}

type accountKey struct{}

// Serve answers on l until Shutdown or Close, and returns nil then.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(&bounded{Listener: l, free: make(chan struct{}, s.cfg.Connections)})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown stops listening and waits for answers that are owed, as long as ctx lets it.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close ends everything at once.
func (s *Server) Close() error { return s.http.Close() }

// bounded accepts a connection only while there is room for it.
type bounded struct {
	net.Listener
	free chan struct{}
}

func (b *bounded) Accept() (net.Conn, error) {
	b.free <- struct{}{}
	conn, err := b.Listener.Accept()
	if err != nil {
		<-b.free
		return nil, err
	}
	return &counted{Conn: conn, free: b.free}, nil
}

// counted gives its room back once, when it is closed.
type counted struct {
	net.Conn
	free chan struct{}
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { <-c.free })
	return c.Conn.Close()
}

// problem is an error with its status.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

func badRequest(format string, args ...any) error {
	return &problem{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// routes are the requests of the package comment.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, fn func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, fn) })
	}
	handle("POST /v1/acts", s.operate)
	handle("POST /v1/keys/reload", s.reloadKeys)
	handle("GET /v1/saf", s.saf)
	handle("GET /v1/budget", s.budget)
	handle("GET /v1/holds", s.holds)
	handle("GET /v1/pauses", func(r *http.Request) (any, error) { return look(s, r, engine.LookPauses{}, listOf(pause)) })
	handle("GET /v1/stops", func(r *http.Request) (any, error) { return look(s, r, engine.LookKills{}, listOf(stop)) })
	handle("GET /v1/registry", s.registry)
	handle("GET /v1/policy", s.policy)
	handle("GET /v1/purchases/{id}", s.purchase)
	handle("POST /v1/purchases/find", s.find)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, &problem{http.StatusNotFound, "no such request"})
	})
	return mux
}

// serve runs one request and writes what came of it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, fn func(*http.Request) (any, error)) {
	if why := s.cfg.Ready(); why != nil {
		s.fail(w, &problem{http.StatusServiceUnavailable, why.Error()})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, bodyLimit)
	result, err := fn(r)
	if err != nil {
		s.fail(w, err)
		return
	}
	status := http.StatusOK
	if a, ok := result.(*OperateAnswer); ok && len(a.Problems) > 0 {
		status = http.StatusUnprocessableEntity
	}
	s.write(w, status, result)
}

func (s *Server) write(w http.ResponseWriter, status int, result any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(result); err != nil {
		s.cfg.Log.Debug("control answer not written", zap.Error(err))
	}
}

// Problem is the body of an answer that is neither 200 nor 422.
type Problem struct {
	Problem string `json:"problem"`
}

// fail maps an error to its status. What nobody expected is logged, and shown without details.
func (s *Server) fail(w http.ResponseWriter, err error) {
	var known *problem
	switch {
	case errors.As(err, &known):
	case errors.Is(err, ErrBusy):
		known = &problem{http.StatusServiceUnavailable, err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		known = &problem{http.StatusGatewayTimeout,
			"no answer in time: it is not known whether anything was done, look before you repeat it"}
	case errors.Is(err, context.Canceled): // the caller has gone
		known = &problem{http.StatusServiceUnavailable, "cancelled"}
	default:
		s.cfg.Log.Error("control request failed", zap.Error(err))
		known = &problem{http.StatusInternalServerError, "the request could not be answered; the log of the switch says why"}
	}
	s.write(w, known.status, Problem{known.text})
}

// ask puts one input to the engine.
func (s *Server) ask(r *http.Request, body func(engine.Token) any) (*engine.AdminReply, error) {
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.AnswerTimeout)
	defer cancel()
	reply, err := s.cfg.Asker.Ask(ctx, body)
	if err == nil || errors.Is(err, ErrBusy) || ctx.Err() != nil {
		return reply, err
	}
	// The engine's queue is full, or it is not running: nothing has happened.
	return nil, &problem{http.StatusServiceUnavailable, err.Error()}
}

// look asks for one view and converts it.
func look[V, W any](s *Server, r *http.Request, what any, convert func(V) W) (any, error) {
	reply, err := s.ask(r, func(t engine.Token) any { return &engine.Look{Token: t, What: what} })
	if err != nil {
		return nil, err
	}
	if len(reply.Problems) > 0 {
		return nil, &problem{http.StatusNotFound, reply.Problems[0]}
	}
	view, ok := reply.Result.(V)
	if !ok {
		return nil, fmt.Errorf("the engine answered %T with a %T", what, reply.Result)
	}
	return convert(view), nil
}

func listOf[A, B any](convert func(A) B) func([]A) []B {
	return func(list []A) []B { return each(list, convert) }
}

func (s *Server) operate(r *http.Request) (any, error) {
	var request OperateRequest
	if err := read(r.Body, &request); err != nil {
		return nil, err
	}
	in, err := request.operate(s.cfg.Hasher)
	if err != nil {
		return nil, badRequest("%v", err)
	}
	in.By.Account, _ = r.Context().Value(accountKey{}).(string)
	if err := s.expected(r, &request.Act); err != nil {
		return nil, err
	}
	reply, err := s.ask(r, func(t engine.Token) any {
		in.Token = t
		return in
	})
	log := s.cfg.Log.With(zap.String("act", fmt.Sprintf("%T", in.Act)), zap.String("by", in.By.Actor),
		zap.String("account", in.By.Account), zap.Bool("dry_run", in.DryRun))
	if err != nil {
		log.Warn("operator's act without an answer", zap.Error(err))
		return nil, err
	}
	log.Info("operator's act", zap.Int("events", len(reply.Events)), zap.Int("problems", len(reply.Problems)))
	return answer(reply, in.DryRun)
}

func (s *Server) saf(r *http.Request) (any, error) {
	limit, err := limitOf(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	return look(s, r, engine.LookSAF{ID: q.Get("id"), State: q.Get("state"), Limit: limit}, listOf(safItem))
}

func (s *Server) budget(r *http.Request) (any, error) {
	return look(s, r, engine.LookBudget{Path: r.URL.Query().Get("path")}, listOf(budgetNode))
}

func (s *Server) holds(r *http.Request) (any, error) {
	limit, err := limitOf(r)
	if err != nil {
		return nil, err
	}
	what := engine.LookHolds{Limit: limit}
	if text := r.URL.Query().Get("older_than"); text != "" {
		age, err := time.ParseDuration(text)
		if err != nil || age < 0 {
			return nil, badRequest("older_than: want a duration such as 30m or 48h")
		}
		what.OlderThan = int64(age)
	}
	return look(s, r, what, listOf(hold))
}

// MostListed bounds what a list shows. One more may be asked for: whoever gets it knows that there is more.
const MostListed = 10_000

const mostRows = MostListed + 1

func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 0, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > mostRows {
		return 0, badRequest("limit: want 1 to %d", mostRows)
	}
	return limit, nil
}

func (s *Server) registry(r *http.Request) (any, error) {
	q := r.URL.Query()
	what := engine.LookRows{Merchant: q.Get("merchant"), Terminal: q.Get("terminal")}
	return look(s, r, what, func(v *engine.RowsView) Registry {
		rows := Registry{Merchants: v.Merchants, Terminals: v.Terminals}
		if rows.Merchants == nil {
			rows.Merchants = [][]string{}
		}
		if rows.Terminals == nil {
			rows.Terminals = [][]string{}
		}
		return rows
	})
}

func (s *Server) policy(r *http.Request) (any, error) {
	return look(s, r, engine.LookPolicy{}, func(v *engine.PolicyView) Policy {
		return Policy{Programme: v.Programme, Digest: rulesDigest(v.Files), Versions: v.Versions, Files: v.Files}
	})
}

func (s *Server) purchase(r *http.Request) (any, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 63)
	if err != nil || id == 0 {
		return nil, badRequest("id: want the number of a purchase")
	}
	now, err := look(s, r, engine.LookPurchase{ID: id}, purchase)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.ReadTimeout)
	defer cancel()
	told, err := s.cfg.Archive.Trail(ctx, id)
	if err != nil {
		return nil, err
	}
	story := &Story{Now: now.(*Purchase), Trail: *told}
	if story.Now == nil && len(told.Entries) == 0 && told.Incomplete == "" {
		return nil, &problem{http.StatusNotFound, fmt.Sprintf("there is no purchase %d", id)}
	}
	return story, nil
}

func (s *Server) find(r *http.Request) (any, error) {
	var request FindRequest
	if err := read(r.Body, &request); err != nil {
		return nil, err
	}
	q, err := request.query(s.cfg.Hasher)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.ReadTimeout)
	defer cancel()
	return s.cfg.Archive.Find(ctx, q, request.Limit)
}

// query checks a search and hashes its serial.
func (f *FindRequest) query(h Hasher) (trail.Query, error) {
	q := trail.Query{Terminal: f.Terminal, STAN: f.STAN, RRN: f.RRN}
	for _, token := range []struct {
		name, text string
		into       *[]byte
	}{{"card", f.Card, &q.Card}, {"person", f.Person, &q.Person}} {
		if token.text == "" {
			continue
		}
		raw, err := hex.DecodeString(token.text)
		if err != nil {
			return q, badRequest("%s: want a token of 32 hexadecimal digits", token.name)
		}
		*token.into = raw
	}
	if f.Serial != "" {
		hash := h.Serial(label.FoldSerial([]byte(f.Serial)))
		q.Serial = hash[:]
	}
	if err := q.Check(); err != nil {
		return q, badRequest("%v", err)
	}
	if q.STAN != 0 && q.Terminal == "" {
		return q, badRequest("stan: name its terminal too")
	}
	switch {
	case f.Limit == 0:
		f.Limit = 50
	case f.Limit < 1 || f.Limit > 1000:
		return q, badRequest("limit: want 1 to 1000")
	}
	return q, nil
}

// read decodes one JSON object: no unknown name, no name twice, nothing behind it.
func read(body io.Reader, into any) error {
	text, err := io.ReadAll(body)
	if err != nil {
		return badRequest("the body cannot be read, or is longer than %d bytes", bodyLimit)
	}
	return decode(text, into)
}

func decode(text []byte, into any) error {
	if err := noNameTwice(json.NewDecoder(bytes.NewReader(text))); err != nil {
		return badRequest("%v", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return badRequest("%v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badRequest("more than one JSON value")
	}
	return nil
}
