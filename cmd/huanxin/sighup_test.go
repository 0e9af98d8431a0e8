package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"huanxin/internal/simulator/till"
	"huanxin/switch/transport/transporttest"
	"huanxin/switch/wire"
)

// tlsDoor is one port of a switch that speaks TLS, and a client that stays connected to it.
type tlsDoor struct {
	name, file string
	address    string
	again      func() // over the connection that was opened first
}

// A certificate is renewed while terminals and shops are connected: whoever comes gets the new one, nobody is cut off, and a file
// that cannot serve changes nothing.
func TestSIGHUPTakesNewCertificatesOfEveryPort(t *testing.T) {
	dir := t.TempDir()
	ca, err := transporttest.New(dir, "ca")
	require.NoError(t, err)
	issue := func(file string) {
		_, _, err := ca.Issue(file, transporttest.Subject{DNS: []string{"switch.test"}})
		require.NoError(t, err)
	}
	settings := []string{"HUANXIN_DATABASE_ENABLED=false"}
	for key, file := range map[string]string{"LISTENERS_CUP": "cup", "LISTENERS_NAC": "nac", "LISTENERS_SECURE": "secure", "HTTP": "http"} {
		issue(file)
		settings = append(settings, "HUANXIN_"+key+"_TLS_CERTIFICATE="+filepath.Join(dir, file+".pem"), "HUANXIN_"+key+"_TLS_KEY="+filepath.Join(dir, file+".key"),
			"HUANXIN_"+key+"_TLS_CLIENT_REQUIRED=false")
	}
	text, err := os.ReadFile(ca.File)
	require.NoError(t, err)
	trust := x509.NewCertPool()
	require.True(t, trust.AppendCertsFromPEM(text))
	client := &tls.Config{RootCAs: trust, ServerName: "switch.test"}

	signals := make(chan os.Signal, 16) // the signal must not end the test's own process, should the switch not listen yet
	signal.Notify(signals, syscall.SIGHUP)
	defer signal.Stop(signals)

	network, _ := startNetwork(t)
	core, logs := observer.New(zap.InfoLevel)
	sw, err := newSwitch(t.Context(), testConfig(t, t.TempDir(), network, settings...), "", zap.New(core))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := &testSwitch{Switch: sw, stop: cancel, ended: make(chan error, 1)}
	go func() { s.ended <- sw.Run(ctx) }()

	shop := &http.Client{Transport: &http.Transport{TLSClientConfig: client, MaxIdleConns: 1}}
	call := func() (reused bool, err error) {
		trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet,
			"https://"+s.listener.Addr().String()+"/readyz", nil)
		require.NoError(t, err)
		res, err := shop.Do(req)
		if err != nil {
			return false, err
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err == nil && res.StatusCode != http.StatusOK {
			err = errors.New(res.Status)
		}
		return reused, errors.Join(err, res.Body.Close())
	}
	require.Eventually(t, func() bool { _, err := call(); return err == nil }, time.Minute, 20*time.Millisecond)

	doors := []tlsDoor{{name: "http", file: "http", address: s.listener.Addr().String(), again: func() {
		reused, err := call()
		require.NoError(t, err)
		require.True(t, reused, "the connection before is still good")
	}}}
	for _, listener := range []string{"cup", "nac", "secure"} {
		framing := wire.CUP
		if listener == "nac" {
			framing = wire.NAC
		}
		address := s.front.Addr(listener).String()
		line, err := till.DialLine(t.Context(), till.LineConfig{Address: address, Framing: framing, Codec: cupCodec(t), TLS: client})
		require.NoError(t, err)
		defer line.Close()
		stan := uint32(0)
		doors = append(doors, tlsDoor{name: "listeners." + listener, file: listener, address: address, again: func() {
			stan++
			answer := ask(t, line, &till.Request{MTI: 0x0820, Net: till.NetEcho, Terminal: testTerminal, Merchant: testMerchant, STAN: stan})
			require.Equal(t, "00", answer.Response)
		}})
	}
	serial := func(d *tlsDoor) *big.Int {
		c, err := tls.Dial("tcp", d.address, client)
		require.NoError(t, err)
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber
	}
	hangUp := func() { require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP)) }
	said := func(message, name string) int {
		return logs.FilterMessageSnippet(message).FilterField(zap.String("name", name)).Len()
	}

	before := map[string]*big.Int{}
	for i := range doors {
		doors[i].again()
		before[doors[i].name] = serial(&doors[i])
		issue(doors[i].file)
	}
	hangUp()
	for i := range doors {
		d := &doors[i]
		require.Eventually(t, func() bool { return said("read again", d.name) == 1 }, time.Minute, 5*time.Millisecond, d.name)
		require.Positive(t, serial(d).Cmp(before[d.name]), d.name)
		d.again()
	}
	require.Equal(t, 1, logs.FilterMessageSnippet("SIGHUP").Len(), "not the look every five seconds")

	// One port's new file is broken: it keeps what it has, and says so; the others go on.
	now := serial(&doors[1])
	for i := range doors[2:] {
		issue(doors[2+i].file)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, doors[1].file+".pem"), []byte("not a certificate"), 0o600))
	hangUp()
	for i := range doors[2:] {
		d := &doors[2+i]
		require.Eventually(t, func() bool { return said("read again", d.name) == 2 }, time.Minute, 5*time.Millisecond, d.name)
		d.again()
	}
	require.Eventually(t, func() bool { return said("refused", doors[1].name) == 1 }, time.Minute, 5*time.Millisecond)
	require.Equal(t, now, serial(&doors[1]))
	doors[1].again()
	require.Equal(t, 1.0, s.counter(t, "huanxin_tls_reloads_total", map[string]string{"name": doors[1].name, "result": "refused"}))

	issue(doors[1].file)
	hangUp()
	require.Eventually(t, func() bool { return said("read again", doors[1].name) == 2 }, time.Minute, 5*time.Millisecond)
	require.Positive(t, serial(&doors[1]).Cmp(now))
	for i := range doors {
		doors[i].again()
	}
	shop.CloseIdleConnections()
	s.end(t)
}

// counter is a counter of the switch's metrics.
func (s *testSwitch) counter(t *testing.T, name string, labels map[string]string) float64 {
	t.Helper()
	families, err := s.metrics.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			right := f.GetName() == name
			for _, l := range m.GetLabel() {
				want, asked := labels[l.GetName()]
				right = right && (!asked || want == l.GetValue())
			}
			if right {
				return m.GetCounter().GetValue()
			}
		}
	}
	require.Fail(t, "no such metric", "%s %v", name, labels)
	return 0
}
