package gateway

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/transport"
	"huanxin/switch/transport/transporttest"
)

// secureSite is an authority, a port's configuration and who trusts it.
func secureSite(t *testing.T) (*transporttest.Authority, transport.Config, *tls.Config) {
	t.Helper()
	ca, err := transporttest.New(t.TempDir(), "ca")
	require.NoError(t, err)
	cfg := transport.Config{Name: "http"}
	cfg.Certificate, cfg.Key, err = ca.Issue("server", transporttest.Subject{IPs: []string{"127.0.0.1"}})
	require.NoError(t, err)
	text, err := os.ReadFile(ca.File)
	require.NoError(t, err)
	trust := x509.NewCertPool()
	require.True(t, trust.AppendCertsFromPEM(text))
	return ca, cfg, &tls.Config{RootCAs: trust}
}

// claimOver sends one claim on a connection and returns its status and the server's certificate's number.
func claimOver(t *testing.T, c *tls.Conn, token string) int {
	t.Helper()
	r := claimRequest(claimBody)
	r.Header.Set("Authorization", "Bearer "+token)
	r.RequestURI, r.URL.Scheme, r.URL.Host = "", "https", "switch"
	require.NoError(t, r.Write(c))
	answer, err := http.ReadResponse(bufio.NewReader(c), r)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, answer.Body)
	require.NoError(t, err)
	return answer.StatusCode
}

func TestServerSpeaksTLSAndTakesNewCertificatesWhileConnectionsStand(t *testing.T) {
	ca, cfg, client := secureSite(t)
	secure, err := transport.NewServer(cfg)
	require.NoError(t, err)
	b := newBench(t, exchange{reply: claimed(1)}, exchange{reply: claimed(1)}, exchange{reply: claimed(1)})
	s, address, served := serveOn(t, ServerConfig{TLS: secure}, b.g)

	before, err := tls.Dial("tcp", address, client)
	require.NoError(t, err)
	require.Equal(t, 201, claimOver(t, before, sampleToken))
	_, _, err = ca.Issue("server", transporttest.Subject{IPs: []string{"127.0.0.1"}})
	require.NoError(t, err)
	changed, err := secure.Reload()
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, 201, claimOver(t, before, sampleToken), "what stands goes on")
	after, err := tls.Dial("tcp", address, client)
	require.NoError(t, err)
	defer after.Close()
	require.Equal(t, 201, claimOver(t, after, sampleToken))
	require.NotEqual(t, before.ConnectionState().PeerCertificates[0].SerialNumber, after.ConnectionState().PeerCertificates[0].SerialNumber)

	plain, err := net.Dial("tcp", address)
	require.NoError(t, err)
	_, err = io.WriteString(plain, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, plain)
	require.NoError(t, err)
	require.NoError(t, plain.Close())
	require.Equal(t, 2.0, counted(t, b.g.metrics.secured))
	require.Equal(t, 1.0, counted(t, b.g.metrics.refused))

	require.NoError(t, before.Close())
	require.NoError(t, s.Close())
	require.NoError(t, <-served)
	_, err = after.Read(make([]byte, 1))
	require.Error(t, err, "Close ends all connections")
}

func TestTokenIsGoodUnderItsOwnersCertificateOnly(t *testing.T) {
	ca, cfg, client := secureSite(t)
	cfg.CA, cfg.Required, cfg.Identity = ca.File, true, transport.ByCN
	secure, err := transport.NewServer(cfg)
	require.NoError(t, err)
	b := newBench(t, exchange{reply: claimed(1)})
	_, address, _ := serveOn(t, ServerConfig{TLS: secure}, b.g)
	cert, key, err := ca.Issue("sample", transporttest.Subject{CN: "sample"})
	require.NoError(t, err)
	own, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	client.Certificates = []tls.Certificate{own}
	c, err := tls.Dial("tcp", address, client)
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, 401, claimOver(t, c, otherToken))
	require.Equal(t, 201, claimOver(t, c, sampleToken))
}
