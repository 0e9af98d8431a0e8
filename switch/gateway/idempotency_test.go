package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/engine"
)

// originOf is what the engine is told about the key and content of a request.
func originOf(t *testing.T, r *http.Request) (origin engine.APIOrigin) {
	submitted(t, func(input any) {
		switch in := input.(type) {
		case *engine.ReserveRequest:
			origin = *in.API
			require.Equal(t, origin.Content, in.Content)
		case *engine.CommitRequest:
			origin = in.API
		case *engine.APICancelRequest:
			origin = in.API
		case *engine.APIRefundRequest:
			origin = in.API
		case *engine.ClaimRequest:
			origin = engine.APIOrigin{Caller: "sample", Request: in.Request, Content: in.Content}
		}
	}).do(r)
	require.NotZero(t, origin.Request)
	require.NotZero(t, origin.Content)
	return origin
}

func TestTheSameRequestHasTheSameKeyAndContent(t *testing.T) {
	for name := range steps() {
		if name == "read" {
			continue
		}
		require.Equal(t, originOf(t, steps()[name]), originOf(t, steps()[name]), name)
	}
	shuffled := `{ "price_fen" : 599900, "serial":"sn-8891/2207.5", "barcode":"6901234567892",
		"channel":"\u0071r", "merchant":"898210157220001", "code":"912345678901234567" }`
	require.Equal(t, originOf(t, reserveRequest(reserveBody)), originOf(t, reserveRequest(shuffled, `Idempotency-Key: "k-1"`)),
		"order of fields, white space and quotes round the key do not count")
}

func TestAKeyBelongsToItsCaller(t *testing.T) {
	one, other := originOf(t, reserveRequest(reserveBody)), originOf(t, reserveRequest(reserveBody, "Authorization: Bearer "+otherToken))
	require.Equal(t, "sample", one.Caller)
	require.Equal(t, "other", other.Caller)
	require.NotEqual(t, one.Request, other.Request)
	require.Equal(t, one.Content, other.Content)
}

func TestAKeyBelongsToItsOperation(t *testing.T) {
	keys := map[engine.Hash]string{}
	for name, r := range map[string]*http.Request{
		"claim": claimRequest(claimBody), "reserve": steps()["reserve"], "commit": steps()["commit external"],
		"cancel": steps()["cancel"], "refund": steps()["refund"],
	} {
		hash := originOf(t, r).Request
		require.Empty(t, keys[hash], name)
		keys[hash] = name
	}
}

func TestOneKeyForTwoPurchasesIsAConflict(t *testing.T) {
	one := originOf(t, keyed("POST", "/v1/reservations/P000000000012/cancel", `{}`))
	two := originOf(t, keyed("POST", "/v1/reservations/P000000000013/cancel", `{}`))
	require.Equal(t, one.Request, two.Request)
	require.NotEqual(t, one.Content, two.Content)
}

func TestAFreshPaymentCodeIsAnotherRequest(t *testing.T) {
	one := originOf(t, keyed("POST", purchase12+"/commit", walletBody))
	two := originOf(t, keyed("POST", purchase12+"/commit", strings.Replace(walletBody, "2847", "2848", 1)))
	require.Equal(t, one.Request, two.Request)
	require.NotEqual(t, one.Content, two.Content, "the buyer must not be charged twice under one key")
}

// Every field makes a request another one; so does moving a value from one field to its neighbour.
func TestEveryFieldIsContent(t *testing.T) {
	right := `"entitlement":"E000000000001","person":{"id_kind":"TW","id_number":"12345678"}`
	full := `{` + right + `,"merchant":"898210157220001","channel":"qr","barcode":"6901234567892","price_fen":1,"components":[{"kind":"a","amount_fen":1}],
		"old_item":"x","order":"y","delivery":"210100","position":{"crs":"WGS84","lon":1,"lat":2,"age_seconds":3},"serial":"SN000001"}`
	for path, c := range map[string]struct {
		body    string
		changes []string // old, new, old, new …
	}{
		"/v1/reservations": {full, []string{
			`"E000000000001"`, `"E000000000002"`, `"12345678"`, `"12345679"`, `"TW"`, `"HKMO"`, right, `"code":"12345678"`,
			`898210157220001`, `898210157220002`, `"qr"`, `"online"`, `6901234567892`, `6901234567891`, `"price_fen":1`, `"price_fen":2`,
			`"kind":"a"`, `"kind":"b"`, `"amount_fen":1`, `"amount_fen":2`, `}],`, `},{"kind":"a","amount_fen":1}],`, `"old_item":"x",`, ``,
			`"order":"y"`, `"order":"x"`, `"old_item":"x","order":"y"`, `"old_item":"y","order":"x"`, `210100`, `210200`,
			`"WGS84"`, `"GCJ02"`, `"lon":1`, `"lon":2`, `"lat":2`, `"lat":1`, `"age_seconds":3`, `"age_seconds":4`, `SN000001`, `SN000002`,
			`"serial":"SN000001"`, `"serial":"sn000001"`,
		}},
		purchase12 + "/commit": {externalBody, []string{`PAY-7`, `PAY-8`, `479920`, `479921`, externalBody, walletBody}},
		purchase12 + "/refunds": {`{"amount_fen":5,"activated":true,"reference":"R"}`, []string{
			`"amount_fen":5,`, ``, `:5`, `:6`, `true`, `false`, `"R"`, `"S"`, `,"reference":"R"`, ``,
		}},
	} {
		seen := map[engine.Hash]string{originOf(t, keyed("POST", path, c.body)).Content: "unchanged"}
		for i := 0; i < len(c.changes); i += 2 {
			require.Contains(t, c.body, c.changes[i])
			changed := strings.Replace(c.body, c.changes[i], c.changes[i+1], 1)
			if c.changes[i] == `"TW"` {
				changed = strings.Replace(changed, `"12345678"`, `"H12345678"`, 1)
			}
			hash := originOf(t, keyed("POST", path, changed)).Content
			require.Empty(t, seen[hash], c.changes[i])
			seen[hash] = c.changes[i]
		}
	}
}
