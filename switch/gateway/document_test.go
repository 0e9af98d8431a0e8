package gateway

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"huanxin/risk/geo"
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

// programmeFolder is the programme that the document speaks of.
const programmeFolder = "../../config/programmes/liaoning-2025/"

// realEngine is the engine without its journal: every input is decided at once, at the instant of the test.
type realEngine struct {
	t       *testing.T
	engine  *engine.Engine
	gateway *Gateway
	full    bool // takes nothing
}

func (r *realEngine) Submit(body any) error {
	if r.full {
		return errors.New("queue is full")
	}
	for _, send := range r.engine.Step(engine.Input{At: start.UnixNano(), Body: body}).Sends {
		if send.Admin != nil {
			require.Empty(r.t, send.Admin.Problems)
		}
		if send.API != nil {
			r.gateway.Deliver(send.API)
		}
	}
	return nil
}

// newRealEngine has the programme in force, with the one leaf emptied that the document claims from in vain.
func newRealEngine(t *testing.T) *realEngine {
	liaoning, err := geo.Load(geo.LiaoningGeoJSON)
	require.NoError(t, err)
	e, err := engine.New(engine.Config{Map: liaoning})
	require.NoError(t, err)
	r := &realEngine{t: t, engine: e}
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

func TestExamplesOfTheDocument(t *testing.T) {
	_, examples := readDocument(t)
	real := newRealEngine(t)
	b := newBenchWith(t, func(c *Config) { c.Submit = real.Submit })
	real.gateway = b.g
	for _, e := range examples {
		real.full = e.name == "overloaded"
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
	served = append(served, notification.method+" "+notification.path)
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
