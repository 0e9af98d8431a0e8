// Package fakeswitch is a switch for tests of simulated terminals: it answers them in memory, with a subsidy of 20 per
// cent for everybody, and watches that they behave as terminals must. It knows no policy, no budget and no network.
//
// It is strict: a STAN used for two requests, a financial message while an unanswered one is not reversed, a sale of
// another amount than the hold's, are violations that Violations returns.
package fakeswitch

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
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
	codes      map[string]bool
	seen       map[string]string // exchange → content
	open       map[string]string // terminal → exchange that was not answered
	reversed   map[string]bool
	entitled   int
	shown      int
	violations []string
	counts     map[string]int
}

type hold struct {
	payable uint64
	used    bool
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
		codes: make(map[string]bool), seen: make(map[string]string), open: make(map[string]string),
		reversed: make(map[string]bool), counts: make(map[string]int),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/entitlements", s.claim)
	mux.HandleFunc("POST /v1/entitlements/{id}/codes", s.show)
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
	if mti != "0800" && mti != "0820" {
		response, tags = s.financialMessage(m, mti, &b)
		s.financial++
		drop = s.lose != nil && s.lose(s.financial, mti)
		if drop && mti != "0400" {
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

func text(m *iso8583.Message, n int) string { return string(m.AppendField(nil, n)) }

// exchange is a request's key: reserve or sale family, terminal, merchant, STAN.
func exchange(m *iso8583.Message) string {
	return strings.Join([]string{text(m, 3), text(m, 41), text(m, 42), text(m, 11)}, "/")
}

func (s *Switch) financialMessage(m *iso8583.Message, mti string, b *iso8583.Builder) (string, []byte) {
	key, terminal := exchange(m), text(m, 41)
	if mti == "0400" {
		if s.open[terminal] == key {
			delete(s.open, terminal)
		}
		if _, known := s.seen[key]; !known {
			s.seen[key] = "tombstone"
			return "25", nil
		}
		s.reversed[key] = true
		return "00", nil
	}
	if open, unsettled := s.open[terminal]; unsettled {
		s.violations = append(s.violations, fmt.Sprintf("terminal %s sends %s while %s is not reversed", terminal, key, open))
	}
	content := text(m, 4) + text(m, 59)
	if before, known := s.seen[key]; known {
		if before != content {
			return "94", nil
		}
		return "00", nil
	}
	s.seen[key] = content
	field59 := m.AppendField(nil, 59)
	switch use, _ := m.SubUint(60, 0, 2); use {
	case 96:
		return s.reserve(m, field59)
	case 97:
		return "00", nil
	}
	b.SetString(37, "516900000001")
	b.SetString(38, "123456")
	return s.sale(m, field59), nil
}

func (s *Switch) reserve(m *iso8583.Message, field59 []byte) (string, []byte) {
	code, _ := iso8583.FindTag59(field59, "S1")
	if !s.codes[string(code)] {
		words, _ := iso8583.AppendGBK(nil, "补贴资格不存在")
		return "57", iso8583.AppendTag59(iso8583.AppendTag59(nil, "SB", []byte("ENTITLEMENT_UNKNOWN")), "SC", words)
	}
	delete(s.codes, string(code))
	price, _ := m.Uint(4)
	subsidy := price / 5
	id := uint64(len(s.holds) + 1)
	s.holds[id] = &hold{payable: price - subsidy}
	var tags []byte
	tags = iso8583.AppendTag59(tags, "S7", iso8583.AppendDigits(nil, id, 12))
	tags = iso8583.AppendTag59(tags, "S8", iso8583.AppendDigits(nil, subsidy, 12))
	tags = iso8583.AppendTag59(tags, "S9", iso8583.AppendDigits(nil, price-subsidy, 12))
	tags = iso8583.AppendTag59(tags, "SG", iso8583.AppendDigits(nil, price, 12))
	return "00", tags
}

func (s *Switch) sale(m *iso8583.Message, field59 []byte) string {
	value, onHold := iso8583.FindTag59(field59, "S7")
	if !onHold {
		return "00"
	}
	id, _ := strconv.ParseUint(string(value), 10, 64)
	amount, _ := m.Uint(4)
	switch h := s.holds[id]; {
	case h == nil:
		return "25"
	case h.used:
		return "22"
	case h.payable != amount:
		return "13"
	default:
		h.used = true
		return "00"
	}
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
