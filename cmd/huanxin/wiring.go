package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"huanxin/config"
	"huanxin/config/dialects"
	"huanxin/risk/geo"
	"huanxin/switch/engine"
	"huanxin/switch/gateway"
	"huanxin/switch/host"
	"huanxin/switch/iso8583"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/terminal"
	"huanxin/switch/wire"
)

// This file turns sections of the configuration into the Config of each package. Every error names the key.

func newLogger(c config.Log) (*zap.Logger, error) {
	level, err := zap.ParseAtomicLevel(c.Level)
	if err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	z := zap.NewProductionConfig()
	if c.Format == "console" {
		z.Encoding = "console"
		z.EncoderConfig.EncodeLevel = zapcore.CapitalLevelEncoder
	}
	z.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	z.Level = level
	z.DisableStacktrace, z.DisableCaller = true, true
	z.Sampling = nil // a line that says what went wrong must not be the one that is left out
	return z.Build()
}

// codecs compiles each dialect once, however many ports and links speak it.
type codecs struct {
	folder   string // of --dialects, searched first
	compiled map[string]*iso8583.Codec
}

func (c *codecs) get(key, name string) (*iso8583.Codec, error) {
	if codec := c.compiled[name]; codec != nil {
		return codec, nil
	}
	spec, from, err := dialects.Load(c.folder, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	codec, err := iso8583.Compile(spec)
	if err != nil {
		return nil, fmt.Errorf("%s: dialect %s: %w", key, from, err)
	}
	if c.compiled == nil {
		c.compiled = map[string]*iso8583.Codec{}
	}
	c.compiled[name] = codec
	return codec, nil
}

// answerSlack is how much longer than a terminal waits a half-closed connection is kept for an answer that is owed.
const answerSlack = 5 * time.Second

// terminalPorts are the listeners by name, ascending.
func terminalPorts(c *config.Config, dialect *codecs, secure *credentials) ([]terminal.Port, error) {
	var ports []terminal.Port
	for _, name := range slices.Sorted(maps.Keys(c.Listeners)) {
		l, key := c.Listeners[name], "listeners."+name
		framing, err := wire.ParseFraming(l.Framing)
		if err != nil {
			return nil, fmt.Errorf("%s.framing: %w", key, err)
		}
		codec, err := dialect.get(key+".dialect", l.Dialect)
		if err != nil {
			return nil, err
		}
		port := terminal.Port{
			Name: name, Address: l.Address, Framing: framing, Codec: codec,
			SwapTPDU: l.TPDU == "swap", Positions: coordinateSystem(l.Positions),
			MaxFrame: int(l.FrameLimit), MaxConns: l.Connections, MaxInFlight: l.InFlight,
			IdleTimeout: l.IdleTimeout, FrameTimeout: l.FrameTimeout, WriteTimeout: l.WriteTimeout,
			AnswerWithin: c.Terminal.AnswerTimeout + answerSlack,
		}
		if l.Security == config.WithKeys {
			if port.Line, err = terminalLine(&l.Keys); err != nil {
				return nil, fmt.Errorf("%s.keys.%w", key, err)
			}
		}
		if port.TLS, err = secure.port(key, l.TLS); err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// coordinateSystem is the one of that name, which config has checked.
func coordinateSystem(name string) geo.CRS {
	for crs := geo.WGS84; crs.Valid(); crs++ {
		if crs.String() == name {
			return crs
		}
	}
	return 0
}

// hostProfiles are the links to card networks, by name, ascending.
func hostProfiles(c *config.Config, dialect *codecs, secure *credentials) ([]host.Config, error) {
	var profiles []host.Config
	for _, name := range slices.Sorted(maps.Keys(c.Hosts)) {
		h, key := c.Hosts[name], "hosts."+name
		if h.Kind == config.WalletHost {
			continue
		}
		framing, err := wire.ParseFraming(h.Framing)
		if err != nil {
			return nil, fmt.Errorf("%s.framing: %w", key, err)
		}
		codec, err := dialect.get(key+".dialect", h.Dialect)
		if err != nil {
			return nil, err
		}
		profile := host.Config{
			Name: name, Addresses: h.Addresses, Framing: framing, Codec: codec,
			Connections: h.Connections, SignOn: h.SignOn, Management: h.Management, Original: h.Original,
			MatchKey: h.MatchKey, Acquirer: h.Acquirer, Forwarder: h.Forwarder,
			DialTimeout: h.DialTimeout, WriteTimeout: h.WriteTimeout, Echo: h.Echo, EchoTimeout: h.EchoTimeout,
			ReconnectMin: h.ReconnectMin, ReconnectMax: h.ReconnectMax,
			Queue: h.Queue, InFlight: h.InFlight, Remember: h.Remember, FrameLimit: int(h.FrameLimit),
		}
		if profile.MAC, profile.PIN, err = hostSecurity(key, h); err != nil {
			return nil, err
		}
		if h.TLS.Enabled {
			if profile.TLS, err = secure.link(key, h.TLS); err != nil {
				return nil, err
			}
		}
		// A framing takes only what it has a place for; config has checked the hex.
		if framing.TPDU() {
			if profile.TPDU, err = hex.DecodeString(h.TPDU); err != nil {
				return nil, fmt.Errorf("%s.tpdu: %w", key, err)
			}
		}
		if framing.Header() {
			if profile.Header, err = hex.DecodeString(h.Header); err != nil {
				return nil, fmt.Errorf("%s.header: %w", key, err)
			}
		}
		profiles = append(profiles, profile)
	}
	return profiles, nil
}

// hostSecurity is how a host's messages are authenticated and its PIN blocks enciphered.
func hostSecurity(key string, h config.Host) (mac *host.MAC, pin *host.PIN, err error) {
	if h.MAC != "" {
		mac = &host.MAC{}
		if mac.Algorithm, err = hsm.ParseMAC(h.MAC); err != nil {
			return nil, nil, fmt.Errorf("%s.mac: %w", key, err)
		}
	}
	if h.PIN != "" {
		pin = &host.PIN{Control: h.PINControl, Capture: h.PINCapture}
		if pin.Format, err = hsm.ParsePIN(h.PIN); err != nil {
			return nil, nil, fmt.Errorf("%s.pin: %w", key, err)
		}
	}
	return mac, pin, nil
}

// payingWallet is the host that payment codes over HTTP are charged at; "" when they go to a card network, which takes them
// from terminals only.
func payingWallet(c *config.Config) string {
	if c.Hosts[c.Routes.QR].Kind == config.WalletHost {
		return c.Routes.QR
	}
	return ""
}

// engineConfig is the engine's half of the host profiles.
func engineConfig(c *config.Config, province *geo.Map) engine.Config {
	hosts := make(map[string]engine.HostProfile, len(c.Hosts))
	for name, h := range c.Hosts {
		profile := engine.HostProfile{
			Timeout: h.Timeout, Done: h.Done, Retry: h.Retry, FirstRetry: h.RetryMin, MaxRetry: h.RetryMax,
			CutOff: time.Duration(h.CutOff), LeastLife: h.LeastLife,
		}
		if h.Kind == config.WalletHost {
			// What a wallet says to a cancellation is put into the engine's own codes by its link.
			profile.Done, profile.Retry = nil, nil
			profile.Wallet, profile.QueryEvery, profile.CancelAfter = true, h.QueryEvery, h.CancelAfter
		}
		hosts[name] = profile
	}
	return engine.Config{Hosts: hosts, Map: province, MaxWaiting: c.Engine.Waiting}
}

// openTokens reads the callers of the HTTP interface, or draws the secret of one at the first start.
func openTokens(path string, log *zap.Logger) ([]gateway.Token, error) {
	tokens, err := readTokens(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = createToken(path); err == nil {
			log.Info("created the token of the HTTP interface", zap.String("file", path))
			tokens, err = readTokens(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("http.token-file: %w", err)
	}
	return tokens, nil
}

func createToken(path string) error {
	secret, err := gateway.NewSecret(rand.Reader)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(secret+"\n"), 0o600)
}

func readTokens(path string) ([]gateway.Token, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o, want 0600 (chmod 0600 %s)", path, mode, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return gateway.ParseTokens(text)
}
