package wallet

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"huanxin/switch/transport"
	"huanxin/switch/transport/transporttest"
)

// A wallet that asks for a certificate gets ours, and one that is not who it says gets nothing.
func TestWalletIsReachedUnderTheTLSOfItsProfile(t *testing.T) {
	ca, err := transporttest.New(t.TempDir(), "ca")
	require.NoError(t, err)
	port := transport.Config{Name: "wallet", CA: ca.File, Required: true, Identity: transport.ByCN}
	port.Certificate, port.Key, err = ca.Issue("wallet", transporttest.Subject{DNS: []string{"wallet.test"}})
	require.NoError(t, err)
	secure, err := transport.NewServer(port)
	require.NoError(t, err)
	link := transport.Config{Name: "wallet", CA: ca.File, ServerName: "wallet.test"}
	link.Certificate, link.Key, err = ca.Issue("switch", transporttest.Subject{CN: "switch"})
	require.NoError(t, err)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(Problem{ErrorNotFound}) // how a wallet answers a probe
	})}
	go func() { served <- server.Serve(tls.NewListener(listener, secure.TLS())) }()

	probe := func(change func(*transport.Config)) error {
		cfg := link
		if change != nil {
			change(&cfg)
		}
		client, err := transport.NewClient(cfg)
		require.NoError(t, err)
		links, err := New([]Config{{Name: walletName, URL: "https://" + listener.Addr().String() + "/base", Key: testKey(t), TLS: client}},
			Deps{Logger: zap.NewNop(), Metrics: testMetrics(t), Now: time.Now})
		require.NoError(t, err)
		return links.links[walletName].probe(t.Context())
	}
	require.NoError(t, probe(nil))
	require.ErrorContains(t, probe(func(c *transport.Config) { c.ServerName = "other.test" }), "other.test")
	require.Error(t, probe(func(c *transport.Config) { c.Certificate, c.Key = "", "" }), "the wallet asks for a certificate")
	require.NoError(t, server.Close())
	require.ErrorIs(t, <-served, http.ErrServerClosed)
}
