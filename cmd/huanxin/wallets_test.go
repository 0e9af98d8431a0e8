package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"huanxin/internal/money"
	"huanxin/internal/simulator/till"
	simulated "huanxin/internal/simulator/wallet"
	"huanxin/switch/wallet"
)

// testWallet is a simulated wallet in this process, which shares the key of the state folder.
type testWallet struct {
	url    string
	ledger *simulated.Ledger
	notify atomic.Pointer[string] // address of the switch that is told
}

func startWallet(t *testing.T, dir string) *testWallet {
	t.Helper()
	w := &testWallet{ledger: simulated.NewLedger(nil)}
	key, _, err := wallet.OpenKey(filepath.Join(dir, "wallet.key"), rand.Reader)
	require.NoError(t, err)
	rules := simulated.DefaultRules()
	rules.PasswordBy = 50 * time.Millisecond
	server, err := simulated.New(simulated.Config{
		Key: key, Rules: rules, Ledger: w.ledger, Logger: zap.NewNop(), Now: time.Now, Notify: "http://switch/v1/wallets/wallet/notifications",
		Client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: w.dial}},
	})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w.url = "http://" + listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, <-served)
	})
	return w
}

// dial reaches the switch, whose port is known only once it listens.
func (w *testWallet) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	address := w.notify.Load()
	if address == nil {
		return nil, errors.New("no switch is running")
	}
	return new(net.Dialer).DialContext(ctx, network, *address)
}

// purse is a running switch with its wallet, and a till that is signed on.
type purse struct {
	*testSwitch
	wallet *testWallet
	line   *till.Line
	batch  uint32
	stan   uint32
}

func startPurse(t *testing.T) *purse {
	t.Helper()
	network, _ := startNetwork(t)
	dir := t.TempDir()
	w := startWallet(t, dir)
	sw := startSwitch(t, testConfig(t, dir, network, "HUANXIN_HOSTS_WALLET_URL="+w.url, "HUANXIN_HOSTS_WALLET_QUERY_EVERY=3s"))
	address := sw.listener.Addr().String()
	w.notify.Store(&address)
	sw.ready(t, everythingReady)
	p := &purse{testSwitch: sw, wallet: w, line: sw.dial(t), stan: 1}
	signOn := ask(t, p.line, &till.Request{MTI: 0x0800, Net: till.NetSignOn, Terminal: testTerminal, Merchant: testMerchant, STAN: 1})
	require.Equal(t, "00", signOn.Response)
	p.batch = signOn.Batch
	return p
}

// pay sells something for a payment code.
func (p *purse) pay(t *testing.T, amount money.Amount) *till.Answer {
	t.Helper()
	p.stan++
	return ask(t, p.line, &till.Request{
		MTI: 0x0200, Kind: till.KindSale, Terminal: testTerminal, Merchant: testMerchant, Batch: p.batch, STAN: p.stan, Amount: amount,
		Card: &till.Card{Code: "286512345678901234"},
	})
}

func TestPaymentCodeIsChargedAtTheWallet(t *testing.T) {
	p := startPurse(t)
	for _, c := range []struct {
		amount   money.Amount
		response string
	}{
		{10000, "00"}, // at once
		{10071, "00"}, // the payer types the password
		{10074, "00"}, // and the wallet tells twice
		{10027, "00"}, // the answer is lost, the notification is not
		{10072, "00"}, // the notification is lost, the question is not
		{10051, "51"},
		{10054, "54"},
		{10077, "05"}, // the payer gives up
	} {
		answer := p.pay(t, c.amount)
		require.Equal(t, c.response, answer.Response, "%s %s", c.amount, answer.Text)
		entry, ok := p.wallet.ledger.Find(answer.RRN)
		require.True(t, ok, "%s", c.amount)
		require.Equal(t, c.response == "00", entry.Net() == c.amount, "%s", c.amount)
	}
	require.Zero(t, p.wallet.ledger.Summary().Conflicts)
	p.end(t)
}

func TestNotificationsNeedTheWalletsSignature(t *testing.T) {
	p := startPurse(t)
	body := `{"payment":{"payment":"000000000001","status":"paid","amount_fen":100}}`
	send := func(name string, key *wallet.Key) int {
		path := "/v1/wallets/" + name + "/notifications"
		req, err := http.NewRequest(http.MethodPost, "http://"+p.listener.Addr().String()+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		if key != nil {
			key.Sign(req.Header, http.MethodPost, path, []byte(body), time.Now())
		}
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	key, created, err := wallet.OpenKey(p.cfg.Path("wallet.key"), rand.Reader)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, http.StatusNoContent, send("wallet", key), "of a payment that nobody made: taken and passed over")
	require.Equal(t, http.StatusUnauthorized, send("wallet", nil))
	require.Equal(t, http.StatusNotFound, send("unionpay", key))
	p.end(t)
}

func TestReadinessSaysWhatIsWrongWithTheWallet(t *testing.T) {
	network, _ := startNetwork(t)
	dir, elsewhere := t.TempDir(), t.TempDir()
	stranger := startWallet(t, elsewhere)
	sw := startSwitch(t, testConfig(t, dir, network, "HUANXIN_HOSTS_WALLET_URL="+stranger.url))
	sw.ready(t, func(status int, parts map[string]bool) bool {
		return status == http.StatusServiceUnavailable && parts["host unionpay"] && !parts["host wallet"]
	})
	require.Eventually(t, func() bool { return strings.Contains(sw.wallets.Down()["wallet"].Error(), "signature") },
		time.Minute, 20*time.Millisecond)
	sw.end(t)
}

func TestKeyOfAWalletThatOthersMayReadIsRefused(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(t, dir, "127.0.0.1:1")
	require.NoError(t, os.Chmod(filepath.Join(dir, "wallet.key"), 0o644))
	_, err := newSwitch(t.Context(), cfg, "", zap.NewNop())
	require.ErrorContains(t, err, "hosts.wallet.key-file: ")
}
