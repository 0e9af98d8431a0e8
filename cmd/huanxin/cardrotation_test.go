package main

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"huanxin/internal/money"
	"huanxin/internal/simulator/issuer"
	"huanxin/internal/simulator/till"
	"huanxin/switch/control"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/store"
	"huanxin/switch/wire"
)

// Cards that were sealed under a key are opened for their reversals when another has long taken its place, of another cipher, in the
// running switch and after a restart.
func TestCardKeysRotateWhileReversalsWait(t *testing.T) {
	rules, ledger := issuer.DefaultRules(), issuer.NewLedger(nil)
	network, err := issuer.New(issuer.Config{
		Framing: wire.CUP, Codec: cupCodec(t), Rules: rules, Ledger: ledger, Logger: zap.NewNop(), Now: time.Now,
	})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- network.Serve(listener) }()
	t.Cleanup(func() { network.Close(); require.NoError(t, <-served) })
	d := openDeskAt(t, listener.Addr().String(), "HUANXIN_DATABASE_ENABLED=false", "HUANXIN_HOSTS_UNIONPAY_TIMEOUT=2s",
		"HUANXIN_HOSTS_UNIONPAY_REVERSAL_RETRY_MIN=1s", "HUANXIN_HOSTS_UNIONPAY_REVERSAL_RETRY_MAX=1s")
	sell := func(amount money.Amount) { // charged, and no reversal arrives before POST /reversals
		require.Equal(t, "98", d.tell(till.Request{MTI: 0x0200, Kind: till.KindSale, Amount: amount,
			Card: &till.Card{PAN: till.NewPAN(uint64(amount)), Expiry: "3012"}}).Response)
	}
	rotate := func(to hsm.Algorithm, id string) {
		editKeys(t, keyStore(d.cfg), func(e *store.Edit) error { _, err := e.Rotate("card", to, false); return err })
		client, err := control.NewClient(d.cfg.Path(d.cfg.Control.Socket))
		require.NoError(t, err)
		done, err := client.ReloadKeys(t.Context())
		require.NoError(t, err)
		require.Equal(t, id, done.CardKey)
	}
	sell(10034)
	rotate(hsm.SM4, "c2")
	sell(10134)
	rotate(hsm.AES, "c3")
	sell(10234)
	d.testSwitch.end(t)

	sw := startSwitch(t, d.cfg)
	sw.ready(t, func(_ int, parts map[string]bool) bool { return parts["programme"] && parts["host unionpay"] })
	require.Len(t, ledger.Open(), 3)
	network.AnswerReversals()
	require.Eventually(t, func() bool { return len(ledger.Returned()) == 3 }, time.Minute, 20*time.Millisecond)
	for _, e := range ledger.Returned() {
		require.Equal(t, issuer.CardToken(till.NewPAN(uint64(e.Line.Amount))), e.Line.Card, fmt.Sprint(e.Line.Amount))
	}
	sw.end(t)
}
