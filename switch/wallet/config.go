package wallet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"huanxin/switch/transport"
)

// Config is the profile of one wallet.
type Config struct {
	// Name is the profile's name in the configuration; HostRequest.Host names it, and so do the wallet's notifications.
	Name string
	// URL is where the wallet's interface begins: http://host:port or https://host, with or without a path.
	URL string
	// Key is the secret shared with this wallet.
	Key *Key
	// Connections is how many requests are under way at a time, each on a connection of its own. Default 32.
	Connections int
	// Queue bounds the requests that wait for a connection; one more is unsent at once. Default 4096.
	Queue int
	// DialTimeout bounds a connect (default 5 s), AttemptTimeout one request from the connect to the last byte of its answer
	// (default 10 s).
	DialTimeout    time.Duration
	AttemptTimeout time.Duration
	// BarAfter is how long after it was sent a refund or void that the wallet has never heard of is barred (default 60 s).
	BarAfter time.Duration
	// Probe is how often a wallet that answers is asked whether it is there (default 30 s). One that does not is asked again
	// after RetryMin (default 200 ms), doubled each time up to RetryMax (default 30 s); half of each wait is drawn.
	Probe    time.Duration
	RetryMin time.Duration
	RetryMax time.Duration
	// TLS is spoken with an https URL. Default: the system's authorities, TLS 1.2 or later.
	TLS *transport.Client
	// Dial replaces the dialler of TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// ErrConfig is returned for a profile that cannot work; the error wrapping it names the field.
var ErrConfig = errors.New("wallet profile")

// withDefaults fills what is zero and checks the rest.
func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		value *int
		def   int
	}{{&c.Connections, 32}, {&c.Queue, 4096}} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{
		{&c.DialTimeout, 5 * time.Second}, {&c.AttemptTimeout, 10 * time.Second}, {&c.Probe, 30 * time.Second},
		{&c.BarAfter, time.Minute},
		{&c.RetryMin, 200 * time.Millisecond}, {&c.RetryMax, 30 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if c.Dial == nil {
		dialer := net.Dialer{Timeout: c.DialTimeout}
		c.Dial = dialer.DialContext
	}
	if err := c.check(); err != nil {
		return c, fmt.Errorf("%w %q: %w", ErrConfig, c.Name, err)
	}
	if c.TLS == nil {
		var err error
		if c.TLS, err = transport.NewClient(transport.Config{Name: c.Name}); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (c *Config) check() error {
	switch {
	case c.Name == "":
		return errors.New("the profile has no Name")
	case c.Key == nil:
		return errors.New("the profile has no Key")
	case c.Connections < 1 || c.Queue < 1:
		return errors.New("fields Connections and Queue: want 1 or more")
	case min(c.DialTimeout, c.AttemptTimeout, c.BarAfter, c.Probe, c.RetryMin) < 0:
		return errors.New("a time-out is negative")
	case c.RetryMax < c.RetryMin:
		return errors.New("field RetryMax is below RetryMin")
	}
	_, err := c.base()
	return err
}

// base is the URL in parts.
func (c *Config) base() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("field URL: want http:// or https://, a host, and perhaps a path")
	}
	return u, nil
}

// dialTLS connects to an https URL, under the certificates of this moment.
func (c *Config) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*c.DialTimeout) // one for the connect, one for the handshake
	defer cancel()
	nc, err := c.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	secure := tls.Client(nc, c.TLS.TLS(host))
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS: %w", err), nc.Close())
	}
	return secure, nil
}
