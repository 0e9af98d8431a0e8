package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"huanxin/risk/geo"
	"huanxin/subsidy"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/reason"
	"huanxin/switch/engine"
)

// requireProblem checks a problem's status and code and returns it.
func requireProblem(t *testing.T, w *httptest.ResponseRecorder, c code) problem {
	require.Equal(t, problemKinds[c].status, w.Code, "%s", w.Body)
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	var p problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	require.Equal(t, c, p.Code)
	require.Equal(t, w.Code, p.Status)
	require.Regexp(t, `^urn:huanxin:problem:[a-z-]+$`, p.Type)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.TitleZH)
	return p
}

func claimed(id uint64) engine.APIReply {
	return engine.APIReply{Status: engine.APIDone, View: engine.EntitlementView{ID: id, State: subsidy.Claimed}}
}

// What goes to the engine is exactly this: hashes of the person, the key and the content, and the plain codes.
func TestEachEndpointMakesItsInput(t *testing.T) {
	h := testHasher(t)
	owner := engine.Hash(h.Person("id-card", "210102190001010014"))
	person := `{"id_kind":"ID","id_number":"210102190001010014"}`
	merchant := [15]byte([]byte("898210157220001"))
	for name, c := range map[string]struct {
		request *http.Request
		want    any
	}{
		"claim": {
			claimRequest(`{"person":{"id_kind":"ID","id_number":"210102190001010014","name":"张三","phone":"13800000000"},"category":"A01","city":"210100","channel":"store"}`),
			&engine.ClaimRequest{
				Request: engine.Hash(h.Request("sample", "k-1")),
				Content: engine.Hash(h.Content([]byte("claim"), []byte("id-card"), []byte("210102190001010014"), []byte("张三"), []byte("13800000000"),
					[]byte("A01"), []byte("210100"), []byte("store"))),
				Person: owner, IDKind: "id-card", Category: "A01", City: "210100", Channel: "store",
			},
		},
		"get":    {request("GET", "/v1/entitlements/E000000000007", ""), &engine.EntitlementRequest{Entitlement: 7}},
		"return": {request("POST", "/v1/entitlements/E000000000007/return", `{"person":`+person+`}`), &engine.ReturnRequest{Entitlement: 7, Person: owner}},
		"code": {
			request("POST", "/v1/entitlements/E000000000007/codes",
				`{"person":`+person+`,"position":{"crs":"BD09","lon":123.4315004,"lat":-41.8057006,"age_seconds":0}}`),
			&engine.ShowCodeRequest{
				Entitlement: 7, Person: owner, Code: engine.Hash(h.Code([]byte("912345678901234567"))),
				Position: engine.Position{Given: true, At: geo.Point{Lon: 123431500, Lat: -41805701}, CRS: geo.BD09},
			},
		},
		"code without position": {
			request("POST", "/v1/entitlements/E000000000007/codes", `{"person":`+person+`}`),
			&engine.ShowCodeRequest{Entitlement: 7, Person: owner, Code: engine.Hash(h.Code([]byte("912345678901234567")))},
		},
		"quote": {
			request("POST", "/v1/quotes", `{"merchant":"898210157220001","channel":"qr","barcode":"6901234567892","price_fen":1}`),
			&engine.QuoteRequest{Merchant: merchant, Channel: "qr", Barcode: "6901234567892", Price: 1},
		},
		"quote with everything": {
			request("POST", "/v1/quotes", `{"entitlement":"E000000000007","person":`+person+`,"merchant":"898210157220001","channel":"qr",
				"barcode":"6901234567892","price_fen":599900,"components":[{"kind":"merchant","amount_fen":100},{"kind":"prior","amount_fen":0}],"old_item":"ebike-lead"}`),
			&engine.QuoteRequest{
				Entitlement: 7, Person: owner, Merchant: merchant, Channel: "qr", Barcode: "6901234567892", Price: 599900,
				Components: []policy.Component{{Kind: "merchant", Amount: 100}, {Kind: "prior"}}, OldItem: "ebike-lead",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, exchange{want: c.want, reply: claimed(7)})
			w := b.do(c.request)
			require.Less(t, w.Code, 300, "%s", w.Body)
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		})
	}
}

func TestEngineAnswersMapToStatuses(t *testing.T) {
	for name, c := range map[string]struct {
		reply  engine.APIReply
		status int
		code   code
	}{
		"done":        {claimed(1), 201, ""},
		"repeated":    {engine.APIReply{Status: engine.APIRepeated, View: claimed(1).View}, 200, ""},
		"refused":     {engine.APIReply{Status: engine.APIRefused, Reasons: []reason.Code{reason.QuotaUsed, reason.BudgetExhausted}}, 422, codeRefused},
		"high water":  {engine.APIReply{Status: engine.APIRefused, Reasons: []reason.Code{reason.OverloadRetry}}, 503, codeOverloaded},
		"not found":   {engine.APIReply{Status: engine.APINotFound}, 404, codeNotFound},
		"conflict":    {engine.APIReply{Status: engine.APIConflict}, 409, codeConflict},
		"no status":   {engine.APIReply{}, 500, codeInternal},
		"later state": {engine.APIReply{Status: 99}, 500, codeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBench(t, exchange{reply: c.reply}).do(claimRequest(claimBody))
			require.Equal(t, c.status, w.Code)
			if c.code != "" {
				p := requireProblem(t, w, c.code)
				require.Len(t, p.Reasons, len(c.reply.Reasons))
				require.Equal(t, c.code == codeInternal, p.Reference != "")
			}
		})
	}
}

func TestRefusalListsAllReasonsInBothLanguages(t *testing.T) {
	b := newBench(t, exchange{reply: engine.APIReply{Status: engine.APIRefused, Reasons: []reason.Code{reason.QuotaUsed, reason.BudgetExhausted}}})
	p := requireProblem(t, b.do(claimRequest(claimBody)), codeRefused)
	require.Equal(t, []reasonText{
		{"QUOTA_USED", "该品类补贴件数已用完", "no items are left in this category"},
		{"BUDGET_EXHAUSTED", "补贴资金已用完", "the budget is exhausted"},
	}, p.Reasons)
}

func TestRefusedQuoteIsAnAnswer(t *testing.T) {
	b := newBench(t, exchange{reply: engine.APIReply{Status: engine.APIRefused, Reasons: []reason.Code{reason.MerchantNotInScheme}}})
	w := b.do(request("POST", "/v1/quotes", `{"merchant":"898210157220001","channel":"qr","barcode":"6901234567892","price_fen":5}`))
	require.Equal(t, 200, w.Code)
	require.JSONEq(t, `{"price_fen":5,"base_fen":0,"subsidy_fen":0,"payable_fen":5,"policy_version":"",
		"reasons":[{"code":"MERCHANT_NOT_IN_SCHEME","zh":"该商户不参与此项补贴","en":"the merchant does not take part"}]}`, w.Body.String())
}

func TestMalformedRequestsNameTheField(t *testing.T) {
	claim := func(old, by string) *http.Request {
		require.Contains(t, claimBody, old)
		return claimRequest(strings.Replace(claimBody, old, by, 1))
	}
	at := func(position string) *http.Request {
		return request("POST", "/v1/entitlements/E000000000001/codes", `{"person":{"id_kind":"TW","id_number":"12345678"},"position":`+position+`}`)
	}
	quote := func(extra string) *http.Request {
		return request("POST", "/v1/quotes", `{"merchant":"898210157220001","channel":"qr","barcode":"6901234567892"`+extra+`}`)
	}
	for name, c := range map[string]struct {
		request *http.Request
		code    code
		field   string
	}{
		"no idempotency key":     {request("POST", "/v1/entitlements", claimBody), codeMissingField, "Idempotency-Key"},
		"long idempotency key":   {claimRequest(claimBody, "Idempotency-Key: "+strings.Repeat("k", 65)), codeInvalidField, "Idempotency-Key"},
		"blank in key":           {claimRequest(claimBody, "Idempotency-Key: a b"), codeInvalidField, "Idempotency-Key"},
		"not JSON":               {claimRequest("{"), codeMalformed, ""},
		"list":                   {claimRequest("[]"), codeMalformed, ""},
		"two values":             {claimRequest("{}{}"), codeMalformed, ""},
		"not UTF-8":              {claimRequest("{\"category\":\"\xff\"}"), codeMalformed, ""},
		"name twice":             {claim(`"city"`, `"category":"A01","city"`), codeMalformed, ""},
		"too deep":               {claim(`"210100"`, `[[[[[[[[1]]]]]]]]`), codeMalformed, ""},
		"unknown field":          {claim(`"city"`, `"town":1,"city"`), codeUnknownField, "town"},
		"unknown person field":   {claim(`"id_kind"`, `"age":1,"id_kind"`), codeUnknownField, "person.age"},
		"field in capitals":      {claim(`"category"`, `"Category"`), codeMissingField, "category"},
		"unknown name is hidden": {claim(`"city"`, `"张三":1,"city"`), codeUnknownField, "?"},
		"no person":              {claimRequest(`{"category":"A01","city":"210100","channel":"store"}`), codeMissingField, "person"},
		"person is text":         {claimRequest(`{"person":"x","category":"A01","city":"210100","channel":"store"}`), codeInvalidField, "person"},
		"person is null":         {claimRequest(`{"person":null,"category":"A01","city":"210100","channel":"store"}`), codeInvalidField, "person"},
		"no id number":           {claim(`,"id_number":"210102190001010014"`, ``), codeMissingField, "person.id_number"},
		"id number is a number":  {claim(`"210102190001010014"`, `210102190001010014`), codeInvalidField, "person.id_number"},
		"id kind":                {claim(`"ID"`, `"PASSPORT"`), codeInvalidField, "person.id_kind"},
		"check digit":            {claim(`0014"`, `0015"`), codeInvalidField, "person.id_number"},
		"phone":                  {claim(`"id_kind"`, `"phone":"12345","id_kind"`), codeInvalidField, "person.phone"},
		"name too long":          {claim(`"id_kind"`, `"name":"`+strings.Repeat("张", 65)+`","id_kind"`), codeInvalidField, "person.name"},
		"name with a break":      {claim(`"id_kind"`, `"name":"a\nb","id_kind"`), codeInvalidField, "person.name"},
		"category":               {claim(`"A01"`, `"A 01"`), codeInvalidField, "category"},
		"city":                   {claim(`"210100"`, `"2101"`), codeInvalidField, "city"},
		"channel":                {claim(`"store"`, `""`), codeInvalidField, "channel"},

		"longitude 180.1":   {at(`{"crs":"WGS84","lon":180.1,"lat":1,"age_seconds":1}`), codeInvalidField, "position.lon"},
		"latitude -90.1":    {at(`{"crs":"WGS84","lon":1,"lat":-90.1,"age_seconds":1}`), codeInvalidField, "position.lat"},
		"infinite degrees":  {at(`{"crs":"WGS84","lon":1e999,"lat":1,"age_seconds":1}`), codeInvalidField, "position.lon"},
		"degrees as text":   {at(`{"crs":"WGS84","lon":"123.4","lat":1,"age_seconds":1}`), codeInvalidField, "position.lon"},
		"no system":         {at(`{"lon":1,"lat":1,"age_seconds":1}`), codeMissingField, "position.crs"},
		"unknown system":    {at(`{"crs":"wgs84","lon":1,"lat":1,"age_seconds":1}`), codeInvalidField, "position.crs"},
		"no age":            {at(`{"crs":"WGS84","lon":1,"lat":1}`), codeMissingField, "position.age_seconds"},
		"negative age":      {at(`{"crs":"WGS84","lon":1,"lat":1,"age_seconds":-1}`), codeInvalidField, "position.age_seconds"},
		"name not taken":    {request("POST", "/v1/entitlements/E000000000001/codes", `{"person":{"id_kind":"TW","id_number":"12345678","name":"x"}}`), codeUnknownField, "person.name"},
		"no price":          {quote(``), codeMissingField, "price_fen"},
		"price in yuan":     {quote(`,"price_fen":5999.00`), codeInvalidField, "price_fen"},
		"price as text":     {quote(`,"price_fen":"599900"`), codeInvalidField, "price_fen"},
		"price as exponent": {quote(`,"price_fen":1e3`), codeInvalidField, "price_fen"},
		"negative price":    {quote(`,"price_fen":-1`), codeInvalidField, "price_fen"},
		"13 digits":         {quote(`,"price_fen":1000000000000`), codeInvalidField, "price_fen"},
		"component amount":  {quote(`,"price_fen":1,"components":[{"kind":"a","amount_fen":1},{"kind":"b"}]`), codeMissingField, "components[1].amount_fen"},
		"17 components":     {quote(`,"price_fen":1,"components":[` + strings.Repeat(`{"kind":"a","amount_fen":1},`, 16) + `{"kind":"a","amount_fen":1}]`), codeInvalidField, "components"},
		"entitlement form":  {quote(`,"price_fen":1,"entitlement":"1"`), codeInvalidField, "entitlement"},
		"person alone":      {quote(`,"price_fen":1,"person":{"id_kind":"TW","id_number":"12345678"}`), codeInvalidField, "person"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBench(t).do(c.request)
			p := requireProblem(t, w, c.code)
			require.Equal(t, c.field, p.Field)
			require.NotEmpty(t, p.Detail)
			require.NotContains(t, w.Body.String(), "21010219000101001", "no problem repeats a number")
		})
	}
}

func TestRequestsThatNeverReachTheEngine(t *testing.T) {
	for name, c := range map[string]struct {
		request *http.Request
		code    code
	}{
		"no token":            {claimRequest(claimBody, "Authorization: "), codeUnauthenticated},
		"wrong token":         {claimRequest(claimBody, "Authorization: Bearer "+sampleToken+"x"), codeUnauthenticated},
		"empty token":         {claimRequest(claimBody, "Authorization: Bearer "), codeUnauthenticated},
		"other scheme":        {claimRequest(claimBody, "Authorization: Basic "+sampleToken), codeUnauthenticated},
		"token without body":  {request("GET", "/v1/entitlements/E000000000001", "", "Authorization: "), codeUnauthenticated},
		"no such path":        {request("GET", "/v2/entitlements", ""), codeNoSuchPath},
		"root":                {request("GET", "/", ""), codeNoSuchPath},
		"malformed id":        {request("GET", "/v1/entitlements/1", ""), codeNotFound},
		"entitlement zero":    {request("GET", "/v1/entitlements/E000000000000", ""), codeNotFound},
		"13 digits":           {request("GET", "/v1/entitlements/E0000000000001", ""), codeNotFound},
		"method":              {request("DELETE", "/v1/entitlements/E000000000001", ""), codeMethod},
		"put":                 {request("PUT", "/v1/quotes", "{}"), codeMethod},
		"17 KiB":              {claimRequest(`{"category":"` + strings.Repeat("x", 17<<10) + `"}`), codeTooLarge},
		"no content type":     {claimRequest(claimBody, "Content-Type: "), codeMediaType},
		"form":                {claimRequest(claimBody, "Content-Type: application/x-www-form-urlencoded"), codeMediaType},
		"GBK":                 {claimRequest(claimBody, "Content-Type: application/json; charset=gbk"), codeMediaType},
		"compressed":          {claimRequest(claimBody, "Content-Encoding: gzip"), codeMediaType},
		"metrics by POST":     {request("POST", "/metrics", "{}"), codeMethod},
		"definition by PATCH": {request("PATCH", "/v1/openapi.yaml", "{}"), codeMethod},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBench(t).do(c.request)
			requireProblem(t, w, c.code)
			if c.code == codeMethod {
				require.NotEmpty(t, w.Header().Get("Allow"))
			}
		})
	}
}

func TestSchemeAndKeyQuotesAreTakenAsTheStandardsAllow(t *testing.T) {
	h := testHasher(t)
	b := newBench(t, exchange{reply: claimed(1)})
	b.engine.script[0].want = &engine.ClaimRequest{
		Request: engine.Hash(h.Request("other", "k-1")),
		Content: engine.Hash(h.Content([]byte("claim"), []byte("id-card"), []byte("210102190001010014"), nil, nil, []byte("A01"), []byte("210100"), []byte("store"))),
		Person:  engine.Hash(h.Person("id-card", "210102190001010014")), IDKind: "id-card", Category: "A01", City: "210100", Channel: "store",
	}
	w := b.do(claimRequest(claimBody, "Authorization: bearer "+otherToken, `Idempotency-Key: "k-1"`, "Content-Type: application/json; charset=UTF-8"))
	require.Equal(t, 201, w.Code, "%s", w.Body)
	require.Equal(t, "/v1/entitlements/E000000000001", w.Header().Get("Location"))
}

// What is written beforehand says what would be written for it.
func TestRefusalForOneReasonIsWrittenLikeAnyOther(t *testing.T) {
	for _, r := range reason.All() {
		p := refusal([]reason.Code{r})
		require.JSONEq(t, string(encode(refused([]reason.Code{r}))), string(p.text))
		require.Equal(t, refused([]reason.Code{r}).Status, p.Status)
		require.Nil(t, refusal([]reason.Code{r, r}).text)
	}
}

func TestFullQueueOfTheEngineIs503(t *testing.T) {
	w := newBench(t, exchange{mode: full}).do(claimRequest(claimBody))
	requireProblem(t, w, codeOverloaded)
	require.Equal(t, "1", w.Header().Get("Retry-After"))
}

func TestSilentEngineIs504AndItsLateAnswerIsDropped(t *testing.T) {
	b := newBenchWith(t, func(c *Config) { c.Timeout = time.Millisecond }, exchange{mode: lostReply, reply: claimed(1)})
	requireProblem(t, b.do(claimRequest(claimBody)), codeNoAnswer)
	require.Zero(t, b.g.pending.size())
	b.g.Deliver(&b.engine.lost[0])
	require.Equal(t, 1.0, counted(t, b.g.metrics.late))
}

func TestSecondAnswerToOneTokenIsDropped(t *testing.T) {
	b := newBench(t)
	w, p := b.g.pending.open("sample")
	require.Nil(t, p)
	first, second := claimed(1), claimed(2)
	first.Token, second.Token = w.token, w.token
	b.g.Deliver(&first)
	b.g.Deliver(&second)
	require.Equal(t, uint64(1), b.g.pending.wait(w, time.Minute).View.ID)
	require.Equal(t, 1.0, counted(t, b.g.metrics.late))
}

func TestOneCallerCannotFillTheTable(t *testing.T) {
	b := newBenchWith(t, func(c *Config) { c.MaxPending, c.MaxPerCaller = 3, 2 })
	var tokens []engine.Token
	for range 2 {
		w, p := b.g.pending.open("sample")
		require.Nil(t, p)
		tokens = append(tokens, w.token)
	}
	w := b.do(claimRequest(claimBody))
	requireProblem(t, w, codeTooMany)
	require.Equal(t, "1", w.Header().Get("Retry-After"))

	other, p := b.g.pending.open("other")
	require.Nil(t, p, "another caller still has room")
	requireProblem(t, b.do(claimRequest(claimBody, "Authorization: Bearer "+otherToken)), codeOverloaded)
	for _, token := range append(tokens, other.token) {
		b.g.pending.take(token)
	}
	require.Empty(t, b.g.pending.callers)
}

// exhausted answers every claim with BUDGET_EXHAUSTED from one goroutine, as the server does, behind a bounded queue.
type exhausted struct {
	queue chan engine.Token
	done  chan struct{}
}

func (e *exhausted) Submit(body any) error {
	select {
	case e.queue <- body.(*engine.ClaimRequest).Token:
		return nil
	default:
		return errors.New("queue is full")
	}
}

func (e *exhausted) run(g *Gateway) {
	defer close(e.done)
	for token := range e.queue {
		g.Deliver(&engine.APIReply{Token: token, Status: engine.APIRefused, Reasons: []reason.Code{reason.BudgetExhausted}})
	}
}

func TestClaimRushOnAnExhaustedRoundIsAnsweredToTheLast(t *testing.T) {
	const callers = 10_000
	for name, c := range map[string]struct{ queue, pending int }{
		"room for all":  {callers, callers},
		"short queue":   {16, callers},
		"short pending": {callers, 16},
	} {
		t.Run(name, func(t *testing.T) {
			e := &exhausted{queue: make(chan engine.Token, c.queue), done: make(chan struct{})}
			b := newBenchWith(t, func(cfg *Config) {
				cfg.Submit, cfg.MaxPending, cfg.Tokens = e.Submit, c.pending, []Token{{"sample", sampleToken}}
			})
			go e.run(b.g)
			answers := make([]*httptest.ResponseRecorder, callers)
			var all sync.WaitGroup
			for i := range callers {
				all.Go(func() { answers[i] = b.do(claimRequest(claimBody, fmt.Sprintf("Idempotency-Key: k-%d", i))) })
			}
			all.Wait()
			close(e.queue)
			<-e.done
			count := map[int]int{}
			for _, w := range answers {
				count[w.Code]++
				switch w.Code {
				case 422:
					require.Equal(t, []reasonText{{"BUDGET_EXHAUSTED", "补贴资金已用完", "the budget is exhausted"}}, requireProblem(t, w, codeRefused).Reasons)
				case 503:
					require.Equal(t, "1", w.Header().Get("Retry-After"))
					requireProblem(t, w, codeOverloaded)
				}
			}
			require.Equal(t, callers, count[422]+count[503], "%v", count)
			require.Positive(t, count[422])
			if name == "room for all" {
				require.Equal(t, callers, count[422])
			}
			require.Zero(t, b.g.pending.size())
			require.Zero(t, counted(t, b.g.metrics.late))
		})
	}
}

func TestNoPersonInLogs(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	body := strings.Replace(claimBody, `"id_kind"`, `"name":"张三","phone":"13800000000","id_kind"`, 1)
	b := newBenchWith(t, func(c *Config) { c.Logger = zap.New(core) },
		exchange{mode: full}, exchange{reply: engine.APIReply{}}, exchange{reply: claimed(1)})
	for range 3 {
		b.do(claimRequest(body))
	}
	b.g.cfg.Submit = func(body any) error { panic(fmt.Sprintf("%s %+v", claimBody, body)) }
	p := requireProblem(t, b.do(claimRequest(body)), codeInternal)
	require.Zero(t, b.g.pending.size(), "a panic leaves no entry behind")

	require.NotEmpty(t, logs.All())
	found := false
	for _, entry := range logs.All() {
		text := fmt.Sprint(entry.Message, entry.ContextMap())
		require.NotContains(t, text, "210102190001010014")
		require.NotContains(t, text, "张三")
		require.NotContains(t, text, "13800000000")
		require.NotContains(t, text, sampleToken)
		found = found || strings.Contains(text, p.Reference)
	}
	require.True(t, found, "the reference leads to its log entry")
}

func TestOneTimeCodesAreUniform(t *testing.T) {
	random := &counter{}
	var digits [10]int
	for range 500 { // 500 × 32 bytes go 62 times round the 256 values of the source
		c, err := newCode(random)
		require.NoError(t, err)
		require.Regexp(t, regexp.MustCompile(`^9[0-9]{17}$`), c)
		for _, d := range c[1:] {
			digits[d-'0']++
		}
		random.n++ // move the phase
	}
	for d, n := range digits {
		require.InDelta(t, 850, n, 60, "digit %d", d)
	}
	_, err := newCode(strings.NewReader("short"))
	require.Error(t, err)
}

func TestNoCodeLeavesWhenRandomnessFails(t *testing.T) {
	b := newBenchWith(t, func(c *Config) { c.Rand = strings.NewReader("") })
	w := b.do(request("POST", "/v1/entitlements/E000000000001/codes", `{"person":{"id_kind":"TW","id_number":"12345678"}}`))
	requireProblem(t, w, codeInternal)
}

func TestHealthReadinessAndMetrics(t *testing.T) {
	var journal error
	b := newBenchWith(t, func(c *Config) {
		c.Ready = func() []Part { return []Part{{"journal", journal}, {"postgres", nil}} }
	}, exchange{reply: claimed(1)})
	open := func(path string) *httptest.ResponseRecorder { return b.do(request("GET", path, "", "Authorization: ")) }
	require.Equal(t, "{\"status\":\"ok\"}\n", open("/healthz").Body.String())

	w := open("/readyz")
	require.Equal(t, 200, w.Code)
	require.JSONEq(t, `{"ready":true,"parts":[{"name":"journal","ready":true},{"name":"postgres","ready":true}]}`, w.Body.String())
	journal = errors.New("replaying")
	w = open("/readyz")
	require.Equal(t, 503, w.Code)
	require.JSONEq(t, `{"ready":false,"parts":[{"name":"journal","ready":false,"error":"replaying"},{"name":"postgres","ready":true}]}`, w.Body.String())

	b.do(claimRequest(claimBody))
	text := open("/metrics").Body.String()
	require.Contains(t, text, `huanxin_http_requests_total{method="POST",path="/v1/entitlements",status="201"} 1`)
	require.Contains(t, text, "huanxin_http_pending 0")
}

func TestTokenFile(t *testing.T) {
	secret, err := NewSecret(&counter{})
	require.NoError(t, err)
	one, err := ParseTokens([]byte(secret + "\n"))
	require.NoError(t, err)
	require.True(t, one[0] == Token{"app", secret})
	several, err := ParseTokens([]byte("# callers\n\nclaims " + sampleToken + "\r\nacquirer-1\t" + otherToken))
	require.NoError(t, err)
	require.True(t, several[0] == Token{"claims", sampleToken} && several[1] == Token{"acquirer-1", otherToken})
	for _, bad := range []string{"", "# only", "short", "a b c", sampleToken + "\n" + otherToken, "Name " + sampleToken} {
		_, err := ParseTokens([]byte(bad))
		require.ErrorContains(t, err, "token file", bad)
		require.NotContains(t, err.Error(), sampleToken)
	}
	_, err = NewSecret(strings.NewReader("short"))
	require.Error(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		require.Equal(t, "token claims", fmt.Sprintf(verb, several[0]))
	}
}

func FuzzParseTokens(f *testing.F) {
	f.Add([]byte(sampleToken))
	f.Add([]byte("claims " + sampleToken + "\n# x\nother " + otherToken))
	f.Fuzz(func(t *testing.T, text []byte) {
		tokens, err := ParseTokens(text)
		if err == nil {
			require.NoError(t, checkTokens(tokens))
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{Submit: func(any) error { return nil }, Hasher: testHasher(t), Rand: &counter{}, Tokens: []Token{{"sample", sampleToken}}}
	_, err := New(good)
	require.NoError(t, err)
	for says, change := range map[string]func(*Config){
		"Submit, Hasher and Rand": func(c *Config) { c.Submit = nil },
		"0 tokens":                func(c *Config) { c.Tokens = nil },
		"the name is not":         func(c *Config) { c.Tokens = []Token{{"Big", sampleToken}} },
		"the secret is not":       func(c *Config) { c.Tokens = []Token{{"sample", "short-secret"}} },
		"given twice":             func(c *Config) { c.Tokens = []Token{{"a", sampleToken}, {"b", sampleToken}} },
		"belong together":         func(c *Config) { c.Registerer = prometheus.NewRegistry() },
		"must be positive":        func(c *Config) { c.Timeout = -1 },
	} {
		bad := good
		change(&bad)
		_, err := New(bad)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "short-secret")
	}
	registry := prometheus.NewRegistry()
	good.Registerer, good.Gatherer = registry, registry
	_, err = New(good)
	require.NoError(t, err)
	_, err = New(good)
	require.ErrorContains(t, err, "register metrics")
}

func TestOverloadIsAnsweredBeforeABodyIsReadAndOnlyToWhatBegins(t *testing.T) {
	var asked []bool
	b := newBenchWith(t, func(c *Config) { c.TurnsAway = func(claim bool) bool { asked = append(asked, claim); return true } })
	turned := map[string]bool{}
	for _, e := range b.g.endpoints() {
		r := httptest.NewRequest(e.method, strings.ReplaceAll(e.path, "{id}", "1"), strings.NewReader("{"))
		r.Header.Set("Authorization", "Bearer "+sampleToken)
		r.Header.Set("Content-Type", "application/json")
		w := b.do(r)
		if turned[e.method+" "+e.path] = w.Code == http.StatusServiceUnavailable; turned[e.method+" "+e.path] {
			requireProblem(t, w, codeOverloaded)
			require.Equal(t, retryAfter, w.Header().Get("Retry-After"))
		}
	}
	require.Equal(t, map[string]bool{
		"POST /v1/entitlements": true, "GET /v1/entitlements/{id}": true, "POST /v1/entitlements/{id}/codes": true,
		"POST /v1/quotes": true, "POST /v1/reservations": true,
		"POST /v1/entitlements/{id}/return": false, "POST /v1/reservations/{id}/commit": false, "POST /v1/reservations/{id}/cancel": false,
		"POST /v1/reservations/{id}/refunds": false, "GET /v1/purchases/{id}": false,
	}, turned)
	require.Equal(t, []bool{true, false, false, false, false}, asked, "claims have a line of their own")
}
