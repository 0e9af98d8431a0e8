package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"huanxin/risk/geo"
	"huanxin/subsidy"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/reason"
	"huanxin/switch/engine"
)

const documentPath = "../../docs/interface/http.md"

// example is one request of the document with its answer.
type example struct{ name, request, answer string }

func readDocument(t *testing.T) (text string, examples []example) {
	raw, err := os.ReadFile(documentPath)
	require.NoError(t, err)
	text = string(raw)
	fences := regexp.MustCompile("(?ms)^```http (request|answer)=([a-z-]+)\n(.*?)^```$").FindAllStringSubmatch(text, -1)
	require.Equal(t, strings.Count(text, "```http"), len(fences), "every http block is marked")
	require.Zero(t, len(fences)%2)
	for i := 0; i < len(fences); i += 2 {
		require.Equal(t, "request", fences[i][1])
		require.Equal(t, "answer", fences[i+1][1])
		require.Equal(t, fences[i][2], fences[i+1][2], "an answer follows its request")
		examples = append(examples, example{fences[i][2], fences[i][3], fences[i+1][3]})
	}
	return text, examples
}

// documentScript is what the engine sees and answers in each example.
func documentScript(b *bench) map[string]exchange {
	h := b.hasher
	owner := engine.Hash(h.Person("id-card", "210102190001010014"))
	at := start.UnixNano()
	view := engine.EntitlementView{
		ID: 1, State: subsidy.Claimed, Category: "A01", City: "210100", Channel: "store",
		ClaimedAt: at, ExpiresAt: time.Date(2025, 6, 20, 0, 0, 0, 0, china).UnixNano(), Version: "2025-06",
	}
	held, returned := view, view
	held.State, returned.State = subsidy.Held, subsidy.Returned
	content := func(fields ...string) engine.Hash {
		raw := [][]byte{[]byte("claim")}
		for _, f := range fields {
			raw = append(raw, []byte(f))
		}
		return engine.Hash(h.Content(raw...))
	}
	claim := &engine.ClaimRequest{
		Request: engine.Hash(h.Request("sample", "6f1c2e8a-0b0e-4a43-9d6e-2f9f5f0f7a11")),
		Content: content("id-card", "210102190001010014", "张三", "13800000000", "A01", "210100", "store"),
		Person:  owner, IDKind: "id-card", Category: "A01", City: "210100", Channel: "store",
	}
	conflicting := *claim
	conflicting.Category, conflicting.Content = "A02", content("id-card", "210102190001010014", "", "", "A02", "210100", "store")
	price := engine.QuoteView{Version: "2025-06", Price: 599900, Base: 599900, Subsidy: 119980, Payable: 479920}
	above := engine.QuoteView{Version: "2025-06", Price: 649900, Base: 649900, Payable: 649900}
	merchant := [15]byte([]byte("898221057220001"))
	return map[string]exchange{
		"claim":          {want: claim, reply: engine.APIReply{Status: engine.APIDone, View: view}},
		"claim-repeated": {want: claim, reply: engine.APIReply{Status: engine.APIRepeated, View: view}},
		"claim-conflict": {want: &conflicting, reply: engine.APIReply{Status: engine.APIConflict}},
		"claim-refused": {want: &engine.ClaimRequest{
			Request: engine.Hash(h.Request("sample", "0c5c9d0e-3a83-4a37-8a4e-6d0f4c3b9e52")),
			Content: content("hk-macao-permit", "H12345678", "", "", "B01", "210200", "online"),
			Person:  engine.Hash(h.Person("hk-macao-permit", "H12345678")), IDKind: "hk-macao-permit",
			Category: "B01", City: "210200", Channel: "online",
		}, reply: engine.APIReply{Status: engine.APIRefused, Reasons: []reason.Code{reason.BudgetExhausted}}},
		"get":         {want: &engine.EntitlementRequest{Entitlement: 1}, reply: engine.APIReply{Status: engine.APIDone, View: held}},
		"get-unknown": {want: &engine.EntitlementRequest{Entitlement: 99}, reply: engine.APIReply{Status: engine.APINotFound}},
		"return": {want: &engine.ReturnRequest{Entitlement: 1, Person: owner},
			reply: engine.APIReply{Status: engine.APIDone, View: returned}},
		"code": {want: &engine.ShowCodeRequest{
			Entitlement: 1, Person: owner, Code: engine.Hash(h.Code([]byte("912345678901234567"))),
			Position: engine.Position{Given: true, At: geo.Point{Lon: 123437612, Lat: 41807153}, CRS: geo.GCJ02, Age: 12},
		}, reply: engine.APIReply{Status: engine.APIDone, View: view, CodeEnds: at + 60e9}},
		"code-not-yours": {want: &engine.ShowCodeRequest{
			Entitlement: 1, Person: engine.Hash(h.Person("taiwan-permit", "12345678")), Code: engine.Hash(h.Code([]byte("934567890123456789"))),
		}, reply: engine.APIReply{Status: engine.APIRefused, Reasons: []reason.Code{reason.EntitlementNotYours}}},
		"quote": {want: &engine.QuoteRequest{
			Entitlement: 1, Merchant: merchant, Channel: "store", Barcode: "6901234567892", Price: 599900,
			Components: []policy.Component{{Kind: "merchant", Amount: 10000}},
		}, reply: engine.APIReply{Status: engine.APIDone, Quote: price}},
		"quote-refused": {want: &engine.QuoteRequest{Merchant: merchant, Channel: "store", Barcode: "6923456789012", Price: 649900},
			reply: engine.APIReply{Status: engine.APIRefused, Reasons: []reason.Code{reason.PriceAboveCeiling}, Quote: above}},
		"overloaded": {mode: full},
	}
}

// withoutEngine are the examples that the gateway answers by itself.
var withoutEngine = []string{"claim-invalid", "unauthenticated"}

func TestExamplesOfTheDocument(t *testing.T) {
	b := newBench(t)
	_, examples := readDocument(t)
	script := documentScript(b)
	for _, e := range examples {
		if x, ok := script[e.name]; ok {
			b.engine.script = append(b.engine.script, x)
			delete(script, e.name)
		} else {
			require.Contains(t, withoutEngine, e.name)
		}
	}
	require.Empty(t, script, "every script has its example")

	for _, e := range examples {
		w := b.do(parseRequest(t, e.request))
		head, body, _ := strings.Cut(e.answer, "\n\n")
		lines := strings.Split(strings.TrimSpace(head), "\n")
		require.Equal(t, lines[0], fmt.Sprintf("HTTP/1.1 %d %s", w.Code, http.StatusText(w.Code)), "%s: %s", e.name, w.Body)
		for _, line := range lines[1:] {
			name, value, _ := strings.Cut(line, ": ")
			require.Equal(t, value, w.Header().Get(name), "%s: %s", e.name, name)
		}
		var compact bytes.Buffer
		require.NoError(t, json.Compact(&compact, []byte(body)), e.name)
		require.Equal(t, compact.String(), strings.TrimSuffix(w.Body.String(), "\n"), e.name)
	}
}

func parseRequest(t *testing.T, text string) *http.Request {
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	wire := strings.Join(lines, "\r\n") + fmt.Sprintf("\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	require.NoError(t, err)
	return r
}

func TestDocumentListsEveryError(t *testing.T) {
	text, _ := readDocument(t)
	rows := regexp.MustCompile("(?m)^\\| (\\d{3}) \\| `([A-Z_]+)` \\| ([^|]+) \\| ([^|]+) \\| [^|]+ \\|$").FindAllStringSubmatch(text, -1)
	listed := map[code]bool{}
	for _, row := range rows {
		kind, known := problemKinds[code(row[2])]
		require.True(t, known, row[2])
		require.Equal(t, fmt.Sprint(kind.status), row[1], row[2])
		require.Equal(t, []string{kind.en, kind.zh}, row[3:5], row[2])
		listed[code(row[2])] = true
	}
	for c := range problemKinds {
		require.Equal(t, c != codeGone, listed[c], "%s", c)
	}
}

func TestDocumentListsEveryReason(t *testing.T) {
	text, _ := readDocument(t)
	var want []string
	for _, c := range reason.All() {
		want = append(want, fmt.Sprintf("| %d | `%s` | %s | %s |", c, c, c.Text().ZH, c.Text().EN))
	}
	got := regexp.MustCompile("(?m)^\\| \\d{3} \\| `[A-Z_]+` \\| [^|]+ \\| [^|]+ \\|$").FindAllString(text, -1)
	require.Equal(t, want, got)
}

// The definition, the handlers and the catalogue must name the same operations and codes.
func TestOpenAPINamesTheOperationsThereAre(t *testing.T) {
	var doc struct {
		Paths      map[string]map[string]yaml.Node `yaml:"paths"`
		Components struct {
			Schemas struct {
				Problem struct {
					Properties struct {
						Code struct {
							Enum []code `yaml:"enum"`
						} `yaml:"code"`
					} `yaml:"properties"`
				} `yaml:"Problem"`
			} `yaml:"schemas"`
		} `yaml:"components"`
	}
	require.NoError(t, yaml.Unmarshal(openAPI, &doc))
	var defined, served []string
	for path, operations := range doc.Paths {
		for method := range operations {
			if method != "parameters" {
				defined = append(defined, strings.ToUpper(method)+" "+path)
			}
		}
	}
	for _, e := range newBench(t).g.endpoints() {
		served = append(served, e.method+" "+e.path)
	}
	require.ElementsMatch(t, served, defined)

	for c := range problemKinds {
		require.Equal(t, c != codeGone, slices.Contains(doc.Components.Schemas.Problem.Properties.Code.Enum, c), "%s", c)
	}
	// Every reference has its target.
	for _, ref := range regexp.MustCompile(`\$ref: "#/([^"]+)"`).FindAllStringSubmatch(string(openAPI), -1) {
		var node any
		require.NoError(t, yaml.Unmarshal(openAPI, &node))
		for _, step := range strings.Split(ref[1], "/") {
			node = node.(map[string]any)[step]
			require.NotNil(t, node, ref[1])
		}
	}
}

func TestOpenAPIIsServedAndDocumented(t *testing.T) {
	w := newBench(t).do(request("GET", "/v1/openapi.yaml", "", "Authorization: "))
	require.Equal(t, http.StatusOK, w.Code)
	beside, err := os.ReadFile("../../docs/interface/openapi.yaml")
	require.NoError(t, err)
	require.Equal(t, string(beside), w.Body.String())
}
