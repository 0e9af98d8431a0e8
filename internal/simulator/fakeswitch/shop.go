package fakeswitch

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// order is a reservation over HTTP.
type order struct {
	ID      string `json:"purchase"`
	State   string `json:"state"`
	Price   uint64 `json:"price_fen"`
	Subsidy uint64 `json:"subsidy_fen"`
	Payable uint64 `json:"payable_fen"`
	Payment struct {
		Refunded uint64 `json:"refunded_fen"`
	} `json:"payment"`
}

// keyed reads the body of a request with an idempotency key. done says that it was answered: a repeat, or a conflict.
func (s *Switch) keyed(w http.ResponseWriter, r *http.Request) (body []byte, done bool) {
	body, err := io.ReadAll(r.Body)
	key := r.Header.Get("Idempotency-Key")
	if err != nil || key == "" || r.Header.Get("Authorization") != "Bearer token" {
		problem(w, http.StatusUnauthorized, `{"code":"UNAUTHENTICATED","title_zh":"缺少有效的访问令牌"}`)
		return nil, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[r.Method+" "+r.URL.Path]++
	content := r.URL.Path + string(body)
	if before, known := s.requests[key]; known {
		if before != content {
			problem(w, http.StatusConflict, `{"code":"IDEMPOTENCY_CONFLICT","title_zh":"该幂等键已用于其他请求"}`)
			return nil, true
		}
		return body, false
	}
	s.requests[key] = content
	return body, false
}

func (s *Switch) order(w http.ResponseWriter, r *http.Request) {
	body, done := s.keyed(w, r)
	if done {
		return
	}
	var asked struct {
		Price uint64 `json:"price_fen"`
	}
	if err := json.Unmarshal(body, &asked); err != nil || asked.Price == 0 {
		problem(w, http.StatusBadRequest, `{"code":"BAD_REQUEST","title_zh":"请求格式错误"}`)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := fmt.Sprintf("P%012d", len(s.orders)+1)
	s.orders[id] = &order{ID: id, State: "reserved", Price: asked.Price, Subsidy: asked.Price / 5, Payable: asked.Price - asked.Price/5}
	reply(w, http.StatusCreated, s.orders[id])
}

func (s *Switch) act(w http.ResponseWriter, r *http.Request) {
	body, done := s.keyed(w, r)
	if done {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.orders[r.PathValue("id")]
	if o == nil {
		problem(w, http.StatusNotFound, `{"code":"NOT_FOUND","title_zh":"订单不存在"}`)
		return
	}
	var asked struct {
		Amount  uint64 `json:"amount_fen"`
		Payment struct {
			Method string `json:"method"`
			Paid   uint64 `json:"paid_fen"`
		} `json:"payment"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		s.violations = append(s.violations, "body is not JSON: "+err.Error())
	}
	switch r.PathValue("act") {
	case "commit":
		if asked.Payment.Paid != o.Payable {
			problem(w, http.StatusUnprocessableEntity, `{"code":"REFUSED","reasons":[{"code":"PAYABLE_MISMATCH","zh":"金额不符"}]}`)
			return
		}
		o.State = "captured"
	case "cancel":
		o.State = "cancelled"
	case "refunds":
		if asked.Amount == 0 {
			asked.Amount = o.Payable - o.Payment.Refunded
		}
		o.Payment.Refunded += asked.Amount
		if o.Payment.Refunded == o.Payable {
			o.State = "refunded"
		}
	}
	reply(w, http.StatusOK, o)
}

func (s *Switch) lookUp(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.orders[r.PathValue("id")]
	if o == nil {
		problem(w, http.StatusNotFound, `{"code":"NOT_FOUND","title_zh":"订单不存在"}`)
		return
	}
	reply(w, http.StatusOK, o)
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
