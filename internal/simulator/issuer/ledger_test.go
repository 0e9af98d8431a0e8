package issuer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
)

func sale(rrn string, asked, grant money.Amount, response string) *Sale {
	return &Sale{At: "2025-06-18T10:00:00+08:00", RRN: rrn, STAN: "000001", Asked: asked, Grant: grant, Response: response}
}

func TestReversalReturnsTheMoneyOnce(t *testing.T) {
	l := NewLedger(nil)
	line, err := l.Sell(sale("1", 500, 500, "00"))
	require.NoError(t, err)
	require.Equal(t, Charge, line.Kind)
	for range 3 {
		response, err := l.Reverse(&Reversal{RRN: "1", Amount: 500})
		require.NoError(t, err)
		require.Equal(t, "00", response)
	}
	require.Equal(t, Summary{Charges: 1, ChargedFen: 500, Returns: 1, ReturnedFen: 500}, l.Summary())
}

func TestReversalOfUnknownOriginalBarsTheOriginal(t *testing.T) {
	l := NewLedger(nil)
	for range 2 {
		response, err := l.Reverse(&Reversal{RRN: "1", Amount: 500})
		require.NoError(t, err)
		require.Equal(t, "25", response)
	}
	line, err := l.Sell(sale("1", 500, 500, "00"))
	require.NoError(t, err)
	require.Equal(t, Overtaken, line.Kind)
	require.Equal(t, "94", line.Response)
	require.Equal(t, Summary{Tombstones: 1, Overtaken: 1}, l.Summary())
}

func TestReversalOfADeclineIs12AndOfAnotherAmount64(t *testing.T) {
	l := NewLedger(nil)
	_, err := l.Sell(sale("1", 500, 0, "51"))
	require.NoError(t, err)
	_, err = l.Sell(sale("2", 500, 250, "10"))
	require.NoError(t, err)
	response, _ := l.Reverse(&Reversal{RRN: "1", Amount: 500})
	require.Equal(t, "12", response)
	response, _ = l.Reverse(&Reversal{RRN: "2", Amount: 499})
	require.Equal(t, "64", response)
	response, _ = l.Reverse(&Reversal{RRN: "2", Amount: 500})
	require.Equal(t, "00", response)
	require.Equal(t, money.Amount(250), l.Summary().ReturnedFen)
}

func TestSecondSaleUnderOneRRNIsNeverCharged(t *testing.T) {
	l := NewLedger(nil)
	_, err := l.Sell(sale("1", 500, 500, "00"))
	require.NoError(t, err)
	line, err := l.Sell(sale("1", 500, 500, "00"))
	require.NoError(t, err)
	require.Equal(t, Repeat, line.Kind)
	require.Equal(t, Summary{Charges: 1, ChargedFen: 500, OpenCharges: 1, OpenFen: 500, Repeats: 1}, l.Summary())
}

func TestLedgerGoesOnAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	l, err := OpenLedger(path)
	require.NoError(t, err)
	_, err = l.Sell(sale("1", 500, 500, "00"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = l.Sell(sale("2", 500, 500, "00"))
	require.ErrorIs(t, err, os.ErrClosed)

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(text, `{"seq":2,"at":"half a li`...), 0o644))
	l, err = OpenLedger(path)
	require.NoError(t, err)
	response, err := l.Reverse(&Reversal{RRN: "1", Amount: 500})
	require.NoError(t, err)
	require.Equal(t, "00", response)
	require.NoError(t, l.Close())
	l, err = OpenLedger(path)
	require.NoError(t, err)
	require.Equal(t, Summary{Charges: 1, ChargedFen: 500, Returns: 1, ReturnedFen: 500}, l.Summary())
	require.NoError(t, l.Close())
}

// A ledger from before there were voids: every line of it keeps its meaning.
func TestOldLedgerLoads(t *testing.T) {
	l, err := ReadLedger(strings.NewReader(`{"seq":1,"at":"2025-06-18T10:05:12.5+08:00","kind":"charge","rrn":"516900000001","stan":"000001","card":"ab","terminal":"21010001","merchant":"898210157220001","amount_fen":500,"asked_fen":500,"response":"00","approval":"000001"}
{"seq":2,"at":"2025-06-18T10:06:12+08:00","kind":"charge","rrn":"516900000002","stan":"000002","card":"ab","terminal":"21010001","merchant":"898210157220001","amount_fen":250,"asked_fen":500,"response":"10","approval":"000002"}
{"seq":3,"at":"2025-06-18T10:07:12+08:00","kind":"return","rrn":"516900000002","stan":"000002","card":"ab","amount_fen":250,"response":"00","reason":"06"}
{"seq":4,"at":"2025-06-18T10:08:12+08:00","kind":"decline","rrn":"516900000003","stan":"000003","card":"ab","amount_fen":0,"asked_fen":500,"response":"51"}
{"seq":5,"at":"2025-06-18T10:09:12+08:00","kind":"tombstone","rrn":"516900000004","stan":"000004","amount_fen":0,"response":"25","reason":"98"}
{"seq":6,"at":"2025-06-18T10:10:12+08:00","kind":"overtaken","rrn":"516900000004","stan":"000004","amount_fen":0,"asked_fen":500,"response":"94"}
{"seq":7,"at":"2025-06-18T10:11:12+08:00","kind":"repeat","rrn":"516900000001","stan":"000001","amount_fen":0,"asked_fen":500,"response":"94"}
`))
	require.NoError(t, err)
	require.Equal(t, Summary{
		Charges: 2, ChargedFen: 750, Returns: 1, ReturnedFen: 250, Declines: 1, Tombstones: 1, Repeats: 1, Overtaken: 1,
		OpenCharges: 1, OpenFen: 500, PartialCharges: 1,
	}, l.Summary())
	require.Equal(t, Outcome{
		RRN: "516900000001", Type: "sale", Known: true, Done: true, Response: "00", Amount: 500, Net: 500,
	}, l.Outcome("516900000001"))
	refund := backOf(TypeRefund, "516900000009", 200)
	refund.Card, refund.Original = "ab", Named{STAN: "000001", Date: "0618", Approval: "000001"}
	line, err := l.GiveBack(refund)
	require.NoError(t, err)
	require.Equal(t, "00", line.Response, "what was charged then can be refunded now")
}

func TestDamagedLedgerIsRefused(t *testing.T) {
	charge := `{"seq":1,"at":"","kind":"charge","rrn":"1","stan":"","amount_fen":5,"response":"00"}` + "\n"
	add := func(seq, kind, rrn, original, amount string) string {
		return `{"seq":` + seq + `,"at":"","kind":"` + kind + `","rrn":"` + rrn + `","original":"` + original + `","stan":"","amount_fen":` + amount + `,"response":"00"}` + "\n"
	}
	for name, text := range map[string]string{
		"gap":             strings.Replace(charge, `"seq":1`, `"seq":2`, 1),
		"no json":         "charge\n",
		"unknown key":     strings.Replace(charge, `"at"`, `"when"`, 1),
		"unknown kind":    strings.Replace(charge, "charge", "gift", 1),
		"second charge":   charge + strings.Replace(charge, `"seq":1`, `"seq":2`, 1),
		"return unknown":  strings.Replace(charge, "charge", "return", 1),
		"nothing charged": strings.Replace(charge, `"amount_fen":5`, `"amount_fen":0`, 1),
		"no RRN":          strings.Replace(charge, `"rrn":"1"`, `"rrn":""`, 1),

		"void of nothing":            add("1", "void", "2", "1", "5"),
		"void of a part":             charge + add("2", "void", "2", "1", "4"),
		"second void":                charge + add("2", "void", "2", "1", "5") + add("3", "void", "3", "1", "5"),
		"void of a returned charge":  charge + add("2", "return", "1", "", "5") + add("3", "void", "2", "1", "5"),
		"void of a refunded charge":  charge + add("2", "refund", "2", "1", "1") + add("3", "void", "3", "1", "5"),
		"return of a voided charge":  charge + add("2", "void", "2", "1", "5") + add("3", "return", "1", "", "5"),
		"return of a refunded one":   charge + add("2", "refund", "2", "1", "1") + add("3", "return", "1", "", "5"),
		"unvoid without a void":      charge + add("2", "unvoid", "1", "1", "5"),
		"second unvoid":              charge + add("2", "void", "2", "1", "5") + add("3", "unvoid", "2", "1", "5") + add("4", "unvoid", "2", "1", "5"),
		"unvoid of another amount":   charge + add("2", "void", "2", "1", "5") + add("3", "unvoid", "2", "1", "4"),
		"refund above the charge":    charge + add("2", "refund", "2", "1", "6"),
		"refunds above the charge":   charge + add("2", "refund", "2", "1", "3") + add("3", "refund", "3", "1", "3"),
		"refund of less than none":   charge + add("2", "refund", "2", "1", "-1"),
		"refund of a voided charge":  charge + add("2", "void", "2", "1", "5") + add("3", "refund", "3", "1", "5"),
		"completion of nothing":      add("1", "charge", "2", "1", "5"),
		"completion of a charge":     charge + add("2", "charge", "2", "1", "5"),
		"completion above it":        add("1", "preauth", "1", "", "5") + add("2", "charge", "2", "1", "6"),
		"second completion":          add("1", "preauth", "1", "", "5") + add("2", "charge", "2", "1", "5") + add("3", "charge", "3", "1", "5"),
		"return of a completed hold": add("1", "preauth", "1", "", "5") + add("2", "charge", "2", "1", "5") + add("3", "preauth-return", "1", "", "5"),
	} {
		_, err := ReadLedger(strings.NewReader(text))
		require.ErrorIs(t, err, ErrLedger, name)
	}
}

type brokenDisk struct{}

func (brokenDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestChargeThatCannotBeWrittenIsNotMade(t *testing.T) {
	l := NewLedger(brokenDisk{})
	_, err := l.Sell(sale("1", 500, 500, "00"))
	require.Error(t, err)
	require.Equal(t, Summary{}, l.Summary())
}

func TestCardTokenHidesTheNumber(t *testing.T) {
	require.Empty(t, CardToken(""))
	require.Len(t, CardToken("6224240000000017"), 16)
	require.NotContains(t, CardToken("6224240000000017"), "0017")
}
