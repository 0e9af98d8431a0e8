package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"huanxin/risk/geo"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/reason"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/keys"
)

const (
	payCode      = "284712345678901234"
	serial       = "sn-8891/2207.5"
	reserveBody  = `{"code":"912345678901234567","merchant":"898210157220001","channel":"qr","barcode":"6901234567892","price_fen":599900,"serial":"sn-8891/2207.5"}`
	externalBody = `{"payment":{"method":"external","reference":"PAY-7","paid_fen":479920}}`
	walletBody   = `{"payment":{"method":"wallet","code":"284712345678901234","paid_fen":479920}}`
	purchase12   = "/v1/reservations/P000000000012"
)

func keyed(method, path, body string, headers ...string) *http.Request {
	return request(method, path, body, append([]string{"Idempotency-Key: k-1"}, headers...)...)
}

func reserveRequest(body string, headers ...string) *http.Request {
	return keyed("POST", "/v1/reservations", body, headers...)
}

// steps are one good request for each step of a purchase.
func steps() map[string]*http.Request {
	return map[string]*http.Request{
		"reserve":         reserveRequest(reserveBody),
		"commit external": keyed("POST", purchase12+"/commit", externalBody),
		"commit wallet":   keyed("POST", purchase12+"/commit", walletBody),
		"cancel":          keyed("POST", purchase12+"/cancel", `{}`),
		"refund":          keyed("POST", purchase12+"/refunds", `{}`),
		"read":            request("GET", "/v1/purchases/P000000000012", ""),
	}
}

// reserved is a purchase as the engine shows it.
func reserved(id uint64) *engine.PurchaseView {
	at := start.UnixNano()
	return &engine.PurchaseView{
		ID: id, State: engine.Reserved, Merchant: "898210157220001", Caller: "sample", Price: 599900, Subsidy: 119980, Payable: 479920,
		ExpiresAt: at + 180e9, Category: "A01", Barcode: "6901234567892", SerialMask: "SN-*******07.5", PolicyVersion: "ln-2025-1",
	}
}

// What goes to the engine is exactly this.
func TestEachStepMakesItsInput(t *testing.T) {
	h := testHasher(t)
	owner := engine.Hash(h.Person("id-card", "210102190001010014"))
	content := func(parts ...string) engine.Hash {
		var list [][]byte
		for _, p := range parts {
			list = append(list, []byte(p))
		}
		return engine.Hash(h.Content(list...))
	}
	origin := func(operation string, hash engine.Hash) engine.APIOrigin {
		return engine.APIOrigin{Caller: "sample", Request: engine.Hash(h.Request("sample", operation+" k-1")), Content: hash}
	}
	var merchant engine.Key
	copy(merchant.Merchant[:], "898210157220001")
	scanned := content("reserve", "898210157220001", "qr", "6901234567892", "599900", "", "", "", "", serial, "912345678901234567", "0", "", "")
	scannedBy := origin("reserve", scanned)
	shipped := content("reserve", "898210157220001", "online", "6901234567892", "599900", "fridge", "4111111111111111", "210102",
		"WGS-84 123431500 41805700 9", "490154203237518", "", "7", "id-card", "210102190001010014", "merchant", "100", "prior", "0")
	shippedBy := origin("reserve", shipped)
	for name, c := range map[string]struct {
		request *http.Request
		want    any
	}{
		"reserve by code": {steps()["reserve"], &engine.ReserveRequest{
			Key: merchant, API: &scannedBy, Content: scanned, Code: engine.Hash(h.Code([]byte("912345678901234567"))), Channel: "qr",
			Barcode: "6901234567892", Price: 599900, Serial: engine.Hash(h.Serial([]byte("SN889122075"))), SerialMask: "SN-*******07.5",
			SerialOK: true,
		}},
		"reserve by entitlement, with everything": {
			reserveRequest(`{"entitlement":"E000000000007","person":{"id_kind":"ID","id_number":"210102190001010014"},"merchant":"898210157220001",
				"channel":"online","barcode":"6901234567892","price_fen":599900,"components":[{"kind":"merchant","amount_fen":100},{"kind":"prior","amount_fen":0}],
				"old_item":"fridge","order":"4111111111111111","delivery":"210102","serial":"490154203237518",
				"position":{"crs":"WGS84","lon":123.4315,"lat":41.8057,"age_seconds":9}}`),
			&engine.ReserveRequest{
				Key: merchant, API: &shippedBy, Content: shipped, Entitlement: 7, Person: owner, Channel: "online", Barcode: "6901234567892",
				Price: 599900, Components: []policy.Component{{Kind: "merchant", Amount: 100}, {Kind: "prior"}}, OldItem: "fridge",
				Order: "411111******1111", Delivery: "210102", Serial: engine.Hash(h.Serial([]byte("490154203237518"))),
				SerialMask: "490********7518", SerialOK: true, SerialIMEI: true,
				Position: engine.Position{Given: true, At: geo.Point{Lon: 123431500, Lat: 41805700}, CRS: geo.WGS84, Age: 9},
			},
		},
		"commit external": {steps()["commit external"], &engine.CommitRequest{
			API: origin("commit", content("commit", "12", "external", "PAY-7", "479920", "")), Purchase: 12, Amount: 479920, Reference: "PAY-7",
		}},
		"cancel": {steps()["cancel"], &engine.APICancelRequest{API: origin("cancel", content("cancel", "12")), Purchase: 12}},
		"refund of all": {steps()["refund"], &engine.APIRefundRequest{
			API: origin("refund", content("refund", "12", "0", "false", "")), Purchase: 12,
		}},
		"refund in part": {keyed("POST", purchase12+"/refunds", `{"amount_fen":5,"activated":true,"reference":"REF 4111111111111111"}`), &engine.APIRefundRequest{
			API: origin("refund", content("refund", "12", "5", "true", "REF 4111111111111111")), Purchase: 12, Amount: 5, Activated: true,
			Reference: "REF 411111******1111",
		}},
		"read": {steps()["read"], &engine.PurchaseRequest{Caller: "sample", Purchase: 12}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, exchange{want: c.want, reply: engine.APIReply{Status: engine.APIDone, Purchase: reserved(12)}})
			w := b.do(c.request)
			require.Less(t, w.Code, 300, "%s", w.Body)
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		})
	}
}

// A payment code reaches the engine in an envelope only, as it would from a till.
func TestAPaymentCodeIsSealed(t *testing.T) {
	var in *engine.CommitRequest
	b := submitted(t, func(body any) { in = body.(*engine.CommitRequest) })
	b.do(steps()["commit wallet"])
	require.Equal(t, "wallet", in.Host)
	require.EqualValues(t, 479920, in.Amount)
	require.Equal(t, "284712********1234", in.Card.Mask)
	token := b.hasher.Card([]byte(payCode))
	require.Equal(t, token[:], in.Card.Token)
	record, err := testVault(t).OpenCard(in.Card)
	require.NoError(t, err)
	require.Equal(t, payCode, string(record.QRCode))
	require.Equal(t, "032", string(record.EntryMode))
	require.Equal(t, "156", string(record.Currency))
}

func TestMalformedStepsNameTheField(t *testing.T) {
	reserve := func(old, by string) *http.Request {
		require.Contains(t, reserveBody, old)
		return reserveRequest(strings.Replace(reserveBody, old, by, 1))
	}
	right := `"code":"912345678901234567"`
	commit := func(payment string) *http.Request {
		return keyed("POST", purchase12+"/commit", `{"payment":`+payment+`}`)
	}
	refund := func(body string) *http.Request { return keyed("POST", purchase12+"/refunds", body) }
	for name, c := range map[string]struct {
		request *http.Request
		code    code
		field   string
	}{
		"reserve without key":         {request("POST", "/v1/reservations", reserveBody), codeMissingField, "Idempotency-Key"},
		"commit without key":          {request("POST", purchase12+"/commit", externalBody), codeMissingField, "Idempotency-Key"},
		"cancel without key":          {request("POST", purchase12+"/cancel", `{}`), codeMissingField, "Idempotency-Key"},
		"refund without key":          {request("POST", purchase12+"/refunds", `{}`), codeMissingField, "Idempotency-Key"},
		"neither code nor person":     {reserve(right, `"old_item":"x"`), codeMissingField, "code"},
		"code and entitlement":        {reserve(right, right+`,"entitlement":"E000000000001"`), codeInvalidField, "entitlement"},
		"code and person":             {reserve(right, right+`,"person":{"id_kind":"TW","id_number":"12345678"}`), codeInvalidField, "person"},
		"entitlement without person":  {reserve(right, `"entitlement":"E000000000001"`), codeMissingField, "person"},
		"person without entitlement":  {reserve(right, `"person":{"id_kind":"TW","id_number":"12345678"}`), codeMissingField, "entitlement"},
		"entitlement zero":            {reserve(right, `"entitlement":"E000000000000","person":{"id_kind":"TW","id_number":"12345678"}`), codeInvalidField, "entitlement"},
		"purchase for an entitlement": {reserve(right, `"entitlement":"P000000000001","person":{"id_kind":"TW","id_number":"12345678"}`), codeInvalidField, "entitlement"},
		"letters in a code":           {reserve(`9123`, `9A23`), codeInvalidField, "code"},
		"code of 33 digits":           {reserve(`9123`, strings.Repeat("9", 19)), codeInvalidField, "code"},
		"code as a number":            {reserve(right, `"code":912345678901234567`), codeInvalidField, "code"},
		"merchant":                    {reserve(`898210157220001`, `89821015722000`), codeInvalidField, "merchant"},
		"no merchant":                 {reserve(`"merchant":"898210157220001",`, ``), codeMissingField, "merchant"},
		"no channel":                  {reserve(`"channel":"qr",`, ``), codeMissingField, "channel"},
		"barcode":                     {reserve(`6901234567892`, `123`), codeInvalidField, "barcode"},
		"price in yuan":               {reserve(`599900`, `5999.00`), codeInvalidField, "price_fen"},
		"empty serial":                {reserve(serial, ``), codeInvalidField, "serial"},
		"serial of 65 characters":     {reserve(serial, strings.Repeat("S", 65)), codeInvalidField, "serial"},
		"serial in Chinese":           {reserve(serial, `序列号`), codeInvalidField, "serial"},
		"order of 41 characters":      {reserve(right, right+`,"order":"`+strings.Repeat("1", 41)+`"`), codeInvalidField, "order"},
		"order with a break":          {reserve(right, right+`,"order":"a\nb"`), codeInvalidField, "order"},
		"delivery":                    {reserve(right, right+`,"delivery":"沈阳"`), codeInvalidField, "delivery"},
		"position":                    {reserve(right, right+`,"position":{"crs":"WGS84","lon":1,"lat":1}`), codeMissingField, "position.age_seconds"},
		"component":                   {reserve(right, right+`,"components":[{"kind":"a"}]`), codeMissingField, "components[0].amount_fen"},
		"unknown field":               {reserve(right, right+`,"terminal":"1"`), codeUnknownField, "terminal"},

		"no payment":                 {keyed("POST", purchase12+"/commit", `{}`), codeMissingField, "payment"},
		"no method":                  {commit(`{"reference":"x","paid_fen":1}`), codeMissingField, "payment.method"},
		"method cash":                {commit(`{"method":"cash"}`), codeInvalidField, "payment.method"},
		"empty method":               {commit(`{"method":""}`), codeInvalidField, "payment.method"},
		"external without reference": {commit(`{"method":"external","paid_fen":1}`), codeMissingField, "payment.reference"},
		"empty reference":            {commit(`{"method":"external","reference":"","paid_fen":1}`), codeInvalidField, "payment.reference"},
		"reference of 65 characters": {commit(`{"method":"external","reference":"` + strings.Repeat("r", 65) + `","paid_fen":1}`), codeInvalidField, "payment.reference"},
		"external without amount":    {commit(`{"method":"external","reference":"x"}`), codeMissingField, "payment.paid_fen"},
		"external with code":         {commit(`{"method":"external","reference":"x","paid_fen":1,"code":"284712345678901234"}`), codeUnknownField, "payment.code"},
		"wallet without code":        {commit(`{"method":"wallet","paid_fen":1}`), codeMissingField, "payment.code"},
		"wallet without amount":      {commit(`{"method":"wallet","code":"284712345678901234"}`), codeMissingField, "payment.paid_fen"},
		"payment code of 11 digits":  {commit(`{"method":"wallet","code":"28471234567","paid_fen":1}`), codeInvalidField, "payment.code"},
		"payment code with a blank":  {commit(`{"method":"wallet","code":"2847 1234 5678 9012","paid_fen":1}`), codeInvalidField, "payment.code"},
		"wallet with reference":      {commit(`{"method":"wallet","code":"284712345678901234","paid_fen":1,"reference":"x"}`), codeUnknownField, "payment.reference"},
		"field beside payment":       {keyed("POST", purchase12+"/commit", `{"payment":{"method":"wallet","code":"284712345678901234","paid_fen":1},"amount_fen":1}`), codeUnknownField, "amount_fen"},

		"cancel with a field":    {keyed("POST", purchase12+"/cancel", `{"reason":"x"}`), codeUnknownField, "reason"},
		"refund of nothing":      {refund(`{"amount_fen":0}`), codeInvalidField, "amount_fen"},
		"refund below nothing":   {refund(`{"amount_fen":-5}`), codeInvalidField, "amount_fen"},
		"refund of 13 digits":    {refund(`{"amount_fen":1000000000000}`), codeInvalidField, "amount_fen"},
		"activated as text":      {refund(`{"activated":"yes"}`), codeInvalidField, "activated"},
		"activated as a number":  {refund(`{"activated":1}`), codeInvalidField, "activated"},
		"empty refund reference": {refund(`{"reference":""}`), codeInvalidField, "reference"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBench(t).do(c.request)
			p := requireProblem(t, w, c.code)
			require.Equal(t, c.field, p.Field)
			require.NotEmpty(t, p.Detail)
			for _, secret := range []string{payCode, serial, "912345678901234567"} {
				require.NotContains(t, w.Body.String(), secret, "no problem repeats what was sent")
			}
		})
	}
}

func TestStepsThatNeverReachTheEngine(t *testing.T) {
	for name, r := range map[string]*http.Request{
		"entitlement for a purchase": request("GET", "/v1/purchases/E000000000012", ""),
		"purchase zero":              request("GET", "/v1/purchases/P000000000000", ""),
		"number alone":               request("GET", "/v1/purchases/12", ""),
		"commit of no number":        keyed("POST", "/v1/reservations/12/commit", externalBody),
		"cancel of 13 digits":        keyed("POST", "/v1/reservations/P0000000000012/cancel", `{}`),
		"refund of an entitlement":   keyed("POST", "/v1/reservations/E000000000012/refunds", `{}`),
	} {
		t.Run(name, func(t *testing.T) { requireProblem(t, newBench(t).do(r), codePurchaseNotFound) })
	}
	for name, r := range steps() {
		t.Run(name+" without token", func(t *testing.T) {
			r.Header.Del("Authorization")
			requireProblem(t, newBench(t).do(r), codeUnauthenticated)
		})
	}
	for _, path := range []string{"/v1/reservations", purchase12 + "/commit", purchase12 + "/cancel", purchase12 + "/refunds"} {
		w := newBench(t).do(request("GET", path, ""))
		requireProblem(t, w, codeMethod)
		require.Equal(t, "POST", w.Header().Get("Allow"))
	}
	requireProblem(t, newBench(t).do(request("GET", "/v1/reservations/P000000000012", "")), codeNoSuchPath)
	requireProblem(t, newBench(t).do(request("DELETE", "/v1/purchases/P000000000012", "")), codeMethod)
}

func TestStepAnswersMapToStatuses(t *testing.T) {
	view := reserved(12)
	for name := range steps() {
		waits := strings.HasPrefix(name, "commit") || name == "refund"
		missing, declined := codePurchaseNotFound, codePaymentDeclined
		done, pending, no := 200, 500, 500
		switch name {
		case "reserve":
			missing, done = codeNotFound, 201
		case "refund":
			declined = codeRefundDeclined
		}
		if waits {
			pending, no = 202, 402
		} else {
			declined = codeInternal
		}
		for answer, c := range map[string]struct {
			reply  engine.APIReply
			status int
			code   code
		}{
			"done":        {engine.APIReply{Status: engine.APIDone, Purchase: view}, done, ""},
			"repeated":    {engine.APIReply{Status: engine.APIRepeated, Purchase: view}, 200, ""},
			"refused":     {engine.APIReply{Status: engine.APIRefused, Reasons: []reason.Code{reason.HoldExpired}}, 422, codeRefused},
			"high water":  {engine.APIReply{Status: engine.APIRefused, Reasons: []reason.Code{reason.OverloadRetry}}, 503, codeOverloaded},
			"not found":   {engine.APIReply{Status: engine.APINotFound}, 404, missing},
			"conflict":    {engine.APIReply{Status: engine.APIConflict}, 409, codeConflict},
			"declined":    {engine.APIReply{Status: engine.APIDeclined, Response: "51", Purchase: view}, no, declined},
			"pending":     {engine.APIReply{Status: engine.APIPending, Purchase: view}, pending, ""},
			"no purchase": {engine.APIReply{Status: engine.APIDone}, 500, codeInternal},
			"no status":   {engine.APIReply{Purchase: view}, 500, codeInternal},
		} {
			t.Run(name+"/"+answer, func(t *testing.T) {
				w := newBench(t, exchange{reply: c.reply}).do(steps()[name])
				require.Equal(t, c.status, w.Code, "%s", w.Body)
				if c.status >= 400 {
					p := requireProblem(t, w, pick(c.code, codeInternal))
					require.Equal(t, c.status == 402, p.Response == "51")
					return
				}
				var body purchaseBody
				require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
				require.Equal(t, "P000000000012", body.Purchase)
				require.Equal(t, c.status == 201 || c.status == 202, w.Header().Get("Location") == "/v1/purchases/P000000000012")
				require.Equal(t, c.status == 202, w.Header().Get("Retry-After") == "3")
			})
		}
	}
}

func pick(c, otherwise code) code {
	if c == "" {
		return otherwise
	}
	return c
}

func TestAPurchaseShowsHowItWasPaid(t *testing.T) {
	at := start.UnixNano()
	wallet := reserved(12)
	wallet.State, wallet.Host, wallet.Amount, wallet.SentAt = engine.Captured, "wallet", 479920, at+5e9
	wallet.CardMask, wallet.RRN, wallet.Answer = "284712********1234", "616900000001", &event.HostAnswer{Response: "00"}
	wallet.Order, wallet.Subsidy = "ORDER-1", 59990
	wallet.Refunded, wallet.Returned, wallet.Refunding = 239960, 59990, 5
	external := reserved(13)
	external.State, external.Host, external.Amount, external.SentAt, external.Reference = engine.Captured, "external", 479920, at, "PAY-7"
	for name, c := range map[string]struct {
		reply engine.APIReply
		want  string
	}{
		"not at all": {engine.APIReply{Purchase: reserved(12)}, `{"purchase":"P000000000012","state":"reserved","merchant":"898210157220001",
			"category":"A01","barcode":"6901234567892","serial":"SN-*******07.5","price_fen":599900,"subsidy_fen":119980,"payable_fen":479920,
			"expires_at":"2026-06-18T10:03:00+08:00","policy_version":"ln-2025-1"}`},
		"wallet, refunded in part": {
			engine.APIReply{Purchase: wallet, Refund: &engine.RefundView{Amount: 239960, Returned: 59990, Kept: 59990}},
			`{"purchase":"P000000000012","state":"captured","merchant":"898210157220001","category":"A01","barcode":"6901234567892",
			"serial":"SN-*******07.5","order":"ORDER-1","price_fen":599900,"subsidy_fen":59990,"payable_fen":479920,
			"expires_at":"2026-06-18T10:03:00+08:00","policy_version":"ln-2025-1",
			"payment":{"method":"wallet","amount_fen":479920,"code":"284712********1234","rrn":"616900000001","response":"00",
			"sent_at":"2026-06-18T10:00:05+08:00","refunded_fen":239960,"refunding_fen":5,"subsidy_returned_fen":59990},
			"refund":{"amount_fen":239960,"subsidy_returned_fen":59990,"subsidy_kept_fen":59990}}`,
		},
		"external": {engine.APIReply{Purchase: external}, `{"purchase":"P000000000013","state":"captured","merchant":"898210157220001",
			"category":"A01","barcode":"6901234567892","serial":"SN-*******07.5","price_fen":599900,"subsidy_fen":119980,"payable_fen":479920,
			"expires_at":"2026-06-18T10:03:00+08:00","policy_version":"ln-2025-1",
			"payment":{"method":"external","amount_fen":479920,"reference":"PAY-7","sent_at":"2026-06-18T10:00:00+08:00","refunded_fen":0,
			"refunding_fen":0,"subsidy_returned_fen":0}}`},
	} {
		t.Run(name, func(t *testing.T) {
			c.reply.Status = engine.APIDone
			w := newBench(t, exchange{reply: c.reply}).do(steps()["read"])
			require.Equal(t, 200, w.Code)
			require.JSONEq(t, c.want, w.Body.String())
		})
	}
}

// The engine took the request, so its outcome can be read: silence is no error yet.
func TestSlowCommitIsAcceptedWithTheStateOfThePurchase(t *testing.T) {
	at := reserved(12)
	at.State = engine.Sent
	for _, name := range []string{"commit wallet", "commit external", "refund"} {
		b := newBenchWith(t, func(c *Config) { c.Timeout = time.Millisecond },
			exchange{mode: lostReply, reply: engine.APIReply{Status: engine.APIDone, Purchase: reserved(12)}},
			exchange{want: &engine.PurchaseRequest{Caller: "sample", Purchase: 12}, reply: engine.APIReply{Status: engine.APIDone, Purchase: at}})
		b.g.look = time.Minute
		w := b.do(steps()[name])
		require.Equal(t, 202, w.Code, "%s", w.Body)
		require.Contains(t, w.Body.String(), `"state":"sent"`)
		require.Equal(t, "/v1/purchases/P000000000012", w.Header().Get("Location"))
		require.Equal(t, "3", w.Header().Get("Retry-After"))
		b.g.Deliver(&b.engine.lost[0])
		require.Equal(t, 1.0, counted(t, b.g.metrics.late))
	}
}

func TestSilenceAboutTheStateTooIs504(t *testing.T) {
	for name, look := range map[string]exchange{
		"silent": {mode: lostReply}, "full": {mode: full},
		"refused": {reply: engine.APIReply{Status: engine.APIRefused, Reasons: []reason.Code{reason.OverloadRetry}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBenchWith(t, func(c *Config) { c.Timeout = time.Millisecond }, exchange{mode: lostReply}, look)
			b.g.look = time.Minute
			if name == "silent" {
				b.g.look = time.Millisecond
			}
			requireProblem(t, b.do(steps()["commit wallet"]), codeNoAnswer)
		})
	}
}

func TestSlowCommitOfAPurchaseThatIsNotThereIs404(t *testing.T) {
	b := newBenchWith(t, func(c *Config) { c.Timeout = time.Millisecond }, exchange{mode: lostReply}, exchange{reply: engine.APIReply{Status: engine.APINotFound}})
	b.g.look = time.Minute
	requireProblem(t, b.do(steps()["commit wallet"]), codePurchaseNotFound)
}

func TestSilenceAboutAReserveIs504(t *testing.T) {
	for _, name := range []string{"reserve", "cancel", "read"} {
		b := newBenchWith(t, func(c *Config) { c.Timeout = time.Millisecond }, exchange{mode: lostReply})
		requireProblem(t, b.do(steps()[name]), codeNoAnswer)
	}
}

func TestAWalletPaymentWithoutAWalletIsRefusedBeforeTheEngine(t *testing.T) {
	b := newBenchWith(t, func(c *Config) { c.WalletHost = "" })
	requireProblem(t, b.do(steps()["commit wallet"]), codeNoWallet)

	b = newBenchWith(t, func(c *Config) { c.WalletHost, c.Vault = "", nil },
		exchange{reply: engine.APIReply{Status: engine.APIDone, Purchase: reserved(12)}})
	require.Equal(t, 200, b.do(steps()["commit external"]).Code, "a caller that has collected the payment needs none")
}

// faucet is a source of randomness that can end.
type faucet struct {
	from io.Reader
	dry  bool
}

func (f *faucet) Read(p []byte) (int, error) {
	if f.dry {
		return 0, io.ErrUnexpectedEOF
	}
	return f.from.Read(p)
}

func TestNoPaymentLeavesWhenItsCodeCannotBeSealed(t *testing.T) {
	source := &faucet{from: &counter{}}
	set, err := keys.Generate(source)
	require.NoError(t, err)
	source.dry = true
	b := newBenchWith(t, func(c *Config) { c.Vault = set.Vault() })
	requireProblem(t, b.do(steps()["commit wallet"]), codeInternal)
}

// Neither logs nor inputs nor answers hold a code, a serial number or a key in clear.
func TestNoSecretOfAPurchaseInClear(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	var seen strings.Builder
	b := newBenchWith(t, func(c *Config) {
		c.Logger = zap.New(core)
		c.Submit = func(body any) error {
			fmt.Fprintf(&seen, "%+v", body)
			if in, ok := body.(*engine.CommitRequest); ok {
				fmt.Fprintf(&seen, "%+v %q", in.Card, in.Card.GetEnvelope())
			}
			panic("about " + serial + payCode)
		}
	})
	bodies := ""
	for _, name := range []string{"reserve", "commit wallet"} {
		bodies += b.do(steps()[name]).Body.String()
	}
	for _, entry := range logs.All() {
		bodies += fmt.Sprint(entry.Message, entry.ContextMap())
	}
	require.Len(t, logs.All(), 2)
	bodies += seen.String()
	for _, secret := range []string{serial, strings.ToUpper(serial), "889122075", payCode, "912345678901234567", "k-1", sampleToken} {
		require.NotContains(t, bodies, secret)
	}
}
