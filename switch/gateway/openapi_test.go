package gateway

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"huanxin/switch/engine"
)

// schema is as much of a schema of openapi.yaml as the tests look at.
type schema struct {
	Ref        string            `yaml:"$ref"`
	Required   []string          `yaml:"required"`
	Properties map[string]schema `yaml:"properties"`
	OneOf      []schema          `yaml:"oneOf"`
	Enum       []string          `yaml:"enum"`
}

func schemas(t *testing.T) map[string]schema {
	var doc struct {
		Components struct {
			Schemas map[string]schema `yaml:"schemas"`
		} `yaml:"components"`
	}
	require.NoError(t, yaml.Unmarshal(openAPI, &doc))
	return doc.Components.Schemas
}

func TestOpenAPIDefinesTheAnswersAsTheyAre(t *testing.T) {
	defined := schemas(t)
	for name, body := range map[string]any{
		"Entitlement": entitlementBody{}, "Code": codeBody{}, "Quote": quoteBody{}, "Reason": reasonText{}, "Problem": problem{},
		"Purchase": purchaseBody{}, "Payment": paymentBody{}, "Refund": refundBody{},
	} {
		var all, required []string
		kind := reflect.TypeOf(body)
		for i := range kind.NumField() {
			tag := kind.Field(i).Tag.Get("json")
			if tag == "" {
				continue
			}
			field, options, _ := strings.Cut(tag, ",")
			all = append(all, field)
			if options != "omitempty" {
				required = append(required, field)
			}
		}
		require.ElementsMatch(t, all, slices.Collect(maps.Keys(defined[name].Properties)), name)
		require.ElementsMatch(t, required, defined[name].Required, name)
	}
}

func TestOpenAPIAndDocumentNameTheStatesOfAPurchase(t *testing.T) {
	text, _ := readDocument(t)
	var states []string
	for s := engine.PurchaseState(1); !strings.HasPrefix(s.String(), "state "); s++ {
		states = append(states, s.String())
		require.Contains(t, text, "`"+s.String()+"`")
	}
	require.ElementsMatch(t, states, schemas(t)["PurchaseState"].Enum)
}

// Every property of a request's schema is read, every required one is demanded, and nothing else is.
func TestOpenAPIDefinesTheRequestsAsTheyAreRead(t *testing.T) {
	const person = `{"id_kind":"TW","id_number":"12345678"}`
	const rest = `"merchant":"898210157220001","channel":"qr","barcode":"6901234567892","price_fen":1,"components":[{"kind":"a","amount_fen":1}],"old_item":"x"`
	const more = rest + `,"order":"y","delivery":"210100","position":{"crs":"WGS84","lon":1,"lat":2,"age_seconds":3},"serial":"SN000001"`
	defined := schemas(t)
	commits := defined["Commit"].Properties["payment"].OneOf
	for name, c := range map[string]struct {
		path   string
		schema schema
		body   string
		inside string   // the object that the schema is of, "" = the body
		absent []string // properties that the body cannot have beside the others
		also   []string // required because of those that are absent
	}{
		"claim":            {path: "/v1/entitlements", schema: defined["Claim"], body: claimBody},
		"claim, person":    {path: "/v1/entitlements", schema: defined["PersonId"], body: claimBody, inside: "person"},
		"return":           {path: "/v1/entitlements/E000000000001/return", schema: defined["Return"], body: `{"person":` + person + `}`},
		"code":             {path: "/v1/entitlements/E000000000001/codes", schema: defined["ShowCode"], body: `{"person":` + person + `,"position":{"crs":"WGS84","lon":1,"lat":2,"age_seconds":3}}`},
		"code, position":   {path: "/v1/entitlements/E000000000001/codes", schema: defined["Position"], body: `{"person":` + person + `,"position":{"crs":"WGS84","lon":1,"lat":2,"age_seconds":3}}`, inside: "position"},
		"quote":            {path: "/v1/quotes", schema: defined["QuoteRequest"], body: `{"entitlement":"E000000000001","person":` + person + `,` + rest + `}`, also: []string{"entitlement"}},
		"reserve by code":  {path: "/v1/reservations", schema: defined["Reservation"], body: `{"code":"12345678",` + more + `}`, absent: []string{"entitlement", "person"}, also: []string{"code"}},
		"reserve by right": {path: "/v1/reservations", schema: defined["Reservation"], body: `{"entitlement":"E000000000001","person":` + person + `,` + more + `}`, absent: []string{"code"}, also: []string{"entitlement", "person"}},
		"commit":           {path: purchase12 + "/commit", schema: defined["Commit"], body: externalBody},
		"commit external":  {path: purchase12 + "/commit", schema: commits[0], body: externalBody, inside: "payment"},
		"commit wallet":    {path: purchase12 + "/commit", schema: commits[1], body: walletBody, inside: "payment"},
		"cancel":           {path: purchase12 + "/cancel", schema: defined["Nothing"], body: `{}`},
		"refund":           {path: purchase12 + "/refunds", schema: defined["RefundRequest"], body: `{"amount_fen":1,"activated":true,"reference":"R"}`},
	} {
		t.Run(name, func(t *testing.T) {
			ask := func(change func(map[string]any)) (reached bool, w problem) {
				var body map[string]any
				require.NoError(t, json.Unmarshal([]byte(c.body), &body))
				inside := body
				if c.inside != "" {
					inside = body[c.inside].(map[string]any)
				}
				change(inside)
				text, err := json.Marshal(body)
				require.NoError(t, err)
				answer := submitted(t, func(any) { reached = true }).do(keyed(http.MethodPost, c.path, string(text)))
				require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &w))
				return reached, w
			}
			reached, p := ask(func(map[string]any) {})
			require.True(t, reached, "%+v", p)
			ask(func(body map[string]any) {
				var want []string
				for property := range c.schema.Properties {
					if !slices.Contains(c.absent, property) && !(name == "claim, person") {
						want = append(want, property)
					}
				}
				if len(want) > 0 {
					require.ElementsMatch(t, want, slices.Collect(maps.Keys(body)), "the sample has every property")
				}
			})
			for property := range c.schema.Properties {
				reached, p := ask(func(body map[string]any) { delete(body, property) })
				if required := slices.Contains(append(c.schema.Required, c.also...), property); required {
					require.False(t, reached, property)
					if property != "entitlement" || name != "quote" {
						require.Equal(t, codeMissingField, p.Code, property)
					}
					continue
				}
				require.True(t, reached, property)
			}
			reached, p = ask(func(body map[string]any) { body["colour"] = "red" })
			require.False(t, reached)
			require.Equal(t, codeUnknownField, p.Code)
		})
	}
}
