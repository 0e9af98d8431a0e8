package main

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"huanxin/internal/money"
	"huanxin/internal/simulator/issuer"
	testkeys "huanxin/internal/simulator/secret"
	"huanxin/internal/simulator/till"
	"huanxin/switch/control"
	"huanxin/switch/engine"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/store"
	"huanxin/switch/wire"
)

// sealedDesk is a desk at a switch whose card network demands MACs and makes them.
type sealedDesk struct {
	*desk
	network *issuer.Network
	ledger  *issuer.Ledger
}

func openSealedDesk(t *testing.T) *sealedDesk {
	t.Helper()
	key := []byte("\x43\x8A\x10\xCE\x51\x29\x0B\x67\x15\x80\x31\xF2\x4C\x6E\x9D\xA1")
	security, err := testkeys.NewDesk(testkeys.Network{MAC: "3des-cbc", MACKey: key})
	require.NoError(t, err)
	d := &sealedDesk{ledger: issuer.NewLedger(nil)}
	d.network, err = issuer.New(issuer.Config{
		Framing: wire.CUP, Codec: cupCodec(t), Rules: issuer.DefaultRules(), Ledger: d.ledger, Desk: security, Logger: zap.NewNop(), Now: time.Now,
	})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- d.network.Serve(listener) }()
	t.Cleanup(func() { d.network.Close(); require.NoError(t, <-served) })

	d.desk = openDeskAt(t, listener.Addr().String(), "HUANXIN_DATABASE_ENABLED=false", "HUANXIN_HOSTS_UNIONPAY_MAC=3des-cbc",
		"HUANXIN_HOSTS_UNIONPAY_TIMEOUT=3s", "HUANXIN_HOSTS_UNIONPAY_REVERSAL_RETRY_MIN=1s")
	// Both sides form the key in a ceremony; the running switch takes it over.
	other := bytes.Repeat([]byte{0x75}, len(key))
	one := make([]byte, len(key))
	for i := range one {
		one[i] = key[i] ^ other[i]
	}
	editKeys(t, keyStore(d.cfg), func(e *store.Edit) error {
		_, err := e.Form(store.Wanted{Label: "host/unionpay/zak", Algorithm: hsm.TDES, Length: len(key)}, one, other)
		return err
	})
	client, err := control.NewClient(d.cfg.Path(d.cfg.Control.Socket))
	require.NoError(t, err)
	_, err = client.ReloadKeys(t.Context())
	require.NoError(t, err)
	return d
}

// unproved are the answers that the switch has dropped for their MACs.
func (d *sealedDesk) unproved() float64 {
	d.t.Helper()
	families, err := d.metrics.Gather()
	require.NoError(d.t, err)
	for _, f := range families {
		if f.GetName() == "huanxin_host_unproved_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	require.Fail(d.t, "no such metric")
	return 0
}

func (d *sealedDesk) saf() []engine.SAFView {
	d.t.Helper()
	reply, err := d.ask(d.t.Context(), "SAF", func(token engine.Token) any { return &engine.Look{Token: token, What: engine.LookSAF{Limit: 100}} })
	require.NoError(d.t, err)
	return reply.Result.([]engine.SAFView)
}

// hold reserves for the same person, entitlement and serial each time: only what an earlier purchase has given back in whole
// can be held again. fen make the payable end in the digits that order the network's treatment.
func (d *sealedDesk) hold(person till.Person, entitlement string, ending, fen money.Amount) *till.Answer {
	d.t.Helper()
	code, err := d.api(d.t).ShowCode(d.t.Context(), entitlement, person, &till.Position{CRS: "WGS84", Lon: 123.4294, Lat: 41.7964, AgeSeconds: 1})
	require.NoError(d.t, err)
	held := d.tell(till.Request{MTI: 0x0100, Kind: till.KindReserve, Amount: 599900 + fen, Tags: []till.Tag{
		{Name: "S1", Value: code.Code}, {Name: "S2", Value: "6901234567892"}, {Name: "S3", Value: till.NewSerial(1)},
	}})
	require.Equal(d.t, "00", held.Response, "%v %s", held.Reasons, held.Text)
	require.Equal(d.t, ending, held.Payable%100)
	return held
}

func TestAnAnswerOfTheHostIsBelievedOnlyWithItsMAC(t *testing.T) {
	d := openSealedDesk(t)
	free := d.spent(t)
	person, entitlement := d.claim()
	want := issuer.Summary{}
	drained := func(held *till.Answer) {
		t.Helper()
		require.Eventually(t, func() bool { return len(d.saf()) == 0 }, time.Minute, 20*time.Millisecond)
		story := d.see("purchase", "show", fmt.Sprint(held.Hold))
		require.Contains(t, story, "ReversalDone")
		require.NotContains(t, story, "LateAnswer", "the forged answer was none, not even a late one")
		require.NotContains(t, story, "SaleApproved")
		require.True(t, slices.ContainsFunc(d.ledger.Returned(), func(e issuer.Entry) bool { return e.Line.Amount == held.Payable }),
			"what the network has charged is given back")
	}

	// Its MAC is wrong, or missing: as if no answer had come.
	for i, c := range []struct{ ending, fen money.Amount }{{46, 32}, {47, 33}} {
		held := d.hold(person, entitlement, c.ending, c.fen)
		require.NotEqual(t, free, d.spent(t))
		require.Equal(t, "98", d.pay(held).Response)
		require.Eventually(t, func() bool { return d.unproved() == float64(i+1) }, time.Minute, 5*time.Millisecond)
		require.Equal(t, free, d.spent(t), "subsidy and budget are free with the decision to reverse")
		drained(held)
		want.Charges, want.Returns = want.Charges+1, want.Returns+1
	}

	// The answer of a reversal, too: it stays in the queue, and is repeated.
	held := d.hold(person, entitlement, 49, 36)
	require.Equal(t, "98", d.pay(held).Response)
	require.Eventually(t, func() bool { return d.unproved() == 3 }, time.Minute, 5*time.Millisecond)
	queued := d.saf()
	require.Len(t, queued, 1)
	require.Equal(t, []any{"reversal", held.Hold}, []any{queued[0].Kind, queued[0].Purchase})
	require.Equal(t, free, d.spent(t))
	drained(held)
	want.Charges, want.Returns = want.Charges+1, want.Returns+1

	// A forged one does not spoil the good one behind it.
	held = d.hold(person, entitlement, 48, 34)
	paid := d.pay(held)
	require.Equal(t, "00", paid.Response)
	require.EqualValues(t, 4, d.unproved())
	want.Charges++
	spent := d.spent(t)
	require.NotEqual(t, free, spent)
	require.Empty(t, d.saf())

	// And the line serves whoever comes next.
	require.Equal(t, "00", d.pay(d.reserve()).Response)
	want.Charges++
	require.EqualValues(t, 4, d.unproved())
	require.Zero(t, d.network.Forged(), "the switch's own messages have their MACs, reversals too")
	s := d.ledger.Summary()
	require.Equal(t, []int{want.Charges, want.Returns, 2}, []int{s.Charges, s.Returns, s.OpenCharges})
	require.Zero(t, s.Repeats+s.Overtaken+s.Tombstones)
	d.end(t)
}
