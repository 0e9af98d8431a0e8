package gateway

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"huanxin/risk/geo"
	"huanxin/subsidy/policy"
	"huanxin/subsidy/reason"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/keys"
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

// programmeFolder is the programme that the document speaks of.
const programmeFolder = "../../config/programmes/liaoning-2025/"

// realEngine is the engine without its journal: every input is decided at once, at an instant that the test says.
type realEngine struct {
	t       *testing.T
	engine  *engine.Engine
	gateway *Gateway
	vault   *keys.Vault
	now     time.Time
	full    bool                  // takes nothing
	slow    []*engine.HostRequest // what the wallet has not answered
	charged int                   // payments that the wallet has carried out
}

func (r *realEngine) Submit(body any) error {
	if r.full {
		return errors.New("queue is full")
	}
	for _, send := range slices.Clone(r.engine.Step(engine.Input{At: r.now.UnixNano(), Body: body}).Sends) {
		if send.Admin != nil {
			require.Empty(r.t, send.Admin.Problems)
		}
		if send.API != nil {
			r.gateway.Deliver(send.API)
		}
		if send.Host != nil {
			r.wallet(send.Host)
		}
	}
	return nil
}

// wallet charges a payment at once, unless its code ends in 51, which it declines, or in 68, which it leaves open. Refunds it
// carries out.
func (r *realEngine) wallet(ask *engine.HostRequest) {
	code := ""
	if ask.Kind == engine.HostSale {
		record, err := r.vault.OpenCard(ask.Card)
		require.NoError(r.t, err)
		code = string(record.QRCode[len(record.QRCode)-2:])
	}
	switch code {
	case "51":
		r.answer(ask, code)
	case "68":
		r.slow = append(r.slow, ask)
	default:
		r.answer(ask, "00")
	}
}

func (r *realEngine) answer(ask *engine.HostRequest, response string) {
	if ask.Kind == engine.HostSale && response == "00" {
		r.charged++
	}
	require.NoError(r.t, r.Submit(&engine.HostAnswered{
		Host: ask.Host, Kind: engine.HostSale, RRN: ask.RRN, Answer: event.HostAnswer{Response: response, Amount: int64(ask.Amount)},
	}))
}

// newRealEngine has the programme in force, with the one leaf emptied that the document claims from in vain.
func newRealEngine(t *testing.T) *realEngine {
	liaoning, err := geo.Load(geo.LiaoningGeoJSON)
	require.NoError(t, err)
	e, err := engine.New(engine.Config{Map: liaoning, Hosts: map[string]engine.HostProfile{"wallet": {Wallet: true}}})
	require.NoError(t, err)
	r := &realEngine{t: t, engine: e, vault: testVault(t), now: start}
	files := map[string][]byte{}
	for _, name := range policy.RuleFiles() {
		files[name], err = os.ReadFile(programmeFolder + name)
		require.NoError(t, err)
	}
	// No money for dishwashers in 葫芦岛.
	leaf := regexp.MustCompile(`(path: "211400/store/A10[^}]* amount: )[0-9.]+`)
	require.True(t, leaf.Match(files[policy.FileBudget]))
	files[policy.FileBudget] = leaf.ReplaceAll(files[policy.FileBudget], []byte("${1}0.00"))
	rows := func(name string) [][]string {
		raw, err := os.ReadFile(programmeFolder + name)
		require.NoError(t, err)
		reader := csv.NewReader(bytes.NewReader(raw))
		reader.Comment = '#'
		records, err := reader.ReadAll()
		require.NoError(t, err)
		return records[1:]
	}
	for _, body := range []any{
		&engine.TakeOwnership{Owner: "test", Software: "test", Programme: "liaoning-2025"},
		&engine.ApplyProgramme{Token: 1, Files: files, Actor: "test", Reason: "test"},
		&engine.SetRows{Token: 2, Merchants: rows(policy.FileMerchants), Products: rows(policy.FileProducts)},
	} {
		require.NoError(t, r.Submit(body))
	}
	return r
}

// newRealBench is a gateway on a real engine.
func newRealBench(t *testing.T) (*bench, *realEngine) {
	real := newRealEngine(t)
	b := newBenchWith(t, func(c *Config) { c.Submit = real.Submit })
	real.gateway = b.g
	return b, real
}

func claimFor(t *testing.T, b *bench, number, category, channel string) {
	w := b.do(claimRequest(fmt.Sprintf(`{"person":{"id_kind":"ID","id_number":%q},"category":%q,"city":"210100","channel":%q}`, number, category, channel),
		"Idempotency-Key: "+number+category))
	require.Equal(t, http.StatusCreated, w.Code, "%s", w.Body)
}

func TestExamplesOfTheDocument(t *testing.T) {
	_, examples := readDocument(t)
	b, real := newRealBench(t)
	must := func(w *httptest.ResponseRecorder) { require.Less(t, w.Code, 300, "%s", w.Body) }
	// What the document says has happened before an example.
	before := map[string]func(){
		"overloaded": func() { real.full = true },
		"reserve":    func() { claimFor(t, b, "210102190001011025", "A01", "online") },
		"qr-code":    func() { claimFor(t, b, "210102190001011033", "A01", "qr") },
		"commit-pending": func() {
			must(b.do(keyed("POST", "/v1/reservations", `{"entitlement":"E000000000003","person":{"id_kind":"ID","id_number":"210102190001011033"},
				"merchant":"898210157220001","channel":"qr","barcode":"6901234567892","price_fen":599900,"serial":"SN-8891-2208",
				"position":{"crs":"GCJ02","lon":123.437612,"lat":41.807153,"age_seconds":12}}`, "Idempotency-Key: again")))
			b.g.cfg.Timeout, b.g.look = time.Millisecond, time.Minute
		},
		"purchase": func() {
			b.g.cfg.Timeout = time.Minute
			real.answer(real.slow[0], "00")
		},
		"cancel": func() {
			claimFor(t, b, "210102190001011041", "A02", "online")
			must(b.do(keyed("POST", "/v1/reservations", `{"entitlement":"E000000000004","person":{"id_kind":"ID","id_number":"210102190001011041"},
				"merchant":"898210157320016","channel":"online","barcode":"6901234101485","price_fen":329900,"serial":"SN-7301-0001",
				"order":"WEB-20260618-0002","delivery":"210102"}`, "Idempotency-Key: another")))
		},
	}
	for _, e := range examples {
		if prepare := before[e.name]; prepare != nil {
			prepare()
			delete(before, e.name)
		}
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
	require.Empty(t, before, "every example is there")
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
		require.True(t, listed[c], "%s", c)
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
	served = append(served, notification.method+" "+notification.path)
	require.ElementsMatch(t, served, defined)

	for c := range problemKinds {
		require.Contains(t, doc.Components.Schemas.Problem.Properties.Code.Enum, c)
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
