package wallet

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
	link "huanxin/switch/wallet"
)

func order(rrn string, amount money.Amount, status link.Status) *Order {
	return &Order{At: "2025-06-18T10:00:00+08:00", RRN: rrn, Code: "c", Merchant: "m", Amount: amount, Status: status, Trade: "T" + rrn}
}

func refundOrder(rrn, payment string, amount money.Amount, status link.Status) *Order {
	return &Order{At: "2025-06-18T11:00:00+08:00", RRN: rrn, Payment: payment, Amount: amount, Status: status}
}

func TestCancellationGivesBackOnceAndBarsEverything(t *testing.T) {
	l := NewLedger(nil)
	e, err := l.Pay(order("1", 500, link.Paid))
	require.NoError(t, err)
	require.Equal(t, link.Paid, e.Status)
	_, err = l.Refund(refundOrder("r1", "1", 100, link.Done))
	require.NoError(t, err)
	for range 3 {
		e, err = l.Cancel("", "1")
		require.NoError(t, err)
		require.Equal(t, link.Closed, e.Status)
		require.EqualValues(t, 400, e.Returned)
		require.Zero(t, e.Net())
	}
	r, err := l.Refund(refundOrder("r2", "1", 100, link.Done))
	require.NoError(t, err)
	require.Equal(t, link.Refused, r.Status)
	require.Equal(t, "NOT_PAID", r.Reason)
	e, err = l.Pay(order("1", 500, link.Paid))
	require.NoError(t, err)
	require.Equal(t, link.Closed, e.Status)
	require.Equal(t, Summary{Payments: 1, PaidFen: 500, Returns: 1, ReturnedFen: 400, Refunds: 1, RefundedFen: 100, RefundsRefused: 1, Repeats: 1},
		l.Summary())
}

func TestCancellationOfAnUnknownPaymentBarsItsOrder(t *testing.T) {
	l := NewLedger(nil)
	for range 2 {
		e, err := l.Cancel("", "1")
		require.NoError(t, err)
		require.Equal(t, link.Closed, e.Status)
	}
	e, err := l.Pay(order("1", 500, link.Paid))
	require.NoError(t, err)
	require.Equal(t, link.Closed, e.Status)
	require.Equal(t, Summary{Tombstones: 1, Overtaken: 1}, l.Summary())
}

func TestPayerWhoConfirmsAfterTheCancellationIsNotCharged(t *testing.T) {
	l := NewLedger(nil)
	_, err := l.Pay(order("1", 500, link.Pending))
	require.NoError(t, err)
	_, err = l.Cancel("", "1")
	require.NoError(t, err)
	e, ended, err := l.Settle("", "1", link.Paid, "", "T")
	require.NoError(t, err)
	require.False(t, ended)
	require.Equal(t, link.Closed, e.Status)
	require.Zero(t, l.Summary().PaidFen)
}

func TestNumberWithOtherContentIsAConflict(t *testing.T) {
	l := NewLedger(nil)
	_, err := l.Pay(order("1", 500, link.Paid))
	require.NoError(t, err)
	_, err = l.Pay(order("1", 501, link.Paid))
	require.ErrorIs(t, err, ErrConflict)
	_, err = l.Refund(refundOrder("1", "1", 500, link.Done))
	require.ErrorIs(t, err, ErrConflict)
	_, err = l.Refund(refundOrder("2", "1", 300, link.Done))
	require.NoError(t, err)
	_, err = l.Refund(refundOrder("2", "1", 200, link.Done))
	require.ErrorIs(t, err, ErrConflict)
	_, err = l.Pay(order("2", 500, link.Paid))
	require.ErrorIs(t, err, ErrConflict)
	_, err = l.Cancel("", "2")
	require.ErrorIs(t, err, ErrConflict)
	_, err = l.CancelRefund("", "1")
	require.ErrorIs(t, err, ErrConflict)
	require.Equal(t, 4, l.Summary().Conflicts)
	require.EqualValues(t, 200, l.Summary().OpenFen)
}

func TestRefundsThatWaitCountAgainstWhatIsLeft(t *testing.T) {
	l := NewLedger(nil)
	_, err := l.Pay(order("1", 500, link.Paid))
	require.NoError(t, err)
	_, err = l.Refund(refundOrder("2", "1", 300, link.Pending))
	require.NoError(t, err)
	r, err := l.Refund(refundOrder("3", "1", 201, link.Done))
	require.NoError(t, err)
	require.Equal(t, "REFUND_EXCEEDS", r.Reason)
	r, err = l.CancelRefund("", "2")
	require.NoError(t, err)
	require.Equal(t, link.Closed, r.Status)
	r, err = l.Refund(refundOrder("4", "1", 500, link.Done))
	require.NoError(t, err)
	require.Equal(t, link.Done, r.Status)
	_, ended, err := l.SettleRefund("", "2", link.Done, "", "")
	require.NoError(t, err)
	require.False(t, ended)
	require.Zero(t, l.Summary().Open)
}

// naive is a dumb book beside the ledger.
type naive struct {
	paid, back map[string]money.Amount
	closed     map[string]bool
}

// step does something drawn and compares what the ledger says with the naive book.
func (n *naive) step(t *rapid.T, l *Ledger) {
	rrn := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "payment")
	refund := rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "refund")
	amount := money.Amount(rapid.Int64Range(1, 3).Draw(t, "amount"))
	before, _ := l.Find(rrn)
	switch rapid.IntRange(0, 5).Draw(t, "step") {
	case 0:
		status := rapid.SampledFrom([]link.Status{link.Paid, link.Pending, link.Declined}).Draw(t, "status")
		e, err := l.Pay(order(rrn, amount, status))
		if err == nil && e.Status == link.Paid && before.Status == "" {
			require.False(t, n.closed[rrn])
			n.paid[rrn] += amount
		}
	case 1:
		e, ended, err := l.Settle("", rrn, rapid.SampledFrom([]link.Status{link.Paid, link.Declined}).Draw(t, "end"), "R", "T")
		if err == nil && ended && e.Status == link.Paid {
			require.False(t, n.closed[rrn])
			n.paid[rrn] += e.Order.Amount
		}
	case 2:
		e, err := l.Cancel("", rrn)
		require.NoError(t, err)
		require.Contains(t, []link.Status{link.Closed, link.Declined}, e.Status)
		if before.Status == link.Paid {
			n.back[rrn] += e.Returned
		}
		n.closed[rrn] = true
	case 3:
		known, _ := l.FindRefund(refund)
		status := rapid.SampledFrom([]link.Status{link.Done, link.Pending, link.Refused}).Draw(t, "status")
		r, err := l.Refund(refundOrder(refund, rrn, amount, status))
		if err == nil && r.Status == link.Done && known.Status == "" {
			n.back[rrn] += amount
		}
	case 4:
		r, ended, err := l.SettleRefund("", refund, rapid.SampledFrom([]link.Status{link.Done, link.Refused}).Draw(t, "end"), "R", "T")
		if err == nil && ended && r.Status == link.Done {
			n.back[r.Order.Payment] += r.Order.Amount
		}
	case 5:
		_, err := l.CancelRefund("", refund)
		require.NoError(t, err)
	}
}

func TestNeverChargedTwiceNorMoreGivenBackThanCharged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var file bytes.Buffer
		l := NewLedger(&file)
		n := &naive{map[string]money.Amount{}, map[string]money.Amount{}, map[string]bool{}}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			n.step(t, l)
		}
		open, openFen := 0, money.Amount(0)
		for _, e := range l.Payments() {
			require.Equal(t, n.paid[e.Order.RRN], e.Paid.Amount)
			require.Equal(t, n.back[e.Order.RRN], e.Refunded+e.Returned)
			require.GreaterOrEqual(t, e.Net(), e.Refunding)
			openFen += e.Net()
			if e.Net() > 0 {
				open++
			}
		}
		require.Equal(t, []any{open, openFen}, []any{l.Summary().Open, l.Summary().OpenFen})

		again, err := ReadLedger(bytes.NewReader(file.Bytes()))
		require.NoError(t, err)
		require.Equal(t, l.Summary(), again.Summary())
		require.Equal(t, l.Payments(), again.Payments())
		require.Equal(t, l.Refunds(), again.Refunds())
	})
}

func TestLedgerGoesOnAfterTheProcessHasDied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wallet.jsonl")
	l, err := OpenLedger(path)
	require.NoError(t, err)
	_, err = l.Pay(order("1", 500, link.Paid))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = l.Cancel("", "1")
	require.ErrorIs(t, err, os.ErrClosed)

	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(whole, `{"seq":2,"at":"","kind":"ret`...), 0o600))
	l, err = OpenLedger(path)
	require.NoError(t, err)
	e, err := l.Cancel("", "1")
	require.NoError(t, err)
	require.EqualValues(t, 500, e.Returned)
	require.NoError(t, l.Close())
}

func TestDamagedLedgerIsRefused(t *testing.T) {
	pay := `{"seq":1,"at":"","kind":"pay","rrn":"1","amount_fen":500}` + "\n"
	for name, text := range map[string]string{
		"charged twice":         pay + strings.Replace(pay, `"seq":1`, `"seq":2`, 1),
		"gap":                   pay + `{"seq":3,"at":"","kind":"return","rrn":"1","amount_fen":500}` + "\n",
		"more back than paid":   pay + `{"seq":2,"at":"","kind":"refund","rrn":"2","payment":"1","amount_fen":501}` + "\n",
		"refund of nothing":     `{"seq":1,"at":"","kind":"refund","rrn":"2","payment":"1","amount_fen":1}` + "\n",
		"charged after closing": `{"seq":1,"at":"","kind":"tombstone","rrn":"1","amount_fen":0}` + "\n" + strings.Replace(pay, `"seq":1`, `"seq":2`, 1),
		"unknown kind":          `{"seq":1,"at":"","kind":"gift","rrn":"1","amount_fen":1}` + "\n",
		"unknown member":        `{"seq":1,"at":"","kind":"pay","rrn":"1","amount_fen":1,"x":1}` + "\n",
		"no JSON":               "x\n",
	} {
		_, err := ReadLedger(strings.NewReader(text))
		require.ErrorIs(t, err, ErrLedger, name)
	}
}

func FuzzReadLedger(f *testing.F) {
	f.Add([]byte(`{"seq":1,"at":"","kind":"pay","rrn":"1","amount_fen":500}` + "\n"))
	f.Add([]byte(`{"seq":1,"at":"","kind":"wait","rrn":"1","amount_fen":500}` + "\n" + `{"seq":2,"at":"","kind":"close","rrn":"1","amount_fen":500}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := ReadLedger(bytes.NewReader(text))
		if err != nil {
			return
		}
		for _, e := range l.Payments() {
			require.GreaterOrEqual(t, e.Net(), e.Refunding)
		}
	})
}
