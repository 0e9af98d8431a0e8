package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"huanxin/internal/money"
	"huanxin/internal/simulator/issuer"
	"huanxin/internal/simulator/till"
	"huanxin/subsidy/policy"
	"huanxin/switch/control"
	"huanxin/switch/wire"
)

// desk is an operator's desk beside a running switch, and a till that is signed on.
type desk struct {
	*testSwitch
	t     *testing.T
	line  *till.Line
	batch uint32
	stan  uint32
	buyer uint64
}

func openDesk(t *testing.T, more ...string) *desk {
	t.Helper()
	network, _ := startNetwork(t)
	return openDeskAt(t, network, more...)
}

func openDeskAt(t *testing.T, network string, more ...string) *desk {
	t.Helper()
	sw := startSwitch(t, testConfig(t, t.TempDir(), network, more...))
	sw.ready(t, func(_ int, parts map[string]bool) bool { return parts["programme"] && parts["host unionpay"] })
	d := &desk{testSwitch: sw, t: t, line: sw.dial(t), stan: 1}
	signOn := ask(t, d.line, &till.Request{MTI: 0x0800, Net: till.NetSignOn, Terminal: testTerminal, Merchant: testMerchant,
		STAN: 1})
	require.Equal(t, "00", signOn.Response)
	d.batch = signOn.Batch
	return d
}

// run runs one command of huanxin against the switch.
func (d *desk) run(args ...string) (code int, out string) {
	d.t.Helper()
	var o, e strings.Builder
	args = append(args, "--socket", d.cfg.Path(d.cfg.Control.Socket))
	code = run(d.t.Context(), args, strings.NewReader(""), &o, &e)
	return code, o.String() + e.String()
}

// authority are the flags that every act takes.
var authority = []string{"--by", "王敏", "--reason", "测试", "--document", "LN-2025-1"}

// act runs a command that acts, and demands its exit code.
func (d *desk) act(want int, args ...string) string {
	d.t.Helper()
	code, out := d.run(append(args, authority...)...)
	require.Equal(d.t, want, code, out)
	return out
}

// see runs a command that must succeed.
func (d *desk) see(args ...string) string {
	d.t.Helper()
	code, out := d.run(args...)
	require.Zero(d.t, code, out)
	return out
}

func (d *desk) tell(r till.Request) *till.Answer {
	d.t.Helper()
	d.stan++
	r.Terminal, r.Merchant, r.Batch, r.STAN = testTerminal, testMerchant, d.batch, d.stan
	return ask(d.t, d.line, &r)
}

// claim gives a new buyer an entitlement for a fridge.
func (d *desk) claim() (person till.Person, entitlement string) {
	d.t.Helper()
	d.buyer++
	person = till.NewPerson(d.buyer)
	claim, err := d.api(d.t).Claim(d.t.Context(), fmt.Sprintf("key-%d", d.buyer), person, "A01", "210100", "store")
	require.NoError(d.t, err)
	require.NotEmpty(d.t, claim.Entitlement)
	return person, claim.Entitlement
}

// reserve holds a subsidy for a new buyer, or shows why not.
func (d *desk) reserve() *till.Answer {
	d.t.Helper()
	person, entitlement := d.claim()
	code, err := d.api(d.t).ShowCode(d.t.Context(), entitlement, person, &till.Position{CRS: "WGS84", Lon: 123.4294,
		Lat: 41.7964, AgeSeconds: 1})
	require.NoError(d.t, err)
	return d.tell(till.Request{MTI: 0x0100, Kind: till.KindReserve, Amount: 599900, Tags: []till.Tag{
		{Name: "S1", Value: code.Code}, {Name: "S2", Value: "6901234567892"}, {Name: "S3", Value: till.NewSerial(d.buyer)},
	}})
}

func (d *desk) pay(hold *till.Answer) *till.Answer {
	d.t.Helper()
	return d.tell(till.Request{
		MTI: 0x0200, Kind: till.KindSale, Amount: hold.Payable, Card: &till.Card{PAN: till.NewPAN(1), Expiry: "3012"},
		Tags: []till.Tag{{Name: "S7", Value: fmt.Sprintf("%012d", hold.Hold)}},
	})
}

func TestOperatorPausesAndResumesACategoryOfOneCity(t *testing.T) {
	d := openDesk(t)
	held := d.reserve()
	require.Equal(t, "00", held.Response)
	out := d.act(0, "pause", "--city", "210100", "--category", "A01", "--dry-run")
	require.Contains(t, out, "dry run")
	require.Contains(t, out, "PauseSet")
	require.Contains(t, d.see("pauses"), "无 none")

	require.Contains(t, d.act(0, "pause", "--city", "210100", "--category", "A01"), "已执行 done")
	listed := d.see("pauses")
	require.Contains(t, listed, "city 210100 category A01 channel *")
	require.Contains(t, listed, "王敏")
	require.Equal(t, "00", d.pay(held).Response, "what is held already can be paid")
	// Other categories, cities and ordinary sales go on.
	require.Equal(t, "00", d.tell(till.Request{MTI: 0x0200, Kind: till.KindSale, Amount: 10000,
		Card: &till.Card{PAN: till.NewPAN(2), Expiry: "3012"}}).Response)
	d.buyer++
	claim, err := d.api(t).Claim(t.Context(), "paused", till.NewPerson(d.buyer), "A01", "210100", "store")
	require.NoError(t, err)
	require.Equal(t, 422, claim.Status)

	d.act(0, "resume", "--city", "210100", "--category", "A01")
	require.Equal(t, "00", d.reserve().Response)
	require.Contains(t, d.act(1, "resume", "--city", "210100", "--category", "A01"), "refused")
	require.Contains(t, d.act(1, "pause", "--city", "999999"), "no city")
	d.act(2, "pause", "--from", "tomorrow")
	d.end(t)
}

func TestOperatorStopsSuspendsAndRegistersMerchantsAndTerminals(t *testing.T) {
	d := openDesk(t)
	sale := till.Request{MTI: 0x0200, Kind: till.KindSale, Amount: 10000, Card: &till.Card{PAN: till.NewPAN(1),
		Expiry: "3012"}}
	d.act(0, "terminal", "stop", testTerminal)
	require.Equal(t, "58", d.tell(sale).Response)
	require.Contains(t, d.see("pauses"), "stopped  "+testTerminal)
	d.act(0, "terminal", "start", testTerminal)
	require.Equal(t, "00", d.tell(sale).Response)
	d.act(0, "merchant", "stop", testMerchant)
	require.Equal(t, "03", d.tell(sale).Response)
	d.act(0, "merchant", "start", testMerchant)
	d.act(1, "merchant", "start", testMerchant)
	d.act(1, "merchant", "stop", "898210157229999")

	d.act(0, "terminal", "suspend", testTerminal)
	require.Equal(t, "58", d.tell(sale).Response)
	d.act(0, "terminal", "activate", testTerminal)
	require.Equal(t, "00", d.tell(sale).Response)
	d.act(0, "merchant", "suspend", testMerchant)
	require.Contains(t, d.see("merchant", "show", testMerchant), "state=suspended")
	d.act(0, "merchant", "activate", testMerchant)

	const added = "898210157220099"
	require.Contains(t, d.act(2, "merchant", "add", added, "name=新店", "city=210100"), "store_city")
	d.act(0, "merchant", "add", added, "name=新店", "city=210100", "store_city=210100", "mcc=5722", "admits=A01 A02",
		"channels=store")
	require.Contains(t, d.act(1, "merchant", "add", added, "name=新店", "city=210100", "store_city=210100", "mcc=5722"),
		"there already")
	d.act(0, "merchant", "change", added, "name=新店二号")
	var rows []map[string]string
	require.NoError(t, json.Unmarshal([]byte(d.see("merchant", "show", added, "--json")), &rows))
	require.Equal(t, []map[string]string{{
		"id": added, "name": "新店二号", "city": "210100", "store_city": "210100", "mcc": "5722", "admits": "A01 A02", "channels": "store", "state": "active",
	}}, rows)
	d.act(0, "terminal", "add", "21019999", "merchant="+added, "city=210100", "channel=store", "lon=123.4", "lat=41.8")
	require.Contains(t, d.act(1, "terminal", "change", "21018888", "batch=1"), "no terminal")
	require.Contains(t, d.act(2, "terminal", "change", "21019999", "colour=red"), "no column")
	require.Contains(t, d.act(2, "terminal", "change", "21019999", "lon=1", "lon=2"), "twice")
	require.Contains(t, d.act(2, "terminal", "change", "21019999", "lon"), "column=value")

	d.end(t)
}

// A change edits the whole row that was read. What is suspended between the two stays suspended.
func TestAChangeDoesNotUndoASuspensionThatLandsBetween(t *testing.T) {
	d := openDesk(t)
	client, err := control.NewClient(d.cfg.Path(d.cfg.Control.Socket))
	require.NoError(t, err)
	read, err := client.Registry(t.Context(), "", testTerminal)
	require.NoError(t, err)
	d.act(0, "terminal", "suspend", testTerminal)
	_, err = client.Operate(t.Context(), &control.OperateRequest{By: "a", Reason: "b", Document: "c", Act: control.Act{
		ChangeRows: &control.ChangeRows{Terminals: read.Terminals, ChangeOnly: true, Expected: &control.Registry{Terminals: read.Terminals}},
	}})
	var refused *control.Refusal
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 409, refused.Status)
	require.Contains(t, d.see("terminal", "show", testTerminal), "state=suspended")
	d.act(0, "terminal", "change", testTerminal, "lon=123.5")
	require.Contains(t, d.see("terminal", "show", testTerminal), "state=suspended")
	d.end(t)
}

func TestImportChecksAllRowsBeforeTheFirstIsSent(t *testing.T) {
	d := openDesk(t)
	file := filepath.Join(t.TempDir(), "terminals.csv")
	write := func(rows int, last string) {
		var b strings.Builder
		b.WriteString("id,merchant,city,channel,lon,lat,state,batch\n")
		for i := range rows {
			fmt.Fprintf(&b, "9%07d,%s,210100,store,123.4,41.8,active,1\n", i, testMerchant)
		}
		b.WriteString(last)
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o600))
	}
	write(2500, "bad,row\n")
	require.Contains(t, d.act(2, "terminal", "import", file), file+":2502: ")
	write(2500, "90000000,"+testMerchant+",210100,store,123.4,41.8,active,1\n")
	require.Contains(t, d.act(2, "terminal", "import", file), "twice")
	require.NotContains(t, d.see("terminal", "show"), "id=90000000")

	write(2500, "")
	require.Contains(t, d.act(0, "terminal", "import", file, "--dry-run"), "more (--json)")
	require.NotContains(t, d.see("terminal", "show"), "id=90000000")
	d.act(0, "terminal", "import", file)
	require.Contains(t, d.see("terminal", "show", "90002499"), "merchant="+testMerchant)
	require.Contains(t, d.act(0, "terminal", "import", file), "nothing to change")
	d.act(2, "terminal", "import", file+".missing")
	d.end(t)
}

func TestOperatorMovesTheBudget(t *testing.T) {
	// So little a day that the plan has not released all of it by any day on which this test runs.
	d := openDesk(t, "HUANXIN_PROGRAMME="+programmeFolder(t, replaced(t, "budget.yaml", "daily: {amount: 5000.00",
		"daily: {amount: 1.00")))
	const fridge, qr = "210100/store/A01", "210100/qr/A01/r2"
	require.Contains(t, d.see("budget", "show"), "8000000000.00")
	require.Contains(t, d.see("budget", "show", fridge), "/r2")
	node := func(path string) control.BudgetNode {
		var list []control.BudgetNode
		require.NoError(t, json.Unmarshal([]byte(d.see("budget", "show", path, "--json", "--all")), &list))
		return list[0]
	}
	before := node(fridge)
	d.act(0, "budget", "lower", fridge, "100.01")
	require.Equal(t, before.Allocated-10001, node(fridge).Allocated)
	d.act(0, "budget", "transfer", "210100/store/A02", fridge, "100.01")
	require.Equal(t, before.Allocated, node(fridge).Allocated)
	released := node(qr)
	require.True(t, released.Paced)
	require.Contains(t, d.act(0, "budget", "release", qr, "5.00", "--dry-run"), "BudgetReleased")
	d.act(0, "budget", "release", qr, "5.00")
	require.Equal(t, released.Released+500, node(qr).Released)
	require.Equal(t, money.Amount(500), node(qr).Manual)
	for _, bad := range []string{"1.001", "-5.00", "0.00", "1,000", "x"} {
		code, out := d.run(append([]string{"budget", "lower", "--"}, fridge, bad)...)
		require.Equal(t, 2, code, out)
	}
	require.Contains(t, d.act(1, "budget", "lower", "", "9000000000.00"), "refused")
	code, _ := d.run("budget", "show", "210100/nowhere")
	require.Equal(t, 1, code)
	d.end(t)
}

func TestPolicyIsAppliedForwardOnlyUnderTraffic(t *testing.T) {
	d := openDesk(t)
	require.Contains(t, d.see("policy", "show"), "ln-2025-1")
	inForce := d.see("policy", "show", "--json")

	same := programmeFolder(t, nil)
	require.Contains(t, d.act(0, "policy", "apply", same), "nothing to change")
	wrong := programmeFolder(t, replaced(t, "policy.yaml", "percent: 20}", "percent: 19}"))
	out := d.act(1, "policy", "apply", wrong)
	require.Contains(t, out, "golden.yaml:")
	require.Contains(t, out, "golden cases failed")
	unproved := programmeFolder(t, func(name string, data []byte) []byte {
		if name == "golden.yaml" {
			return []byte("source: test\nstatus: assumption\ncases: []\n")
		}
		return data
	})
	require.Contains(t, d.act(1, "policy", "apply", unproved), "no golden case")
	require.Contains(t, d.see("policy", "show"), "ln-2025-1")
	past := programmeFolder(t, func(name string, data []byte) []byte {
		if name == "golden.yaml" {
			return []byte(oneGolden)
		}
		return replaced(t, "policy.yaml", "item_cap: 2000.00", "item_cap: 1000.00")(name, data)
	})
	out = d.act(1, "policy", "apply", past)
	require.Contains(t, out, "setting ln-2025-1 item_cap city * channel * category A01|")
	require.Contains(t, out, ": 2000.00 → 1000.00")
	require.Contains(t, out, "has begun: item_cap cannot change")
	require.Equal(t, inForce, d.see("policy", "show", "--json"))

	next := nextVersion(t)
	out = d.act(0, "policy", "apply", next, "--dry-run")
	require.Contains(t, out, "version-new ln-2025-2")
	require.Contains(t, out, "against ln-2025-1")
	require.Contains(t, out, "budget-node 210100/store/A01/r2")
	require.Contains(t, out, "BudgetNodeSet")
	require.Equal(t, inForce, d.see("policy", "show", "--json"))
	require.Equal(t, "00", d.reserve().Response)
	d.act(0, "policy", "apply", next)
	require.Contains(t, d.see("policy", "show"), "ln-2025-2")
	held := d.reserve()
	require.Equal(t, "00", held.Response)
	require.Equal(t, money.Amount(119980), held.Subsidy, "the version that begins later decides nothing yet")

	// The difference was shown against the rules before.
	client, err := control.NewClient(d.cfg.Path(d.cfg.Control.Socket))
	require.NoError(t, err)
	var before control.Policy
	require.NoError(t, json.Unmarshal([]byte(inForce), &before))
	now, err := client.Policy(t.Context())
	require.NoError(t, err)
	_, err = client.Operate(t.Context(), &control.OperateRequest{By: "a", Reason: "b", Document: "c", Act: control.Act{
		ApplyPolicy: &control.ApplyPolicy{Files: now.Files, InForce: &before.Digest},
	}})
	require.ErrorContains(t, err, "nothing was done")

	var change policyChange
	require.NoError(t, json.Unmarshal([]byte(d.act(0, "policy", "apply", next, "--json")), &change))
	require.Empty(t, change.Changes)
	require.Equal(t, change.InForce, change.Digest)
	d.act(2, "policy", "apply", "no-such-folder")
	cfg := d.cfg
	d.end(t)

	// The operator's change survives a restart on the old folder.
	again := startSwitch(t, cfg)
	again.ready(t, everythingReady)
	d.testSwitch = again
	require.Contains(t, d.see("policy", "show"), "ln-2025-2")
	again.end(t)
}

// oneGolden is a golden case that no change of the caps touches.
const oneGolden = `source: test
status: assumption
defaults: {at: "2025-06-18T10:00:00+08:00", city: "210100", channel: store}
cases:
  - name: 二级冰箱享 15%
    reserve: {category: A01, grade: 2, price: 2299.00}
    expect: {subsidy: 344.85, payable: 1954.15}
`

// nextVersion is the sample programme with a version that begins tomorrow and caps fridges lower, and with more money for
// them.
func nextVersion(t *testing.T) string {
	begins := time.Now().Add(24 * time.Hour).In(policy.China()).Format(time.RFC3339)
	return programmeFolder(t, func(name string, data []byte) []byte {
		text := string(data)
		switch name {
		case "policy.yaml":
			at := strings.Index(text, "  - id: ln-2025-1")
			require.Positive(t, at)
			first := text[at:]
			ends := strings.Index(first, "    # Claims made under")
			require.Positive(t, ends)
			valid := strings.Index(first, "    valid:")
			cut := first[:valid] + "    valid: {from: \"2025-01-01T00:00:00+08:00\", to: \"" + begins + "\"}\n" + first[ends:]
			second := strings.Replace(first[:valid], "ln-2025-1", "ln-2025-2", 1) + "    valid: {from: \"" + begins +
				"\", to: \"2029-01-01T00:00:00+08:00\"}\n" + strings.Replace(first[ends:], "item_cap: 2000.00",
				"item_cap: 1800.00", 1)
			return []byte(text[:at] + cut + second)
		case "budget.yaml":
			return []byte(text + "  - {path: \"210100/store/A01/r2\", amount: 91000000.00}\n")
		case "golden.yaml":
			return []byte(oneGolden)
		}
		return data
	})
}

func TestPurchaseIsFoundByEverythingThatIsKnownOfItAndToldWhole(t *testing.T) {
	d := openDesk(t)
	held := d.reserve()
	require.Equal(t, "00", held.Response)
	reserveSTAN := d.stan
	paid := d.pay(held)
	require.Equal(t, "00", paid.Response)
	saleSTAN := d.stan
	void := d.tell(till.Request{
		MTI: 0x0200, Kind: till.KindVoid, Amount: held.Payable, RRN: paid.RRN,
		Card:     &till.Card{PAN: till.NewPAN(1), Expiry: "3012"},
		Original: &till.Original{Batch: d.batch, STAN: saleSTAN, Date: time.Now().In(policy.China()).Format("0102")},
	})
	require.Equal(t, "00", void.Response, void.Text)
	require.NoError(t, d.projector.Wait(t.Context(), d.journal.Position()))
	rows, err := d.database.Purchases(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, rows, 1)

	id := fmt.Sprintf("P%012d", held.Hold)
	for name, args := range map[string][]string{
		"terminal and STAN of the sale":    {"--terminal", testTerminal, "--stan", fmt.Sprint(saleSTAN)},
		"terminal and STAN of the reserve": {"--terminal", testTerminal, "--stan", fmt.Sprint(reserveSTAN)},
		"RRN":                              {"--rrn", paid.RRN},
		"RRN of the void":                  {"--rrn", void.RRN},
		"card":                             {"--card", hex.EncodeToString(rows[0].CardToken)},
		"serial":                           {"--serial", strings.ToLower(till.NewSerial(d.buyer))},
		"person":                           {"--person", hex.EncodeToString(rows[0].Person)},
	} {
		found := d.see(append([]string{"purchase", "find"}, args...)...)
		require.Contains(t, found, id, name)
		require.Contains(t, found, "1199.80", name)
	}
	require.Contains(t, d.see("purchase", "find", "--rrn", "999999999999"), "无 none")
	code, _ := d.run("purchase", "find")
	require.Equal(t, 2, code)
	code, _ = d.run("purchase", "find", "--card", "00")
	require.Equal(t, 2, code)

	for _, form := range []string{id, fmt.Sprint(held.Hold), fmt.Sprintf("%05d", held.Hold)} {
		told := d.see("purchase", "show", form)
		for _, part := range []string{"Reserved", "SaleSent", "SaleApproved", "VoidSent", "VoidApproved",
			"← terminal " + testTerminal + " 0200", "→ host unionpay 0200", "现状 now: voided"} {
			require.Contains(t, told, part)
		}
		require.NotContains(t, told, till.NewPAN(1))
		require.NotContains(t, told, till.NewSerial(d.buyer))
	}
	settled := d.tell(till.Request{MTI: 0x0500, Net: till.NetSettle, Details: strings.Repeat("0", 62)})
	require.Equal(t, "00", settled.Response)
	told := d.see("purchase", "show", id)
	require.Contains(t, told, "VoidReleased")
	require.Contains(t, told, "BatchSettled")
	var story control.Story
	require.NoError(t, json.Unmarshal([]byte(d.see("purchase", "show", id, "--json")), &story))
	require.Equal(t, held.Hold, story.Purchase)
	require.Empty(t, story.Incomplete)
	code, _ = d.run("purchase", "show", "99")
	require.Equal(t, 1, code)
	code, _ = d.run("purchase", "show", "x")
	require.Equal(t, 2, code)
	d.end(t)
}

func TestALostAnswerItsReversalAndTheLateApprovalAreToldInTheirOrder(t *testing.T) {
	rules := issuer.DefaultRules()
	rules.Endings["20"], rules.LateBy = issuer.Late, 2*time.Second
	network, err := issuer.New(issuer.Config{
		Framing: wire.CUP, Codec: cupCodec(t), Rules: rules, Ledger: issuer.NewLedger(nil), Logger: zap.NewNop(), Now: time.Now,
	})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- network.Serve(listener) }()
	t.Cleanup(func() { network.Close(); require.NoError(t, <-served) })
	d := openDeskAt(t, listener.Addr().String(), "HUANXIN_HOSTS_UNIONPAY_TIMEOUT=1s")
	held := d.reserve()
	require.Equal(t, "00", held.Response)
	require.Equal(t, "98", d.pay(held).Response)
	var told string
	require.Eventually(t, func() bool {
		told = d.see("purchase", "show", fmt.Sprint(held.Hold))
		return strings.Contains(told, "LateAnswer") && strings.Contains(told, "ReversalDone")
	}, time.Minute, 50*time.Millisecond)
	last := 0
	for _, name := range []string{"  Reserved\n", "  SaleSent\n", "  ReversalQueued\n", "  ReversalAttempted\n",
		"  LateAnswer\n"} {
		at := strings.Index(told, name)
		require.Greater(t, at, last, name)
		last = at
	}
	require.Contains(t, told, "主机超时，决定冲正 no answer in time")
	d.end(t)
}

func TestPurchaseIsToldWithoutTheDatabase(t *testing.T) {
	d := openDesk(t, "HUANXIN_DATABASE_URL=postgres://nobody@127.0.0.1:1/nothing")
	held := d.reserve()
	require.Equal(t, "00", held.Response)
	require.Equal(t, "00", d.pay(held).Response)
	require.Contains(t, d.see("purchase", "show", fmt.Sprint(held.Hold)), "SaleApproved")
	require.Contains(t, d.see("purchase", "find", "--terminal", testTerminal), fmt.Sprintf("P%012d", held.Hold))
	d.end(t)
}

func TestAHoldIsReleasedByTwoPersons(t *testing.T) {
	d := openDesk(t)
	held := d.reserve()
	id := fmt.Sprint(held.Hold)
	require.Contains(t, d.see("hold", "list"), fmt.Sprintf("P%012d  reserved", held.Hold))
	require.Contains(t, d.see("hold", "list", "--older-than", "1h"), "无 none")
	require.Contains(t, d.act(0, "hold", "release", id), "HoldReleaseProposed")
	require.Contains(t, d.act(1, "hold", "release", id), "somebody else")
	require.Contains(t, d.see("hold", "list"), "王敏")
	code, out := d.run("hold", "release", id, "--by", "李雷", "--reason", "终端故障", "--document", "LN-2")
	require.Zero(t, code, out)
	require.Contains(t, out, "HoldCancelled")
	require.Contains(t, d.see("hold", "list"), "无 none")
	told := d.see("purchase", "show", id)
	require.Contains(t, told, "王敏, 李雷")
	d.act(1, "hold", "release", id)
	d.act(2, "hold", "release", "x")
	d.end(t)
}

func TestAListThatIsCutSaysSo(t *testing.T) {
	d := openDesk(t)
	for range 3 {
		require.Equal(t, "00", d.reserve().Response)
	}
	out := d.see("hold", "list", "--limit", "2")
	require.Equal(t, 2, strings.Count(out, "  reserved"), out)
	require.Contains(t, out, "还有更多 there are more than 2")
	require.NotContains(t, d.see("hold", "list", "--limit", "3"), "还有更多", "all of them")
	var cut cutList[control.Hold]
	require.NoError(t, json.Unmarshal([]byte(d.see("hold", "list", "--limit", "2", "--json")), &cut))
	require.Len(t, cut.Items, 2)
	require.True(t, cut.More)
	require.NoError(t, json.Unmarshal([]byte(d.see("saf", "list", "--dead", "--json")), &cut))
	require.Empty(t, cut.Items)
	require.False(t, cut.More)
	for _, bad := range []string{"0", "-1", "10001"} {
		code, out := d.run("saf", "list", "--limit", bad)
		require.Equal(t, 2, code, out)
	}
	require.Contains(t, d.see("saf", "list", "--limit", "10000"), "无 none")
	d.end(t)
}

func TestASupplementNeedsCaseAndEvidenceAndTakesWhatAReserveWould(t *testing.T) {
	d := openDesk(t)
	_, entitlement := d.claim()
	paid := d.tell(till.Request{MTI: 0x0200, Kind: till.KindSale, Amount: 599900, Card: &till.Card{PAN: till.NewPAN(1),
		Expiry: "3012"}})
	require.Equal(t, "00", paid.Response)
	var found control.Finding
	require.NoError(t, json.Unmarshal([]byte(d.see("purchase", "find", "--rrn", paid.RRN, "--json")), &found))
	id := fmt.Sprint(found.Purchases[0].Purchase)
	args := []string{"supplement", "--purchase", id, "--entitlement", entitlement, "--barcode", "6901234567892", "--serial",
		"SN-SECRET-12345"}
	require.Contains(t, d.act(1, args...), "--case and --evidence")
	require.Contains(t, d.act(1, append(args, "--case", "C-7")...), "--case and --evidence")
	// The engine refuses by itself too, whoever speaks to it.
	client, err := control.NewClient(d.cfg.Path(d.cfg.Control.Socket))
	require.NoError(t, err)
	answer, err := client.Operate(t.Context(), &control.OperateRequest{By: "a", Reason: "b", Document: "c", Act: control.Act{
		Supplement: &control.Supplement{Purchase: found.Purchases[0].Purchase, Entitlement: 1, Barcode: "6901234567892",
			Serial: "SN-SECRET-12345"},
	}})
	require.NoError(t, err)
	require.Contains(t, answer.Problems[0], "case id")

	whole := append(args, "--case", "C-7", "--evidence", "oss://evidence/7")
	require.Contains(t, d.act(0, append(whole, "--dry-run")...), "Supplemented")
	d.act(0, whole...)
	told := d.see("purchase", "show", id)
	require.Contains(t, told, "人工补录")
	require.Contains(t, told, "oss://evidence/7")
	require.NotContains(t, told, "SECRET")
	require.Contains(t, told, "补贴 subsidy 1199.80")
	require.Contains(t, told, "人工补录 recorded by hand")
	require.NoError(t, d.projector.Wait(t.Context(), d.journal.Position()))
	require.Contains(t, d.see("purchase", "find", "--rrn", paid.RRN), "人工补录 manual")
	d.act(1, whole...)
	d.end(t)
}

// deafLine stands between the switch and a network: it lets everything pass up to the first sale, and swallows whatever the
// switch sends after it.
func deafLine(t *testing.T, network string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var lines sync.WaitGroup
	lines.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", network)
			if err != nil {
				near.Close()
				continue
			}
			lines.Go(func() { _, _ = io.Copy(near, far); near.Close() })
			lines.Go(func() { passUpToSale(far, near); far.Close() })
		}
	})
	t.Cleanup(func() { listener.Close(); lines.Wait() })
	return listener.Addr().String()
}

func passUpToSale(far io.Writer, near io.Reader) {
	sold := false
	for {
		frame := make([]byte, 2, 1<<16)
		if _, err := io.ReadFull(near, frame); err != nil {
			return
		}
		frame = frame[:2+int(frame[0])<<8+int(frame[1])]
		if _, err := io.ReadFull(near, frame[2:]); err != nil {
			return
		}
		if !sold {
			if _, err := far.Write(frame); err != nil {
				return
			}
		}
		sold = sold || bytes.Equal(frame[13:15], []byte{0x02, 0x00})
	}
}

func TestADeadLetterIsShownRetriedAndResolved(t *testing.T) {
	// A network that approves in part, and is never reached by the reversal of that part. Its clearing day is over at once.
	network, err := issuer.New(issuer.Config{
		Framing: wire.CUP, Codec: cupCodec(t), Rules: issuer.DefaultRules(), Ledger: issuer.NewLedger(nil), Logger: zap.NewNop(), Now: time.Now,
		CutOver: 24 * time.Hour,
	})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- network.Serve(listener) }()
	t.Cleanup(func() { network.Close(); require.NoError(t, <-served) })
	d := openDeskAt(t, deafLine(t, listener.Addr().String()), "HUANXIN_HOSTS_UNIONPAY_CLEARING_CUT_OFF=00:00:01",
		"HUANXIN_HOSTS_UNIONPAY_REVERSAL_LEAST_LIFE=1s")
	require.Contains(t, d.see("saf", "list"), "无 none")
	require.Equal(t, "51", d.tell(till.Request{
		MTI: 0x0200, Kind: till.KindSale, Amount: 10011, Card: &till.Card{PAN: till.NewPAN(1), Expiry: "3012"},
	}).Response)

	waitFor := func(what string) string {
		var out string
		require.Eventually(t, func() bool {
			_, out = d.run("saf", "list")
			return strings.Contains(out, what)
		}, time.Minute, 20*time.Millisecond, what)
		return out
	}
	waitFor("R1     reversal         dead")
	require.Contains(t, d.see("saf", "show", "r1"), "检索号 RRN")
	require.Contains(t, d.see("saf", "list", "--dead"), "R1")
	code, out := d.run("saf", "show", "R9")
	require.Equal(t, 1, code, out)
	code, out = d.run("saf", "retry", "R1", "--by", "王敏", "--reason", "网络恢复")
	require.Zero(t, code, out)
	require.Contains(t, out, "ReversalRequeued")
	waitFor("R1     reversal         queued")
	code, out = d.run("saf", "resolve", "R1", "--by", "王敏", "--reason", "清算文件已返款", "--outcome", "lost")
	require.Equal(t, 1, code, out)
	code, out = d.run("saf", "resolve", "R1", "--by", "王敏", "--reason", "清算文件已返款")
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "the host has approved it")
	code, out = d.run("saf", "resolve", "R1", "--by", "王敏", "--reason", "清算文件已返款", "--document", "清算文件-0302")
	require.Zero(t, code, out)
	list := d.see("saf", "list")
	require.NotContains(t, list, "R1 ")
	require.Contains(t, list, "settled-against-host")
	told := d.see("purchase", "show", "1")
	for _, part := range []string{"ReversalQueued", "ReversalDead", "ReversalRequeued", "ReversalResolved",
		"清算文件已返款"} {
		require.Contains(t, told, part)
	}
	require.Contains(t, d.act(1, "saf", "retry", "R1"), "no reversal")
	d.end(t)
}

func TestActsNeedNameReasonAndDocument(t *testing.T) {
	for _, args := range [][]string{
		{"pause"}, {"pause", "--by", "a"}, {"pause", "--by", "a", "--reason", "b"}, {"saf", "retry", "R1", "--by", "a"},
		{"merchant", "stop"}, {"merchant", "stop", "a", "b"}, {"budget", "transfer", "a", "b"}, {"saf", "nothing"},
		{"hold", "release"},
		{"pause", "--colour", "red"}, {"purchase"}, {"terminal", "import"}, // a group knows no flags
	} {
		var out, errs strings.Builder
		code := run(t.Context(), append(args, "--socket", filepath.Join(t.TempDir(), "none.sock")), strings.NewReader(""),
			&out, &errs)
		require.Equal(t, 2, code, "%v: %s", args, errs.String())
	}
	var out, errs strings.Builder
	code := run(t.Context(), []string{"pauses", "--socket", filepath.Join(t.TempDir(), "none.sock")}, strings.NewReader(""),
		&out, &errs)
	require.Equal(t, 1, code)
	require.Contains(t, errs.String(), "no running switch answers")
}

func TestCommandsFindTheSwitchByItsSettings(t *testing.T) {
	d := openDesk(t)
	file := filepath.Join(t.TempDir(), "huanxin.yaml")
	require.NoError(t, os.WriteFile(file, []byte("state: "+d.cfg.State+"\n"), 0o600))
	var out, errs strings.Builder
	require.Zero(t, run(t.Context(), []string{"pauses", "--config", file}, strings.NewReader(""), &out, &errs), errs.String())
	require.NoError(t, os.WriteFile(file, []byte("stat: x\n"), 0o600))
	require.Equal(t, 2, run(t.Context(), []string{"pauses", "--config", file}, strings.NewReader(""), &out, &errs))
	_, err := control.Listen(d.cfg.Path(d.cfg.Control.Socket))
	require.ErrorIs(t, err, control.ErrInUse)
	path := d.cfg.Path(d.cfg.Control.Socket)
	d.end(t)
	_, err = os.Lstat(path)
	require.ErrorIs(t, err, os.ErrNotExist, "a graceful stop takes the socket away")
}
