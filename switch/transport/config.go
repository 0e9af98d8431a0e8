package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Config is the TLS of one port or link. Files are PEM.
type Config struct {
	// Name is the port's or link's configured name; it stands in log lines and labels metrics.
	Name string
	// Certificate is a chain and Key its private key, which only its owner may read (0600). A server needs both; a client has
	// them when its peer asks for a certificate.
	Certificate, Key string
	// CA holds the authorities that the peer's certificate must come from. A server without it asks for no certificate; a client
	// without it trusts the system's authorities.
	CA string
	// MinVersion is "1.2" or "1.3". Default 1.2.
	MinVersion string
	// Ciphers are suites of TLS 1.2 by their IANA names. Default DefaultCiphers. Those of TLS 1.3 cannot be chosen, and need not
	// be: all of them are sound.
	Ciphers []string

	// Required makes a server refuse a peer without a certificate. It needs CA.
	Required bool
	// Identity says which name of a peer's certificate is its identity: "uri" or "dns" (subject alternative names), or "cn" (the
	// subject's common name). Default uri.
	Identity string
	// Bindings is a file that says which identity may speak for whom; see ParseBindings. Without it the identity itself names whom: the
	// whole common name, or what follows the last : or / of the URI, which has neither query nor fragment.
	Bindings string

	// ServerName is what a client's peer must be called. Default: the host that is dialled.
	ServerName string
}

// ErrConfig is returned when a Config cannot work; the error wrapping it names the port or link, and the file.
var ErrConfig = errors.New("TLS configuration")

// Kinds of identity.
const (
	ByURI = "uri"
	ByDNS = "dns"
	ByCN  = "cn"
)

// DefaultCiphers are the suites of TLS 1.2 with forward secrecy and authenticated encryption (RFC 9325 §4.2).
func DefaultCiphers() []string {
	var names []string
	for _, id := range soundCiphers {
		names = append(names, tls.CipherSuiteName(id))
	}
	return names
}

var soundCiphers = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// CheckPolicy says what is wrong with a minimum version and a list of suites, nil when nothing is.
func CheckPolicy(minVersion string, ciphers []string) error {
	if _, err := version(minVersion); err != nil {
		return err
	}
	_, err := suites(ciphers)
	return err
}

func version(text string) (uint16, error) {
	switch text {
	case "", "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("version %q: want 1.2 or 1.3", text)
}

// suites looks suites up by name. What Go calls insecure (no forward secrecy, RC4, 3DES) is not offered, whoever asks.
func suites(names []string) ([]uint16, error) {
	if len(names) == 0 {
		return soundCiphers, nil
	}
	var ids []uint16
	for _, name := range names {
		i := slices.IndexFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool {
			return s.Name == name && slices.Contains(s.SupportedVersions, tls.VersionTLS12)
		})
		if i < 0 {
			return nil, fmt.Errorf("cipher suite %q: want some of %s", name, strings.Join(DefaultCiphers(), ", "))
		}
		ids = append(ids, tls.CipherSuites()[i].ID)
	}
	return ids, nil
}

func (c *Config) check() error {
	if c.Identity == "" {
		c.Identity = ByURI
	}
	switch {
	case c.Name == "":
		return errors.New("no Name")
	case (c.Certificate == "") != (c.Key == ""):
		return errors.New("certificate and key go together")
	case !slices.Contains([]string{ByURI, ByDNS, ByCN}, c.Identity):
		return fmt.Errorf("identity %q: want %s, %s or %s", c.Identity, ByURI, ByDNS, ByCN)
	}
	return CheckPolicy(c.MinVersion, c.Ciphers)
}

// checkServer is what only a server's side must hold.
func (c *Config) checkServer() error {
	switch {
	case c.Certificate == "":
		return errors.New("no certificate")
	case c.Required && c.CA == "":
		return errors.New("a certificate is required of clients, and no authority is named that it may come from")
	case c.Bindings != "" && c.CA == "":
		return errors.New("identities are bound, and no authority is named that they may come from")
	case c.Identity == ByDNS && c.CA != "" && c.Bindings == "":
		return errors.New("a DNS name is nobody's number: identity dns needs a file of bindings")
	}
	return nil
}
