package main

import (
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"go.uber.org/zap"

	"huanxin/config"
	"huanxin/internal/postgres"
)

// clearLine is a line that other machines can reach, or that leads to one, on which nothing demands TLS.
type clearLine struct {
	name    string // of the settings: "listeners.secure"
	address string
	mend    string // what to set
}

// linesInClear are the clear lines of a configuration, in the order of its file. The operator's socket is a file and the
// profiler binds to loopback only: neither can be one.
func linesInClear(c *config.Config) (list []clearLine) {
	add := func(name, address, mend string) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = strings.Trim(address, "[]") // without a port
		}
		if !thisMachine(host) {
			list = append(list, clearLine{name, address, mend})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Listeners)) {
		if l := c.Listeners[name]; l.TLS.Certificate == "" {
			add("listeners."+name, l.Address, "listeners."+name+".tls.certificate, key")
		}
	}
	if c.HTTP.TLS.Certificate == "" {
		add("http", c.HTTP.Address, "http.tls.certificate, key")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Hosts)) {
		h, key := c.Hosts[name], "hosts."+name
		if h.Kind == config.WalletHost {
			if u, err := url.Parse(h.URL); err == nil && u.Scheme != "https" {
				add(key, u.Host, key+".url: https://…")
			}
			continue
		}
		for _, address := range h.Addresses {
			if !h.TLS.Enabled {
				add(key, address, key+".tls.enabled: true")
			}
		}
	}
	for _, server := range strings.Split(c.Journal.URL, ",") {
		if server = strings.TrimSpace(server); server != "" && !strings.Contains(server, "://") {
			server = "nats://" + server // as its client takes it
		}
		if u, err := url.Parse(server); err == nil && u.Host != "" && u.Scheme != "tls" && u.Scheme != "wss" {
			add("journal", u.Host, "journal.url: tls://…")
		}
	}
	if c.Database.Enabled && c.Database.URL != "" {
		for _, address := range postgres.InClear(c.Database.URL) {
			add("database", address, "database.url: …?sslmode=verify-full")
		}
	}
	return list
}

// thisMachine takes localhost for what RFC 6761 §6.3 says it is; other names may mean anything.
func thisMachine(host string) bool {
	return strings.EqualFold(host, "localhost") || config.Loopback(host)
}

// sayWhatIsInClear is the notice of every line that others on its way can read.
func (s *Switch) sayWhatIsInClear() {
	for _, l := range linesInClear(s.cfg) {
		s.notice("明文线路：离开本机而没有 TLS，途中可被读取 – this line leaves the machine without TLS: whoever is on its way can read it",
			zap.String("line", l.name), zap.String("address", l.address), zap.String("set", l.mend))
	}
}

// sayWhoIsNotAsked names the ports whose setting demands a certificate of clients that nobody could vouch for.
func (s *Switch) sayWhoIsNotAsked() {
	ports := map[string]config.TLS{"http": s.cfg.HTTP.TLS}
	for name, l := range s.cfg.Listeners {
		ports["listeners."+name] = l.TLS
	}
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		if p := ports[name]; p.Certificate != "" && p.Required && p.ClientCA == "" {
			s.notice("此端口不要求客户端证书 – this port asks its clients for no certificate: client-ca names no authority; client-required: "+
				"false says that it is meant so", zap.String("line", name))
		}
	}
}

// notice writes what an operator must see at every start, whatever log.level leaves out.
func (s *Switch) notice(text string, fields ...zap.Field) {
	s.log.Log(max(zap.WarnLevel, s.log.Level()), text, fields...)
}
