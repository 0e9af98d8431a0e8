package config

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hostMargin is what a terminal must wait longer than a host: the switch has to answer 98 before the terminal gives up
// and sends a reversal of its own.
const hostMargin = 5 * time.Second

var (
	responseCode = regexp.MustCompile(`^[0-9A-Z]{2}$`)
	institution  = regexp.MustCompile(`^[0-9]{0,11}$`)
)

// checker collects problems, each beginning with the key it is about.
type checker struct{ problems []string }

func (c *checker) refuse(key, format string, args ...any) {
	c.problems = append(c.problems, key+": "+fmt.Sprintf(format, args...))
}

func (c *checker) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		c.refuse(key, "%q: want %s", value, strings.Join(allowed, ", "))
	}
}

func (c *checker) given(key, value string) {
	if value == "" {
		c.refuse(key, "must not be empty")
	}
}

// atLeast checks a count, a size or a duration against its smallest sensible value.
func atLeast[N int | Size | time.Duration](c *checker, key string, value, least N) {
	if value < least {
		c.refuse(key, "%v: want at least %v", value, least)
	}
}

// check returns everything that is wrong, one line for each.
func (c *Config) check() []string {
	k := &checker{}
	k.given("programme", c.Programme)
	k.given("state", c.State)
	k.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	k.oneOf("log.format", c.Log.Format, "console", "json")
	c.checkListeners(k)
	c.checkHTTP(k)
	c.checkHosts(k)
	c.checkAddresses(k)
	c.checkKeeping(k)
	return k.problems
}

func (c *Config) checkListeners(k *checker) {
	if len(c.Listeners) == 0 {
		k.refuse("listeners", "want at least one")
	}
	for name, l := range c.Listeners {
		key := "listeners." + name + "."
		k.oneOf(key+"framing", l.Framing, "cup", "nac", "ncc", "ascii4", "raw2", "raw4")
		k.given(key+"dialect", l.Dialect)
		k.oneOf(key+"tpdu", l.TPDU, "swap", "unchanged")
		c.checkTLS(k, key+"tls.", l.TLS)
		atLeast(k, key+"connections", l.Connections, 1)
		atLeast(k, key+"in-flight", l.InFlight, 1)
		atLeast(k, key+"frame-limit", l.FrameLimit, 256)
		atLeast(k, key+"frame-timeout", l.FrameTimeout, time.Millisecond)
		atLeast(k, key+"idle-timeout", l.IdleTimeout, time.Second)
		atLeast(k, key+"write-timeout", l.WriteTimeout, time.Millisecond)
		if l.FrameLimit > 65537 {
			k.refuse(key+"frame-limit", "%v: a two-byte length cannot say more than 65537B", l.FrameLimit)
		}
		k.oneOf(key+"security", l.Security, InsecureDemo, WithKeys)
		checkTerminalKeys(k, key+"keys.", l.Keys)
		k.oneOf(key+"positions", l.Positions, "WGS-84", "GCJ-02", "BD-09")
	}
	atLeast(k, "terminal.pending", c.Terminal.Pending, 1)
	atLeast(k, "terminal.answer-timeout", c.Terminal.AnswerTimeout, hostMargin)
}

var (
	pinFormat = regexp.MustCompile(`^[1-9]=[a-z0-9-]+$`)
	groupName = regexp.MustCompile(`^[A-Za-z0-9._-]{0,32}$`)
)

// checkTerminalKeys is about the form of each setting. Whether they go together, and with the dialect, the terminal ports say.
func checkTerminalKeys(k *checker, key string, s TerminalKeys) {
	k.oneOf(key+"cipher", s.Cipher, "des", "3des", "sm4")
	k.oneOf(key+"form", s.Form, "standard", "compact")
	k.given(key+"mac", s.MAC)
	if !groupName.MatchString(s.Group) {
		k.refuse(key+"group", "%q: want letters, digits, - _ . only", s.Group)
	}
	for name, n := range map[string]int{"length": s.Length, "mac-length": s.MACLength} {
		if !slices.Contains([]int{0, 8, 16, 24}, n) {
			k.refuse(key+name, "%d: want 8, 16, 24, or 0 for what the cipher has", n)
		}
	}
	for name, proof := range map[string]string{
		"settlement": s.Settlement, "upload": s.Upload, "report": s.Report, "sign-off": s.SignOff,
	} {
		k.oneOf(key+name, proof, "mac", "proved", "unproved")
	}
	for _, f := range s.PINFormats {
		if !pinFormat.MatchString(f) {
			k.refuse(key+"pin-formats", "%q: want the first digit of DE53, = and a format, such as 2=iso-0", f)
		}
	}
	atLeast(k, key+"overlap", s.Overlap, time.Second)
	atLeast(k, key+"age", s.Age, time.Minute)
}

func (c *Config) checkTLS(k *checker, key string, tls TLS) {
	c.checkFiles(k, key, map[string]string{
		"certificate": tls.Certificate, "key": tls.Key, "client-ca": tls.ClientCA, "client-bindings": tls.Bindings,
	})
	k.oneOf(key+"minimum", tls.Minimum, "1.2", "1.3")
	k.oneOf(key+"client-identity", tls.Identity, "uri", "dns", "cn")
	switch {
	case tls.ClientCA != "" && tls.Certificate == "":
		k.refuse(key+"client-ca", "nobody is asked for a certificate without TLS: set certificate and key")
	case tls.Bindings != "" && tls.ClientCA == "":
		k.refuse(key+"client-bindings", "identities are bound, and client-ca does not say who vouches for them")
	case tls.Identity == "dns" && tls.ClientCA != "" && tls.Bindings == "":
		k.refuse(key+"client-bindings", "client-identity dns needs it: a DNS name is nobody's number")
	}
}

func (c *Config) checkLinkTLS(k *checker, key string, tls LinkTLS) {
	c.checkFiles(k, key, map[string]string{"certificate": tls.Certificate, "key": tls.Key, "ca": tls.CA})
	k.oneOf(key+"minimum", tls.Minimum, "1.2", "1.3")
}

// checkFiles looks for the files of a TLS section. What is in them is read when they are opened.
func (c *Config) checkFiles(k *checker, key string, files map[string]string) {
	if (files["certificate"] == "") != (files["key"] == "") {
		k.refuse(key+"certificate", "certificate and key go together: set both or neither")
		return
	}
	for name, path := range files {
		if path == "" {
			continue
		}
		if _, err := os.Stat(c.Path(path)); err != nil {
			k.refuse(key+name, "%v", err)
		}
	}
}

func (c *Config) checkHTTP(k *checker) {
	c.checkTLS(k, "http.tls.", c.HTTP.TLS)
	k.given("http.token-file", c.HTTP.TokenFile)
	atLeast(k, "http.answer-timeout", c.HTTP.AnswerTimeout, time.Millisecond)
	atLeast(k, "http.body-limit", c.HTTP.BodyLimit, 1024)
	atLeast(k, "http.pending", c.HTTP.Pending, 1)
	atLeast(k, "http.connections", c.HTTP.Connections, 1)
	c.checkLimits(k)
}

func (c *Config) checkHosts(k *checker) {
	if len(c.Hosts) == 0 {
		k.refuse("hosts", "want at least one")
	}
	for name, h := range c.Hosts {
		c.checkLinkTLS(k, "hosts."+name+".tls.", h.TLS)
		checkHost(k, "hosts."+name+".", h, c.Terminal.AnswerTimeout)
	}
	if c.Hosts[c.Routes.Default].Kind == WalletHost {
		k.refuse("routes.default", "%q is a wallet, which takes no cards", c.Routes.Default)
	}
	for key, name := range map[string]string{"routes.default": c.Routes.Default, "routes.qr": c.Routes.QR} {
		if _, ok := c.Hosts[name]; !ok {
			k.refuse(key, "%q is none of the hosts (%s)", name, strings.Join(slices.Sorted(maps.Keys(c.Hosts)), ", "))
		}
	}
}

func checkHost(k *checker, key string, h Host, terminal time.Duration) {
	k.oneOf(key+"kind", h.Kind, CardHost, WalletHost)
	if h.Kind == WalletHost {
		checkWallet(k, key, h)
	} else {
		checkCard(k, key, h)
	}
	atLeast(k, key+"connections", h.Connections, 1)
	atLeast(k, key+"timeout", h.Timeout, 100*time.Millisecond)
	if h.Timeout+hostMargin > terminal {
		k.refuse(key+"timeout", "%v + %v exceeds terminal.answer-timeout (%v): the terminal would reverse before it is answered",
			h.Timeout, hostMargin, terminal)
	}
	atLeast(k, key+"echo", h.Echo, time.Second)
	atLeast(k, key+"dial-timeout", h.DialTimeout, 100*time.Millisecond)
	checkBackOff(k, key+"reconnect-", h.ReconnectMin, h.ReconnectMax)
	atLeast(k, key+"queue", h.Queue, 1)
	checkBackOff(k, key+"reversal-retry-", h.RetryMin, h.RetryMax)
	atLeast(k, key+"reversal-least-life", h.LeastLife, time.Second)
}

func checkCard(k *checker, key string, h Host) {
	k.oneOf(key+"framing", h.Framing, "cup", "nac", "ncc", "ascii4", "raw2", "raw4")
	k.given(key+"dialect", h.Dialect)
	checkHex(k, key+"tpdu", h.TPDU, 5)
	checkHex(k, key+"header", h.Header, 6)
	k.oneOf(key+"management", h.Management, "", "de60", "de70")
	k.oneOf(key+"original", h.Original, "", "de61", "de90")
	checkMatchKey(k, key+"match-key", h.MatchKey)
	k.oneOf(key+"mac", h.MAC, "", "cup-ecb", "x9.9", "x9.19", "3des-cbc", "3des-cmac", "aes-cmac", "sm4-cbc", "sm4-emac", "sm4-retail", "sm4-cmac", "hmac-sm3", "hmac-sha256")
	k.oneOf(key+"pin", h.PIN, "", "iso-0", "iso-3", "iso-4", "iso-0-sm4")
	if !digits(h.PINControl, 16) {
		k.refuse(key+"pin-control", "%q: want 16 digits or nothing", h.PINControl)
	}
	if !digits(h.PINCapture, 2) {
		k.refuse(key+"pin-capture", "%q: want 2 digits or nothing", h.PINCapture)
	}
	for name, number := range map[string]string{"acquirer": h.Acquirer, "forwarder": h.Forwarder} {
		if !institution.MatchString(number) {
			k.refuse(key+name, "%q: want at most 11 digits", number)
		}
	}
	for name, d := range map[string]time.Duration{"echo": h.EchoTimeout, "write": h.WriteTimeout} {
		atLeast(k, key+name+"-timeout", d, 100*time.Millisecond)
	}
	atLeast(k, key+"in-flight", h.InFlight, 1)
	atLeast(k, key+"remember", h.Remember, 1)
	atLeast(k, key+"frame-limit", h.FrameLimit, 256)
	checkReversal(k, key, h)
	checkForeign(k, key, h, ofWallets)
}

// checkWallet: between two questions the payer needs time to type, and the buyer at the till wants to know.
func checkWallet(k *checker, key string, h Host) {
	if walletAddress(h.URL) == "" {
		// The text may hold a password: it is not repeated.
		k.refuse(key+"url", "want http:// or https://, a host, perhaps a port and a path, and no password")
	}
	k.given(key+"key-file", h.KeyFile)
	atLeast(k, key+"attempt-timeout", h.AttemptTimeout, 100*time.Millisecond)
	if h.QueryEvery < 3*time.Second || h.QueryEvery > 5*time.Second {
		k.refuse(key+"query-every", "%v: want 3s to 5s", h.QueryEvery)
	}
	if h.CancelAfter < h.Timeout {
		k.refuse(key+"cancel-after", "%v: want no less than timeout (%v), until which the till waits", h.CancelAfter, h.Timeout)
	}
	checkForeign(k, key, h, ofCards)
}

// Settings that hosts of one kind alone have.
var (
	ofCards = []string{
		"tls.enabled", "addresses", "framing", "dialect", "tpdu", "header", "sign-on", "management", "original", "match-key", "mac", "pin", "pin-control", "pin-capture", "acquirer", "forwarder",
		"echo-timeout", "write-timeout", "in-flight", "remember", "frame-limit", "reversal-done", "reversal-retry", "reversal-work-item",
	}
	ofWallets = []string{"url", "key-file", "attempt-timeout", "query-every", "cancel-after"}
)

// checkForeign refuses settings of the other kind: whoever writes one expects something of it.
func checkForeign(k *checker, key string, h Host, foreign []string) {
	given := settings("", reflect.ValueOf(h))
	for _, name := range foreign {
		value := reflect.ValueOf(given[name])
		if !value.IsZero() && !(value.Kind() == reflect.Slice && value.Len() == 0) {
			k.refuse(key+name, "a host of kind %s has no such setting", h.Kind)
		}
	}
}

// checkReversal holds the three lists of answers apart: an answer that means two things means none.
func checkReversal(k *checker, key string, h Host) {
	if len(h.Done) == 0 {
		k.refuse(key+"reversal-done", "want at least one response code: no reversal would ever end")
	}
	if len(h.Retry) == 0 {
		k.refuse(key+"reversal-retry", "want at least one response code")
	}
	owner := map[string]string{}
	for _, list := range []struct {
		name  string
		codes []string
	}{{"reversal-done", h.Done}, {"reversal-retry", h.Retry}, {"reversal-work-item", h.WorkItem}} {
		for _, code := range list.codes {
			if !responseCode.MatchString(code) {
				k.refuse(key+list.name, "%q: want a response code of two characters, in quotes", code)
			}
			if other, taken := owner[code]; taken && other != list.name {
				k.refuse(key+list.name, "%q is in %s too", code, other)
			}
			owner[code] = list.name
		}
	}
}

func checkBackOff(k *checker, key string, least, most time.Duration) {
	atLeast(k, key+"min", least, 10*time.Millisecond)
	atLeast(k, key+"max", most, least)
}

// digits tells so many digits, or nothing.
func digits(text string, size int) bool {
	return text == "" || len(text) == size && strings.Trim(text, "0123456789") == ""
}

func checkHex(k *checker, key, text string, size int) {
	if raw, err := hex.DecodeString(text); err != nil || len(raw) != size {
		k.refuse(key, "%q: want %d hex digits", text, 2*size)
	}
}

// checkMatchKey: the switch assigns DE7, DE11 and DE37; DE7 alone is shared by all requests of a second.
func checkMatchKey(k *checker, key string, fields []int) {
	for _, field := range fields {
		if field != 7 && field != 11 && field != 37 {
			k.refuse(key, "%d: want fields 7, 11 and 37 only", field)
		}
	}
	if !slices.Contains(fields, 11) && !slices.Contains(fields, 37) {
		k.refuse(key, "want field 11 or 37 in it")
	}
}

// checkAddresses holds every address to its form, all ports apart, and on loopback what carries card data without keys or TLS.
func (c *Config) checkAddresses(k *checker) {
	owner := map[string]string{} // port → key
	see := func(key, address string, secured, listens bool) {
		host, port, err := net.SplitHostPort(address)
		number, badPort := strconv.Atoi(port)
		if err != nil || badPort != nil || number < 0 || number > 65535 {
			k.refuse(key, "%q: want host:port", address)
			return
		}
		if !secured && !Loopback(host) {
			k.refuse(key, "%q is not a loopback address, and nothing secures it (keys, mac or tls)", address)
		}
		if number == 0 {
			return
		}
		// Links may share a port, and other machines have ports of their own; none may lead back into this process.
		if other, taken := owner[port]; taken && (listens || Loopback(host) || strings.EqualFold(host, "localhost")) {
			k.refuse(key, "port %s is taken by %s", port, other)
		}
		if listens {
			owner[port] = key
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Listeners)) {
		see("listeners."+name+".address", c.Listeners[name].Address, c.Listeners[name].Security == WithKeys, true)
	}
	see("http.address", c.HTTP.Address, c.HTTP.TLS.Certificate != "", true)
	if c.Debug.Address != "" {
		see("debug.address", c.Debug.Address, false, true)
		if host, _, err := net.SplitHostPort(c.Debug.Address); err == nil && !Loopback(host) {
			k.refuse("debug.address", "%q is not a loopback address: it shows the process's memory", c.Debug.Address)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Hosts)) {
		if c.Hosts[name].Kind == WalletHost {
			if address := walletAddress(c.Hosts[name].URL); address != "" {
				see("hosts."+name+".url", address, strings.HasPrefix(c.Hosts[name].URL, "https:"), false)
			}
			continue
		}
		if len(c.Hosts[name].Addresses) == 0 {
			k.refuse("hosts."+name+".addresses", "want at least one")
		}
		for _, address := range c.Hosts[name].Addresses {
			see("hosts."+name+".addresses", address, c.Hosts[name].TLS.Enabled || c.Hosts[name].MAC != "", false)
		}
	}
}

// walletAddress is host:port of a wallet's URL, "" when it is none.
func walletAddress(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return ""
	}
	ports := map[string]string{"http": "80", "https": "443"}
	if ports[u.Scheme] == "" || u.Hostname() == "" {
		return ""
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), ports[u.Scheme]))
}

// Loopback reports whether host is an address of this machine alone. A name is none: what it means may change after the check.
func Loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// checkKeeping is about what lies on disk and in the database.
func (c *Config) checkKeeping(k *checker) {
	atLeast(k, "engine.queue", c.Engine.Queue, 1)
	atLeast(k, "engine.batch", c.Engine.Batch, 1)
	atLeast(k, "engine.waiting", c.Engine.Waiting, 1)
	c.checkAdmission(k)
	k.given("journal.folder", c.Journal.Folder)
	if !slices.Contains([]int{1, 3, 5}, c.Journal.Replicas) {
		k.refuse("journal.replicas", "%d: want 1, 3 or 5", c.Journal.Replicas)
	}
	if c.Journal.Replicas > 1 && c.Journal.URL == "" {
		k.refuse("journal.replicas", "%d need an external cluster (journal.url)", c.Journal.Replicas)
	}
	atLeast(k, "journal.high-water", c.Journal.HighWater, 64<<20)
	atLeast(k, "journal.min-free", c.Journal.MinFree, 1<<20)
	atLeast(k, "journal.append-timeout", c.Journal.AppendTimeout, time.Second)
	atLeast(k, "snapshot.every", c.Snapshot.Every, time.Second)
	atLeast(k, "snapshot.events", c.Snapshot.Events, 1000)
	atLeast(k, "memory.garbage", c.Memory.Garbage, 10)
	c.checkDatabase(k)
	k.given("keys.file", c.Keys.File)
	k.given("keys.lmk-file", c.Keys.LMKFile)
	k.given("control.socket", c.Control.Socket)
	atLeast(k, "control.answer-timeout", c.Control.AnswerTimeout, 100*time.Millisecond)
	atLeast(k, "control.pending", c.Control.Pending, 1)
	atLeast(k, "stop.drain", c.Stop.Drain, time.Second)
}

func (c *Config) checkLimits(k *checker) {
	l := c.Limits
	for i, text := range l.Exempt {
		if _, err := netip.ParsePrefix(text); err != nil {
			k.refuse(fmt.Sprintf("limits.exempt[%d]", i), "%s: want a network such as 10.1.0.0/16", text)
		}
	}
	if l.Keys < 1024 || l.Keys > 1<<24 {
		k.refuse("limits.keys", "%d: want 1024 to %d", l.Keys, 1<<24)
	}
	for name, value := range map[string]int{
		"source-connections": l.SourceConnections, "source-connects": l.SourceConnects, "source-rate": l.SourceRate,
		"terminal-rate": l.TerminalRate, "http-connections": l.HTTPConnections, "http-rate": l.HTTPRate, "caller-rate": l.CallerRate,
	} {
		atLeast(k, "limits."+name, value, 0)
	}
	atLeast(k, "limits.burst-seconds", l.BurstSeconds, 1)
}

func (c *Config) checkAdmission(k *checker) {
	a := c.Engine.Admission
	atLeast(k, "engine.admission.target", a.Target, time.Millisecond)
	atLeast(k, "engine.admission.interval", a.Interval, a.Target)
	atLeast(k, "engine.admission.payments", a.Payments, a.Interval)
	if a.Payments > hostMargin { // a host's time-out is counted from the decision
		k.refuse("engine.admission.payments", "%v: want at most %v, by which a terminal waits longer than its host", a.Payments, hostMargin)
	}
}

func (c *Config) checkDatabase(k *checker) {
	d := c.Database
	if d.URL == "" {
		k.given("database.folder", d.Folder)
	} else if u, err := url.Parse(d.URL); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		// The text may hold a password: it is not repeated.
		k.refuse("database.url", "want postgres://user@host:port/name or nothing")
	}
	if d.Binaries != "" {
		if _, err := os.Stat(d.Binaries); err != nil {
			k.refuse("database.binaries", "%v", err)
		}
	}
	atLeast(k, "database.connections", d.Connections, 2)
	atLeast(k, "database.batch-events", d.BatchEvents, 1)
	checkBackOff(k, "database.retry-", d.RetryMin, d.RetryMax)
	atLeast(k, "database.write-timeout", d.WriteTimeout, time.Second)
}
