package transport

import (
	"crypto/x509"
	"encoding/asn1"
	"strings"
)

// Peer is who is at the other end of a connection, as its certificate proves. A nil Peer stands for a connection on which nobody is
// asked for a certificate: it admits everybody.
type Peer struct {
	identity string
	grants   []*grant
	others   *grant // of a peer without certificate: whom it may not speak for; nil = nobody
}

// Identity is the name under which the peer is bound, for logs; "" when it has shown no certificate.
func (p *Peer) Identity() string {
	if p == nil {
		return ""
	}
	return p.identity
}

// Admits reports whether this peer may speak for a terminal (DE41, blanks at its end do not count) or a caller. A peer that has shown no
// certificate, where none is required, may speak for all who are not bound to one: certificates can be brought in one terminal after
// the other, and who has one cannot be impersonated without it. It does not allocate.
func (p *Peer) Admits(name []byte) bool {
	if p == nil {
		return true
	}
	name = trim(name)
	if p.identity == "" {
		return p.others == nil || !p.others.has(name)
	}
	for _, g := range p.grants {
		if g.has(name) {
			return true
		}
	}
	return false
}

// peerOf is who has shown a verified certificate (nil: none). known is false for one that is bound to nobody.
func (b *Bindings) peerOf(cert *x509.Certificate, kind string) (p *Peer, known bool) {
	if cert == nil {
		if b == nil {
			return &Peer{}, true
		}
		return &Peer{others: &b.bound}, true
	}
	p = &Peer{}
	for _, name := range identities(cert, kind) {
		g := b.grantOf(name, kind)
		if g == nil {
			continue
		}
		if p.identity == "" {
			p.identity = name
		}
		p.grants = append(p.grants, g)
	}
	return p, p.identity != ""
}

// grantOf is whom an identity may speak for, nil for nobody. Without bindings it is the one whom the identity names: a common name
// as a whole, a URI by what follows the last : or / of its path.
func (b *Bindings) grantOf(identity, kind string) *grant {
	if b != nil {
		return b.grants[identity]
	}
	own := identity
	if kind != ByCN {
		if strings.ContainsAny(identity, "?#") { // what stands behind them is no name, and may hold a : or /
			return nil
		}
		own = identity[strings.LastIndexAny(identity, ":/")+1:]
	}
	if own == "" {
		return nil
	}
	return &grant{exact: map[string]struct{}{own: {}}}
}

// identities are the names of one kind in a certificate, without empty and absurdly long ones. Of several common names none counts:
// which of them is the subject's is for no reader to guess.
func identities(cert *x509.Certificate, kind string) []string {
	var all []string
	switch kind {
	case ByDNS:
		all = cert.DNSNames
	case ByCN:
		if commonNames(cert) == 1 {
			all = []string{cert.Subject.CommonName}
		}
	default:
		for _, u := range cert.URIs {
			all = append(all, u.String())
		}
	}
	var names []string
	for _, name := range all {
		if name != "" && len(name) <= maxName {
			names = append(names, fold(name, kind))
		}
	}
	return names
}

func commonNames(cert *x509.Certificate) (n int) {
	for _, name := range cert.Subject.Names {
		if name.Type.Equal(oidCommonName) {
			n++
		}
	}
	return n
}

var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}
