package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"huanxin/internal/bench/client"
	"huanxin/internal/bench/seed"
	"huanxin/internal/simulator/secret"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/transport/transporttest"
)

// securedRatio is how much of the throughput without keys is to be left when every message carries a MAC.
const securedRatio = 0.75

// securedPingpong and securedPipelined are those scenarios over lines with security, in turn with lines without.
func securedPingpong() Scenario {
	return securedLike("pingpong", shape{connections: 64, inFlight: 1}, waitingRate)
}

func securedPipelined() Scenario {
	return securedLike("pipelined", shape{connections: 16, inFlight: 64}, pipelinedRate)
}

func securedLike(name string, s shape, rate int) Scenario {
	return Scenario{
		Name: "secured " + name, What: fmt.Sprintf("%d × %d reserves in flight, with MACs, over TLS, and without either", s.connections, s.inFlight),
		Run: func(ctx context.Context, b *Bench) (Result, error) {
			s.warmUp, s.lasts, s.persons = time.Second, b.Lasts(5*time.Second), enough(b, rate)
			return b.secured(ctx, s)
		},
	}
}

// guardedLines are the lines that are compared; the first is the one without security.
var guardedLines = []lineSecurity{
	{name: "unsecured"},
	{name: "MAC cup-ecb 3DES", cipher: "3des"},
	{name: "MAC cup-ecb SM4", cipher: "sm4"},
	{name: "TLS 1.3", tls: true},
}

// secured measures one shape over each of the lines.
func (b *Bench) secured(ctx context.Context, s shape) (r Result, err error) {
	from, err := b.Seeded(ctx, s.persons)
	if err != nil {
		return r, err
	}
	proofs, last := make([]*proof, len(guardedLines)), make([]*client.Run, len(guardedLines))
	contenders := make([]Contender, len(guardedLines))
	for i, line := range guardedLines {
		if proofs[i], err = b.newProof(); err != nil {
			return r, err
		}
		contenders[i] = Contender{line.name, func(ctx context.Context, _ int) (float64, error) {
			if last[i], err = b.lineRound(ctx, s, from, line, proofs[i]); err != nil {
				return 0, err
			}
			return last[i].PerSecond(), nil
		}}
	}
	list, err := b.Alternate(ctx, b.Repeats(5), contenders...)
	if err != nil {
		return r, err
	}
	for i, line := range guardedLines[1:] {
		metric, ours := "throughput, "+line.name, list[i+1]
		if line.tls {
			r.Rows = append(r.Rows, Reported(metric, "/s", ours, list[0]))
		} else {
			r.Rows = append(r.Rows, AtLeast(metric, "/s", ours, list[0], securedRatio))
		}
	}
	for i, series := range list {
		r.Note("%s; last round %s", series, tails(last[i]))
		r.Note("%s: %s; %s", series.Name, proofs[i], proofs[i].way())
	}
	return r, nil
}

// lineSecurity is what protects a line.
type lineSecurity struct {
	name   string
	cipher string // of the terminals' keys; "": none
	tls    bool
}

// keyedLine is the listener for terminals with keys of a cipher, and the group that it has their master key of.
type keyedLine struct {
	group     string
	algorithm hsm.Algorithm
	address   func(*Site) string
}

var keyedLines = map[string]keyedLine{
	"3des": {"demo", hsm.TDES, func(s *Site) string { return s.Secure }},
	"sm4":  {"demo-sm4", hsm.SM4, func(s *Site) string { return s.SM }},
}

// guarded is a line as its clients see it.
type guarded struct {
	address string
	tls     *tls.Config
	pads    []*secret.Pinpad
}

// openLine starts a switch on a fresh copy of a prepared state, with what the line needs, and signs its first terminals on.
func (b *Bench) openLine(ctx context.Context, from string, l lineSecurity, terminals int) (site *Site, g guarded, err error) {
	dir, err := b.copied(from, "switch")
	if err != nil {
		return nil, g, err
	}
	var settings []string
	if l.tls {
		if settings, g.tls, err = certified(dir); err != nil {
			return nil, g, err
		}
	}
	if l.cipher != "" {
		if g.pads, err = pads(dir, l.cipher, terminals); err != nil {
			return nil, g, err
		}
	}
	if site, err = b.NewSite(dir, settings...); err != nil {
		return nil, g, err
	}
	if err = site.Start(ctx); err != nil {
		return nil, g, errors.Join(err, site.Discard())
	}
	g.address = site.CUP
	if l.cipher != "" {
		g.address = keyedLines[l.cipher].address(site)
		if err = client.SignOn(ctx, g.address, b.Codec, 0, g.pads); err != nil {
			return nil, g, errors.Join(err, site.Discard())
		}
	}
	return site, g, nil
}

// pads are terminals with a master key that is new in the store of a state folder.
func pads(dir, cipher string, terminals int) ([]*secret.Pinpad, error) {
	line := keyedLines[cipher]
	master, err := seed.Master(dir, line.group, line.algorithm)
	if err != nil {
		return nil, err
	}
	book := secret.Book{Terminals: map[string]secret.Terminal{}}
	for n := range terminals {
		id := seed.Terminal(n)
		book.Terminals[id] = secret.Terminal{Cipher: cipher, Master: master, Serial: "BENCH-" + id}
	}
	made, err := book.Pinpads()
	if err != nil {
		return nil, err
	}
	list := make([]*secret.Pinpad, terminals)
	for n := range list {
		list[n] = made[seed.Terminal(n)]
	}
	return list, nil
}

// certified makes a certificate for the port without keys, and what its clients trust.
func certified(dir string) (settings []string, trust *tls.Config, err error) {
	// The switch takes a relative name for one below its own state.
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, nil, err
	}
	authority, err := transporttest.New(dir, "bench-authority")
	if err != nil {
		return nil, nil, err
	}
	certificate, key, err := authority.Issue("bench-switch", transporttest.Subject{CN: "switch", IPs: []string{"127.0.0.1"}})
	if err != nil {
		return nil, nil, err
	}
	text, err := os.ReadFile(authority.File)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, nil, fmt.Errorf("%s holds no certificate", authority.File)
	}
	return []string{
		"HUANXIN_LISTENERS_CUP_TLS_CERTIFICATE=" + certificate, "HUANXIN_LISTENERS_CUP_TLS_KEY=" + key, "HUANXIN_LISTENERS_CUP_TLS_MINIMUM=1.3",
		"HUANXIN_LISTENERS_CUP_TLS_CLIENT_REQUIRED=false",
	}, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}, nil
}
