// Package fakeswitch is a switch for tests of simulated terminals: it answers them in memory, with a subsidy of 20 per
// cent for everybody, and watches that they behave as terminals must. It knows no policy, no budget and no network.
//
// It is strict: a STAN used for two requests, a financial message while an unanswered one is not reversed, a sale of
// another amount than the hold's, an upload that does not follow its settlement are violations that Violations returns.
package fakeswitch

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"

	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// Switch is a running fake.
type Switch struct {
	codec    *iso8583.Codec
	listener net.Listener
	api      *httptest.Server
	workers  sync.WaitGroup

	mu         sync.Mutex // guards all below
	conns      map[net.Conn]bool
	lose       func(n int, mti string) bool
	financial  int
	holds      map[uint64]*hold
	sales      map[string]*sale  // by DE37
	batches    map[string]*batch // by terminal: the open one
	closed     map[string]*batch // by terminal: the one closed last
	orders     map[string]*order // by purchase
	requests   map[string]string // idempotency key → content
	codes      map[string]bool
	seen       map[string]string // exchange → content
	rrns       map[string]string // exchange → DE37
	open       map[string]string // terminal → exchange that was not answered
	reversed   map[string]bool
	entitled   int
	shown      int
	violations []string
	counts     map[string]int
}

// Start runs a switch on loopback ports. lose is asked for the n-th financial message (from 1); true closes the
// connection after it was processed, without an answer. nil loses nothing.
func Start(codec *iso8583.Codec, lose func(n int, mti string) bool) (*Switch, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &Switch{
		codec: codec, listener: listener, lose: lose, conns: make(map[net.Conn]bool), holds: make(map[uint64]*hold),
		sales: make(map[string]*sale), batches: make(map[string]*batch), closed: make(map[string]*batch),
		orders: make(map[string]*order), requests: make(map[string]string),
		codes: make(map[string]bool), seen: make(map[string]string), rrns: make(map[string]string), open: make(map[string]string),
		reversed: make(map[string]bool), counts: make(map[string]int),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/entitlements", s.claim)
	mux.HandleFunc("POST /v1/entitlements/{id}/codes", s.show)
	mux.HandleFunc("POST /v1/reservations", s.order)
	mux.HandleFunc("POST /v1/reservations/{id}/{act}", s.act)
	mux.HandleFunc("GET /v1/purchases/{id}", s.lookUp)
	s.api = httptest.NewServer(mux)
	s.workers.Go(s.accept)
	return s, nil
}

// Address is the terminal port.
func (s *Switch) Address() string { return s.listener.Addr().String() }

// API is the base of the HTTP interface; the token is "token".
func (s *Switch) API() string { return s.api.URL }

// Close stops it.
func (s *Switch) Close() {
	s.api.Close()
	s.listener.Close()
	s.mu.Lock()
	for nc := range s.conns {
		nc.Close()
	}
	s.mu.Unlock()
	s.workers.Wait()
}

// Violations is what terminals did that they must not.
func (s *Switch) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.violations...)
}

// Count is how many messages of a type came, such as "0200".
func (s *Switch) Count(mti string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[mti]
}

// Unsettled is how many terminals have a request that was neither answered nor reversed.
func (s *Switch) Unsettled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func (s *Switch) accept() {
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[nc] = true
		s.mu.Unlock()
		s.workers.Go(func() {
			defer func() {
				nc.Close()
				s.mu.Lock()
				delete(s.conns, nc)
				s.mu.Unlock()
			}()
			s.serve(nc)
		})
	}
}

func (s *Switch) serve(nc net.Conn) {
	buffer := make([]byte, 0, 64<<10)
	var m iso8583.Message
	for {
		n, err := nc.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		rest := buffer
		for {
			frame, size, frameErr := wire.CUP.Next(rest, 8192)
			if frameErr != nil {
				s.violate("frame: %v", frameErr)
				return
			}
			if size == 0 {
				break
			}
			if parseErr := s.codec.Parse(frame.Message, &m); parseErr != nil {
				s.violate("message: %v", parseErr)
				return
			}
			answer, drop := s.handle(&m, frame)
			if drop {
				return
			}
			if _, writeErr := nc.Write(answer); writeErr != nil {
				return
			}
			rest = rest[size:]
		}
		buffer = buffer[:copy(buffer[:cap(buffer)], rest)]
		if err != nil {
			return
		}
	}
}

func (s *Switch) violate(format string, args ...any) {
	s.mu.Lock()
	s.violations = append(s.violations, fmt.Sprintf(format, args...))
	s.mu.Unlock()
}

// handle decides one message under the lock and builds its answer.
func (s *Switch) handle(m *iso8583.Message, frame wire.Frame) (answer []byte, drop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mti := m.MTI().String()
	s.counts[mti]++
	var b iso8583.Builder
	b.Reset(s.codec, m.MTI().Response())
	b.Copy(m, 3, 4, 11, 25, 41, 42, 49, 60)
	b.SetString(12, "100512")
	b.SetString(13, "0618")
	response, tags := "00", []byte(nil)
	switch mti {
	case "0800":
		b.SetString(60, fmt.Sprintf("00%06d001", s.batch(m).number))
	case "0820", "0620":
	case "0500":
		response, tags = s.settle(m, &b)
	case "0320":
		response = s.upload(m)
	default:
		response, tags = s.financialMessage(m, mti, &b)
		s.financial++
		drop = s.lose != nil && s.lose(s.financial, mti)
		if use, _ := m.SubUint(60, 0, 2); drop && (mti == "0100" || mti == "0200") && use != 1 && use != 98 {
			s.open[text(m, 41)] = exchange(m)
		}
	}
	b.SetString(39, response)
	if len(tags) > 0 {
		b.Set(59, tags)
	}
	body, err := b.Append(nil)
	if err != nil {
		s.violations = append(s.violations, "answer: "+err.Error())
		return nil, true
	}
	answer, err = wire.CUP.AppendFrame(nil, frame.TPDU, frame.Header, body)
	if err != nil {
		s.violations = append(s.violations, "answer: "+err.Error())
		return nil, true
	}
	return answer, drop
}

func (s *Switch) claim(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer token" || r.Header.Get("Idempotency-Key") == "" {
		problem(w, http.StatusUnauthorized, `{"code":"UNAUTHENTICATED","title_zh":"缺少有效的访问令牌"}`)
		return
	}
	var body struct{ Category string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Category == "Z99" {
		problem(w, http.StatusUnprocessableEntity, `{"code":"REFUSED","title_zh":"不符合补贴规则","reasons":[{"code":"CATEGORY_NOT_OPEN","zh":"该品类暂未开放补贴"}]}`)
		return
	}
	s.mu.Lock()
	s.entitled++
	id := s.entitled
	s.mu.Unlock()
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"entitlement":"E%012d","state":"claimed","expires_at":"2025-06-20T00:00:00+08:00"}`, id)
}

func (s *Switch) show(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.shown++
	code := fmt.Sprintf("88%016d", s.shown)
	s.codes[code] = true
	s.mu.Unlock()
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"code":%q,"expires_at":"2025-06-18T10:06:00+08:00"}`, code)
}

func problem(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprint(w, body)
}
