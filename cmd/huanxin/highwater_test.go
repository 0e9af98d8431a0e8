package main

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/internal/money"
	"huanxin/internal/simulator/till"
)

// shopper is a shop with one buyer after the other.
type shopper struct {
	t    *testing.T
	sw   *testSwitch
	line *till.Line
	api  *till.API
	stan uint32
	n    uint64
}

func (s *shopper) next(kind int) till.Request {
	s.stan++
	return till.Request{MTI: 0x0200, Kind: kind, Terminal: testTerminal, Merchant: testMerchant, Batch: 1, STAN: s.stan}
}

// claim asks for an entitlement of another person, and a code.
func (s *shopper) claim() (claimed till.APIAnswer, code string) {
	s.n++
	person := till.NewPerson(s.n)
	claimed, err := s.api.Claim(s.t.Context(), fmt.Sprint("key-", s.n), person, "A01", "210100", "store")
	require.NoError(s.t, err)
	if claimed.Status != http.StatusCreated {
		return claimed, ""
	}
	shown, err := s.api.ShowCode(s.t.Context(), claimed.Entitlement, person, &till.Position{CRS: "WGS84", Lon: 123.4294, Lat: 41.7964, AgeSeconds: 1})
	require.NoError(s.t, err)
	return claimed, shown.Code
}

func (s *shopper) reserve(code string) *till.Answer {
	r := s.reserveOf(code)
	return ask(s.t, s.line, &r)
}

func (s *shopper) reserveOf(code string) till.Request {
	r := s.next(till.KindReserve)
	r.MTI, r.Amount = 0x0100, 599900
	r.Tags = []till.Tag{{Name: "S1", Value: code}, {Name: "S2", Value: "6901234567892"}, {Name: "S3", Value: till.NewSerial(s.n)}}
	return r
}

func (s *shopper) pay(hold *till.Answer) (till.Request, *till.Answer) {
	r := s.next(till.KindSale)
	r.Amount, r.Card = hold.Payable, &till.Card{PAN: till.NewPAN(1), Expiry: "3012"}
	r.Tags = []till.Tag{{Name: "S7", Value: fmt.Sprintf("%012d", hold.Hold)}}
	return r, ask(s.t, s.line, &r)
}

// held opens a hold.
func (s *shopper) held() *till.Answer {
	_, code := s.claim()
	hold := s.reserve(code)
	require.Equal(s.t, "00", hold.Response, "%v %s", hold.Reasons, hold.Text)
	return hold
}

func (s *shopper) full() bool {
	families, err := s.sw.metrics.Gather()
	require.NoError(s.t, err)
	for _, f := range families {
		if f.GetName() == "huanxin_journal_full" {
			return f.GetMetric()[0].GetGauge().GetValue() == 1
		}
	}
	require.Fail(s.t, "no such metric")
	return false
}

// What begins something new is refused, what has begun comes to its end – paid, taken back, given back –, and with room the switch
// takes everything again.
func TestJournalAtItsHighWaterMarkTakesNothingNewAndFinishesWhatHasBegun(t *testing.T) {
	network, ledger := startNetwork(t)
	cfg := testConfig(t, t.TempDir(), network, "HUANXIN_DATABASE_ENABLED=false")
	roomy := cfg.Journal.HighWater
	s := &shopper{t: t}
	start := func() {
		s.sw = startSwitch(t, cfg)
		s.sw.ready(t, everythingReady)
		s.line, s.api = s.sw.dial(t), s.sw.api(t)
	}
	start()
	require.False(t, s.full())
	bought, first := s.pay(s.held())
	require.Equal(t, "00", first.Response)
	toGiveBack := s.held()
	claimed, code := s.claim()
	asked := s.reserveOf(code)
	toPay := ask(t, s.line, &asked)
	buyer := s.n
	_, unspent := s.claim()
	s.sw.end(t)

	cfg.Journal.HighWater = 1 // the journal of before is larger
	start()
	require.True(t, s.full())
	refused := s.reserve(unspent)
	require.Equal(t, "96", refused.Response)
	require.Zero(t, refused.Hold)
	claim, _ := s.claim()
	require.Equal(t, http.StatusServiceUnavailable, claim.Status)
	again := ask(t, s.line, &asked)
	require.Equal(t, "00", again.Response, "what stands is not denied: a repeat has the answer of the first")
	require.Equal(t, toPay.Hold, again.Hold)
	known, err := s.api.Claim(t.Context(), fmt.Sprint("key-", buyer), till.NewPerson(buyer), "A01", "210100", "store")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, known.Status)
	require.Equal(t, claimed.Entitlement, known.Entitlement)

	sale, paid := s.pay(toPay)
	require.Equal(t, "00", paid.Response, "a hold from before is paid")
	reversal := sale
	reversal.MTI, reversal.Cause, reversal.Tags = 0x0400, "98", nil
	require.Equal(t, "00", ask(t, s.line, &reversal).Response, "and taken back")
	cancel := s.next(till.KindCancel)
	cancel.MTI, cancel.Tags = 0x0100, []till.Tag{{Name: "S7", Value: fmt.Sprintf("%012d", toGiveBack.Hold)}}
	require.Equal(t, "00", ask(t, s.line, &cancel).Response, "a hold is given back")
	refund := s.next(till.KindRefund)
	refund.MTI, refund.Amount, refund.RRN, refund.Card = 0x0220, money.Amount(479920), first.RRN, sale.Card
	refund.Original = &till.Original{Batch: 1, STAN: bought.STAN, Date: first.At.Format("0102")}
	given := ask(t, s.line, &refund)
	require.Equal(t, "00", given.Response, "a purchase is refunded: %v %s", given.Reasons, given.Text)
	require.True(t, s.full())
	s.sw.end(t)
	require.Zero(t, ledger.Summary().Repeats)

	cfg.Journal.HighWater = roomy
	start()
	require.False(t, s.full())
	require.Equal(t, "00", s.reserve(unspent).Response, "nothing was spent by what was refused")
	s.sw.end(t)
}
