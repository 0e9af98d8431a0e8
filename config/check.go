package config

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
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
	dataElement  = regexp.MustCompile(`^[0-9]{1,3}$`)
	acquirerID   = regexp.MustCompile(`^[0-9]{1,11}$`)
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
	k.oneOf("security", c.Security, InsecureDemo)
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
		atLeast(k, key+"read-timeout", l.ReadTimeout, time.Millisecond)
		atLeast(k, key+"idle-timeout", l.IdleTimeout, time.Second)
		atLeast(k, key+"write-timeout", l.WriteTimeout, time.Millisecond)
		if l.FrameLimit > 65535 {
			k.refuse(key+"frame-limit", "%v: a two-byte length cannot say more than 65535B", l.FrameLimit)
		}
	}
	atLeast(k, "terminal.pending", c.Terminal.Pending, 1)
	atLeast(k, "terminal.answer-timeout", c.Terminal.AnswerTimeout, hostMargin)
}

func (c *Config) checkTLS(k *checker, key string, tls TLS) {
	if (tls.Certificate == "") != (tls.Key == "") {
		k.refuse(key+"certificate", "certificate and key go together: set both or neither")
		return
	}
	for name, path := range map[string]string{"certificate": tls.Certificate, "key": tls.Key} {
		if path == "" {
			continue
		}
		if _, err := os.Stat(c.Path(path)); err != nil {
			k.refuse(key+name, "%v", err)
		}
	}
}

func (c *Config) checkHTTP(k *checker) {
	k.given("http.token-file", c.HTTP.TokenFile)
	atLeast(k, "http.read-timeout", c.HTTP.ReadTimeout, time.Millisecond)
	atLeast(k, "http.idle-timeout", c.HTTP.IdleTimeout, time.Second)
	atLeast(k, "http.answer-timeout", c.HTTP.Answer, time.Millisecond)
	atLeast(k, "http.body-limit", c.HTTP.BodyLimit, 1024)
	atLeast(k, "http.pending", c.HTTP.Pending, 1)
}

func (c *Config) checkHosts(k *checker) {
	if len(c.Hosts) == 0 {
		k.refuse("hosts", "want at least one")
	}
	for name, h := range c.Hosts {
		checkHost(k, "hosts."+name+".", h, c.Terminal.AnswerTimeout)
	}
	for key, name := range map[string]string{"routes.default": c.Routes.Default, "routes.qr": c.Routes.QR} {
		if _, ok := c.Hosts[name]; !ok {
			k.refuse(key, "%q is none of the hosts (%s)", name, strings.Join(slices.Sorted(maps.Keys(c.Hosts)), ", "))
		}
	}
}

func checkHost(k *checker, key string, h Host, terminal time.Duration) {
	k.oneOf(key+"framing", h.Framing, "cup", "nac", "ncc", "ascii4", "raw2", "raw4")
	k.given(key+"dialect", h.Dialect)
	if !acquirerID.MatchString(h.Acquirer) {
		k.refuse(key+"acquirer", "%q: want 1 to 11 digits", h.Acquirer)
	}
	checkHex(k, key+"header", h.Header, 6)
	checkHex(k, key+"tpdu", h.TPDU, 5)
	atLeast(k, key+"connections", h.Connections, 1)
	atLeast(k, key+"timeout", h.Timeout, 100*time.Millisecond)
	if h.Timeout+hostMargin > terminal {
		k.refuse(key+"timeout", "%v + %v exceeds terminal.answer-timeout (%v): the terminal would reverse before it is answered",
			h.Timeout, hostMargin, terminal)
	}
	atLeast(k, key+"echo", h.Echo, time.Second)
	atLeast(k, key+"echo-timeout", h.EchoTimeout, 100*time.Millisecond)
	atLeast(k, key+"dial-timeout", h.Dial, 100*time.Millisecond)
	checkBackOff(k, key+"reconnect-", h.ReconnectMin, h.ReconnectMax)
	atLeast(k, key+"queue", h.Queue, 1)
	atLeast(k, key+"in-flight", h.InFlight, 1)
	checkBackOff(k, key+"reversal-retry-", h.RetryMin, h.RetryMax)
	checkList(k, key+"match-key", h.MatchKey, dataElement, "a field number")
	checkList(k, key+"reversal-done", h.Done, responseCode, "a response code of two characters, in quotes")
	checkList(k, key+"reversal-retry", h.Retry, responseCode, "a response code of two characters, in quotes")
	for _, code := range h.Retry {
		if slices.Contains(h.Done, code) {
			k.refuse(key+"reversal-retry", "%q is in reversal-done too", code)
		}
	}
}

func checkBackOff(k *checker, key string, least, most time.Duration) {
	atLeast(k, key+"min", least, 10*time.Millisecond)
	atLeast(k, key+"max", most, least)
}

func checkHex(k *checker, key, text string, size int) {
	if raw, err := hex.DecodeString(text); err != nil || len(raw) != size {
		k.refuse(key, "%q: want %d hex digits", text, 2*size)
	}
}

func checkList(k *checker, key string, list []string, form *regexp.Regexp, want string) {
	if len(list) == 0 {
		k.refuse(key, "want at least one entry")
	}
	for _, entry := range list {
		if !form.MatchString(entry) {
			k.refuse(key, "%q: want %s", entry, want)
		}
	}
}

// checkAddresses holds every address to its form, all ports apart, and, without line security, everything on loopback:
// terminal and host lines carry card data in clear.
func (c *Config) checkAddresses(k *checker) {
	owner := map[string]string{} // address → key
	see := func(key, address string) {
		host, port, err := net.SplitHostPort(address)
		number, badPort := strconv.Atoi(port)
		if err != nil || badPort != nil || number < 0 || number > 65535 {
			k.refuse(key, "%q: want host:port", address)
			return
		}
		if c.Security == InsecureDemo && !isLoopback(host) {
			k.refuse(key, "%q is not a loopback address, and security is %s", address, InsecureDemo)
		}
		if number == 0 {
			return
		}
		if other, taken := owner[port]; taken {
			k.refuse(key, "port %s is taken by %s", port, other)
		}
		owner[port] = key
	}
	for _, name := range slices.Sorted(maps.Keys(c.Listeners)) {
		see("listeners."+name+".address", c.Listeners[name].Address)
	}
	see("http.address", c.HTTP.Address)
	listening := maps.Clone(owner)
	for _, name := range slices.Sorted(maps.Keys(c.Hosts)) {
		// Two profiles may share a host's port; none may lead back into this process.
		owner = maps.Clone(listening)
		see("hosts."+name+".address", c.Hosts[name].Address)
	}
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// checkKeeping is about what lies on disk and in the database.
func (c *Config) checkKeeping(k *checker) {
	atLeast(k, "engine.queue", c.Engine.Queue, 1)
	atLeast(k, "engine.batch", c.Engine.Batch, 1)
	atLeast(k, "engine.exchange-keep", c.Engine.ExchangeKeep, 48*time.Hour)
	k.given("journal.folder", c.Journal.Folder)
	atLeast(k, "journal.limit", c.Journal.Limit, 64<<20)
	if c.Journal.HighWater < 1 || c.Journal.HighWater > 99 {
		k.refuse("journal.high-water", "%d: want 1 to 99 (per cent)", c.Journal.HighWater)
	}
	atLeast(k, "journal.batch-size", c.Journal.BatchSize, 64<<10)
	atLeast(k, "journal.append-timeout", c.Journal.Append, time.Second)
	k.given("snapshot.folder", c.Snapshot.Folder)
	atLeast(k, "snapshot.every", c.Snapshot.Every, time.Second)
	atLeast(k, "snapshot.events", c.Snapshot.Events, 1000)
	c.checkDatabase(k)
	k.given("keys.file", c.Keys.File)
	atLeast(k, "stop.drain", c.Stop.Drain, time.Second)
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
}
