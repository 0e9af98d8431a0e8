package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/internal/simulator/fakeswitch"
	"huanxin/internal/simulator/issuer"
	"huanxin/internal/simulator/load"
)

// simulator runs one command line in this process.
func simulator(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	return out.String(), err
}

func startSwitch(t *testing.T) *fakeswitch.Switch {
	t.Helper()
	t.Chdir("../..")
	codec, _, err := (&speech{"cup", "cup"}).load()
	require.NoError(t, err)
	sw, err := fakeswitch.Start(codec, nil)
	require.NoError(t, err)
	t.Cleanup(sw.Close)
	return sw
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestLedgerIsSummarised(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	ledger, err := issuer.OpenLedger(path)
	require.NoError(t, err)
	for _, rrn := range []string{"1", "2"} {
		_, err = ledger.Sell(&issuer.Sale{RRN: rrn, Asked: 12345, Grant: 12345, Response: "00"})
		require.NoError(t, err)
	}
	_, err = ledger.Reverse(&issuer.Reversal{RRN: "1", Amount: 12345})
	require.NoError(t, err)
	for _, rrn := range []string{"3", "4"} {
		_, err = ledger.Sell(&issuer.Sale{RRN: rrn, STAN: rrn, Asked: 10000, Grant: 10000, Response: "00"})
		require.NoError(t, err)
	}
	_, err = ledger.GiveBack(&issuer.Back{Type: issuer.TypeVoid, RRN: "5", Amount: 10000, Original: issuer.Named{STAN: "3"}, Response: "00"})
	require.NoError(t, err)
	_, err = ledger.GiveBack(&issuer.Back{Type: issuer.TypeRefund, RRN: "6", Amount: 4000, Original: issuer.Named{STAN: "4"}, Response: "00"})
	require.NoError(t, err)
	require.NoError(t, ledger.Close())

	out, err := simulator(t, "ledger", "--file", path, "--json")
	require.NoError(t, err)
	var report ledgerReport
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.Equal(t, 4, report.Charges)
	require.Equal(t, "2", report.Open[0].RRN)
	require.Equal(t, "1", report.Returned[0].RRN)
	require.Equal(t, "3", report.Voided[0].RRN)
	require.Equal(t, "4", report.Refunded[0].RRN)
	require.Equal(t, money.Amount(6000), report.Refunded[0].Net)
	require.Equal(t, money.Amount(12345+6000), report.OpenFen)

	out, err = simulator(t, "ledger", "--file", path)
	require.NoError(t, err)
	for _, figure := range []string{"123.45", "voided           1           100.00 yuan", "refunded         1            40.00 yuan", "standing         2           183.45 yuan"} {
		require.Contains(t, out, figure)
	}

	out, err = simulator(t, "ledger", "--file", path, "--rrn", "6")
	require.NoError(t, err)
	var outcome issuer.Outcome
	require.NoError(t, json.Unmarshal([]byte(out), &outcome))
	require.Equal(t, issuer.Outcome{
		RRN: "6", Type: "refund", Known: true, Done: true, Response: "00", Original: "4", Amount: 4000, Net: 6000,
	}, outcome)
}

func TestUnexpectedAnswerMakesTheExitCodeOne(t *testing.T) {
	sw := startSwitch(t)
	token := write(t, "token", "token\n")
	for rc, code := range map[string]int{"00": 0, "51": 1} {
		script := write(t, "script.yaml", `
name: t
terminals: {shop: {terminal: "21010001", merchant: "898210157220001"}}
cards: {c: {pan: "6224240000000017", expiry: "3012"}}
cases: [{name: one, till: shop, steps: [{sale: {card: c, amount: 5.00, ordinary: true}, expect: {rc: "`+rc+`"}}]}]
`)
		state := filepath.Join(t.TempDir(), "state.json")
		_, err := simulator(t, "terminal", "--script", script, "--connect", sw.Address(), "--api", sw.API(), "--token-file", token, "--state", state)
		if code == 0 {
			require.NoError(t, err)
			continue
		}
		var exit *exitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, code, exit.ExitCode())
	}
}

func TestLoadUsesTheProgrammesTerminals(t *testing.T) {
	sw := startSwitch(t)
	token := write(t, "token", "token\n")
	acknowledged := filepath.Join(t.TempDir(), "acknowledged.jsonl")
	out, err := simulator(t, "load", "--connect", sw.Address(), "--api", sw.API(), "--token-file", token, "--duration", "200ms",
		"--acknowledged", acknowledged, "--seed", "3", "--json", "--strict")
	require.NoError(t, err, out)
	var report load.Report
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.Empty(t, report.Unexpected)
	text, err := os.ReadFile(acknowledged)
	require.NoError(t, err)
	require.EqualValues(t, report.Messages, bytes.Count(text, []byte("\n")))
	require.Empty(t, sw.Violations())
}

func TestBadInputIsRefusedByName(t *testing.T) {
	for _, args := range [][]string{
		{"host", "--framing", "morse"}, {"host", "--dialect", "klingon"}, {"host", "--unfriendly", "2"},
		{"host", "--rules", "/nonexistent"}, {"host", "--cut-over", "25:00"}, {"ledger"}, {"ledger", "--file", "/nonexistent"}, {"terminal", "--script", "/nonexistent"},
		{"load", "--mix", "sale=1"}, {"load", "--goods", "A01"}, {"load", "--goods", "A01:1:x"}, {"load", "--expect", "gift=00"},
		{"load", "--city", "999999"}, {"load", "--programme", "nowhere"}, {"load", "--terminals-file", "/nonexistent"}, {"dance"},
	} {
		_, err := simulator(t, args...)
		require.Error(t, err, "%v", args)
	}
}
