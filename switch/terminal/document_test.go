package terminal

import (
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"huanxin/risk/geo"
	"huanxin/subsidy/catalogue"
	"huanxin/subsidy/reason"
	"huanxin/subsidy/registry"
	rowtable "huanxin/subsidy/table"
	"huanxin/switch/engine"
	"huanxin/switch/event"
	"huanxin/switch/iso8583"
	"huanxin/switch/stage"
	"huanxin/switch/wire"
)

// The document is checked against the code: its examples run, in order, through the real front, codec and engine with
// the sample programme, and its tables are compared with what the code holds.
//
//	go test ./switch/terminal -run Document -rewrite
//
// writes the hex of requests anew from their fields, and answers from what the switch answers. Then read the diff.
var rewrite = flag.Bool("rewrite", false, "write the examples of docs/interface/iso8583.md anew")

const documentPath = "../../docs/interface/iso8583.md"

// example is one fenced block of the document:
//
//	```iso8583
//	reserve
//	2026-03-18 10:30:00
//	request
//	00B2…                 the frame, any number of lines
//	MTI 0100
//	F3 390000             one line a field; a value with outer blanks stands in double quotes
//	answer
//	…
//	```
type example struct {
	name, at        string
	request, answer exampleMessage
	first, last     int // lines between the fences
}

type exampleMessage struct {
	frame  string // hex
	fields fields
}

// hostAnswers is what the card network says to what the document sends it. The amount is that of the request.
var hostAnswers = map[string]func(*event.HostAnswer){
	"sale-second":     issuer("0318", "110042", "613743"),
	"void":            issuer("0318", "110502", "613744"),
	"balance-inquiry": issuer("0318", "112001", ""),
	"preauth":         issuer("0318", "113002", "613745"),
	"refund":          issuer("0320", "100102", ""),
	"sale-chip": func(a *event.HostAnswer) {
		a.Response, a.Approval, a.ClearingDate, a.LocalTime, a.LocalDate = "00", "613742", "0318", "103042", "0318"
		a.Institutions, a.Network, a.Acquirer = []byte("48020000   48982210   "), []byte("CUP"), "48982210"
		a.Icc = []byte{0x91, 0x0A, 0x3C, 0x1F, 0x9A, 0x77, 0x02, 0xE4, 0x58, 0xB1, 0x30, 0x30}
	},
	"sale-qr": func(a *event.HostAnswer) {
		a.Response, a.ClearingDate, a.LocalTime, a.LocalDate = "00", "0318", "104513", "0318"
		a.Network, a.Acquirer = []byte("CUP"), "48982210"
	},
	"sale-ordinary": func(a *event.HostAnswer) {
		a.Response, a.ClearingDate, a.LocalTime, a.LocalDate = "51", "0318", "105031", "0318"
		a.Network, a.Acquirer = []byte("CUP"), "48982210"
	},
}

// issuer is an approval with DE15 = DE13, DE12 and DE38.
func issuer(date, clock, approval string) func(*event.HostAnswer) {
	return func(a *event.HostAnswer) {
		a.Response, a.ClearingDate, a.LocalDate, a.LocalTime, a.Approval = "00", date, date, clock, approval
		a.Institutions, a.Network, a.Acquirer = []byte("48020000   48982210   "), []byte("CUP"), "48982210"
	}
}

// claims are the entitlements whose codes the examples use, each shown twenty seconds before.
var claims = map[string]struct {
	person                  byte
	category, city, channel string
	code                    string
}{
	"reserve":           {1, "A01", "210100", "store", "73105528"},
	"reserve-lost":      {2, "A01", "210100", "store", "40862917"},
	"reserve-qr":        {3, "A01", "210100", "qr", "95530184"},
	"reserve-cancelled": {5, "A01", "210100", "store", "88214406"},
	"reserve-refused":   {4, "A01", "210100", "store", "26671039"},
	"reserve-second":    {6, "A01", "210100", "store", "61907753"},
}

func TestDocumentExamplesAreWhatTheSwitchAnswers(t *testing.T) {
	text, err := os.ReadFile(documentPath)
	require.NoError(t, err)
	lines := strings.Split(string(text), "\n")
	examples := readExamples(t, lines)
	require.GreaterOrEqual(t, len(examples), 40)
	world := newWorld(t, nil)
	for i := range examples {
		ex := &examples[i]
		if *rewrite {
			ex.request.frame = hexOf(frameOf(t, wire.CUP, encode(t, world.codec, ex.request.fields)))
		}
		t.Run(ex.name, func(t *testing.T) {
			request := unhexFrame(t, ex.request.frame)
			frame, n, err := wire.CUP.Next(request, 0)
			require.NoError(t, err)
			require.Equal(t, len(request), n, "the length counts what follows it")
			require.Equal(t, ex.request.fields, decode(t, world.codec, frame.Message), "request")
			answer := world.exchange(t, ex, request)
			frame, _, err = wire.CUP.Next(answer, 0)
			require.NoError(t, err)
			got := exampleMessage{frame: hexOf(answer), fields: decode(t, world.codec, frame.Message)}
			if *rewrite {
				ex.answer = got
			}
			require.Equal(t, ex.answer, got, "answer")
		})
	}
	for name := range hostAnswers {
		require.True(t, world.used[name], "host answer %s is used", name)
	}
	if *rewrite {
		require.NoError(t, os.WriteFile(documentPath, []byte(writeExamples(lines, examples)), 0o644))
	}
}

// world is a front and an engine with the sample programme, stepped by the test's goroutine: the clock is the examples'.
type world struct {
	front  *Front
	codec  *iso8583.Codec
	engine *engine.Engine
	conn   net.Conn
	clock  atomic.Int64 // Unix ns; the front reads it in its own goroutines
	ex     *example
	used   map[string]bool
	t      testing.TB

	submitted   chan any // by the front
	entitlement uint64   // the last one claimed
	network     func(*engine.HostRequest)
}

// liaoning is the map of the province, which nobody changes.
var liaoning = sync.OnceValues(func() (*geo.Map, error) { return geo.Load(geo.LiaoningGeoJSON) })

// newWorld starts a world. change may alter the configuration of the front.
func newWorld(t *testing.T, change func(*Config)) *world {
	area, err := liaoning()
	require.NoError(t, err)
	e, err := engine.New(engine.Config{Map: area, Hosts: map[string]engine.HostProfile{"unionpay": {}, "wallet": {Wallet: true}}})
	require.NoError(t, err)
	w := &world{engine: e, used: map[string]bool{}, t: t, submitted: make(chan any, 1)}
	w.network = w.host
	reg := prometheus.NewRegistry()
	cfg := testConfig(t, reg)
	cfg.QRHost = cfg.Host
	cfg.Now = func() time.Time { return time.Unix(0, w.clock.Load()) }
	cfg.Submit = func(body any, _ stage.Instant) error { w.submitted <- body; return nil }
	if change != nil {
		change(&cfg)
	}
	w.front, err = New(cfg)
	require.NoError(t, err)
	w.codec = cfg.Ports[0].Codec
	require.NoError(t, w.front.Listen(t.Context()))
	served := make(chan error, 1)
	go func() { served <- w.front.Serve() }()
	t.Cleanup(func() { w.front.Close(); require.NoError(t, <-served) })
	w.conn, err = net.Dial("tcp", w.front.Addr("cup").String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.conn.Close() })

	w.clock.Store(at(t, "2026-03-18 08:00:00").UnixNano())
	w.step(&engine.TakeOwnership{Owner: "test", Software: "test", Programme: "liaoning-2025", PersonKeyCheck: [8]byte{1}})
	w.step(&engine.ApplyProgramme{Token: 1, Files: programmeFiles(t), Actor: "test", Reason: "start"})
	w.step(registryRows(t))
	return w
}

var programmeDir = filepath.Join("..", "..", "config", "programmes", "liaoning-2025")

func programmeFile(t testing.TB, name string) []byte {
	b, err := os.ReadFile(filepath.Join(programmeDir, name))
	require.NoError(t, err)
	return b
}

func programmeFiles(t testing.TB) map[string][]byte {
	files := map[string][]byte{}
	for _, name := range []string{"programme.yaml", "policy.yaml", "budget.yaml"} {
		files[name] = programmeFile(t, name)
	}
	return files
}

func registryRows(t testing.TB) *engine.SetRows {
	merchants, bad := registry.ReadMerchants(programmeFile(t, "merchants.csv"))
	require.Empty(t, bad)
	terminals, bad := registry.ReadTerminals(programmeFile(t, "terminals.csv"))
	require.Empty(t, bad)
	products, bad := catalogue.ReadCSV(programmeFile(t, "products.csv"))
	require.Empty(t, bad)
	return &engine.SetRows{
		Token:     1,
		Merchants: rowsOf(merchants, (*registry.Merchant).Record),
		Terminals: rowsOf(terminals, (*registry.Terminal).Record),
		Products:  rowsOf(products, (*catalogue.Product).Record),
	}
}

func rowsOf[T any](rows []rowtable.Row[T], record func(*T) []string) (out [][]string) {
	for i := range rows {
		out = append(out, record(&rows[i].Value))
	}
	return out
}

func at(t testing.TB, text string) time.Time {
	out, err := time.ParseInLocation("2006-01-02 15:04:05", text, china)
	require.NoError(t, err)
	return out
}

// exchange brings the world to the example's instant, sends its request and returns the answer.
func (w *world) exchange(t testing.TB, ex *example, request []byte) []byte {
	w.t, w.ex = t, ex
	if c, ok := claims[ex.name]; ok {
		w.clock.Store(at(t, ex.at).Add(-20 * time.Second).UnixNano())
		person := engine.Hash{c.person}
		w.step(&engine.ClaimRequest{Token: 1, Person: person, IDKind: "id-card", Category: c.category, City: c.city, Channel: c.channel})
		w.step(&engine.ShowCodeRequest{Token: 1, Entitlement: w.entitlement, Person: person,
			Code:     engine.Hash(testHasher{}.Code([]byte(c.code))),
			Position: engine.Position{Given: true, At: geo.Point{Lon: 123431500, Lat: 41805700}, CRS: geo.WGS84}})
	}
	w.clock.Store(at(t, ex.at).UnixNano())
	w.step(&engine.Tick{})
	_, err := w.conn.Write(request)
	require.NoError(t, err)
	answers := make(chan []byte, 1)
	go func() { answers <- readFrame(w.conn) }()
	for {
		select {
		case body := <-w.submitted:
			w.step(body)
		case answer := <-answers:
			return answer
		}
	}
}

// readFrame returns what it could read of a frame.
func readFrame(c net.Conn) []byte {
	raw := make([]byte, 2)
	if _, err := io.ReadFull(c, raw); err != nil {
		return nil
	}
	raw = append(raw, make([]byte, int(raw[0])<<8|int(raw[1]))...)
	n, _ := io.ReadFull(c, raw[2:])
	return raw[:2+n]
}

// step does what the server does, one input at a time.
func (w *world) step(body any) {
	out := w.engine.Step(engine.Input{At: w.clock.Load(), Body: body})
	for _, send := range slices.Clone(out.Sends) {
		switch {
		case send.Reply != nil:
			w.front.Deliver(send.Reply)
			w.front.Flush()
		case send.Host != nil:
			w.network(send.Host)
		case send.API != nil:
			require.Equal(w.t, engine.APIDone, send.API.Status, "%v", send.API.Reasons)
			w.entitlement = send.API.View.ID
		case send.Admin != nil:
			require.Empty(w.t, send.Admin.Problems)
		}
	}
}

// host answers as the card network does, in a step of its own.
func (w *world) host(r *engine.HostRequest) {
	in := &engine.HostAnswered{Host: r.Host, Kind: engine.HostSale, RRN: r.RRN, STAN: r.STAN,
		TransmittedAt: engine.TransmissionTime(r.TransmittedAt)}
	in.Answer.Response, in.Answer.Amount = "00", int64(r.Amount)
	if r.Kind == engine.HostReversal {
		in.Kind = engine.HostReversal
		w.step(in)
		return
	}
	m, _, ok := w.front.Original(r.Token)
	require.True(w.t, ok)
	require.Equal(w.t, w.ex.request.fields, decode(w.t, w.codec, m.Bytes()))
	answer, ok := hostAnswers[w.ex.name]
	require.True(w.t, ok, "the host is called")
	answer(&in.Answer)
	if r.Kind == engine.HostInquiry {
		in.Balance = []byte("1002156C000000812345")
	}
	w.used[w.ex.name] = true
	w.step(in)
}

// ---- Reading and writing the blocks ---------------------------------------------------------------------------------

const fence = "```"

func readExamples(t testing.TB, lines []string) (list []example) {
	for i := 0; i < len(lines); i++ {
		if lines[i] != fence+"iso8583" {
			continue
		}
		ex := example{first: i + 1}
		for i++; lines[i] != fence; i++ {
			require.Less(t, i+1, len(lines), "the block is closed")
		}
		ex.last = i
		ex.read(t, lines[ex.first:ex.last])
		list = append(list, ex)
	}
	return list
}

var fieldLine = regexp.MustCompile(`^F([0-9]+) (.*)$`)

func (ex *example) read(t testing.TB, lines []string) {
	require.GreaterOrEqual(t, len(lines), 3)
	ex.name, ex.at = lines[0], lines[1]
	var m *exampleMessage
	for _, line := range lines[2:] {
		switch {
		case line == "request":
			m = &ex.request
			m.fields = fields{}
		case line == "answer":
			m = &ex.answer
			m.fields = fields{}
		case strings.HasPrefix(line, "MTI "):
			m.fields[0] = line[4:]
		case fieldLine.MatchString(line):
			parts := fieldLine.FindStringSubmatch(line)
			n, err := strconv.Atoi(parts[1])
			require.NoError(t, err)
			m.fields[n] = unquoted(parts[2])
		default:
			require.Regexp(t, `^[0-9A-F]+$`, line, "%s: neither hex nor a field", ex.name)
			m.frame += line
		}
	}
}

func unquoted(v string) string {
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		return v[1 : len(v)-1]
	}
	return v
}

func (ex *example) write() (lines []string) {
	lines = append(lines, ex.name, ex.at, "request")
	lines = append(lines, ex.request.write()...)
	lines = append(lines, "answer")
	return append(lines, ex.answer.write()...)
}

func (m *exampleMessage) write() (lines []string) {
	const width = 76
	for rest := m.frame; rest != ""; {
		n := min(width, len(rest))
		lines, rest = append(lines, rest[:n]), rest[n:]
	}
	numbers := make([]int, 0, len(m.fields))
	for n := range m.fields {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		v := m.fields[n]
		if strings.TrimSpace(v) != v {
			v = `"` + v + `"`
		}
		if n == 0 {
			lines = append(lines, "MTI "+v)
		} else {
			lines = append(lines, fmt.Sprintf("F%d %s", n, v))
		}
	}
	return lines
}

func writeExamples(lines []string, examples []example) string {
	var out []string
	next := 0
	for _, ex := range examples {
		out = append(out, lines[next:ex.first]...)
		out = append(out, ex.write()...)
		next = ex.last
	}
	return strings.Join(append(out, lines[next:]...), "\n")
}

func hexOf(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

func unhexFrame(t testing.TB, text string) []byte {
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	return b
}

// ---- The tables -----------------------------------------------------------------------------------------------------

// rowsUnder returns the cells of the table that follows a heading, its first two lines left out.
func rowsUnder(t testing.TB, heading string) [][]string { return tableUnder(t, heading)[2:] }

// tableUnder returns all lines of the table that follows a heading.
func tableUnder(t testing.TB, heading string) (rows [][]string) {
	text, err := os.ReadFile(documentPath)
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "\n"+heading+"\n")
	require.True(t, found, "the document has the heading %q", heading)
	for _, line := range strings.Split(after, "\n") {
		switch {
		case strings.HasPrefix(line, "|"):
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells)
		case len(rows) > 0:
			require.Greater(t, len(rows), 2)
			return rows
		case strings.HasPrefix(line, "#"):
			t.Fatalf("no table under %q", heading)
		}
	}
	return rows
}

func TestDocumentListsEveryRefusalReasonAsItIs(t *testing.T) {
	listed := map[string]bool{}
	for _, row := range rowsUnder(t, "### Refusal reasons (SB)") {
		require.Len(t, row, 6, "%v", row)
		name, number, code, zh, en, todo := strings.Trim(row[0], "`"), row[1], row[2], row[3], row[4], row[5]
		require.False(t, listed[name], "%s stands twice", name)
		listed[name] = true
		n, err := strconv.ParseUint(number, 10, 16)
		require.NoError(t, err)
		want := reason.Code(n).Text()
		require.Equal(t, want, reason.Text{Name: name, ZH: zh, EN: en})
		require.NotEmpty(t, todo, "%s: what the cashier does", name)
		require.Regexp(t, `^([0-9]{2}(, [0-9]{2})*|HTTP|—)$`, code, name)
		require.Equal(t, code == "—", strings.HasPrefix(todo, "Reserved"), "%s: what nothing answers is marked", name)
	}
	for _, c := range reason.All() {
		require.True(t, listed[c.String()], "%s is missing in the document", c)
	}
	require.Len(t, listed, len(reason.All()))
}

// The two tables of fields have a column for each kind of message that terminals send.
func TestDocumentMarksEveryRequiredField(t *testing.T) {
	kinds := map[string]kind{}
	for k := kindUnknown + 1; k < kindCount; k++ {
		kinds[k.String()] = k
	}
	marked := map[kind][]int{}
	for _, heading := range []string{"### Fields of financial requests", "### Fields of management requests"} {
		table := tableUnder(t, heading)
		var columns []kind
		for _, name := range table[0][3:] {
			require.Contains(t, kinds, name, "a column that is no kind, or stands twice")
			columns = append(columns, kinds[name])
			delete(kinds, name)
		}
		for _, row := range table[2:] {
			require.Len(t, row, 3+len(columns), "%v", row)
			n, err := strconv.Atoi(row[0])
			require.NoError(t, err)
			for i, k := range columns {
				cell := row[3+i]
				require.Regexp(t, `^(M|C|O|–)$`, cell, "field %d, %s", n, k)
				if cell == "M" {
					marked[k] = append(marked[k], n)
				}
			}
		}
	}
	require.Empty(t, kinds, "every kind has its column")
	for k, fields := range marked {
		require.Equal(t, required[k], fields, "%s", k)
	}
}

// Every message of the table of messages is offered, by MTI, DE3 and 60.1, and every offer stands in it.
func TestDocumentListsEveryMessage(t *testing.T) {
	type name struct{ mti, process, use string }
	listed := map[name]bool{}
	for _, row := range rowsUnder(t, "## 3 Messages") {
		require.Len(t, row, 8, "%v", row)
		listed[name{row[1][:4], row[2], row[4]}] = true
	}
	for _, o := range offers {
		want := name{o.mti.String(), o.process, fmt.Sprintf("%02d", o.use)}
		require.True(t, listed[want], "%v", want)
		delete(listed, want)
	}
	for left := range listed {
		require.NotContains(t, []string{"0100", "0200", "0220"}, left.mti, "%v is not offered", left)
	}
}

func TestDocumentListsEveryTag(t *testing.T) {
	listed := map[string]bool{}
	for _, row := range rowsUnder(t, "### Tags of field 59") {
		listed[strings.Trim(row[0], "`")] = true
	}
	for _, name := range []string{tagCode, tagBarcode, tagSerial, tagOrder, tagPosition, tagComponent, tagHold, tagSubsidy,
		tagPayable, tagExpiry, tagReason, tagText, tagDelivery, tagOldItem, tagPrice, tagPayCode, tagTerminalInfo, tagState,
		tagOriginal, tagAnswered, tagSubsidyCount, tagSubsidySum, tagCharged, tagCard, tagRefunded, tagActivated, tagReturned} {
		require.True(t, listed[name], name)
	}
}
