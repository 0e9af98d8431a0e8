package issuer

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

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

// A naive book beside the ledger: what was charged and returned per RRN.
func TestNothingIsReturnedTwiceWhateverTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var file bytes.Buffer
		l := NewLedger(&file)
		charged, returned := map[string]money.Amount{}, map[string]money.Amount{}
		seen := map[string]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			rrn := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "rrn")
			amount := money.Amount(rapid.Int64Range(1, 3).Draw(t, "amount"))
			if rapid.Bool().Draw(t, "sale") {
				grant := money.Amount(rapid.Int64Range(0, int64(amount)).Draw(t, "grant"))
				line, err := l.Sell(sale(rrn, amount, grant, "00"))
				require.NoError(t, err)
				if !seen[rrn] {
					charged[rrn] = grant
				}
				require.Equal(t, !seen[rrn] && grant > 0, line.Kind == Charge)
				seen[rrn] = true
				continue
			}
			response, err := l.Reverse(&Reversal{RRN: rrn, Amount: amount})
			require.NoError(t, err)
			seen[rrn] = true
			if response == "00" {
				require.NotZero(t, charged[rrn])
				returned[rrn] = charged[rrn]
			}
		}
		var sumCharged, sumReturned money.Amount
		for rrn := range seen {
			require.True(t, returned[rrn] == 0 || returned[rrn] == charged[rrn])
			sumCharged += charged[rrn]
			sumReturned += returned[rrn]
		}
		s := l.Summary()
		require.Equal(t, sumCharged, s.ChargedFen)
		require.Equal(t, sumReturned, s.ReturnedFen)
		require.Equal(t, sumCharged-sumReturned, s.OpenFen)

		reread, err := ReadLedger(bytes.NewReader(file.Bytes()))
		require.NoError(t, err)
		require.Equal(t, s, reread.Summary())
		require.Equal(t, l.Open(), reread.Open())
		require.Equal(t, l.Returned(), reread.Returned())
	})
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

func TestDamagedLedgerIsRefused(t *testing.T) {
	charge := `{"seq":1,"at":"","kind":"charge","rrn":"1","stan":"","amount_fen":5,"response":"00"}` + "\n"
	for name, text := range map[string]string{
		"gap":             strings.Replace(charge, `"seq":1`, `"seq":2`, 1),
		"no json":         "charge\n",
		"unknown key":     strings.Replace(charge, `"at"`, `"when"`, 1),
		"unknown kind":    strings.Replace(charge, "charge", "gift", 1),
		"second charge":   charge + strings.Replace(charge, `"seq":1`, `"seq":2`, 1),
		"return unknown":  strings.Replace(charge, "charge", "return", 1),
		"nothing charged": strings.Replace(charge, `"amount_fen":5`, `"amount_fen":0`, 1),
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
