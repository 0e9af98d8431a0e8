package issuer

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/switch/iso8583"
)

// caller is the switch's end of a link that names originals in one of the two ways.
type caller struct {
	*link
	de90 bool
}

// inEachStyle runs a test against a network of each style: DE61 or DE90 for the original.
func inEachStyle(t *testing.T, test func(t *testing.T, c *caller, l *Ledger)) {
	for dialect, de90 := range map[string]bool{"cup": false, "iso87b": true, "iso87a": true} {
		t.Run(dialect, func(t *testing.T) {
			ledger := NewLedger(nil)
			rules := DefaultRules()
			rules.LateBy = 10 * time.Millisecond
			_, l := startWith(t, dialect, Config{
				Rules: rules, Ledger: ledger, Now: func() time.Time { return time.Date(2025, 6, 18, 10, 5, 12, 0, shanghai) },
			})
			test(t, &caller{l, de90}, ledger)
		})
	}
}

// ask sends a request whose DE3, DE25 and DE60.1 are code, condition and kind.
func (c *caller) ask(mti iso8583.MTI, code, condition, kind, rrn string, amount uint64, change func(b *iso8583.Builder)) {
	c.t.Helper()
	c.send(mti, rrn, amount, func(b *iso8583.Builder) {
		b.SetString(3, code)
		b.SetString(25, condition)
		b.SetString(60, kind+"00000100060")
		b.SetString(11, rrn[6:])
		if change != nil {
			change(b)
		}
	})
}

// of names a sale by its RRN, whose end is its STAN.
func (c *caller) of(mti, rrn, approval string) func(b *iso8583.Builder) {
	return func(b *iso8583.Builder) {
		if approval != "" {
			b.SetString(38, approval)
		}
		if c.de90 {
			b.SetString(90, mti+rrn[6:]+"0618100512"+"00048022100"+"00000000000")
			return
		}
		b.SetString(61, "000001"+rrn[6:]+"0618")
	}
}

const (
	saleRRN   = "516900000001"
	voidRRN   = "516900000002"
	refundRRN = "516900000003"
	otherRRN  = "516900000004"
)

// charged sells and returns the approval code.
func (c *caller) charged(amount uint64) (approval string) {
	c.t.Helper()
	c.ask(0x0200, "000000", "00", "22", saleRRN, amount, nil)
	return value(c.want(0x0210, "00"), 38)
}

func TestVoidTakesTheChargeBackAndItsReversalRestoresIt(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c *caller, l *Ledger) {
		approval := c.charged(10000)
		c.ask(0x0200, "200000", "00", "23", voidRRN, 10000, c.of("0200", saleRRN, approval))
		m := c.want(0x0210, "00")
		require.Equal(t, "0618", value(m, 15))
		require.Equal(t, voidRRN, value(m, 37))
		require.Equal(t, Outcome{
			RRN: voidRRN, Type: "void", Known: true, Done: true, Response: "00", Original: saleRRN, Day: testDay, Amount: 10000,
		}, l.Outcome(voidRRN))
		for _, mti := range []iso8583.MTI{0x0400, 0x0401} {
			c.ask(mti, "200000", "00", "23", voidRRN, 10000, c.of("0200", voidRRN, ""))
			c.want(0x0410, "00")
			require.Equal(t, money.Amount(10000), l.Outcome(saleRRN).Net, "%s", mti)
			require.False(t, l.Outcome(voidRRN).Done)
		}
		c.ask(0x0200, "200000", "00", "23", otherRRN, 10000, c.of("0200", saleRRN, "999999"))
		c.want(0x0210, "25")
	})
}

func TestRefundGivesBackAPart(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c *caller, l *Ledger) {
		approval := c.charged(10000)
		elsewhere := func(b *iso8583.Builder) {
			c.of("0200", saleRRN, approval)(b)
			b.SetString(41, "21010077")
		}
		c.ask(0x0220, "200000", "00", "25", refundRRN, 4000, elsewhere)
		c.want(0x0230, "00")
		c.ask(0x0220, "200000", "00", "25", otherRRN, 6005, elsewhere)
		c.want(0x0230, "64")
		require.Equal(t, money.Amount(6000), l.Outcome(saleRRN).Net)
		require.True(t, l.Outcome(refundRRN).Done)
		require.False(t, l.Outcome(otherRRN).Done)
	})
}

func TestReversalOfARefundIsNotSupported(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c *caller, l *Ledger) {
		c.charged(10000)
		c.ask(0x0220, "200000", "00", "25", refundRRN, 4000, c.of("0200", saleRRN, ""))
		c.want(0x0230, "00")
		for _, rrn := range []string{refundRRN, otherRRN} {
			c.ask(0x0400, "200000", "00", "25", rrn, 4000, c.of("0220", rrn, ""))
			c.want(0x0410, "40")
		}
		require.Equal(t, money.Amount(6000), l.Outcome(saleRRN).Net)
		require.Zero(t, l.Summary().Tombstones, "a refund that comes after its reversal is carried out all the same")
	})
}

func TestInquiryAnswersABalanceAndBooksNothing(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c *caller, l *Ledger) {
		var balances []string
		for _, rrn := range []string{saleRRN, voidRRN} {
			c.ask(0x0200, "310000", "00", "01", rrn, 0, func(b *iso8583.Builder) { b.Remove(4) })
			m := c.want(0x0210, "00")
			require.Regexp(t, `^0202156C[0-9]{12}$`, value(m, 54))
			require.False(t, m.Has(38))
			balances = append(balances, value(m, 54))
		}
		require.Equal(t, balances[0], balances[1], "a card has one balance")
		require.Equal(t, Summary{}, l.Summary())
	})
}

func TestPreauthorisationFamilyOnTheWire(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c *caller, l *Ledger) {
		c.ask(0x0100, "030000", "06", "10", saleRRN, 10000, nil)
		approval := value(c.want(0x0110, "00"), 38)
		byCode := func(b *iso8583.Builder) { b.SetString(38, approval) }
		require.Zero(t, l.Summary().Charges)

		c.ask(0x0100, "200000", "06", "11", voidRRN, 10000, byCode)
		c.want(0x0110, "00")
		c.ask(0x0400, "200000", "06", "11", voidRRN, 10000, c.of("0100", voidRRN, ""))
		c.want(0x0410, "00")

		c.ask(0x0200, "000000", "06", "20", refundRRN, 9000, byCode)
		require.Equal(t, approval, value(c.want(0x0210, "00"), 38), "a completion keeps the code")
		require.Equal(t, money.Amount(9000), l.Summary().OpenFen)
		c.ask(0x0200, "200000", "06", "21", otherRRN, 9000, byCode)
		c.want(0x0210, "00")
		require.Zero(t, l.Summary().OpenFen)
		c.ask(0x0400, "200000", "06", "21", otherRRN, 9000, c.of("0200", otherRRN, ""))
		c.want(0x0410, "00")
		c.ask(0x0400, "000000", "06", "20", refundRRN, 9000, c.of("0200", refundRRN, approval))
		c.want(0x0410, "00")
		c.ask(0x0400, "030000", "06", "10", saleRRN, 10000, c.of("0100", saleRRN, approval))
		c.want(0x0410, "00")
		require.False(t, l.Outcome(saleRRN).Done)
	})
}

func TestRequestsThatTheNetworkDoesNotKnow(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c *caller, _ *Ledger) {
		for _, r := range []struct {
			mti  iso8583.MTI
			code string
		}{{0x0100, "000000"}, {0x0200, "010000"}, {0x0220, "000000"}, {0x0220, "310000"}} {
			c.ask(r.mti, r.code, "00", "22", saleRRN, 100, nil)
			c.want(r.mti.Response(), "40")
		}
		c.ask(0x0220, "200000", "00", "25", refundRRN, 0, nil)
		c.want(0x0230, "30")
	})
}

func TestVoidAfterTheNetworksCutOverIs12(t *testing.T) {
	var clock atomic.Int64
	at := func(hour, minute int) { clock.Store(time.Date(2025, 6, 18, hour, minute, 0, 0, shanghai).UnixNano()) }
	ledger := NewLedger(nil)
	_, l := startWith(t, "cup", Config{
		Rules: DefaultRules(), Ledger: ledger, CutOver: 15*time.Hour + 30*time.Minute,
		Now: func() time.Time { return time.Unix(0, clock.Load()) },
	})
	c := &caller{l, false}
	at(15, 29)
	c.ask(0x0200, "000000", "00", "22", saleRRN, 10000, nil)
	require.Equal(t, "0618", value(c.want(0x0210, "00"), 15))
	at(15, 30)
	c.ask(0x0200, "200000", "00", "23", voidRRN, 10000, c.of("0200", saleRRN, ""))
	require.Equal(t, "0619", value(c.want(0x0210, "12"), 15))
	c.ask(0x0220, "200000", "00", "25", refundRRN, 10000, c.of("0200", saleRRN, ""))
	c.want(0x0230, "00")
}

func TestCutOverIsATimeOfDay(t *testing.T) {
	for _, bad := range []time.Duration{-time.Second, 25 * time.Hour} {
		_, err := New(Config{Codec: codecOf(t, "cup"), Rules: DefaultRules(), Ledger: NewLedger(nil), CutOver: bad})
		require.Error(t, err)
	}
}

func TestVoidsAndRefundsAreTreatedAsTheirAmountOrders(t *testing.T) {
	inEachStyle(t, func(t *testing.T, c *caller, l *Ledger) {
		c.charged(10072)
		c.ask(0x0200, "200000", "00", "23", voidRRN, 10072, c.of("0200", saleRRN, "")) // done, no answer
		c.ask(0x0400, "200000", "00", "23", voidRRN, 10072, c.of("0200", voidRRN, ""))
		c.want(0x0410, "00")
		require.Equal(t, []int{1, 1}, []int{l.Summary().Voids, l.Summary().Unvoids})

		c.ask(0x0220, "200000", "00", "25", refundRRN, 81, c.of("0200", saleRRN, "")) // never arrives
		c.ask(0x0220, "200000", "00", "25", otherRRN, 84, c.of("0200", saleRRN, ""))
		c.want(0x0230, "00")
		c.want(0x0230, "00")
		require.False(t, l.Outcome(refundRRN).Known)
		require.Equal(t, money.Amount(10072-84), l.Outcome(saleRRN).Net, "answered twice, given back once")
		c.ask(0x0220, "200000", "00", "25", "516900000005", 83, c.of("0200", saleRRN, ""))
		c.want(0x0230, "00") // late
		c.ask(0x0220, "200000", "00", "25", "516900000006", 88, c.of("0200", saleRRN, ""))
		c.want(0x0230, "57")
	})
}

func TestReversalIsNeverAnsweredUntilTheNetworkIsTold(t *testing.T) {
	for _, r := range []struct {
		ending   uint64
		void     bool
		standing money.Amount // while nobody has told it
	}{{34, false, 10034}, {36, false, 0}, {38, true, 0}, {39, true, 10039}} {
		ledger := NewLedger(nil)
		network, l := startWith(t, "cup", Config{Rules: DefaultRules(), Ledger: ledger, Now: time.Now})
		c := &caller{l, false}
		amount, code, kind, rrn := 10000+r.ending, "000000", "22", saleRRN
		c.ask(0x0200, code, "00", kind, saleRRN, amount, nil)
		if r.void {
			c.want(0x0210, "00")
			code, kind, rrn = "200000", "23", voidRRN
			c.ask(0x0200, code, "00", kind, rrn, amount, func(b *iso8583.Builder) { b.SetString(61, "000001"+saleRRN[6:]) })
		}
		for range 5 {
			c.ask(0x0401, code, "00", kind, rrn, amount, nil)
		}
		c.send(0x0820, "", 0, nil)
		c.want(0x0830, "00") // nothing was answered before
		require.Equal(t, r.standing, ledger.Outcome(saleRRN).Net, "%d", r.ending)
		network.AnswerReversals()
		c.ask(0x0401, code, "00", kind, rrn, amount, nil)
		c.want(0x0410, "00")
		require.False(t, ledger.Outcome(rrn).Done, "%d", r.ending)
	}
}

func TestApprovalCodesGoOnAfterARestart(t *testing.T) {
	var file bytes.Buffer
	_, l := startNetwork(t, DefaultRules(), NewLedger(&file))
	l.send(0x0200, "516900000001", 10000, nil)
	first := value(l.want(0x0210, "00"), 38)
	ledger, err := ReadLedger(&file)
	require.NoError(t, err)
	_, l = startNetwork(t, DefaultRules(), ledger)
	l.send(0x0200, "516900000002", 10000, nil)
	require.Greater(t, value(l.want(0x0210, "00"), 38), first)
}
