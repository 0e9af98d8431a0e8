package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"huanxin/switch/transport/transporttest"
)

type site struct {
	dir    string
	ca     *transporttest.Authority
	server Config
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	ca, err := transporttest.New(dir, "ca")
	require.NoError(t, err)
	s := &site{dir: dir, ca: ca}
	s.server = Config{Name: "port"}
	s.server.Certificate, s.server.Key = s.issue(t, "server", transporttest.Subject{DNS: []string{"switch.test"}})
	return s
}

func (s *site) issue(t *testing.T, file string, subject transporttest.Subject) (cert, key string) {
	t.Helper()
	cert, key, err := s.ca.Issue(file, subject)
	require.NoError(t, err)
	return cert, key
}

// client is a link whose own certificate says subject; nil: it has none.
func (s *site) client(t *testing.T, subject *transporttest.Subject) *Client {
	t.Helper()
	cfg := Config{Name: "link", CA: s.ca.File, ServerName: "switch.test"}
	if subject != nil {
		cfg.Certificate, cfg.Key = s.issue(t, "client", *subject)
	}
	c, err := NewClient(cfg)
	require.NoError(t, err)
	return c
}

func (s *site) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// shakeHands returns what each side has to say about one handshake. In TLS 1.3 a client learns with its first read that it was refused.
func shakeHands(t *testing.T, server, client *tls.Config) (state, seen tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	type end struct {
		err   error
		state tls.ConnectionState
	}
	ended := make(chan end, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			ended <- end{err: err}
			return
		}
		c := tls.Server(nc, server)
		err = c.HandshakeContext(context.Background())
		if err == nil {
			_, err = c.Write([]byte{1})
		}
		_ = c.Close()
		ended <- end{err, c.ConnectionState()}
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), client)
	if err == nil {
		seen = c.ConnectionState()
		_, err = c.Read(make([]byte, 1))
		_ = c.Close()
	}
	e := <-ended
	return e.state, seen, err, e.err
}

func TestVersionsAndSuitesFollowThePolicy(t *testing.T) {
	s := newSite(t)
	server, err := NewServer(s.server)
	require.NoError(t, err)
	client := s.client(t, nil).TLS("ignored")

	state, _, clientErr, serverErr := shakeHands(t, server.TLS(), client)
	require.NoError(t, serverErr)
	require.NoError(t, clientErr)
	require.Equal(t, uint16(tls.VersionTLS13), state.Version)

	old := client.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	_, _, _, serverErr = shakeHands(t, server.TLS(), old)
	require.Error(t, serverErr)

	cbc := client.Clone()
	cbc.MaxVersion, cbc.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	_, _, _, serverErr = shakeHands(t, server.TLS(), cbc)
	require.Error(t, serverErr, "not among the default suites")

	s.server.Ciphers = []string{"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"}
	narrow, err := NewServer(s.server)
	require.NoError(t, err)
	twelve := client.Clone()
	twelve.MaxVersion = tls.VersionTLS12
	state, _, _, serverErr = shakeHands(t, narrow.TLS(), twelve)
	require.NoError(t, serverErr)
	require.Equal(t, uint16(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384), state.CipherSuite)

	s.server.MinVersion = "1.3"
	strict, err := NewServer(s.server)
	require.NoError(t, err)
	_, _, _, serverErr = shakeHands(t, strict.TLS(), twelve)
	require.Error(t, serverErr)
}

func TestPolicyRefusesWhatIsNotSound(t *testing.T) {
	require.NoError(t, CheckPolicy("", nil))
	require.NoError(t, CheckPolicy("1.3", DefaultCiphers()))
	require.ErrorContains(t, CheckPolicy("1.1", nil), "1.1")
	require.ErrorContains(t, CheckPolicy("1.2", []string{"TLS_RSA_WITH_AES_128_GCM_SHA256"}), "TLS_RSA_WITH_AES_128_GCM_SHA256")
	require.ErrorContains(t, CheckPolicy("1.2", []string{"TLS_RSA_WITH_3DES_EDE_CBC_SHA"}), "3DES")
	require.ErrorContains(t, CheckPolicy("1.2", []string{"TLS_AES_128_GCM_SHA256"}), "TLS_AES", "those of 1.3 are not chosen")
}

func TestIdentitySaysWhichTerminalsAPeerMaySpeakFor(t *testing.T) {
	bindings := `# who            terminals
urn:pos:chain-7    10016919 T0*
urn:pos:chain-7    10016920
pos.example.CN     88880001
chain seven        never: a blank sets words apart
`
	for _, c := range []struct {
		name, identity, bindings string
		subject                  transporttest.Subject
		is                       string
		may, mayNot              []string
	}{
		{"URI bound to a list and a beginning", ByURI, bindings, transporttest.Subject{URIs: []string{"urn:else", "urn:pos:chain-7"}},
			"urn:pos:chain-7", []string{"10016919", "10016920", "T0", "T0000001"}, []string{"10016918", "T1", "88880001", ""}},
		{"DNS name in either case", ByDNS, bindings, transporttest.Subject{DNS: []string{"POS.example.cn"}},
			"pos.example.cn", []string{"88880001", "88880001  "}, []string{"10016919"}},
		{"common name by itself", ByCN, "", transporttest.Subject{CN: "10016919"}, "10016919", []string{"10016919"}, []string{"1001691", "100169190", ""}},
		{"common name with a stroke as a whole", ByCN, "", transporttest.Subject{CN: "shop/10016919"}, "shop/10016919", []string{"shop/10016919"}, []string{"10016919", "shop"}},
		{"common name with a colon as a whole", ByCN, "", transporttest.Subject{CN: "10016918:10016919"},
			"10016918:10016919", []string{"10016918:10016919"}, []string{"10016919", "10016918"}},
		{"last part of a URI by itself", ByURI, "", transporttest.Subject{URIs: []string{"spiffe://pay.example/terminal/10016919"}},
			"spiffe://pay.example/terminal/10016919", []string{"10016919"}, []string{"terminal", "10016918"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.server.CA, s.server.Required, s.server.Identity = s.ca.File, true, c.identity
			if c.bindings != "" {
				s.server.Bindings = s.write(t, "bindings", c.bindings)
			}
			server, err := NewServer(s.server)
			require.NoError(t, err)
			state, _, clientErr, serverErr := shakeHands(t, server.TLS(), s.client(t, &c.subject).TLS(""))
			require.NoError(t, serverErr)
			require.NoError(t, clientErr)
			p := server.Peer(state)
			require.Equal(t, c.is, p.Identity())
			for _, terminal := range c.may {
				require.True(t, p.Admits([]byte(terminal)), terminal)
			}
			for _, terminal := range c.mayNot {
				require.False(t, p.Admits([]byte(terminal)), terminal)
			}
			id := []byte(c.may[0])
			require.Zero(t, testing.AllocsPerRun(100, func() { p.Admits(id) }))
		})
	}
}

func TestStrangersAreRefusedInTheHandshake(t *testing.T) {
	s := newSite(t)
	s.server.CA, s.server.Required = s.ca.File, true
	s.server.Bindings = s.write(t, "bindings", "urn:pos:1 10016919\n")
	server, err := NewServer(s.server)
	require.NoError(t, err)

	_, _, _, serverErr := shakeHands(t, server.TLS(), s.client(t, nil).TLS(""))
	require.Error(t, serverErr, "no certificate")
	_, _, _, serverErr = shakeHands(t, server.TLS(), s.client(t, &transporttest.Subject{URIs: []string{"urn:pos:2"}}).TLS(""))
	require.ErrorIs(t, serverErr, errStranger)

	other := newSite(t)
	foreign := other.client(t, &transporttest.Subject{URIs: []string{"urn:pos:1"}}).TLS("")
	foreign.RootCAs = s.client(t, nil).TLS("").RootCAs
	_, _, _, serverErr = shakeHands(t, server.TLS(), foreign)
	require.Error(t, serverErr, "another authority")

	ended := s.client(t, &transporttest.Subject{URIs: []string{"urn:pos:1"}}).TLS("")
	late := time.Now().Add(-time.Hour)
	cert, key := s.issue(t, "late", transporttest.Subject{URIs: []string{"urn:pos:1"}, NotAfter: late})
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	ended.Certificates = []tls.Certificate{pair}
	_, _, _, serverErr = shakeHands(t, server.TLS(), ended)
	require.Error(t, serverErr, "an ended certificate")

	s.server.Bindings = ""
	bare, err := NewServer(s.server)
	require.NoError(t, err)
	for _, uri := range []string{"urn:pos:", "https://pos.example/10016918?as=/10016919", "https://pos.example/10016918#:10016919", "urn:pos:10016918?10016919"} {
		_, _, _, serverErr = shakeHands(t, bare.TLS(), s.client(t, &transporttest.Subject{URIs: []string{uri}}).TLS(""))
		require.ErrorIs(t, serverErr, errStranger, uri)
	}
}

// Go takes the last of several common names, others the first: whoever gets one of them signed must not be another by a second.
func TestOfSeveralCommonNamesNoneIsAnIdentity(t *testing.T) {
	cn := func(value string) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: oidCommonName, Value: value}
	}
	one := &x509.Certificate{Subject: pkix.Name{CommonName: "10016919", Names: []pkix.AttributeTypeAndValue{cn("10016919")}}}
	require.Equal(t, []string{"10016919"}, identities(one, ByCN))
	two := &x509.Certificate{Subject: pkix.Name{CommonName: "10016919", Names: []pkix.AttributeTypeAndValue{cn("10016918"), cn("10016919")}}}
	require.Empty(t, identities(two, ByCN))
}

func TestWithoutCertificateNobodySpeaksForWhoIsBound(t *testing.T) {
	s := newSite(t)
	s.server.CA = s.ca.File
	s.server.Bindings = s.write(t, "bindings", "urn:pos:1 10016919 T0*\n")
	server, err := NewServer(s.server)
	require.NoError(t, err)
	state, _, _, serverErr := shakeHands(t, server.TLS(), s.client(t, nil).TLS(""))
	require.NoError(t, serverErr)
	p := server.Peer(state)
	require.Empty(t, p.Identity())
	require.True(t, p.Admits([]byte("10016918")))
	require.False(t, p.Admits([]byte("10016919")))
	require.False(t, p.Admits([]byte("T0000009")))

	s.server.CA, s.server.Bindings = "", ""
	open, err := NewServer(s.server)
	require.NoError(t, err)
	require.Nil(t, open.Peer(state))
	require.True(t, open.Peer(state).Admits([]byte("10016919")))
	require.Empty(t, open.Peer(state).Identity())
}

func TestEveryConnectionProvesItselfAnew(t *testing.T) {
	for _, asked := range []bool{false, true} {
		s := newSite(t)
		if asked {
			s.server.CA, s.server.Identity = s.ca.File, ByCN
		}
		server, err := NewServer(s.server)
		require.NoError(t, err)
		client := s.client(t, &transporttest.Subject{CN: "10016919"}).TLS("")
		client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		_, first, _, _ := shakeHands(t, server.TLS(), client)
		require.False(t, first.DidResume)
		_, second, _, _ := shakeHands(t, server.TLS(), client)
		require.Equal(t, !asked, second.DidResume)
	}
}

func TestClientRefusesAnotherServer(t *testing.T) {
	s := newSite(t)
	server, err := NewServer(s.server)
	require.NoError(t, err)
	c, err := NewClient(Config{Name: "link", CA: s.ca.File})
	require.NoError(t, err)
	_, _, clientErr, _ := shakeHands(t, server.TLS(), c.TLS("bank.test"))
	require.ErrorContains(t, clientErr, "bank.test")
	_, _, clientErr, _ = shakeHands(t, server.TLS(), c.TLS("switch.test"))
	require.NoError(t, clientErr)
	systems, err := NewClient(Config{Name: "link"})
	require.NoError(t, err)
	_, _, clientErr, _ = shakeHands(t, server.TLS(), systems.TLS("switch.test"))
	require.Error(t, clientErr, "the system trusts no such authority")
}

func TestNewCertificateServesNewConnectionsAndABrokenOneDoesNot(t *testing.T) {
	s := newSite(t)
	server, err := NewServer(s.server)
	require.NoError(t, err)
	client := s.client(t, nil).TLS("")
	serial := func() int64 {
		_, seen, clientErr, serverErr := shakeHands(t, server.TLS(), client)
		require.NoError(t, serverErr)
		require.NoError(t, clientErr)
		return seen.PeerCertificates[0].SerialNumber.Int64()
	}
	first := serial()
	changed, err := server.Reload()
	require.NoError(t, err)
	require.False(t, changed)

	s.issue(t, "server", transporttest.Subject{DNS: []string{"switch.test"}, NotAfter: time.Now().AddDate(0, 6, 0)})
	expires := server.Expires()
	changed, err = server.Reload()
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, first+1, serial())
	require.True(t, server.Expires().Before(expires))

	for name, spoil := range map[string]func(){
		"no PEM":         func() { s.write(t, "server.pem", "not a certificate") },
		"gone":           func() { require.NoError(t, os.Remove(s.server.Certificate)) },
		"of another key": func() { other := newSite(t); copyFile(t, other.server.Certificate, s.server.Certificate) },
		"ended": func() {
			s.issue(t, "server", transporttest.Subject{DNS: []string{"switch.test"}, NotAfter: time.Now().Add(-time.Minute)})
		},
		"key for everybody to read": func() { require.NoError(t, os.Chmod(s.server.Key, 0o644)) },
	} {
		saved := s.save(t)
		spoil()
		s.touch(t)
		changed, err = server.Reload()
		require.ErrorIs(t, err, ErrConfig, name)
		require.ErrorContains(t, err, "port")
		require.False(t, changed)
		require.Equal(t, first+1, serial(), name)
		s.restore(t, saved)
	}
	s.touch(t)
	changed, err = server.Reload()
	require.NoError(t, err)
	require.True(t, changed)
}

func (s *site) save(t *testing.T) (saved [2][]byte) {
	t.Helper()
	for i, path := range []string{s.server.Certificate, s.server.Key} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		saved[i] = text
	}
	return saved
}

func (s *site) restore(t *testing.T, saved [2][]byte) {
	t.Helper()
	for i, path := range []string{s.server.Certificate, s.server.Key} {
		require.NoError(t, os.RemoveAll(path))
		require.NoError(t, os.WriteFile(path, saved[i], 0o600))
	}
}

// touch makes sure that the files look changed, however coarse the file system's clock is.
func (s *site) touch(t *testing.T) {
	t.Helper()
	info, err := os.Stat(s.server.Key)
	require.NoError(t, err)
	require.NoError(t, os.Chtimes(s.server.Key, time.Time{}, info.ModTime().Add(time.Second)))
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, text, 0o600))
}

func TestPollWaitsUntilTheFilesHaveSettled(t *testing.T) {
	s := newSite(t)
	server, err := NewServer(s.server)
	require.NoError(t, err)
	poll := func() bool {
		t.Helper()
		changed, err := server.Poll()
		require.NoError(t, err)
		return changed
	}
	require.False(t, poll())
	s.issue(t, "server", transporttest.Subject{DNS: []string{"switch.test"}})
	require.False(t, poll(), "seen once")
	s.issue(t, "server", transporttest.Subject{DNS: []string{"switch.test"}})
	require.False(t, poll(), "it has changed again")
	require.True(t, poll())
	require.False(t, poll())

	s.write(t, "server.pem", "broken")
	require.False(t, poll())
	_, err = server.Poll()
	require.ErrorIs(t, err, ErrConfig)
	require.False(t, poll(), "what was refused is not tried again")
}

func TestWatcherLogsWhatItRefusesAndCounts(t *testing.T) {
	s := newSite(t)
	server, err := NewServer(s.server)
	require.NoError(t, err)
	core, logs := observer.New(zap.InfoLevel)
	reg := prometheus.NewRegistry()
	w, err := NewWatcher([]Endpoint{server}, reg, zap.New(core))
	require.NoError(t, err)

	s.write(t, "server.pem", "broken")
	w.look(Endpoint.Reload)
	require.Equal(t, 1, logs.FilterMessageSnippet("refused").Len())
	require.Equal(t, 1.0, value(t, w.reloads.WithLabelValues("port", "refused")))

	s.issue(t, "server", transporttest.Subject{DNS: []string{"switch.test"}, NotAfter: time.Now().Add(48 * time.Hour)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	w.Nudge()
	require.Eventually(t, func() bool { return logs.FilterMessageSnippet("read again").Len() == 1 }, 10*time.Second, time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	require.Equal(t, 1, logs.FilterMessageSnippet("ends soon").Len())
	require.Equal(t, float64(server.Expires().Unix()), value(t, w.expires.WithLabelValues("port")))
}

func value(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	require.NoError(t, m.Write(&out))
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}

func TestBindingsCanBeTakenAway(t *testing.T) {
	s := newSite(t)
	s.server.CA, s.server.Required = s.ca.File, true
	s.server.Bindings = s.write(t, "bindings", "urn:pos:1 10016919\nurn:pos:2 10016920\n")
	server, err := NewServer(s.server)
	require.NoError(t, err)
	client := s.client(t, &transporttest.Subject{URIs: []string{"urn:pos:1"}}).TLS("")
	state, _, _, serverErr := shakeHands(t, server.TLS(), client)
	require.NoError(t, serverErr)
	s.write(t, "bindings", "urn:pos:2 10016920\n")
	_, err = server.Reload()
	require.NoError(t, err)
	require.False(t, server.Peer(state).Admits([]byte("10016919")), "bound when its handshake began")
	require.False(t, server.Peer(state).Admits([]byte("10016918")))
	_, _, _, serverErr = shakeHands(t, server.TLS(), client)
	require.ErrorIs(t, serverErr, errStranger)
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	s := newSite(t)
	for want, change := range map[string]func(*Config){
		"no certificate":       func(c *Config) { c.Certificate, c.Key = "", "" },
		"go together":          func(c *Config) { c.Key = "" },
		"no authority":         func(c *Config) { c.Required = true },
		"identities are bound": func(c *Config) { c.Bindings = "x" },
		"DNS name":             func(c *Config) { c.CA, c.Identity = s.ca.File, ByDNS },
		`identity "ip"`:        func(c *Config) { c.Identity = "ip" },
		`version "1.1"`:        func(c *Config) { c.MinVersion = "1.1" },
		"cipher suite":         func(c *Config) { c.Ciphers = []string{"RC4"} },
		"no Name":              func(c *Config) { c.Name = "" },
		"no such file":         func(c *Config) { c.CA = filepath.Join(s.dir, "none") },
		"holds no certificate": func(c *Config) { c.CA = c.Key },
		"no identity is bound": func(c *Config) { c.CA, c.Bindings = s.ca.File, s.write(t, "empty", "# none\n") },
		"line 2":               func(c *Config) { c.CA, c.Bindings = s.ca.File, s.write(t, "short", "a b\nc\n") },
		"end of a name":        func(c *Config) { c.CA, c.Bindings = s.ca.File, s.write(t, "star", "a b*c\n") },
		"more than 64 beginning": func(c *Config) {
			c.CA, c.Bindings = s.ca.File, s.write(t, "stars", "a "+strings.Repeat("b* ", 65)+"\n")
		},
	} {
		cfg := s.server
		change(&cfg)
		_, err := NewServer(cfg)
		require.ErrorIs(t, err, ErrConfig, want)
		require.ErrorContains(t, err, want)
	}
}

func FuzzParseBindings(f *testing.F) {
	f.Add([]byte("urn:pos:1 10016919 T0*\n# x\n\nb *\n"))
	f.Add([]byte("a b*c\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := ParseBindings(text, ByDNS)
		if err != nil {
			return
		}
		for identity, g := range b.grants {
			for name := range g.exact {
				require.True(t, g.has([]byte(name)), identity)
				require.True(t, b.bound.has([]byte(name)), identity)
			}
			for _, beginning := range g.prefixes {
				require.True(t, g.has([]byte(beginning+"x")), identity)
			}
		}
	})
}
