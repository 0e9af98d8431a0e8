package issuer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
)

const testDay = "2025-06-18"

func backOf(of Type, rrn string, amount money.Amount) *Back {
	return &Back{
		Type: of, At: "2025-06-18T10:00:00+08:00", Day: testDay, RRN: rrn, STAN: "000009", Card: "card", Terminal: "21010001",
		Merchant: "898210157220001", Amount: amount, Original: Named{STAN: "000001", Date: "0618"}, Response: "00", Approval: "900000",
	}
}

func chargeOf(of Type, rrn string, amount money.Amount) *Sale {
	return &Sale{
		Type: of, At: "2025-06-18T10:00:00+08:00", Day: testDay, RRN: rrn, STAN: "000001", Card: "card", Terminal: "21010001",
		Merchant: "898210157220001", Asked: amount, Grant: amount, Response: "00", Approval: "100000",
	}
}

// desk asks a ledger and notes nothing; it fails the test when the ledger cannot book.
type desk struct {
	t testing.TB
	*Ledger
}

func (d *desk) sell(of Type, rrn string, amount money.Amount) string {
	d.t.Helper()
	s := chargeOf(of, rrn, amount)
	if of == TypeCompletion {
		s.Original.Approval, s.Approval = "100000", "200000"
	}
	line, err := d.Sell(s)
	require.NoError(d.t, err)
	return line.Response
}

func (d *desk) give(of Type, rrn string, amount money.Amount, change func(*Back)) string {
	d.t.Helper()
	b := backOf(of, rrn, amount)
	if of != TypeVoid && of != TypeRefund {
		b.Original = Named{Approval: "100000"}
	}
	if change != nil {
		change(b)
	}
	line, err := d.GiveBack(b)
	require.NoError(d.t, err)
	return line.Response
}

func (d *desk) reverse(rrn string, amount money.Amount) string {
	d.t.Helper()
	response, err := d.Reverse(&Reversal{RRN: rrn, Amount: amount})
	require.NoError(d.t, err)
	return response
}

// sold is a desk where the sale "s" of 500 fen is charged.
func sold(t testing.TB) *desk {
	d := &desk{t, NewLedger(nil)}
	require.Equal(t, "00", d.sell(TypeSale, "s", 500))
	return d
}

func (d *desk) net() money.Amount { return d.Outcome("s").Net }

func TestVoidAndItsReversalAlternate(t *testing.T) {
	d := sold(t)
	for n := range 3 {
		rrn := fmt.Sprint("v", n)
		require.Equal(t, "00", d.give(TypeVoid, rrn, 500, nil))
		require.Zero(t, d.net())
		require.Equal(t, "22", d.give(TypeVoid, rrn+"again", 500, nil), "it is voided already")
		for range 2 {
			require.Equal(t, "00", d.reverse(rrn, 500))
			require.Equal(t, money.Amount(500), d.net(), "the charge stands again, once")
		}
		require.False(t, d.Outcome(rrn).Done)
	}
	s := d.Summary()
	require.Equal(t, []int{1, 3, 3, 1}, []int{s.Charges, s.Voids, s.Unvoids, s.OpenCharges})
	require.Equal(t, money.Amount(500), s.OpenFen)
}

func TestVoidIsRefusedWithTheReason(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*desk)
		change func(*Back)
		amount money.Amount
		want   string
	}{
		"another day":       {change: func(b *Back) { b.Day = "2025-06-19" }, want: "12"},
		"unknown STAN":      {change: func(b *Back) { b.Original.STAN = "000002" }, want: "25"},
		"unknown date":      {change: func(b *Back) { b.Original.Date = "0616" }, want: "25"},
		"another approval":  {change: func(b *Back) { b.Original.Approval = "100001" }, want: "25"},
		"another terminal":  {change: func(b *Back) { b.Terminal = "21010002" }, want: "25"},
		"another merchant":  {change: func(b *Back) { b.Merchant = "898210157220002" }, want: "25"},
		"another card":      {change: func(b *Back) { b.Card = "other" }, want: "14"},
		"another amount":    {amount: 499, want: "64"},
		"reversed":          {before: func(d *desk) { d.reverse("s", 500) }, want: "22"},
		"voided":            {before: func(d *desk) { d.give(TypeVoid, "v0", 500, nil) }, want: "22"},
		"refunded in part":  {before: func(d *desk) { d.give(TypeRefund, "r0", 1, nil) }, want: "22"},
		"rules":             {change: func(b *Back) { b.Response = "96" }, want: "96"},
		"neighbouring date": {change: func(b *Back) { b.Original.Date = "0617" }, want: "00"},
	} {
		d := sold(t)
		if c.before != nil {
			c.before(d)
		}
		if c.amount == 0 {
			c.amount = 500
		}
		was := d.net()
		require.Equal(t, c.want, d.give(TypeVoid, "v", c.amount, c.change), name)
		if c.want != "00" {
			require.Equal(t, was, d.net(), name)
			require.Equal(t, "12", d.reverse("v", c.amount), "%s: nothing was done", name)
			require.False(t, d.Outcome("v").Done, name)
		}
	}
}

func TestVoidOfADeclinedSaleIs12(t *testing.T) {
	d := &desk{t, NewLedger(nil)}
	s := chargeOf(TypeSale, "s", 500)
	s.Grant, s.Response = 0, "51"
	_, err := d.Sell(s)
	require.NoError(t, err)
	require.Equal(t, "12", d.give(TypeVoid, "v", 500, nil))
	require.Equal(t, "12", d.give(TypeRefund, "r", 500, nil))
}

func TestRefundsNeverExceedTheCharge(t *testing.T) {
	d := sold(t)
	elsewhere := func(b *Back) { b.Terminal, b.Day = "21010077", "2025-07-30" }
	require.Equal(t, "64", d.give(TypeRefund, "r0", 501, nil))
	require.Equal(t, "00", d.give(TypeRefund, "r1", 200, elsewhere), "any terminal of the merchant, any day")
	require.Equal(t, "64", d.give(TypeRefund, "r2", 301, nil))
	require.Equal(t, "14", d.give(TypeRefund, "r3", 300, func(b *Back) { b.Card = "other" }))
	require.Equal(t, "00", d.give(TypeRefund, "r4", 300, nil))
	require.Equal(t, "64", d.give(TypeRefund, "r5", 1, nil))
	require.Equal(t, "94", d.give(TypeRefund, "r1", 200, nil), "an RRN is decided once")
	require.Zero(t, d.net())
	s := d.Summary()
	require.Equal(t, []int{2, 1, 0}, []int{s.Refunds, s.Repeats, s.OpenCharges})
	require.Equal(t, money.Amount(500), s.RefundedFen)
	require.Equal(t, Outcome{
		RRN: "r1", Type: "refund", Known: true, Done: true, Response: "00", Original: "s", Day: "2025-07-30", Amount: 200,
	}, d.Outcome("r1"))
}

func TestRefundIsNeverReversed(t *testing.T) {
	d := sold(t)
	require.Equal(t, "00", d.give(TypeRefund, "r", 200, nil))
	require.Equal(t, "40", d.reverse("r", 200))
	require.Equal(t, money.Amount(300), d.net())
}

func TestVoidedOrRefundedSaleIsNotReversed(t *testing.T) {
	d := sold(t)
	require.Equal(t, "00", d.give(TypeVoid, "v", 500, nil))
	require.Equal(t, "22", d.reverse("s", 500), "or the reversal of the void would charge what was reversed")
	require.Equal(t, "22", d.give(TypeRefund, "r", 500, nil))
	require.Equal(t, "00", d.reverse("v", 500))
	require.Equal(t, "00", d.give(TypeRefund, "r2", 1, nil))
	require.Equal(t, "22", d.reverse("s", 500))
	require.Equal(t, money.Amount(499), d.net())
}

func TestReversalBeforeItsVoidBarsTheVoid(t *testing.T) {
	d := sold(t)
	require.Equal(t, "25", d.reverse("v", 500))
	require.Equal(t, "94", d.give(TypeVoid, "v", 500, nil))
	require.Equal(t, money.Amount(500), d.net())
	require.Equal(t, 1, d.Summary().Overtaken)
	require.False(t, d.Outcome("v").Known)
}

func TestLastSaleOfAWrappedSTANIsMeant(t *testing.T) {
	d := sold(t)
	second := chargeOf(TypeSale, "s2", 700)
	second.At, second.Approval = "2025-09-01T10:00:00+08:00", "100002"
	_, err := d.Sell(second)
	require.NoError(t, err)
	require.Equal(t, "00", d.give(TypeRefund, "r", 600, func(b *Back) { b.Original.Date = "0901" }))
	require.Equal(t, "s2", d.Outcome("r").Original)
	require.Equal(t, "00", d.give(TypeRefund, "r2", 500, nil))
	require.Equal(t, "s", d.Outcome("r2").Original)
}

func TestPreauthorisationIsCompletedOnceAndAtMostWhole(t *testing.T) {
	d := &desk{t, NewLedger(nil)}
	require.Equal(t, "25", d.sell(TypeCompletion, "c", 400))
	require.Equal(t, "00", d.sell(TypePreauth, "p", 500))
	require.Zero(t, d.Summary().ChargedFen, "nothing is charged yet")
	require.Equal(t, "64", d.sell(TypeCompletion, "c0", 501))
	require.Equal(t, "00", d.sell(TypeCompletion, "c1", 400))
	require.Equal(t, "22", d.sell(TypeCompletion, "c2", 100))
	require.Equal(t, "22", d.reverse("p", 500))
	require.Equal(t, "22", d.give(TypePreauthVoid, "pv", 500, nil))
	require.Equal(t, "12", d.give(TypeVoid, "v", 400, nil), "a completion has a void of its own")

	require.Equal(t, "00", d.give(TypeCompletionVoid, "cv", 400, nil))
	require.Zero(t, d.Summary().OpenFen)
	require.Equal(t, "00", d.reverse("cv", 400), "the completion stands again")
	require.Equal(t, money.Amount(400), d.Summary().OpenFen)
	require.Equal(t, "00", d.reverse("c1", 400))
	require.Equal(t, "00", d.sell(TypeCompletion, "c3", 500), "a reversed completion leaves the pre-authorisation free")
	require.Equal(t, "00", d.give(TypeCompletionVoid, "cv2", 500, nil))
	require.Equal(t, "00", d.sell(TypeCompletion, "c4", 300))
	require.Equal(t, "22", d.reverse("cv2", 500), "its pre-authorisation was used otherwise since")
	require.Equal(t, money.Amount(300), d.Summary().OpenFen)
}

func TestPreauthorisationIsVoidedReversedAndRestored(t *testing.T) {
	d := &desk{t, NewLedger(nil)}
	require.Equal(t, "25", d.give(TypePreauthVoid, "pv0", 500, nil))
	require.Equal(t, "00", d.sell(TypePreauth, "p", 500))
	require.Equal(t, "25", d.give(TypePreauthVoid, "pv1", 500, func(b *Back) { b.Card = "other" }))
	require.Equal(t, "64", d.give(TypePreauthVoid, "pv2", 400, nil))
	require.Equal(t, "00", d.give(TypePreauthVoid, "pv3", 500, nil))
	require.Equal(t, "22", d.sell(TypeCompletion, "c", 500))
	require.Equal(t, "00", d.reverse("pv3", 500))
	require.True(t, d.Outcome("p").Done)
	require.Equal(t, "00", d.reverse("p", 500))
	require.Equal(t, "22", d.sell(TypeCompletion, "c1", 500))
	require.Equal(t, "22", d.give(TypePreauthVoid, "pv4", 500, nil))
	require.Zero(t, d.Summary().ChargedFen)
}

// naive is a dumb book beside the ledger: what each payer has paid, added up from the answers alone.
type naive struct {
	charged map[string]money.Amount // by RRN of the charge
	net     map[string]money.Amount
	about   map[string]string // void → charge
	undone  map[string]bool
}

// Whatever comes in whatever order, however often: the payer of a charge is charged between nothing and its amount, the
// answers alone say the same as the book, and the file gives the same book again.
func TestNetChargeLiesBetweenNothingAndTheAmountWhateverTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var file bytes.Buffer
		l := NewLedger(&file)
		n := naive{map[string]money.Amount{}, map[string]money.Amount{}, map[string]string{}, map[string]bool{}}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			n.step(t, l)
		}
		var charged, open money.Amount
		for rrn, amount := range n.charged {
			o := l.Outcome(rrn)
			require.Equal(t, n.net[rrn], o.Net, "RRN %s", rrn)
			require.True(t, o.Net >= 0 && o.Net <= amount, "RRN %s: %d of %d", rrn, o.Net, amount)
			charged += amount
			open += o.Net
		}
		require.Equal(t, n.net, movesOf(t, file.Bytes()), "the lines alone tell what each payer has paid")
		s := l.Summary()
		require.Equal(t, charged, s.ChargedFen)
		require.Equal(t, open, s.OpenFen)
		require.Equal(t, s.ChargedFen-s.ReturnedFen-s.VoidedFen+s.UnvoidedFen-s.RefundedFen, s.OpenFen)

		again, err := ReadLedger(bytes.NewReader(file.Bytes()))
		require.NoError(t, err)
		require.Equal(t, s, again.Summary())
		require.Equal(t, l.entries, again.entries)
		require.Equal(t, l.Open(), again.Open())
		require.Equal(t, l.Returned(), again.Returned())
		require.Equal(t, l.Voided(), again.Voided())
		require.Equal(t, l.Refunded(), again.Refunded())
		require.Equal(t, l.authorities, again.authorities)
	})
}

// movesOf adds the lines of a file up.
func movesOf(t *rapid.T, file []byte) map[string]money.Amount {
	sums := map[string]money.Amount{}
	for text := range bytes.Lines(file) {
		var line Line
		require.NoError(t, json.Unmarshal(text, &line))
		if rrn, amount := line.Moves(); rrn != "" {
			sums[rrn] += amount
		}
	}
	return sums
}

// step draws one request or reversal, out of few RRNs, STANs and amounts, so that they meet.
func (n *naive) step(t *rapid.T, l *Ledger) {
	rrn := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "rrn")
	amount := money.Amount(rapid.Int64Range(1, 3).Draw(t, "amount"))
	stan := rapid.SampledFrom([]string{"000001", "000002"}).Draw(t, "stan")
	day := rapid.SampledFrom([]string{testDay, testDay, "2025-06-19"}).Draw(t, "day")
	of := rapid.SampledFrom([]Type{
		TypeSale, TypeSale, TypeVoid, TypeVoid, TypeRefund, TypePreauth, TypeCompletion, TypePreauthVoid, TypeCompletionVoid, "reversal", "reversal",
	}).Draw(t, "type")
	switch of {
	case TypeSale, TypePreauth, TypeCompletion:
		s := chargeOf(of, rrn, amount)
		s.Grant = money.Amount(rapid.Int64Range(0, int64(amount)).Draw(t, "grant"))
		s.STAN, s.Day, s.Original.Approval = stan, day, "100000"
		if s.Grant == 0 {
			s.Response = "51"
		}
		line, err := l.Sell(s)
		require.NoError(t, err)
		if line.Kind == Charge {
			require.Zero(t, n.charged[rrn], "charged twice")
			n.charged[rrn], n.net[rrn] = line.Amount, line.Amount
		}
	case "reversal":
		response, err := l.Reverse(&Reversal{RRN: rrn, Amount: amount})
		require.NoError(t, err)
		if response == "00" && !n.undone[rrn] {
			n.undone[rrn] = true
			if charge, isVoid := n.about[rrn]; isVoid {
				n.net[charge] = n.charged[charge]
			} else if n.charged[rrn] != 0 {
				n.net[rrn] = 0
			}
		}
	default:
		b := backOf(of, rrn, amount)
		b.Original = Named{STAN: stan, Date: "0618", Approval: "100000"}
		b.Day = day
		line, err := l.GiveBack(b)
		require.NoError(t, err)
		switch line.Kind {
		case Void:
			n.about[rrn] = line.Original
			n.net[line.Original] = 0
		case Refund:
			n.net[line.Original] -= line.Amount
		}
	}
}
