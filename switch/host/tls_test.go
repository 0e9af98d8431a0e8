package host

import (
	"crypto/tls"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/transport"
	"huanxin/switch/transport/transporttest"
	"huanxin/switch/wire"
)

func TestLinkSpeaksTLSWithTheHostItIsBoundTo(t *testing.T) {
	ca, err := transporttest.New(t.TempDir(), "ca")
	require.NoError(t, err)
	port := transport.Config{Name: "network", CA: ca.File, Required: true, Identity: transport.ByCN}
	port.Certificate, port.Key, err = ca.Issue("network", transporttest.Subject{DNS: []string{"acquirer.network.test"}})
	require.NoError(t, err)
	network, err := transport.NewServer(port)
	require.NoError(t, err)
	link := transport.Config{Name: "unionpay", CA: ca.File, ServerName: "acquirer.network.test"}
	link.Certificate, link.Key, err = ca.Issue("switch", transporttest.Subject{CN: "switch"})
	require.NoError(t, err)
	client, err := transport.NewClient(link)
	require.NoError(t, err)

	r := start(t, "cup", wire.CUP, func(c *Config) { c.TLS = client })
	p := r.network.accept()
	secure := tls.Server(p.nc, network.TLS())
	p.nc = secure
	p.logOn()
	r.server.up()
	require.Equal(t, "switch", network.Peer(secure.ConnectionState()).Identity())
	r.send(r.sale(7))
	p.answer(p.next(), "00")
	require.Equal(t, "00", r.server.answered().Answer.Response)
}

func TestLinkRefusesAnotherHost(t *testing.T) {
	ca, err := transporttest.New(t.TempDir(), "ca")
	require.NoError(t, err)
	port := transport.Config{Name: "network"}
	port.Certificate, port.Key, err = ca.Issue("network", transporttest.Subject{DNS: []string{"elsewhere.test"}})
	require.NoError(t, err)
	network, err := transport.NewServer(port)
	require.NoError(t, err)
	client, err := transport.NewClient(transport.Config{Name: "unionpay", CA: ca.File, ServerName: "acquirer.network.test"})
	require.NoError(t, err)
	r := start(t, "cup", wire.CUP, func(c *Config) { c.TLS = client })
	for range 2 {
		p := r.network.accept()
		require.Error(t, tls.Server(p.nc, network.TLS()).Handshake())
		require.NoError(t, p.nc.Close())
	}
	require.Equal(t, []string{"unionpay"}, r.hosts.Down())
	require.GreaterOrEqual(t, counted(t, r.metrics.connects.WithLabelValues("unionpay", "tls")), 1.0)
	require.Zero(t, counted(t, r.metrics.connects.WithLabelValues("unionpay", "up")))
}
