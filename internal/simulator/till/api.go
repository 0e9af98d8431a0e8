package till

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"huanxin/internal/money"
)

// API is the claiming app: it claims entitlements and shows codes over the switch's HTTP interface. Safe for concurrent
// use; connections are kept alive.
type API struct {
	base   string
	token  string
	client *http.Client
}

// NewAPI makes a client for base, such as http://127.0.0.1:8080. connections bounds the connections kept open.
func NewAPI(base, token string, connections int, timeout time.Duration) *API {
	return &API{
		base: strings.TrimRight(base, "/"), token: token,
		client: &http.Client{
			Timeout: timeout,
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
				MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, IdleConnTimeout: time.Minute,
			},
		},
	}
}

// ErrAPI is returned when the interface could not be asked or its answer not be read.
var ErrAPI = errors.New("claiming interface")

// maxBody bounds an answer.
const maxBody = 64 << 10

// APIAnswer is what the interface said. Reasons are the stable names of a refusal.
type APIAnswer struct {
	Status      int
	Entitlement string
	State       string
	ExpiresAt   string
	Code        string
	Reasons     []string
	Text        string // first Chinese text of a refusal, or the problem's title

	Purchase PurchaseView // of a reservation and what follows
	Refund   RefundView
}

// PurchaseView is a purchase as the interface shows it. Amounts are fen.
type PurchaseView struct {
	ID      string       `json:"purchase"`
	Price   money.Amount `json:"price_fen"`
	Subsidy money.Amount `json:"subsidy_fen"`
	Payable money.Amount `json:"payable_fen"`
	Payment PaymentView  `json:"payment"`
}

// PaymentView is how a purchase was paid, or is being paid.
type PaymentView struct {
	Method    string       `json:"method"`
	Amount    money.Amount `json:"amount_fen"`
	RRN       string       `json:"rrn"`
	Response  string       `json:"response"`
	Refunded  money.Amount `json:"refunded_fen"`
	Refunding money.Amount `json:"refunding_fen"`
}

// RefundView is what a refund has done.
type RefundView struct {
	Amount   money.Amount `json:"amount_fen"`
	Returned money.Amount `json:"subsidy_returned_fen"`
	Kept     money.Amount `json:"subsidy_kept_fen"`
}

// Position is where the buyer's phone says it is.
type Position struct {
	CRS        string  `json:"crs" yaml:"crs"`
	Lon        float64 `json:"lon" yaml:"lon"`
	Lat        float64 `json:"lat" yaml:"lat"`
	AgeSeconds int     `json:"age_seconds" yaml:"age"`
}

// Claim asks for an entitlement.
func (a *API) Claim(ctx context.Context, key string, person Person, category, city, channel string) (APIAnswer, error) {
	return a.call(ctx, http.MethodPost, "/v1/entitlements", key, map[string]any{
		"person": person, "category": category, "city": city, "channel": channel,
	})
}

// ShowCode asks for a one-time code; position may be nil. Only the document is sent: name and phone belong to the claim.
func (a *API) ShowCode(ctx context.Context, entitlement string, person Person, position *Position) (APIAnswer, error) {
	body := map[string]any{"person": map[string]string{"id_kind": person.IDKind, "id_number": person.IDNumber}}
	if position != nil {
		body["position"] = position
	}
	return a.call(ctx, http.MethodPost, "/v1/entitlements/"+entitlement+"/codes", "", body)
}

// Entitlement reads one entitlement.
func (a *API) Entitlement(ctx context.Context, entitlement string) (APIAnswer, error) {
	return a.call(ctx, http.MethodGet, "/v1/entitlements/"+entitlement, "", nil)
}

func (a *API) call(ctx context.Context, method, path, key string, body any) (APIAnswer, error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return APIAnswer{}, fmt.Errorf("%w: encode request: %w", ErrAPI, err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, reader)
	if err != nil {
		return APIAnswer{}, fmt.Errorf("%w: %w", ErrAPI, err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := a.client.Do(req)
	if err != nil {
		return APIAnswer{}, fmt.Errorf("%w: %w", ErrAPI, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return APIAnswer{}, fmt.Errorf("%w: read answer: %w", ErrAPI, err)
	}
	return parseAPI(res.StatusCode, text)
}

// parseAPI reads an answer: an entitlement or a code, or an RFC 9457 problem with the reasons of a refusal.
func parseAPI(status int, text []byte) (APIAnswer, error) {
	var body struct {
		Entitlement string `json:"entitlement"`
		State       string `json:"state"`
		ExpiresAt   string `json:"expires_at"`
		Code        string `json:"code"` // the one-time code, or the kind of a problem
		TitleZH     string `json:"title_zh"`
		PurchaseView
		Refund  RefundView `json:"refund"`
		Reasons []struct {
			Code string `json:"code"`
			ZH   string `json:"zh"`
		} `json:"reasons"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return APIAnswer{Status: status}, fmt.Errorf("%w: status %d: answer is not JSON", ErrAPI, status)
	}
	answer := APIAnswer{
		Status: status, Entitlement: body.Entitlement, State: body.State, ExpiresAt: body.ExpiresAt, Text: body.TitleZH,
		Purchase: body.PurchaseView, Refund: body.Refund,
	}
	if status < 300 {
		answer.Code = body.Code
		return answer, nil
	}
	for _, r := range body.Reasons {
		answer.Reasons = append(answer.Reasons, r.Code)
	}
	switch {
	case len(body.Reasons) > 0:
		answer.Text = body.Reasons[0].ZH
	case body.Code != "":
		answer.Reasons = []string{body.Code}
	}
	return answer, nil
}
