package terminal

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/transport"
	"huanxin/switch/transport/transporttest"
)

// A concentrator proves who it is once, and speaks for the terminals that it is bound to and for no other, whatever it asks.
func TestCertificateSpeaksForItsOwnTerminalsOnly(t *testing.T) {
	dir := t.TempDir()
	ca, err := transporttest.New(dir, "ca")
	require.NoError(t, err)
	cfg := transport.Config{Name: "cup", CA: ca.File, Required: true, Bindings: dir + "/bindings"}
	cfg.Certificate, cfg.Key, err = ca.Issue("server", transporttest.Subject{DNS: []string{"switch.test"}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cfg.Bindings, []byte("urn:pos:chain-7 2101*\n"), 0o600))
	secure, err := transport.NewServer(cfg)
	require.NoError(t, err)
	cert, key, err := ca.Issue("chain", transporttest.Subject{URIs: []string{"urn:pos:chain-7"}})
	require.NoError(t, err)
	own, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	text, err := os.ReadFile(ca.File)
	require.NoError(t, err)
	trust := x509.NewCertPool()
	require.True(t, trust.AppendCertsFromPEM(text))

	b := newBench(t, func(c *Config) { c.Ports[0].TLS = secure })
	c := tls.Client(b.dial(), &tls.Config{RootCAs: trust, ServerName: "switch.test", Certificates: []tls.Certificate{own}})
	for range 3 {
		b.send(c, echo)
		require.Equal(t, "00", b.receive(c)[39])
	}
	taken := b.engine.count()
	for _, request := range []fields{echo, signOn, reserve, cancel, sale, reversal} {
		b.send(c, request.with(fields{41: "21020001"}))
		require.Equal(t, "97", b.receive(c)[39], request[0])
	}
	require.Equal(t, taken, b.engine.count(), "nothing reaches the engine")
	require.Equal(t, 6.0, b.metric("huanxin_terminal_impostors_total"))
	require.NoError(t, c.CloseWrite())
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)

	bare := tls.Client(b.dial(), &tls.Config{RootCAs: trust, ServerName: "switch.test"})
	_ = bare.Handshake() // in TLS 1.3 the client's part of it succeeds
	_, err = bare.Read(make([]byte, 1))
	require.Error(t, err, "a certificate is required")
}
